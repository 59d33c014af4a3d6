"""The model cache: what is written comes back, what is damaged is named and never loaded."""

import errno
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import smallnet_core
from smallnet_core.lab.cache import (
    RECORD_SCHEMA,
    ModelCache,
    current_commit,
    record_of,
    write_entry,
)
from smallnet_core.recipes import find_recipe
from smallnet_core.system.machine import environment
from smallnet_core.training.checkpoints import Interruption
from smallnet_core.training.loop import Trained
from tests.trainable import as_if_trained, same_weights

RECIPE = find_recipe("quick", "digits", "resnet18_s", "adam")
ENVIRONMENT = environment(torch.device("cpu"))
DIGESTS = {"train": "ab" * 32, "test": "cd" * 32}
COMMIT = {"id": "f" * 40, "dirty": False}


def state_dict(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "bn.num_batches_tracked": torch.tensor(7 + seed),
        "bn.running_mean": torch.randn(4, generator=generator),
    }


def trained(seed: int = 0) -> Trained:
    interruptions = (Interruption(step=3, lost_seconds=1.5),)
    return as_if_trained(
        RECIPE, state_dict(seed), dtype=torch.bfloat16, interruptions=interruptions
    )


RECORD = record_of(trained(), ENVIRONMENT, DIGESTS, COMMIT)


@pytest.fixture
def zoo(tmp_path):
    return tmp_path / "zoo"


@pytest.fixture
def cache(tmp_path, zoo):
    return ModelCache(tmp_path / "cache", zoo)


def store(cache: ModelCache, seed: int = 0) -> None:
    cache.store(trained(seed), RECORD)


def write(folder: Path, seed: int) -> None:
    write_entry(folder, RECIPE, state_dict(seed), RECORD)


def loaded(cache: ModelCache, origin: str, seed: int) -> bool:
    """Whether the cache has these weights, from there."""
    found = cache.load(RECIPE)
    assert found is not None and found.recipe == RECIPE
    return found.origin == origin and same_weights(found.state_dict, state_dict(seed))


def files(folder: Path) -> dict[str, bytes]:
    """All but the locks, which stay behind empty."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix != ".lock"]
    return {path.name: path.read_bytes() for path in paths}


def weights_path(folder: Path) -> Path:
    return folder / f"{RECIPE.name}.safetensors"


def record_path(folder: Path) -> Path:
    return folder / f"{RECIPE.name}.json"


def edit_record(folder: Path, **changes: Any) -> None:
    path = record_path(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_stored_comes_back_bit_for_bit(cache):
    assert cache.load(RECIPE) is None and cache.complaints == []
    kept = cache.store(trained(), RECORD)
    assert kept.origin == "trained" and same_weights(kept.state_dict, state_dict())
    assert loaded(cache, "cache", 0)
    assert kept.record.items() <= cache.load(RECIPE).record.items()
    assert sorted(files(cache.folder)) == [f"{RECIPE.name}.json", f"{RECIPE.name}.safetensors"]
    other = replace(RECIPE, optimizer=replace(RECIPE.optimizer, lr=RECIPE.optimizer.lr * 2))
    assert cache.load(other) is None and cache.complaints == []


def test_the_record_has_all_that_judging_and_repeating_need(cache):
    store(cache)
    record = json.loads(record_path(cache.folder).read_text())
    assert record.pop("time")[:2] == "20"
    digest = hashlib.sha256(weights_path(cache.folder).read_bytes()).hexdigest()
    assert record.pop("weights_sha256") == digest
    assert record == {
        "schema": RECORD_SCHEMA,
        "name": RECIPE.name,
        "fingerprint": RECIPE.fingerprint(),
        "recipe": RECIPE.canonical(),
        "seed": 0,
        "test_accuracy_percent": 60.0,
        "selection": "last",
        "selected_epoch": 1,
        "curve": [asdict(epoch) for epoch in trained().curve],
        "computed_in": "bfloat16",
        "train_seconds": 12.5,
        "total_seconds": 13.0,
        "peak_memory_mib": None,
        "interruptions": [{"step": 3, "lost_seconds": 1.5}],
        "dataset_digests": DIGESTS,
        "environment": ENVIRONMENT.as_dict(),
        "commit": COMMIT,
    }


def test_two_writes_of_the_same_are_the_same_bytes_in_whatever_order(tmp_path):
    weights = state_dict()
    write_entry(tmp_path / "a", RECIPE, weights, RECORD)
    turned = (dict(list(one.items())[::-1]) for one in (weights, RECORD))
    write_entry(tmp_path / "b", RECIPE, *turned)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    with pytest.raises(ValueError, match="JSON"):
        write_entry(tmp_path / "c", RECIPE, weights, {**RECORD, "train_seconds": float("nan")})
    assert not (tmp_path / "c").exists()


def failing(monkeypatch: pytest.MonkeyPatch, function: str, at: int, error: BaseException) -> None:
    """``os.function`` raises ``error`` at its ``at``-th call."""
    genuine, calls = getattr(os, function), []

    def broken(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == at:
            raise error
        return genuine(*args)

    monkeypatch.setattr(os, function, broken)


@pytest.mark.parametrize("at", [1, 2], ids=["weights", "record"])
def test_a_full_disk_leaves_what_was_there_and_no_temporary_files(cache, monkeypatch, at):
    store(cache, seed=1)
    was = files(cache.folder)
    failing(monkeypatch, "fsync", at, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        write(cache.folder, 2)
    assert files(cache.folder) == was


@pytest.mark.parametrize("at", [1, 2], ids=["before the weights", "before the record"])
def test_who_is_stopped_between_weights_and_record_leaves_no_entry(cache, monkeypatch, at):
    store(cache, seed=1)
    with monkeypatch.context() as patch:
        failing(patch, "replace", at, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(cache.folder, 2)
    assert cache.load(RECIPE) is None
    assert cache.complaints == []
    assert not [name for name in files(cache.folder) if name != weights_path(cache.folder).name]
    store(cache, seed=3)
    assert loaded(cache, "cache", 3)


def test_an_entry_that_is_replaced_while_it_is_read_is_not_taken_for_damaged(cache, monkeypatch):
    """The reader has the old record in hand when another process swaps both files."""
    store(cache, seed=1)
    genuine = Path.read_bytes
    swapped = []

    def read_bytes(path):
        content = genuine(path)
        if path == record_path(cache.folder) and not swapped:
            swapped.append(path)
            write(cache.folder, 2)
        return content

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert loaded(cache, "cache", 2)
    assert swapped and cache.complaints == []


def without_digest(folder: Path) -> None:
    record = json.loads(record_path(folder).read_text())
    del record["weights_sha256"]
    record_path(folder).write_text(json.dumps(record))


def flip(folder: Path) -> None:
    content = bytearray(weights_path(folder).read_bytes())
    content[-1] ^= 1
    weights_path(folder).write_bytes(content)


def garbage(folder: Path) -> None:
    """Not safetensors at all, under a record that knows its digest."""
    content = b"\xff" * 100
    weights_path(folder).write_bytes(content)
    edit_record(folder, weights_sha256=hashlib.sha256(content).hexdigest())


NOT_WHOLE = "not a complete record"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "flipped weights": (flip, "sha256"),
    "foreign weights": (garbage, ".safetensors"),
    "no weights": (lambda folder: weights_path(folder).unlink(), "missing, but its record exists"),
    "truncated record": (lambda f: record_path(f).write_text('{"schema": 1,'), NOT_WHOLE),
    "bottomless record": (lambda f: record_path(f).write_text("[" * 100_000), NOT_WHOLE),
    "record without digest": (without_digest, NOT_WHOLE),
    "other schema": (lambda f: edit_record(f, schema=RECORD_SCHEMA + 1), "schema 2, expected 1"),
    "other recipe": (
        lambda f: edit_record(f, recipe={**RECIPE.canonical(), "epochs": 99}),
        "another recipe",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_put_aside_and_never_loaded(cache, zoo, damage, said):
    """Behind it stands the zoo, which comes after what is whole."""
    write(zoo, 1)
    store(cache)
    damage(cache.folder)
    was = files(cache.folder)
    for _ in range(2):  # said once
        with cache.lock(RECIPE):  # as a training looks again
            assert loaded(cache, "zoo", 1)
        [complaint] = cache.complaints
    assert said in complaint
    assert str(cache.folder) in complaint and "renamed to *.damaged-1" in complaint
    assert "\n" not in complaint
    assert files(cache.folder) == {f"{name}.damaged-1": content for name, content in was.items()}
    # The place is free, also for a second damage.
    store(cache, seed=5)
    assert loaded(cache, "cache", 5)
    flip(cache.folder)
    cache.load(RECIPE)
    assert "damaged-2" in cache.complaints[-1] and len(files(cache.folder)) == len(was) + 2


def test_a_damaged_zoo_is_ignored_and_left_as_it_is(cache, zoo):
    write(zoo, 1)
    flip(zoo)
    was = files(zoo)
    for _ in range(3):  # every test that asks
        assert cache.load(RECIPE) is None
    assert files(zoo) == was
    [complaint] = cache.complaints
    assert complaint.startswith("damaged zoo entry ignored: ") and "sha256" in complaint


def test_damage_that_cannot_be_moved_is_not_loaded_either(cache, monkeypatch):
    store(cache)
    flip(cache.folder)

    def rename(path, target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", rename)
    assert cache.load(RECIPE) is None
    [complaint] = cache.complaints
    assert "Permission denied" in complaint and "sha256" in complaint


def test_a_commit_is_dirty_where_files_of_the_package_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(smallnet_core, "__file__", str(tmp_path / "__init__.py"))
    assert current_commit() is None
    for command in ("init -q", "commit -q --allow-empty -m first"):
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *command.split()], check=True)
    commit = current_commit()
    assert commit is not None and len(commit["id"]) == 40 and commit["dirty"] is False
    (tmp_path / "__init__.py").touch()
    assert current_commit() == commit | {"dirty": True}


@pytest.mark.parametrize("place", [record_path, weights_path])
def test_what_cannot_be_read_is_named_and_does_not_raise(cache, zoo, place):
    write(zoo, 1)
    store(cache)
    place(cache.folder).unlink()
    place(cache.folder).mkdir()
    assert loaded(cache, "zoo", 1)
    assert "cannot be read" in cache.complaints[0]


def test_files_are_for_other_users_too(cache, tmp_path):
    with cache.lock(RECIPE):
        [path] = cache.folder.glob("*.lock")
        assert path.stat().st_mode & 0o777 == 0o666
        store(cache)
    (tmp_path / "plain").touch()
    for path in (record_path(cache.folder), weights_path(cache.folder)):
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_system_without_locks_is_a_complaint(cache, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    for _ in range(2):
        with cache.lock(RECIPE):
            pass
    [line] = cache.complaints
    assert "file system without locks" in line
