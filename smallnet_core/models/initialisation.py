"""Initialise networks otherwise than by default, as a recipe's ``initialisation`` names it.

Each function imports the family that it initialises: vit_pytorch alone takes two seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def _zero_residual(model: nn.Module) -> None:
    """Make every residual block start as its shortcut: zero the last batch norm's scale.

    P. Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.1.
    """
    from smallnet_core.models.resnet import BasicBlock, Bottleneck

    for module in model.modules():
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)


def _delta_orthogonal(model: nn.Module) -> None:
    """Make convolutions start as orthogonal maps of their central pixel that a ReLU preserves.

    L. Xiao et al., "Dynamical isometry and a mean field theory of CNNs", 2018, algorithm 1, with
    the mirrored weights of D. Balduzzi et al., "The shattered gradients problem", 2017: half of
    the rows and columns are negated copies, so that relu(w x) and relu(-w x) together carry all
    of w x. A stack of layers, none with fewer outputs than inputs, preserves the norm of every
    pixel. Max pools may change it, except in an image of one colour. The head is left as it is.
    """
    from smallnet_core.models.vgg import VGG

    assert isinstance(model, VGG), "for networks without batch norm or shortcuts"
    first = True
    for module in model.features:
        if not isinstance(module, nn.Conv2d):
            continue
        assert module.bias is not None
        rows, columns = module.out_channels // 2, module.in_channels // (1 if first else 2)
        core = torch.empty(rows, columns)
        nn.init.orthogonal_(core)
        if first:
            whole = torch.cat((core, -core))
        else:
            whole = torch.cat((torch.cat((core, -core), 1), torch.cat((-core, core), 1)))
        nn.init.zeros_(module.weight)
        with torch.no_grad():
            module.weight[:, :, 1, 1] = whole
        nn.init.zeros_(module.bias)
        first = False


def _convolutional(model: nn.Module) -> None:
    """Make every attention head start by attending to one neighbour of each patch.

    A head's logits between positions are a bump around a fixed offset; given the position
    embedding, a truncated singular value decomposition yields the query and key weights for them.
    J. Zheng et al., "Structured initialization for attention in vision transformers", 2024, find
    such weights by optimisation.
    """
    from smallnet_core.models.vit import Attention, ViT

    assert isinstance(model, ViT), "for transformers"
    positions = model.pos_embedding.detach()[1:].double()  # (patches, dim)
    side = math.isqrt(len(positions))
    grid = torch.stack(
        torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1
    ).view(-1, 2)
    inverse = torch.linalg.pinv(positions)  # (dim, patches)
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    dim = attentions[0].to_qkv.in_features
    heads = attentions[0].heads
    head_dim = dim // heads
    for head in range(heads):
        offset = torch.tensor(offsets[head % len(offsets)])
        distance = (grid[:, None] + offset - grid[None]).square().sum(-1).double()
        bump = _BUMP_LOGIT / attentions[0].scale * torch.exp(-distance / (2 * _BUMP_WIDTH**2))
        u, s, vh = torch.linalg.svd(inverse @ bump @ inverse.T)
        root = s[:head_dim].sqrt().unsqueeze(1)
        rows = slice(head * head_dim, (head + 1) * head_dim)
        for attention in attentions:  # the same in every block
            weight: Tensor = attention.to_qkv.weight
            with torch.no_grad():
                weight[:dim][rows] = (root * u[:, :head_dim].T).to(weight.dtype)
                weight[dim : 2 * dim][rows] = (root * vh[:head_dim]).to(weight.dtype)


_BUMP_LOGIT = 6.0
_BUMP_WIDTH = 0.8  # patches


_INITIALISERS: dict[str, Callable[[nn.Module], None]] = {
    "zero_residual": _zero_residual,
    "delta_orthogonal": _delta_orthogonal,
    "convolutional": _convolutional,
}
INITIALISATIONS_FROM_IMAGES = ("whitened",)
INITIALISATIONS = ("default", *_INITIALISERS, *INITIALISATIONS_FROM_IMAGES)


def initialise(model: nn.Module, name: str, images: Tensor | None = None) -> None:
    """Initialise ``model`` by the method ``name``; "default" leaves it as it is.

    ``images`` are training images, normalised float (N, 3, H, W), for the methods in
    INITIALISATIONS_FROM_IMAGES. Draws from torch's global random state. Raises ValueError for an
    unknown name.
    """
    if name not in INITIALISATIONS:
        raise ValueError(f"unknown initialisation {name!r}; known: {', '.join(INITIALISATIONS)}")
    if name in _INITIALISERS:
        _INITIALISERS[name](model)
    elif name == "whitened":
        from smallnet_core.models.speednet import SpeedNet, whiten

        assert isinstance(model, SpeedNet) and images is not None
        whiten(model, images)
