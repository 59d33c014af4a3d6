"""Find or download CIFAR's published files.

A ``Spec`` holds every fact about a dataset that the code relies on; the tests pass a tiny one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import os
import socket
import sys
import tarfile
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from smallnet_core.records import NotMeasured
from smallnet_core.system.files import LOCK_MODE, has_locks

SPLITS = ("train", "test")

_PROBE_SECONDS = 8.0  # in total: name resolution has no timeout of its own
_STALL_SECONDS = 30.0  # without a byte
_LOCK_SECONDS = 3600.0  # for the other process's download


class DatasetError(ValueError):
    """The data are not as published, or their folder is not usable."""


class DatasetNotFound(NotMeasured):
    """The dataset is absent and cannot be downloaded; the message says what to put where."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The facts of a dataset: counts, names, digests, published files."""

    name: str
    title: str
    # Images by split, equally many of each class.
    counts: Mapping[str, int] = field(default_factory=lambda: {"train": 50_000, "test": 10_000})
    digests: Mapping[str, str]  # content digest by split
    coarse_names: tuple[str, ...] = ()
    folders: Mapping[str, str]  # by layout, "python" or "binary"; the first one found is read
    md5: Mapping[str, Mapping[str, str]]  # of each file of the python layout, by split
    url: str  # of the archive, which holds the python layout
    archive_md5: str

    @property
    def archive(self) -> str:
        """Return the archive's file name."""
        return self.url.rpartition("/")[2]

    @property
    def wanted(self) -> str:
        """Return the accepted folders, for messages: "cifar-10-batches-py/ or ..."."""
        return " or ".join(f"{folder}/" for folder in self.folders.values())

    def files(self, layout: str, split: str) -> list[str]:
        """List the names of a split's files."""
        return [name if layout == "python" else f"{name}.bin" for name in self.md5[split]]


def data_folder(data_dir: Path | None) -> Path:
    """Return ``data_dir``, else the environment's SMALLNET_DATA, else the user's cache folder.

    Raises DatasetError for a named folder that does not exist; only the default may be absent.
    """
    given, by = data_dir, "the data folder"
    if given is None and os.environ.get("SMALLNET_DATA"):
        given, by = Path(os.environ["SMALLNET_DATA"]), "SMALLNET_DATA"
    if given is None:
        return platformdirs.user_cache_path("smallnet") / "data"
    root = Path(os.path.expanduser(given))  # Path.expanduser raises for an unknown user
    if not root.is_dir():
        problem = "is a file, expected a folder" if root.exists() else "does not exist"
        raise DatasetError(f"{by} {root} {problem}: create it or name another")
    return root.resolve()


def find(spec: Spec, root: Path, offline: bool) -> tuple[str, Path]:
    """Find the dataset's layout and folder in ``root``; download and unpack it if it is absent.

    Raises DatasetNotFound if it is absent and the network cannot be reached, or if the download is
    not the archive or cannot be stored. The folder appears complete or not at all.
    """
    found = locate(spec, root)
    if found is None:
        if offline and not _has_archive(spec, root):
            raise DatasetNotFound(
                f"{spec.title} is not in {root}: put {spec.wanted} or {spec.archive} there, or "
                "allow the download"
            )
        download(spec, root)
        found = locate(spec, root)
        assert found is not None, "download() raises or puts the folder there"
    return found


def locate(spec: Spec, root: Path) -> tuple[str, Path] | None:
    """Find the first layout of ``spec`` in ``root``, which may itself be the folder."""
    for layout, name in spec.folders.items():
        if (root / name).is_dir():
            return layout, root / name
    for layout, name in spec.folders.items():
        # By name, or by its files where the folder was renamed.
        files = [file for split in SPLITS for file in spec.files(layout, split)]
        if root.name == name or all((root / file).is_file() for file in files):
            return layout, root
    return None


def download(spec: Spec, root: Path) -> None:
    """Unpack the published archive in ``root``; download it first unless it is there already.

    Raises what ``find`` raises.
    """
    if not _has_archive(spec, root):
        trouble = _unreachable(urllib.parse.urljoin(spec.url, "/"))
        if trouble:
            raise DatasetNotFound(
                f"{spec.title} is not in {root} and cannot be downloaded ({trouble}): "
                f"put {spec.wanted} there"
            )
    by_hand = f"try again, or put {spec.wanted} in {root}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(spec, root):
            if locate(spec, root) is None:
                _fetch(spec, root)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetNotFound(
            f"the download of {spec.title} from {spec.url} to {root} failed "
            f"({_one_line(error)}): {by_hand}"
        ) from error
    except RuntimeError as error:  # what torchvision raises when the MD5 differs
        raise DatasetNotFound(
            f"{root / spec.archive}: the file from {spec.url} is not the archive of {spec.title} "
            f"(expected MD5 {spec.archive_md5}): {by_hand}"
        ) from error


_md5 = functools.partial(hashlib.md5, usedforsecurity=False)


def _has_archive(spec: Spec, root: Path) -> bool:
    try:
        with (root / spec.archive).open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest() == spec.archive_md5
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def _locked(spec: Spec, root: Path) -> Iterator[None]:
    """Admit one process at a time, of any user; filelock.Timeout after ``_LOCK_SECONDS``."""
    if not has_locks(root):
        sys.stderr.write(f"{root} is on a file system without locks: two downloads may collide\n")
        yield
        return
    lock = FileLock(root / f".{spec.name}.lock", mode=LOCK_MODE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        # Otherwise a wait of minutes would look like a hang.
        sys.stderr.write(f"waiting for another process's download of {spec.title}\n")
        lock.acquire(timeout=_LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _fetch(spec: Spec, root: Path) -> None:
    """Download the archive unless it is there, and unpack it."""
    # Imported here, as it takes 1.5 s. Not CIFAR10(download=True): that also unpickles the files
    # without checking their MD5s.
    from torchvision.datasets.utils import download_url

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_SECONDS)
    try:
        download_url(spec.url, root, spec.archive, spec.archive_md5)
    finally:
        socket.setdefaulttimeout(before)

    # Unpacked in a temporary folder, so that an interruption leaves none that looks complete.
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{spec.name}-") as temporary:
        with tarfile.open(root / spec.archive) as tar:
            # Python 3.12 and 3.13 warn without a filter; before 3.11.4 there are none.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(temporary)
        folder = spec.folders["python"]
        os.replace(Path(temporary) / folder, root / folder)


@functools.cache  # both datasets come from one host: wait for it once only
def _unreachable(host: str) -> str:
    """Return why the server cannot be reached, in a few words; "" if it can. Uses proxies."""
    outcome = [f"no answer from {host} within {_PROBE_SECONDS:.0f} s"]

    def ask() -> None:
        request = urllib.request.Request(host, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):
                outcome[0] = ""
        except urllib.error.HTTPError as error:  # the server answered
            error.close()
            outcome[0] = ""
        except (OSError, http.client.HTTPException) as error:
            outcome[0] = _one_line(error)

    # In a thread that may be abandoned: nothing else bounds a name look-up that hangs.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return outcome[0]


def _one_line(error: BaseException) -> str:
    reason = getattr(error, "reason", error)  # urllib wraps the cause
    return " ".join(str(reason).split()) or type(error).__name__


# https://www.cs.toronto.edu/~kriz/cifar.html, with the spelling of the files' own names
_CIFAR100_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
household_furniture insects large_carnivores large_man-made_outdoor_things
large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""

# MD5s: torchvision.datasets.CIFAR10 and CIFAR100, which are the publisher's
SPECS: Mapping[str, Spec] = {
    "cifar10": Spec(
        name="cifar10",
        title="CIFAR-10",
        digests={
            "train": "692ca01c8e1145908a49953181b1bbd0fa97f05ef7d57af3d06398d555c614f7",
            "test": "7fe36d11bb9e3fc88190fb0a50f90798b6393a30592a395222de8b6da97ac413",
        },
        folders={"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"},
        md5={
            "train": {
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            },
            "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
        },
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        archive_md5="c58f30108f718f92721af3b95e74349a",
    ),
    "cifar100": Spec(
        name="cifar100",
        title="CIFAR-100",
        digests={
            "train": "7afde546adf0eaaf90d6a187a2f5bb05da66a26562c7fc2b39ac30cd18ecb7ba",
            "test": "e0dae92f17b2a82c4cb016b063db8906fb6e78ba24005027b71b4ef45d97d9a6",
        },
        coarse_names=tuple(_CIFAR100_COARSE.split()),
        folders={"python": "cifar-100-python", "binary": "cifar-100-binary"},
        md5={
            "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
            "test": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        },
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    ),
}
