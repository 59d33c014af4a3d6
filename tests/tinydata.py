"""A tiny dataset in both published layouts, for the tests of data."""

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smallnet_core.data.datasets import (
    Dataset,
    content_digest,
    load_from_spec,
    record_digests,
)
from smallnet_core.data.sources import SPLITS, DatasetError, Spec


@dataclass(frozen=True)
class Tiny:
    """Images and labels by split, and the spec that they satisfy."""

    spec: Spec
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    def batches(self, split: str, shuffle: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """File number and record numbers, in an order drawn from ``shuffle``."""
        order = np.random.default_rng(shuffle).permutation(len(self.labels[split]))
        num_files = len(self.spec.md5[split])
        yield from enumerate(np.split(order, num_files))

    def write_binary(self, root: Path, shuffle: int = 0) -> Path:
        folder = root / self.spec.folders["binary"]
        folder.mkdir(parents=True)
        for split in SPLITS:
            for k, rows in self.batches(split, shuffle):
                labels = self.labels[split][rows]
                columns = [labels[:, None], self.images[split][rows]]
                if self.spec.coarse_names:
                    columns.insert(0, labels[:, None] // 2)
                path = folder / self.spec.files("binary", split)[k]
                path.write_bytes(np.concatenate(columns, axis=1).tobytes())
        return folder

    def python_files(self) -> dict[str, bytes]:
        files = {}
        for split in SPLITS:
            for k, rows in self.batches(split):
                labels = b"fine_labels" if self.spec.coarse_names else b"labels"
                entries = {b"data": self.images[split][rows], labels: self.labels[split][rows]}
                files[self.spec.files("python", split)[k]] = pickle.dumps(entries, protocol=2)
        return files

    def write_python(self, root: Path) -> Path:
        folder = root / self.spec.folders["python"]
        folder.mkdir(parents=True)
        for name, content in self.python_files().items():
            (folder / name).write_bytes(content)
        return folder


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def make_tiny(*, coarse: bool) -> Tiny:
    rng = np.random.default_rng(int(coarse))
    counts = {"train": 24, "test": 8}
    images = {s: rng.integers(0, 256, (n, 3072), np.uint8) for s, n in counts.items()}
    labels = {s: np.arange(n, dtype=np.uint8) % 4 for s, n in counts.items()}
    train = ("train",) if coarse else ("data_batch_1", "data_batch_2")
    test = ("test",) if coarse else ("test_batch",)
    spec = Spec(
        name="tiny",
        title="Tiny",
        counts=counts,
        digests={s: content_digest(record_digests(images[s], labels[s])) for s in SPLITS},
        coarse_names=("insects", "mammals") if coarse else (),
        folders={"python": "tiny-py", "binary": "tiny-bin"},
        md5={"train": dict.fromkeys(train, ""), "test": dict.fromkeys(test, "")},
        url="http://127.0.0.1:9/tiny.tar.gz",
        archive_md5="",
    )
    tiny = Tiny(spec, images, labels)
    written = tiny.python_files()
    md5s = {s: {name: md5(written[name]) for name in spec.md5[s]} for s in SPLITS}
    return replace(tiny, spec=replace(spec, md5=md5s))


def same(a: Dataset, b: Dataset) -> bool:
    fields = ("train_images", "train_labels", "test_images", "test_labels")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in fields)


def refusal(
    spec: Spec, data_dir: Path | None, error: type[Exception] = DatasetError, offline: bool = True
) -> str:
    """The message with which loading fails: one line."""
    with pytest.raises(error) as caught:
        load_from_spec(spec, data_dir=data_dir, offline=offline)
    message = str(caught.value)
    assert message and "\n" not in message
    return message
