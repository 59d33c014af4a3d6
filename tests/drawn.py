"""Records that figures are drawn from, and what an SVG figure shows and says."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from smallnet_core.recipes import Recipe

SVG = "{http://www.w3.org/2000/svg}"


def record_of(recipe: Recipe, test: Sequence[float | None] = (60.0,), **fields: Any) -> Any:
    """A record as the model cache writes it, with these accuracies by epoch."""
    names = ("epoch", "train_loss", "train_accuracy_percent", "test_accuracy_percent")
    curve = [
        dict(zip(names, (epoch, 2 / epoch, 50.0 + epoch, value), strict=True))
        for epoch, value in enumerate(test, 1)
    ]
    time = "2026-01-01T00:00:00Z"
    return {"recipe": recipe.canonical(), "curve": curve, "time": time, **fields}


def texts(svg: str) -> list[str]:
    """The visible texts."""
    return [found.text or "" for found in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def said(svg: str) -> str:
    """What screen readers say after the title."""
    return ElementTree.fromstring(svg).findtext(f"{SVG}desc") or ""


def lines(svg: str, colour: str) -> list[str]:
    """The lines of this colour inside the panels."""
    return [
        found.attrib["d"]
        for found in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "clip-path" in found.attrib and f"stroke: {colour}" in found.attrib["style"]
    ]
