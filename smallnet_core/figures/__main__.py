"""``python -m smallnet_core.figures OUT_DIR [FOLDER...]``: draw what the folders have data for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import smallnet_core
from smallnet_core.figures.one_shot import OneShotCurve, one_shot_curve, one_shot_figures
from smallnet_core.figures.records import Run, read_run
from smallnet_core.figures.sizes import PrunedRow, pruned_rows, size_figure
from smallnet_core.figures.style import MatplotlibMissingError
from smallnet_core.figures.training import paper_figures
from smallnet_core.recipes import RECIPE_KINDS
from smallnet_core.system.files import replace_file

_ZOO_DIR = Path(smallnet_core.__file__).parent / "zoo"  # cache.ZOO_DIR, which would load torch


@dataclass(frozen=True, kw_only=True)
class Found:
    """What folders hold that can be drawn."""

    runs: list[Run] = field(default_factory=list)
    curves: list[OneShotCurve] = field(default_factory=list)
    rows: list[PrunedRow] = field(default_factory=list)


def read(folders: Iterable[Path]) -> Found:
    """Records, curves and saved benchmarks of the folders and of their "curves".

    A JSON file that is none of them is a line on standard error. OSError for no readable folder.
    """
    found = Found()
    for folder in folders:
        paths = sorted(folder.iterdir())
        if (curves := folder / "curves").is_dir():
            paths += sorted(curves.iterdir())
        for path in (path for path in paths if path.suffix == ".json"):
            try:
                data = json.loads(path.read_bytes())
                if isinstance(data, dict) and "smallnet" in data:
                    found.rows.extend(pruned_rows(data))
                elif path.parent == curves or (isinstance(data, dict) and "technique" in data):
                    found.curves.append(one_shot_curve(data))
                else:
                    found.runs.append(read_run(data))
                    if found.runs[-1].held_out:
                        _warn(f"{path}: left out, judged on held-out training images")
            except (OSError, ValueError, RecursionError) as error:
                _warn(f"{path}: skipped, {error}")
    return found


def _warn(line: str) -> None:
    sys.stderr.write(f"warning: {' '.join(line.split())}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the figures; the exit status: 1 without any, 2 for a bad folder or no matplotlib."""
    parser = argparse.ArgumentParser(
        prog="python -m smallnet_core.figures",
        description="Redraw figures 8 to 17 of the paper, and accuracy against size.",
    )
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="where figure-*.svg go")
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        default=[_ZOO_DIR],
        help="folders of model records, of curves of pruning (there or in their folder curves) "
        "and of saved benchmarks, all .json. Default: the package's zoo",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPE_KINDS,
        help="which recipes, in figures 8 to 16. Default: those with most curves",
    )
    options = parser.parse_args(argv)
    try:
        options.out_dir.mkdir(parents=True, exist_ok=True)
        found = read(options.folders)
        figures = paper_figures(found.runs, kind=options.recipe)
        figures |= size_figure(found.runs, found.rows)
        # The paper's own values are always there: alone they are no figure of ours.
        if figures or found.curves:
            figures |= one_shot_figures(found.curves)
        for name, figure in sorted(figures.items()):
            path = options.out_dir / f"{name}.svg"
            replace_file(path, figure.svg())
            sys.stdout.write(f"{path}\n")
    except MatplotlibMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}; expected a folder\n")
        return 2
    if not figures:
        sys.stderr.write(
            f"no figure: none of {len(found.runs)} records has a curve of figures 8 to 16, and "
            "there is none of pruning\n"
        )
    return 0 if figures else 1


if __name__ == "__main__":
    sys.exit(main())
