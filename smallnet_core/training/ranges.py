"""Check the settings of our own optimizers, as torch does for its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def check_ranges(group: Mapping[str, Any], *, positive: Collection[str] = ()) -> None:
    """Raise ValueError for a setting of a parameter group that is out of its range.

    Betas lie in [0, 1); other numbers are 0 or more, and those of ``positive`` more than 0.
    """
    for name in ("lr", "eps", "weight_decay", "momentum", "final_lr", "gamma"):
        if name not in group:
            continue
        value = float(group[name])
        if not (value > 0 or (value == 0 and name not in positive)):
            limit = "more than 0" if name in positive else "0 or more"
            raise ValueError(f"{name} is {value}: expected {limit}")
    if not all(0 <= beta < 1 for beta in group.get("betas", ())):
        raise ValueError(f"betas are {group['betas']}: expected numbers from 0 to below 1")
