"""What a page has beside tables of claims: entries, networks with curves and classes, machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.claims.names import DATASET_NAMES
from smallnet_core.report.chart import Chart, polyline, scale
from smallnet_core.report.results import (
    NEITHER,
    RECORDED,
    VERDICTS,
    Result,
    commit_name,
    network_name,
    optimizer_name,
)
from smallnet_core.report.table import Cell, Row, Table, format_value, is_number
from smallnet_core.runs.file import RunFile

MAX_MATRICES = 50  # networks that are shown by class; all of them are in the run itself
_MAX_CLASSES = 20  # of a confusion matrix that is shown whole
_NUM_CONFUSED = 20

Facts = Sequence[tuple[str, str]]


def heading(file: RunFile) -> str:
    """Name a run: its day, commit and machine."""
    dirty = " with changes" if file.commit.get("dirty") else ""
    machine = file.machine.get("device_name") or "unknown machine"
    return f"{file.datetime[:10]}, {commit_name(file)}{dirty}, {machine}"


def machine_facts(file: RunFile) -> list[tuple[str, str]]:
    """Say where, when and with what a run was made."""
    machine = file.machine
    seeds = sorted({seed for row in file.rows for seed in row.get("seeds") or ()})
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
        "claims measured": sum(row.get("verdict") in VERDICTS for row in file.rows),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


# Networks


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that was judged: how it was trained, its curve and how it errs."""

    id: str
    name: str
    facts: Facts
    chart: Chart
    tables: Sequence[Table]


def network_details(run: Row, by_class: bool) -> Network:
    """Say what a run's file has of a network, also ``by_class``."""
    recipe = run["recipe"]
    name = f"{network_name(recipe['network'])} {optimizer_name(recipe['optimizer']['name'])}"
    data = DATASET_NAMES.get(recipe["dataset"], recipe["dataset"])
    commit = str((run["trained_at_commit"] or {}).get("id") or "not known")[:12]
    seconds = run["train_seconds"]
    judged = "the last" if run["selection"] == "last" else "the best on the test set"
    facts = [
        ("accuracy", f"{run['accuracy_percent']:.2f} % of {run['num_images']:,} {data} images"),
        ("seed", str(recipe.get("seed", "-"))),
        ("epochs", f"{recipe.get('epochs', '-')}, judged after {judged}"),
        ("weights", str(run["origin"])),
        ("trained on", f"{run['trained_on'].get('device_name')}, {run['computed_in']}"),
        ("at commit", commit),
        ("training time", "-" if seconds is None else f"{seconds:,.0f} s"),
        ("recipe", _settings(recipe)),
        ("fingerprint", run["fingerprint"]),
    ]
    return Network(
        id=f"network-{run['fingerprint']}",
        name=f"{name}, {recipe['kind']} recipe, {data}: {run['accuracy_percent']:.2f} %",
        facts=facts,
        chart=_curve(run),
        tables=_class_tables(run["confusion"], recipe["dataset"]) if by_class else [],
    )


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


def _class_tables(confusion: Sequence[Sequence[int]], dataset: str) -> list[Table]:
    """Show a report by class, and its confusion matrix: of many classes what is confused most."""
    known = {c.details.get("class_index"): c.details.get("class_name") for c in CLAIMS.values()}
    classes = range(len(confusion))
    names = [str(known[k] if dataset == "cifar10" else k) for k in classes]
    support = [sum(counts) for counts in confusion]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    found = []
    for k, s, p in zip(classes, support, predicted, strict=True):
        hits = confusion[k][k]
        found.append((hits / max(p, 1), hits / max(s, 1), 2 * hits / max(s + p, 1)))
    means = tuple(sum(column) / len(found) for column in zip(*found, strict=True))
    rows = [
        [name, *(f"{value:.3f}" for value in values), f"{s:,}"]
        for name, values, s in zip(
            [*names, "macro avg"], [*found, means], [*support, sum(support)], strict=True
        )
    ]
    report = Table(
        ("class", "precision", "recall", "f1", "support"), rows, caption="By class", folded=True
    )
    if len(confusion) <= _MAX_CLASSES:
        return [report, _matrix(names, confusion)]
    pairs = [
        (n, names[k], names[j])
        for k, counts in enumerate(confusion)
        for j, n in enumerate(counts)
        if j != k and n
    ]
    most = [[a, b, f"{n}"] for n, a, b in sorted(pairs, reverse=True)[:_NUM_CONFUSED]]
    caption = "Confused most often, classes by number"
    confused = Table(("true class", "predicted", "images"), most, caption=caption, folded=True)
    return [report, confused]


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


# Claims one by one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim with all that is known of it."""

    result: Result
    facts: Facts
    networks: Sequence[tuple[str, str]]  # ids and names of those that are on the page


def entry(r: Result, runs: Mapping[str, Row]) -> Entry:
    """Say what a row has of a claim; ``runs`` are the networks on the page, by fingerprint."""
    row, details, claim = r.row, r.details, r.claim
    paper, ours = claim.details.get("paper_percent"), details.get("minuend_percent")
    facts = [
        ("goal" if r.is_goal else "paper", f"{r.text('paper')} {claim.unit}{_percent(paper)}"),
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
    if r.remark:
        facts.append(("on the paper", r.remark))
    found = [(one, runs[one]) for one in dict.fromkeys(row["fingerprints"]) if one in runs]
    names = [(f"network-{one}", str(run["name"])) for one, run in found]
    return Entry(result=r, facts=facts, networks=names)


def _percent(value: Any) -> str:
    """Give the accuracy that a difference is of."""
    return f", at {value:.2f} %" if is_number(value) else ""
