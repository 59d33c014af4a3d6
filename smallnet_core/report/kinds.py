"""Tables and a summary for each kind of row that judges no claim: timings, curves, failures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

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
Columns = Mapping[str, Callable[[Row], str]]


def kind_tables(kind: str, rows: Sequence[Row]) -> tuple[list[Table], list[str]]:
    """Lay out the rows of a kind; return tables, and a line for each reason rows are left out."""
    whole: list[Row] = []
    broken: Counter[str] = Counter()
    for row in rows:
        try:
            _KINDS[kind][0]([row])
            whole.append(row)
        except Exception as error:  # a row may be anything: it comes from a file
            known = f"{type(error).__name__}: {error}"
            broken[known if kind in _KINDS else "there is no table for it"] += 1
    lines = [
        f"{kind[:80]}: {number} row{'s' * (number > 1)} that cannot be shown: {why}"[:400]
        for why, number in broken.items()
    ]
    return _KINDS[kind][0](whole) if whole else [], lines


def summarise(kind: str, rows: Sequence[Row]) -> str:
    """Return the one number that summarises all rows of a kind, or why there is none."""
    if kind not in _KINDS:
        return "cannot be shown: unknown"
    try:
        return _KINDS[kind][1](rows)
    except Exception as error:  # as above
        return f"cannot be shown ({type(error).__name__}: {error})"


def _text(field: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(field) or "-")


def _number(field: str, form: int | str = 0, unit: float = 1) -> Callable[[Row], str]:
    """Return a formatter with ``form`` decimals, none from a hundred on, or a format string."""

    def shown(row: Row) -> str:
        if not is_number(row.get(field)):
            return "-"
        value = row[field] / unit
        decimals = f",.{form if abs(value) < 99.995 else 0}f"
        return format(value, form if isinstance(form, str) else decimals)

    return shown


def _label(row: Row) -> str:
    return network_name(row["network"])


def _devices(rows: Sequence[Row]) -> str:
    return "/".join(dict.fromkeys(str(row["device"]) for row in rows))


_LATENCY: Columns = {
    "network": _label,
    "parameters": _number("num_params"),
    "images": lambda row: f"{row['batch_size']:,}",
    "ms": lambda row: f"{1000 * row['median_seconds']:,.2f}",
    "images/s": lambda row: f"{row['batch_size'] / row['median_seconds']:,.0f}",
    "precision": _text("precision"),
    "device": _text("device"),
}


def _latency_tables(rows: Sequence[Row]) -> list[Table]:
    return [Table.of(rows, _LATENCY, caption="Inference with random weights, by batch size")]


def _latency(rows: Sequence[Row]) -> str:
    row = next((r for r in rows if r["network"] == "resnet18_s"), rows[0])
    images = f"{row['batch_size']} image{'s' * (row['batch_size'] > 1)}"
    return f"{_label(row)}, {images}: {1000 * row['median_seconds']:.2f} ms"


_LOOPS: Columns = {
    "network": _label,
    "optimizer": lambda row: optimizer_name(row["optimizer"]),
    "images/s": _number("ours_images_per_second"),
    "x paper": _number("ratio_to_papers", 2),
    "x plain": _number("ratio_to_plain", 2),
    "use %": _number("utilisation_percent", 1),
    "aug %": _number("augmentation_percent", 2),
    "MiB": _number("peak_memory_mib"),
    "J/1000": _number("joules_per_1000_images", 1),
}
_PAIRS: Columns = {
    "what": lambda row: str(row["name"]),
    "ours": _number("ours", ",.1f"),
    "other": _number("other", ",.1f"),
    "unit": _text("unit"),
    "ratio": _number("ratio", ".2f"),
}
_LOOP_MEANINGS = {
    "x paper": "times the paper's loop",
    "x plain": "times a plain DataLoader loop at our batch size",
    "use %": "multiply-adds, three forward passes a step, over those of matrix products timed "
    "just before",
    "aug %": "share of a step that making the batch takes",
    "MiB": "peak memory; on a CPU, of the whole process",
    "J/1000": "joules per 1,000 images",
}


def _speed_tables(rows: Sequence[Row]) -> list[Table]:
    where = f"interleaved in this run, on {_devices(rows)}"
    pairs = [row for row in rows if "ratio" in row]
    loops = [row for row in rows if "ratio" not in row]
    tables = []
    if loops:
        caption = f"Training speed, {where}"
        tables.append(Table.of(loops, _LOOPS, _LOOP_MEANINGS, caption=caption))
    if pairs:
        tables.append(
            Table.of(pairs, _PAIRS, caption=f"Two implementations of the same thing, {where}")
        )
    return tables


def _speed(rows: Sequence[Row]) -> str:
    loops = [row for row in rows if "ours_images_per_second" in row]
    if not loops:  # only pairs of implementations
        return f"{rows[0]['name']}: {rows[0]['ratio']:.2f}"
    return f"{_label(loops[0])}: {loops[0]['ours_images_per_second']:,.0f} images/s"


_FAILURES: Columns = {
    "change": lambda row: str(row["change"]),
    "ends as": _text("outcome"),
    "one class": lambda row: "{}-{}".format(*row["collapse"]) if row["collapse"] else "-",
    "right": _number("accuracy_percent", ".2f"),
    "gradient": _number("inner_gradient_norm_at_start", ".2g"),
    "at end": _number("inner_gradient_norm_at_end", ".2g"),
    "dead": _number("worst_layer_dead_percent", ".1f"),
}


_FAILURE_MEANINGS = {
    "one class": "the longest stretch of steps in which 99 % of predictions were of one class",
    "right": "% of 2,000 held-out training images at the end",
    "gradient": "norm for all layers but the last, in the first step and at the end",
    "dead": "% of units at the end, in the layer with most dead ones",
}


def _failure_tables(rows: Sequence[Row]) -> list[Table]:
    """Lay out one table per network."""
    way = "the paper's SGDM (rate 0.1, batches of 8), and single changes to it"
    return [
        Table.of(own, _FAILURES, _FAILURE_MEANINGS, caption=f"{network}: {way}")
        for network, own in grouped(rows, _label).items()
    ]


def _failures(rows: Sequence[Row]) -> str:
    return f"{sum(row['outcome'] == 'learns' for row in rows)} changes make it learn"


_SIZES: Columns = {
    "network": lambda row: str(row["name"]),
    "par. k": _number("num_params", 1, 1e3),
    "nz. k": _number("num_nonzeros", 1, 1e3),
    "M m-a": _number("multiply_adds", 1, 1e6),
    "dense": _number("dense_bytes", 1, 1e3),
    "sparse": _number("sparse_bytes", 1, 1e3),
    "zip": _number("compressed_bytes", 1, 1e3),
}
_SIZE_MEANINGS = {
    "par. k": "thousands of parameters",
    "nz. k": "thousands that are not zero",
    "M m-a": "million multiply-adds per image",
    "dense": "kB of a file with every value in half precision",
    "sparse": "kB with one bit per value and the values that are not zero",
    "zip": "kB of that, compressed",
}
_PRUNED_SPEEDS: Columns = {
    "network": lambda row: str(row["name"]),
    "ms at 1": _number("latency_ms", 2),
    "images/s at 256": _number("images_per_second", 1),
    "right %": _number("accuracy_percent", 2),
    "unpruned %": _number("dense_accuracy_percent", 2),
}


def _pruned_tables(rows: Sequence[Row]) -> list[Table]:
    speeds = f"Pruned networks: speed in float32 on {_devices(rows)}, and accuracy"
    return [
        Table.of(rows, _SIZES, _SIZE_MEANINGS, caption="Pruned networks: size"),
        Table.of(rows, _PRUNED_SPEEDS, caption=speeds),
    ]


def _pruned(rows: Sequence[Row]) -> str:
    row = min(rows, key=lambda r: r["num_params"])
    return f"{row['num_params']:,} parameters: {format_value(row['accuracy_percent'], '%')} %"


def _curve_tables(rows: Sequence[Row]) -> list[Table]:
    """Lay out one table per network, by proportion and technique."""
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
    """Group curves of single seeds by technique, those of the paper first."""
    order = [*TECHNIQUES, *(curve["technique"] for curve in curves)]
    found = sorted(curves, key=lambda curve: order.index(curve["technique"]))
    return grouped(found, lambda curve: str(curve["technique"]))


def at_proportion(proportion: float, curves: Sequence[Row]) -> str:
    """Format the mean over seeds at a proportion, in percent."""
    values = [
        percent
        for curve in curves
        for at, percent in zip(curve["proportions"], curve["accuracy_percent"], strict=True)
        if math.isclose(at, proportion, abs_tol=1e-6) and is_number(percent)
    ]
    return format_value(sum(values) / len(values) if values else None, "%")


def how_pruned(rows: Sequence[Row]) -> list[str]:
    """Say how networks were pruned, in a line for all techniques with the same answer."""

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


# The tables of a kind, and its summary.
_KINDS: Mapping[
    str, tuple[Callable[[Sequence[Row]], list[Table]], Callable[[Sequence[Row]], str]]
] = {
    "latency": (_latency_tables, _latency),
    "training_speed": (_speed_tables, _speed),
    "failures": (_failure_tables, _failures),
    "pruned network": (_pruned_tables, _pruned),
    CURVE: (_curve_tables, lambda rows: ", ".join(dict.fromkeys(map(_label, rows)))),
}
