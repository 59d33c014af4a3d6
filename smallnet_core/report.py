"""Records in, lines out: the paper's tables with what was measured beside them.

Everything here works on rows, the JSON form of verdicts (``Verdict.as_row``), so that the same
tables can be made at the end of a run and from a saved file.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from smallnet_core.claims.goals import GOAL_SOURCES
from smallnet_core.records import Claim, Status

__all__ = ["format_value", "markdown_lines", "summary_line", "table", "terminal_lines"]

WIDTH = 80
# A source with more rows than this is counted, and only what stands out is listed.
MAX_ROWS = 16
# What a classification report says of each class and of the averages over them.
PER_CLASS = ("precision", "recall", "f1")
# What the paper prints as accuracies of a pruned network, one line a proportion.
PRUNING_TABLES = ("Table 6", "Table 7")
MARKS = {Status.MISSED.value: " !", Status.EXCEEDED.value: " +"}
MARKS_LEGEND = "  (paper, measured; + exceeded, ! missed)"
TECHNIQUES = {
    "l1_unstructured": "L1 unstr.",
    "l1_structured": "L1 struct.",
    "global_unstructured": "global unstr.",
    "random_unstructured": "random",
    "random_structured": "random struct.",
}

Row = Mapping[str, Any]


def format_value(value: float | None, unit: str) -> str:
    """A number as the tables show it; "-" for none, and for what is not finite."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit in ("%", "points", "MiB"):
        return f"{value:.2f}"
    if unit == "":
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns aligned by their widest cell: the first ones that are words left, numbers right."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [all(_is_numeric(row[k]) for row in cells) and bool(cells) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return [line(header), "  ".join("-" * width for width in widths), *map(line, cells)]


def _is_numeric(cell: str) -> bool:
    return cell == "-" or cell.lstrip("+-")[:1].isdigit()


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
    by_source: dict[str, list[Row]] = defaultdict(list)
    timings: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["claim"] is None:
            timings[row["kind"]].append(row)
        else:
            by_source[row["source"]].append(row)
    order = list(dict.fromkeys(claim.source for claim in (*claims.values(), *goals.values())))
    known = {**claims, **goals}
    curves = timings.pop("pruning curve", [])

    sections = [
        _source_lines(source, by_source[source], known, verbose, curves)
        for source in sorted(by_source, key=order.index)
    ]
    in_the_papers_tables = {
        _network(known[row["claim"]])
        for source in PRUNING_TABLES
        for row in by_source.get(source, [])
        if row["verdict"] != Status.NOT_MEASURED.value
    }
    sections.append(_curve_tables([c for c in curves if _network(c) not in in_the_papers_tables]))
    sections += [_TIMING_TABLES[kind](found) for kind, found in timings.items()]
    sections.append(_not_measured_lines(rows))
    sections.append(_known_misses_lines(rows, known_misses))
    sections += [_wrapped(complaint, "  ") for complaint in complaints]
    sections.append(summary_line(rows, claims, goals))
    return [line for section in sections if section for line in ("", *section)]


def markdown_lines(
    document: Mapping[str, Any], claims: Mapping[str, Claim], goals: Mapping[str, Claim]
) -> list[str]:
    """The measured accuracies of a saved benchmark JSON as a Markdown table, and whence they are.

    ``document`` is the parsed file; rows that were not measured are left to the summary. Of pruning
    it has what is lost too, but of Tables 6 and 7 Figure 17 only.
    """
    rows: Sequence[Row] = document["smallnet"]["rows"]
    known = {**claims, **goals}
    lines = [
        "| where | network, optimizer | paper | measured | difference | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        claim = known.get(row["claim"])
        if claim is None or row["verdict"] == Status.NOT_MEASURED.value:
            continue
        if claim.metric != "accuracy_percent" and not _is_of_pruning(claim):
            continue
        if claim.source.startswith("Appendix D") or claim.source in PRUNING_TABLES:
            continue
        what = ", ".join(filter(None, _network(claim))) or claim.id
        if _is_of_pruning(claim):
            what = claim.id.partition("/")[2]
        paper = format_value(row["paper"], row["unit"])
        if row["claim"] in goals:
            paper = f"goal {paper}"
        cells = (claim.source, what, paper, _measured(row), _difference(row), row["verdict"])
        lines.append("| " + " | ".join(cells) + " |")
    machine = document["machine_info"].get("smallnet", {})
    commit = document["commit_info"]
    return [
        *lines,
        "",
        *summary_line(rows, claims, goals),
        "",
        f"Run on {document['datetime'][:10]} at commit {str(commit.get('id'))[:12]}"
        f"{' with changes' if commit.get('dirty') else ''}, {machine.get('device_name')}, "
        f"{machine.get('num_threads')} threads, torch {machine.get('versions', {}).get('torch')}.",
    ]


def summary_line(
    rows: Sequence[Row], claims: Mapping[str, Claim], goals: Mapping[str, Claim]
) -> list[str]:
    """How many claims of the paper met which end, and how many this run did not look at."""
    of_paper = [row for row in rows if row["claim"] in claims]
    counts = Counter(row["verdict"] for row in of_paper)
    parts = [f"{counts[status.value]} {status.value}" for status in Status]
    left = len(claims) - len({row["claim"] for row in of_paper})
    text = f"claims of the paper: {', '.join(parts)}; {left} of {len(claims)} not in this run"
    own = Counter(row["verdict"] for row in rows if row["claim"] in goals)
    if own:
        text += "; our own goals: " + ", ".join(f"{n} {status}" for status, n in own.items())
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _wrapped(text: str, indent: str) -> list[str]:
    """Paths and options stay whole, so that they can be copied: "--train-" and "budget" cannot."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _source_lines(
    source: str,
    rows: Sequence[Row],
    claims: Mapping[str, Claim],
    verbose: bool,
    curves: Sequence[Row] = (),
) -> list[str]:
    counts = Counter(row["verdict"] for row in rows)
    total = ", ".join(
        f"{counts[status.value]} {status.value}" for status in Status if counts[status.value]
    )
    lines = [f"{source}: {total}"]
    shown = list(rows)
    if len(rows) > MAX_ROWS and not verbose:
        quiet = (Status.REPRODUCED, Status.EXCEEDED, Status.NOT_MEASURED)
        shown = [row for row in rows if row["verdict"] not in quiet]
    judged = counts.keys() - {Status.NOT_MEASURED.value}
    if source.startswith("Appendix D") and judged:
        lines += _per_class_table(rows, claims)
        shown = [row for row in shown if claims[row["claim"]].metric not in PER_CLASS]
    if source in PRUNING_TABLES and judged:
        lines += _pruning_table(rows, claims, curves)
        shown = []
    networks = [_network(claims[row["claim"]]) for row in rows]
    named_by_them = all(map(all, networks)) and len(set(networks)) == len(rows)
    if shown and named_by_them and not any(_is_of_pruning(claims[row["claim"]]) for row in rows):
        lines += table(
            ("network", "optimizer", _reference(rows), "measured", "diff.", "verdict"),
            [
                (
                    claims[row["claim"]].network or "",
                    claims[row["claim"]].optimizer or "",
                    format_value(row["paper"], row["unit"]),
                    _measured(row),
                    _difference(row),
                    row["verdict"],
                )
                for row in shown
            ],
        )
    elif shown:
        lines += _claim_table(shown)
    lines += _provenance(rows)
    remarks: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if remark := claims[row["claim"]].remark:
            remarks[remark].append(row["claim"].partition("/")[2])
    for remark, names in remarks.items():
        which = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
        lines += _wrapped(f"{which}: {remark}", "  * ")
    return lines


def _network(what: Claim | Row) -> tuple[str | None, str | None]:
    """Network and optimizer of a claim or of a row that has none."""
    if isinstance(what, Claim):
        return what.network, what.optimizer
    return what["network"], what["optimizer"]


def _is_of_pruning(claim: Claim) -> bool:
    """Whether network and optimizer alone do not tell what was measured."""
    sides = (claim.details.get(side, {}) for side in ("minuend", "subtrahend"))
    return any("technique" in one or "recipe" in one for one in (claim.details, *sides))


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
            trained_on = ", ".join(sorted(set(details["trained_on"])))
            how = f"trained in {'/'.join(details['computed_in'])} on {trained_on}"
            found.append(f"{row['recipe']} recipe, {epoch}, {seeds}, {how}")
    return [
        line
        for text in dict.fromkeys(found)
        for line in textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]


def _claim_table(rows: Sequence[Row]) -> list[str]:
    """A claim a line, its name cut to what the numbers leave of the line."""
    cells = [
        (format_value(row["paper"], row["unit"]), _measured(row), row["verdict"]) for row in rows
    ]
    header = (_reference(rows), "measured", "verdict")
    taken = sum(2 + max(map(len, column)) for column in zip(header, *cells, strict=True))
    names = [_shorten(row["claim"].partition("/")[2], WIDTH - taken) for row in rows]
    return table(("claim", *header), [(name, *row) for name, row in zip(names, cells, strict=True)])


def _per_class_table(rows: Sequence[Row], claims: Mapping[str, Claim]) -> list[str]:
    """Appendix D as the paper prints it, each number as "paper measured"."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        claim = claims[row["claim"]]
        if claim.metric in PER_CLASS:
            name = claim.id.partition("/")[2].removesuffix(f"-{claim.metric}")
            measured = format_value(row["measured"], "%")  # two decimals, as the paper's
            mark = MARKS.get(row["verdict"], "  ")
            cells[name][claim.metric] = f"{row['paper']:.2f} {measured}{mark}"
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
        measured = format_value(_pruned_percent(row), "%")
        mark = MARKS.get(row["verdict"], "  ")
        cell = f"{details['paper_percent']:5.2f} {measured:>5}{mark}"
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
    header = ("prop.", *(_technique(t).ljust(13) for t in techniques), *map(_technique, others))
    shown = [curve for of_one in others.values() for curve in of_one]
    return [*table(header, lines), MARKS_LEGEND, *_curves_provenance(shown)]


def _pruned_percent(row: Row) -> float | None:
    """The accuracy of the pruned network, also of a claim that is about what it lost."""
    if row["unit"] == "%":
        return row["measured"]
    return row["details"].get("minuend_percent")


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
        numbers = list(dict.fromkeys(str(curve["seed"]) for curve in curves))
        seeds = f"seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        origins = "/".join(dict.fromkeys(curve["origin"] for curve in curves))
        devices = "/".join(dict.fromkeys(curve["device"] for curve in curves))
        how = f"in one shot, not fine-tuned; weights: {origins}, {seeds}; pruned on {devices}"
        found[how][_technique(name)] = None
    return [
        line
        for how, names in found.items()
        for line in _wrapped(f"{', '.join(names)}: {how}", "  ")
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
        *_wrapped(legend, "  "),
    ]


def _columns(rows: Sequence[Row], columns: Sequence[tuple[str, str, float, int]]) -> list[str]:
    """A row a line, its name cut to what the numbers leave of it: header, field, unit, digits."""
    header = [name for name, *_ in columns]
    cells = [
        [_number(_scaled(row.get(field), unit), digits) for _, field, unit, digits in columns]
        for row in rows
    ]
    taken = sum(2 + max(map(len, column)) for column in zip(header, *cells, strict=True))
    names = [_shorten(row["name"], WIDTH - taken) for row in rows]
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
        *_wrapped(legend, "  "),
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
    return [*lines, *_wrapped(legend, "  ")]


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
        if row["claim"] is not None and row["verdict"] == Status.NOT_MEASURED.value:
            reasons[row["reason"]].append(row["claim"])
    lines = ["not measured, and why:"] if reasons else []
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines += _wrapped(f"{_counted(names)}: {reason}", "  ")
    return lines


def _known_misses_lines(rows: Sequence[Row], known_misses: Mapping[str, str]) -> list[str]:
    """Those of this run: why they are missed, and which are so no longer."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    met: list[str] = []
    for row in rows:
        claim_id = row["claim"]
        if claim_id not in known_misses or row["verdict"] == Status.NOT_MEASURED.value:
            continue
        if row["verdict"] == Status.MISSED.value:
            by_reason[known_misses[claim_id]].append(claim_id)
        else:
            met.append(claim_id)
    lines: list[str] = []
    for reason, names in by_reason.items():
        lines += _wrapped(f"missed, as known: {_counted(names)}: {reason}", "  ")
    for name in met:
        lines += _wrapped(f"no longer missed: {name}: remove from known_misses", "  ")
    return lines


def _counted(names: Sequence[str]) -> str:
    which = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} claim{'s' if len(names) > 1 else ''} ({which})"


def _reference(rows: Sequence[Row]) -> str:
    return "goal" if rows[0]["source"] in GOAL_SOURCES else "paper"


def _measured(row: Row) -> str:
    text = format_value(row["measured"], row["unit"])
    if row["deviation"] is not None and text != "-":
        text += f" ± {row['deviation']:.2f} ({len(row['values'])})"
    return text


def _difference(row: Row) -> str:
    difference = row["difference"]
    return "-" if difference is None or not math.isfinite(difference) else f"{difference:+.2f}"


def _shorten(text: str, width: int) -> str:
    """Cut in the middle: names begin alike, and end alike."""
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return f"{text[:left]}...{text[len(text) - (width - 3 - left) :]}"
