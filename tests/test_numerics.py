"""What a recipe computes, pinned.

Whoever changes the losses below raises TRAINING_VERSION in smallnet_core.recipes, and pins the new
ones in the same commit: the same recipes compute something else then, and models that were
trained before must not be taken for theirs.

The trainings run in double precision, everything else as always. In float32 another number of
threads moves the sixth loss of ResNet18_S by 2 %: it adds up in another order, a last digit
switches a few ReLUs, and batch norm does the rest. In double only the logits are rounded to
float32 before the loss, which moved a loss by 3e-5 at most in 12 trainings with random last
digits; another formula, order of random draws or setting nearly always moves one by 2e-3 and more.
"""

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from smallnet_core.data.datasets import Dataset, load_dataset
from smallnet_core.recipes import Augmentation, Optimizer, Recipe, Schedule
from smallnet_core.training import loop as training
from smallnet_core.training import start
from smallnet_core.training.loop import train
from smallnet_core.training.start import network_of
from tests.trainable import CPU, watch_steps

TOLERANCE = 2e-3

BASE: dict[str, Any] = {
    "kind": "quick",
    "dataset": "digits",
    "epochs": 2,
    "batch_size": 16,
    "seed": 42,
    "precision": "float32",
    # Pixel / 255 - mean over std is a fraction of 256 with these: the same float32 on every CPU,
    # with or without fused multiply-add. A last digit more or less would switch ReLUs.
    "mean": (0.5, 0.25, 0.125),
    "std": (128 / 255, 64 / 255, 256 / 255),
}

# Between them, everything that a recipe can ask for; rates and decays large enough to show.
RECIPES = {
    "resnet18_s-sgdm": Recipe(
        **BASE,
        network="resnet18_s",
        optimizer=Optimizer(name="sgdm", lr=0.01, weight_decay=1.0),
        schedule=Schedule(name="multistep", milestones=(1,), gamma=0.1),
    ),
    "resnet18_s-adabound": Recipe(
        **BASE,
        network="resnet18_s",
        optimizer=Optimizer(
            name="adabound",
            lr=1e-3,
            final_lr=0.2,
            gamma=0.1,
            eps=1e-4,
            weight_decay=1.0,
            decay_norms_and_biases=False,
        ),
        schedule=Schedule(name="linear", warmup_fraction=0.2),
        augmentation=Augmentation(crop_padding=2, padding_mode="reflect", flip="alternating"),
        label_smoothing=0.1,
    ),
    "vgg16_s-adam": Recipe(
        **BASE,
        network="vgg16_s",
        optimizer=Optimizer(name="adam", lr=2e-3, eps=1e-4, weight_decay=10.0, decoupled=True),
        schedule=Schedule(name="cosine", warmup_fraction=0.4, final_factor=0.2),
        augmentation=Augmentation(crop_padding=1, flip="none", cutout=12),
        dropout=0.2,
        clip_norm=0.5,
    ),
}


@functools.cache
def few_digits() -> Dataset:
    """Three steps an epoch."""
    digits = load_dataset("digits")
    return replace(
        digits,
        train_images=digits.train_images[:48],
        train_labels=digits.train_labels[:48],
        test_images=digits.test_images[:20],
        test_labels=digits.test_labels[:20],
    )


LOSSES = {
    "resnet18_s-sgdm": (2.21231, 2.21367, 2.47295, 2.33229, 2.12699, 2.30087),
    "resnet18_s-adabound": (2.20930, 2.23502, 2.37080, 2.29001, 2.14959, 2.25071),
    "vgg16_s-adam": (2.29729, 2.32436, 2.29737, 2.27870, 2.24051, 2.39209),
}


@pytest.fixture
def losses_of(monkeypatch):
    """The loss of each step of a training, in double precision unless told otherwise."""

    def losses_of(recipe, double=True):
        found: list[float] = []
        with monkeypatch.context() as patch:
            watch_steps(patch, lambda optimizer, x, loss: found.append(loss.item()))
            if double:
                # Drawn in float32 as always, and only then widened.
                patch.setattr(start, "network_of", lambda *which: network_of(*which).double())
                patch.setattr(training, "dtype_of", lambda recipe, device: torch.float64)
            train(recipe, few_digits(), CPU)
        return found

    return losses_of


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_losses_are_pinned(name, losses_of):
    """A failure here is either a bug or a reason to raise TRAINING_VERSION: see above."""
    assert losses_of(RECIPES[name]) == pytest.approx(LOSSES[name], rel=TOLERANCE)
    first, *_ = losses_of(replace(RECIPES[name], epochs=1), double=False)
    assert first == pytest.approx(LOSSES[name][0], rel=2e-5)


@pytest.mark.parametrize("name", ["resnet18_s-adabound", "vgg16_s-adam"])
def test_a_recipe_gives_the_same_weights_twice_and_another_seed_others(name):
    recipe, data = replace(RECIPES[name], epochs=1), few_digits()
    first = train(recipe, data, CPU).state_dict
    torch.manual_seed(77)
    state = torch.get_rng_state()
    again = train(recipe, data, CPU).state_dict
    assert torch.equal(torch.get_rng_state(), state)
    other = train(replace(recipe, seed=recipe.seed + 1), data, CPU).state_dict
    assert all(torch.equal(first[key], again[key]) for key in first)
    weights = [key for key in first if key.endswith("weight") and first[key].ndim >= 2]
    assert not any(torch.equal(first[key], other[key]) for key in weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_cross_entropy_against_smoothed_labels(smoothing):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(16, 10, generator=generator)
    labels = torch.arange(16) % 10
    model = nn.Identity()
    recipe = replace(RECIPES["resnet18_s-sgdm"], label_smoothing=smoothing)
    parameter = nn.Parameter(logits.clone())
    step = start.step_function(recipe, model, torch.optim.SGD([parameter], lr=1.0), torch.float32)
    loss, hits = step(parameter, labels)

    target = (1 - smoothing) * torch.eye(10)[labels] + smoothing / 10
    log_probabilities = logits - logits.exp().sum(1, keepdim=True).log()
    expected = -(target * log_probabilities).sum(1).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert hits.item() == int((logits.argmax(1) == labels).sum())
    # d loss / d logits = (softmax - target) / N, and one step of SGD takes it off.
    gradient = (log_probabilities.exp() - target) / 16
    torch.testing.assert_close(parameter.detach(), logits - gradient, rtol=1e-5, atol=1e-6)


def test_the_whole_gradient_is_clipped():
    weight = nn.Parameter(torch.zeros(10, 3))
    model = nn.Linear(3, 10, bias=False)
    model.weight = weight
    recipe = replace(RECIPES["resnet18_s-sgdm"], clip_norm=0.01)
    step = start.step_function(recipe, model, torch.optim.SGD([weight], lr=1.0), torch.float32)
    step(torch.ones(4, 3), torch.tensor([1, 1, 2, 3]))
    assert weight.detach().norm().item() == pytest.approx(0.01, rel=1e-3)
