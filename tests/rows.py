"""Rows of runs that nobody ran, as tests of reports take them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.judging import judge, not_measured
from smallnet_core.records import Claim, Measurement, Rule, Status, Verdict
from smallnet_core.report import short_lines, terminal_lines
from smallnet_core.report.table import WIDTH

Row = dict[str, Any]
KNOWN = {**CLAIMS, **GOALS}
BY_SOURCE = {
    source: [claim for claim in CLAIMS.values() if claim.source == source]
    for source in dict.fromkeys(claim.source for claim in CLAIMS.values())
}
TABLE_2, TABLE_6, TABLE_7 = BY_SOURCE["Table 2"], BY_SOURCE["Table 6"], BY_SOURCE["Table 7"]


def row(claim: Claim, status: Status, measured: float | None, **fields: Any) -> Row:
    """What ``Verdict.as_row`` makes of a verdict that nobody had to reach."""
    values = fields.pop("values", () if measured is None else (measured,))
    details = fields.pop("details", {})
    found = None
    if values:
        seeds = tuple(range(len(values)))
        found = Measurement(values=values, unit=claim.unit, seeds=seeds, details=details)
    verdict = Verdict(
        claim=claim,
        status=status,
        reason="a reason",
        measurement=found,
        measured=measured,
        difference=None if measured is None else measured - claim.paper_value,
        deviation=fields.pop("deviation", None),
    )
    return verdict.as_row() | fields


def at_paper_values(*seeds: float) -> list[Row]:
    """Every claim judged as measured to be what the paper says, give or take ``seeds``."""
    rows = []
    for claim in KNOWN.values():
        off = {Rule.BELOW: -1, Rule.ABOVE: 1}.get(claim.rule, 0) if claim.id in GOALS else 0
        values = tuple(claim.paper_value + off + seed for seed in seeds or (0.0,))
        rows.append(judge(claim, Measurement(values=values, unit=claim.unit)).as_row())
    return rows


def recorded(found: Row, day: str = "2026-11-23") -> Row:
    """As it is where its test measures nothing and a record of an earlier run has its value."""
    facts = {"trained_on": "a CPU", "time": f"{day}T01:02:03+00:00"}
    blank = not_measured(KNOWN[found["claim"]], "no data here").as_row()
    return {**blank, "recorded": {**found, **facts}}


def pruned(claim: Claim, status: Status, percent: float) -> Row:
    """As measured by an accuracy, whatever the claim is judged by."""
    if claim.unit == "%":
        return row(claim, status, percent)
    return row(claim, status, percent - 94.0, details={"minuend_percent": percent})


def full(rows: Sequence[Any], **options: Any) -> list[str]:
    return terminal_lines(rows, **{"known_misses": {}, **options})


def short(rows: Sequence[Any], **options: Any) -> list[str]:
    return short_lines(rows, **{"known_misses": {}, **options})


def flat(lines: Sequence[str] | str) -> str:
    """Without the line breaks of wrapping."""
    return " ".join((lines if isinstance(lines, str) else "\n".join(lines)).split())


def said(claim: Claim) -> str:
    """What a claim says, as reports write it."""
    return flat(claim.statement.replace("ADAM", "Adam"))


def after(lines: Sequence[str], beginning: str) -> list[str]:
    """The lines from the first that begins so."""
    return list(lines[next(k for k, line in enumerate(lines) if line.startswith(beginning)) :])


def too_wide(lines: Sequence[str]) -> list[str]:
    """Lines that could have been broken: a path or an id stays whole, and may stand out."""
    return [x for x in lines if len(x) > WIDTH and max(map(len, x.split())) <= WIDTH - 6]


TIMED: dict[str, Row] = {
    "latency": {
        "network": "vit",
        "num_params": 60_000_000,
        "batch_size": 256,
        "device": "cuda:0",
        "median_seconds": 0.5,
    },
    "training_speed": {
        "network": "resnet18_s",
        "optimizer": "sgdm",
        "device": "cuda:0",
        "ours_images_per_second": 1234.5,
        "ratio_to_papers": 4.567,
        "ratio_to_plain": 1.234,
        "utilisation_percent": 34.56,
        "peak_memory_mib": 1050.4,
        "joules_per_1000_images": None,
    },
    "failures": {
        "network": "vgg16_s",
        "change": "rate 0.001",
        "outcome": "learns",
        "collapse": [40, 2000],
        "accuracy_percent": 17.95,
        "inner_gradient_norm_at_start": 0.44,
        "inner_gradient_norm_at_end": None,
        "worst_layer_dead_percent": 25.0,
    },
    "pruned network": {
        "name": "resnet18-1m-channels-iterative",
        "num_params": 999_321,
        "num_nonzeros": 999_100,
        "multiply_adds": 101_234_567,
        "dense_bytes": 4_012_345,
        "sparse_bytes": 4_012_400,
        "compressed_bytes": 3_700_000,
        "latency_ms": 1.234,
        "images_per_second": 12_345.6,
        "accuracy_percent": 93.0,
        "dense_accuracy_percent": None,
        "device": "cpu",
    },
    "pruning curve": {
        "network": "resnet18_s",
        "optimizer": "adabound",
        "technique": "l1_structured",
        "proportions": [round(0.05 * k, 2) for k in range(21)],
        "accuracy_percent": [90 - 4 * k for k in range(21)],
        "num_weights": 11_159_232,
        "seeds": [0],
        "origin": "zoo",
        "device": "cpu",
    },
}


def timed(kind: str, **facts: Any) -> Row:
    return {"claim": None, "kind": kind, **TIMED[kind], **facts}


def everything() -> list[Row]:
    """A row of every claim and goal, each other one recorded, and all that was timed."""
    rows = at_paper_values()
    rows[::2] = [recorded(found) for found in rows[::2]]
    return [*rows, *map(timed, TIMED)]


def all_missed() -> list[Row]:
    return [
        row(claim, Status.MISSED, -1.0, details={"minuend_percent": 10.0}, reason=claim.id)
        for claim in KNOWN.values()
    ]


def none_measured() -> list[Row]:
    """For as many reasons as there are claims, all of them long."""
    return [not_measured(c, f"{c.id} {c.statement} " * 3).as_row() for c in KNOWN.values()]


def headline_of(lines: Sequence[str]) -> dict[str, list[int]]:
    """The table of counts: claims, now, = + * ! ?, earlier, = + * ! ?, none."""
    cells = [re.split(r" {2,}", line) for line in after(lines, "claims  ")[2:9]]
    return {name: [0 if n == "-" else int(n) for n in numbers] for name, *numbers in cells}
