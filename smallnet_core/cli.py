"""The ``smallnet`` command: ``smallnet compare OLD.json NEW.json [MORE.json ...]``."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallnet_core.compare import Comparison, Thresholds

__all__ = ["FAIL_ON", "fail_on_default", "fails", "main", "read_thresholds"]

FAIL_ON = ("regression", "change", "nothing")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 for what ``--fail-on`` names, 2 for what cannot be used."""
    parser = _parser()
    args = parser.parse_args(argv)
    # What goes to a terminal without UTF-8 is shown as well as that can.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return _compare(args)
    except (ValueError, OSError) as error:
        print(f"smallnet {args.command}: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smallnet", description="Saved runs of the benchmarks, compared."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare",
        help="what changed between two saved runs, and whether it can be chance",
        description="What changed between two saved runs (files of --benchmark-json or --report), "
        "and whether it can be chance; of more than two files, when.",
    )
    compare.add_argument("old", type=Path, metavar="OLD.json")
    compare.add_argument("new", type=Path, nargs="+", metavar="NEW.json")
    compare.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        default=fail_on_default(),
        help="what makes the exit status 1. Default: regression where CI is set, else nothing",
    )
    compare.add_argument("--alpha", type=float, help="the level of a table's tests together")
    compare.add_argument(
        "--across-machines", action="store_true", help="judge times of different machines too"
    )
    compare.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="where [tool.smallnet.compare] is. Default: ./pyproject.toml",
    )
    compare.add_argument("-v", "--verbose", action="store_true", help="list every row")
    for name in ("markdown", "json", "html"):
        compare.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write it as {name} too")
    return parser


def fail_on_default() -> str:
    """What fails where nothing is said: regressions where the variable CI is set."""
    return "regression" if os.environ.get("CI") else "nothing"


def read_thresholds(path: Path | None) -> Thresholds:
    """``[tool.smallnet.compare]`` of a pyproject.toml, where there is one.

    ValueError, with the file, for what is no TOML or no threshold; OSError for a file that is named
    and cannot be read.
    """
    from smallnet_core.compare import Thresholds

    if path is None:
        path = Path("pyproject.toml")
        if not path.is_file():
            return Thresholds()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return Thresholds.from_table(tables.get("tool", {}).get("smallnet", {}).get("compare", {}))
    except ValueError as error:
        raise ValueError(f"{path}: [tool.smallnet.compare]: {error}") from error


def fails(comparison: Comparison, fail_on: str) -> bool:
    """Whether what changed is what ``fail_on`` names."""
    from smallnet_core.compare import Change

    quiet = {Change.UNCHANGED, Change.SIMILAR, Change.NOT_JUDGED, Change.NOT_MEASURED}
    if fail_on == "nothing":
        return False
    if fail_on == "change":
        return any(row.change not in quiet for row in comparison.rows)
    return bool(comparison.of(Change.REGRESSION))


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from smallnet_core import compare_report
    from smallnet_core.compare import Change, compare, history
    from smallnet_core.files import replace_file
    from smallnet_core.runfile import read_run_file

    thresholds = read_thresholds(args.config)
    if args.alpha is not None:
        thresholds = replace(thresholds, alpha=args.alpha)
    files = [read_run_file(path) for path in (args.old, *args.new)]
    if len(files) > 2:
        if args.json or args.html:
            raise ValueError("--json and --html are of two files; a history has --markdown")
        over_time = history(files, thresholds=thresholds, across_machines=args.across_machines)
        print("\n".join(compare_report.history_lines(over_time)))  # noqa: T201
        if args.markdown:
            lines = compare_report.history_markdown(over_time)
            replace_file(args.markdown, "\n".join((*lines, "")).encode())
        # What is still so at the end: the last step of a row decides.
        ends = [line.changes[-1] for line in over_time.lines if line.changes]
        wanted = {"regression": {Change.REGRESSION}, "nothing": set()}.get(args.fail_on, set(ends))
        return int(any(end in wanted for end in ends))

    comparison = compare(*files, thresholds=thresholds, across_machines=args.across_machines)
    lines = compare_report.terminal_lines(comparison, verbose=args.verbose)
    print("\n".join(lines))  # noqa: T201
    outputs = {
        args.markdown: lambda: "\n".join((*compare_report.markdown_lines(comparison), "")),
        args.json: lambda: compare_report.as_json(comparison) + "\n",
        args.html: lambda: compare_report.html_page(comparison),
    }
    for path, text in outputs.items():
        if path is not None:
            replace_file(path, text().encode())
    return int(fails(comparison, args.fail_on))


if __name__ == "__main__":
    sys.exit(main())
