"""List the trained networks that claims need: which exist, and what the others would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from smallnet_core.lab.cache import ModelCache
from smallnet_core.lab.workbench import NUM_IMAGES
from smallnet_core.recipes import IMAGE_SIDE, Recipe, find_recipe
from smallnet_core.training.checkpoints import steps_done
from smallnet_core.training.estimates import estimate_seconds


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a recipe's training has come."""

    text: str  # "zoo", "cache", "recorded", "checkpoint at epoch 7 of 25", "nothing"
    is_done: bool = False  # claims can be judged
    has_weights: bool = False
    epochs_done: float = 0.0


def state_of(cache: ModelCache, recipe: Recipe) -> State:
    """Look a recipe up in cache and zoo; damaged entries go to the cache's complaints."""
    model = cache.load(recipe)
    if model is not None:
        return State(text=model.origin, is_done=True, has_weights=True)
    if cache.recorded(recipe) is not None:
        return State(text="recorded", is_done=True)
    done = steps_done(cache.checkpoint(recipe))
    if done is None:
        return State(text="nothing")
    epochs = done / ((NUM_IMAGES[recipe.dataset][0] - recipe.holdout) // recipe.batch_size)
    text = f"checkpoint at epoch {int(epochs)} of {recipe.end_epoch}"
    return State(text=text, epochs_done=epochs)


def to_do(states: Mapping[Recipe, State]) -> dict[Recipe, State]:
    """Select the recipes to train: those that claims lack, and the ancestors that these need."""
    missing = [recipe for recipe, state in states.items() if not state.is_done]
    ancestors = {one for recipe in missing for one in recipe.ancestors()}
    return {
        recipe: state
        for recipe, state in states.items()
        if not state.is_done or (recipe in ancestors and not state.has_weights)
    }


def work_left(recipe: Recipe, epochs_done: float) -> float:
    """Count the work left in epochs of full-size images; smaller images count for less."""
    return sum(
        (recipe.image_side(epoch) / IMAGE_SIDE) ** 2 * min(1.0, max(0.0, epoch + 1 - epochs_done))
        for epoch in range(recipe.first_epoch, recipe.end_epoch)
    )


def seconds_left(recipe: Recipe, state: State, device: torch.device) -> float:
    """Estimate the time left, roughly: all recipes of a network share one timing."""
    num_train, num_test = NUM_IMAGES[recipe.dataset]
    whole = estimate_seconds(
        recipe, num_train=num_train, num_test=num_test, device=device, rough=True
    )
    return whole * work_left(recipe, state.epochs_done) / work_left(recipe, 0.0)


def ordered(states: Mapping[Recipe, State], device: torch.device) -> dict[Recipe, State]:
    """Order recipes, the cheapest first, each after its ancestors."""
    costs = {
        recipe: 0.0 if state.is_done else seconds_left(recipe, state, device)
        for recipe, state in states.items()
    }
    out: dict[Recipe, State] = {}
    for recipe in sorted(costs, key=costs.__getitem__):
        out |= {one: states[one] for one in (*recipe.ancestors(), recipe) if one in states}
    return out


def listing(
    states: Mapping[Recipe, State],
    needed_by: Mapping[Recipe, Sequence[str]],
    device: torch.device,
) -> list[str]:
    """Format a table of 80 columns: each recipe's state, how many claims need it, and its cost."""
    lacking = to_do(states)
    head = f"{'recipe':<39}{'state':<28}{'claims':>6}{'hours':>7}"
    lines = [head, "-" * len(head)]
    total = 0.0
    for recipe, state in states.items():
        hours = ""
        if recipe in lacking:
            seconds = seconds_left(recipe, state, device)
            total += seconds
            hours = f"{seconds / 3600:.2f}"
        num_claims = len(needed_by[recipe])
        lines.append(f"{label(recipe):<39}{state.text:<28}{num_claims:>6}{hours:>7}")
    return [*lines, f"{len(lacking)} of {len(states)} to train, {total / 3600:.1f} hours here"]


def label(recipe: Recipe) -> str:
    """Return network, optimizer, dataset, kind and seed in at most 38 characters."""
    kind = "dense" if recipe.kind == "pruned" else recipe.kind
    if (pruning := recipe.pruning) is not None:
        if pruning.importance != "magnitude":
            kind = pruning.importance.partition("_")[0]
        elif pruning.weights != "trained":
            kind = {"fresh": "fresh", "rewound": "ticket"}[pruning.weights]
        elif pruning.structure == "weights":
            kind = "masked"
        else:
            kind = "pruned" if pruning.parent.pruning is None else "rounds"
        size = pruning.max_params
        kind += f" {size // 1_000_000}m" if size >= 1_000_000 else f" {size // 1000}k"
    elif recipe.stop_epoch is not None:
        kind += " start"
    elif kind == "tuned":
        row = recipe.dataset, recipe.network, recipe.optimizer.name
        if recipe != find_recipe("tuned", *row, recipe.seed):
            kind = "equal"
    return f"{recipe.network} {recipe.optimizer.name} {recipe.dataset} {kind} {recipe.seed}"
