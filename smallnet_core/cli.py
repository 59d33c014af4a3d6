"""The ``smallnet`` command: ``compare`` saved runs, ``train`` and ``publish`` networks."""

from __future__ import annotations

import argparse
import fnmatch
import os
import reprlib
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallnet_core.lab.needs import Selection
    from smallnet_core.lab.settings import Settings
    from smallnet_core.runs.compare import Comparison, Thresholds
    from smallnet_core.training.progress import LogLines

__all__ = ["FAIL_ON", "fail_on_default", "fails", "main", "read_thresholds", "unused_patterns"]

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
        command: Callable[[argparse.Namespace], int] = args.run
        return command(args)
    except (ValueError, OSError) as error:
        print(f"smallnet {args.command}: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smallnet", description="Saved runs of the benchmarks, compared; networks, trained."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare",
        help="what changed between two saved runs, and whether it can be chance",
        description="What changed between two saved runs (files of --benchmark-json, "
        "gzipped or not, - for standard input), "
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
    compare.set_defaults(run=_compare)
    train = commands.add_parser(
        "train",
        help="train the networks that claims lack",
        description="Trains the networks that claims lack, each in a process of its own. What is "
        "cut off, by --for, a signal or otherwise, goes on when it is started again.",
    )
    train.set_defaults(run=_train)
    _add_selection(train)
    train.add_argument(
        "--list", action="store_true", help="show what there is, and how long the rest takes here"
    )
    train.add_argument("--jobs", default="1", metavar="N", help="trainings at once. Default: 1")
    train.add_argument(
        "--threads", metavar="N", help="of each training. Default: all cores, shared by the jobs"
    )
    train.add_argument(
        "--for", dest="minutes", metavar="MIN", help="stop at a checkpoint after so many minutes"
    )
    publish = commands.add_parser(
        "publish",
        help="put trained networks into the zoo",
        description="Judges networks of the cache on their test images and puts their records into "
        "the zoo, with the weights of small ones.",
    )
    publish.set_defaults(run=_publish)
    _add_selection(publish)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "claims",
        nargs="*",
        metavar="CLAIM",
        help="ids of claims or goals, or patterns ('table3/*'). Default: all",
    )
    for name in ("network", "optimizer", "dataset"):
        parser.add_argument(f"--{name}", help=f"only trainings of this {name}")
    parser.add_argument(
        "--recipe", default="tuned", help="tuned, long, equal, paper or quick. Default: tuned"
    )
    parser.add_argument("--seeds", default="1", metavar="N", help="runs of each recipe. Default: 1")
    parser.add_argument("--data-dir", metavar="DIR", help="where CIFAR is. Default: SMALLNET_DATA")
    parser.add_argument(
        "--model-cache", metavar="DIR", help="where trained models are. Default: SMALLNET_CACHE"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--offline", action="store_true", help="download nothing")


def _whole(option: str) -> Callable[[str], int]:
    from smallnet_core.lab.settings import number

    return number(option, int, "a whole number of at least 1", 1)


def _selected(args: argparse.Namespace) -> tuple[Selection, Settings]:
    from smallnet_core.lab.needs import Selection
    from smallnet_core.lab.settings import Settings, cache_folder, check_device, data_folder

    selection = Selection(
        globs=tuple(args.claims),
        network=args.network,
        optimizer=args.optimizer,
        dataset=args.dataset,
        recipe_kind=args.recipe,
        num_seeds=_whole("--seeds")(args.seeds),
    )
    settings = Settings(
        data_dir=data_folder(args.data_dir),
        cache_dir=cache_folder(args.model_cache),
        device=check_device(args.device),
        offline=args.offline,
    )
    return selection, settings


def _display() -> LogLines:
    from smallnet_core.training.progress import LiveTable, LogLines

    return (LiveTable if sys.stderr.isatty() else LogLines)(sys.stderr)


def _train(args: argparse.Namespace) -> int:
    from smallnet_core.lab.needs import select
    from smallnet_core.lab.settings import number

    num_jobs = _whole("--jobs")(args.jobs)
    num_threads = max(1, (os.cpu_count() or 1) // num_jobs)
    if args.threads is not None:
        num_threads = _whole("--threads")(args.threads)
    minutes = None
    if args.minutes is not None:
        minutes = number("--for", float, "minutes, more than 0", 1e-9)(args.minutes)
    selection, settings = _selected(args)
    wanted = select(selection)

    import torch

    from smallnet_core.lab.cache import ModelCache
    from smallnet_core.lab.listing import listing, ordered, to_do
    from smallnet_core.lab.queue import train_all
    from smallnet_core.system.machine import resolve_device

    torch.set_num_threads(num_threads)
    device = resolve_device(settings.device)
    if args.list:
        lines = listing(wanted, settings, as_given=bool(args.claims))
        print("\n".join(lines))  # noqa: T201
        return 0
    states = to_do(wanted, ModelCache(settings.cache_dir))
    recipes = list(states) if args.claims else ordered(states, device)
    return train_all(
        recipes,
        settings,
        _display(),
        num_jobs=num_jobs,
        num_threads=num_threads,
        minutes=minutes,
    )


def _publish(args: argparse.Namespace) -> int:
    from smallnet_core.lab.needs import select

    selection, settings = _selected(args)
    wanted = select(selection)

    from smallnet_core.lab.publish import publish

    return publish(wanted, settings, _display())


def fail_on_default() -> str:
    """What fails where nothing is said: regressions where the variable CI is set."""
    off = ("", "0", "false", "no", "off")
    return "nothing" if os.environ.get("CI", "").lower() in off else "regression"


def read_thresholds(path: Path | None) -> Thresholds:
    """``[tool.smallnet.compare]`` of a pyproject.toml, where there is one.

    ValueError, with the file, for what is no TOML or no threshold; OSError for a file that is named
    and cannot be read.
    """
    from smallnet_core.runs.compare import Thresholds

    if path is None:
        path = Path("pyproject.toml")
        if not path.is_file():
            return Thresholds()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for name in ("tool", "smallnet", "compare"):
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise ValueError(f"{name} is {reprlib.repr(table)}, expected a table")
        return Thresholds.from_table(table)
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: [tool.smallnet.compare]: {error}") from error


def unused_patterns(thresholds: Thresholds, comparison: Comparison) -> list[str]:
    """Return a line for each threshold whose pattern fits no row."""
    return [
        f"[tool.smallnet.compare.claims]: {pattern!r} fits no row"
        for pattern in thresholds.claims
        if not fnmatch.filter((row.label for row in comparison.rows), pattern)
    ]


def _check_outputs(args: argparse.Namespace) -> None:
    """Raises ValueError where a file would be written over another that was named."""
    taken = {os.path.realpath(path): "an input" for path in (args.old, *args.new)}
    if sum(str(path) == "-" for path in (args.old, *args.new)) > 1:
        raise ValueError("standard input can be read once: name the other file")
    for option in ("markdown", "json", "html"):
        path = getattr(args, option)
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise ValueError(f"--{option} {path}: is {taken[place]} too, name another file")
        taken[place] = f"--{option}"


def fails(comparison: Comparison, fail_on: str) -> bool:
    """Whether what changed is what ``fail_on`` names."""
    from smallnet_core.runs.compare import Change

    quiet = {
        Change.UNCHANGED,
        Change.SIMILAR,
        Change.UNDECIDED,
        Change.NOT_JUDGED,
        Change.NOT_MEASURED,
    }
    if fail_on == "nothing":
        return False
    if fail_on == "change":
        return any(row.change not in quiet for row in comparison.rows)
    return bool(comparison.of(Change.REGRESSION))


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from smallnet_core.report import compare as compare_report
    from smallnet_core.runs.compare import Change, compare
    from smallnet_core.runs.file import read_run_file
    from smallnet_core.runs.history import history
    from smallnet_core.system.files import replace_file

    _check_outputs(args)
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
    remarks = [line for file in files for line in file.remarks]
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


if __name__ == "__main__":
    sys.exit(main())
