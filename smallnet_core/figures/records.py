"""What figures read of a training's JSON, and which of several trainings they show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smallnet_core.recipes import find_recipe
from smallnet_core.records import NotMeasured

COLUMNS = ("epoch", "train_loss", "train_accuracy_percent", "test_accuracy_percent")


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
    curve: Mapping[str, tuple[float, ...]]  # by COLUMNS; nan for what was not measured

    @property
    def row(self) -> tuple[str, str]:
        """Its place in the paper's tables."""
        return self.network, self.optimizer


def read_run(record: Any) -> Run:
    """The run of a record of the model cache; ValueError for what is none."""
    try:
        recipe, percent = record["recipe"], record.get("test_accuracy_percent")
        kind, dataset, network = (_text(recipe[name]) for name in ("kind", "dataset", "network"))
        held_out = bool(recipe.get("holdout", 0))
        return Run(
            kind=kind,
            dataset=dataset,
            network=network,
            optimizer=_text(recipe["optimizer"]["name"]),
            seed=int(recipe["seed"]),
            settings=settings_of(recipe),
            label_smoothing=as_number(recipe.get("label_smoothing", 0.0)),
            flipped=recipe.get("test_time_flips", "none") != "none",
            held_out=held_out,
            counts=not held_out and recipe.get("selection", "last") == "last",
            time=str(record.get("time", "")),
            accuracy_percent=as_number(percent) if isinstance(percent, int | float) else math.nan,
            curve={
                name: tuple(as_number(epoch[name]) for epoch in record["curve"]) for name in COLUMNS
            },
        )
    except KeyError as error:
        raise ValueError(f"not a record of a training: it has no {error}") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"not a record of a training: {error}") from error


def settings_of(recipe: Mapping[str, Any]) -> str:
    """A recipe as text, but for its seed."""
    return json.dumps({k: v for k, v in recipe.items() if k != "seed"}, sort_keys=True)


def current(runs: Iterable[Run]) -> list[Run]:
    """Of one row's runs those of one recipe, the suite's own or else the latest, by seed.

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


def as_number(value: Any) -> float:
    """A float of what JSON has for one: nan for null, and infinity for what no float holds."""
    if value is None:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def count(value: Any) -> int:
    """A number of things; ValueError for anything else."""
    if type(value) is not int or not 0 <= value < 2**63:  # True is no 1
        raise ValueError(f"{value!r} is no number of anything")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is {value!r}")
    return value
