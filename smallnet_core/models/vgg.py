"""Plain stacks of 3x3 convolutions (Simonyan and Zisserman 2014, arXiv:1409.1556)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class VGG(nn.Module):
    """Five groups of convolutions without batch norm, each ending in a 2x2 max pool.

    (N, 3, 32, 32) -> (N, num_classes). ``depths`` is the number of convolutions in each group
    (configuration D: 2, 2, 3, 3, 3; E: 2, 2, 4, 4, 4); the widths are 1, 2, 4, 8 and 8 times
    ``width``. ``hidden_layers`` layers of the last width, each after a dropout, come before the
    classifier; with none there is no dropout either. Source: Appendix B.
    """

    def __init__(
        self,
        *,
        depths: Sequence[int],
        width: int,
        hidden_layers: int,
        num_classes: int,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = []
        channels = 3
        for i, depth in enumerate(depths):
            for _ in range(depth):
                out_channels = width * min(2**i, 8)
                features.append(nn.Conv2d(channels, out_channels, 3, padding=1))
                features.append(nn.ReLU(inplace=True))
                channels = out_channels
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)

        head: list[nn.Module] = []
        for _ in range(hidden_layers):
            head += [nn.Dropout(dropout), nn.Linear(channels, channels), nn.ReLU(inplace=True)]
        head.append(nn.Linear(channels, num_classes))
        self.head = nn.Sequential(*head)

        # He et al. 2015 (arXiv:1502.01852), fan-out: without batch norm, the signal would vanish
        # over 13 layers with torch's default.
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).flatten(1))
