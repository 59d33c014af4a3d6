"""Store weights compactly: mostly zero tensors as a bit mask and their nonzero values."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

PACKED_FROM = 1024  # entries of a tensor; below that, packing saves nothing


def pack(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Pack tensors as a file holds them; return them and the shapes of those that were packed.

    A large floating tensor that is mostly zeros becomes ``NAME.kept``, a bit for each entry, and
    ``NAME.values``, its nonzero entries in order.
    """
    tensors: dict[str, Tensor] = {}
    shapes = {}
    for name, tensor in state_dict.items():
        flat = tensor.detach().cpu().contiguous().flatten()
        kept = flat != 0
        if tensor.is_floating_point() and len(flat) >= PACKED_FROM and kept.sum() < len(flat) / 2:
            shapes[name] = list(tensor.shape)
            tensors[f"{name}.kept"] = torch.from_numpy(np.packbits(kept.numpy()))
            tensors[f"{name}.values"] = flat[kept]
        else:
            tensors[name] = tensor.contiguous()
    return tensors, shapes


def unpack(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Restore what was given to ``pack``; LookupError or ValueError for inconsistent tensors."""
    out = dict(tensors)
    for name, shape in shapes.items():
        bits, values = out.pop(f"{name}.kept"), out.pop(f"{name}.values")
        count = math.prod(shape)
        if bits.dtype != torch.uint8 or bits.shape != (-(-count // 8),):
            raise ValueError(f"{name}: {tuple(bits.shape)} bytes of bits for {count} entries")
        kept = torch.from_numpy(np.unpackbits(bits.numpy(), count=count)).bool()
        if values.shape != (int(kept.sum()),):
            raise ValueError(f"{name}: {tuple(values.shape)} values for {int(kept.sum())} bits")
        flat = torch.zeros(count, dtype=values.dtype)
        flat[kept] = values
        out[name] = flat.view(list(shape))
    return out


def stored_bytes(state_dict: Mapping[str, Tensor]) -> dict[str, int]:
    """Compute the sizes of a network's file: dense, packed, and packed and compressed by zlib."""
    dense = {name: tensor.contiguous() for name, tensor in state_dict.items()}
    packed = safetensors.torch.save(pack(state_dict)[0])
    return {
        "dense_bytes": len(safetensors.torch.save(dense)),
        "sparse_bytes": len(packed),
        "compressed_bytes": len(zlib.compress(packed, 9)),
    }
