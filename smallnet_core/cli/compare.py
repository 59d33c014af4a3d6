"""``smallnet compare``: say what changed between saved runs, and whether CI should fail."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from smallnet_core.runs.file import RunFile
from smallnet_core.runs.find import STORAGE, find_runs, runs_in
from smallnet_core.runs.policy import (
    FAIL_ON,
    fail_on_default,
    fails,
    read_thresholds,
    unused_patterns,
)

_HELP = """\
Say what changed between two saved runs, and whether it could be chance. More than two runs give a
history that shows when each row changed.

RUN is one of
  a file      from --benchmark-json, gzipped or not; - for standard input
  a folder    all runs in it and its subfolders, by time: two are compared, more give a history
  latest      the newest run in pytest-benchmark's storage; latest~3 is the third before it
  0001        the run with that number in the storage
A single stored run is compared with the one before it.

With --bisect ROW the exit status suits git bisect run: 0 if the row is as good as in the first run,
1 if it is worse, 125 if that can't be judged. To find the commit since v1 that slowed ResNet18_S
down, with good.json saved at v1:
  git bisect start HEAD v1
  git bisect run sh -c 'rm -f /tmp/new.json
    pytest benchmarks -m latency -k resnet18_s --benchmark-json /tmp/new.json
    smallnet compare good.json /tmp/new.json --bisect latency/resnet18_s/1/float32'"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``compare`` to the command's parsers."""
    compare = commands.add_parser(
        "compare",
        help="say what changed between saved runs, and whether it could be chance",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("runs", nargs="+", metavar="RUN")
    compare.add_argument(
        "--storage",
        default=STORAGE,
        metavar="DIR",
        help=f"where pytest-benchmark stores runs (its --benchmark-storage). Default: {STORAGE}",
    )
    compare.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        default=fail_on_default(),
        help="what makes the exit status 1. Default: regression where CI is set, else nothing",
    )
    compare.add_argument(
        "--alpha",
        type=float,
        help="the significance level of a table's tests together. Default: --config's, else 0.05",
    )
    compare.add_argument(
        "--across-machines", action="store_true", help="judge times of different machines too"
    )
    compare.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the file with [tool.smallnet.compare]. Default: ./pyproject.toml",
    )
    compare.add_argument(
        "--accepted",
        type=Path,
        default=Path("reports/accepted.toml"),
        metavar="FILE",
        help="the file that smallnet accept writes. Default: reports/accepted.toml",
    )
    compare.add_argument(
        "--bisect", metavar="ROW", help="judge one row, as named in the output, for git bisect run"
    )
    compare.add_argument("-v", "--verbose", action="store_true", help="list every row")
    for name in ("markdown", "json", "html"):
        compare.add_argument(
            f"--{name}", type=Path, metavar="FILE", help=f"also write it as {name}"
        )
    compare.set_defaults(run=_compare)


def _check_outputs(args: argparse.Namespace, files: Sequence[RunFile]) -> None:
    """Raise ValueError if an output would overwrite an input or another output."""
    taken = {os.path.realpath(file.path): "an input" for file in files}
    for option in ("markdown", "json", "html"):
        path = getattr(args, option)
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise ValueError(f"--{option} {path}: is also {taken[place]}: name another file")
        taken[place] = f"--{option}"


def _compare(args: argparse.Namespace) -> int:
    from smallnet_core.report import compare as compare_report
    from smallnet_core.runs.accepted import accept, accept_steps, read_accepted
    from smallnet_core.runs.compare import compare
    from smallnet_core.runs.history import history
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
        alone = f"{args.runs[0]}: only one run: name another to compare it with"
        raise ValueError("; ".join([alone, *remarks[:1]]))
    _check_outputs(args, files)
    settings = {"thresholds": thresholds, "across_machines": args.across_machines}
    outputs: dict[str, Callable[[], str]]
    if len(files) > 2:
        if args.json or args.html:
            raise ValueError("--json and --html need two runs; --markdown writes a history too")
        found = accept_steps(history(files, **settings), entries)
        lines = compare_report.history_lines(found)
        outputs = {"markdown": lambda: "\n".join((*compare_report.history_markdown(found), ""))}
        # The last step of a row decides: an earlier regression may have been undone.
        changes = {line.changes[-1] for line in found.lines if line.changes}
    else:
        comparison = compare(*files, **settings)
        comparison = accept(comparison, entries, earlier=lambda: runs_in(args.storage)[0])
        remarks += [line for file in files for line in file.remarks]
        remarks += unused_patterns(comparison)
        lines = compare_report.terminal_lines(comparison, verbose=args.verbose)
        outputs = {
            "markdown": lambda: "\n".join((*compare_report.markdown_lines(comparison), "")),
            "json": lambda: compare_report.as_json(comparison) + "\n",
            "html": lambda: compare_report.html_page(comparison),
        }
        changes = set(comparison.counts)
    print("\n".join([*remarks, *lines]))  # noqa: T201
    for option, text in outputs.items():
        if path := getattr(args, option):
            replace_file(path, text().encode())
    return int(fails(changes, args.fail_on))


def _bisect(args: argparse.Namespace) -> int:
    """Judge one row; 125 for any error, because git bisect would take 2 for a bad commit."""
    from smallnet_core.report.compare import terminal_lines
    from smallnet_core.runs.compare import compare
    from smallnet_core.runs.history import SKIP, bisect_status

    try:
        files, _ = find_runs(args.runs, args.storage)
        if len(files) != 2:
            raise ValueError(f"--bisect needs two runs, got {len(files)}")
        comparison = compare(
            *files,
            thresholds=read_thresholds(args.config),
            across_machines=args.across_machines,
            partial=True,
            only=args.bisect,
        )
        if not comparison.rows:
            raise ValueError(f"--bisect {args.bisect}: neither run has this row")
    except (ValueError, OSError) as error:
        print(f"smallnet compare: {error}", file=sys.stderr)  # noqa: T201
        return SKIP
    print("\n".join(terminal_lines(comparison, verbose=True)))  # noqa: T201
    return bisect_status(comparison, args.bisect)
