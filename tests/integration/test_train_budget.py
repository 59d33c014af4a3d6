"""--train-budget MIN."""

from __future__ import annotations

import pytest

KEYWORD = "digits/resnet18_s-adam"


def test_a_quarter_of_an_hour_is_the_default(suite):
    assert suite.settings().train_budget_minutes == 15.0


@pytest.mark.parametrize(("text", "minutes"), [("0", 0.0), ("0.5", 0.5), ("600", 600.0)])
def test_minutes_are_taken(suite, text, minutes):
    assert suite.settings("--train-budget", text).train_budget_minutes == minutes


@pytest.mark.parametrize("text", ["x", "-1", "-0.5", "nan", "inf", "-inf", "1e999", "", "15m"])
def test_what_is_no_time_is_refused_in_a_line(suite, text, tree):
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.run(f"--train-budget={text}"))
    assert line == f"--train-budget {text}: expected minutes, 0 or more"
    assert tree(suite.pytester.path) == before


def test_a_negative_number_may_stand_apart_from_its_option(suite):
    line = suite.refusal(suite.run("--train-budget", "-1"))
    assert line == "--train-budget -1: expected minutes, 0 or more"


def test_what_would_take_longer_is_a_skip_that_says_how_long_and_what_allows_it(
    suite, fake_training
):
    fake_training.seconds = 3_000.0
    result = suite.benchmarks(KEYWORD, "-rs")
    result.assert_outcomes(skipped=1)
    reason = (
        "training takes about 50 min here, over the budget of 15 min: --train-budget 50 allows it"
    )
    result.stdout.fnmatch_lines(
        ["  1 claim (digits/resnet18_s-adam): training takes*", f"SKIPPED * {reason}"]
    )
    [row] = suite.rows(result)
    assert row["verdict"] == "not measured" and row["reason"] == reason
    assert fake_training.trained == [] and not suite.cache.exists()
    allowed = suite.benchmarks(KEYWORD, "--train-budget", "50")
    allowed.assert_outcomes(passed=1)


def test_zero_trains_nothing_and_judges_what_there_is(suite, fake_training):
    suite.benchmarks(KEYWORD)
    result = suite.benchmarks("digits/resnet18_s", "--train-budget=0")
    result.assert_outcomes(passed=1, skipped=2)
    assert len(fake_training.trained) == 1
