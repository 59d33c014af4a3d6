"""Figures 8 to 16 of the paper redrawn from our training curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from statistics import mean
from typing import TYPE_CHECKING, Any, TypeAlias

from smallnet_core.claims import by_source
from smallnet_core.claims.names import DATASET_NAMES, NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.figures import style
from smallnet_core.figures.records import Run, current
from smallnet_core.figures.style import Panel, listed
from smallnet_core.recipes import RECIPE_KINDS
from smallnet_core.records import Claim, Rule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row: TypeAlias = tuple[str, str]  # network and optimizer

# The table or section with the final accuracies of each figure's networks.
_SOURCES = {
    8: "Table 2",
    9: "Table 2",
    10: "Table 3",
    11: "Table 3",
    12: "Section 5.2",
    13: "Table 4",
    14: "Table 4",
    15: "Table 5",
    16: "Table 5",
}
_BY_OPTIMIZER = (9, 11, 13, 16)  # (a) SGDM, (b) ADAM, (c) AdaBound below one another
_WRONG_CAPTION = (13, 16)
_SHOWN = {
    "train_loss": "training loss",
    "train_accuracy_percent": "training accuracy",
    "test_accuracy_percent": "test accuracy",
}


def paper_figures(runs: Iterable[Run], *, kind: str | None = None) -> dict[str, str]:
    """Draw the figures that ``runs`` have curves for: SVG by name, "figure-08" to "figure-16"."""
    runs = list(runs)
    figures = {number: paper_figure(number, runs, kind=kind) for number in _SOURCES}
    return {f"figure-{number:02}": svg for number, svg in figures.items() if svg is not None}


def paper_figure(number: int, runs: Iterable[Run], *, kind: str | None = None) -> str | None:
    """Draw one of figures 8 to 16 from training curves; return the SVG, None without a curve.

    It shows one ``kind`` of recipe, by default the one with most curves. If a row has several
    recipes, the current one counts, or else the latest; every seed is drawn. Runs judged on
    held-out training images have no test accuracy and are left out.
    """
    claims = by_source(_SOURCES[number], metric="accuracy_percent")
    networks = list(dict.fromkeys(claim.network or "" for claim in claims))
    rows = [(network, optimizer) for network in networks for optimizer in OPTIMIZER_NAMES]
    # Pruned networks, and other datasets and networks, are not rows of the paper's table.
    runs = [
        run
        for run in runs
        if run.recipe.kind in (RECIPE_KINDS if kind is None else (kind,))
        and run.recipe.holdout == 0
        and run.recipe.dataset == claims[0].dataset
        and run.row in rows
        and any(_finite(run.column(name)) for name in _SHOWN)
    ]
    if not runs:
        return None

    def num_rows(kind: str) -> tuple[int, bool]:
        return len({run.row for run in runs if run.recipe.kind == kind}), kind == "paper"

    kind = max(sorted({run.recipe.kind for run in runs}), key=num_rows)
    found = {
        row: current(run for run in runs if (run.row, run.recipe.kind) == (row, kind))
        for row in rows
    }
    drawn = {row: of_row for row, of_row in found.items() if of_row}
    shown = [run for of_row in drawn.values() for run in of_row]

    limits = _percent_range(
        y for run in shown for name in list(_SHOWN)[1:] for y in _finite(run.column(name))
    )
    panels = []
    if number in _BY_OPTIMIZER:
        for letter, (optimizer, name) in zip("abc", OPTIMIZER_NAMES.items(), strict=True):
            part = {row: of_row for row, of_row in drawn.items() if row[1] == optimizer}
            panels += _curves(f"({letter}) {name}: ", part, limits, 130) if part else []
    else:
        panels = _curves("", drawn, limits, 200)

    unnamed = claims[0].optimizer is None  # Section 5.2 has neither optimizers nor numbers
    others = sorted({run.row for run in runs} - drawn.keys(), key=rows.index)
    have = {network if unnamed else (network, name) for network, name in (*drawn, *others)}
    missing = (
        listed([NETWORK_NAMES[network] for network in networks if network not in have])
        if unnamed
        else _by_network([row for row in rows if row not in have])
    )
    smoothed = sorted({run.recipe.label_smoothing for run in shown} - {0.0})
    note = (
        f"Ours: {kind} recipes, {_epochs(shown)}.",
        f"Their loss is with labels smoothed by {listed([f'{s:g}' for s in smoothed])}."
        if smoothed
        else "",
        f"Not trained here: {missing}." if missing else "",
        f"Trained only with other recipes, and left out: {_by_network(others)}." if others else "",
        f"{_SOURCES[number]} prints no accuracy, only that they did not learn: chance is drawn."
        if unnamed
        else f"The paper's values: {_SOURCES[number]}, each the best epoch on the test set.",
        "The paper's caption names the ResNets, but the figure is in the section on ViT."
        if number in _WRONG_CAPTION
        else "",
    )
    names = listed([NETWORK_NAMES[network] for network in dict.fromkeys(row[0] for row in drawn)])
    return style.svg(
        [*panels, [_comparison(claims, drawn)]],
        title=f"Figure {number} redrawn: {names} on {DATASET_NAMES[claims[0].dataset or '']}"
        + (", by optimizer" if number in _BY_OPTIMIZER else ""),
        description="Training loss, training accuracy and test accuracy by epoch. "
        + " ".join(_said(row, of_row, claims) for row, of_row in drawn.items()),
        note=" ".join(filter(None, note)),
    )


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _percent_range(values: Iterable[float]) -> tuple[float, float]:
    """Return a range in tens around all percentages, with some room, within 0 to 100."""
    found = [value for value in values if 0 <= value <= 100] or [0.0]
    low = max(0, 10 * math.floor((min(found) - 1) / 10))
    return low, max(low + 10, min(100, 10 * math.ceil((max(found) + 1) / 10)))


def _curves(
    head: str, rows: Mapping[Row, Sequence[Run]], limits: tuple[float, float], test_height: int
) -> list[list[Panel]]:
    """Lay out loss and training accuracy side by side, with the test accuracy below them."""

    def plot(name: str, axes: Axes) -> None:
        for row, runs in rows.items():
            seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
            look = _look(row, label=_label(row) + seeds, linewidth=1 if seeds else 1.8)
            for run in runs:
                style.plot(axes, run.column("epoch"), run.column(name), **look)
        axes.locator_params(axis="x", integer=True)
        if name != "train_loss":
            axes.set_ylim(*limits)

    def panel(name: str, unit: str, height: int = 130) -> Panel:
        title = head + (_SHOWN[name] if head else _SHOWN[name].capitalize())
        return Panel(
            title=title, unit=unit, x_label="epoch", plot=partial(plot, name), height=height
        )

    return [
        [
            panel("train_loss", "cross entropy"),
            panel("train_accuracy_percent", "% of training images"),
        ],
        [panel("test_accuracy_percent", "% of test images", test_height)],
    ]


def _comparison(claims: Sequence[Claim], drawn: Mapping[Row, Sequence[Run]]) -> Panel:
    """Compare each of the paper's values with our last epochs, one line per value."""
    rows: list[tuple[Row, Claim, Sequence[Run]]] = []
    for claim in claims:
        ours = {row: runs for row, runs in drawn.items() if _is_of(claim, row)}
        for row, runs in (ours or {(claim.network or "", claim.optimizer or ""): ()}).items():
            rows.append((row, claim, runs))

    def plot(axes: Axes) -> None:
        lasts = [
            [values[-1] for run in runs if (values := _finite(run.column("test_accuracy_percent")))]
            for _, _, runs in rows
        ]
        papers = [claim.paper_value for claim in claims]
        low, high = _percent_range(chain(papers, *lasts))
        room = 0.14 * (high - low)  # for the numbers
        for y, ((row, claim, _), last) in enumerate(zip(rows, lasts, strict=True)):
            paper = claim.paper_value
            look = style.hollow(6, marker="D", markersize=8, zorder=4, markerfacecolor="none")
            axes.plot(paper, y, label="the paper's value", **look)
            spans = [(paper, paper, _printed(claim))]
            if last:
                axes.plot(last, [y] * len(last), zorder=3, **_look(row) | {"linestyle": "none"})
                spans.append((min(last), max(last), f"{mean(last):.2f}"))
            spans.sort()
            for k, (left, right, text) in enumerate(spans):
                # Write to the right, unless another mark is there.
                hidden = k + 1 < len(spans) and spans[k + 1][0] - right < 2 * room
                x, offset = (left, -9) if hidden else (right, 9)
                style.write_beside(axes, text, (x, y), offset, size=12)
        axes.set(xlim=(low - room, high + room), ylim=(len(rows) - 0.4, -0.6))
        axes.set_yticks(range(len(rows)), [_label(row) for row, _, _ in rows])
        axes.locator_params(axis="x", integer=True, nbins=6)
        axes.grid(visible=False, axis="y")

    return Panel(
        title="Our last epoch and the paper's value",
        unit="% of test images",
        plot=plot,
        height=26 * len(rows),
        ticks=152,
    )


def _is_of(claim: Claim, row: Row) -> bool:
    return claim.network == row[0] and claim.optimizer in (None, row[1])


def _printed(claim: Claim) -> str:
    number = f"{claim.paper_value:.{0 if claim.resolution >= 1 else 2}f}"
    if claim.rule is Rule.FAILS:
        return "did not learn" if claim.optimizer is None else f"{number}, did not learn"
    return number


def _look(row: Row, **changes: Any) -> dict[str, Any]:
    """Return a row's style: the optimizer's colour, solid lines for the small networks."""
    number = list(OPTIMIZER_NAMES).index(row[1])
    large = not row[0].endswith("_s")
    marker = style.MARKERS[number + 4 * large]
    return style.line(number, linestyle=style.DASHES[large], marker=marker, **changes)


def _label(row: Row) -> str:
    return f"{NETWORK_NAMES[row[0]]} {OPTIMIZER_NAMES.get(row[1], '')}".strip()


def _by_network(rows: Sequence[Row]) -> str:
    found: dict[str, list[str]] = {}
    for network, optimizer in rows:
        found.setdefault(NETWORK_NAMES[network], []).append(OPTIMIZER_NAMES[optimizer])
    return "; ".join(f"{network} with {listed(names)}" for network, names in found.items())


def _epochs(runs: Sequence[Run]) -> str:
    numbers = sorted({len(run.curve) for run in runs})
    text = " to ".join(f"{number}" for number in dict.fromkeys((numbers[0], numbers[-1])))
    return f"{text} epoch{'' if numbers == [1] else 's'}"


def _said(row: Row, runs: Sequence[Run], claims: Sequence[Claim]) -> str:
    """Describe a row's curves in a sentence for each seed."""
    paper = "".join(f" (paper: {_printed(claim)})" for claim in claims if _is_of(claim, row))
    sentences = []
    for run in runs:
        seed = f", seed {run.recipe.seed}" if len(runs) > 1 else ""
        ends = [
            f"{name} {_ends(_finite(run.column(column)), '' if column == 'train_loss' else ' %')}"
            for column, name in _SHOWN.items()
        ]
        sentences.append(f"{_label(row)}{seed}: {_epochs([run])}, {', '.join(ends)}{paper}.")
    return " ".join(sentences)


def _ends(values: Sequence[float], unit: str) -> str:
    return f"from {values[0]:.2f} to {values[-1]:.2f}{unit}" if values else "never finite"
