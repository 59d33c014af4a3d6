"""CIFAR-10, CIFAR-100 and scikit-learn's digits as tensors, verified, always in the same order.

The order of the records is not that of the files: each split is sorted by the sha256 that the
content digest takes of every image (``digest.record_digests``). The python and the binary layout,
and any reshuffled copy of them, so give the same tensors, and a seed draws the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smallnet_core.data.files import PIXELS, Records, check_files, read_split, remedy
from smallnet_core.data.sources import (
    CIFAR10_CLASSES,
    CIFAR100_CLASSES,
    SPECS,
    SPLITS,
    DatasetError,
    DatasetNotFound,
    Layout,
    Spec,
    data_folder,
    download,
    locate,
    unpack,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Dataset", "DatasetError", "DatasetNotFound", "load_dataset"]

DIGITS_CLASSES = tuple("0123456789")
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "cifar10": CIFAR10_CLASSES,
    "cifar100": CIFAR100_CLASSES,
    "digits": DIGITS_CLASSES,
}
DATASET_NAMES = tuple(CLASS_NAMES)
NUM_CLASSES: Mapping[str, int] = {name: len(classes) for name, classes in CLASS_NAMES.items()}

_DIGITS_TEST = 500
_DIGITS_DIGESTS = {
    "train": "f6b44adf3a72bcefe494cc7cd3fe5b3b4e3b6d428a0a7ed9679d34510ca14229",
    "test": "ffe32055dfbdc3384f859e3b95b220da22c27a379d0cf11d0a60eea40b9c57e2",
}


@dataclass(frozen=True, kw_only=True, eq=False)  # eq would compare tensors
class Dataset:
    """A dataset whole in memory, on the CPU; images uint8 (N, 3, 32, 32), labels int64 (N,)."""

    name: str  # one of DATASET_NAMES
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...] = ()  # CIFAR-100's 20 superclasses
    digests: Mapping[str, str]  # content digest by split
    source: str  # the folder and its layout, in one line


def load_dataset(
    name: str,
    *,
    data_dir: Path | None = None,
    offline: bool = False,
) -> Dataset:
    """The dataset ``name``, verified; fetched first if it is absent and ``offline`` is not set.

    ``data_dir`` (else SMALLNET_DATA, else the user's cache folder) holds the published folders or
    is one of them. "digits" needs none.

    Raises DatasetNotFound, which is a NotMeasured, if the dataset is not here and cannot be
    fetched, and DatasetError, a ValueError, if it is here and is not what it should be.
    """
    if name == "digits":
        return _load_digits()
    if name not in SPECS:
        raise DatasetError(f"unknown dataset {name!r}: choose one of {', '.join(DATASET_NAMES)}")
    return load_from_spec(SPECS[name], data_dir=data_dir, offline=offline)


def load_from_spec(
    spec: Spec,
    *,
    data_dir: Path | None = None,
    offline: bool = False,
) -> Dataset:
    """``load_dataset`` for a published dataset with the facts ``spec``."""
    try:
        layout, folder = _find(spec, data_folder(data_dir), offline)
        splits = _read_verified(spec, layout, folder.resolve())
    except OSError as error:
        raise DatasetError(
            f"{error.filename or data_dir}: cannot be read ({error.strerror or error}): "
            "see to the file and its permissions"
        ) from error

    import torch

    def images(split: str) -> Tensor:
        return torch.from_numpy(splits[split].images.reshape(-1, 3, 32, 32))

    def labels(split: str) -> Tensor:
        return torch.from_numpy(splits[split].labels).long()

    return Dataset(
        name=spec.name,
        train_images=images("train"),
        train_labels=labels("train"),
        test_images=images("test"),
        test_labels=labels("test"),
        class_names=spec.class_names,
        coarse_names=spec.coarse_names,
        digests=dict(spec.digests),
        source=f"{folder} ({layout.kind} layout)",
    )


def _find(spec: Spec, root: Path, offline: bool) -> tuple[Layout, Path]:
    """The dataset's folder: as it lies there, from an archive beside it, or downloaded."""
    found = locate(spec, root)
    if found is None and unpack(spec, root):
        found = locate(spec, root)
    if found is None:
        if offline:
            raise DatasetNotFound(
                f"{spec.title} is not in {root}: put {spec.wanted} or {spec.archive} there, or "
                "allow the download"
            )
        download(spec, root)
        found = locate(spec, root)
        assert found is not None, "download() raises or puts the folder there"
    return found


def _read_verified(spec: Spec, layout: Layout, folder: Path) -> dict[str, Records]:
    """Both splits in canonical order; DatasetError where the content is not the publisher's."""
    from smallnet_core.data.digest import canonical_order, content_digest, record_digests

    check_files(spec, layout, folder)
    result = {}
    for split in SPLITS:
        records = read_split(spec, layout, folder, split)
        digests = record_digests(records.images, records.labels)
        if content_digest(digests) != spec.digests[split]:
            raise DatasetError(_what_differs(spec, layout, folder, split, digests))
        order = canonical_order(digests)
        result[split] = Records(records.images[order], records.labels[order])
    return result


def _what_differs(spec: Spec, layout: Layout, folder: Path, split: str, digests: list[int]) -> str:
    """The message for a wrong content digest, with the file where it can be known."""
    from smallnet_core.data.digest import content_digest

    names = layout.files[split]
    per_file = len(digests) // len(names)
    seen: dict[int, str] = {}
    for k, name in enumerate(names):
        records = digests[k * per_file : (k + 1) * per_file]
        repeated = [seen[digest] for digest in records if digest in seen]
        if repeated:
            return (
                f"{folder / name}: repeats {len(repeated)} of the {per_file} records of "
                f"{repeated[0]}, expected others: {remedy(layout)}"
            )
        seen.update(dict.fromkeys(records, name))
    return (
        f"{folder}: {', '.join(names)}: the content is not that of {spec.title}'s {split} split "
        f"(digest {content_digest(digests)}, expected {spec.digests[split]}): {remedy(layout)}"
    )


# Digits


def _load_digits() -> Dataset:
    """scikit-learn's 1,797 digits at CIFAR's shape: 1,297 to train and 500 to test.

    The 8 x 8 values 0..16 become (value * 255 + 8) // 16, each pixel a square of 4 x 4 in three
    equal channels. The test images lie evenly spaced in each class's canonical order, in
    proportion to the class; the seats left by rounding down go to the largest remainders, then
    to the lower class.
    """
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    from smallnet_core.data.digest import canonical_order, content_digest, record_digests

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

    def tensors(split: str) -> tuple[Tensor, Tensor]:
        rows = parts[split]
        return (
            torch.from_numpy(images[rows].reshape(-1, 3, 32, 32)),
            torch.from_numpy(labels[rows]).long(),
        )

    train_images, train_labels = tensors("train")
    test_images, test_labels = tensors("test")
    return Dataset(
        name="digits",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=DIGITS_CLASSES,
        digests=dict(_DIGITS_DIGESTS),
        source="scikit-learn's load_digits",
    )
