"""Tests whether two measurements of the same thing differ, and by how much. Pure.

A test gives a two-sided p value and the smallest one possible with so many observations, which
tells "not significant" from "could not have been significant".
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smallnet_core.judging.intervals import Z_95

# Of log rounds, if there are too few to estimate it.
ASSUMED_ROUND_DEVIATION = 0.1
_NUM_BLOCKS = 5

# A variance and its degrees of freedom.
Variance = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Test:
    """A p value, the test it is from, and the smallest that it could have been."""

    __test__ = False  # keeps pytest from collecting it

    p: float
    method: str
    least_p: float = 0.0


def mcnemar(lost: int, gained: int) -> Test:
    """Test the images that only one side has right by McNemar (1947), exactly (binomial)."""
    from scipy.special import bdtr  # imported here because it takes 0.2 s

    discordant = lost + gained
    p = min(1.0, 2 * float(bdtr(min(lost, gained), discordant, 0.5)))
    return Test(p=p, least_p=min(1.0, 2 * 0.5**discordant), method="McNemar, exact")


def paired_interval(lost: int, gained: int, num_images: int) -> tuple[float, float]:
    """Return the 95 % interval of the new share of right images minus the old, -1 to 1.

    Adjusted Wald (Bonett and Price, 2012): covers well from few discordant images on.
    """
    n = num_images + 2
    fell, rose = (lost + 1) / n, (gained + 1) / n
    half = Z_95 * math.sqrt((rose + fell - (rose - fell) ** 2) / n)
    return max(-1.0, rose - fell - half), min(1.0, rose - fell + half)


def t_test(
    difference: float, variances: Sequence[Variance], method: str
) -> tuple[Test, tuple[float, float]]:
    """Test a difference by Student's t; also return the matching 95 % interval.

    ``variances`` are of its independent parts; degrees of freedom by Welch-Satterthwaite.
    """
    from scipy.special import stdtr, stdtrit

    squared = sum(variance for variance, _ in variances)
    if squared <= 0:
        return Test(p=float(difference == 0), method=method), (difference, difference)
    degrees = squared**2 / sum(v**2 / d for v, d in variances)
    error = math.sqrt(squared)
    p = min(1.0, 2 * float(stdtr(degrees, -abs(difference) / error)))
    half = float(stdtrit(degrees, 0.975)) * error
    return Test(p=p, method=method), (difference - half, difference + half)


def pooled(parts: Sequence[Variance]) -> Variance:
    """Pool several estimates of one variance, weighted by their degrees of freedom."""
    degrees = sum(d for _, d in parts)
    return (sum(v * d for v, d in parts) / degrees if degrees else 0.0), degrees


def variance_of(values: Sequence[float]) -> Variance:
    """Estimate the variance of values; 0 degrees of freedom for a single one."""
    return (float(np.var(values, ddof=1)) if len(values) > 1 else 0.0), len(values) - 1


def share_variance(hits: int, num_images: int) -> float:
    """Estimate the variance of a share of images, 0 to 1; it is never 0."""
    share = (hits + 0.5) / (num_images + 1)
    return share * (1 - share) / num_images


def log_median(rounds: Sequence[float]) -> tuple[float, Variance]:
    """Return the log of the median of rounds above 0, with its variance.

    The variance is that of the medians of consecutive blocks, because neighbouring rounds are
    correlated. Too few rounds for that are assumed to have ``ASSUMED_ROUND_DEVIATION``.
    """
    median = statistics.median(rounds)
    if len(rounds) < 2 * _NUM_BLOCKS:
        return math.log(median), (ASSUMED_ROUND_DEVIATION**2 / len(rounds), 30.0)
    ends = [k * len(rounds) // _NUM_BLOCKS for k in range(_NUM_BLOCKS + 1)]
    blocks = [statistics.median(rounds[a:b]) for a, b in itertools.pairwise(ends)]
    variance, degrees = variance_of([math.log(max(block, 1e-12)) for block in blocks])
    return math.log(median), (variance / _NUM_BLOCKS, degrees)


@functools.lru_cache(64)
def spread(values: tuple[float, ...]) -> float:
    """Estimate a variance by Qn (Rousseeuw and Croux, 1993), robust to half of the values.

    Needs ten values or more: for fewer, Qn has other correction factors.
    """
    n = len(values)
    distances = sorted(abs(a - b) for a, b in itertools.combinations(values, 2))
    deviation = 2.2219 * distances[math.comb(n // 2 + 1, 2) - 1] * n / (n + (1.4 if n % 2 else 3.8))
    return deviation**2


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust the p values of a family of tests (Holm, 1979); return them in the given order."""
    order = np.argsort(ps, kind="stable")
    adjusted = np.empty(len(ps))
    factors = np.arange(len(ps), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.array(ps)[order]))
    found: list[float] = adjusted.tolist()
    return found
