"""The tables of a page: verdicts as the paper lays them out, and rows that judge no claim. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.claims.names import DATASET_NAMES, GOAL_SOURCES, NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.report import kinds
from smallnet_core.report.grid import Cell, Grid
from smallnet_core.report.results import (
    PRUNING_TABLES,
    RECORDED,
    VERDICTS,
    Result,
    headline,
)
from smallnet_core.report.table import Row, escaped, format_value, grouped, is_number

_AVERAGES = {"macro_avg": "macro avg", "weighted_avg": "weighted avg"}
_MARKS = dict(zip((*VERDICTS, "not measured"), "=+*!?-", strict=True))
_LEGEND = (
    "In a cell: the paper's number, ours, and the verdict. = reproduced, + exceeded, * refuted: "
    "the paper says that it fails, and it works; ! missed, ? undecided, - not measured; r: "
    "recorded by an earlier run."
)

# Verdicts


def verdict(r: Result) -> Cell:
    return Cell(text=r.judged, link=f"claim-{r.claim.id}", verdict=_colour(r))


def _colour(r: Result) -> str:
    return r.verdict.replace(" ", "-")


def pair(r: Result, paper: Any, ours: Any, unit: str = "%") -> Cell:
    recorded = "r" * (r.origin == RECORDED)
    text = f"{format_value(paper, unit)} / {format_value(ours, unit)} {_MARKS[r.verdict]}{recorded}"
    return Cell(text=text, link=f"claim-{r.claim.id}", verdict=_colour(r))


def network_name(name: str | None) -> str:
    return NETWORK_NAMES.get(name or "", {"speednet": "SpeedNet"}.get(name or "", name or "-"))


def _of(results: Iterable[Result], *sources: str) -> list[Result]:
    return [r for r in results if r.claim.source in sources]


def headline_grid(results: Sequence[Result]) -> Grid:
    """Count verdicts: measured in this run, and after a plus those that are recorded."""
    header = ("claims", "all", "measured", "recorded", "neither", *VERDICTS)
    rows = []
    for name, total, *counts, neither in headline(results, CLAIMS, GOALS):
        half = len(counts) // 2
        (measured, *now), (recorded, *earlier) = counts[:half], counts[half:]
        cells = [
            " + ".join([a if a != "-" else "0", f"{b} r"]) if b != "-" else a
            for a, b in zip(now, earlier, strict=True)
        ]
        rows.append([name, total, measured, recorded, neither, *cells])
    note = "r: recorded by an earlier run, on the machine that the claim's entry names."
    return Grid("Claims by kind and verdict", header, rows, [note])


def missed(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Group what is missed by its reason, new misses first."""

    def why(r: Result) -> str:
        if r.row.get("expected_miss") is True:
            return f"Known: {KNOWN_MISSES.get(r.claim.id, r.reason)}"
        return "New"

    groups = grouped((r for r in results if r.is_missed), why)
    return sorted(groups.items(), key=lambda group: (group[0] != "New", -len(group[1])))


def unmeasured(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    groups = grouped((r for r in results if r.not_here), lambda r: str(r.not_here))
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def missed_markdown(results: Sequence[Result]) -> list[str]:
    lines = []
    for why, own in missed(results):
        if why == "New":
            lines += [f"- **New**: `{r.claim.id}`: {escaped(r.reason)}" for r in own]
        else:
            names = ", ".join(f"`{r.claim.id}`" for r in own[:3]) + ", ..." * (len(own) > 3)
            lines.append(f"- {escaped(why)}: {len(own)} ({names})")
    return ["## Missed", "", *lines] if lines else []


# The paper's tables, and ours


def _rows_of(results: Iterable[Result]) -> list[list[str | Cell]]:
    return [
        [
            network_name(r.claim.network),
            OPTIMIZER_NAMES.get(r.claim.optimizer or "", r.claim.optimizer or "-"),
            r.text("paper"),
            r.measured,
            r.difference,
            verdict(r),
        ]
        for r in results
    ]


def tables(results: Sequence[Result]) -> list[Grid]:
    """Tables 1 to 7, in the paper's order."""
    grids = []
    by_network = grouped(_of(results, "Table 1"), lambda r: r.claim.network)
    rows: list[list[str | Cell]] = []
    for network, own in by_network.items():
        cells = {r.claim.metric: r for r in own}
        row: list[str | Cell] = [network_name(network)]
        for metric in ("num_params", "accuracy_percent"):
            r = cells.get(metric)
            row += ["-"] * 3 if r is None else [r.text("paper"), r.measured, verdict(r)]
        rows.append(row)
    header = ("model", "parameters", "ours", "verdict", "% correct", "ours", "verdict")
    grids.append(Grid("Table 1: published models", header, rows))
    for source in ("Table 2", "Table 3", "Table 4", "Table 5"):
        own = _of(results, source)
        data = DATASET_NAMES.get(own[0].claim.dataset or "", "-") if own else "-"
        columns = ("network", "optimizer", "paper, %", "ours, %", "difference", "verdict")
        grids.append(Grid(f"{source}: test accuracy on {data}", columns, _rows_of(own)))
    return [grid for grid in (*grids, *pruning_tables(results)) if grid.rows]


def pruning_tables(results: Sequence[Result]) -> list[Grid]:
    """Tables 6 and 7."""
    grids = [_pruning_grid(source, _of(results, source)) for source in PRUNING_TABLES]
    return [grid for grid in grids if grid.rows]


def _pruning_grid(source: str, results: Sequence[Result]) -> Grid:
    techniques = list(dict.fromkeys(r.claim.details["technique"] for r in results))
    cells: dict[float, dict[str, Cell]] = defaultdict(dict)
    for r in results:
        details = r.claim.details
        cell = pair(r, details["paper_percent"], r.pruned_percent)
        cells[details["proportion"]][details["technique"]] = cell
    rows = [
        [f"{at:g}", *(own.get(name, "-") for name in techniques)]
        for at, own in sorted(cells.items())
    ]
    header = ("proportion", *(kinds.TECHNIQUES[name] for name in techniques))
    return Grid(f"{source}: ResNet18 pruned in one shot, test accuracy, %", header, rows, [_LEGEND])


def listings(results: Sequence[Result]) -> list[Grid]:
    grids = []
    for source in ("Appendix A", "Appendix B", "Appendix C"):
        rows: list[list[str | Cell]] = []
        own = _of(results, source)
        for r in own:
            details = r.claim.details
            name = str(details.get("quantity", "")).replace("_", " ")
            if "layer_type" in details:
                name = f"{details['layer_type']}-{details['index']}"
            shape = str(list(details["output_shape"])) if "output_shape" in details else "-"
            rows.append([name, shape, r.text("paper"), r.measured, verdict(r)])
        if own:
            caption = f"{source}: layers of {network_name(own[0].claim.network)}"
            header = ("layer", "output shape", "parameters", "ours", "verdict")
            grids.append(Grid(caption, header, rows, folded=True))
    return grids


def reports(results: Sequence[Result]) -> list[Grid]:
    """Appendix D as the paper prints it."""
    grids = []
    metrics = ("precision", "recall", "f1", "support")
    for source in ("Appendix D.1", "Appendix D.2", "Appendix D.3", "Appendix D.4"):
        own = _of(results, source)
        cells: dict[str, dict[str, Cell]] = defaultdict(dict)
        for r in own:
            name = r.name.removesuffix(f"-{r.claim.metric}")
            metric = "f1" if r.claim.metric == "accuracy" else r.claim.metric
            unit = r.claim.unit or "%"  # two decimals, as the paper has them
            name = _AVERAGES.get(name, name)
            cells[name][metric] = pair(r, r.row["paper"], r.row["measured"], unit)
        rows = [[name, *(cell.get(m, "-") for m in metrics)] for name, cell in cells.items()]
        if own:
            caption = f"{source}: {network_name(own[0].claim.network)}, classes of CIFAR-10"
            grids.append(Grid(caption, ("class", *metrics), rows, [_LEGEND], folded=True))
    return grids


def _statements(caption: str, results: Iterable[Result]) -> Grid:
    rows: list[list[str | Cell]] = [
        [r.claim.source, r.claim.statement, r.text("paper"), r.measured, r.claim.unit, verdict(r)]
        for r in results
    ]
    return Grid(caption, ("where", "it says", "value", "ours", "unit", "verdict"), rows)


def sentences(results: Sequence[Result]) -> Grid:
    found = [r for r in results if re.match("Abstract|Section|Figure", r.claim.source)]
    order = list(CLAIMS)
    found.sort(key=lambda r: order.index(r.claim.id))
    return _statements("What the paper says in its text and its figures", found)


def goals(results: Sequence[Result]) -> Grid:
    return _statements("Our own goals", _of(results, *GOAL_SOURCES))


# Rows that judge no claim

Column = tuple[str, Callable[[Row], str]]


def _text(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name, "-"))


def _number(name: str, form: str = ",.0f", factor: float = 1) -> Callable[[Row], str]:
    def shown(row: Row) -> str:
        value = row.get(name)
        return format(factor * value, form) if value is not None and is_number(value) else "-"

    return shown


def _label(row: Row) -> str:
    return network_name(str(row.get("network", "-")))


def _images_per_second(row: Row) -> str:
    size, seconds = row.get("batch_size"), row.get("median_seconds")
    if not size or not seconds or not is_number(size) or not is_number(seconds):
        return "-"
    return f"{size / seconds:,.0f}"


KIND_COLUMNS: Mapping[str, tuple[str, Sequence[Column]]] = {
    "latency": (
        "Inference: latency and throughput, random weights",
        (
            ("network", _label),
            ("parameters", _number("num_params")),
            ("images at once", _number("batch_size")),
            ("ms", _number("median_seconds", ",.2f", 1e3)),
            ("images/s", _images_per_second),
            ("precision", _text("precision")),
            ("device", _text("device")),
        ),
    ),
    "training_speed": (
        "Training speed, and how many times as fast as the paper's loop and a plain one",
        (
            ("what", _text("name")),
            ("images/s", _number("ours_images_per_second")),
            ("x paper", _number("ratio_to_papers", ".2f")),
            ("x plain", _number("ratio_to_plain", ".2f")),
            ("ratio", _number("ratio", ".2f")),
            ("use of peak, %", _number("utilisation_percent", ".1f")),
            ("augmentation, %", _number("augmentation_percent", ".2f")),
            ("peak MiB", _number("peak_memory_mib")),
            ("J/1,000 images", _number("joules_per_1000_images", ".1f")),
            ("device", _text("device")),
        ),
    ),
    "pruned network": (
        "Pruned networks: size, speed and accuracy",
        (
            ("network", _text("name")),
            ("parameters", _number("num_params")),
            ("not zero", _number("num_nonzeros")),
            ("multiply-adds, M", _number("multiply_adds", ",.1f", 1e-6)),
            ("kB dense", _number("dense_bytes", ",.0f", 1e-3)),
            ("kB sparse", _number("sparse_bytes", ",.0f", 1e-3)),
            ("ms for 1 image", _number("latency_ms", ".2f")),
            ("images/s", _number("images_per_second")),
            ("% right", _number("accuracy_percent", ".2f")),
            ("% unpruned", _number("dense_accuracy_percent", ".2f")),
        ),
    ),
    "failures": (
        "The paper's SGDM (rate 0.1, batches of 8), and one change of it each: 2,000 steps",
        (
            ("network", _label),
            ("change", _text("change")),
            ("ends as", _text("outcome")),
            ("% right", _number("accuracy_percent", ".2f")),
            ("gradient at first", _number("inner_gradient_norm_at_start", ".2g")),
            ("gradient at end", _number("inner_gradient_norm_at_end", ".2g")),
            ("% dead in worst layer", _number("worst_layer_dead_percent", ".1f")),
        ),
    ),
    "reference timing": (
        "Reference timing",
        (("name", _text("name")), ("measured", _number("measured", ".4g")), ("", _text("unit"))),
    ),
}
SPEED = ("latency", "training_speed", "pruned network", "reference timing")


def kind_grids(rows: Mapping[str, Sequence[Row]]) -> list[Grid]:
    grids = []
    for kind, own in rows.items():
        title, columns = KIND_COLUMNS[kind]
        cells = [[show(row) for _, show in columns] for row in own]
        empty = {k for k, column in enumerate(zip(*cells, strict=True)) if set(column) == {"-"}}
        header = [name for k, (name, _) in enumerate(columns) if k not in empty]
        kept = [[cell for k, cell in enumerate(row) if k not in empty] for row in cells]
        if own:
            grids.append(Grid(title, header, kept))
    return grids


def curve_grids(curves: Sequence[Row]) -> list[Grid]:
    grids = []
    for name, own in grouped(curves, lambda row: f"{_label(row)} {row['optimizer']}").items():
        found = kinds.by_technique(own)
        rows = [
            [f"{at:g}", *(kinds.percent_at(at, of_one) for of_one in found.values())]
            for at in sorted({round(p, 6) for row in own for p in row["proportions"]})
        ]
        header = ("proportion", *(kinds.TECHNIQUES.get(name, name) for name in found))
        notes = kinds.curves_provenance(own)
        caption = f"{name}: test accuracy after pruning in one shot, %"
        grids.append(Grid(caption, header, rows, notes, folded=True))
    return grids
