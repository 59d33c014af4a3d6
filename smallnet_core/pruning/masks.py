"""Set weights to zero: in one shot, as in the paper, or by masks that a training keeps.

Both act on the layers that ``prunable`` names. Of weights with equal magnitudes, which are common
after storage in float16, the later one goes first, so that the result never depends on the steps
that led to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """Find the layers whose weights are pruned, by name, in the network's order.

    They are all Conv2d layers; in a network without any, all Linear layers except the last, the
    classifier.
    """
    modules = list(model.named_modules())
    convolutions = [(name, module) for name, module in modules if isinstance(module, nn.Conv2d)]
    linears = [(name, module) for name, module in modules if isinstance(module, nn.Linear)]
    return dict(convolutions or linears[:-1])


class OneShot:
    """Prunes a network in place to one proportion after another, as torch.nn.utils.prune would.

    Each time it starts from the dense network, without fine-tuning. It removes:

    - "l1_unstructured": the smallest magnitudes of each layer
    - "l1_structured": the input channels of each layer with the smallest sum of magnitudes
    - "global_unstructured": the smallest magnitudes of all layers together
    - "random_unstructured": weights of each layer, drawn from ``seed`` alone

    A proportion p of n weights or channels is round(p * n) of them, as in torch. As a context
    manager it restores the dense weights, the same tensors as before, at the end.
    """

    def __init__(self, model: nn.Module, technique: str, *, seed: int = 0) -> None:
        self.num_zeros = 0  # pruned weights; others may happen to be zero
        self._weights = [m.get_parameter("weight") for m in prunable(model).values()]
        self._dense = [weight.data for weight in self._weights]
        self._ranks = _ranks(self._dense, technique, seed)

    def prune_to(self, proportion: float) -> None:
        """Prune ``proportion``, 0 to 1, of the dense weights or channels."""
        self.num_zeros = 0
        for weight, dense, (ranks, total) in zip(
            self._weights, self._dense, self._ranks, strict=True
        ):
            kept = (ranks >= round(proportion * total)).expand_as(dense)
            weight.data = dense * kept
            self.num_zeros += kept.numel() - int(kept.count_nonzero())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for weight, dense in zip(self._weights, self._dense, strict=True):
            weight.data = dense


def _ranks(weights: Sequence[Tensor], technique: str, seed: int) -> list[tuple[Tensor, int]]:
    """Rank the weights of each layer: 0 is pruned first.

    Return, for each layer, ranks that expand to the weights' shape, and how many items are ranked:
    the layer's weights, its channels, or all weights.
    """
    if technique == "global_unstructured":
        flat = _rank(torch.cat([weight.abs().flatten() for weight in weights]))
        parts = flat.split([weight.numel() for weight in weights])
        return [(p.view(w.shape), len(flat)) for p, w in zip(parts, weights, strict=True)]
    generator = torch.Generator().manual_seed(seed)
    found = []
    for weight in weights:
        if technique == "l1_structured":
            others = [dim for dim in range(weight.dim()) if dim != 1]
            ranks = _rank(torch.linalg.vector_norm(weight, ord=1, dim=others))
            ranks = ranks.view(1, -1, *(1 for _ in others[1:]))
            found.append((ranks, weight.shape[1]))
            continue
        values = weight.abs().flatten()
        if technique == "random_unstructured":
            # Like prune.random_unstructured on a CPU, the largest go first.
            values = -torch.rand(weight.numel(), generator=generator).to(weight.device)
        found.append((_rank(values).view(weight.shape), weight.numel()))
    return found


def _rank(values: Tensor) -> Tensor:
    """Rank values (n,) as int64 (n,): 0 for the smallest; of equal ones the later comes first."""
    order = torch.sort(values, descending=True, stable=True).indices
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(values) - 1, -1, -1, device=values.device)
    return ranks


# Masks that a training keeps


def magnitude_masks(
    model: nn.Module, max_params: int, *, importance: str = "magnitude", seed: int = 0
) -> dict[str, Tensor]:
    """Choose which weights to keep so that the model has ``max_params`` trainable parameters left.

    Return boolean masks by parameter name, for the trainable weights of the ``prunable`` layers;
    all other parameters are kept and counted, even where they are zero. Kept are the largest
    magnitudes of all layers together ("magnitude"), or weights drawn from ``seed`` alone
    ("random"). Weights that are already zero go first, so that pruning again removes some of what
    the previous pruning left. Raises ValueError where ``max_params`` would remove all weights of a
    layer.
    """
    weights = {
        f"{name}.weight": weight.detach()
        for name, module in prunable(model).items()
        if (weight := module.get_parameter("weight")).requires_grad
    }
    num_weights = sum(w.numel() for w in weights.values())
    rest = sum(p.numel() for p in model.parameters() if p.requires_grad) - num_weights
    keep = max(0, max_params - rest)
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
                f"{max_params:,} parameters are too few: {name} would lose all its weights"
            )
        masks[name] = part.view(w.shape).clone()
    return masks


def count_nonzeros(model: nn.Module) -> int:
    """Count the trainable parameters that are not zero."""
    return sum(int(p.count_nonzero()) for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Multiply the parameters by their masks, in place."""
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        parameters[name].mul_(mask.to(parameters[name].device))
