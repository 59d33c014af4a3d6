"""A machine's reference: what its runs found so far, in ``reports/reference/<machine>.json``.

The file is a saved run, merged from several: it has the newest row of each claim, recipe and device
and, under ``learnt``, the newest ``MOST`` values of each row over all runs. Values are pooled by
row, device and recipe, over seeds: a changed recipe starts a new pool.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallnet_core.records import Status
from smallnet_core.runs.file import SCHEMA, Row, RunFile, check_document
from smallnet_core.runs.machines import machines
from smallnet_core.runs.readings import Reading, readings, timing_key
from smallnet_core.runs.schema import Found
from smallnet_core.system.files import replace_file

FOLDER = Path("reports/reference")
MOST = 20


@dataclass(frozen=True)
class Learnt:
    """The values that several runs found for a row."""

    found: tuple[Found, ...]

    @property
    def gauge(self) -> str | None:
        """Return the reference timing that all values have in common; None if there is none."""
        gauges = {one.gauge for one in self.found}
        return gauges.pop() if len(gauges) == 1 else None

    @property
    def mood(self) -> float:
        """Return the mean log of the common reference timing; 0 without one."""
        return statistics.fmean(one.mood or 0.0 for one in self.found) if self.gauge else 0.0

    @property
    def values(self) -> tuple[float, ...]:
        """Return percents or, for times, logs relative to the common reference timing."""
        corrected = self.gauge is not None
        return tuple(one.value - (one.mood or 0.0) * corrected for one in self.found)


def learn(files: Sequence[RunFile]) -> dict[tuple[str, ...], Learnt]:
    """Collect each row's values from runs and references, by ``Reading.pool``.

    Accuracies have one value per network, however often it was judged; times have one per run on
    the newest run's machine.
    """
    newest = max(files, key=lambda file: file.datetime)
    found: dict[tuple[str, ...], dict[str, Found]] = defaultdict(dict)
    for file in sorted(files, key=lambda file: (not file.learnt, file.datetime)):
        same_machine = machines(newest, file) == "same"
        for key, one in _found(file):
            if one.weights is not None:
                found[key].pop(one.weights, None)  # a network judged again counts as the newest
                found[key][one.weights] = one
            elif same_machine:
                found[key][one.run] = one
    return {key: Learnt(tuple(own.values())[-MOST:]) for key, own in found.items()}


def _found(file: RunFile) -> Iterator[tuple[tuple[str, ...], Found]]:
    for row in file.learnt:
        for one in row["values"]:
            yield tuple(row["key"]), Found(**one)
    if file.learnt:
        return
    run = f"{file.datetime[:19]} {(file.commit.get('id') or '')[:12]}".strip()
    for reading in readings(file):
        if reading.kind == "accuracy":
            for network, value in zip(reading.runs, reading.values, strict=False):
                weights = network["weights_sha256"] or f"{run} {network['fingerprint']}"
                one = Found(value=value, run=run, weights=weights, mood=None, gauge=None)
                yield reading.pool, one
        elif p := reading.process:
            one = Found(value=p.log, run=run, weights=None, mood=p.mood, gauge=p.gauge)
            yield reading.pool, one


def reference_path(host: str | None, device: str | None, folder: Path = FOLDER) -> Path:
    """Return the path of a machine's file, by its host and device."""
    name = f"{host or 'unknown'}-{device or 'unknown'}"
    return folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)[:100]}.json"


def path_of(file: RunFile, folder: Path = FOLDER) -> Path:
    """Return the path of the file of a run's machine."""
    host = file.document["machine_info"].get("node")
    return reference_path(host, file.machine.get("device"), folder)


def update(files: Sequence[RunFile], path: Path) -> RunFile:
    """Merge runs, and a reference if there is one among them, and write the result to ``path``."""
    newest_first = sorted(files, key=lambda file: file.datetime, reverse=True)
    rows: dict[tuple[Any, ...], Row] = {}
    runs: dict[str, Row] = {}
    timed: dict[tuple[str, ...], Row] = {}
    for file in newest_first:
        own = {run["fingerprint"]: run for run in file.runs}
        for row in file.rows:
            used = [*row.get("fingerprints", ()), row.get("fingerprint")]
            # If the network was trained again since, it no longer agrees with the row.
            if all(runs.get(name, own.get(name)) == own.get(name) for name in used):
                rows.setdefault(_key(row), row)
                runs |= {name: own[name] for name in used if name in own}
        for benchmark in file.document["benchmarks"]:
            row = benchmark["extra_info"].get("smallnet")
            if row is not None and row.get("kind") == "latency":
                timed.setdefault(timing_key(row), benchmark)
    measured = {row["claim"] for row in rows.values() if _is_measured(row)}
    kept = [row for row in rows.values() if _is_measured(row) or row["claim"] not in measured]
    ours = {"schema": SCHEMA, "rows": kept, "runs": list(runs.values())}
    benchmarks = list(timed.values())
    document = {**newest_first[0].document, "benchmarks": benchmarks, "smallnet": ours}
    made = {reading.pool: reading for reading in readings(RunFile(path=path, document=document))}
    ours["learnt"] = [
        _learnt_row(made[key], learnt) for key, learnt in learn(files).items() if key in made
    ]
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    reference = RunFile(path=path, document=check_document(json.loads(text)))
    replace_file(path, text.encode())
    return reference


def _key(row: Row) -> tuple[Any, ...]:
    return timing_key(row) if row["claim"] is None else (row["claim"], row["recipe"], row["device"])


def _is_measured(row: Row) -> bool:
    return row.get("verdict") != Status.NOT_MEASURED


def _learnt_row(reading: Reading, learnt: Learnt) -> Row:
    """Return the values with their number, mean and deviation, which for times is in percent."""
    timed = reading.process is not None
    mean = statistics.fmean(one.value for one in learnt.found)
    deviation = statistics.stdev(learnt.values) if len(learnt.found) > 1 else None
    return {
        "key": reading.pool,
        "label": reading.label,
        "unit": reading.unit,
        "timed": timed,
        "n": len(learnt.found),
        "mean": math.exp(mean) if timed else mean,
        "deviation": 100 * deviation if timed and deviation is not None else deviation,
        "values": [one.model_dump() for one in learnt.found],
    }


def reference_lines(reference: RunFile) -> list[str]:
    """Return a line for each row: mean, deviation, number of values, and their runs."""
    lines = []
    for row in reference.learnt:
        unit = f" {row['unit']}".rstrip()
        spread = ""
        if row["deviation"] is not None:
            spread = f", deviation {row['deviation']:.3g}{' %' if row['timed'] else ''}"
        runs = ", ".join(dict.fromkeys(one["run"] for one in row["values"]))
        lines.append(f"{row['label']}: {row['mean']:.4g}{unit}{spread}, n {row['n']} ({runs})")
    return lines
