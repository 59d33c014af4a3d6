"""Trains where a test asks for it, in processes that the test kills: see test_checkpoints.

A line of JSON on standard input is one training; its process is forked from this one, which has
torch loaded already, and its number is written to standard output, then how it ended.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from smallnet_core.lab.cache import write_entry
from smallnet_core.recipes import Augmentation, Optimizer, Recipe, Schedule
from smallnet_core.training import checkpoints, start
from smallnet_core.training.loop import train
from smallnet_core.training.progress import Progress
from tests.trainable import RECIPE, Tiny, synthetic

CPU = torch.device("cpu")

# Between them all that a checkpoint has to carry: states of each optimizer, dropout masks, running
# statistics, flips that depend on the first epoch, cutouts drawn in between, the best epoch.
RECIPES: dict[str, Recipe] = {
    "adam": replace(
        RECIPE,
        epochs=6,
        optimizer=Optimizer(name="adam", lr=1e-3, weight_decay=0.1, decoupled=True),
        augmentation=Augmentation(crop_padding=2, flip="alternating", cutout=8),
        schedule=Schedule(name="linear", warmup_fraction=0.2),
        dropout=0.3,
        clip_norm=1.0,
        label_smoothing=0.1,
    ),
    "adabound": replace(
        RECIPE,
        epochs=4,
        optimizer=Optimizer(name="adabound", lr=1e-3, weight_decay=1e-3),
        augmentation=Augmentation(crop_padding=2, flip="random"),
        selection="best_test_epoch",
        resolutions=((0.0, 20), (0.5, 32)),
    ),
    "sgdm": replace(RECIPE, epochs=4),
}


class Notes(Progress):
    """Keeps the notes, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def run(name: str, folder: Path, seconds_between: float) -> None:
    """Train into ``folder``, with a checkpoint there; the weights get a file when all is done."""
    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None  # against loss of power, which no test can bring about
    module: Any = start
    module.build_model = lambda name, num_classes, **overrides: Tiny(**overrides)
    checkpoints.CHECKPOINT_SECONDS = seconds_between
    recipe = RECIPES[name]
    trained = train(
        recipe,
        synthetic(),
        CPU,
        progress=Notes(folder / "notes"),
        checkpoint=folder / "checkpoint",
    )
    curve = [
        (e.train_loss, e.train_accuracy_percent, e.test_accuracy_percent) for e in trained.curve
    ]
    record = {"curve": curve, "num_interruptions": len(trained.interruptions)}
    write_entry(folder, recipe, trained.state_dict, record)


def main() -> None:
    for name in RECIPES:  # what torch imports at a first step, once for all
        with tempfile.TemporaryDirectory() as folder:
            run(name, Path(folder), 1000.0)
    print(0, flush=True)  # noqa: T201 - ready
    for line in sys.stdin:
        name, folder, seconds_between = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(name, Path(folder), seconds_between)
                status = 0
            finally:
                os._exit(status)
        print(child, flush=True)  # noqa: T201 - to the test
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
