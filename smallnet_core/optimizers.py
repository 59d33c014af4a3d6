"""The paper's three optimizers and the schedules that drive them.

SGDM and Adam are torch's own. AdaBound is ours: the authors' package loses base_lrs in copies and
checkpoints, never updates parameters added later, and launches 962 kernels a step where 39 do
(60 tensors); it stays selectable as ``adabound_package``.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["OPTIMIZER_NAMES", "AdaBound", "build_optimizer", "learning_rate_factor"]


class AdaBound(torch.optim.Optimizer):
    """Adam whose per-weight rate is clipped to a band that narrows onto SGD's.

    L. Luo et al., "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", ICLR 2019,
    algorithm 2 with the authors' bounds: final_lr * (1 -+ 1 / (gamma * t + (0|1))).

    A schedule that changes ``lr`` scales ``final_lr`` by the same factor, ``lr / base_lr``; the
    ``base_lr`` of a group is its lr when it was added, travels in the state dict, and must be
    positive. Weight decay is L2, in the gradient. Raises ValueError for settings out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsbound: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "final_lr": final_lr,
            "gamma": gamma,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsbound": amsbound,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        group = {**self.defaults, **param_group}
        for name in ("lr", "final_lr"):
            if not group[name] > 0.0:
                raise ValueError(f"AdaBound: {name} must be positive, got {group[name]}")
        for name in ("eps", "weight_decay"):
            if not group[name] >= 0.0:
                raise ValueError(f"AdaBound: {name} must not be negative, got {group[name]}")
        if not all(0.0 <= beta < 1.0 for beta in group["betas"]):
            raise ValueError(f"AdaBound: betas must lie in [0, 1), got {group['betas']}")
        if not 0.0 < group["gamma"] < 1.0:
            raise ValueError(f"AdaBound: gamma must lie in (0, 1), got {group['gamma']}")
        param_group.setdefault("base_lr", group["lr"])
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # Parameters that skipped a step have another t; usually there is one t for all.
            by_step: dict[int, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.is_sparse:
                    raise ValueError("AdaBound does not take sparse gradients")
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                    if group["amsbound"]:
                        state["max_exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                by_step[state["step"]].append(p)
            for t, params in by_step.items():
                self._update(group, t, params)
        return loss

    def _update(self, group: dict[str, Any], t: int, params: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        grads = [p.grad for p in params if p.grad is not None]
        m = [self.state[p]["exp_avg"] for p in params]
        v = [self.state[p]["exp_avg_sq"] for p in params]
        if group["weight_decay"]:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        torch._foreach_mul_(m, beta1)
        torch._foreach_add_(m, grads, alpha=1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, value=1 - beta2)
        if group["amsbound"]:
            v_max = [self.state[p]["max_exp_avg_sq"] for p in params]
            torch._foreach_maximum_(v_max, v)
            v = v_max
        # eta = clip(lr * sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + eps), lower, upper)
        eta = torch._foreach_sqrt(v)
        torch._foreach_add_(eta, group["eps"])
        torch._foreach_reciprocal_(eta)
        torch._foreach_mul_(eta, group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t))
        final_lr = group["final_lr"] * group["lr"] / group["base_lr"]
        torch._foreach_clamp_min_(eta, final_lr * (1 - 1 / (group["gamma"] * t + 1)))
        torch._foreach_clamp_max_(eta, final_lr * (1 + 1 / (group["gamma"] * t)))
        torch._foreach_addcmul_(params, eta, m, value=-1)


def _sgdm(
    groups: list[dict[str, Any]], lr: float, momentum: float = 0.9, nesterov: bool = False
) -> Any:
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)


def _adam(
    groups: list[dict[str, Any]],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decoupled: bool = False,
) -> Any:
    # AdamW is Adam with the decay outside the gradient; a class of its own in every torch.
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    return kind(groups, lr=lr, betas=betas, eps=eps)


def _adabound(groups: list[dict[str, Any]], lr: float, **settings: Any) -> Any:
    return AdaBound(groups, lr=lr, **settings)


def _adabound_package(groups: list[dict[str, Any]], lr: float, **settings: Any) -> Any:
    import adabound

    # The package (0.0.5, 2019) calls overloads that torch deprecated in 1.5.
    warnings.filterwarnings("ignore", message=r"This overload of \w+ is deprecated")
    return adabound.AdaBound(groups, lr=lr, **settings)


_BUILDERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgdm": _sgdm,
    "adam": _adam,
    "adabound": _adabound,
    "adabound_package": _adabound_package,
}
OPTIMIZER_NAMES = tuple(_BUILDERS)
_SCHEDULE_NAMES = ("multistep", "linear", "cosine", "constant")


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    decay_norms_and_biases: bool = True,
    **settings: Any,
) -> torch.optim.Optimizer:
    """An optimizer over the model's trainable parameters.

    With ``decay_norms_and_biases=False`` only tensors of two or more dimensions are decayed.
    ``settings`` are the optimizer's own (momentum, betas, final_lr, ...). Raises ValueError for an
    unknown name.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(_BUILDERS)}")
    params = [p for p in model.parameters() if p.requires_grad]
    if decay_norms_and_biases:
        groups = [{"params": params, "weight_decay": weight_decay}]
    else:
        groups = [
            {"params": [p for p in params if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
        ]
    return _BUILDERS[name]([group for group in groups if group["params"]], lr, **settings)


def learning_rate_factor(
    name: str,
    *,
    step: int,
    total_steps: int,
    steps_per_epoch: int,
    warmup_fraction: float = 0.0,
    final_factor: float = 0.0,
    milestones: tuple[int, ...] = (),
    gamma: float = 0.1,
) -> float:
    """What the base learning rate is multiplied with at ``step`` (from 0).

    "multistep": times gamma after each of the epochs in ``milestones``; "linear" and "cosine": up
    linearly over the warm-up, then down to ``final_factor`` at the last step; "constant": 1.
    """
    if name not in _SCHEDULE_NAMES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(_SCHEDULE_NAMES)}")
    if name == "multistep":
        return gamma ** sum(step // steps_per_epoch >= epoch for epoch in milestones)
    warmup_steps = round(warmup_fraction * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if name == "constant":
        return 1.0
    done = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps)
    if name == "linear":
        return 1.0 + (final_factor - 1.0) * done
    return final_factor + (1.0 - final_factor) * 0.5 * (1.0 + math.cos(math.pi * done))
