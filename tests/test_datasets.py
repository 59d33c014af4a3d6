"""smallnet_core.data.datasets on tiny datasets in the published layouts, and on the real."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.data import digest, sources
from smallnet_core.data.datasets import (
    DATASET_NAMES,
    NUM_CLASSES,
    Dataset,
    DatasetError,
    DatasetNotFound,
    load_dataset,
    load_from_spec,
)
from smallnet_core.data.sources import SPECS, SPLITS, Layout, Spec
from smallnet_core.records import NotMeasured
from smallnet_core.system.locks import LOCK_MODE

REAL_DATA = os.environ.get("SMALLNET_DATA")

PYTHON, BINARY = 0, 1  # places in Spec.layouts


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("SMALLNET_DATA", raising=False)


# A tiny dataset in both layouts


def python2_pickle(value: object) -> bytes:
    """Protocol 2 as Python 2 and its numpy wrote CIFAR's batches: str as bytes, dtype(u1, 0, 1)."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: object) -> bytes:
    if isinstance(value, str):
        return _python2(value.encode())
    if isinstance(value, bytes):
        short = len(value) < 256
        return (
            b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<I", len(value))
        ) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    assert isinstance(value, np.ndarray)
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + b"".join(map(_python2, value.shape))
        + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + _python2(value.tobytes())
        + b"tb"
    )


@dataclass(frozen=True)
class Tiny:
    """Images and labels by split, and the spec that they satisfy."""

    spec: Spec
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    def batches(self, split: str, shuffle: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """File number and record numbers, in an order drawn from ``shuffle``."""
        order = np.random.default_rng(shuffle).permutation(len(self.labels[split]))
        num_files = len(self.spec.layouts[BINARY].files[split])
        yield from enumerate(np.split(order, num_files))

    def write_binary(self, root: Path, shuffle: int = 0) -> Path:
        layout = self.spec.layouts[BINARY]
        (root / layout.folder).mkdir(parents=True)
        for split in SPLITS:
            for k, rows in self.batches(split, shuffle):
                labels = self.labels[split][rows]
                columns = [labels[:, None], self.images[split][rows]]
                if self.spec.coarse_names:
                    columns.insert(0, labels[:, None] // 2)
                path = root / layout.folder / layout.files[split][k]
                path.write_bytes(np.concatenate(columns, axis=1).tobytes())
        return root / layout.folder

    def python_files(self, shuffle: int = 0) -> dict[str, bytes]:
        layout = self.spec.layouts[PYTHON]
        files = {}
        for split in SPLITS:
            for k, rows in self.batches(split, shuffle):
                labels = self.labels[split][rows]
                entries: dict[str, object] = {
                    "batch_label": "a batch",
                    "data": self.images[split][rows],
                }
                if self.spec.coarse_names:
                    entries["fine_labels"] = labels.tolist()
                    entries["coarse_labels"] = (labels // 2).tolist()
                else:
                    entries["labels"] = labels.tolist()
                files[layout.files[split][k]] = python2_pickle(entries)
        return files

    def write_python(self, root: Path, **changed: bytes) -> Path:
        folder = root / self.spec.layouts[PYTHON].folder
        folder.mkdir(parents=True)
        for name, content in {**self.python_files(), **changed}.items():
            (folder / name).write_bytes(content)
        return folder


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def with_md5(spec: Spec, **md5s: str) -> Spec:
    python = replace(spec.layouts[PYTHON], md5={**spec.layouts[PYTHON].md5, **md5s})
    return replace(spec, layouts=(python, spec.layouts[BINARY]))


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
        digests={
            s: digest.content_digest(digest.record_digests(images[s], labels[s])) for s in SPLITS
        },
        class_names=("ant", "bee", "cow", "doe"),
        coarse_names=("insects", "mammals") if coarse else (),
        layouts=(
            Layout(kind="python", folder="tiny-py", files={"train": train, "test": test}),
            Layout(
                kind="binary",
                folder="tiny-bin",
                files={
                    "train": tuple(f"{name}.bin" for name in train),
                    "test": tuple(f"{name}.bin" for name in test),
                },
            ),
        ),
        url="http://127.0.0.1:9/tiny.tar.gz",
        archive="tiny.tar.gz",
        archive_md5="",
    )
    tiny = Tiny(spec, images, labels)
    md5s = {name: md5(content) for name, content in tiny.python_files().items()}
    return replace(tiny, spec=with_md5(spec, **md5s))


@pytest.fixture(params=["fine", "coarse"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return make_tiny(coarse=request.param == "coarse")


@pytest.fixture
def ten() -> Tiny:
    return make_tiny(coarse=False)


@pytest.fixture
def hundred() -> Tiny:
    return make_tiny(coarse=True)


def tensors(dataset: Dataset) -> list[torch.Tensor]:
    return [value for value in vars(dataset).values() if isinstance(value, torch.Tensor)]


def same(a: Dataset, b: Dataset) -> bool:
    return all(map(torch.equal, tensors(a), tensors(b)))


def refusal(
    spec: Spec, data_dir: Path | None, error: type[Exception] = DatasetError, offline: bool = True
) -> str:
    """The message with which loading fails: one line."""
    with pytest.raises(error) as caught:
        load_from_spec(spec, data_dir=data_dir, offline=offline)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# Names and constants


def test_names_cost_no_import() -> None:
    heavy = ("numpy", "torch", "torchvision", "sklearn", "platformdirs", "filelock")
    code = (
        "import sys, smallnet_core.data.datasets as d;"
        f"print(d.DATASET_NAMES, [m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"{DATASET_NAMES} []"


def test_names_and_numbers_of_classes() -> None:
    assert NUM_CLASSES == {"cifar10": 10, "cifar100": 100, "digits": 10}
    spec = SPECS["cifar100"]
    assert len(set(spec.class_names)) == 100 and list(spec.class_names) == sorted(spec.class_names)
    assert len(spec.coarse_names) == 20


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_constants_are_torchvisions(name: str) -> None:
    import torchvision

    published = getattr(torchvision.datasets, name.upper())
    spec = SPECS[name]
    layout = spec.layouts[PYTHON]
    assert layout.folder == published.base_folder
    assert list(layout.files["train"]) == [file for file, _ in published.train_list]
    assert list(layout.files["test"]) == [file for file, _ in published.test_list]
    assert layout.md5 == dict(published.train_list + published.test_list)
    assert (spec.url, spec.archive, spec.archive_md5) == (
        published.url,
        published.filename,
        published.tgz_md5,
    )


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"'mnist'.*cifar10, cifar100, digits"):
        load_dataset("mnist")


# The digest


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_digest_and_order_do_not_depend_on_the_files_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    images = rng.integers(0, 256, (count, 3072), np.uint8)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    if count > 1 and data.draw(st.booleans()):
        images[1], labels[1] = images[0], labels[0]  # a repeated record has no order of its own
    shuffle = np.array(data.draw(st.permutations(range(count))))
    before = digest.record_digests(images, labels)
    after = digest.record_digests(images[shuffle], labels[shuffle])

    assert digest.content_digest(before) == digest.content_digest(after)
    p, q = digest.canonical_order(before), digest.canonical_order(after)
    assert np.array_equal(images[p], images[shuffle][q])
    assert np.array_equal(labels[p], labels[shuffle][q])
    assert sorted(p) == list(range(count))

    row = data.draw(st.integers(0, count - 1))
    pixel = data.draw(st.integers(0, 3071))
    changed = images.copy()
    changed[row, pixel] ^= data.draw(st.integers(1, 255))
    other_pixel = digest.record_digests(changed, labels)
    relabelled = labels.copy()
    relabelled[row] += 1
    other_label = digest.record_digests(images, relabelled)
    assert digest.content_digest(other_pixel) != digest.content_digest(before)
    assert digest.content_digest(other_label) != digest.content_digest(before)


def test_digest_is_the_sum_of_sha256_over_label_and_hwc_pixels(ten: Tiny) -> None:
    images = ten.images["train"].repeat(30, axis=0)  # more than one chunk
    labels = ten.labels["train"].repeat(30)
    total = 0
    for image, label in zip(images, labels, strict=True):
        hwc = image.reshape(3, 32, 32).transpose(1, 2, 0).tobytes()
        total += int(hashlib.sha256(bytes([label]) + hwc).hexdigest(), 16)
    assert digest.content_digest(digest.record_digests(images, labels)) == f"{total % 2**256:064x}"


# Both layouts


def test_layouts_and_shuffled_copies_give_the_same_tensors(tiny: Tiny, tmp_path: Path) -> None:
    tiny.write_python(tmp_path / "a")
    tiny.write_binary(tmp_path / "b")
    tiny.write_binary(tmp_path / "c", shuffle=1)
    a, b, c = (load_from_spec(tiny.spec, data_dir=tmp_path / k, offline=True) for k in "abc")
    assert same(a, b) and same(b, c)
    assert a.source == f"{tmp_path / 'a' / 'tiny-py'} (python layout)"
    assert b.source == f"{tmp_path / 'b' / 'tiny-bin'} (binary layout)"
    assert a.digests == tiny.spec.digests

    assert a.train_images.dtype == torch.uint8 and a.train_images.shape == (24, 3, 32, 32)
    assert a.train_labels.dtype == torch.int64 and a.test_labels.shape == (8,)
    for images, labels, split in (
        (a.train_images, a.train_labels, "train"),
        (a.test_images, a.test_labels, "test"),
    ):
        loaded = {(i.numpy().tobytes(), int(k)) for i, k in zip(images, labels, strict=True)}
        written = zip(tiny.images[split], tiny.labels[split], strict=True)
        assert loaded == {(i.tobytes(), int(k)) for i, k in written}


@pytest.mark.parametrize("write", [Tiny.write_python, Tiny.write_binary])
def test_data_dir_may_be_the_folder_itself(
    tiny: Tiny, write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write(tiny, tmp_path)
    expected = load_from_spec(tiny.spec, data_dir=tmp_path, offline=True)
    assert same(load_from_spec(tiny.spec, data_dir=folder, offline=True), expected)
    renamed = folder.rename(tmp_path / "renamed")
    assert same(load_from_spec(tiny.spec, data_dir=renamed, offline=True), expected)


def test_data_dir_from_the_environment_and_by_default(
    ten: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten.write_binary(tmp_path / "cache" / "smallnet" / "data")
    default = load_from_spec(ten.spec, offline=True)
    ten.write_binary(tmp_path / "named")
    monkeypatch.setenv("SMALLNET_DATA", str(tmp_path / "named"))
    named = load_from_spec(ten.spec, offline=True)
    assert same(default, named)
    assert str(tmp_path / "cache") in default.source and str(tmp_path / "named") in named.source


# What is refused


def test_absent_and_offline(ten: Tiny, tmp_path: Path) -> None:
    message = refusal(ten.spec, tmp_path, DatasetNotFound)
    assert message == (
        f"Tiny is not in {tmp_path}: put tiny-py/ or tiny-bin/ or tiny.tar.gz there, or allow the "
        "download"
    )
    refusal(ten.spec, None, NotMeasured)  # and an absent default folder
    assert not (tmp_path / "cache").exists()


def test_wrong_data_dir(ten: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing, file = tmp_path / "missing", tmp_path / "file"
    file.touch()
    assert f"{missing} does not exist" in refusal(ten.spec, missing, offline=False)
    assert f"{file} is a file" in refusal(ten.spec, file)
    monkeypatch.setenv("SMALLNET_DATA", str(missing))
    assert f"SMALLNET_DATA {missing} does not exist" in refusal(ten.spec, None)
    (tmp_path / "tiny-bin").touch()
    assert f"{tmp_path / 'tiny-bin'} is a file" in refusal(ten.spec, tmp_path)
    assert not missing.exists()


@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
def test_missing_truncated_or_lengthened_file(ten: Tiny, name: str, tmp_path: Path) -> None:
    path = ten.write_binary(tmp_path) / name
    content = path.read_bytes()
    for wrong in (content[:-1], content[: len(content) // 2], b"", content * 2):
        path.write_bytes(wrong)
        message = refusal(ten.spec, tmp_path)
        assert str(path) in message
        assert f"has {len(wrong)} bytes, expected {len(content)}" in message
    path.unlink()
    assert f"{path}: the file is missing" in refusal(ten.spec, tmp_path)
    assert "allow the download" in refusal(ten.spec, tmp_path)
    path.write_bytes(content)
    load_from_spec(ten.spec, data_dir=tmp_path, offline=True)


def test_doubled_file(ten: Tiny, tmp_path: Path) -> None:
    folder = ten.write_binary(tmp_path)
    (folder / "data_batch_2.bin").write_bytes((folder / "data_batch_1.bin").read_bytes())
    message = refusal(ten.spec, tmp_path)
    assert f"{folder / 'data_batch_2.bin'}: repeats 12 of the 12 records of data_batch_1.bin" in (
        message
    )


def test_altered_pixel(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.write_binary(tmp_path)
    name = tiny.spec.layouts[BINARY].files["test"][0]
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    message = refusal(tiny.spec, tmp_path)
    assert f"{folder}: {name}: the content is not that of Tiny's test split" in message
    assert tiny.spec.digests["test"] in message


def test_train_and_test_exchanged(ten: Tiny, tmp_path: Path) -> None:
    other = make_tiny(coarse=False)
    other.images["train"][:8], other.images["test"][:] = (
        other.images["test"].copy(),
        other.images["train"][:8].copy(),
    )
    other.write_binary(tmp_path)
    assert "train split" in refusal(ten.spec, tmp_path)


@pytest.mark.parametrize("label", [4, 255])
def test_label_out_of_range(ten: Tiny, label: int, tmp_path: Path) -> None:
    path = ten.write_binary(tmp_path) / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[3 * 3073] = label
    path.write_bytes(content)
    message = refusal(ten.spec, tmp_path)
    assert f"{path}: record 3 has label {label}, expected 0 to 3" in message


def test_one_dataset_under_the_others_name(ten: Tiny, hundred: Tiny, tmp_path: Path) -> None:
    folder = hundred.write_binary(tmp_path / "bin")
    ten_folder = ten.write_binary(tmp_path / "ten")
    train = b"".join((ten_folder / f"data_batch_{k}.bin").read_bytes() for k in (1, 2))
    (folder / "train.bin").write_bytes(train)
    message = refusal(hundred.spec, tmp_path / "bin")
    assert f"{folder / 'train.bin'}: has {len(train)} bytes, expected {24 * 3074}" in message

    # in the python layout, even if the MD5 is as expected
    content = ten.python_files()["data_batch_1"]
    hundred.write_python(tmp_path / "py", train=content)
    assert "MD5" in refusal(hundred.spec, tmp_path / "py")


# Pickles


class Touch:
    """A pickle of this creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_of_unknown_md5_is_never_opened(ten: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps(Touch(trace))
    folder = ten.write_python(tmp_path, data_batch_2=content)
    message = refusal(ten.spec, tmp_path)
    assert f"{folder / 'data_batch_2'}: MD5 is {md5(content)}, expected " in message
    assert not trace.exists()


# The network


class Server:
    """A loopback server whose answer to GET is ``body``, of which ``sent`` bytes are sent."""

    def __init__(self) -> None:
        self.body, self.sent, self.gets = b"", 1 << 40, 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.body)))
                self.end_headers()

            def do_GET(self) -> None:
                server.gets += 1
                self.do_HEAD()
                self.wfile.write(server.body[: server.sent])

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/tiny.tar.gz"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def archive(tiny: Tiny) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in tiny.python_files().items():
            info = tarfile.TarInfo(f"{tiny.spec.layouts[PYTHON].folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def warning_tarfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacking without a filter warns, as in Python 3.12 and 3.13 only."""
    extractall = tarfile.TarFile.extractall

    def warning(self: tarfile.TarFile, *args: Any, **options: Any) -> None:
        if options.get("filter") is None and self.extraction_filter is None:
            warnings.warn("Python 3.14 will filter", DeprecationWarning, stacklevel=2)
        extractall(self, *args, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", warning)


@pytest.mark.usefixtures("warning_tarfile")
def test_download_after_wrong_and_interrupted_ones(
    ten: Tiny, server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    right = archive(ten)
    spec = replace(ten.spec, url=server.url, archive_md5=md5(right))
    root = tmp_path / "data"
    root.mkdir()

    server.body = b"<html>please log in</html>"
    message = refusal(spec, root, offline=False)
    assert "is not the archive of Tiny" in message and server.url in message
    assert str(root / "tiny.tar.gz") in message

    server.body, server.sent = right, len(right) // 2
    message = refusal(spec, root, offline=False)
    assert "tiny.tar.gz" in message and "try again, or put tiny-py/ or tiny-bin/" in message
    assert not (root / "tiny-py").exists()
    refusal(spec, root, DatasetNotFound)

    server.sent = len(right)
    dataset = load_from_spec(spec, data_dir=root)
    ten.write_binary(tmp_path / "b")
    assert same(dataset, load_from_spec(spec, data_dir=tmp_path / "b", offline=True))
    assert "100%" in capfd.readouterr().err
    gets = server.gets
    load_from_spec(spec, data_dir=root)
    assert server.gets == gets
    assert socket.getdefaulttimeout() is None


def test_download_into_the_default_folder_by_two_at_once(
    ten: Tiny, server: Server, tmp_path: Path
) -> None:
    server.body = archive(ten)
    spec = replace(ten.spec, url=server.url, archive_md5=md5(server.body))
    loaded: list[Dataset] = []
    threads = [
        threading.Thread(target=lambda: loaded.append(load_from_spec(spec))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(*loaded)
    assert server.gets == 2  # torchvision's look for redirects and its download, once
    assert (tmp_path / "cache" / "smallnet" / "data" / "tiny-py").is_dir()


def test_download_into_a_place_that_cannot_be_written(
    ten: Tiny, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "file" / name)
    spec = replace(ten.spec, url=server.url)
    assert "the download of Tiny" in refusal(spec, None, offline=False)


def test_an_archive_that_lies_there_is_unpacked(ten: Tiny, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.gz").write_bytes(archive(ten))
    assert "put tiny-py/ or tiny-bin/ or tiny.tar.gz there" in refusal(
        ten.spec, tmp_path, DatasetNotFound
    ), "another archive"
    spec = replace(ten.spec, archive_md5=md5(archive(ten)))
    dataset = load_from_spec(spec, data_dir=tmp_path, offline=True)
    assert dataset.source == f"{tmp_path / 'tiny-py'} (python layout)"
    locks = list(tmp_path.glob(".*.lock"))
    assert all(path.stat().st_mode & 0o777 == LOCK_MODE for path in locks), "for other users too"


def test_without_file_locks_it_goes_on_with_a_line(
    ten: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    (tmp_path / "tiny.tar.gz").write_bytes(archive(ten))
    spec = replace(ten.spec, archive_md5=md5(archive(ten)))
    load_from_spec(spec, data_dir=tmp_path, offline=True)
    assert f"{tmp_path} is on a file system without locks" in capsys.readouterr().err


def test_no_network(ten: Tiny, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.tar.gz"
        message = refusal(replace(ten.spec, url=url), tmp_path, DatasetNotFound, offline=False)
    assert message.startswith(f"Tiny is not in {tmp_path} and cannot be downloaded (")
    assert message.endswith("): put tiny-py/ or tiny-bin/ there")


@pytest.mark.parametrize("silent", ["server", "name look-up"])
def test_no_answer(ten: Tiny, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources._PROBE_SECONDS <= 8
    monkeypatch.setattr(sources, "_PROBE_SECONDS", 0.5)
    hang = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/tiny.tar.gz"
        if silent == "name look-up":
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: hang.wait(20) and [])
        start = time.monotonic()
        refusal(replace(ten.spec, url=url), tmp_path, DatasetNotFound, offline=False)
        assert time.monotonic() - start < 3
        hang.set()


def test_a_download_that_stalls(ten: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_STALL_SECONDS", 0.3)
    monkeypatch.setattr(sources, "_probe", lambda url: "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/tiny.tar.gz"
        start = time.monotonic()
        message = refusal(replace(ten.spec, url=url), tmp_path, offline=False)
        assert time.monotonic() - start < 4
    assert "failed (timed out)" in message


# Digits and the real thing


def test_digits() -> None:
    first, second = load_dataset("digits", offline=True), load_dataset("digits")
    assert same(first, second)
    assert first.train_images.shape == (1297, 3, 32, 32)
    assert first.test_images.shape == (500, 3, 32, 32)
    assert first.train_images.dtype == torch.uint8
    assert first.class_names == tuple("0123456789")

    from sklearn.datasets import load_digits

    in_class = np.bincount(load_digits().target)
    test_counts = first.test_labels.bincount().numpy()
    assert (first.train_labels.bincount().numpy() + test_counts == in_class).all()
    assert (abs(test_counts - in_class * 500 / 1797) < 1).all()

    images = torch.cat([first.train_images, first.test_images])
    assert torch.equal(images[:, 0], images[:, 1]) and torch.equal(images[:, 0], images[:, 2])
    small = images[:, 0, ::4, ::4]
    assert torch.equal(small.repeat_interleave(4, 1).repeat_interleave(4, 2), images[:, 0])
    values = (small.double() * 16 / 255).round()
    assert (int(images.min()), int(images.max())) == (0, 255)
    written = {image.tobytes() for image in load_digits().images}
    assert {image.tobytes() for image in values.numpy()} == written
    for split, split_images, labels in (
        ("train", first.train_images, first.train_labels),
        ("test", first.test_images, first.test_labels),
    ):
        digests = digest.record_digests(
            split_images.reshape(-1, 3072).numpy(), labels.numpy().astype(np.uint8)
        )
        assert digests == sorted(digests)
        assert digest.content_digest(digests) == first.digests[split]


@pytest.mark.skipif(not REAL_DATA, reason="SMALLNET_DATA is not set: no real CIFAR to read")
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_cifar(name: str, tmp_path: Path) -> None:
    assert REAL_DATA is not None
    try:
        dataset = load_dataset(name, data_dir=Path(REAL_DATA), offline=True)
    except DatasetNotFound as reason:
        pytest.skip(str(reason))
    num_classes = NUM_CLASSES[name]
    assert dataset.train_labels.bincount().tolist() == [50_000 // num_classes] * num_classes
    assert dataset.test_labels.bincount().tolist() == [10_000 // num_classes] * num_classes
    assert dataset.digests == SPECS[name].digests
    # The first record in canonical order, for any layout: the order is part of the seed's meaning.
    first = hashlib.sha256(dataset.train_images[0].numpy().tobytes()).hexdigest()[:16]
    assert first == {"cifar10": "4976c35f21dda853", "cifar100": "a69e8ff869d17afb"}[name]
    if name == "cifar10":
        mean = dataset.train_images.double().mean((0, 2, 3)) / 255
        assert mean.numpy() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
