"""Warnings are errors in these tests, and CI set or not makes no difference to them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # First: of several filters that match the last one counts.
    config.getini("filterwarnings").insert(0, "error")


def pytest_collection_finish() -> None:
    # pytest collects garbage at the end of every run, those of tests/integration too. A third of a
    # second each time, if it looked through torch and all that was collected here.
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_ci() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)  # the default of --fail-on
        yield


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever network a recipe names, one is built whose step takes a millisecond."""
    from smallnet_core.training import start
    from tests.trainable import Tiny

    monkeypatch.setattr(
        start, "build_model", lambda name, num_classes, **overrides: Tiny(**overrides)
    )


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the environment nor in the user's cache, which is empty, is there a dataset."""
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("SMALLNET_DATA", raising=False)


@pytest.fixture
def ten() -> Any:
    """A tiny dataset in the layouts of CIFAR-10."""
    from tests.tinydata import make_tiny

    return make_tiny(coarse=False)
