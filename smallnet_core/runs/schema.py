"""What a saved run may hold, as pydantic models; ``file`` is the door that uses them.

The file is pytest-benchmark's; what is ours stands under ``"smallnet"`` at its top level. Fields
that are not named here come through as they are, and what is not known is null.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    NonNegativeInt,
    PlainValidator,
    PositiveInt,
    Tag,
    model_validator,
)

from smallnet_core.records import Status
from smallnet_core.runs.file import SCHEMA

_UNIT_RANGES = {"%": (0, 100), "points": (-100, 100)}  # all others: 0 or more, and shares 0 to 1
_SHARES = ("precision", "recall", "f1", "accuracy", "lost_at_proportion")  # metrics of no unit
_SLACK = 1e-6  # that sums in another order make in a percentage


def _number(value: Any) -> Any:
    if type(value) not in (int, float):  # True is no 1
        raise ValueError("expected a number")
    return value


def _ordered(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise ValueError("expected its lower end first")
    return ends


def _known(schema: int) -> int:
    if not 1 <= schema <= SCHEMA:
        raise ValueError(f"this version reads 1 to {SCHEMA}; a newer one is needed for others")
    return schema


Number = Annotated[int | float, PlainValidator(_number)]
NonNegative = Annotated[Number, Field(ge=0)]
Percent = Annotated[Number, Field(ge=0, le=100)]
Log = Annotated[Number, Field(ge=-1000, le=1000)]  # or a percentage, of a value
Interval = Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
Verdict = Annotated[str, Field(pattern=f"^({'|'.join(Status)})$")]
# Where a trained network comes from.
Origin = Annotated[str, Field(pattern=r"^((zoo|cache|trained|recorded)$|diverged)")]


class _Model(pydantic.BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class Details(_Model):
    """How a claim's networks came to be, a value a seed, and where a curve was measured."""

    epochs: int | None = None
    computed_in: list[str] = []
    origins: list[Origin] = []
    train_seconds: list[NonNegative | None] = []
    trained_on: list[str | None] = []
    trained_at_commit: list[str | None] = []
    technique: str | None = None
    measured_on: str | None = None  # a processor's name
    measured_at_commit: str | None = None
    minuend_percent: Number | None = None  # of a difference: the accuracy that it is about


class _Measured(_Model):
    """What was measured for a claim, here or in an earlier run."""

    verdict: Verdict
    reason: str
    measured: Number | None
    deviation: NonNegative | None
    difference: Number | None
    interval: Interval | None
    seeds: list[int]
    values: list[Number | None]
    num_images: PositiveInt | None = None
    recipe: str | None
    fingerprints: list[str]
    details: Details

    @model_validator(mode="after")
    def _is_the_mean(self) -> _Measured:
        if self.measured is None or None in self.values:
            return self
        if not self.values:
            raise ValueError(f"measured is {self.measured}, and there are no values")
        mean = math.fsum(self.values) / len(self.values)  # type: ignore[arg-type]
        if not math.isclose(mean, self.measured, rel_tol=_SLACK, abs_tol=_SLACK):
            raise ValueError(f"measured is {self.measured}, the mean of its values {mean}")
        return self


class Recorded(_Measured):
    """What the zoo's records say of a claim that was not measured in this run."""

    trained_on: str
    commit: str | None
    time: str


class ClaimRow(_Measured):
    """A claim that was looked at, see ``Verdict.as_row``."""

    claim: str
    source: str
    paper: Number
    unit: str
    metric: str
    device: str | None
    recorded: Recorded | None = None

    @model_validator(mode="after")
    def _is_in_range(self) -> ClaimRow:
        share = not self.unit and self.metric in _SHARES
        low, high = _UNIT_RANGES.get(self.unit, (0, 1 if share else math.inf))
        found = [self.paper, self.measured, *self.values]
        if self.recorded is not None:
            found += [self.recorded.measured, *self.recorded.values]
        for value in found:
            if value is not None and not low <= value <= high:
                raise ValueError(f"{value} {self.unit or self.metric}: expected {low} to {high}")
        return self


class TimingRow(_Model):
    """What was timed or shown and judges no claim; fields by ``kind``."""

    claim: None
    kind: str
    name: str | None = None
    network: str | None = None
    device: str | None = None
    unit: str | None = None
    measured: NonNegative | None = None
    accuracy_percent: Percent | list[Percent | None] | None = None
    fingerprint: str | None = None
    load_average: NonNegative | None = None
    clock_mhz: Number | None = None
    reference_seconds: dict[str, Number] | None = None  # of the reference timings beside it
    matmul_gflops: Number | None = None
    # Of a pruned network.
    num_params: NonNegativeInt | None = None
    num_nonzeros: NonNegativeInt | None = None
    multiply_adds: NonNegativeInt | None = None
    dense_bytes: NonNegativeInt | None = None
    latency_ms: NonNegative | None = None
    images_per_second: NonNegative | None = None
    # Of a speed of training.
    ratio: Number | None = None
    precision: str | None = None
    rounds_images_per_second: dict[str, list[NonNegative]] | None = None  # a list a loop
    # Of a pruning curve.
    origin: Origin | None = None
    measured_on: str | None = None
    seeds: list[int] = []
    num_images: PositiveInt | None = None
    weights_sha256: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_older_curves(cls, row: Any) -> Any:
        """Their ``origin`` was the processor's name, their ``seed`` one or a list."""
        if not isinstance(row, dict) or row.get("kind") != "pruning curve" or "seed" not in row:
            return row
        row = dict(row)
        seed, machine = row.pop("seed"), row.pop("origin", None)
        return {**row, "measured_on": machine, "seeds": seed if isinstance(seed, list) else [seed]}


def _tag(row: Any) -> str:
    claim = row.get("claim") if isinstance(row, dict) else getattr(row, "claim", None)
    return "<timing>" if claim is None else "<claim>"


Row = Annotated[
    Annotated[ClaimRow, Tag("<claim>")] | Annotated[TimingRow, Tag("<timing>")], Discriminator(_tag)
]


class Optimizer(_Model):
    name: str


class Recipe(_Model):
    """What a network was trained by, see ``Recipe.canonical``."""

    dataset: str
    network: str
    kind: str
    optimizer: Optimizer


class Epoch(_Model):
    epoch: Number
    train_loss: Number | None
    train_accuracy_percent: Percent | None
    test_accuracy_percent: Percent | None
    seconds: NonNegative | None


class Run(_Model):
    """A trained network that was judged; rows refer to it by its fingerprint.

    ``right`` says which images are classified right: a bit each, the first one highest, in base64.
    ``confusion`` (classes x classes) has a row a true class; ``test_digest`` is the sha256 of the
    test set's content.
    """

    name: str
    fingerprint: str
    recipe: Recipe
    origin: Origin
    accuracy_percent: Percent
    num_images: PositiveInt
    right: str
    confusion: list[list[NonNegativeInt]]
    test_digest: str
    selection: str
    selected_epoch: int | None
    curve: list[Epoch]
    train_seconds: NonNegative | None
    peak_memory_mib: NonNegative | None
    computed_in: str
    trained_on: dict[str, Any]
    trained_at_commit: dict[str, Any] | None
    dataset_digests: dict[str, Any] | None
    weights_sha256: str | None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Run:
        right = round(self.accuracy_percent * self.num_images / 100)
        if abs(self.accuracy_percent - 100 * right / self.num_images) > _SLACK:
            raise ValueError(f"{self.accuracy_percent} % is no share of {self.num_images} images")
        if _count_bits(self.right, self.num_images) != right:
            raise ValueError(f"its bits are not those of {self.accuracy_percent} %")
        if any(len(counts) != len(self.confusion) for counts in self.confusion):
            raise ValueError("its confusion matrix is not square")
        trace = sum(counts[k] for k, counts in enumerate(self.confusion))
        if sum(map(sum, self.confusion)) != self.num_images or trace != right:
            raise ValueError(f"its confusion matrix is not that of {self.accuracy_percent} %")
        return self


def _count_bits(packed: str, num_images: int) -> int:
    try:
        raw = base64.b64decode(packed, validate=True)
    except ValueError as error:
        raise ValueError("bits that are no base64") from error
    padding = 8 * len(raw) - num_images
    if not 0 <= padding < 8 or int.from_bytes(raw) & ((1 << padding) - 1):
        raise ValueError(f"bits of more or fewer than its {num_images} images")
    return int.from_bytes(raw).bit_count()


class Found(_Model):
    """What one network or one run has of a reference's row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Log  # percent; of a time the log of its median
    run: str  # time and commit
    weights: str | None
    mood: Log | None  # see ``readings.Process``
    gauge: str | None


class LearntRow(_Model):
    key: list[str]
    label: str
    unit: str
    timed: bool
    n: PositiveInt
    mean: Number
    deviation: NonNegative | None
    values: Annotated[list[Found], Field(min_length=1)]


def _judged(row: ClaimRow | TimingRow) -> Mapping[str | None, Any]:
    """Return the accuracies that a row has of whole networks, by fingerprint."""
    if isinstance(row, TimingRow):
        return {row.fingerprint: row.accuracy_percent} if row.kind == "pruned network" else {}
    whole = row.metric == "accuracy_percent" and row.unit == "%" and not row.details.technique
    if not whole or len(row.fingerprints) != len(row.values):
        return {}
    return dict(zip(row.fingerprints, row.values, strict=True))


class Ours(_Model):
    """What stands under "smallnet": all rows, and the networks that were judged for them."""

    schema_: Annotated[int, AfterValidator(_known)] = Field(alias="schema")
    rows: Annotated[list[Row], FailFast()]
    runs: Annotated[list[Run], FailFast()] = []
    learnt: Annotated[list[LearntRow], FailFast()] = []

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Ours:
        if not self.rows:
            raise ValueError("an empty run: nothing was looked at in it")
        seen = set()
        for row in self.rows:
            if isinstance(row, ClaimRow):
                key = row.claim, row.recipe, row.device
                if key in seen:
                    raise ValueError(f"claim {row.claim} is in it twice")
                seen.add(key)
        runs = {run.fingerprint: run for run in self.runs}
        if len(runs) < len(self.runs):
            raise ValueError("a fingerprint is there twice among its runs")
        for row in self.rows:
            for fingerprint, value in _judged(row).items():
                run = runs.get(fingerprint or "")
                is_number = isinstance(value, int | float)
                if run and is_number and abs(value - run.accuracy_percent) > _SLACK:
                    raise ValueError(
                        f"{row.claim or 'a pruned network'} has {value} % where its run "
                        f"{run.name} has {run.accuracy_percent}"
                    )
        return self


class Environment(_Model):
    device: str | None = None
    device_name: str | None = None
    num_threads: PositiveInt | None = None
    versions: dict[str, Any] = {}


class Processor(_Model):
    brand_raw: str | None = None
    count: NonNegativeInt | None = None
    flags: list[str] = []
    l3_cache_size: int | str | None = None


class MachineInfo(_Model):
    cpu: Processor | None = None
    smallnet: Environment = Environment()


class Commit(_Model):
    id: str | None = None
    dirty: bool | None = None


class ExtraInfo(_Model):
    smallnet: Row | None = None


class Stats(_Model):
    data: list[NonNegative] = []


class Benchmark(_Model):
    name: str
    extra_info: ExtraInfo
    stats: Stats


class Document(_Model):
    """A saved run."""

    machine_info: MachineInfo
    commit_info: Commit
    datetime: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d")]
    benchmarks: Annotated[list[Benchmark], FailFast()]
    smallnet: Ours
