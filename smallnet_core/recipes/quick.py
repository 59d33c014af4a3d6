"""Recipes for the embedded digits: seconds to a minute each on two cores, over 95 % accuracy.

They are for trying the suite without a download; the paper has no results on digits.
"""

from __future__ import annotations

from dataclasses import replace

from smallnet_core.recipes.recipe import Augmentation, Recipe
from smallnet_core.recipes.tuned import tuned

# Epochs and batch size with which each network quickly reached over 95 % on 297 digits held out of
# the training set; LOG.md has the numbers.
_QUICK = {"resnet18_s": (6, 64), "vgg16_s": (12, 32), "vit_s": (16, 32)}


def quick(network: str, optimizer: str) -> Recipe | None:
    """Return a small network's recipe for digits, None for the large ones."""
    base = tuned("digits", network, optimizer)
    if base is None or network not in _QUICK:
        return None
    epochs, batch_size = _QUICK[network]
    # With shifts alone the transformer, which has no locality built in, reaches 91 % (96 % on its
    # thousand training images); with cutout and label smoothing 96.3 %.
    vit = network == "vit_s"
    return replace(
        base,
        kind="quick",
        epochs=epochs,
        batch_size=batch_size,
        initialisation="default",
        resolutions=(),
        # No flips: a mirrored digit is not a digit.
        augmentation=Augmentation(crop_padding=2, flip="none", cutout=10 if vit else 0),
        label_smoothing=0.1 if vit else 0.0,
    )
