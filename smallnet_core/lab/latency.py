"""How long a forward pass takes: single-image latency and batched throughput, synchronised."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from smallnet_core.models import build_model
from smallnet_core.system.machine import ieee_float32, keep_freed_memory, seeded, synchronize

CPU = torch.device("cpu")
SECONDS_PER_ROW = 1.0
MAX_ROUNDS = 200


def forward_pass(network: str, batch_size: int, device: torch.device) -> Callable[[], None]:
    """Make a call that runs the network once, in float32 evaluation mode, and waits for the device.

    Weights and pixels are random: neither changes the time. Untimed warm-up happens here.
    """
    with seeded(0, CPU):
        return forward_pass_of(build_model(network), batch_size, device)


def forward_pass_of(model: nn.Module, batch_size: int, device: torch.device) -> Callable[[], None]:
    """Do as ``forward_pass``, with a network that is there."""
    keep_freed_memory()
    with seeded(0, CPU):
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


def num_rounds(target: Callable[[], None]) -> int:
    """Count rounds that fill about a second: at least one, at most MAX_ROUNDS."""
    start = time.perf_counter()
    target()
    seconds = time.perf_counter() - start
    return max(1, min(MAX_ROUNDS, int(SECONDS_PER_ROW / seconds)))


def interleaved_seconds(targets: Sequence[Callable[[], None]]) -> list[float]:
    """Time targets in turns, so that a busy machine is busy for all; median seconds of each."""
    rounds = min(map(num_rounds, targets))
    seconds: list[list[float]] = [[] for _ in targets]
    for _ in range(max(3, rounds)):
        for target, of_target in zip(targets, seconds, strict=True):
            start = time.perf_counter()
            target()
            of_target.append(time.perf_counter() - start)
    return list(map(statistics.median, seconds))
