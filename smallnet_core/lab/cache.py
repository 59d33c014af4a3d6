"""Trained models by recipe: the user's cache, and the read-only zoo that ships with the package.

An entry is ``<recipe.name>.safetensors`` and a JSON record of the same name. The record carries
the weights' sha256 and is written last, so an entry without a complete record counts as absent. An
entry that fails verification is reported, renamed to ``*.damaged-N`` and never loaded.

A zoo record also has a field ``judged``: the results of ``judged.Evaluated`` for the network as it
ships, in half precision, with the environment, commit and time of that evaluation. A record with
``"weights": false`` stands alone: its network is too large to ship.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import safetensors
import safetensors.torch
import torch
from torch import Tensor

import smallnet_core
from smallnet_core.lab.judged import Network
from smallnet_core.lab.sparse import pack, unpack
from smallnet_core.pruning.curve import Curve, read_curve
from smallnet_core.recipes import Recipe
from smallnet_core.records import Environment
from smallnet_core.system.files import (
    LOCK_MODE,
    ZOO_DIR,
    has_locks,
    json_fields,
    replace_file,
    written_beside,
)
from smallnet_core.system.git import git
from smallnet_core.training.loop import Trained
from smallnet_core.training.start import Source

RECORD_SCHEMA = 1
# Identify a record, or are read by measurements and reports.
_RECORD_KEYS = (
    *("fingerprint", "recipe", "schema"),
    *("train_seconds", "computed_in", "environment", "commit", "curve"),
    *("dataset_digests", "weights_sha256"),
)


class DamagedEntry(Exception):  # noqa: N818 - says what the entry is
    """A cache entry that fails verification; the message names the file and the problem."""


class Busy(Exception):  # noqa: N818 - says what the recipe is
    """Another process is training the recipe."""


@dataclass(frozen=True, kw_only=True)
class CachedModel(Network):
    """A trained network with its weights, on the CPU in float32."""

    state_dict: Mapping[str, Tensor]

    @property
    def source(self) -> Source:
        """Return what a training needs to prune this network."""
        return Source(state_dict=self.state_dict, plan=self.record.get("pruning_plan", []))


def record_of(
    trained: Trained,
    environment: Environment,
    dataset_digests: Mapping[str, str],
    commit: Mapping[str, Any] | None,
    peak_memory_mib: float | None = None,
) -> dict[str, Any]:
    """Build the JSON record of a training: everything needed to judge or repeat it later.

    ``commit`` is the code's commit when the training began (see ``current_commit``);
    ``peak_memory_mib`` is measured by ``system.machine``, None where that is not possible.
    """
    recipe = trained.recipe
    return {
        **({"pruning_plan": trained.plan} if trained.plan else {}),
        "schema": RECORD_SCHEMA,
        "name": recipe.name,
        "fingerprint": recipe.fingerprint(),
        "recipe": recipe.canonical(),
        "seed": recipe.seed,
        "test_accuracy_percent": trained.test_accuracy_percent,
        "selection": recipe.selection,
        "selected_epoch": trained.selected_epoch,
        "curve": [asdict(epoch) for epoch in trained.curve],
        "computed_in": str(trained.dtype).removeprefix("torch."),
        "train_seconds": trained.train_seconds,
        "total_seconds": trained.total_seconds,
        "peak_memory_mib": peak_memory_mib,
        "interruptions": [asdict(interruption) for interruption in trained.interruptions],
        "dataset_digests": dataset_digests,
        "environment": environment.as_dict(),
        "commit": commit,
        "time": now(),
    }


def write_entry(
    folder: Path,
    recipe: Recipe,
    state_dict: Mapping[str, Tensor],
    record: Mapping[str, Any],
    *,
    with_weights: bool = True,
) -> dict[str, Any]:
    """Write weights and record so that a reader sees both or neither; return the full record.

    The record has the sha256 of the weights even where they are not written. Raises OSError where
    the folder cannot be written; no partial file is left behind, and an older entry stays until
    both new files are on disk.
    """
    # A single key: safetensors writes several in random order.
    metadata = {"smallnet": json.dumps({"fingerprint": recipe.fingerprint()})}
    tensors, packed = pack(state_dict)
    weights = safetensors.torch.save(tensors, metadata=metadata)
    whole = {**record, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    whole |= {"packed": packed} if packed else {}
    whole |= {} if with_weights else {"weights": False}
    text = json_fields(whole)
    folder.mkdir(parents=True, exist_ok=True)
    weights_path = folder / f"{recipe.name}.safetensors"
    record_path = folder / f"{recipe.name}.json"
    if not with_weights:
        replace_file(record_path, text.encode())
        weights_path.unlink(missing_ok=True)
        return whole
    with (
        written_beside(weights_path, weights) as new_weights,
        written_beside(record_path, text.encode()) as new_record,
    ):
        # The old record goes first: a reader in between, or after a kill, finds no entry instead of
        # a damaged one.
        record_path.unlink(missing_ok=True)
        os.replace(new_weights, weights_path)
        os.replace(new_record, record_path)
    return whole


def read_record(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Read the entry's record, with or without weights; None where there is no entry.

    Raises DamagedEntry where the record fails verification.
    """
    path = folder / f"{recipe.name}.json"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None  # weights without a record: the writer was killed in between
    try:
        record = json.loads(text)
        fingerprint, canonical, schema, *_ = (record[name] for name in _RECORD_KEYS)
        record["environment"]["device_name"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedEntry(f"{path}: not a complete record ({error!r})") from error
    if schema != RECORD_SCHEMA:
        raise DamagedEntry(f"{path}: schema {schema}, expected {RECORD_SCHEMA}")
    if fingerprint != recipe.fingerprint() or canonical != recipe.canonical():
        raise DamagedEntry(f"{path}: the record belongs to another recipe ({fingerprint})")
    return record


def read_entry(folder: Path, recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read weights (floating ones as float32) and record; None where there are no weights.

    Raises DamagedEntry for an entry that fails verification.
    """
    record = read_record(folder, recipe)
    if record is None or record.get("weights") is False:
        return None
    weights_path = folder / f"{recipe.name}.safetensors"
    sha256 = record["weights_sha256"]
    try:
        weights = weights_path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedEntry(f"{weights_path}: missing, but its record exists") from error
    found = hashlib.sha256(weights).hexdigest()
    if found != sha256:
        raise DamagedEntry(f"{weights_path}: sha256 is {found}, its record says {sha256}")
    try:
        tensors = unpack(safetensors.torch.load(weights), record.get("packed", {}))
    except (safetensors.SafetensorError, AttributeError, LookupError, TypeError, ValueError) as e:
        raise DamagedEntry(f"{weights_path}: {e}") from e
    return in_dtype(tensors, torch.float32), record


class ModelCache:
    """The user's cache in ``folder``, with the zoo behind it."""

    def __init__(self, folder: Path, zoo: Path = ZOO_DIR) -> None:
        self.folder = folder
        self.zoo = zoo
        self.complaints: list[str] = []  # one line per damaged entry, for the report

    def check_writable(self) -> None:
        """Raise OSError where no entry could be written; leave nothing behind."""
        folder = self.folder.absolute()
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".probe-"):
            pass

    def load(self, recipe: Recipe) -> CachedModel | None:
        """Load the trained model of ``recipe`` from cache or zoo; move a damaged entry aside."""
        for folder, origin in ((self.folder, "cache"), (self.zoo, "zoo")):
            try:
                entry = read_entry(folder, recipe)
            except DamagedEntry as damage:
                if origin == "zoo":  # read-only
                    self.complain(f"damaged zoo entry ignored: {damage}")
                    continue
                entry = self._read_or_put_aside(recipe, damage)
            except OSError as error:
                self.complain(f"{folder}: cannot be read ({error})")
                continue
            if entry is not None:
                state_dict, record = entry
                return CachedModel(
                    recipe=recipe, state_dict=state_dict, record=record, origin=origin
                )
        return None

    def recorded(self, recipe: Recipe) -> dict[str, Any] | None:
        """Read the zoo's record of ``recipe``, with or without weights; report a damaged one."""
        try:
            return read_record(self.zoo, recipe)
        except (DamagedEntry, OSError) as error:
            self.complain(f"record ignored: {error}")
            return None

    def curve(
        self, folder: Path, recipe: Recipe, technique: str, seed: int, weights_sha256: str
    ) -> Curve | None:
        """Read the pruning curve of these weights from ``folder``; report any other file there."""
        try:
            return read_curve(
                folder, recipe.name, technique, weights_sha256=weights_sha256, seed=seed
            )
        except (OSError, ValueError) as error:
            self.complain(f"curve ignored: {error}")
            return None

    def checkpoint(self, recipe: Recipe) -> Path:
        """Return the path of the checkpoint of ``recipe``, which only the lock's holder uses."""
        return self.folder / f"{recipe.name}.checkpoint"

    @contextlib.contextmanager
    def lock(
        self,
        recipe: Recipe,
        waits: Callable[[str], None] = lambda line: None,
        *,
        blocking: bool = True,
    ) -> Iterator[None]:
        """Hold the lock for training ``recipe``; other processes wait here, then load the result.

        ``waits`` is called once, with a line of text, before waiting for another process; without
        ``blocking``, Busy is raised instead.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not has_locks(self.folder):
            self.complain(
                f"{self.folder} is on a file system without locks: concurrent processes may train "
                "the same network"
            )
            yield
            return
        # A singleton, so that its holder can acquire it again to move a damaged entry aside.
        lock = filelock.FileLock(
            self.folder / f"{recipe.name}.lock", mode=LOCK_MODE, is_singleton=True
        )
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if not blocking:
                raise Busy(f"{recipe}: another process is training it") from None
            waits(f"{recipe}: another process is training it, waiting for its result")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def store(self, trained: Trained, record: dict[str, Any]) -> CachedModel:
        """Write a training's result to the cache and return it as a cached model.

        Where it cannot be written (a full disk), this session can still use it.
        """
        try:
            record = write_entry(self.folder, trained.recipe, trained.state_dict, record)
        except OSError as error:
            self.complain(f"{self.folder}: {trained.recipe} was trained but not saved ({error})")
        return CachedModel(
            recipe=trained.recipe, state_dict=trained.state_dict, record=record, origin="trained"
        )

    def _read_or_put_aside(
        self, recipe: Recipe, damage: DamagedEntry
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the entry if another process has replaced it by now; else move it aside."""
        try:
            with self.lock(recipe):
                try:
                    return read_entry(self.folder, recipe)
                except DamagedEntry as still:
                    damage = still
                number = 1
                while any(self.folder.glob(f"{recipe.name}.*.damaged-{number}")):
                    number += 1
                for suffix in (".json", ".safetensors"):  # the record first: no record, no entry
                    path = self.folder / f"{recipe.name}{suffix}"
                    with contextlib.suppress(FileNotFoundError):
                        path.rename(path.with_name(f"{path.name}.damaged-{number}"))
        except OSError as error:
            self.complain(f"damaged cache entry ignored: {damage}; it could not be moved ({error})")
        else:
            self.complain(f"damaged cache entry renamed to *.damaged-{number}: {damage}")
        return None

    def complain(self, line: str) -> None:
        """Add a line to the report's complaints, unless it is there already."""
        if line not in self.complaints:
            self.complaints.append(line)


def in_dtype(state_dict: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Convert the floating tensors of a state dict to ``dtype``; leave the others as they are."""
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in state_dict.items()
    }


def now() -> str:
    """Return the time in UTC as records write it: 2026-11-24T08:19:40Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def current_commit() -> dict[str, Any] | None:
    """Return this code's commit and whether files were changed since; None outside git."""
    here = Path(smallnet_core.__file__).parent
    head, changes = git(here, "rev-parse", "HEAD"), git(here, "status", "--porcelain", ".")
    if head is None or changes is None or head.returncode or changes.returncode:
        return None
    return {"id": head.stdout.strip(), "dirty": bool(changes.stdout)}
