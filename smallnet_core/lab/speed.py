"""Training speed: our loop, a plain one and the paper's, on the same images.

Each is a ``Loop``, a function that runs a number of steps and returns images per second.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from smallnet_core.data.datasets import NUM_CLASSES, Dataset
from smallnet_core.models import build_model
from smallnet_core.models.layer_table import multiply_adds
from smallnet_core.recipes import Optimizer, Recipe
from smallnet_core.system.machine import ieee_float32, keep_freed_memory, seeded, synchronize
from smallnet_core.training.graphs import Step
from smallnet_core.training.optimizers import build_optimizer
from smallnet_core.training.start import dtype_of, network_of, set_up

Loop = Callable[[int], float]
Batches = Iterator[tuple[Tensor, Tensor]]


def fast_loop(recipe: Recipe, dataset: Dataset, device: torch.device) -> Loop:
    """Return our loop, always on full-size images."""
    step, stream = _ours(recipe, dataset, device)

    def one() -> int:
        x, y = next(stream)
        with ieee_float32():
            step(x, y)
        return len(y)

    return _timed(one, device)


def our_batches(recipe: Recipe, dataset: Dataset, device: torch.device) -> Loop:
    """Return a loop that only makes the batches that ours trains on."""
    _, stream = _ours(recipe, dataset, device)
    return _timed(lambda: len(next(stream)[1]), device)


def _ours(recipe: Recipe, dataset: Dataset, device: torch.device) -> tuple[Step, Batches]:
    keep_freed_memory()
    images, labels, dtype = dataset.train_images, dataset.train_labels, dtype_of(recipe, device)
    with seeded(recipe.seed, device):
        _, _, step, batches = set_up(recipe, images, labels, device, dtype)
    return step, itertools.chain.from_iterable(map(batches.epoch, itertools.count()))


class _PilImages(TorchDataset[tuple[Tensor, int]]):
    """One image at a time through PIL, as torchvision's CIFAR classes do it.

    Shifted as the recipe says and mirrored at random, without the rest of its augmentation.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe) -> None:
        from torchvision import transforms

        self.images = dataset.train_images.permute(0, 2, 3, 1).numpy()
        self.labels = dataset.train_labels.tolist()
        augmentation = recipe.augmentation
        mode = "constant" if augmentation.padding_mode == "zeros" else augmentation.padding_mode
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=augmentation.crop_padding, padding_mode=mode),
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


def paper_loop(recipe: Recipe, dataset: Dataset, device: torch.device) -> Loop:
    """Return the paper's loop: DataLoader, PIL, float32, the loss read every step.

    ``recipe`` is a paper recipe; AdaBound is the authors' package.
    """
    if recipe.optimizer.name == "adabound":
        package = replace(recipe.optimizer, name="adabound_package")
        recipe = replace(recipe, optimizer=package)
    return _loader_loop(recipe, dataset, device, reads_loss=True, pin_memory=False)


def plain_loop(recipe: Recipe, dataset: Dataset, device: torch.device) -> Loop:
    """Return the usual DataLoader loop: PIL, float32, and no step waits for the device."""
    pin_memory = device.type == "cuda"
    return _loader_loop(recipe, dataset, device, reads_loss=False, pin_memory=pin_memory)


def _loader_loop(
    recipe: Recipe, dataset: Dataset, device: torch.device, *, reads_loss: bool, pin_memory: bool
) -> Loop:
    """Return a loop over a DataLoader, in float32 and torch's default memory format.

    Like the paper it loads with 4 worker processes on a GPU, given as many cores. On a CPU, where
    they would compete with the training, images are loaded in the main process.
    """
    num_workers = min(4, len(os.sched_getaffinity(0))) if device.type == "cuda" else 0
    loader = DataLoader(
        _PilImages(dataset, recipe),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        # Forking a process with CUDA threads is unsafe, and warns since Python 3.12.
        multiprocessing_context="forkserver" if num_workers else None,
    )
    with seeded(recipe.seed, device):
        model = network_of(recipe).to(device).train()
    optimizer = build_optimizer(recipe.optimizer, model)
    stream = itertools.chain.from_iterable(itertools.repeat(loader))

    def one() -> int:
        x, y = next(stream)
        x, y = x.to(device, non_blocking=pin_memory), y.to(device, non_blocking=pin_memory)
        loss = F.cross_entropy(model(x), y, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        if reads_loss:
            loss.item()
        return len(y)

    # While the other loops ran, each worker prefetched two batches.
    return _timed(one, device, num_untimed=2 * num_workers)


def _timed(one: Callable[[], int], device: torch.device, num_untimed: int = 0) -> Loop:
    """Return a loop over ``one``, which does a step and returns its number of images."""

    def run(num_steps: int) -> float:
        for _ in range(num_untimed):
            one()
        synchronize(device)
        start = time.perf_counter()
        num_images = sum(one() for _ in range(num_steps))
        synchronize(device)
        return num_images / (time.perf_counter() - start)

    return run


def steps_in(seconds: float, loop: Loop, batch_size: int) -> int:
    """Return how many steps take about ``seconds``, at least one; warms up and times two steps."""
    loop(1)
    return max(1, round(seconds * loop(2) / batch_size))


def summary(
    recipe: Recipe, rounds: Mapping[str, Sequence[float]], matmul_gflops: float
) -> dict[str, float]:
    """Summarise rounds: medians of rates, ratios and shares.

    ``rounds`` has the images per second of "ours", "batches", "plain" and "papers", one value per
    round. Utilisation is the ratio of the multiply-adds that our loop does to those that matrix
    products do in the same time. A training step counts as three forward passes, its cost if every
    layer passes a gradient back.
    """
    ours, batches, plain, papers = (rounds[k] for k in ("ours", "batches", "plain", "papers"))
    rate = statistics.median(ours)
    with torch.device("meta"):
        model = build_model(recipe.network, NUM_CLASSES[recipe.dataset])
    forward = multiply_adds(model)
    return {
        "ours_images_per_second": rate,
        "plain_images_per_second": statistics.median(plain),
        "papers_images_per_second": statistics.median(papers),
        "ratio_to_plain": _median_ratio(ours, plain),
        "ratio_to_papers": _median_ratio(ours, papers),
        "seconds_per_1000_images": 1000 / rate,
        "forward_multiply_adds": forward,
        "matmul_gflops": matmul_gflops,
        "utilisation_percent": 100 * rate * 3 * 2 * forward / (1e9 * matmul_gflops),
        "augmentation_percent": 100 * _median_ratio(ours, batches),
    }


def _median_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def optimizer_step(name: str, network: str, device: torch.device) -> Callable[[], None]:
    """Return a call that updates a network once, from fixed gradients, and synchronises."""
    with seeded(0, device):
        model = build_model(network).to(device)
        for p in model.parameters():
            p.grad = torch.randn_like(p)
    optimizer = build_optimizer(Optimizer(name=name, lr=1e-3, weight_decay=5e-4), model)

    def target() -> None:
        optimizer.step()
        synchronize(device)

    target()  # allocates the state
    return target
