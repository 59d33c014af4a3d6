"""The ResNets for twice the epochs of ``tuned``: for who has more time.

ResNet18_S with AdaBound came to 91.7 % on CIFAR-10 in 92 minutes of one core, in bfloat16, where
``tuned`` has 91.0; the others were not run.
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
