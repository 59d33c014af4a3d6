"""Finds saved runs by name: a file, a folder, or a run that pytest-benchmark stored."""

from __future__ import annotations

import heapq
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from smallnet_core.runs.file import RunFile, RunFileError, read_run_file

STORAGE = "./.benchmarks"  # pytest-benchmark's own default
_STORED = re.compile(r"(?P<number>\d{4,})|latest(?:~(?P<back>\d{1,9}))?")


def find_runs(names: Sequence[str], storage: str = STORAGE) -> tuple[list[RunFile], list[str]]:
    """Read the runs to compare; return them and a line for each file of a folder left out.

    A single stored run is preceded by the run before it. Raise RunFileError, in one line, for a
    run that doesn't exist.
    """
    if names.count("-") > 1:
        raise RunFileError("standard input can be read only once: name the other file")
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
    """Read the runs that a name stands for: those of a folder, by time, or a single one.

    With ``before`` a stored run is preceded by the one before it. Also return a line for each file
    left out.
    """
    path, stored = Path(os.path.expanduser(name)), _STORED.fullmatch(name)
    if path.is_dir():
        found, left_out = runs_in(path)
        if not found:
            raise RunFileError("; ".join([f"{name}: has no saved run in it", *left_out[:1]]))
        return found, left_out
    if stored is None or path.exists():
        return [read_run_file(path)], []
    left_out, back = [], int(stored["back"] or 0)
    runs = _newest_first(storage, left_out)
    if name.isdecimal():
        paths = [p for folder in _folders(storage) for p in folder.glob(f"{name}_*.json*")]
        if len(paths) > 1:
            places = " and ".join(str(path.parent) for path in paths)
            raise RunFileError(f"{name}: is in both {places}: choose one with --storage")
        if paths and not before:
            return [read_run_file(paths[0])], []
        runs = itertools.dropwhile(lambda run: run.path not in paths, runs if paths else iter(()))
    found = list(itertools.islice(runs, back, back + 1 + before))
    if not found:
        raise RunFileError("; ".join([f"{name}: {storage} has no such run", *left_out[:1]]))
    return found[::-1], left_out


def _folders(storage: str | Path) -> list[Path]:
    """List the folder of pytest-benchmark's storage and its folders, one per machine."""
    root = Path(os.path.expanduser(str(storage).removeprefix("file://")))
    return [root, *sorted(path for path in root.glob("*") if path.is_dir())]


def _newest_first(storage: str, left_out: list[str]) -> Iterator[RunFile]:
    """Read stored runs lazily: a machine's are numbered by time, so few have to be read."""

    def number(path: Path) -> int:
        digits = path.name.partition("_")[0]
        return int(digits) if digits.isdecimal() else -1

    machines = (
        _read(sorted(folder.glob("*.json*"), key=number, reverse=True), left_out)
        for folder in _folders(storage)
    )
    return heapq.merge(*machines, key=lambda run: run.datetime, reverse=True)


def _read(paths: Iterable[Path], left_out: list[str]) -> Iterator[RunFile]:
    for path in paths:
        try:
            yield read_run_file(path)
        except RunFileError as error:
            left_out.append(f"left out: {error}")


def runs_in(folder: str | Path) -> tuple[list[RunFile], list[str]]:
    """Read all runs of a folder and its folders, by time; return a line for each other file."""
    left_out: list[str] = []
    patterns = ("*.json", "*.json.gz")
    paths = [p for place in _folders(folder) for pattern in patterns for p in place.glob(pattern)]
    runs = [run for run in _read(sorted(paths), left_out) if not run.learnt]  # no references
    return sorted(runs, key=lambda run: run.datetime), left_out
