"""The first steps of trainings that fail: loss, gradient, dead units and what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from smallnet_core.figures import style
from smallnet_core.figures.style import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUANTITIES = {
    "loss": ("Training loss", "cross entropy"),
    "most_predicted_percent": ("Most predicted class", "% of predictions"),
    "gradient_norm": ("Norm of the gradient", "logarithmic"),
    "worst_layer_dead_percent": ("Dead units", "% of the layer with most of them"),
}


@dataclass(frozen=True, kw_only=True)
class FirstSteps:
    """A training's first steps, and how they end."""

    change: str  # what differs from the paper's settings
    ending: str
    columns: Mapping[str, Sequence[float | None]]  # "step", and what _QUANTITIES names


def failures_figure(trainings: Sequence[FirstSteps], *, title: str, note: str) -> str:
    """Draw up to nine trainings by step, one panel per quantity; return the SVG."""
    endings = "; ".join(f"{training.change}: {training.ending}" for training in trainings)
    return style.svg(
        [
            [Panel(title=name, unit=unit, x_label="step", plot=partial(_plot, trainings, quantity))]
            for quantity, (name, unit) in _QUANTITIES.items()
        ],
        title=title,
        description=f"How each ends. {endings}.",
        note=note,
    )


def _plot(trainings: Sequence[FirstSteps], quantity: str, axes: Axes) -> None:
    for number, training in enumerate(trainings):
        look = style.line(number, label=training.change, linewidth=1.4)
        style.plot(axes, training.columns["step"], training.columns[quantity], **look)
    if quantity.endswith("_percent"):
        axes.set_ylim(-2, 102)
    if quantity == "gradient_norm":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
