"""What a verdict opens to: its claim, the networks it is of, their curves and classes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.claims.names import DATASET_NAMES
from smallnet_core.report.grid import Cell, Chart, Grid, polyline, scale
from smallnet_core.report.page_tables import network_name
from smallnet_core.report.results import (
    NEITHER,
    RECORDED,
    VERDICTS,
    Result,
)
from smallnet_core.report.table import Row, format_value, is_number
from smallnet_core.runs.file import RunFile

_MAX_CLASSES = 20  # of a confusion matrix that is shown whole
_NUM_CONFUSED = 20

# Networks


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that was judged: how it was trained, its curve and how it errs."""

    id: str
    name: str
    facts: Sequence[tuple[str, str]]
    chart: Chart
    grids: Sequence[Grid]


def network(run: Row, by_class: bool) -> Network:
    recipe = run["recipe"]
    optimizer = recipe["optimizer"]
    names = [network_name(recipe["network"]), optimizer["name"]]
    data = DATASET_NAMES.get(recipe["dataset"], recipe["dataset"])
    commit = str((run["trained_at_commit"] or {}).get("id") or "not known")[:12]
    seconds = run["train_seconds"]
    facts = [
        ("accuracy", f"{run['accuracy_percent']:.2f} % of {run['num_images']:,} {data} images"),
        ("seed", str(recipe.get("seed", "-"))),
        (
            "epochs",
            f"{recipe.get('epochs', '-')}, judged after {_EPOCHS[run['selection'] == 'last']}",
        ),
        ("weights", str(run["origin"])),
        ("trained on", f"{run['trained_on'].get('device_name')}, {run['computed_in']}"),
        ("at commit", commit),
        ("training time", "-" if seconds is None else f"{seconds:,.0f} s"),
        ("recipe", _settings(recipe)),
        ("fingerprint", run["fingerprint"]),
    ]
    return Network(
        id=f"network-{run['fingerprint']}",
        name=f"{' '.join(names)}, {recipe['kind']} recipe, {data}: {run['accuracy_percent']:.2f} %",
        facts=facts,
        chart=_curve(run),
        grids=_class_grids(run["confusion"], recipe["dataset"]) if by_class else [],
    )


_EPOCHS = {True: "the last", False: "the best on the test set"}


def _settings(recipe: Mapping[str, Any], prefix: str = "") -> str:
    """Write a recipe's settings, those of its parts with the part's name before them."""
    parts = []
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            parts.append(_settings(value, f"{prefix}{name}."))
        else:
            parts.append(f"{prefix}{name} {value}")
    return ", ".join(parts)


def _curve(run: Row) -> Chart:
    train, test = (
        [epoch[f"{name}_accuracy_percent"] for epoch in run["curve"]] for name in ("train", "test")
    )
    low, high = scale([train, test])
    limits = max(low, 0.0), min(high, 100.0)
    ends = [value for value in test if value is not None]
    said = "no test accuracy on the way"
    if ends:
        said = f"test accuracy from {ends[0]:.2f} to {ends[-1]:.2f} %"
    return Chart(
        title=f"Accuracy by epoch, {len(test)} epochs",
        said=f"{said}; dashed: training accuracy",
        lines=[polyline(test, limits), polyline(train, limits)],
        low=f"{limits[0]:.0f} %",
        high=f"{limits[1]:.0f} %",
        first="epoch 1",
        last=f"{len(test)}",
    )


_CLASSES = {
    c.details["class_index"]: c.details["class_name"]
    for c in CLAIMS.values()
    if "class_index" in c.details
}


def _class_grids(confusion: Sequence[Sequence[int]], dataset: str) -> list[Grid]:
    """Show a report by class, and its confusion matrix: of many classes what is confused most."""
    names = [_CLASSES[k] if dataset == "cifar10" else f"{k}" for k in range(len(confusion))]
    support = [sum(counts) for counts in confusion]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    hits = [confusion[k][k] for k in range(len(confusion))]
    found = [
        (
            h / p if p else 0.0,
            h / s if s else 0.0,
            2 * h / (s + p) if s + p else 0.0,
        )
        for h, s, p in zip(hits, support, predicted, strict=True)
    ]
    rows = [
        [name, *(f"{value:.3f}" for value in values), f"{s:,}"]
        for name, values, s in zip(names, found, support, strict=True)
    ]
    total = sum(support)
    means = [sum(column) / len(found) for column in zip(*found, strict=True)]
    rows.append(["macro avg", *(f"{value:.3f}" for value in means), f"{total:,}"])
    header = ("class", "precision", "recall", "f1", "support")
    grids = [Grid("By class", header, rows, folded=True)]
    if len(confusion) <= _MAX_CLASSES:
        cells: list[list[str | Cell]] = [
            [
                name,
                *(
                    Cell(text=f"{n}", verdict="right" if j == k else "wrong" if 50 * n > s else "")
                    for j, n in enumerate(counts)
                ),
            ]
            for k, (name, counts, s) in enumerate(zip(names, confusion, support, strict=True))
        ]
        note = "A row is a true class, a column what was predicted; marked: 2 % of a row and more."
        grids.append(Grid("Confusion matrix", ("true class", *names), cells, [note], folded=True))
        return grids
    pairs = [
        (n, names[k], names[j])
        for k, counts in enumerate(confusion)
        for j, n in enumerate(counts)
        if j != k and n
    ]
    most = [[a, b, f"{n}"] for n, a, b in sorted(pairs, reverse=True)[:_NUM_CONFUSED]]
    caption = "Confused most often, classes by number"
    grids.append(Grid(caption, ("true class", "predicted", "images"), most, folded=True))
    return grids


# Claims one by one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim with all that is known of it."""

    result: Result
    facts: Sequence[tuple[str, str]]
    networks: Sequence[tuple[str, str]]  # ids and names of those that are on the page


def entry(r: Result, runs: Mapping[str, Row]) -> Entry:
    row, details, claim = r.row, r.details, r.claim
    paper, ours = claim.details.get("paper_percent"), details.get("minuend_percent")
    facts = [
        ("paper", f"{r.text('paper')} {claim.unit}{_percent(paper)}"),
        ("verdict", f"{r.judged}: {r.reason}"),
    ]
    if r.not_here:
        facts.append(("not measured here", r.not_here))
    if r.origin != NEITHER:
        interval = row.get("interval")
        low_high = ""
        if isinstance(interval, list) and interval[0] < interval[1]:
            low, high = (format_value(end, claim.unit) for end in interval)
            low_high = f" ({low} to {high})"
        facts.append(("ours", f"{r.measured} {claim.unit}{low_high}{_percent(ours)}"))
        if seeds := row.get("seeds"):
            values = [format_value(value, claim.unit) for value in row.get("values") or ()]
            pairs = zip(map(str, seeds), values, strict=False)
            facts.append(("seeds", ", ".join(f"{seed}: {value}" for seed, value in pairs)))
        if row.get("recipe"):
            facts.append(("recipe", f"{row['recipe']}, {details.get('epochs', '?')} epochs"))
        if details.get("trained_on"):
            facts.append(("trained on", ", ".join(sorted(map(str, set(details["trained_on"]))))))
    if r.origin == RECORDED:
        commit = str(row.get("commit") or "no commit")[:12]
        facts.append(("recorded", f"{str(row.get('time'))[:10]} at {commit}"))
    if r.is_missed and claim.id in KNOWN_MISSES:
        facts.append(("known miss", KNOWN_MISSES[claim.id]))
    if claim.remark:
        facts.append(("on the paper", claim.remark))
    found = [(one, runs[one]) for one in dict.fromkeys(row["fingerprints"]) if one in runs]
    return Entry(
        result=r,
        facts=facts,
        networks=[(f"network-{one}", str(run["name"])) for one, run in found],
    )


def _percent(value: Any) -> str:
    """Give the accuracy that a difference is of."""
    return f", at {value:.2f} %" if value is not None and is_number(value) else ""


def machine(file: RunFile) -> list[tuple[str, str]]:
    machine = file.machine
    seeds = sorted({seed for row in file.rows for seed in row.get("seeds") or ()})
    measured = [row for row in file.rows if row.get("verdict") in VERDICTS]
    facts = {
        "run": file.datetime,
        "commit": f"{file.commit.get('id')}{' with changes' * bool(file.commit.get('dirty'))}",
        "device": f"{machine.get('device')}, {machine.get('device_name')}",
        "system": machine.get("system"),
        "threads": machine.get("num_threads"),
        "memory": f"{machine.get('memory_gib')} GiB",
        "Python": machine.get("python"),
        "versions": ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items()),
        "seeds": ", ".join(map(str, seeds)),
        "claims measured": len(measured),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]
