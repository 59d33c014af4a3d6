"""Reads what figures need of a training's JSON, and chooses which trainings they show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.records import NotMeasured
from smallnet_core.system.checked import parse


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What was measured in an epoch; None if it was not."""

    epoch: int
    train_loss: float | None
    train_accuracy_percent: float | None
    test_accuracy_percent: float | None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was counted when a network was judged."""

    num_nonzeros: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training, as recorded in the model cache."""

    recipe: Recipe
    curve: tuple[Epoch, ...]
    test_accuracy_percent: float | None = None
    time: str = ""
    judged: Judged | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # the recipe without its seed

    @property
    def row(self) -> tuple[str, str]:
        """Return network and optimizer, its row in the paper's tables."""
        return self.recipe.network, self.recipe.optimizer.name

    def column(self, name: str) -> list[float | None]:
        """Return the field ``name`` of each epoch."""
        return [getattr(epoch, name) for epoch in self.curve]


def read_run(text: bytes) -> Run:
    """Read a record of the model cache; ValueError if it is not one."""
    try:
        run = parse(Run, text)
    except ValueError as error:
        raise ValueError(f"not a record of a training: {error}") from error
    # An older recipe may have fields that Recipe no longer has.
    return replace(run, settings=_without_seed(json.loads(text)["recipe"]))


def settings_of(recipe: Recipe) -> Mapping[str, Any]:
    """Return a recipe as records have it, without its seed."""
    return _without_seed(json.loads(json.dumps(recipe.canonical())))


def _without_seed(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in recipe.items() if name != "seed"}


def current(runs: Iterable[Run]) -> list[Run]:
    """Choose one row's runs of a single recipe, the suite's own or else the latest, by seed.

    If two have the same seed, the later one counts.
    """
    ordered = sorted(runs, key=lambda run: (run.time, repr(run)))
    if not ordered:
        return []
    last = ordered[-1]
    try:
        own = settings_of(find_recipe(last.recipe.kind, last.recipe.dataset, *last.row))
    except (NotMeasured, ValueError):
        own = {}
    if all(run.settings != own for run in ordered):
        own = last.settings
    by_seed = {run.recipe.seed: run for run in ordered if run.settings == own}
    return [run for _, run in sorted(by_seed.items())]
