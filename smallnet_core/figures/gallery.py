"""All figures that there is data for: what folders of records hold, and every figure of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from smallnet_core.figures.one_shot import one_shot_figures
from smallnet_core.figures.records import Run, read_run
from smallnet_core.figures.sizes import size_figure
from smallnet_core.figures.training import paper_figures
from smallnet_core.pruning.curve import Curve
from smallnet_core.system.checked import parse


def read(folders: Iterable[Path]) -> tuple[list[Run], list[Curve]]:
    """Read the records and pruning curves in the folders and their subfolders "curves".

    Other JSON files are reported on standard error. OSError for an unreadable folder.
    """
    runs: list[Run] = []
    curves: list[Curve] = []
    for folder in folders:
        paths = sorted(folder.iterdir())
        if (nested := folder / "curves").is_dir():
            paths += sorted(nested.iterdir())
        for path in (path for path in paths if path.suffix == ".json"):
            try:
                text = path.read_bytes()
                if b'"technique"' in text:
                    curves.append(parse(Curve, text))
                else:
                    runs.append(read_run(text))
                    if runs[-1].recipe.holdout:
                        _warn(f"{path}: left out, judged on held-out training images")
            except (OSError, ValueError) as error:
                _warn(f"{path}: skipped, {error}")
    return runs, curves


def _warn(line: str) -> None:
    sys.stderr.write(f"warning: {' '.join(line.split())}\n")


def draw(
    runs: Sequence[Run], curves: Sequence[Curve], *, kind: str | None = None
) -> dict[str, str]:
    """Draw every figure that there is data for, as SVG by name; MatplotlibMissingError.

    ``kind`` is that of the recipes in figures 8 to 16; None takes the one with the most curves.
    """
    figures = paper_figures(runs, kind=kind)
    if sizes := size_figure(runs):
        figures["figure-accuracy-parameters"] = sizes
    # The paper's own values are always there: alone they are no figure of ours.
    if figures or curves:
        figures |= one_shot_figures(curves)
    return figures
