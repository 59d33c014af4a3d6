"""The table that all reports use, and text of at most 80 columns."""

from __future__ import annotations

import functools
import html
import re
import textwrap
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

WIDTH = 80
MAX_ROWS = 400  # of a table in Markdown or HTML; the paper's longest has 80
_NARROW = 40  # characters; longer cells of a page may wrap

Row = Mapping[str, Any]  # of a saved run, as its test recorded it
Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Cell(str):
    """A text that may link to an entry of the page, have a verdict's colour, or be bold."""

    link: str  # the entry's id
    verdict: str
    bold: bool

    def __new__(cls, text: str, *, link: str = "", verdict: str = "", bold: bool = False) -> Cell:
        cell = super().__new__(cls, text)
        cell.link, cell.verdict, cell.bold = link, verdict, bold
        return cell


@dataclass(frozen=True)
class Table:
    """A table that renders itself for each medium, with columns of numbers aligned right.

    Pages show the caption, and ``folded`` tables only on demand.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    caption: str = ""
    folded: bool = False

    @classmethod
    def cross(cls, corner: str, cells: Iterable[tuple[str, str, str]], **more: Any) -> Table:
        """Lay out cells given as line, column and text, both in the order of the cells."""
        found = {(line, column): cell for line, column, cell in cells}
        lines = dict.fromkeys(line for line, _ in found)
        columns = dict.fromkeys(column for _, column in found)
        rows = [(line, *(found.get((line, name), "-") for name in columns)) for line in lines]
        return cls((corner, *columns), rows, **more)

    @classmethod
    def of(
        cls,
        rows: Iterable[Item],
        columns: Mapping[str, Callable[[Item], str]],
        meanings: Mapping[str, str] = MappingProxyType({}),
        **more: Any,
    ) -> Table:
        """Lay out one line per row, without empty columns.

        The ``meanings`` of columns are explained in a note.
        """
        cells = [[show(row) for show in columns.values()] for row in rows]
        empty = {k for k, column in enumerate(zip(*cells, strict=True)) if {*column} <= {"-", ""}}
        header, *lines = (
            [cell for k, cell in enumerate(line) if k not in empty] for line in ([*columns], *cells)
        )
        legend = "; ".join(f"{name}: {meanings[name]}" for name in header if name in meanings)
        return cls(header, lines, notes=[legend] if legend else [], **more)

    @functools.cached_property
    def numeric(self) -> Sequence[bool]:
        """Tell for each column whether it holds only numbers."""
        columns = zip(*self.rows, strict=True)
        return [all(map(is_numeric, c)) for c in columns] or [False] * len(self.header)

    @functools.cached_property
    def wide(self) -> Sequence[bool]:
        """Tell for each column whether it holds sentences, which may wrap."""
        return [any(len(cell) > _NARROW for cell in c) for c in zip(*self.rows, strict=True)]

    @functools.cached_property
    def cut(self) -> Table:
        """Return the table with at most ``MAX_ROWS`` rows, for Markdown and HTML."""
        left = len(self.rows) - MAX_ROWS
        if left <= 0:
            return self
        notes = (*self.notes, f"{left:,} more rows are in the run itself.")
        return replace(self, rows=self.rows[:MAX_ROWS], notes=notes)

    def terminal(self) -> list[str]:
        """Return lines with aligned columns; the first is cut to fit into 80 columns."""
        rows = [[str(c).replace("\n", " ") for c in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        widths[0] = min(widths[0], max(8, WIDTH - sum(2 + width for width in widths[1:])))

        def line(cells: Sequence[str]) -> str:
            cells = (shorten(cells[0], widths[0]), *cells[1:])
            parts = zip(cells, widths, self.numeric, strict=True)
            return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in parts).rstrip()

        notes = [part for note in self.notes for part in wrapped(note, "  ")]
        rule = "  ".join("-" * width for width in widths)
        return [line(rows[0]), rule, *map(line, rows[1:]), *notes]

    def markdown(self) -> list[str]:
        """Return the lines of a table in GitHub's Markdown."""
        rule = ["---:" if right else "---" for right in self.cut.numeric]
        cells = [list(map(_markdown_cell, row)) for row in (self.header, *self.cut.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
        return [*lines, *(text for note in self.cut.notes for text in ("", escaped(note)))]

    def html(self) -> Markup:
        """Return a <table>, its first column as row headers, in a scrolling box, and notes."""
        rows = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in self.cut.rows]
        parts: Any = templates().get_template("parts.html.j2").module
        return parts.show(replace(self.cut, rows=rows))


@functools.cache
def templates() -> Environment:
    """Load the pages' templates, with autoescaping."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("smallnet_core.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def is_numeric(cell: str) -> bool:
    """Tell whether a cell holds a number, or "-"."""
    return cell.strip() == "-" or cell.lstrip("+-< ")[:1].isdigit()


def _markdown_cell(cell: str) -> str:
    text = escaped(" ".join(cell.split()))
    return f"**{text}**" if isinstance(cell, Cell) and cell.bold else text


def escaped(text: str) -> str:
    """Escape text for GitHub: no markup, no mention, no broken table."""
    text = html.escape(text, quote=False).replace("\n", " ")
    text = re.sub(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)
    return text.replace("@", "&#64;")


def format_value(value: Any, unit: str) -> str:
    """Format a number as the tables show it; "-" if it is none or not finite."""
    if not is_number(value):
        return "-"
    if unit in ("%", "points", "MiB"):
        return f"{value:.2f}"
    if unit == "":
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def format_change(value: Any, unit: str) -> str:
    """Format a difference with its sign; shares of one have three decimals."""
    if not is_number(value):
        return "-"
    return f"{value:+.3f}" if unit == "" else f"{'+' * (value >= 0)}{format_value(value, unit)}"


def is_number(value: Any) -> bool:
    """Tell whether ``value`` is a finite number."""
    return isinstance(value, int | float) and -1e300 < value < 1e300


def wrapped(text: str, indent: str = "") -> list[str]:
    """Wrap text at spaces only: a path or an option broken at a hyphen can't be copied."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent.replace("* ", "") + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def shorten(text: str, width: int) -> str:
    """Cut text in the middle: the start and the end of names tell them apart."""
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return f"{text[:left]}...{text[len(text) - (width - 3 - left) :]}"


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items by key, in the order in which keys first appear."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
