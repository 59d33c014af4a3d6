"""Write the files of a run's report: an HTML page, Markdown, the run as JSON, and an index."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallnet_core.runs.compare import Comparison
    from smallnet_core.runs.file import RunFile

_GENERATED = "<!-- Written by smallnet report: edits are lost. -->"


def write_report(file: RunFile, folder: Path, comparison: Comparison | None = None) -> list[Path]:
    """Write a run's HTML page, its Markdown, the run itself and the folder's index: all or none.

    Return their paths. Raises OSError for a folder that cannot be written, and ValueError for one
    whose README.md was not written by this function.
    """
    from smallnet_core.report.page import html_page, summary

    check_folder(folder)
    run = json.dumps(file.document, separators=(",", ":")).encode()
    name = _free_name(file, folder, run)
    figures, no_figures = draw(file)
    page = html_page(file, comparison=comparison, figures=figures, no_figures=no_figures)
    text = summary(file, comparison=comparison)
    return write_files(
        folder,
        {
            f"{name}.html": page.encode(),
            f"{name}.md": text.encode(),
            f"{name}.json": run,
            "README.md": _index(folder, {name: text}).encode(),
        },
    )


def check_folder(folder: Path) -> None:
    """Raise OSError where nothing can be written, ValueError for a README.md that is not ours."""
    above = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not above.is_dir():
        raise NotADirectoryError(20, "is not a folder", str(above))
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(13, "cannot be written", str(above))
    index = folder / "README.md"
    if index.exists() and _GENERATED not in index.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(
            f"{index}: is not an index of reports and would be lost; name another folder"
        )


def _free_name(file: RunFile, folder: Path, run: bytes) -> str:
    """Return <date>-<commit>-<machine>, with a number appended where another run has that name."""
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
    """Return the index: the folder's reports, the latest first, each with its first sentence."""
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


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write all files or none, by renaming temporary ones; return their paths."""
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
    """Draw the figures of a run's networks, with the shipped records for what the run lacks.

    Return SVG texts by name, and the reason where there are none, else "".
    """
    from smallnet_core.figures import gallery
    from smallnet_core.figures.records import read_run
    from smallnet_core.figures.style import MatplotlibMissingError
    from smallnet_core.lab import failures
    from smallnet_core.system.files import ZOO_DIR

    runs, curves = gallery.read([ZOO_DIR])
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
        figures = gallery.draw(runs, curves) | failures.figures()
    except MatplotlibMissingError as error:
        return {}, str(error)
    return dict(sorted(figures.items())), ""
