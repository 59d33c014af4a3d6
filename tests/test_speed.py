"""All sides of the comparison of training speeds do the work that they are timed for."""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock, call

import adabound
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.data.datasets import Dataset, load_dataset
from smallnet_core.lab import speed
from smallnet_core.lab.speed import (
    fast_loop,
    optimizer_step,
    our_batches,
    paper_loop,
    plain_loop,
    steps_in,
    summary,
)
from smallnet_core.models import build_model
from smallnet_core.models.layer_table import multiply_adds
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.training import start
from tests.trainable import tiny

CPU = torch.device("cpu")
OPTIMIZERS = ("sgdm", "adam", "adabound")


def white(count: int = 40) -> Dataset:
    """White images, so that what is not white in a batch is the crop's padding."""
    images = torch.full((count, 3, 32, 32), 255, dtype=torch.uint8)
    return tiny("digits", count, train_images=images)


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
def recorder(monkeypatch):
    network = Recorder()
    monkeypatch.setattr(speed, "network_of", lambda recipe: network)
    monkeypatch.setattr(start, "network_of", lambda *_: network)
    return network


@pytest.fixture
def built(monkeypatch):
    """Every optimizer that paper_loop and plain_loop build."""
    found: list[torch.optim.Optimizer] = []
    build = speed.build_optimizer
    monkeypatch.setattr(
        speed, "build_optimizer", lambda *given: found.append(build(*given)) or found[-1]
    )
    return found


def paper(optimizer: str = "sgdm") -> Recipe:
    return find_recipe("paper", "cifar10", "resnet18_s", optimizer)


def tuned(optimizer: str = "sgdm") -> Recipe:
    recipe = find_recipe("tuned", "cifar10", "resnet18_s", optimizer)
    return replace(recipe, batch_size=16, precision="float32")


@pytest.mark.parametrize("way", [fast_loop, our_batches, plain_loop, paper_loop])
def test_an_incomplete_batch_counts_as_many_images_as_it_has(way, recorder, monkeypatch):
    """Of 20 images in batches of 8: ours leaves 4 out, the others end an epoch with them."""
    seconds = iter(range(100))
    recipe = paper() if way is paper_loop else replace(tuned(), batch_size=8)
    run = way(recipe, white(20), CPU)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    complete = way in (fast_loop, our_batches)
    assert [run(1), run(1), run(1)] == ([8, 8, 8] if complete else [8, 8, 4])
    assert run(6) == (48 if complete else 40)
    seen = [len(x) for x in recorder.batches]
    assert seen == ([] if way is our_batches else [8] * 9 if complete else [8, 8, 4] * 3)


def test_the_papers_batches_are_what_its_recipe_says(recorder):
    paper_loop(paper(), white(), CPU)(5)
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


def test_the_papers_images_are_mirrored_at_random_and_keep_their_labels(recorder, monkeypatch):
    data = white(200)
    data.train_images[:, :, :, 16:] = 0  # the left half as bright as its label says
    data.train_images[:, :, :, :16] //= data.train_labels.view(-1, 1, 1, 1).byte() + 1
    cross_entropy = Mock(wraps=F.cross_entropy)
    monkeypatch.setattr(F, "cross_entropy", cross_entropy)
    paper_loop(paper(), data, CPU)(25)
    y = torch.cat([labels for (_, labels), _ in cross_entropy.call_args_list])
    x = torch.cat(recorder.batches)[:, 0, 16]
    assert y.bincount().tolist() == [20] * 10, "one epoch: each image once"
    assert not y.equal(data.train_labels), "shuffled"
    is_mirrored = x[:, 24] > x[:, 8]
    assert 60 < int(is_mirrored.sum()) < 140
    shade = torch.where(is_mirrored, x[:, 24], x[:, 8])
    pixel = ((shade * paper().std[0] + paper().mean[0]) * 255).round().long()
    assert torch.equal(pixel, 255 // (y + 1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_papers_optimizer_is_what_its_recipe_says(optimizer, recorder, built):
    paper_loop(paper(optimizer), white(), CPU)
    kind = {"sgdm": torch.optim.SGD, "adam": torch.optim.Adam, "adabound": adabound.AdaBound}
    assert type(built[0]) is kind[optimizer], "the package's AdaBound, as in the paper"
    (group,) = built[0].param_groups
    settings = paper(optimizer).optimizer
    expected = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    expected |= {k: v for k, v in vars(settings).items() if k in group and k != "name"}
    assert {name: group[name] for name in expected} == expected
    assert len(expected) > 2


def test_the_plain_loop_trains_the_recipe_that_ours_does(recorder, built, monkeypatch):
    """The same batches, network, optimizer and loss, as torch and torchvision make them."""
    cross_entropy, clip = Mock(wraps=F.cross_entropy), Mock(wraps=nn.utils.clip_grad_norm_)
    monkeypatch.setattr(F, "cross_entropy", cross_entropy)
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clip)
    plain_loop(replace(tuned(), label_smoothing=0.2, clip_norm=3.0), white(), CPU)(3)
    assert [x.shape for x in recorder.batches] == [*[(16, 3, 32, 32)] * 2, (8, 3, 32, 32)]
    assert all(x.dtype == torch.float32 and x.is_contiguous() for x in recorder.batches)
    assert all((x > 0).all() for x in recorder.batches), "reflected, not padded with black"
    assert [how for _, how in cross_entropy.call_args_list] == [{"label_smoothing": 0.2}] * 3
    assert [norm for (_, norm), _ in clip.call_args_list] == [3.0] * 3
    (plain,), data = built, white()
    _, ours, _, _ = start.set_up(tuned(), data.train_images, data.train_labels, CPU, torch.float32)
    assert type(plain) is type(ours)
    for group, expected in zip(plain.param_groups, ours.param_groups, strict=True):
        assert {**group, "params": 0} == {**expected, "params": 0}


def test_only_the_papers_loop_reads_its_loss(recorder, monkeypatch):
    reads: list[bool] = []
    item = Tensor.item
    # Shuffling draws its seed with item() too.
    monkeypatch.setattr(Tensor, "item", lambda self: reads.append(self.requires_grad) or item(self))
    for loop in (plain_loop, fast_loop):
        loop(tuned(), white(), CPU)(5)
    assert sum(reads) == 0
    paper_loop(paper(), white(), CPU)(5)
    assert sum(reads) == 5


def test_digits_go_through_every_loop():
    """A step of ResNet18_S each, where the tests above have a stand-in and blank images."""
    data = load_dataset("digits")
    recipe = replace(tuned("adam"), batch_size=4)
    for way in (fast_loop, our_batches, plain_loop, paper_loop):
        assert way(recipe, data, CPU)(1) > 0


def test_as_many_steps_as_fill_the_time():
    way = Mock(return_value=640.0)
    assert steps_in(2.0, way, batch_size=128) == 10
    assert way.call_args_list == [call(1), call(2)], "the first is a warm-up"
    assert steps_in(0.01, way, batch_size=128) == 1


def test_what_the_rounds_say():
    recipe = tuned("adam")
    multiply_adds_of_it = multiply_adds(build_model(recipe.network))
    rounds = {
        "ours": [100.0, 200.0, 300.0],
        "batches": [10_000.0, 5_000.0, 10_000.0],  # 1, 4, 3 % of the time of ours
        "plain": [100.0, 100.0, 200.0],
        "papers": [50.0, 50.0, 50.0],
    }
    found = summary(recipe, rounds, matmul_gflops=500.0)
    assert found.pop("utilisation_percent") == pytest.approx(
        100 * 200 * (3 * multiply_adds_of_it * 2) / 500e9
    )
    assert found.pop("augmentation_percent") == pytest.approx(3.0)
    rates = {"ours": 200.0, "plain": 100.0, "papers": 50.0}
    assert found == {
        **{f"{way}_images_per_second": rate for way, rate in rates.items()},
        "ratio_to_plain": 1.5,
        "ratio_to_papers": 4.0,
        "seconds_per_1000_images": 5.0,
        "forward_multiply_adds": multiply_adds_of_it,
        "matmul_gflops": 500.0,
    }


def test_ours_and_the_packages_adabound_make_the_same_update_each_time(monkeypatch):
    """The ratio of their times compares equal work, and waits for it."""
    results = []
    for name in ("adabound", "adabound_package"):
        waits: list[torch.device] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = nn.Linear(30, 20)
        monkeypatch.setattr(speed, "build_model", lambda _, network=network: network)
        monkeypatch.setattr(speed, "synchronize", waits.append)
        target = optimizer_step(name, "resnet18_s", CPU)
        for done in range(1, 6):
            assert len(waits) == done, "the first step, which allocates, is not timed"
            before = network.weight.detach().clone()
            target()
            assert (network.weight != before).all()
        results.append(network.weight)
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)
