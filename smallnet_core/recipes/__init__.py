"""How networks are trained: frozen records of everything that determines a result."""

from smallnet_core.recipes.kinds import RECIPE_KINDS, find_recipe
from smallnet_core.recipes.recipe import (
    IMAGE_SIDE,
    IMPORTANCES,
    TRAINING_VERSION,
    Augmentation,
    Optimizer,
    Pruning,
    Recipe,
    Schedule,
)

__all__ = [
    "IMAGE_SIDE",
    "IMPORTANCES",
    "RECIPE_KINDS",
    "TRAINING_VERSION",
    "Augmentation",
    "Optimizer",
    "Pruning",
    "Recipe",
    "Schedule",
    "find_recipe",
]
