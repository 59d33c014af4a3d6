"""Changes that are known and accepted, in ``reports/accepted.toml``, which may be edited by hand.

[[accepted]]
claim = "table2/resnet18_s-adabound"  # the row's name
commit = "2537ac0d95bf"               # the commit that changed it
reason = "smaller batches, half the memory"
until = 2027-01-31                    # optional: it fails again from the next day on
value = 90.2                          # optional: the row's value then, in its unit
"""

from __future__ import annotations

import datetime
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import ConfigDict, Field, field_validator, model_validator

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.runs.compare import Comparison
from smallnet_core.runs.file import RunFile, cleaned
from smallnet_core.runs.history import History
from smallnet_core.runs.readings import readings
from smallnet_core.runs.rows import Change, RowComparison, joined
from smallnet_core.system.checked import explain, parse_toml
from smallnet_core.system.files import replace_file
from smallnet_core.system.git import git

FILE = Path("reports/accepted.toml")
# How the names of rows that judge no claim begin; benchmarks choose the rest.
_TIMINGS = ("latency/", "training_speed/", "pruned network/", "pruning curve/", "failures/")
_HEX = re.compile(r"[0-9a-f]{7,40}")


class Accepted(pydantic.BaseModel):
    """A change of one row at one commit that no longer fails."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    _clean = model_validator(mode="before")(lambda entry: cleaned(entry, "the entry"))
    claim: str
    commit: Annotated[str, Field(pattern=rf"^{_HEX.pattern}$")]
    reason: Annotated[str, Field(min_length=1)]
    until: datetime.date | None = None
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None

    @field_validator("claim")
    @classmethod
    def _is_known(cls, claim: str) -> str:
        known = [*CLAIMS, *GOALS]
        if claim not in known and not claim.startswith(_TIMINGS):
            near = difflib.get_close_matches(claim, known, 1)
            raise ValueError("no such claim" + (f": is it {near[0]}?" if near else ""))
        return claim

    @property
    def is_over(self) -> bool:
        """Tell whether its last day has passed."""
        return self.until is not None and datetime.date.today() > self.until

    def toml(self) -> str:
        """Return it as an entry of the file."""
        lines = ["[[accepted]]"]
        for name, value in self.model_dump(exclude_none=True).items():
            date = isinstance(value, datetime.date)
            lines.append(f"{name} = {value if date else json.dumps(value, ensure_ascii=False)}")
        return "\n".join(lines) + "\n"


class _Document(pydantic.BaseModel):
    model_config = ConfigDict(extra="forbid")

    accepted: list[Accepted] = []


def read_accepted(path: Path) -> list[Accepted]:
    """Read the file, empty if it is missing; one-line ValueError if it is invalid."""
    return parse_toml(_Document, path.read_bytes() if path.exists() else b"", path).accepted


def add(entry: dict[str, Any], path: Path) -> None:
    """Append an entry to the file; one-line ValueError if the entry or the file is invalid."""
    try:
        text = Accepted.model_validate(entry).toml()
    except pydantic.ValidationError as error:
        raise ValueError(explain(error, entry)) from error
    read_accepted(path)
    before = path.read_bytes() if path.exists() else b""
    replace_file(path, before, b"\n" * bool(before), text.encode())


def resolved(commit: str) -> str:
    """Return the full id of a commit; ValueError if git doesn't know it and it is no id."""
    options = ("--verify", "--quiet", "--end-of-options")
    done = git(Path(), "rev-parse", *options, f"{commit}^{{commit}}")
    found = done.stdout.strip() if done and done.returncode == 0 else commit
    if not _HEX.fullmatch(found):
        raise ValueError(f"--commit {commit}: git knows no such commit, and it is not a commit id")
    return found


def contains(run: RunFile, commit: str, folder: Path) -> bool | None:
    """Tell whether a run was made with a commit in its history; None if unknown."""
    own = str(run.commit.get("id") or "")
    if not _HEX.fullmatch(own):
        return None
    if own.startswith(commit):
        return True
    done = git(folder, "merge-base", "--is-ancestor", commit, own)
    return None if done is None else {0: True, 1: False}.get(done.returncode)


def spans(entry: Accepted, old: RunFile, new: RunFile, folder: Path) -> bool:
    """Tell whether the commit came between two runs, as far as known."""
    return (
        contains(old, entry.commit, folder) is not True
        and contains(new, entry.commit, folder) is not False
    )


def accept(
    comparison: Comparison,
    entries: Iterable[Accepted],
    *,
    folder: Path = Path(),
    earlier: Callable[[], Sequence[RunFile]] = tuple,
) -> Comparison:
    """Mark known regressions as accepted, so that they don't fail.

    A regression is accepted if the entry's commit came between the runs and the row is no worse
    than it became then: than the entry's value or, without one, than in the first of the
    ``earlier`` runs, by time, that has the commit. ``folder`` is in the git repository.
    """
    rows = list(comparison.rows)
    for entry in entries:
        for k, row in enumerate(rows):
            if row.label != entry.claim or row.change is not Change.REGRESSION:
                continue
            # A reference keeps rows that are gone, so its newest run may have the commit too.
            stays = row.new is None and contains(comparison.new, entry.commit, folder) is not False
            if not (stays or spans(entry, comparison.old, comparison.new, folder)):
                continue
            value = entry.value
            if value is None:
                value = _first_value(entry, earlier(), folder)
            if entry.is_over:
                note = joined(row.note, f"was accepted until {entry.until}")
            elif value is not None and _is_worse(row, value):
                note = joined(row.note, f"worse than the accepted {value:.4g}")
            else:
                note = joined(f"accepted ({entry.reason})", row.note)
                row = replace(row, change=Change.ACCEPTED)
            rows[k] = replace(row, note=note)
    return replace(comparison, rows=tuple(rows))


def accept_steps(history: History, entries: Iterable[Accepted]) -> History:
    """Mark known steps for the worse as accepted: those within a run of an entry's commit.

    If a row gets even worse, that is another, later step.
    """
    files, lines = history.files, list(history.lines)
    for entry in entries:
        for k, line in enumerate(lines):
            if line.label != entry.claim or entry.is_over:
                continue
            changes = list(line.changes)
            for n, at in enumerate(line.steps):
                around = files[max(0, at - 2)], files[min(len(files) - 1, at + 1)]
                if changes[n] is Change.REGRESSION and spans(entry, *around, Path()):
                    changes[n] = Change.ACCEPTED
            lines[k] = replace(line, changes=tuple(changes))
    return replace(history, lines=tuple(lines))


def _first_value(entry: Accepted, runs: Sequence[RunFile], folder: Path) -> float | None:
    for run in runs:
        if contains(run, entry.commit, folder):
            for reading in readings(run):
                if reading.label == entry.claim and reading.value is not None:
                    return reading.value
    return None


def _is_worse(row: RowComparison, value: float) -> bool:
    """Tell whether a row is worse than a value by more than its threshold and its uncertainty."""
    if row.new is None:
        return True
    excess = row.new - value
    if row.kind == "rounds":
        excess = 100 * (row.new / value - 1) if value else math.inf
    low, high = row.interval or (0.0, 0.0)
    excess = excess if row.lower_is_better else -excess
    return excess > max(row.threshold or 0.0, (high - low) / 2)
