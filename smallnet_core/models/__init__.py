"""All networks by name, the paper's and ours: normalised pixels (N, 3, 32, 32) in, logits out.

Importing this package does not import torch; building a model does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# The class of each architecture, and its arguments; ``build_model`` can override them.
_BOTTLENECK = {"block": "bottleneck", "width": 64}
_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet18": ("resnet.ResNet", {"block": "basic", "depths": (2, 2, 2, 2), "width": 64}),
    "resnet18_s": ("resnet.ResNet", {"block": "basic", "depths": (2, 2, 2, 2), "width": 16}),
    "resnet34": ("resnet.ResNet", {"block": "basic", "depths": (3, 4, 6, 3), "width": 64}),
    "resnet50": ("resnet.ResNet", {**_BOTTLENECK, "depths": (3, 4, 6, 3)}),
    "resnet101": ("resnet.ResNet", {**_BOTTLENECK, "depths": (3, 4, 23, 3)}),
    "resnet152": ("resnet.ResNet", {**_BOTTLENECK, "depths": (3, 8, 36, 3)}),
    "vgg16": ("vgg.VGG", {"depths": (2, 2, 3, 3, 3), "width": 64, "hidden_layers": 2}),
    "vgg16_s": ("vgg.VGG", {"depths": (2, 2, 3, 3, 3), "width": 16, "hidden_layers": 2}),
    "vgg19": ("vgg.VGG", {"depths": (2, 2, 4, 4, 4), "width": 64, "hidden_layers": 0}),
    "vit": ("vit.ViT", {"dim": 512, "depth": 6, "heads": 8, "mlp_dim": 512}),
    "vit_s": ("vit.ViT", {"dim": 192, "depth": 4, "heads": 8, "mlp_dim": 128}),
    "speednet": ("speednet.SpeedNet", {"widths": (64, 176, 176)}),
}

MODEL_NAMES: tuple[str, ...] = tuple(_MODELS)


def build_model(name: str, num_classes: int = 10, **overrides: Any) -> nn.Module:
    """Build the network ``name`` with fresh weights, from torch's random state, on its device.

    (N, 3, 32, 32) float -> (N, num_classes) logits. ``overrides`` replace arguments of the
    family's class, such as ``dropout`` of VGG and ViT. Raises ValueError for an unknown name.
    """
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}: choose one of {', '.join(_MODELS)}")
    path, arguments = _MODELS[name]
    family, class_name = path.split(".")
    constructor = getattr(import_module(f"{__name__}.{family}"), class_name)
    return constructor(num_classes=num_classes, **{**arguments, **overrides})
