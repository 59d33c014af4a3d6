"""What a machine's runs have found so far, kept in one file: `reports/reference/<machine>.json`.

The file has the newest run as it was saved, and for each row of accuracy or time the mean, the
deviation and the values of all runs that it was made of, for ``compare`` to learn from.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallnet_core.runs.compare import Comparison, Learnt, Thresholds, compare
from smallnet_core.runs.file import RunFile, check_document
from smallnet_core.runs.history import learn
from smallnet_core.system.files import replace_file

SCHEMA = 1


class UnusableReferenceError(ValueError):
    """A file that is no reference: its path and what is wrong with it, in a line."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The newest of several runs, and what all of them found."""

    run: RunFile
    learnt: dict[tuple[str, ...], Learnt]

    def compare(self, new: RunFile, thresholds: Thresholds | None = None) -> Comparison:
        """Compare a run with the newest, and with the means and deviations of all."""
        return compare(self.run, new, thresholds=thresholds, learnt=self.learnt)


def reference_path(file: RunFile, folder: Path) -> Path:
    """Name the file of the machine that a run is from: by its host and device."""
    host = str(file.document["machine_info"].get("node") or "unknown")
    name = f"{host}-{file.machine.get('device') or 'unknown'}"
    return folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}.json"


def update(files: Sequence[RunFile], path: Path) -> Reference:
    """Make a reference of runs and write it; ComparisonError for none."""
    learnt = learn(files)
    newest = max(files, key=lambda file: file.datetime)
    rows = [
        {
            "key": key,
            "n": len(row.values),
            "mean": statistics.fmean(row.values),
            "deviation": statistics.stdev(row.values) if len(row.values) > 1 else None,
            "values": row.values,
            "mood": row.mood,
            "runs": row.runs,
        }
        for key, row in learnt.items()
    ]
    found = {"schema": SCHEMA, "run": newest.document, "rows": rows}
    replace_file(path, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    return Reference(run=newest, learnt=learnt)


def read_reference(path: Path) -> Reference:
    """Read what ``update`` wrote; UnusableReferenceError, in one line, for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError(f"no reference of schema {SCHEMA}: was it a run?")
        learnt = dict(_learnt(row) for row in found["rows"])
        run = RunFile(path=path, document=check_document(found["run"]))
    except OSError as error:
        raise UnusableReferenceError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnusableReferenceError(f"{path}: {' '.join(str(error).split())[:300]}") from error
    return Reference(run=run, learnt=learnt)


def _learnt(row: dict[str, Any]) -> tuple[tuple[str, ...], Learnt]:
    values = tuple(float(value) for value in row["values"])
    mood = None if row["mood"] is None else float(row["mood"])
    if not values or not all(map(math.isfinite, (*values, mood or 0.0))):
        raise ValueError(f"{row['key']}: expected finite numbers, one at least")
    learnt = Learnt(values=values, mood=mood, runs=tuple(map(str, row["runs"])))
    return tuple(map(str, row["key"])), learnt


def shown(reference: Reference) -> list[str]:
    """Say in a line for each row its mean, deviation and number; of times the mean is a log."""
    lines = []
    for key, row in reference.learnt.items():
        spread = f", deviation {statistics.stdev(row.values):.3g}" if len(row.values) > 1 else ""
        mean = statistics.fmean(row.values)
        lines.append(f"{'/'.join(filter(None, key))}: {mean:.4g}{spread}, n {len(row.values)}")
    return lines
