"""What figures read of a training's JSON, and which of several trainings they show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smallnet_core.recipes import find_recipe
from smallnet_core.records import NotMeasured
from smallnet_core.system.checked import parse

COLUMNS = ("epoch", "train_loss", "train_accuracy_percent", "test_accuracy_percent")


@dataclass(frozen=True, kw_only=True)
class _Optimizer:
    name: str


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    kind: str
    dataset: str
    network: str
    optimizer: _Optimizer
    seed: int
    label_smoothing: float = 0.0
    test_time_flips: str = "none"
    selection: str = "last"
    holdout: int = 0


@dataclass(frozen=True, kw_only=True)
class _Epoch:
    epoch: int
    train_loss: float | None
    train_accuracy_percent: float | None
    test_accuracy_percent: float | None


@dataclass(frozen=True, kw_only=True)
class _Judged:
    num_nonzeros: int


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What a record of the model cache has that figures show."""

    recipe: _Recipe
    curve: tuple[_Epoch, ...]
    test_accuracy_percent: float | None = None
    time: str = ""
    judged: _Judged | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training: its recipe, and what it came to."""

    kind: str
    dataset: str
    network: str
    optimizer: str
    seed: int
    settings: str  # the recipe but for its seed
    label_smoothing: float
    flipped: bool  # at test time
    counts: bool  # the last epoch, and on the test set
    held_out: bool  # judged on training images that were held out
    time: str
    accuracy_percent: float  # nan where it was not measured
    num_params: int | None  # that are not zero; None where it was not judged
    curve: Mapping[str, tuple[float, ...]]  # by COLUMNS; nan for what was not measured

    @property
    def row(self) -> tuple[str, str]:
        """Its place in the paper's tables."""
        return self.network, self.optimizer


def read_run(text: bytes) -> Run:
    """Read a record of the model cache; ValueError for anything else."""
    try:
        record = parse(_Record, text)
    except ValueError as error:
        raise ValueError(f"not a record of a training: {error}") from error
    recipe = record.recipe
    return Run(
        kind=recipe.kind,
        dataset=recipe.dataset,
        network=recipe.network,
        optimizer=recipe.optimizer.name,
        seed=recipe.seed,
        settings=settings_of(json.loads(text)["recipe"]),
        label_smoothing=recipe.label_smoothing,
        flipped=recipe.test_time_flips != "none",
        held_out=recipe.holdout > 0,
        counts=recipe.holdout == 0 and recipe.selection == "last",
        time=record.time,
        accuracy_percent=_or_nan(record.test_accuracy_percent),
        num_params=None if record.judged is None else record.judged.num_nonzeros,
        curve={
            name: tuple(_or_nan(getattr(epoch, name)) for epoch in record.curve) for name in COLUMNS
        },
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def settings_of(recipe: Mapping[str, Any]) -> str:
    """Write a recipe as text, but for its seed."""
    return json.dumps({k: v for k, v in recipe.items() if k != "seed"}, sort_keys=True)


def current(runs: Iterable[Run]) -> list[Run]:
    """Choose of one row's runs those of one recipe, the suite's own or else the latest, by seed.

    Of two with the same seed the later.
    """
    ordered = sorted(runs, key=lambda run: (run.time, run.settings, repr(run)))
    if not ordered:
        return []
    last = ordered[-1]
    try:
        recipe = find_recipe(last.kind, last.dataset, *last.row)
        own = settings_of(recipe.canonical())
    except (NotMeasured, ValueError):
        own = ""
    if own not in {run.settings for run in ordered}:
        own = last.settings
    by_seed = {run.seed: run for run in ordered if run.settings == own}
    return [run for _, run in sorted(by_seed.items())]
