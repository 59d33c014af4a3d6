"""One style for every figure: SVG by matplotlib, readable on phones, in dark mode and aloud.

The file has the light colours, which any viewer shows; a style sheet replaces them if dark ones are
preferred. matplotlib is imported only when a figure is drawn.
"""

from __future__ import annotations

import hashlib
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point: TypeAlias = tuple[float, float]

# M. Okabe and K. Ito, "Color universal design", 2008: blue, vermillion, green, purple, orange, sky
# blue, black, grey, yellow; each on white, and on black. Pale ones are darkened and dark ones
# lightened to a contrast of 3 to 1 (WCAG 2.2, 1.4.11).
COLOURS = (
    *(("#0072b2", "#3f9ee0"), ("#d55e00", "#f07f35"), ("#008a64", "#21bd8d")),
    *(("#b8568f", "#e095c2"), ("#b07800", "#e69f00"), ("#2b8cc9", "#9bd6f7")),
    *(("#101418", "#ffffff"), ("#767676", "#9a9a9a"), ("#857d00", "#f0e442")),
)
PAPER, INK = ("#ffffff", "#0d1117"), ("#1f2328", "#f0f6fc")
MUTED, AXIS, GRID = ("#59636e", "#9aa4af"), ("#8b949e", "#6e7681"), ("#e1e5ea", "#272d35")
# Lines can be told apart without colour too.
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = "os^DvXPp*"

WIDTH = 600  # units; on a phone's 390 pixels, letters of 14 units have 9 pixels
_MARGIN, _GAP = 12, 16
_HEAD, _FOOT = 44, 46  # of a panel: its title and unit above, numbers and label below
_END = 8  # half of a number at the right of a panel
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, and is wider than browsers' fonts
    "font.size": 13,
    "text.color": INK[0],
    "text.parse_math": False,
    "axes.edgecolor": AXIS[0],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED[0],
    "axes.titlesize": 13,
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
    "svg.hashsalt": "smallnet",  # the same ids, hence the same bytes, each time
    "xtick.color": MUTED[0],
    "xtick.major.pad": 7,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": MUTED[0],
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


class MatplotlibMissingError(ImportError):
    """matplotlib is missing; the message says how to install it."""

    def __init__(self) -> None:
        super().__init__("figures need matplotlib: pip install 'smallnet[figures]'")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Axes, with an optional title and unit above them; ``plot`` draws the data."""

    plot: Callable[[Axes], object]
    title: str = ""
    unit: str = ""
    x_label: str = ""
    height: int = 170
    ticks: int = 34  # the room for labels at the left


def line(number: int, **changes: Any) -> dict[str, Any]:
    """Return arguments of ``Axes.plot`` for the line of this number, 0 to 8, all distinct."""
    colour = COLOURS[number][0]
    look = {"color": colour, "linestyle": DASHES[number % 4], "marker": MARKERS[number]}
    return {**look, "markeredgewidth": 1.2, **changes}


def hollow(number: int, **changes: Any) -> dict[str, Any]:
    """Return arguments of ``Axes.plot`` for single hollow marks, which show others' values."""
    return line(number, **{"linestyle": "none", "markerfacecolor": PAPER[0], **changes})


def plot(axes: Axes, x: Sequence[float | None], y: Sequence[float | None], **look: Any) -> None:
    """Draw a line through the points that are not None, if any, with about eight marks."""
    pairs = zip(x, y, strict=True)
    # Skip NaN, and values that matplotlib can't divide into ticks.
    points = [pair for pair in pairs if all(v is not None and abs(v) < 1e12 for v in pair)]
    if points:
        step = max(1, len(points) // 8)
        start = MARKERS.index(look["marker"]) * step // len(MARKERS)
        axes.plot(*zip(*points, strict=True), markevery=(start, step), **look)


def write_beside(axes: Axes, text: str, point: Point, offset: int, *, size: int) -> None:
    """Write text at the right of a point or, if ``offset`` is negative, at its left."""
    look: dict[str, Any] = {"ha": "right" if offset < 0 else "left", "va": "center"}
    axes.annotate(text, point, (offset, 0), textcoords="offset points", size=size, **look)


def svg(rows: Sequence[Sequence[Panel]], *, title: str, description: str, note: str) -> str:
    """Draw a title, a legend of all lines, rows of panels, and a note; return the file's text.

    Screen readers read the title, the description and the note. Raise MatplotlibMissingError if
    matplotlib is not installed.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
        from matplotlib.transforms import Bbox
    except ImportError as error:
        raise MatplotlibMissingError from error
    with matplotlib.style.context(["default", _RC]):
        # One unit high; everything is drawn below it, and the file is cropped to that at the end.
        figure = Figure(figsize=(WIDTH / 72, 1 / 72), dpi=72)
        axes = [[figure.add_axes((0, 0, 1, 1), label=f"{panel}") for panel in row] for row in rows]
        for row, of_row in zip(rows, axes, strict=True):
            for panel, one in zip(row, of_row, strict=True):
                panel.plot(one)
                one.set_title(panel.title, loc="left", pad=24)
                one.set_xlabel(panel.x_label)
                where: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
                one.annotate(panel.unit, (0, 1), (0, 8), color=MUTED[0], **where)

        top: float = _MARGIN + 8
        top += _text(figure, _MARGIN, textwrap.fill(title, 54), size=17, weight="bold")
        top += _legend(figure, top)
        for row, of_row in zip(rows, axes, strict=True):
            head, height = _HEAD if row[0].title else 0, max(panel.height for panel in row)
            cell = (WIDTH - 2 * _MARGIN + _GAP) / len(row)
            for k, (panel, one) in enumerate(zip(row, of_row, strict=True)):
                left = _MARGIN + k * cell + panel.ticks
                width = cell - _GAP - panel.ticks - _END
                one.set_position((left / WIDTH, 1 - top - head - height, width / WIDTH, height))
            top += head + height + (_FOOT if row[0].x_label else 30)
        top += _text(figure, top, textwrap.fill(note, 78), color=MUTED[0]) + _MARGIN
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches=Bbox(((0, (1 - top) / 72), (WIDTH / 72, 1 / 72))),
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    return _finished(buffer.getvalue(), title, f"{description} {note}".strip())


def _text(figure: Figure, top: float, text: str, **look: Any) -> float:
    """Write text at the left margin; return its height."""
    found = figure.text(_MARGIN / WIDTH, 1 - top, text, va="top", linespacing=1.3, **look)
    return found.get_window_extent().height


def _legend(figure: Figure, top: float) -> float:
    """Add a legend of all lines, in as many columns as fit; return its height."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    for columns in range(min(4, len(handles)), 0, -1):
        legend = figure.legend(
            handles.values(),
            handles.keys(),
            loc="upper left",
            bbox_to_anchor=(_MARGIN / WIDTH, 1 - top),
            ncols=columns,
            handlelength=2.6,
            columnspacing=1.6,
        )
        box = legend.get_window_extent()
        if box.width <= WIDTH - 2 * _MARGIN or columns == 1:
            return box.height + 8
        legend.remove()
    return 0


def _finished(svg: str, title: str, description: str) -> str:
    """Add title, description and dark colours; limit matplotlib's CSS rules to this figure."""
    name = f"snf-{hashlib.sha256(svg.encode()).hexdigest()[:8]}"
    svg = svg[svg.index("<svg ") :].replace("*{stroke-linejoin", ".snf *{stroke-linejoin", 1)
    # Marks are drawn by <use>, which sets their colours: CSS rules can't reach the <path> itself.
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
    """Round coordinates down to hundredths of a unit, in one line."""
    return " ".join(re.sub(r"(\.\d\d)\d+", r"\1", coordinates[0]).split())


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
