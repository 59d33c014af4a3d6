"""``python -m smallnet_core.figures OUT_DIR [FOLDER...]``: draw all figures there is data for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from smallnet_core.figures.gallery import draw, read
from smallnet_core.figures.style import MatplotlibMissingError
from smallnet_core.recipes import RECIPE_KINDS
from smallnet_core.system.files import ZOO_DIR, replace_file


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the figures; return 0, 1 if there are none, 2 for a bad folder or no matplotlib."""
    parser = argparse.ArgumentParser(
        prog="python -m smallnet_core.figures",
        description="Redraw figures 8 to 17 of the paper, and accuracy against size.",
    )
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="where to write figure-*.svg")
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        default=[ZOO_DIR],
        help="folders with .json files of model records and pruning curves, there or in a "
        "subfolder curves. Default: the package's zoo",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPE_KINDS,
        help="the recipes of figures 8 to 16. Default: those with most curves",
    )
    options = parser.parse_args(argv)
    try:
        options.out_dir.mkdir(parents=True, exist_ok=True)
        runs, curves = read(options.folders)
        figures = draw(runs, curves, kind=options.recipe)
        for name, figure in sorted(figures.items()):
            path = options.out_dir / f"{name}.svg"
            replace_file(path, figure.encode())
            sys.stdout.write(f"{path}\n")
    except MatplotlibMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}; expected a folder\n")
        return 2
    if not figures:
        sys.stderr.write(
            f"no figure drawn: none of {len(runs)} records has a curve for figures 8 to 16, "
            "and there are no pruning curves\n"
        )
    return 0 if figures else 1


if __name__ == "__main__":
    sys.exit(main())
