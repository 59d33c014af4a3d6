"""smallnet_core.data.datasets on tiny datasets in the published layouts, and on the real."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import pickle
import socket
import tarfile
import threading
import time
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

from smallnet_core.data import files as digest
from smallnet_core.data import sources
from smallnet_core.data.datasets import (
    NUM_CLASSES,
    Dataset,
    DatasetError,
    DatasetNotFound,
    load_dataset,
    load_from_spec,
)
from smallnet_core.data.sources import SPECS, SPLITS, Spec
from smallnet_core.records import NotMeasured
from smallnet_core.system.files import LOCK_MODE

REAL_DATA = os.environ.get("SMALLNET_DATA")


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("SMALLNET_DATA", raising=False)


# A tiny dataset in both layouts


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
        digests={
            s: digest.content_digest(digest.record_digests(images[s], labels[s])) for s in SPLITS
        },
        class_names=("ant", "bee", "cow", "doe"),
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


@pytest.fixture(params=["fine", "coarse"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return make_tiny(coarse=request.param == "coarse")


@pytest.fixture
def ten() -> Tiny:
    return make_tiny(coarse=False)


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


# Names and constants


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
    assert spec.folders["python"] == published.base_folder
    assert [list(pair) for pair in spec.md5["train"].items()] == published.train_list
    assert [list(pair) for pair in spec.md5["test"].items()] == published.test_list
    assert (spec.url, spec.archive, spec.archive_md5) == (
        published.url,
        published.filename,
        published.tgz_md5,
    )


# The digest


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_the_digest_is_a_sum_that_no_order_of_the_files_changes(
    data: st.DataObject,
) -> None:
    count = data.draw(st.sampled_from((1, 2, 7, 300)))  # 300: more than one chunk
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    images = rng.integers(0, 256, (count, 3072), np.uint8)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    if count > 1 and data.draw(st.booleans()):
        images[1], labels[1] = images[0], labels[0]  # a repeated record has no order of its own
    shuffle = np.array(data.draw(st.permutations(range(count))))
    before = digest.record_digests(images, labels)
    after = digest.record_digests(images[shuffle], labels[shuffle])

    assert digest.content_digest(before) == digest.content_digest(after)
    total = 0
    for image, label in zip(images, labels, strict=True):
        hwc = image.reshape(3, 32, 32).transpose(1, 2, 0).tobytes()
        total += int(hashlib.sha256(bytes([label]) + hwc).hexdigest(), 16)
    assert digest.content_digest(before) == f"{total % 2**256:064x}"
    p, q = digest.canonical_order(before), digest.canonical_order(after)
    assert np.array_equal(images[p], images[shuffle][q])
    assert np.array_equal(labels[p], labels[shuffle][q])
    assert sorted(p) == list(range(count))

    row = data.draw(st.integers(0, count - 1))
    pixel = data.draw(st.integers(0, 3071))
    changed = images.copy()
    changed[row, pixel] ^= data.draw(st.integers(1, 255))
    assert digest.content_digest(digest.record_digests(changed, labels)) != digest.content_digest(
        before
    )


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
    assert not missing.exists()


@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
def test_missing_truncated_or_lengthened_file(ten: Tiny, name: str, tmp_path: Path) -> None:
    path = ten.write_binary(tmp_path) / name
    content = path.read_bytes()
    for wrong in (content[:-1], content * 2):
        path.write_bytes(wrong)
        message = refusal(ten.spec, tmp_path)
        assert f"{path}: has {len(wrong)} bytes, expected {len(content)}" in message
    path.unlink()
    message = refusal(ten.spec, tmp_path)
    assert f"{path}: the file is missing" in message and "allow the download" in message


def test_doubled_file(ten: Tiny, tmp_path: Path) -> None:
    folder = ten.write_binary(tmp_path)
    (folder / "data_batch_2.bin").write_bytes((folder / "data_batch_1.bin").read_bytes())
    message = refusal(ten.spec, tmp_path)
    assert f"{folder / 'data_batch_2.bin'}: repeats records of data_batch_1.bin" in message


def test_altered_pixel(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.write_binary(tmp_path)
    (name,) = tiny.spec.files("binary", "test")
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    message = refusal(tiny.spec, tmp_path)
    assert f"{folder}: {name}: the content is not that of Tiny's test split" in message
    assert tiny.spec.digests["test"] in message


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
            info = tarfile.TarInfo(f"{tiny.spec.folders['python']}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


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


def test_an_archive_that_lies_there_is_unpacked(ten: Tiny, tmp_path: Path) -> None:
    content = archive(ten)
    (tmp_path / "tiny.tar.gz").write_bytes(content)
    assert "put tiny-py/ or tiny-bin/ or tiny.tar.gz there" in refusal(
        ten.spec, tmp_path, DatasetNotFound
    ), "another archive"
    spec = replace(ten.spec, archive_md5=md5(content))
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
    content = archive(ten)
    (tmp_path / "tiny.tar.gz").write_bytes(content)
    spec = replace(ten.spec, archive_md5=md5(content))
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
    monkeypatch.setattr(sources, "_unreachable", lambda host: "")
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
    small = images[:, :1, ::4, ::4]
    assert torch.equal(
        small.repeat_interleave(4, 2).repeat_interleave(4, 3).expand(-1, 3, -1, -1), images
    )
    values = (small.squeeze(1).double() * 16 / 255).round()
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
