"""Whether two measurements of the same thing differ: exact tests where there are any.

Pure. A test gives a p value (two-sided) and the smallest one that so many observations could have
given at all, so that "not significant" can be told from "could not have been".
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Test",
    "holm",
    "mcnemar",
    "median_ratio",
    "paired_interval",
    "permutation",
    "same_mean",
    "welch",
]

_Z_95 = statistics.NormalDist().inv_cdf(0.975)

# 10 against 10 are 184,756 arrangements: half a second.
MAX_ARRANGEMENTS = 200_000
BOOTSTRAP_DRAWS = 4_000


@dataclass(frozen=True, kw_only=True)
class Test:
    """A p value, how it was found, and the least that it could have been."""

    __test__ = False  # none of pytest's

    p: float
    least_p: float
    method: str


def mcnemar(lost: int, gained: int) -> Test:
    """McNemar's exact test (1947; exact: binomial) of the images that only one side has right.

    ValueError for negative counts.
    """
    from scipy.special import bdtr  # 0.2 s, and only a comparison needs it

    if lost < 0 or gained < 0:
        raise ValueError(f"numbers of images are 0 or more, got {lost} and {gained}")
    discordant = lost + gained
    p = min(1.0, 2 * float(bdtr(min(lost, gained), discordant, 0.5)))
    return Test(p=p, least_p=min(1.0, 2 * 0.5**discordant), method="McNemar, exact")


def paired_interval(lost: int, gained: int, num_images: int) -> tuple[float, float]:
    """95 % interval of the new share of right images minus the old one, -1 to 1.

    Adjusted Wald (Bonett and Price, 2012): covers well from few discordant images on.
    """
    if not 0 <= lost + gained <= num_images or min(lost, gained) < 0:
        raise ValueError(f"{lost} lost and {gained} gained of {num_images} images cannot be")
    n = num_images + 2
    fell, rose = (lost + 1) / n, (gained + 1) / n
    half = _Z_95 * math.sqrt((rose + fell - (rose - fell) ** 2) / n)
    return max(-1.0, rose - fell - half), min(1.0, rose - fell + half)


def permutation(old: Sequence[float], new: Sequence[float]) -> Test:
    """Exact permutation test of the difference of two means; of every arrangement of the values.

    ValueError for an empty side and where there are more than ``MAX_ARRANGEMENTS``.
    """
    if not old or not new:
        raise ValueError("a permutation needs values on both sides")
    num = math.comb(len(old) + len(new), len(old))
    if num > MAX_ARRANGEMENTS:
        raise ValueError(f"{num:,} arrangements are more than {MAX_ARRANGEMENTS:,}: use welch")
    values = np.array([*old, *new], dtype=np.float64)
    chosen = np.array(list(itertools.combinations(range(len(values)), len(old))))
    # By the sum of one side alone, for the other's follows from it.
    sums = values[chosen].sum(1)
    middle = values.sum() * len(old) / len(values)
    noise = 1e-9 * max(1.0, float(np.abs(values).sum()))
    extreme = np.abs(sums - middle) >= abs(sums[0] - middle) - noise
    symmetric = len(old) == len(new)
    return Test(
        p=float(extreme.mean()),
        least_p=(2 if symmetric else 1) / num,
        method="permutation, exact",
    )


def welch(old: Sequence[float], new: Sequence[float]) -> Test:
    """Welch's t test (1947) of two means; ValueError for fewer than two values on a side."""
    if min(len(old), len(new)) < 2:
        raise ValueError("Welch's test needs two values on each side")
    (a, n), (b, m) = ((statistics.variance(side), len(side)) for side in (old, new))
    squared = a / n + b / m
    difference = statistics.mean(new) - statistics.mean(old)
    if squared == 0:
        return Test(p=float(difference == 0), least_p=0.0, method="Welch")
    degrees = squared**2 / ((a / n) ** 2 / (n - 1) + (b / m) ** 2 / (m - 1))
    return Test(p=_t_p(difference / math.sqrt(squared), degrees), least_p=0.0, method="Welch")


def same_mean(difference: float, variances: Sequence[tuple[float, float]], method: str) -> Test:
    """t test of a difference, from the variance of each side's mean and its degrees of freedom."""
    squared = sum(variance for variance, _ in variances)
    if squared <= 0:
        return Test(p=float(difference == 0), least_p=0.0, method=method)
    degrees = squared**2 / sum(v**2 / degrees for v, degrees in variances if v > 0)
    return Test(p=_t_p(difference / math.sqrt(squared), degrees), least_p=0.0, method=method)


def _t_p(t: float, degrees: float) -> float:
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(degrees, -abs(t))))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (1979) of a family of tests, in its order."""
    order = sorted(range(len(ps)), key=lambda k: ps[k])
    adjusted = [0.0] * len(ps)
    worst = 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[k]))
        adjusted[k] = worst
    return adjusted


def median_ratio(
    old: Sequence[float], new: Sequence[float], *, seed: int = 0
) -> tuple[float, tuple[float, float], Test]:
    """New median over old, its 95 % bootstrap interval, and a test of the ratio being 1.

    Of rounds of one process each, taken as independent, which they are not: what one process finds
    is exact to a few percent at best, whatever the number of rounds. ValueError for an empty side
    and for a median that is not above 0.
    """
    if not old or not new:
        raise ValueError("a ratio of medians needs rounds on both sides")
    generator = np.random.default_rng(seed)
    medians = []
    for rounds in (old, new):
        values = np.asarray(rounds, dtype=np.float64)
        if np.median(values) <= 0:
            raise ValueError("rounds take more than 0 seconds")
        draws = generator.choice(values, (BOOTSTRAP_DRAWS, len(values)))
        medians.append((float(np.median(values)), np.median(draws, axis=1)))
    (old_median, old_draws), (new_median, new_draws) = medians
    draws = np.log(np.maximum(new_draws, 1e-12)) - np.log(np.maximum(old_draws, 1e-12))
    low, high = np.exp(np.quantile(draws, (0.025, 0.975)))
    ratio = new_median / old_median
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    p = min(1.0, 2 * (1 + min(below, above)) / (BOOTSTRAP_DRAWS + 1))
    # One round has no spread, and tells nothing of significance.
    if min(len(old), len(new)) < 2:
        p = 1.0
    return (
        ratio,
        (min(float(low), ratio), max(float(high), ratio)),
        Test(
            p=p,
            least_p=1.0 if min(len(old), len(new)) < 2 else 2 / (BOOTSTRAP_DRAWS + 1),
            method="bootstrap of the medians",
        ),
    )
