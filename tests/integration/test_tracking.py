"""``--track``: what a session sends to an experiment tracker, and how it is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import pytest

from smallnet_core.lab import track
from tests.integration.conftest import Suite


def test_a_tracker_that_is_not_installed_is_refused_in_a_line_before_the_first_test(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def found(name: str, *package: str) -> ModuleSpec | None:
        # As it is found where ./wandb is a folder of earlier runs.
        return ModuleSpec(name, None) if name == "wandb" else find_spec(name, *package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    refusal = suite.refusal(suite.benchmarks("digits", "--track=wandb"))
    assert refusal == "--track wandb: not installed; pip install 'smallnet[wandb]'"


@pytest.mark.parametrize("broken", [False, True])
def test_a_session_ends_with_its_verdicts_in_the_tracker_or_a_line(
    broken: bool,
    suite: Suite,
    fake_training: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables: list[Any] = []

    class Run:
        def __init__(self, name: str, config: Mapping[str, Any]) -> None:
            if broken:
                raise ConnectionError("no way there")

        def log(self, values: Mapping[str, float], step: int) -> None: ...
        def table(self, name: str, columns: Any, rows: Any) -> None:
            tables.extend(rows)

        def finish(self) -> None: ...

    suite.pytester.makepyfile(trackio="")
    monkeypatch.syspath_prepend(suite.pytester.path)
    monkeypatch.setitem(track.BACKENDS, "trackio", Run)
    result = suite.benchmarks("digits and vgg16_s-sgdm", "--track=trackio")
    assert result.ret == 0
    if broken:
        result.stdout.fnmatch_lines(["*--track trackio failed (ConnectionError: no way there)*"])
    else:
        assert tables == [["digits/vgg16_s-sgdm", "reproduced", 97.0, 95.0, "%"]]
