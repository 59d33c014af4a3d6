"""Reports of a comparison or a history, for a terminal, Markdown, HTML and JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smallnet_core.records import as_json as finite
from smallnet_core.report.results import commit_name, run_name
from smallnet_core.report.table import (
    Cell,
    Table,
    escaped,
    format_change,
    format_value,
    templates,
    wrapped,
)
from smallnet_core.runs.compare import Comparison
from smallnet_core.runs.file import RunFile
from smallnet_core.runs.history import History
from smallnet_core.runs.rows import Change, RowComparison

COMPARISON_SCHEMA = 1

# What is listed, the most urgent first; unchanged rows are only counted.
_LISTED = {
    Change.REGRESSION: "Regressions",
    Change.ACCEPTED: "Accepted",
    Change.IMPROVEMENT: "Improvements",
    Change.CHANGED: "Changed counts",
    Change.UNDECIDED: "Undecided",
    Change.GONE: "Gone",
    Change.NEW: "New",
    Change.NOT_MEASURED: "Not measured on one side",
    Change.NOT_JUDGED: "Not judged",
    Change.SIMILAR: "No difference shown",
}
_NAMED = (Change.GONE, Change.NEW, Change.NOT_MEASURED, Change.NOT_JUDGED)  # without numbers
_TESTED = (Change.UNDECIDED, Change.SIMILAR)  # with numbers, as far as they fit
# The most rows that are listed without a change; verbose output has them all.
_MAX_ROWS, _MAX_MARKDOWN = 8, 100
_RENEW = "improved: renew the reference with smallnet reference update NEW.json"


def _differences(comparison: Comparison) -> list[str]:
    """Say how the environments differ, and warn of what makes times unreliable."""
    parts = []
    for d in comparison.environment:
        old, new = (str(v or "unknown")[: 12 if d.name == "commit" else 60] for v in (d.old, d.new))
        parts.append(f"commits {old}..{new}" if d.name == "commit" else f"{d.name} {old} -> {new}")
    lines = [f"differs: {', '.join(parts)}"] if parts else []
    lines += [f"warning: {text}" for text in comparison.warnings]
    if not comparison.same_machine:
        which = "different machines" if comparison.machines == "another" else "unknown machines"
        lines.append(f"times are from {which}: shown, not judged (--across-machines judges them)")
    return lines


def summary_line(comparison: Comparison) -> str:
    """Count the rows by kind of change."""
    counts = comparison.counts
    parts = [f"{counts[change]} {change}" for change in Change if counts[change]]
    return f"{len(comparison.rows)} rows: {', '.join(parts)}"


def _value(row: RowComparison, value: float | None) -> str:
    if row.kind == "rounds" or row.unit in ("ms", "images/s"):
        return "-" if value is None else f"{value:,.4g}"
    return format_value(value, row.unit)


def _effect(row: RowComparison) -> str:
    """Format the effect and its interval, in percent for times, points for shares of images."""
    if row.effect is None:
        return "-"
    unit, sign = ("%", " %") if row.kind == "rounds" else (row.unit, "")
    text = f"{format_change(row.effect, unit)}{sign}"
    if row.interval is not None:
        low, high = (format_change(end, unit) for end in row.interval)
        text += f" ({low} to {high})"
    return text


def _p(row: RowComparison) -> str:
    if row.p_adjusted is None:
        return "-"
    return "<0.0001" if row.p_adjusted < 1e-4 else f"{row.p_adjusted:.4f}"


def _sections(comparison: Comparison) -> list[tuple[Change, str, list[RowComparison]]]:
    """Return the sections that are not empty, the largest effect first in each."""
    found = [(change, title, comparison.of(change)) for change, title in _LISTED.items()]
    return [
        (change, title, sorted(rows, key=lambda row: -abs(row.effect or 0.0)))
        for change, title, rows in found
        if rows
    ]


def headline(comparison: Comparison) -> str:
    """Say in one sentence whether anything is worse, naming the largest regression."""
    worse = comparison.of(Change.REGRESSION)
    if not worse:
        return f"No regression since the run of {run_name(comparison.old)}."
    [(_, _, rows), *_] = _sections(comparison)
    first = f"{rows[0].label}, {_with_unit(rows[0], rows[0].old)} -> "
    first += _with_unit(rows[0], rows[0].new)
    others = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"Worse than the run of {run_name(comparison.old)}: {first}{others}."


def heading_lines(comparison: Comparison) -> list[str]:
    """Name the two runs, and say how their environments differ."""
    files = [f"old: {run_name(comparison.old)}", f"new: {run_name(comparison.new)}"]
    return [*files, *_differences(comparison)]


def terminal_lines(comparison: Comparison, *, verbose: bool = False) -> list[str]:
    """Return what changed, the worst first, then the counts, in 80 columns.

    With ``verbose``, list every row that was tested, and all names.
    """
    lines = [part for line in heading_lines(comparison) for part in wrapped(line)]
    for change, title, rows in _sections(comparison):
        shown = rows
        if not verbose and change in (*_NAMED, *_TESTED):
            noted = [row for row in rows if row.note or change is not Change.SIMILAR]
            shown = noted[:_MAX_ROWS]
        left = len(shown) < len(rows)
        hint = " (-v lists them)" if left and change in _TESTED else ""
        lines += ["", f"{title}: {len(rows)}{hint}"]
        if change in _NAMED:
            lines += wrapped(", ".join(row.label for row in shown) + ", ..." * left, "  ")
        else:
            lines += [line for row in shown for line in _row_lines(row)]
    lines += ["", *wrapped(summary_line(comparison))]
    return lines + (wrapped(_RENEW) if comparison.of(Change.IMPROVEMENT) else [])


def confirmed_lines(comparison: Comparison, first: Mapping[str, RowComparison]) -> list[str]:
    """Say for each row that was timed again whether it is still slower."""
    slower = {row.label for row in comparison.of(Change.REGRESSION)}
    return [
        line
        for label, row in first.items()
        for line in wrapped(
            f"timed again: {label}, {_effect(row)} the first time: "
            f"{'confirmed' if label in slower else 'not confirmed'}"
        )
    ]


def _row_lines(row: RowComparison) -> list[str]:
    what = f"{row.label}: {_value(row, row.old)} -> {_value(row, row.new)} {row.unit}".rstrip()
    if row.effect is not None:
        what += f", {_effect(row)}"
    if row.test is not None:
        what += f", p {_p(row)}, {row.test.method}"
    return wrapped("; ".join(filter(None, (what, row.note))), "  ")


def _with_unit(row: RowComparison, value: float | None) -> str:
    return f"{_value(row, value)} {'' if value is None else row.unit}".rstrip()


_COLUMNS: Mapping[str, Callable[[RowComparison], str]] = {
    "row": lambda row: row.label,
    "old": lambda row: _with_unit(row, row.old),
    "new": lambda row: _with_unit(row, row.new),
    "effect (95 %)": _effect,
    "p": _p,
    "by": lambda row: "" if row.test is None else row.test.method,
    "note": lambda row: row.note,
}


def _table(title: str, rows: Sequence[RowComparison]) -> Table:
    return Table.of(rows, _COLUMNS, caption=f"{title}: {len(rows)}", folded=len(rows) > 20)


def markdown_lines(comparison: Comparison) -> list[str]:
    """Return the comparison in GitHub's Markdown, for a comment or a step summary."""
    old, new = escaped(run_name(comparison.old)), escaped(run_name(comparison.new))
    lines = [f"**Compared:** {old} → {new}", "", f"{escaped(summary_line(comparison))}."]
    for line in _differences(comparison):
        lines += ["", f"{escaped(line)}."]
    for change, title, rows in _sections(comparison):
        shown = rows[:_MAX_MARKDOWN]
        if change not in (*_NAMED, *_TESTED):
            lines += ["", f"### {title}", "", *_table(title, rows).markdown()]
            continue
        left = len(rows) - len(shown)
        inside = [", ".join(escaped(r.label) for r in shown) + f" and {left} more" * (left > 0)]
        if change in _TESTED:
            inside = _table(title, shown).markdown()
        summary = f"<summary>{title}: {len(rows)}</summary>"
        lines += ["", f"<details>{summary}", "", *inside, "", "</details>"]
    if comparison.of(Change.IMPROVEMENT):
        lines += ["", f"{_RENEW[0].upper()}{_RENEW[1:]}."]
    return lines


def html_page(comparison: Comparison) -> str:
    """Return the comparison as one self-contained HTML page without scripts."""
    page = templates().get_template("compare.html.j2")
    lines = [*heading_lines(comparison), f"{summary_line(comparison)}."]
    return page.render(lines=lines, tables=tables(comparison))


def tables(comparison: Comparison) -> list[Table]:
    """Lay out a table for each kind of change, the most urgent first."""
    return [_table(title, rows) for _, title, rows in _sections(comparison)]


def as_json(comparison: Comparison) -> str:
    """Return everything as JSON in its own schema; effects in points or, for times, percent."""
    document = {
        "schema": COMPARISON_SCHEMA,
        "old": _file_facts(comparison.old),
        "new": _file_facts(comparison.new),
        "same_machine": comparison.same_machine,
        "environment": [vars(difference) for difference in comparison.environment],
        "warnings": comparison.warnings,
        "alpha": comparison.thresholds.alpha,
        "counts": {str(change): n for change, n in comparison.counts.items()},
        "rows": [_row_facts(row) for row in comparison.rows],
    }
    return json.dumps(finite(document), indent=1, allow_nan=False)


def _file_facts(file: RunFile) -> dict[str, Any]:
    return {
        "file": Path(file.path).name,
        "datetime": file.datetime,
        "commit": file.commit.get("id"),
        "dirty": bool(file.commit.get("dirty")),
        "device_name": file.machine.get("device_name"),
    }


def _row_facts(row: RowComparison) -> dict[str, Any]:
    own = ("table", "kind", "unit", "old", "new", "effect", "interval", "threshold", "p_adjusted")
    return {
        "row": row.label,
        "change": str(row.change),
        **{name: getattr(row, name) for name in (*own, "note")},
        **{name: getattr(row.test, name, None) for name in ("p", "least_p", "method")},
    }


# Histories


def history_lines(history: History) -> list[str]:
    """Return a line for each row that changed: its value in each file, steps in brackets."""
    marks = {Change.REGRESSION: " worse", Change.IMPROVEMENT: " better", Change.CHANGED: " changed"}
    marks[Change.ACCEPTED] = " accepted"
    lines = [f"{k + 1}: {run_name(file)}" for k, file in enumerate(history.files)]
    changed = [line for line in history.lines if line.steps]
    lines += [""] * bool(changed)
    for line in changed:
        values = [format_value(value, line.unit) for value in line.values]
        for step, change in zip(line.steps, line.changes, strict=True):
            values[step] = f"[{values[step]}{marks.get(change, '')}]"
        lines += wrapped(f"{line.label}: {' '.join(values)} {line.unit}".rstrip(), "  ")
    quiet = len(history.lines) - len(changed)
    return [*lines, "", f"{len(changed)} rows changed, {quiet} did not"]


def history_markdown(history: History) -> list[str]:
    """Return the same as a table in Markdown, with steps in bold."""
    files = [f"{file.datetime[:10]} {commit_name(file)}" for file in history.files]
    rows = []
    for line in history.lines:
        cells = [format_value(value, line.unit) for value in line.values]
        cells = [Cell(text, bold=k in line.steps) for k, text in enumerate(cells)]
        rows += [(line.label, *cells)] if line.steps else []
    return Table(("row", *files), rows).markdown()
