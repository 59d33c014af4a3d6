"""How long a forward pass takes: single-image latency and batched throughput, synchronised."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from smallnet_core.machine import keep_freed_memory, synchronize
from smallnet_core.models import build_model

__all__ = ["forward_pass", "num_rounds"]

SECONDS_PER_ROW = 1.0
MAX_ROUNDS = 200


def forward_pass(network: str, batch_size: int, device: torch.device) -> Callable[[], None]:
    """A call that runs the network once, in float32 evaluation mode, and waits for the device.

    Weights and pixels are random: neither changes the time. Untimed warm-up happens here.
    """
    keep_freed_memory()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(network).eval().to(device).to(memory_format=torch.channels_last)
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
