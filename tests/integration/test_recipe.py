"""--recipe {tuned,paper,quick}."""

from __future__ import annotations

import pytest

from smallnet_core.lab import workbench
from smallnet_core.recipes import find_recipe


@pytest.mark.parametrize("kind", ["tuned", "paper", "quick"])
def test_a_known_recipe_is_taken(suite, kind):
    assert suite.settings("--recipe", kind).recipe_kind == kind


def test_tuned_is_the_default(suite):
    assert suite.settings().recipe_kind == "tuned"


@pytest.mark.parametrize("kind", ["best", "Tuned", "tuned,paper", ""])
def test_an_unknown_recipe_is_refused_in_a_line_that_names_the_known(suite, kind, tree):
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.run("--recipe", kind))
    assert line == f"--recipe {kind}: expected one of tuned, long, equal, paper, quick"
    assert tree(suite.pytester.path) == before


def test_the_recipe_decides_what_is_asked_for(suite, fake_training, monkeypatch):
    # The estimate tells the two apart: the paper's 200 epochs of batches of 8, and ours.
    monkeypatch.setattr(workbench, "estimate_seconds", lambda recipe, **_: 60.0 * recipe.epochs)
    rows = {}
    for kind in ("tuned", "paper", "quick"):
        result = suite.benchmarks("table2/resnet18_s-adam", f"--recipe={kind}", "--train-budget=0")
        [rows[kind]] = suite.rows(result)
    for kind in ("tuned", "paper"):
        epochs = find_recipe(kind, "cifar10", "resnet18_s", "adam").epochs
        assert rows[kind]["reason"].endswith(f"--train-budget {epochs} allows it")
    assert rows["quick"]["reason"] == "no quick recipe for resnet18_s with adam on cifar10"


@pytest.mark.parametrize("kind", ["tuned", "paper"])
def test_digits_always_takes_its_quick_ones(suite, fake_training, kind):
    result = suite.benchmarks("digits/resnet18_s-adam", f"--recipe={kind}")
    [row] = suite.rows(result)
    assert row["recipe"] == "quick" and row["measured"] == 97.0
    assert [recipe.kind for recipe in fake_training.trained] == ["quick"]
