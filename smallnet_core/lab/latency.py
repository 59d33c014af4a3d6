"""How long a forward pass takes: single-image latency and batched throughput, synchronised."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from smallnet_core.system.machine import (
    ieee_float32,
    keep_freed_memory,
    load_and_clock,
    seeded,
    synchronize,
)

SECONDS_PER_ROW = 1.0
MAX_ROUNDS = 200
# Between reference timings, which then take a few percent of the time and rarely evict caches.
SECONDS_PER_REFERENCE = 0.05


def forward_pass(model: nn.Module, batch_size: int, device: torch.device) -> Callable[[], None]:
    """Return a call that runs the network once, in float32 evaluation mode, and synchronises.

    Pixels are random, which does not change the time. The warm-up happens here, untimed.
    """
    keep_freed_memory()
    with seeded(0, torch.device("cpu")):
        model = model.eval().to(device).to(memory_format=torch.channels_last)
        images = torch.randn(batch_size, 3, 32, 32).to(device, memory_format=torch.channels_last)

    def target() -> None:
        with torch.inference_mode(), ieee_float32():
            model(images)
        synchronize(device)

    # A GPU's clocks and libraries take more than one call to settle.
    for _ in range(3 if device.type == "cuda" else 1):
        target()
    return target


def seconds_of(target: Callable[[], None]) -> float:
    """Time one call, in seconds."""
    start = time.perf_counter()
    target()
    return time.perf_counter() - start


def num_rounds(target: Callable[[], None]) -> int:
    """Return how many rounds fill about a second: at least one, at most MAX_ROUNDS."""
    return max(1, min(MAX_ROUNDS, int(SECONDS_PER_ROW / seconds_of(target))))


class Reference:
    """A fixed matrix product and a fixed convolution, timed between the rounds of something else.

    A machine that is slower today is slower at both, so comparisons use the ratio. ``setup`` is for
    benchmark.pedantic, which calls it before each round, off the clock.
    """

    def __init__(self, device: torch.device) -> None:
        a = torch.ones(256, 256, device=device)
        images = torch.ones(1, 64, 32, 32, device=device)
        weights = torch.ones(64, 64, 3, 3, device=device)

        def product() -> None:
            torch.mm(a, a)
            synchronize(device)

        def convolution() -> None:
            with torch.inference_mode():
                torch.nn.functional.conv2d(images, weights, padding=1)
            synchronize(device)

        self._targets = {"product": product, "convolution": convolution}
        self._seconds: dict[str, list[float]] = {name: [] for name in self._targets}
        for target in self._targets.values():
            target()
        self._last = -SECONDS_PER_REFERENCE

    def setup(self) -> None:
        """Time both, unless they were timed a moment ago."""
        if time.perf_counter() - self._last < SECONDS_PER_REFERENCE:
            return
        for name, target in self._targets.items():
            self._seconds[name].append(seconds_of(target))
        self._last = time.perf_counter()

    def row(self) -> dict[str, object]:
        """Return a row's fields: median reference times, the machine's load and its clock."""
        seconds = {name: statistics.median(found) for name, found in self._seconds.items() if found}
        return {"reference_seconds": seconds, **load_and_clock()}


def interleaved_seconds(targets: Sequence[Callable[[], None]]) -> list[float]:
    """Time targets in turn, so that other load slows all of them; return each one's median."""
    rounds = min(map(num_rounds, targets))
    seconds: list[list[float]] = [[] for _ in targets]
    for _ in range(max(3, rounds)):
        for target, of_target in zip(targets, seconds, strict=True):
            of_target.append(seconds_of(target))
    return list(map(statistics.median, seconds))
