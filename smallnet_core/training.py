"""One training loop that reads top to bottom, and what it would cost here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.data.batches import TrainingBatches, normalise
from smallnet_core.data.datasets import NUM_CLASSES, Dataset
from smallnet_core.evaluation import accuracy_percent, predict
from smallnet_core.machine import (
    BFLOAT16_MIN_GAIN,
    bfloat16_gain,
    keep_freed_memory,
    synchronize,
)
from smallnet_core.models import build_model
from smallnet_core.optimizers import build_optimizer, learning_rate_factor
from smallnet_core.recipes import Optimizer, Recipe, Schedule

__all__ = [
    "Diverged",
    "Epoch",
    "Progress",
    "Trained",
    "dtype_of",
    "estimate_seconds",
    "network_of",
    "set_up",
    "train",
]


Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One point of the curves. Training figures are running means over augmented images."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy_percent: float
    test_accuracy_percent: float  # of the held-out images where the recipe holds some out
    seconds: float  # of training; evaluation is not in it


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training leaves: weights of the selected epoch on the CPU, and how it went."""

    recipe: Recipe
    state_dict: Mapping[str, Tensor]
    curve: tuple[Epoch, ...]
    selected_epoch: int  # from 1
    dtype: torch.dtype  # that the loop computed in: bfloat16 means autocast
    train_seconds: float  # of the steps alone
    total_seconds: float  # with setting up and evaluation

    @property
    def test_accuracy_percent(self) -> float:
        return self.curve[self.selected_epoch - 1].test_accuracy_percent


class Diverged(Exception):  # noqa: N818 - an outcome of a training, judged as such
    """The training loss is no longer finite; the message says in which epoch.

    ``trained`` is what was left: such weights predict one class, and are judged by that.
    """

    def __init__(self, message: str, trained: Trained) -> None:
        super().__init__(message)
        self.trained = trained


class Progress(Protocol):
    """Who watches a training: told of every step (without its loss) and of every epoch."""

    def start(self, recipe: Recipe, total_steps: int) -> None: ...
    def step(self) -> None: ...
    def epoch(self, result: Epoch) -> None: ...
    def close(self) -> None: ...


def dtype_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """What "auto" precision means on this device: bfloat16 where a probe says that it gains."""
    if recipe.precision == "float32":
        return torch.float32
    return torch.bfloat16 if bfloat16_gain(device) >= BFLOAT16_MIN_GAIN else torch.float32


def network_of(recipe: Recipe) -> nn.Module:
    """The recipe's network with fresh weights from torch's global random state."""
    overrides = {} if recipe.dropout is None else {"dropout": recipe.dropout}
    return build_model(recipe.network, NUM_CLASSES[recipe.dataset], **overrides)


def _optimizer_of(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    settings = recipe.optimizer
    return build_optimizer(
        settings.name,
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        decay_norms_and_biases=settings.decay_norms_and_biases,
        **settings.own_settings(),
    )


def _step_function(
    recipe: Recipe, model: nn.Module, optimizer: torch.optim.Optimizer, dtype: torch.dtype
) -> Step:
    """Images and labels in; the batch's mean loss and hits out, as tensors on the device."""

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
        return loss.detach(), (logits.detach().argmax(1) == y).sum()

    return step


def set_up(
    recipe: Recipe, images: Tensor, labels: Tensor, device: torch.device, dtype: torch.dtype
) -> tuple[nn.Module, torch.optim.Optimizer, Step, TrainingBatches]:
    """Everything that a training needs before its first step.

    Initial weights come from torch's global random state, batches from the recipe's seed.
    """
    model = network_of(recipe).to(device).to(memory_format=torch.channels_last)
    optimizer = _optimizer_of(recipe, model)
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
    return model, optimizer, _step_function(recipe, model, optimizer, dtype), batches


def train(
    recipe: Recipe, dataset: Dataset, device: torch.device, *, progress: Progress | None = None
) -> Trained:
    """Train the recipe's network from scratch.

    Nothing inside an epoch waits for the device: losses and hits add up there and are read once
    an epoch. Raises Diverged when the loss of an epoch is not finite, and ValueError when the
    recipe does not fit the dataset.
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

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)  # initial weights here, dropout masks later
        model, optimizer, step, batches = set_up(
            recipe, dataset.train_images[:kept], dataset.train_labels[:kept], device, dtype
        )
        base_rates = [group["lr"] for group in optimizer.param_groups]
        steps_per_epoch = batches.steps_per_epoch
        total_steps = recipe.epochs * steps_per_epoch
        if progress is not None:
            progress.start(recipe, total_steps)
        curve: list[Epoch] = []
        best: tuple[int, dict[str, Tensor]] | None = None
        done = 0
        try:
            for index in range(recipe.epochs):
                model.train()
                loss_sum = torch.zeros((), device=device)
                hits = torch.zeros((), device=device, dtype=torch.int64)
                epoch_start = time.perf_counter()
                for x, y in batches.epoch(index):
                    factor = _rate_factor(recipe, done, total_steps, steps_per_epoch)
                    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
                        group["lr"] = base * factor
                    loss, batch_hits = step(x, y)
                    loss_sum += loss
                    hits += batch_hits
                    done += 1
                    if progress is not None:
                        progress.step()
                mean_loss = loss_sum.item() / steps_per_epoch  # waits for the device
                seconds = time.perf_counter() - epoch_start
                logits = predict(
                    model, judged_images, mean=recipe.mean, std=recipe.std, dtype=dtype
                )
                num_seen = steps_per_epoch * recipe.batch_size
                result = Epoch(
                    epoch=index + 1,
                    train_loss=mean_loss,
                    train_accuracy_percent=100 * hits.item() / num_seen,
                    test_accuracy_percent=accuracy_percent(logits, judged_labels),
                    seconds=seconds,
                )
                curve.append(result)
                if progress is not None:
                    progress.epoch(result)
                if not math.isfinite(mean_loss):
                    break
                if recipe.selection == "best_test_epoch" and (
                    best is None
                    or result.test_accuracy_percent > curve[best[0] - 1].test_accuracy_percent
                ):
                    best = index + 1, _on_cpu(model)
        finally:
            if progress is not None:
                progress.close()

    selected, state_dict = best or (len(curve), _on_cpu(model))
    trained = Trained(
        recipe=recipe,
        state_dict=state_dict,
        curve=tuple(curve),
        selected_epoch=selected,
        dtype=dtype,
        train_seconds=sum(epoch.seconds for epoch in curve),
        total_seconds=time.perf_counter() - start,
    )
    if not math.isfinite(curve[-1].train_loss):
        message = f"{recipe}: the loss is {curve[-1].train_loss} in epoch {len(curve)}"
        raise Diverged(message, trained)
    return trained


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


def _on_cpu(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, value in model.state_dict().items()
    }


def estimate_seconds(
    recipe: Recipe, *, num_train: int, num_test: int, device: torch.device, enough: float = math.inf
) -> float:
    """How long ``train`` would take here, from a few timed steps on blank images.

    Stops after the first step when even a quarter of its time would make the whole take longer
    than ``enough`` seconds: the large networks take seconds a step on a CPU.
    """
    # A forward pass over the test set every epoch; a training step is about three forwards.
    steps = recipe.epochs * (num_train + num_test / 3) / recipe.batch_size
    # Neither the optimizer nor the number of classes changes a step's time by much, and the large
    # networks take seconds a step on a CPU: their rows share one measurement.
    stand_in = Recipe(
        kind=recipe.kind,
        dataset="cifar10",
        network=recipe.network,
        optimizer=Optimizer(name="sgdm", lr=1e-3, weight_decay=0.0),
        schedule=Schedule(name="constant"),
        epochs=1,
        batch_size=recipe.batch_size,
        seed=0,
        dropout=recipe.dropout,
        precision=recipe.precision,
    )
    key = stand_in.fingerprint(), str(device)
    hopeless = 4 * enough / steps
    seconds = _step_seconds.get(key, [])
    if len(seconds) < _TIMED_STEPS and not (seconds and seconds[0] > hopeless):
        _step_seconds[key] = seconds = _time_steps(stand_in, device, hopeless)
    return steps * min(seconds)


_TIMED_STEPS = 4
_step_seconds: dict[tuple[str, str], list[float]] = {}  # this machine's, for this process


def _time_steps(recipe: Recipe, device: torch.device, hopeless: float) -> list[float]:
    """Seconds of each of the first steps; of the first alone where that one is ``hopeless``."""
    keep_freed_memory()
    dtype = dtype_of(recipe, device)
    seconds: list[float] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        model = network_of(recipe).train().to(device).to(memory_format=torch.channels_last)
        step = _step_function(recipe, model, _optimizer_of(recipe, model), dtype)
        images = torch.zeros(recipe.batch_size, 3, 32, 32, dtype=torch.uint8, device=device)
        y = torch.zeros(recipe.batch_size, dtype=torch.int64, device=device)
        if device.type == "cuda":  # whose first step starts the libraries, and is no measure
            step(normalise(images, recipe.mean, recipe.std, dtype), y)
            hopeless = math.inf
        while len(seconds) < _TIMED_STEPS and not (seconds and seconds[0] > hopeless):
            synchronize(device)
            start = time.perf_counter()
            step(normalise(images, recipe.mean, recipe.std, dtype), y)
            synchronize(device)
            seconds.append(time.perf_counter() - start)
    return seconds
