"""Experiment trackers: what they are given is the record's, and what fails in them fails alone."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock, call

import pytest

from smallnet_core.cli import main
from smallnet_core.lab import settings, track
from smallnet_core.lab.track import Tracked, track_verdicts
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.training.checkpoints import Epoch
from smallnet_core.training.progress import Progress
from tests.trainable import Watcher

ROOT = Path(__file__).resolve().parent.parent
STEPS = 40
CURVE = [
    Epoch(
        epoch=epoch,
        train_loss=2.0 / epoch,
        train_accuracy_percent=50.0 + epoch,
        test_accuracy_percent=90.0 if epoch == 3 else None,
        seconds=0.5,
    )
    for epoch in (1, 2, 3)
]
ROWS = [
    {"claim": None, "device": "cpu"},
    {"claim": "a/b", "verdict": "missed", "measured": 1.5, "paper": 2.0, "unit": "%"},
    {"claim": "a/c", "verdict": "not measured", "measured": None, "paper": 3.0, "unit": "%"},
]


def recipe() -> Recipe:
    return find_recipe("quick", "digits", "vgg16_s", "sgdm")


def follow(progress: Tracked) -> None:
    """What a training of three epochs tells who watches it."""
    one = recipe()
    progress.start(one, STEPS * one.epochs)
    for result in CURVE:
        progress.step()
        progress.epoch(result)
    progress.close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A tracker called fake, which remembers its calls."""
    opened = Mock()
    monkeypatch.setitem(sys.modules, "fake", ModuleType("fake"))
    monkeypatch.setitem(track.BACKENDS, "fake", opened)
    return opened


def test_a_training_is_logged_by_epoch_with_its_rate_and_its_recipe(fake: Mock) -> None:
    follow(Tracked(Progress(), "fake"))
    one = recipe()
    [(name, config)] = [made.args for made in fake.call_args_list]
    assert name == one.name and config["fingerprint"] == one.fingerprint()
    assert config["optimizer"]["lr"] == one.optimizer.lr and config["epochs"] == one.epochs
    logged, steps = zip(*(made.args for made in fake().log.call_args_list), strict=True)
    assert steps == (1, 2, 3)
    assert "test_accuracy_percent" not in logged[0]  # no number: that epoch was not evaluated
    rate = one.optimizer.lr * one.schedule.factor(3 * STEPS - 1, one.epochs * STEPS, STEPS)
    assert logged[2] == {**vars(CURVE[2]), "num_steps": 3 * STEPS, "learning_rate": rate}
    assert fake().mock_calls[-1] == call.finish()


@pytest.mark.parametrize("broken", ["open", "log", "finish"])
def test_a_tracker_that_fails_is_one_line_and_the_training_goes_on(broken: str, fake: Mock) -> None:
    failing = fake if broken == "open" else getattr(fake.return_value, broken)
    failing.side_effect = ConnectionError("the quota\nis used up")
    inner = Watcher()
    follow(Tracked(inner, "fake"))
    assert [line for line in inner.told if "--track" in str(line)] == [
        "--track fake failed (ConnectionError: the quota is used up); "
        "this session continues without it"
    ]
    assert [told for told in inner.told if told in (*CURVE, "step", "close")] == [
        *(told for epoch in CURVE for told in ("step", epoch)),
        "close",
    ]


def test_verdicts_are_a_table_and_their_counts(fake: Mock) -> None:
    assert track_verdicts("fake", ROWS) is None
    rows = [["a/b", "missed", 1.5, 2.0, "%"], ["a/c", "not measured", None, 3.0, "%"]]
    assert fake.return_value.mock_calls == [
        call.log({"missed": 1, "not measured": 1}, 0),
        call.table("claims", ("claim", "verdict", "measured", "paper", "unit"), rows),
        call.finish(),
    ]


def test_the_command_refuses_a_tracker_that_is_not_installed_or_not_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings.importlib.util, "find_spec", lambda name: None)
    assert main(["train", "--track", "wandb"]) == 2
    assert "pip install 'smallnet[wandb]'" in capsys.readouterr().err
    assert main(["train", "--track", "paper"]) == 2
    assert "expected one of wandb, trackio, tensorboard" in capsys.readouterr().err


# The packages themselves, where they are installed, each in a process of its own, offline


def in_a_process(backend: str, folder: Path) -> None:
    pytest.importorskip(backend)
    code = (
        "from smallnet_core.lab.track import Tracked, track_verdicts\n"
        "from smallnet_core.training.progress import Progress\n"
        "from tests.test_track import ROWS, follow\n"
        f"class Loud(Progress):\n    def note(self, line): raise SystemExit(line)\n"
        f"follow(Tracked(Loud(), {backend!r}))\n"
        f"raise SystemExit(track_verdicts({backend!r}, ROWS))\n"
    )
    own = {"WANDB_MODE": "offline", "WANDB_DIR": str(folder), "TRACKIO_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **own, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""  # it would lie across a table of running trainings


def check(logged: list[dict[str, Any]], approximately: float = 0.0) -> None:
    """Whether what was read back is what was told of each epoch."""
    assert len(logged) == len(CURVE)
    for found, epoch in zip(logged, CURVE, strict=True):
        told = {name: value for name, value in vars(epoch).items() if value is not None}
        assert {name: found[name] for name in told} == pytest.approx(told, rel=approximately)
        assert found["num_steps"] == epoch.epoch * STEPS
        assert found["learning_rate"] > 0
        assert ("test_accuracy_percent" in found) == (epoch.epoch == 3)


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: LevelDB's log after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:  # the end of a block
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def test_wandb_has_what_was_told(tmp_path: Path) -> None:
    in_a_process("wandb", tmp_path)
    runs = {}
    for path in tmp_path.glob("wandb/offline-run-*/run-*.wandb"):
        records = list(wandb_records(path))
        [run] = {one.run.display_name for one in records if one.HasField("run")}
        runs[run] = [
            {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in one.history.item
            }
            for one in records
            if one.HasField("history")
        ]
    assert runs.keys() == {recipe().name, "verdicts"}
    check(runs[recipe().name])
    assert runs["verdicts"][0]["missed"] == 1
    [table] = tmp_path.glob("wandb/offline-run-*/files/media/table/claims*.json")
    assert json.loads(table.read_text())["data"][0] == ["a/b", "missed", 1.5, 2.0, "%"]


def test_trackio_has_what_was_told(tmp_path: Path) -> None:
    in_a_process("trackio", tmp_path)
    with sqlite3.connect(tmp_path / "smallnet.db") as database:
        found = database.execute("SELECT run_name, metrics FROM metrics ORDER BY id").fetchall()
    database.close()
    runs: dict[str, list[dict[str, Any]]] = {}
    for name, metrics in found:
        runs.setdefault(name, []).append(json.loads(metrics))
    check(runs[recipe().name])
    counts, table = runs["verdicts"]
    assert counts["missed"] == 1
    assert table["claims"]["_value"][0] == {
        "claim": "a/b",
        "verdict": "missed",
        "measured": 1.5,
        "paper": 2.0,
        "unit": "%",
    }


def test_tensorboard_has_what_was_told(tmp_path: Path) -> None:
    in_a_process("tensorboard", tmp_path)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(name: str) -> Any:
        [folder] = tmp_path.glob(f"runs/smallnet/{name}/*")
        return EventAccumulator(str(folder)).Reload()

    training = read(recipe().name)
    logged: dict[int, dict[str, Any]] = {}
    for tag in training.Tags()["scalars"]:
        for event in training.Scalars(tag):
            logged.setdefault(event.step, {})[tag] = event.value
    check([logged[epoch] for epoch in sorted(logged)], approximately=1e-6)
    verdicts = read("verdicts")
    assert verdicts.Scalars("missed")[0].value == 1
    [table] = verdicts.Tensors("claims/text_summary")
    assert b"| a/b | missed | 1.5 | 2.0 | % |" in table.tensor_proto.string_val[0]
