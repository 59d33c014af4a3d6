"""Describe a network: its layers as torchsummary lists them, parameters, operations, depth.

Shapes and counts need no weights and no arithmetic: everything here runs on the meta device, for a
model on any device, and leaves the model unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from smallnet_core.models import build_model

_MIB = 2**20
_INPUT_SHAPE = (3, 32, 32)
_BATCH_SIZE = 2  # batch norm in training mode refuses a batch of one 1x1 image


@dataclass(frozen=True)
class LayerRow:
    """One line of a listing: ``Conv2d-1, [-1, 16, 32, 32], 432``."""

    index: int  # from 1, in order of completion
    layer_type: str
    output_shape: tuple[int, ...]  # the batch dimension first, as -1
    num_params: int  # the module's own, not its children's

    def __str__(self) -> str:
        return f"{self.layer_type}-{self.index} {list(self.output_shape)} {self.num_params:,}"


def layer_table(model: nn.Module) -> list[LayerRow]:
    """List the modules in the order in which they complete, by torchsummary's rule.

    A row is one call of a module that is neither the root nor a Sequential nor a ModuleList.
    """
    rows: list[LayerRow] = []

    def record(module: nn.Module, args: Any, output: Tensor) -> None:
        num_params = sum(p.numel() for p in module.parameters(recurse=False))
        shape = (-1, *output.shape[1:])
        rows.append(LayerRow(len(rows) + 1, type(module).__name__, shape, num_params))

    handles = [
        module.register_forward_hook(record)
        for module in model.modules()
        if module is not model and not isinstance(module, nn.Sequential | nn.ModuleList)
    ]
    try:
        _run_on_meta(model)
    finally:
        for handle in handles:
            handle.remove()
    return rows


def layer_summary(model: nn.Module) -> dict[str, float]:
    """Compute the lines under a listing, by the names of the claims, for one float32 image.

    "MB" is 2**20 bytes, as in torchsummary. The root's own parameters are in none of them.
    """
    rows = layer_table(model)
    num_params = sum(row.num_params for row in rows)
    num_frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    num_outputs = sum(math.prod(row.output_shape[1:]) for row in rows)
    sizes = {
        "input_size_mb": math.prod(_INPUT_SHAPE) * 4 / _MIB,
        "forward_backward_size_mb": 2 * num_outputs * 4 / _MIB,  # every row's output, twice
        "params_size_mb": num_params * 4 / _MIB,
    }
    return {
        "total_params": num_params,
        "trainable_params": num_params - num_frozen,
        "non_trainable_params": num_frozen,
        **sizes,
        "estimated_total_size_mb": sum(sizes.values()),
    }


def count_parameters(model: nn.Module) -> int:
    """Count the trainable parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_on_meta(name: str, num_classes: int = 10) -> int:
    """Count the trainable parameters of ``build_model(name, num_classes)`` without weights."""
    with torch.device("meta"):
        return count_parameters(build_model(name, num_classes))


def multiply_adds(model: nn.Module) -> int:
    """Count the multiply-adds of convolutions and matrix products for one image."""
    with FlopCounterMode(display=False) as counter:
        _run_on_meta(model)
    return counter.get_total_flops() // (2 * _BATCH_SIZE)  # it counts a multiply-add as two


def depth(model: nn.Module) -> int:
    """Count the layers with weights on the main path: Linear, and convolutions outside shortcuts.

    This is the number in "ResNet18", which leaves out the projections in shortcuts.
    """
    return sum(
        isinstance(module, nn.Conv2d | nn.Linear)
        and not {"shortcut", "downsample"} & set(name.split("."))  # ours, torchvision's
        for name, module in model.named_modules()
    )


def _run_on_meta(model: nn.Module) -> None:
    """Call ``model`` with meta tensors in place of its weights, buffers and input."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    weights = {name: torch.empty_like(t, device="meta") for name, t in tensors.items()}
    dtype = next(model.parameters()).dtype
    images = torch.empty(_BATCH_SIZE, *_INPUT_SHAPE, dtype=dtype, device="meta")
    with torch.no_grad():
        functional_call(model, weights, images)
