"""--seeds N."""

from __future__ import annotations

import pytest


def test_one_is_the_default(suite):
    assert suite.settings().num_seeds == 1


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "nan", "inf", "", "1e3", "3 4"])
def test_what_is_no_number_of_seeds_is_refused_in_a_line(suite, number, tree):
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.run("--seeds", number))
    assert line == f"--seeds {number}: expected a whole number of at least 1"
    assert tree(suite.pytester.path) == before


def test_every_seed_is_trained_judged_and_printed(suite, fake_training):
    result = suite.benchmarks("digits/resnet18_s-adam", "--seeds", "3")
    assert [recipe.seed for recipe in fake_training.trained] == [0, 1, 2]
    [row] = suite.rows(result)
    assert row["seeds"] == [0, 1, 2]
    assert row["values"] == [97.0, 97.0, 97.0]
    assert len(set(row["fingerprints"])) == 3
    assert row["measured"] == 97.0 and row["deviation"] == 0.0
    result.stdout.re_match_lines([r"resnet18_s  adam +95\.00  97\.00 ± 0\.00 \(3\)  \+2\.00 .*"])
    result.stdout.fnmatch_lines(["*seeds 0, 1, 2*"])


def test_more_seeds_keep_those_that_were_trained(suite, fake_training):
    suite.benchmarks("digits/resnet18_s-adam", "--seeds=1")
    suite.benchmarks("digits/resnet18_s-adam", "--seeds=2")
    assert [recipe.seed for recipe in fake_training.trained] == [0, 1]
