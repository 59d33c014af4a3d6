"""``smallnet report`` and ``smallnet trend``: write one saved run, or many, as web pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from smallnet_core.runs.file import read_run_file
from smallnet_core.runs.find import find_run, runs_in


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``report`` and ``trend`` to the command's parsers."""
    report = commands.add_parser(
        "report",
        help="write a saved run as a web page and as Markdown, and add it to the index",
        description="Writes <date>-<commit>-<machine>.html, .md and .json of a saved run into a "
        "folder, and README.md there, the index of all such reports.",
    )
    report.add_argument(
        "name", metavar="RUN.json", help="a saved run, named as for smallnet compare"
    )
    report.add_argument("out", type=Path, metavar="OUT", help="a folder, created if missing")
    report.add_argument(
        "--compare", metavar="OLD.json", help="also say what changed since this run"
    )
    report.set_defaults(run=_report)
    trend = commands.add_parser(
        "trend",
        help="write accuracies and times over many saved runs as a page of charts",
        description="Writes trend.html: a chart for each accuracy and time over the saved runs "
        "(.json, .json.gz) of a folder, in the order of their dates, with steps marked.",
    )
    trend.add_argument("folder", type=Path, metavar="FOLDER")
    trend.add_argument("out", type=Path, metavar="OUT", help="a folder, created if missing")
    trend.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="shade the means +- 2 deviations of this reference",
    )
    trend.set_defaults(run=_trend)


def _report(args: argparse.Namespace) -> int:
    from smallnet_core.lab.reports import write_report
    from smallnet_core.runs.accepted import FILE, accept, read_accepted
    from smallnet_core.runs.compare import compare
    from smallnet_core.runs.policy import read_thresholds

    file = find_run(args.name)[0][-1]
    comparison = None
    if args.compare:
        old, thresholds = find_run(args.compare)[0][-1], read_thresholds(None)
        entries = read_accepted(FILE)
        comparison = accept(compare(old, file, thresholds=thresholds), entries)
    for path in write_report(file, args.out, comparison):
        print(path)  # noqa: T201 - a command
    return 0


def _trend(args: argparse.Namespace) -> int:
    from smallnet_core.lab.reports import write_files
    from smallnet_core.report.trend import trend_page
    from smallnet_core.runs.history import history
    from smallnet_core.runs.policy import read_thresholds

    runs, left_out = runs_in(args.folder)
    for line in left_out:
        print(line, file=sys.stderr)  # noqa: T201 - a command
    if len(runs) < 2:
        raise ValueError(f"{args.folder}: a trend needs two runs or more, found {len(runs)}")
    over_time = history(runs, thresholds=read_thresholds(None))
    reference = read_run_file(args.reference) if args.reference else None
    write_files(args.out, {"trend.html": trend_page(over_time, reference).encode()})
    print(args.out / "trend.html")  # noqa: T201 - a command
    return 0
