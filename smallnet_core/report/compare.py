"""A comparison or a history in, lines out: for a terminal, Markdown, HTML, JSON. Pure."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smallnet_core.report import format_value
from smallnet_core.runs.compare import Change, Comparison, RowComparison
from smallnet_core.runs.file import RunFile
from smallnet_core.runs.history import History

__all__ = [
    "COMPARISON_SCHEMA",
    "as_json",
    "history_lines",
    "history_markdown",
    "html_page",
    "markdown_lines",
    "terminal_lines",
]

COMPARISON_SCHEMA = 1
WIDTH = 80

# What is listed row by row, most urgent first; the rest is counted.
_LISTED = (
    (Change.REGRESSION, "Regressions"),
    (Change.IMPROVEMENT, "Improvements"),
    (Change.CHANGED, "Changed counts"),
    (Change.UNDECIDED, "Undecided"),
    (Change.GONE, "Gone"),
    (Change.NEW, "New"),
    (Change.NOT_MEASURED, "Not measured on one side"),
    (Change.NOT_JUDGED, "Not judged"),
)
# So many names of what is only listed; verbose output has them all.
_MAX_NAMES = 8
_RENEW = "improved: renew the reference, NEW.json is the better one"


def _file(file: RunFile) -> str:
    commit = str(file.commit.get("id") or "no commit")[:12]
    dirty = " with changes" if file.commit.get("dirty") else ""
    machine = file.machine.get("device_name") or "unknown machine"
    return f"{file.datetime[:16]} {commit}{dirty}, {machine}"


def _summary(comparison: Comparison) -> str:
    counts = comparison.counts
    parts = [f"{counts[change]} {change}" for change in Change if counts[change]]
    return f"{len(comparison.rows)} rows: {', '.join(parts)}"


def _value(row: RowComparison, value: float | None) -> str:
    if row.kind == "rounds" or row.unit in ("ms", "images/s"):
        return "-" if value is None else f"{value:,.4g}"
    return format_value(value, row.unit)


def _effect(row: RowComparison) -> str:
    """The effect with its interval, in percent for times and points for shares of images."""
    if row.effect is None:
        return "-"
    digits = 3 if row.unit == "" and row.kind != "rounds" else 2
    sign = " %" if row.kind == "rounds" else ""
    text = f"{row.effect:+.{digits}f}{sign}"
    if row.interval is not None:
        low, high = row.interval
        text += f" ({low:+.{digits}f} to {high:+.{digits}f})"
    return text


def _p(row: RowComparison) -> str:
    if row.p_adjusted is None:
        return "-"
    return "<0.0001" if row.p_adjusted < 1e-4 else f"{row.p_adjusted:.4f}"


def _shown(rows: Iterable[RowComparison]) -> list[RowComparison]:
    """The largest effect first, as far as they have one."""
    return sorted(rows, key=lambda row: -abs(row.effect or 0.0))


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def terminal_lines(comparison: Comparison, *, verbose: bool = False) -> list[str]:
    """What changed, the worst first, then the counts; 80 columns.

    ``verbose`` has every row that was tested, and all names.
    """
    lines = [f"old: {_file(comparison.old)}", f"new: {_file(comparison.new)}"]
    if not comparison.same_machine:
        lines += ["times are of different machines: shown, not judged (--across-machines)"]
    for change, title in _LISTED:
        rows = _shown(comparison.of(change))
        if not rows:
            continue
        lines += ["", f"{title}: {len(rows)}"]
        if change in (Change.REGRESSION, Change.IMPROVEMENT, Change.CHANGED):
            for row in rows:
                lines += _row_lines(row)
            continue
        names = [row.label for row in rows]
        lines += _wrapped(", ".join(names if verbose else names[:_MAX_NAMES]))
        if len(names) > _MAX_NAMES and not verbose:
            lines[-1] += ", ..."
    similar = _shown(comparison.of(Change.SIMILAR))
    if similar and verbose:
        lines += ["", f"No difference shown: {len(similar)}"]
        lines += [line for row in similar for line in _row_lines(row)]
    elif similar:
        noted = [row for row in similar if row.note]
        lines += ["", f"No difference shown: {len(similar)} (-v lists them)"]
        for row in noted[:_MAX_NAMES]:
            lines += _wrapped(f"{row.label}: {_effect(row)}; {row.note}")
    lines += ["", *_wrapped(_summary(comparison), "")]
    if comparison.of(Change.IMPROVEMENT):
        lines += _wrapped(_RENEW, "")
    return lines


def _row_lines(row: RowComparison) -> list[str]:
    old, new = _value(row, row.old), _value(row, row.new)
    numbers = f"{old} -> {new} {row.unit}".rstrip()
    if row.test is None:
        return _wrapped(f"{row.label}: {numbers}{f'; {row.note}' if row.note else ''}")
    what = f"{row.label}: {numbers}, {_effect(row)}, p {_p(row)}, {row.test.method}"
    return _wrapped("; ".join(filter(None, (what, row.note))))


# Markdown


def _markdown(text: str) -> str:
    """Shown by GitHub as it is: no markup, no mention, no broken table."""
    escaped = html.escape(text, quote=False).replace("\n", " ")
    for sign in "\\`*_[]|~":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped.replace("@", "&#64;")


def markdown_lines(comparison: Comparison) -> list[str]:
    """For a pull request's comment or a step summary of GitHub."""
    lines = [
        f"**Compared:** {_markdown(_file(comparison.old))} → {_markdown(_file(comparison.new))}",
        "",
        _markdown(_summary(comparison)) + ".",
    ]
    if not comparison.same_machine:
        lines += ["", "Times are of different machines: shown, not judged."]
    for change, title in _LISTED:
        rows = _shown(comparison.of(change))
        if not rows:
            continue
        if change in (Change.REGRESSION, Change.IMPROVEMENT, Change.CHANGED):
            lines += ["", f"### {title}", "", *_markdown_table(rows)]
        else:
            names = ", ".join(_markdown(row.label) for row in rows[:100])
            more = f" and {len(rows) - 100} more" if len(rows) > 100 else ""
            lines += [
                "",
                f"<details><summary>{title}: {len(rows)}</summary>",
                "",
                f"{names}{more}",
                "",
                "</details>",
            ]
    similar = [row for row in _shown(comparison.of(Change.SIMILAR)) if row.test is not None][:100]
    if similar:
        lines += [
            "",
            f"<details><summary>No difference shown: {len(similar)}</summary>",
            "",
            *_markdown_table(similar),
            "",
            "</details>",
        ]
    if comparison.of(Change.IMPROVEMENT):
        lines += ["", f"{_RENEW[0].upper()}{_RENEW[1:]}."]
    return lines


def _markdown_table(rows: Sequence[RowComparison]) -> list[str]:
    return [
        "| row | old | new | effect (95 %) | p | by | note |",
        "| --- | ---: | ---: | --- | ---: | --- | --- |",
        *("| " + " | ".join(map(_markdown, cells)) + " |" for cells in map(_cells, rows)),
    ]


def _cells(row: RowComparison) -> tuple[str, ...]:
    unit = f" {row.unit}" if row.unit else ""
    return (
        row.label,
        _value(row, row.old) + (unit if row.old is not None else ""),
        _value(row, row.new) + (unit if row.new is not None else ""),
        _effect(row),
        _p(row),
        "" if row.test is None else row.test.method,
        row.note,
    )


# HTML

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1.5rem }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem .25rem 0; text-align: left }
td:nth-child(2), td:nth-child(3), td:nth-child(5) { text-align: right }
.scroll { overflow-x: auto }
:focus-visible { outline: 2px solid }
"""


def html_page(comparison: Comparison) -> str:
    """One file that needs no other and runs nothing."""

    def section(title: str, rows: Sequence[RowComparison]) -> str:
        head = "".join(
            f'<th scope="col">{name}</th>'
            for name in ("row", "old", "new", "effect (95 %)", "p", "by", "note")
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<th scope="row">{html.escape(c)}</th>' if k == 0 else f"<td>{html.escape(c)}</td>"
                for k, c in enumerate(_cells(row))
            )
            + "</tr>\n"
            for row in rows
        )
        return (
            f"<h2>{html.escape(title)}: {len(rows)}</h2>\n"
            f'<div class="scroll" role="region" aria-label="{html.escape(title)}" tabindex="0">'
            f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
        )

    titles = (*_LISTED, (Change.SIMILAR, "No difference shown"))
    sections = [
        section(title, rows) for change, title in titles if (rows := _shown(comparison.of(change)))
    ]
    note = "" if comparison.same_machine else "<p>Times are of different machines: not judged.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>smallnet: what changed</title><style>{_STYLE}</style></head>\n<body><main>"
        f"<h1>What changed</h1>\n<p>old: {html.escape(_file(comparison.old))}<br>"
        f"new: {html.escape(_file(comparison.new))}</p>\n"
        f"<p>{html.escape(_summary(comparison))}.</p>{note}\n"
        f"{''.join(sections)}</main></body></html>\n"
    )


# JSON


def as_json(comparison: Comparison) -> str:
    """Everything, with a schema of its own; effects in points, for times in percent."""
    return json.dumps(
        {
            "schema": COMPARISON_SCHEMA,
            "old": _file_facts(comparison.old),
            "new": _file_facts(comparison.new),
            "same_machine": comparison.same_machine,
            "alpha": comparison.thresholds.alpha,
            "counts": {str(change): n for change, n in comparison.counts.items()},
            "rows": [_row_facts(row) for row in comparison.rows],
        },
        indent=1,
        allow_nan=False,
    )


def _file_facts(file: RunFile) -> dict[str, Any]:
    return {
        "file": Path(file.path).name,
        "datetime": file.datetime,
        "commit": file.commit.get("id"),
        "dirty": bool(file.commit.get("dirty")),
        "device_name": file.machine.get("device_name"),
    }


def _row_facts(row: RowComparison) -> dict[str, Any]:
    return {
        "row": row.label,
        "table": row.table,
        "change": str(row.change),
        "kind": row.kind,
        "unit": row.unit,
        "old": _finite(row.old),
        "new": _finite(row.new),
        "effect": _finite(row.effect),
        "interval": None if row.interval is None else list(map(_finite, row.interval)),
        "threshold": row.threshold,
        "p": None if row.test is None else row.test.p,
        "p_adjusted": row.p_adjusted,
        "least_p": None if row.test is None else row.test.least_p,
        "method": None if row.test is None else row.test.method,
        "note": row.note,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# Histories


def _steps(values: Sequence[str], steps: Mapping[int, Change]) -> str:
    marks = {Change.REGRESSION: " worse", Change.IMPROVEMENT: " better", Change.CHANGED: " changed"}
    return " ".join(
        f"[{value}{marks.get(steps[k], '')}]" if k in steps else value
        for k, value in enumerate(values)
    )


def history_lines(history: History) -> list[str]:
    """A line a row that changed, its values a file each, those in brackets where it changed."""
    lines = [f"{k + 1}: {_file(file)}" for k, file in enumerate(history.files)]
    changed = [line for line in history.lines if line.steps]
    if changed:
        lines += [""]
        for line in changed:
            values = [format_value(value, line.unit) for value in line.values]
            steps = dict(zip(line.steps, line.changes, strict=True))
            lines += _wrapped(f"{line.label}: {_steps(values, steps)} {line.unit}".rstrip())
    quiet = len(history.lines) - len(changed)
    lines += ["", f"{len(changed)} rows changed on the way, {quiet} did not"]
    return lines


def history_markdown(history: History) -> list[str]:
    """The same as a table."""
    head = [
        _markdown(f"{file.datetime[:10]} {str(file.commit.get('id'))[:7]}")
        for file in history.files
    ]
    lines = [
        "| row | " + " | ".join(head) + " |",
        "| --- |" + " ---: |" * len(head),
    ]
    for line in history.lines:
        if not line.steps:
            continue
        cells = []
        for k, value in enumerate(line.values):
            text = _markdown(format_value(value, line.unit))
            cells.append(f"**{text}**" if k in line.steps else text)
        lines.append(f"| {_markdown(line.label)} | " + " | ".join(cells) + " |")
    return lines
