"""The sides of a comparison, as claims hold them in their details (see the package's docstring)."""

from __future__ import annotations

from typing import Any

__all__ = ["Side", "side"]

Side = dict[str, Any]


def side(
    network: str,
    optimizer: str,
    *,
    dataset: str = "cifar10",
    technique: str = "",
    proportion: float | str | None = None,
    recipe: str = "",
) -> Side:
    """A trained network; pruned in one shot with ``technique``, or by our ``recipe`` of that name.

    ``proportion`` is of the pruned weights, 0 to 1, or "mean": over those of Tables 6 and 7.
    """
    found: Side = {"dataset": dataset, "network": network, "optimizer": optimizer}
    if technique:
        found |= {"technique": technique, "proportion": proportion}
    if recipe:
        found["recipe"] = recipe
    return found
