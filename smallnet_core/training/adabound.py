"""AdaBound, for eager steps and for CUDA graphs.

Our own, because the authors' package loses base_lrs in copies and checkpoints, and launches 962
kernels per step where 39 are enough (60 tensors).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class AdaBound(torch.optim.Optimizer):
    """Adam whose per-weight rate is clipped to a band that narrows onto SGD's.

    L. Luo et al., "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", ICLR 2019,
    algorithm 2 with the authors' bounds: final_lr * (1 -+ 1 / (gamma * t + (0|1))).

    A schedule that changes ``lr`` scales ``final_lr`` by the same factor, ``lr / base_lr``; the
    ``base_lr`` of a group is its lr when it was added. Weight decay is L2, in the gradient. Steps
    are counted by group: at every step all of its parameters have a gradient, or none.

    With ``capturable`` a CUDA graph can record the step: what changes between steps, t and ``lr``,
    is read from tensors on the parameters' device; ``lr`` must be such a tensor for changes to take
    effect. The formulas are the same, but round differently.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "final_lr": final_lr,
            "gamma": gamma,
            "eps": eps,
            "weight_decay": weight_decay,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, whose ``lr`` becomes its base rate."""
        base_lr = float(param_group.get("lr", self.defaults["lr"]))
        super().add_param_group({"base_lr": base_lr, **param_group})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a ``state_dict()`` of this class; ValueError for one of the authors' package."""
        for group in state_dict["param_groups"]:
            if missing := {"base_lr", *self.defaults} - group.keys():
                raise ValueError(
                    f"a parameter group has no {', '.join(sorted(missing))}: expected a state dict "
                    "of this class, not of the package adabound"
                )
        super().load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
                    self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
            t = self.state[params[0]].get("step")
            if t is None:
                t = torch.zeros((), device=params[0].device) if group["capturable"] else 0
            t += 1
            for p in params:  # all share this tensor, also after loading a checkpoint
                self.state[p]["step"] = t
            if group["capturable"]:
                self._update_capturable(group, t, params)
            else:
                self._update(group, t, params)

    def _moments(
        self, group: dict[str, Any], params: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Update and return the running averages m and v of the gradients."""
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
        return m, v

    def _update(self, group: dict[str, Any], t: int, params: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        m, v = self._moments(group, params)
        # eta = clip(lr * sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + eps), lower, upper)
        eta = torch._foreach_sqrt(v)
        torch._foreach_add_(eta, group["eps"])
        torch._foreach_reciprocal_(eta)
        torch._foreach_mul_(eta, group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t))
        final_lr = group["final_lr"] * group["lr"] / group["base_lr"]
        torch._foreach_clamp_min_(eta, final_lr * (1 - 1 / (group["gamma"] * t + 1)))
        torch._foreach_clamp_max_(eta, final_lr * (1 + 1 / (group["gamma"] * t)))
        torch._foreach_addcmul_(params, eta, m, value=-1)

    def _update_capturable(
        self, group: dict[str, Any], counter: Tensor, params: list[Tensor]
    ) -> None:
        beta1, beta2 = group["betas"]
        m, v = self._moments(group, params)
        # In double: in float32 1 - beta2^t would have four digits. The rate, which may be 0, is
        # multiplied in last, so the bounds here are those of lr = 1.
        t = counter.double()
        start = (1 - beta2**t).sqrt() / (1 - beta1**t)
        bound = group["final_lr"] / group["base_lr"]
        lower = bound * (1 - 1 / (group["gamma"] * t + 1))
        upper = bound * (1 + 1 / (group["gamma"] * t))
        in_upper, floor, out = (
            x.to(params[0].dtype) for x in (start / upper, lower / upper, -group["lr"] * upper)
        )
        # _foreach_clamp does not accept tensors: in units of the upper bound the clip is at 1, and
        # relative to the lower one at 0. Without alpha, _foreach_add_ would copy the number from
        # the device, as _foreach_sub_ always does.
        eta = torch._foreach_sqrt(v)
        torch._foreach_add_(eta, group["eps"])
        torch._foreach_reciprocal_(eta)
        torch._foreach_mul_(eta, in_upper)
        torch._foreach_clamp_max_(eta, 1.0)
        torch._foreach_add_(eta, floor, alpha=-1)
        torch._foreach_clamp_min_(eta, 0.0)
        torch._foreach_add_(eta, floor, alpha=1)
        torch._foreach_mul_(eta, out)
        torch._foreach_addcmul_(params, eta, m)
