"""The 95 % intervals that the rules judge measurements by."""

from __future__ import annotations

import base64
import functools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from smallnet_core.records import Measurement

# Points of accuracy. Published networks of this size differ by 0.1 to 0.5 points between seeds; one
# seed says nothing about the spread and two hardly anything (t alone makes their interval nine
# deviations wide). The assumption is pooled with what is measured, and weighs as eleven seeds do.
ASSUMED_SEED_DEVIATION = 0.3
ASSUMED_DEGREES = 10

_Z_95 = statistics.NormalDist().inv_cdf(0.975)
# The share of all images, in each unit of shares.
_WHOLE = {"%": 100.0, "": 1.0}


def not_finite(measurement: Measurement) -> str:
    """Name the first number that is not finite; "" if all are finite."""
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
    """Return the 95 % interval of the mean in the measurement's unit; ValueError if inconsistent.

    The measurement's own interval takes precedence. A count (no ``num_images``) is exact, unless
    several differ: then it has their t interval. A share of ``num_images`` has the interval over
    seeds: t, with their deviation pooled with ``ASSUMED_SEED_DEVIATION``.
    """
    if problem := not_finite(measurement):
        raise ValueError(problem)
    mean = mean_of(measurement.values)
    if measurement.interval is not None:
        low, high = measurement.interval
        # Catches a share whose interval is in percent, which would reproduce any claim.
        noise = 1e-9 * max(1.0, abs(mean))
        if not low - noise <= mean <= high + noise:
            raise ValueError(f"interval {low} to {high} is not around the mean {mean}: same unit?")
        return low, high
    if measurement.num_images is None:
        half = _t_half_width(measurement.values)
        return mean - half, mean + half
    whole = _whole(measurement)
    half = seeds_half_width([seed_variance(measurement.values, whole)])
    return max(0.0, mean - half), min(whole, mean + half)


def wilson_interval(share: float, num_images: int, z: float = _Z_95) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a share of images, 0 to 1."""
    if num_images < 1:
        raise ValueError(f"a share of {num_images} images has no interval: at least one is needed")
    p, n = share, num_images
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At 0 and 1 one end equals p; rounding must not move it past p.
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))


def difference_measurement(
    a: Measurement, b: Measurement, *, same_network: bool = False
) -> Measurement:
    """Return ``a`` - ``b`` in points, of two accuracies in percent; ValueError for other units.

    Both sides must be measured on the same test images. With equally many seeds the values are the
    differences of pairs, matched by seed if both have the same ones; otherwise the only value is
    the difference of the means.

    The interval adds in quadrature the error of the seeds (Welch's t) and that of the images:
    paired by image (adjusted Wald, Bonett and Price 2012) if both sides have ``right``, else as if
    each had its own images (Newcombe's square-and-add of Wilson intervals, 1998), which is wider.
    With ``same_network``, for a network and its pruned self, a pair varies as one seed does and the
    images add no error.
    """
    for side in (a, b):
        if side.unit != "%":
            raise ValueError(f"a difference in points is of two values in %, got {side.unit!r}")
        if side.num_images is None:
            raise ValueError("a difference needs num_images on both sides")

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

    interval, images = None, (0.0, 0.0)
    if not (not_finite(a) or not_finite(b)):
        if same_network:
            variances = [seed_variance(values, 100.0)]
        else:
            variances = [seed_variance(side.values, 100.0) for side in (a, b)]
            images = _images_half_widths(a, b)
        seeds, mean = seeds_half_width(variances), mean_of(a.values) - mean_of(b.values)
        interval = (
            max(-100.0, mean - math.hypot(images[0], seeds)),
            min(100.0, mean + math.hypot(images[1], seeds)),
        )
    return Measurement(
        values=values,
        unit="points",
        seeds=a.seeds if matched else (),
        interval=interval,
        recipe=a.recipe if a.recipe == b.recipe else None,
        fingerprints=a.fingerprints + b.fingerprints,
        device=a.device if a.device == b.device else f"{a.device}, {b.device}",
        details={
            "minuend_percent": mean_of(a.values),
            "subtrahend_percent": mean_of(b.values),
            "num_seeds": sizes,
            "images_points": max(images),  # the part of the interval that more seeds don't reduce
            "origins": [*a.details.get("origins", ()), *b.details.get("origins", ())],
        },
    )


def _images_half_widths(a: Measurement, b: Measurement) -> tuple[float, float]:
    """Return how far the images widen a difference's interval, in points, down and up."""
    if a.right and b.right and a.num_images == b.num_images:
        assert a.num_images is not None, "difference_measurement checks it"
        each = _shares_right(a) - _shares_right(b)
        n = a.num_images + 2  # one more image that only a has right, and one that only b has right
        variance = (float(each @ each) + 2) / n - (float(each.sum()) / n) ** 2
        half = 100 * _Z_95 * math.sqrt(max(0.0, variance) / n)
        return half, half
    (a_down, a_up), (b_down, b_up) = (_binomial_half_widths(side) for side in (a, b))
    return math.hypot(a_down, b_up), math.hypot(a_up, b_down)


def _shares_right(side: Measurement) -> npt.NDArray[np.float64]:
    """Return for each image, (N,), the share of seeds that classify it correctly."""
    bits = [
        np.unpackbits(np.frombuffer(base64.b64decode(one), np.uint8), count=side.num_images)
        for one in side.right
    ]
    shares: npt.NDArray[np.float64] = np.mean(bits, axis=0, dtype=np.float64)
    return shares


def seeds_half_width(variances: Sequence[tuple[float, float]]) -> float:
    """Return half of a 95 % interval from the ``seed_variance`` of each side."""
    variance = sum(v for v, _ in variances)
    # Welch-Satterthwaite
    degrees = variance**2 / sum(v**2 / degrees for v, degrees in variances)
    return t_quantile(degrees) * math.sqrt(variance)


def seed_variance(values: tuple[float, ...], whole: float) -> tuple[float, float]:
    """Return the variance of the mean over seeds, in the unit squared, and its degrees of freedom.

    ``whole`` is the share of all images in that unit, 100 or 1.
    """
    own = len(values) - 1
    degrees = own + ASSUMED_DEGREES
    assumed = ASSUMED_DEGREES * (ASSUMED_SEED_DEVIATION * whole / 100) ** 2
    pooled = (assumed + own * (deviation_of(values) or 0.0) ** 2) / degrees
    return pooled / len(values), degrees


def _whole(measurement: Measurement) -> float:
    """Return the share of all images, 100 or 1; ValueError if the values are no shares."""
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


def _binomial_half_widths(side: Measurement) -> tuple[float, float]:
    assert side.num_images is not None, "difference_measurement checks it"
    whole = _whole(side)
    share = mean_of(side.values) / whole
    low, high = wilson_interval(share, side.num_images)
    return whole * (share - low), whole * (high - share)


def mean_of(values: tuple[float, ...]) -> float:
    """Return the mean."""
    # Exact, so independent of the order and never outside the values, unlike sum() / len().
    return float(statistics.mean(values))


def deviation_of(values: tuple[float, ...]) -> float | None:
    """Return the sample standard deviation; None for a single value."""
    return float(statistics.stdev(values)) if len(values) > 1 else None


def _t_half_width(values: tuple[float, ...]) -> float:
    """Return half of the mean's 95 % interval; 0 for one value and for values that agree."""
    deviation = deviation_of(values)
    if not deviation:
        return 0.0
    return t_quantile(len(values) - 1) * deviation / math.sqrt(len(values))


@functools.cache
def t_quantile(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # imported here because it takes 0.2 s

    return float(stdtrit(degrees, 0.975))
