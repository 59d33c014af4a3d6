"""smallnet_core.lab.workbench: every dataset, model and evaluation of a session is made once."""

from __future__ import annotations

import base64
import errno
import json
import math
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smallnet_core.data.datasets import CLASS_NAMES, Dataset, DatasetError, DatasetNotFound
from smallnet_core.data.sources import SPECS
from smallnet_core.lab import workbench as module
from smallnet_core.lab.judged import Evaluated
from smallnet_core.lab.publish import put_into_zoo
from smallnet_core.lab.recorded import Records
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.workbench import NUM_IMAGES, Workbench, WrongWeights
from smallnet_core.recipes import Pruning, Recipe
from smallnet_core.records import NotMeasured
from smallnet_core.training.checkpoints import Epoch
from smallnet_core.training.loop import Diverged, Trained
from smallnet_core.training.start import Source, network_of

ROW = ("digits", "resnet18_s", "adam")


def tiny(name: str, num_images: int = 20) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (num_images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(num_images) % 10
    return Dataset(
        name=name,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        class_names=CLASS_NAMES[name],
        digests={"train": "a", "test": "b"},
        source="made up",
    )


class Fakes:
    """Counts who was trained, loaded and estimated; none of it takes any time."""

    def __init__(self) -> None:
        self.trained: list[Recipe] = []
        self.found_checkpoint: list[bool] = []
        self.loaded: list[str] = []
        self.estimated: list[Recipe] = []
        self.estimate = 1.0  # seconds
        self.absent = ""
        self.diverges: Callable[[Recipe], bool] = lambda recipe: False
        self.train_seconds = 0.0

    def train(
        self,
        recipe: Recipe,
        dataset: Dataset,
        device: Any,
        *,
        progress: Any,
        checkpoint: Path,
        sources: Mapping[Recipe, Source],
        stop: Callable[[], bool],
    ) -> Trained:
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
        epoch = Epoch(
            epoch=1,
            train_loss=1.0,
            train_accuracy_percent=50.0,
            test_accuracy_percent=60.0,
            seconds=1.0,
        )
        trained = Trained(
            recipe=recipe,
            state_dict=weights,
            curve=(epoch,),
            selected_epoch=1,
            dtype=torch.float32,
            train_seconds=12.5,
            total_seconds=13.0,
        )
        if self.diverges(recipe):
            for tensor in weights.values():
                if tensor.is_floating_point():
                    tensor.fill_(math.nan)
            raise Diverged(f"{recipe}: diverged at step 1 of 4: the loss is nan", trained)
        return trained

    def load_dataset(self, name: str, *, data_dir: Path | None, offline: bool) -> Dataset:
        self.loaded.append(name)
        if self.absent:
            raise DatasetNotFound(self.absent)
        return tiny(name)

    def estimate_seconds(self, recipe: Recipe, **numbers: Any) -> float:
        self.estimated.append(recipe)
        assert (numbers["num_train"], numbers["num_test"]) == NUM_IMAGES[recipe.dataset]
        return self.estimate


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fakes = Fakes()
    monkeypatch.setattr(module, "train", fakes.train)
    monkeypatch.setattr(module, "load_dataset", fakes.load_dataset)
    monkeypatch.setattr(module, "estimate_seconds", fakes.estimate_seconds)
    monkeypatch.setattr(module, "current_commit", lambda: {"id": "f" * 40, "dirty": False})
    return fakes


@pytest.fixture
def make(fakes: Fakes, tmp_path: Path) -> Callable[..., Workbench]:
    """A session: a Workbench on the same cache, without the zoo."""

    def make(**options: Any) -> Workbench:
        bench = Workbench(Settings(**{"cache_dir": tmp_path / "cache", "device": "cpu"} | options))
        bench.cache.zoo = tmp_path / "zoo"
        return bench

    return make


def obtain(bench: Workbench, row: tuple[str, str, str] = ROW) -> list[Evaluated]:
    """What a benchmark does for one row."""
    recipes = bench.recipes(*row)
    missing = bench.to_train(recipes)
    if missing:
        bench.train(missing)
    return bench.evaluate(recipes)


# Datasets


def test_a_dataset_is_loaded_once(fakes, make):
    bench = make()
    assert bench.dataset("digits") is bench.dataset("digits")
    assert bench.dataset("cifar10").name == "cifar10"
    assert fakes.loaded == ["digits", "cifar10"]


def test_where_a_dataset_is_looked_for_is_the_settings_business(make, monkeypatch, tmp_path):
    asked = []

    def load_dataset(name: str, **options: Any) -> Dataset:
        asked.append(options)
        return tiny(name)

    monkeypatch.setattr(module, "load_dataset", load_dataset)
    make(data_dir=tmp_path, offline=True).dataset("cifar10")
    make().dataset("cifar10")
    assert asked == [
        {"data_dir": tmp_path, "offline": True},
        {"data_dir": None, "offline": False},
    ]


def test_an_absent_dataset_is_not_measured_each_time_and_looked_for_once(fakes, make):
    fakes.absent = "CIFAR-10 is not here"
    bench = make()
    lengths = []
    for _ in range(3):
        with pytest.raises(NotMeasured, match="CIFAR-10 is not here") as caught:
            bench.dataset("cifar10")
        lengths.append(len(caught.traceback))
    assert fakes.loaded == ["cifar10"]
    assert len(set(lengths[1:])) == 1, "the traceback keeps every frame that ever asked"


def test_a_wrong_dataset_is_an_error_and_not_a_reason_to_skip(make, monkeypatch):
    def load_dataset(name: str, **options: Any) -> Dataset:
        raise DatasetError("test_batch.bin: has 3 bytes")

    monkeypatch.setattr(module, "load_dataset", load_dataset)
    with pytest.raises(DatasetError, match="has 3 bytes"):
        make().dataset("cifar10")


def test_estimates_are_made_for_as_many_images_as_there_are():
    from smallnet_core.data.datasets import load_dataset

    digits = load_dataset("digits")
    found = {name: (spec.counts["train"], spec.counts["test"]) for name, spec in SPECS.items()}
    assert found | {"digits": (len(digits.train_images), len(digits.test_images))} == NUM_IMAGES


# Recipes


def test_every_seed_is_a_recipe_of_its_own(make):
    recipes = make(num_seeds=3).recipes("cifar10", "resnet18_s", "sgdm")
    assert [recipe.seed for recipe in recipes] == [0, 1, 2]
    assert len({recipe.name for recipe in recipes}) == 3
    assert len({recipe.fingerprint() for recipe in recipes}) == 3
    assert {replace(recipe, seed=0) for recipe in recipes} == {recipes[0]}


def test_the_papers_run_has_the_papers_seed_and_further_ones_follow(make):
    recipes = make(recipe_kind="paper", num_seeds=2).recipes("cifar10", "resnet18_s", "sgdm")
    assert [(recipe.kind, recipe.seed) for recipe in recipes] == [("paper", 42), ("paper", 43)]


@pytest.mark.parametrize("kind", ["tuned", "paper", "quick"])
def test_digits_always_takes_its_quick_recipes(make, kind):
    [recipe] = make(recipe_kind=kind).recipes(*ROW)
    assert recipe.kind == "quick"


def test_a_row_without_a_recipe_is_not_measured(make):
    with pytest.raises(NotMeasured, match="no quick recipe for resnet18_s with sgdm on cifar10"):
        make(recipe_kind="quick").recipes("cifar10", "resnet18_s", "sgdm")


# Models: cached, trained, trained again


def test_what_is_missing_is_trained_and_kept(fakes, make):
    bench = make()
    [result] = obtain(bench)
    assert fakes.trained == bench.recipes(*ROW)
    assert result.origin == "trained"
    assert bench.to_train(bench.recipes(*ROW)) == []
    obtain(bench)
    assert len(fakes.trained) == 1


def test_what_the_cache_has_is_not_trained_again_nor_estimated(fakes, make):
    obtain(make())
    fakes.estimated.clear()
    again = make(train_budget_minutes=0.0)
    [result] = obtain(again)
    assert len(fakes.trained) == 1 and fakes.estimated == []
    assert result.origin == "cache"


def test_the_same_weights_come_from_the_cache(make):
    [first], [second] = obtain(make()), obtain(make())
    assert first.right == second.right and first.confusion == second.confusion


def test_only_the_missing_seeds_are_trained(fakes, make):
    obtain(make())
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


def test_a_damaged_model_is_named_and_trained_again(fakes, make, tmp_path):
    obtain(make())
    [weights] = (tmp_path / "cache").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    bench = make()
    [result] = obtain(bench)
    assert result.origin == "trained" and len(fakes.trained) == 2
    [complaint] = bench.cache.complaints
    assert str(weights) in complaint
    [result] = obtain(make())
    assert result.origin == "cache"


def test_a_training_that_diverges_is_judged_not_kept_and_not_tried_again(fakes, make, tmp_path):
    fakes.diverges = lambda recipe: recipe.seed == 1
    bench = make(num_seeds=3)
    for _ in range(3):
        results = obtain(bench)
        assert [result.origin.partition(":")[0] for result in results] == [
            "trained",
            "diverged",
            "trained",
        ]
        assert results[1].accuracy_percent < 20, "one class for every image"
    assert [recipe.seed for recipe in fakes.trained] == [0, 1, 2]
    assert len(list((tmp_path / "cache").glob("*.json"))) == 2


def test_two_sessions_that_ask_for_the_same_train_it_once(fakes, make):
    """The one that comes second waits, and takes the first one's result."""
    fakes.train_seconds = 0.3
    benches = [make(), make()]
    results: list[str] = []

    def session(bench: Workbench) -> None:
        recipes = bench.recipes(*ROW)
        missing = bench.to_train(recipes)
        assert missing
        start.wait()
        bench.train(missing)
        [result] = bench.evaluate(recipes)
        results.append(result.origin)

    start = threading.Barrier(2)
    threads = [threading.Thread(target=session, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fakes.trained) == 1
    assert sorted(results) == ["cache", "trained"]


def test_who_waits_for_another_process_says_so(fakes, make):
    notes: list[str] = []

    class Watcher:
        def note(self, line: str) -> None:
            notes.append(line)

    bench, other = make(), make()
    other.progress = Watcher()
    [recipe] = bench.recipes(*ROW)
    with bench.cache.lock(recipe):
        waiting = threading.Thread(target=other.train, args=([recipe],))
        waiting.start()
        while not notes:
            time.sleep(0.01)
    waiting.join()
    assert notes == [f"{recipe}: another process is training it, waiting for its result"]


@pytest.mark.parametrize("diverges", [False, True])
def test_a_checkpoint_goes_when_its_training_ends(fakes, make, tmp_path, diverges):
    fakes.diverges = lambda recipe: diverges
    bench = make()
    [recipe] = bench.recipes(*ROW)
    path = bench.cache.checkpoint(recipe)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of a run that was killed")
    obtain(bench)
    assert fakes.found_checkpoint == [True]
    assert not path.exists()
    # So does --retrain, interrupted and asked for again.
    path.write_bytes(b"of a run that was killed")
    obtain(make(retrain=True))
    assert fakes.found_checkpoint == [True, True]
    assert not path.exists()


def test_a_checkpoint_stays_where_the_result_could_not_be_written(fakes, make, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench = make()
    [recipe] = bench.recipes(*ROW)
    monkeypatch.setattr("smallnet_core.lab.cache.write_entry", full)
    [result] = obtain(bench)
    assert result.origin == "trained", "this session has it all the same"
    assert bench.cache.checkpoint(recipe).exists()
    assert "No space left" in bench.cache.complaints[0]


def test_a_lock_is_of_one_recipe(fakes, make):
    bench, other = make(), make()
    [held], [free] = (bench.recipes("digits", "resnet18_s", name) for name in ("adam", "sgdm"))
    with bench.cache.lock(held):
        other.train([free])  # does not wait
    assert fakes.trained == [free]


# Budget


def test_what_would_take_too_long_is_not_started(fakes, make, tmp_path):
    fakes.estimate = 3_601.0
    bench = make()
    with pytest.raises(
        NotMeasured,
        match=(
            r"^training takes about 61 min here, over the budget of 15 min: "
            r"--train-budget 61 allows it$"
        ),
    ):
        obtain(bench)
    assert fakes.trained == [] and not (tmp_path / "cache").exists()
    make(train_budget_minutes=61.0).to_train(bench.recipes(*ROW))


def test_hours_are_said_in_hours_and_allowed_in_minutes(fakes, make):
    fakes.estimate = 50 * 3600.0
    with pytest.raises(NotMeasured, match=r"about 50 h here, .*: --train-budget 3000 allows it"):
        obtain(make())


@pytest.mark.parametrize(("estimate", "fits"), [(90.0, True), (90.1, False)])
def test_a_budget_may_be_a_fraction_of_a_minute_and_be_reached(fakes, make, estimate, fits):
    fakes.estimate = estimate
    bench = make(train_budget_minutes=1.5)
    if fits:
        assert len(obtain(bench)) == 1
    else:
        with pytest.raises(NotMeasured, match=r"over the budget of 1\.5 min: --train-budget 2 "):
            obtain(bench)


def test_a_budget_of_nothing_trains_nothing(fakes, make):
    fakes.estimate = 0.001
    with pytest.raises(NotMeasured, match=r"over the budget of 0 min: --train-budget 1 allows it"):
        obtain(make(train_budget_minutes=0.0))
    assert fakes.trained == []


def test_the_budget_is_for_one_model(fakes, make):
    fakes.estimate = 60.0
    assert len(obtain(make(num_seeds=3, train_budget_minutes=1.0))) == 3


# Evaluation and measurement


def test_a_model_is_evaluated_once_on_all_test_images(fakes, make, monkeypatch):
    calls = []
    genuine = module.predict

    def predict(network: Any, images: torch.Tensor, **options: Any) -> torch.Tensor:
        calls.append(len(images))
        return genuine(network, images, **options)

    monkeypatch.setattr(module, "predict", predict)
    bench = make()
    [result] = obtain(bench)
    assert obtain(bench) == [result]
    assert calls == [20]
    assert result.num_images == sum(map(sum, result.confusion)) == 20
    assert result.accuracy_percent == 100 * result.num_right / 20


def test_the_network_has_the_models_weights_and_is_ready_to_judge(make):
    bench = make()
    [result] = obtain(bench)
    model = bench.model(result.recipe)
    network = bench.network(model)
    assert not network.training
    weights = network.state_dict()
    assert weights.keys() == model.state_dict.keys()
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict.items())
    assert result.num_params == sum(p.numel() for p in network.parameters())


def test_a_measurement_says_what_was_measured_and_how(make):
    bench = make(num_seeds=2)
    results = obtain(bench)
    found = bench.measurement(results, note="more")
    recipes = bench.recipes(*ROW)
    assert found.values == tuple(result.accuracy_percent for result in results)
    assert found.unit == "%" and found.num_images == 20
    assert found.seeds == (0, 1)
    assert found.recipe == "quick" and found.device == "cpu"
    assert found.fingerprints == tuple(recipe.fingerprint() for recipe in recipes)
    details = json.loads(json.dumps(dict(found.details), allow_nan=False))
    [name] = set(details.pop("trained_on"))
    assert name
    assert details == {
        "epochs": recipes[0].epochs,
        "selection": "last",
        "computed_in": ["float32"],
        "origins": ["trained", "trained"],
        "train_seconds": [12.5, 12.5],
        "trained_at_commit": ["f" * 40, "f" * 40],
        "note": "more",
    }
    assert bench.measurement(obtain(make())).details["origins"] == ["cache"]


def test_what_a_saved_file_keeps_of_a_network_is_enough_to_judge_it_again(make):
    bench = make(num_seeds=2)
    assert bench.run_records() == []
    results = obtain(bench)
    records = bench.run_records()
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    for record, result in zip(records, results, strict=True):
        recipe = result.recipe
        assert (record["name"], record["fingerprint"]) == (recipe.name, recipe.fingerprint())
        assert record["recipe"] == recipe.canonical()
        bits = np.unpackbits(np.frombuffer(base64.b64decode(record["right"]), np.uint8))
        assert len(bits) == 24 and not bits[20:].any()
        assert record["num_images"] == 20
        assert record["accuracy_percent"] == 100 * bits.sum() / 20
        confusion = np.array(record["confusion"])
        assert confusion.sum() == 20 and confusion.trace() == bits.sum()
        assert [epoch["test_accuracy_percent"] for epoch in record["curve"]] == [60.0]
        assert record["test_digest"] == bench.dataset(recipe.dataset).digests["test"]
        assert record["trained_at_commit"] == {"id": "f" * 40, "dirty": False}
        assert record["trained_on"]["device"] == "cpu"
        assert record["peak_memory_mib"] is None or record["peak_memory_mib"] > 0
        assert (record["origin"], record["selection"]) == ("trained", "last")
        assert record["weights_sha256"]


def test_a_network_that_diverged_is_kept_as_what_it_is(fakes, make):
    fakes.diverges = lambda recipe: True
    bench = make()
    obtain(bench)
    [record] = bench.run_records()
    assert record["origin"].startswith("diverged: ")
    assert record["weights_sha256"] is None
    json.dumps(record, allow_nan=False)


def test_a_model_that_was_trained_outside_git_has_no_commit(make, monkeypatch):
    monkeypatch.setattr(module, "current_commit", lambda: None)
    bench = make()
    assert bench.measurement(obtain(bench)).details["trained_at_commit"] == [None]


# Weights that ship, and records of them


@pytest.fixture
def published(make, fakes) -> Workbench:
    """A session without a cache, whose zoo has one network of ROW."""
    bench = make()
    obtain(bench)
    put_into_zoo(bench, bench.model(*bench.recipes(*ROW)), with_weights=True)
    shutil.rmtree(bench.cache.folder)
    return make(train_budget_minutes=0)


def edit_judged(bench: Workbench, **changes: Any) -> None:
    [path] = bench.cache.zoo.glob("*.json")
    record = json.loads(path.read_text())
    record["judged"] |= changes
    path.write_text(json.dumps(record))


def test_a_record_says_of_a_network_what_judging_it_says(published):
    [live] = obtain(published)
    records = published.records
    [recorded] = records.evaluate(records.recipes(*ROW))
    assert (live.origin, recorded.origin) == ("zoo", "recorded")
    for name in ("recipe", "right", "confusion", "num_params", "num_nonzeros", "test_digest"):
        assert getattr(live, name) == getattr(recorded, name)
    a, b = (of.measurement([found]) for of, found in ((published, live), (records, recorded)))
    assert replace(a, details={}) == replace(b, details={})


def test_every_recorded_seed_answers_and_no_other(make, published):
    bench = make(num_seeds=3)
    obtain(bench)
    put_into_zoo(bench, bench.model(bench.recipes(*ROW)[2]), with_weights=True)
    assert [recipe.seed for recipe in make().records.recipes(*ROW)] == [0, 2]
    with pytest.raises(NotMeasured, match="is not recorded"):
        make().records.recipes("digits", "resnet18_s", "sgdm")


def test_weights_that_are_not_as_good_as_their_record_are_named(published):
    [found] = obtain(published)
    right = [[0] * 10 for _ in range(10)]
    for k in range(10):
        right[k][k] = 2
    bits = base64.b64encode(np.packbits([1] * 20).tobytes()).decode()
    edit_judged(published, accuracy_percent=100.0, confusion=right, right=bits)
    again = Workbench(published.settings)
    again.cache.zoo = again.records.cache.zoo = published.cache.zoo
    assert found.num_right < 20 - module.MAX_IMAGES_OFF
    with pytest.raises(WrongWeights, match=f"{found.recipe.name}: the zoo's weights have"):
        obtain(again)


def test_a_record_of_another_test_set_is_named(published, monkeypatch):
    monkeypatch.setattr(
        module, "load_dataset", lambda name, **_: replace(tiny(name), digests={"test": "other"})
    )
    with pytest.raises(WrongWeights, match="recorded on a test set of digest b, and this one's"):
        obtain(published)


def test_a_record_alone_is_recorded_and_no_network_to_measure(make, published):
    [recipe] = published.recipes(*ROW)
    accuracy = put_into_zoo(published, published.model(recipe), with_weights=False)
    assert list(published.cache.zoo.glob("*.safetensors")) == []
    bench = make(train_budget_minutes=0)
    with pytest.raises(NotMeasured, match=r"^only a record, without weights, ships of it; train"):
        obtain(bench)
    [found] = bench.records.evaluate(bench.records.recipes(*ROW))
    assert found.accuracy_percent == accuracy
    assert bench.cache.complaints == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"accuracy_percent": 12.0}, "12.0 % is not what its matrix says"),
        ({"right": "AAAA"}, "its bits are not those of|bytes of bits"),
        ({"confusion": [[20]]}, "bits|matrix"),
        ({"test_digest": "c"}, "judged on another test set than"),
        ({"num_images": 0}, "division"),
        ({"environment": None}, "NoneType"),
        ({"num_images": "20"}, "str"),
    ],
)
def test_a_damaged_record_is_a_complaint_and_not_recorded(published, changes, complaint):
    [recipe] = published.recipes(*ROW)
    edit_judged(published, **changes)
    records = Records(published.settings, published.cache)
    assert records.missing([recipe]) == [recipe]
    [line] = published.cache.complaints
    assert re.search(f"record of {recipe.name} ignored: .*{complaint}", line)


# The session's device


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "CPU", "mps", ""])
def test_an_unknown_device_is_named(make, name):
    with pytest.raises(ValueError, match=f"unknown device '{name}'"):
        make(device=name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(make):
    with pytest.raises(ValueError, match="device 'cuda:3' is not there: torch sees no GPU"):
        make(device="cuda:3")


def test_nothing_is_pruned_from_a_network_that_diverged(fakes, make):
    bench = make(num_seeds=1)
    [recipe] = bench.recipes(*ROW)
    child = replace(
        recipe, kind="pruned", pruning=Pruning(parent=recipe, structure="weights", max_params=1000)
    )
    fakes.diverges = lambda recipe: recipe.pruning is None
    assert bench.to_train([child]) == [recipe, child]
    with pytest.raises(NotMeasured, match="nothing to prune: diverged"):
        bench.train([recipe, child])
    assert fakes.trained == [recipe]


def test_what_a_pruned_network_begins_from_is_trained_first_and_once(fakes, make):
    bench = make(num_seeds=1)
    [recipe] = bench.recipes(*ROW)
    children = [
        replace(
            recipe,
            kind="pruned",
            pruning=Pruning(parent=recipe, structure="weights", max_params=size),
        )
        for size in (1000, 2000)
    ]
    assert bench.to_train(children) == [recipe, *children]
    bench.train([recipe, *children])
    assert fakes.trained == [recipe, *children] and bench.to_train(children) == []
