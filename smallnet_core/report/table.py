"""The one table of all reports, and text of at most 80 columns."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

WIDTH = 80

Row = Mapping[str, Any]  # of a saved run, as its test wrote it
Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Bold(str):
    """A cell that stands out where the medium can show it."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Header, rows of text, alignment and notes below; renders itself for each medium.

    ``align`` has "l" or "r" for each column; by default what holds only numbers is right.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str = ""
    notes: Sequence[str] = ()

    @classmethod
    def cross(
        cls,
        corner: str,
        cells: Mapping[str, Mapping[str, str]],
        columns: Mapping[str, str],
        notes: Sequence[str] = (),
    ) -> Table:
        """Lay out ``cells`` by the name of their line, then by a key of ``columns``."""
        rows = [(name, *(own.get(key, "-") for key in columns)) for name, own in cells.items()]
        return cls((corner, *columns.values()), rows, "l" * (1 + len(columns)), notes)

    @property
    def _sides(self) -> str:
        columns = list(zip(*self.rows, strict=True)) or [("",)] * len(self.header)
        return self.align or "".join("r" if all(map(is_numeric, c)) else "l" for c in columns)

    def terminal(self) -> list[str]:
        """Align columns by their widest cell; the first is cut to what the rest leaves of 80."""
        rows = [[str(c).replace("\n", " ") for c in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        widths[0] = min(widths[0], max(8, WIDTH - sum(2 + width for width in widths[1:])))

        def line(cells: Sequence[str]) -> str:
            parts = zip(
                (shorten(cells[0], widths[0]), *cells[1:]), widths, self._sides, strict=True
            )
            return "  ".join(f"{c:{'>' if s == 'r' else '<'}{w}}" for c, w, s in parts).rstrip()

        notes = [part for note in self.notes for part in wrapped(note, "  ")]
        rule = "  ".join("-" * width for width in widths)
        return [line(rows[0]), rule, *map(line, rows[1:]), *notes]

    def markdown(self) -> list[str]:
        """Write GitHub's table; columns are aligned by ``align`` only."""
        sides = self.align or "l" * len(self.header)
        rule = ["---:" if side == "r" else "---" for side in sides]
        cells = [list(map(_markdown_cell, row)) for row in (self.header, *self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
        return [*lines, *(text for note in self.notes if note for text in ("", escaped(note)))]

    def html(self) -> str:
        """Write a <table> whose first column heads its rows, and a paragraph for each note."""

        def row(cells: Sequence[str], first: str, other: str) -> str:
            kinds = [first, *[other] * (len(cells) - 1)]
            parts = zip(kinds, cells, self._sides, strict=True)
            right = {"l": "", "r": ' class="number"'}
            filled = (
                f"<{kind}{right[side]}>{html.escape(cell)}</{kind[:2]}>"
                for kind, cell, side in parts
            )
            return f"<tr>{''.join(filled)}</tr>"

        head = row(self.header, *['th scope="col"'] * 2)
        body = "\n".join(row(cells, 'th scope="row"', "td") for cells in self.rows)
        notes = "".join(f"\n<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><thead>{head}</thead>\n<tbody>{body}</tbody></table>{notes}"


def is_numeric(cell: str) -> bool:
    """Whether a cell holds a number, or none."""
    return cell.strip() == "-" or cell.lstrip("+- ")[:1].isdigit()


def _markdown_cell(cell: str) -> str:
    return f"**{escaped(cell)}**" if isinstance(cell, Bold) else escaped(cell)


def escaped(text: str) -> str:
    """Show text on GitHub as it is: no markup, no mention, no broken table."""
    text = html.escape(text, quote=False).replace("\n", " ")
    text = re.sub(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)
    return text.replace("@", "&#64;")


def format_value(value: Any, unit: str) -> str:
    """Write a number as the tables show it; "-" for none, and for what is not finite."""
    if not is_number(value):
        return "-"
    if unit in ("%", "points", "MiB"):
        return f"{value:.2f}"
    if unit == "":
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def is_number(value: Any) -> bool:
    """Whether it can be shown as one: not None, no NaN, no infinity."""
    return isinstance(value, int | float) and -1e300 < value < 1e300


def wrapped(text: str, indent: str = "") -> list[str]:
    """Break lines, but no path and no option: "--train-" and "budget" can't be copied."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent.replace("* ", "") + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def shorten(text: str, width: int) -> str:
    """Cut in the middle: names begin alike, and end alike."""
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return f"{text[:left]}...{text[len(text) - (width - 3 - left) :]}"


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Collect items by their key, in the order in which keys come first."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def guarded(what: str, lines: Callable[..., list[str]], *args: Any) -> list[str]:
    """Give the lines of a part of the report, or one that says why it has none.

    Hours of measuring come before a report: a row that it can't read must not end it.
    """
    try:
        return lines(*args)
    except Exception as error:
        return wrapped(f"{what}: cannot be shown ({type(error).__name__}: {error})"[:400])
