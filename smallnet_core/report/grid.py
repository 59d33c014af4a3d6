"""What pages and their summaries are made of: grids of cells, and small charts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from smallnet_core.report.table import Table, is_numeric

if TYPE_CHECKING:
    from jinja2 import Environment

    from smallnet_core.runs.file import RunFile

MAX_ROWS = 400  # of a table; the longest of the paper has 80
_NARROW = 40  # characters


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A text that may lead to an entry of the page, in a verdict's colour."""

    text: str
    link: str = ""  # the entry's id
    verdict: str = ""


@dataclass(frozen=True)
class Grid:
    """A table with a caption; ``folded`` is shown when it is asked for."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    notes: Sequence[str] = ()
    folded: bool = False

    @classmethod
    def of(cls, table: Table, caption: str, *, folded: bool = False) -> Grid:
        """Show a table of the other reports."""
        return cls(caption, table.header, table.rows, table.notes, folded)

    @cached_property
    def shown(self) -> Sequence[Sequence[Cell]]:
        """The rows that there is room for."""
        return [
            [cell if isinstance(cell, Cell) else Cell(text=str(cell)) for cell in row]
            for row in self.rows[:MAX_ROWS]
        ]

    @property
    def said(self) -> Sequence[str]:
        """The notes, and how many rows there was no room for."""
        left = len(self.rows) - MAX_ROWS
        return [*self.notes, *([f"{left:,} more rows are in the run itself."] if left > 0 else [])]

    @cached_property
    def numeric(self) -> Sequence[bool]:
        """Tell for each column whether it holds numbers only."""
        columns = zip(*self.shown, strict=True)
        found = [all(is_numeric(cell.text) for cell in column) for column in columns]
        return found or [False] * len(self.header)

    @cached_property
    def wide(self) -> Sequence[bool]:
        """Tell for each column whether it holds sentences, which may break."""
        columns = zip(*self.shown, strict=True)
        return [any(len(cell.text) > _NARROW for cell in column) for column in columns]

    def markdown(self) -> list[str]:
        """Write GitHub's table."""
        align = "".join("r" if numeric else "l" for numeric in self.numeric)
        rows = [[cell.text for cell in row] for row in self.shown]
        return Table(self.header, rows, align, self.said).markdown()


WIDTH, HEIGHT = 320, 96  # units of a chart's box


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point of a chart that is told apart, and what it is."""

    x: float
    y: float
    label: str
    kind: str = ""
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines in a box of ``WIDTH`` x ``HEIGHT``, laid out: what a template has to write down."""

    title: str
    said: str  # for screen readers
    lines: Sequence[str]  # points of a polyline each
    marks: Sequence[Mark] = ()
    band: tuple[float, float] | None = None  # its top, and its height
    low: str = ""  # what the lower edge stands for
    high: str = ""
    first: str = ""
    last: str = ""


Series = Sequence[float | None]


def scale(series: Iterable[Series], *more: float) -> tuple[float, float]:
    """Find the range of all values, a little wider than they are."""
    found = [value for one in series for value in one if value is not None] + [*more]
    low, high = min(found, default=0.0), max(found, default=1.0)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def place(k: int, value: float, length: int, limits: tuple[float, float]) -> tuple[float, float]:
    """Place the ``k``-th of ``length`` values in the box."""
    low, high = limits
    x = WIDTH * (k / (length - 1) if length > 1 else 0.5)
    return round(x, 1), round(HEIGHT * (high - value) / (high - low), 1)


def polyline(values: Series, limits: tuple[float, float]) -> str:
    """Write the points that there are."""
    found = [(k, value) for k, value in enumerate(values) if value is not None]
    places = [place(k, value, len(values), limits) for k, value in found]
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def templates() -> Environment:
    """Load the pages' templates; whatever is filled in is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("smallnet_core.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def commit_name(file: RunFile) -> str:
    """Shorten a run's commit; what is none, as "unversioned", is left whole."""
    commit = str(file.commit.get("id") or "unversioned")
    return commit[:7] if re.fullmatch("[0-9a-f]{40}", commit) else commit[:40]
