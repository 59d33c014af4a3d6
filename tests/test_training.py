"""The loop on 64 synthetic images: what it selects, what it looks at, whom it tells."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from smallnet_core.data.batches import resized
from smallnet_core.recipes import Schedule
from smallnet_core.training import loop as training
from smallnet_core.training import start
from smallnet_core.training.evaluation import accuracy_percent, predict
from smallnet_core.training.loop import BatchTooLarge, Diverged, Epoch, train
from smallnet_core.training.start import network_of
from tests.trainable import (
    CPU,
    RECIPE,
    Tiny,
    Watcher,
    exploding,
    same_weights,
    synthetic,
    watch_steps,
)


@pytest.fixture
def scripted(monkeypatch):
    """Test accuracies as the test writes them; what is trained stays as it is."""

    def script(*percents):
        remaining = iter(percents)
        monkeypatch.setattr(training, "accuracy_percent", lambda logits, labels: next(remaining))

    return script


def test_a_real_network_is_trained_and_judged():
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


@pytest.mark.usefixtures("tiny_network")
def test_an_incomplete_batch_is_not_counted(monkeypatch):
    """48 of 64 images: 100 % is then 48 hits."""
    step_function = start.step_function

    def all_hits(*arguments):
        step = step_function(*arguments)
        return lambda x, y: (step(x, y)[0] * 0 + 2.5, torch.tensor(len(y)))

    monkeypatch.setattr(start, "step_function", all_hits)
    (point,) = train(replace(RECIPE, epochs=1, batch_size=24), synthetic(), CPU).curve
    assert (point.train_loss, point.train_accuracy_percent) == (2.5, 100.0)


@pytest.mark.usefixtures("tiny_network")
def test_the_last_epoch_counts_even_if_an_earlier_one_was_better(scripted):
    recipe = replace(RECIPE, epochs=6)
    scripted(90.0, 70.0)  # of epochs 5 and 6: few others are evaluated
    trained = train(recipe, synthetic(), CPU)
    assert (trained.selected_epoch, trained.test_accuracy_percent) == (6, 70.0)
    evaluated = [p.epoch for p in trained.curve if p.test_accuracy_percent is not None]
    assert evaluated == [5, 6]
    scripted(1.0, 2.0)
    assert same_weights(trained.state_dict, train(recipe, synthetic(), CPU).state_dict)


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize(
    ("percents", "best"),
    [
        ((10.0, 50.0, 20.0, 50.0), 2),  # of equals the first
        ((10.0, 20.0, 30.0, 40.0), 4),
    ],
    ids=["tie", "last"],
)
def test_the_papers_selection_takes_the_first_of_the_best_epochs(scripted, percents, best):
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


@pytest.mark.usefixtures("tiny_network")
def test_held_out_images_are_the_last_and_are_judged_not_trained_on():
    recipe, data = replace(RECIPE, holdout=24), synthetic()
    data = replace(data, test_images=data.test_images[:0], test_labels=data.test_labels[:0])
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


@pytest.mark.usefixtures("tiny_network")
def test_rate_and_size_of_the_images_follow_the_recipe_step_by_step(monkeypatch):
    seen: list[tuple[float, int]] = []

    def note(optimizer, x, loss):
        (rate,) = {group["lr"] for group in optimizer.param_groups}
        seen.append((rate, x.shape[-1]))

    watch_steps(monkeypatch, note)
    recipe = replace(
        RECIPE,
        epochs=5,
        optimizer=replace(RECIPE.optimizer, decay_norms_and_biases=False),  # two groups
        schedule=Schedule(name="linear", warmup_fraction=0.25),
        resolutions=((0.0, 20), (0.4, 24), (0.8, 32)),
    )
    train(recipe, synthetic(), CPU)
    rates, sides = zip(*seen, strict=True)
    shares = (0.2, 0.4, 0.6, 0.8, 1.0, *(1 - k / 14 for k in range(15)))
    assert rates == pytest.approx([0.05 * share for share in shares])
    assert sides == (20,) * 8 + (24,) * 8 + (32,) * 4


def test_the_network_has_the_datasets_classes_and_the_recipes_dropout():
    def rates(recipe):
        return {m.p for m in network_of(recipe).modules() if isinstance(m, nn.Dropout)}

    assert rates(RECIPE) == {0.5}
    assert rates(replace(RECIPE, dropout=0.0)) == {0.0}
    assert network_of(replace(RECIPE, dataset="cifar100")).head[-1].out_features == 100


@pytest.mark.usefixtures("tiny_network")
def test_a_training_in_bfloat16_is_one_where_it_pays_and_leaves_float32_weights(monkeypatch):
    auto = replace(RECIPE, precision="auto")
    monkeypatch.setattr(start, "bfloat16_gain", lambda network: 1.10)
    assert start.dtype_of(auto, CPU) == torch.float32
    monkeypatch.setattr(start, "bfloat16_gain", lambda network: 1.20)
    rounded = train(auto, synthetic(), CPU)
    exact = train(RECIPE, synthetic(), CPU)
    assert (rounded.dtype, exact.dtype) == (torch.bfloat16, torch.float32)
    assert rounded.state_dict["0.weight"].dtype == torch.float32
    assert not same_weights(rounded.state_dict, exact.state_dict)
    assert rounded.curve[0].train_loss == pytest.approx(exact.curve[0].train_loss, rel=0.05)


def test_what_is_gained_is_timed_with_batches_that_tell(monkeypatch):
    """With 8 images VGG16_S gained or not from run to run."""
    sizes = []

    class Recorder(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x.flatten(1))

    for features, batch in ((1, 32), (1000, 8)):  # 3,073 parameters, and 3 million
        monkeypatch.setattr(start, "build_model", lambda name, n=features: Recorder(3072, n))
        start.bfloat16_gain.__wrapped__("a network")
        assert set(sizes) == {batch}
        sizes.clear()


@pytest.mark.usefixtures("tiny_network")
def test_a_training_that_diverges_says_at_which_step():
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


@pytest.mark.usefixtures("tiny_network")
def test_weights_that_the_last_update_broke_are_not_a_success(monkeypatch):
    """Every loss is finite: only a look at the weights tells."""
    real = start.step_function

    def breaking(recipe, model, *others):
        step, seen = real(recipe, model, *others), [0]

        def broken(x, y):
            out = step(x, y)
            seen[0] += 1
            if seen[0] == 12:  # the last
                next(model.parameters()).data.fill_(math.nan)
            return out

        return broken

    monkeypatch.setattr(start, "step_function", breaking)
    recipe = replace(RECIPE, selection="best_test_epoch")
    message = r"diverged at step 12 of 12: 0\.weight is not finite$"
    with pytest.raises(Diverged, match=message) as caught:
        train(recipe, synthetic(), CPU)
    trained = caught.value.trained
    assert trained.selected_epoch == 3, "though an earlier one was better"
    assert trained.curve[1].test_accuracy_percent > trained.test_accuracy_percent


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), None),
        (MemoryError(), None),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), None),
        (RuntimeError("shapes do not match"), "^shapes do not match$"),
    ],
    ids=["cuda", "python", "cpu", "other"],
)
def test_a_batch_that_memory_cannot_hold_is_named(monkeypatch, error, expected):
    def failing(*arguments):
        def step(x, y):
            raise error

        return step

    monkeypatch.setattr(start, "step_function", failing)
    named = r"vgg16_s sgdm .*: a step of 16 images does not fit into the memory of cpu, [\d.]+ GiB"
    with pytest.raises(type(error) if expected else BatchTooLarge, match=expected or named):
        train(RECIPE, synthetic(), CPU)


def test_a_recipe_for_another_dataset_is_refused():
    with pytest.raises(ValueError, match="the recipe is for digits, the dataset is cifar10"):
        train(RECIPE, synthetic(name="cifar10"), CPU)


def test_a_transformation_to_a_smaller_side_is_an_average():
    x = torch.rand(2, 3, 32, 32)
    assert resized(x, 32) is x
    small = resized(x, 16)
    assert small.shape == (2, 3, 16, 16)
    assert small.mean().item() == pytest.approx(x.mean().item(), abs=5e-3)
    half = resized(x.bfloat16(), 16)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), small, atol=5e-3, rtol=0)


@pytest.mark.usefixtures("tiny_network")
def test_the_curve_has_one_point_an_epoch_and_progress_is_told_of_it():
    watcher = Watcher()
    trained = train(replace(RECIPE, epochs=5), synthetic(), CPU, progress=watcher)
    assert [point.epoch for point in trained.curve] == [1, 2, 3, 4, 5]
    assert all(point.seconds > 0 for point in trained.curve)
    assert trained.train_seconds == pytest.approx(sum(p.seconds for p in trained.curve))
    losses = [point.train_loss for point in trained.curve]
    assert losses[-1] < losses[0] and all(map(math.isfinite, losses))
    # 64 images seen an epoch, 30 judged.
    hits = [p.train_accuracy_percent * 64 / 100 for p in trained.curve]
    hits += [trained.test_accuracy_percent * 30 / 100]
    assert hits == [pytest.approx(round(a)) for a in hits]
    expected: list[Any] = ["start", trained.recipe, 20, 0]
    for point in trained.curve:
        expected += ["step"] * 4 + [point]
    assert watcher.told == [*expected, "close"]
