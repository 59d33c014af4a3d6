"""What can be trained in a moment: a recipe, 64 synthetic images, a tiny network, a watcher."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from smallnet_core.data.datasets import DIGITS_CLASSES, Dataset
from smallnet_core.recipes import Augmentation, Optimizer, Recipe, Schedule
from smallnet_core.training.loop import Epoch
from smallnet_core.training.progress import Progress

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


class Watcher(Progress):
    """Writes down what it is told."""

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


def same_weights(a: Any, b: Any) -> bool:
    assert list(a) == list(b)
    return all(torch.equal(a[name], b[name]) for name in a)


def exploding(epochs: int = 4, at_epoch: int = 1) -> Recipe:
    """Nothing moves before ``at_epoch`` (from 0), whose rate is 1e30: its second step sees it."""
    return replace(
        RECIPE,
        schedule=Schedule(name="multistep", milestones=(at_epoch,), gamma=1e37),
        optimizer=Optimizer(name="sgdm", lr=1e-7, weight_decay=0.0),
        epochs=epochs,
    )
