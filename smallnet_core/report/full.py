"""Every table of a run: what ``--tables all`` prints, remarks on the paper with it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from smallnet_core.claims.goals import GOAL_SOURCES
from smallnet_core.records import Claim, Status
from smallnet_core.report.results import (
    MEASURED,
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    TECHNIQUES,
    Row,
    count_line,
    difference,
    headline_lines,
    is_of_pruning,
    marks,
    measured,
    no_longer_missed,
    of_claims,
    provenance,
    pruned_percent,
    verdict,
    without_claim,
)
from smallnet_core.report.text import WIDTH, format_value, guarded, shorten, table, wrapped

__all__ = ["MAX_ROWS", "terminal_lines"]

# A source with more rows than this is counted, and only what stands out is listed.
MAX_ROWS = 16
# What a classification report says of each class and of the averages over them.
PER_CLASS = ("precision", "recall", "f1")
MARKS_LEGEND = "  (paper, ours; r recorded, + exceeded, * refuted, ! missed, ? undecided)"


def terminal_lines(
    rows: Sequence[Row],
    claims: Mapping[str, Claim],
    goals: Mapping[str, Claim],
    *,
    verbose: bool = False,
    complaints: Sequence[str] = (),
    known_misses: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """All tables of a run, a source at a time in the paper's order, then the summary.

    ``known_misses``: why claims are missed that are known to be, by id.
    """
    known = {**claims, **goals}
    found = of_claims(rows, known)
    by_source: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        by_source[row["source"]].append(row)
    order = list(dict.fromkeys(claim.source for claim in known.values()))
    timings = without_claim(rows, known)
    curves = timings.pop("pruning curve", [])

    sections = [
        guarded(source, _source_lines, source, by_source[source], known, verbose, curves)
        for source in sorted(by_source, key=order.index)
    ]
    in_the_papers_tables = {
        _network(known[row["claim"]])
        for source in PRUNING_TABLES
        for row in by_source.get(source, [])
        if row["origin"] != NEITHER
    }
    others = [curve for curve in curves if _network(curve) not in in_the_papers_tables]
    sections.append(guarded("pruning curves", _curve_tables, others))
    sections += [
        guarded(kind, _TIMING_TABLES.get(kind, _unknown), own) for kind, own in timings.items()
    ]
    sections.append(_not_measured_lines(found))
    sections.append(_known_misses_lines(found, known_misses))
    sections += [wrapped(complaint, "  ") for complaint in complaints]
    sections.append(headline_lines(found, claims, goals, known_misses))
    sections.append(wrapped(count_line(found, claims, goals)))
    return [line for section in sections if section for line in ("", *section)]


def _unknown(rows: Sequence[Row]) -> list[str]:
    kind = rows[0].get("kind") if rows[0].get("claim") is None else rows[0]["claim"]
    return wrapped(f"{kind}: {len(rows)} row{'s' * (len(rows) > 1)} that this report cannot show")


def _source_lines(
    source: str,
    rows: Sequence[Row],
    claims: Mapping[str, Claim],
    verbose: bool,
    curves: Sequence[Row] = (),
) -> list[str]:
    judged = [row for row in rows if row["origin"] != NEITHER]
    lines = [f"{source}: {_counts(rows)}"]
    shown = list(rows)
    if len(rows) > MAX_ROWS and not verbose:
        loud = (Status.REFUTED.value, Status.MISSED.value)
        shown = [row for row in rows if row["verdict"] in loud]
    if source.startswith("Appendix D") and judged:
        lines += _per_class_table(rows, claims)
        shown = [row for row in shown if claims[row["claim"]].metric not in PER_CLASS]
    if source in PRUNING_TABLES and judged:
        lines += _pruning_table(rows, claims, curves)
        shown = []
    networks = [_network(claims[row["claim"]]) for row in rows]
    named_by_them = all(map(all, networks)) and len(set(networks)) == len(rows)
    if shown and named_by_them and not any(is_of_pruning(claims[row["claim"]]) for row in rows):
        lines += table(
            ("network", "optimizer", _reference(rows), "measured", "diff.", "verdict"),
            [
                (
                    claims[row["claim"]].network or "",
                    claims[row["claim"]].optimizer or "",
                    format_value(row["paper"], row["unit"]),
                    measured(row),
                    difference(row),
                    verdict(row),
                )
                for row in shown
            ],
        )
    elif shown:
        lines += _claim_table(shown)
    lines += _provenance(judged)
    if any(row["origin"] == RECORDED for row in rows):
        lines += wrapped(provenance(judged), "  ")
    remarks: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if remark := claims[row["claim"]].remark:
            remarks[remark].append(row["claim"].partition("/")[2])
    for remark, names in remarks.items():
        which = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
        lines += wrapped(f"{which}: {remark}", "  * ")
    return lines


def _counts(rows: Sequence[Row]) -> str:
    """Verdicts in the order of Status, those that are recorded apart."""
    counts = Counter((row["origin"], row["verdict"]) for row in rows)
    parts = {
        origin: ", ".join(f"{counts[origin, s]} {s.value}" for s in Status if counts[origin, s])
        for origin in (MEASURED, RECORDED, NEITHER)
    }
    if parts[RECORDED]:
        parts[RECORDED] = f"recorded: {parts[RECORDED]}"
    here = ", ".join(filter(None, (parts[MEASURED], parts[NEITHER])))
    return "; ".join(filter(None, (here, parts[RECORDED])))


def _network(what: Claim | Row) -> tuple[str | None, str | None]:
    """Network and optimizer of a claim or of a row that has none."""
    if isinstance(what, Claim):
        return what.network, what.optimizer
    return what.get("network"), what.get("optimizer")


def _provenance(rows: Sequence[Row]) -> list[str]:
    """Which recipe, which epoch, which seeds, trained on what: a line for each that occurs."""
    found: list[str] = []
    for row in rows:
        details = row["details"]
        if "selection" in details:
            epoch = "last epoch"
            if details["selection"] == "best_test_epoch":
                epoch = "best epoch on the test set (the paper's rule)"
            seeds = "seeds " + ", ".join(map(str, row["seeds"]))
            trained_on = ", ".join(sorted(set(details.get("trained_on", ()))))
            how = f"trained in {'/'.join(details.get('computed_in', ()))} on {trained_on}"
            recipe = f"{row['recipe']} recipe, " if row["recipe"] else ""
            found.append(f"{recipe}{epoch}, {seeds}, {how}")
    return [line for text in dict.fromkeys(found) for line in wrapped(text, "  ")]


def _claim_table(rows: Sequence[Row]) -> list[str]:
    """A claim a line, its name cut to what the numbers leave of the line."""
    cells = [(format_value(row["paper"], row["unit"]), measured(row), verdict(row)) for row in rows]
    header = (_reference(rows), "measured", "verdict")
    taken = sum(2 + max(map(len, column)) for column in zip(header, *cells, strict=True))
    names = [shorten(row["claim"].partition("/")[2], WIDTH - taken) for row in rows]
    return table(("claim", *header), [(name, *row) for name, row in zip(names, cells, strict=True)])


def _per_class_table(rows: Sequence[Row], claims: Mapping[str, Claim]) -> list[str]:
    """Appendix D as the paper prints it, each number as "paper measured"."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        claim = claims[row["claim"]]
        if claim.metric in PER_CLASS:
            name = claim.id.partition("/")[2].removesuffix(f"-{claim.metric}")
            ours = format_value(row["measured"], "%")  # two decimals, as the paper's
            mark = marks(row)
            cells[name][claim.metric] = f"{row['paper']:.2f} {ours} {mark}"
    if not cells:  # -k chose others
        return []
    lines = [(name, *(found.get(m, "-") for m in PER_CLASS)) for name, found in cells.items()]
    return [*table(("class", *PER_CLASS), lines), MARKS_LEGEND]


def _pruning_table(
    rows: Sequence[Row], claims: Mapping[str, Claim], curves: Sequence[Row]
) -> list[str]:
    """Tables 6 and 7 as the paper prints them, each accuracy as "paper measured".

    ``curves`` of the same network add the techniques that the paper has no numbers for.
    """
    cells: dict[float, dict[str, str]] = defaultdict(dict)
    techniques: dict[str, None] = {}
    for row in rows:
        details = claims[row["claim"]].details
        techniques[details["technique"]] = None
        ours = format_value(pruned_percent(row), "%")
        mark = marks(row)
        cell = f"{details['paper_percent']:5.2f} {ours:>5} {mark}"
        cells[details["proportion"]][details["technique"]] = cell
    networks = {_network(claims[row["claim"]]) for row in rows}
    own = [curve for curve in curves if _network(curve) in networks]
    others = {name: c for name, c in _by_technique(own).items() if name not in techniques}
    lines = [
        (
            f"{proportion:g}",
            *(found.get(technique, "-") for technique in techniques),
            *(_percent_at(proportion, of_one) for of_one in others.values()),
        )
        for proportion, found in sorted(cells.items())
    ]
    # As wide as a cell, for it to stand over the paper's numbers.
    header = ("prop.", *(_technique(t).ljust(14) for t in techniques), *map(_technique, others))
    shown = [curve for of_one in others.values() for curve in of_one]
    return [*table(header, lines), MARKS_LEGEND, *_curves_provenance(shown)]


def _by_technique(curves: Sequence[Row]) -> dict[str, list[Row]]:
    """The curves of each technique, a seed each."""
    found: dict[str, list[Row]] = defaultdict(list)
    for curve in curves:
        found[curve["technique"]].append(curve)
    order = [*TECHNIQUES, *found]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _percent_at(proportion: float, curves: Sequence[Row]) -> str:
    """The mean over seeds at a proportion."""
    values = [
        percent
        for curve in curves
        for at, percent in zip(curve["proportions"], curve["accuracy_percent"], strict=True)
        if math.isclose(at, proportion, abs_tol=1e-6)
    ]
    finite = [value for value in values if value is not None]
    return format_value(sum(finite) / len(finite) if finite else None, "%")


def _technique(name: str) -> str:
    return TECHNIQUES.get(name, name.replace("_", " "))


def _curve_tables(rows: Sequence[Row]) -> list[str]:
    """A table a network, a proportion a line and a technique a column."""
    by_network: dict[tuple[str | None, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        by_network[_network(row)].append(row)
    lines: list[str] = []
    for (network, optimizer), own in by_network.items():
        found = _by_technique(own)
        proportions = sorted({round(p, 6) for row in own for p in row["proportions"]})
        lines += [
            f"{network} {optimizer}: % right, by the proportion pruned of its "
            f"{own[0]['num_weights']:,} weights",
            *table(
                ("prop.", *map(_technique, found)),
                [
                    (f"{p:g}", *(_percent_at(p, of_one) for of_one in found.values()))
                    for p in proportions
                ],
            ),
            *_curves_provenance(own),
        ]
    return lines


def _curves_provenance(rows: Sequence[Row]) -> list[str]:
    """A line for all techniques that are alike in it."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name, curves in _by_technique(rows).items():
        numbers = list(dict.fromkeys(str(seed) for curve in curves for seed in curve["seeds"]))
        seeds = f"seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        origins = "/".join(dict.fromkeys(curve["origin"] for curve in curves))
        devices = "/".join(dict.fromkeys(curve["device"] for curve in curves))
        recorded = "recorded " if any(curve.get("recorded") for curve in curves) else ""
        how = (
            f"{recorded}in one shot, not fine-tuned; weights: {origins}, {seeds}; "
            f"pruned on {devices}"
        )
        found[how][_technique(name)] = None
    return [
        line for how, names in found.items() for line in wrapped(f"{', '.join(names)}: {how}", "  ")
    ]


def _pruned_tables(rows: Sequence[Row]) -> list[str]:
    """How large pruned networks are, then how fast and how good: a line a network in each."""
    sizes = (
        ("par. k", "num_params", 1e3, 1),
        ("nz. k", "num_nonzeros", 1e3, 1),
        ("M m-a", "multiply_adds", 1e6, 1),
        ("dense", "dense_bytes", 1e3, 1),
        ("sparse", "sparse_bytes", 1e3, 1),
        ("zip", "compressed_bytes", 1e3, 1),
    )
    speeds = (
        ("ms at 1", "latency_ms", 1.0, 2),
        ("images/s at 256", "images_per_second", 1.0, 1),
        ("right %", "accuracy_percent", 1.0, 2),
        ("dense %", "dense_accuracy_percent", 1.0, 2),
    )
    devices = "/".join(dict.fromkeys(row["device"] for row in rows))
    legend = (
        "par. k, nz. k: thousands of parameters, and of those that are not zero; M m-a: million "
        "multiply-adds an image; dense: kB of a file of every value in half precision; sparse: of "
        "a bit for each and the values that are not zero; zip: that, compressed; dense %: before "
        "pruning"
    )
    return [
        f"Pruned networks, timed in float32 on {devices}",
        *_columns(rows, sizes),
        *_columns(rows, speeds),
        *wrapped(legend, "  "),
    ]


def _columns(rows: Sequence[Row], columns: Sequence[tuple[str, str, float, int]]) -> list[str]:
    """A row a line, its name cut to what the numbers leave of it: header, field, unit, digits."""
    header = [name for name, *_ in columns]
    cells = [
        [_number(_scaled(row.get(field), unit), digits) for _, field, unit, digits in columns]
        for row in rows
    ]
    taken = sum(2 + max(map(len, column)) for column in zip(header, *cells, strict=True))
    names = [shorten(row["name"], WIDTH - taken) for row in rows]
    return table(("what", *header), [(name, *own) for name, own in zip(names, cells, strict=True)])


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _latency_table(rows: Sequence[Row]) -> list[str]:
    by_network: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        by_network[row["network"]][row["batch_size"]] = row
    return [
        f"Inference, float32, random weights, on {rows[0]['device']}",
        *table(
            ("network", "parameters", "1 image, ms", "256 images, ms", "images/s at 256"),
            [
                (
                    network,
                    f"{next(iter(found.values()))['num_params']:,}",
                    _ms(found.get(1)),
                    _ms(found.get(256)),
                    f"{256 / found[256]['median_seconds']:,.0f}" if 256 in found else "-",
                )
                for network, found in by_network.items()
            ],
        ),
    ]


def _ms(row: Row | None) -> str:
    return "-" if row is None else f"{1000 * row['median_seconds']:.2f}"


def _speed_table(rows: Sequence[Row]) -> list[str]:
    lines = [f"Training speed, interleaved in this run, on {rows[0]['device']}"]
    loops = [row for row in rows if "ours_images_per_second" in row]
    if loops:
        lines += _loop_table(loops)
    pairs = [row for row in rows if "ratio" in row]
    if pairs:
        lines += table(
            ("what", "ours", "other", "unit", "ratio"),
            [
                (
                    row["name"],
                    f"{row['ours']:,.1f}",
                    f"{row['other']:,.1f}",
                    row["unit"],
                    f"{row['ratio']:.2f}",
                )
                for row in pairs
            ],
        )
    return lines


def _loop_table(rows: Sequence[Row]) -> list[str]:
    """A loop a line; a column that no row tells anything of is left out."""
    columns = [
        ("images/s", "ours_images_per_second", 0),
        ("x paper", "ratio_to_papers", 2),
        ("x plain", "ratio_to_plain", 2),
        ("use %", "utilisation_percent", 1),
        ("aug %", "augmentation_percent", 2),
        ("MiB", "peak_memory_mib", 0),
        ("J/1000", "joules_per_1000_images", 1),
    ]
    columns = [column for column in columns if any(row.get(column[1]) is not None for row in rows)]
    meanings = {
        "x paper": "times the paper's loop",
        "x plain": "times a plain DataLoader loop at our batch size",
        "use %": "multiply-adds, three forward passes a step, over those of matrix products timed "
        "just before",
        "aug %": "making the batches, of the step",
        "MiB": "peak memory, on a CPU of the whole process",
        "J/1000": "joules per 1,000 images",
    }
    legend = "; ".join(f"{name}: {meanings[name]}" for name, *_ in columns if name in meanings)
    return [
        *table(
            ("network", "optimizer", *(name for name, *_ in columns)),
            [
                (
                    row["network"],
                    row["optimizer"],
                    *(_number(row.get(field), digits) for _, field, digits in columns),
                )
                for row in rows
            ],
        ),
        *wrapped(legend, "  "),
    ]


def _number(value: float | None, digits: int) -> str:
    """With so many decimals, and fewer from a hundred on."""
    if value is None:
        return "-"
    return f"{value:,.{digits if abs(value) < 99.995 else 0}f}"


def _failures_table(rows: Sequence[Row]) -> list[str]:
    """A table a network, a change of the paper's way a line."""
    lines: list[str] = []
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        lines += [
            f"{network}: the paper's SGDM (rate 0.1, batches of 8), and one change of it each",
            *table(
                ("change", "ends as", "one class", "right", "gradient", "at end", "dead"),
                [
                    (
                        row["change"],
                        row["outcome"],
                        "-" if row["collapse"] is None else "{}-{}".format(*row["collapse"]),
                        f"{row['accuracy_percent']:.2f}",
                        _digits(row["inner_gradient_norm_at_start"]),
                        _digits(row["inner_gradient_norm_at_end"]),
                        f"{row['worst_layer_dead_percent']:.1f}",
                    )
                    for row in own
                ],
            ),
        ]
    legend = (
        "one class: the longest stretch of steps in which 99 % of predictions were of one class; "
        "right: % of 2,000 held-out training images at the end; gradient: norm of all but the "
        "last layer's, in the first step and at the end; dead: % of units at the end, in the "
        "layer that has most dead ones"
    )
    return [*lines, *wrapped(legend, "  ")]


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


_TIMING_TABLES = {
    "latency": _latency_table,
    "training_speed": _speed_table,
    "failures": _failures_table,
    "pruned network": _pruned_tables,
}


def _not_measured_lines(rows: Sequence[Row]) -> list[str]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["not_here"] is not None:
            reasons[row["not_here"]].append(row["claim"])
    lines = ["not measured in this run, and why:"] if reasons else []
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines += wrapped(f"{_counted(names)}: {reason}", "  ")
    return lines


def _known_misses_lines(rows: Sequence[Row], known_misses: Mapping[str, str]) -> list[str]:
    """Those of this run: why they are missed, and which are so no longer."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["claim"] in known_misses and row["verdict"] == Status.MISSED.value:
            by_reason[known_misses[row["claim"]]].append(row["claim"])
    lines: list[str] = []
    for reason, names in by_reason.items():
        lines += wrapped(f"missed, as known: {_counted(names)}: {reason}", "  ")
    for name in no_longer_missed(rows, known_misses):
        lines += wrapped(f"no longer missed: {name}: remove from known_misses", "  ")
    return lines


def _counted(names: Sequence[str]) -> str:
    which = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} claim{'s' if len(names) > 1 else ''} ({which})"


def _reference(rows: Sequence[Row]) -> str:
    return "goal" if rows[0]["source"] in GOAL_SOURCES else "paper"
