"""The options of a run, as the workbench takes them, and their checks; does not import torch."""

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
    """The options of a run; the plugin's help says what each means."""

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
    """Format seconds as "90 s", "12 min" or "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def one_of(option: str, names: Iterable[str]) -> Callable[[str], str]:
    """Return a parser that accepts one of the names and raises ValueError for any other."""

    def check(text: str) -> str:
        if text not in names:
            raise ValueError(f"{option} {text}: expected one of {', '.join(names)}")
        return text

    return check


def number(
    option: str, kind: Callable[[str], Any], expected: str, least: float
) -> Callable[[str], Any]:
    """Return a parser that accepts finite numbers from ``least`` up, else raises ValueError."""

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
    """Return ``name``; ValueError where it cannot name a device. Existence is checked by torch."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    return name


def check_tracker(name: str) -> str:
    """Return ``name``; ValueError for an unknown tracker or one whose package is missing."""
    one_of("--track", TRACKERS)(name)
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:  # no origin: ./wandb, a folder of runs
        raise ValueError(f"--track {name}: not installed; pip install 'smallnet[{name}]'")
    return name


def data_folder(given: str | None) -> Path | None:
    """Return the folder of ``--data-dir``; ValueError where it is not a folder."""
    if given is None:
        return None
    # Shells do not expand --data-dir=~/x; Path.expanduser raises for an unknown ~user.
    folder = Path(os.path.expanduser(given))
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise ValueError(f"--data-dir {folder}: {what}; name the folder that holds CIFAR")
    return folder


def cache_folder(given: str | None) -> Path:
    """Return the folder of trained models: ``given``, else SMALLNET_CACHE, else the user's cache.

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
