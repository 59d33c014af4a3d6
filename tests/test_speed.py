"""Both sides of the comparison of training speeds do the work that they are timed for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import adabound
import pytest
import torch
from torch import Tensor, nn

from smallnet_core import speed, training
from smallnet_core.data.datasets import DIGITS_CLASSES, Dataset
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.speed import optimizer_step, our_way, papers_way

CPU = torch.device("cpu")
OPTIMIZERS = ("sgdm", "adam", "adabound")


def white(count: int = 40) -> Dataset:
    """White images, so that what is not white in a batch is the crop's padding."""
    labels = torch.arange(count) % 10
    images = torch.full((count, 3, 32, 32), 255, dtype=torch.uint8)
    return Dataset(
        name="digits",
        train_images=images,
        train_labels=labels,
        test_images=images[:1],
        test_labels=labels[:1],
        class_names=DIGITS_CLASSES,
        digests={},
        source="these tests",
    )


class Recorder(nn.Module):
    """Stands in for a network: remembers the batches that it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 10)
        self.batches: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        assert self.training
        self.batches.append(x)
        return self.linear(x.mean((2, 3)))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    network = Recorder()
    monkeypatch.setattr(speed, "network_of", lambda recipe: network)
    monkeypatch.setattr(training, "network_of", lambda recipe: network)
    return network


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[torch.optim.Optimizer]:
    """Every optimizer that papers_way builds."""
    found: list[torch.optim.Optimizer] = []

    def build(*arguments: Any, **settings: Any) -> torch.optim.Optimizer:
        found.append(build_optimizer(*arguments, **settings))
        return found[-1]

    build_optimizer = speed.build_optimizer
    monkeypatch.setattr(speed, "build_optimizer", build)
    return found


def paper(optimizer: str = "sgdm") -> Recipe:
    return find_recipe("paper", "cifar10", "resnet18_s", optimizer)


def tuned(optimizer: str = "sgdm") -> Recipe:
    recipe = find_recipe("tuned", "cifar10", "resnet18_s", optimizer)
    return replace(recipe, batch_size=16, precision="float32")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_both_ways_train_and_give_positive_rates(optimizer: str, recorder: Recorder) -> None:
    start = recorder.linear.weight.detach().clone()
    for way, recipe in ((our_way, tuned(optimizer)), (papers_way, paper(optimizer))):
        run = way(recipe, white(), CPU)
        before, seen = recorder.linear.weight.detach().clone(), len(recorder.batches)
        # 6 steps: our way goes through two epochs and into a third, the paper's through one.
        assert run(6) > 0.0 and run(1) > 0.0
        assert len(recorder.batches) == seen + 7
        assert not torch.equal(recorder.linear.weight, before)
    assert not torch.equal(recorder.linear.weight, start)


def test_the_rate_counts_images_by_the_second(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter((0.0, 2.0, 10.0, 14.0))
    runs = our_way(tuned(), white(), CPU), papers_way(paper(), white(), CPU)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert runs[0](3) == 3 * 16 / 2.0
    assert runs[1](3) == 3 * 8 / 4.0


def test_the_papers_batches_are_what_its_recipe_says(recorder: Recorder) -> None:
    papers_way(paper(), white(), CPU)(5)
    assert [x.shape for x in recorder.batches] == [(8, 3, 32, 32)] * 5
    x = torch.cat(recorder.batches)
    assert x.dtype == torch.float32
    for channel, (mean, std) in enumerate(zip(paper().mean, paper().std, strict=True)):
        found = x[:, channel].unique()
        assert found.tolist() == pytest.approx([(0 - mean) / std, (1 - mean) / std], rel=1e-5)
    black = x[:, 0] < 0
    # Shifts of up to 4 pixels each way: the outermost 4 rows, and never one further in.
    assert not black[:, 4:-4, 4:-4].any()
    assert black[:, 0].all(-1).any() and black[:, 3].all(-1).any()
    assert len(black.flatten(1).unique(dim=0)) > 20, "a shift for each image"


def test_the_papers_images_are_mirrored_at_random_and_keep_their_labels(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = white(200)
    data.train_images[:] = 0
    data.train_images[:, :, :, :16] = 255  # left half white
    data.train_images[:, :, :16] //= data.train_labels.view(-1, 1, 1, 1).byte() + 1
    labels: list[Tensor] = []
    cross_entropy = speed.F.cross_entropy

    def recorded(logits: Tensor, y: Tensor) -> Tensor:
        labels.append(y)
        return cross_entropy(logits, y)

    monkeypatch.setattr(speed.F, "cross_entropy", recorded)
    papers_way(paper(), data, CPU)(25)
    x, y = torch.cat(recorder.batches), torch.cat(labels)
    assert y.sort().values.equal(data.train_labels.sort().values), "one epoch: each image once"
    assert not y.equal(data.train_labels), "shuffled"
    is_mirrored = x[:, 0, 24, 24] > 0
    assert 60 < int(is_mirrored.sum()) < 140
    shade = torch.where(is_mirrored, x[:, 0, 10, 24], x[:, 0, 10, 8])
    pixel = ((shade * paper().std[0] + paper().mean[0]) * 255).round().long()
    assert torch.equal(pixel, 255 // (y + 1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_papers_optimizer_is_what_its_recipe_says(
    optimizer: str, recorder: Recorder, built: list[torch.optim.Optimizer]
) -> None:
    papers_way(paper(optimizer), white(), CPU)
    kind = {"sgdm": torch.optim.SGD, "adam": torch.optim.Adam, "adabound": adabound.AdaBound}
    assert type(built[0]) is kind[optimizer], "the package's AdaBound, as in the paper"
    (group,) = built[0].param_groups
    settings = paper(optimizer).optimizer
    expected = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    expected |= {k: v for k, v in settings.own_settings().items() if k in group}
    assert {name: group[name] for name in expected} == expected
    assert len(expected) > 2


def test_our_batches_are_what_the_recipe_says(recorder: Recorder) -> None:
    our_way(tuned(), white(), CPU)(3)
    assert [x.shape for x in recorder.batches] == [(16, 3, 32, 32)] * 3
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in recorder.batches)
    assert all((x > 0).all() for x in recorder.batches), "reflected, not padded with black"


@pytest.mark.parametrize("name", ["sgdm", "adam", "adabound", "adabound_package"])
def test_an_optimizer_step_moves_every_parameter_each_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, waits = nn.Linear(3, 2), []
    monkeypatch.setattr(speed, "build_model", lambda _: network)
    monkeypatch.setattr(speed, "synchronize", waits.append)
    start = [p.detach().clone() for p in network.parameters()]
    state = torch.get_rng_state()
    target = optimizer_step(name, "resnet18_s", CPU)
    assert torch.equal(torch.get_rng_state(), state)
    for done in (1, 2):
        assert len(waits) == done, "the first step, which allocates, is not timed"
        moved = [p.detach().clone() for p in network.parameters()]
        assert all((a != b).all() for a, b in zip(start, moved, strict=True))
        start = moved
        target()


def test_ours_and_the_packages_adabound_make_the_same_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ratio of their times compares equal work."""
    results = []
    for name in ("adabound", "adabound_package"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = nn.Linear(30, 20)
        monkeypatch.setattr(speed, "build_model", lambda _, network=network: network)
        target = optimizer_step(name, "resnet18_s", CPU)
        for _ in range(5):
            target()
        results.append(network.weight)
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)
