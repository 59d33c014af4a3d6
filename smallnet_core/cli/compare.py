"""``smallnet compare``: what changed between saved runs, and what of it makes CI fail."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smallnet_core.runs.find import STORAGE, find_runs, runs_in
from smallnet_core.runs.policy import (
    FAIL_ON,
    fail_on_default,
    fails,
    read_thresholds,
    unused_patterns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smallnet_core.runs.accepted import Accepted
    from smallnet_core.runs.file import RunFile
    from smallnet_core.runs.rows import Thresholds

_HELP = """\
What changed between two saved runs, and whether it can be chance; of more than two, when.

RUN is one of
  a file      of --benchmark-json, gzipped or not; - for standard input
  a folder    all runs in it and in its folders, by time: two are compared, more are a history
  latest      the newest run in pytest-benchmark's storage; latest~3 is the third before it
  0001        that number in the storage
A stored run that is named alone is compared with the one before it.

With --bisect ROW the exit status is what git bisect run takes: 0 where the row is as good as in the
first run, 1 where it is worse, 125 where that can't be judged. To find the commit that slowed
ResNet18_S down since v1, of which good.json is a run:
  git bisect start HEAD v1
  git bisect run sh -c 'rm -f /tmp/new.json
    pytest benchmarks -m latency -k resnet18_s --benchmark-json /tmp/new.json
    smallnet compare good.json /tmp/new.json --bisect latency/resnet18_s/1/float32'"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``compare`` to the command's parsers."""
    compare = commands.add_parser(
        "compare",
        help="what changed between two saved runs, and whether it can be chance",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("runs", nargs="+", metavar="RUN")
    compare.add_argument(
        "--storage",
        default=STORAGE,
        metavar="DIR",
        help=f"where pytest-benchmark stores runs, as its --benchmark-storage. Default: {STORAGE}",
    )
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
    compare.add_argument(
        "--accepted",
        type=Path,
        default=Path("reports/accepted.toml"),
        metavar="FILE",
        help="what smallnet accept wrote. Default: reports/accepted.toml",
    )
    compare.add_argument(
        "--bisect", metavar="ROW", help="judge one row, as it is called here, for git bisect run"
    )
    compare.add_argument("-v", "--verbose", action="store_true", help="list every row")
    for name in ("markdown", "json", "html"):
        compare.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write it as {name} too")
    compare.set_defaults(run=_compare)


def _check_outputs(args: argparse.Namespace, files: Sequence[RunFile]) -> None:
    """Raises ValueError where a file would be written over another that is read or written."""
    taken = {os.path.realpath(file.path): "an input" for file in files}
    for option in ("markdown", "json", "html"):
        path = getattr(args, option)
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise ValueError(f"--{option} {path}: is {taken[place]} too, name another file")
        taken[place] = f"--{option}"


def _compare(args: argparse.Namespace) -> int:
    from smallnet_core.report import compare as compare_report
    from smallnet_core.runs.accepted import accept, read_accepted
    from smallnet_core.runs.compare import compare
    from smallnet_core.system.files import replace_file

    if args.bisect is not None:
        return _bisect(args)
    thresholds = read_thresholds(args.config)
    if args.alpha is not None:
        if not 0 < args.alpha < 1:
            raise ValueError(f"--alpha {args.alpha}: expected a level between 0 and 1")
        thresholds = thresholds.model_copy(update={"alpha": args.alpha})
    entries = read_accepted(args.accepted)
    files, remarks = find_runs(args.runs, args.storage)
    if len(files) < 2:
        alone = f"{args.runs[0]}: is one run: name another to compare it with"
        raise ValueError("; ".join([alone, *remarks[:1]]))
    _check_outputs(args, files)
    if len(files) > 2:
        return _history(args, files, thresholds, entries, remarks)
    comparison = compare(*files, thresholds=thresholds, across_machines=args.across_machines)
    comparison = accept(comparison, entries, earlier=lambda: runs_in(args.storage)[0])
    remarks += [line for file in files for line in file.remarks]
    remarks += unused_patterns(thresholds, comparison)
    lines = [*remarks, *compare_report.terminal_lines(comparison, verbose=args.verbose)]
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


def _history(
    args: argparse.Namespace,
    files: Sequence[RunFile],
    thresholds: Thresholds,
    entries: Sequence[Accepted],
    remarks: Sequence[str],
) -> int:
    from smallnet_core.report import compare as compare_report
    from smallnet_core.runs.accepted import accept_steps
    from smallnet_core.runs.history import history
    from smallnet_core.runs.rows import Change
    from smallnet_core.system.files import replace_file

    if args.json or args.html:
        raise ValueError("--json and --html are of two files; a history has --markdown")
    found = history(files, thresholds=thresholds, across_machines=args.across_machines)
    found = accept_steps(found, entries)
    print("\n".join([*remarks, *compare_report.history_lines(found)]))  # noqa: T201
    if args.markdown:
        lines = compare_report.history_markdown(found)
        replace_file(args.markdown, "\n".join((*lines, "")).encode())
    # What is still so at the end: the last step of a row decides.
    ends = {line.changes[-1] for line in found.lines if line.changes} - {Change.ACCEPTED}
    if args.fail_on == "change":
        return int(bool(ends))
    return int(args.fail_on == "regression" and Change.REGRESSION in ends)


def _bisect(args: argparse.Namespace) -> int:
    """Judge one row; whatever keeps it from that, status 2 would be bad to git: so 125."""
    from smallnet_core.report.compare import terminal_lines
    from smallnet_core.runs.compare import compare
    from smallnet_core.runs.history import SKIP, bisect_status

    try:
        files, _ = find_runs(args.runs, args.storage)
        if len(files) != 2:
            raise ValueError(f"--bisect takes two runs, got {len(files)}")
        comparison = compare(
            *files,
            thresholds=read_thresholds(args.config),
            across_machines=args.across_machines,
            partial=True,
            only=args.bisect,
        )
    except (ValueError, OSError) as error:
        print(f"smallnet compare: {error}", file=sys.stderr)  # noqa: T201
        return SKIP
    print("\n".join(terminal_lines(comparison, verbose=True)))  # noqa: T201
    return bisect_status(comparison, args.bisect)
