"""Training speed: our loop beside the paper's own way, on the same images."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from smallnet_core.data.datasets import Dataset
from smallnet_core.machine import keep_freed_memory, synchronize
from smallnet_core.models import build_model
from smallnet_core.optimizers import build_optimizer
from smallnet_core.recipes import Recipe
from smallnet_core.training import dtype_of, network_of, set_up

__all__ = ["optimizer_step", "our_way", "papers_way"]


def our_way(recipe: Recipe, dataset: Dataset, device: torch.device) -> Callable[[int], float]:
    """A function of a number of steps that runs them and returns images a second."""
    keep_freed_memory()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        _, _, step, batches = set_up(
            recipe,
            dataset.train_images,
            dataset.train_labels,
            device,
            dtype_of(recipe, device),
        )
    stream = _endless(batches.epoch)

    def run(num_steps: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(num_steps):
            step(*next(stream))
        synchronize(device)
        return num_steps * recipe.batch_size / (time.perf_counter() - start)

    return run


class _PilImages(TorchDataset[tuple[Tensor, int]]):
    """One image at a time through PIL, as torchvision's own CIFAR classes do it."""

    def __init__(self, dataset: Dataset, recipe: Recipe) -> None:
        from torchvision import transforms

        self.images = dataset.train_images.permute(0, 2, 3, 1).numpy()
        self.labels = dataset.train_labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=recipe.augmentation.crop_padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(recipe.mean, recipe.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def papers_way(recipe: Recipe, dataset: Dataset, device: torch.device) -> Callable[[int], float]:
    """The same for the paper's loop: DataLoader, PIL, float32, the loss read every step.

    ``recipe`` is a paper recipe. The paper loads with 4 worker processes; so does this on a GPU, if
    there are as many cores, while on a CPU, where they would take the cores that train, images are
    loaded in between.
    """
    num_workers = min(4, len(os.sched_getaffinity(0))) if device.type == "cuda" else 0
    loader = DataLoader(
        _PilImages(dataset, recipe),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        # A fork of a process with CUDA's threads is not safe, and warns since Python 3.12.
        multiprocessing_context="forkserver" if num_workers else None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = network_of(recipe).to(device).train()
    settings = recipe.optimizer
    own = settings.own_settings()
    # The paper's AdaBound is the package's.
    name = "adabound_package" if settings.name == "adabound" else settings.name
    optimizer = build_optimizer(
        name, model, lr=settings.lr, weight_decay=settings.weight_decay, **own
    )
    stream = _endless(lambda _: iter(loader))

    def run(num_steps: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(num_steps):
            x, y = next(stream)
            loss = F.cross_entropy(model(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        synchronize(device)
        return num_steps * recipe.batch_size / (time.perf_counter() - start)

    return run


def optimizer_step(name: str, network: str, device: torch.device) -> Callable[[], None]:
    """A call that makes one update of the network's parameters from fixed gradients, and waits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(network).to(device)
        for p in model.parameters():
            p.grad = torch.randn_like(p)
    optimizer = build_optimizer(name, model, lr=1e-3, weight_decay=5e-4)

    def target() -> None:
        optimizer.step()
        synchronize(device)

    target()  # allocates the state
    return target


def _endless(
    epoch: Callable[[int], Iterator[tuple[Tensor, Tensor]]],
) -> Iterator[tuple[Tensor, Tensor]]:
    index = 0
    while True:
        yield from epoch(index)
        index += 1
