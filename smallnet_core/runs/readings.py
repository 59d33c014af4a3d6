"""What the rows of a saved run say, as far as it can be compared with another run. Pure."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smallnet_core.claims import CLAIMS
from smallnet_core.records import Rule, Status
from smallnet_core.runs.file import Row, RunFile
from smallnet_core.runs.machines import num_cores
from smallnet_core.runs.significance import Variance, log_median, share_variance

# What makes a timing the same one in another file; the name, for kinds that are not here.
IDENTITY: Mapping[str, tuple[str, ...]] = {
    "latency": ("network", "batch_size", "precision", "backend"),
    "pruning curve": ("network", "optimizer", "technique"),
}

# Of counts: what there should not be more of.
BIGGER_IS_WORSE = frozenset({"parameters", "multiply-adds", "MiB", "bytes"})
# Of a curve that does not say of how many: fewer than any data set has to test.
_LEAST_IMAGES = 300


@dataclass(frozen=True, kw_only=True)
class Process:
    """What one process found of a time or a rate."""

    log: float  # of the median of its rounds
    within: Variance  # of that, as far as the rounds tell
    mood: float | None = None  # log of what the reference timing beside it would make of 1
    gauge: str | None = None  # what that was a timing of: moods of two gauges say nothing together
    crowd: float = 0.0  # log of how many processes each core of the CPU had, if more than one


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A row that can be compared: a claim or a timing, on a device."""

    key: tuple[str, ...]
    label: str
    table: str
    kind: str  # "accuracy", "class", "interval", "rounds", "curve", "count", "number", "none"
    family: str = ""  # of tests that are adjusted together, where that isn't the table
    value: float | None = None
    unit: str = ""
    lower_is_better: bool = False
    recipe: str | None = None
    verdict: str | None = None
    reason: str = ""
    values: tuple[float, ...] = ()  # a seed each, or a point of a curve each; percent
    num_images: int | None = None
    interval: tuple[float, float] | None = None
    sampling: float = 0.0  # of a class's number: its variance by another draw of the images
    process: Process | None = None
    runs: tuple[Row, ...] = ()  # a seed each; empty where one is not in the file
    fingerprints: tuple[str, ...] = ()
    weights: str | None = None  # of a curve
    minuend: float | None = None  # of a difference: what the claim is about

    @property
    def pool(self) -> tuple[str, ...]:
        """The key of what its values can be pooled with: by the same recipe but for the seed."""
        recipes = {json.dumps({**run["recipe"], "seed": 0}, sort_keys=True) for run in self.runs}
        if not recipes:
            return self.key
        digest = hashlib.sha256("".join(sorted(recipes)).encode()).hexdigest()
        return (*self.key[:3], digest[:12])


def readings(file: RunFile) -> list[Reading]:
    """Read all rows of a file, each under a label of its own."""
    runs = {run["fingerprint"]: run for run in file.runs}
    rounds = {
        timing_key(row): tuple(seconds)
        for row, seconds in file.rounds
        if row["claim"] is None and row["kind"] == "latency"
    }
    cores = num_cores(file)
    found: dict[tuple[str, ...], Reading] = {}
    labels: set[str] = set()
    for row in file.rows:
        timing = row["claim"] is None
        for reading in _of_timing(row, runs, rounds) if timing else [_of_claim(row, runs)]:
            if reading.process and row["device"] == "cpu":
                crowd = replace(reading.process, crowd=_crowd(row.get("load_average"), cores))
                reading = replace(reading, process=crowd)
            if reading.key in found:  # the same by another recipe
                recipe = str(reading.recipe)
                reading = replace(reading, key=(*reading.key, recipe))
            if reading.label in labels:
                label = f"{reading.label} ({', '.join(filter(None, reading.key[-2:]))})"
                reading = replace(reading, label=label)
            labels.add(reading.label)
            found.setdefault(reading.key, reading)
    return list(found.values())


def _of_claim(row: Row, runs: Mapping[str, Row]) -> Reading:
    claim = CLAIMS.get(row["claim"])
    unit = row["unit"]
    base = Reading(
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
    value, values = row["measured"], tuple(row["values"])
    if row["verdict"] == Status.NOT_MEASURED.value and value is None:
        return base
    if value is None or None in values:  # it diverged
        return replace(base, kind="number")
    own = [runs.get(one) for one in row["fingerprints"]]
    found = tuple(run for run in own if run is not None)
    interval = tuple(row["interval"]) if row["interval"] else None
    base = replace(
        base,
        value=value,
        values=values,
        num_images=row["num_images"],
        interval=interval,
        runs=found if found and len(found) == len(own) == len(values) else (),
        minuend=_finite(row["details"].get("minuend_percent")),
    )
    if unit == "%" and row["metric"] == "accuracy_percent" and (base.num_images or base.runs):
        return replace(base, kind="accuracy")
    index = None if claim is None else claim.details.get("class_index")
    if base.runs and index is not None and row["metric"] in ("precision", "recall", "f1"):
        variances = [_sampling(run["confusion"], index, row["metric"]) for run in base.runs]
        if None not in variances:
            sampling = statistics.fmean(filter(None, variances))
            family = f"{base.table}, {row['metric']}"
            return replace(base, kind="class", sampling=sampling, family=family)
    if unit in ("%", "points", ""):
        wide = interval is not None and interval[0] < interval[1]
        return replace(base, kind="interval" if wide else "number")
    return replace(base, kind="count", lower_is_better=unit in BIGGER_IS_WORSE)


def _sampling(confusion: Sequence[Sequence[int]], index: int, metric: str) -> float | None:
    """Estimate the variance of a class's number that another draw of the images would make."""
    if index >= len(confusion):
        return None
    hits, support = confusion[index][index], sum(confusion[index])
    predicted = sum(row[index] for row in confusion)
    if metric != "f1":
        return share_variance(hits, max(1, support if metric == "recall" else predicted))
    # f1 is 2 j / (1 + j) of the share j that its hits have of all that is or is taken for one.
    union = max(1, support + predicted - hits)
    return share_variance(hits, union) * 4 / (1 + hits / union) ** 4


def timing_key(row: Row) -> tuple[str, ...]:
    fields = (*IDENTITY.get(row["kind"], ("name",)), "device")
    return (row["kind"], *(str(row.get(name, "")) for name in fields))


def timing_label(row: Row) -> str:
    """What a timing is called; a part of it has its name after a colon."""
    return "/".join(filter(None, timing_key(row)[:-1]))


def _of_timing(
    row: Row, runs: Mapping[str, Row], rounds: Mapping[tuple[str, ...], tuple[float, ...]]
) -> list[Reading]:
    kind, key = row["kind"], timing_key(row)
    base = Reading(key=key, label=timing_label(row), table=kind, kind="number", unit="ms")

    def part(name: str, unit: str, kind: str = "number") -> Reading:
        return replace(
            base,
            key=(*key, name),
            label=f"{base.label}: {name}",
            unit=unit,
            value=_finite(row.get(name)),
            kind=kind,
            lower_is_better=kind == "count",
        )

    if kind == "latency":
        seconds = rounds.get(key, ())
        value = 1000 * statistics.median(seconds) if seconds else _finite(row.get("measured"))
        return [_timed(replace(base, value=value), row, [1000 * s for s in seconds])]
    if kind == "training_speed":
        by_loop = row.get("rounds_images_per_second")
        speeds = _numbers(by_loop.get("ours")) if isinstance(by_loop, Mapping) else ()
        if not speeds:
            return [part("ratio", "")]
        value = statistics.median(speeds)
        return [_timed(replace(base, unit="images/s", value=value), row, speeds)]
    if kind == "pruned network":
        fingerprint = str(row.get("fingerprint", ""))
        accuracy = part("accuracy_percent", "%")
        if fingerprint in runs and accuracy.value is not None:
            accuracy = replace(
                accuracy,
                kind="accuracy",
                values=(accuracy.value,),
                num_images=runs[fingerprint]["num_images"],
                runs=(runs[fingerprint],),
                fingerprints=(fingerprint,),
            )
        return [
            part("num_params", "parameters", "count"),
            part("num_nonzeros", "parameters", "count"),
            part("multiply_adds", "multiply-adds", "count"),
            part("dense_bytes", "bytes", "count"),
            _timed(part("latency_ms", "ms"), row),
            _timed(part("images_per_second", "images/s"), row),
            accuracy,
        ]
    if kind == "pruning curve":
        percents = _numbers(row.get("accuracy_percent"))
        images = row.get("num_images")
        return [
            replace(
                base,
                kind="curve" if percents else "none",
                unit="%",
                value=statistics.fmean(percents) if percents else None,
                values=percents,
                num_images=images if type(images) is int and images > 0 else _LEAST_IMAGES,
                weights=row.get("weights_sha256"),
            )
        ]
    if kind == "failures":
        return [replace(part("accuracy_percent", "%"), kind="count")]
    unit = str(row.get("unit", ""))
    return [replace(base, unit=unit, value=_finite(row.get("measured")))]


def _timed(reading: Reading, row: Row, rounds: Sequence[float] = ()) -> Reading:
    """A time or a rate, by its rounds, else by its one value; a number where it has neither."""
    if not rounds and reading.value is not None:
        rounds = (reading.value,)
    if not rounds or statistics.median(rounds) <= 0:
        return reading
    log, within = log_median(rounds)
    mood, gauge = _mood(row)
    is_time = reading.unit == "ms"
    if mood is not None and not is_time:
        mood = -mood
    process = Process(log=log, within=within, mood=mood, gauge=gauge)
    return replace(reading, kind="rounds", process=process, lower_is_better=is_time)


def _crowd(load_average: Any, cores: int | None) -> float:
    load = _finite(load_average) or 0.0
    return math.log(max(1.0, load / cores)) if cores else 0.0


def _mood(row: Row) -> tuple[float | None, str | None]:
    """Log of the seconds that the reference timings took beside this row, and their names."""
    seconds = row.get("reference_seconds")
    found = dict(seconds) if isinstance(seconds, Mapping) else {}
    if not found and (rate := _finite(row.get("matmul_gflops"))):
        found["matmul"] = 1 / rate
    if not found or not all((_finite(s) or 0.0) > 0 for s in found.values()):
        return None, None
    return statistics.fmean(map(math.log, found.values())), " ".join(sorted(found))


def _numbers(values: Any) -> tuple[float, ...]:
    """Read a list of finite numbers; empty for anything else."""
    found = [_finite(value) for value in values] if isinstance(values, list) else []
    return tuple(value for value in found if value is not None) if None not in found else ()


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond any float
        return None
