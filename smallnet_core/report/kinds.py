"""Rows that judge no claim: timings, curves, failures. Tables and a telling line for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from smallnet_core.report.curves import CURVE, curve_tables
from smallnet_core.report.results import network_name, optimizer_name
from smallnet_core.report.table import Row, Table, format_value, grouped, is_number

Columns = Mapping[str, Callable[[Row], str]]


def kind_tables(kind: str, rows: Sequence[Row]) -> tuple[list[Table], list[str]]:
    """Lay out rows of a kind; what no table can show is a sentence for each reason."""
    if kind not in _KINDS:
        reasons = dict.fromkeys(map(id, rows), "there is no table for it")
    else:
        found = {id(row): _why_broken(_KINDS[kind][0], row) for row in rows}
        reasons = {key: why for key, why in found.items() if why}
    whole = [row for row in rows if id(row) not in reasons]
    broken = grouped(reasons.values(), lambda why: why)
    lines = [
        f"{kind[:80]}: {len(own)} row{'s' * (len(own) > 1)} that cannot be shown: {why}"[:400]
        for why, own in broken.items()
    ]
    return _KINDS[kind][0](whole) if whole else [], lines


def _why_broken(tables: Callable[[Sequence[Row]], list[Table]], row: Row) -> str:
    try:
        tables([row])
    except Exception as error:  # whatever a file has in the place of a row
        return f"{type(error).__name__}: {error}"
    return ""


def telling(kind: str, rows: Sequence[Row]) -> str:
    """Say in a few words the number that stands for all rows of a kind."""
    return _KINDS[kind][1](rows) if kind in _KINDS else "cannot be shown: unknown"


def _table(rows: Sequence[Row], columns: Columns, caption: str, *notes: str) -> Table:
    """Lay out a row a line, without columns that have nothing to show."""
    cells = [[show(row) for show in columns.values()] for row in rows]
    shown = [any(cell != "-" for cell in column) for column in zip(*cells, strict=True)]
    header, *lines = (
        [cell for cell, is_shown in zip(line, shown, strict=True) if is_shown]
        for line in ([*columns], *cells)
    )
    return Table(header, lines, notes, caption)


def _text(field: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(field) or "-")


def _number(field: str, form: int | str = 0, unit: float = 1) -> Callable[[Row], str]:
    """Write a number with so many decimals, none of which are left from a hundred on."""

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
    return [_table(rows, _LATENCY, "Inference: so many images at once, random weights")]


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
    "aug %": "making the batches, of the step",
    "MiB": "peak memory, on a CPU of the whole process",
    "J/1000": "joules per 1,000 images",
}


def _speed_tables(rows: Sequence[Row]) -> list[Table]:
    where = f"interleaved in this run, on {_devices(rows)}"
    pairs = [row for row in rows if "ratio" in row]
    loops = [row for row in rows if "ratio" not in row]
    tables = []
    if loops:
        table = _table(loops, _LOOPS, f"Training speed, {where}")
        meant = [f"{n}: {_LOOP_MEANINGS[n]}" for n in table.header if n in _LOOP_MEANINGS]
        tables.append(replace(table, notes=["; ".join(meant)]))
    if pairs:
        tables.append(_table(pairs, _PAIRS, f"Two ways of one thing, {where}"))
    return tables


def _speed(rows: Sequence[Row]) -> str:
    row = next(r for r in rows if "ours_images_per_second" in r)
    return f"{_label(row)}: {row['ours_images_per_second']:,.0f} images/s"


_FAILURES: Columns = {
    "change": lambda row: str(row["change"]),
    "ends as": _text("outcome"),
    "one class": lambda row: "{}-{}".format(*row["collapse"]) if row["collapse"] else "-",
    "right": _number("accuracy_percent", ".2f"),
    "gradient": _number("inner_gradient_norm_at_start", ".2g"),
    "at end": _number("inner_gradient_norm_at_end", ".2g"),
    "dead": _number("worst_layer_dead_percent", ".1f"),
}


def _failure_tables(rows: Sequence[Row]) -> list[Table]:
    """Lay out a table a network, a change of the paper's way a line."""
    tables = [
        _table(own, _FAILURES, f"{network}: the paper's SGDM (rate 0.1, batches of 8), and changes")
        for network, own in grouped(rows, _label).items()
    ]
    legend = (
        "A line is one change of the paper's way. one class: the longest stretch of steps in which "
        "99 % of predictions were of one class; right: % of 2,000 held-out training images at the "
        "end; gradient: norm of all but the last layer's, in the first step and at the end; dead: "
        "% of units at the end, in the layer that has most dead ones"
    )
    return [*tables[:-1], replace(tables[-1], notes=[legend])]


def _failures(rows: Sequence[Row]) -> str:
    return f"{sum(row['outcome'] == 'learns' for row in rows)} changes of the loop learn"


_SIZES: Columns = {
    "network": lambda row: str(row["name"]),
    "par. k": _number("num_params", 1, 1e3),
    "nz. k": _number("num_nonzeros", 1, 1e3),
    "M m-a": _number("multiply_adds", 1, 1e6),
    "dense": _number("dense_bytes", 1, 1e3),
    "sparse": _number("sparse_bytes", 1, 1e3),
    "zip": _number("compressed_bytes", 1, 1e3),
}
_SIZES_LEGEND = (
    "par. k, nz. k: thousands of parameters, and of those that are not zero; M m-a: million "
    "multiply-adds an image; dense: kB of a file of every value in half precision; sparse: of a "
    "bit for each and the values that are not zero; zip: that, compressed"
)
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
        _table(rows, _SIZES, "Pruned networks: how large they are", _SIZES_LEGEND),
        _table(rows, _PRUNED_SPEEDS, speeds),
    ]


def _pruned(rows: Sequence[Row]) -> str:
    row = min(rows, key=lambda r: r["num_params"])
    return f"{row['num_params']:,} parameters: {format_value(row['accuracy_percent'], '%')} %"


# The tables of a kind, and its telling line.
_KINDS: Mapping[
    str, tuple[Callable[[Sequence[Row]], list[Table]], Callable[[Sequence[Row]], str]]
] = {
    "latency": (_latency_tables, _latency),
    "training_speed": (_speed_tables, _speed),
    "failures": (_failure_tables, _failures),
    "pruned network": (_pruned_tables, _pruned),
    CURVE: (curve_tables, lambda rows: ", ".join(dict.fromkeys(map(_label, rows)))),
}
