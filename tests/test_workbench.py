"""smallnet_core.lab.workbench: every dataset, model and evaluation of a session is made once."""

import errno
import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from smallnet_core.data.datasets import load_dataset
from smallnet_core.data.sources import DatasetError, DatasetNotFound
from smallnet_core.lab import workbench as module
from smallnet_core.lab.judged import Evaluated, measurement
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.workbench import NUM_IMAGES, Workbench
from smallnet_core.recipes import Pruning, Recipe
from smallnet_core.records import Measurement, NotMeasured
from smallnet_core.runs.file import check_run
from smallnet_core.training.loop import Diverged
from smallnet_core.training.start import network_of
from tests.trainable import as_if_trained, tiny

ROW = {"dataset": "digits", "network": "resnet18_s", "optimizer": "adam"}


class Fakes:
    """What would take time: datasets of 20 images, trainings of none, estimates of a second."""

    def __init__(self) -> None:
        self.load_dataset = Mock(side_effect=lambda name, **_: tiny(name))
        self.estimate_seconds = Mock(return_value=1.0)
        self.trained: list[Recipe] = []
        self.found_checkpoint: list[bool] = []
        self.diverges: Callable[[Recipe], bool] = lambda recipe: False
        self.train_seconds = 0.0

    def train(self, recipe, dataset, device, *, progress, checkpoint, sources, stop):
        assert dataset.name == recipe.dataset
        assert tuple(sources) == recipe.ancestors()
        assert all(source.state_dict for source in sources.values())
        self.trained.append(recipe)
        self.found_checkpoint.append(checkpoint.exists())
        checkpoint.write_bytes(b"half")
        time.sleep(self.train_seconds)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            weights = network_of(recipe).state_dict()
        if self.diverges(recipe):
            for tensor in weights.values():
                if tensor.is_floating_point():
                    tensor.fill_(math.nan)
            message = f"{recipe}: diverged at step 1 of 4: the loss is nan"
            raise Diverged(message, as_if_trained(recipe, weights))
        return as_if_trained(recipe, weights)


@pytest.fixture
def fakes(monkeypatch):
    fakes = Fakes()
    for name in ("train", "load_dataset", "estimate_seconds"):
        monkeypatch.setattr(module, name, getattr(fakes, name))
    monkeypatch.setattr(module, "current_commit", lambda: {"id": "f" * 40, "dirty": False})
    return fakes


@pytest.fixture
def make(fakes, tmp_path):
    """A session: a Workbench on the same cache; no zoo has its weights."""

    def make(**options):
        bench = Workbench(Settings(**{"cache_dir": tmp_path / "cache", "device": "cpu"} | options))
        bench.cache.zoo = tmp_path / "zoo"
        return bench

    return make


def obtain(bench: Workbench) -> list[Evaluated]:
    """What a benchmark does for a row."""
    recipes = bench.recipes_of(ROW)
    bench.train(bench.to_train(recipes))
    return bench.evaluate(recipes)


def test_a_dataset_is_loaded_once_from_where_the_settings_say(fakes, make, tmp_path):
    bench = make(data_dir=tmp_path, offline=True)
    assert bench.dataset("digits") is bench.dataset("digits")
    fakes.load_dataset.assert_called_once_with("digits", data_dir=tmp_path, offline=True)
    fakes.load_dataset.side_effect = DatasetError("test_batch.bin: has 3 bytes")
    with pytest.raises(DatasetError, match="has 3 bytes"):  # an error, no reason to skip
        make().dataset("cifar10")


def test_an_absent_dataset_is_not_measured_each_time_and_looked_for_once(fakes, make):
    fakes.load_dataset.side_effect = DatasetNotFound("CIFAR-10 is not here")
    bench = make()
    lengths = []
    for _ in range(3):
        with pytest.raises(NotMeasured, match="CIFAR-10 is not here") as caught:
            bench.to_train(bench.recipes_of(ROW | {"dataset": "cifar10"}))
        lengths.append(len(caught.traceback))
    assert fakes.load_dataset.call_count == 1
    assert len(set(lengths[1:])) == 1, "the traceback keeps every frame that ever asked"


def test_estimates_are_made_for_as_many_images_as_there_are():
    digits = load_dataset("digits")
    assert (len(digits.train_images), len(digits.test_images)) == NUM_IMAGES["digits"]


def test_what_is_missing_is_trained_once_and_kept_for_other_sessions(fakes, make):
    bench = make()
    [first], [again] = obtain(bench), obtain(bench)
    assert fakes.trained == bench.recipes_of(ROW)
    assert first is again and first.origin == "trained"
    fakes.estimate_seconds.reset_mock()
    [kept] = obtain(make(train_budget_minutes=0.0))
    assert len(fakes.trained) == 1 and not fakes.estimate_seconds.called
    assert kept.origin == "cache"
    assert (kept.right, kept.confusion) == (first.right, first.confusion)
    assert [recipe.kind for recipe in make(recipe_kind="paper").recipes_of(ROW)] == ["quick"]
    results = obtain(make(num_seeds=3))
    assert [recipe.seed for recipe in fakes.trained] == [0, 1, 2]
    assert [result.origin for result in results] == ["cache", "trained", "trained"]


def test_retrain_trains_what_there_is_once_a_session(fakes, make):
    obtain(make())
    for session in (1, 2):
        bench = make(retrain=True)
        for _ in range(3):  # as many rows as need it
            [result] = obtain(bench)
            assert result.origin == "trained"
        assert len(fakes.trained) == 1 + session
    [result] = obtain(make())
    assert result.origin == "cache"


def test_a_training_that_diverges_is_judged_not_kept_and_not_tried_again(fakes, make, tmp_path):
    fakes.diverges = lambda recipe: recipe.seed == 1
    bench = make(num_seeds=3)
    for _ in range(3):
        results = obtain(bench)
        origins = [result.origin.partition(":")[0] for result in results]
        assert origins == ["trained", "diverged", "trained"]
        assert results[1].accuracy_percent < 20, "one class for every image"
    assert [recipe.seed for recipe in fakes.trained] == [0, 1, 2]
    assert len(list((tmp_path / "cache").glob("*.json"))) == 2
    record = bench.run_records()[1]
    assert record["origin"].startswith("diverged: ") and record["weights_sha256"] is None
    assert check_run(record, "it")


def test_two_sessions_that_ask_for_the_same_train_it_once(fakes, make):
    """The one that comes second says so, waits, and takes the first one's result."""
    fakes.train_seconds = 0.3
    notes: list[str] = []
    start = threading.Barrier(2)

    def session(bench):
        bench.progress = SimpleNamespace(note=notes.append)
        recipes = bench.recipes_of(ROW)
        missing = bench.to_train(recipes)
        start.wait()
        bench.train(missing)
        return [found.origin for found in bench.evaluate(recipes)]

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(session, (make(), make()))) == [["cache"], ["trained"]]
    [recipe] = fakes.trained
    assert notes == [f"{recipe}: another process is training it, waiting for its result"]


@pytest.mark.parametrize("diverges", [False, True])
def test_a_checkpoint_goes_when_its_training_ends(fakes, make, diverges):
    fakes.diverges = lambda recipe: diverges
    bench = make()
    [recipe] = bench.recipes_of(ROW)
    path = bench.cache.checkpoint(recipe)
    path.parent.mkdir(parents=True)
    for session in (bench, make(retrain=True)):  # interrupted and asked for again
        path.write_bytes(b"of a run that was killed")
        obtain(session)
        assert not path.exists()
    assert fakes.found_checkpoint == [True, True]


def test_a_checkpoint_stays_where_the_result_could_not_be_written(fakes, make, monkeypatch):
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("smallnet_core.lab.cache.write_entry", full)
    bench = make()
    [result] = obtain(bench)
    assert result.origin == "trained", "this session has it all the same"
    assert bench.cache.checkpoint(result.recipe).exists()
    assert "No space left" in bench.cache.complaints[0]


@pytest.mark.parametrize("diverges", [False, True])
def test_what_a_pruned_network_begins_from_is_trained_first_and_once(fakes, make, diverges):
    fakes.diverges = lambda recipe: diverges and recipe.pruning is None
    bench = make()
    [recipe] = bench.recipes_of(ROW)
    pruning = Pruning(parent=recipe, structure="weights", max_params=1000)
    children = [replace(recipe, kind="pruned", pruning=pruning, seed=seed) for seed in (0, 1)]
    if diverges:
        with pytest.raises(NotMeasured, match="nothing to prune: diverged"):
            bench.train(bench.to_train(children))
        assert fakes.trained == [recipe]
    else:
        bench.train(bench.to_train(children))
        assert fakes.trained == [recipe, *children] and bench.to_train(children) == []


@pytest.mark.parametrize(
    ("seconds", "minutes", "reason"),
    [
        (3_601, 15, "about 61 min here, over the budget of 15 min: --train-budget 61 allows it"),
        (50 * 3600, 15, "about 50.0 h here, .*: --train-budget 3000 allows it"),
        (0.001, 0, "over the budget of 0 min: --train-budget 1 allows it"),
    ],
)
def test_what_would_take_too_long_is_not_started(fakes, make, tmp_path, seconds, minutes, reason):
    fakes.estimate_seconds.return_value = seconds
    with pytest.raises(NotMeasured, match=f"^training takes .*{reason}$"):
        obtain(make(train_budget_minutes=minutes))
    given = fakes.estimate_seconds.call_args.kwargs
    assert (given["num_train"], given["num_test"]) == NUM_IMAGES["digits"]
    assert fakes.trained == [] and not (tmp_path / "cache").exists()
    # The budget is for one model, and may be reached.
    assert len(obtain(make(num_seeds=3, train_budget_minutes=seconds / 60))) == 3


def test_a_model_is_evaluated_once_on_all_test_images(fakes, make, monkeypatch):
    predict = Mock(wraps=module.predict)
    monkeypatch.setattr(module, "predict", predict)
    bench = make()
    [result] = obtain(bench)
    assert obtain(bench) == [result]
    [(network, images), options] = predict.call_args
    assert predict.call_count == 1 and len(images) == 20 and not network.training
    assert options["flips"] == result.recipe.test_time_flips
    assert result.num_images == sum(map(sum, result.confusion)) == 20
    assert result.accuracy_percent == 100 * result.num_right / 20
    expected = bench.model(result.recipe).state_dict
    weights = network.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert result.num_params == sum(p.numel() for p in network.parameters())


def test_a_measurement_says_what_was_measured_and_how(make):
    bench = make(num_seeds=2)
    results = obtain(bench)
    found = measurement(results, note="more")
    recipes = bench.recipes_of(ROW)
    details = dict(found.details)
    assert details.pop("trained_on") == [bench.facts.device_name] * 2
    assert details == {
        "epochs": recipes[0].epochs,
        "selection": "last",
        "computed_in": ["float32"],
        "origins": ["trained", "trained"],
        "train_seconds": [12.5, 12.5],
        "trained_at_commit": ["f" * 40] * 2,
        "note": "more",
    }
    assert replace(found, details={}) == Measurement(
        values=tuple(result.accuracy_percent for result in results),
        unit="%",
        seeds=(0, 1),
        num_images=20,
        right=tuple(result.right for result in results),
        recipe="quick",
        fingerprints=tuple(recipe.fingerprint() for recipe in recipes),
    )


def test_what_a_saved_file_keeps_of_a_network_is_enough_to_judge_it_again(make):
    bench = make(num_seeds=2)
    assert bench.run_records() == []
    results = obtain(bench)
    for record, result in zip(bench.run_records(), results, strict=True):
        # Also that bits, confusion matrix and accuracy are of the same images.
        assert check_run(json.loads(json.dumps(record, allow_nan=False)), "it") == record
        recipe = result.recipe
        assert (record["name"], record["fingerprint"]) == (recipe.name, recipe.fingerprint())
        assert record["recipe"] == recipe.canonical()
        assert record["accuracy_percent"] == result.accuracy_percent
        assert [epoch["test_accuracy_percent"] for epoch in record["curve"]] == [60.0]
        assert record["test_digest"] == bench.dataset(recipe.dataset).digests["test"]
        assert record["trained_at_commit"] == bench.commit
        assert record["trained_on"] == bench.facts.as_dict()
        assert record["peak_memory_mib"] is None or record["peak_memory_mib"] > 0
        assert (record["origin"], record["selection"]) == ("trained", "last")
        assert record["weights_sha256"]
