"""Estimate how long a training takes on this machine, from a few timed steps."""

from __future__ import annotations

import math
import time

import torch

from smallnet_core.pruning.channels import prune_channels
from smallnet_core.recipes import IMAGE_SIDE, Optimizer, Recipe, Schedule
from smallnet_core.system.machine import ieee_float32, keep_freed_memory, seeded, synchronize
from smallnet_core.training.start import Start, dtype_of, network_of, set_up


def estimate_seconds(
    recipe: Recipe,
    *,
    num_train: int,
    num_test: int,
    device: torch.device,
    enough: float = math.inf,
    rough: bool = False,
) -> float:
    """Estimate how long ``train`` would take here, from a few timed steps on blank images.

    Large networks take seconds per step on a CPU, so timing stops after the first step if even a
    quarter of its time would put the training above ``enough`` seconds. On a CPU, a ``rough``
    estimate times smaller steps, once for all recipes of a network.
    """
    # An evaluation is a forward pass over the test set; a training step costs about three of
    # them, in proportion to the pixels of its images.
    epochs = range(recipe.first_epoch, recipe.end_epoch)
    train_epochs = sum(recipe.image_side(epoch) ** 2 for epoch in epochs) / IMAGE_SIDE**2
    evaluations = sum(recipe.is_evaluated(epoch) for epoch in epochs)
    batch_size = recipe.batch_size if device.type == "cuda" or not rough else _ROUGH_BATCH
    steps = (train_epochs * num_train + evaluations * num_test / 3) / batch_size
    # Neither the optimizer nor the number of classes changes a step's time by much, so recipes of
    # one network share a measurement.
    stand_in = Recipe(
        kind="tuned",
        dataset="cifar10",
        network=recipe.network,
        optimizer=Optimizer(name="sgdm", lr=1e-3, weight_decay=0.0),
        schedule=Schedule(name="constant"),
        epochs=1,
        batch_size=batch_size,
        seed=0,
        dropout=None if rough else recipe.dropout,
        precision=recipe.precision,
    )
    # The time also depends on which channels are left, but random ones are close enough.
    pruning = recipe.pruning
    channels = pruning is not None and pruning.structure == "channels"
    max_params = pruning.max_params if pruning is not None and channels else None
    key = stand_in.fingerprint(), max_params, str(device)
    hopeless = 4 * enough / steps
    seconds = _step_seconds.get(key, [])
    num_steps = _ROUGH_STEPS if rough else _TIMED_STEPS
    if len(seconds) < num_steps and not (seconds and seconds[0] > hopeless):
        _step_seconds[key] = seconds = _time_steps(
            stand_in, max_params, device, hopeless, num_steps
        )
    return steps * min(seconds)


_TIMED_STEPS = 4
_ROUGH_BATCH = 32  # images, on a CPU
_ROUGH_STEPS = 2
# Timings of this process, by recipe, max_params and device.
_step_seconds: dict[tuple[str, int | None, str], list[float]] = {}


def _time_steps(
    recipe: Recipe, max_params: int | None, device: torch.device, hopeless: float, num_steps: int
) -> list[float]:
    """Time each of the first steps; only the first where it takes longer than ``hopeless``."""
    keep_freed_memory()
    dtype = dtype_of(recipe, device)
    images = torch.zeros(recipe.batch_size, 3, 32, 32, dtype=torch.uint8)
    labels = torch.zeros(recipe.batch_size, dtype=torch.int64)
    seconds: list[float] = []
    with seeded(0, device), ieee_float32():
        model = network_of(recipe)
        if max_params is not None:
            prune_channels(model, max_params, importance="random")
        start = Start(model=model.train())
        _, _, step, batches = set_up(recipe, images, labels, device, dtype, start=start)
        ((x, y),) = batches.epoch(0)
        if device.type == "cuda":  # the first step records a graph
            step(x, y)
            hopeless = math.inf
        while len(seconds) < num_steps and not (seconds and seconds[0] > hopeless):
            synchronize(device)
            began = time.perf_counter()
            step(x, y)
            synchronize(device)
            seconds.append(time.perf_counter() - began)
    return seconds
