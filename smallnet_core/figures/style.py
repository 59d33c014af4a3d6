"""One style for every figure: matplotlib's SVG, readable on a phone, in the dark and aloud.

Colours are light in the file itself, whatever shows it; a style sheet turns them where dark is
preferred. matplotlib is imported when a figure is drawn, not before.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

Point: TypeAlias = tuple[float, float]

# M. Okabe and K. Ito, "Color universal design", 2008: blue, vermillion, green, purple, orange, sky
# blue, black, grey, yellow; each on white, and on black. The pale ones are darkened and the dark
# ones lightened until they stand out 3 to 1 from their paper (WCAG 2.2, 1.4.11).
COLOURS = (
    *(("#0072b2", "#3f9ee0"), ("#d55e00", "#f07f35"), ("#008a64", "#21bd8d")),
    *(("#b8568f", "#e095c2"), ("#b07800", "#e69f00"), ("#2b8cc9", "#9bd6f7")),
    *(("#101418", "#ffffff"), ("#767676", "#9a9a9a"), ("#857d00", "#f0e442")),
)
PAPER, INK = ("#ffffff", "#0d1117"), ("#1f2328", "#f0f6fc")
MUTED, AXIS, GRID = ("#59636e", "#9aa4af"), ("#8b949e", "#6e7681"), ("#e1e5ea", "#272d35")
# Lines differ without their colour too.
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = "os^DvXPp*"

WIDTH = 600  # units, 390 pixels of a phone: 14 of them are letters of 9 pixels
_MARGIN, _GAP, _TITLE = 12, 16, 22
_TICKS, _END = 34, 8  # numbers at the left of a panel, and half of one at its right
_HEAD, _FOOT = 44, 46  # of a panel: its title and unit above, numbers and label below
_LINE = 17  # from one line of text to the next
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, wider than what browsers have
    "font.size": 13,
    "text.color": INK[0],
    "text.parse_math": False,
    "axes.edgecolor": AXIS[0],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED[0],
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": PAPER[0],
    "grid.color": GRID[0],
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "smallnet",  # the same ids, and bytes, each time
    "xtick.color": MUTED[0],
    "xtick.major.pad": 7,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": MUTED[0],
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


class MatplotlibMissingError(ImportError):
    """Says how to get what draws the figures."""

    def __init__(self) -> None:
        super().__init__("figures need matplotlib: pip install 'smallnet[figures]'")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A plot with its title and unit above it; ``plot`` puts the data into its axes."""

    title: str
    unit: str
    x_label: str
    plot: Callable[[Axes], object]
    height: int = 170


def line(number: int, **changes: Any) -> dict[str, Any]:
    """What ``Axes.plot`` takes for the line of this number: 0 to 8, which all differ."""
    colour = COLOURS[number][0]
    look = {"color": colour, "linestyle": DASHES[number % 4], "marker": MARKERS[number]}
    return {**look, "markeredgewidth": 1.2, **changes}


def hollow(number: int, **changes: Any) -> dict[str, Any]:
    """The same with marks that are empty: what others have measured."""
    return line(number, markerfacecolor=PAPER[0], **changes)


def plot(axes: Axes, x: Sequence[float | None], y: Sequence[float | None], **look: Any) -> None:
    """Draw the points that there are, about eight of them marked; nothing where there is none."""
    pairs = zip(x, y, strict=True)
    # Neither nan, nor what matplotlib can't divide into ticks.
    points = [pair for pair in pairs if all(v is not None and abs(v) < 1e12 for v in pair)]
    if points:
        step = max(1, len(points) // 8)
        start = MARKERS.index(look["marker"]) * step // len(MARKERS)
        axes.plot(*zip(*points, strict=True), markevery=(start, step), **look)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A title, a legend of all lines, rows of panels, a key in two columns, and a note."""

    rows: Sequence[Sequence[Panel]]
    title: str
    description: str  # for screen readers, which read the note too
    note: str
    key: Sequence[str] = ()

    @property
    def said(self) -> str:
        """What screen readers say after the title."""
        return f"{self.description} {self.note}".strip()

    def svg(self) -> bytes:
        """The file; raises MatplotlibMissingError."""
        try:
            import matplotlib.style
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MatplotlibMissingError from error
        with matplotlib.style.context(["default", _RC]):
            titles, notes = textwrap.wrap(self.title, 54), textwrap.wrap(self.note, 78)
            figure = Figure(figsize=(WIDTH / 72, 1), dpi=72)
            FigureCanvasAgg(figure)
            panels = [panel for row in self.rows for panel in row]
            axes = [figure.add_axes((0, 0, 1, 1), label=str(k)) for k in range(len(panels))]
            heights = [max(panel.height for panel in row) for row in self.rows]
            for panel, one in zip(panels, axes, strict=True):
                panel.plot(one)
                one.set_title(panel.title, loc="left", pad=24)
                one.set_xlabel(panel.x_label)
                one.annotate(
                    panel.unit,
                    (0, 1),
                    (0, 8),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    color=MUTED[0],
                )
            legend = _legend(figure, axes)
            top: float = _MARGIN + _TITLE * len(titles) + 4
            legend_top = top
            if legend:
                top += legend.get_window_extent().height + 8
            end = top + sum(heights) + (_HEAD + _FOOT) * len(heights) + 6
            bottom = end + _LINE * (math.ceil(len(self.key) / 2) + len(notes)) + 2 * _MARGIN
            figure.set_size_inches(WIDTH / 72, bottom / 72)
            if legend:
                legend.set_bbox_to_anchor((_MARGIN / WIDTH, 1 - legend_top / bottom))
            _place(self.rows, axes, top, bottom)
            for text, y, look in _texts(titles, notes, self.key, end):
                x = look.pop("x", _MARGIN) / WIDTH
                figure.text(x, 1 - y / bottom, text, verticalalignment="top", **look)
            buffer = io.StringIO()
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(buffer, format="svg", metadata=nothing)
        return _finished(buffer.getvalue(), self.title, self.said).encode()


def _place(rows: Sequence[Sequence[Panel]], axes: Sequence[Axes], top: float, total: float) -> None:
    places = iter(axes)
    for row in rows:
        height = max(panel.height for panel in row)
        cell = (WIDTH - 2 * _MARGIN - _GAP * (len(row) - 1)) / len(row)
        for k in range(len(row)):
            left = _MARGIN + k * (cell + _GAP) + _TICKS
            width = cell - _TICKS - _END
            low = total - top - _HEAD - height
            box = (left / WIDTH, low / total, width / WIDTH, height / total)
            next(places).set_position(box)
        top += _HEAD + height + _FOOT


def _legend(figure: Figure, axes: Sequence[Axes]) -> Legend | None:
    """Add a legend of the axes' lines in as many columns as there is room for."""
    handles: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    legend = None
    for columns in range(min(4, len(handles)), 0, -1):
        legend = figure.legend(
            handles.values(),
            handles.keys(),
            loc="upper left",
            ncols=columns,
            handlelength=2.6,
            columnspacing=1.6,
        )
        if legend.get_window_extent().width <= WIDTH - 2 * _MARGIN or columns == 1:
            break
        legend.remove()
    return legend


def _texts(
    titles: Sequence[str], notes: Sequence[str], key: Sequence[str], top: float
) -> Iterator[tuple[str, float, dict[str, Any]]]:
    for k, text in enumerate(titles):
        yield text, _MARGIN + _TITLE * k, {"fontsize": 17, "fontweight": "bold"}
    half = math.ceil(len(key) / 2)
    for k, text in enumerate(key):
        column, row = divmod(k, half)
        yield text, top + _LINE * row, {"x": _MARGIN + column * 0.475 * WIDTH, "fontsize": 12}
    for k, text in enumerate(notes):
        yield text, top + _LINE * (half + k) + (8 if half else 0), {"color": MUTED[0]}


def _finished(svg: str, title: str, description: str) -> str:
    """matplotlib's file with a name and a description, the dark colours, and no rule for others."""
    name = f"snf-{hashlib.sha256(svg.encode()).hexdigest()[:8]}"
    svg = svg[svg.index("<svg ") :].replace("*{stroke-linejoin", ".snf *{stroke-linejoin", 1)
    # Marks are drawn by reference, and take their colours from there: no rule reaches the original.
    svg = re.sub(r'(<path id="m\w+" d="[^"]*") style="[^"]*"', r"\1", svg)
    svg = re.sub(r'(?<= )(d|x|y)="[^"]*"', _shorter, svg)
    svg = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', svg, count=2)
    dark = "".join(
        f'.snf [style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in (*COLOURS, PAPER, INK, MUTED, AXIS, GRID)
        for what in ("fill", "stroke")
    )
    head = (
        f'class="snf" role="img" aria-labelledby="{name}-title {name}-desc">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-desc">{escape(description)}</desc>\n'
        f"<style>.snf text{{font-family:{_FONT}!important}}"
        f"@media screen and (prefers-color-scheme: dark){{{dark}}}</style>"
    )
    start, rest = svg.split(">", 1)
    return f"{start} {head}{rest}"


def _shorter(coordinates: re.Match[str]) -> str:
    """To hundredths of a unit, in one line."""
    return " ".join(re.sub(r"(\.\d\d)\d+", r"\1", coordinates[0]).split())


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
