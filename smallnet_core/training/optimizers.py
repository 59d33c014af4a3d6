"""The paper's three optimizers, Muon, and the schedules that drive them.

SGDM and Adam are torch's own. AdaBound is ours: the authors' package loses base_lrs in copies and
checkpoints, never updates parameters added later, and launches 962 kernels a step where 39 do
(60 tensors); it stays selectable as ``adabound_package``. Muon is ours too: torch's takes matrices
alone, one at a time, always in bfloat16.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "OPTIMIZER_NAMES",
    "AdaBound",
    "Muon",
    "build_optimizer",
    "learning_rate_factor",
    "load_state",
    "orthogonalised",
    "set_rates",
]


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
        amsbound: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "final_lr": final_lr,
            "gamma": gamma,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsbound": amsbound,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Called by copies and load_state_dict: each mode gets its own kind of step count."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("capturable", False)  # saved before there was this mode
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
                    if group["amsbound"]:
                        state["max_exp_avg_sq"] = torch.zeros_like(p)
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
        if group["amsbound"]:
            v_max = [self.state[p]["max_exp_avg_sq"] for p in params]
            torch._foreach_maximum_(v_max, v)
            v = v_max
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


# K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024: the steepest
# odd quintic at 0 that still keeps singular values around 1, from about 0.7 to 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: Tensor, *, steps: int = 5, dtype: torch.dtype | None = None) -> Tensor:
    """Near U V^T of each matrix U S V^T (n, rows, columns), by Newton-Schulz iteration.

    Each step maps a singular value s, at most 1 at first, to a s + b s^3 + c s^5: with the five
    of the paper (source above the constants) those beyond 0.01 of the norm end near 1. Zeros stay
    zeros. ``dtype`` is that of the products, which on a GPU may be bfloat16; default: the
    matrices' own.
    """
    # Lying: the smaller Gram matrix. Contiguous: baddbmm takes ten times as long on a CPU else.
    x = matrices.mT.contiguous() if matrices.shape[1] > matrices.shape[2] else matrices
    norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)  # at least the largest s
    x = (x / norm.clamp_min(1e-7)).to(dtype or matrices.dtype)
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, polynomial, x, beta=_A)
    x = x.to(matrices.dtype)
    return x.mT if matrices.shape[1] > matrices.shape[2] else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update of a weight matrix is made orthogonal; SGD for everything else.

    K. Jordan et al., 2024 (above). A group with ``orthogonal`` takes tensors of two or more
    dimensions, a convolution's as (out, in * height * width): every direction of the matrix moves
    by about ``lr``, and decay is decoupled, lr * weight_decay. With ``normalised`` each tensor is
    scaled to the Frobenius norm sqrt(out) first and not decayed: for layers before a batch norm,
    whose scale counts for nothing but their rate. A group without ``orthogonal`` is torch's SGD
    with L2 decay. ``ns_dtype`` None: bfloat16 on a GPU, else the tensors' own (bfloat16 takes 1.7
    times as long on a CPU without AMX). ``lr`` may be a tensor on the parameters' device, which a
    CUDA graph reads at each replay. Raises ValueError for settings out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        orthogonal: bool = True,
        normalised: bool = False,
        ns_steps: int = 5,
        ns_dtype: torch.dtype | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "orthogonal": orthogonal,
            "normalised": normalised,
            "ns_steps": ns_steps,
            "ns_dtype": ns_dtype,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        group = {**self.defaults, **param_group}
        for name in ("lr", "weight_decay"):
            if not group[name] >= 0.0:
                raise ValueError(f"Muon: {name} must not be negative, got {group[name]}")
        if not 0.0 <= group["momentum"] < 1.0:
            raise ValueError(f"Muon: momentum must lie in [0, 1), got {group['momentum']}")
        if group["ns_steps"] < 1:
            raise ValueError(f"Muon: ns_steps must be at least 1, got {group['ns_steps']}")
        params = group["params"]
        param_group["params"] = [params] if isinstance(params, Tensor) else list(params)
        if group["orthogonal"] and any(p.ndim < 2 for p in param_group["params"]):
            raise ValueError("Muon: a vector is no matrix: put it in a group without orthogonal")
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
            if not params:
                continue
            grads = [p.grad for p in params]
            if any(grad.is_sparse for grad in grads):
                raise ValueError("Muon does not take sparse gradients")
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            buffers = [self.state[p]["momentum_buffer"] for p in params]
            if group["weight_decay"] and not group["orthogonal"]:
                grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, grads)
            updates = buffers
            if group["nesterov"]:
                updates = list(torch._foreach_add(grads, buffers, alpha=group["momentum"]))
            if group["orthogonal"]:
                updates = self._orthogonal(group, params, updates)
                self._rescale(group, params)
            torch._foreach_sub_(params, torch._foreach_mul(updates, group["lr"]))
        return loss

    @staticmethod
    def _orthogonal(
        group: dict[str, Any], params: list[Tensor], updates: list[Tensor]
    ) -> list[Tensor]:
        """The nearest orthogonal matrices; all of one shape together, in a few kernels."""
        by_shape: dict[Any, list[int]] = defaultdict(list)
        for index, p in enumerate(params):
            by_shape[p.shape[0], p.shape[1:].numel(), p.dtype, p.device].append(index)
        out = list(updates)
        for (*_, device), indices in by_shape.items():
            dtype = group["ns_dtype"]
            if dtype is None and device.type == "cuda":
                dtype = torch.bfloat16
            matrices = torch.stack([updates[index].flatten(1) for index in indices])
            found = orthogonalised(matrices, steps=group["ns_steps"], dtype=dtype)
            for index, matrix in zip(indices, found.unbind(), strict=True):
                out[index] = matrix.reshape(params[index].shape)
        return out

    @staticmethod
    def _rescale(group: dict[str, Any], params: list[Tensor]) -> None:
        if group["normalised"]:
            for p, norm in zip(params, torch._foreach_norm(params), strict=True):
                p.mul_(math.sqrt(len(p)) / norm.clamp_min(1e-7))
        elif group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])


# --- builders -----------------------------------------------------------------------------------


def _sgdm(
    groups: list[dict[str, Any]],
    lr: float | Tensor,
    capturable: bool,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> Any:
    # Of torch's three kernels for it only the fused one reads lr on the device.
    fused = {"fused": True} if capturable and _on_gpu(groups) else {}
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, **fused)


def _adam(
    groups: list[dict[str, Any]],
    lr: float | Tensor,
    capturable: bool,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decoupled: bool = False,
) -> Any:
    # AdamW is Adam with the decay outside the gradient; a class of its own in every torch.
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    # On a CPU torch refuses capturable.
    fused = {"fused": True, "capturable": True} if capturable and _on_gpu(groups) else {}
    return kind(groups, lr=lr, betas=betas, eps=eps, **fused)


def _adabound(
    groups: list[dict[str, Any]], lr: float | Tensor, capturable: bool, **settings: Any
) -> Any:
    return AdaBound(groups, lr=lr, capturable=capturable, **settings)


def _adabound_package(
    groups: list[dict[str, Any]], lr: float | Tensor, capturable: bool, **settings: Any
) -> Any:
    if capturable or isinstance(lr, Tensor):
        raise ValueError("adabound_package would freeze its bounds in a graph: use adabound")
    import adabound

    # The package (0.0.5, 2019) calls overloads that torch deprecated in 1.5.
    warnings.filterwarnings("ignore", message=r"This overload of \w+ is deprecated")
    return adabound.AdaBound(groups, lr=lr, **settings)


def _muon(
    groups: list[dict[str, Any]], lr: float | Tensor, capturable: bool, **settings: Any
) -> Any:
    return Muon(groups, lr=lr, **settings)


def _on_gpu(groups: list[dict[str, Any]]) -> bool:
    return all(p.is_cuda for group in groups for p in group["params"])


_BUILDERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgdm": _sgdm,
    "adam": _adam,
    "adabound": _adabound,
    "adabound_package": _adabound_package,
    "muon": _muon,
}
OPTIMIZER_NAMES = tuple(_BUILDERS)
_SCHEDULE_NAMES = ("multistep", "linear", "cosine", "constant")


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float | Tensor,
    weight_decay: float,
    decay_norms_and_biases: bool = True,
    capturable: bool = False,
    **settings: Any,
) -> torch.optim.Optimizer:
    """An optimizer over the model's trainable parameters.

    With ``decay_norms_and_biases=False`` only tensors of two or more dimensions are decayed.
    ``settings`` are the optimizer's own (momentum, betas, final_lr, ...). Muon's are ``momentum``
    and ``ns_steps`` of the orthogonal part, ``normalised``, and ``head_lr``, ``rest_lr`` and
    ``rest_momentum`` of the part that is SGD; its ``weight_decay`` is the share that a step at the
    full rate takes off, as its rates lie orders of magnitude apart.

    With ``capturable`` a CUDA graph can hold a step: each group's ``lr`` is a 0-dim float32 tensor
    on the parameters' device, to be filled before a replay; ``lr`` itself where that is a tensor.
    Raises ValueError for an unknown name.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(_BUILDERS)}")
    params = [p for p in model.parameters() if p.requires_grad]
    if name == "muon":
        parts = _muon_parts(
            model,
            params,
            head_lr=settings.pop("head_lr", 0.1),
            rest_lr=settings.pop("rest_lr", 0.1),
            rest_momentum=settings.pop("rest_momentum", 0.9),
        )
    else:
        parts = [{"params": params}]
    groups: list[dict[str, Any]] = []
    for part in parts:
        if decay_norms_and_biases:
            groups.append({**part, "weight_decay": weight_decay})
            continue
        decayed = [p for p in part["params"] if p.ndim >= 2]
        others = [p for p in part["params"] if p.ndim < 2]
        groups.append({**part, "params": decayed, "weight_decay": weight_decay})
        groups.append({**part, "params": others, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    for group in groups:
        rate = group.get("lr", lr)
        if name == "muon" and weight_decay:
            group["weight_decay"] /= float(rate)
        if capturable:
            if not isinstance(rate, Tensor):
                rate = torch.full((), rate, dtype=torch.float32, device=group["params"][0].device)
            group["lr"] = rate
    return _BUILDERS[name](groups, lr, capturable, **settings)


def _muon_parts(
    model: nn.Module,
    params: list[nn.Parameter],
    *,
    head_lr: float,
    rest_lr: float,
    rest_momentum: float,
) -> list[dict[str, Any]]:
    """Weights between the first layer and the last; the last one's weight; everything else.

    Muon's authors leave out the first layer and the last, whose sides are pixels and classes.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    body = {id(layer.weight) for layer in layers[1:-1]}
    head = {id(layer.weight) for layer in layers[-1:]}
    sgd = {"momentum": rest_momentum, "nesterov": True, "orthogonal": False}
    return [
        {"params": [p for p in params if id(p) in body]},
        {"params": [p for p in params if id(p) in head], "lr": head_lr, **sgd},
        {"params": [p for p in params if id(p) not in body | head], "lr": rest_lr, **sgd},
    ]


def load_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state dict that may have been saved in the other mode, capturable or not.

    How steps are computed stays as the optimizer was built, and a group's ``lr`` that is a tensor
    stays that tensor, with the saved value: a captured graph reads it.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    groups = [
        {**saved, **{key: group[key] for key in _MODE if key in group}}
        for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(float(group["lr"]))
        else:
            group["lr"] = float(group["lr"])


def set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Give each group its learning rate, in place where that is a tensor."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


_MODE = ("capturable", "fused", "foreach")


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
