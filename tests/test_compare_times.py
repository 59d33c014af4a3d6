"""Comparing times, and where they were measured."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest

from smallnet_core.report import compare as compare_report
from smallnet_core.runs.compare import compare
from smallnet_core.runs.file import RunFile, read_run_file
from smallnet_core.runs.reference import learn
from smallnet_core.runs.rows import Change
from studies.compare_power import document
from tests.saved import by_label, changed, file, only, timed


def test_a_time_that_doubled_is_a_regression_and_the_other_way_an_improvement() -> None:
    old, new = timed(1, 1, 1), timed(2, 1, 1, run=1)
    rows = compare(old, new).rows
    assert [row.change for row in rows] == [Change.REGRESSION, Change.SIMILAR, Change.SIMILAR]
    assert rows[0].effect == pytest.approx(100, abs=5)
    assert rows[0].interval is not None and rows[0].interval[0] < rows[0].effect
    assert compare(new, old).rows[0].change is Change.IMPROVEMENT


@pytest.mark.parametrize(
    ("place", "value", "found"),
    [
        ("smallnet.device_name", "another", "another"),
        ("node", "another", "another"),
        ("node", "", "unknown"),
        ("smallnet.memory_gib", None, "unknown"),
    ],
)
def test_times_of_another_or_an_unknown_machine_are_shown_and_not_judged(
    place: str, value: str | None, found: str
) -> None:
    new = changed(timed(2, run=1), {f"machine_info.{place}": value})
    comparison = compare(timed(1), new)
    assert comparison.machines == found and not comparison.same_machine
    assert compare(new, new).machines == ("same" if found == "another" else "unknown")
    row = only(comparison)
    assert row.change is Change.NOT_JUDGED and row.effect == pytest.approx(100, abs=5)
    across = only(compare(timed(1), new, across_machines=True))
    assert across.change is Change.REGRESSION


def test_a_comparison_names_what_differs_of_the_environment() -> None:
    """In the header and in the JSON."""
    places = {
        "machine_info.smallnet.versions": {"torch": "2.15.0", "cuda": "13.2", "driver": "570.1"},
        "machine_info.smallnet.num_threads": 4,
        "machine_info.cpu.brand_raw": "another",
    }
    comparison = compare(timed(1), changed(timed(1, run=1), places))
    header = " ".join(" ".join(compare_report.terminal_lines(comparison)).split())
    for text in (
        "commits 000000000000..000000000000",
        "torch unknown -> 2.15.0",
        "cuda unknown -> 13.2",
        "driver unknown -> 570.1",
        "processor simulated -> another",
        "num_threads 2 -> 4",
    ):
        assert text in header
    listed = json.loads(compare_report.as_json(comparison))["environment"]
    assert {"name": "driver", "old": None, "new": "570.1"} in listed
    names = {"commit", "torch", "cuda", "driver", "processor", "num_threads"}
    assert {difference["name"] for difference in listed} == names


def test_a_clock_that_changed_is_warned_of() -> None:
    old, new = (changed(timed(1), {"smallnet.rows.0.clock_mhz": mhz}) for mhz in (3000, 2000))
    comparison = compare(old, new)
    assert comparison.warnings == ("the clock changed from 3000 to 2000 MHz",)
    lines = compare_report.terminal_lines(comparison)
    assert f"warning: {comparison.warnings[0]}" in lines


@pytest.mark.parametrize("size", [1, 101, 500])
def test_a_tenfold_time_is_found_from_one_round_in_a_table_of_any_size(size: int) -> None:
    old = timed(*[1.0] * size, rounds=1)
    row = compare(old, timed(10, *[1.0] * (size - 1), run=1, rounds=1)).rows[0]
    assert row.change is Change.REGRESSION
    assert row.interval is not None and 200 < row.interval[0] < 900 < row.interval[1]


def test_a_reference_timing_takes_out_the_machines_mood() -> None:
    slowed = timed(1.5, 1.5, run=1, mood=1.5)
    rows = compare(timed(1, 1), slowed).rows
    assert {row.change for row in rows} == {Change.SIMILAR}
    assert "the reference timing changed by 50 %" in rows[0].note
    other = {"smallnet.rows.0.reference_seconds": {"another": 0.0015}}
    assert "no reference timing" in compare(timed(1, 1), changed(slowed, other)).rows[0].note
    own = compare(timed(1, 1), timed(1.5, 1, run=1)).rows
    assert [row.change for row in own] == [Change.REGRESSION, Change.SIMILAR]


def test_without_a_reference_timing_the_mood_may_be_behind_it() -> None:
    quiet = [[0.01] * 20] * 5
    old, new = (document([], [[s] * 20, *quiet], k) for k, s in enumerate((0.0392, 0.0488)))
    row = compare(old, new).rows[0]
    assert row.change is Change.UNDECIDED and "no reference timing" in row.note


def test_a_pruned_network_that_is_ten_times_slower_is_a_regression() -> None:
    old = file()
    k, pruned = next((k, r) for k, r in enumerate(old.rows) if r.get("kind") == "pruned network")
    new = changed(old, {f"smallnet.rows.{k}.latency_ms": 10 * pruned["latency_ms"]})
    rows = by_label(compare(old, new, across_machines=True))
    assert rows[f"pruned network/{pruned['name']}: latency_ms"].change is Change.REGRESSION


def test_a_window_of_runs_finds_what_the_predecessor_alone_does_not() -> None:
    window = [timed(*[1] * 12, run=k) for k in range(7)]
    new = timed(1.16, *[1] * 11, run=9)
    assert compare(window[-1], new).rows[0].change is not Change.REGRESSION
    rows = compare(window[-1], new, learnt=learn(window)).rows
    assert [row.change for row in rows] == [Change.REGRESSION, *[Change.SIMILAR] * 11]


def crowded(found: RunFile, load: float) -> RunFile:
    """On a machine of two cores that had ``load`` processes to run."""
    return changed(found, {"machine_info.cpu.count": 2, "smallnet.rows.0.load_average": load})


@pytest.mark.parametrize(
    ("load", "factor", "change"),
    [
        (2.0, 1.5, Change.REGRESSION),  # its own two threads
        (2.0, 1.08, Change.SIMILAR),
        (4.8, 1.5, Change.UNDECIDED),
        (4.8, 10, Change.REGRESSION),
        (4.8, 1.05, Change.SIMILAR),
    ],
)
def test_what_a_busy_machine_explains_is_undecided(
    load: float, factor: float, change: Change
) -> None:
    for loads in ((load, 1.0), (1.0, load)):
        old, new = map(crowded, (timed(1), timed(factor, run=1)), loads)
        comparison = compare(old, new)
        assert only(comparison).change is change
        text = "\n".join(compare_report.terminal_lines(comparison, verbose=True))
        assert ("machine was busy: load average 4.8 on 2 cores" in text) is (load > 2.5)


@pytest.mark.parametrize(
    ("factor", "precision", "change"),
    [
        (3, "float32", Change.IMPROVEMENT),
        (1 / 3, "float32", Change.REGRESSION),
        (1 / 3, "bfloat16", Change.NOT_JUDGED),  # on a CPU each run finds out which one is faster
    ],
)
def test_images_a_second_are_judged_within_one_precision(factor, precision, change):
    old, places = file(), {}
    for k, row in enumerate(old.rows):
        if loops := row.get("rounds_images_per_second"):
            speeds = {loop: [factor * one for one in found] for loop, found in loops.items()}
            places[f"smallnet.rows.{k}.precision"] = precision
            places[f"smallnet.rows.{k}.rounds_images_per_second"] = speeds
    rows = compare(old, changed(old, places), across_machines=True).rows
    found = [row for row in rows if row.table == "training_speed" and row.kind == "rounds"]
    assert len(found) == 3 and {row.change for row in found} == {change}
    named = "computed in float32 and bfloat16"
    assert all((named in row.note) is (change is Change.NOT_JUDGED) for row in found)


@pytest.mark.parametrize(
    ("seconds", "factor", "change"),
    [
        (0.002, 1.4, Change.UNDECIDED),  # as real runs of equal code have differed
        (0.02, 1.4, Change.REGRESSION),
        (0.002, 2.5, Change.REGRESSION),
    ],
)
def test_a_time_of_a_few_ms_needs_more_than_two_runs(seconds, factor, change):
    scale = seconds / math.exp(-5)
    old, new = timed(scale), timed(scale * factor, run=1)
    row = only(compare(old, new))
    assert row.change is change and ("under 4 ms" in row.note) is (seconds < 0.004)
    # A reference of several runs has learnt how much the row differs by.
    window = [timed(scale, run=k) for k in range(7)]
    assert only(compare(window[-1], new, learnt=learn(window))).change is Change.REGRESSION


def test_real_runs_of_one_commit_show_no_regression_in_any_order():
    folder = Path(__file__).parents[1] / "reports" / "2026-11-26-compare"
    runs = [read_run_file(folder / f"speed-{k}.json") for k in (1, 2, 3)]
    for old, new in itertools.permutations(runs, 2):
        found = compare(old, new)
        assert found.machines == "same" and not found.of(Change.REGRESSION, Change.IMPROVEMENT)
