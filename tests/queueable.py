"""Queues of tiny trainings in processes that a test may kill: see test_training_queue."""

import multiprocessing
import os
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # loaded by the first optimizer: seconds, in every process that is forked

from smallnet_core.lab import queue as training_queue
from smallnet_core.lab import workbench
from smallnet_core.lab.jobs import Job, work
from smallnet_core.lab.queue import train_all
from smallnet_core.lab.settings import Settings
from smallnet_core.recipes import Augmentation, Pruning, Recipe
from smallnet_core.training import checkpoints, start
from smallnet_core.training.progress import LogLines
from tests.trainable import RECIPE, Tiny, synthetic

STEP_SECONDS = 0.01

DENSE = replace(RECIPE, epochs=5, augmentation=Augmentation(crop_padding=2, flip="alternating"))
RECIPES: dict[str, Recipe] = {
    "dense": DENSE,
    "other": replace(DENSE, seed=7),
    "third": replace(DENSE, seed=8),
    "endless": replace(DENSE, epochs=1_000_000),
    "diverging": replace(DENSE, optimizer=replace(DENSE.optimizer, lr=1e30)),
    "pruned": replace(DENSE, pruning=Pruning(parent=DENSE, structure="weights", max_params=2640)),
}
_diverging_parent = RECIPES["diverging"]
RECIPES["orphan"] = replace(
    DENSE, pruning=Pruning(parent=_diverging_parent, structure="weights", max_params=2640)
)


class SlowTiny(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(STEP_SECONDS)
        return super().forward(x)


def make_tiny() -> None:
    """For the rest of this process: tiny networks on 64 images, and a checkpoint a step."""
    checkpoints.CHECKPOINT_SECONDS = 0.0
    module: Any = start
    module.build_model = lambda name, num_classes, **overrides: SlowTiny(**overrides)
    for module in (training_queue, workbench):
        module.load_dataset = lambda name, **options: synthetic(name=name)


def tiny_work(*given: Any) -> None:
    make_tiny()
    work(*given)


def run(names: tuple[str, ...], cache: Path, log: Path, options: dict[str, Any]) -> None:
    """A queue in this process, with a session of its own: it can be killed with its jobs."""
    os.setsid()
    end_with_parent()
    torch.set_num_threads(1)
    make_tiny()
    context = multiprocessing.get_context("spawn" if options.pop("spawn", False) else "fork")
    start = partial(Job, target=tiny_work, context=context)
    settings = Settings(cache_dir=cache, device="cpu")
    recipes = [RECIPES[name] for name in names]
    with open(log, "a", encoding="utf-8") as stream:
        sys.exit(train_all(recipes, settings, LogLines(stream), start=start, **options))


def end_with_parent() -> None:
    """A pytest that is killed leaves no queue behind that never ends."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
