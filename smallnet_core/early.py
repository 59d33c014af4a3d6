"""Loads the plugin for runs of projects that use it, before pytest reads their options.

An entry point of pytest: without it ``--compare /elsewhere/old.json`` would be a test path to
pytest, which meets our options in conftest.py, too late. Runs of other projects see nothing of us.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

PLUGIN = "smallnet_core.plugin"


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    config = pluginmanager.get_plugin("pytestconfig")
    if config is None or pluginmanager.is_blocked(PLUGIN):
        return
    given = config.invocation_params
    places = {given.dir, *(given.dir / str(arg).partition("::")[0] for arg in given.args)}
    folders = {folder for place in places for folder in (place, *place.parents)}
    if any(_uses_plugin(folder / "conftest.py") for folder in folders):
        pluginmanager.import_plugin(PLUGIN)


def _uses_plugin(conftest: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return PLUGIN.encode() in conftest.read_bytes()
    return False
