"""Load CIFAR-10, CIFAR-100 and scikit-learn's digits as verified tensors in a canonical order.

Each split is sorted by the sha256 of its records (``files.record_digests``), not in file order. The
python and the binary layout, and any reshuffled copy, therefore give the same tensors, and a seed
draws the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smallnet_core.data.files import (
    PIXELS,
    canonical_order,
    content_digest,
    read_split,
    record_digests,
)
from smallnet_core.data.sources import (
    SPECS,
    SPLITS,
    DatasetError,
    DatasetNotFound,
    Spec,
    data_folder,
    find,
)

__all__ = ["Dataset", "DatasetError", "DatasetNotFound", "load_dataset"]

DIGITS_CLASSES = tuple("0123456789")
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    **{name: spec.class_names for name, spec in SPECS.items()},
    "digits": DIGITS_CLASSES,
}
NUM_CLASSES: Mapping[str, int] = {name: len(classes) for name, classes in CLASS_NAMES.items()}

_DIGITS_TEST = 500
_DIGITS_DIGESTS = {
    "train": "f6b44adf3a72bcefe494cc7cd3fe5b3b4e3b6d428a0a7ed9679d34510ca14229",
    "test": "ffe32055dfbdc3384f859e3b95b220da22c27a379d0cf11d0a60eea40b9c57e2",
}


@dataclass(frozen=True, kw_only=True, eq=False)  # eq would compare tensors
class Dataset:
    """A dataset in memory, on the CPU; images uint8 (N, 3, 32, 32), labels int64 (N,)."""

    name: str  # a key of CLASS_NAMES
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...] = ()  # CIFAR-100's 20 superclasses
    digests: Mapping[str, str]  # content digest by split
    source: str  # the folder and its layout, in one line


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
        raise ValueError(f"unknown dataset {name!r}: choose one of {', '.join(CLASS_NAMES)}")
    return load_from_spec(SPECS[name], data_dir=data_dir, offline=offline)


def load_from_spec(spec: Spec, *, data_dir: Path | None = None, offline: bool = False) -> Dataset:
    """Load a published dataset described by ``spec``, as ``load_dataset`` does."""
    try:
        layout, folder = find(spec, data_folder(data_dir), offline)
        splits = {split: read_split(spec, layout, folder, split) for split in SPLITS}
    except OSError as error:
        raise DatasetError(
            f"{error.filename or data_dir}: cannot be read ({error.strerror or error}): "
            "check the file and its permissions"
        ) from error
    return Dataset(
        name=spec.name,
        **_tensors(splits),
        class_names=spec.class_names,
        coarse_names=spec.coarse_names,
        digests=dict(spec.digests),
        source=f"{folder} ({layout} layout)",
    )


def _tensors(
    splits: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]],
) -> dict[str, Any]:
    """Convert images (N, 3072) and labels (N,) by split to a Dataset's fields."""
    found = {}
    for split, (images, labels) in splits.items():
        found[f"{split}_images"] = torch.from_numpy(images.reshape(-1, 3, 32, 32))
        found[f"{split}_labels"] = torch.from_numpy(labels).long()
    return found


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
    images = np.repeat(planes[:, None], 3, axis=1).reshape(-1, PIXELS)
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
        class_names=DIGITS_CLASSES,
        digests=dict(_DIGITS_DIGESTS),
        source="scikit-learn's load_digits",
    )
