"""The published files: their sizes, labels and checksums, and the records that they hold."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallnet_core.data.sources import SPLITS, DatasetError, Layout, Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PIXELS", "Records", "read_split", "remedy", "stamps"]

PIXELS = 3 * 32 * 32
_CHUNK = 10_000  # records read at a time: the buffer stays under malloc's threshold and is reused


@dataclass(frozen=True)
class Records:
    images: NDArray[np.uint8]  # (N, 3072), CHW
    labels: NDArray[np.uint8]  # (N,)


def remedy(layout: Layout) -> str:
    return f"restore the original, or move {layout.folder}/ away and allow the download"


def stamps(spec: Spec, layout: Layout, folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of all files; raises for what is missing or of wrong size."""
    stamps = []
    for split in SPLITS:
        for name in layout.files[split]:
            path = folder / name
            if not path.is_file():
                raise DatasetError(f"{path}: the file is missing: {remedy(layout)}")
            status = path.stat()
            if layout.kind == "binary":
                per_file = spec.counts[split] // len(layout.files[split])
                size = per_file * _record_bytes(spec)
                if status.st_size != size:
                    raise DatasetError(
                        f"{path}: has {status.st_size} bytes, expected {size} ({per_file} records "
                        f"of {_record_bytes(spec)}): {remedy(layout)}"
                    )
            stamps.append((name, status.st_size, status.st_mtime_ns))
    return stamps


def _record_bytes(spec: Spec) -> int:
    return (2 if spec.coarse_names else 1) + PIXELS


def read_split(
    spec: Spec,
    layout: Layout,
    folder: Path,
    split: str,
    order: NDArray[np.int64] | None = None,
) -> Records:
    """The records of one split, as the files have them or, given ``order``, put in that order.

    Placing each chunk where it belongs spares a second array of 150 MB, whose page faults take
    longer than the copy.
    """
    import numpy as np

    count = spec.counts[split]
    images = np.empty((count, PIXELS), np.uint8)
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
    return Records(images, labels)


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
            yield raw[:, width - PIXELS - 1], coarse, raw[:, width - PIXELS :]


def _read_pickle(spec: Spec, layout: Layout, path: Path, count: int) -> Iterator[_Batch]:
    import numpy as np

    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    # Before anything is unpickled, and also where the file was verified before: who can write
    # the file can set its time of change.
    if md5 != layout.md5[path.name]:
        raise DatasetError(
            f"{path}: MD5 is {md5}, expected {layout.md5[path.name]}: {remedy(layout)}"
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
            f"{path}: is not a batch of {spec.title} ({error!r}): {remedy(layout)}"
        ) from error
    if pixels.dtype != np.uint8 or shapes != [(count, PIXELS), (count,), (count,)]:
        raise DatasetError(
            f"{path}: has arrays of {shapes} with {pixels.dtype} pixels, expected {count} records "
            f"of {PIXELS} uint8: {remedy(layout)}"
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
            f"{len(spec.class_names) - 1}: {remedy(layout)}"
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
            f"label {coarse[k]}, expected {expected[k]}: {remedy(layout)}"
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
