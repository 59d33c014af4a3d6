"""Panels of lines as one SVG text: pure, deterministic, readable in light and dark.

A figure has real text, a title and a description for screen readers, no script and nothing from
elsewhere; its styles are told apart by dash and marker as well as by colour.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from smallnet_core.claims.names import OPTIMIZER_NAMES

__all__ = [
    "DARK",
    "LIGHT",
    "STYLES",
    "STYLE_KEYS",
    "WIDTH",
    "Panel",
    "Point",
    "Reference",
    "Series",
    "Style",
    "as_number",
    "points_of",
    "spread",
    "svg",
]

Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

# Colours, dashes, markers


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a line looks: told apart without its colour by dash and marker together."""

    colour: int  # 1 to 9: the class in the style sheet
    dash: str  # stroke-dasharray; "" for a solid line
    marker: str  # of _MARKERS
    hollow: bool = False


STYLE_KEYS = tuple("123456789")

# For any lines: one after the other.
_GENERAL = (
    ("", "circle"),
    ("7 3", "square"),
    ("2 2.5", "triangle"),
    ("9 3 2 3", "diamond"),
    ("", "down"),
    ("7 3", "cross"),
    ("2 2.5", "plus"),
    ("9 3 2 3", "bowtie"),
    ("14 4", "star"),
)

# The small networks are this suite's subject: theirs are the solid lines.
STYLES: Mapping[str, Style] = {
    **{
        key: Style(colour=n, dash=dash, marker=marker)
        for n, (key, (dash, marker)) in enumerate(zip(STYLE_KEYS, _GENERAL, strict=True), 1)
    },
    # Beside a line of the same colour: what others have measured.
    **{
        f"{key}-hollow": Style(colour=n, dash=dash, marker=marker, hollow=True)
        for n, (key, (dash, marker)) in enumerate(zip(STYLE_KEYS, _GENERAL, strict=True), 1)
    },
    **{
        f"{optimizer}-{size}": Style(
            colour=n, dash="6 3" if size == "full" else "", marker=marker, hollow=size == "full"
        )
        for n, (optimizer, marker) in enumerate(
            zip(OPTIMIZER_NAMES, ("circle", "square", "triangle"), strict=True), 1
        )
        for size in ("small", "full")
    },
}

# M. Okabe and K. Ito, "Color universal design", 2008: blue, vermillion, green, purple, orange, sky
# blue, black, grey, yellow; the pale ones darkened on white and the dark ones lightened on black,
# so that each stands out 3 to 1 from its paper (WCAG 2.2, 1.4.11).
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "muted": "#59636e",
    "grid": "#e1e5ea",
    "axis": "#8b949e",
    "lines": (
        *("#0072b2", "#d55e00", "#008a64", "#b8568f", "#b07800", "#2b8cc9"),
        *("#000000", "#767676", "#857d00"),
    ),
}
DARK = {
    "paper": "#0d1117",
    "ink": "#f0f6fc",
    "muted": "#9aa4af",
    "grid": "#272d35",
    "axis": "#6e7681",
    "lines": (
        *("#3f9ee0", "#f07f35", "#21bd8d", "#e095c2", "#e69f00", "#9bd6f7"),
        *("#ffffff", "#9a9a9a", "#f0e442"),
    ),
}

# Outlines about one unit from the centre.
_MARKERS: Mapping[str, tuple[Point, ...]] = {
    "circle": (),  # arcs
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.15), (1.1, 0.8), (-1.1, 0.8)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "down": ((0, 1.15), (1.1, -0.8), (-1.1, -0.8)),
    "cross": (
        *((0, -0.4), (0.8, -1.2), (1.2, -0.8), (0.4, 0), (1.2, 0.8), (0.8, 1.2)),
        *((0, 0.4), (-0.8, 1.2), (-1.2, 0.8), (-0.4, 0), (-1.2, -0.8), (-0.8, -1.2)),
    ),
    "plus": (
        *((-0.3, -1.3), (0.3, -1.3), (0.3, -0.3), (1.3, -0.3), (1.3, 0.3), (0.3, 0.3)),
        *((0.3, 1.3), (-0.3, 1.3), (-0.3, 0.3), (-1.3, 0.3), (-1.3, -0.3), (-0.3, -0.3)),
    ),
    "bowtie": ((-1.2, -1), (1.2, 1), (1.2, -1), (-1.2, 1)),
    "star": tuple(
        (round(r * math.sin(math.pi * k / 5), 2), round(-r * math.cos(math.pi * k / 5), 2))
        for k, r in enumerate((1.5, 0.6) * 5)
    ),
}

# What is drawn


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, broken where a value is None, not finite, or without the logarithm it needs.

    Series of one label share an entry of the legend and are drawn thin: a recipe's seeds.
    ``names`` stand beside the points as far as there is room, the first ones first.
    """

    label: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    style: str  # of STYLES
    joined: bool = True  # False: no line, and every point has its marker
    names: Sequence[str] = ()  # one for each point, or none at all

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"unknown style {self.style!r}; known: {', '.join(STYLES)}")
        for name in ("x", "y"):
            object.__setattr__(self, name, tuple(map(as_number, getattr(self, name))))
        if len(self.x) != len(self.y):
            raise ValueError(f"{self.label!r} has {len(self.x)} x values and {len(self.y)} y")
        object.__setattr__(self, "names", tuple(self.names))
        if self.names and len(self.names) != len(self.x):
            raise ValueError(f"{self.label!r} has {len(self.x)} points and {len(self.names)} names")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A dotted horizontal line across a panel, with its label at the right."""

    value: float
    label: str
    style: str = ""  # of STYLES, for the colour; "": grey


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes. The y range, where none is given, takes in every line and reference.

    What lies outside a given range is left out.
    """

    title: str
    x_label: str
    y_label: str  # what the numbers are: "%", "cross entropy"; stands above the axis
    series: Sequence[Series]
    references: Sequence[Reference] = ()
    links: Sequence[tuple[Point, Point]] = ()  # thin grey lines behind the others
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    log_x: bool = False
    log_y: bool = False

    def __post_init__(self) -> None:
        for name in ("series", "references", "links"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for reference in self.references:
            if reference.style and reference.style not in STYLES:
                raise ValueError(f"unknown style {reference.style!r}; known: {', '.join(STYLES)}")
        for name, given, log in (
            ("x", self.x_range, self.log_x),
            ("y", self.y_range, self.log_y),
        ):
            if given is None:
                continue
            low, high = given
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"{self.title!r}: {name} range {given}, expected low < high")
            if log and low <= 0:
                raise ValueError(f"{self.title!r}: {name} range {given} on a logarithmic axis")


def as_number(value: Any) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an int beyond every float
        return math.inf


def points_of(series: Series) -> Iterator[Point]:
    return zip(map(as_number, series.x), map(as_number, series.y), strict=True)


# Axes


@dataclass(frozen=True, kw_only=True)
class _Axis:
    low: float  # of a logarithmic axis: the exponents
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]  # (share of the axis, label)

    def share(self, value: float) -> float | None:
        """How far along the axis; None for what cannot be drawn, within ±1e6 otherwise."""
        position = _position(value, self.log)
        return None if position is None else _share(position, self.low, self.high)


def _position(value: float, log: bool) -> float | None:
    if not math.isfinite(value) or (log and value <= 0):
        return None
    return math.log10(value) if log else value


def _share(position: float, low: float, high: float) -> float:
    # Halves: the whole distance may be more than a float holds.
    share = (position / 2 - low / 2) / (high / 2 - low / 2)
    return max(-1e6, min(share, 1e6))


def _axis(
    values: Iterable[float],
    *,
    log: bool,
    given: tuple[float, float] | None = None,
    rounded: bool = False,
    fits: Callable[[Sequence[tuple[float, str]]], bool] = lambda ticks: True,
    most_ticks: int = 6,
) -> _Axis:
    """An axis over ``values``, out to round numbers if ``rounded``; with as many ticks as fit."""
    values = list(values)
    found = [p for value in given or values if (p := _position(value, log)) is not None]
    low, high = _widened(min(found), max(found), log) if found else (0.0, 1.0)
    # No epoch 2.5; but accuracies that happen to be whole may have ticks between them.
    whole = not rounded and all(value.is_integer() for value in values if math.isfinite(value))
    if rounded and given is None:
        low, high = _rounded_out(low, high, log)
    ticks: Sequence[tuple[float, str]] = ()
    for count in range(most_ticks, 1, -1):
        marks = _log_ticks(low, high, count) if log else _ticks(low, high, count, whole)
        ticks = [(_share(position, low, high), label) for position, label in marks]
        if fits(ticks):
            break
    return _Axis(low=low, high=high, log=log, ticks=tuple(ticks))


def _widened(low: float, high: float, log: bool) -> tuple[float, float]:
    """Apart far enough to divide by: a constant line lies in the middle."""
    largest = max(abs(low), abs(high))
    if log:
        return (low - 0.5, high + 0.5) if high - low < 1e-6 else (low, high)
    if largest < 1e-280:
        return 0.0, 1.0
    if high / 2 - low / 2 > 1e-9 * largest:
        return low, high
    return _clamped(low - 0.05 * largest), _clamped(high + 0.05 * largest)


def _clamped(value: float) -> float:
    return max(-sys.float_info.max, min(value, sys.float_info.max))


def _rounded_out(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        margin = 0.04 * (high - low)
        return low - margin, high + margin
    step = _step(low, high, 5)
    outer = (math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)
    return _clamped(min(low, outer[0])), _clamped(max(high, outer[1]))


def _step(low: float, high: float, count: int) -> float:
    """1, 2 or 5 times a power of ten, so that about ``count`` steps lead from low to high."""
    raw = (high / 2 - low / 2) / count * 2
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1, 2, 5) if m * power >= raw * (1 - 1e-9)), 10 * power)


def _ticks(low: float, high: float, count: int, whole: bool) -> list[tuple[float, str]]:
    step = _step(low, high, count)
    if whole:
        step = max(step, 1.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [k * step for k in range(first, last + 1)]
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e6 or 0 < largest < 1e-3:
        digits = math.floor(math.log10(largest)) - math.floor(math.log10(step) + 1e-9)
        return [(value, f"{value:.{digits}e}" if value else "0") for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(value, _unsigned_zero(f"{value:.{decimals}f}")) for value in values]


def _log_ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Powers of ten; twice and five times them where there are few; linear steps between two."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last - first >= 2:
        every = math.ceil((last - first + 1) / count)
        return [(float(k), _power_label(k)) for k in range(first, last + 1, every)]
    marks = [
        (k + math.log10(m), _power_label(k, m))
        for k in range(first - 1, last + 1)
        for m in (1, 2, 5)
        if low - 1e-9 <= k + math.log10(m) <= high + 1e-9
    ]
    if len(marks) > 2 or high > 308 or low < -280:
        return marks[:: math.ceil(len(marks) / count)] if marks else []
    return [
        (math.log10(value), label)
        for value, label in _ticks(10.0**low, 10.0**high, min(count, 4), whole=False)
        if value > 0
    ]


def _power_label(exponent: int, times: int = 1) -> str:
    if -4 <= exponent <= 4:
        return f"{times * 10.0**exponent:g}" if exponent < 0 else f"{times * 10**exponent}"
    return f"{times}e{exponent}"


def _unsigned_zero(text: str) -> str:
    return text.removeprefix("-") if not text.strip("-0.") else text


# Text

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
_NARROW = frozenset("fijlrtI.,:;'|!()[]{}/ ")
_WIDE = frozenset("mwMW@%")
# What XML 1.0 has no way to write, not even escaped.
_NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _escaped(text: str) -> str:
    text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text


def _text_width(text: str, size: float) -> float:
    """About how wide, on the safe side: as in DejaVu Sans, which is wider than most."""
    ems = 0.0
    for character in text:
        if unicodedata.east_asian_width(character) in "WF":
            ems += 1.1
        elif character in _NARROW:
            ems += 0.4
        elif character in _WIDE:
            ems += 0.98
        else:
            ems += 0.69 if character.isupper() else 0.64
    return ems * size


def _cut(text: str, width: float, size: float) -> str:
    """``text``, or as much of it as fits, ending in "…"."""
    width += 0.01  # what was measured to fit does, whatever was added and taken away since
    if _text_width(text, size) <= width:
        return text
    while text and _text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, width: float, size: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_cut(word, width, size))
    return lines


def _coordinate(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _text(
    x: float, y: float, text: str, kind: str, *, anchor: str = "start", full: str | None = None
) -> str:
    """A line of text; ``full`` is what a pointer over it shows, where that is more."""
    hint = "" if full is None or full == text else f"<title>{_escaped(full)}</title>"
    where = f'x="{_coordinate(x)}" y="{_coordinate(y)}"'
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text {where} class="{kind}"{at}>{hint}{_escaped(text)}</text>'


# The drawing

WIDTH = 900  # units, of which 900 pixels make the sizes of letters below true
MARGIN = 14.0
GAP = 20.0  # between panels
PLOT_HEIGHT = 190.0
HEAD, FOOT = 39.0, 40.0  # above a plot its title and unit, below it the x axis
LINE = 13.0  # from one label of a reference to the next
TITLE_SIZE, HEAD_SIZE, TEXT_SIZE = 15.0, 12.5, 11.0
SWATCH = 30.0
LEADER = 12.0  # from the end of a reference to its label
LEAST_PLOT = 130.0
MARKER_RADIUS = 3.0
MOST_MARKERS = 8  # on one line
MOST_DIRECT_LABELS = 4  # lines in a panel; with more, the legend has to do


def _style_sheet() -> str:
    def colours(theme: Mapping[str, Any]) -> Iterator[str]:
        yield f".paper,.hollow{{fill:{theme['paper']}}}"
        yield f"text{{fill:{theme['ink']}}}.small{{fill:{theme['muted']}}}"
        yield f".grid{{stroke:{theme['grid']}}}.axis{{stroke:{theme['axis']}}}"
        yield f".s0{{stroke:{theme['muted']}}}"
        for number, colour in enumerate(theme["lines"], 1):
            yield f".s{number}{{stroke:{colour}}}.f{number}{{fill:{colour}}}"

    def scoped(rules: Iterable[str]) -> str:
        # Every rule starts with the figure's class: in an HTML page they are the page's rules.
        return re.sub(r"(^|[},])(?=[.a-z])", r"\1.snf ", "".join(rules))

    dashes = "".join(
        f".d{number}{{stroke-dasharray:{dash.replace(' ', ',')}}}"
        for number, dash in enumerate(_DASHES)
        if dash
    )
    shapes = (
        f"text{{font-family:{_FONT};font-size:{TEXT_SIZE:g}px}}"
        f".title{{font-size:{TITLE_SIZE:g}px;font-weight:600}}"
        f".head{{font-size:{HEAD_SIZE:g}px;font-weight:600}}"
        ".grid,.axis{fill:none;stroke-width:1}"
        ".line{fill:none;stroke-width:1.75;stroke-linejoin:round}.thin{stroke-width:0.9}"
        ".mark{stroke-width:1.25;stroke-linejoin:round}"
        ".reference{fill:none;stroke-width:1.25;stroke-dasharray:1.5,3}"
        ".leader{fill:none;stroke-width:0.75}"
    )
    return (
        # On paper the screen's darkness does not matter.
        f".snf{{max-width:100%;height:auto}}{scoped(shapes + dashes)}{scoped(colours(LIGHT))}"
        f"@media screen and (prefers-color-scheme: dark){{{scoped(colours(DARK))}}}"
    )


_DASHES = tuple(dict.fromkeys(style.dash for style in STYLES.values()))


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A series in the units of the drawing."""

    series: Series
    pieces: tuple[tuple[Point, ...], ...]  # inside the plot, thinned to what can be seen
    dots: tuple[Point, ...]  # the data's own points inside the plot
    lonely: tuple[Point, ...]  # those that no line reaches


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A panel with its axes and its place."""

    panel: Panel
    box: Box  # of the plot
    x: _Axis
    y: _Axis
    left: float  # where the labels of the y axis begin
    right: float  # where the labels of the references end


def svg(
    panels: Sequence[Panel],
    *,
    title: str,
    description: str,
    note: str = "",
    columns: int | None = None,
    reference_name: str = "",
    plot_height: float = PLOT_HEIGHT,
) -> str:
    """A figure as an SVG document, the same bytes for the same input.

    Panels go side by side, three in a row (four: two) or ``columns``. ``description`` is for those
    who cannot see it; ``note`` stands below for everybody; ``reference_name`` names the dotted
    lines in the legend. Raises ValueError without panels.
    """
    if not panels:
        raise ValueError(f"figure {title!r}: no panels, expected at least one")
    if columns is None:
        columns = 2 if len(panels) == 4 else min(len(panels), 3)
    if not 1 <= columns <= 4:
        raise ValueError(f"figure {title!r}: {columns} columns, expected 1 to 4")
    inner = WIDTH - 2 * MARGIN
    parts: list[str] = []
    top = MARGIN
    for line in _wrapped(title, inner, TITLE_SIZE):
        parts.append(_text(MARGIN, top + TITLE_SIZE - 2, line, "title"))
        top += TITLE_SIZE + 5
    legend, top = _legend(panels, top + 4, reference_name)
    parts += legend
    placed, top = _laid_out(panels, columns, top + 10, plot_height)
    for found in placed:
        parts += ["<g>", *_panel_parts(found), "</g>"]
    if note:
        top += 4
        for line in _wrapped(note, inner, TEXT_SIZE):
            parts.append(_text(MARGIN, top + TEXT_SIZE, line, "small"))
            top += TEXT_SIZE + 4
    height = _coordinate(math.ceil(top + MARGIN - 4))
    # Several figures may stand in one HTML page, where an id is given once.
    own = (
        "snf-"
        + hashlib.sha256(
            "\0".join((title, description, *parts)).encode(errors="surrogatepass")
        ).hexdigest()[:10]
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="snf" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{own}-t {own}-d">',
            f'<title id="{own}-t">{_escaped(title)}</title>',
            f'<desc id="{own}-d">{_escaped(" ".join(filter(None, (description, note))))}</desc>',
            f"<style>{_style_sheet()}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            *parts,
            "</svg>\n",
        )
    )


def _legend(panels: Sequence[Panel], top: float, reference_name: str) -> tuple[list[str], float]:
    """Each label once, in rows; and where they end."""
    styles: dict[tuple[str, str], bool] = {}
    for series in (series for panel in panels for series in panel.series):
        key = series.label, series.style
        styles[key] = styles.get(key, False) or series.joined
    entries: list[tuple[str, Style | None, bool]] = [
        (label, STYLES[key], joined) for (label, key), joined in styles.items()
    ]
    if reference_name and any(panel.references for panel in panels):
        entries.append((reference_name, None, True))
    parts = []
    left = MARGIN
    for label, style, joined in entries:
        text = _cut(label, WIDTH - 2 * MARGIN - SWATCH - 6, TEXT_SIZE)
        width = SWATCH + 6 + _text_width(text, TEXT_SIZE)
        if left > MARGIN and left + width > WIDTH - MARGIN:
            left, top = MARGIN, top + 17
        middle = top + 7
        line = f"M{_coordinate(left)},{_coordinate(middle)}h{_coordinate(SWATCH)}"
        if style is None:
            parts.append(f'<path class="reference s0" d="{line}"/>')
        else:
            if joined:
                parts.append(f'<path class="{_line_class(style)}" d="{line}"/>')
            parts.append(_marks(style, [(left + SWATCH / 2, middle)]))
        parts.append(_text(left + SWATCH + 6, middle + 4, text, "label", full=label))
        left += width + 16
    return parts, top + 17 if entries else top


def _laid_out(
    panels: Sequence[Panel], columns: int, top: float, plot_height: float
) -> tuple[list[_Placed], float]:
    """Every panel with its place, plots of one size; and where they end."""
    height = max(plot_height, *(LINE * len(panel.references) for panel in panels))
    y_axes = [_y_axis(panel) for panel in panels]
    lefts, gutters = [0.0] * columns, [0.0] * columns
    for number, (panel, axis) in enumerate(zip(panels, y_axes, strict=True)):
        column = number % columns
        labels = [_text_width(label, TEXT_SIZE) for _, label in axis.ticks]
        lefts[column] = max(lefts[column], 8 + max(labels, default=0.0))
        gutters[column] = max(
            gutters[column],
            *(LEADER + 4 + _text_width(r.label, TEXT_SIZE) for r in panel.references),
            0.0,
        )
    room = WIDTH - 2 * MARGIN - GAP * (columns - 1) - sum(lefts)
    if sum(gutters) > (most := max(0.0, room - LEAST_PLOT * columns)):
        gutters = [gutter * most / sum(gutters) for gutter in gutters]
    width = max(10.0, (room - sum(gutters)) / columns)
    placed = []
    for number, (panel, y_axis) in enumerate(zip(panels, y_axes, strict=True)):
        row, column = divmod(number, columns)
        begin = MARGIN + sum(lefts[:column]) + sum(gutters[:column]) + column * (width + GAP)
        left = begin + lefts[column]
        plot_top = top + HEAD + row * (HEAD + height + FOOT)
        placed.append(
            _Placed(
                panel=panel,
                box=(left, plot_top, left + width, plot_top + height),
                x=_x_axis(panel, width),
                y=y_axis,
                left=begin,
                right=left + width + gutters[column],
            )
        )
    rows = math.ceil(len(panels) / columns)
    return placed, top + rows * (HEAD + height + FOOT)


def _y_axis(panel: Panel) -> _Axis:
    values = [
        y
        for series in panel.series
        for x, y in points_of(series)
        if _position(x, panel.log_x) is not None
    ]
    values += [reference.value for reference in panel.references]
    return _axis(values, log=panel.log_y, given=panel.y_range, rounded=True)


def _x_axis(panel: Panel, width: float) -> _Axis:
    def fits(ticks: Sequence[tuple[float, str]]) -> bool:
        return all(
            (after - before) * width
            >= (_text_width(one, TEXT_SIZE) + _text_width(other, TEXT_SIZE)) / 2 + 8
            for (before, one), (after, other) in itertools.pairwise(ticks)
        )

    values = [x for series in panel.series for x, _ in points_of(series)]
    return _axis(values, log=panel.log_x, given=panel.x_range, fits=fits)


def _panel_parts(placed: _Placed) -> Iterator[str]:
    panel, (left, top, right, bottom) = placed.panel, placed.box
    room = min(placed.right + GAP - 6, WIDTH - MARGIN) - placed.left
    yield _text(placed.left, top - 26, _cut(panel.title, room, HEAD_SIZE), "head", full=panel.title)
    yield _text(
        placed.left, top - 11, _cut(panel.y_label, room, TEXT_SIZE), "small", full=panel.y_label
    )
    grid = []
    for share, label in placed.y.ticks:
        y = bottom - share * (bottom - top)
        grid.append(f"M{_coordinate(left)},{_coordinate(y)}h{_coordinate(right - left)}")
        yield _text(left - 6, y + 4, label, "small", anchor="end")
    for share, label in placed.x.ticks:
        x = left + share * (right - left)
        grid.append(f"M{_coordinate(x)},{_coordinate(top)}v{_coordinate(bottom - top)}")
        half = _text_width(label, TEXT_SIZE) / 2
        x = max(half + 2, min(x, WIDTH - half - 2))
        yield _text(x, bottom + 15, label, "small", anchor="middle")
    yield f'<path class="grid" d="{"".join(grid)}"/>'
    base = f"M{_coordinate(left)},{_coordinate(bottom)}h{_coordinate(right - left)}"
    yield f'<path class="axis" d="{base}"/>'
    name = _cut(panel.x_label, right - left, TEXT_SIZE)
    yield _text((left + right) / 2, bottom + 29, name, "small", anchor="middle", full=panel.x_label)

    heights = [placed.y.share(reference.value) for reference in panel.references]
    inside = [
        (reference, bottom - share * (bottom - top))
        for reference, share in zip(panel.references, heights, strict=True)
        if share is not None and 0 <= share <= 1
    ]
    for (reference, y), at in zip(
        inside, spread([y for _, y in inside], LINE, top, bottom), strict=True
    ):
        colour = STYLES[reference.style].colour if reference.style else 0
        across = f"M{_coordinate(left)},{_coordinate(y)}h{_coordinate(right - left)}"
        lead = (
            f"M{_coordinate(right)},{_coordinate(y)}h2"
            f"L{_coordinate(right + LEADER - 2)},{_coordinate(at)}h2"
        )
        label = _cut(reference.label, placed.right - right - LEADER - 4, TEXT_SIZE)
        yield f'<path class="reference s{colour}" d="{across}"/>'
        yield f'<path class="leader s{colour}" d="{lead}"/>'
        yield _text(right + LEADER + 3, at + 4, label, "label", full=reference.label)

    links = [
        (points[0], points[1])
        for link in panel.links
        if len(points := [p for point in link if (p := _place(point, placed)) is not None]) == 2
    ]
    if links:
        path = "".join(f"M{_pair(one)}L{_pair(other)}" for one, other in links)
        yield f'<path class="axis" d="{path}"/>'
    lines = [_line(series, placed) for series in panel.series]
    if not any(line.dots for line in lines):
        yield _text((left + right) / 2, (top + bottom) / 2, "no data", "small", anchor="middle")
    drawn: dict[str, int] = {}
    labels = [line.series.label for line in lines]
    for line in lines:
        style = STYLES[line.series.style]
        repeated = labels.count(line.series.label) > 1
        number = drawn[line.series.label] = drawn.get(line.series.label, -1) + 1
        shown = list(line.lonely) if number else [*_marked(line.dots, style), *line.lonely]
        if not line.series.joined:
            shown = list(line.dots)
        path = "".join(
            f"M{_pair(first)}L{' '.join(map(_pair, rest))}" for first, *rest in line.pieces
        )
        yield f"<g><title>{_escaped(line.series.label)}</title>"
        if path:
            yield f'<path class="{_line_class(style)}{" thin" if repeated else ""}" d="{path}"/>'
        if shown:
            yield _marks(style, list(dict.fromkeys(shown)))
        yield "</g>"
    yield from _direct_labels(lines, placed.box, [y for _, y in inside])
    yield from _point_names(lines, links, placed)


def _pair(point: Point) -> str:
    return f"{_coordinate(point[0])},{_coordinate(point[1])}"


def _line_class(style: Style) -> str:
    return f"line s{style.colour} d{_DASHES.index(style.dash)}"


def _marks(style: Style, points: Sequence[Point]) -> str:
    outline = _MARKERS[style.marker]
    path = []
    for x, y in points:
        if outline:
            corners = [
                _pair((x + MARKER_RADIUS * dx, y + MARKER_RADIUS * dy)) for dx, dy in outline
            ]
            path.append(f"M{corners[0]}L{' '.join(corners[1:])}z")
        else:
            r = _coordinate(MARKER_RADIUS)
            across = _coordinate(2 * MARKER_RADIUS)
            start = _pair((x - MARKER_RADIUS, y))
            path.append(f"M{start}a{r},{r} 0 1,0 {across},0a{r},{r} 0 1,0 -{across},0z")
    fill = "hollow" if style.hollow else f"f{style.colour}"
    return f'<path class="mark s{style.colour} {fill}" d="{"".join(path)}"/>'


def _marked(dots: Sequence[Point], style: Style) -> Sequence[Point]:
    """The few points of a line that carry its marker, others for each style."""
    if len(dots) <= MOST_MARKERS:
        return dots
    every = math.ceil(len(dots) / MOST_MARKERS)
    return dots[(style.colour - 1) * every // len(STYLE_KEYS) :: every]


def _line(series: Series, placed: _Placed) -> _Line:
    left, top, right, bottom = placed.box
    runs: list[list[Point]] = [[]]
    for x, y in points_of(series):
        across, up = placed.x.share(x), placed.y.share(y)
        if across is None or up is None or not -1e-9 <= across <= 1 + 1e-9:
            runs.append([])
        else:
            # Rounded, lest the highest point lie a millionth of a pixel outside.
            y_here = round(bottom - up * (bottom - top), 6)
            runs[-1].append((left + across * (right - left), y_here))
    if not series.joined:
        runs = [[point] for run in runs for point in run]
    inside = [(x, y) for run in runs for x, y in run if top <= y <= bottom]
    pieces = [
        tuple(_thinned(piece))
        for run in runs
        for piece in _clipped(run, top, bottom)
        if len(piece) > 1
    ]
    return _Line(
        series=series,
        pieces=tuple(pieces),
        dots=tuple(inside),
        lonely=tuple(run[0] for run in runs if len(run) == 1 and top <= run[0][1] <= bottom),
    )


def _place(point: Point, placed: _Placed) -> Point | None:
    """Where a point stands; None for one that is not inside the plot."""
    left, top, right, bottom = placed.box
    across, up = placed.x.share(point[0]), placed.y.share(point[1])
    if across is None or up is None:
        return None
    x, y = left + across * (right - left), bottom - up * (bottom - top)
    inside = left - 1e-6 <= x <= right + 1e-6 and top - 1e-6 <= y <= bottom + 1e-6
    return (x, y) if inside else None


def _clipped(run: Sequence[Point], top: float, bottom: float) -> Iterator[list[Point]]:
    """The pieces of a line between two heights."""
    piece: list[Point] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(run):
        # Where on this segment, from 0 to 1, it enters and leaves.
        crossings = [(limit - y0) / (y1 - y0) for limit in (top, bottom)] if y1 != y0 else []
        if crossings:
            begin, end = max(0.0, min(crossings)), min(1.0, max(crossings))
        else:
            begin, end = (0.0, 1.0) if top <= y0 <= bottom else (1.0, 0.0)
        if begin > end:
            if piece:
                yield piece
            piece = []
            continue
        if begin > 0 or not piece:
            if piece:
                yield piece
            piece = [_between((x0, y0), (x1, y1), begin, top, bottom)]
        piece.append(_between((x0, y0), (x1, y1), end, top, bottom))
        if end < 1:
            yield piece
            piece = []
    if piece:
        yield piece


def _between(one: Point, other: Point, share: float, top: float, bottom: float) -> Point:
    x = one[0] + share * (other[0] - one[0])
    y = one[1] + share * (other[1] - one[1])
    return x, max(top, min(y, bottom))


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """First, lowest, highest and last point of each column of pixels: it looks the same."""
    for _, group in itertools.groupby(points, key=lambda point: round(point[0])):
        column = list(group)
        ys = [y for _, y in column]
        kept = {0, ys.index(min(ys)), ys.index(max(ys)), len(column) - 1}
        yield from (column[index] for index in sorted(kept))


def spread(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Places at least ``distance`` apart and as near to the wanted ones as can be, in their order.

    Least squares: each block of touching labels is centred on what its members want.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, int]] = []  # sum of what members want of the first, their number
    for rank, index in enumerate(order):
        total, size = wanted[index] - rank * distance, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / size:
            before = blocks.pop()
            total, size = total + before[0], size + before[1]
        blocks.append((total, size))
    firsts = [total / size for total, size in blocks for _ in range(size)]
    highest = max(low, high - distance * (len(wanted) - 1))
    places = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        places[index] = max(low, min(firsts[rank], highest)) + rank * distance
    return places


def _direct_labels(lines: Sequence[_Line], box: Box, references: Sequence[float]) -> list[str]:
    """The names of few lines beside them, where none touches another line; else none at all."""
    labels = list(dict.fromkeys(line.series.label for line in lines))
    if not 1 < len(labels) == len(lines) <= MOST_DIRECT_LABELS:
        return []
    if not all(line.series.joined for line in lines):
        return []
    left, top, right, bottom = box
    across = [((left, y), (right, y)) for y in references]
    segments = [
        [pair for piece in line.pieces for pair in itertools.pairwise(piece)] for line in lines
    ]
    taken: list[Box] = []
    parts = []
    for number, line in enumerate(lines):
        width = _text_width(line.series.label, TEXT_SIZE)
        others = [pair for n, found in enumerate(segments) if n != number for pair in found]
        for x, y in _candidates(line.dots, width):
            text_box = (x, y - TEXT_SIZE + 2, x + width, y + 3)
            if not (
                left + 2 <= text_box[0]
                and text_box[2] <= right - 2
                and top + 2 <= text_box[1]
                and text_box[3] <= bottom - 2
            ):
                continue
            if (
                any(_touches(_grown(text_box, 7), *pair) for pair in others)
                or any(_touches(_grown(text_box, 3), *pair) for pair in segments[number])
                or any(_touches(_grown(text_box, 2), *pair) for pair in across)
                or any(_overlap(_grown(text_box, 3), other) for other in taken)
            ):
                continue
            taken.append(text_box)
            parts.append(_text(x, y, line.series.label, "label"))
            break
        else:
            return []
    return parts


def _candidates(dots: Sequence[Point], width: float) -> Iterator[Point]:
    """Where a label may begin: right of, above and below points from the end to the beginning."""
    for tenth in range(10, -1, -1):
        if dots:
            x, y = dots[round((len(dots) - 1) * tenth / 10)]
            yield x + 7, y - 5
            yield x - width / 2, y - 8
            yield x - width / 2, y + 16
            yield x - width - 4, y - 7
            yield x - width - 4, y + 15


# How far from its point a name may stand, and where around it.
_DISTANCES = (7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 64.0)
_AROUND = (
    *((1, 0), (-1, 0), (0, -1), (0, 1)),
    *((0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7)),
    *((0.94, -0.34), (0.94, 0.34), (-0.94, -0.34), (-0.94, 0.34)),
)


def _point_names(
    lines: Sequence[_Line], links: Sequence[tuple[Point, Point]], placed: _Placed
) -> Iterator[str]:
    """The names of points beside them, with a thin line to those that have to stand off.

    Where there is no room the name is left out.
    """
    left, top, right, bottom = placed.box
    dots = [dot for line in lines for dot in line.dots]
    drawn = [pair for line in lines for piece in line.pieces for pair in itertools.pairwise(piece)]
    drawn += links
    taken: list[Box] = []
    leaders: list[tuple[Point, Point]] = []

    def is_free(box: Box, at: Point) -> bool:
        return (
            left + 2 <= box[0]
            and box[2] <= right - 2
            and top + 2 <= box[1]
            and box[3] <= bottom - 2
            and not any(_overlap(_grown(box, 1), other) for other in taken)
            and not any(_touches(box, *pair) for pair in (*drawn, *leaders))
            and not any(
                _overlap(box, _grown((*dot, *dot), 7 if math.dist(dot, at) > 3 else 4))
                for dot in dots
            )
        )

    def leads(at: Point, end: Point) -> bool:
        others = (dot for dot in dots if math.dist(dot, at) > 3)
        return not (
            any(_touches(other, at, end) for other in taken)
            or any(_touches(_grown((*dot, *dot), 3), at, end) for dot in others)
            or any(_cross((at, end), other) for other in leaders)
        )

    for line in lines:
        # What others have measured stands back.
        kind = "small" if STYLES[line.series.style].hollow else "label"
        points = zip(points_of(line.series), line.series.names, strict=False)
        for at, name in ((_place(point, placed), name) for point, name in points):
            if at is None or not name:
                continue
            width = _text_width(name, TEXT_SIZE)
            for distance, (dx, dy) in itertools.product(_DISTANCES, _AROUND):
                end = (at[0] + distance * dx, at[1] + distance * dy)
                begin = end[0] - width * (0.5 if dx == 0 else dx < 0)
                base = end[1] + (4 if abs(dy) < 0.5 else 8 if dy > 0 else 0)
                box = (begin, base - TEXT_SIZE + 2, begin + width, base + 3)
                near = distance == _DISTANCES[0]
                if not is_free(box, at) or not (near or leads(at, end)):
                    continue
                taken.append(box)
                if not near:
                    leaders.append((at, end))
                    yield f'<path class="leader s0" d="M{_pair(at)}L{_pair(end)}"/>'
                yield _text(begin, base, name, kind)
                break


def _cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two segments cross."""

    def sides(line: tuple[Point, Point], points: tuple[Point, Point]) -> float:
        (x0, y0), (x1, y1) = line
        first, second = ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in points)
        return first * second

    return sides(one, other) < 0 and sides(other, one) < 0


def _grown(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _touches(box: Box, one: Point, other: Point) -> bool:
    """Whether a segment meets a box."""
    (x0, y0), (x1, y1) = one, other
    left, top, right, bottom = box
    if max(x0, x1) < left or min(x0, x1) > right or max(y0, y1) < top or min(y0, y1) > bottom:
        return False
    sides = [
        (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))
    ]
    return min(sides) <= 0 <= max(sides)
