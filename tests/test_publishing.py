"""``smallnet publish``: what goes from the cache into the zoo, and what is said by it there."""

import base64
import io
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smallnet_core.lab import publish as module
from smallnet_core.lab import workbench
from smallnet_core.lab.cache import ModelCache, record_of
from smallnet_core.lab.listing import state_of, to_do
from smallnet_core.lab.publish import publish
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.workbench import Workbench, WrongWeights
from smallnet_core.pruning.curve import write_curve
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.records import NotMeasured
from smallnet_core.system.machine import environment
from smallnet_core.training.progress import LogLines
from smallnet_core.training.start import network_of
from tests.test_pruning_curves import curve
from tests.trainable import as_if_trained, tiny

SMALL = find_recipe("quick", "digits", "resnet18_s", "adam")
LARGE = find_recipe("tuned", "cifar10", "resnet18", "adam")
ROW = {"dataset": "digits", "network": "resnet18_s", "optimizer": "adam"}
CLEAN: dict[str, Any] = {"id": "f" * 40, "dirty": False}


@dataclass
class Shop:
    """A cache, and a zoo of its own."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = ModelCache(self.folder / "cache", self.folder / "zoo")

    def train(self, recipe: Recipe, commit: dict[str, Any] | None = CLEAN) -> None:
        """As if: fresh weights."""
        trained = as_if_trained(recipe, network_of(recipe).state_dict())
        facts = environment(torch.device("cpu"))
        digests = {"train": "a", "test": "b"}
        self.cache.store(trained, record_of(trained, facts, digests, commit))

    def publish(self, *recipes: Recipe) -> int:
        stream = io.StringIO()
        settings = Settings(cache_dir=self.cache.folder, device="cpu")
        status = publish(recipes, settings, LogLines(stream), zoo=self.cache.zoo)
        self.lines = stream.getvalue().splitlines()
        return status

    def files(self) -> set[str]:
        return {path.suffix for path in self.cache.zoo.glob("*.*")}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setattr(workbench, "load_dataset", lambda name, **_: tiny(name))
    torch.manual_seed(0)
    return Shop(tmp_path)


def elsewhere(shop: Shop) -> Workbench:
    """A session that has the shop's zoo and no cache."""
    settings = Settings(cache_dir=shop.folder / "empty", device="cpu", train_budget_minutes=0)
    bench = Workbench(settings)
    bench.cache.zoo = shop.cache.zoo
    return bench


@pytest.mark.parametrize("limit", ["MAX_PARAMS", "MAX_WEIGHT_BYTES"])  # either may be exceeded
def test_a_small_network_ships_with_its_weights_and_its_judging_once(shop, monkeypatch, limit):
    monkeypatch.setattr(module, limit, 0)
    shop.train(SMALL)
    assert shop.publish(SMALL) == 0
    assert shop.files() == {".json", ".safetensors"}
    record = shop.cache.recorded(SMALL)
    judged = record["judged"]
    assert (judged["num_images"], judged["test_digest"]) == (20, "b")
    assert judged["accuracy_percent"] == record["shipped_accuracy_percent"]
    assert f"{SMALL}: published, with its weights, {judged['accuracy_percent']:.2f} %" in shop.lines
    before = {path: path.read_bytes() for path in shop.cache.zoo.iterdir()}
    assert shop.publish(SMALL) == 0
    assert shop.lines == ["0 published, 1 already in the zoo, 0 not trained, 0 refused"]
    assert {path: path.read_bytes() for path in shop.cache.zoo.iterdir()} == before


def test_a_large_network_ships_as_a_record_and_is_none_to_measure(shop, monkeypatch):
    shop.train(LARGE)
    assert shop.publish(LARGE) == 0
    assert shop.files() == {".json"}
    bench = elsewhere(shop)
    state = state_of(bench.cache, LARGE)
    assert state.text == "recorded" and to_do({LARGE: state}) == {}
    monkeypatch.setattr(workbench, "estimate_seconds", lambda recipe, **_: 1.0)
    with pytest.raises(NotMeasured, match=r"^the zoo has its record but not its weights; train"):
        bench.to_train([LARGE])
    accuracy = bench.records.model(LARGE).accuracy_percent
    assert shop.lines[0] == f"{LARGE}: published, record only, {accuracy:.2f} %"
    assert bench.cache.complaints == []


def test_a_network_of_changed_files_is_refused_and_an_untrained_one_counted(shop):
    assert shop.publish(SMALL) == 0
    assert shop.lines == ["0 published, 0 already in the zoo, 1 not trained, 0 refused"]
    shop.train(SMALL, CLEAN | {"dirty": True})
    assert shop.publish(SMALL) == 1
    assert not shop.cache.zoo.exists()
    assert shop.lines[0].startswith(f"{SMALL}: not published: it was trained with uncommitted")


def test_a_zoo_that_is_full_takes_nothing_more(shop, monkeypatch):
    monkeypatch.setattr(module, "MAX_ZOO_BYTES", 2**22)
    there = shop.cache.zoo / "curves" / "curve.json"
    there.parent.mkdir(parents=True)
    there.write_bytes(b" " * (2**22 - 2**20))
    shop.train(SMALL)
    assert shop.publish(SMALL) == 1
    assert "more would make the zoo larger than 4 MiB" in shop.lines[0]
    assert [path for path in shop.cache.zoo.rglob("*") if path.is_file()] == [there]


def test_pruning_curves_of_the_published_weights_go_with_them_and_no_others(shop):
    shop.train(SMALL)
    own = json.loads((shop.cache.folder / f"{SMALL.name}.json").read_text())["weights_sha256"]
    measured = curve(network=SMALL.name, weights_sha256=own)  # before they were rounded
    write_curve(shop.cache.folder, measured)
    shop.publish(SMALL)
    assert not (shop.cache.zoo / "curves").exists()
    assert any("skipped 1 curves of other weights than the zoo's" in line for line in shop.lines)
    measured = replace(measured, weights_sha256=shop.cache.recorded(SMALL)["weights_sha256"])
    path = write_curve(shop.cache.folder, measured)
    assert shop.publish(SMALL) == 0
    assert f"{path.name}: published" in shop.lines
    write_curve(shop.cache.folder, replace(measured, seconds=measured.seconds + 1))
    assert shop.publish(SMALL) == 0
    assert elsewhere(shop).records.curve(SMALL, measured.technique) == measured


@pytest.fixture
def published(shop):
    """One network of ROW, in the zoo."""
    shop.train(SMALL)
    shop.publish(SMALL)
    return shop


def edit_judged(shop: Shop, **changes: Any) -> None:
    [path] = shop.cache.zoo.glob("*.json")
    record = json.loads(path.read_text())
    record["judged"] |= changes
    path.write_text(json.dumps(record))


def test_a_record_says_of_a_network_what_judging_it_says(published):
    bench = elsewhere(published)
    [live] = bench.evaluate([SMALL])
    [recorded] = bench.records.evaluate(bench.records.recipes_of(ROW))
    assert (live.origin, recorded.origin) == ("zoo", "recorded")
    assert replace(live, record={}, origin="") == replace(recorded, record={}, origin="")


def test_every_recorded_seed_answers_and_no_other(published):
    third = replace(SMALL, seed=2)
    published.train(third)
    published.publish(third)
    records = elsewhere(published).records
    assert records.recipes_of(ROW) == [SMALL, third]
    with pytest.raises(NotMeasured, match="is not recorded"):
        records.recipes_of(ROW | {"optimizer": "sgdm"})


def test_weights_that_are_not_as_good_as_their_record_are_named(published):
    [found] = elsewhere(published).evaluate([SMALL])
    right = [[2 * (k == j) for j in range(10)] for k in range(10)]
    bits = base64.b64encode(np.packbits([1] * 20).tobytes()).decode()
    edit_judged(published, accuracy_percent=100.0, confusion=right, right=bits)
    assert found.num_right < 20 - workbench.MAX_IMAGES_OFF
    with pytest.raises(WrongWeights, match=f"{SMALL.name}: the zoo's weights classify"):
        elsewhere(published).evaluate([SMALL])


def test_a_record_of_another_test_set_is_named(published, monkeypatch):
    other = tiny(digests={"test": "other"})
    monkeypatch.setattr(workbench, "load_dataset", lambda name, **_: other)
    with pytest.raises(
        WrongWeights, match="recorded on a test set with digest b, but this one has"
    ):
        elsewhere(published).evaluate([SMALL])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"accuracy_percent": 12.0}, "12.0 % does not match its confusion matrix"),
        ({"right": "AAAA"}, "its bits are not those of|bits of more or fewer"),
        ({"confusion": [[20]]}, "bits|matrix"),
        ({"test_digest": "c"}, "judged on another test set than"),
        ({"num_images": 0}, "division"),
        ({"environment": None}, "NoneType"),
        ({"num_images": "20"}, "str"),
    ],
)
def test_a_damaged_record_is_a_complaint_and_not_recorded(published, changes, complaint):
    edit_judged(published, **changes)
    bench = elsewhere(published)
    assert bench.records.missing([SMALL]) == [SMALL]
    [line] = bench.cache.complaints
    assert re.search(f"record of {SMALL.name} ignored: .*{complaint}", line)
