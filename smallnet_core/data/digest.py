"""The content digest of a dataset, and the canonical order that it gives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_CHUNK = 256  # records that are turned to HWC at a time: 0.8 MB, which stays in the cache


def record_digests(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[int]:
    """One integer for each image: sha256(label byte + 3,072 bytes of pixels in HWC order).

    ``images`` is (N, 3072) in CHW order, as the dataset's files hold it; ``labels`` is (N,).
    """
    digests = []
    buffer = np.empty((_CHUNK, 1 + 3072), np.uint8)
    for start in range(0, len(images), _CHUNK):
        planes = images[start : start + _CHUNK].reshape(-1, 3, 1024)
        rows = buffer[: len(planes)]
        rows[:, 0] = labels[start : start + _CHUNK]
        for channel in range(3):
            rows[:, 1 + channel :: 3] = planes[:, channel]
        digests += [int.from_bytes(hashlib.sha256(row).digest(), "big") for row in rows]
    return digests


def content_digest(digests: Iterable[int]) -> str:
    """The sum of ``record_digests`` modulo 2^256 in hexadecimal: whatever the order, the same."""
    return f"{sum(digests) % (1 << 256):064x}"


def canonical_order(digests: Sequence[int]) -> NDArray[np.int64]:
    """The permutation that sorts records by digest; equal digests are equal records."""
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)
