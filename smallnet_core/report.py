"""Records in, lines out: the paper's tables with what was measured beside them.

Everything here works on rows, the JSON form of verdicts (``Verdict.as_row``), so that the same
tables can be made at the end of a run and from a saved file.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smallnet_core.claims.goals import GOAL_SOURCES
from smallnet_core.records import Claim, Status

__all__ = ["format_value", "markdown_lines", "summary_line", "table", "terminal_lines"]

WIDTH = 80
# A source with more rows than this is counted, and only what stands out is listed.
MAX_ROWS = 16
# What a classification report says of each class and of the averages over them.
PER_CLASS = ("precision", "recall", "f1")

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
) -> list[str]:
    """All tables of a run, a source at a time in the paper's order, then the summary."""
    by_source: dict[str, list[Row]] = defaultdict(list)
    timings: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["claim"] is None:
            timings[row["kind"]].append(row)
        else:
            by_source[row["source"]].append(row)
    order = list(dict.fromkeys(claim.source for claim in (*claims.values(), *goals.values())))
    known = {**claims, **goals}

    sections = [
        _source_lines(source, by_source[source], known, verbose)
        for source in sorted(by_source, key=order.index)
    ]
    sections += [_TIMING_TABLES[kind](found) for kind, found in timings.items()]
    sections.append(_not_measured_lines(rows))
    sections += [_wrapped(complaint, "  ") for complaint in complaints]
    sections.append(summary_line(rows, claims, goals))
    return [line for section in sections if section for line in ("", *section)]


def markdown_lines(
    document: Mapping[str, Any], claims: Mapping[str, Claim], goals: Mapping[str, Claim]
) -> list[str]:
    """The measured accuracies of a saved benchmark JSON as a Markdown table, and whence they are.

    ``document`` is the parsed file; rows that were not measured are left to the summary.
    """
    rows: Sequence[Row] = document["smallnet"]["rows"]
    known = {**claims, **goals}
    lines = [
        "| where | network, optimizer | paper | measured | difference | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        claim = known.get(row["claim"])
        if claim is None or claim.metric != "accuracy_percent":
            continue
        if row["verdict"] == Status.NOT_MEASURED.value or claim.source.startswith("Appendix D"):
            continue
        what = ", ".join(filter(None, (claim.network, claim.optimizer))) or claim.id
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
    source: str, rows: Sequence[Row], claims: Mapping[str, Claim], verbose: bool
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
    if source.startswith("Appendix D") and len(counts) - (Status.NOT_MEASURED.value in counts):
        lines += _per_class_table(rows, claims)
        shown = [row for row in shown if claims[row["claim"]].metric not in PER_CLASS]
    networks = [(claims[row["claim"]].network, claims[row["claim"]].optimizer) for row in rows]
    if shown and all(all(pair) for pair in networks) and len(set(networks)) == len(rows):
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
            mark = {"missed": " !", "exceeded": " +"}.get(row["verdict"], "  ")
            cells[name][claim.metric] = f"{row['paper']:.2f} {measured}{mark}"
    if not cells:  # -k chose others
        return []
    lines = [(name, *(found.get(m, "-") for m in PER_CLASS)) for name, found in cells.items()]
    return [*table(("class", *PER_CLASS), lines), "  (paper, measured; + exceeded, ! missed)"]


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
}


def _not_measured_lines(rows: Sequence[Row]) -> list[str]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["claim"] is not None and row["verdict"] == Status.NOT_MEASURED.value:
            reasons[row["reason"]].append(row["claim"])
    lines = ["not measured, and why:"] if reasons else []
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        which = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
        count = f"{len(names)} claim{'s' if len(names) > 1 else ''}"
        lines += _wrapped(f"{count} ({which}): {reason}", "  ")
    return lines


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
