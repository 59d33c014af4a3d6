"""A network for the fastest training to 94 % on CIFAR-10 with at most a million parameters.

After K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024 (arXiv:2404.00498),
section 3: a frozen first layer that whitens patches, and three groups of convolutions that start
as identities; the widths are chosen for a million parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PATCH = 2  # side of the patches that are whitened
# Running statistics of the last few batches suit trainings of a few hundred steps.
_NORM_MOMENTUM = 0.4
_LOGIT_SCALE = 1 / 9  # small initial logits; head and convolutions can use similar rates


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 3x3 convolution that starts as the identity: output i < min(in, out) is input i.

    Its other outputs are random. S. Zagoruyko and N. Komodakis, "DiracNets", 2017: a deep network
    starts as if it were shallow.
    """
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:in_channels])
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with a learned shift only, which is enough before an activation."""
    layer = nn.BatchNorm2d(channels, momentum=_NORM_MOMENTUM)
    layer.weight.requires_grad_(False)
    return layer


class ConvGroup(nn.Module):
    """Two convolutions, each with batch norm and GELU: (N, in, H, W) -> (N, width, H/2, W/2).

    A max pool after the first one halves the image.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_convolution(n, width) for n in (in_channels, width))
        self.norms = nn.ModuleList(_norm(width) for _ in range(2))
        self.pool = nn.MaxPool2d(2)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norms[0](self.pool(self.convs[0](x))))
        return self.activation(self.norms[1](self.convs[1](x)))


class SpeedNet(nn.Module):
    """Whitened patches, groups of convolutions that halve the image, global max pool, linear head.

    (N, 3, H, W) -> (N, num_classes), H and W at least 2 ** (groups + 1). ``widths`` are the
    channels of each group. The first layer's filters are frozen, and random until ``whiten`` sets
    them.
    """

    def __init__(self, *, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        patch_size = 3 * _PATCH**2
        self.whitening = nn.Conv2d(3, 2 * patch_size, _PATCH)
        self.whitening.weight.requires_grad_(False)
        self.activation = nn.GELU()
        inputs = (2 * patch_size, *widths)
        self.groups = nn.Sequential(*map(ConvGroup, inputs, widths))
        self.head = nn.Linear(inputs[-1], num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.activation(self.whitening(images))
        x = self.groups(x)
        x = F.adaptive_max_pool2d(x, 1).flatten(1)
        return self.head(x) * _LOGIT_SCALE


@torch.no_grad()
def whiten(model: SpeedNet, images: Tensor, eps: float = 5e-4) -> None:
    """Set the first layer to uncorrelated features of equal variance, and their negatives.

    Its filters are the eigenvectors v of the patches' second moments, divided by sqrt(eigenvalue +
    ``eps``), largest first, followed by all -v, because an activation keeps one sign. ``images``
    are normalised float (N, 3, H, W); a few thousand are enough. Source: D. Page, "How to train
    your ResNet 8: bag of tricks", 2019.
    """
    size = model.whitening.in_channels * _PATCH**2
    moments = torch.zeros(size, size, dtype=torch.float64, device=images.device)
    count = 0
    for chunk in images.split(500):
        # In double: eigenvectors of close eigenvalues are sensitive to rounding.
        patches = F.unfold(chunk.double(), _PATCH)  # (n, 12, places)
        patches = patches.transpose(0, 1).flatten(1)
        moments += patches @ patches.T
        count += patches.shape[1]
    eigenvalues, vectors = torch.linalg.eigh((moments / count).cpu())  # smallest first; in columns
    vectors = vectors.flip(1).T
    # Libraries choose an eigenvector's sign freely; the order of v and -v must not depend on that.
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    filters = largest.sign() * vectors / (eigenvalues.flip(0).unsqueeze(1) + eps).sqrt()
    weight = model.whitening.weight
    weight.copy_(torch.cat((filters, -filters)).view(weight.shape))
