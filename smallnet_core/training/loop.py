"""One training loop that reads top to bottom."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.data.batches import TrainingBatches, normalise, resized
from smallnet_core.data.datasets import NUM_CLASSES, Dataset
from smallnet_core.models import build_model
from smallnet_core.models.initialisation import INITIALISATIONS_FROM_IMAGES, initialise
from smallnet_core.pruning.channels import Plan, apply_plan, prune_channels
from smallnet_core.pruning.masks import apply_masks, magnitude_masks
from smallnet_core.recipes import Recipe
from smallnet_core.system.machine import (
    BFLOAT16_MIN_GAIN,
    bfloat16_gain,
    keep_freed_memory,
    memory_gib,
)
from smallnet_core.training.checkpoints import (
    CheckpointFile,
    CheckpointKeeper,
    Epoch,
    Interruption,
    TrainingState,
    on_cpu,
)
from smallnet_core.training.evaluation import accuracy_percent, predict
from smallnet_core.training.graphs import GraphedStep
from smallnet_core.training.optimizers import build_optimizer, learning_rate_factor, set_rates

__all__ = [
    "IMAGE_SIDE",
    "BatchTooLarge",
    "Diverged",
    "Epoch",
    "Interrupted",
    "Interruption",
    "Progress",
    "Source",
    "Trained",
    "dtype_of",
    "is_evaluated",
    "network_of",
    "optimizer_of",
    "set_up",
    "side_of_epoch",
    "step_function",
    "train",
]


IMAGE_SIDE = 32  # pixels, of every dataset
EVALUATED_EPOCHS = 5  # of so many one is evaluated, where the last epoch counts in any case
WHITENING_IMAGES = 5000  # that a first layer is computed from, where the recipe asks for that
IMPORTANCE_IMAGES = 2000  # whose gradients tell Taylor's importance of a channel

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained network that another one is pruned from: its weights, and what it was pruned by."""

    state_dict: Mapping[str, Tensor]
    plan: Plan = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training leaves: weights of the selected epoch on the CPU, and how it went."""

    recipe: Recipe
    state_dict: Mapping[str, Tensor]
    curve: tuple[Epoch, ...]
    selected_epoch: int  # from 1, of those in the curve
    dtype: torch.dtype  # that the loop computed in: bfloat16 means autocast
    train_seconds: float  # of the steps alone, without those that were lost
    total_seconds: float  # with setting up and evaluation
    interruptions: tuple[Interruption, ...] = ()
    plan: Plan = field(default_factory=list)  # of the channels that were removed

    @property
    def test_accuracy_percent(self) -> float:
        found = self.curve[self.selected_epoch - 1].test_accuracy_percent
        assert found is not None, "the selected epoch is always evaluated"
        return found


class Diverged(Exception):  # noqa: N818 - an outcome of a training, judged as such
    """The loss or a weight is no longer finite; the message says at which step.

    ``trained`` is what was left: such weights predict one class, and are judged by that.
    """

    def __init__(self, message: str, trained: Trained) -> None:
        super().__init__(message)
        self.trained = trained


class Interrupted(Exception):  # noqa: N818 - an outcome of a training, not an error
    """Somebody asked the training to stop; its checkpoint has all that was done."""


class BatchTooLarge(MemoryError):  # noqa: N818 - as torch.OutOfMemoryError says it
    """A step does not fit into the memory of the device; the message names batch and memory."""


class Progress(Protocol):
    """Who watches a training: told of every step (without its loss) and of every epoch."""

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None: ...
    def note(self, line: str) -> None: ...
    def step(self) -> None: ...
    def epoch(self, result: Epoch) -> None: ...
    def close(self) -> None: ...


def dtype_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """What "auto" precision means on this device: bfloat16 where a probe says that it gains."""
    if recipe.precision == "float32":
        return torch.float32
    return torch.bfloat16 if bfloat16_gain(device) >= BFLOAT16_MIN_GAIN else torch.float32


def network_of(recipe: Recipe, plan: Plan | None = None) -> nn.Module:
    """The recipe's network with fresh weights from torch's global random state.

    Without the channels that ``plan`` removes.
    """
    overrides = {} if recipe.dropout is None else {"dropout": recipe.dropout}
    network = build_model(recipe.network, NUM_CLASSES[recipe.dataset], **overrides)
    return apply_plan(network, plan) if plan else network


@dataclass(frozen=True, kw_only=True)
class _Start:
    """A network as it is before the first step, on the CPU."""

    model: nn.Module
    masks: Mapping[str, Tensor] = field(default_factory=dict)  # by parameter name
    plan: Plan = field(default_factory=list)  # of the channels that were removed


def _start(
    recipe: Recipe, images: Tensor, labels: Tensor, sources: Mapping[Recipe, Source]
) -> _Start:
    pruning = recipe.pruning
    if pruning is None:
        model = network_of(recipe)
        _initialise(recipe, model, images)
        return _Start(model=model)
    parent = sources[pruning.parent]
    masks: dict[str, Tensor] = {}
    plan = parent.plan
    model = network_of(recipe, plan)
    model.load_state_dict(parent.state_dict)
    if pruning.structure == "weights":
        masks = magnitude_masks(
            model, pruning.max_params, importance=pruning.importance, seed=recipe.seed
        )
    else:
        some = normalise(images[:IMPORTANCE_IMAGES], recipe.mean, recipe.std, torch.float32)
        removed = prune_channels(
            model,
            pruning.max_params,
            importance=pruning.importance,
            images=some.cpu(),
            labels=labels[:IMPORTANCE_IMAGES].cpu(),
            seed=recipe.seed,
            round_to=pruning.round_to,
        )
        plan = [*plan, *removed]
    if pruning.weights == "fresh":
        model = network_of(recipe, plan)
        _initialise(recipe, model, images)
    elif pruning.rewind_to is not None:
        early = sources[pruning.rewind_to]
        model = network_of(recipe, early.plan)
        model.load_state_dict(early.state_dict)
        if since := plan[len(early.plan) :]:
            model = apply_plan(model, since)
    apply_masks(model, masks)
    return _Start(model=model, masks=masks, plan=plan)


def _initialise(recipe: Recipe, model: nn.Module, images: Tensor) -> None:
    some = None
    if recipe.initialisation in INITIALISATIONS_FROM_IMAGES:
        some = normalise(images[:WHITENING_IMAGES].cpu(), recipe.mean, recipe.std, torch.float32)
    initialise(model, recipe.initialisation, some)


def optimizer_of(
    recipe: Recipe, model: nn.Module, capturable: bool = False
) -> torch.optim.Optimizer:
    settings = recipe.optimizer
    return build_optimizer(
        settings.name,
        model,
        capturable=capturable,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        decay_norms_and_biases=settings.decay_norms_and_biases,
        **settings.own_settings(),
    )


def step_function(
    recipe: Recipe,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype,
    masks: Mapping[str, Tensor] = MappingProxyType({}),
) -> Step:
    """Images and labels in; the batch's mean loss and hits out, as tensors on the device.

    Weights that ``masks`` (by parameter name) leave out are zero again after every step.
    """
    parameters = dict(model.named_parameters())
    masked = [parameters[name].detach() for name in masks]
    # Laid out as the weights: mixed strides are slow.
    keeps = [torch.empty_like(w).copy_(m) for w, m in zip(masked, masks.values(), strict=True)]

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(x)
        logits = logits.float()
        loss = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        if masked:
            torch._foreach_mul_(masked, keeps)
        return loss.detach(), (logits.detach().argmax(1) == y).sum()

    return step


def set_up(
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    dtype: torch.dtype,
    *,
    graphed: bool = True,
    start: _Start | None = None,
) -> tuple[nn.Module, torch.optim.Optimizer, Step, TrainingBatches]:
    """Everything that a training needs before its first step.

    On a GPU the step is a CUDA graph, whose outputs the next step overwrites, unless ``graphed`` is
    False: hooks and kept losses need that. Initial weights come from torch's global random state
    unless there is a ``start``, batches from the recipe's seed.
    """
    start = start or _start(recipe, images, labels, {})
    model = start.model.to(device).to(memory_format=torch.channels_last)
    graphed = graphed and device.type == "cuda"
    optimizer = optimizer_of(recipe, model, capturable=graphed)
    step: Step = step_function(recipe, model, optimizer, dtype, start.masks)
    if graphed:
        step = GraphedStep(step, model, optimizer)
    batches = TrainingBatches(
        images.to(device),
        labels.to(device),
        batch_size=recipe.batch_size,
        augmentation=recipe.augmentation,
        mean=recipe.mean,
        std=recipe.std,
        dtype=dtype,
        generator=torch.Generator(device).manual_seed(recipe.seed),
    )
    return model, optimizer, step, batches


def train(
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    sources: Mapping[Recipe, Source] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train the recipe's network from scratch, or from where a ``checkpoint`` of it left off.

    A recipe that prunes begins from trained networks: ``sources`` has each of its ancestors.

    Nothing inside an epoch waits for a GPU: losses and hits stay there and are read once an epoch.
    The checkpoint is written after every epoch and every CHECKPOINT_SECONDS in between; a training
    that was killed and started again ends with the same bits on the same CPU and number of
    threads. It stays when the training ends, for whoever keeps the result to remove. ``stop`` is
    asked after every step: when it says so, a checkpoint is written and Interrupted raised.

    Raises Diverged when a loss or a weight is not finite, BatchTooLarge when a step does not fit
    into the memory, and ValueError when the recipe does not fit the dataset.
    """
    if recipe.dataset != dataset.name:
        raise ValueError(f"the recipe is for {recipe.dataset}, the dataset is {dataset.name}")
    if not 0 <= recipe.holdout < len(dataset.train_images):
        raise ValueError(
            f"{recipe.holdout} images cannot be held out of {len(dataset.train_images)}"
        )
    keep_freed_memory()
    start = time.perf_counter()
    dtype = dtype_of(recipe, device)
    kept = len(dataset.train_images) - recipe.holdout
    judged_images, judged_labels = dataset.test_images, dataset.test_labels
    if recipe.holdout:
        judged_images, judged_labels = dataset.train_images[kept:], dataset.train_labels[kept:]
    judged_images, judged_labels = judged_images.to(device), judged_labels.to(device)

    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        _memory_named(recipe, device),
    ):
        torch.manual_seed(recipe.seed)  # initial weights here, dropout masks later
        images, labels = dataset.train_images[:kept], dataset.train_labels[:kept]
        beginning = _start(recipe, images, labels, sources or {})
        model, optimizer, step, batches = set_up(
            recipe, images, labels, device, dtype, start=beginning
        )
        base_rates = [float(group["lr"]) for group in optimizer.param_groups]
        steps_per_epoch = batches.steps_per_epoch
        total_steps = recipe.epochs * steps_per_epoch
        end = recipe.end_epoch * steps_per_epoch
        state = TrainingState(model, optimizer, batches, steps_per_epoch, device)
        state.done = recipe.first_epoch * steps_per_epoch
        keeper = None
        if checkpoint is not None:
            context = {"data": dict(dataset.digests), "dtype": str(dtype), "device": device.type}
            if recipe.pruning is not None:
                context["sources"] = _digest(sources or {})
            note = None if progress is None else progress.note
            keeper = CheckpointKeeper(CheckpointFile(checkpoint, recipe, context), state, note)
            keeper.resume()
        if progress is not None:
            progress.start(recipe, end, state.done)
        diverged: tuple[int, str] | None = None  # steps of the epoch before it, and how
        try:
            while state.done < end:
                index, first = divmod(state.done, steps_per_epoch)
                side = side_of_epoch(recipe, index, batches.side)
                model.train()
                epoch_start = time.perf_counter() - state.epoch_seconds
                for x, y in batches.epoch(index, first):
                    factor = _rate_factor(recipe, state.done, total_steps, steps_per_epoch)
                    set_rates(optimizer, [base * factor for base in base_rates])
                    loss, batch_hits = step(resized(x, side), y)
                    state.losses[state.done % steps_per_epoch] = loss
                    state.hits += batch_hits
                    state.done += 1
                    if progress is not None:
                        progress.step()
                    if device.type == "cpu" and not math.isfinite(loss.item()):
                        break
                    if keeper is not None and state.done % steps_per_epoch:
                        state.epoch_seconds = time.perf_counter() - epoch_start
                        epoch_start += keeper.keep_if_due()
                    if state.done % steps_per_epoch and stop():
                        state.epoch_seconds = time.perf_counter() - epoch_start
                        _interrupt(recipe, keeper, state.done, end)
                num_steps = state.done - index * steps_per_epoch
                losses = state.losses[:num_steps].tolist()  # waits for the device
                seconds = time.perf_counter() - epoch_start
                diverged = _divergence(model, losses)
                percent = None
                if diverged is not None or is_evaluated(recipe, index):
                    logits = predict(
                        model, judged_images, mean=recipe.mean, std=recipe.std, dtype=dtype
                    )
                    percent = accuracy_percent(logits, judged_labels)
                result = Epoch(
                    epoch=index + 1,
                    train_loss=sum(losses) / num_steps,
                    train_accuracy_percent=100 * state.hits.item() / num_steps / recipe.batch_size,
                    test_accuracy_percent=percent,
                    seconds=seconds,
                )
                state.end_epoch(result, keep_best=recipe.selection == "best_test_epoch")
                if progress is not None:
                    progress.epoch(result)
                if diverged is not None:
                    break
                if state.done < end and stop():
                    _interrupt(recipe, keeper, state.done, end)
                if keeper is not None:
                    keeper.keep()
        finally:
            if progress is not None:
                progress.close()

    last = len(state.curve)
    chosen = state.best_epoch if state.best_epoch and diverged is None else last
    trained = Trained(
        recipe=recipe,
        state_dict=on_cpu(model) if chosen == last else state.best_weights,
        curve=tuple(state.curve),
        selected_epoch=chosen,
        dtype=dtype,
        train_seconds=sum(epoch.seconds for epoch in state.curve),
        total_seconds=time.perf_counter() - start + state.seconds_before,
        interruptions=tuple(state.interruptions),
        plan=beginning.plan,
    )
    if diverged is not None:
        epochs_before, how = recipe.first_epoch + last - 1, diverged[1]
        at = epochs_before * steps_per_epoch + diverged[0] + 1
        raise Diverged(f"{recipe}: diverged at step {at} of {total_steps}: {how}", trained)
    return trained


def _interrupt(recipe: Recipe, keeper: CheckpointKeeper | None, done: int, end: int) -> NoReturn:
    if keeper is not None:
        keeper.keep()
    raise Interrupted(f"{recipe}: stopped after step {done} of {end}")


def _divergence(model: nn.Module, losses: list[float]) -> tuple[int, str] | None:
    """At which of an epoch's steps (from 0) it went wrong, and how; None if all is finite."""
    for step, loss in enumerate(losses):
        if not math.isfinite(loss):
            return step, f"the loss is {loss}"
    # The last update may have done it: no loss has seen that yet.
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return len(losses) - 1, f"{name} is not finite"
    return None


@contextlib.contextmanager
def _memory_named(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Turns what torch raises where memory runs out into BatchTooLarge."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU it is a plain RuntimeError.
        if isinstance(error, RuntimeError) and not (
            isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        ):
            raise
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise BatchTooLarge(
            f"{recipe}: a step of {recipe.batch_size} images does not fit into the memory of "
            f"{device}, {memory_gib(device):.1f} GiB in all; a recipe with a smaller batch_size "
            f"does ({first_line})"
        ) from error


def _digest(sources: Mapping[Recipe, Source]) -> str:
    """sha256 of what a pruned network begins from: other weights leave other masks and channels."""
    digest = hashlib.sha256()
    for recipe, source in sources.items():
        digest.update(f"{recipe.name} {json.dumps(source.plan, sort_keys=True)}".encode())
        for name, tensor in source.state_dict.items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def is_evaluated(recipe: Recipe, epoch: int) -> bool:
    """Whether the network is judged after that epoch (from 0), unless it diverges there."""
    return (
        recipe.selection == "best_test_epoch"
        or (epoch + 1) % EVALUATED_EPOCHS == 0
        or epoch + 1 == recipe.end_epoch
    )


def side_of_epoch(recipe: Recipe, epoch: int, full: int) -> int:
    """The side of the images in that epoch (from 0), in pixels."""
    side = full
    for share, pixels in recipe.resolutions:
        if epoch >= share * recipe.epochs:
            side = pixels
    return min(side, full)


def _rate_factor(recipe: Recipe, step: int, total_steps: int, steps_per_epoch: int) -> float:
    schedule = recipe.schedule
    return learning_rate_factor(
        schedule.name,
        step=step,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup_fraction=schedule.warmup_fraction,
        final_factor=schedule.final_factor,
        milestones=schedule.milestones,
        gamma=schedule.gamma,
    )
