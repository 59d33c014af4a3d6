"""Read the published files, verify them by a content digest, and sort their records."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smallnet_core.data.sources import DatasetError, Spec

PIXELS = 3 * 32 * 32
_CHUNK = 256  # records converted to HWC at a time: 0.8 MB, which fits in the CPU's cache


def record_digests(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[int]:
    """Compute an integer for each image: sha256(label byte + 3,072 bytes of pixels, HWC).

    ``images`` is (N, 3072) in CHW order, as the dataset's files hold it; ``labels`` is (N,).
    """
    digests = []
    buffer = np.empty((_CHUNK, 1 + PIXELS), np.uint8)
    for start in range(0, len(images), _CHUNK):
        planes = images[start : start + _CHUNK].reshape(-1, 3, 1024)
        rows = buffer[: len(planes)]
        rows[:, 0] = labels[start : start + _CHUNK]
        for channel in range(3):
            rows[:, 1 + channel :: 3] = planes[:, channel]
        digests += [int.from_bytes(hashlib.sha256(row).digest(), "big") for row in rows]
    return digests


def content_digest(digests: Iterable[int]) -> str:
    """Sum ``record_digests`` modulo 2^256, in hexadecimal; the order does not matter."""
    return f"{sum(digests) % (1 << 256):064x}"


def canonical_order(digests: Sequence[int]) -> NDArray[np.int64]:
    """Return the permutation that sorts records by digest; equal digests are equal records."""
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)


def read_split(
    spec: Spec, layout: str, folder: Path, split: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read images (N, 3072), CHW, and labels (N,) of a split, in canonical order.

    Raises DatasetError for a missing file and for content that is not as published.
    """
    names = spec.files(layout, split)
    per_file = spec.counts[split] // len(names)
    remedy = f"restore the original, or move {spec.folders[layout]}/ away and allow the download"
    read = _read_pickle if layout == "python" else _read_binary
    parts = []
    for name in names:
        try:
            parts.append(read(spec, split, folder / name, per_file))
        except FileNotFoundError as error:
            raise DatasetError(f"{folder / name}: the file is missing: {remedy}") from error
        except _Wrong as error:
            raise DatasetError(f"{folder / name}: {error}: {remedy}") from error
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    digests = record_digests(images, labels)
    if content_digest(digests) != spec.digests[split]:
        first: dict[int, str] = {}
        for k, digest in enumerate(digests):
            name = names[k // per_file]
            if first.setdefault(digest, name) != name:
                raise DatasetError(f"{folder / name}: repeats records of {first[digest]}: {remedy}")
        raise DatasetError(
            f"{folder}: {', '.join(names)}: the content is not that of {spec.title}'s {split} split"
            f" (digest {content_digest(digests)}, expected {spec.digests[split]}): {remedy}"
        )
    order = canonical_order(digests)
    return images[order], labels[order]


class _Wrong(Exception):  # noqa: N818 - says what the file is
    """A file that is not as published; the message says how it differs."""


_Records = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _read_binary(spec: Spec, split: str, path: Path, count: int) -> _Records:
    """Read images and labels; the coarse label comes before the fine one."""
    content = path.read_bytes()
    size = PIXELS + (2 if spec.coarse_names else 1)
    if len(content) != count * size:
        raise _Wrong(
            f"has {len(content)} bytes, expected {count * size} ({count} records of {size})"
        )
    raw = np.frombuffer(content, np.uint8).reshape(count, size)
    return raw[:, -PIXELS:], raw[:, -PIXELS - 1]


def _read_pickle(spec: Spec, split: str, path: Path, count: int) -> _Records:
    """Read images and labels; unpickle nothing before its MD5 is verified."""
    content = path.read_bytes()
    md5, expected = hashlib.md5(content, usedforsecurity=False), spec.md5[split][path.name]
    if md5.hexdigest() != expected:
        raise _Wrong(f"MD5 is {md5.hexdigest()}, expected {expected}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2.4: Python 2 wrote "align" as a number
        entries: dict[bytes, Any] = pickle.loads(content, encoding="bytes")
    labels = entries[b"fine_labels" if spec.coarse_names else b"labels"]
    return entries[b"data"], np.array(labels, np.uint8)
