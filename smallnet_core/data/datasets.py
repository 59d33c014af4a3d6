"""Load CIFAR-10, CIFAR-100 and scikit-learn's digits as verified tensors in a canonical order.

Each split is sorted by the sha256 of its records (``record_digests``), not in file order. The
python and the binary layout, and any reshuffled copy, therefore give the same tensors, and a seed
draws the same batches.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smallnet_core.data.sources import (
    SPECS,
    SPLITS,
    DatasetError,
    Spec,
    data_folder,
    find,
)

NUM_CLASSES = {"cifar10": 10, "cifar100": 100, "digits": 10}

_DIGITS_TEST = 500
_DIGITS_DIGESTS = {
    "train": "f6b44adf3a72bcefe494cc7cd3fe5b3b4e3b6d428a0a7ed9679d34510ca14229",
    "test": "ffe32055dfbdc3384f859e3b95b220da22c27a379d0cf11d0a60eea40b9c57e2",
}

_PIXELS = 3 * 32 * 32
_CHUNK = 256  # records converted to HWC at a time: 0.8 MB, which fits in the CPU's cache

_Records: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, 3072), labels (N,)


@dataclass(frozen=True, kw_only=True, eq=False)  # eq would compare tensors
class Dataset:
    """A dataset in memory, on the CPU; images uint8 (N, 3, 32, 32), labels int64 (N,)."""

    name: str  # a key of NUM_CLASSES
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    coarse_names: tuple[str, ...] = ()  # CIFAR-100's 20 superclasses
    digests: Mapping[str, str]  # content digest by split


def load_dataset(name: str, *, data_dir: Path | None = None, offline: bool = False) -> Dataset:
    """Load and verify the dataset ``name``; download it if it is absent, unless ``offline``.

    ``data_dir`` (else SMALLNET_DATA, else the user's cache folder) holds the published folders or
    is one of them. "digits" needs none.

    Raises DatasetNotFound, a NotMeasured, if the dataset is absent and cannot be downloaded;
    DatasetError, a ValueError, if it is there but not as published; and ValueError for an unknown
    name.
    """
    if name == "digits":
        return _load_digits()
    if name not in SPECS:
        raise ValueError(f"unknown dataset {name!r}: choose one of {', '.join(NUM_CLASSES)}")
    return load_from_spec(SPECS[name], data_dir=data_dir, offline=offline)


def load_from_spec(spec: Spec, *, data_dir: Path | None = None, offline: bool = False) -> Dataset:
    """Load a published dataset described by ``spec``, as ``load_dataset`` does."""
    try:
        layout, folder = find(spec, data_folder(data_dir), offline)
        splits = {split: _read_split(spec, layout, folder, split) for split in SPLITS}
    except OSError as error:
        raise DatasetError(
            f"{error.filename or data_dir}: cannot be read ({error.strerror or error}): "
            "check the file and its permissions"
        ) from error
    return Dataset(
        name=spec.name,
        **_tensors(splits),
        coarse_names=spec.coarse_names,
        digests=dict(spec.digests),
    )


def _tensors(splits: Mapping[str, _Records]) -> dict[str, Any]:
    """Convert the records of each split to a Dataset's fields."""
    found = {}
    for split, (images, labels) in splits.items():
        found[f"{split}_images"] = torch.from_numpy(images.reshape(-1, 3, 32, 32))
        found[f"{split}_labels"] = torch.from_numpy(labels).long()
    return found


def record_digests(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[int]:
    """Compute an integer for each image: sha256(label byte + 3,072 bytes of pixels, HWC).

    ``images`` is (N, 3072) in CHW order, as the dataset's files hold it; ``labels`` is (N,).
    """
    digests = []
    buffer = np.empty((_CHUNK, 1 + _PIXELS), np.uint8)
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


def _read_split(spec: Spec, layout: str, folder: Path, split: str) -> _Records:
    """Read a split in canonical order.

    Raises DatasetError for a missing file and for content that is not as published.
    """
    names = spec.files(layout, split)
    remedy = f"restore the original, or move {spec.folders[layout]}/ away and allow the download"
    read = _read_pickle if layout == "python" else _read_binary
    parts = []
    for name in names:
        try:
            parts.append(read(spec, split, folder / name))
        except FileNotFoundError as error:
            raise DatasetError(f"{folder / name}: the file is missing: {remedy}") from error
        except ValueError as error:
            raise DatasetError(f"{folder / name}: {error}: {remedy}") from error
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    digests = record_digests(images, labels)
    if content_digest(digests) != spec.digests[split]:
        raise DatasetError(
            f"{folder}: {', '.join(names)}: the content is not that of {spec.title}'s {split} split"
            f" (digest {content_digest(digests)}, expected {spec.digests[split]}): {remedy}"
        )
    order = canonical_order(digests)
    return images[order], labels[order]


def _read_binary(spec: Spec, split: str, path: Path) -> _Records:
    content = path.read_bytes()
    count = spec.counts[split] // len(spec.md5[split])
    size = _PIXELS + (2 if spec.coarse_names else 1)  # the coarse label comes before the fine one
    if len(content) != count * size:
        raise ValueError(
            f"has {len(content)} bytes, expected {count * size} ({count} records of {size})"
        )
    raw = np.frombuffer(content, np.uint8).reshape(count, size)
    return raw[:, -_PIXELS:], raw[:, -_PIXELS - 1]


def _read_pickle(spec: Spec, split: str, path: Path) -> _Records:
    """Read a file of the python layout; unpickle nothing before its MD5 is verified."""
    content = path.read_bytes()
    md5, expected = hashlib.md5(content, usedforsecurity=False), spec.md5[split][path.name]
    if md5.hexdigest() != expected:
        raise ValueError(f"MD5 is {md5.hexdigest()}, expected {expected}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2.4: Python 2 wrote "align" as a number
        entries: dict[bytes, Any] = pickle.loads(content, encoding="bytes")
    labels = entries[b"fine_labels" if spec.coarse_names else b"labels"]
    return entries[b"data"], np.array(labels, np.uint8)


def _load_digits() -> Dataset:
    """Load scikit-learn's 1,797 digits in CIFAR's shape: 1,297 to train and 500 to test.

    The 8 x 8 values 0..16 become (value * 255 + 8) // 16, each pixel a square of 4 x 4 in three
    equal channels. Each class has test images in proportion to its size, evenly spaced in its
    canonical order; seats left by rounding down go to the largest remainders, then to the lower
    class.
    """
    from sklearn.datasets import load_digits  # takes a second

    bunch = load_digits()
    values = (bunch.images.astype(np.int64) * 255 + 8) // 16
    planes = values.astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images = np.repeat(planes[:, None], 3, axis=1).reshape(-1, _PIXELS)
    labels = bunch.target.astype(np.uint8)
    digests = record_digests(images, labels)
    order = canonical_order(digests)

    sizes = np.bincount(labels)
    seats, remainders = np.divmod(sizes * _DIGITS_TEST, len(labels))
    left = _DIGITS_TEST - int(seats.sum())
    seats[np.argsort(-remainders, kind="stable")[:left]] += 1
    is_test = np.zeros(len(labels), bool)
    for label, count in enumerate(seats):
        rows = order[labels[order] == label]
        is_test[rows[np.arange(count) * len(rows) // count]] = True

    parts = {"train": order[~is_test[order]], "test": order[is_test[order]]}
    found = {split: content_digest(digests[k] for k in rows) for split, rows in parts.items()}
    if found != _DIGITS_DIGESTS:
        raise DatasetError(
            f"scikit-learn's load_digits gives content digests {found}, expected "
            f"{_DIGITS_DIGESTS}: reinstall scikit-learn"
        )
    return Dataset(
        name="digits",
        **_tensors({split: (images[rows], labels[rows]) for split, rows in parts.items()}),
        digests=found,
    )
