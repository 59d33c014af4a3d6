"""Traces of first steps: their contents, their outcomes, and their files.

Like trained models, traces are JSON files named by fingerprint, in the user's cache or shipped in
``zoo/traces``; ship a new one with ``write_trace(TRACES, trace(...))`` from a clean commit.
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
from smallnet_core.lab.variants import Variant
from smallnet_core.system.files import ZOO_DIR, json_lines, replace_file

# Share of the probe's images that one class is predicted for: at least 254 of 256.
COLLAPSED_PERCENT = 99.0
COLLAPSED_STEPS = 200
LATE_STEPS = 200
# Below ln(classes): three standard errors (0.015) of the mean over LATE_STEPS batches of 8.
LEARNT_LOSS = 0.05

TRACES = ZOO_DIR / "traces"


class Outcome(enum.StrEnum):
    """How the first steps of a variant end."""

    DIVERGED = "diverged"  # the loss is no longer finite
    ONE_CLASS = "one class"  # predicted for (almost) every image
    CHANCE = "chance"  # several classes, with the loss of a uniform guess
    RECOVERS = "recovers"  # learns after predicting one class for a while
    LEARNS = "learns"


@dataclass(frozen=True, kw_only=True)
class Point:
    """The network after ``step`` steps, and the batches since the previous point.

    At step 0 the batch is the first one, seen by fresh weights. None stands for values that are not
    finite, and for an accuracy that was not measured.
    """

    step: int
    loss: float | None  # mean
    gradient_norm: float | None  # largest, of the whole gradient before clipping
    inner_gradient_norm: float | None  # largest, of all weights before the last layer
    dead_percent: float  # of all units, see dead_shares
    worst_layer_dead_percent: float  # of the layer with the most
    most_predicted_percent: float  # share of the most predicted class among the probe's images
    logit_spread: float | None  # std over the probe's images, mean over classes
    accuracy_percent: float | None  # of the held-out images


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A variant's first steps, with where and when they were recorded."""

    variant: Variant
    points: tuple[Point, ...]
    diverged_at: int | None  # the first step whose loss was not finite; the last one run
    seconds: float
    environment: Mapping[str, Any]
    commit: Mapping[str, Any] | None  # None outside git
    time: str  # UTC

    @property
    def collapse(self) -> tuple[int, int] | None:
        """Return first and last step of the longest span with 99 % of predictions of one class.

        None where no span lasts 200 steps: fresh weights may begin like that and still learn.
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
        """Return the mean training loss of the last 200 steps; infinite where one is not finite."""
        late = [p.loss for p in self.points if p.step > self.points[-1].step - LATE_STEPS]
        return sum(math.inf if loss is None else loss for loss in late) / len(late)

    @property
    def outcome(self) -> Outcome:
        """Classify how the steps end."""
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
        """Return the final accuracy on the held-out images."""
        found = self.points[-1].accuracy_percent
        assert found is not None, "the last point has it"
        return found


_FACTS = ("diverged_at", "seconds", "environment", "commit", "time")  # stored as they are


def write_trace(folder: Path, found: Trace) -> Path:
    """Write a trace as JSON, one column per line, atomically; raises OSError."""
    variant = found.variant
    record = {
        "name": variant.name,
        "change": variant.change,
        "fingerprint": variant.fingerprint(),
        **variant.canonical(),
        "seed": variant.recipe.seed,
        **{name: getattr(found, name) for name in _FACTS},
    }
    names = [field.name for field in fields(Point)]
    columns = {name: [getattr(point, name) for point in found.points] for name in names}
    points = json_lines(columns, "  ")
    path = folder / variant.file_name
    text = f'{{\n{json_lines(record, " ")},\n "points": {{\n{points}\n }}\n}}\n'
    replace_file(path, text.encode())
    return path


def find_trace(variant: Variant, folders: Sequence[Path], complaints: list[str]) -> Trace | None:
    """Read the trace from the first folder that has one; report damaged files as complaints."""
    for path in (folder / variant.file_name for folder in folders):
        try:
            return _read(path, variant)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            complaints.append(
                f"damaged trace ignored: {path}: not a trace of {variant.name} ({error})"
            )
    return None


def _read(path: Path, variant: Variant) -> Trace:
    found = json.loads(path.read_bytes())
    if any(found[name] != value for name, value in variant.canonical().items()):
        raise ValueError("it belongs to another recipe")
    columns = found["points"]
    rows = zip(*columns.values(), strict=True)
    points = tuple(Point(**dict(zip(columns, row, strict=True))) for row in rows)
    if not points or points[-1].accuracy_percent is None:
        raise ValueError("it has no final accuracy")
    return Trace(variant=variant, points=points, **{name: found[name] for name in _FACTS})


def row_of(found: Trace) -> dict[str, Any]:
    """Return what the report's table shows of a trace, as JSON values."""
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
