"""Each option of a run: its default, what it decides, and the one line that refuses the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smallnet_core.data import sources
from smallnet_core.data.sources import DatasetNotFound
from smallnet_core.lab import workbench
from smallnet_core.lab.cache import ModelCache
from smallnet_core.recipes import find_recipe

DIGITS = "digits/resnet18_s-adam"
CIFAR = "table2/resnet18_s-adam"
ONE_OF = "expected one of tuned, long, equal, paper, quick"
DEVICES = "expected auto, cpu, cuda or cuda:N"
WHOLE = "expected a whole number of at least 1"
MINUTES = "expected minutes, 0 or more"
NOWHERE = "does not exist; name the folder that holds CIFAR"
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_defaults_and_what_takes_their_place(suite):
    found = suite.settings()
    assert (found.recipe_kind, found.num_seeds, found.train_budget_minutes) == ("tuned", 1, 15.0)
    assert (found.device, found.data_dir, found.offline) == ("auto", None, False)
    found = suite.settings(
        "--recipe=paper", "--seeds", "3", "--train-budget", "0.5", "--data-dir=~", "--device=cpu"
    )
    assert (found.recipe_kind, found.num_seeds, found.train_budget_minutes) == ("paper", 3, 0.5)
    assert (found.data_dir, found.device) == (suite.home, "cpu")


@pytest.mark.parametrize(
    ("option", "values", "expected"),
    [
        ("--tables", ["some"], "expected one of short, all"),
        ("--recipe", ["best", "Tuned", "tuned,paper", ""], ONE_OF),
        ("--device", ["tpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""], DEVICES),
        ("--seeds", ["0", "-1", "x", "1.5", "nan", "inf", "", "1e3", "3 4"], WHOLE),
        ("--train-budget", ["x", "-1", "nan", "inf", "1e999", "", "15m"], MINUTES),
        ("--data-dir", ["/nowhere", "x" * 5000], NOWHERE),
    ],
)
def test_what_is_no_value_is_refused_in_a_line(suite, tree, option, values, expected):
    before = tree(suite.pytester.path)
    for value in values:
        for given in ((option, value), (f"{option}={value}",)):
            assert suite.refusal(suite.run(*given)) == f"{option} {value}: {expected}"
    assert tree(suite.pytester.path) == before


# What they decide


def test_the_recipe_decides_what_is_asked_for(suite, fake_training, monkeypatch):
    # The estimate tells the two apart: the paper's 200 epochs of batches of 8, and ours.
    monkeypatch.setattr(workbench, "estimate_seconds", lambda recipe, **_: 60.0 * recipe.epochs)
    for kind in ("tuned", "paper"):
        [row] = suite.rows(suite.benchmarks(CIFAR, f"--recipe={kind}", "--train-budget=0"))
        epochs = find_recipe(kind, "cifar10", "resnet18_s", "adam").epochs
        assert row["reason"].endswith(f"--train-budget {epochs} allows it")
    [row] = suite.rows(suite.benchmarks(CIFAR, "--recipe=quick"))
    assert row["reason"] == "no quick recipe for resnet18_s with adam on cifar10"
    suite.benchmarks(DIGITS, "--recipe=paper").assert_outcomes(passed=1)
    assert [recipe.kind for recipe in fake_training.trained] == ["quick"]


def test_every_seed_is_trained_once_judged_and_printed(suite, fake_training):
    suite.benchmarks(DIGITS, "--seeds=1")
    result = suite.benchmarks(DIGITS, "--seeds=3", "--device=cpu")
    assert [recipe.seed for recipe in fake_training.trained] == [0, 1, 2]
    [row] = suite.rows(result)
    assert (row["seeds"], row["values"]) == ([0, 1, 2], [97.0] * 3)
    assert (row["measured"], row["deviation"], row["device"]) == (97.0, 0.0, "cpu")
    result.stdout.re_match_lines([r"ResNet18_S  Adam +95\.00  97\.00 ± 0\.00 \(3\)  \+2\.00 .*"])


def test_retrain_trains_anew_what_the_cache_has(suite, fake_training):
    origins = []
    for options in ((), (), ("--retrain",), ()):
        [row] = suite.rows(suite.benchmarks(DIGITS, *options))
        origins += row["details"]["origins"]
    assert origins == ["trained", "cache", "trained", "cache"]
    assert len(fake_training.trained) == 2


def test_what_takes_longer_than_the_budget_says_how_long_and_what_allows_it(suite, fake_training):
    fake_training.seconds = 3_000.0
    result = suite.benchmarks(DIGITS, "-rs")
    [row] = suite.rows(result)
    assert row["verdict"] == "not measured"
    assert row["reason"] == (
        "training takes about 50 min here, over the budget of 15 min: --train-budget 50 allows it"
    )
    result.stdout.fnmatch_lines([f"SKIPPED * {row['reason']}"])
    assert fake_training.trained == [] and not suite.cache.exists()
    suite.benchmarks(DIGITS, "--train-budget=50").assert_outcomes(passed=1)
    # Nothing is trained, and what there is judged.
    none = suite.benchmarks("digits/resnet18_s", "--train-budget=0")
    none.assert_outcomes(passed=1, skipped=2)


@pytest.fixture
def downloads(monkeypatch):
    """Who tried to download; nothing ever comes."""
    asked = []

    def download(spec, root):
        asked.append(spec.name)
        raise DatasetNotFound(f"{spec.title} cannot be downloaded (no network)")

    monkeypatch.setattr(sources, "download", download)
    return asked


def test_offline_says_what_to_put_where_and_else_a_dataset_is_asked_for_once(suite, downloads):
    [row, *_] = suite.rows(suite.benchmarks("table2/", "--offline"))
    where = suite.home / ".cache" / "smallnet" / "data"
    assert downloads == []
    assert row["reason"] == (
        f"CIFAR-10 is not in {where}: put cifar-10-batches-py/ or cifar-10-batches-bin/ or "
        "cifar-10-python.tar.gz there, or allow the download"
    )
    suite.benchmarks("table2/ or table3/").assert_outcomes(skipped=12)
    assert downloads == ["cifar10", "cifar100"]


@needs_no_gpu
def test_a_device_that_is_not_there_is_refused_before_the_first_test(suite, fake_training):
    for name in ("cuda", "cuda:99", "cuda:99999999999999999999"):
        for keyword in (DIGITS, "section-3.2.1"):
            assert name in suite.refusal(suite.benchmarks(keyword, "--device", name))
    assert fake_training.trained == [] and not suite.cache.exists()
    assert suite.benchmarks("digits", "--device=cuda", "--collect-only", "-q").ret == 0
    suite.pytester.makepyfile("import pytest\n@pytest.mark.gpu\ndef test_gpu(): assert False")
    result = suite.run("-rs")
    result.stdout.fnmatch_lines(["SKIPPED * needs a GPU: torch sees none on this machine"])


# Data


@pytest.mark.parametrize("by", ["option", "environment"])
@pytest.mark.parametrize(
    ("folder", "content", "expected"),
    [
        ("cifar-10-batches-bin", None, "data_batch_1.bin: the file is missing"),
        ("cifar-10-batches-bin", bytes(1000), "has 1000 bytes, expected 30730000 (10000 records"),
        ("cifar-10-batches-py", b"cos\nsystem\n(S'touch unpickled'\ntR.", "data_batch_1: MD5 is "),
    ],
)
def test_wrong_data_are_refused_by_name(suite, monkeypatch, tree, by, folder, content, expected):
    place = suite.pytester.mkdir("data")
    (place / folder).mkdir()
    suffix = ".bin" if folder.endswith("bin") else ""
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        if content is not None:
            (place / folder / f"{name}{suffix}").write_bytes(content)
    before = tree(suite.pytester.path)
    option = [f"--data-dir={place}"] if by == "option" else []
    monkeypatch.setenv("SMALLNET_DATA", "/nowhere" if option else str(place))
    line = suite.refusal(suite.benchmarks(CIFAR, *option, "--benchmark-json=run.json"))
    assert line.startswith(str(place / folder / "data_batch_1")) and expected in line
    assert tree(suite.pytester.path) == before
    assert suite.benchmarks(CIFAR, *option, "--collect-only", "-q").ret == 0


def test_data_that_no_test_needs_stop_nothing(suite, monkeypatch, fake_training):
    monkeypatch.setenv("SMALLNET_DATA", str(suite.pytester.path / "nowhere"))
    suite.benchmarks(DIGITS, "--offline").assert_outcomes(passed=1)


# The model cache


def test_the_option_wins_over_the_environment_and_both_over_the_users_cache(suite, monkeypatch):
    assert suite.settings("--model-cache=").cache_dir.parts[-2:] == ("smallnet", "models")
    monkeypatch.setenv("SMALLNET_CACHE", "/somewhere/else")
    assert suite.settings().cache_dir == Path("/somewhere/else")
    assert suite.settings("--model-cache=~/models").cache_dir == suite.home / "models"


def test_models_go_where_the_option_says(suite, fake_training, tree):
    folder = suite.pytester.path / "not" / "yet"
    suite.benchmarks(DIGITS, f"--model-cache={folder}").assert_outcomes(passed=1)
    [recipe] = fake_training.trained
    assert {f"{recipe.name}.json", f"{recipe.name}.safetensors"} <= set(tree(folder))
    assert not [name for name in tree(folder) if name.startswith(".")]


@pytest.mark.parametrize("below", ["", "far/below"])
def test_a_file_in_the_place_of_the_cache_is_refused(suite, below):
    file = suite.pytester.path / "file"
    file.write_text("precious")
    line = suite.refusal(suite.run(f"--model-cache={file / below}"))
    assert line == f"model cache {file / below}: {file} is a file, expected a folder"


@pytest.mark.parametrize("keyword", [DIGITS, "table6/l1_structured-0.05", "first_steps"])
def test_a_cache_that_forbids_writing_is_refused_for_whatever_writes_it(
    suite, fake_training, monkeypatch, keyword
):
    def check_writable(self: ModelCache) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ModelCache, "check_writable", check_writable)
    line = suite.refusal(suite.benchmarks(keyword))
    assert line.startswith(f"model cache {suite.cache}: cannot be written (Permission denied); ")
    assert fake_training.trained == []


def test_a_damaged_model_is_named_in_the_report_and_trained_again(suite, fake_training):
    suite.benchmarks(DIGITS)
    [weights] = suite.cache.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    result = suite.benchmarks(DIGITS)
    assert len(fake_training.trained) == 2
    text = " ".join(result.stdout.str().split())
    assert f"damaged cache entry renamed to *.damaged-1: {weights}: sha256 is" in text
