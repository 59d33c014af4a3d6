"""The training loop, which reads top to bottom in ``train``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from smallnet_core.data.batches import resized
from smallnet_core.data.datasets import Dataset
from smallnet_core.pruning.channels import Plan
from smallnet_core.recipes import Recipe
from smallnet_core.system.machine import (
    ieee_float32,
    is_out_of_memory,
    keep_freed_memory,
    memory_gib,
    seeded,
)
from smallnet_core.training.checkpoints import (
    Checkpoint,
    Epoch,
    Interruption,
    TrainingState,
    on_cpu,
)
from smallnet_core.training.evaluation import accuracy_percent, predict
from smallnet_core.training.graphs import recording_seconds
from smallnet_core.training.optimizers import set_rates
from smallnet_core.training.progress import Progress
from smallnet_core.training.start import Source, dtype_of, set_up, start_of


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of a training: the selected epoch's weights, on the CPU, and how it went."""

    recipe: Recipe
    state_dict: Mapping[str, Tensor]
    curve: tuple[Epoch, ...]
    selected_epoch: int  # from 1, in the curve
    dtype: torch.dtype  # of the computations; bfloat16 means autocast
    train_seconds: float  # of the steps alone, without lost ones
    total_seconds: float  # with setting up and evaluation
    interruptions: tuple[Interruption, ...] = ()
    plan: Plan = field(default_factory=list)  # of the channels that were removed

    @property
    def test_accuracy_percent(self) -> float:
        """Return the accuracy of the selected epoch."""
        found = self.curve[self.selected_epoch - 1].test_accuracy_percent
        assert found is not None, "the selected epoch is always evaluated"
        return found


class Diverged(Exception):  # noqa: N818 - an outcome of a training, judged as such
    """The loss or a weight is no longer finite; the message says at which step.

    ``trained`` is the result so far: its weights predict a single class, and are judged as such.
    """

    def __init__(self, message: str, trained: Trained) -> None:
        super().__init__(message)
        self.trained = trained


class Interrupted(Exception):  # noqa: N818 - an outcome of a training, not an error
    """The training stopped on request; its checkpoint has all the work so far."""


class BatchTooLarge(MemoryError):  # noqa: N818 - as torch.OutOfMemoryError says it
    """A step does not fit into the device's memory; the message gives batch size and memory."""


def train(
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    sources: Mapping[Recipe, Source] = MappingProxyType({}),
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train the recipe's network, from scratch or from where its ``checkpoint`` left off.

    A recipe that prunes starts from trained networks: ``sources`` holds each of its ancestors.

    Within an epoch nothing waits for a GPU: losses and hits stay there and are read once per epoch.
    float32 is without TF32 on a GPU. The checkpoint is written every CHECKPOINT_SECONDS and at the
    end; a training that was killed and restarted ends with the same bits on the same CPU and
    number of threads. The file remains after the training, for the caller to remove once the
    result is saved. ``stop`` is called after every step: when it returns true, a checkpoint is
    written and Interrupted raised.

    Raises Diverged when a loss or a weight is not finite, BatchTooLarge when a step does not fit
    into memory, and ValueError when the recipe is for another dataset.
    """
    if recipe.dataset != dataset.name:
        raise ValueError(f"the recipe is for {recipe.dataset}, the dataset is {dataset.name}")
    progress = progress or Progress()
    keep_freed_memory()
    start = time.perf_counter()
    dtype = dtype_of(recipe, device)
    kept = len(dataset.train_images) - recipe.holdout
    images, judged_images = dataset.train_images[:kept], dataset.train_images[kept:]
    labels, judged_labels = dataset.train_labels[:kept], dataset.train_labels[kept:]
    if not recipe.holdout:
        judged_images, judged_labels = dataset.test_images, dataset.test_labels
    judged_images, judged_labels = judged_images.to(device), judged_labels.to(device)

    # Seeds the initial weights here and the dropout masks later.
    with seeded(recipe.seed, device), ieee_float32(), _naming_batch_too_large(recipe, device):
        beginning = start_of(recipe, images, labels, sources)
        model, optimizer, step, batches = set_up(
            recipe, images, labels, device, dtype, start=beginning
        )
        base_rates = [float(group["lr"]) for group in optimizer.param_groups]
        steps_per_epoch = batches.steps_per_epoch
        total_steps = recipe.epochs * steps_per_epoch
        end = recipe.end_epoch * steps_per_epoch
        state = TrainingState(model, optimizer, batches)
        state.done = recipe.first_epoch * steps_per_epoch
        context = {"data": dict(dataset.digests), "dtype": str(dtype), "device": device.type}
        if sources:
            context["sources"] = _digest(sources)
        keeper = Checkpoint(checkpoint, recipe, context, state, progress.note)
        keeper.resume()
        progress.start(recipe, end, state.done)
        diverged: tuple[int, str] | None = None  # at which step, and how
        try:
            while state.done < end:
                index, first = divmod(state.done, steps_per_epoch)
                side = recipe.image_side(index)
                model.train()
                epoch_start = time.perf_counter() - state.epoch_seconds
                for x, y in batches.epoch(index, first):
                    factor = recipe.schedule.factor(state.done, total_steps, steps_per_epoch)
                    set_rates(optimizer, [base * factor for base in base_rates])
                    recorded = recording_seconds(step)
                    loss, batch_hits = step(resized(x, side), y)
                    epoch_start += recording_seconds(step) - recorded
                    state.losses[state.done % steps_per_epoch] = loss
                    state.hits += batch_hits
                    state.done += 1
                    progress.step()
                    if device.type == "cpu" and not math.isfinite(loss.item()):
                        break
                    if state.done % steps_per_epoch:
                        state.epoch_seconds = time.perf_counter() - epoch_start
                        epoch_start += _pause(keeper, stop, end)
                num_steps = state.done - index * steps_per_epoch
                losses = state.losses[:num_steps].tolist()  # waits for the device
                seconds = time.perf_counter() - epoch_start
                diverged = _divergence(model, losses, state.done - num_steps)
                percent = None
                if diverged is not None or recipe.is_evaluated(index):
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
                progress.epoch(result)
                if diverged is not None:
                    break
                if state.done < end:
                    _pause(keeper, stop, end)
                else:
                    keeper.keep()
        finally:
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
        at, how = diverged
        raise Diverged(f"{recipe}: diverged at step {at} of {total_steps}: {how}", trained)
    return trained


def _pause(keeper: Checkpoint, stop: Callable[[], bool], end: int) -> float:
    """Write a checkpoint if due and return the seconds taken; raise Interrupted on ``stop``."""
    seconds = keeper.keep_if_due()
    if stop():
        keeper.keep()
        raise Interrupted(f"{keeper.recipe}: stopped after step {keeper.state.done} of {end}")
    return seconds


def _divergence(model: nn.Module, losses: list[float], before: int) -> tuple[int, str] | None:
    """Find the step (counted on from ``before``) at which an epoch diverged, and how, or None."""
    for step, loss in enumerate(losses, before + 1):
        if not math.isfinite(loss):
            return step, f"the loss is {loss}"
    # The last update may have diverged without any loss showing it yet.
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return before + len(losses), f"{name} is not finite"
    return None


@contextlib.contextmanager
def _naming_batch_too_large(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Turn torch's out-of-memory errors into BatchTooLarge."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # Frees what the failed step held, for the next training.
        traceback.clear_frames(error.__traceback__)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise BatchTooLarge(
            f"{recipe}: a step of {recipe.batch_size} images does not fit into the memory of "
            f"{device}, {memory_gib(device):.1f} GiB: use a recipe with a smaller batch_size "
            f"({first_line})"
        ) from error


def _digest(sources: Mapping[Recipe, Source]) -> str:
    """Return the sha256 of a pruned network's sources, which determine its masks and channels."""
    digest = hashlib.sha256()
    for recipe, source in sources.items():
        digest.update(f"{recipe.name} {json.dumps(source.plan, sort_keys=True)}".encode())
        for name, tensor in sorted(source.state_dict.items()):  # files have another order
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
