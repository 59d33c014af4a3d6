"""Measure accuracy after one-shot pruning, by proportion.

Every point takes a pass over all test images, so passes are made fast: batch norms are folded into
their convolutions, and convolutions skip input channels whose weights are all zero.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from smallnet_core.pruning.curve import Curve
from smallnet_core.pruning.masks import OneShot, prunable
from smallnet_core.system.machine import environment, keep_freed_memory, synchronize
from smallnet_core.training.evaluation import batch_size, predict

PROPORTIONS = tuple(round(k * 0.05, 2) for k in range(21))

# Multiply-adds that take as long as moving one activation, on a core with AVX-512: 3x3 convolutions
# of 64, 128 and 256 channels gave 58, 58 and 69.
_MOVE_COST = 60


def for_inference(model: nn.Module) -> nn.Module:
    """Copy a network, with its current weights, for fast passes in evaluation mode.

    Where the network can be traced, batch norms are folded into the convolutions before them; no
    convolution may then be called twice in one pass.
    """
    module = copy.deepcopy(model).eval().requires_grad_(False)
    with contextlib.suppress(Exception):  # tracing an arbitrary forward may raise anything
        module = fuse(module, inplace=True)
    module.to(memory_format=torch.channels_last)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            _skip_ignored(layer)
    return module


def _skip_ignored(convolution: nn.Conv2d) -> None:
    """Drop the input channels whose weights are all zero, where that saves time."""
    weight = convolution.weight
    kept = weight.ne(0).any(dim=(0, 2, 3)).nonzero().flatten()
    # Multiply-adds per position of the input.
    saved = weight[:, 0].numel() * (weight.shape[1] - len(kept)) / math.prod(convolution.stride)
    if convolution.groups > 1 or saved <= _MOVE_COST * len(kept):
        return
    if len(kept) == 0:
        kept = kept.new_zeros(1)  # torch rejects an empty input; the weight is zero
    weight.data = weight.data[:, kept].contiguous(memory_format=torch.channels_last)
    convolution.register_forward_pre_hook(partial(_select_channels, kept))


def _select_channels(kept: Tensor, convolution: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Select channels ``kept`` of (N, C, H, W) as matrix columns, where index_select is fast."""
    n, channels, height, width = inputs[0].shape
    rows = inputs[0].permute(0, 2, 3, 1).reshape(-1, channels)
    return rows.index_select(1, kept).view(n, height, width, len(kept)).permute(0, 3, 1, 2)


def measure_curve(
    model: nn.Module,
    technique: str,
    images: Tensor,
    labels: Tensor,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    network: str,
    weights_sha256: str,
    commit: Mapping[str, Any] | None,
    dataset_digests: Mapping[str, str],
    proportions: Sequence[float] = PROPORTIONS,
    seed: int = 0,
    dense_hits: int | None = None,
) -> Curve:
    """Count pruned weights and correctly classified images at each of the rising proportions.

    ``images`` are uint8 (N, 3, H, W) and ``labels`` int64 (N,), both on the model's device;
    ``dense_hits``, where known from another technique, saves the pass at proportion 0. ``network``
    is the recipe's name. The model keeps its weights and its mode. Raises what ``OneShot`` raises.
    """
    start = time.perf_counter()
    keep_freed_memory()
    num_zeros, hits = [], []
    with OneShot(model, technique, seed=seed) as pruner:
        for proportion in proportions:
            pruner.prune_to(proportion)
            num_zeros.append(pruner.num_zeros)
            if proportion == 0 and dense_hits is not None:
                hits.append(dense_hits)
                continue
            logits = predict(for_inference(model), images, mean=mean, std=std)
            hits.append(int((logits.argmax(1) == labels).sum()))
    weights = (layer.get_parameter("weight") for layer in prunable(model).values())
    return Curve(
        technique=technique,
        proportions=tuple(proportions),
        num_zeros=tuple(num_zeros),
        hits=tuple(hits),
        num_images=len(images),
        num_weights=sum(weight.numel() for weight in weights),
        seed=seed if technique == "random_unstructured" else 0,
        network=network,
        weights_sha256=weights_sha256,
        environment=environment(images.device).as_dict(),
        commit=commit,
        dataset_digests=dataset_digests,
        seconds=round(time.perf_counter() - start, 1),
    )


def estimate_seconds(model: nn.Module, num_images: int, device: torch.device) -> float:
    """Estimate how long ``measure_curve`` takes here, from a timed batch of blank 32x32 images."""
    size = min(batch_size(device), num_images)
    images = torch.zeros(size, 3, 32, 32, dtype=torch.uint8, device=device)
    network = for_inference(model)
    start = 0.0
    for _ in range(2):  # the first is a warm-up
        synchronize(device)
        start = time.perf_counter()
        predict(network, images, mean=(0.5,) * 3, std=(0.5,) * 3)
        synchronize(device)
    return (time.perf_counter() - start) * len(PROPORTIONS) * num_images / size
