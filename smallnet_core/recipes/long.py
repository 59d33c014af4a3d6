"""Recipes of the ResNets with twice the epochs of ``tuned``, for those who have more time.

ResNet18_S with AdaBound reached 91.7 % on CIFAR-10 in 92 minutes of one core, in bfloat16, where
``tuned`` reaches 91.0; the others were not run.
"""

from __future__ import annotations

from dataclasses import replace

from smallnet_core.recipes.recipe import Recipe
from smallnet_core.recipes.tuned import AUGMENTATION, tuned

# A third of the epochs use full-size images.
_GROWING_LONG = ((0.0, 20), (0.25, 24), (0.45, 28), (0.65, 32))
_LONG_EPOCHS = {"resnet18_s": 55, "resnet18": 20}


def long(dataset: str, network: str, optimizer: str) -> Recipe | None:
    """Return a ResNet's recipe with twice the epochs of ``tuned``, more of them at full size.

    None for other networks.
    """
    base = tuned(dataset, network, optimizer)
    if base is None or network not in _LONG_EPOCHS:
        return None
    return replace(
        base,
        kind="long",
        epochs=_LONG_EPOCHS[network],
        augmentation=AUGMENTATION,
        initialisation="zero_residual",
        resolutions=_GROWING_LONG,
    )
