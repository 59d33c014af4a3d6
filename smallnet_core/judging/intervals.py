"""How well a measurement is known: the 95 % intervals that the rules judge by."""

from __future__ import annotations

import functools
import math
import statistics

from smallnet_core.records import Measurement

# Points of accuracy. Published networks of this size differ by 0.1 to 0.5 points between seeds; one
# seed cannot tell its own spread and two hardly can (by t alone they are nine deviations wide). The
# assumption is pooled with what is measured, and weighs as much as eleven seeds would.
ASSUMED_SEED_DEVIATION = 0.3
ASSUMED_DEGREES = 10

_Z_95 = statistics.NormalDist().inv_cdf(0.975)
# What a share of all images is in each unit that a share can have.
_WHOLE = {"%": 100.0, "": 1.0}


def not_finite(measurement: Measurement) -> str:
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


def interval_95(measurement: Measurement) -> tuple[float, float]:
    """95 % interval of the mean, in the measurement's unit; ValueError where it makes no sense.

    The measurement's own interval if it has one. A count (no ``num_images``) is itself, or has the
    t interval over several that differ. A share of ``num_images`` adds in quadrature the test set's
    error (Wilson) and the seeds': t with their deviation pooled with ``ASSUMED_SEED_DEVIATION``.
    """
    if problem := not_finite(measurement):
        raise ValueError(problem)
    mean = mean_of(measurement.values)
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
        values = (mean_of(a.values) - mean_of(b.values),)

    finite = not (not_finite(a) or not_finite(b))
    return Measurement(
        values=values,
        unit="points",
        seeds=a.seeds if matched else (),
        interval=_difference_interval(a, b) if finite else None,
        recipe=a.recipe if a.recipe == b.recipe else None,
        fingerprints=a.fingerprints + b.fingerprints,
        device=a.device if a.device == b.device else f"{a.device}, {b.device}",
        details={
            "minuend_percent": mean_of(a.values),
            "subtrahend_percent": mean_of(b.values),
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
    difference = mean_of(a.values) - mean_of(b.values)
    return (
        max(-100.0, difference - math.hypot(a_lower, b_upper, seeds)),
        min(100.0, difference + math.hypot(a_upper, b_lower, seeds)),
    )


def _images_half_widths(side: Measurement) -> tuple[float, float]:
    mean = mean_of(side.values)
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
    pooled = (assumed + own * (deviation_of(values) or 0.0) ** 2) / degrees
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


def mean_of(values: tuple[float, ...]) -> float:
    # Exact, hence the same in any order and within the values; sum() / len() is neither.
    return float(statistics.mean(values))


def deviation_of(values: tuple[float, ...]) -> float | None:
    return float(statistics.stdev(values)) if len(values) > 1 else None


def _t_half_width(values: tuple[float, ...]) -> float:
    """Of the 95 % interval of the mean; 0 for one value and for values that agree."""
    deviation = deviation_of(values)
    if not deviation:
        return 0.0
    return t_quantile(len(values) - 1) * deviation / math.sqrt(len(values))


@functools.cache
def t_quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # 0.2 s, and only several seeds need it

    return float(stdtrit(degrees, 0.975))
