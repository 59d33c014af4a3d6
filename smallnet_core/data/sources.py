"""Where CIFAR's files lie, what they must be, and how they come here: no numpy, no torch at import.

A ``Spec`` holds every fact of a dataset that the code relies on; the tests pass a tiny one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import tarfile
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smallnet_core.records import NotMeasured
from smallnet_core.system.locks import LOCK_MODE, has_locks

SPLITS = ("train", "test")

_PROBE_SECONDS = 8.0  # in all: name resolution has no timeout of its own
_STALL_SECONDS = 30.0  # without a byte
_LOCK_SECONDS = 3600.0  # for the other process's download


class DatasetError(ValueError):
    """The data is there but is not what it should be, or the place for it is wrong."""


class DatasetNotFound(NotMeasured):
    """The dataset is not on this machine and cannot be fetched; says what to put where."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One of the forms in which a dataset is published: a folder and its files, by split."""

    kind: str  # "python" or "binary"
    folder: str
    files: Mapping[str, tuple[str, ...]]
    md5: Mapping[str, str] = field(default_factory=dict)  # of each file; python layout only


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The facts of a dataset: counts, names, digests, published files."""

    name: str
    title: str
    counts: Mapping[str, int]  # images by split, equally many of each class
    digests: Mapping[str, str]  # content digest by split
    class_names: tuple[str, ...]
    coarse_names: tuple[str, ...] = ()
    layouts: tuple[Layout, ...]  # the first that is found is read
    url: str
    archive: str
    archive_md5: str

    @property
    def wanted(self) -> str:
        """The folders that would do, for messages: "cifar-10-batches-py/ or ..."."""
        return " or ".join(f"{layout.folder}/" for layout in self.layouts)


def data_folder(data_dir: Path | None) -> Path:
    """``data_dir``, else the environment's SMALLNET_DATA, else the user's cache folder.

    A folder that somebody named must exist (DatasetError); only the default may be absent.
    """
    given, by = data_dir, "the data folder"
    if given is None and os.environ.get("SMALLNET_DATA"):
        given, by = Path(os.environ["SMALLNET_DATA"]), "SMALLNET_DATA"
    if given is None:
        from platformdirs import user_cache_path

        root = user_cache_path("smallnet") / "data"
        if not root.exists():
            return root
        by = "the default data folder"
    else:
        root = Path(os.path.expanduser(given))  # Path.expanduser raises for an unknown user
    if not root.exists():
        raise DatasetError(f"{by} {root} does not exist: create it or name another")
    if not root.is_dir():
        raise DatasetError(f"{by} {root} is a file, expected a folder: name another")
    return root.resolve()


def locate(spec: Spec, root: Path) -> tuple[Layout, Path] | None:
    """The first layout of ``spec`` that lies in ``root`` or that ``root`` itself is."""
    for layout in spec.layouts:
        folder = root / layout.folder
        if folder.is_dir():
            return layout, folder
        if folder.exists():
            raise DatasetError(f"{folder} is a file, expected a folder: move it away")
    for layout in spec.layouts:
        # By name, or by the files where somebody renamed the folder.
        names = [name for split in SPLITS for name in layout.files[split]]
        if root.name == layout.folder or all((root / name).is_file() for name in names):
            return layout, root
    return None


class DownloadError(DatasetNotFound, DatasetError):
    """What came over the network is not usable: an error for its caller, and no dataset."""


def download(spec: Spec, root: Path) -> None:
    """Fetch the published archive with torchvision, unpack it in ``root``; one process at a time.

    Raises DatasetNotFound if the network cannot be reached, within ``_PROBE_SECONDS``, and
    DownloadError if what came is not the archive or cannot be stored. The folder appears whole or
    not at all; the archive stays beside it, as torchvision leaves it.
    """
    trouble = _probe(spec.url)
    if trouble:
        raise DatasetNotFound(
            f"{spec.title} is not in {root} and cannot be downloaded ({trouble}): "
            f"put {spec.wanted} there"
        )

    import http.client

    by_hand = f"try again, or put {spec.wanted} in {root}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(spec, root):
            if locate(spec, root) is None:
                _fetch(spec, root)
                _unpack(spec, root)
    except (OSError, RecursionError, http.client.HTTPException) as error:
        raise DownloadError(
            f"the download of {spec.title} from {spec.url} to {root} failed "
            f"({_one_line(error)}): {by_hand}"
        ) from error
    except RuntimeError as error:  # what torchvision raises when the MD5 differs
        raise DownloadError(
            f"{root / spec.archive}: what came from {spec.url} is not the archive of {spec.title} "
            f"(expected MD5 {spec.archive_md5}): {by_hand}"
        ) from error


def unpack(spec: Spec, root: Path) -> bool:
    """Unpack the published archive where it lies in ``root``, whole; whether it did.

    Raises OSError where the folder cannot be written.
    """
    archive = root / spec.archive
    if not archive.is_file():
        return False
    with _alone(spec, root):
        if locate(spec, root) is None:
            found = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
            if found != spec.archive_md5:
                return False
            _unpack(spec, root)
    return True


@contextlib.contextmanager
def _alone(spec: Spec, root: Path) -> Iterator[None]:
    """One process at a time, of whichever user; DownloadError after ``_LOCK_SECONDS``."""
    from filelock import FileLock, Timeout

    if not has_locks(root):
        sys.stderr.write(f"{root} is on a file system without locks: two downloads may collide\n")
        yield
        return
    lock = FileLock(root / f".{spec.name}.lock", mode=LOCK_MODE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        # Else a wait of minutes looks like a hang.
        sys.stderr.write(f"waiting for another process's download of {spec.title}\n")
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            raise DownloadError(
                f"{error.lock_file}: another process has held the download of {spec.title} for "
                f"over {_LOCK_SECONDS / 60:.0f} minutes: end it, or put {spec.wanted} in {root}"
            ) from error
    try:
        yield
    finally:
        lock.release()


def _fetch(spec: Spec, root: Path) -> None:
    # Imported here, for it takes 1.5 s. Not torchvision's CIFAR10(download=True): that would
    # also open the pickles, whose MD5s it does not check then.
    from torchvision.datasets.utils import download_url

    with _socket_timeout(_STALL_SECONDS):
        download_url(spec.url, root, spec.archive, spec.archive_md5)


def _unpack(spec: Spec, root: Path) -> None:
    # Unpacked beside its place, so that an interruption leaves no folder that looks complete.
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{spec.name}-") as temporary:
        with tarfile.open(root / spec.archive) as tar:
            # Python 3.12 and 3.13 warn where none is named; before 3.11.4 there is none.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(temporary)
        folder = spec.layouts[0].folder
        os.replace(Path(temporary) / folder, root / folder)


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# Hosts that did not answer: both datasets come from one, and two waits would be too long.
_silent_hosts: set[str] = set()


def _probe(url: str) -> str:
    """Why ``url`` cannot be reached, in a few words; "" if it can. Respects the proxies."""
    outcome = [f"no answer from {url} within {_PROBE_SECONDS:.0f} s"]

    def ask() -> None:
        import http.client
        import urllib.error
        import urllib.request

        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):
                outcome[0] = ""
        except urllib.error.HTTPError as error:
            error.close()
            # 405 and 501: a server that is there and has no HEAD
            outcome[0] = "" if error.code in (405, 501) else f"{url} answers {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            outcome[0] = _one_line(error)

    host = urllib.parse.urlsplit(url).netloc
    if host in _silent_hosts:
        return outcome[0]
    # A thread that may be left behind: nothing else bounds a name look-up that hangs.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    if thread.is_alive():
        _silent_hosts.add(host)
    return outcome[0]


def _one_line(error: BaseException) -> str:
    reason = getattr(error, "reason", error)  # urllib wraps what happened
    return " ".join(str(reason).split()) or type(error).__name__


CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

# https://www.cs.toronto.edu/~kriz/cifar.html, with the spelling of the files' own names
CIFAR100_SUPERCLASSES: Mapping[str, tuple[str, ...]] = {
    coarse: tuple(fine.split())
    for coarse, fine in {
        "aquatic_mammals": "beaver dolphin otter seal whale",
        "fish": "aquarium_fish flatfish ray shark trout",
        "flowers": "orchid poppy rose sunflower tulip",
        "food_containers": "bottle bowl can cup plate",
        "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
        "household_electrical_devices": "clock keyboard lamp telephone television",
        "household_furniture": "bed chair couch table wardrobe",
        "insects": "bee beetle butterfly caterpillar cockroach",
        "large_carnivores": "bear leopard lion tiger wolf",
        "large_man-made_outdoor_things": "bridge castle house road skyscraper",
        "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
        "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
        "medium_mammals": "fox porcupine possum raccoon skunk",
        "non-insect_invertebrates": "crab lobster snail spider worm",
        "people": "baby boy girl man woman",
        "reptiles": "crocodile dinosaur lizard snake turtle",
        "small_mammals": "hamster mouse rabbit shrew squirrel",
        "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
        "vehicles_1": "bicycle bus motorcycle pickup_truck train",
        "vehicles_2": "lawn_mower rocket streetcar tank tractor",
    }.items()
}
CIFAR100_CLASSES = tuple(sorted(c for fine in CIFAR100_SUPERCLASSES.values() for c in fine))

_COARSE_NAMES = tuple(CIFAR100_SUPERCLASSES)

# MD5s: torchvision.datasets.CIFAR10 and CIFAR100, which are the publisher's
SPECS: Mapping[str, Spec] = {
    "cifar10": Spec(
        name="cifar10",
        title="CIFAR-10",
        counts={"train": 50_000, "test": 10_000},
        digests={
            "train": "692ca01c8e1145908a49953181b1bbd0fa97f05ef7d57af3d06398d555c614f7",
            "test": "7fe36d11bb9e3fc88190fb0a50f90798b6393a30592a395222de8b6da97ac413",
        },
        class_names=CIFAR10_CLASSES,
        layouts=(
            Layout(
                kind="python",
                folder="cifar-10-batches-py",
                files={
                    "train": tuple(f"data_batch_{k}" for k in range(1, 6)),
                    "test": ("test_batch",),
                },
                md5={
                    "data_batch_1": "c99cafc152244af753f735de768cd75f",
                    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                    "data_batch_4": "634d18415352ddfa80567beed471001a",
                    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                    "test_batch": "40351d587109b95175f43aff81a1287e",
                },
            ),
            Layout(
                kind="binary",
                folder="cifar-10-batches-bin",
                files={
                    "train": tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
                    "test": ("test_batch.bin",),
                },
            ),
        ),
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        archive="cifar-10-python.tar.gz",
        archive_md5="c58f30108f718f92721af3b95e74349a",
    ),
    "cifar100": Spec(
        name="cifar100",
        title="CIFAR-100",
        counts={"train": 50_000, "test": 10_000},
        digests={
            "train": "7afde546adf0eaaf90d6a187a2f5bb05da66a26562c7fc2b39ac30cd18ecb7ba",
            "test": "e0dae92f17b2a82c4cb016b063db8906fb6e78ba24005027b71b4ef45d97d9a6",
        },
        class_names=CIFAR100_CLASSES,
        coarse_names=_COARSE_NAMES,
        layouts=(
            Layout(
                kind="python",
                folder="cifar-100-python",
                files={"train": ("train",), "test": ("test",)},
                md5={
                    "train": "16019d7e3df5f24257cddd939b257f8d",
                    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                },
            ),
            Layout(
                kind="binary",
                folder="cifar-100-binary",
                files={"train": ("train.bin",), "test": ("test.bin",)},
            ),
        ),
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        archive="cifar-100-python.tar.gz",
        archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    ),
}
