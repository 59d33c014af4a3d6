"""Warnings are errors in these tests, and in nobody's benchmarks."""

from __future__ import annotations

import gc

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # First: of several filters that match the last one counts.
    config.getini("filterwarnings").insert(0, "error")


def pytest_collection_finish() -> None:
    # pytest collects garbage at the end of every run, those of tests/integration too. A third of a
    # second each time, if it looked through torch and all that was collected here.
    gc.freeze()
