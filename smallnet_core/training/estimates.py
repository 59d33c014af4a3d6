"""Estimate how long a training takes on this machine, from a few timed steps."""

from __future__ import annotations

import functools
import time

import torch

from smallnet_core.pruning.channels import prune_channels
from smallnet_core.recipes import IMAGE_SIDE, Optimizer, Recipe, Schedule
from smallnet_core.system.machine import ieee_float32, keep_freed_memory, seeded, synchronize
from smallnet_core.training.start import Start, dtype_of, network_of, set_up

_TIMED_STEPS = 4
# Large networks take seconds per step on a CPU: no further one is timed after this time.
_ENOUGH_SECONDS = 2.0
_ROUGH_BATCH = 32  # images, on a CPU


def estimate_seconds(
    recipe: Recipe, *, num_train: int, num_test: int, device: torch.device, rough: bool = False
) -> float:
    """Estimate how long ``train`` would take here, from a few timed steps on blank images.

    On a CPU, a ``rough`` estimate times smaller steps, once for all recipes of a network. It also
    times one thread, and the faster counts: several are slow while another process is busy.
    """
    # An evaluation is a forward pass over the test set; a training step costs about three of
    # them, in proportion to the pixels of its images.
    epochs = range(recipe.first_epoch, recipe.end_epoch)
    train_epochs = sum(recipe.image_side(epoch) ** 2 for epoch in epochs) / IMAGE_SIDE**2
    evaluations = sum(recipe.is_evaluated(epoch) for epoch in epochs)
    rough = rough and device.type == "cpu"
    batch_size = _ROUGH_BATCH if rough else recipe.batch_size
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
    max_params = None
    if recipe.pruning is not None and recipe.pruning.structure == "channels":
        max_params = recipe.pruning.max_params
    num_threads = torch.get_num_threads()
    try:
        return steps * min(
            _step_seconds(stand_in, max_params, device, number)
            for number in (sorted({1, num_threads}) if rough else (num_threads,))
        )
    finally:
        torch.set_num_threads(num_threads)


@functools.cache
def _step_seconds(
    recipe: Recipe, max_params: int | None, device: torch.device, num_threads: int
) -> float:
    """Time the first steps, and return the least time that one took."""
    torch.set_num_threads(num_threads)
    keep_freed_memory()
    dtype = dtype_of(recipe, device)
    images = torch.zeros(recipe.batch_size, 3, IMAGE_SIDE, IMAGE_SIDE, dtype=torch.uint8)
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
        while len(seconds) < _TIMED_STEPS and sum(seconds) < _ENOUGH_SECONDS:
            synchronize(device)
            began = time.perf_counter()
            step(x, y)
            synchronize(device)
            seconds.append(time.perf_counter() - began)
    return min(seconds)
