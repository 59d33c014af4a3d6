"""``smallnet publish``: what goes from the cache into the zoo, and what does not."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from smallnet_core.data.datasets import CLASS_NAMES, Dataset
from smallnet_core.lab import publish as module
from smallnet_core.lab import workbench
from smallnet_core.lab.cache import ModelCache
from smallnet_core.lab.listing import state_of, to_do
from smallnet_core.lab.publish import publish
from smallnet_core.lab.settings import Settings
from smallnet_core.pruning.curve import Curve, find_curve, write_curve
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.system.machine import environment
from smallnet_core.training.loop import Epoch, Trained
from smallnet_core.training.progress import LogLines
from smallnet_core.training.start import network_of

SMALL = find_recipe("quick", "digits", "resnet18_s", "adam")
LARGE = find_recipe("tuned", "cifar10", "resnet18", "adam")
CLEAN: dict[str, Any] = {"id": "f" * 40, "dirty": False}


def tiny(name: str, **_: Any) -> Dataset:
    images = torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(20) % 10
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


@dataclass
class Shop:
    """A cache, and a zoo of its own."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = ModelCache(self.folder / "cache", self.folder / "zoo")

    def train(self, recipe: Recipe, commit: dict[str, Any] | None = CLEAN) -> None:
        """As if: fresh weights."""
        epoch = Epoch(
            epoch=1,
            train_loss=1.0,
            train_accuracy_percent=50.0,
            test_accuracy_percent=60.0,
            seconds=1.0,
        )
        trained = Trained(
            recipe=recipe,
            state_dict=network_of(recipe).state_dict(),
            curve=(epoch,),
            selected_epoch=1,
            dtype=torch.float32,
            train_seconds=1.0,
            total_seconds=1.0,
        )
        facts = environment(torch.device("cpu"))
        self.cache.store(trained, facts, {"train": "a", "test": "b"}, commit)

    def publish(self, *recipes: Recipe) -> int:
        stream = io.StringIO()
        settings = Settings(cache_dir=self.cache.folder, device="cpu")
        status = publish(recipes, settings, LogLines(stream), zoo=self.cache.zoo)
        self.lines = stream.getvalue().splitlines()
        return status

    def files(self) -> set[str]:
        return {path.suffix for path in self.cache.zoo.glob("*.*")}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(workbench, "load_dataset", tiny)
    torch.manual_seed(0)
    return Shop(tmp_path)


def test_a_small_network_ships_with_its_weights_and_its_judging_once(shop: Shop) -> None:
    shop.train(SMALL)
    assert shop.publish(SMALL) == 0
    assert shop.files() == {".json", ".safetensors"}
    record = shop.cache.recorded(SMALL)
    assert record is not None
    judged = record["judged"]
    assert (judged["num_images"], judged["test_digest"]) == (20, "b")
    assert judged["accuracy_percent"] == record["shipped_accuracy_percent"]
    assert f"{SMALL}: published, with its weights, {judged['accuracy_percent']:.2f} %" in shop.lines
    before = {path: path.read_bytes() for path in shop.cache.zoo.iterdir()}
    assert shop.publish(SMALL) == 0
    assert shop.lines == ["0 published, 1 in the zoo already, 0 not trained, 0 refused"]
    assert {path: path.read_bytes() for path in shop.cache.zoo.iterdir()} == before


def test_a_large_network_ships_as_a_record_and_counts_as_recorded(shop: Shop) -> None:
    shop.train(LARGE)
    assert shop.publish(LARGE) == 0
    assert shop.files() == {".json"}
    assert "its record alone" in shop.lines[0]
    elsewhere = ModelCache(shop.folder / "empty", shop.cache.zoo)
    assert state_of(elsewhere, LARGE).text == "recorded"
    assert to_do([LARGE], elsewhere) == {}


def test_what_is_not_trained_is_counted(shop: Shop) -> None:
    assert shop.publish(SMALL) == 0
    assert shop.lines == ["0 published, 0 in the zoo already, 1 not trained, 0 refused"]


def test_a_network_of_changed_files_is_refused(shop: Shop) -> None:
    shop.train(SMALL, CLEAN | {"dirty": True})
    assert shop.publish(SMALL) == 1
    assert not shop.cache.zoo.exists()
    assert shop.lines[0].startswith(f"{SMALL}: not published: it was trained from changed files")


def test_a_zoo_that_is_full_takes_nothing_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ZOO_BYTES", 2**20)
    shop.train(SMALL)
    assert shop.publish(SMALL) == 1
    assert "more would make the zoo larger than 1 MiB" in shop.lines[0]
    assert not shop.cache.zoo.exists()


def curve_of(recipe: Recipe, weights_sha256: str) -> Curve:
    return Curve(
        technique="l1_unstructured",
        proportions=(0.0, 1.0),
        num_zeros=(0, 10),
        hits=(18, 2),
        num_images=20,
        num_weights=10,
        seed=0,
        network=recipe.name,
        weights_sha256=weights_sha256,
        environment={},
        commit=CLEAN,
        dataset_digests={"test": "b"},
        seconds=1.0,
    )


def test_pruning_curves_of_the_published_weights_go_with_them_and_no_others(shop: Shop) -> None:
    shop.train(SMALL)
    trained = json.loads((shop.cache.folder / f"{SMALL.name}.json").read_text())["weights_sha256"]
    write_curve(shop.cache.folder, curve_of(SMALL, trained))
    shop.publish(SMALL)
    assert not (shop.cache.zoo / "curves").exists()
    assert any("of other weights than the zoo's, left out: 1" in line for line in shop.lines)
    record = shop.cache.recorded(SMALL)
    assert record is not None
    measured = curve_of(SMALL, record["weights_sha256"])
    path = write_curve(shop.cache.folder, measured)
    assert shop.publish(SMALL) == 0
    assert f"{path.name}: published" in shop.lines
    found = find_curve(
        (shop.cache.zoo / "curves",),
        SMALL.name,
        "l1_unstructured",
        weights_sha256=record["weights_sha256"],
    )
    assert found == measured
