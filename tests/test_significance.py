"""smallnet_core.runs.significance: against scipy, against counting by hand, and by simulation."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smallnet_core.runs.significance import (
    holm,
    log_median,
    mcnemar,
    paired_interval,
    pooled,
    spread,
    t_test,
    variance_of,
)

counts = st.integers(0, 300)


@given(counts, counts)
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(lost: int, gained: int) -> None:
    found = mcnemar(lost, gained)
    n = lost + gained
    expected = 1.0 if n == 0 else stats.binomtest(lost, n).pvalue
    assert found.p == pytest.approx(expected, abs=1e-9)
    assert found.least_p <= found.p + 1e-12
    assert mcnemar(gained, lost).p == found.p


def test_six_images_can_be_significant_at_the_least() -> None:
    assert [mcnemar(0, n).least_p for n in (0, 5, 6)] == [1.0, 0.0625, 0.03125]


def test_the_paired_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    shares = (0.93, 0.03, 0.04)  # as before, lost, gained
    draws = generator.multinomial(1000, shares, 2000)
    intervals = [paired_interval(lost, gained, 1000) for _, lost, gained in draws.tolist()]
    covered = np.mean([low <= 0.01 <= high for low, high in intervals])
    assert 0.935 <= covered <= 0.97


seeds = st.lists(st.integers(0, 1000).map(lambda k: k / 10), min_size=2, max_size=8)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy's, of equal seeds
@settings(deadline=None)
@given(seeds, seeds)
def test_the_t_test_is_students_and_its_interval_says_the_same(
    old: list[float], new: list[float]
) -> None:
    variance, degrees = pooled([variance_of(old), variance_of(new)])
    share = 1 / len(old) + 1 / len(new)
    difference = statistics.fmean(new) - statistics.fmean(old)
    found, (low, high) = t_test(difference, [(variance * share, degrees)], "t")
    assert low <= difference <= high
    assert (found.p < 0.05) == (not low <= 0 <= high) or abs(found.p - 0.05) < 1e-6
    if variance > 1e-9:
        assert found.p == pytest.approx(stats.ttest_ind(new, old).pvalue, abs=1e-6)


def test_qn_is_near_the_deviation_and_half_of_the_values_do_not_move_it() -> None:
    generator = np.random.default_rng(0)
    draws = [spread(tuple(generator.normal(0, 2, 12).tolist())) for _ in range(400)]
    assert statistics.fmean(np.sqrt(draws)) == pytest.approx(2, rel=0.05)
    outlying = (*generator.normal(0, 1, 12).tolist(), *(100.0 * k for k in range(5)))
    assert spread(outlying) < 25


def test_holm_as_in_the_textbooks() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_median_of_few_rounds_is_assumed_to_be_uncertain() -> None:
    assert log_median([2.0])[1][0] == pytest.approx(0.01)
    steady = log_median([1.0] * 9 + [1.01] * 11)
    assert steady[0] == pytest.approx(0.01, abs=0.001) and steady[1][0] < 1e-4


def test_the_variance_of_a_median_is_that_between_medians() -> None:
    runs = np.random.default_rng(0).lognormal(0, 0.05, (400, 100)).tolist()
    medians, variances = zip(*map(log_median, runs), strict=True)
    assert np.mean([v for v, _ in variances]) == pytest.approx(np.var(medians), rel=0.25)


def test_rounds_that_drift_know_their_median_less_well() -> None:
    rounds = np.random.default_rng(0).lognormal(0, 0.05, 100)
    assert log_median(sorted(rounds))[1][0] > 3 * log_median(rounds.tolist())[1][0]
