"""Curves of accuracy by proportion: measured as from scratch, kept whole, read off."""

import copy
import functools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from smallnet_core.data.batches import normalise
from smallnet_core.lab import curves
from smallnet_core.lab.cache import ModelCache
from smallnet_core.lab.curves import estimate_seconds, for_inference, measure_curve
from smallnet_core.models import build_model
from smallnet_core.pruning.curve import (
    TECHNIQUES,
    Curve,
    curve_path,
    lost_at,
    read_curve,
    write_curve,
)
from smallnet_core.pruning.masks import OneShot
from tests.test_pruning_masks import from_scratch
from tests.trainable import RECIPE

CPU = torch.device("cpu")
NORM: dict[str, Any] = {"mean": (0.49, 0.48, 0.45), "std": (0.2, 0.21, 0.19)}
SHA256 = "ab" * 32


def noise(count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return images, torch.randint(10, (count,), generator=generator)


def trained(name: str) -> nn.Module:
    """Random weights, and batch norms that have seen images."""
    return copy.deepcopy(_trained(name))


@functools.cache
def _trained(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(name)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        for _ in range(3 if name.startswith("resnet") else 0):
            model(torch.randn(16, 3, 32, 32) * 2 + 1)
    return model


def normalised(images: Tensor) -> Tensor:
    return normalise(images, dtype=torch.float32, **NORM)


def curve(**values: Any) -> Curve:
    given: dict[str, Any] = {
        "technique": "l1_unstructured",
        "proportions": (0.0, 0.05, 0.15, 1.0),
        "num_zeros": (0, 50, 150, 1000),
        "hits": (190, 189, 101, 20),
        "num_images": 200,
        "num_weights": 1000,
        "seed": 0,
        "network": "cifar10-net-sgdm-tuned-seed0",
        "weights_sha256": SHA256,
        "environment": {"device_name": "a machine", "num_threads": 2},
        "commit": None,
        "dataset_digests": {"test": "cd" * 32},
        "seconds": 1.5,
    }
    return Curve(**{**given, **values})


def measured(model: nn.Module, technique: str, *proportions: float, **options: Any) -> Curve:
    """A curve on 20 images."""
    given: dict[str, Any] = {
        "network": "a-recipe",
        "weights_sha256": SHA256,
        "commit": {"id": "abc", "dirty": False},
        "dataset_digests": {"test": "cd"},
        **NORM,
    }
    return measure_curve(model, technique, *noise(20), proportions=proportions, **given, **options)


def read(folder: Path, found: Curve, **values: Any) -> Curve | None:
    asked: dict[str, Any] = {"weights_sha256": SHA256, "seed": found.seed, **values}
    return read_curve(folder, found.network, found.technique, **asked)


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("name", ["resnet18_s", "vgg16_s", "vit_s"])
def test_a_point_is_what_a_network_pruned_from_scratch_gets_right(name, technique):
    model = trained(name)
    images, labels = noise(20)
    grid = (0.0, 0.3, 0.8)
    found = measured(model, technique, *grid, seed=4)
    assert model.training
    for proportion, zeros, hit in zip(grid, found.num_zeros, found.hits, strict=True):
        reference = from_scratch(model, technique, proportion, seed=4).eval()
        with OneShot(model, technique, seed=4) as pruner, torch.no_grad():
            pruner.prune_to(proportion)
            expected = reference(normalised(images))
            logits = for_inference(model)(normalised(images))
        scale = expected.abs().max().item()
        assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * scale), proportion
        assert hit == (expected.argmax(1) == labels).sum()
        assert zeros == pruner.num_zeros


def test_dense_hits_that_are_known_save_a_pass(monkeypatch):
    predict = Mock(wraps=curves.predict)
    monkeypatch.setattr(curves, "predict", predict)
    model = trained("resnet18_s")
    hits = measured(model, "l1_structured", 0.0, 0.9).hits
    assert predict.call_count == 2
    assert measured(model, "l1_structured", 0.0, 0.9, dense_hits=12).hits == (12, hits[1])
    assert predict.call_count == 3


def test_the_network_is_left_as_it_was(monkeypatch):
    model = trained("resnet18_s").eval()
    dense = copy.deepcopy(model.state_dict())
    with monkeypatch.context() as patch:
        patch.setattr(curves, "predict", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            measured(model, "l1_unstructured", 0.5)
    measured(model, "l1_unstructured", 0.5)
    state = model.state_dict()
    assert list(state) == list(dense)
    assert all(torch.equal(state[key], dense[key]) for key in dense)
    assert not model.training


class Odd(nn.Module):
    """A convolution that can't be folded and one that can; with batch norm's every setting."""

    def __init__(self, *, traceable: bool = True) -> None:
        super().__init__()
        self.traceable = traceable
        self.first, self.read_twice = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.plain = nn.Conv2d(3, 6, 3, 2, padding=1, padding_mode="reflect", groups=3, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))
        self.bare = nn.BatchNorm2d(6, affine=False)
        self.of_batch = nn.BatchNorm2d(6, track_running_stats=False)
        self.last = nn.Conv2d(6, 10, 16)

    def forward(self, x: Tensor) -> Tensor:
        if not self.traceable and x.mean() > 100:
            return x
        y = self.read_twice(self.norms[0](self.first(x)))
        x = self.norms[1](y) + y
        return self.last(self.of_batch(self.bare(self.plain(x)))).flatten(1)


@pytest.mark.parametrize("traceable", [True, False])
@pytest.mark.parametrize("technique", ["l1_structured", "global_unstructured"])
def test_only_what_can_be_folded_is(technique, traceable):
    torch.manual_seed(0)
    model = Odd(traceable=traceable)
    for _ in range(3):
        model(torch.randn(8, 3, 32, 32) * 2 + 1)
    images, _ = noise()
    for proportion in (0, 0.5):
        reference = from_scratch(model, technique, proportion).eval()
        with OneShot(model, technique) as pruner:
            pruner.prune_to(proportion)
            network = for_inference(model)
        assert isinstance(network, torch.fx.GraphModule) == traceable
        with torch.no_grad():
            logits, expected = (net(normalised(images)) for net in (network, reference))
        assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_a_curve_tells_how_it_was_made():
    model = trained("resnet18_s")
    for technique, seed in (("l1_unstructured", 0), ("random_unstructured", 3)):
        found = measured(model, technique, 0.0, 0.5, seed=3)
        assert (found.proportions, found.seed) == ((0.0, 0.5), seed)
        assert (found.num_images, found.num_weights) == (20, found.num_zeros[1] * 2)
        assert found.commit == {"id": "abc", "dirty": False}
        assert found.dataset_digests == {"test": "cd"}
        assert found.environment["num_threads"] == torch.get_num_threads()


def test_an_estimate_grows_with_the_images(monkeypatch):
    now = [0.0]

    def predict(network, images, **_):
        now[0] += len(images) * (1.0 if now[0] == 0 else 0.01)  # the first batch is slow

    monkeypatch.setattr(curves, "predict", predict)
    monkeypatch.setattr(curves.time, "perf_counter", lambda: now[0])
    model = build_model("resnet18_s")
    assert estimate_seconds(model, 10_000, CPU) == pytest.approx(2100)  # 21 points
    now[0] = 0.0
    assert estimate_seconds(model, 40, CPU) == pytest.approx(8.4)


def test_accuracies_are_percent_of_the_images():
    found = curve()
    assert found.accuracy_percent == (95.0, 94.5, 50.5, 10.0)
    assert found.at(0) == 95.0
    assert found.at(3 * 0.05) == 50.5
    with pytest.raises(ValueError, match=r"not measured at 0\.1, only at 0\.0, 0\.05, 0\.15, 1\.0"):
        found.at(0.1)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"technique": "l2"}, "unknown technique 'l2'"),
        ({"hits": (1, 2, 3)}, "4 proportions, 4 numbers of zeros and 3 of hits"),
        ({"proportions": (), "num_zeros": (), "hits": ()}, "at least one"),
    ],
)
def test_nonsense_is_no_curve(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        curve(**values)


def test_a_curve_comes_back_as_it_was_kept(tmp_path):
    found, drawn = curve(), curve(technique="random_unstructured", seed=2)
    folder = tmp_path / "new"
    assert read(folder, found) is None
    path, of_seed = write_curve(folder, found), write_curve(folder, drawn)
    assert path == folder / "cifar10-net-sgdm-tuned-seed0-l1_unstructured.json"
    assert of_seed.name.endswith("-random_unstructured-seed2.json")
    assert {p.name for p in folder.iterdir()} == {path.name, of_seed.name}
    newer = replace(found, hits=(189, 189, 101, 20))
    write_curve(folder, newer)
    assert read(folder, found, seed=5) == newer  # nothing is drawn
    assert read(folder, drawn) == drawn and read(folder, drawn, seed=1) is None
    lines = path.read_text().splitlines()
    assert len(lines) == len(vars(found)) + 2 and json.loads("".join(lines))["schema"] == 1
    with pytest.raises(ValueError, match="JSON"):
        write_curve(tmp_path, replace(found, environment={"gib": math.nan}))


def test_a_curve_of_other_weights_is_not_this_networks(tmp_path):
    found = curve()
    path = write_curve(tmp_path, found)
    with pytest.raises(ValueError, match=r"not a l1_unst.* curve of cifar10-net.*sha256") as e:
        read(tmp_path, found, weights_sha256="cd" * 32)
    assert str(path) in str(e.value)


@pytest.mark.parametrize(
    "broken",
    [
        *(b"", b"{}", b"\xff\xfe", b"[" * 100_000),
        *({"schema": 2}, {"hits": [True, 2, 3, 4]}, {"environment": None}),
    ],
    ids=lambda broken: str(broken)[:30],
)
def test_a_damaged_curve_is_ignored_with_a_complaint(broken, tmp_path):
    found = curve()
    path = write_curve(tmp_path, found)
    if isinstance(broken, dict):
        broken = json.dumps({**json.loads(path.read_text()), **broken}).encode()
    path.write_bytes(broken)
    cache, name = ModelCache(tmp_path), RECIPE.name
    path.rename(path := curve_path(tmp_path, name, found.technique))
    assert cache.curve(tmp_path, RECIPE, found.technique, 0, SHA256) is None
    [line] = cache.complaints
    assert line.startswith(f"curve ignored: {path}: not a l1_unstructured curve of {name}")


def test_a_loss_lies_between_two_points():
    grid = (0.0, 0.1, 0.2, 0.3)
    assert lost_at(grid, (90.0, 90.0, 88.0, 80.0), 1.0) == pytest.approx(0.15)
    assert lost_at(grid, (90.0, 89.0, 88.0, 80.0), 1.0) == pytest.approx(0.1)
    assert lost_at(grid, (90.0, 91.0, 88.0, 80.0), 1.0) == pytest.approx(0.1 + 0.1 * 2 / 3)
    assert lost_at(grid, (90.0, 80.0, 95.0, 80.0), 5.0) == pytest.approx(0.05)  # the first time
    assert lost_at(grid, (90.11, 89.9, 89.11, 80.0), 1.0) == pytest.approx(0.2)
    assert lost_at(grid, (90.0, 89.5, 89.2, 89.1), 1.0) is None
    assert lost_at((0.0,), (90.0,), 1.0) is None
