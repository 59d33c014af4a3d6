"""Small charts, laid out for a template to draw. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 96  # units of a chart's box


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A marked point of a chart, and its label."""

    x: float
    y: float
    label: str
    kind: str = ""
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The coordinates of a chart's parts, in a box of ``WIDTH`` x ``HEIGHT``."""

    title: str
    description: str  # for screen readers
    lines: Sequence[str]  # the points of one polyline each
    marks: Sequence[Mark] = ()
    band: tuple[float, float] | None = None  # its top, and its height
    low: str = ""  # what the lower edge stands for
    high: str = ""
    first: str = ""
    last: str = ""


Series = Sequence[float | None]


def scale(series: Iterable[Series], *more: float) -> tuple[float, float]:
    """Return the range of all values, slightly widened."""
    found = [value for one in series for value in one if value is not None] + [*more]
    low, high = min(found, default=0.0), max(found, default=1.0)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def place(k: int, value: float, length: int, limits: tuple[float, float]) -> tuple[float, float]:
    """Return the coordinates of the ``k``-th of ``length`` values in the box."""
    low, high = limits
    x = WIDTH * (k / (length - 1) if length > 1 else 0.5)
    return round(x, 1), round(HEIGHT * (high - value) / (high - low), 1)


def polyline(values: Series, limits: tuple[float, float]) -> str:
    """Return the points of the polyline through all values that are not None."""
    found = [(k, value) for k, value in enumerate(values) if value is not None]
    places = [place(k, value, len(values), limits) for k, value in found]
    return " ".join(f"{x:g},{y:g}" for x, y in places)
