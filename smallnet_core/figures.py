"""Figures 8 to 16 of the paper redrawn from our records; a command for these and for pruning's.

``paper_figures`` says what goes into a drawing of ``svg``. Pure but for ``write_figures`` and the
command ``python -m smallnet_core.figures OUT_DIR [FOLDERS...]``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from smallnet_core.claims import DATASET_NAMES, NETWORK_NAMES, OPTIMIZER_NAMES, by_source
from smallnet_core.pruning_figures import (
    OneShotCurve,
    PrunedRow,
    one_shot_curve,
    pruned_rows,
    pruning_figures,
)
from smallnet_core.recipes import RECIPE_KINDS, find_recipe
from smallnet_core.records import Claim, NotMeasured, Rule
from smallnet_core.svg import Panel, Reference, Series, as_number, svg

__all__ = ["main", "paper_figures", "write_figures"]

Record: TypeAlias = Mapping[str, Any]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


# The paper's figures


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


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What a record of the model cache says of one training."""

    kind: str
    dataset: str
    network: str
    optimizer: str
    seed: int
    settings: str  # the recipe but for its seed
    label_smoothing: float
    held_out: bool  # whether it was judged on training images held out
    time: str
    epochs: tuple[float, ...]
    train_loss: tuple[float, ...]
    train_accuracy_percent: tuple[float, ...]
    test_accuracy_percent: tuple[float, ...]

    @property
    def row(self) -> tuple[str, str]:
        return self.network, self.optimizer


def _run(record: Record) -> _Run:
    """The run of a record; ValueError for what is none."""
    try:
        recipe, curve = record["recipe"], record["curve"]
        optimizer = recipe["optimizer"]["name"]
        names = (recipe["kind"], recipe["dataset"], recipe["network"], optimizer)
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a name that is no text")
        columns = {
            name: tuple(as_number(epoch[name]) for epoch in curve)
            for name in ("epoch", "train_loss", "train_accuracy_percent", "test_accuracy_percent")
        }
        return _Run(
            kind=names[0],
            dataset=names[1],
            network=names[2],
            optimizer=names[3],
            seed=int(recipe["seed"]),
            settings=_settings(recipe),
            label_smoothing=as_number(recipe.get("label_smoothing", 0.0)),
            held_out=bool(recipe.get("holdout", 0)),
            time=str(record.get("time", "")),
            epochs=columns.pop("epoch"),
            **columns,
        )
    except KeyError as error:
        raise ValueError(f"not a record of a training: it has no {error}") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"not a record of a training: {error}") from error


def _settings(recipe: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in recipe.items() if k != "seed"}, sort_keys=True)


def paper_figures(records: Iterable[Record], *, kind: str | None = None) -> dict[str, str]:
    """The figures of the paper that ``records`` have a curve of, by name: "figure-08" to "-16".

    A figure is of one ``kind`` of recipe: without one, of that with the most curves for it. Of
    several recipes for one row the current one counts, else the latest; every seed is drawn. Runs
    judged on held-out training images are no test accuracies, and left out. Raises ValueError for
    what is no record.
    """
    # Pruned networks, and whatever begins or ends elsewhere, are no row of the paper's tables.
    runs = [run for record in records if not (run := _run(record)).held_out]
    runs = [run for run in runs if run.kind in RECIPE_KINDS]
    figures = {}
    for figure in _PAPER_FIGURES:
        claims = by_source(figure.source, metric="accuracy_percent")
        of_figure = [
            run
            for run in runs
            if kind in (None, run.kind)
            and any(_is_of(claim, run) for claim in claims)
            and any(math.isfinite(y) for y in run.test_accuracy_percent + run.train_loss)
        ]
        if of_figure:
            figures[f"figure-{figure.number:02}"] = _paper_figure(figure, claims, of_figure)
    return figures


def _is_of(claim: Claim, run: _Run) -> bool:
    return (
        (claim.dataset, claim.network) == (run.dataset, run.network)
        and run.optimizer in OPTIMIZER_NAMES
        and claim.optimizer in (None, run.optimizer)
    )


def _paper_figure(figure: _PaperFigure, claims: Sequence[Claim], runs: Sequence[_Run]) -> str:
    def num_rows(kind: str) -> tuple[int, bool]:
        return len({run.row for run in runs if run.kind == kind}), kind == "paper"

    kind = max(sorted({run.kind for run in runs}), key=num_rows)
    by_row: dict[tuple[str, str], list[_Run]] = {}
    for run in runs:
        if run.kind == kind:
            by_row.setdefault(run.row, []).append(run)
    networks = list(dict.fromkeys(claim.network or "" for claim in claims))
    rows = [(network, optimizer) for network in networks for optimizer in OPTIMIZER_NAMES]
    drawn = {row: _current(by_row[row]) for row in rows if row in by_row}

    shown = [run for found in drawn.values() for run in found]
    percents = [y for run in shown for y in run.train_accuracy_percent + run.test_accuracy_percent]
    accuracies = _percent_range([*percents, *(claim.paper_value for claim in claims)])
    parts = [("", tuple(OPTIMIZER_NAMES))]
    if figure.by_optimizer:
        parts = [
            (f"({letter}) {name}: ", (optimizer,))
            for letter, (optimizer, name) in zip("abc", OPTIMIZER_NAMES.items(), strict=True)
        ]
    panels: list[Panel] = []
    for head, optimizers in parts:
        part = {row: found for row, found in drawn.items() if row[1] in optimizers}
        if part:
            of_part = [claim for claim in claims if claim.optimizer in (None, *optimizers)]
            panels += _three_panels(head, part, of_part, accuracies)

    names = _listed([NETWORK_NAMES[network] for network in dict.fromkeys(row[0] for row in drawn)])
    dataset = DATASET_NAMES[claims[0].dataset or ""]
    unnamed = claims[0].optimizer is None  # Section 5.2 has neither optimizers nor numbers
    others = sorted({run.row for run in runs} - drawn.keys(), key=rows.index)
    missing = _missing(rows, {*drawn, *others}, any_optimizer=unnamed)
    smoothed = sorted({f"{run.label_smoothing:g}" for run in shown if run.label_smoothing})
    note = (
        f"Ours: {kind} recipes, {_epochs(shown)}."
        + (f" Their loss is of labels smoothed by {_listed(smoothed)}." if smoothed else ""),
        f"Not trained here: {missing}." if missing else "",
        f"Trained by other recipes only, and left out: {_rows(others)}." if others else "",
        f"Dotted: chance; {figure.source} prints no accuracy, but that they did not learn."
        if unnamed
        else f"Dotted: the paper's values, {figure.source}, each the best epoch on the test set.",
        figure.remark,
    )
    return svg(
        panels,
        title=f"Figure {figure.number} redrawn: {names} on {dataset}"
        + (", by optimizer" if figure.by_optimizer else ""),
        description="Training loss, training accuracy and test accuracy by epoch. "
        + " ".join(_said(row, found, claims) for row, found in drawn.items()),
        note=" ".join(filter(None, note)),
        reference_name="the paper" if unnamed else "the paper's value",
    )


def _current(runs: Sequence[_Run]) -> list[_Run]:
    """Of one row's runs those of one recipe, the suite's own or else the latest, by seed."""
    by_settings: dict[str, dict[int, _Run]] = {}
    for run in runs:
        by_settings.setdefault(run.settings, {}).setdefault(run.seed, run)
    first = runs[0]
    try:
        recipe = find_recipe(first.kind, first.dataset, first.network, first.optimizer)
        settings = _settings(recipe.canonical())
    except (NotMeasured, ValueError):
        settings = ""
    if settings not in by_settings:
        settings = max(
            by_settings, key=lambda key: (max(run.time for run in by_settings[key].values()), key)
        )
    return [run for _, run in sorted(by_settings[settings].items())]


def _percent_range(values: Iterable[float]) -> tuple[float, float]:
    """Tens around all values, with room for a line at the edge; within 0 to 100."""
    found = [value for value in values if math.isfinite(value)]
    low = max(0, 10 * math.floor((min(found) - 1) / 10))
    return low, max(low + 10, min(100, 10 * math.ceil((max(found) + 1) / 10)))


def _three_panels(
    head: str,
    rows: Mapping[tuple[str, str], Sequence[_Run]],
    claims: Sequence[Claim],
    accuracies: tuple[float, float],
) -> list[Panel]:
    def series(values: Callable[[_Run], tuple[float, ...]], *, gaps: bool = True) -> list[Series]:
        found = []
        for row, runs in rows.items():
            label = _row_label(row) + (f" ({len(runs)} seeds)" if len(runs) > 1 else "")
            for run in runs:
                points = list(zip(run.epochs, values(run), strict=True))
                if not gaps:
                    points = [(x, y) for x, y in points if math.isfinite(y)]
                x, y = [x for x, _ in points], [y for _, y in points]
                found.append(Series(label=label, x=x, y=y, style=_style(*row)))
        return found

    return [
        Panel(
            title=f"{head}training loss" if head else "Training loss",
            x_label="epoch",
            y_label="cross entropy",
            series=series(lambda run: run.train_loss),
        ),
        Panel(
            title=f"{head}training accuracy" if head else "Training accuracy",
            x_label="epoch",
            y_label="% of training images",
            series=series(lambda run: run.train_accuracy_percent),
            y_range=accuracies,
        ),
        Panel(
            title=f"{head}test accuracy" if head else "Test accuracy",
            x_label="epoch",
            y_label="% of test images",
            # A line across the epochs that were not evaluated.
            series=series(lambda run: run.test_accuracy_percent, gaps=False),
            references=_references(claims),
            y_range=accuracies,
        ),
    ]


def _references(claims: Sequence[Claim]) -> list[Reference]:
    """The paper's values as its tables print them."""
    if claims[0].optimizer is None:  # no numbers, but that the networks do not learn
        values = dict.fromkeys(claim.paper_value for claim in claims)
        return [Reference(value=value, label=f"{value:g} did not learn") for value in values]
    return [
        Reference(
            value=claim.paper_value,
            label=f"{_printed(claim)} {_row_label((claim.network or '', claim.optimizer or ''))}",
            style=_style(claim.network or "", claim.optimizer or ""),
        )
        for claim in claims
    ]


def _printed(claim: Claim) -> str:
    return f"{claim.paper_value:.{0 if claim.resolution >= 1 else 2}f}"


def _style(network: str, optimizer: str) -> str:
    return f"{optimizer}-{'small' if network.endswith('_s') else 'full'}"


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
    return _listed([NETWORK_NAMES[network] for network in networks if network not in trained])


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    by_network: dict[str, list[str]] = {}
    for network, optimizer in rows:
        by_network.setdefault(NETWORK_NAMES[network], []).append(OPTIMIZER_NAMES[optimizer])
    return "; ".join(f"{network} with {_listed(names)}" for network, names in by_network.items())


def _epochs(runs: Sequence[_Run]) -> str:
    numbers = sorted({len(run.epochs) for run in runs})
    text = " to ".join(f"{number}" for number in dict.fromkeys((numbers[0], numbers[-1])))
    return f"{text} epoch{'' if numbers == [1] else 's'}"


def _said(row: tuple[str, str], runs: Sequence[_Run], claims: Sequence[Claim]) -> str:
    """A row's curves in a sentence for each seed."""
    of_row = [c for c in claims if c.network == row[0] and c.optimizer in (None, row[1])]
    paper = "".join(
        f" (paper: {'does not learn' if claim.rule is Rule.FAILS else _printed(claim)})"
        for claim in of_row[:1]
    )
    return " ".join(
        f"{_row_label(row)}{f', seed {run.seed}' if len(runs) > 1 else ''}: {_epochs([run])}, "
        f"loss {_ends(run.train_loss, '')}, training accuracy "
        f"{_ends(run.train_accuracy_percent, ' %')}, test accuracy "
        f"{_ends(run.test_accuracy_percent, ' %')}{paper}."
        for run in runs
    )


def _ends(values: Sequence[float], unit: str) -> str:
    found = [value for value in values if math.isfinite(value)]
    return f"from {found[0]:.2f} to {found[-1]:.2f}{unit}" if found else "never finite"


# Files

_ZOO_DIR = Path(__file__).parent / "zoo"  # cache.ZOO_DIR, which would load torch


def write_figures(
    folder: Path, records: Iterable[Record], *, kind: str | None = None
) -> list[Path]:
    """Write ``paper_figures`` to figure-NN.svg in ``folder``, made if need be; OSError if not."""
    return _write(folder, paper_figures(records, kind=kind))


def _write(folder: Path, figures: Mapping[str, str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.svg" for name in figures]
    for path, text in zip(paths, figures.values(), strict=True):
        path.write_bytes(text.encode())
    return paths


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What folders hold that can be drawn."""

    records: list[Record]
    curves: list[OneShotCurve]
    rows: list[PrunedRow]


def _read(folders: Iterable[Path], warn: Callable[[str], object]) -> _Found:
    """Records, curves and saved benchmarks of the folders and of their "curves".

    A JSON file that is none of them is a warning. OSError for no readable folder.
    """
    found = _Found(records=[], curves=[], rows=[])
    for folder in folders:
        paths = sorted(folder.iterdir())
        if (curves := folder / "curves").is_dir():
            paths += sorted(curves.iterdir())
        for path in (path for path in paths if path.suffix == ".json"):
            try:
                data = json.loads(path.read_bytes())
                if isinstance(data, dict) and "smallnet" in data:
                    found.rows.extend(pruned_rows(data))
                elif path.parent == curves or (isinstance(data, dict) and "technique" in data):
                    found.curves.append(one_shot_curve(data))
                else:
                    if _run(data).held_out:
                        warn(f"{path}: left out, judged on held-out training images")
                    found.records.append(data)
            except (OSError, ValueError, RecursionError) as error:
                warn(f"{path}: skipped, {error}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the figures; the exit status: 1 where there are none, 2 for a bad folder."""
    parser = argparse.ArgumentParser(
        prog="python -m smallnet_core.figures",
        description="Redraw figures 8 to 17 of the paper, and accuracy against size.",
    )
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="where figure-*.svg go")
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        default=[_ZOO_DIR],
        help="folders of model records, of curves of pruning (there or in their folder curves) "
        "and of saved benchmarks, all .json. Default: the package's zoo",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPE_KINDS,
        help="which recipes, in figures 8 to 16. Default: those with most curves",
    )
    options = parser.parse_args(argv)

    def warn(line: str) -> None:
        sys.stderr.write(f"warning: {' '.join(line.split())}\n")

    try:
        found = _read(options.folders, warn)
        figures = paper_figures(found.records, kind=options.recipe)
        of_pruning = pruning_figures(found.records, found.curves, found.rows)
        # The paper's own values are always there: alone they are no figure of ours.
        if figures or found.curves or len(of_pruning) > 1:
            figures |= of_pruning
        paths = _write(options.out_dir, figures)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}; expected a folder\n")
        return 2
    for path in paths:
        sys.stdout.write(f"{path}\n")
    if not paths:
        sys.stderr.write(
            f"no figure: none of {len(found.records)} records has a curve of figures 8 to 16, and "
            "there is none of pruning\n"
        )
    return 0 if paths else 1


if __name__ == "__main__":
    sys.exit(main())
