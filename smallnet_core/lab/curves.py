"""Accuracy after pruning in one shot, by proportion: measured, kept as JSON, and read off.

A point is a pass over all test images, so passes are made short: batch norms are folded into
their convolutions, which are given no input channels that their weights ignore.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils.hooks import RemovableHandle

from smallnet_core.data.batches import normalise
from smallnet_core.pruning.masks import TECHNIQUES, OneShot, prunable
from smallnet_core.system.files import json_fields, replace_file
from smallnet_core.system.machine import environment, keep_freed_memory, synchronize
from smallnet_core.training.evaluation import batch_size

__all__ = [
    "PROPORTIONS",
    "Curve",
    "curve_path",
    "estimate_seconds",
    "find_curve",
    "lost_at",
    "measure",
    "measure_curve",
    "read_curve",
    "write_curve",
]

PROPORTIONS = tuple(round(k * 0.05, 2) for k in range(21))

# Multiply-adds that take as long as moving one activation, on a core with AVX-512: 3x3 convolutions
# of 64, 128 and 256 channels gave 58, 58 and 69.
_MOVE_COST = 60

_SCHEMA = 1
_MADE = ("environment", "commit", "dataset_digests", "seconds")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How many test images a network classifies right at each proportion; ValueError for nonsense.

    ``seed`` is that of random pruning, 0 for the other techniques. ``made`` has "environment",
    "commit" (None outside git), "dataset_digests" and "seconds", as JSON values.
    """

    technique: str  # of TECHNIQUES
    proportions: tuple[float, ...]  # rising, 0 to 1
    num_zeros: tuple[int, ...]  # pruned weights, of num_weights
    hits: tuple[int, ...]  # images classified right, of num_images
    num_images: int
    num_weights: int  # that can be pruned
    seed: int
    network: str  # the name of its recipe
    weights_sha256: str
    made: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.technique not in TECHNIQUES:
            raise ValueError(
                f"unknown technique {self.technique!r}: one of {', '.join(TECHNIQUES)}"
            )
        if not 0 < len(self.proportions) == len(self.num_zeros) == len(self.hits):
            raise ValueError(
                f"{len(self.proportions)} proportions, {len(self.num_zeros)} numbers of zeros and "
                f"{len(self.hits)} of hits: as many of each are expected, at least one"
            )
        if self.technique != "random_unstructured" and self.seed != 0:
            raise ValueError(f"{self.technique} draws nothing: its seed is 0, not {self.seed}")
        rising = all(a < b for a, b in zip(self.proportions, self.proportions[1:], strict=False))
        if not rising or not all(0 <= p <= 1 for p in self.proportions):
            raise ValueError(f"proportions rise from 0 to 1, not {self.proportions}")
        for name, counts, most in (
            ("num_zeros", self.num_zeros, self.num_weights),
            ("hits", self.hits, self.num_images),
        ):
            if most < 1 or not all(0 <= count <= most for count in counts):
                raise ValueError(f"{name} are out of range: {counts} of {most}")

    @property
    def accuracy_percent(self) -> tuple[float, ...]:
        """Share of the images classified right at each proportion."""
        return tuple(100 * hits / self.num_images for hits in self.hits)

    def at(self, proportion: float) -> float:
        """The accuracy in percent; ValueError for a proportion that was not measured."""
        for measured, accuracy in zip(self.proportions, self.accuracy_percent, strict=True):
            if math.isclose(measured, proportion, abs_tol=1e-9):  # 3 * 0.05 is not 0.15
                return accuracy
        raise ValueError(
            f"{self.network} was not measured at {proportion}: at "
            f"{', '.join(map(str, self.proportions))}"
        )


# Measuring


class _Network:
    """A copy of ``model`` for evaluation; ``load`` gives it the weights that the model has now.

    What has changed since the copy was made are weights of ``prunable`` layers only.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._norms = _norms_behind(model)
        self._skips: list[RemovableHandle] = []
        self.module = copy.deepcopy(model).eval()
        for name, norm in self._norms.items():
            self.module.get_submodule(name).register_parameter("bias", self._folded(name)[1])
            self.module.set_submodule(norm, nn.Identity())
        self.module.requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def load(self) -> None:
        for skip in self._skips:
            skip.remove()
        self._skips.clear()
        for name in prunable(self._model):
            target = self.module.get_submodule(name)
            weight = self._folded(name)[0].detach().clone()
            if isinstance(target, nn.Conv2d):
                weight = self._skipped(target, weight).contiguous(memory_format=torch.channels_last)
            target.weight = nn.Parameter(weight, requires_grad=False)

    def hits(
        self,
        images: Tensor,
        labels: Tensor,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        tick: Callable[[], object] = lambda: None,
    ) -> int:
        """How many of the uint8 ``images`` are classified as ``labels`` say; a tick a batch."""
        size = batch_size(images.device)
        hits = torch.zeros((), dtype=torch.int64, device=images.device)
        with torch.inference_mode():
            for x, y in zip(images.split(size), labels.split(size), strict=True):
                logits = self.module(normalise(x, mean, std, torch.float32))
                hits += (logits.argmax(1) == y).sum()
                tick()
        return int(hits)

    def _folded(self, name: str) -> tuple[Tensor, nn.Parameter | None]:
        """Weight and bias of a layer, with the batch norm behind it if there is one to fold."""
        layer: Any = self._model.get_submodule(name)
        if name not in self._norms:
            return layer.weight, layer.bias
        norm = self._model.get_submodule(self._norms[name])
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        return fuse_conv_bn_weights(
            layer.weight,
            layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )

    def _skipped(self, convolution: nn.Conv2d, weight: Tensor) -> Tensor:
        """``weight`` without the input channels that it ignores, which are not given either."""
        kept = weight.ne(0).any(dim=(0, 2, 3)).nonzero().flatten()
        # Multiply-adds for each position of the input.
        saved = weight[:, 0].numel() * (weight.shape[1] - len(kept)) / math.prod(convolution.stride)
        if convolution.groups > 1 or saved <= _MOVE_COST * len(kept):
            return weight
        if len(kept) == 0:
            kept = kept.new_zeros(1)  # torch convolves no empty input; the weight is zero
        self._skips.append(convolution.register_forward_pre_hook(partial(_taken, kept)))
        return weight[:, kept]


def _taken(kept: Tensor, convolution: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Channels ``kept`` of (N, C, H, W): columns of a matrix, as index_select is quick there."""
    n, channels, height, width = inputs[0].shape
    rows = inputs[0].permute(0, 2, 3, 1).reshape(-1, channels)
    return rows.index_select(1, kept).view(n, height, width, len(kept)).permute(0, 3, 1, 2)


def _norms_behind(model: nn.Module) -> dict[str, str]:
    """The batch norm of each convolution that is followed by nothing else, by name.

    Empty where the network cannot be traced.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception:  # a forward may do anything to what stands in for a tensor
        return {}
    modules = dict(model.named_modules(remove_duplicate=False))
    calls = [node for node in graph.nodes if node.op == "call_module"]
    num_calls = Counter(modules[str(node.target)] for node in calls)
    found = {}
    for node in calls:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or source not in calls or len(source.users) > 1:
            continue
        convolution, norm = modules[str(source.target)], modules[str(node.target)]
        if (
            isinstance(convolution, nn.Conv2d)
            and isinstance(norm, nn.BatchNorm2d)
            and norm.running_mean is not None
            and num_calls[convolution] == num_calls[norm] == 1
        ):
            found[str(source.target)] = str(node.target)
    return found


def measure(
    model: nn.Module,
    technique: str,
    images: Tensor,
    labels: Tensor,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    proportions: Sequence[float] = PROPORTIONS,
    seed: int = 0,
    dense_hits: int | None = None,
    tick: Callable[[], object] = lambda: None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of pruned weights and of images classified right, at each of rising proportions.

    ``images`` uint8 (N, 3, H, W) and ``labels`` int64 (N,), both on the model's device;
    ``dense_hits``, where they are known from another technique, save the pass at proportion 0.
    ``tick`` is called after each batch. The model keeps its weights and its mode. Raises what
    ``OneShot`` and its ``prune_to`` raise.
    """
    keep_freed_memory()
    num_zeros, hits = [], []
    with OneShot(model, technique, seed=seed) as pruner:
        network = _Network(model)
        for proportion in proportions:
            pruner.prune_to(proportion)
            num_zeros.append(pruner.num_zeros)
            if proportion == 0 and dense_hits is not None:
                hits.append(dense_hits)
                continue
            network.load()
            hits.append(network.hits(images, labels, mean, std, tick))
    return tuple(num_zeros), tuple(hits)


def measure_curve(
    model: nn.Module,
    technique: str,
    images: Tensor,
    labels: Tensor,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    network: str,
    weights_sha256: str,
    commit: Mapping[str, Any] | None,
    dataset_digests: Mapping[str, str],
    proportions: Sequence[float] = PROPORTIONS,
    seed: int = 0,
    dense_hits: int | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Curve:
    """What ``measure`` finds, with what it was found on; ``network`` is the recipe's name."""
    facts, start = environment(images.device).as_dict(), time.perf_counter()
    num_zeros, hits = measure(
        model,
        technique,
        images,
        labels,
        mean=mean,
        std=std,
        proportions=proportions,
        seed=seed,
        dense_hits=dense_hits,
        tick=tick,
    )
    return Curve(
        technique=technique,
        proportions=tuple(proportions),
        num_zeros=num_zeros,
        hits=hits,
        num_images=len(images),
        num_weights=_num_weights(model),
        seed=seed if technique == "random_unstructured" else 0,
        network=network,
        weights_sha256=weights_sha256,
        made={
            "environment": facts,
            "commit": None if commit is None else dict(commit),
            "dataset_digests": dict(dataset_digests),
            "seconds": round(time.perf_counter() - start, 1),
        },
    )


def _num_weights(model: nn.Module) -> int:
    return sum(layer.get_parameter("weight").numel() for layer in prunable(model).values())


def estimate_seconds(
    model: nn.Module, num_images: int, device: torch.device, num_points: int = len(PROPORTIONS)
) -> float:
    """How long ``measure`` would take here, from a timed batch of blank images (N, 3, 32, 32)."""
    size = min(batch_size(device), num_images)
    images = torch.zeros(size, 3, 32, 32, dtype=torch.uint8, device=device)
    labels = torch.zeros(size, dtype=torch.int64, device=device)
    network = _Network(model)
    network.load()
    start = 0.0
    for _ in range(2):  # the first one warms up
        synchronize(device)
        start = time.perf_counter()
        network.hits(images, labels, (0.5,) * 3, (0.5,) * 3)
    return (time.perf_counter() - start) * num_points * num_images / size


# Keeping curves


def curve_path(folder: Path, name: str, technique: str, seed: int = 0) -> Path:
    """Where the curve of the recipe ``name`` is kept; only that of random pruning has a seed."""
    drawn = f"-seed{seed}" if technique == "random_unstructured" else ""
    return folder / f"{name}-{technique}{drawn}.json"


def write_curve(folder: Path, curve: Curve) -> Path:
    """Write a curve as JSON, a field a line, whole or not at all; raises OSError."""
    record = {
        "schema": _SCHEMA,
        **{field.name: getattr(curve, field.name) for field in fields(curve)},
        **curve.made,
    }
    del record["made"]
    path = curve_path(folder, curve.network, curve.technique, curve.seed)
    replace_file(path, json_fields(record).encode())
    return path


def read_curve(
    folder: Path, name: str, technique: str, *, weights_sha256: str, seed: int = 0
) -> Curve | None:
    """The curve of the recipe ``name`` with exactly these weights; None where there is none.

    Raises ValueError, with its path, for a file that is anything else, and OSError for one that
    cannot be read.
    """
    path = curve_path(folder, name, technique, seed)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _curve_of(
            json.loads(text, parse_constant=_no_number),
            {
                "schema": _SCHEMA,
                "network": name,
                "technique": technique,
                "seed": seed if technique == "random_unstructured" else 0,
                "weights_sha256": weights_sha256,
            },
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: not a {technique} curve of {name} ({error!r})") from error


def _curve_of(record: dict[str, Any], expected: Mapping[str, Any]) -> Curve:
    for key, value in expected.items():
        if _typed(record[key], type(value)) != value:
            raise ValueError(f"{key} is {record[key]!r}, expected {value!r}")
    made = {key: record[key] for key in _MADE}
    _typed(made["environment"], dict)
    _typed(made["commit"], dict, type(None))
    _typed(made["dataset_digests"], dict)
    if not 0 <= _typed(made["seconds"], int, float) < math.inf:
        raise ValueError(f"seconds is {made['seconds']}")
    return Curve(
        technique=record["technique"],
        proportions=tuple(float(_typed(p, int, float)) for p in record["proportions"]),
        num_zeros=tuple(_typed(count, int) for count in record["num_zeros"]),
        hits=tuple(_typed(count, int) for count in record["hits"]),
        num_images=_typed(record["num_images"], int),
        num_weights=_typed(record["num_weights"], int),
        seed=record["seed"],
        network=record["network"],
        weights_sha256=record["weights_sha256"],
        made=made,
    )


def _typed(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:  # True is no 1
        raise ValueError(f"{value!r} is no {' or '.join(kind.__name__ for kind in kinds)}")
    return value


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def find_curve(
    folders: Sequence[Path],
    name: str,
    technique: str,
    *,
    weights_sha256: str,
    seed: int = 0,
    complaints: list[str] | None = None,
) -> Curve | None:
    """The curve from the first folder that has it; any other file in its place is a complaint."""
    for folder in folders:
        try:
            found = read_curve(folder, name, technique, weights_sha256=weights_sha256, seed=seed)
        except (OSError, ValueError) as error:
            if complaints is not None:
                complaints.append(f"curve ignored: {error}")
            continue
        if found is not None:
            return found
    return None


# Reading off


def lost_at(proportions: Sequence[float], accuracy: Sequence[float], points: float) -> float | None:
    """The proportion where ``accuracy`` first lies ``points`` below that at proportion 0.

    Linear between two neighbours; None where it never does. Raises ValueError for columns of
    different lengths, that do not begin at 0, and for ``points`` that are not above 0.
    """
    if len(proportions) != len(accuracy) or not proportions or proportions[0] != 0:
        raise ValueError(
            f"{len(accuracy)} accuracies at {tuple(proportions)}: one at each of rising "
            "proportions is expected, the first of them 0"
        )
    if not points > 0:
        raise ValueError(f"a loss is more than 0 points, not {points}")
    lost = [accuracy[0] - value for value in accuracy]
    for i in range(1, len(lost)):
        if lost[i] >= points - 1e-9:  # accuracies are rounded
            share = min(1.0, (points - lost[i - 1]) / (lost[i] - lost[i - 1]))
            return proportions[i - 1] + share * (proportions[i] - proportions[i - 1])
    return None
