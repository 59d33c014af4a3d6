"""CIFAR-10, CIFAR-100 and scikit-learn's digits as tensors, verified, always in the same order.

The order of the records is not that of the files: each split is sorted by the sha256 that the
content digest takes of every image (``digest.record_digests``). The python and the binary layout,
and any reshuffled copy of them, so give the same tensors, and a seed draws the same batches.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallnet_core.data.sources import (
    CIFAR10_CLASSES,
    CIFAR100_CLASSES,
    CIFAR100_SUPERCLASSES,
    SPECS,
    SPLITS,
    DatasetError,
    DatasetNotFound,
    Layout,
    Spec,
    data_folder,
    download,
    locate,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR100_CLASSES",
    "CIFAR100_SUPERCLASSES",
    "CLASS_NAMES",
    "DATASET_NAMES",
    "DIGITS_CLASSES",
    "NUM_CLASSES",
    "Dataset",
    "DatasetError",
    "DatasetNotFound",
    "load_dataset",
    "load_from_spec",
]

DIGITS_CLASSES = tuple("0123456789")
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "cifar10": CIFAR10_CLASSES,
    "cifar100": CIFAR100_CLASSES,
    "digits": DIGITS_CLASSES,
}
DATASET_NAMES = tuple(CLASS_NAMES)
NUM_CLASSES: Mapping[str, int] = {name: len(classes) for name, classes in CLASS_NAMES.items()}

_PIXELS = 3 * 32 * 32
_CHUNK = 10_000  # records read at a time: the buffer stays under malloc's threshold and is reused
_MEMORY_VERSION = 1

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
    train_coarse_labels: Tensor | None = None
    test_coarse_labels: Tensor | None = None
    digests: Mapping[str, str]  # content digest by split
    source: str  # the folder and its layout, in one line


def load_dataset(
    name: str,
    *,
    data_dir: Path | None = None,
    offline: bool = False,
    memory_dir: Path | None = None,
) -> Dataset:
    """The dataset ``name``, verified; fetched first if it is absent and ``offline`` is not set.

    ``data_dir`` (else SMALLNET_DATA, else the user's cache folder) holds the published folders or
    is one of them. ``memory_dir`` keeps what a verification found, by default in the user's
    cache folder. "digits" needs neither.

    Raises DatasetNotFound, which is a NotMeasured, if the dataset is not here and cannot be
    fetched, and DatasetError, a ValueError, if it is here and is not what it should be.
    """
    if name == "digits":
        return _load_digits()
    if name not in SPECS:
        raise DatasetError(f"unknown dataset {name!r}: choose one of {', '.join(DATASET_NAMES)}")
    return load_from_spec(SPECS[name], data_dir=data_dir, offline=offline, memory_dir=memory_dir)


def load_from_spec(
    spec: Spec,
    *,
    data_dir: Path | None = None,
    offline: bool = False,
    memory_dir: Path | None = None,
) -> Dataset:
    """``load_dataset`` for a published dataset with the facts ``spec``."""
    try:
        layout, folder = _find(spec, data_folder(data_dir), offline)
        splits = _read_verified(spec, layout, folder.resolve(), memory_dir or _default_memory())
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

    def coarse_labels(split: str) -> Tensor | None:
        if not spec.coarse_names:
            return None
        return torch.tensor(spec.coarse_of_fine)[labels(split)]

    return Dataset(
        name=spec.name,
        train_images=images("train"),
        train_labels=labels("train"),
        test_images=images("test"),
        test_labels=labels("test"),
        class_names=spec.class_names,
        coarse_names=spec.coarse_names,
        train_coarse_labels=coarse_labels("train"),
        test_coarse_labels=coarse_labels("test"),
        digests=dict(spec.digests),
        source=f"{folder} ({layout.kind} layout)",
    )


def _find(spec: Spec, root: Path, offline: bool) -> tuple[Layout, Path]:
    found = locate(spec, root)
    if found is None:
        if offline:
            raise DatasetNotFound(
                f"{spec.title} is not in {root}: put {spec.wanted} there, or allow the download"
            )
        download(spec, root)
        found = locate(spec, root)
        assert found is not None, "download() raises or puts the folder there"
    return found


def _default_memory() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("smallnet") / "verified"


@dataclass(frozen=True)
class _Records:
    images: NDArray[np.uint8]  # (N, 3072), CHW
    labels: NDArray[np.uint8]  # (N,)


def _read_verified(
    spec: Spec, layout: Layout, folder: Path, memory_dir: Path
) -> dict[str, _Records]:
    """Both splits in canonical order, verified now or, if the files are the same, before.

    Remembering saves the 60,000 sha256 and one copy. It never saves the checks of sizes, labels
    and MD5s, and the remembered order must give the remembered CRC-32, or all is done anew.
    """
    from smallnet_core.data.digest import (
        Remembered,
        canonical_order,
        checksum,
        content_digest,
        read_memory,
        record_digests,
        write_memory,
    )

    key = [_MEMORY_VERSION, dict(spec.digests), _stamps(spec, layout, folder)]
    memory = read_memory(memory_dir, folder, key)
    result, learnt = {}, {}
    for split in SPLITS:
        known = memory.get(split)
        if known is not None and len(known.order) == spec.counts[split]:
            records = _read_split(spec, layout, folder, split, known.order)
            crc = checksum(records.images, records.labels)
            if crc == known.crc and _is_balanced(spec, split, records):
                result[split] = records
                continue
        records = _read_split(spec, layout, folder, split)
        digests = record_digests(records.images, records.labels)
        if content_digest(digests) != spec.digests[split]:
            raise DatasetError(_what_differs(spec, layout, folder, split, digests))
        order = canonical_order(digests)
        records = _Records(records.images[order], records.labels[order])
        result[split] = records
        learnt[split] = Remembered(order, checksum(records.images, records.labels))
    if learnt:
        write_memory(memory_dir, folder, key, {**memory, **learnt})
    return result


def _is_balanced(spec: Spec, split: str, records: _Records) -> bool:
    import numpy as np

    num_classes = len(spec.class_names)
    counts = np.bincount(records.labels, minlength=num_classes)
    return bool((counts == spec.counts[split] // num_classes).all())


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
                f"{repeated[0]}, expected others: {_remedy(layout)}"
            )
        seen.update(dict.fromkeys(records, name))
    return (
        f"{folder}: {', '.join(names)}: the content is not that of {spec.title}'s {split} split "
        f"(digest {content_digest(digests)}, expected {spec.digests[split]}): {_remedy(layout)}"
    )


def _remedy(layout: Layout) -> str:
    return f"restore the original, or move {layout.folder}/ away and allow the download"


# Reading


def _stamps(spec: Spec, layout: Layout, folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of all files; raises for what is missing or of wrong size."""
    stamps = []
    for split in SPLITS:
        for name in layout.files[split]:
            path = folder / name
            if not path.is_file():
                raise DatasetError(f"{path}: the file is missing: {_remedy(layout)}")
            status = path.stat()
            if layout.kind == "binary":
                per_file = spec.counts[split] // len(layout.files[split])
                size = per_file * _record_bytes(spec)
                if status.st_size != size:
                    raise DatasetError(
                        f"{path}: has {status.st_size} bytes, expected {size} ({per_file} records "
                        f"of {_record_bytes(spec)}): {_remedy(layout)}"
                    )
            stamps.append((name, status.st_size, status.st_mtime_ns))
    return stamps


def _record_bytes(spec: Spec) -> int:
    return (2 if spec.coarse_names else 1) + _PIXELS


def _read_split(
    spec: Spec,
    layout: Layout,
    folder: Path,
    split: str,
    order: NDArray[np.int64] | None = None,
) -> _Records:
    """The records of one split, as the files have them or, given ``order``, put in that order.

    Placing each chunk where it belongs spares a second array of 150 MB, whose page faults take
    longer than the copy.
    """
    import numpy as np

    count = spec.counts[split]
    images = np.empty((count, _PIXELS), np.uint8)
    labels = np.empty(count, np.uint8)
    place = np.arange(count)
    if order is not None:
        place[order] = np.arange(count)
    start = 0
    for name in layout.files[split]:
        path = folder / name
        per_file = count // len(layout.files[split])
        first = start
        read = _read_pickle if layout.kind == "python" else _read_binary
        for fine, coarse, pixels in read(spec, layout, path, per_file):
            _check_labels(spec, layout, path, start - first, fine, coarse)
            stop = start + len(fine)
            rows: Any = slice(start, stop) if order is None else place[start:stop]
            images[rows] = pixels
            labels[rows] = fine
            start = stop
    return _Records(images, labels)


_Batch = tuple["NDArray[Any]", "NDArray[Any] | None", "NDArray[np.uint8]"]  # fine, coarse, pixels


def _read_binary(spec: Spec, layout: Layout, path: Path, count: int) -> Iterator[_Batch]:
    import numpy as np

    width = _record_bytes(spec)
    with path.open("rb") as file:
        for start in range(0, count, _CHUNK):
            chunk = min(_CHUNK, count - start)
            raw = np.fromfile(file, np.uint8, chunk * width)
            if len(raw) != chunk * width:
                raise DatasetError(f"{path}: became shorter while it was read: try again")
            raw = raw.reshape(chunk, width)
            coarse = raw[:, 0] if spec.coarse_names else None
            yield raw[:, width - _PIXELS - 1], coarse, raw[:, width - _PIXELS :]


def _read_pickle(spec: Spec, layout: Layout, path: Path, count: int) -> Iterator[_Batch]:
    import numpy as np

    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    # Before anything is unpickled, and also where the file was verified before: who can write
    # the file can set its time of change.
    if md5 != layout.md5[path.name]:
        raise DatasetError(
            f"{path}: MD5 is {md5}, expected {layout.md5[path.name]}: {_remedy(layout)}"
        )
    try:
        entries = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        # Python 2 wrote these files: its str arrive as bytes.
        entries = {k.decode() if isinstance(k, bytes) else k: v for k, v in entries.items()}
        pixels = entries["data"]
        fine = np.array(entries["fine_labels" if spec.coarse_names else "labels"], np.int64)
        coarse = np.array(entries["coarse_labels"], np.int64) if spec.coarse_names else None
        shapes = [pixels.shape, fine.shape, (count,) if coarse is None else coarse.shape]
    except Exception as error:  # a pickle can raise anything
        raise DatasetError(
            f"{path}: is not a batch of {spec.title} ({error!r}): {_remedy(layout)}"
        ) from error
    if pixels.dtype != np.uint8 or shapes != [(count, _PIXELS), (count,), (count,)]:
        raise DatasetError(
            f"{path}: has arrays of {shapes} with {pixels.dtype} pixels, expected {count} records "
            f"of {_PIXELS} uint8: {_remedy(layout)}"
        )
    yield fine, coarse, pixels


def _check_labels(
    spec: Spec,
    layout: Layout,
    path: Path,
    first: int,
    fine: NDArray[Any],
    coarse: NDArray[Any] | None,
) -> None:
    import numpy as np

    wrong = (fine < 0) | (fine >= len(spec.class_names))
    if wrong.any():
        k = int(wrong.argmax())
        raise DatasetError(
            f"{path}: record {first + k} has label {fine[k]}, expected 0 to "
            f"{len(spec.class_names) - 1}: {_remedy(layout)}"
        )
    if coarse is None:
        return
    # The content digest covers the fine labels only; the coarse ones follow from them.
    expected = np.array(spec.coarse_of_fine)[fine]
    wrong = coarse != expected
    if wrong.any():
        k = int(wrong.argmax())
        raise DatasetError(
            f"{path}: record {first + k} of class {spec.class_names[int(fine[k])]} has coarse "
            f"label {coarse[k]}, expected {expected[k]}: {_remedy(layout)}"
        )


class _Unpickler(pickle.Unpickler):
    """An unpickler of dicts, lists, strings, numbers and uint8 arrays, and of nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # wherever this numpy keeps it
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _dtype_of_pixels
        raise pickle.UnpicklingError(f"{module}.{name} is not permitted in a batch file")


def _dtype_of_pixels(code: str | bytes, *_: object) -> np.dtype[np.uint8]:
    """numpy.dtype for pickles: uint8 only, and without the warning of numpy 2.4.0 to 2.4.4."""
    import numpy as np

    if code not in ("u1", b"u1"):
        raise pickle.UnpicklingError(f"dtype {code!r} is not permitted in a batch file")
    return np.dtype("u1", copy=True)


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
