"""Find the trained networks that a claim is judged by, and select those that a command names."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.claims.names import OPTIMIZER_NAMES
from smallnet_core.recipes import RECIPE_KINDS, Recipe, find_recipe
from smallnet_core.recipes.pruned import find_pruned
from smallnet_core.records import Claim, NotMeasured

# A row of the paper's tables: {"dataset", "network", "optimizer"}, or with "recipe" instead a named
# network of ``recipes.pruned``; some have a "kind", a "technique" or a "best_of" of their own.
Side = Mapping[str, Any]


def recipes_of_side(side: Side, kind: str, num_seeds: int) -> list[Recipe]:
    """Find the recipe of each seed of a side (see ``claims``); a side may name its own kind.

    Digits always use quick recipes. Raises NotMeasured where there is no recipe of that kind: named
    (pruned) networks have only tuned ones.
    """
    kind = side.get("kind", kind)
    seeds = range(num_seeds)
    if "recipe" in side:
        if kind != "tuned":
            raise NotMeasured(f"pruned networks have only tuned recipes, no {kind} ones")
        return [find_pruned(side["recipe"], side["dataset"], seed) for seed in seeds]
    dataset = side["dataset"]
    kind = "quick" if dataset == "digits" else kind
    return [find_recipe(kind, dataset, side["network"], side["optimizer"], s) for s in seeds]


def sides_of(claim: Claim) -> list[Side]:
    """List the trained networks that a claim is about, with all of a "best of"; often none."""
    details = claim.details
    row = {"dataset": claim.dataset, "network": claim.network, "optimizer": claim.optimizer}
    if claim.not_measured:
        return []
    if "recipes" in details:
        return [{**row, "recipe": name} for name in details["recipes"]]
    compared = [details[name] for name in ("minuend", "subtrahend") if name in details]
    if compared:
        return [one for side in compared for one in side.get("best_of", (side,))]
    if "best_of" in details:
        return list(details["best_of"])
    if claim.metric == "accuracy_spread_points":  # over the optimizers, with equal effort
        return [row | {"optimizer": name, "kind": "equal"} for name in OPTIMIZER_NAMES]
    if claim.source == "Long training":
        return [row | {"kind": "long"}]
    if claim.optimizer is not None:
        return [row]
    if claim.metric == "accuracy_percent":  # with whichever optimizer
        return [row | {"optimizer": optimizer} for optimizer in OPTIMIZER_NAMES]
    return []


def recipes_of_claim(claim: Claim, kind: str = "tuned", num_seeds: int = 1) -> list[Recipe]:
    """List the recipes that a claim needs, without their ancestors; empty where there are none.

    One-shot pruning needs the network of the first seed only.
    """
    sides = sides_of(claim)
    if "recipes" not in claim.details and any("technique" in s for s in (claim.details, *sides)):
        num_seeds = 1
    num_seeds = max(num_seeds, claim.details.get("min_seeds", 1))
    found: dict[Recipe, None] = {}
    for side in sides:
        try:
            found |= dict.fromkeys(recipes_of_side(side, kind, num_seeds))
        except NotMeasured:
            continue
    return list(found)


def select(
    globs: Sequence[str] = (),
    *,
    network: str | None = None,
    optimizer: str | None = None,
    dataset: str | None = None,
    recipe_kind: str = "tuned",
    num_seeds: int = 1,
) -> dict[Recipe, list[str]]:
    """Select recipes by globs on claim ids (none: all), each with the ids that need it.

    They are in the order of the globs, each after its ancestors. Raises ValueError for a glob or a
    name that matches nothing, with the nearest names.
    """
    claims = {**CLAIMS, **GOALS}
    if recipe_kind not in RECIPE_KINDS:
        raise _unknown("recipe", recipe_kind, RECIPE_KINDS)
    ids: dict[str, None] = {}
    for glob in globs or ("*",):
        found = fnmatch.filter(claims, glob)
        if not found:
            places = dict.fromkeys(f"{claim_id.partition('/')[0]}/*" for claim_id in claims)
            raise _unknown("claim", glob, [*places, *claims])
        ids |= dict.fromkeys(found)
    sides = [side for claim in claims.values() for side in sides_of(claim)]
    for what, given in {"network": network, "optimizer": optimizer, "dataset": dataset}.items():
        known = dict.fromkeys(side[what] for side in sides if side[what])
        if given is not None and given not in known:
            raise _unknown(what, given, known)
    out: dict[Recipe, list[str]] = {}
    for claim_id in ids:
        for recipe in recipes_of_claim(claims[claim_id], recipe_kind, num_seeds):
            if (
                network in (None, recipe.network)
                and optimizer in (None, recipe.optimizer.name)
                and dataset in (None, recipe.dataset)
            ):
                for one in (*recipe.ancestors(), recipe):
                    needed_by = out.setdefault(one, [])
                    if claim_id not in needed_by:
                        needed_by.append(claim_id)
    if not out:
        raise ValueError("the selected claims need no trained network of that kind")
    return out


def _unknown(what: str, given: str, known: Iterable[str]) -> ValueError:
    known = list(known)
    nearest = difflib.get_close_matches(given, known, n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(nearest)}" if nearest else f"known: {', '.join(known[:4])}, ..."
    return ValueError(f"unknown {what} {given!r}; {hint}")
