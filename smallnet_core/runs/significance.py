"""Whether two measurements of the same thing differ, and by how much. Pure.

A test gives a two-sided p value and the smallest one that so many observations could have given at
all, so that "not significant" can be told from "could not have been".
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_Z_95 = statistics.NormalDist().inv_cdf(0.975)

# Of rounds that are too few to tell their own.
ASSUMED_ROUND_DEVIATION = 0.1
_NUM_BLOCKS = 5

# The variance of an estimate, and its degrees of freedom.
Variance = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Test:
    """A p value, how it was found, and the least that it could have been."""

    __test__ = False  # none of pytest's

    p: float
    method: str
    least_p: float = 0.0


def mcnemar(lost: int, gained: int) -> Test:
    """McNemar's exact test (1947; exact: binomial) of the images that only one side has right."""
    from scipy.special import bdtr  # 0.2 s, and only a comparison needs it

    discordant = lost + gained
    p = min(1.0, 2 * float(bdtr(min(lost, gained), discordant, 0.5)))
    return Test(p=p, least_p=min(1.0, 2 * 0.5**discordant), method="McNemar, exact")


def paired_interval(lost: int, gained: int, num_images: int) -> tuple[float, float]:
    """95 % interval of the new share of right images minus the old one, -1 to 1.

    Adjusted Wald (Bonett and Price, 2012): covers well from few discordant images on.
    """
    n = num_images + 2
    fell, rose = (lost + 1) / n, (gained + 1) / n
    half = _Z_95 * math.sqrt((rose + fell - (rose - fell) ** 2) / n)
    return max(-1.0, rose - fell - half), min(1.0, rose - fell + half)


def t_test(
    difference: float, variances: Sequence[Variance], method: str
) -> tuple[Test, tuple[float, float]]:
    """Test a difference by Student's t, with the 95 % interval that says the same.

    ``variances`` are those of independent parts of it; Welch-Satterthwaite's degrees of freedom.
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
    """Estimate one variance from several estimates of it, each by its degrees of freedom."""
    degrees = sum(d for _, d in parts)
    return (sum(v * d for v, d in parts) / degrees if degrees else 0.0), degrees


def variance_of(values: Sequence[float]) -> Variance:
    """Estimate the variance that values were drawn with; no degrees of freedom for one alone."""
    return (float(np.var(values, ddof=1)) if len(values) > 1 else 0.0), len(values) - 1


def share_variance(hits: int, num_images: int) -> float:
    """Estimate the variance of a share of images, 0 to 1, from which none is exempt."""
    share = (hits + 0.5) / (num_images + 1)
    return share * (1 - share) / num_images


def log_median(rounds: Sequence[float]) -> tuple[float, Variance]:
    """Take the log of the rounds' median, above 0, with its variance.

    From the medians of consecutive blocks, for rounds beside each other are alike; fewer than two
    rounds a block are taken to have ``ASSUMED_ROUND_DEVIATION``.
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
    """Estimate a variance by Qn (Rousseeuw and Croux, 1993), which half of the values cannot move.

    Of ten values or more: for fewer Qn needs factors of its own.
    """
    n = len(values)
    distances = sorted(abs(a - b) for a, b in itertools.combinations(values, 2))
    deviation = 2.2219 * distances[math.comb(n // 2 + 1, 2) - 1] * n / (n + (1.4 if n % 2 else 3.8))
    return deviation**2


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust the p values of a family of tests (Holm, 1979), in its order."""
    order = np.argsort(ps, kind="stable")
    adjusted = np.empty(len(ps))
    factors = np.arange(len(ps), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.array(ps)[order]))
    found: list[float] = adjusted.tolist()
    return found
