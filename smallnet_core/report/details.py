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
    network_name,
    optimizer_name,
)
from smallnet_core.report.table import Cell, Row, Table, format_value, is_number
from smallnet_core.runs.file import RunFile

MAX_MATRICES = 50  # networks that are shown by class; all of them are in the run itself
_MAX_CLASSES = 20  # of a confusion matrix that is shown whole
_NUM_CONFUSED = 20

Facts = Mapping[str, str]


def machine_facts(file: RunFile) -> Facts:
    """Say where, when and with what a run was made."""
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
    seconds = run["train_seconds"]
    judged = "the last" if run["selection"] == "last" else "the best on the test set"
    facts = {
        "accuracy": f"{run['accuracy_percent']:.2f} % of {run['num_images']:,} {data} images",
        "seed": str(recipe.get("seed", "-")),
        "epochs": f"{recipe.get('epochs', '-')}, judged after {judged}",
        "weights": str(run["origin"]),
        "trained on": f"{run['trained_on'].get('device_name')}, {run['computed_in']}",
        "at commit": str((run["trained_at_commit"] or {}).get("id") or "not known")[:12],
        "training time": "-" if seconds is None else f"{seconds:,.0f} s",
        "recipe": _settings(recipe),
        "fingerprint": run["fingerprint"],
    }
    return Network(
        id=f"network-{run['fingerprint']}",
        name=f"{name}, {recipe['kind']} recipe, {data}: {run['accuracy_percent']:.2f} %",
        facts=facts,
        chart=_curve(run),
        tables=_class_tables(run["confusion"], recipe["dataset"]) if by_class else [],
    )


def _settings(recipe: Mapping[str, Any], prefix: str = "") -> str:
    """Write a recipe's settings, those of its parts with the part's name before them."""
    return ", ".join(
        _settings(value, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else f"{prefix}{name} {value}"
        for name, value in recipe.items()
    )


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
    names = [str(known[k] if dataset == "cifar10" else k) for k in range(len(confusion))]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    shares = []  # precision, recall, f1
    for k, (counts, p) in enumerate(zip(confusion, predicted, strict=True)):
        hits, s = counts[k], sum(counts)
        shares.append([hits / max(p, 1), hits / max(s, 1), 2 * hits / max(s + p, 1)])
    shares.append([sum(column) / len(confusion) for column in zip(*shares, strict=True)])
    support = [*map(sum, confusion), sum(predicted)]
    rows = [
        [name, *(f"{share:.3f}" for share in own), f"{s:,}"]
        for name, own, s in zip([*names, "macro avg"], shares, support, strict=True)
    ]
    header = ("class", "precision", "recall", "f1", "support")
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
    caption = "Confused most often, classes by number"
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


# Claims one by one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim with all that is known of it."""

    result: Result
    facts: Facts
    networks: Mapping[str, str]  # names of those that are on the page, by id


def entry(r: Result, runs: Mapping[str, Row]) -> Entry:
    """Say what a row has of a claim; ``runs`` are the networks on the page, by fingerprint."""
    row, details, claim = r.row, r.details, r.claim
    facts = {
        "goal" if r.is_goal else "paper": f"{r.text('paper')} {claim.unit}"
        + _percent(claim.details.get("paper_percent")),
        "verdict": f"{r.judged}: {r.reason}",
        "not measured here": r.not_here or "",
    }
    if r.origin != NEITHER:
        interval, between = row.get("interval"), ""
        if isinstance(interval, list) and interval[0] < interval[1]:
            between = " ({} to {})".format(*(format_value(end, claim.unit) for end in interval))
        percent = _percent(details.get("minuend_percent"))
        facts["ours"] = f"{r.measured} {claim.unit}{between}{percent}"
        pairs = zip(row.get("seeds") or (), row.get("values") or (), strict=False)
        facts["seeds"] = ", ".join(f"{k}: {format_value(v, claim.unit)}" for k, v in pairs)
        if row.get("recipe"):
            facts["recipe"] = f"{row['recipe']}, {details.get('epochs', '?')} epochs"
        facts["trained on"] = ", ".join(sorted(map(str, {*details.get("trained_on", ())})))
    if r.origin == RECORDED:
        commit = str(row.get("commit") or "no commit")[:12]
        facts["recorded"] = f"{str(row.get('time'))[:10]} at {commit}"
    if r.is_missed:
        facts["known miss"] = KNOWN_MISSES.get(claim.id, "")
    facts["on the paper"] = r.remark
    return Entry(
        result=r,
        facts={name: value for name, value in facts.items() if value},
        networks={
            f"network-{one}": str(runs[one]["name"]) for one in row["fingerprints"] if one in runs
        },
    )


def _percent(value: Any) -> str:
    """Give the accuracy that a difference is of."""
    return f", at {value:.2f} %" if is_number(value) else ""
