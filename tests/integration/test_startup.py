"""What ``pytest benchmarks --collect-only`` collects, how fast, and without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.claims.names import VOCABULARY

ROOT = Path(__file__).resolve().parents[2]

COLLECT = """
import json, sys, time
import pytest

class Items:
    def pytest_collection_finish(self, session):
        self.found = [[i.nodeid, sorted({m.name for m in i.iter_markers()})] for i in session.items]

items = Items()
code = pytest.main(["benchmarks", "--collect-only", "-q", "-p", "no:cacheprovider"], [items])
heavy = [name for name in ("torch", "torchvision", "sklearn") if name in sys.modules]
result = {"code": code, "cpu": time.process_time(), "heavy": heavy, "items": items.found}
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def collected() -> dict[str, Any]:
    """In an interpreter of its own, once."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def marks_by_parameter(collected: dict[str, Any]) -> dict[str, list[set[str]]]:
    """What stands in a test's brackets, and the markers of every test that has it there."""
    found: dict[str, list[set[str]]] = {}
    for nodeid, marks in collected["items"]:
        match = re.search(r"\[(.+)\]$", nodeid)
        assert match, nodeid
        found.setdefault(match[1], []).append(set(marks))
    return found


def test_collecting_works_takes_under_three_seconds_of_cpu_and_leaves_torch_alone(collected):
    assert collected["code"] == 0
    assert collected["heavy"] == []
    assert collected["cpu"] < 3


def test_every_claim_and_goal_is_collected_exactly_once(collected):
    found = marks_by_parameter(collected)
    assert [name for name in (*CLAIMS, *GOALS) if len(found.get(name, ())) != 1] == []


def test_every_claim_has_its_dataset_as_marker_and_no_other(collected):
    found = marks_by_parameter(collected)
    for claim_id, claim in {**CLAIMS, **GOALS}.items():
        for marks in found.get(claim_id, []):
            assert marks.intersection(VOCABULARY["dataset"]) == ({claim.dataset} - {None}), claim_id


def test_every_test_says_what_it_measures(collected):
    kinds = {"parameters", "accuracy", "failures", "pruning", "latency", "training_speed"}
    for nodeid, marks in collected["items"]:
        if "test_data.py" not in nodeid:
            assert len(kinds.intersection(marks)) == 1, nodeid


def test_ids_are_stable_strings_that_a_shell_and_a_file_can_hold(collected):
    for name in marks_by_parameter(collected):
        assert re.fullmatch(r"[\w./-]+", name), name
