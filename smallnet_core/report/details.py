"""The parts of a page about each network and about the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallnet_core.claims.load import read
from smallnet_core.judging.per_class import class_report
from smallnet_core.report.chart import Chart, polyline, scale
from smallnet_core.report.results import VERDICTS
from smallnet_core.report.table import Cell, Row, Table
from smallnet_core.runs.file import RunFile

_MAX_CLASSES = 20  # of a confusion matrix that is shown in full
_NUM_CONFUSED = 20


def machine_facts(file: RunFile) -> Mapping[str, str]:
    """Return where, when and with what a run was made."""
    machine = file.machine
    seeds = sorted({seed for row in file.rows for seed in row.get("seeds") or ()})
    facts = {
        "run": file.datetime,
        "commit": f"{file.commit.get('id')}{' with changes' * bool(file.commit.get('dirty'))}",
        "device": f"{machine.get('device')}, {machine.get('device_name')}",
        "system": machine.get("system") or "",
        "threads": str(machine.get("num_threads") or ""),
        "memory": f"{machine.get('memory_gib')} GiB",
        "Python": machine.get("python") or "",
        "versions": ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items()),
        "seeds": ", ".join(map(str, seeds)),
        "claims measured": str(sum(row.get("verdict") in VERDICTS for row in file.rows)),
    }
    return {name: value for name, value in facts.items() if value}


def settings(recipe: Mapping[str, Any], prefix: str = "") -> str:
    """Return a recipe's settings in a line; those of its parts have the part's name as prefix."""
    return ", ".join(
        settings(value, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else f"{prefix}{name} {value}"
        for name, value in recipe.items()
    )


def curve(run: Row) -> Chart:
    """Lay out a network's accuracy by epoch."""
    train, test = (
        [epoch[f"{name}_accuracy_percent"] for epoch in run["curve"]] for name in ("train", "test")
    )
    low, high = scale([train, test])
    limits = max(low, 0.0), min(high, 100.0)
    ends = [value for value in test if value is not None]
    ends_text = "no test accuracy during training"
    if ends:
        ends_text = f"test accuracy from {ends[0]:.2f} to {ends[-1]:.2f} %"
    return Chart(
        title=f"Accuracy by epoch, {len(test)} epochs",
        description=f"{ends_text}; dashed: training accuracy",
        lines=[polyline(test, limits), polyline(train, limits)],
        low=f"{limits[0]:.0f} %",
        high=f"{limits[1]:.0f} %",
        first="epoch 1",
        last=f"{len(test)}",
    )


def class_tables(run: Row) -> list[Table]:
    """Lay out a report by class and the confusion matrix or, with many classes, its maxima."""
    confusion, dataset = run["confusion"], run["recipe"]["dataset"]
    names = read("classes.toml").get(dataset, [])
    if len(names) != len(confusion):  # digits
        names = [str(k) for k in range(len(confusion))]
    found = class_report(confusion)
    metrics = ("precision", "recall", "f1")
    rows = [
        [name, *(f"{found[metric][k]:.3f}" for metric in metrics), f"{found['support'][k]:,.0f}"]
        for k, name in enumerate([*names, "macro avg"])
    ]
    header = ("class", *metrics, "support")
    report = Table(header, rows, caption="By class", folded=True)
    if len(confusion) <= _MAX_CLASSES:
        return [report, _matrix(names, confusion)]
    pairs = [
        (n, names[k], names[j])
        for k, counts in enumerate(confusion)
        for j, n in enumerate(counts)
        if j != k and n
    ]
    most = [[a, b, f"{n}"] for n, a, b in sorted(pairs, reverse=True)[:_NUM_CONFUSED]]
    caption = "Confused most often"
    return [report, Table(("true class", "predicted", "images"), most, (), caption, True)]


def _matrix(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Table:
    rows = [
        [
            names[k],
            *(
                Cell(str(n), verdict="right" if j == k else "wrong" if 50 * n > sum(counts) else "")
                for j, n in enumerate(counts)
            ),
        ]
        for k, counts in enumerate(confusion)
    ]
    note = "A row is a true class, a column what was predicted; marked: more than 2 % of a row."
    return Table(("true class", *names), rows, [note], "Confusion matrix", folded=True)
