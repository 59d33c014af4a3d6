"""Trainings that are cut off, and go on to the same bits."""

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from smallnet_core.recipes import Augmentation, Optimizer, Recipe, Schedule
from smallnet_core.system import files
from smallnet_core.training import checkpoints, loop, start
from smallnet_core.training.loop import Diverged, Interrupted, Trained, train
from tests.trainable import CPU, RECIPE, Watcher, exploding, same_weights, synthetic

# All that a checkpoint has to carry beside the state of the optimizer: dropout masks, running
# statistics, flips that depend on the first epoch, cutouts drawn in between, the best epoch.
EVERYTHING = replace(
    RECIPE,
    augmentation=Augmentation(crop_padding=2, flip="alternating", cutout=8),
    schedule=Schedule(name="linear", warmup_fraction=0.2),
    dropout=0.3,
    clip_norm=1.0,
    label_smoothing=0.1,
    selection="best_test_epoch",
    resolutions=((0.0, 20), (0.5, 32)),
)


class Killed(BaseException):
    """What no training catches."""


class Killer(Watcher):
    """Ends the training at a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def step(self) -> None:
        super().step()
        self.left -= 1
        if self.left == 0:
            raise Killed


def cut_off(recipe: Recipe, path: Path, at: int) -> None:
    with pytest.raises(Killed):
        train(recipe, synthetic(), CPU, progress=Killer(at), checkpoint=path)


def same(a: Trained, b: Trained) -> None:
    assert same_weights(a.state_dict, b.state_dict)
    for one, other in zip(a.curve, b.curve, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)
    assert a.selected_epoch == b.selected_epoch


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("between", [0.0, 1000.0], ids=["every-step", "at-the-end"])
@pytest.mark.parametrize("optimizer", ["sgdm", "adam", "adabound", "muon"])
def test_cut_off_at_any_step_it_goes_on(tmp_path, monkeypatch, optimizer, between):
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", between)
    recipe = replace(EVERYTHING, optimizer=Optimizer(name=optimizer, lr=1e-3, weight_decay=1e-2))
    whole = train(recipe, synthetic(), CPU)
    for at in (1, 2, 4, 5, 8, 12):  # around the ends of epochs, of four steps each
        path = tmp_path / f"{at}"
        cut_off(recipe, path, at)
        watcher = Watcher()
        resumed = train(recipe, synthetic(), CPU, progress=watcher, checkpoint=path)
        same(whole, resumed)
        # The step that was cut off was not noted any more.
        done = at - 1 if between == 0.0 else 0
        assert [i.step for i in resumed.interruptions] == [done]
        assert watcher.told.count("step") == 12 - done
        assert watcher.told[:2] == [
            "note",
            f"{recipe}: resumed after step {done}, {resumed.interruptions[0].lost_seconds:.1f} s "
            "of work were lost",
        ]


@pytest.mark.usefixtures("tiny_network")
def test_who_is_killed_before_the_result_is_kept_has_lost_nothing(tmp_path):
    path = tmp_path / "checkpoint"
    (tmp_path / ".checkpoint.xyz").write_bytes(b"half a file of a writer that was killed")
    (tmp_path / ".other.xyz").write_bytes(b"of another training")
    first = train(RECIPE, synthetic(), CPU, checkpoint=path)
    same(first, train(RECIPE, synthetic(), CPU))
    assert {file.name for file in tmp_path.iterdir()} == {"checkpoint", ".other.xyz"}
    watcher = Watcher()
    again = train(RECIPE, synthetic(), CPU, progress=watcher, checkpoint=path)
    same(first, again)
    assert "step" not in watcher.told


@pytest.mark.usefixtures("tiny_network")
def test_who_is_asked_to_stop_has_lost_nothing(tmp_path):
    path = tmp_path / "checkpoint"
    answers = iter([False] * 5 + [True])
    with pytest.raises(Interrupted, match="stopped after step 6 of 12"):
        train(RECIPE, synthetic(), CPU, checkpoint=path, stop=lambda: next(answers))
    resumed = train(RECIPE, synthetic(), CPU, checkpoint=path)
    assert [interruption.step for interruption in resumed.interruptions] == [6]
    same(resumed, train(RECIPE, synthetic(), CPU))


@pytest.mark.usefixtures("tiny_network")
def test_interruptions_add_up_and_cost_the_time_since_the_last_checkpoint(tmp_path, monkeypatch):
    """On a clock that ticks once a step: three epochs of four."""
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now, time=time.time)
    for module in (checkpoints, loop):
        monkeypatch.setattr(module, "time", clock)
    count = Watcher.step

    def tick(watcher: Watcher) -> None:
        clock.now += 1.0
        count(watcher)

    monkeypatch.setattr(Watcher, "step", tick)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "checkpoint"
    cut_off(RECIPE, path, 6)
    cut_off(RECIPE, path, 6)
    last_sign_of_life = path.stat().st_mtime + 42
    os.utime(path, (last_sign_of_life, last_sign_of_life))
    trained = train(RECIPE, synthetic(), CPU, progress=Watcher(), checkpoint=path)
    assert [interruption.step for interruption in trained.interruptions] == [5, 10]
    assert trained.interruptions[1].lost_seconds == pytest.approx(42, abs=1)
    assert [epoch.seconds for epoch in trained.curve] == [4.0, 4.0, 4.0]
    assert trained.total_seconds == trained.train_seconds == 12.0


@pytest.mark.usefixtures("tiny_network")
def test_a_training_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_TOUCH_SECONDS", 0.0)
    path = tmp_path / "checkpoint"
    touched: list[Path] = []
    monkeypatch.setattr(checkpoints.os, "utime", touched.append)
    train(RECIPE, synthetic(), CPU, checkpoint=path)
    assert touched == [path] * 11, "after each step and each epoch but the last"


@pytest.mark.usefixtures("tiny_network")
def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    watcher = Watcher()
    path = tmp_path / "checkpoint"
    trained = train(RECIPE, synthetic(), CPU, progress=watcher, checkpoint=path)
    same(trained, train(RECIPE, synthetic(), CPU))
    notes = [told for told in watcher.told if isinstance(told, str) and "not written" in told]
    assert len(notes) == 1 and "No space left" in notes[0] and str(path) in notes[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("tiny_network")
def test_what_diverged_leaves_no_checkpoint_of_broken_weights(tmp_path):
    path = tmp_path / "checkpoint"
    recipe = exploding()
    with pytest.raises(Diverged, match="diverged at step 6 of 16"):
        train(recipe, synthetic(), CPU, checkpoint=path)
    with pytest.raises(Diverged, match="diverged at step 6 of 16"):  # from the first epoch's
        train(recipe, synthetic(), CPU, checkpoint=path)


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize(
    ("changes", "digests", "torch_version", "gain"),
    [
        ({"seed": 4}, {}, torch.__version__, 1.0),
        ({"training_version": RECIPE.training_version + 1}, {}, torch.__version__, 1.0),
        ({}, {"train": "other"}, torch.__version__, 1.0),
        ({}, {}, "9.9.9", 1.0),
        ({}, {}, torch.__version__, 2.0),
    ],
    ids=["recipe", "version", "data", "torch", "dtype"],
)
def test_a_checkpoint_of_something_else_is_not_resumed(
    tmp_path, monkeypatch, changes, digests, torch_version, gain
):
    path = tmp_path / "checkpoint"
    monkeypatch.setattr(start, "bfloat16_gain", lambda network: 1.0)
    recipe = replace(RECIPE, precision="auto")
    cut_off(recipe, path, 6)
    recipe = replace(recipe, **changes)
    monkeypatch.setattr(start, "bfloat16_gain", lambda network: gain)
    monkeypatch.setattr(checkpoints.torch, "__version__", torch_version)
    watcher, data = Watcher(), replace(synthetic(), digests=digests)
    trained = train(recipe, data, CPU, progress=watcher, checkpoint=path)
    same(trained, train(recipe, data, CPU))
    assert trained.interruptions == () and watcher.told[0] == "note"
    assert watcher.told[1].startswith(f"not resumed: {path}: belongs to another training: ")


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("damage", ["first", "middle", "last", "cut", "empty", "longer"])
def test_damage_is_never_restored(tmp_path, damage):
    path = tmp_path / "checkpoint"
    cut_off(RECIPE, path, 6)
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            del content[-9:]
        case "empty":
            content.clear()
        case "longer":
            content += b"1"
        case place:
            content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 4
    path.write_bytes(content)
    watcher = Watcher()
    train(RECIPE, synthetic(), CPU, progress=watcher, checkpoint=path)
    assert watcher.told[:2] == [
        "note",
        f"not resumed: {path}: damaged, its checksum does not match",
    ]
    assert watcher.told.count("step") == 12
