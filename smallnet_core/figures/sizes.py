"""Accuracy on CIFAR-10 against the number of parameters: ours, the paper's and the published."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING

from smallnet_core.claims import CLAIMS, NETWORK_NAMES
from smallnet_core.figures import style
from smallnet_core.figures.records import Run, current, settings_of
from smallnet_core.figures.style import Drawing, Panel, Point, listed
from smallnet_core.recipes.pruned import DENSE, PRUNED_NAMES, find_pruned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DATASET = "cifar10"

# Trainable parameters for ten classes.
NUM_PARAMS = {
    "resnet18": 11_173_962,
    "vgg16": 15_245_130,
    "resnet18_s": 701_466,
    "vgg16_s": 955_098,
    "vit_s": 840_010,
    "speednet": 991_032,
}
_NAMES = {**NETWORK_NAMES, "speednet": "SpeedNet"}


@dataclass(frozen=True, kw_only=True)
class _Dot:
    """A network: how large it is, how good, and to whom it belongs."""

    name: str
    kind: str  # of _KINDS
    num_params: int
    accuracy_percent: float  # the mean
    num_seeds: int = 1
    source: str = ""
    flipped: bool = False  # at test time

    @property
    def place(self) -> Point:
        return self.num_params / 1e6, self.accuracy_percent


# What others print, in repositories, as exactly as they do.
def _published(
    source: str, *rows: tuple[str, int, float], pruned: bool = False
) -> tuple[_Dot, ...]:
    return tuple(
        _Dot(
            name=name,
            kind="published, pruned" if pruned else "published",
            num_params=size,
            accuracy_percent=percent,
            source=source,
        )
        for name, size, percent in rows
    )


# Two accuracies of one network are two recipes' for it.
PUBLISHED = (
    *_published("idstcv/ZenNAS", ("ZenNet-0.5M", 500_000, 96.2), ("ZenNet-1M", 1_000_000, 96.2)),
    *_published(
        "osmr/imgclsmob",
        ("SE-ResNet-56", 862_889, 95.87),
        ("DenseNet-BC-100", 769_162, 95.84),
        ("ResNet-56", 855_770, 95.48),
        ("ResNet-20", 272_474, 94.03),
    ),
    *_published("liuzhuang13/DenseNet", ("DenseNet-BC-100", 769_162, 95.49)),
    *_published(
        "chenyaofo/pytorch-cifar-models",
        ("ResNet-56", 855_770, 94.37),
        ("ResNet-20", 272_474, 92.60),
        ("MobileNetV2 x0.5", 700_000, 92.88),
    ),
    *_published("akamaster/pytorch_resnet_cifar10", ("ResNet-56", 855_770, 93.39)),
    *_published(
        "SHI-Labs/Compact-Transformers",
        ("CCT-4/3x2", 482_000, 91.45),
        ("CCT-2/3x2", 284_000, 89.17),
    ),
    *_published("VainF/Torch-Pruning", ("ResNet-56 by DepGraph", 430_000, 93.83), pruned=True),
    *_published(
        "lmbxmu/HRankPlus",
        ("ResNet-56 by HRankPlus", 660_000, 93.85),
        ("ResNet-56 by HRankPlus", 480_000, 93.57),
        ("ResNet-56 by HRankPlus", 240_000, 92.32),
        ("ResNet-110 by HRankPlus", 720_000, 93.81),
        ("DenseNet-40 by HRankPlus", 620_000, 94.51),
        pruned=True,
    ),
    *_published(
        "zyxxmu/lottery-jackpots",
        ("VGG19, 95 % pruned", 1_000_000, 93.9),
        ("VGG19, 95 % pruned", 1_000_000, 93.5),
        pruned=True,
    ),
)

# How a network was made small, or who has measured it; its name in the legend, its mark and colour.
_KINDS = {
    "dense": ("ours, dense", style.line(0)),
    "channels": ("ours, channels removed", style.line(1)),
    "weights": ("ours, weights masked", style.line(2)),
    "fresh": ("ours, pruned shape, fresh weights", style.line(4)),
    "paper": ("the paper's", style.line(8, markersize=10)),
    "published": ("published", style.hollow(7, marker="o", zorder=1.9)),  # behind ours
    "published, pruned": ("published, pruned", style.hollow(7, marker="s", zorder=1.9)),
}


_SIGNS = dict(zip(_KINDS, "●■▲▼★○□", strict=True))  # the same marks, in a line of text


def size_figure(runs: Iterable[Run]) -> dict[str, Drawing]:
    """ "figure-accuracy-parameters"; nothing where no network of ours has an accuracy.

    Of ``runs`` those count that were judged on CIFAR-10's test set after their last epoch.
    """
    runs = [
        run
        for run in runs
        if run.counts and run.dataset == _DATASET and 0 <= run.accuracy_percent <= 100
    ]
    dense, pruned = _dense_dots(runs), _pruned_dots(runs)
    ours = {**dense, **pruned}
    if not ours:
        return {}
    paper = [
        _Dot(
            name=f"the paper's {_NAMES[network]}",
            kind="paper",
            num_params=NUM_PARAMS[network],
            accuracy_percent=CLAIMS[f"table2/{network}-adabound"].paper_value,
        )
        for network in ("resnet18_s", "resnet18")
    ]
    dots = [*ours.values(), *paper, *PUBLISHED]
    links = [
        (ours[_parent(name)].place, dot.place)
        for name, dot in pruned.items()
        if dot.kind in ("channels", "weights") and _parent(name) in ours
    ]
    low = min(89.0, *(dot.accuracy_percent for dot in ours.values()))
    smallest = min(0.125, *(dot.num_params / 1e6 for dot in ours.values()))
    everything = (0.8 * smallest, 20.0), (10.0 * math.floor((low - 1) / 10), 100.0)
    panels = [
        Panel(
            title="All",
            unit="% of test images",
            x_label="million parameters, logarithmic",
            plot=partial(_plot, dots, links, *everything, close=False),
            height=_HEIGHT,
        ),
        Panel(
            title="{:g} to {:g} million, from {:g} to {:g} %".format(*_CLOSE_X, *_CLOSE_Y),
            unit="% of test images",
            x_label="million parameters",
            plot=partial(_plot, dots, links, _CLOSE_X, _CLOSE_Y, close=True),
            height=_CLOSE_HEIGHT,
        ),
    ]
    most = max(dot.num_seeds for dot in ours.values())
    flipped = [dot.name for dot in ours.values() if dot.flipped]
    missing = [
        *(_NAMES[network] for network in DENSE if network not in dense),
        *(name for name in PRUNED_NAMES if name not in pruned),
    ]
    note = (
        f"Ours: the last epoch, {'one seed' if most == 1 else f'the mean of up to {most} seeds'} "
        "each; under masks what is not zero counts.",
        f"With test-time flips: {listed(flipped)}." if flipped else "",
        "Grey lines: from a dense network to what was pruned from it, and trained on.",
        "The paper's: Table 2, the best epoch on the test set.",
        "Published: other networks by other recipes, none run here.",
        f"Not trained here: {listed(missing)}." if missing else "",
    )
    figure = Drawing(
        rows=[[panel] for panel in panels],
        title="Accuracy on CIFAR-10 against the number of parameters",
        description="Test accuracy by size, twice: all networks, and those of about a million "
        f"parameters and less. {' '.join(map(_said, dots))}",
        note=" ".join(filter(None, note)),
        key=[
            f"{number} {_SIGNS[dot.kind]} {dot.name} "
            f"{dot.accuracy_percent:.2f} %, {dot.num_params / 1e6:.2f} M"
            for number, dot in enumerate(dots, 1)
        ],
    )
    return {"figure-accuracy-parameters": figure}


def _said(dot: _Dot) -> str:
    seeds = f", {dot.num_seeds} seeds" if dot.num_seeds > 1 else ""
    source = f", {dot.source}" if dot.source else ""
    return (
        f"{dot.name} ({_KINDS[dot.kind][0]}{source}): {dot.accuracy_percent:.2f} %, "
        f"{dot.num_params:,} parameters{seeds}."
    )


def _dot(name: str, kind: str, num_params: int, runs: Sequence[Run]) -> _Dot | None:
    """The mean over the seeds of the current recipe; None without runs."""
    runs = current(runs)
    if not runs:
        return None
    return _Dot(
        name=name,
        kind=kind,
        num_params=runs[0].num_params or num_params,
        accuracy_percent=mean(run.accuracy_percent for run in runs),
        num_seeds=len(runs),
        flipped=any(run.flipped for run in runs),
    )


def _dense_dots(runs: Sequence[Run]) -> dict[str, _Dot]:
    dots = {}
    for network, optimizer in {**DENSE, "speednet": "muon"}.items():
        of_row = [run for run in runs if (run.kind, *run.row) == ("tuned", network, optimizer)]
        if dot := _dot(_NAMES[network], "dense", NUM_PARAMS[network], of_row):
            dots[network] = dot
    return dots


def _pruned_dots(runs: Sequence[Run]) -> dict[str, _Dot]:
    """By the name of the recipe, which it is exactly."""
    dots = {}
    for name in PRUNED_NAMES:
        recipe = find_pruned(name, _DATASET)
        pruning, settings = recipe.pruning, settings_of(recipe.canonical())
        size = NUM_PARAMS[recipe.network] if pruning is None else pruning.max_params
        kind = "dense"
        if pruning is not None:
            kind = "fresh" if pruning.weights == "fresh" else pruning.structure
        dot = _dot(_short(name), kind, size, [run for run in runs if run.settings == settings])
        if dot is not None:
            dots[name] = dot
    return dots


def _short(name: str) -> str:
    """What a recipe is called beside a mark that says how it was pruned."""
    first, *rest = name.split("-")
    if first in _NAMES:
        return " ".join((_NAMES[first], *rest[2:]))
    if rest == ["dense"]:
        return "ResNet18_S, ticket's"
    return f"{first.replace('_', ' ')} {' '.join(rest)} %"


def _parent(name: str) -> str:
    network = name.split("-")[0]
    return network if network in DENSE else "ticket-dense"


_CLOSE_X, _CLOSE_Y = (0.1, 1.1), (86.0, 97.0)  # where what is published lies
_HEIGHT, _CLOSE_HEIGHT = 260, 420


def _plot(
    dots: Sequence[_Dot],
    links: Sequence[tuple[Point, Point]],
    x_range: Point,
    y_range: Point,
    axes: Axes,
    *,
    close: bool,
) -> None:
    axes.set(xlim=x_range, ylim=y_range, xscale="linear" if close else "log")
    axes.xaxis.set_major_formatter("{x:g}")
    for link in links:
        axes.plot(*zip(*link, strict=True), color=style.AXIS[0], linewidth=1, zorder=1)
    for kind, (label, look) in _KINDS.items():
        places = [dot.place for dot in dots if dot.kind == kind]
        if places:
            axes.plot(*zip(*places, strict=True), **{**look, "linestyle": "none"}, label=label)
    for number, dot in enumerate(dots, 1):  # the key has their names
        x, y = dot.place
        is_near = _CLOSE_X[0] <= x <= _CLOSE_X[1] and _CLOSE_Y[0] <= y <= _CLOSE_Y[1]
        if is_near == close:
            axes.annotate(f"{number}", (x, y), (5, 3), textcoords="offset points", fontsize=11)
