"""Saved runs for the tests of comparing: simulated ones, and the stored one with changes."""

from __future__ import annotations

import copy
import functools
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smallnet_core.runs.compare import Comparison
from smallnet_core.runs.file import RunFile, check_document
from smallnet_core.runs.rows import RowComparison
from studies.compare_power import document

FILES = Path(__file__).parent / "files"
SCHEMA_1, SCHEMA_2 = FILES / "run-schema-1.json", FILES / "run-schema-2.json"
NUM_IMAGES = 10_000
TABLE_2 = "table2/resnet18_s-adabound"


def right(percent: float, seed: int = 0, flipped: float = 0.0) -> np.ndarray:
    """Answers of which so many are right, and so many points of them at other images."""
    answers = np.zeros(NUM_IMAGES, bool)
    answers[: round(percent * NUM_IMAGES / 100)] = True
    count = round(flipped * NUM_IMAGES / 100)
    generator = np.random.default_rng(seed)
    lost = generator.choice(np.flatnonzero(answers), count, replace=False)
    gained = generator.choice(np.flatnonzero(~answers), count, replace=False)
    answers[lost], answers[gained] = False, True
    return answers


def only(comparison: Comparison) -> RowComparison:
    [row] = comparison.rows
    return row


def file(changes: dict[str, Any] | None = None, source: Path = SCHEMA_2) -> RunFile:
    """The stored run, with fields of its rows changed, by claim."""
    found = json.loads(source.read_text())
    for row in found["smallnet"]["rows"]:
        row.update((changes or {}).get(row["claim"], {}))
    return RunFile(path=source, document=check_document(found))


def by_label(comparison: Comparison) -> dict[str, RowComparison]:
    return {row.label: row for row in comparison.rows}


def one(percents: tuple[float, ...], run: int) -> RunFile:
    """A run of one network, a seed each, of weights of its own."""
    return document([[right(p, run + k, 3.0) for k, p in enumerate(percents)]], [], run)


DROP = object()


def put(document: Mapping[str, Any], places: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with other values at "smallnet.runs.0.right", say; DROP takes one out."""
    found = copy.deepcopy(dict(document))
    for place, value in places.items():
        *parents, last = (int(part) if part.isdigit() else part for part in place.split("."))
        node = functools.reduce(operator.getitem, parents, found)
        if value is DROP:
            del node[last]
        else:
            node[last] = value
    return found


def changed(run: RunFile, places: Mapping[str, Any]) -> RunFile:
    return RunFile(path=Path("changed.json"), document=check_document(put(run.document, places)))


def saved(run: RunFile, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run.document))
    return str(path)


def timed(*factors: float, run: int = 0, rounds: int = 50, mood: float = 1.0) -> RunFile:
    """Timings of a run, each beside a reference timing that takes ``mood`` times its time."""
    generator = np.random.default_rng(run)
    times = [(f * generator.lognormal(-5, 0.03, rounds)).tolist() for f in factors]
    return document([], times, run, [0.001 * mood] * len(factors))
