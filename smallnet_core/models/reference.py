"""Build the large networks of the paper's introduction and Table 1, to count their parameters.

LaNet is absent: no library that the suite depends on has its searched architecture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from smallnet_core.models import build_model


class _DenseLayer(nn.Module):
    """1x1 convolution to 4 * growth channels, 3x3 to growth, concatenated to the input's."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        return torch.cat((x, y), dim=1)


class _Transition(nn.Sequential):
    """Halves the channels and the image."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
            nn.AvgPool2d(2),
        )


class DenseNet(nn.Module):
    """DenseNet-BC for 32x32 images, compression 0.5 (Huang et al. 2016, arXiv:1608.06993).

    (N, 3, 32, 32) -> (N, num_classes). Three blocks of (depth - 4) / 6 layers each.
    """

    def __init__(self, *, depth: int, growth: int, num_classes: int) -> None:
        super().__init__()
        channels = 2 * growth
        features: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
        for i in range(3):
            if i > 0:
                features.append(_Transition(channels))
                channels //= 2
            for _ in range((depth - 4) // 6):
                features.append(_DenseLayer(channels, growth))
                channels += growth
        self.features = nn.Sequential(*features, nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


REFERENCE_MODELS: dict[str, Callable[[], nn.Module]] = {
    "vit_h_14": lambda: torchvision.models.vit_h_14(num_classes=1000),  # ImageNet
    "densenet_bc_190": lambda: DenseNet(depth=190, growth=40, num_classes=10),
    "vgg19": lambda: build_model("vgg19"),
    "vgg19_imagenet": lambda: torchvision.models.vgg19(num_classes=1000),
    "resnet50_imagenet": lambda: torchvision.models.resnet50(num_classes=1000),
}


def build_reference(name: str) -> nn.Module:
    """Build the network ``name`` on the meta device: shapes without weights."""
    with torch.device("meta"):
        return REFERENCE_MODELS[name]()
