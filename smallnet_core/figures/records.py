"""What figures read of a training's JSON, and which of several trainings they show."""

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
    """What was measured in an epoch; None for what was not."""

    epoch: int
    train_loss: float | None
    train_accuracy_percent: float | None
    test_accuracy_percent: float | None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What judging a network counted."""

    num_nonzeros: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training, as its record in the model cache has it."""

    recipe: Recipe
    curve: tuple[Epoch, ...]
    test_accuracy_percent: float | None = None
    time: str = ""
    judged: Judged | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # the recipe but for its seed

    @property
    def row(self) -> tuple[str, str]:
        """Its place in the paper's tables."""
        return self.recipe.network, self.recipe.optimizer.name

    def column(self, name: str) -> list[float | None]:
        """What each epoch has of this name."""
        return [getattr(epoch, name) for epoch in self.curve]


def read_run(text: bytes) -> Run:
    """Read a record of the model cache; ValueError for anything else."""
    try:
        run = parse(Run, text)
    except ValueError as error:
        raise ValueError(f"not a record of a training: {error}") from error
    # A recipe of another time may have fields that Recipe has no more.
    return replace(run, settings=_without_seed(json.loads(text)["recipe"]))


def settings_of(recipe: Recipe) -> Mapping[str, Any]:
    """Give a recipe as its records have it, but for its seed."""
    return _without_seed(json.loads(json.dumps(recipe.canonical())))


def _without_seed(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in recipe.items() if name != "seed"}


def current(runs: Iterable[Run]) -> list[Run]:
    """Choose of one row's runs those of one recipe, the suite's own or else the latest, by seed.

    Of two with the same seed the later.
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
