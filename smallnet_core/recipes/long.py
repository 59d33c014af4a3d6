"""The ResNets for twice the epochs of ``tuned``: for who has more time.

A ResNet18_S takes about two hours of a core or two, a ResNet18 five or six.
"""

from __future__ import annotations

from dataclasses import replace

from smallnet_core.recipes.recipe import Recipe
from smallnet_core.recipes.tuned import AUGMENTATION, tuned

# A third of the epochs with whole images.
_GROWING_LONG = ((0.0, 20), (0.25, 24), (0.45, 28), (0.65, 32))
_LONG_EPOCHS = {"resnet18_s": 55, "resnet18": 20}


def long(dataset: str, network: str, optimizer: str) -> Recipe | None:
    """Give the ResNets twice the epochs of ``tuned``, more of them with whole images."""
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
