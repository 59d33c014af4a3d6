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

Z_95 = statistics.NormalDist().inv_cdf(0.975)
# The share of all images, in each unit of shares.
_WHOLE = {"%": 100.0, "": 1.0}


def interval_95(measurement: Measurement) -> tuple[float, float]:
    """Return the 95 % interval of the mean in the measurement's unit.

    The measurement's own interval takes precedence; ValueError if it is not around the mean. A
    count (no ``num_images``) is exact, unless several differ: then it has their t interval. A share
    of ``num_images`` has the interval over seeds: t, with their deviation pooled with
    ``ASSUMED_SEED_DEVIATION``.
    """
    mean = measurement.mean
    if measurement.interval is not None:
        low, high = measurement.interval
        # Catches a share whose interval is in percent, which would reproduce any claim.
        noise = 1e-9 * max(1.0, abs(mean))
        if not low - noise <= mean <= high + noise:
            raise ValueError(f"interval {low} to {high} is not around the mean {mean}: same unit?")
        return low, high
    if measurement.num_images is None:
        deviation = deviation_of(measurement.values)
        if not deviation:
            return mean, mean
        size = len(measurement.values)
        half = t_quantile(size - 1) * deviation / math.sqrt(size)
        return mean - half, mean + half
    whole = _WHOLE[measurement.unit]
    half = _seeds_half_width([seed_variance(measurement.values, whole)])
    return max(0.0, mean - half), min(whole, mean + half)


def wilson_interval(share: float, num_images: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval (1927) of a share of images, 0 to 1."""
    p, n, z = share, num_images, Z_95
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At 0 and 1 one end equals p; rounding must not move it past p.
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))


def difference_measurement(
    a: Measurement, b: Measurement, *, same_network: bool = False
) -> Measurement:
    """Return ``a`` - ``b`` in points, of two accuracies in percent on the same test images.

    With equally many seeds the values are the differences of pairs, otherwise the only value is the
    difference of the means.

    The interval adds in quadrature the error of the seeds (Welch's t) and that of the images:
    paired by image (adjusted Wald, Bonett and Price 2012) if both sides have ``right``, else as if
    each had its own images (Newcombe's square-and-add of Wilson intervals, 1998), which is wider.
    With ``same_network``, for a network and its pruned self, a pair varies as one seed does and the
    images add no error.
    """
    assert a.unit == b.unit == "%" and a.num_images and b.num_images
    sizes = len(a.values), len(b.values)
    mean = a.mean - b.mean
    paired = sizes[0] == sizes[1]
    values = tuple(x - y for x, y in zip(a.values, b.values, strict=True)) if paired else (mean,)
    if same_network:
        variances, images = [seed_variance(values, 100.0)], (0.0, 0.0)
    else:
        variances = [seed_variance(side.values, 100.0) for side in (a, b)]
        images = _images_half_widths(a, b)
    seeds = _seeds_half_width(variances)
    return Measurement(
        values=values,
        unit="points",
        seeds=a.seeds if a.seeds == b.seeds else (),
        interval=(
            max(-100.0, mean - math.hypot(images[0], seeds)),
            min(100.0, mean + math.hypot(images[1], seeds)),
        ),
        recipe=a.recipe if a.recipe == b.recipe else None,
        fingerprints=a.fingerprints + b.fingerprints,
        device=a.device if a.device == b.device else f"{a.device}, {b.device}",
        details={
            "minuend_percent": a.mean,
            "subtrahend_percent": b.mean,
            "num_seeds": sizes,
            "images_points": max(images),  # the part of the interval that more seeds don't reduce
            "origins": [*a.details.get("origins", ()), *b.details.get("origins", ())],
        },
    )


def _images_half_widths(a: Measurement, b: Measurement) -> tuple[float, float]:
    """Return how far the images widen a difference's interval, in points, down and up."""
    if a.right and b.right and a.num_images == b.num_images:
        each = _shares_right(a) - _shares_right(b)
        n = len(each) + 2  # one more image that only a has right, and one that only b has right
        variance = (float(each @ each) + 2) / n - (float(each.sum()) / n) ** 2
        half = 100 * Z_95 * math.sqrt(max(0.0, variance) / n)
        return half, half
    down, up = [], []
    for side in (a, b):
        assert side.num_images is not None
        share = side.mean / 100.0
        low, high = wilson_interval(share, side.num_images)
        down.append(100.0 * (share - low))
        up.append(100.0 * (high - share))
    return math.hypot(down[0], up[1]), math.hypot(up[0], down[1])


def _shares_right(side: Measurement) -> npt.NDArray[np.float64]:
    """Return for each image, (N,), the share of seeds that classify it correctly."""
    bits = [
        np.unpackbits(np.frombuffer(base64.b64decode(one), np.uint8), count=side.num_images)
        for one in side.right
    ]
    shares: npt.NDArray[np.float64] = np.mean(bits, axis=0, dtype=np.float64)
    return shares


def _seeds_half_width(variances: Sequence[tuple[float, float]]) -> float:
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


def deviation_of(values: tuple[float, ...]) -> float | None:
    """Return the sample standard deviation; None for a single value."""
    return float(statistics.stdev(values)) if len(values) > 1 else None


@functools.cache
def t_quantile(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit  # imported here because it takes 0.2 s

    return float(stdtrit(degrees, 0.975))
