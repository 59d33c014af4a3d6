"""Weights put to zero: in one shot, as the paper does, and as masks that a training keeps.

Both act on the layers that ``prunable`` names. Among weights of equal magnitude, of which those
that were kept in float16 have many, the later one goes first: what is pruned never depends on the
steps that led there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

__all__ = [
    "TECHNIQUES",
    "NotPrunable",
    "OneShot",
    "apply_masks",
    "count_nonzeros",
    "magnitude_masks",
    "prunable",
]

TECHNIQUES = ("l1_unstructured", "l1_structured", "global_unstructured", "random_unstructured")

_FLOAT32_COUNTS = 2**24  # whole numbers up to here are exact in float32


class NotPrunable(ValueError):  # noqa: N818 - what the network is, as NotMeasured
    """A network without a layer to prune."""


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose weights are pruned, by name, in the network's order.

    Every Conv2d; in a network that has none every Linear but the last, the classifier. Raises
    NotPrunable where there is nothing.
    """
    convolutions = _modules_of(model, nn.Conv2d)
    if convolutions:
        return convolutions
    linear = _modules_of(model, nn.Linear)
    if len(linear) < 2:
        raise NotPrunable(
            f"{type(model).__name__} has nothing to prune: no Conv2d, and no Linear before its "
            "classifier"
        )
    linear.popitem()
    return linear


def _modules_of(model: nn.Module, kind: type[nn.Module]) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


class OneShot:
    """Prunes a network in place with torch.nn.utils.prune, to one proportion after another.

    Each proportion is what pruning the dense network to it in one go gives, without fine-tuning:

    - "l1_unstructured": the smallest magnitudes of each layer
    - "l1_structured": the input channels of each layer with the smallest sum of magnitudes
    - "global_unstructured": the smallest magnitudes of all layers together
    - "random_unstructured": weights of each layer, drawn from ``seed`` alone

    A proportion p of n weights, or of n channels, is round(p * n) of them, as torch counts. As a
    context manager it gives the dense weights back at the end. Raises NotPrunable, and ValueError
    for an unknown technique and a network that is pruned already.
    """

    def __init__(self, model: nn.Module, technique: str, *, seed: int = 0) -> None:
        if technique not in TECHNIQUES:
            raise ValueError(f"unknown technique {technique!r}: one of {', '.join(TECHNIQUES)}")
        if prune.is_pruned(model):
            raise ValueError(f"{type(model).__name__} is pruned already: remove its masks first")
        self.technique = technique
        self.proportion: float | None = None  # None: dense
        layers = prunable(model)
        self._names = list(layers)
        self._modules = list(layers.values())
        self._weights = [module.get_parameter("weight") for module in self._modules]
        self._dense = [weight.data for weight in self._weights]
        self._scores = _scores(self._dense, technique, seed)
        self._order = [list(module._parameters) for module in self._modules]

    @property
    def num_weights(self) -> int:
        """Weights that can be pruned."""
        return sum(dense.numel() for dense in self._dense)

    @property
    def num_zeros(self) -> int:
        """Weights that are masked; of those left some may be zero by themselves."""
        return sum(self._zeros())

    def prune_to(self, proportion: float) -> None:
        """Prune to ``proportion``, 0 to 1, of the dense weights, or channels; it never falls.

        Raises ValueError for a proportion outside 0 to 1 or below the one before.
        """
        if not 0 <= proportion <= 1:
            raise ValueError(f"a proportion is between 0 and 1, not {proportion}")
        before = self.proportion
        if before is not None and proportion < before:
            raise ValueError(
                f"pruned to {before} already, not back to {proportion}: restore() first"
            )
        with torch.no_grad():
            if before is None:
                self.proportion = before = 0.0
                self._put_on()
            self._prune(proportion, before)
        self.proportion = proportion
        self._check()

    def restore(self) -> None:
        """Give the network its dense weights back: the same parameters, bit by bit, no hooks."""
        if self.proportion is None:
            return
        for i, module in enumerate(self._modules):
            for key, hook in list(module._forward_pre_hooks.items()):
                if isinstance(hook, prune.BasePruningMethod):
                    del module._forward_pre_hooks[key]
            vars(module).pop("weight", None)
            module._buffers.pop("weight_mask", None)
            module._parameters.pop("weight_orig", None)
            module._parameters["weight"] = self._weights[i]
            for name in self._order[i]:  # a bias stood behind its weight
                module._parameters[name] = module._parameters.pop(name)
            self._weights[i].data = self._dense[i]
        self.proportion = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def _put_on(self) -> None:
        """Masks of ones: torch.nn.utils.prune adds each later step to what is there."""
        for module, weight in zip(self._modules, self._weights, strict=True):
            # It takes views of masks and scores, which channels_last has none of.
            weight.data = weight.data.contiguous()
            prune.identity(module, "weight")

    def _prune(self, proportion: float, before: float) -> None:
        if self.technique == "global_unstructured":
            amount = round(proportion * self.num_weights) - round(before * self.num_weights)
            if amount:
                pairs = zip(self._modules, self._scores, strict=True)
                prune.global_unstructured(
                    [(module, "weight") for module in self._modules],
                    pruning_method=prune.L1Unstructured,
                    importance_scores={(module, "weight"): score for module, score in pairs},
                    amount=amount,
                )
            return
        structured = self.technique == "l1_structured"
        for module, dense, scores in zip(self._modules, self._dense, self._scores, strict=True):
            units = dense.shape[1] if structured else dense.numel()
            amount = round(proportion * units) - round(before * units)
            if not amount:
                continue
            if structured:
                prune.ln_structured(
                    module, "weight", amount=amount, n=1, dim=1, importance_scores=scores
                )
            else:
                prune.l1_unstructured(module, "weight", amount, importance_scores=scores)

    def _zeros(self) -> list[int]:
        if self.proportion is None:
            return [0] * len(self._modules)
        return [_num_zeros(module) for module in self._modules]

    def _check(self) -> None:
        """What was asked for is what was done: to the weight, in every layer or in all together."""
        assert self.proportion is not None
        zeros = self._zeros()
        if self.technique == "global_unstructured":
            asked, zeros = [round(self.proportion * self.num_weights)], [sum(zeros)]
        elif self.technique == "l1_structured":
            asked = [
                round(self.proportion * dense.shape[1]) * (dense.numel() // dense.shape[1])
                for dense in self._dense
            ]
        else:
            asked = [round(self.proportion * dense.numel()) for dense in self._dense]
        assert zeros == asked, f"{self.technique} {self.proportion}: {zeros}, not {asked}"


def _num_zeros(module: nn.Module) -> int:
    mask = module.get_buffer("weight_mask")
    return mask.numel() - int(mask.count_nonzero())


def _scores(weights: Sequence[Tensor], technique: str, seed: int) -> list[Tensor]:
    """The place of each weight in the order of pruning, shaped as the weights; smallest first.

    Places, not magnitudes: they have no ties. Of "l1_structured" the sum over a channel is its
    place, whatever the order of the summation.
    """
    if technique == "global_unstructured":
        places = _places(torch.cat([weight.abs().flatten() for weight in weights]))
        split = places.split([weight.numel() for weight in weights])
        return [place.view(weight.shape) for place, weight in zip(split, weights, strict=True)]
    if technique == "l1_structured":
        return [_channel_places(weight) for weight in weights]
    if technique == "l1_unstructured":
        return [_places(weight.abs().flatten()).view(weight.shape) for weight in weights]
    generator = torch.Generator().manual_seed(seed)
    scores = []
    for weight in weights:
        # As prune.random_unstructured on a CPU: the largest go first.
        drawn = -torch.rand(weight.numel(), generator=generator)
        scores.append(_places(drawn).view(weight.shape).to(weight.device))
    return scores


def _channel_places(weight: Tensor) -> Tensor:
    others = [dim for dim in range(weight.dim()) if dim != 1]
    norms = torch.linalg.vector_norm(weight, ord=1, dim=others)
    scores = weight.new_zeros(weight.shape, dtype=torch.float32)
    scores[0].view(len(norms), -1)[:, 0] = _places(norms)
    return scores


def _places(values: Tensor) -> Tensor:
    """(n,) -> (n,): 1 for the smallest, n for the largest; the later of equals is the smaller."""
    count = len(values)
    dtype = torch.float32 if count <= _FLOAT32_COUNTS else torch.float64
    order = torch.sort(values, descending=True, stable=True).indices
    places = torch.empty(count, dtype=dtype, device=values.device)
    places[order] = torch.arange(count, 0, -1, dtype=dtype, device=values.device)
    return places


# Masks that a training keeps


def magnitude_masks(
    model: nn.Module, max_params: int, *, importance: str = "magnitude", seed: int = 0
) -> dict[str, Tensor]:
    """Which weights are kept so that ``max_params`` trainable parameters of the model are left.

    Boolean masks by parameter name, of the trainable weights of the ``prunable`` layers; all other
    parameters are kept and count whole, even those that happen to be zero. The largest magnitudes
    of all layers together are kept ("magnitude"), or weights drawn from ``seed`` alone
    ("random"). Weights that are zero already go first, so that pruning again takes of what the
    first pruning left. Raises NotPrunable, and ValueError for an unknown importance and where
    ``max_params`` is more than there is or would take all weights of a layer.
    """
    if importance not in ("magnitude", "random"):
        raise ValueError(f"unknown importance {importance!r}: magnitude or random")
    weights = {
        f"{name}.weight" if name else "weight": weight.detach()
        for name, module in prunable(model).items()
        if (weight := module.get_parameter("weight")).requires_grad
    }
    name_of_model = type(model).__name__
    if not weights:
        raise NotPrunable(f"{name_of_model} has nothing to prune: its layers are frozen")
    num_weights = sum(w.numel() for w in weights.values())
    num_nonzeros = sum(int(w.count_nonzero()) for w in weights.values())
    rest = sum(p.numel() for p in model.parameters() if p.requires_grad) - num_weights
    if max_params > rest + num_nonzeros:
        raise ValueError(
            f"{max_params:,} parameters cannot be left: {name_of_model} has only "
            f"{rest + num_nonzeros:,}"
        )
    keep = max_params - rest
    if keep <= 0:
        raise ValueError(
            f"{max_params:,} parameters are too few for {name_of_model}: {rest:,} are outside the "
            f"layers that are pruned, and {next(iter(weights))} would lose all its weights"
        )

    flat = torch.cat([w.flatten() for w in weights.values()])
    scores = flat.abs()
    if importance == "random":
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(num_weights, generator=generator).to(flat.device)
        scores = torch.where(flat == 0, -1.0, drawn)
    kept = torch.zeros(num_weights, dtype=torch.bool, device=flat.device)
    kept[torch.sort(scores, descending=True, stable=True).indices[:keep]] = True

    parts = kept.split([w.numel() for w in weights.values()])
    masks = {}
    for (name, w), part in zip(weights.items(), parts, strict=True):
        if not part.any():
            raise ValueError(
                f"{max_params:,} parameters are too few for {name_of_model}: {name} would lose all "
                "its weights"
            )
        masks[name] = part.view(w.shape).clone()
    return masks


def count_nonzeros(model: nn.Module) -> int:
    """Trainable parameters that are not zero."""
    return sum(int(p.count_nonzero()) for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Multiply the parameters by their masks, in place.

    Raises ValueError, and changes nothing, for a name or a shape that is not the model's.
    """
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"{type(model).__name__} has no parameter {name!r} to mask")
        if mask.shape != parameters[name].shape:
            raise ValueError(
                f"the mask of {name} is {tuple(mask.shape)}, the parameter "
                f"{tuple(parameters[name].shape)}"
            )
    for name, mask in masks.items():
        parameters[name].mul_(mask.to(parameters[name].device))
