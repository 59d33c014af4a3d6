"""Figures 8 to 16 of the paper redrawn from our training curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from smallnet_core.claims import DATASET_NAMES, NETWORK_NAMES, OPTIMIZER_NAMES, by_source
from smallnet_core.figures import style
from smallnet_core.figures.records import Run, current
from smallnet_core.figures.style import Drawing, Panel, listed
from smallnet_core.recipes import RECIPE_KINDS
from smallnet_core.records import Claim, Rule

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class _PaperFigure:
    """A figure of the paper: whose table's networks it shows, and how."""

    number: int
    source: str  # of the claims with the accuracies that it leads to
    by_optimizer: bool = False  # (a) SGDM, (b) ADAM, (c) AdaBound below one another
    remark: str = ""


_CAPTION = "The paper's caption names the ResNets; its section and its place are ViT's."
_PAPER_FIGURES = (
    _PaperFigure(number=8, source="Table 2"),
    _PaperFigure(number=9, source="Table 2", by_optimizer=True),
    _PaperFigure(number=10, source="Table 3"),
    _PaperFigure(number=11, source="Table 3", by_optimizer=True),
    _PaperFigure(number=12, source="Section 5.2"),
    _PaperFigure(number=13, source="Table 4", by_optimizer=True, remark=_CAPTION),
    _PaperFigure(number=14, source="Table 4"),
    _PaperFigure(number=15, source="Table 5"),
    _PaperFigure(number=16, source="Table 5", by_optimizer=True, remark=_CAPTION),
)


def paper_figures(runs: Iterable[Run], *, kind: str | None = None) -> dict[str, Drawing]:
    """The figures of the paper that ``runs`` have a curve of, by name: "figure-08" to "-16".

    A figure is of one ``kind`` of recipe: without one, of that with the most curves for it. Of
    several recipes for one row the current one counts, else the latest; every seed is drawn. Runs
    judged on held-out training images are no test accuracies, and left out.
    """
    # Pruned networks, and whatever begins or ends elsewhere, are no row of the paper's tables.
    runs = [run for run in runs if run.kind in RECIPE_KINDS and not run.held_out]
    figures = {}
    for figure in _PAPER_FIGURES:
        claims = by_source(figure.source, metric="accuracy_percent")
        of_figure = [
            run
            for run in runs
            if kind in (None, run.kind)
            and any(_is_of(claim, run) for claim in claims)
            and any(math.isfinite(y) for name in _SHOWN for y in run.curve[name])
        ]
        if of_figure:
            figures[f"figure-{figure.number:02}"] = _paper_figure(figure, claims, of_figure)
    return figures


_SHOWN = {"train_loss": "training loss", "train_accuracy_percent": "training accuracy"}
_SHOWN["test_accuracy_percent"] = "test accuracy"


def _is_of(claim: Claim, run: Run) -> bool:
    return (
        (claim.dataset, claim.network) == (run.dataset, run.network)
        and run.optimizer in OPTIMIZER_NAMES
        and claim.optimizer in (None, run.optimizer)
    )


def _paper_figure(figure: _PaperFigure, claims: Sequence[Claim], runs: Sequence[Run]) -> Drawing:
    def num_rows(kind: str) -> tuple[int, bool]:
        return len({run.row for run in runs if run.kind == kind}), kind == "paper"

    kind = max(sorted({run.kind for run in runs}), key=num_rows)
    networks = list(dict.fromkeys(claim.network or "" for claim in claims))
    rows = [(network, optimizer) for network in networks for optimizer in OPTIMIZER_NAMES]
    found = {
        row: current(run for run in runs if (run.row, run.kind) == (row, kind)) for row in rows
    }
    drawn = {row: of_row for row, of_row in found.items() if of_row}
    shown = [run for of_row in drawn.values() for run in of_row]

    limits = _percent_range(
        [
            *(claim.paper_value for claim in claims),
            *(y for run in shown for name in list(_SHOWN)[1:] for y in run.curve[name]),
        ]
    )
    parts = [("", tuple(OPTIMIZER_NAMES))]
    if figure.by_optimizer:
        parts = [
            (f"({letter}) {name}: ", (optimizer,))
            for letter, (optimizer, name) in zip("abc", OPTIMIZER_NAMES.items(), strict=True)
        ]
    panels: list[list[Panel]] = []
    for head, optimizers in parts:
        part = {row: of_row for row, of_row in drawn.items() if row[1] in optimizers}
        if part:
            of_part = [claim for claim in claims if claim.optimizer in (None, *optimizers)]
            panels += _three_panels(head, part, of_part, limits, 130 if head else 200)

    names = listed([NETWORK_NAMES[network] for network in dict.fromkeys(row[0] for row in drawn)])
    unnamed = claims[0].optimizer is None  # Section 5.2 has neither optimizers nor numbers
    others = sorted({run.row for run in runs} - drawn.keys(), key=rows.index)
    missing = _missing(rows, {*drawn, *others}, any_optimizer=unnamed)
    smoothed = sorted({f"{run.label_smoothing:g}" for run in shown if run.label_smoothing})
    note = (
        f"Ours: {kind} recipes, {_epochs(shown)}.",
        f"Their loss is of labels smoothed by {listed(smoothed)}." if smoothed else "",
        f"Not trained here: {missing}." if missing else "",
        f"Trained by other recipes only, and left out: {_rows(others)}." if others else "",
        f"Dotted: chance; {figure.source} prints no accuracy, but that they did not learn."
        if unnamed
        else f"Dotted: the paper's values, {figure.source}, each the best epoch on the test set.",
        figure.remark,
    )
    return Drawing(
        rows=panels,
        title=f"Figure {figure.number} redrawn: {names} on {DATASET_NAMES[claims[0].dataset or '']}"
        + (", by optimizer" if figure.by_optimizer else ""),
        description="Training loss, training accuracy and test accuracy by epoch. "
        + " ".join(_said(row, of_row, claims) for row, of_row in drawn.items()),
        note=" ".join(filter(None, note)),
    )


def _percent_range(values: Iterable[float]) -> tuple[float, float]:
    """Tens around all percentages, with room for a line at the edge; within 0 to 100."""
    found = [value for value in values if 0 <= value <= 100]
    low = max(0, 10 * math.floor((min(found) - 1) / 10))
    return low, max(low + 10, min(100, 10 * math.ceil((max(found) + 1) / 10)))


def _three_panels(
    head: str,
    rows: Mapping[tuple[str, str], Sequence[Run]],
    claims: Sequence[Claim],
    limits: tuple[float, float],
    test_height: int,
) -> list[list[Panel]]:
    """Loss and training accuracy side by side, and below them the test accuracy."""

    def plot(name: str, axes: Axes) -> None:
        for (network, optimizer), runs in rows.items():
            seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
            for run in runs:
                look = _look(network, optimizer, linewidth=1 if seeds else 1.8)
                label = _row_label(run.row) + seeds
                style.plot(axes, run.curve["epoch"], run.curve[name], label=label, **look)
        axes.locator_params(axis="x", integer=True)
        if name != "train_loss":
            axes.set_ylim(*limits)
        if name == "test_accuracy_percent":
            for value, label, colour in _references(claims):
                axes.axhline(value, color=colour, linestyle=":", linewidth=1.5, label=label)

    def panel(name: str, unit: str, height: int = 130) -> Panel:
        title = f"{head}{_SHOWN[name]}" if head else _SHOWN[name].capitalize()
        return Panel(
            title=title,
            unit=unit,
            x_label="epoch",
            plot=partial(plot, name),
            height=height,
        )

    return [
        [
            panel("train_loss", "cross entropy"),
            panel("train_accuracy_percent", "% of training images"),
        ],
        [panel("test_accuracy_percent", "% of test images", test_height)],
    ]


def _references(claims: Sequence[Claim]) -> list[tuple[float, str, str]]:
    """Give the paper's values, what the legend calls them, and their colours."""
    if claims[0].optimizer is None:  # no numbers, but that the networks do not learn
        values = dict.fromkeys(claim.paper_value for claim in claims)
        return [(value, f"{value:g} did not learn", style.MUTED[0]) for value in values]
    rows = [(claim, (claim.network or "", claim.optimizer)) for claim in claims if claim.optimizer]
    return [
        (claim.paper_value, f"{_row_label(row)}, paper: {_printed(claim)}", _look(*row)["color"])
        for claim, row in rows
    ]


def _printed(claim: Claim) -> str:
    return f"{claim.paper_value:.{0 if claim.resolution >= 1 else 2}f}"


def _look(network: str, optimizer: str, **changes: float) -> dict[str, Any]:
    """An optimizer's colour and mark; whole lines for the small networks, this suite's subject."""
    number = list(OPTIMIZER_NAMES).index(optimizer)
    if network.endswith("_s"):
        return style.line(number, linestyle="-", **changes)
    return style.hollow(number, linestyle=style.DASHES[1], **changes)


def _row_label(row: tuple[str, str]) -> str:
    return f"{NETWORK_NAMES[row[0]]} {OPTIMIZER_NAMES[row[1]]}"


def _missing(
    rows: Iterable[tuple[str, str]], have: Iterable[tuple[str, str]], *, any_optimizer: bool
) -> str:
    """What the paper's figure shows and we have not; ``any_optimizer`` will do for Figure 12."""
    have = set(have)
    if not any_optimizer:
        return _rows([row for row in rows if row not in have])
    networks = dict.fromkeys(network for network, _ in rows)
    trained = {network for network, _ in have}
    return listed([NETWORK_NAMES[network] for network in networks if network not in trained])


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    by_network: dict[str, list[str]] = {}
    for network, optimizer in rows:
        by_network.setdefault(NETWORK_NAMES[network], []).append(OPTIMIZER_NAMES[optimizer])
    return "; ".join(f"{network} with {listed(names)}" for network, names in by_network.items())


def _epochs(runs: Sequence[Run]) -> str:
    numbers = sorted({len(run.curve["epoch"]) for run in runs})
    text = " to ".join(f"{number}" for number in dict.fromkeys((numbers[0], numbers[-1])))
    return f"{text} epoch{'' if numbers == [1] else 's'}"


def _said(row: tuple[str, str], runs: Sequence[Run], claims: Sequence[Claim]) -> str:
    """A row's curves in a sentence for each seed."""
    of_row = [c for c in claims if c.network == row[0] and c.optimizer in (None, row[1])]
    paper = "".join(
        f" (paper: {'does not learn' if claim.rule is Rule.FAILS else _printed(claim)})"
        for claim in of_row[:1]
    )
    sentences = []
    for run in runs:
        seed = f", seed {run.seed}" if len(runs) > 1 else ""
        ends = [
            f"{name} {_ends(run.curve[column], '' if column == 'train_loss' else ' %')}"
            for column, name in _SHOWN.items()
        ]
        sentences.append(f"{_row_label(row)}{seed}: {_epochs([run])}, {', '.join(ends)}{paper}.")
    return " ".join(sentences)


def _ends(values: Sequence[float], unit: str) -> str:
    found = [value for value in values if math.isfinite(value)]
    return f"from {found[0]:.2f} to {found[-1]:.2f}{unit}" if found else "never finite"
