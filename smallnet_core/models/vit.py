"""The vision transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) from vit-pytorch's blocks.

The paper used vit-pytorch 0.2.7. Its formulas differ from today's package, whose attention and
feed-forward blocks are adapted here: the norm stands before a block, not in it; attention is scaled
by dim ** -0.5 (not by the head's dimension) and has no dropout on its probabilities; patches are
embedded by a plain Linear; no norm follows the last block; and the head has a hidden layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vit_pytorch import vit

_PATCH = 4  # side of a patch
_NUM_PATCHES = (32 // _PATCH) ** 2


class Attention(vit.Attention):
    """Multi-head self-attention with torch's fused kernel: (N, tokens, dim) -> the same.

    On a CPU without AMX, train it in float32: in bfloat16 the kernel takes four times as long,
    forward and backward, and matrix products take 1.6 times as long (ViT_S, 256 images, one core:
    1.4 s per step in float32, 3.1 s under bfloat16 autocast).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, heads=heads, dim_head=dim // heads, dropout=dropout)
        del self.norm, self.attend, self.dropout  # in PreNorm, in the kernel, not in the paper
        self.scale = dim**-0.5

    def forward(self, x: Tensor) -> Tensor:
        # Views, each (N, heads, tokens, dim / heads); chunk, because torch-pruning can trace it.
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in self.to_qkv(x).chunk(3, dim=-1)
        )
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.to_out(y.transpose(1, 2).flatten(2))


class FeedForward(vit.FeedForward):
    """Linear, GELU, dropout, Linear, dropout: (N, tokens, dim) -> the same."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__(dim, hidden_dim, dropout=dropout)
        del self.net[0]  # the norm is in PreNorm; later layers move up


class PreNorm(nn.Module):
    """A layer norm before a block."""

    def __init__(self, dim: int, block: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.norm(x))


class Residual(nn.Module):
    """A block's output added to its input."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x


class Transformer(nn.Module):
    """``depth`` blocks of attention and feed-forward: (N, tokens, dim) -> the same."""

    def __init__(self, *, dim: int, depth: int, heads: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for _ in range(depth):
            blocks.append(Residual(PreNorm(dim, Attention(dim, heads, dropout))))
            blocks.append(Residual(PreNorm(dim, FeedForward(dim, mlp_dim, dropout))))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class ViT(nn.Module):
    """Square patches as tokens, a transformer, and a head with one hidden layer on the class token.

    (N, 3, 32, 32) -> (N, num_classes). ``dropout`` applies to the embedding, the
    blocks and the head. Source: Appendix C and vit-pytorch 0.2.7's formulas.
    """

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        mlp_dim: int,
        num_classes: int,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(3 * _PATCH**2, dim)
        self.cls_token = nn.Parameter(torch.randn(1, dim))
        self.pos_embedding = nn.Parameter(torch.randn(_NUM_PATCHES + 1, dim))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(
            dim=dim, depth=depth, heads=heads, mlp_dim=mlp_dim, dropout=dropout
        )
        self.to_latent = nn.Identity()  # counted in Appendix C's listing
        self.head = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, num_classes),
        )

    @staticmethod
    def _patches(images: Tensor) -> Tensor:
        """Cut (N, C, H, W) into (N, patches, p * p * C), values in (row, column, C) order."""
        x = images.unflatten(3, (-1, _PATCH)).unflatten(2, (-1, _PATCH))  # N C h p w p
        return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embedding(self._patches(images))
        x = torch.cat((self.cls_token.to(x.dtype).expand(len(x), 1, -1), x), dim=1)
        x = self.dropout(x + self.pos_embedding)
        x = self.transformer(x)
        return self.head(self.to_latent(x[:, 0]))
