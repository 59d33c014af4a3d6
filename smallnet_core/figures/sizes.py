"""Accuracy on CIFAR-10 by number of parameters: our networks, the paper's and published ones."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.names import NETWORK_NAMES
from smallnet_core.figures import style
from smallnet_core.figures.records import Run, current, settings_of
from smallnet_core.figures.style import Panel, Point, listed
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

# How a network was made small, or who measured it: label and style in the legend, and the mark in a
# line of text.
_KINDS = {
    "dense": ("ours, dense", style.line(0), "●"),
    "channels": ("ours, channels removed", style.line(1), "■"),
    "weights": ("ours, weights masked", style.line(2), "▲"),
    "fresh": ("ours, pruned shape, fresh weights", style.line(4), "▼"),
    "paper": ("the paper's", style.line(8, markersize=10), "★"),
    "published": ("published", style.hollow(7, marker="o", zorder=1.9), "○"),  # behind ours
    "published, pruned": ("published, pruned", style.hollow(7, marker="s", zorder=1.9), "□"),
}
_CLOSE_X, _CLOSE_Y = (0.1, 1.1), (84.0, 97.0)  # where the published networks lie


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A network: its size, its accuracy, and where they are from."""

    name: str
    kind: str  # of _KINDS
    num_params: int
    accuracy_percent: float  # the mean
    num_seeds: int = 1
    source: str = ""
    flipped: bool = False  # evaluated with flips at test time

    @property
    def place(self) -> Point:
        """Return its coordinates: millions of parameters, and percent."""
        return self.num_params / 1e6, self.accuracy_percent


def published() -> list[Dot]:
    """Read the accuracies that others publish in their repositories."""
    tables = tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8"))
    return [
        Dot(name=name, kind=kind, num_params=size, accuracy_percent=percent, source=source)
        for table, kind in (("dense", "published"), ("pruned", "published, pruned"))
        for source, rows in tables[table].items()
        for name, size, percent in rows
    ]


def size_figure(runs: Iterable[Run]) -> str | None:
    """Draw accuracy against size; return the SVG, None if no network of ours has an accuracy.

    Only ``runs`` judged on CIFAR-10's test set after their last epoch count.
    """
    runs = [
        run
        for run in runs
        if run.recipe.dataset == _DATASET
        and run.recipe.holdout == 0
        and run.recipe.selection == "last"
        and run.test_accuracy_percent is not None
        and 0 <= run.test_accuracy_percent <= 100
    ]
    ours = _dots(runs)
    if not ours:
        return None
    paper = [
        Dot(
            name=f"the paper's {NETWORK_NAMES[network]}",
            kind="paper",
            num_params=NUM_PARAMS[network],
            accuracy_percent=CLAIMS[f"table2/{network}-adabound"].paper_value,
        )
        for network in ("resnet18_s", "resnet18")
    ]
    dots = [*ours.values(), *paper, *published()]
    links = [
        (ours[_parent(name)].place, dot.place)
        for name, dot in ours.items()
        if dot.kind in ("channels", "weights") and _parent(name) in ours
    ]
    low = min(89.0, *(dot.accuracy_percent for dot in ours.values()))
    smallest = min(0.125, *(dot.num_params / 1e6 for dot in ours.values()))
    everything = (0.8 * smallest, 20.0), (10.0 * math.floor((low - 1) / 10), 100.0)
    most = max(dot.num_seeds for dot in ours.values())
    flipped = [dot.name for dot in ours.values() if dot.flipped]
    missing = [NETWORK_NAMES.get(key, key) for key in (*DENSE, *PRUNED_NAMES) if key not in ours]
    note = (
        f"Ours: the last epoch, {'one seed' if most == 1 else f'the mean of up to {most} seeds'} "
        "each; masked networks count only nonzero weights.",
        f"With test-time flips: {listed(flipped)}." if flipped else "",
        "Grey lines: from a dense network to those pruned from it and trained further.",
        "The paper's: Table 2, the best epoch on the test set.",
        "Published: other networks with other recipes, none trained here.",
        f"Not trained here: {listed(missing)}." if missing else "",
    )
    panels = (
        Panel(
            title="All",
            unit="% of test images",
            x_label="million parameters, logarithmic",
            plot=partial(_plot, dots, links, *everything, close=False),
            height=260,
        ),
        Panel(
            title="{:g} to {:g} million, from {:g} to {:g} %".format(*_CLOSE_X, *_CLOSE_Y),
            unit="% of test images",
            x_label="million parameters",
            plot=partial(_plot, dots, links, _CLOSE_X, _CLOSE_Y, close=True),
            height=440,
        ),
        # The key to the numbers beside the marks.
        Panel(
            plot=partial(_write_key, dots),
            height=_KEY_LINE * math.ceil(len(dots) / 2),
            ticks=0,
        ),
    )
    return style.svg(
        [[panel] for panel in panels],
        title="Accuracy on CIFAR-10 against the number of parameters",
        description="Test accuracy by size, in two panels: all networks, and those of about a "
        f"million parameters or fewer. {' '.join(map(_said, dots))}",
        note=" ".join(filter(None, note)),
    )


def _said(dot: Dot) -> str:
    seeds = f", {dot.num_seeds} seeds" if dot.num_seeds > 1 else ""
    source = f", {dot.source}" if dot.source else ""
    return (
        f"{dot.name} ({_KINDS[dot.kind][0]}{source}): {dot.accuracy_percent:.2f} %, "
        f"{dot.num_params:,} parameters{seeds}."
    )


def _dots(runs: Sequence[Run]) -> dict[str, Dot]:
    """Return dense networks by name, then pruned ones by recipe: the mean over the seeds of each.

    A run of a pruned network must have exactly the current settings.
    """
    found: dict[str, tuple[str, str, int, list[Run]]] = {}  # name, kind, size, runs
    for network, optimizer in {**DENSE, "speednet": "muon"}.items():
        row = "tuned", network, optimizer
        own = [run for run in runs if (run.recipe.kind, *run.row) == row]
        found[network] = NETWORK_NAMES[network], "dense", NUM_PARAMS[network], own
    for name in PRUNED_NAMES:
        recipe = find_pruned(name, _DATASET)
        size, kind = NUM_PARAMS[recipe.network], "dense"
        if recipe.pruning is not None:
            size = recipe.pruning.max_params
            kind = "fresh" if recipe.pruning.weights == "fresh" else recipe.pruning.structure
        settings = settings_of(recipe)
        own = [run for run in runs if run.settings == settings]
        found[name] = _short(name), kind, size, own
    return {
        key: Dot(
            name=name,
            kind=kind,
            num_params=size if seeds[0].judged is None else seeds[0].judged.num_nonzeros,
            accuracy_percent=mean(run.test_accuracy_percent or 0.0 for run in seeds),
            num_seeds=len(seeds),
            flipped=any(run.recipe.test_time_flips != "none" for run in seeds),
        )
        for key, (name, kind, size, own) in found.items()
        if (seeds := current(own))
    }


def _short(name: str) -> str:
    """Return a recipe's name without the kind of pruning, which the mark shows."""
    first, *rest = name.split("-")
    if first in NETWORK_NAMES:
        return " ".join((NETWORK_NAMES[first], *rest[2:]))
    if rest == ["dense"]:
        return "ResNet18_S, ticket's"
    return f"{first.replace('_', ' ')} {' '.join(rest)} %"


def _parent(name: str) -> str:
    network = name.split("-")[0]
    return network if network in DENSE else "ticket-dense"


def _plot(
    dots: Sequence[Dot],
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
    for kind, (label, look, _) in _KINDS.items():
        places = [dot.place for dot in dots if dot.kind == kind]
        if places:
            axes.plot(*zip(*places, strict=True), **{**look, "linestyle": "none"}, label=label)
    for number, dot in enumerate(dots, 1):
        x, y = dot.place
        is_near = _CLOSE_X[0] <= x <= _CLOSE_X[1] and _CLOSE_Y[0] <= y <= _CLOSE_Y[1]
        if is_near == close:
            # Lines reach pruned networks from the right: put their numbers on the left.
            pruned = dot.kind in ("channels", "weights", "published, pruned")
            style.write_beside(axes, f"{number}", (x, y), -6 if pruned else 6, size=11)


_KEY_LINE = 17


def _write_key(dots: Sequence[Dot], axes: Axes) -> None:
    axes.set_axis_off()
    half = math.ceil(len(dots) / 2)
    axes.set(xlim=(0, 2), ylim=(half, 0))
    for index, dot in enumerate(dots):
        column, line = divmod(index, half)
        size, percent = dot.place
        text = f"{index + 1} {_KINDS[dot.kind][2]} {dot.name} {percent:.2f} %, {size:.2f} M"
        axes.text(column, line, text, fontsize=11, va="top")
