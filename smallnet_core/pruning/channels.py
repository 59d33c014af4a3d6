"""Remove whole channels from a trained network, down to a number of parameters.

torch-pruning finds which channels of which layers are coupled and how important they are; they are
ranked, and the tensors cut, here.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.models.layer_table import count_parameters

# One dict per round of pruning: the name of the first layer of each group of coupled layers, in the
# order of named_modules, and which of its output channels were removed, as numbered before that
# round. It is valid JSON, and successive prunings concatenate. The group of an attention's queries,
# keys and values is named after to_qkv; its channels are those of one of the three.
Plan = list[dict[str, list[int]]]

# Share of a group's channels (in attention, of each head's dimensions) that always stays, and their
# least number: otherwise a global ranking empties whole layers, which blocks the signal. Targets
# down to about a hundredth of the parameters can still be reached.
_MIN_SHARE = 0.1
_MIN_CHANNELS = 4

_TAYLOR_BATCH_SIZE = 100

_LAYERS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)


@dataclass(frozen=True)
class _Group:
    """Coupled channels: of layers' outputs, of norms, and of the next layers' inputs."""

    root: str
    heads: int  # each a run of channels / heads; all keep the same size
    channels: int
    # By a tensor's name in the state dict and its dimension: the indices that hold each channel.
    places: Mapping[tuple[str, int], list[list[int]]]
    coupled: Any  # torch-pruning's group


def prune_channels(
    model: nn.Module,
    max_params: int,
    *,
    importance: str = "magnitude",
    images: Tensor | None = None,
    labels: Tensor | None = None,
    seed: int = 0,
    round_to: int = 1,
) -> Plan:
    """Remove the least important channels of ``model``, in place, until ``max_params`` are left.

    It removes the fewest channels that leave at most ``max_params`` trainable parameters. Channels
    of all layers are ranked together, each group's importances relative to their mean; no layer
    loses more than nine tenths of its channels. Not pruned are the input, the outputs of the
    classifier (the last Linear) and of layers whose weights are frozen. Attention keeps its heads;
    each loses equally many dimensions, its own least important ones. A transformer's embedding is
    pruned too, with class token and positions. Parameters keep their identity, and their gradients
    become None; build the optimizer afterwards.

    Channels of a group are removed ``round_to`` at a time, so that a multiple of it stays one:
    processors compute that many at a time.

    ``importance`` is one of recipes.IMPORTANCES. "magnitude": the mean square norm of a channel's
    weights in all its layers. "lamp": the same divided by the sum over the group's channels that
    are not less important (Lee et al. 2021). "bn_scale": batch norm's learned factor; groups
    without one are not pruned. "taylor": the first-order change, weight by weight, of the mean loss
    over ``images``, normalised float (N, 3, 32, 32), and ``labels`` (N,). "random": drawn from
    ``seed`` alone.

    Returns the plan of what was removed. Raises ValueError for a ``max_params`` that is too small.
    """
    scores = _importances(model, importance, images, labels, seed)
    groups = [group for group, _ in scores]
    ranked: list[Tensor] = []  # (heads, channels of each), the least important first
    order: list[tuple[float, float, int]] = []
    for index, (group, score) in enumerate(scores):
        values, positions = score.view(group.heads, -1).sort(dim=1, stable=True)
        size = positions.shape[1]
        ranked.append(positions + size * torch.arange(group.heads, device="cpu").unsqueeze(1))
        stay = max(_MIN_CHANNELS, math.ceil(_MIN_SHARE * size))
        # With equal importances every group loses the same share.
        blocks = values.mean(0).split(round_to)
        order += [
            (block.mean().item(), at * round_to / size, index)
            for at, block in enumerate(blocks)
            if (at + 1) * round_to <= size - stay
        ]
    order.sort()

    whole = copy.deepcopy(model).to("meta")

    def channels(removed: int) -> dict[str, list[int]]:
        """List the channels that each group loses with the first ``removed`` blocks."""
        blocks = Counter(index for _, _, index in order[:removed])
        return {
            groups[index].root: sorted(ranked[index][:, : round_to * number].flatten().tolist())
            for index, number in sorted(blocks.items())
        }

    def left(removed: int) -> int:
        twin = copy.deepcopy(whole)
        _remove(twin, groups, channels(removed))
        return count_parameters(twin)

    if (fewest := left(len(order))) > max_params:
        raise ValueError(f"max_params is {max_params:,}, but at least {fewest:,} parameters remain")
    removed = bisect_left(range(len(order)), True, key=lambda k: left(k) <= max_params)
    _remove(model, groups, found := channels(removed))
    return [found]


def apply_plan(model: nn.Module, plan: Plan) -> nn.Module:
    """Remove from ``model``, in place, the channels that ``plan`` names, and return it.

    ``model`` has the architecture before the plan's first round, with any weights, on any device,
    including meta.
    """
    groups = _trace(copy.deepcopy(model).to("meta"))
    kept = {group.root: list(range(group.channels)) for group in groups}
    for channels in plan:
        for root, indices in channels.items():
            gone = set(indices)
            kept[root] = [channel for i, channel in enumerate(kept[root]) if i not in gone]
    removed = {group.root: {*range(group.channels)} - {*kept[group.root]} for group in groups}
    _remove(model, groups, removed)
    return model


def _trace(twin: nn.Module) -> list[_Group]:
    """Find the groups of coupled channels, in the order of their roots.

    The group of the classifier's outputs is omitted. ``twin`` is changed: it is put into evaluation
    mode, and all parameters become trainable, as torch-pruning follows autograd's graph. The
    channels of grouped convolutions are not supported.
    """
    import torch_pruning as tp

    twin.eval().requires_grad_(True)
    names = {module: name for name, module in twin.named_modules()}
    linears = [module for module in names if isinstance(module, nn.Linear)]
    parameter_names = {p: name for name, p in twin.named_parameters()}
    own = [  # along the last dimension with more than one entry
        (p, max(dim for dim, size in enumerate(p.shape) if size > 1))
        for module in names
        if not isinstance(module, _LAYERS + _NORMS)
        for p in module.parameters(recurse=False)
        if p.numel() > 1
    ]
    first = next(twin.parameters())
    images = torch.zeros(1, 3, 32, 32, dtype=first.dtype, device=first.device)
    with torch.enable_grad():
        graph = tp.DependencyGraph().build_dependency(
            twin, (images,), unwrapped_parameters=own, verbose=False
        )

    found, order = [], list(names.values())
    for coupled in graph.get_all_groups(ignored_layers=linears[-1:], root_module_types=_LAYERS):
        heads, coupled = _headed(twin, names, graph, coupled)
        channels = len(coupled[0].idxs)
        places: dict[tuple[str, int], list[list[int]]] = {}
        roots: list[str] = []
        for item in coupled:
            module = item.dep.target.module
            where = []  # nowhere in an operation without parameters
            if isinstance(module, nn.Parameter):
                where = [(parameter_names[module], item.dep.target.pruning_dim)]
            elif module in names:
                cut_outputs = graph.get_pruner_of_module(module).prune_out_channels
                if item.dep.handler == cut_outputs:
                    where = [
                        (f"{names[module]}.{tensor}", 0)
                        for tensor in ("weight", "bias", "running_mean", "running_var")
                        if getattr(module, tensor, None) is not None
                    ]
                    if isinstance(module, _LAYERS):
                        roots.append(names[module])
                else:
                    where = [(f"{names[module]}.weight", 1)]
            for one in where:
                by_channel = places.setdefault(one, [[] for _ in range(channels)])
                for place, channel in zip(item.idxs, item.root_idxs, strict=True):
                    by_channel[channel].append(place)
        found.append(_Group(min(roots, key=order.index), heads, channels, places, coupled))
    return sorted(found, key=lambda group: order.index(group.root))


def _headed(
    twin: nn.Module, names: dict[nn.Module, str], graph: Any, coupled: Any
) -> tuple[int, Any]:
    """Return the heads of an attention's group, and the group as seen from the output projection.

    Seen from there, a channel is one of q, one of k and one of v. Any other group is returned as it
    is, with one head.
    """
    for item in coupled:
        module = item.dep.target.module
        pruner = graph.get_pruner_of_module(module)
        name = names.get(module, "")
        if name.endswith(".to_qkv") and item.dep.handler == pruner.prune_out_channels:
            attention: Any = twin.get_submodule(name.removesuffix(".to_qkv"))
            projection = attention.to_out[0]
            channels = list(range(projection.in_features))
            group = graph.get_pruning_group(projection, pruner.prune_in_channels, channels)
            return attention.heads, group
    return 1, coupled


def _remove(
    model: nn.Module, groups: Iterable[_Group], channels: Mapping[str, Iterable[int]]
) -> None:
    """Remove the channels, given by their group's root, from every tensor that holds them."""
    model.zero_grad(set_to_none=True)
    gone: dict[tuple[str, int], set[int]] = {}
    for group in groups:
        for channel in channels.get(group.root, ()):
            for where, places in group.places.items():
                gone.setdefault(where, set()).update(places[channel])
    for (name, dim), indices in gone.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = model.get_submodule(owner_name)
        tensor: Tensor = getattr(owner, leaf)
        kept = [place for place in range(tensor.shape[dim]) if place not in indices]
        # The same object with new contents: it stays trainable or frozen, and an optimizer with
        # state for it fails instead of updating a tensor that the network no longer uses.
        tensor.data = tensor.detach().index_select(dim, torch.tensor(kept, device=tensor.device))
        _resize(owner)


def _resize(module: nn.Module) -> None:
    """Update the sizes that a layer prints, and in some cases uses, to those of its tensors."""
    if isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.num_features = len(module.weight)


def _importances(
    model: nn.Module, importance: str, images: Tensor | None, labels: Tensor | None, seed: int
) -> list[tuple[_Group, Tensor]]:
    """Return the groups that may be pruned, each with its importances: (channels,) float64."""
    import torch_pruning as tp

    twin = copy.deepcopy(model).eval().requires_grad_(True)
    twin.zero_grad(set_to_none=True)
    if importance == "taylor":
        assert images is not None and labels is not None
        _backward(twin, images, labels)
    frozen = {n for n, p in model.named_parameters() if p.ndim > 1 and not p.requires_grad}
    generator = torch.Generator("cpu").manual_seed(seed)

    def random(group: Any) -> Tensor:
        return torch.rand(len(group[0].idxs), generator=generator, device="cpu")

    estimate: Callable[[Any], Tensor | None] = {
        "magnitude": lambda: tp.importance.GroupMagnitudeImportance(p=2),
        "bn_scale": lambda: tp.importance.BNScaleImportance(),
        "lamp": lambda: tp.importance.LAMPImportance(p=2),
        "taylor": lambda: tp.importance.GroupTaylorImportance(),
        "random": lambda: random,
    }[importance]()
    found = []
    for group in _trace(twin.cpu()):
        if any((name, 0) in group.places for name in frozen):
            continue
        score = estimate(group.coupled)
        if score is not None:
            # 0 / 0 where all channels of a group have importance 0.
            found.append((group, score.double().nan_to_num(nan=0.0)))
    return found


def _backward(twin: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Compute the gradients of the mean loss over ``images`` in ``twin``."""
    device = next(twin.parameters()).device
    for batch, targets in zip(
        images.split(_TAYLOR_BATCH_SIZE), labels.split(_TAYLOR_BATCH_SIZE), strict=True
    ):
        with torch.enable_grad():
            loss = F.cross_entropy(twin(batch.to(device)), targets.to(device), reduction="sum")
            (loss / len(images)).backward()
