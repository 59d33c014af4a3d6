"""Warnings are errors in these tests, and in nobody's benchmarks."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # First: of several filters that match the last one counts.
    config.getini("filterwarnings").insert(0, "error")
