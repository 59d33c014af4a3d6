"""Claim and measurement in, verdict out: the rules of ``records.Rule`` and their statistics.

The intervals are of the level that this recipe reaches, on test images like these and over seeds;
the paper's own number is taken as printed, but for a classification report (``report_interval``).
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from smallnet_core.records import Claim, Measurement, Rule, Status, Verdict

__all__ = [
    "ASSUMED_SEED_DEVIATION",
    "FAMILY",
    "difference_measurement",
    "interval_95",
    "judge",
    "not_measured",
    "report_errors",
    "report_interval",
    "seed_variance",
    "t_quantile",
    "wilson_interval",
]

# Points of accuracy. Published networks of this size differ by 0.1 to 0.5 points between seeds; one
# seed cannot tell its own spread and two hardly can (by t alone they are nine deviations wide). The
# assumption is pooled with what is measured, and weighs as much as eleven seeds would.
ASSUMED_SEED_DEVIATION = 0.3
ASSUMED_DEGREES = 10

# A classification report holds about 50 numbers (precision, recall, f1 of ten classes, their
# averages): at 95 % each, two or three of them would be misjudged by chance alone.
FAMILY = 50

_Z_95 = statistics.NormalDist().inv_cdf(0.975)
_Z_FAMILY = statistics.NormalDist().inv_cdf(1 - 0.05 / (2 * FAMILY))  # 3.29

# Knows a standard error to about 2 % of itself: 1 / sqrt(2 * draws).
_NUM_DRAWS = 1000
_SEED = 0

# What a share of all images is in each unit that a share can have.
_WHOLE = {"%": 100.0, "": 1.0}

_Floats: TypeAlias = npt.NDArray[np.float64]
_Row: TypeAlias = int | str


# ---------------------------------------------------------------------------------------- verdicts


def judge(claim: Claim, measurement: Measurement) -> Verdict:
    """Hold ``measurement`` against ``claim`` by the claim's rule; ValueError if their units differ.

    ABOVE and BELOW are UNDECIDED while the interval lies on both sides of the claimed value.
    A value that is not finite is MISSED, without numbers.
    """
    if measurement.unit != claim.unit:
        raise ValueError(
            f"{claim.id}: claimed in {claim.unit!r}, measured in {measurement.unit!r}: convert it"
        )
    if problem := _not_finite(measurement):
        return Verdict(claim=claim, status=Status.MISSED, reason=problem, measurement=measurement)

    mean = _mean(measurement.values)
    interval = interval_95(measurement)
    status, reason = _decide(claim, measurement, mean, interval)
    return Verdict(
        claim=claim,
        status=status,
        reason=reason,
        measurement=measurement,
        measured=mean,
        deviation=_deviation(measurement.values),
        difference=mean - claim.paper_value,
        interval=interval,
    )


def not_measured(claim: Claim, reason: str) -> Verdict:
    """The verdict on a claim that nothing was measured for; ValueError for an empty reason."""
    line = " ".join(reason.split())
    if not line:
        raise ValueError(f"{claim.id}: not measured, and no reason given: say why in one line")
    return Verdict(claim=claim, status=Status.NOT_MEASURED, reason=line)


def _decide(
    claim: Claim, measurement: Measurement, mean: float, interval: tuple[float, float]
) -> tuple[Status, str]:
    low, high = interval
    unit, paper = claim.unit, claim.paper_value
    claimed = f"the claimed {_printed(paper, unit)}"
    found = _found(measurement, mean, interval)

    match claim.rule:
        case Rule.EXACT:
            differing = [value for value in measurement.values if value != paper]
            if not differing:
                return Status.REPRODUCED, f"{found} is exactly {claimed}"
            return Status.MISSED, f"{_number(differing[0], unit)} is not {claimed}"

        case Rule.ROUNDED:
            precision = _printed(claim.resolution, unit)
            if _rounds_to(mean, paper, claim.resolution):
                return Status.REPRODUCED, f"{found} is {claimed} to a precision of {precision}"
            return Status.MISSED, f"{found} is not {claimed}, even to a precision of {precision}"

        case Rule.AT_LEAST:
            lowest, highest = _printed_range(claim)
            if high < lowest:
                return Status.MISSED, f"{found} is below {claimed}"
            if low > highest:
                return Status.EXCEEDED, f"{found} is above {claimed}"
            return Status.REPRODUCED, f"{found} agrees with {claimed}"

        case Rule.ABOVE | Rule.BELOW:
            side = claim.rule.value
            holds, fails = low > paper, high < paper
            if claim.rule is Rule.BELOW:
                holds, fails = fails, holds
            limit = _printed(paper, unit)
            if holds:
                return Status.REPRODUCED, f"{found} is {side} {limit}"
            if fails or low == high:  # a count that equals the threshold is not beyond it
                return Status.MISSED, f"{found} is not {side} {limit}"
            # Two seeds are wider than one (see interval_95): never send anyone there.
            seeds = max(5, 2 * max(_num_seeds(measurement)))
            return (
                Status.UNDECIDED,
                f"undecided whether {side} {limit}: {found}; --seeds {seeds} narrows it",
            )

        case Rule.FAILS:
            assert claim.refuted_above is not None, "Claim checks it"
            bar = _printed(claim.refuted_above, unit)
            if low > claim.refuted_above:
                return Status.REFUTED, f"{found} is above {bar}: it works, and is claimed not to"
            if low > _printed_range(claim)[1]:
                return Status.REPRODUCED, f"{found} is above {claimed}, yet not clear of {bar}"
            return Status.REPRODUCED, f"{found} is no better than {claimed}"


def _not_finite(measurement: Measurement) -> str:
    """Names the first number that is not finite; empty if all are."""
    seeds = measurement.seeds
    for index, value in enumerate(measurement.values):
        if not math.isfinite(value):
            which = f" (seed {seeds[index]})" if len(seeds) == len(measurement.values) else ""
            return f"measured {value}{which}: not a finite number"
    if measurement.interval is not None and not all(map(math.isfinite, measurement.interval)):
        low, high = measurement.interval
        return f"the measurement's interval is {low} to {high}: not finite numbers"
    return ""


def _printed_range(claim: Claim) -> tuple[float, float]:
    """What the paper's value may have been before printing: 94.13 stands for 94.125 to 94.135."""
    # In decimals: 94.13 - 0.005 in floats may fall on either side of 94.125.
    paper, slack = _decimal(claim.paper_value), _decimal(claim.resolution) / 2
    return float(paper - slack), float(paper + slack)


def _rounds_to(value: float, paper_value: float, resolution: float) -> bool:
    """Whether any of the usual ways to print ``value`` at ``resolution`` gives ``paper_value``."""
    if resolution <= 0:
        raise ValueError(f"Rule.ROUNDED needs a resolution above 0, got {resolution}")
    # In decimals: 0.29 / 0.01 is 28.999999999999996 in floats, and would be cut off to 28.
    unit = _decimal(resolution)
    steps = _decimal(value) / unit
    return any(
        steps.to_integral_value(rounding) * unit == _decimal(paper_value)
        for rounding in (ROUND_HALF_UP, ROUND_DOWN)  # rounding half to even gives one of the two
    )


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))


# ------------------------------------------------------------------------------------------ wording


def _number(value: float, unit: str) -> str:
    """A measured value with its unit; whole numbers of a count stay whole."""
    if unit in ("%", "points", "MiB"):
        return f"{value:z,.2f} {unit}"
    if unit == "":
        return f"{value:z.3f}"
    return f"{value:z,.{0 if value == int(value) else 2}f} {unit}"


def _printed(value: float, unit: str) -> str:
    """A value of the paper with its unit, with the digits that it has there."""
    return f"{value:,.12g} {unit}".rstrip()


def _found(measurement: Measurement, mean: float, interval: tuple[float, float]) -> str:
    unit = measurement.unit
    text = _number(mean, unit)
    low, high = interval
    if low == high:
        return text
    bare = (_number(end, unit).removesuffix(unit).rstrip() for end in interval)
    return f"{text} ({' to '.join(bare)}) over {_seeds(measurement)}"


def _num_seeds(measurement: Measurement) -> tuple[int, int]:
    """Of the two sides of a difference, else the same number twice."""
    first, second = measurement.details.get("num_seeds", (len(measurement.values),) * 2)
    return first, second


def _seeds(measurement: Measurement) -> str:
    first, second = _num_seeds(measurement)
    if first != second:
        return f"{first} against {second} seeds"
    return f"{first} seed{'s' if first > 1 else ''}"


# -------------------------------------------------------------------------------------- statistics


def interval_95(measurement: Measurement) -> tuple[float, float]:
    """95 % interval of the mean, in the measurement's unit; ValueError where it makes no sense.

    The measurement's own interval if it has one. A count (no ``num_images``) is itself, or has the
    t interval over several that differ. A share of ``num_images`` adds in quadrature the test set's
    error (Wilson) and the seeds': t with their deviation pooled with ``ASSUMED_SEED_DEVIATION``.
    """
    if problem := _not_finite(measurement):
        raise ValueError(problem)
    mean = _mean(measurement.values)
    if measurement.interval is not None:
        low, high = measurement.interval
        # Catches a share given with an interval in percent, which would decide anything.
        noise = 1e-9 * max(1.0, abs(mean))
        if not low - noise <= mean <= high + noise:
            raise ValueError(f"interval {low} to {high} is not around the mean {mean}: same unit?")
        return low, high
    if measurement.num_images is None:
        half = _t_half_width(measurement.values)
        return mean - half, mean + half

    whole = _whole(measurement)
    lower, upper = _binomial_half_widths(mean, measurement.num_images, whole)
    variance, degrees = seed_variance(measurement.values, whole)
    seeds = t_quantile(degrees) * math.sqrt(variance)
    # Not divided by the number of seeds: they are all tested on the same images.
    return max(0.0, mean - math.hypot(lower, seeds)), min(whole, mean + math.hypot(upper, seeds))


def wilson_interval(share: float, num_images: int, z: float = _Z_95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of images, 0 to 1."""
    if num_images < 1:
        raise ValueError(f"a share of {num_images} images has no interval: at least one is needed")
    p, n = share, num_images
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At 0 and 1 an end is p itself, but for rounding.
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))


def difference_measurement(a: Measurement, b: Measurement) -> Measurement:
    """``a`` - ``b`` in points, of two accuracies in percent; ValueError for anything else.

    Values are pairs where both have as many seeds (matched by seed where they have the same ones),
    else the one difference of the means. The interval takes the sides as independent: the test
    set's errors by Newcombe's square-and-add of Wilson intervals (1998, method 10), the seeds' by
    Welch's t, the two in quadrature. A side with an interval of its own gives that instead. Both
    sides see the same images, which makes the true interval narrower, never wider.
    """
    for side in (a, b):
        if side.unit != "%":
            raise ValueError(f"a difference in points is of two values in %, got {side.unit!r}")
        if side.num_images is None and side.interval is None:
            raise ValueError("a difference needs num_images or an interval on both sides")

    sizes = len(a.values), len(b.values)
    matched = sorted(a.seeds) == sorted(b.seeds) == sorted(set(a.seeds)) and (
        (len(a.seeds), len(b.seeds)) == sizes
    )
    if matched:
        of_a, of_b = (dict(zip(side.seeds, side.values, strict=True)) for side in (a, b))
        values = tuple(of_a[seed] - of_b[seed] for seed in a.seeds)
    elif sizes[0] == sizes[1]:
        values = tuple(x - y for x, y in zip(a.values, b.values, strict=True))
    else:
        values = (_mean(a.values) - _mean(b.values),)

    finite = not (_not_finite(a) or _not_finite(b))
    return Measurement(
        values=values,
        unit="points",
        seeds=a.seeds if matched else (),
        interval=_difference_interval(a, b) if finite else None,
        recipe=a.recipe if a.recipe == b.recipe else None,
        fingerprints=a.fingerprints + b.fingerprints,
        device=a.device if a.device == b.device else f"{a.device}, {b.device}",
        details={
            "minuend_percent": _mean(a.values),
            "subtrahend_percent": _mean(b.values),
            "num_seeds": sizes,
            "origins": [*a.details.get("origins", ()), *b.details.get("origins", ())],
        },
    )


def _difference_interval(a: Measurement, b: Measurement) -> tuple[float, float]:
    (a_lower, a_upper), (b_lower, b_upper) = (_images_half_widths(side) for side in (a, b))
    variances = [seed_variance(side.values, 100.0) for side in (a, b) if side.interval is None]
    variance = sum(v for v, _ in variances)
    seeds = 0.0
    if variances:
        # Welch-Satterthwaite
        degrees = variance**2 / sum(v**2 / degrees for v, degrees in variances)
        seeds = t_quantile(degrees) * math.sqrt(variance)
    difference = _mean(a.values) - _mean(b.values)
    return (
        max(-100.0, difference - math.hypot(a_lower, b_upper, seeds)),
        min(100.0, difference + math.hypot(a_upper, b_lower, seeds)),
    )


def _images_half_widths(side: Measurement) -> tuple[float, float]:
    mean = _mean(side.values)
    if side.interval is not None:
        low, high = interval_95(side)
        return max(0.0, mean - low), max(0.0, high - mean)
    assert side.num_images is not None, "difference_measurement checks it"
    return _binomial_half_widths(mean, side.num_images, _whole(side))


def seed_variance(values: tuple[float, ...], whole: float) -> tuple[float, float]:
    """Variance of the mean over seeds, in the unit squared, and its degrees of freedom.

    ``whole`` is what all images are in that unit, 100 or 1.
    """
    own = len(values) - 1
    degrees = own + ASSUMED_DEGREES
    assumed = ASSUMED_DEGREES * (ASSUMED_SEED_DEVIATION * whole / 100) ** 2
    pooled = (assumed + own * (_deviation(values) or 0.0) ** 2) / degrees
    return pooled / len(values), degrees


def _whole(measurement: Measurement) -> float:
    """100 or 1, what the share of all images is; ValueError if this is no share of images."""
    whole = _WHOLE.get(measurement.unit)
    if whole is None:
        raise ValueError(
            f"num_images is for a share of images, in % or 0 to 1, not for {measurement.unit!r}: "
            "give an interval instead"
        )
    for value in measurement.values:
        if not 0 <= value <= whole:
            raise ValueError(f"a share of images is 0 to {whole:g} {measurement.unit}, got {value}")
    return whole


def _binomial_half_widths(mean: float, num_images: int, whole: float) -> tuple[float, float]:
    share = mean / whole
    low, high = wilson_interval(share, num_images)
    return whole * (share - low), whole * (high - share)


def _mean(values: tuple[float, ...]) -> float:
    # Exact, hence the same in any order and within the values; sum() / len() is neither.
    return float(statistics.mean(values))


def _deviation(values: tuple[float, ...]) -> float | None:
    return float(statistics.stdev(values)) if len(values) > 1 else None


def _t_half_width(values: tuple[float, ...]) -> float:
    """Of the 95 % interval of the mean; 0 for one value and for values that agree."""
    deviation = _deviation(values)
    if not deviation:
        return 0.0
    return t_quantile(len(values) - 1) * deviation / math.sqrt(len(values))


@functools.cache
def t_quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # 0.2 s, and only several seeds need it

    return float(stdtrit(degrees, 0.975))


# -------------------------------------------------------------------------- classification reports


def report_errors(confusion: npt.ArrayLike) -> dict[str, _Floats]:
    """Standard errors of a classification report, by parametric bootstrap of its test images.

    ``confusion`` (C, C) counts of one seed, rows the true class, whose number of images is fixed.
    Precision, recall and f1 are (C + 2,): the classes, macro_avg, weighted_avg; accuracy is (1,).
    Takes about 10 ms for ten classes: compute it once for a report's claims.
    """
    counts = _checked(confusion)
    support = counts.sum(1)
    classes = len(counts)
    # One image more a class, spread evenly: a cell that is 0 by luck must not have an error of 0.
    shares = (counts + 1 / classes) / (support[:, None] + 1)
    draws = np.random.default_rng(_SEED).multinomial(
        support.astype(np.int64), shares, size=(_NUM_DRAWS, classes)
    )
    return {name: drawn.std(0, ddof=1) for name, drawn in _report(draws.astype(float)).items()}


def report_interval(
    confusion: npt.ArrayLike,
    row: _Row,
    metric: str,
    errors: Mapping[str, _Floats] | None = None,
) -> tuple[float, float]:
    """Interval of one number of a report, 0 to 1; simultaneously 95 % for all ``FAMILY`` of them.

    ``row``: a class index, "macro_avg", "weighted_avg" or "accuracy" (with that metric too).
    ``metric``: "precision", "recall", "f1" or "accuracy". ``errors``: of ``report_errors``, for
    this confusion. Wider by sqrt(2) than this report's own error, for the paper's report is a draw
    like this one; that draw stands for the seed too, whose share of one class is not known.
    """
    counts = _checked(confusion)
    index = _index(row, metric, len(counts))
    if errors is None:
        errors = report_errors(counts)
    value = float(_report(counts)[metric][index])
    half = _Z_FAMILY * math.sqrt(2) * float(errors[metric][index])
    return max(0.0, value - half), min(1.0, value + half)


def _report(counts: _Floats) -> dict[str, _Floats]:
    """The report of each matrix in (..., C, C); a class never predicted has precision 0."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    metrics = {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + predicted, 1),
    }
    num_images = support.sum(-1, keepdims=True)
    report = {
        name: np.concatenate(
            (
                values,
                values.mean(-1, keepdims=True),
                (values * support).sum(-1, keepdims=True) / num_images,
            ),
            axis=-1,
        )
        for name, values in metrics.items()
    }
    report["accuracy"] = hits.sum(-1, keepdims=True) / num_images
    return report


def _checked(confusion: npt.ArrayLike) -> _Floats:
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, got {counts.shape}")
    if not (counts >= 0).all() or (counts != np.floor(counts)).any() or not counts.any():
        raise ValueError("a confusion matrix holds counts of images, some of them above 0")
    return counts


def _index(row: _Row, metric: str, classes: int) -> int:
    if metric == "accuracy" and row == "accuracy":
        return 0
    if metric in ("precision", "recall", "f1"):
        if isinstance(row, int) and 0 <= row < classes:
            return row
        if row in ("macro_avg", "weighted_avg"):
            return classes + ("macro_avg", "weighted_avg").index(str(row))
    raise ValueError(
        f"no row {row!r} with metric {metric!r} in a report: precision, recall and f1 of a class "
        f"index below {classes}, macro_avg or weighted_avg; or accuracy of accuracy"
    )
