"""Traces of first steps: what they hold, what they end as, and their files.

A trace is kept as JSON by fingerprint, in the user's cache or shipped in ``zoo/traces``, as trained
models are; new ones get there by ``write_trace(TRACES, trace(...))`` from a clean commit.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from smallnet_core.data.datasets import NUM_CLASSES
from smallnet_core.lab.cache import ZOO_DIR
from smallnet_core.lab.variants import Variant
from smallnet_core.system.checked import parse
from smallnet_core.system.files import replace_file

# Predictions of one class among the probe's images, 254 of 256.
COLLAPSED_PERCENT = 99.0
COLLAPSED_STEPS = 200
LATE_STEPS = 200
# Below ln(classes): three times the standard error of the mean over so many batches of 8, 0.015.
LEARNT_LOSS = 0.05

TRACES = ZOO_DIR / "traces"


class Outcome(enum.StrEnum):
    """What the steps of a variant end as."""

    DIVERGED = "diverged"  # the loss is no number any more
    ONE_CLASS = "one class"  # which is predicted for every image
    CHANCE = "chance"  # several classes, and a loss that knows no more than their number
    RECOVERS = "recovers"  # learns, after it predicted one class for long
    LEARNS = "learns"


@dataclass(frozen=True, kw_only=True)
class Point:
    """The network after ``step`` steps, and the batches since the point before.

    At step 0 the batch is the first one, which fresh weights see. None stands for what is not
    finite, and for an accuracy that was not taken there.
    """

    step: int
    loss: float | None  # mean
    gradient_norm: float | None  # largest, of the whole gradient before clipping
    inner_gradient_norm: float | None  # largest, of all weights before the last layer
    dead_percent: float  # of all units, see dead_shares
    worst_layer_dead_percent: float  # of the layer that has the most
    most_predicted_percent: float  # of the probe's images, the class that most of them get
    logit_spread: float | None  # standard deviation over the probe's images, mean over classes
    accuracy_percent: float | None  # of the held-out images


@dataclass(frozen=True, kw_only=True)
class _Facts:
    diverged_at: int | None  # the first step whose loss was not finite, after which nothing ran
    seconds: float
    environment: Mapping[str, Any]
    commit: Mapping[str, Any] | None  # None outside git
    time: str  # UTC


@dataclass(frozen=True, kw_only=True)
class Trace(_Facts):
    """A variant's first steps, and where and when they were taken."""

    variant: Variant
    points: tuple[Point, ...]

    @property
    def collapse(self) -> tuple[int, int] | None:
        """From which step to which one class took 99 % of the probe's predictions; the longest.

        None where it never lasted for 200 steps: fresh weights may begin so, and learn.
        """
        longest, start = (0, 0), None
        for point in self.points:
            if point.most_predicted_percent < COLLAPSED_PERCENT:
                start = None
                continue
            start = point.step if start is None else start
            longest = max(longest, (start, point.step), key=lambda span: span[1] - span[0])
        return longest if longest[1] - longest[0] >= COLLAPSED_STEPS else None

    @property
    def late_loss(self) -> float:
        """Mean training loss of the last 200 steps; infinite where the loss was not finite."""
        late = [p.loss for p in self.points if p.step > self.points[-1].step - LATE_STEPS]
        return sum(math.inf if loss is None else loss for loss in late) / len(late)

    @property
    def outcome(self) -> Outcome:
        if self.diverged_at is not None:
            return Outcome.DIVERGED
        if self.collapse is not None and self.collapse[1] == self.points[-1].step:
            return Outcome.ONE_CLASS
        chance = math.log(NUM_CLASSES[self.variant.recipe.dataset])
        if self.late_loss > chance - LEARNT_LOSS:
            return Outcome.CHANCE
        return Outcome.LEARNS if self.collapse is None else Outcome.RECOVERS

    @property
    def accuracy_percent(self) -> float:
        """Of the held-out images, at the end."""
        found = self.points[-1].accuracy_percent
        assert found is not None, "the last point has it"
        return found


@dataclass(frozen=True, kw_only=True)
class _File(_Facts):
    """A trace as its file has it: numbers by the names of a point's fields."""

    trace_version: int
    recipe: Mapping[str, Any]
    surgery: str
    num_steps: int
    points: Mapping[str, Sequence[int | float | None]]


def columns_of(points: Sequence[Point]) -> dict[str, list[int | float | None]]:
    """The points' numbers, by the names of a point's fields."""
    return {field.name: [getattr(point, field.name) for point in points] for field in fields(Point)}


def _facts(found: _Facts) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in fields(_Facts)}


def write_trace(folder: Path, found: Trace) -> Path:
    """Write a trace as JSON, a column of numbers a line, whole or not at all; raises OSError."""
    variant = found.variant
    record = {
        "name": variant.name,
        "change": variant.change,
        "fingerprint": variant.fingerprint(),
        **variant.canonical(),
        "seed": variant.recipe.seed,
        **_facts(found),
    }
    points = _json_lines(columns_of(found.points), "  ")
    path = folder / variant.file_name
    text = f'{{\n{_json_lines(record, " ")},\n "points": {{\n{points}\n }}\n}}\n'
    replace_file(path, text.encode())
    return path


def _json_lines(values: Mapping[str, Any], indent: str) -> str:
    return ",\n".join(
        f"{indent}{json.dumps(name)}: {json.dumps(value, sort_keys=True, allow_nan=False)}"
        for name, value in values.items()
    )


def read_trace(folder: Path, variant: Variant) -> Trace | None:
    """Read the variant's trace, None where there is none; ValueError for a file that is not it."""
    path = folder / variant.file_name
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = parse(_File, text)
        if any(getattr(found, name) != value for name, value in variant.canonical().items()):
            raise ValueError("of another recipe")
        names = [field.name for field in fields(Point)]
        rows = zip(*(found.points[name] for name in names), strict=True)
        points = tuple(Point(**dict(zip(names, row, strict=True))) for row in rows)
        if not points or points[-1].accuracy_percent is None:
            raise ValueError("without an end")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a trace of {variant.name} ({error})") from error
    return Trace(variant=variant, points=points, **_facts(found))


def find_trace(variant: Variant, folders: Sequence[Path], complaints: list[str]) -> Trace | None:
    """The trace from the first folder that has one; a damaged file is a complaint, no trace."""
    for folder in folders:
        try:
            found = read_trace(folder, variant)
        except (OSError, ValueError) as error:
            complaints.append(f"damaged trace ignored: {error}")
        else:
            if found is not None:
                return found
    return None


def row_of(found: Trace) -> dict[str, Any]:
    """What the report's table shows of a trace, as JSON values."""
    first, last = found.points[0], found.points[-1]
    collapse = found.collapse
    recipe = found.variant.recipe
    return {
        "kind": "failures",
        "name": found.variant.name,
        "network": recipe.network,
        "dataset": recipe.dataset,
        "change": found.variant.change,
        "num_steps": found.variant.num_steps,
        "seed": recipe.seed,
        "fingerprint": found.variant.fingerprint(),
        "accuracy_percent": found.accuracy_percent,
        "most_predicted_percent": last.most_predicted_percent,
        "collapse": None if collapse is None else list(collapse),
        "outcome": found.outcome.value,
        "diverged_at": found.diverged_at,
        "gradient_norm_at_start": first.gradient_norm,
        "gradient_norm_at_end": last.gradient_norm,
        "inner_gradient_norm_at_start": first.inner_gradient_norm,
        "inner_gradient_norm_at_end": last.inner_gradient_norm,
        "dead_percent": last.dead_percent,
        "worst_layer_dead_percent": last.worst_layer_dead_percent,
        "loss": found.late_loss,
        "logit_spread_at_start": first.logit_spread,
        "logit_spread": last.logit_spread,
        "device_name": found.environment["device_name"],
        "commit": (found.commit or {}).get("id"),
    }
