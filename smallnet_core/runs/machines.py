"""Compares where two runs happened: on one machine or not, and what else differs. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smallnet_core.runs.file import RunFile

# Without these facts machines cannot be told apart.
_NEEDED = ("host", "processor", "memory_gib", "num_threads")
_OURS = ("memory_gib", "device", "device_name", "num_threads")
_CLOCK_CHANGE = 1.1
BUSY = 1.25  # processes a core


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact that differs between two runs; None if a file doesn't say."""

    name: str
    old: str | None
    new: str | None


def machines(old: RunFile, new: RunFile) -> str:
    """Return "same" or "another" machine; "unknown" if a file says too little."""
    before, after = _machine(old), _machine(new)
    if any(before[name] != after[name] for name in before if before[name] and after[name]):
        return "another"
    return "same" if all(before[name] and after[name] for name in _NEEDED) else "unknown"


def differences(old: RunFile, new: RunFile) -> tuple[Difference, ...]:
    """List what differs: commits, packages, CUDA, driver, processor, threads."""
    before, after = _environment(old), _environment(new)
    return tuple(
        Difference(name=name, old=before.get(name), new=after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    )


def warnings(old: RunFile, new: RunFile) -> tuple[str, ...]:
    """Return warnings about a busy machine or a changed clock, from what the rows recorded."""
    found, clocks = [], []
    for which, file in (("old", old), ("new", new)):
        loads = _recorded(file, "load_average")
        cores = num_cores(file)
        if loads and cores and max(loads) > BUSY * cores:
            found.append(
                f"the {which} run's machine was busy: "
                f"load average {max(loads):.1f} on {cores} cores"
            )
        clocks.append(_recorded(file, "clock_mhz"))
    if all(clocks):
        before, after = map(statistics.median, clocks)
        if max(before, after) > _CLOCK_CHANGE * min(before, after) > 0:
            found.append(f"the clock changed from {before:.0f} to {after:.0f} MHz")
    return tuple(found)


def num_cores(file: RunFile) -> int | None:
    """Return how many cores the run's machine had, or else its threads."""
    return _processor(file).get("count") or file.machine.get("num_threads")


def _recorded(file: RunFile, name: str) -> list[float]:
    found = [row.get(name) for row in file.rows if row["claim"] is None]
    return [value for value in found if value is not None]


def _text(value: Any) -> str | None:
    if value in (None, "", [], {}):
        return None
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _processor(file: RunFile) -> Mapping[str, Any]:
    return file.document["machine_info"].get("cpu") or {}


def _machine(file: RunFile) -> dict[str, str | None]:
    whole, processor = file.document["machine_info"], _processor(file)
    facts = {
        "host": whole.get("node"),
        "processor": processor.get("brand_raw") or whole.get("processor"),
        "flags": sorted(processor.get("flags", ())),
        "cache": processor.get("l3_cache_size"),
        **{name: file.machine.get(name) for name in _OURS},
    }
    return {name: _text(value) for name, value in facts.items()}


def _environment(file: RunFile) -> dict[str, str | None]:
    machine = _machine(file)
    if machine["flags"]:
        machine["flags"] = f"{machine['flags'].count(',') + 1} flags"
    facts = {
        "commit": file.commit.get("id"),
        "python": file.machine.get("python"),
        "system": file.machine.get("system"),
        "float32 precision": file.machine.get("fp32_precision"),
        **file.machine.get("versions", {}),
    }
    return {name: _text(value) for name, value in facts.items()} | machine
