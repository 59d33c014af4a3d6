"""Build a recipe's optimizer and set its learning rates.

SGDM and Adam are torch's, AdaBound and Muon our own; the authors' AdaBound can be selected as
``adabound_package``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from smallnet_core.recipes import Optimizer
from smallnet_core.training.adabound import AdaBound
from smallnet_core.training.muon import Muon, muon_groups


def build_optimizer(
    settings: Optimizer, model: nn.Module, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Build the optimizer over the model's trainable parameters.

    Without ``decay_norms_and_biases`` only tensors of two or more dimensions are decayed. For Muon,
    ``weight_decay`` is the share removed by a step at the full rate, as the rates of its groups are
    orders of magnitude apart.

    With ``capturable`` a CUDA graph can record a step: each group's ``lr`` is a 0-dim float32
    tensor on the parameters' device, to be filled before a replay. Raises ValueError for an unknown
    name, and for a capturable ``adabound_package``.
    """
    groups = _groups(settings, model)
    on_gpu = all(p.is_cuda for group in groups for p in group["params"])
    if capturable:
        for group in groups:
            device = group["params"][0].device
            group["lr"] = torch.full((), group["lr"], dtype=torch.float32, device=device)
    fused = True if capturable and on_gpu else None
    match settings.name:
        case "sgdm":
            # Of torch's three implementations only the fused one reads lr on the device.
            return torch.optim.SGD(
                groups, momentum=settings.momentum, nesterov=settings.nesterov, fused=fused
            )
        case "adam":
            # AdamW is Adam with decoupled decay; only newer versions of torch have it as an option.
            kind = torch.optim.AdamW if settings.decoupled else torch.optim.Adam
            return kind(
                groups,
                betas=settings.betas,
                eps=settings.eps,
                fused=fused,
                capturable=bool(fused),  # which torch refuses on a CPU
            )
        case "adabound" | "adabound_package":
            own: dict[str, Any] = {
                "betas": settings.betas,
                "eps": settings.eps,
                "final_lr": settings.final_lr,
                "gamma": settings.gamma,
            }
            if settings.name == "adabound":
                return AdaBound(groups, capturable=capturable, **own)
            if capturable:
                raise ValueError(
                    "a CUDA graph would freeze adabound_package's bounds: use adabound"
                )
            import adabound

            # The package (0.0.5, 2019) calls overloads that torch deprecated in 1.5.
            warnings.filterwarnings("ignore", message=r"This overload of \w+ is deprecated")
            return adabound.AdaBound(groups, **own)
        case "muon":
            return Muon(
                groups,
                momentum=settings.momentum,
                normalised=settings.normalised,
                ns_steps=settings.ns_steps,
            )
    raise ValueError(
        f"unknown optimizer {settings.name!r}; known: sgdm, adam, adabound, adabound_package, muon"
    )


def _groups(settings: Optimizer, model: nn.Module) -> list[dict[str, Any]]:
    """Group the trainable parameters by rate and decay."""
    if settings.name == "muon":
        parts = muon_groups(settings, model)
    else:
        trainable = [p for p in model.parameters() if p.requires_grad]
        parts = [{"params": trainable, "lr": settings.lr}]
    groups = []
    for part in parts:
        decay = settings.weight_decay / (part["lr"] if settings.name == "muon" else 1)
        if settings.decay_norms_and_biases:
            groups.append({**part, "weight_decay": decay})
            continue
        for params, share in (
            ([p for p in part["params"] if p.ndim >= 2], decay),
            ([p for p in part["params"] if p.ndim < 2], 0.0),
        ):
            groups.append({**part, "params": params, "weight_decay": share})
    return [group for group in groups if group["params"]]


def set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Set each group's learning rate, in place where it is a tensor."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
