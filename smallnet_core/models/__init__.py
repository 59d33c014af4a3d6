"""All networks by name, the paper's and ours: normalised pixels (N, 3, 32, 32) in, logits out.

Importing this package does not import torch; building a model does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MODELS", "MODEL_NAMES", "OWN_MODEL_NAMES", "build_model"]


def _build(path: str, **arguments: Any) -> nn.Module:
    """Import ``family.Class`` and construct it; ValueError for an argument it does not take."""
    family, _, class_name = path.partition(".")
    constructor = getattr(import_module(f"{__name__}.{family}"), class_name)
    accepted = inspect.signature(constructor).parameters
    if unknown := arguments.keys() - accepted.keys():
        raise ValueError(
            f"{class_name} takes no {', '.join(sorted(unknown))}: it takes {', '.join(accepted)}"
        )
    return constructor(**arguments)


_resnet = partial(_build, "resnet.ResNet")
_vgg = partial(_build, "vgg.VGG")
_vit = partial(_build, "vit.ViT")
_speednet = partial(_build, "speednet.SpeedNet")

# Constructor arguments of each architecture; ``build_model`` can override them.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "resnet18": partial(_resnet, block="basic", depths=(2, 2, 2, 2), width=64),
    "resnet18_s": partial(_resnet, block="basic", depths=(2, 2, 2, 2), width=16),
    "resnet34": partial(_resnet, block="basic", depths=(3, 4, 6, 3), width=64),
    "resnet50": partial(_resnet, block="bottleneck", depths=(3, 4, 6, 3), width=64),
    "resnet101": partial(_resnet, block="bottleneck", depths=(3, 4, 23, 3), width=64),
    "resnet152": partial(_resnet, block="bottleneck", depths=(3, 8, 36, 3), width=64),
    "vgg16": partial(_vgg, depths=(2, 2, 3, 3, 3), width=64, hidden_layers=2),
    "vgg16_s": partial(_vgg, depths=(2, 2, 3, 3, 3), width=16, hidden_layers=2),
    "vgg19": partial(_vgg, depths=(2, 2, 4, 4, 4), width=64, hidden_layers=0),
    "vit": partial(_vit, dim=512, depth=6, heads=8, mlp_dim=512),
    "vit_s": partial(_vit, dim=192, depth=4, heads=8, mlp_dim=128),
    "speednet": partial(_speednet, widths=(64, 176, 176)),
}

MODEL_NAMES: tuple[str, ...] = tuple(MODELS)
OWN_MODEL_NAMES: tuple[str, ...] = ("speednet",)  # not in the paper


def build_model(name: str, num_classes: int = 10, **overrides: Any) -> nn.Module:
    """Build the network ``name`` with fresh weights, from torch's random state, on its device.

    (N, 3, 32, 32) float -> (N, num_classes) logits. ``overrides`` replace arguments of the
    family's class, such as ``dropout`` of VGG and ViT. Raises ValueError for an unknown name, an
    argument that the class does not take, or fewer than one class.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, not {num_classes}")
    return MODELS[name](num_classes=num_classes, **overrides)
