"""``smallnet reference``: collect a machine's good runs, to compare later ones with."""

from __future__ import annotations

import argparse
from pathlib import Path

from smallnet_core.runs.file import RunFile, read_run_file
from smallnet_core.runs.find import STORAGE, find_run

_HELP = """\
The reference of a machine collects what its good runs found. pytest benchmarks --compare reference
compares a run with it, and smallnet compare accepts its file like any run.

update adds runs, named as for smallnet compare, to the machine's file. The file keeps the newest
row of each claim, recipe and device, and its newest 20 values; values are pooled over seeds of the
same recipe. Delete the file to start over. show prints mean, deviation, n and the runs they came
from."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reference update`` and ``reference show`` to the command's parsers."""
    reference = commands.add_parser(
        "reference",
        help="collect a machine's good runs, to compare later ones with",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = reference.add_subparsers(dest="action", required=True, metavar="{update,show}")
    update = actions.add_parser("update", help="add runs to the file of their machine")
    update.add_argument("runs", nargs="+", metavar="RUN")
    update.add_argument("--storage", default=STORAGE, metavar="DIR", help="as for smallnet compare")
    update.set_defaults(run=_update)
    show = actions.add_parser("show", help="print what the files hold")
    show.set_defaults(run=_show)
    for action in (update, show):
        action.add_argument(
            "--folder",
            type=Path,
            default=Path("reports/reference"),
            metavar="DIR",
            help="where the files are, one per machine. Default: reports/reference",
        )


def _update(args: argparse.Namespace) -> int:
    from smallnet_core.runs.reference import path_of, update

    of_machine: dict[Path, list[RunFile]] = {}
    for name in args.runs:
        runs, left_out = find_run(name, args.storage)
        for line in left_out:
            print(line)  # noqa: T201
        for run in runs:
            of_machine.setdefault(path_of(run, args.folder), []).append(run)
    for path, runs in of_machine.items():
        if path.exists():
            runs.append(read_run_file(path))
        made = update(runs, path)
        print(f"{path}: {len(made.rows)} rows, {len(made.learnt)} with values")  # noqa: T201
    return 0


def _show(args: argparse.Namespace) -> int:
    from smallnet_core.runs.reference import reference_lines

    paths = sorted(args.folder.glob("*.json"))
    if not paths:
        raise ValueError(f"no file in {args.folder}: smallnet reference update RUN.json makes one")
    for path in paths:
        print("\n".join([f"{path}:", *reference_lines(read_run_file(path))]))  # noqa: T201
    return 0
