"""What is trained in a moment, or as if: recipes, datasets, a tiny network, a watcher."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from smallnet_core.data.datasets import Dataset
from smallnet_core.recipes import Augmentation, Optimizer, Recipe, Schedule
from smallnet_core.training import loop
from smallnet_core.training.loop import Epoch, Trained
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


def synthetic(name: str = "digits") -> Dataset:
    """64 images to train and 30 to test, whose colours tell their classes."""
    labels = torch.arange(94) % 10
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(128, (94, 3, 32, 32), generator=generator)
    colours = torch.stack([labels % 3, labels % 4, labels % 5], 1) * 30
    images = (noise + colours.view(-1, 3, 1, 1)).byte()
    train = {"train_images": images[:64], "train_labels": labels[:64]}
    return tiny(name, test_images=images[64:], test_labels=labels[64:], digests={}, **train)


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


def watch_steps(
    patch: pytest.MonkeyPatch, seen: Callable[[torch.optim.Optimizer, Tensor, Tensor], None]
) -> None:
    """Show ``seen`` each training step's optimizer, images and loss."""
    set_up = loop.set_up

    def watched_set_up(*arguments: Any, **options: Any) -> Any:
        model, optimizer, step, batches = set_up(*arguments, **options)

        def watched(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            loss, hits = step(x, y)
            seen(optimizer, x, loss)
            return loss, hits

        return model, optimizer, watched, batches

    patch.setattr(loop, "set_up", watched_set_up)


def same_weights(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


def exploding(epochs: int = 4, at_epoch: int = 1) -> Recipe:
    """Nothing moves before ``at_epoch`` (from 0), whose rate is 1e30: its second step sees it."""
    return replace(
        RECIPE,
        schedule=Schedule(name="multistep", milestones=(at_epoch,), gamma=1e37),
        optimizer=Optimizer(name="sgdm", lr=1e-7, weight_decay=0.0),
        epochs=epochs,
    )


def noise(count: int, side: int = 32) -> Tensor:
    """Random pixels: uint8 (count, 3, side, side)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def tiny(name: str = "digits", num_images: int = 20, **changes: Any) -> Dataset:
    """Random images, the same each time, of ten classes in turn; test images are those trained on.

    ``changes`` are fields of the dataset.
    """
    images = noise(num_images)
    labels = torch.arange(num_images) % 10
    dataset = Dataset(
        name=name,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        digests={"train": "a", "test": "b"},
    )
    return replace(dataset, **changes)


def as_if_trained(recipe: Recipe, state_dict: Mapping[str, Tensor], **changes: Any) -> Trained:
    """What a training of one epoch would leave; ``changes`` are fields of it."""
    epoch = Epoch(
        epoch=1,
        train_loss=1.0,
        train_accuracy_percent=50.0,
        test_accuracy_percent=60.0,
        seconds=1.0,
    )
    trained = Trained(
        recipe=recipe,
        state_dict=state_dict,
        curve=(epoch,),
        selected_epoch=1,
        dtype=torch.float32,
        train_seconds=12.5,
        total_seconds=13.0,
    )
    return replace(trained, **changes)
