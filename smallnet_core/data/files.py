"""The published files: their sizes, labels and checksums, and the records that they hold."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallnet_core.data.sources import SPLITS, DatasetError, Layout, Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Records:
    """The images and labels of a split."""

    images: NDArray[np.uint8]  # (N, 3072), CHW
    labels: NDArray[np.uint8]  # (N,)


def remedy(layout: Layout) -> str:
    """Tell what to do about files that are wrong."""
    return f"restore the original, or move {layout.folder}/ away and allow the download"


def check_files(spec: Spec, layout: Layout, folder: Path) -> None:
    """Raise DatasetError for a file that is missing or, in the binary layout, of wrong size."""
    for split in SPLITS:
        for name in layout.files[split]:
            path = folder / name
            if not path.is_file():
                raise DatasetError(f"{path}: the file is missing: {remedy(layout)}")
            found = path.stat().st_size
            per_file = spec.counts[split] // len(layout.files[split])
            size = per_file * _record_bytes(spec)
            if layout.kind == "binary" and found != size:
                raise DatasetError(
                    f"{path}: has {found} bytes, expected {size} ({per_file} records "
                    f"of {_record_bytes(spec)}): {remedy(layout)}"
                )


def _record_bytes(spec: Spec) -> int:
    return (2 if spec.coarse_names else 1) + PIXELS


def read_split(spec: Spec, layout: Layout, folder: Path, split: str) -> Records:
    """Read the records of one split in the order of its files."""
    import numpy as np

    count = spec.counts[split] // len(layout.files[split])
    read = _read_pickle if layout.kind == "python" else _read_binary
    parts = []
    for name in layout.files[split]:
        labels, pixels = read(spec, layout, folder / name, count)
        wrong = (labels < 0) | (labels >= len(spec.class_names))
        if wrong.any():
            k = int(wrong.argmax())
            raise DatasetError(
                f"{folder / name}: record {k} has label {labels[k]}, expected 0 to "
                f"{len(spec.class_names) - 1}: {remedy(layout)}"
            )
        parts.append((labels.astype(np.uint8), pixels))
    return Records(
        images=np.concatenate([pixels for _, pixels in parts]),
        labels=np.concatenate([labels for labels, _ in parts]),
    )


def _read_binary(
    spec: Spec, layout: Layout, path: Path, count: int
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Labels (N,), pixels (N, 3072); the coarse label stands before the fine one."""
    import numpy as np

    raw = np.fromfile(path, np.uint8)
    if len(raw) != count * _record_bytes(spec):
        raise DatasetError(f"{path}: changed while it was read: try again")
    raw = raw.reshape(count, -1)
    return raw[:, -PIXELS - 1], raw[:, -PIXELS:]


def _read_pickle(
    spec: Spec, layout: Layout, path: Path, count: int
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Labels (N,), pixels (N, 3072); nothing is unpickled before its MD5 is the publisher's."""
    import numpy as np

    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != layout.md5[path.name]:
        raise DatasetError(
            f"{path}: MD5 is {md5}, expected {layout.md5[path.name]}: {remedy(layout)}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2.4: Python 2 wrote "align" as a number
        entries = pickle.loads(content, encoding="bytes")
    labels = np.array(entries[b"fine_labels" if spec.coarse_names else b"labels"], np.int64)
    return labels, entries[b"data"]
