"""Muon for the weights between the first layer and the last, SGD for everything else.

Our own, because torch's takes only matrices, one at a time, always in bfloat16.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from smallnet_core.recipes import Optimizer

# K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024: the steepest
# odd quintic at 0 that still keeps singular values around 1, from about 0.7 to 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: Tensor, *, steps: int = 5, dtype: torch.dtype | None = None) -> Tensor:
    """Approximate U V^T of each matrix U S V^T (n, rows, columns) by Newton-Schulz iteration.

    Each step maps a singular value s, initially at most 1, to a s + b s^3 + c s^5: after the
    paper's five steps, those above 0.01 of the norm are near 1. Zero matrices stay zero. ``dtype``
    is that of the products, which may be bfloat16 on a GPU; default: the matrices' own.
    """
    # More columns than rows give the smaller Gram matrix; contiguous, because baddbmm otherwise
    # takes ten times as long on a CPU.
    x = matrices.mT.contiguous() if matrices.shape[1] > matrices.shape[2] else matrices
    norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)  # an upper bound of the largest s
    x = (x / norm.clamp_min(1e-7)).to(dtype or matrices.dtype)
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, polynomial, x, beta=_A)
    x = x.to(matrices.dtype)
    return x.mT if matrices.shape[1] > matrices.shape[2] else x


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum with orthogonal updates of weight matrices; SGD for everything else.

    K. Jordan et al., 2024 (above). A group with ``orthogonal`` takes tensors of two or more
    dimensions, a convolution's as (out, in * height * width): every direction of the matrix moves
    by about ``lr``, and decay is decoupled, lr * weight_decay. With ``normalised`` each tensor is
    first scaled to the Frobenius norm sqrt(out) and not decayed: for layers before a batch norm,
    whose scale only affects their effective rate. A group without ``orthogonal`` is torch's SGD
    with L2 decay. Matrices are orthogonalised in bfloat16 on a GPU, elsewhere in their own dtype
    (bfloat16 takes 1.7 times as long on a CPU without AMX). ``lr`` may be a tensor on the
    parameters' device, which a CUDA graph reads at each replay.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        orthogonal: bool = True,
        normalised: bool = False,
        ns_steps: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "orthogonal": orthogonal,
            "normalised": normalised,
            "ns_steps": ns_steps,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            buffers = [self.state[p]["momentum_buffer"] for p in params]
            if group["weight_decay"] and not group["orthogonal"]:
                grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, grads)
            updates = list(torch._foreach_add(grads, buffers, alpha=group["momentum"]))
            if group["orthogonal"]:
                updates = self._orthogonal(group, params, updates)
                if group["normalised"]:
                    for p, norm in zip(params, torch._foreach_norm(params), strict=True):
                        p.mul_(math.sqrt(len(p)) / norm.clamp_min(1e-7))
                elif group["weight_decay"]:
                    torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(params, torch._foreach_mul(updates, group["lr"]))

    @staticmethod
    def _orthogonal(
        group: dict[str, Any], params: list[Tensor], updates: list[Tensor]
    ) -> list[Tensor]:
        """Orthogonalise updates, all of one shape together, in a few kernels."""
        by_shape: dict[Any, list[int]] = defaultdict(list)
        for index, p in enumerate(params):
            by_shape[p.shape[0], p.shape[1:].numel(), p.dtype, p.device].append(index)
        out = list(updates)
        for (*_, device), indices in by_shape.items():
            dtype = torch.bfloat16 if device.type == "cuda" else None
            matrices = torch.stack([updates[index].flatten(1) for index in indices])
            found = orthogonalised(matrices, steps=group["ns_steps"], dtype=dtype)
            for index, matrix in zip(indices, found.unbind(), strict=True):
                out[index] = matrix.reshape(params[index].shape)
        return out


def muon_groups(settings: Optimizer, model: nn.Module) -> list[dict[str, Any]]:
    """Split parameters into three groups: inner layers' weights, the last layer's, the rest.

    Like Muon's authors, leave out the first and the last layer, whose sides are pixels and classes.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    body = {id(layer.weight) for layer in layers[1:-1]}
    head = {id(layer.weight) for layer in layers[-1:]}
    params = [p for p in model.parameters() if p.requires_grad]
    sgd = {"momentum": settings.rest_momentum, "orthogonal": False}
    return [
        {"params": [p for p in params if id(p) in body], "lr": settings.lr},
        {"params": [p for p in params if id(p) in head], "lr": settings.head_lr, **sgd},
        {
            "params": [p for p in params if id(p) not in body | head],
            "lr": settings.rest_lr,
            **sgd,
        },
    ]
