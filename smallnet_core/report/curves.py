"""Accuracy by the proportion pruned: a table a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from smallnet_core.report.results import network_name, optimizer_name
from smallnet_core.report.table import Row, Table, format_value, grouped, is_number

CURVE = "pruning curve"
TECHNIQUES = {
    "l1_unstructured": "L1 unstr.",
    "l1_structured": "L1 struct.",
    "global_unstructured": "global unstr.",
    "random_unstructured": "random",
    "random_structured": "random struct.",
}


def curve_tables(rows: Sequence[Row]) -> list[Table]:
    """Lay out a table a network, a proportion a line and a technique a column."""
    tables = []
    for (network, optimizer), own in grouped(
        rows, lambda row: (row["network"], row["optimizer"])
    ).items():
        found = by_technique(own)
        lines = [
            (f"{p:g}", *(at_proportion(p, curves) for curves in found.values()))
            for p in sorted({round(p, 6) for row in own for p in row["proportions"]})
        ]
        caption = (
            f"{network_name(network)} {optimizer_name(optimizer)}: % right, by the proportion "
            f"pruned of its {own[0]['num_weights']:,} weights"
        )
        header = ("prop.", *(TECHNIQUES.get(name, name) for name in found))
        tables.append(Table(header, lines, how_pruned(own), caption, folded=True))
    return tables


def by_technique(curves: Sequence[Row]) -> dict[str, list[Row]]:
    """Group curves, a seed each, by technique, those of the paper first."""
    order = [*TECHNIQUES, *(curve["technique"] for curve in curves)]
    found = sorted(curves, key=lambda curve: order.index(curve["technique"]))
    return grouped(found, lambda curve: str(curve["technique"]))


def at_proportion(proportion: float, curves: Sequence[Row]) -> str:
    """Write the mean over seeds at a proportion, in percent."""
    values = [
        percent
        for curve in curves
        for at, percent in zip(curve["proportions"], curve["accuracy_percent"], strict=True)
        if math.isclose(at, proportion, abs_tol=1e-6) and is_number(percent)
    ]
    return format_value(sum(values) / len(values) if values else None, "%")


def how_pruned(rows: Sequence[Row]) -> list[str]:
    """Write a sentence for all techniques that are alike in it."""

    def how(curves: Sequence[Row]) -> str:
        seeds = list(dict.fromkeys(str(seed) for curve in curves for seed in curve["seeds"]))
        origins, devices = (
            list(dict.fromkeys(str(curve[field]) for curve in curves))
            for field in ("origin", "device")
        )
        return (
            f"{'recorded ' * any(curve.get('recorded') for curve in curves)}in one shot, not "
            f"fine-tuned; weights: {'/'.join(origins)}, seed{'s' * (len(seeds) > 1)} "
            f"{', '.join(seeds)}; pruned on {'/'.join(devices)}"
        )

    alike = grouped(by_technique(rows).items(), lambda item: how(item[1]))
    names = {text: [TECHNIQUES.get(name, name) for name, _ in own] for text, own in alike.items()}
    return [f"{', '.join(own)}: {text}" for text, own in names.items()]
