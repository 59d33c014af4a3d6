"""The records that flow through the suite: claim, measurement, verdict, environment.

Standard library only, so that ``--help`` and ``--collect-only`` never load torch.
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


class Rule(enum.StrEnum):
    """How a measured value is compared with the paper's; ``judging`` documents each rule."""

    EXACT = "exact"  # equal to the last digit
    ROUNDED = "rounded"  # equal at the precision the paper prints: rounded, or cut off
    LIMIT = "limit"  # at least paper_value: the mean alone decides, without an interval
    AT_LEAST = "at_least"  # a level: an interval below it misses, one above it exceeds
    ABOVE = "above"  # "more than paper_value": decided once the interval is on one side of it
    BELOW = "below"  # "less than paper_value": likewise
    FAILS = "fails"  # it does not work: refuted once the interval is above refuted_above


class Status(enum.StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    EXCEEDED = "exceeded"
    REFUTED = "refuted"  # the paper says that it fails or cannot be done, and it can
    MISSED = "missed"
    UNDECIDED = "undecided"  # measured, and its interval lies on both sides of the claim
    NOT_MEASURED = "not measured"


class NotMeasured(Exception):  # noqa: N818 - it is an outcome with a reason, not an error
    """A claim cannot be measured here and now; the message is the reason, in one line."""


def as_json(value: Any) -> Any:
    """Return ``value`` with None for NaN and the infinities, which JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One number or sentence of the paper, and how it is judged.

    ``resolution`` is the unit of the last digit that the paper prints (0.01 for 94.13, 1e6 for
    "11M"); 0 where the value is exact.
    """

    id: str  # starts with its place: "table2/resnet18_s-adabound"
    source: str  # "Table 2", "Section 3.2.1", "Appendix A", "Appendix D.1"
    statement: str  # one sentence that can be true or false
    metric: str  # "accuracy_percent", "num_params", "precision", ...
    paper_value: float
    unit: str  # "%", "points", "parameters", "images", "" for a pure number
    rule: Rule
    resolution: float = 0.0
    refuted_above: float | None = None  # with Rule.FAILS only
    network: str | None = None  # a name for models.build_model, if the claim is about one
    optimizer: str | None = None  # "sgdm", "adam" or "adabound"
    dataset: str | None = None  # "cifar10", "cifar100" or "digits"
    details: Mapping[str, Any] = field(default_factory=dict)  # layer_type, class_name, ...
    remark: str = ""  # where the paper contradicts itself, or doesn't count as it says
    not_measured: str = ""  # the reason, if no run of this suite can measure it

    def __post_init__(self) -> None:
        if (self.rule is Rule.FAILS) != (self.refuted_above is not None):
            raise ValueError(f"{self.id}: refuted_above is for Rule.FAILS, which needs it")
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a run found for one claim: a value for each seed, and what is needed to judge it.

    A share of test images has ``num_images`` and, if known, ``right``: for each seed one bit per
    image, set if it was classified correctly, most significant bit first, in base64. If the spread
    is known in another way (per-class numbers, differences), ``interval`` gives the 95 % interval
    of the mean and takes precedence. A count has none of these.
    """

    values: tuple[float, ...]
    unit: str
    seeds: tuple[int, ...] = ()
    num_images: int | None = None
    right: tuple[str, ...] = ()
    interval: tuple[float, float] | None = None
    recipe: str | None = None  # "tuned", "paper", "quick"
    fingerprints: tuple[str, ...] = ()  # of the recipe, one per seed
    device: str = "cpu"
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a measurement needs at least one value")
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        # Exact, so independent of the order and never outside the values, unlike sum() / len().
        return float(statistics.mean(self.values))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim after judging; fields that were not measured are None."""

    claim: Claim
    status: Status
    reason: str  # one line: what decided it, or why it was not measured
    measurement: Measurement | None = None
    measured: float | None = None  # mean over seeds, in the claim's unit
    deviation: float | None = None  # over seeds; None for fewer than two
    difference: float | None = None  # measured - paper_value
    interval: tuple[float, float] | None = None  # 95 %, of the mean
    expected_miss: bool = False  # missed by no more than the shipped weights are known to miss it

    def as_row(self) -> dict[str, Any]:
        """Return the JSON form that ``extra_info["smallnet"]`` holds and reports are made from."""
        found = self.measurement
        row: dict[str, Any] = as_json(
            {
                "claim": self.claim.id,
                "source": self.claim.source,
                "verdict": self.status.value,
                "reason": self.reason,
                "expected_miss": self.expected_miss,
                "paper": self.claim.paper_value,
                "measured": self.measured,
                "deviation": self.deviation,
                "difference": self.difference,
                "interval": self.interval,
                "unit": self.claim.unit,
                "metric": self.claim.metric,
                "seeds": found.seeds if found else (),
                "values": found.values if found else (),
                "num_images": found.num_images if found else None,
                "recipe": found.recipe if found else None,
                "fingerprints": found.fingerprints if found else (),
                "device": found.device if found else None,
                "details": found.details if found else {},
            }
        )
        return row


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run happened; stored in every cache record and in the JSON's machine_info."""

    device: str  # "cpu", "cuda:0"
    device_name: str
    machine: str
    system: str
    python: str
    num_threads: int
    memory_gib: float
    versions: Mapping[str, str]
    # Precision of float32 convolutions and products on a GPU, in torch's terms; None on a CPU.
    fp32_precision: Mapping[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as JSON values."""
        return dict(vars(self))
