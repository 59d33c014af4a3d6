"""--retrain."""

from __future__ import annotations

KEYWORD = "digits/resnet18_s-adam"


def test_without_it_the_cache_is_believed(suite, fake_training):
    first = suite.benchmarks(KEYWORD)
    again = suite.benchmarks(KEYWORD)
    assert first.ret == again.ret == 0
    assert len(fake_training.trained) == 1
    assert [row["details"]["origins"] for row in suite.rows(again)] == [["cache"]]
    again.assert_outcomes(passed=1)


def test_with_it_each_model_is_trained_anew_once_a_session(suite, fake_training):
    suite.benchmarks(KEYWORD)
    fake_training.trained.clear()
    again = suite.benchmarks("digits/resnet18_s", "--retrain")
    again.assert_outcomes(passed=3)
    names = [recipe.optimizer.name for recipe in fake_training.trained]
    assert sorted(names) == ["adabound", "adam", "sgdm"]
    assert {row["details"]["origins"][0] for row in suite.rows(again)} == {"trained"}


def test_what_it_trained_is_kept(suite, fake_training):
    suite.benchmarks(KEYWORD, "--retrain")
    suite.benchmarks(KEYWORD)
    assert len(fake_training.trained) == 1
