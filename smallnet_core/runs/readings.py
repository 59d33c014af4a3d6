"""Reads the rows of a saved run in a form that can be compared with another run. Pure."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from smallnet_core.claims import CLAIMS
from smallnet_core.records import Rule, Status
from smallnet_core.runs.file import Row, RunFile
from smallnet_core.runs.machines import num_cores
from smallnet_core.runs.significance import Variance, log_median, share_variance

# What identifies a timing across files; kinds that are not listed go by name.
IDENTITY: Mapping[str, tuple[str, ...]] = {
    "latency": ("network", "batch_size", "precision", "backend"),
    "pruning curve": ("network", "optimizer", "technique"),
}

# Units of counts that should not grow.
BIGGER_IS_WORSE = frozenset({"parameters", "multiply-adds", "MiB", "bytes"})
# For a curve that doesn't say how many: fewer than any test set has.
_LEAST_IMAGES = 300


@dataclass(frozen=True, kw_only=True)
class Process:
    """A time or a rate as one process measured it."""

    log: float  # log of the median of its rounds
    within: Variance  # variance of that, as far as the rounds tell
    mood: float | None = None  # log of the reference timing beside it, a correction
    gauge: str | None = None  # what was timed for that; moods compare within one gauge only
    log_load: float = 0.0  # log of the processes per core, if more than one


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A row that can be compared: a claim or a timing, on a device."""

    key: tuple[str, ...]
    label: str
    table: str
    kind: str  # "accuracy", "class", "interval", "rounds", "curve", "count", "number", "none"
    family: str = ""  # of tests that are adjusted together, if not the table
    value: float | None = None
    unit: str = ""
    lower_is_better: bool = False
    recipe: str | None = None
    precision: str | None = None  # of a speed of training, which each run chooses
    verdict: str | None = None
    reason: str = ""
    values: tuple[float, ...] = ()  # one per seed, or per point of a curve; percent
    num_images: int | None = None
    interval: tuple[float, float] | None = None
    sampling: float = 0.0  # of a class's number: its variance between draws of the images
    process: Process | None = None
    runs: tuple[Row, ...] = ()  # one per seed; empty if one is not in the file
    fingerprints: tuple[str, ...] = ()
    weights: str | None = None  # of a curve
    minuend: float | None = None  # of a difference: the first network's accuracy

    @functools.cached_property
    def pool(self) -> tuple[str, ...]:
        """Return the key of the values it can be pooled with: same recipe, any seed."""
        recipes = {json.dumps({**run["recipe"], "seed": 0}, sort_keys=True) for run in self.runs}
        if not recipes:
            return self.key
        digest = hashlib.sha256("".join(sorted(recipes)).encode()).hexdigest()
        return (*self.key[:3], digest[:12])


_read: WeakKeyDictionary[RunFile, tuple[Reading, ...]] = WeakKeyDictionary()


def readings(file: RunFile) -> tuple[Reading, ...]:
    """Return all rows of a file, each with a label of its own; cached by file."""
    if file not in _read:
        _read[file] = tuple(_readings(file))
    return _read[file]


def _readings(file: RunFile) -> Iterator[Reading]:
    runs = {run["fingerprint"]: run for run in file.runs}
    rounds = {
        timing_key(row): seconds
        for row, seconds in file.rounds
        if row["claim"] is None and row["kind"] == "latency"
    }
    cores = num_cores(file)
    keys, labels = set(), set()
    for row in file.rows:
        of_claim = row["claim"] is not None
        for reading in [_of_claim(row, runs)] if of_claim else _of_timing(row, runs, rounds):
            if reading.process and row["device"] == "cpu" and cores:
                log_load = math.log(max(1.0, (row.get("load_average") or 0.0) / cores))
                reading = replace(reading, process=replace(reading.process, log_load=log_load))
            if reading.key in keys:  # the same claim with another recipe
                reading = replace(reading, key=(*reading.key, str(reading.recipe)))
            if reading.label in labels:
                label = f"{reading.label} ({', '.join(filter(None, reading.key[-2:]))})"
                reading = replace(reading, label=label)
            labels.add(reading.label)
            if reading.key not in keys:
                yield reading
            keys.add(reading.key)


def _of_claim(row: Row, runs: Mapping[str, Row]) -> Reading:
    claim = CLAIMS.get(row["claim"])
    unit, value, values = row["unit"], row["measured"], tuple(row["values"])
    reading = Reading(
        key=("claim", row["claim"], row["device"] or ""),
        label=row["claim"],
        table=row["source"],
        kind="none",
        unit=unit,
        verdict=row["verdict"],
        reason=row["reason"],
        recipe=row["recipe"],
        lower_is_better=claim is not None and claim.rule is Rule.BELOW,
        fingerprints=tuple(row["fingerprints"]),
    )
    if value is None and row["verdict"] == Status.NOT_MEASURED:
        return reading
    if value is None or None in values:  # it diverged
        return replace(reading, kind="number")
    found = tuple(runs[one] for one in row["fingerprints"] if one in runs)
    if not len(found) == len(row["fingerprints"]) == len(values):
        found = ()
    interval, num_images = row["interval"], row.get("num_images")  # schema 1 has no images
    reading = replace(
        reading,
        kind="number",
        value=value,
        values=values,
        num_images=num_images,
        interval=interval and (interval[0], interval[1]),
        runs=found,
        minuend=row["details"].get("minuend_percent"),
    )
    if unit == "%" and row["metric"] == "accuracy_percent" and (num_images or found):
        return replace(reading, kind="accuracy")
    index = None if claim is None else claim.details.get("class_index")
    if found and index is not None and row["metric"] in ("precision", "recall", "f1"):
        matrices = [run["confusion"] for run in found]
        if all(index < len(matrix) for matrix in matrices):
            sampling = statistics.fmean(_sampling(m, index, row["metric"]) for m in matrices)
            family = f"{row['source']}, {row['metric']}"
            return replace(reading, kind="class", sampling=sampling, family=family)
    if unit not in ("%", "points", ""):
        return replace(reading, kind="count", lower_is_better=unit in BIGGER_IS_WORSE)
    return replace(reading, kind="interval") if interval and interval[0] < interval[1] else reading


def _sampling(confusion: Sequence[Sequence[int]], index: int, metric: str) -> float:
    """Estimate the variance of a class's number between draws of the images."""
    hits, support = confusion[index][index], sum(confusion[index])
    predicted = sum(row[index] for row in confusion)
    if metric != "f1":
        return share_variance(hits, max(1, support if metric == "recall" else predicted))
    # f1 is 2 j / (1 + j), with j the hits as a share of all images of or taken for the class.
    union = max(1, support + predicted - hits)
    return share_variance(hits, union) * 4 / (1 + hits / union) ** 4


def timing_key(row: Row) -> tuple[str, ...]:
    """Return what identifies a timing across files, the device last."""
    fields = (*IDENTITY.get(row["kind"], ("name",)), "device")
    return (row["kind"], *(str(row.get(name, "")) for name in fields))


def timing_label(row: Row) -> str:
    """Return the name of a timing, without the device."""
    return "/".join(filter(None, timing_key(row)[:-1]))


def _of_timing(
    row: Row, runs: Mapping[str, Row], rounds: Mapping[tuple[str, ...], Sequence[float]]
) -> list[Reading]:
    kind, key = row["kind"], timing_key(row)
    base = Reading(key=key, label=timing_label(row), table=kind, kind="number", unit="ms")

    def part(name: str, unit: str, **fields: Any) -> Reading:
        value, label = row.get(name), f"{base.label}: {name}"
        value = float(value) if isinstance(value, int | float) else None  # not a list over seeds
        return replace(base, key=(*key, name), label=label, unit=unit, value=value, **fields)

    if kind == "latency":
        seconds = rounds.get(key)
        value = 1000 * statistics.median(seconds) if seconds else row.get("measured")
        return [_timed(replace(base, value=value), row, [1000 * s for s in seconds or ()])]
    if kind == "training_speed":
        speeds = (row.get("rounds_images_per_second") or {}).get("ours")
        if not speeds:
            return [part("ratio", "")]
        value = statistics.median(speeds)
        reading = replace(base, unit="images/s", value=value, precision=row.get("precision"))
        return [_timed(reading, row, speeds)]
    if kind == "pruned network":
        accuracy = part("accuracy_percent", "%")
        run = runs.get(str(row.get("fingerprint")))
        if run is not None and accuracy.value is not None:
            accuracy = replace(
                accuracy,
                kind="accuracy",
                values=(accuracy.value,),
                num_images=run["num_images"],
                runs=(run,),
                fingerprints=(run["fingerprint"],),
            )
        counts = {
            "num_params": "parameters",
            "num_nonzeros": "parameters",
            "multiply_adds": "multiply-adds",
            "dense_bytes": "bytes",
        }
        return [
            *(part(n, unit, kind="count", lower_is_better=True) for n, unit in counts.items()),
            _timed(part("latency_ms", "ms"), row),
            _timed(part("images_per_second", "images/s"), row),
            accuracy,
        ]
    if kind == "pruning curve":
        percents = row.get("accuracy_percent")
        points = tuple(percents) if isinstance(percents, list) and None not in percents else ()
        return [
            replace(
                base,
                kind="curve" if points else "none",
                unit="%",
                value=statistics.fmean(points) if points else None,
                values=points,
                num_images=row.get("num_images") or _LEAST_IMAGES,
                weights=row.get("weights_sha256"),
            )
        ]
    if kind == "failures":
        return [part("accuracy_percent", "%", kind="count")]
    return [replace(base, unit=row.get("unit") or "", value=row.get("measured"))]


def _timed(reading: Reading, row: Row, rounds: Sequence[float] = ()) -> Reading:
    """Add the process to a time or rate, from its rounds or its one value, if it has any."""
    if not reading.value:
        return reading
    log, within = log_median(rounds or [reading.value])
    mood, gauge = _mood(row)
    is_time = reading.unit == "ms"
    if mood is not None and not is_time:
        mood = -mood
    process = Process(log=log, within=within, mood=mood, gauge=gauge)
    return replace(reading, kind="rounds", process=process, lower_is_better=is_time)


def _mood(row: Row) -> tuple[float | None, str | None]:
    """Return the log of the reference timings beside this row, in seconds, and their names."""
    found = row.get("reference_seconds") or {}
    if not found and (rate := row.get("matmul_gflops")):
        found = {"matmul": 1 / rate}
    if not found or not all(0 < seconds < math.inf for seconds in found.values()):
        return None, None
    return statistics.fmean(map(math.log, found.values())), " ".join(sorted(found))
