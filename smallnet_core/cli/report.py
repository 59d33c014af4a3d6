"""``smallnet report`` and ``smallnet trend``: a saved run, and many, as pages for people."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from smallnet_core.runs.file import read_run_file
from smallnet_core.runs.find import find_run, runs_in

if TYPE_CHECKING:
    from smallnet_core.runs.compare import Comparison
    from smallnet_core.runs.file import RunFile

_GENERATED = "<!-- Written by smallnet report: edits are lost. -->"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``report`` and ``trend`` to the command's parsers."""
    report = commands.add_parser(
        "report",
        help="a saved run as a page, as Markdown and in an index",
        description="Writes <date>-<commit>-<machine>.html, .md and .json of a saved run into a "
        "folder, and README.md there, the index of all such reports.",
    )
    report.add_argument(
        "name", metavar="RUN.json", help="or latest, or as smallnet compare names runs"
    )
    report.add_argument("out", type=Path, metavar="OUT", help="a folder, made if need be")
    report.add_argument("--compare", metavar="OLD.json", help="say what changed since this run too")
    report.set_defaults(run=_report)
    trend = commands.add_parser(
        "trend",
        help="accuracies and times over many saved runs, as a page of charts",
        description="Writes trend.html: a chart for each accuracy and time over the saved runs "
        "(.json, .json.gz) of a folder, in the order of their dates, with steps marked.",
    )
    trend.add_argument("folder", type=Path, metavar="FOLDER")
    trend.add_argument("out", type=Path, metavar="OUT", help="a folder, made if need be")
    trend.add_argument(
        "--reference", type=Path, metavar="FILE", help="shade its means +- 2 deviations"
    )
    trend.set_defaults(run=_trend)


def _report(args: argparse.Namespace) -> int:
    from smallnet_core.cli.compare import read_thresholds
    from smallnet_core.runs.accepted import FILE, accept, read_accepted
    from smallnet_core.runs.compare import compare

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
    from smallnet_core.cli.compare import read_thresholds
    from smallnet_core.report.trend import trend_page
    from smallnet_core.runs.history import history

    runs, left_out = runs_in(args.folder)
    for line in left_out:
        print(line, file=sys.stderr)  # noqa: T201 - a command
    if len(runs) < 2:
        raise ValueError(f"{args.folder}: a trend takes two runs or more, it has {len(runs)}")
    over_time = history(runs, thresholds=read_thresholds(None))
    reference = read_run_file(args.reference) if args.reference else None
    _write(args.out, {"trend.html": trend_page(over_time, reference).encode()})
    print(args.out / "trend.html")  # noqa: T201 - a command
    return 0


def write_report(file: RunFile, folder: Path, comparison: Comparison | None = None) -> list[Path]:
    """Write the page of a run, its Markdown, the run itself and the folder's index.

    All of them or none. Raises OSError for a folder that can't be written, ValueError for one whose
    README.md is another's.
    """
    from smallnet_core.report.page import html_page, summary

    check_folder(folder)
    run = json.dumps(file.document, separators=(",", ":")).encode()
    name = _free_name(file, folder, run)
    figures, no_figures = draw(file)
    page = html_page(file, comparison=comparison, figures=figures, no_figures=no_figures)
    text = summary(file, comparison=comparison)
    return _write(
        folder,
        {
            f"{name}.html": page.encode(),
            f"{name}.md": text.encode(),
            f"{name}.json": run,
            "README.md": _index(folder, {name: text}).encode(),
        },
    )


def check_folder(folder: Path) -> None:
    """Raises OSError where nothing can be written, ValueError for an index that is another's."""
    above = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not above.is_dir():
        raise NotADirectoryError(20, "is no folder", str(above))
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(13, "cannot be written", str(above))
    index = folder / "README.md"
    if index.exists() and _GENERATED not in index.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{index}: is no index of reports, and would be lost; name another folder")


def _free_name(file: RunFile, folder: Path, run: bytes) -> str:
    """<date>-<commit>-<machine>, with a number behind it where that is another run's."""
    from smallnet_core.report.results import commit_name

    machine = str(file.machine.get("device_name") or "unknown")
    name = re.sub(
        r"[^A-Za-z0-9]+", "-", f"{file.datetime[:10]}-{commit_name(file)}-{machine}"
    ).strip("-")
    for k in itertools.count(1):
        path = folder / f"{name[:80]}{f'-{k}' if k > 1 else ''}.json"
        if not path.exists() or path.read_bytes() == run:
            break
    return path.stem


def _index(folder: Path, new: Mapping[str, str]) -> str:
    """List all reports of the folder, the latest first, with the first words of each."""
    from smallnet_core.report.table import Table

    texts = {path.stem: path for path in folder.glob("*.md") if path.with_suffix(".html").exists()}
    found = {name: path.read_text(encoding="utf-8") for name, path in texts.items()} | {**new}
    lines = [_GENERATED, "", "# Reports", ""]
    rows = []
    for name, text in sorted(found.items(), reverse=True):
        title, _, first, *_rest = [*text.splitlines(), "", "", ""]
        files = ", ".join(f"[{kind}]({name}.{kind})" for kind in ("html", "md", "json"))
        rows.append(
            f"| {title.removeprefix('# smallnet: ')} | {files} | {first.split('. Of ')[0]} |"
        )
    lines += Table(("run", "report", "claims"), ()).markdown()[:2] + rows
    return "\n".join((*lines, ""))


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write all files, or none: beside their places first."""
    from smallnet_core.system.files import written_beside

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in files]
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(written_beside(path, content))
            for path, content in zip(paths, files.values(), strict=True)
        ]
        for new, path in zip(found, paths, strict=True):
            os.replace(new, path)
    return paths


def draw(file: RunFile) -> tuple[dict[str, str], str]:
    """Draw the figures of a run's networks, and of the shipped records for what it lacks.

    Returns SVG by name, and why there is none.
    """
    from smallnet_core.figures.__main__ import read
    from smallnet_core.figures.one_shot import one_shot_figures
    from smallnet_core.figures.records import read_run
    from smallnet_core.figures.sizes import size_figure
    from smallnet_core.figures.style import MatplotlibMissingError
    from smallnet_core.figures.training import paper_figures
    from smallnet_core.lab.cache import ZOO_DIR
    from smallnet_core.lab.failures import figure
    from smallnet_core.lab.traces import TRACES, find_trace
    from smallnet_core.lab.variants import NETWORKS, VARIANTS

    runs, curves = read([ZOO_DIR])
    nonzeros = {row.get("fingerprint"): row.get("num_nonzeros") for row in file.rows}
    for run in file.runs:
        size = nonzeros.get(run["fingerprint"])
        record = {
            "recipe": run["recipe"],
            "curve": run["curve"],
            "test_accuracy_percent": run["accuracy_percent"],
            "time": file.datetime,
            "judged": None if size is None else {"num_nonzeros": size},
        }
        with contextlib.suppress(ValueError):  # a recipe of another version's
            runs.append(read_run(json.dumps(record).encode()))
    try:
        figures = paper_figures(runs) | one_shot_figures(curves)
        if sizes := size_figure(runs):
            figures["figure-accuracy-parameters"] = sizes
    except MatplotlibMissingError as error:
        return {}, str(error)
    for network in NETWORKS:
        drawn = [v for v in VARIANTS.values() if v.recipe.network == network and v.drawn]
        if traces := [t for v in drawn if (t := find_trace(v, [TRACES], [])) is not None]:
            figures[f"figure-failures-{network}"] = figure(network, traces)
    return dict(sorted(figures.items())), ""
