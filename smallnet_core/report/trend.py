"""A page of charts of a history of saved runs: one for each accuracy and each time. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from smallnet_core.judging.intervals import ASSUMED_SEED_DEVIATION
from smallnet_core.report.chart import HEIGHT, Chart, Mark, place, polyline, scale
from smallnet_core.report.results import commit_name
from smallnet_core.report.table import format_value, templates
from smallnet_core.runs.file import RunFile
from smallnet_core.runs.history import History, Line
from smallnet_core.runs.machines import machines
from smallnet_core.runs.rows import Change

_ACCURACIES, _TIMES = ("%", "points"), ("ms", "images/s")
# A row that deviates by more since its last step is called unstable.
_UNSTABLE_POINTS, _UNSTABLE_SHARE = 2 * ASSUMED_SEED_DEVIATION, 0.1
_LEAST_VALUES = 3
_WORDS = {Change.REGRESSION: "worse", Change.IMPROVEMENT: "better", Change.CHANGED: "other"}


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A row over all runs: its latest value, its steps and its chart."""

    latest: str
    steps: list[str]
    unstable: str  # by how much; "" if it is stable
    chart: Chart


def trend_page(history: History, reference: RunFile | None = None) -> str:
    """Return the page: rows that changed first, then unstable ones, then the rest."""
    files = [f"{file.datetime[:10]} {commit_name(file)}" for file in history.files]
    bands = {} if reference is None else _bands(reference)
    elsewhere = {
        k for k, file in enumerate(history.files) if machines(history.files[0], file) == "another"
    }
    groups: dict[str, list[Trend]] = {
        name: [] for name in ("Changed", "Unstable", "Accuracies", "Times")
    }
    for line in history.lines:
        if line.steps or (line.unit in (*_ACCURACIES, *_TIMES) and _values(line)):
            hollow = elsewhere if line.unit in _TIMES else set()
            trend = _trend(line, files, bands.get(line.label), hollow)
            name = "Accuracies" if line.unit in _ACCURACIES else "Times"
            name = "Changed" if line.steps else "Unstable" if trend.unstable else name
            groups[name].append(trend)
    return (
        templates()
        .get_template("trend.html.j2")
        .render(
            files=files,
            machines=sorted({str(file.machine.get("device_name")) for file in history.files}),
            groups={name: own for name, own in groups.items() if own},
            has_band=bool(bands),
        )
    )


def _values(line: Line) -> list[float]:
    return [value for value in line.values if value is not None]


def _trend(
    line: Line, files: list[str], band: tuple[float, float] | None, elsewhere: set[int]
) -> Trend:
    """Lay out a row; ``elsewhere`` has the indices of times that are from other machines."""
    values = _values(line)
    middle = statistics.fmean(values)
    # A chart shows at least this range: smaller changes should look flat.
    least = _UNSTABLE_SHARE * middle if line.unit in _TIMES else 1.0
    limits = scale([line.values], middle - least, middle + least, *(band or ()))
    steps, marks = [], []
    changes = dict(zip(line.steps, line.changes, strict=True))
    for k, value in enumerate(line.values):
        if value is None:
            continue
        word = _WORDS.get(changes[k], "other") if k in changes else ""
        text = f"{files[k]}: {format_value(value, line.unit)} {line.unit}".rstrip()
        if word:
            before = next(v for v in reversed(line.values[:k]) if v is not None)
            text += f", {word} than {format_value(before, line.unit)} before"
        x, y = place(k, value, len(files), limits)
        kind, size = ("elsewhere", 4) if k in elsewhere else (word, 5 if word else 3)
        marks.append(Mark(x=x, y=y, label=text, kind=kind, size=size))
        steps += [text] if word else []
    low, high = limits
    shaded = None
    if band is not None:
        top, bottom = (HEIGHT * (high - end) / (high - low) for end in reversed(band))
        shaded = round(top, 1), round(bottom - top, 1)
    latest = f"{format_value(values[-1], line.unit)} {line.unit}".rstrip()
    description = f"{len(values)} runs, the latest at {latest}; {'; '.join(steps) or 'no steps'}"
    chart = Chart(
        title=line.label,
        description=description,
        lines=[polyline(line.values, limits)],
        marks=marks,
        band=shaded,
        low=f"{low:.4g}",
        high=f"{high:.4g}",
        first=files[0],
        last=files[-1],
    )
    return Trend(latest=latest, steps=steps, unstable=_unstable(line, elsewhere), chart=chart)


def _unstable(line: Line, elsewhere: set[int]) -> str:
    """Say how much a row deviates since its last step; "" if that is little."""
    start = max(line.steps, default=0)
    values = [v for k, v in enumerate(line.values) if k >= start and k not in elsewhere]
    found = [v for v in values if v is not None]
    if len(found) < _LEAST_VALUES:
        return ""
    deviation = statistics.stdev(found)
    if line.unit in _ACCURACIES and deviation > _UNSTABLE_POINTS:
        return f"deviation {deviation:.2f} points over {len(found)} runs"
    mean = statistics.fmean(found)
    if line.unit in _TIMES and deviation > _UNSTABLE_SHARE * mean:
        return f"deviation {100 * deviation / mean:.0f} % over {len(found)} runs"
    return ""


def _bands(reference: RunFile) -> dict[str, tuple[float, float]]:
    """Return mean +- 2 deviations of each row of the reference, by label."""
    found = {}
    for row in reference.learnt:
        mean, deviation = row["mean"], row["deviation"]
        if deviation is not None:
            if row["timed"]:  # its deviation is that of logs, in percent
                ends = mean * math.exp(-deviation / 50), mean * math.exp(deviation / 50)
            else:
                ends = mean - 2 * deviation, mean + 2 * deviation
            found[row["label"]] = ends
    return found
