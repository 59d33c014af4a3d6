"""The loop on 64 synthetic images: what it selects, what it looks at, whom it tells."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from smallnet_core.data.batches import resized
from smallnet_core.data.datasets import DIGITS_CLASSES, Dataset
from smallnet_core.recipes import Augmentation, Optimizer, Recipe, Schedule
from smallnet_core.training import estimates, start
from smallnet_core.training import loop as training
from smallnet_core.training.estimates import estimate_seconds
from smallnet_core.training.evaluation import accuracy_percent, predict
from smallnet_core.training.graphs import Step
from smallnet_core.training.loop import BatchTooLarge, Diverged, Epoch, train
from smallnet_core.training.start import network_of

CPU = torch.device("cpu")

RECIPE = Recipe(
    kind="quick",
    dataset="digits",
    network="vgg16_s",
    optimizer=Optimizer(name="sgdm", lr=0.05, weight_decay=1e-3),
    schedule=Schedule(name="constant"),
    epochs=3,
    batch_size=16,
    seed=3,
    augmentation=Augmentation(crop_padding=1),
    precision="float32",
)


def synthetic(seed: int = 0, name: str = "digits") -> Dataset:
    """64 images to train and 30 to test, whose colours tell their classes."""
    generator = torch.Generator().manual_seed(seed)

    def split(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 10
        noise = torch.randint(128, (count, 3, 32, 32), generator=generator)
        colours = torch.stack([labels % 3, labels % 4, labels % 5], 1) * 30
        return (noise + colours.view(-1, 3, 1, 1)).byte(), labels

    train_images, train_labels = split(64)
    test_images, test_labels = split(30)
    return Dataset(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=DIGITS_CLASSES,
        digests={},
        source="these tests",
    )


class Tiny(nn.Sequential):
    """A network whose step takes a millisecond, with a dropout and running statistics."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, stride=4),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(8),  # as it is, unless images are smaller
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(256, 10),
        )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        start, "build_model", lambda name, num_classes, **overrides: Tiny(**overrides)
    )


class Watcher:
    """A Progress that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None:
        self.told += ["start", recipe, total_steps, done]

    def note(self, line: str) -> None:
        self.told += ["note", line]

    def step(self) -> None:
        self.told.append("step")

    def epoch(self, result: Epoch) -> None:
        self.told.append(result)

    def close(self) -> None:
        self.told.append("close")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Test accuracies as the test writes them; what is trained stays as it is."""

    def script(*percents: float) -> None:
        remaining = iter(percents)
        monkeypatch.setattr(training, "accuracy_percent", lambda logits, labels: next(remaining))

    return script


def same_weights(a: Any, b: Any) -> bool:
    assert list(a) == list(b)
    return all(torch.equal(a[name], b[name]) for name in a)


# --- The curve ----------------------------------------------------------------------------------


def test_a_real_network_is_trained_and_judged() -> None:
    """One epoch of VGG16_S, the cheapest network, through the loop as it is."""
    data, recipe = synthetic(), replace(RECIPE, epochs=1)
    trained = train(recipe, data, CPU)
    assert trained.recipe is recipe and trained.dtype == torch.float32
    model = network_of(recipe)
    model.load_state_dict(trained.state_dict)
    logits = predict(model, data.test_images, mean=recipe.mean, std=recipe.std)
    assert trained.test_accuracy_percent == accuracy_percent(logits, data.test_labels)
    assert 0 < trained.train_seconds < trained.total_seconds
    for value in trained.state_dict.values():
        assert value.device == CPU and value.is_contiguous() and not value.requires_grad


@pytest.mark.usefixtures("tiny")
def test_the_curve_has_one_point_an_epoch() -> None:
    trained = train(replace(RECIPE, epochs=5), synthetic(), CPU)
    assert [point.epoch for point in trained.curve] == [1, 2, 3, 4, 5]
    assert all(point.seconds > 0 for point in trained.curve)
    assert trained.train_seconds == pytest.approx(sum(p.seconds for p in trained.curve))
    losses = [point.train_loss for point in trained.curve]
    assert losses[-1] < losses[0] and all(map(math.isfinite, losses))
    # 64 images seen an epoch, 30 judged.
    hits = [p.train_accuracy_percent * 64 / 100 for p in trained.curve]
    hits += [trained.test_accuracy_percent * 30 / 100]
    assert hits == [pytest.approx(round(a)) for a in hits]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("holdout", [0, 24])
@pytest.mark.parametrize(
    ("selection", "epochs", "evaluated"),
    [
        ("last", 7, [5, 7]),
        ("last", 10, [5, 10]),
        ("last", 1, [1]),
        ("best_test_epoch", 3, [1, 2, 3]),
    ],
)
def test_where_the_last_epoch_counts_few_others_are_evaluated(
    selection: str, epochs: int, evaluated: list[int], holdout: int
) -> None:
    recipe = replace(RECIPE, selection=selection, epochs=epochs, holdout=holdout)
    curve = train(recipe, synthetic(), CPU).curve
    assert [p.epoch for p in curve if p.test_accuracy_percent is not None] == evaluated


@pytest.mark.usefixtures("tiny")
def test_an_incomplete_batch_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """48 of 64 images: 100 % is then 48 hits."""
    step_function = start.step_function

    def all_hits(*arguments: Any) -> Step:
        step = step_function(*arguments)
        return lambda x, y: (step(x, y)[0] * 0 + 2.5, torch.tensor(len(y)))

    monkeypatch.setattr(start, "step_function", all_hits)
    (point,) = train(replace(RECIPE, epochs=1, batch_size=24), synthetic(), CPU).curve
    assert (point.train_loss, point.train_accuracy_percent) == (2.5, 100.0)


# --- Selection ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_the_last_epoch_counts_even_if_an_earlier_one_was_better(
    scripted: Callable[..., None],
) -> None:
    recipe = replace(RECIPE, epochs=6)
    scripted(90.0, 70.0)  # of epochs 5 and 6
    trained = train(recipe, synthetic(), CPU)
    assert (trained.selected_epoch, trained.test_accuracy_percent) == (6, 70.0)
    scripted(1.0, 2.0)
    assert same_weights(trained.state_dict, train(recipe, synthetic(), CPU).state_dict)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("percents", "best"),
    [
        ((10.0, 50.0, 20.0, 50.0), 2),  # of equals the first
        ((90.0, 50.0, 20.0, 10.0), 1),
        ((0.0, 0.0, 0.0, 0.0), 1),
        ((10.0, 20.0, 30.0, 40.0), 4),
    ],
    ids=["tie", "first", "all equal", "last"],
)
def test_the_papers_selection_takes_the_first_of_the_best_epochs(
    scripted: Callable[..., None], percents: tuple[float, ...], best: int
) -> None:
    scripted(*percents)
    recipe = replace(RECIPE, epochs=4, selection="best_test_epoch")
    trained = train(recipe, synthetic(), CPU)
    assert trained.selected_epoch == best
    assert trained.test_accuracy_percent == max(percents)
    assert [point.test_accuracy_percent for point in trained.curve] == list(percents)
    # The rate is constant, so a shorter training has been where this one went by.
    scripted(*percents)
    shorter = train(replace(RECIPE, epochs=best), synthetic(), CPU)
    assert same_weights(trained.state_dict, shorter.state_dict)


# --- Held-out images ----------------------------------------------------------------------------


@pytest.fixture
def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each training set had."""
    found: list[int] = []
    set_up = training.set_up

    def recorded(recipe: Recipe, images: Tensor, *others: Any, **options: Any) -> Any:
        found.append(len(images))
        return set_up(recipe, images, *others, **options)

    monkeypatch.setattr(training, "set_up", recorded)
    return found


@pytest.mark.usefixtures("tiny")
def test_with_a_holdout_the_test_set_is_never_looked_at(batch_sizes: list[int]) -> None:
    recipe = replace(RECIPE, holdout=24, selection="best_test_epoch")
    data = synthetic()
    poisoned = replace(
        data,
        test_images=torch.full_like(data.test_images, 255),
        test_labels=torch.full_like(data.test_labels, 7),
    )
    missing = replace(data, test_images=data.test_images[:0], test_labels=data.test_labels[:0])
    first, *others = (train(recipe, each, CPU) for each in (data, poisoned, missing))
    assert batch_sizes == [40, 40, 40]

    def scores(trained: training.Trained) -> list[tuple[float, float]]:
        return [(p.train_loss, p.test_accuracy_percent) for p in trained.curve]

    for other in others:
        assert scores(other) == scores(first)
        assert other.selected_epoch == first.selected_epoch
        assert same_weights(other.state_dict, first.state_dict)


@pytest.mark.usefixtures("tiny")
def test_held_out_images_are_the_last_and_are_judged_not_trained_on() -> None:
    recipe, data = replace(RECIPE, holdout=24), synthetic()
    first = train(recipe, data, CPU)
    labels = data.train_labels.clone()
    labels[40:] = (labels[40:] + 1) % 10
    relabelled = train(recipe, replace(data, train_labels=labels), CPU)
    assert same_weights(first.state_dict, relabelled.state_dict)

    model = Tiny()
    model.load_state_dict(first.state_dict)
    logits = predict(model, data.train_images[40:], mean=recipe.mean, std=recipe.std)
    for trained, truth in ((first, data.train_labels), (relabelled, labels)):
        assert trained.test_accuracy_percent == accuracy_percent(logits, truth[40:])


# --- The recipe decides -------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": Optimizer(name="sgdm", lr=0.05, weight_decay=1e-3, momentum=0.8)},
        {"batch_size": 32},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.3, 0.3, 0.3)},
        {"label_smoothing": 0.1},
        {"clip_norm": 0.1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_result(change: dict[str, Any]) -> None:
    """Those that test_numerics, which pins losses, does not vary."""
    recipes = RECIPE, replace(RECIPE, **change)
    first, other = (train(recipe, synthetic(), CPU).state_dict for recipe in recipes)
    assert not same_weights(first, other)


@pytest.mark.usefixtures("tiny")
def test_the_rate_follows_the_schedule_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    set_up = training.set_up

    def recorded(*arguments: Any, **options: Any) -> Any:
        model, optimizer, step, batches = set_up(*arguments, **options)

        def recording_step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            (rate,) = {group["lr"] for group in optimizer.param_groups}
            rates.append(rate)
            return step(x, y)

        return model, optimizer, recording_step, batches

    monkeypatch.setattr(training, "set_up", recorded)
    optimizer = replace(RECIPE.optimizer, decay_norms_and_biases=False)  # two groups
    linear = Schedule(name="linear", warmup_fraction=0.25)
    train(replace(RECIPE, optimizer=optimizer, schedule=linear), synthetic(), CPU)
    assert rates == pytest.approx(
        [0.05 * f for f in (1 / 3, 2 / 3, 1, *(1 - k / 8 for k in range(9)))]
    )
    rates.clear()
    steps = Schedule(name="multistep", milestones=(1, 2), gamma=0.5)
    train(replace(RECIPE, optimizer=optimizer, schedule=steps), synthetic(), CPU)
    assert rates == pytest.approx([0.05] * 4 + [0.025] * 4 + [0.0125] * 4)


def test_dropout_is_the_networks_own_unless_the_recipe_has_one() -> None:
    def rates(recipe: Recipe) -> set[float]:
        return {m.p for m in network_of(recipe).modules() if isinstance(m, nn.Dropout)}

    assert rates(RECIPE) == {0.5}
    assert rates(replace(RECIPE, dropout=0.0)) == {0.0}


def test_the_network_has_as_many_classes_as_the_dataset() -> None:
    for dataset, classes in (("digits", 10), ("cifar10", 10), ("cifar100", 100)):
        assert network_of(replace(RECIPE, dataset=dataset)).head[-1].out_features == classes


@pytest.mark.parametrize(
    ("precision", "gain", "expected"),
    [
        ("float32", 9.0, torch.float32),
        ("auto", 1.10, torch.float32),
        ("auto", 1.20, torch.bfloat16),
    ],
)
def test_bfloat16_is_used_where_it_gains_enough(
    monkeypatch: pytest.MonkeyPatch, precision: str, gain: float, expected: torch.dtype
) -> None:
    monkeypatch.setattr(start, "bfloat16_gain", lambda network: gain)
    assert start.dtype_of(replace(RECIPE, precision=precision), CPU) == expected


@pytest.mark.usefixtures("tiny")
def test_a_training_in_bfloat16_leaves_float32_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "bfloat16_gain", lambda network: 2.0)
    rounded = train(replace(RECIPE, precision="auto"), synthetic(), CPU)
    exact = train(RECIPE, synthetic(), CPU)
    assert (rounded.dtype, exact.dtype) == (torch.bfloat16, torch.float32)
    assert rounded.state_dict["0.weight"].dtype == torch.float32
    assert not same_weights(rounded.state_dict, exact.state_dict)
    assert rounded.curve[0].train_loss == pytest.approx(exact.curve[0].train_loss, rel=0.05)


# --- Failures -----------------------------------------------------------------------------------


def exploding(epochs: int = 4, at_epoch: int = 1) -> Recipe:
    """Nothing moves before ``at_epoch`` (from 0), whose rate is 1e30: its second step sees it."""
    return replace(
        RECIPE,
        schedule=Schedule(name="multistep", milestones=(at_epoch,), gamma=1e37),
        optimizer=Optimizer(name="sgdm", lr=1e-7, weight_decay=0.0),
        epochs=epochs,
    )


@pytest.mark.usefixtures("tiny")
def test_a_training_that_diverges_says_at_which_step() -> None:
    watcher = Watcher()
    recipe = replace(exploding(), selection="best_test_epoch")  # whatever was best before
    reason = (
        r"vgg16_s sgdm digits \(quick, seed 3\): diverged at step 6 of 16: the loss is (nan|inf)"
    )
    with pytest.raises(Diverged, match=f"^{reason}$") as caught:
        train(recipe, synthetic(), CPU, progress=watcher)
    assert [told.epoch for told in watcher.told if isinstance(told, Epoch)] == [1, 2]
    assert watcher.told.count("step") == 6, "on a CPU it ends with the step that shows it"
    assert watcher.told[-1] == "close", "whoever watches is told of the end in any case"
    left = caught.value.trained
    assert (len(left.curve), left.selected_epoch, left.recipe) == (2, 2, recipe)
    assert math.isfinite(left.curve[0].train_loss) and not math.isfinite(left.curve[1].train_loss)
    assert not all(value.isfinite().all() for value in left.state_dict.values())
    assert left.test_accuracy_percent == 10.0, "3 of 30: one class for every image"


@pytest.mark.usefixtures("tiny")
def test_weights_that_the_last_update_broke_are_not_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every loss is finite: only a look at the weights tells."""
    real = start.step_function

    def breaking(recipe: Recipe, model: nn.Module, *others: Any) -> Step:
        step, seen = real(recipe, model, *others), [0]

        def broken(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            out = step(x, y)
            seen[0] += 1
            if seen[0] == 12:  # the last
                next(model.parameters()).data.fill_(math.nan)
            return out

        return broken

    monkeypatch.setattr(start, "step_function", breaking)
    with pytest.raises(Diverged, match=r"diverged at step 12 of 12: 0\.weight is not finite$"):
        train(RECIPE, synthetic(), CPU)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        MemoryError(),
    ],
    ids=["cpu", "cuda", "python"],
)
def test_a_batch_that_memory_cannot_hold_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*arguments: Any) -> Step:
        def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            raise error

        return step

    monkeypatch.setattr(start, "step_function", full)
    expected = (
        r"vgg16_s sgdm .*: a step of 16 images does not fit into the memory of cpu, [\d.]+ GiB"
    )
    with pytest.raises(BatchTooLarge, match=expected):
        train(RECIPE, synthetic(), CPU)


@pytest.mark.usefixtures("tiny")
def test_other_errors_of_a_step_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> Step:
        def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            raise RuntimeError("shapes do not match")

        return step

    monkeypatch.setattr(start, "step_function", wrong)
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"):
        train(RECIPE, synthetic(), CPU)


def test_a_real_lack_of_memory_names_the_batch() -> None:
    """In a process of its own, whose memory is limited to what it has plus little."""
    script = """
import resource, torch
from dataclasses import replace
from tests.test_training import RECIPE, synthetic
from smallnet_core.training.loop import BatchTooLarge, train
data = synthetic()
wide = data.train_images.repeat(64, 1, 1, 1)
data = replace(data, train_images=wide, train_labels=data.train_labels.repeat(64))
torch.set_num_threads(1)
train(replace(RECIPE, epochs=1, batch_size=16), synthetic(), torch.device("cpu"))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
try:
    train(replace(RECIPE, batch_size=4096), data, torch.device("cpu"))
except BatchTooLarge as error:
    print(error)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert "a step of 4096 images does not fit into the memory of cpu" in done.stdout, done.stderr


def test_a_recipe_for_another_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="the recipe is for digits, the dataset is cifar10"):
        train(RECIPE, synthetic(name="cifar10"), CPU)


@pytest.mark.usefixtures("tiny")
def test_a_batch_larger_than_what_is_left_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size 16 is larger than the 14 images"):
        train(replace(RECIPE, holdout=50), synthetic(), CPU)


# --- Smaller images first ------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_the_images_grow_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []
    real = training.resized

    def recorded(x: Tensor, side: int) -> Tensor:
        sides.append(side)
        out = real(x, side)
        assert out.shape[-2:] == (side, side)
        return out

    monkeypatch.setattr(training, "resized", recorded)
    recipe = replace(RECIPE, epochs=5, resolutions=((0.0, 20), (0.4, 24), (0.8, 32)))
    train(recipe, synthetic(), CPU)
    assert sides == [20] * 8 + [24] * 8 + [32] * 4


def test_a_transformation_to_a_smaller_side_is_an_average() -> None:
    x = torch.rand(2, 3, 32, 32)
    assert resized(x, 32) is x
    small = resized(x, 16)
    assert small.shape == (2, 3, 16, 16)
    assert small.mean().item() == pytest.approx(x.mean().item(), abs=5e-3)
    constant = resized(torch.full((1, 3, 32, 32), 0.7), 20)
    torch.testing.assert_close(constant, torch.full((1, 3, 20, 20), 0.7))
    half = resized(x.bfloat16(), 16)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), small, atol=5e-3, rtol=0)


# --- Progress -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny")
def test_progress_is_told_of_every_step_and_epoch() -> None:
    watcher = Watcher()
    trained = train(RECIPE, synthetic(), CPU, progress=watcher)
    expected: list[Any] = ["start", RECIPE, 12, 0]
    for point in trained.curve:
        expected += ["step"] * 4 + [point]
    assert watcher.told == [*expected, "close"]


# --- estimate_seconds ---------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Durations of the steps to come; the memory of earlier estimates is put aside."""
    durations: list[float] = []
    monkeypatch.setattr(estimates, "_step_seconds", {})
    monkeypatch.setattr(start, "build_model", lambda *_, **__: Tiny())
    now, reads = [0.0], [0]

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            reads[0] += 1
            if reads[0] % 2 == 0:  # the end of a step
                now[0] += durations.pop(0)
            return now[0]

    monkeypatch.setattr(estimates, "time", Clock)
    return durations


def estimate(recipe: Recipe = RECIPE, **setup: Any) -> float:
    return estimate_seconds(recipe, num_train=160, num_test=48, device=CPU, **setup)


# 160 images to train and 48 to test, a third of the work each, in batches of 16.
EPOCH, EVALUATION = 160 / 16, 48 / 3 / 16
STEPS = 3 * EPOCH + EVALUATION


def test_an_estimate_scales_with_the_epochs(clock: list[float]) -> None:
    clock += [9.0, 3.0, 2.0, 4.0]
    assert estimate() == pytest.approx(STEPS * 2.0), "the fastest step counts"
    assert clock == []
    assert estimate(replace(RECIPE, epochs=30)) == pytest.approx(
        (30 * EPOCH + 6 * EVALUATION) * 2.0
    )


def test_an_estimate_is_shared_by_optimizers_but_not_by_networks_or_batches(
    clock: list[float],
) -> None:
    clock += [1.0] * 4
    adam = Optimizer(name="adam", lr=1.0, weight_decay=0.0)
    assert estimate() == estimate(replace(RECIPE, optimizer=adam, seed=9, label_smoothing=0.5))
    for other in (replace(RECIPE, network="vit_s"), replace(RECIPE, batch_size=8)):
        clock += [5.0] * 4
        assert estimate(other) > estimate()
        assert clock == []


def test_a_hopeless_estimate_stops_after_the_first_step(clock: list[float]) -> None:
    clock += [9.0, 1.0, 1.0, 1.0]
    enough = STEPS * 9.0 / 4.01  # a quarter of the first step's time is too much
    assert estimate(enough=enough) > enough
    assert len(clock) == 3
    # Someone with more time has it measured properly.
    clock[:] = [9.0, 1.0, 1.0, 1.0]
    assert estimate() == pytest.approx(STEPS * 1.0)


def test_a_slow_first_step_alone_is_not_hopeless(clock: list[float]) -> None:
    clock += [9.0, 1.0, 1.0, 1.0]
    enough = STEPS * 9.0 / 3.99
    assert estimate(enough=enough) == pytest.approx(STEPS) and clock == []


@pytest.mark.usefixtures("tiny")
def test_a_real_estimate_is_positive_and_leaves_the_random_state_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimates, "_step_seconds", {})
    state = torch.get_rng_state()
    assert 0 < estimate() < 60
    assert torch.equal(torch.get_rng_state(), state)
