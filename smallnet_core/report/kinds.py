"""Rows that judge no claim: timings, curves, failures. A table and a telling line for each kind."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smallnet_core.claims.names import NETWORK_NAMES
from smallnet_core.report.table import Row, Table, format_value, grouped, is_number, wrapped

CURVE = "pruning curve"
TECHNIQUES = {
    "l1_unstructured": "L1 unstr.",
    "l1_structured": "L1 struct.",
    "global_unstructured": "global unstr.",
    "random_unstructured": "random",
    "random_structured": "random struct.",
}
# Header, field, what a unit of it is, and how it is written: a number is that of its decimals,
# none of which are left from a hundred on.
Column = tuple[str, str, float, int | str]


def table_lines(kind: str, rows: Sequence[Row]) -> list[str]:
    """Write the tables of a kind, or a line that says that there are none for it."""
    if kind in _KINDS:
        return _KINDS[kind][0](rows)
    plural = "s" * (len(rows) > 1)
    return wrapped(f"{kind}: {len(rows)} row{plural} that this report cannot show"[:400])


def telling(kind: str, rows: Sequence[Row]) -> list[str]:
    """Say in a few words the number that stands for all rows of a kind."""
    return [_KINDS[kind][1](rows) if kind in _KINDS else "cannot be shown: unknown"]


def _grid(
    rows: Sequence[Row], names: Sequence[str], columns: Sequence[Column], *notes: str
) -> list[str]:
    """A row a line: fields that name it, then numbers; text stays as it is."""

    def cell(value: Any, unit: float, form: int | str) -> str:
        if not is_number(value):
            return value if isinstance(value, str) else "-"
        decimals = f",.{form if abs(value / unit) < 99.995 else 0}f"
        return format(value / unit, form if isinstance(form, str) else decimals)

    lines = [
        (*(str(row[n]) for n in names), *(cell(row.get(f), unit, n) for _, f, unit, n in columns))
        for row in rows
    ]
    header = (*("what" if n == "name" else n for n in names), *(name for name, *_ in columns))
    return Table(header, lines, notes=notes).terminal()


def _label(row: Row) -> str:
    return NETWORK_NAMES.get(row["network"], str(row["network"]))


def _latency_lines(rows: Sequence[Row]) -> list[str]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        own, seconds = found[row["network"]], row["median_seconds"]
        own |= {"network": row["network"], "parameters": f"{row['num_params']:,}"}
        own[f"ms at {row['batch_size']}"] = 1000 * seconds
        own[f"rate at {row['batch_size']}"] = row["batch_size"] / seconds
    columns: Sequence[Column] = [
        ("1 image, ms", "ms at 1", 1, ".2f"),
        ("256 images, ms", "ms at 256", 1, ".2f"),
        ("images/s at 256", "rate at 256", 1, ",.0f"),
    ]
    title = f"Inference, float32, random weights, on {rows[0]['device']}"
    return [title, *_grid([*found.values()], ("network", "parameters"), columns)]


def _latency(rows: Sequence[Row]) -> str:
    row = next((r for r in rows if r["network"] == "resnet18_s"), rows[0])
    images = f"{row['batch_size']} image{'s' * (row['batch_size'] > 1)}"
    return f"{_label(row)}, {images}: {1000 * row['median_seconds']:.2f} ms"


_LOOP_COLUMNS: Sequence[Column] = [
    ("images/s", "ours_images_per_second", 1, 0),
    ("x paper", "ratio_to_papers", 1, 2),
    ("x plain", "ratio_to_plain", 1, 2),
    ("use %", "utilisation_percent", 1, 1),
    ("aug %", "augmentation_percent", 1, 2),
    ("MiB", "peak_memory_mib", 1, 0),
    ("J/1000", "joules_per_1000_images", 1, 1),
]
_PAIR_COLUMNS: Sequence[Column] = [
    ("ours", "ours", 1, ",.1f"),
    ("other", "other", 1, ",.1f"),
    ("unit", "unit", 1, 0),
    ("ratio", "ratio", 1, ".2f"),
]
_LOOP_MEANINGS = {
    "x paper": "times the paper's loop",
    "x plain": "times a plain DataLoader loop at our batch size",
    "use %": "multiply-adds, three forward passes a step, over those of matrix products timed "
    "just before",
    "aug %": "making the batches, of the step",
    "MiB": "peak memory, on a CPU of the whole process",
    "J/1000": "joules per 1,000 images",
}


def _speed_lines(rows: Sequence[Row]) -> list[str]:
    lines = [f"Training speed, interleaved in this run, on {rows[0]['device']}"]
    loops = [row for row in rows if "ours_images_per_second" in row]
    pairs = [row for row in rows if "ratio" in row]
    if loops:
        columns = [c for c in _LOOP_COLUMNS if any(row.get(c[1]) is not None for row in loops)]
        legend = [f"{n}: {_LOOP_MEANINGS[n]}" for n, *_ in columns if n in _LOOP_MEANINGS]
        lines += _grid(loops, ("network", "optimizer"), columns, "; ".join(legend))
    if pairs:
        lines += _grid(pairs, ("name",), _PAIR_COLUMNS)
    return lines


def _speed(rows: Sequence[Row]) -> str:
    row = next(r for r in rows if "ours_images_per_second" in r)
    return f"{_label(row)}: {row['ours_images_per_second']:,.0f} images/s"


def _failure_lines(rows: Sequence[Row]) -> list[str]:
    """A table a network, a change of the paper's way a line."""
    columns: Sequence[Column] = [
        ("ends as", "outcome", 1, 0),
        ("one class", "one_class", 1, 0),
        ("right", "accuracy_percent", 1, ".2f"),
        ("gradient", "inner_gradient_norm_at_start", 1, ".2g"),
        ("at end", "inner_gradient_norm_at_end", 1, ".2g"),
        ("dead", "worst_layer_dead_percent", 1, ".1f"),
    ]
    shown = [
        {**row, "one_class": "{}-{}".format(*row["collapse"]) if row["collapse"] else "-"}
        for row in rows
    ]
    lines: list[str] = []
    for network, own in grouped(shown, lambda row: row["network"]).items():
        lines += [
            f"{network}: the paper's SGDM (rate 0.1, batches of 8), and one change of it each"
        ]
        lines += _grid(own, ("change",), columns)
    legend = (
        "one class: the longest stretch of steps in which 99 % of predictions were of one class; "
        "right: % of 2,000 held-out training images at the end; gradient: norm of all but the "
        "last layer's, in the first step and at the end; dead: % of units at the end, in the "
        "layer that has most dead ones"
    )
    return [*lines, *wrapped(legend, "  ")]


def _failures(rows: Sequence[Row]) -> str:
    return f"{sum(row['outcome'] == 'learns' for row in rows)} changes of the loop learn"


def _pruned_lines(rows: Sequence[Row]) -> list[str]:
    """How large pruned networks are, then how fast and how good: a line a network in each."""
    sizes: Sequence[Column] = [
        ("par. k", "num_params", 1e3, 1),
        ("nz. k", "num_nonzeros", 1e3, 1),
        ("M m-a", "multiply_adds", 1e6, 1),
        ("dense", "dense_bytes", 1e3, 1),
        ("sparse", "sparse_bytes", 1e3, 1),
        ("zip", "compressed_bytes", 1e3, 1),
    ]
    speeds: Sequence[Column] = [
        ("ms at 1", "latency_ms", 1, 2),
        ("images/s at 256", "images_per_second", 1, 1),
        ("right %", "accuracy_percent", 1, 2),
        ("dense %", "dense_accuracy_percent", 1, 2),
    ]
    legend = (
        "par. k, nz. k: thousands of parameters, and of those that are not zero; M m-a: million "
        "multiply-adds an image; dense: kB of a file of every value in half precision; sparse: of "
        "a bit for each and the values that are not zero; zip: that, compressed; dense %: before "
        "pruning"
    )
    devices = "/".join(dict.fromkeys(row["device"] for row in rows))
    title = f"Pruned networks, timed in float32 on {devices}"
    return [title, *_grid(rows, ("name",), sizes), *_grid(rows, ("name",), speeds, legend)]


def _pruned(rows: Sequence[Row]) -> str:
    row = min(rows, key=lambda r: r["num_params"])
    return f"{row['num_params']:,} parameters: {format_value(row['accuracy_percent'], '%')} %"


def _plain(rows: Sequence[Row]) -> str:
    """Every number and word of the first row."""
    facts = {k: v for k, v in rows[0].items() if k not in ("kind", "claim")}
    texts = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in facts.items()}
    return ", ".join(
        f"{k.replace('_', ' ')} {v}"
        for k, v in texts.items()
        if is_number(v) or (v and isinstance(v, str))
    )


# Curves


def split_curves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Part curves that can be shown from those that lack something."""

    def is_whole(row: Row) -> bool:
        try:
            return bool(curve_lines([row]))
        except Exception:  # whatever a file has in the place of a curve
            return False

    return [r for r in rows if is_whole(r)], [r for r in rows if not is_whole(r)]


def by_technique(curves: Sequence[Row]) -> dict[str, list[Row]]:
    """Group curves, a seed each, by technique, those of the paper first."""
    order = [*TECHNIQUES, *(curve["technique"] for curve in curves)]
    found = sorted(curves, key=lambda curve: order.index(curve["technique"]))
    return grouped(found, lambda curve: str(curve["technique"]))


def percent_at(proportion: float, curves: Sequence[Row]) -> str:
    """Write the mean over seeds at a proportion."""
    values = [
        percent
        for curve in curves
        for at, percent in zip(curve["proportions"], curve["accuracy_percent"], strict=True)
        if math.isclose(at, proportion, abs_tol=1e-6) and is_number(percent)
    ]
    return format_value(sum(values) / len(values) if values else None, "%")


def curve_lines(rows: Sequence[Row]) -> list[str]:
    """Write a table a network, a proportion a line and a technique a column."""
    lines: list[str] = []
    for name, own in grouped(rows, lambda row: f"{row['network']} {row['optimizer']}").items():
        found = by_technique(own)
        weights = f"{own[0]['num_weights']:,} weights"
        lines += [f"{name}: % right, by the proportion pruned of its {weights}"]
        cells = [
            (f"{p:g}", *(percent_at(p, curves) for curves in found.values()))
            for p in sorted({round(p, 6) for row in own for p in row["proportions"]})
        ]
        header = ("prop.", *(TECHNIQUES.get(name, name) for name in found))
        lines += Table(header, cells, notes=curves_provenance(own)).terminal()
    return lines


def curves_provenance(rows: Sequence[Row]) -> list[str]:
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


def _curves(rows: Sequence[Row]) -> str:
    return ", ".join(dict.fromkeys(map(_label, rows)))


# The tables of a kind, and its telling line.
_KINDS: Mapping[
    str, tuple[Callable[[Sequence[Row]], list[str]], Callable[[Sequence[Row]], str]]
] = {
    "latency": (_latency_lines, _latency),
    "training_speed": (_speed_lines, _speed),
    "failures": (_failure_lines, _failures),
    "pruned network": (_pruned_lines, _pruned),
    "reference timing": (lambda rows: wrapped(f"Reference timing: {_plain(rows)}"), _plain),
    CURVE: (curve_lines, _curves),
}
