"""smallnet_core.runs.significance: against scipy, against counting by hand, and by simulation."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smallnet_core.runs.significance import (
    holm,
    mcnemar,
    median_ratio,
    paired_interval,
    permutation,
    same_mean,
    welch,
)

counts = st.integers(0, 300)
percents = st.floats(0, 100, allow_subnormal=False)


@given(counts, counts)
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(lost: int, gained: int) -> None:
    found = mcnemar(lost, gained)
    n = lost + gained
    expected = 1.0 if n == 0 else stats.binomtest(lost, n).pvalue
    assert found.p == pytest.approx(expected, abs=1e-9)
    assert found.least_p <= found.p + 1e-12
    assert mcnemar(gained, lost).p == found.p


def test_five_images_cannot_be_significant_and_six_can() -> None:
    assert mcnemar(5, 0).p == mcnemar(5, 0).least_p == 0.0625
    assert mcnemar(0, 6).p == mcnemar(3, 3).least_p == 0.03125
    assert mcnemar(0, 0).p == mcnemar(0, 0).least_p == 1.0


@pytest.mark.parametrize(("lost", "gained"), [(-1, 3), (3, -1)])
def test_negative_counts_are_refused(lost: int, gained: int) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        mcnemar(lost, gained)
    with pytest.raises(ValueError, match="cannot be"):
        paired_interval(lost, gained, 100)


@given(counts, counts, st.integers(600, 20_000))
def test_the_paired_interval_is_around_the_difference_and_mirrors(
    lost: int, gained: int, n: int
) -> None:
    low, high = paired_interval(lost, gained, n)
    assert low <= (gained - lost) / n * (n / (n + 2)) <= high
    assert paired_interval(gained, lost, n) == pytest.approx((-high, -low))


def test_the_paired_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    shares = (0.93, 0.03, 0.04)  # as before, lost, gained
    draws = generator.multinomial(1000, shares, 2000)
    intervals = [paired_interval(lost, gained, 1000) for _, lost, gained in draws.tolist()]
    covered = np.mean([low <= 0.01 <= high for low, high in intervals])
    assert 0.935 <= covered <= 0.97


sides = st.lists(percents, min_size=1, max_size=5)


@settings(deadline=None)
@given(sides, sides)
def test_the_permutation_test_is_scipys(old: list[float], new: list[float]) -> None:
    found = permutation(old, new)
    assert found.least_p - 1e-12 <= found.p <= 1
    # scipy doubles the smaller tail: where both sides are as long, that is the same thing.
    if len(old) == len(new) > 1 and len(set(old + new)) == len(old + new):
        expected = stats.permutation_test(
            (old, new), lambda a, b, axis: np.mean(b, axis) - np.mean(a, axis), n_resamples=np.inf
        )
        assert found.p == pytest.approx(expected.pvalue, abs=1e-6)


def test_five_seeds_against_five_can_be_significant_and_three_against_three_cannot() -> None:
    found = permutation([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert found.p == found.least_p == pytest.approx(2 / 252)
    assert permutation([1, 2, 3], [4, 5, 6]).p == pytest.approx(0.1)
    assert permutation([1.0], [2.0]).least_p == 1.0


def test_too_many_arrangements_and_empty_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="use welch"):
        permutation(range(20), range(20))
    with pytest.raises(ValueError, match="both sides"):
        permutation([], [1.0])


seeds = st.lists(st.integers(0, 1000).map(lambda k: k / 10), min_size=2, max_size=8)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy's, of equal seeds
@settings(deadline=None)
@given(seeds, seeds)
def test_welch_is_scipys(old: list[float], new: list[float]) -> None:
    found = welch(old, new)
    if statistics.pstdev(old) == statistics.pstdev(new) == 0:
        assert found.p == float(statistics.mean(old) == statistics.mean(new))
    else:
        expected = stats.ttest_ind(new, old, equal_var=False).pvalue
        assert found.p == pytest.approx(expected, abs=1e-6)


def test_welch_needs_two_seeds_a_side() -> None:
    with pytest.raises(ValueError, match="two values"):
        welch([1.0], [1.0, 2.0])


def test_the_t_test_of_given_variances_is_welchs() -> None:
    old, new = [90.1, 90.4, 89.9, 90.6], [90.9, 91.2, 90.8]
    variances = [(statistics.variance(side) / len(side), len(side) - 1) for side in (old, new)]
    difference = statistics.mean(new) - statistics.mean(old)
    found = same_mean(difference, variances, "t")
    assert found.p == pytest.approx(welch(old, new).p)
    assert found.method == "t"
    assert same_mean(0.0, [(0.0, 3)], "t").p == 1.0
    assert same_mean(0.1, [(0.0, 3)], "t").p == 0.0


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_lowers(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    pairs = sorted(zip(ps, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)
    if ps:
        assert min(adjusted) == min(1.0, len(ps) * min(ps))


def test_holm_as_in_the_textbooks() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_family_without_a_difference_raises_no_more_alarms_than_asked_for() -> None:
    """McNemar's tests, ten to a family; exact tests stay below the level."""
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        lost = generator.binomial(200, 0.5, 10)
        alarms += min(holm([mcnemar(int(k), 200 - int(k)).p for k in lost])) < 0.05
    assert alarms / 400 <= 0.05


def test_a_slower_median_is_found_and_its_interval_is_around_it() -> None:
    generator = np.random.default_rng(0)
    old = generator.lognormal(0, 0.05, 60).tolist()
    ratio, (low, high), test = median_ratio(old, [1.2 * x for x in old])
    assert ratio == pytest.approx(1.2)
    assert 1.15 < low < 1.2 < high < 1.25
    assert test.p == test.least_p
    ratio, (low, high), test = median_ratio(old, old)
    assert ratio == 1.0 and low < 1 < high and test.p > 0.5


def test_medians_of_independent_rounds_raise_no_more_alarms_than_asked_for() -> None:
    generator = np.random.default_rng(2)
    pairs = generator.lognormal(0, 0.1, (300, 2, 31))
    alarms = sum(median_ratio(old, new)[2].p < 0.05 for old, new in pairs.tolist())
    assert alarms / 300 <= 0.08  # the bootstrap of a median is only nearly exact


def test_one_round_tells_nothing_of_significance() -> None:
    ratio, interval, test = median_ratio([1.0], [3.0])
    assert ratio == 3.0 and interval == pytest.approx((3.0, 3.0))
    assert test.p == test.least_p == 1.0


@pytest.mark.parametrize(("old", "new"), [([], [1.0]), ([1.0], []), ([0.0], [1.0])])
def test_rounds_that_cannot_be_are_refused(old: list[float], new: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds"):
        median_ratio(old, new)


def test_the_same_rounds_give_the_same_interval() -> None:
    rounds = [1.0, 1.1, 1.2, 0.9]
    assert median_ratio(rounds, rounds[::-1]) == median_ratio(rounds, rounds[::-1])
    assert math.isfinite(median_ratio(rounds, rounds)[1][0])
