"""How long a forward pass takes: single-image latency and batched throughput, synchronised."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from smallnet_core.models import build_model
from smallnet_core.system.machine import keep_freed_memory, synchronize

__all__ = ["forward_pass", "forward_pass_of", "interleaved_seconds", "num_rounds"]

SECONDS_PER_ROW = 1.0
MAX_ROUNDS = 200


def forward_pass(network: str, batch_size: int, device: torch.device) -> Callable[[], None]:
    """A call that runs the network once, in float32 evaluation mode, and waits for the device.

    Weights and pixels are random: neither changes the time. Untimed warm-up happens here.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return forward_pass_of(build_model(network), batch_size, device)


def forward_pass_of(model: nn.Module, batch_size: int, device: torch.device) -> Callable[[], None]:
    """As ``forward_pass``, of a network that is there."""
    keep_freed_memory()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model.eval().to(device).to(memory_format=torch.channels_last)
        images = torch.randn(batch_size, 3, 32, 32).to(device, memory_format=torch.channels_last)

    def target() -> None:
        with torch.inference_mode():
            model(images)
        synchronize(device)

    target()
    return target


def num_rounds(target: Callable[[], None]) -> int:
    """Rounds that fill about a second: at least one, at most MAX_ROUNDS."""
    start = time.perf_counter()
    target()
    seconds = time.perf_counter() - start
    return max(1, min(MAX_ROUNDS, int(SECONDS_PER_ROW / seconds)))


def interleaved_seconds(targets: Sequence[Callable[[], None]]) -> list[float]:
    """Median seconds of each target, which take turns, so that a busy machine is busy for all."""
    rounds = min(map(num_rounds, targets))
    seconds: list[list[float]] = [[] for _ in targets]
    for _ in range(max(3, rounds)):
        for target, of_target in zip(targets, seconds, strict=True):
            start = time.perf_counter()
            target()
            of_target.append(time.perf_counter() - start)
    return list(map(statistics.median, seconds))
