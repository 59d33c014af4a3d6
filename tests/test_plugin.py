"""smallnet_core.plugin and progress, as far as no inner run is needed (see integration)."""

from __future__ import annotations

import contextlib
import io
import os
from types import SimpleNamespace
from typing import Any

import pytest

from smallnet_core import session
from smallnet_core.options import settings_of
from smallnet_core.recipes import find_recipe
from smallnet_core.training.checkpoints import Epoch
from smallnet_core.training.progress import Notes, ProgressBar

RECIPE = find_recipe("quick", "digits", "resnet18_s", "adam")


def epoch(number: int, **fields: float | None) -> Epoch:
    numbers = {
        "train_loss": 0.1234,
        "train_accuracy_percent": 98.7,
        "test_accuracy_percent": 97.25,
        "seconds": 1.0,
    }
    return Epoch(epoch=number, **(numbers | fields))


# Parameters


# pytest-benchmark's tables


# Progress


@pytest.fixture
def session_on(pytestconfig, monkeypatch):
    """Makes a session whose standard error is a descriptor of ours, and what closes that."""

    def make(descriptor: int) -> tuple[session.Session, list[Any]]:
        monkeypatch.setattr(session.os, "dup", lambda fd: descriptor)
        cleanups: list[Any] = []
        own = session.Session(pytestconfig, settings_of(pytestconfig))
        plugins = pytestconfig.pluginmanager
        own.config = SimpleNamespace(pluginmanager=plugins, add_cleanup=cleanups.append)
        return own, cleanups

    return make


def test_a_log_gets_notes_and_no_bar(session_on):
    reader, writer = os.pipe()
    own, cleanups = session_on(writer)
    notes = own._progress()
    assert isinstance(notes, Notes)
    notes.start(RECIPE, 10, 5)
    notes.note("resumed after step 5")
    notes.step()
    notes.epoch(epoch(1))
    notes.close()
    [close] = cleanups
    close()
    with open(reader, "rb") as stream:
        assert stream.read() == b"\nresumed after step 5\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_a_bar_is_drawn_on_a_terminal_whatever_pytest_captures(session_on):
    master, terminal = os.openpty()
    own, cleanups = session_on(terminal)
    bar = own._progress()
    assert isinstance(bar, ProgressBar)
    bar.start(RECIPE, 10)
    bar.close()
    [close] = cleanups
    close()
    drawn = b""
    with contextlib.suppress(OSError):  # so Linux ends what a closed terminal had to say
        while more := os.read(master, 10_000):
            drawn += more
    os.close(master)
    assert str(RECIPE) in drawn.decode() and "0/10" in drawn.decode()


def test_a_bar_shows_loss_accuracies_and_the_end():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    for _ in range(2):  # one training after another
        bar.start(RECIPE, 4)
        for step in range(4):
            bar.step()
            if step % 2:
                bar.epoch(epoch(1 + step // 2, train_loss=1 / (step + 1)))
        bar.close()
    text = stream.getvalue()
    assert text.startswith("\n"), "pytest's own line is still open"
    assert text.count("4/4") >= 2
    assert "epoch 2, loss 0.250, train 98.70 %, test 97.25 %" in text
    assert text.endswith("\n")


def test_a_bar_of_a_resumed_training_begins_where_it_went_on():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    bar.note("resumed after step 3")
    bar.start(RECIPE, 4, 3)
    bar.step()
    bar.epoch(epoch(1, test_accuracy_percent=None))  # was not evaluated
    bar.close()
    bar.close()
    bar.step()  # what still comes is taken
    text = stream.getvalue()
    assert "resumed after step 3\n" in text
    assert "3/4" in text and "4/4" in text and "0/4" not in text
    assert "train 98.70 %" in text and "test" not in text
