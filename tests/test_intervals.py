"""How well measurements are known: intervals against references, simulations and each other."""

from __future__ import annotations

import base64
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

from smallnet_core.claims import CLAIMS
from smallnet_core.judging import (
    difference_measurement,
    interval_95,
    judge,
    report_interval,
    report_value,
)
from smallnet_core.judging.intervals import ASSUMED_DEGREES, ASSUMED_SEED_DEVIATION, wilson_interval
from smallnet_core.records import Status
from smallnet_core.runs.significance import paired_interval
from tests.test_judging import ONE_SEED, accuracy, measured


def with_bits(right, **fields):
    """Of bits (seeds, images)."""
    packed = tuple(base64.b64encode(np.packbits(one).tobytes()).decode() for one in right)
    percents = (100 * right.mean(1)).tolist()
    return accuracy(*percents, num_images=right.shape[1], right=packed, **fields)


@pytest.mark.parametrize(("value", "interval"), [(0.5, (40.0, 70.0)), (50.0, (0.4, 0.7))])
def test_an_interval_in_another_unit_is_refused(value, interval):
    with pytest.raises(ValueError, match="same unit"):
        interval_95(measured(value, unit="", interval=interval))


def test_several_seeds_pool_theirs_with_the_assumed_deviation():
    values = (91.0, 91.5, 92.3)
    degrees = ASSUMED_DEGREES + 2
    pooled = (ASSUMED_DEGREES * ASSUMED_SEED_DEVIATION**2 + 2 * np.var(values, ddof=1)) / degrees
    half = stats.t.ppf(0.975, degrees) * math.sqrt(pooled / 3)
    mean = float(np.mean(values))
    assert interval_95(accuracy(*values)) == pytest.approx((mean - half, mean + half))
    shares = measured(*(v / 100 for v in values), unit="", num_images=10_000)
    assert interval_95(shares) == pytest.approx(((mean - half) / 100, (mean + half) / 100))


def test_a_count_has_no_interval_and_several_have_the_t_interval():
    assert interval_95(measured(7, 7, 7, unit="layers")) == (7, 7)
    values = (2.0, 3.0, 5.0)
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert interval_95(measured(*values, unit="images")) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_wilson_is_scipys(share):
    expected = stats.binomtest(round(share * 360), 360).proportion_ci(method="wilson")
    assert wilson_interval(share, 360) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("num_seeds", [(1, 1), (1, 3), (4, 4)])
@pytest.mark.parametrize("paired", [True, False])
def test_a_difference_covers_the_recipes_difference(num_seeds, paired):
    """On new images and seeds: of 0.92 and 0.9, four in five errors are of the same images."""
    generator = np.random.default_rng(2)
    covered, widths = [], []
    for _ in range(400):
        hard = generator.random(2_000)
        sides = []
        for level, size in zip((0.92, 0.9), num_seeds, strict=True):
            shift = generator.normal(0, ASSUMED_SEED_DEVIATION / 100, (size, 1))
            noise = generator.random((size, 2_000)) < 0.02  # of images that one seed gets wrong
            sides.append((hard < (level + shift) / 0.98) & ~noise)
        a, b = map(with_bits, sides)
        if not paired:
            a, b = (dataclasses.replace(side, right=()) for side in (a, b))
        low, high = interval_95(difference_measurement(a, b))
        covered.append(low <= 2 <= high)
        widths.append(high - low)
    assert np.mean(covered) > 0.93
    # What both have wrong is no difference: unpaired, the images would count twice.
    assert (float(np.mean(widths)) < 3) is paired


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (3, 0), (10, 40)])
def test_the_images_of_a_pair_count_as_in_comparing_runs(lost, gained):
    old = np.arange(500) < 400
    new = old.copy()
    new[:lost], new[400 : 400 + gained] = False, True
    low, high = paired_interval(lost, gained, 500)
    found = difference_measurement(with_bits(new[None]), with_bits(old[None]))
    assert found.details["images_points"] == pytest.approx(50 * (high - low))


def test_a_difference_adds_images_of_each_side_as_newcombe_does_and_seeds_as_welch_does():
    few, many = accuracy(80.0, num_images=70), accuracy(60.0, num_images=80)
    seeds = math.sqrt(2) * stats.t.ppf(0.975, 2 * ASSUMED_DEGREES) * ASSUMED_SEED_DEVIATION
    low, high = interval_95(difference_measurement(few, many))  # his: 0.0524 to 0.3339
    assert math.hypot(20 - 5.24, seeds) == pytest.approx(20 - low, abs=0.01)
    assert math.hypot(33.39 - 20, seeds) == pytest.approx(high - 20, abs=0.01)

    one, four = accuracy(80.0, num_images=10**12), accuracy(*[60.0] * 4, num_images=10**12)
    variances = [ASSUMED_SEED_DEVIATION**2, ASSUMED_SEED_DEVIATION**2 * 10 / 13 / 4]
    degrees = sum(variances) ** 2 / (variances[0] ** 2 / 10 + variances[1] ** 2 / 13)
    half = stats.t.ppf(0.975, degrees) * math.sqrt(sum(variances))
    assert interval_95(difference_measurement(one, four))[1] == pytest.approx(20 + half, abs=1e-3)


def test_a_difference_pairs_seeds_and_keeps_what_it_is_of():
    a = measured(91.0, 92.0, seeds=(0, 1), num_images=100, recipe="tuned", fingerprints=("a",))
    b = measured(80.0, 70.0, seeds=(0, 1), num_images=100, recipe="quick", fingerprints=("b",))
    difference = difference_measurement(a, b)
    assert difference.values == (11.0, 22.0)
    assert (difference.seeds, difference.fingerprints, difference.recipe) == (
        (0, 1),
        ("a", "b"),
        None,
    )
    # Other seeds are paired as they come; their labels are of neither side.
    unmatched = difference_measurement(a, dataclasses.replace(b, seeds=(5, 6)))
    assert (unmatched.values, unmatched.seeds) == ((11.0, 22.0), ())
    fewer = difference_measurement(a, measured(80.0, num_images=100))
    assert fewer.values == (11.5,)


def test_a_network_and_its_pruned_self_have_one_seed_between_them():
    low, high = interval_95(
        difference_measurement(accuracy(88.0), accuracy(90.0), same_network=True)
    )
    assert (low, high) == pytest.approx((-2 - ONE_SEED, -2 + ONE_SEED))


@settings(deadline=None)
@given(
    values=st.lists(st.floats(0, 100), min_size=1, max_size=5),
    times=st.integers(2, 4),
    num_images=st.integers(1, 10_000),
)
def test_more_seeds_never_widen(values, times, num_images):
    """Seeds that scatter as those before them."""
    one, more = (accuracy(*(n * values), num_images=num_images) for n in (1, times))
    other = accuracy(50.0, num_images=num_images)
    for narrow, wide in (
        (more, one),
        (difference_measurement(more, other), difference_measurement(one, other)),
    ):
        (a, b), (c, d) = interval_95(narrow), interval_95(wide)
        assert b - a <= d - c + 1e-9


# --- per-class reports ----------------------------------------------------------------------------

ROWS = [
    *(
        (row, metric)
        for metric in ("precision", "recall", "f1")
        for row in (*range(10), "macro_avg", "weighted_avg")
    ),
    ("accuracy", "accuracy"),
]


def confusion(*recalls: float, num_images: int = 1000) -> np.ndarray[Any, Any]:
    """Counts (C, C) of ``num_images`` a class; what is wrong is spread over the other classes."""
    classes = len(recalls)
    shares = np.array([np.full(classes, (1 - recall) / (classes - 1)) for recall in recalls])
    np.fill_diagonal(shares, recalls)
    return np.stack([np.random.default_rng(3).multinomial(num_images, row) for row in shares])


def test_a_reports_interval_is_that_of_other_draws_of_its_images():
    counts = confusion(*np.linspace(0.8, 0.97, 10))
    counts[3] = counts[3] // 2  # supports differ, so that macro and weighted do
    generator = np.random.default_rng(5)
    draws = [
        np.stack([generator.multinomial(row.sum(), row / row.sum()) for row in counts])
        for _ in range(400)
    ]
    for row, metric in ROWS:
        low, high = report_interval([counts], row, metric)
        assert (low + high) / 2 == pytest.approx(report_value(counts, row, metric), abs=0.002)
        spread = np.std([report_value(draw, row, metric) for draw in draws])
        assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.16), (row, metric)


def test_the_mean_of_several_reports_is_known_better():
    counts = confusion(*[0.9] * 10)
    low, high = report_interval([counts], 0, "recall")
    of_four = report_interval([counts] * 4, 0, "recall")
    assert of_four[1] - of_four[0] == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(("recall", "status"), [(0.91, Status.MISSED), (0.93, Status.REPRODUCED)])
def test_a_recall_that_is_five_points_below_the_papers_is_found(recall, status):
    paper = CLAIMS["appendix-d.2/plane-recall"]  # 0.96
    counts = np.diag([1000] * 10)
    counts[0, :2] = round(1000 * recall), round(1000 * (1 - recall))
    interval = report_interval([counts], 0, "recall")
    assert judge(paper, measured(recall, unit="", interval=interval)).status is status


def test_a_perfect_or_collapsed_report_still_has_an_error():
    collapsed = np.zeros((10, 10))
    collapsed[:, 4] = 1000  # one class predicted for every image, as in the paper's ViT_S
    for counts in (np.diag([1000] * 10), collapsed):
        for row, metric in ROWS:
            low, high = report_interval([counts], row, metric)
            assert 0 <= low < high <= 1


def test_a_class_without_images_is_harmless():
    assert report_interval([[[5, 0], [0, 0]]], 1, "recall")[0] == 0


def test_importing_costs_neither_torch_nor_scipy():
    code = (
        "import sys, smallnet_core.judging; "
        "sys.exit(','.join({'torch', 'scipy'} & set(sys.modules)) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
