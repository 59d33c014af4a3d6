"""Load the plugin, in projects that use it, before pytest reads their options.

A pytest entry point. Without it pytest would learn of our options from conftest.py, too late, and
take the file in ``--compare /elsewhere/old.json`` for a test path. Other projects are unaffected.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

PLUGIN = "smallnet_core.plugin"


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Import the plugin if a conftest.py of this run names it."""
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
