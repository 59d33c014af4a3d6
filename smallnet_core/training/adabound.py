"""AdaBound, for eager steps and for CUDA graphs.

Ours because the authors' package loses base_lrs in copies and checkpoints, never updates parameters
that were added later, and launches 962 kernels a step where 39 do (60 tensors).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class AdaBound(torch.optim.Optimizer):
    """Adam whose per-weight rate is clipped to a band that narrows onto SGD's.

    L. Luo et al., "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", ICLR 2019,
    algorithm 2 with the authors' bounds: final_lr * (1 -+ 1 / (gamma * t + (0|1))).

    A schedule that changes ``lr`` scales ``final_lr`` by the same factor, ``lr / base_lr``; the
    ``base_lr`` of a group is its lr when it was added, travels in the state dict, and must be
    positive. Weight decay is L2, in the gradient. Raises ValueError for settings out of range.

    With ``capturable`` a CUDA graph can hold the step: what changes from step to step, t and
    ``lr``, is read from tensors on the parameters' device, where ``lr`` has to be one of them for
    its changes to be seen. The same formulas, rounded elsewhere.
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Called by copies and load_state_dict: each mode gets its own kind of step count."""
        super().__setstate__(state)
        for group in self.param_groups:
            counters: dict[tuple[int, torch.device], Tensor] = {}
            for p in group["params"]:
                if not self.state.get(p):
                    continue
                t = int(self.state[p]["step"])
                if not group["capturable"]:
                    self.state[p]["step"] = t
                    continue
                if (t, p.device) not in counters:
                    counters[t, p.device] = torch.full((), float(t), device=p.device)
                self.state[p]["step"] = counters[t, p.device]

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
        if isinstance(group["lr"], Tensor) and not group["capturable"]:
            raise ValueError("AdaBound: a tensor as lr needs capturable=True")
        param_group.setdefault("base_lr", float(group["lr"]))
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            counters: dict[torch.device, Tensor] = {}
            for p in params:
                if p.grad.is_sparse:
                    raise ValueError("AdaBound does not take sparse gradients")
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    if group["capturable"]:
                        if p.device not in counters:
                            counters[p.device] = torch.zeros((), device=p.device)
                        state["step"] = counters[p.device]
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
            if group["capturable"]:
                for counter, counted in self._by_counter(group, params):
                    counter += 1
                    self._update_capturable(group, counter, counted)
                continue
            # Parameters that skipped a step have another t; usually there is one t for all.
            by_step: dict[int, list[Tensor]] = defaultdict(list)
            for p in params:
                self.state[p]["step"] += 1
                by_step[self.state[p]["step"]].append(p)
            for t, counted in by_step.items():
                self._update(group, t, counted)
        return loss

    def _by_counter(
        self, group: dict[str, Any], params: list[Tensor]
    ) -> list[tuple[Tensor, list[Tensor]]]:
        """The step counts of ``params`` as tensors, each with those that it counts for.

        Parameters that began together share a tensor, as a group of tensors is updated by a few
        kernels only where it has one t. Whoever steps while others that share it do not takes a
        copy along.
        """
        idle = {
            id(self.state[p]["step"]) for p in group["params"] if p.grad is None and p in self.state
        }
        copies: dict[int, Tensor] = {}
        found: dict[int, tuple[Tensor, list[Tensor]]] = {}
        for p in params:
            counter = self.state[p]["step"]
            if id(counter) in idle:
                if id(counter) not in copies:
                    copies[id(counter)] = counter.clone()
                counter = self.state[p]["step"] = copies[id(counter)]
            found.setdefault(id(counter), (counter, []))[1].append(p)
        return list(found.values())

    def _moments(
        self, group: dict[str, Any], params: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The averages m and v of the gradients, brought up to date."""
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
        lr = group["lr"]
        if isinstance(lr, Tensor) and lr.device != counter.device:
            raise ValueError(
                f"AdaBound: lr is on {lr.device}, its parameters on {counter.device}: a graph "
                "would keep the value that it has now"
            )
        m, v = self._moments(group, params)
        # In double: 1 - beta2^t would have four digits in float32. The rate multiplies last, where
        # it may be 0, so that the bounds here are those of lr = 1.
        t = counter.double()
        start = (1 - beta2**t).sqrt() / (1 - beta1**t)
        bound = group["final_lr"] / group["base_lr"]
        lower = bound * (1 - 1 / (group["gamma"] * t + 1))
        upper = bound * (1 + 1 / (group["gamma"] * t))
        in_upper, floor, out = (
            x.to(params[0].dtype) for x in (start / upper, lower / upper, -lr * upper)
        )
        # _foreach_clamp takes no tensor: in units of the upper bound the clip is at 1, and above
        # the lower one it is at 0. Without alpha _foreach_add_ would fetch the number from the
        # device, as _foreach_sub_ always does.
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
