"""Tests two readings of the same thing against each other. Pure."""

from __future__ import annotations

import base64
import enum
import fnmatch
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from smallnet_core.judging.intervals import ASSUMED_SEED_DEVIATION
from smallnet_core.runs import significance
from smallnet_core.runs.machines import BUSY
from smallnet_core.runs.readings import Process, Reading
from smallnet_core.runs.reference import Learnt
from smallnet_core.runs.significance import Test, Variance

# Points between seeds. Published networks of this size have 0.1 to 0.8.
WIDE_SEED_DEVIATION = 0.8
# Of log medians between two runs on one machine, from 76 timings in three pairs of runs.
ASSUMED_PROCESS_DEVIATION = 0.04
_PROCESS_DEGREES = 70.0
# In a longer table a row's own change hardly moves the spread.
_LONG_TABLE = 40
# Of the log speed of a machine between runs, where no reference timing measures it.
ASSUMED_MOOD_DEVIATION = 0.06
# How far a network's time may depart from a change of the reference timing, as a share of it.
TRANSFER_DEVIATION = 0.3
# How far a busy machine may have slowed one timing more than another, as a share of the log
# of their number a core. Runs of one commit at two a core differed by up to 47 %
# (reports/2026-11-26-compare/three-busy-runs.log).
LOAD_DEVIATION = 0.5
# Passes of under 4 ms differ by more: which core a thread wakes up on decides. Five runs of four
# networks on two cores had deviations of 0.08 to 0.17 (reports/2026-11-26-compare/deviations.log).
SHORT_MS, SHORT_DEVIATION = 4.0, 0.12
_ASSUMED_DEGREES = 30.0


class ComparisonError(ValueError):
    """Two files cannot be compared; the message says why in one line."""


class Change(enum.StrEnum):
    """What became of a row."""

    REGRESSION = "regression"
    ACCEPTED = "accepted"  # a known regression, see accepted
    IMPROVEMENT = "improvement"
    CHANGED = "changed"  # a count: neither better nor worse
    UNDECIDED = "undecided"
    SIMILAR = "no difference shown"
    UNCHANGED = "unchanged"
    NOT_JUDGED = "not judged"
    NOT_MEASURED = "not measured on one side"
    NEW = "new"
    GONE = "gone"


_Least = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Thresholds(BaseModel):
    """The smallest changes that count, from ``[tool.smallnet.compare]`` of a pyproject.toml.

    A change has to be significant at ``alpha`` and larger than its threshold.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    accuracy_points: _Least = 0.1
    time_percent: _Least = 10.0
    claims: dict[str, _Least] = {}  # by pattern, in the row's own unit

    def of(self, reading: Reading) -> float:
        """Return the threshold of a row's effect; the first matching pattern decides."""
        for pattern, least in self.claims.items():
            if fnmatch.fnmatchcase(reading.label, pattern):
                return least
        if reading.kind == "rounds":
            return self.time_percent
        if reading.kind in ("class", "interval") and not reading.unit:
            return self.accuracy_points / 100
        return self.accuracy_points if reading.unit in ("%", "points") else 0.0


@dataclass(frozen=True, kw_only=True)
class RowComparison:
    """A row of both files, or of one."""

    label: str
    table: str
    change: Change
    kind: str
    unit: str
    family: str = ""  # empty: the table
    old: float | None = None
    new: float | None = None
    effect: float | None = None  # new - old, in points for %; percent for rounds
    interval: tuple[float, float] | None = None  # 95 %, of the effect
    threshold: float | None = None
    test: Test | None = None
    # p without the variance of what is unknown; if only this is below alpha, it is undecided.
    narrow_p: float | None = None
    p_adjusted: float | None = None  # Holm, over the table
    note: str = ""
    lower_is_better: bool = False

    def decided(self, change: Change, *notes: str) -> RowComparison:
        """Return it as decided without a test, with further notes."""
        note = joined(self.note, *notes)
        return replace(self, change=change, note=note, test=None, narrow_p=None)


def joined(*notes: str) -> str:
    """Join the notes that are not empty."""
    return "; ".join(filter(None, notes))


def tested(
    row: RowComparison, old: Reading, new: Reading, learnt: Learnt | None, process: Variance
) -> RowComparison:
    """Return the row with the test of its kind, or already decided if it has none.

    ``process`` is the variance of a log time between processes.
    """
    kinds = {old.kind, new.kind}
    if kinds == {"accuracy"}:
        return _accuracy(row, old, new, learnt)
    if kinds == {"class"}:
        return _class(row, old, new)
    if kinds == {"curve"}:
        return _curve(row, old, new)
    if kinds == {"rounds"}:
        return _time(row, old, new, learnt, process)
    if kinds == {"count"}:
        return row.decided(Change.SIMILAR, f"within the threshold of {row.threshold:g}")
    if kinds <= {"interval", "accuracy"} and old.interval and new.interval:
        return _intervals(row, old, new)
    return row.decided(Change.NOT_JUDGED if row.effect else Change.UNCHANGED)


def _accuracy(
    row: RowComparison, old: Reading, new: Reading, learnt: Learnt | None
) -> RowComparison:
    if old.fingerprints != new.fingerprints:
        row = replace(row, note=joined(row.note, "the recipe changed"))
    if answers := _other_answers(old, new):
        lost, gained = answers
        if lost == gained == 0:
            return row.decided(Change.UNCHANGED)
        images = sum(run["num_images"] for run in old.runs)
        low, high = significance.paired_interval(lost, gained, images)
        return replace(
            row,
            note=joined(row.note, "the same weights with other answers"),
            test=significance.mcnemar(lost, gained),
            interval=(100 * low, 100 * high),
        )
    before = learnt.values if learnt else old.values
    images = new.num_images or old.num_images or 10_000
    # Three seeds can agree by chance: assume at least the variance of seeds that share half their
    # errors.
    hits = min(images, max(0, round(statistics.fmean(before) / 100 * images)))
    least = 1e4 * significance.share_variance(hits, images) / 4
    if max(len(before), len(new.values)) >= 3:
        return _by_seeds(row, before, new.values, least)
    wide, narrow = (
        _by_seeds(row, before, new.values, least, (deviation**2, _ASSUMED_DEGREES), method)
        for deviation, method in (
            (WIDE_SEED_DEVIATION, f"t, {WIDE_SEED_DEVIATION:g} points assumed"),
            (ASSUMED_SEED_DEVIATION, ""),
        )
    )
    note = joined(row.note, "fewer than three seeds: their deviation is assumed")
    return replace(wide, note=note, narrow_p=narrow.test.p if narrow.test else None)


def _by_seeds(
    row: RowComparison,
    before: Sequence[float],
    after: Sequence[float],
    least: float,
    assumed: Variance | None = None,
    method: str = "t, the seeds' own deviation",
) -> RowComparison:
    """Test by the variance of the seeds on both sides, measured or ``assumed``."""
    measured = significance.pooled([significance.variance_of(side) for side in (before, after)])
    variance, degrees = assumed or measured
    effect = statistics.fmean(after) - statistics.fmean(before)
    share = 1 / len(before) + 1 / len(after)
    return _by_t(row, effect, [(max(variance, least) * share, degrees)], [], method)


def _by_t(
    row: RowComparison,
    effect: float,
    known: Sequence[Variance],
    unknown: Sequence[Variance],
    method: str,
) -> RowComparison:
    """Test an effect by the variances of its parts, and once more without what is unknown."""
    test, interval = significance.t_test(effect, [*known, *unknown], method)
    narrow_p = significance.t_test(effect, known, "")[0].p if unknown else None
    return replace(row, effect=effect, interval=interval, test=test, narrow_p=narrow_p)


def _class(row: RowComparison, old: Reading, new: Reading) -> RowComparison:
    """Test by the confusion matrices: the variance between draws of images stands for the seeds'.

    Two runs of the same weights vary less than two draws, by the share of images whose answer
    changed.
    """
    sampling = (old.sampling + new.sampling) / 2
    if answers := _other_answers(old, new):
        changed = sum(answers)
        if changed == 0 and old.value == new.value:
            return row.decided(Change.UNCHANGED)
        images = sum(run["num_images"] for run in old.runs)
        right = sum(run["num_images"] * run["accuracy_percent"] / 100 for run in old.runs)
        drawn = 2 * significance.share_variance(round(right), images) * images
        sampling *= min(1.0, max(changed, 1) / images / drawn)
    elif max(len(old.values), len(new.values)) >= 3:
        return _by_seeds(row, old.values, new.values, sampling / 4)
    return _by_seeds(row, old.values, new.values, 0.0, (sampling, 1e9), "confusion matrices")


def _other_answers(old: Reading, new: Reading) -> tuple[int, int] | None:
    """Count images that became wrong and right; None unless both sides have the same weights."""
    before, after = ({run["weights_sha256"]: run["right"] for run in r.runs} for r in (old, new))
    if not before or None in before or before.keys() != after.keys():
        return None
    lost = gained = 0
    for weights in before:
        a, b = (int.from_bytes(base64.b64decode(bits[weights])) for bits in (before, after))
        lost, gained = lost + (a & ~b).bit_count(), gained + (b & ~a).bit_count()
    return lost, gained


def _curve(row: RowComparison, old: Reading, new: Reading) -> RowComparison:
    """Test by the point that differs most; with other weights a curve may be a point ahead."""
    if old.values == new.values:
        return row.decided(Change.UNCHANGED)
    if len(old.values) != len(new.values):
        return row.decided(Change.NOT_JUDGED, "other proportions")
    same = old.weights is not None and old.weights == new.weights
    points = len(old.values)
    found = []
    for k, (a, b) in enumerate(zip(old.values, new.values, strict=True)):
        assert old.num_images and new.num_images
        images = sum(
            1e4 * significance.share_variance(round(v / 100 * n), n)
            for v, n in ((a, old.num_images), (b, new.num_images))
        )
        step = abs(old.values[min(k + 1, points - 1)] - old.values[max(k - 1, 0)]) / 2
        unknown = [(2 * (WIDE_SEED_DEVIATION**2 + step**2), _ASSUMED_DEGREES)] * (not same)
        found.append(_by_t(row, b - a, [(images, 1e9)], unknown, "two shares of the images"))
    surest = min(found, key=lambda at_point: at_point.test.p if at_point.test else 1.0)
    assert surest.test is not None
    return replace(
        surest,
        test=replace(surest.test, p=min(1.0, points * surest.test.p)),
        narrow_p=None if surest.narrow_p is None else min(1.0, points * surest.narrow_p),
        note=joined(row.note, "" if same else "other weights"),
    )


def _intervals(row: RowComparison, old: Reading, new: Reading) -> RowComparison:
    """Test by the halves of both intervals that face each other: they may be asymmetric."""
    assert old.interval and new.interval and old.value is not None and new.value is not None
    effect = new.value - old.value
    if old.minuend is not None and new.minuend is not None:
        effect = new.minuend - old.minuend
        note = joined(row.note, "judged by the first network's own accuracy")
        row = replace(row, effect=effect, note=note)
    if effect == 0:
        return row.decided(Change.UNCHANGED)
    below = math.hypot(new.value - new.interval[0], old.interval[1] - old.value)
    above = math.hypot(new.interval[1] - new.value, old.value - old.interval[0])
    facing = below if effect > 0 else above
    z = 1.96 * abs(effect) / facing if facing else math.inf
    return replace(
        row,
        test=Test(p=2 * statistics.NormalDist().cdf(-z), method="the intervals of both sides"),
        interval=(effect - below, effect + above),
    )


def _difference(old: Process, new: Process) -> tuple[float, float | None]:
    """Return the change of a log time, corrected by the reference timing, and that one's change.

    The latter is None, and the former not corrected, without a common reference timing.
    """
    if old.mood is None or new.mood is None or old.gauge != new.gauge:
        return new.log - old.log, None
    return (new.log - new.mood) - (old.log - old.mood), new.mood - old.mood


def process_variance(
    pairs: Sequence[tuple[Reading | None, Reading | None]],
    learnt: Mapping[tuple[str, ...], Learnt],
    of: Reading,
) -> Variance:
    """Estimate the variance of a log time between processes: assumed, or from earlier runs.

    If the other rows of a long enough table vary more than that, their spread is used.
    """
    both = [(a, b) for a, b in pairs if a and b and b.table == of.table and a.process and b.process]
    if len(both) <= _LONG_TABLE:
        both = [(a, b) for a, b in both if b is not of]
    windows = [significance.variance_of(learnt[a.pool].values) for a, _ in both if a.pool in learnt]
    known = significance.pooled([(ASSUMED_PROCESS_DEVIATION**2, _PROCESS_DEGREES), *windows])
    if len(both) < 10 or windows:
        return known
    seen = significance.spread(
        tuple(_difference(a.process, b.process)[0] for a, b in both if a.process and b.process)
    )
    return max(known[0], seen / 2), known[1]


def _time(
    row: RowComparison, old: Reading, new: Reading, learnt: Learnt | None, process: Variance
) -> RowComparison:
    assert old.process and new.process
    a, b = old.process, new.process
    num_old, (difference, shift) = 1, _difference(a, b)
    if learnt and learnt.gauge == b.gauge:
        num_old = len(learnt.values)
        shift = None if learnt.gauge is None else (b.mood or 0.0) - learnt.mood
        difference = b.log - (b.mood or 0.0) - statistics.fmean(learnt.values)
    # The variance between medians already includes that within: count the larger one.
    variance, degrees = max(process, a.within)
    known = [(variance / num_old, degrees), max(process, b.within)]
    if shift is not None:
        unknown = [((TRANSFER_DEVIATION * shift) ** 2, _ASSUMED_DEGREES)]
        method = "t between processes, against the reference timing"
        note = f"the reference timing changed by {100 * math.expm1(abs(shift)):.0f} %"
        note = note if abs(shift) > 0.1 else ""
    else:
        unknown = [(ASSUMED_MOOD_DEVIATION**2 * (1 + 1 / num_old), _ASSUMED_DEGREES)]
        method, note = "t between processes", "no reference timing"
    if log_load := math.hypot(a.log_load, b.log_load):
        unknown.append(((LOAD_DEVIATION * log_load) ** 2, _ASSUMED_DEGREES))
        note = joined(note, "the machine was busy") if log_load > math.log(BUSY) else note
    # A reference of several runs has learnt how much such a row differs by.
    if num_old == 1 and row.unit == "ms" and min(a.log, b.log) < math.log(SHORT_MS):
        unknown.append((2 * SHORT_DEVIATION**2, _ASSUMED_DEGREES))
        note = joined(note, f"under {SHORT_MS:g} ms")
    row = _by_t(replace(row, note=joined(row.note, note)), difference, known, unknown, method)
    assert row.interval is not None
    effect, *ends = (100 * math.expm1(min(x, 500.0)) for x in (difference, *row.interval))
    return replace(row, effect=effect, interval=(ends[0], ends[1]))
