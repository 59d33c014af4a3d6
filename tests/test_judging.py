"""Every rule at its boundaries, the intervals against references and simulations, and no NaN."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smallnet_core import judging
from smallnet_core.claims import CLAIMS
from smallnet_core.judging import (
    ASSUMED_DEGREES,
    ASSUMED_SEED_DEVIATION,
    FAMILY,
    difference_measurement,
    interval_95,
    judge,
    not_measured,
    report_errors,
    report_interval,
    wilson_interval,
)
from smallnet_core.records import Claim, Measurement, Rule, Status

PASSES = {Status.REPRODUCED, Status.EXCEEDED, Status.REFUTED}


def claim(rule: Rule, paper_value: float, unit: str = "%", **fields: Any) -> Claim:
    if rule is Rule.FAILS:
        fields.setdefault("refuted_above", 20.0)
    return Claim(
        id="place/name",
        source="Table 1",
        statement="So it is.",
        metric="metric",
        paper_value=paper_value,
        unit=unit,
        rule=rule,
        **fields,
    )


def measured(*values: float, unit: str = "%", **fields: Any) -> Measurement:
    return Measurement(values=values, unit=unit, **fields)


def between(low: float, high: float, unit: str = "%") -> Measurement:
    return measured((low + high) / 2, unit=unit, interval=(low, high))


def accuracy(*values: float, num_images: int = 10_000) -> Measurement:
    return measured(*values, num_images=num_images)


# -------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((701_466,), Status.REPRODUCED),
        ((701_466, 701_466), Status.REPRODUCED),
        ((701_465,), Status.MISSED),
        ((701_466.5,), Status.MISSED),
        ((701_465, 701_467), Status.MISSED),  # though their mean is exact
        ((701_466, 701_467), Status.MISSED),
    ],
)
def test_exact_takes_every_value_to_the_last_digit(
    values: tuple[float, ...], status: Status
) -> None:
    paper = claim(Rule.EXACT, 701_466, "parameters")
    verdict = judge(paper, measured(*values, unit="parameters"))
    assert verdict.status is status
    assert "701,466 parameters" in verdict.reason


@pytest.mark.parametrize(
    ("paper_value", "resolution", "value", "status"),
    [
        (0.29, 0.01, 0.29, Status.REPRODUCED),  # 0.29 / 0.01 is 28.999999999999996 in floats
        (0.57, 0.01, 0.57, Status.REPRODUCED),
        (1.15, 0.01, 1.15, Status.REPRODUCED),
        (2.68, 0.01, 2.675, Status.REPRODUCED),  # half even and half up
        (2.67, 0.01, 2.675, Status.REPRODUCED),  # cut off
        (2.66, 0.01, 2.665, Status.REPRODUCED),  # half even
        (2.67, 0.01, 2.665, Status.REPRODUCED),  # half up
        (2.67, 0.01, 2.6799, Status.REPRODUCED),  # cut off
        (2.67, 0.01, 2.68, Status.MISSED),
        (2.67, 0.01, 2.6649, Status.MISSED),
        (11e6, 1e6, 11_173_962, Status.REPRODUCED),
        (11e6, 1e6, 11_999_999, Status.REPRODUCED),
        (11e6, 1e6, 12_000_000, Status.MISSED),
        (11e6, 1e6, 10_500_000, Status.REPRODUCED),  # half up only
        (11e6, 1e6, 10_499_999, Status.MISSED),
        (1.5e6, 1e5, 1_450_001, Status.REPRODUCED),
    ],
)
def test_rounded_takes_every_usual_way_to_print(
    paper_value: float, resolution: float, value: float, status: Status
) -> None:
    paper = claim(Rule.ROUNDED, paper_value, "MiB", resolution=resolution)
    assert judge(paper, measured(value, unit="MiB")).status is status


def test_rounded_needs_a_resolution() -> None:
    with pytest.raises(ValueError, match="resolution above 0"):
        judge(claim(Rule.ROUNDED, 1.0), measured(1.0))


@settings(deadline=None)
@given(steps=st.integers(0, 10**6), digits=st.integers(0, 4), part=st.floats(0, 0.499))
def test_rounded_agrees_with_the_decimal_that_was_printed(
    steps: int, digits: int, part: float
) -> None:
    resolution = float(f"1e-{digits}")
    paper = claim(Rule.ROUNDED, float(f"{steps}e-{digits}"), "MiB", resolution=resolution)
    value = (steps + part) * resolution
    assert judge(paper, measured(paper.paper_value, unit="MiB")).status is Status.REPRODUCED
    if part > 0.001:  # below, the product's own rounding may cross the edge
        assert judge(paper, measured(value, unit="MiB")).status is Status.REPRODUCED
        outside = measured((steps + 1 + part) * resolution, unit="MiB")
        assert judge(paper, outside).status is Status.MISSED


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (93.0, 94.124, Status.MISSED),
        (93.0, 94.125, Status.REPRODUCED),  # what 94.13 may have been before printing
        (94.0, 94.2, Status.REPRODUCED),
        (94.135, 95.0, Status.REPRODUCED),
        (94.136, 95.0, Status.EXCEEDED),
        (94.125, 94.125, Status.REPRODUCED),
        (94.135, 94.135, Status.REPRODUCED),
        (94.1249, 94.1249, Status.MISSED),
        (94.1351, 94.1351, Status.EXCEEDED),
    ],
)
def test_at_least_allows_for_the_interval_and_the_printed_precision(
    low: float, high: float, status: Status
) -> None:
    paper = claim(Rule.AT_LEAST, 94.13, resolution=0.01)
    assert judge(paper, between(low, high)).status is status


def test_at_least_without_resolution_has_no_slack() -> None:
    paper = claim(Rule.AT_LEAST, 0.0, "points")
    assert judge(paper, between(-1.0, 0.0, "points")).status is Status.REPRODUCED
    assert judge(paper, between(-1.0, -0.001, "points")).status is Status.MISSED
    assert judge(paper, between(0.001, 1.0, "points")).status is Status.EXCEEDED


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.01, 1.0, Status.REPRODUCED, Status.MISSED),
        (-1.0, -0.01, Status.MISSED, Status.REPRODUCED),
        (-0.4, 0.64, Status.UNDECIDED, Status.UNDECIDED),
        (0.0, 1.0, Status.UNDECIDED, Status.UNDECIDED),
        (-1.0, 0.0, Status.UNDECIDED, Status.UNDECIDED),
        (0.0, 0.0, Status.MISSED, Status.MISSED),
        (0.1, 0.1, Status.REPRODUCED, Status.MISSED),
    ],
)
def test_a_threshold_is_decided_by_the_whole_interval(
    low: float, high: float, above: Status, below: Status
) -> None:
    # The paper's precision is no excuse at a threshold: the resolution must not matter.
    for resolution in (0.0, 1.0):
        measurement = between(low, high, "points")
        for rule, status in ((Rule.ABOVE, above), (Rule.BELOW, below)):
            paper = claim(rule, 0.0, "points", resolution=resolution)
            assert judge(paper, measurement).status is status


def test_undecided_says_so_with_its_numbers_and_a_remedy() -> None:
    verdict = judge(claim(Rule.ABOVE, 0.0, "points"), between(-0.4, 0.64, "points"))
    assert verdict.reason == (
        "undecided whether above 0 points: 0.12 points (-0.40 to 0.64) over 1 seed; "
        "--seeds 5 narrows it"
    )
    assert verdict.measurement is not None
    assert verdict.measured == pytest.approx(0.12)
    assert verdict.interval == (-0.4, 0.64)

    six = measured(*[0.0, 0.2] * 3, unit="points", interval=(-0.4, 0.6))
    assert "--seeds 12" in judge(claim(Rule.ABOVE, 0.0, "points"), six).reason


@pytest.mark.parametrize(
    ("low", "high", "status", "words"),
    [
        (9.0, 10.5, Status.REPRODUCED, "no better than the claimed 10 %"),
        (0.0, 1.0, Status.REPRODUCED, "no better than"),
        (10.005, 11.0, Status.REPRODUCED, "no better than"),
        (10.006, 11.0, Status.REPRODUCED, "above the claimed 10 %, yet not clear of 20 %"),
        (20.0, 30.0, Status.REPRODUCED, "yet not clear of 20 %"),
        (20.001, 30.0, Status.REFUTED, "above 20 %"),
        (92.0, 93.0, Status.REFUTED, "it works"),
    ],
)
def test_a_failure_is_refuted_once_the_interval_is_clear(
    low: float, high: float, status: Status, words: str
) -> None:
    verdict = judge(claim(Rule.FAILS, 10.0, resolution=0.01), between(low, high))
    assert verdict.status is status
    assert words in verdict.reason


# ------------------------------------------------------------------------- what never passes


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_missed_and_named(rule: Rule, bad: float) -> None:
    paper = claim(rule, 10.0, resolution=0.01)
    verdict = judge(paper, measured(99.0, bad, seeds=(3, 7), num_images=10_000))
    assert verdict.status is Status.MISSED
    assert str(bad) in verdict.reason
    assert "seed 7" in verdict.reason
    assert verdict.measurement is not None
    assert (verdict.measured, verdict.deviation, verdict.difference, verdict.interval) == (
        None,
    ) * 4

    for interval in ((bad, 99.5), (98.0, bad)):
        verdict = judge(paper, measured(99.0, interval=interval))
        assert verdict.status is Status.MISSED
        assert "interval" in verdict.reason


@settings(deadline=None)
@given(
    rule=st.sampled_from(Rule),
    values=st.lists(st.floats(0, 100), max_size=4),
    bad=st.sampled_from([math.nan, math.inf, -math.inf]),
    at=st.integers(0, 4),
    num_images=st.sampled_from([None, 100, 10_000]),
)
def test_no_mixture_with_nan_passes(
    rule: Rule, values: list[float], bad: float, at: int, num_images: int | None
) -> None:
    values.insert(at, bad)
    verdict = judge(claim(rule, 50.0, resolution=0.1), measured(*values, num_images=num_images))
    assert verdict.status is Status.MISSED


def test_no_interval_of_nan() -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        interval_95(accuracy(math.nan))


def test_nan_stays_in_a_difference_and_misses() -> None:
    difference = difference_measurement(accuracy(90.0, 91.0), accuracy(80.0, math.nan))
    verdict = judge(claim(Rule.ABOVE, 0.0, "points"), difference)
    assert verdict.status is Status.MISSED
    assert difference_measurement(accuracy(90.0), accuracy(80.0, math.nan)).interval is None


def test_not_measured_never_passes() -> None:
    for rule in Rule:
        verdict = not_measured(claim(rule, 10.0), "no GPU here:\n  --device cuda")
        assert verdict.status is Status.NOT_MEASURED
        assert verdict.status not in PASSES
        assert verdict.reason == "no GPU here: --device cuda"
        assert (verdict.measurement, verdict.measured, verdict.interval) == (None,) * 3


@pytest.mark.parametrize("reason", ["", " \n"])
def test_not_measured_needs_a_reason(reason: str) -> None:
    with pytest.raises(ValueError, match="place/name"):
        not_measured(claim(Rule.EXACT, 1.0), reason)


def test_units_must_agree() -> None:
    with pytest.raises(ValueError, match=r"claimed in '%', measured in 'points'"):
        judge(claim(Rule.AT_LEAST, 91.0), measured(91.0, unit="points"))


# ------------------------------------------------------------------------------ the verdict


def test_a_verdict_holds_mean_deviation_difference_and_interval() -> None:
    measurement = accuracy(91.0, 92.0, 93.0)
    verdict = judge(claim(Rule.AT_LEAST, 91.72, resolution=0.01), measurement)
    assert verdict.measured == 92.0
    assert verdict.deviation == 1.0
    assert verdict.difference == pytest.approx(0.28)
    assert verdict.interval == interval_95(measurement)
    assert verdict.measurement is measurement
    assert judge(claim(Rule.AT_LEAST, 91.72), accuracy(92.0)).deviation is None


@pytest.mark.parametrize(
    ("paper", "measurement", "reason"),
    [
        (
            claim(Rule.AT_LEAST, 91.72, resolution=0.01),
            between(89.0, 91.0),
            "90.00 % (89.00 to 91.00) over 1 seed is below the claimed 91.72 %",
        ),
        (
            claim(Rule.AT_LEAST, 58.0, resolution=1.0),
            measured(70.0, 71.0, interval=(69.0, 72.0)),
            "70.50 % (69.00 to 72.00) over 2 seeds is above the claimed 58 %",
        ),
        (
            claim(Rule.AT_LEAST, 0.92, "", resolution=0.01),
            between(0.9, 0.95, ""),
            "0.925 (0.900 to 0.950) over 1 seed agrees with the claimed 0.92",
        ),
        (
            claim(Rule.ROUNDED, 15e6, "parameters", resolution=1e6),
            measured(14_728_266, unit="parameters"),
            "14,728,266 parameters is the claimed 15,000,000 parameters to a precision of "
            "1,000,000 parameters",
        ),
        (
            claim(Rule.EXACT, 16, "layers"),
            measured(16.5, unit="layers"),
            "16.50 layers is not the claimed 16 layers",
        ),
        (
            claim(Rule.AT_LEAST, 0.0, "points"),
            measured(-0.001, unit="points"),
            "0.00 points is below the claimed 0 points",
        ),
    ],
)
def test_reasons_are_plain(paper: Claim, measurement: Measurement, reason: str) -> None:
    assert judge(paper, measurement).reason == reason


# ------------------------------------------------------------------------------ one proportion


@pytest.mark.parametrize("num_images", [1, 10, 360, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_wilson_is_scipys(share: float, num_images: int) -> None:
    hits = round(share * num_images)
    expected = stats.binomtest(hits, num_images).proportion_ci(method="wilson")
    low, high = wilson_interval(hits / num_images, num_images)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= hits / num_images <= high


def test_wilson_needs_images() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0.5, 0)


def test_one_seed_adds_the_assumed_deviation() -> None:
    low, high = interval_95(accuracy(91.72))
    wilson = wilson_interval(0.9172, 10_000)
    seeds = stats.t.ppf(0.975, ASSUMED_DEGREES) * ASSUMED_SEED_DEVIATION
    assert 91.72 - low == pytest.approx(math.hypot(91.72 - 100 * wilson[0], seeds))
    assert high - 91.72 == pytest.approx(math.hypot(100 * wilson[1] - 91.72, seeds))
    as_share = interval_95(measured(0.9172, unit="", num_images=10_000))
    assert as_share == pytest.approx((low / 100, high / 100))


def test_several_seeds_pool_theirs_with_the_assumed_deviation() -> None:
    values = (91.0, 91.5, 92.3)
    degrees = ASSUMED_DEGREES + 2
    pooled = (ASSUMED_DEGREES * ASSUMED_SEED_DEVIATION**2 + 2 * np.var(values, ddof=1)) / degrees
    seeds = stats.t.ppf(0.975, degrees) * math.sqrt(pooled / 3)
    mean = float(np.mean(values))
    wilson = wilson_interval(mean / 100, 10_000)
    low, high = interval_95(accuracy(*values))
    assert mean - low == pytest.approx(math.hypot(mean - 100 * wilson[0], seeds))
    assert high - mean == pytest.approx(math.hypot(100 * wilson[1] - mean, seeds))


def test_a_second_seed_like_the_first_never_widens() -> None:
    for second in (91.5, 91.7, 92.0):
        one, two = interval_95(accuracy(91.5)), interval_95(accuracy(91.5, second))
        assert two[1] - two[0] < one[1] - one[0]


def test_a_count_has_no_interval_and_several_have_the_t_interval() -> None:
    assert interval_95(measured(701_466, unit="parameters")) == (701_466, 701_466)
    assert interval_95(measured(7, 7, 7, unit="layers")) == (7, 7)
    values = (2.0, 3.0, 5.0)
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert interval_95(measured(*values, unit="images")) == pytest.approx(expected)


def test_a_given_interval_takes_precedence_and_must_hold_the_mean() -> None:
    assert interval_95(measured(0.5, unit="", num_images=10, interval=(0.4, 0.7))) == (0.4, 0.7)
    with pytest.raises(ValueError, match="same unit"):
        interval_95(measured(0.5, unit="", interval=(40.0, 70.0)))


@pytest.mark.parametrize(
    ("value", "unit"), [(101.0, "%"), (-1.0, "%"), (91.0, ""), (3.0, "points")]
)
def test_num_images_is_for_shares(value: float, unit: str) -> None:
    with pytest.raises(ValueError, match="share of images"):
        interval_95(measured(value, unit=unit, num_images=100))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.917, 0.99])
@pytest.mark.parametrize("num_images", [500, 10_000])
def test_one_seeds_interval_covers_the_level(share: float, num_images: int) -> None:
    # Two draws: a seed's own level around the recipe's, and the test images.
    generator = np.random.default_rng(0)
    levels = share + generator.normal(0, ASSUMED_SEED_DEVIATION / 100, 2000)
    hits = generator.binomial(num_images, np.clip(levels, 0, 1))
    ends = [interval_95(accuracy(100 * hit / num_images, num_images=num_images)) for hit in hits]
    covered = np.mean([low <= 100 * share <= high for low, high in ends])
    assert 0.93 < covered < 0.975


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_several_seeds_cover_the_level(num_seeds: int) -> None:
    # One set of images for all seeds of an experiment: its error does not average out.
    generator = np.random.default_rng(1)
    of_images = generator.normal(0, 100 * math.sqrt(0.9 * 0.1 / 10_000), (2000, 1))
    # Where the deviation is the assumed one; at 0.5, the most published, a little less.
    for deviation, least, most in ((ASSUMED_SEED_DEVIATION, 0.93, 0.99), (0.5, 0.89, 0.99)):
        seeds = generator.normal(0, deviation, (2000, num_seeds))
        ends = [interval_95(accuracy(*row)) for row in (90 + of_images + seeds).tolist()]
        covered = np.mean([low <= 90 <= high for low, high in ends])
        assert least < covered < most


# --------------------------------------------------------------------------------- properties

percents = st.floats(0, 100)
seeds_of_percents = st.lists(percents, min_size=1, max_size=5)
images = st.integers(1, 100_000)


@settings(deadline=None)
@given(values=seeds_of_percents, num_images=images)
def test_the_interval_contains_the_mean_and_stays_in_range(
    values: list[float], num_images: int
) -> None:
    low, high = interval_95(accuracy(*values, num_images=num_images))
    mean = judge(claim(Rule.AT_LEAST, 50.0), accuracy(*values)).measured
    assert mean is not None
    assert 0 <= low <= mean <= high <= 100


@settings(deadline=None)
@given(values=seeds_of_percents, num_images=images, more=st.integers(1, 100_000))
def test_more_images_are_narrower(values: list[float], num_images: int, more: int) -> None:
    few = interval_95(accuracy(*values, num_images=num_images))
    many = interval_95(accuracy(*values, num_images=num_images + more))
    assert few[0] - 1e-9 <= many[0]
    assert many[1] <= few[1] + 1e-9
    if 1 < values[0] < 99 and len(values) == 1 and few[0] > 0 and few[1] < 100:
        assert many[1] - many[0] < few[1] - few[0]


@settings(deadline=None)
@given(
    values=seeds_of_percents,
    rise=st.floats(0, 100),
    paper_value=percents,
    num_images=images,
)
def test_a_higher_accuracy_is_never_judged_worse(
    values: list[float], rise: float, paper_value: float, num_images: int
) -> None:
    rise = min(rise, 100 - max(values))
    higher = [min(100.0, value + rise) for value in values]
    rank = [Status.MISSED, Status.REPRODUCED, Status.EXCEEDED, Status.REFUTED]
    for rule in (Rule.AT_LEAST, Rule.FAILS):
        paper = claim(rule, paper_value, resolution=0.01)
        before, after = (
            judge(paper, accuracy(*levels, num_images=num_images)).status
            for levels in (values, higher)
        )
        assert rank.index(after) >= rank.index(before)
    above = [Status.MISSED, Status.UNDECIDED, Status.REPRODUCED]
    for rule, order in ((Rule.ABOVE, above), (Rule.BELOW, above[::-1])):
        before, after = (
            judge(claim(rule, paper_value), accuracy(*levels, num_images=num_images)).status
            for levels in (values, higher)
        )
        assert order.index(after) >= order.index(before)


@settings(deadline=None)
@given(
    rule=st.sampled_from(Rule),
    values=seeds_of_percents,
    paper_value=percents,
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_seeds_does_not_matter(
    rule: Rule, values: list[float], paper_value: float, random: Any
) -> None:
    shuffled = random.sample(values, len(values))
    paper = claim(rule, paper_value, resolution=0.01)
    one, other = judge(paper, accuracy(*values)), judge(paper, accuracy(*shuffled))
    assert one.status is other.status
    assert (one.measured, one.deviation, one.interval) == (
        other.measured,
        other.deviation,
        other.interval,
    )


# ---------------------------------------------------------------------------------- differences


def test_a_difference_of_one_seed_each_squares_and_adds() -> None:
    a, b = accuracy(91.72, num_images=10_000), accuracy(89.97, num_images=5_000)
    difference = difference_measurement(a, b)
    assert difference.unit == "points"
    assert difference.values == pytest.approx((1.75,))
    (a_low, _), (_, b_high) = wilson_interval(0.9172, 10_000), wilson_interval(0.8997, 5_000)
    seeds = stats.t.ppf(0.975, 2 * ASSUMED_DEGREES) * ASSUMED_SEED_DEVIATION * math.sqrt(2)
    assert difference.interval is not None
    assert 1.75 - difference.interval[0] == pytest.approx(
        math.hypot(91.72 - 100 * a_low, 100 * b_high - 89.97, seeds)
    )


def test_the_seeds_of_a_difference_are_welchs(monkeypatch: pytest.MonkeyPatch) -> None:
    # So many images that the seeds alone are left, and nothing assumed.
    monkeypatch.setattr(judging, "ASSUMED_DEGREES", 0)
    a, b = (91.0, 91.4, 92.1), (89.0, 90.5, 89.9, 90.2)
    difference = difference_measurement(
        accuracy(*a, num_images=10**12), accuracy(*b, num_images=10**12)
    )
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert difference.interval == pytest.approx((expected.low, expected.high), abs=1e-3)
    assert difference.values == pytest.approx((np.mean(a) - np.mean(b),))
    assert "over 3 against 4 seeds" in judge(claim(Rule.ABOVE, 0.0, "points"), difference).reason


def test_a_difference_pairs_by_seed() -> None:
    a = measured(91.0, 92.0, seeds=(0, 1), num_images=100, recipe="tuned", fingerprints=("a",))
    b = measured(80.0, 70.0, seeds=(1, 0), num_images=100, recipe="quick", fingerprints=("b",))
    difference = difference_measurement(a, b)
    assert difference.values == (21.0, 12.0)
    assert difference.seeds == (0, 1)
    assert difference.fingerprints == ("a", "b")
    assert difference.recipe is None
    # Other seeds are paired as they come; their labels are of neither side.
    unmatched = difference_measurement(a, dataclasses.replace(b, seeds=(5, 6)))
    assert unmatched.values == (11.0, 22.0)
    assert unmatched.seeds == ()


def test_a_side_with_an_interval_gives_that() -> None:
    a = measured(90.0, interval=(87.0, 94.0))
    b = measured(50.0, interval=(46.0, 53.0))
    assert difference_measurement(a, b).interval == pytest.approx((40 - 3 * 2**0.5, 40 + 32**0.5))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (measured(1.0, unit="points", num_images=10), accuracy(1.0)),
        (accuracy(1.0), measured(1.0, unit="", num_images=10)),
        (accuracy(1.0), measured(1.0)),
    ],
)
def test_a_difference_is_of_percents_with_an_error(a: Measurement, b: Measurement) -> None:
    with pytest.raises(ValueError, match="difference"):
        difference_measurement(a, b)


@settings(deadline=None)
@given(a=seeds_of_percents, b=seeds_of_percents, num_images=images)
def test_a_difference_is_antisymmetric_and_holds_its_mean(
    a: list[float], b: list[float], num_images: int
) -> None:
    sides = accuracy(*a, num_images=num_images), accuracy(*b, num_images=num_images)
    forth, back = difference_measurement(*sides), difference_measurement(*sides[::-1])
    assert forth.interval is not None
    assert back.interval == pytest.approx((-forth.interval[1], -forth.interval[0]))
    assert interval_95(forth) == forth.interval  # which checks the mean
    wide = judge(claim(Rule.AT_LEAST, -100.0, "points"), forth)
    assert wide.status in PASSES


@pytest.mark.parametrize("num_seeds", [(1, 1), (1, 3), (4, 4)])
def test_a_difference_covers(num_seeds: tuple[int, int]) -> None:
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(1000):
        a, b = (
            accuracy(
                *(
                    generator.binomial(10_000, level + generator.normal(0, 0.003, size)) / 100
                ).tolist()
            )
            for level, size in zip((0.92, 0.9), num_seeds, strict=True)
        )
        low, high = interval_95(difference_measurement(a, b))
        covered.append(low <= 2 <= high)
    # Above 95 % with several seeds: here each has its own images, which the interval does not use.
    assert np.mean(covered) > 0.93


# ---------------------------------------------------------------------------- per-class reports


def cifar_like(classes: int = 10) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shares (C, C): recalls from 0.8 to 0.97, the errors unevenly spread."""
    shares = np.random.default_rng(3).dirichlet(np.full(classes, 0.7), classes)
    np.fill_diagonal(shares, 0)
    recalls = np.linspace(0.8, 0.97, classes)
    shares *= ((1 - recalls) / shares.sum(1))[:, None]
    np.fill_diagonal(shares, recalls)
    return shares


def draw(
    shares: np.ndarray[Any, Any], generator: np.random.Generator, num_images: int = 1000
) -> np.ndarray[Any, Any]:
    return np.stack([generator.multinomial(num_images, row) for row in shares])


ROWS = [
    *((row, metric) for metric in ("precision", "recall", "f1") for row in range(10)),
    *(
        (row, metric)
        for metric in ("precision", "recall", "f1")
        for row in ("macro_avg", "weighted_avg")
    ),
    ("accuracy", "accuracy"),
]


def report_value(counts: np.ndarray[Any, Any], row: int | str, metric: str) -> float:
    """By the definitions, in a loop: what the module does in one go."""
    if row == "accuracy":
        return float(np.trace(counts) / counts.sum())
    values = []
    for index in range(len(counts)):
        hits, support, predicted = (
            counts[index, index],
            counts[index].sum(),
            counts[:, index].sum(),
        )
        precision, recall = hits / max(predicted, 1), hits / max(support, 1)
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        values.append({"precision": precision, "recall": recall, "f1": f1}[metric])
    if isinstance(row, int):
        return float(values[row])
    weights = counts.sum(1) if row == "weighted_avg" else None
    return float(np.average(values, weights=weights))


def test_a_report_interval_is_around_its_value() -> None:
    counts = draw(cifar_like(), np.random.default_rng(4))
    counts[3] = counts[3] // 2  # supports differ, so that macro and weighted do
    errors = report_errors(counts)
    for row, metric in ROWS:
        low, high = report_interval(counts, row, metric, errors)
        value = report_value(counts, row, metric)
        assert 0 <= low < value < high <= 1
        if high < 1:
            assert (low + high) / 2 == pytest.approx(value)
    # A recall's error is known in closed form.
    recalls = np.diagonal(counts) / counts.sum(1)
    closed = np.sqrt(recalls * (1 - recalls) / counts.sum(1))
    np.testing.assert_allclose(errors["recall"][:10], closed, rtol=0.1)
    half = stats.norm.ppf(1 - 0.05 / (2 * FAMILY)) * math.sqrt(2) * errors["recall"][0]
    low, high = report_interval(counts, 0, "recall")
    assert (high - low) / 2 == pytest.approx(half)
    assert half / errors["recall"][0] == pytest.approx(3.29 * 2**0.5, abs=0.01)


def test_report_errors_are_those_of_many_test_sets_and_repeat() -> None:
    generator = np.random.default_rng(5)
    shares = cifar_like()
    reports: dict[tuple[int | str, str], list[float]] = {place: [] for place in ROWS}
    for _ in range(400):
        counts = draw(shares, generator)
        for place in ROWS:
            reports[place].append(report_value(counts, *place))
    counts = np.round(shares * 1000)
    errors = report_errors(counts)
    averages = {"macro_avg": 10, "weighted_avg": 11, "accuracy": 0}
    for (row, metric), values in reports.items():
        index = row if isinstance(row, int) else averages[row]
        # 400 test sets know their spread to 3.5 %, the bootstrap its own to 2.2 %.
        assert errors[metric][index] == pytest.approx(np.std(values), rel=0.16), (row, metric)
    again = report_errors(counts.astype(np.int64).tolist())
    assert all((again[name] == errors[name]).all() for name in errors)


def test_another_report_of_the_same_network_lies_within_as_a_whole() -> None:
    generator = np.random.default_rng(6)
    shares = cifar_like()
    inside = 0
    for _ in range(60):
        ours, papers = draw(shares, generator), draw(shares, generator)
        errors = report_errors(ours)
        ends = [(report_interval(ours, *row, errors), row) for row in ROWS]
        inside += all(low <= report_value(papers, *row) <= high for (low, high), row in ends)
    assert inside >= 54  # 95 % of 60 are 57, with a deviation of 1.7


def test_a_perfect_or_collapsed_report_still_has_an_error() -> None:
    perfect = np.diag([1000] * 10)
    low, high = report_interval(perfect, 0, "recall")
    assert 0.98 < low < 0.999
    assert high == 1
    collapsed = np.zeros((10, 10))
    collapsed[:, 4] = 1000  # one class predicted for every image, as in the paper's ViT_S
    errors = report_errors(collapsed)
    for row, metric in ROWS:
        low, high = report_interval(collapsed, row, metric, errors)
        value = report_value(collapsed, row, metric)
        assert 0 <= low <= value <= high <= 1
        assert low < high


def test_a_class_without_images_is_harmless() -> None:
    counts = np.array([[5, 0], [0, 0]])
    assert all(np.isfinite(values).all() for values in report_errors(counts).values())


@pytest.mark.parametrize(
    ("confusion", "match"),
    [
        ([[1, 2]], "square"),
        ([1, 2], "square"),
        ([[1, -1], [0, 1]], "counts"),
        ([[0.5, 0.5], [0, 1]], "counts"),
        ([[math.nan, 1], [0, 1]], "counts"),
        ([[0, 0], [0, 0]], "counts"),
    ],
)
def test_a_confusion_matrix_is_checked(confusion: list[Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        report_errors(confusion)


@pytest.mark.parametrize(
    ("row", "metric"),
    [
        (0, "support"),
        (2, "recall"),
        (-1, "recall"),
        ("macro", "recall"),
        (0, "accuracy"),
        ("accuracy", "f1"),
    ],
)
def test_an_unknown_row_of_a_report_is_named(row: int | str, metric: str) -> None:
    with pytest.raises(ValueError, match=f"{row!r} with metric {metric!r}"):
        report_interval([[3, 1], [1, 3]], row, metric)


# ----------------------------------------------------------------------------- the paper's claims


def at(paper: Claim, value: float) -> Measurement:
    """As a run of one seed on the claim's test images would give it."""
    if paper.unit == "%":
        return accuracy(value)
    if paper.unit == "points":
        return between(value - 0.9, value + 0.9, "points")
    if paper.unit == "" and paper.rule is Rule.AT_LEAST:
        return measured(value, unit="", interval=(max(0, value - 0.03), min(1, value + 0.03)))
    return measured(value, unit=paper.unit)


@pytest.mark.parametrize("claim_id", CLAIMS)
def test_the_papers_own_value_reproduces_its_claim(claim_id: str) -> None:
    paper = CLAIMS[claim_id]
    verdict = judge(paper, at(paper, paper.paper_value))
    if paper.rule not in (Rule.ABOVE, Rule.BELOW):
        assert verdict.status is Status.REPRODUCED
    elif paper.unit in ("%", "points"):  # a threshold itself is on neither side of it
        assert verdict.status is Status.UNDECIDED
    else:
        assert verdict.status is Status.MISSED
    assert "\n" not in verdict.reason
    assert verdict.difference == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "claim_id",
    [name for name, paper in CLAIMS.items() if paper.rule in (Rule.ABOVE, Rule.BELOW)],
)
def test_a_threshold_of_the_paper_decides_both_ways(claim_id: str) -> None:
    paper = CLAIMS[claim_id]
    step = 0.9 if paper.unit == "%" else 1.0
    if paper.rule is Rule.BELOW:
        step = -step
    assert judge(paper, at(paper, paper.paper_value + step)).status is Status.REPRODUCED
    assert judge(paper, at(paper, paper.paper_value - step)).status is Status.MISSED


@pytest.mark.parametrize("claim_id", CLAIMS)
def test_nan_passes_no_claim(claim_id: str) -> None:
    paper = CLAIMS[claim_id]
    assert judge(paper, measured(math.nan, unit=paper.unit)).status is Status.MISSED


def test_importing_costs_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, smallnet_core.judging; "
        "sys.exit(','.join({'torch', 'scipy'} & set(sys.modules)) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
