"""Downloads and archives, from a server on this machine."""

import errno
import http.server
import io
import socket
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from smallnet_core.data import sources
from smallnet_core.data.datasets import load_from_spec
from smallnet_core.data.sources import DatasetNotFound
from smallnet_core.system.files import LOCK_MODE
from tests.tinydata import Tiny, md5, refusal, same

pytestmark = pytest.mark.usefixtures("no_data")


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
def server():
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


def test_download_after_wrong_and_interrupted_ones(ten, server, tmp_path, capfd):
    right = archive(ten)
    spec = replace(ten.spec, url=server.url, archive_md5=md5(right))
    root = tmp_path / "data"
    root.mkdir()

    server.body = b"<html>please log in</html>"
    message = refusal(spec, root, DatasetNotFound, offline=False)
    assert "is not the archive of Tiny" in message and server.url in message
    assert str(root / "tiny.tar.gz") in message

    server.body, server.sent = right, len(right) // 2
    message = refusal(spec, root, DatasetNotFound, offline=False)
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


def test_download_into_the_default_folder_by_two_at_once(ten, server, tmp_path):
    server.body = archive(ten)
    spec = replace(ten.spec, url=server.url, archive_md5=md5(server.body))
    with ThreadPoolExecutor(2) as pool:
        loaded = pool.map(load_from_spec, (spec, spec))
    assert same(*loaded)
    assert server.gets == 2  # torchvision's look for redirects and its download, once
    assert (tmp_path / "cache" / "smallnet" / "data" / "tiny-py").is_dir()


def test_an_archive_that_lies_there_is_unpacked(ten, tmp_path):
    content = archive(ten)
    (tmp_path / "tiny.tar.gz").write_bytes(content)
    assert "put tiny-py/ or tiny-bin/ or tiny.tar.gz there" in refusal(
        ten.spec, tmp_path, DatasetNotFound
    ), "another archive"
    spec = replace(ten.spec, archive_md5=md5(content))
    load_from_spec(spec, data_dir=tmp_path, offline=True)
    assert (tmp_path / "tiny-py").is_dir()
    locks = list(tmp_path.glob(".*.lock"))
    assert all(path.stat().st_mode & 0o777 == LOCK_MODE for path in locks), "for other users too"


def test_without_file_locks_it_goes_on_with_a_line(ten, tmp_path, monkeypatch, capsys):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    content = archive(ten)
    (tmp_path / "tiny.tar.gz").write_bytes(content)
    spec = replace(ten.spec, archive_md5=md5(content))
    load_from_spec(spec, data_dir=tmp_path, offline=True)
    assert f"{tmp_path} is on a file system without locks" in capsys.readouterr().err


def test_no_network(ten, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.tar.gz"
        message = refusal(replace(ten.spec, url=url), tmp_path, DatasetNotFound, offline=False)
    assert message.startswith(f"Tiny is not in {tmp_path} and cannot be downloaded (")
    assert message.endswith("): put tiny-py/ or tiny-bin/ there")


@pytest.mark.parametrize("silent", ["server", "name look-up"])
def test_no_answer(ten, silent, tmp_path, monkeypatch):
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


def test_a_download_that_stalls(ten, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_STALL_SECONDS", 0.3)
    monkeypatch.setattr(sources, "_unreachable", lambda host: "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/tiny.tar.gz"
        start = time.monotonic()
        message = refusal(replace(ten.spec, url=url), tmp_path, DatasetNotFound, offline=False)
        assert time.monotonic() - start < 4
    assert "failed (timed out)" in message
