"""Find the recipe for a row of the paper's tables.

``tuned`` is ours and takes an hour or two on two cores; ``long`` takes twice as long; ``equal``
gives each optimizer the same epochs and images; ``paper`` follows the paper to the letter and takes
days; ``quick`` is for digits and takes seconds.
"""

from __future__ import annotations

import dataclasses

from smallnet_core.claims.names import OPTIMIZER_NAMES
from smallnet_core.recipes.long import long
from smallnet_core.recipes.paper import paper
from smallnet_core.recipes.quick import quick
from smallnet_core.recipes.recipe import Recipe
from smallnet_core.recipes.speednet import speednet
from smallnet_core.recipes.tuned import TRAINED_NETWORKS, equal, tuned
from smallnet_core.records import NotMeasured

RECIPE_KINDS = ("tuned", "long", "equal", "paper", "quick")


def find_recipe(kind: str, dataset: str, network: str, optimizer: str, seed: int = 0) -> Recipe:
    """Find the recipe of a row of the paper's tables.

    ``seed`` counts runs from 0; the paper's only run has seed 42, and further ones count up from
    it. Raises NotMeasured where there is no recipe of that kind, and ValueError for unknown kinds
    and optimizers.
    """
    if kind not in RECIPE_KINDS:
        raise ValueError(f"unknown recipe {kind!r}; known: {', '.join(RECIPE_KINDS)}")
    optimizers = (*OPTIMIZER_NAMES, "muon")
    if optimizer not in optimizers:
        raise ValueError(f"unknown optimizer {optimizer!r}; known: {', '.join(optimizers)}")
    recipe = None
    if network == "speednet" or optimizer == "muon":  # used only together
        if (network, optimizer, kind) == ("speednet", "muon", "tuned") and dataset != "digits":
            recipe = speednet(dataset)
    elif kind == "quick":
        recipe = quick(network, optimizer) if dataset == "digits" else None
    elif dataset != "digits" and network in TRAINED_NETWORKS:
        find = {"paper": paper, "tuned": tuned, "long": long, "equal": equal}[kind]
        recipe = find(dataset, network, optimizer)
    if recipe is None:
        raise NotMeasured(f"no {kind} recipe for {network} with {optimizer} on {dataset}")
    return dataclasses.replace(recipe, seed=recipe.seed + seed)
