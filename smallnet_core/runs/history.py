"""Finds the steps at which rows changed over many saved runs; judges a commit for bisect. Pure.

Each gap between two runs is tested for a step: the mean of up to ``WINDOW`` runs before it against
the mean of up to ``AFTER`` runs after it, both since the last step. The variance between runs is
estimated from a row's own neighbours in time, except those at the step. The rows of a table and
their steps are one family (Bonferroni), so a history of any length in which nothing happened raises
an alarm in 5 % of cases.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smallnet_core.judging.intervals import ASSUMED_SEED_DEVIATION
from smallnet_core.runs.compare import Comparison, check_same_data, compare
from smallnet_core.runs.file import RunFile
from smallnet_core.runs.machines import machines
from smallnet_core.runs.readings import Reading, readings
from smallnet_core.runs.rows import (
    ASSUMED_MOOD_DEVIATION,
    ASSUMED_PROCESS_DEVIATION,
    Change,
    ComparisonError,
    Thresholds,
)

WINDOW = 7
AFTER = 3
# Fewer runs don't give a usable variance: they are compared in pairs.
_LEAST_RUNS = 10

_STEPS = (Change.REGRESSION, Change.IMPROVEMENT, Change.CHANGED)
SKIP = 125  # the exit code with which `git bisect run` skips a commit


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row over several files."""

    label: str
    table: str
    unit: str
    values: tuple[float | None, ...]  # one per file
    steps: tuple[int, ...]  # the files at which it had changed
    changes: tuple[Change, ...]  # at each step


@dataclass(frozen=True, kw_only=True)
class History:
    """All rows of several files."""

    files: tuple[RunFile, ...]  # by time
    lines: tuple[Line, ...]


def history(
    files: Sequence[RunFile],
    *,
    thresholds: Thresholds | None = None,
    across_machines: bool = False,
) -> History:
    """Return each row over two or more files in the order of their times, with its steps.

    Fewer than ten files are compared in pairs, each with the one where the row last changed.
    ComparisonError for runs on different images.
    """
    thresholds = thresholds or Thresholds()
    ordered = tuple(sorted(files, key=lambda file: file.datetime))
    for file in ordered[1:]:
        check_same_data(ordered[0], file)
    found = [{r.key: r for r in readings(file)} for file in ordered]
    keys = list(dict.fromkeys(key for of_file in found for key in of_file))
    rows = {key: [of_file.get(key) for of_file in found] for key in keys}
    first = {key: next(filter(None, row)) for key, row in rows.items()}
    families = Counter(reading.table for reading in first.values())
    same_machine = [across_machines or machines(ordered[0], file) == "same" for file in ordered]
    changes = _in_pairs(ordered, thresholds, across_machines)
    lines = []
    for key, row in rows.items():
        label, table, kind = first[key].label, first[key].table, first[key].kind
        judged = {
            k: reading
            for k, reading in enumerate(row)
            if reading and reading.value is not None and (kind != "rounds" or same_machine[k])
        }
        if len(judged) >= _LEAST_RUNS and kind in ("accuracy", "rounds"):
            alpha = thresholds.alpha / ((len(judged) - 1) * families[table])
            places = list(judged)
            changed = _steps(list(judged.values()), alpha, thresholds)
            steps = {places[at]: change for at, change in changed.items()}
        else:
            steps, last = {}, next(iter(judged), 0)
            for at in list(judged)[1:]:
                change = changes(last, at).get(label)
                if change in _STEPS:
                    steps[at], last = change, at
        lines.append(
            Line(
                label=label,
                table=table,
                unit=first[key].unit,
                values=tuple(reading.value if reading else None for reading in row),
                steps=tuple(steps),
                changes=tuple(steps.values()),
            )
        )
    return History(files=ordered, lines=tuple(lines))


def _in_pairs(
    files: Sequence[RunFile], thresholds: Thresholds, across_machines: bool
) -> Callable[[int, int], Mapping[str, Change]]:
    """Return what compares two files by index; the level is shared by a history's steps."""
    shared = thresholds.model_copy(update={"alpha": thresholds.alpha / (len(files) - 1)})

    @functools.cache
    def changes(reference: int, at: int) -> Mapping[str, Change]:
        old, new = files[reference], files[at]
        try:
            found = compare(
                old, new, thresholds=shared, across_machines=across_machines, partial=True
            )
        except ComparisonError:  # nothing was measured in both
            return {}
        return {row.label: row.change for row in found.rows}

    return changes


def _steps(row: Sequence[Reading], alpha: float, thresholds: Thresholds) -> dict[int, Change]:
    """Find a row's steps, the most significant first; return the change by index of the run."""
    processes = [reading.process for reading in row if reading.process is not None]
    if timed := row[0].kind == "rounds":
        gauges = {process.gauge for process in processes}
        referred = len(gauges) == 1 and None not in gauges
        series = [p.log - (p.mood or 0.0) * referred for p in processes]
        assumed = ASSUMED_PROCESS_DEVIATION**2 + (0 if referred else ASSUMED_MOOD_DEVIATION**2)
    else:
        series = [reading.value for reading in row if reading.value is not None]
        assumed = ASSUMED_SEED_DEVIATION**2
    weights = [tuple(run["weights_sha256"] for run in r.runs) for r in row]
    other = np.array([not a or a != b for a, b in itertools.pairwise(weights)])
    steps: list[int] = []
    while len(steps) < len(series) - 1:
        p, at = _surest(np.array(series), steps, other, assumed)
        if p >= alpha:
            break
        steps.append(at)
    found = {}
    for at in sorted(steps):
        start = max([0, at - WINDOW, *(step for step in steps if step < at)])
        end = min([len(series), at + AFTER, *(step for step in steps if step > at)])
        effect = statistics.fmean(series[at:end]) - statistics.fmean(series[start:at])
        shown = 100 * math.expm1(min(effect, 500.0)) if timed else effect
        if abs(shown) > thresholds.of(row[0]):
            worse = (effect > 0) == row[0].lower_is_better
            found[at] = Change.REGRESSION if worse else Change.IMPROVEMENT
    return found


def _surest(
    series: npt.NDArray[np.float64],
    steps: Sequence[int],
    other: npt.NDArray[np.bool_],
    assumed: float,
) -> tuple[float, int]:
    """Return the p value and the index of the most significant step that is not in ``steps``.

    ``other`` says for each run but the first whether its weights differ from those before.
    """
    from scipy.special import stdtr

    at = np.setdiff1d(np.arange(1, len(series)), steps)
    edges = np.array([0, *sorted(steps), len(series)])
    following = np.searchsorted(edges, at, side="right")
    start = np.maximum(edges[following - 1], at - WINDOW)
    end = np.minimum(edges[following], at + AFTER)
    sums = np.cumsum(np.concatenate([[0.0], series - series.mean()]))
    effect = (sums[end] - sums[at]) / (end - at) - (sums[at] - sums[start]) / (at - start)
    counted = other.copy()
    counted[np.array(steps, int) - 1] = False
    squares = np.where(counted, np.diff(series) ** 2 / 2, 0.0)
    # Between neighbours in time, except for the two at the step.
    num = counted.sum() - counted[at - 1]
    between = (squares.sum() - squares[at - 1]) / np.maximum(num, 1)
    # Neighbouring differences share a run, so n are worth two thirds of n (von Neumann, 1941).
    degrees = 2 * num / 3
    known = degrees >= 5
    variance = np.where(known, np.maximum(between, assumed / 4), assumed)
    error = np.sqrt(variance * (1 / (at - start) + 1 / (end - at)))
    p = 2 * stdtr(np.where(known, degrees, 30.0), -abs(effect) / error)
    surest = int(np.argmin(p))
    return float(p[surest]), int(at[surest])


def bisect_status(comparison: Comparison, label: str) -> int:
    """Return the exit code of a row for ``git bisect run``: 0 good, 1 bad, 125 not judged."""
    rows = [row for row in comparison.rows if row.label == label and row.kind != "none"]
    unjudged = (Change.NOT_JUDGED, Change.NOT_MEASURED, Change.UNDECIDED, Change.NEW, Change.GONE)
    if not rows or rows[0].change in unjudged:
        return SKIP
    return int(rows[0].change is Change.REGRESSION)
