"""Datasets and trainings of a moment, for tests of what is done with them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from smallnet_core.data.datasets import CLASS_NAMES, Dataset
from smallnet_core.recipes import Recipe
from smallnet_core.training.checkpoints import Epoch
from smallnet_core.training.loop import Trained


def tiny(name: str = "digits", num_images: int = 20, **changes: Any) -> Dataset:
    """Random images, the same each time, of ten classes in turn; test images are those trained on.

    ``changes`` are fields of the dataset.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (num_images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(num_images) % 10
    dataset = Dataset(
        name=name,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        class_names=CLASS_NAMES[name],
        digests={"train": "a", "test": "b"},
        source="made up",
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
