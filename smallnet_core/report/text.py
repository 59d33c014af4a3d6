"""Text of at most 80 columns: numbers, aligned tables, wrapped and cut lines."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["WIDTH", "format_value", "guarded", "markdown_table", "shorten", "table", "wrapped"]

WIDTH = 80


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
    """Columns aligned by their widest cell: words left, numbers right."""
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
    return cell.strip() == "-" or cell.lstrip("+- ")[:1].isdigit()


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def wrapped(text: str, indent: str = "") -> list[str]:
    """Paths and options stay whole, so that they can be copied: "--train-" and "budget" cannot."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent="    " if indent else "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def shorten(text: str, width: int) -> str:
    """Cut in the middle: names begin alike, and end alike."""
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return f"{text[:left]}...{text[len(text) - (width - 3 - left) :]}"


def guarded(what: str, lines: Callable[..., list[str]], *args: Any) -> list[str]:
    """Lines of a part of the report, or one that says why it has none.

    Hours of measuring come before a report: a row that it cannot read must not end it.
    """
    try:
        return lines(*args)
    except Exception as error:
        return wrapped(f"{what}: cannot be shown ({type(error).__name__}: {error})")
