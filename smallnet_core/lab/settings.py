"""The options of a run, as the workbench takes them, and what they have to be; no torch."""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallnet_core.records import NotMeasured

TRACKERS = ("wandb", "trackio", "tensorboard")  # each a package, and an extra of ours


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a run; see the plugin for what each means."""

    recipe_kind: str = "tuned"
    num_seeds: int = 1
    retrain: bool = False
    train_budget_minutes: float = 15.0
    data_dir: Path | None = None
    cache_dir: Path
    device: str = "auto"
    offline: bool = False
    recorded: bool = True  # whether what cannot be measured is shown from the zoo's records
    track: str | None = None  # of TRACKERS

    def check_budget(self, what: str, seconds: float) -> None:
        """Raise NotMeasured where ``what`` takes longer than the budget."""
        if seconds > 60 * self.train_budget_minutes:
            minutes = math.ceil(seconds / 60)
            raise NotMeasured(
                f"{what} takes about {duration(60 * minutes)} here, over the budget of "
                f"{self.train_budget_minutes:g} min: --train-budget {minutes} allows it"
            )


def duration(seconds: float) -> str:
    """Write "90 s", "12 min" or "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def one_of(option: str, names: Iterable[str]) -> Callable[[str], str]:
    """Return what takes one of the names; it raises ValueError for another."""

    def check(text: str) -> str:
        if text not in names:
            raise ValueError(f"{option} {text}: expected one of {', '.join(names)}")
        return text

    return check


def number(
    option: str, kind: Callable[[str], Any], expected: str, least: float
) -> Callable[[str], Any]:
    """Return what takes a finite number from ``least`` on; it raises ValueError for another."""

    def check(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value < float("inf"):
            raise ValueError(f"{option} {text}: expected {expected}")
        return value

    return check


def check_device(name: str) -> str:
    """Return ``name``; ValueError where no device is called so. Whether it is there torch knows."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    return name


def check_tracker(name: str) -> str:
    """Return ``name``; ValueError where no tracker is called so, or its package is missing."""
    one_of("--track", TRACKERS)(name)
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:  # none: ./wandb, a folder of runs
        raise ValueError(f"--track {name}: not installed; pip install 'smallnet[{name}]'")
    return name


def data_folder(given: str | None) -> Path | None:
    """Return the folder of ``--data-dir``; ValueError where it is none."""
    if given is None:
        return None
    # A shell leaves the ~ of --data-dir=~/x alone; Path's own raises for an unknown ~user.
    folder = Path(os.path.expanduser(given))
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise ValueError(f"--data-dir {folder}: {what}; name the folder that holds CIFAR")
    return folder


def cache_folder(given: str | None) -> Path:
    """Return where trained models are: ``given``, else SMALLNET_CACHE, else the user's cache.

    Raises ValueError where a file is in its place.
    """
    given = given or os.environ.get("SMALLNET_CACHE")
    if not given:
        from platformdirs import user_cache_path

        return user_cache_path("smallnet") / "models"
    path = Path(os.path.expanduser(given))
    nearest = next(p for p in (path, *path.absolute().parents) if os.path.exists(p))
    if not nearest.is_dir():
        raise ValueError(f"model cache {given}: {nearest} is a file, expected a folder")
    return path
