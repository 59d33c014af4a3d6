"""Decides whether a comparison fails CI, by thresholds and ``--fail-on``."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallnet_core.runs.accepted import Accepted
    from smallnet_core.runs.compare import Comparison
    from smallnet_core.runs.file import RunFile
    from smallnet_core.runs.rows import Change, Thresholds

# What the choices of --fail-on fail on, by Change.
FAIL_ON: Mapping[str, frozenset[str]] = {
    "regression": frozenset({"regression"}),
    "change": frozenset({"regression", "improvement", "changed", "new", "gone"}),
    "nothing": frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a run will be compared with, and by which rules."""

    run: RunFile
    thresholds: Thresholds
    accepted: Sequence[Accepted]
    left_out: Sequence[str]  # a line for each file of its folder that is no run


def fail_on_default() -> str:
    """Return the default of ``--fail-on``: "regression" if the variable CI is set."""
    off = ("", "0", "false", "no", "off")
    return "nothing" if os.environ.get("CI", "").lower() in off else "regression"


def read_thresholds(path: Path | None) -> Thresholds:
    """Read ``[tool.smallnet.compare]`` of ``path`` or, by default, ./pyproject.toml if it exists.

    ValueError, with the file, for invalid TOML or thresholds; OSError if ``path`` cannot be read.
    """
    from smallnet_core.runs.rows import Thresholds
    from smallnet_core.system.checked import parse_toml

    if path is None:
        path = Path("pyproject.toml")
        if not path.is_file():
            return Thresholds()
    return parse_toml(Thresholds, path.read_bytes(), path, "tool", "smallnet", "compare")


def unused_patterns(comparison: Comparison) -> list[str]:
    """Return a line for each threshold whose pattern matches no row."""
    return [
        f"[tool.smallnet.compare.claims]: {pattern!r} matches no row"
        for pattern in comparison.thresholds.claims
        if not fnmatch.filter((row.label for row in comparison.rows), pattern)
    ]


def fails(changes: Iterable[Change], fail_on: str) -> bool:
    """Tell whether any of these changes is of the kind that ``fail_on`` names."""
    return not FAIL_ON[fail_on].isdisjoint(changes)
