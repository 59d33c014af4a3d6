"""--model-cache DIR, SMALLNET_CACHE."""

from __future__ import annotations

from pathlib import Path

import pytest

KEYWORD = "digits/resnet18_s-adam"


def test_models_go_where_the_option_says(suite, fake_training, tree):
    folder = suite.pytester.path / "not" / "yet"
    suite.benchmarks(KEYWORD, f"--model-cache={folder}").assert_outcomes(passed=1)
    [recipe] = fake_training.trained
    assert {f"{recipe.name}.json", f"{recipe.name}.safetensors"} <= set(tree(folder))
    assert not [name for name in tree(folder) if name.startswith(".")]
    assert not suite.cache.exists()


def test_the_environment_names_the_folder_too(suite, monkeypatch):
    folder = suite.pytester.path / "from the environment"
    monkeypatch.setenv("SMALLNET_CACHE", str(folder))
    assert suite.settings().cache_dir == folder


def test_the_option_wins_over_the_environment(suite, monkeypatch):
    monkeypatch.setenv("SMALLNET_CACHE", "/somewhere/else")
    folder = suite.pytester.path / "named"
    assert suite.settings(f"--model-cache={folder}").cache_dir == folder


@pytest.mark.parametrize("empty", [None, ""])
def test_without_both_it_is_the_users_cache(suite, monkeypatch, empty):
    if empty is not None:
        monkeypatch.setenv("SMALLNET_CACHE", empty)
    found = suite.settings("--model-cache=").cache_dir
    assert suite.home in found.parents
    assert found.parts[-2:] == ("smallnet", "models")


def test_a_tilde_is_the_users_home(suite):
    assert suite.settings("--model-cache=~/models").cache_dir == suite.home / "models"


@pytest.mark.parametrize("below", ["", "below", "far/below"])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_file_in_its_place_or_above_it_is_refused_in_a_line(
    suite, monkeypatch, fake_training, below, by, tree
):
    file = suite.pytester.path / "file"
    file.write_text("precious")
    place = file / below
    before = tree(suite.pytester.path)
    option = []
    if by == "option":
        option = [f"--model-cache={place}"]
    else:
        monkeypatch.setenv("SMALLNET_CACHE", str(place))
    line = suite.refusal(suite.benchmarks(KEYWORD, *option))
    assert line == f"model cache {place}: {file} is a file, expected a folder"
    assert file.read_text() == "precious" and tree(suite.pytester.path) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(
    suite, fake_training
):
    # Not even root writes there.
    line = suite.refusal(suite.benchmarks(KEYWORD, "--model-cache=/proc/smallnet"))
    assert line.startswith("model cache /proc/smallnet: cannot be written (")
    assert line.endswith("name another with --model-cache or SMALLNET_CACHE")
    assert fake_training.trained == []


def test_a_folder_that_forbids_it_is_refused_too(suite, fake_training, monkeypatch):
    from smallnet_core.lab.cache import ModelCache

    def check_writable(self: ModelCache) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ModelCache, "check_writable", check_writable)
    line = suite.refusal(suite.benchmarks(KEYWORD))
    assert line.startswith(f"model cache {suite.cache}: cannot be written (Permission denied); ")
    assert fake_training.trained == []


def test_a_start_that_fails_for_another_reason_makes_no_folder(suite, tree):
    data = suite.pytester.mkdir("data")
    (data / "cifar-10-batches-bin").mkdir()  # and nothing in it
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.benchmarks("table2/resnet18_s-adam", f"--data-dir={data}"))
    assert "data_batch_1.bin: the file is missing" in line
    assert tree(suite.pytester.path) == before


def test_a_damaged_model_is_named_in_the_report_and_trained_again(suite, fake_training):
    suite.benchmarks(KEYWORD)
    [weights] = suite.cache.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    result = suite.benchmarks(KEYWORD)
    result.assert_outcomes(passed=1)
    assert len(fake_training.trained) == 2
    text = " ".join(result.stdout.str().split())
    assert f"damaged cache entry put aside as *.damaged-1: {weights}: sha256 is" in text
    assert weights.with_name(f"{weights.name}.damaged-1").exists()
