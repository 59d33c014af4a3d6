"""What a name of saved runs stands for: a file, a folder, a run that pytest-benchmark stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from smallnet_core.runs.file import RunFile, RunFileError, read_run_file

STORAGE = "./.benchmarks"  # pytest-benchmark's own default
_STORED = re.compile(r"(?P<number>\d{4,})|latest(?:~(?P<back>\d{1,9}))?")


def find_runs(names: Sequence[str], storage: str = STORAGE) -> tuple[list[RunFile], list[str]]:
    """Read the runs to compare, and say in a line which files of folders are left out.

    A stored run that is named alone is preceded by the run before it. Raises RunFileError, in a
    line, for what is not there.
    """
    if names.count("-") > 1:
        raise RunFileError("standard input can be read once: name the other file")
    found: list[RunFile] = []
    left_out: list[str] = []
    for name in names:
        runs, lines = find_run(name, storage, before=len(names) == 1)
        found += runs
        left_out += lines
    return found, left_out


def find_run(
    name: str, storage: str = STORAGE, *, before: bool = False
) -> tuple[list[RunFile], list[str]]:
    """Read what one name stands for: the runs of a folder by time, of any other name one run.

    With ``before`` a stored run comes with the one before it.
    """
    path, stored = Path(name).expanduser(), _STORED.fullmatch(name)
    if path.is_dir():
        runs, left_out = runs_in(path)
        if not runs:
            raise RunFileError(f"{name}: has no saved run in it")
        return runs, left_out
    if stored is None or path.exists():
        return [read_run_file(path)], []
    runs, left_out = runs_in(storage)
    if stored["number"]:
        at = [k for k, run in enumerate(runs) if run.path.name.startswith(f"{name}_")]
        if len(at) > 1:
            places = " and ".join(str(runs[k].path.parent) for k in at)
            raise RunFileError(f"{name}: is in {places}: name one of them with --storage")
    else:
        at = [k] if (k := len(runs) - 1 - int(stored["back"] or 0)) >= 0 else []
    if not at:
        refused = f"; {left_out[0]}" if left_out else ""
        raise RunFileError(f"{name}: {storage} has {len(runs)} saved runs, not this one{refused}")
    return runs[max(0, at[0] - before) : at[0] + 1], left_out


def runs_in(folder: Path | str) -> tuple[list[RunFile], list[str]]:
    """Read all runs of a folder and of those in it, by time; what is none gets a line."""
    folder = Path(str(folder).removeprefix("file://")).expanduser()
    runs, left_out = [], []
    for pattern in ("*.json", "*.json.gz", "*/*.json", "*/*.json.gz"):
        for path in sorted(folder.glob(pattern)):
            try:
                run = read_run_file(path)
            except RunFileError as error:
                left_out.append(f"left out: {error}")
            else:
                runs += [] if run.learnt else [run]  # a reference is no run
    return sorted(runs, key=lambda run: run.datetime), left_out
