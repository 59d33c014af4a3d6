"""The options of a run, as the workbench takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


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

    def kind_for(self, dataset: str) -> str:
        """The kind of recipe for a dataset: digits always take their quick ones."""
        return "quick" if dataset == "digits" else self.recipe_kind
