"""Comparing, its reports and its command: what changed is said, and nothing else is."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.cli import main
from smallnet_core.cli.compare import read_thresholds
from smallnet_core.report import compare as compare_report
from smallnet_core.runs.compare import Comparison, compare
from smallnet_core.runs.file import RunFile, check_document, read_run_file
from smallnet_core.runs.history import bisect_status, history
from smallnet_core.runs.reference import learn
from smallnet_core.runs.rows import Change, ComparisonError, RowComparison, Thresholds
from smallnet_core.studies.compare_power import (
    Accuracy,
    Times,
    alarms_of_history,
    alarms_of_pair,
    document,
)

FILES = Path(__file__).parent / "files"
SCHEMA_1, SCHEMA_2 = FILES / "run-schema-1.json", FILES / "run-schema-2.json"
NUM_IMAGES = 10_000
TABLE_2 = "table2/resnet18_s-adabound"


def right(percent: float, seed: int = 0, flipped: float = 0.0) -> np.ndarray:
    """Answers of which so many are right, and so many points of them at other images."""
    answers = np.zeros(NUM_IMAGES, bool)
    answers[: round(percent * NUM_IMAGES / 100)] = True
    count = round(flipped * NUM_IMAGES / 100)
    generator = np.random.default_rng(seed)
    lost = generator.choice(np.flatnonzero(answers), count, replace=False)
    gained = generator.choice(np.flatnonzero(~answers), count, replace=False)
    answers[lost], answers[gained] = False, True
    return answers


def only(comparison: Comparison) -> RowComparison:
    [row] = comparison.rows
    return row


def file(changes: dict[str, Any] | None = None, source: Path = SCHEMA_2) -> RunFile:
    """The stored run, with fields of its rows changed, by claim."""
    found = json.loads(source.read_text())
    for row in found["smallnet"]["rows"]:
        if row["claim"] is not None:
            row.update((changes or {}).get(row["claim"], {}))
    return RunFile(path=source, document=check_document(found))


def by_label(comparison: Comparison) -> dict[str, RowComparison]:
    return {row.label: row for row in comparison.rows}


# Accuracy


def test_nothing_changes_from_a_run_to_itself() -> None:
    for path in (SCHEMA_1, SCHEMA_2):
        comparison = compare(read_run_file(path), read_run_file(path), across_machines=True)
        assert set(comparison.counts) <= {Change.UNCHANGED, Change.SIMILAR}
        assert all(not row.effect for row in comparison.rows)
        assert len(comparison.rows) > 60


def test_a_file_of_schema_1_compares_with_its_like_of_schema_2() -> None:
    comparison = compare(read_run_file(SCHEMA_1), read_run_file(SCHEMA_2))
    assert not comparison.of(Change.REGRESSION, Change.IMPROVEMENT, Change.GONE, Change.NEW)


def one(percents: tuple[float, ...], run: int) -> RunFile:
    """A run of one network, a seed each, of weights of its own."""
    return document([[right(p, run + k, 3.0) for k, p in enumerate(percents)]], [], run)


def test_one_seed_against_one_of_other_weights_is_undecided_within_what_seeds_may_do() -> None:
    near = only(compare(one((92.0,), 0), one((91.5,), 1)))
    assert near.change is Change.SIMILAR and "fewer than three seeds" in near.note
    far = only(compare(one((92.0,), 0), one((90.5,), 1)))
    assert far.change is Change.UNDECIDED and far.effect == pytest.approx(-1.5)
    assert far.interval is not None and far.interval[0] < -1.5 < 0 < far.interval[1]
    assert only(compare(one((92.0,), 0), one((80.0,), 1))).change is Change.REGRESSION


def test_from_three_seeds_on_their_own_deviation_rules() -> None:
    """The same fall of 0.8 points, of seeds that agree and of seeds that do not."""
    for seeds, change in (
        ((92.0, 92.1, 91.9), Change.REGRESSION),
        ((92.0, 93.0, 91.0), Change.SIMILAR),
    ):
        row = only(compare(one(seeds, 0), one(tuple(p - 0.8 for p in seeds), 10)))
        assert row.change is change and row.effect == pytest.approx(-0.8)
        assert row.test is not None and "own deviation" in row.test.method
    better = only(compare(one((90.0, 90.1, 90.2), 0), one((92.0, 92.1, 92.2), 10)))
    assert better.change is Change.IMPROVEMENT


def test_seeds_that_happen_to_agree_are_not_taken_to_be_exact() -> None:
    row = only(compare(one((92.0,) * 3, 0), one((91.85,) * 3, 10)))
    assert row.change is Change.SIMILAR


def test_a_deviation_is_learnt_from_earlier_runs() -> None:
    earlier = [one((p,), k) for k, p in enumerate((92.0, 92.1, 91.9, 92.05, 91.95, 92.0))]
    new = one((91.0,), 10)
    assert only(compare(earlier[-1], new)).change is not Change.REGRESSION
    row = only(compare(earlier[-1], new, learnt=learn(earlier)))
    assert row.change is Change.REGRESSION and row.effect == pytest.approx(-1.0)


def test_the_same_weights_are_held_to_the_same_answers() -> None:
    """A change of the evaluation, and no chance of seeds in it."""
    old = document([[right(92.0)]], [], 0)
    other = copy.deepcopy(dict(document([[right(91.8)]], [], 1).document))
    other["smallnet"]["runs"][0]["weights_sha256"] = old.runs[0]["weights_sha256"]
    new = RunFile(path=Path("b.json"), document=check_document(other))
    row = only(compare(old, new))
    assert row.change is Change.REGRESSION and "the same weights" in row.note
    assert row.test is not None and row.test.method == "McNemar, exact"


def test_what_is_real_but_small_is_within_its_threshold() -> None:
    old, new = one((92.0, 92.1, 91.9), 0), one((90.0, 90.1, 89.9), 10)
    row = only(compare(old, new, thresholds=Thresholds(claims={"simulated/*": 3.0})))
    assert row.change is Change.SIMILAR and "within the threshold of 3" in row.note
    stricter = Thresholds(claims={"other/*": 3.0, "simulated/net0": 1.0, "*": 9.0})
    assert only(compare(old, new, thresholds=stricter)).change is Change.REGRESSION


def test_a_table_is_a_family() -> None:
    """The same pair, alone and among fifty that did not change."""
    quiet = [[right(90.0 + k / 10) for k in range(3)]] * 50
    old, new = ([[right(p - k / 2, k, 3.0) for k in range(3)]] for p in (92.0, 90.5))
    alone = only(compare(document(old, [], 0), document(new, [], 1)))
    among = compare(document(old + quiet, [], 0), document(new + quiet, [], 1)).rows[0]
    assert alone.change is Change.REGRESSION and among.change is Change.SIMILAR
    assert alone.p_adjusted and among.p_adjusted and among.p_adjusted > alone.p_adjusted


def test_other_test_images_cannot_be_compared() -> None:
    old = document([[right(92.0)]], [], 0)
    other = copy.deepcopy(dict(old.document))
    other["smallnet"]["runs"][0]["test_digest"] = "other"
    new = RunFile(path=Path("b.json"), document=check_document(other))
    with pytest.raises(ComparisonError, match="different test images of cifar10"):
        compare(old, new)
    with pytest.raises(ComparisonError, match="different test images"):
        history([old, new])


def test_runs_that_have_nothing_in_common_cannot_be_compared() -> None:
    with pytest.raises(ComparisonError, match="nothing in common"):
        compare(document([[right(92.0)]], [], 0), document([], [[1.0, 1.1]], 1))


def test_a_network_that_diverges_is_a_regression() -> None:
    new = file({TABLE_2: {"measured": None, "values": [None], "verdict": "missed"}})
    row = by_label(compare(file(), new))[TABLE_2]
    assert row.change is Change.REGRESSION and "diverged" in row.note
    assert by_label(compare(new, new))[TABLE_2].change is Change.UNCHANGED


def test_recipes_of_two_kinds_are_not_judged_against_each_other() -> None:
    row = by_label(
        compare(
            file(),
            file(
                {
                    TABLE_2: {
                        "recipe": "paper",
                        "measured": 50.0,
                        "values": [50.0],
                        "fingerprints": [],
                    }
                }
            ),
        )
    )[TABLE_2]
    assert row.change is Change.NOT_JUDGED and "tuned and paper" in row.note


GONE_DARK = {
    "measured": None,
    "values": [],
    "verdict": "not measured",
    "fingerprints": [],
    "device": None,
    "reason": "no weights",
}


@pytest.mark.parametrize(
    ("fields", "note"),
    [(GONE_DARK, "no longer measured; no weights"), ({"verdict": "missed"}, "now missed")],
)
def test_a_claim_that_is_lost_or_missed_is_a_regression(fields: dict[str, Any], note: str) -> None:
    new = file({TABLE_2: fields})
    row = by_label(compare(file(), new, across_machines=True))[TABLE_2]
    assert row.change is Change.REGRESSION and note in row.note


def test_rows_that_are_gone_fail_at_home_unless_they_were_not_asked_for() -> None:
    old, new = document([[right(92.0)]], [[1.0]], 0), document([[right(92.0)]], [], 1)
    assert [r.change for r in compare(old, new).rows][-1] is Change.REGRESSION
    assert compare(old, new, partial=True).of(Change.GONE)
    assert compare(old, on(new, host="elsewhere")).of(Change.GONE)
    assert compare(new, old).of(Change.NEW)


def test_a_row_is_not_taken_for_another_that_it_resembles() -> None:
    found = json.loads(SCHEMA_2.read_text())
    row = next(row for row in found["smallnet"]["rows"] if row["claim"] == TABLE_2)
    row["claim"] = "table2/renamed"
    comparison = compare(file(), RunFile(path=Path("b.json"), document=check_document(found)))
    assert [row.label for row in comparison.of(Change.NEW)] == ["table2/renamed"]
    assert by_label(comparison)[TABLE_2].note == "gone"


def test_a_claim_on_two_devices_is_two_rows() -> None:
    def two(gpu: float) -> RunFile:
        found = copy.deepcopy(dict(document([[right(92.0)]], [], 0).document))
        rows = found["smallnet"]["rows"]
        rows.append({**rows[0], "device": "cuda:0", "measured": gpu, "values": [gpu]})
        rows[-1]["fingerprints"] = []
        return RunFile(path=Path(f"{gpu}.json"), document=check_document(found))

    rows = compare(two(92.0), two(10.0)).rows
    assert [row.change for row in rows] == [Change.UNCHANGED, Change.REGRESSION]
    assert len({row.label for row in rows}) == 2


def test_a_difference_is_judged_by_what_its_own_network_lost() -> None:
    """The dense network got better by 4 points; then the pruned one worse by 4."""
    claim = next(
        r["claim"] for r in file().rows if r["unit"] == "points" and r["measured"] is not None
    )

    def pruned(own: float, difference: float, verdict: str = "reproduced") -> RunFile:
        return file(
            {
                claim: {
                    "measured": difference,
                    "values": [difference],
                    "interval": [difference - 0.5, difference + 0.5],
                    "verdict": verdict,
                    "details": {"minuend_percent": own},
                }
            }
        )

    old = pruned(90.0, -1.0)
    dense_better = by_label(compare(old, pruned(90.0, -5.0, "missed")))[claim]
    assert dense_better.change is Change.UNCHANGED
    assert by_label(compare(old, pruned(86.0, -5.0)))[claim].change is Change.REGRESSION


RECALL, NETWORK = "appendix-d.1/plane-recall", 4


def with_recall(lost: int, weights: str = "other") -> RunFile:
    """The stored run, whose network has lost images of the first class, of which there are 1,000.

    They are taken for the second class.
    """
    found = json.loads(SCHEMA_2.read_text())
    run = found["smallnet"]["runs"][NETWORK]
    rows = [
        r for r in found["smallnet"]["rows"] if str(r["claim"]).startswith("appendix-d.1/plane")
    ]
    [recall] = [row for row in rows if row["claim"] == RECALL]
    answers = np.unpackbits(np.frombuffer(base64.b64decode(run["right"]), np.uint8))
    answers[np.flatnonzero(answers)[:lost]] = 0
    run["right"] = base64.b64encode(np.packbits(answers).tobytes()).decode()
    run["confusion"][0][0] -= lost
    run["confusion"][0][1] += lost
    run["accuracy_percent"] = run["accuracy_percent"] - lost / 100
    run["weights_sha256"] = weights
    recall["measured"] = run["confusion"][0][0] / 1000
    recall["values"] = [recall["measured"]]
    found["smallnet"]["rows"] = rows
    return RunFile(path=Path(f"{lost}.json"), document=check_document(found))


@pytest.mark.parametrize(
    ("lost", "weights", "change"),
    [
        (50, "other", Change.REGRESSION),
        (15, "other", Change.SIMILAR),
        (15, "same", Change.REGRESSION),
        (-50, "other", Change.IMPROVEMENT),
        (0, "same", Change.UNCHANGED),
    ],
)
def test_a_classs_recall_is_judged_by_the_confusion_matrices(
    lost: int, weights: str, change: Change
) -> None:
    before, after = max(0, -lost), max(0, lost)
    comparison = compare(with_recall(before, "same"), with_recall(after, weights))
    row = by_label(comparison)[RECALL]
    assert row.change is change and row.effect == pytest.approx(-lost / 1000)
    if row.test is not None:
        assert "confusion matrices" in row.test.method


CURVE = {
    "claim": None,
    "kind": "pruning curve",
    "network": "net",
    "optimizer": "sgdm",
    "technique": "l1",
    "device": "cpu",
    "num_images": NUM_IMAGES,
    "weights_sha256": "same",
}


@pytest.mark.parametrize(
    ("fall", "weights", "change"),
    [
        ((0, 0.1, 0), "same", Change.SIMILAR),
        ((0, 3.0, 0), "same", Change.REGRESSION),
        ((0, 3.0, 0), "other", Change.UNDECIDED),
        ((80, 0, 0), "other", Change.REGRESSION),
        ((0, -3.0, 0), "same", Change.IMPROVEMENT),
    ],
)
def test_a_curve_is_judged_by_its_images(
    fall: tuple[float, ...], weights: str, change: Change
) -> None:
    def curve(percents: list[float], weights: str) -> RunFile:
        found = copy.deepcopy(dict(document([[right(92.0)]], [], 0).document))
        row = {**CURVE, "accuracy_percent": percents, "weights_sha256": weights}
        found["smallnet"]["rows"].append(row)
        return RunFile(path=Path("a.json"), document=check_document(found))

    points = [90.0, 88.0, 86.0]
    new = curve([p - f for p, f in zip(points, fall, strict=True)], weights)
    assert compare(curve(points, "same"), new).rows[-1].change is change


# Counts and times


@pytest.mark.parametrize(
    ("unit", "by", "change"),
    [
        ("parameters", 1, Change.REGRESSION),
        ("parameters", -1, Change.IMPROVEMENT),
        ("images", 1, Change.CHANGED),
    ],
)
def test_a_count_that_grows_is_worse_where_bigger_is(unit: str, by: int, change: Change) -> None:
    row = next(r for r in file().rows if r.get("unit") == unit and r["measured"] is not None)
    more = {"measured": row["measured"] + by, "values": [value + by for value in row["values"]]}
    comparison = compare(file(), file({row["claim"]: more}))
    found = by_label(comparison)[row["claim"]]
    assert found.change is change and found.effect == by


def on(run: RunFile, **facts: Any) -> RunFile:
    """The run as it would be from another machine; ``host``, or what the environment has."""
    found = copy.deepcopy(dict(run.document))
    found["machine_info"]["node"] = facts.pop("host", found["machine_info"].get("node"))
    found["machine_info"]["smallnet"].update(facts)
    return RunFile(path=Path("on.json"), document=check_document(found))


def timed(*factors: float, run: int = 0, rounds: int = 50, mood: float = 1.0) -> RunFile:
    """Timings of a run, each beside a reference timing that takes ``mood`` times its time."""
    generator = np.random.default_rng(run)
    times = [(f * generator.lognormal(-5, 0.03, rounds)).tolist() for f in factors]
    return document([], times, run, [0.001 * mood] * len(factors))


def test_a_time_that_doubled_is_a_regression_and_the_other_way_an_improvement() -> None:
    old, new = timed(1, 1, 1), timed(2, 1, 1, run=1)
    rows = compare(old, new).rows
    assert [row.change for row in rows] == [Change.REGRESSION, Change.SIMILAR, Change.SIMILAR]
    assert rows[0].effect == pytest.approx(100, abs=5)
    assert rows[0].interval is not None and rows[0].interval[0] < rows[0].effect
    assert compare(new, old).rows[0].change is Change.IMPROVEMENT


def test_what_machines_do_from_day_to_day_is_no_change() -> None:
    assert compare(timed(1), timed(1.08, run=1)).rows[0].change is Change.SIMILAR


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"device_name": "another"}, "another"),
        ({"host": "another"}, "another"),
        ({"host": ""}, "unknown"),
        ({"memory_gib": None}, "unknown"),
    ],
)
def test_times_of_another_or_an_unknown_machine_are_shown_and_not_judged(
    facts: dict[str, Any], found: str
) -> None:
    new = on(timed(2, run=1), **facts)
    comparison = compare(timed(1), new)
    assert comparison.machines == found and not comparison.same_machine
    row = only(comparison)
    assert row.change is Change.NOT_JUDGED and row.effect == pytest.approx(100, abs=5)
    across = only(compare(timed(1), new, across_machines=True))
    assert across.change is Change.REGRESSION


def test_machines_that_are_unknown_on_both_sides_are_not_the_same() -> None:
    assert compare(on(timed(1), host=""), on(timed(1, run=1), host="")).machines == "unknown"


def test_a_comparison_names_what_differs_of_the_environment() -> None:
    """In the header and in the JSON."""
    versions = {"torch": "2.15.0", "cuda": "13.2", "driver": "570.1"}
    new = on(timed(1, run=1), versions=versions, num_threads=4)
    found = copy.deepcopy(dict(new.document))
    found["machine_info"]["cpu"]["brand_raw"] = "another"
    comparison = compare(timed(1), RunFile(path=Path("b.json"), document=check_document(found)))
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


def test_a_busy_machine_is_warned_of() -> None:
    found = copy.deepcopy(dict(timed(1, run=1).document))
    found["smallnet"]["rows"][0]["load_average"] = 7.5
    new = RunFile(path=Path("b.json"), document=check_document(found))
    comparison = compare(timed(1), new)
    [warning] = comparison.warnings
    assert "the new run's machine was busy: load average 7.5" in warning
    assert f"warning: {warning[:40]}" in "\n".join(compare_report.terminal_lines(comparison))
    found["smallnet"]["rows"][0]["clock_mhz"] = 3000
    slow = copy.deepcopy(found)
    slow["smallnet"]["rows"][0]["clock_mhz"] = 2000
    pair = [RunFile(path=Path("c.json"), document=check_document(d)) for d in (found, slow)]
    assert "the clock changed from 3000 to 2000 MHz" in compare(*pair).warnings


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
    own = compare(timed(1, 1), timed(1.5, 1, run=1)).rows
    assert [row.change for row in own] == [Change.REGRESSION, Change.SIMILAR]


def test_without_a_reference_timing_the_mood_may_be_behind_it() -> None:
    quiet = [[0.01] * 20] * 5
    old, new = (document([], [[s] * 20, *quiet], k) for k, s in enumerate((0.0392, 0.0488)))
    row = compare(old, new).rows[0]
    assert row.change is Change.UNDECIDED and "no reference timing" in row.note


def test_a_pruned_network_that_is_ten_times_slower_is_a_regression() -> None:
    found = copy.deepcopy(dict(file().document))
    pruned = next(r for r in found["smallnet"]["rows"] if r.get("kind") == "pruned network")
    pruned["latency_ms"] *= 10
    new = RunFile(path=Path("b.json"), document=check_document(found))
    rows = by_label(compare(file(), new, across_machines=True))
    assert rows[f"pruned network/{pruned['name']}: latency_ms"].change is Change.REGRESSION


def test_a_window_of_runs_finds_what_the_predecessor_alone_does_not() -> None:
    window = [timed(*[1] * 12, run=k) for k in range(7)]
    new = timed(1.16, *[1] * 11, run=9)
    assert compare(window[-1], new).rows[0].change is not Change.REGRESSION
    rows = compare(window[-1], new, learnt=learn(window)).rows
    assert [row.change for row in rows] == [Change.REGRESSION, *[Change.SIMILAR] * 11]


def test_images_a_second_are_better_when_there_are_more() -> None:
    old = read_run_file(SCHEMA_2)
    found = copy.deepcopy(dict(old.document))
    faster = []
    for row in found["smallnet"]["rows"]:
        if row["claim"] is None and "rounds_images_per_second" in row:
            loops = row["rounds_images_per_second"]
            loops["ours"] = [3 * speed for speed in loops["ours"]]
            faster.append(f"training_speed/{row['name']}")
    assert faster
    faster_run = RunFile(path=old.path, document=check_document(found))
    rows = by_label(compare(old, faster_run, across_machines=True))
    assert {rows[name].change for name in faster} == {Change.IMPROVEMENT}


# Histories


def test_a_history_names_the_step() -> None:
    percents = (92.0, 92.1, 80.0, 80.1)
    files = [one((p,), k) for k, p in enumerate(percents)]
    [line] = history(files[::-1]).lines
    assert line.values == percents and line.steps == (2,) and line.changes == (Change.REGRESSION,)
    text = "\n".join(compare_report.history_lines(history(files)))
    assert "92.00 92.10 [80.00 worse] 80.10" in text


def test_a_long_history_learns_what_runs_differ_by() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 24)
    files = [one((92 + n - (k >= 15),), k) for k, n in enumerate(noise)]
    [line] = history(files).lines
    assert line.changes == (Change.REGRESSION,) and abs(line.steps[0] - 15) <= 1
    assert not history([one((92 + 4 * n,), k) for k, n in enumerate(noise)]).lines[0].steps


def test_a_history_refuses_a_file_of_another_size() -> None:
    with pytest.raises(ComparisonError, match="10000 images"):
        history([one((92.0,), 0), document([[np.ones(500, bool)]], [], 1)])


@pytest.mark.parametrize(
    ("new", "status"), [((92.0, 92.1, 91.9), 0), ((80.0, 80.1, 79.9), 1), ((90.5,), 125)]
)
def test_bisect_skips_what_cannot_be_judged(new: tuple[float, ...], status: int) -> None:
    old = one((92.0, 92.05, 91.95) if len(new) > 1 else (92.0,), 0)
    assert bisect_status(compare(old, one(new, 10)), "simulated/net0") == status
    assert bisect_status(compare(old, one(new, 10)), "another") == 125


def test_a_history_needs_two_files() -> None:
    with pytest.raises(ComparisonError, match="two files or more"):
        history([document([[right(92.0)]], [], 0)])


# Thresholds


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"alpha": 0}, "between 0 and 1"),
        ({"alpha": "5 %"}, "expected a number"),
        ({"alpha": True}, "expected a number"),
        ({"time_percent": -1}, "expected 0 or more"),
        ({"times": 1}, "times: expected of"),
        ({"claims": ["a"]}, "expected a table"),
        ({"claims": {"table2/*": "much"}}, "expected a number"),
        ({"claims": {"table2/*": float("nan")}}, "expected 0 or more"),
    ],
)
def test_thresholds_that_are_none_are_refused(table: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Thresholds.from_table(table)


def test_thresholds_come_from_the_projects_file(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.smallnet.compare]\nalpha = 0.01\nclaims = { "table2/*" = 0.5 }\n')
    found = read_thresholds(path)
    assert found.alpha == 0.01 and found.claims == {"table2/*": 0.5}
    path.write_text("[tool.smallnet.compare]\nalhpa = 0.01\n")
    with pytest.raises(ValueError, match="alhpa: expected of"):
        read_thresholds(path)
    path.write_text("tool = [")
    with pytest.raises(ValueError, match=r"pyproject\.toml"):
        read_thresholds(path)


def test_the_repositorys_own_thresholds_are_the_defaults() -> None:
    assert read_thresholds(FILES.parents[1] / "pyproject.toml") == Thresholds()


# What is written


@pytest.fixture
def worse(tmp_path: Path) -> tuple[Path, Path]:
    """Two files: the second has lost ten points."""
    paths = tmp_path / "old.json", tmp_path / "new.json"
    for k, (path, percent) in enumerate(zip(paths, (92.0, 82.0), strict=True)):
        found = document([[right(percent, k, 3.0)], [right(91.0)]], [[0.1, 0.1]], k)
        path.write_text(json.dumps(found.document))
    return paths


def test_the_command_says_what_changed_and_fails_on_what_it_is_told_to(
    worse: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    old, new = map(str, worse)
    assert main(["compare", old, new]) == 0
    text = capsys.readouterr().out
    assert "Regressions: 1" in text and "simulated/net0: 92.00 -> 82.00 %" in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["compare", old, new, "--fail-on", "regression"]) == 1
    assert main(["compare", new, old, "--fail-on", "regression"]) == 0
    assert "renew the reference" in capsys.readouterr().out
    assert main(["compare", new, old, "--fail-on", "change"]) == 1
    assert main(["compare", old, old, "--fail-on", "change"]) == 0
    monkeypatch.setenv("CI", "1")
    assert main(["compare", old, new]) == 1
    assert main(["compare", old, new, "--alpha", "1e-9"]) == 0
    assert main(["compare", old, old, new]) == 1
    assert main(["compare", old, old, old]) == 0


def test_the_command_writes_what_it_is_asked_for(worse: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = map(str, worse)
    outputs = {name: tmp_path / "out" / f"compared.{name}" for name in ("markdown", "json", "html")}
    options = [text for name, path in outputs.items() for text in (f"--{name}", str(path))]
    main(["compare", old, new, *options])
    assert "### Regressions" in outputs["markdown"].read_text()
    found = json.loads(outputs["json"].read_text())
    assert found["schema"] == compare_report.COMPARISON_SCHEMA
    [row] = [row for row in found["rows"] if row["change"] == "regression"]
    assert row["row"] == "simulated/net0" and row["effect"] == pytest.approx(-10)
    assert row["p"] <= row["p_adjusted"] < found["alpha"]
    assert "<h2>Regressions: 1</h2>" in outputs["html"].read_text()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read"), ("", "broken JSON"), ("{}", "nothing of smallnet")],
)
def test_what_cannot_be_used_is_a_line_and_exit_2(
    content: str | None,
    expected: str,
    worse: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    assert main(["compare", str(worse[0]), str(path)]) == 2
    found = capsys.readouterr()
    assert expected in found.err and found.err.count("\n") == 1 and not found.out
    assert str(path) in found.err


def test_options_that_cannot_be_are_exit_2(worse: tuple[Path, Path]) -> None:
    old, new = map(str, worse)
    assert main(["compare", old, new, "--alpha", "2"]) == 2
    assert main(["compare", old, new, "--config", "/nonexistent.toml"]) == 2
    assert main(["compare", old, new, new, "--json", "x.json"]) == 2
    assert main(["compare", old]) == 2


def test_help_does_not_wait_for_numpy() -> None:
    code = (
        "import sys; from smallnet_core.cli import main\n"
        "try: main(['compare', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'scipy', 'torch'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--fail-on" in done.stdout


NAMES = st.text(
    alphabet=st.sampled_from("<>&\"'`|*_[]()@#-!\\ \n\u202ea1/"), min_size=1, max_size=24
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *sorted(name for name, _ in attributes)))


def tags(text: str) -> set[tuple[str, ...]]:
    parser = Tags()
    parser.feed(text)
    return parser.found


@settings(deadline=None, max_examples=40)
@given(NAMES, NAMES)
def test_no_name_becomes_markup(claim: str, machine: str) -> None:
    """The same elements and attributes, whatever a row and a machine are called."""
    pages = []
    for name, device in (("plain", "plain"), (claim, machine)):
        files = []
        for k, percent in enumerate((92.0, 90.0)):
            found = copy.deepcopy(dict(document([[right(percent, k, 3.0)]], [], k).document))
            found["smallnet"]["rows"][0]["claim"] = name
            found["machine_info"]["smallnet"]["device_name"] = device
            files.append(RunFile(path=Path(f"{k}.json"), document=check_document(found)))
        comparison = compare(*files)
        pages.append(tags(compare_report.html_page(comparison)))
        for line in compare_report.markdown_lines(comparison):
            if line.startswith("| simulated") or "Regressions" in line:
                continue
            bare = line.replace("<details>", "").replace("</details>", "")
            bare = bare.replace("<summary>", "").replace("</summary>", "")
            assert "<" not in bare and "@" not in bare
        json.loads(compare_report.as_json(comparison))
        compare_report.terminal_lines(comparison, verbose=True)
    assert pages[0] == pages[1]


GOOD = json.loads(SCHEMA_2.read_text())
FIELDS = [(k, name) for k, row in enumerate(GOOD["smallnet"]["rows"]) for name in row]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.none() | st.floats(allow_nan=False), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(FIELDS), ANYTHING)
def test_whatever_comes_through_the_door_is_compared_or_refused(
    field: tuple[int, str], value: Any
) -> None:
    changed = copy.deepcopy(GOOD)
    changed["smallnet"]["rows"][field[0]][field[1]] = value
    try:
        found = RunFile(path=Path("b.json"), document=check_document(changed))
        pairs = [compare(file(), found), compare(found, file())]
    except ValueError:
        return
    for comparison in pairs:
        compare_report.terminal_lines(comparison, verbose=True)
        compare_report.markdown_lines(comparison)
        compare_report.html_page(comparison)
        json.loads(compare_report.as_json(comparison))


def test_a_table_of_markdown_keeps_its_columns() -> None:
    files = []
    for k, percent in enumerate((92.0, 82.0)):
        found = copy.deepcopy(dict(document([[right(percent, k, 3.0)]], [], k).document))
        found["smallnet"]["rows"][0]["claim"] = "a|b`c"
        files.append(RunFile(path=Path(f"{k}.json"), document=check_document(found)))
    lines = compare_report.markdown_lines(compare(*files))
    head = lines.index("| row | old | new | effect (95 %) | p | by | note |")
    row = lines[head + 2].replace("\\|", "")
    assert row.count("|") == lines[head].count("|") and "ab\\`c" in row


# The simulation, short: the full one is in reports/


@pytest.mark.parametrize(
    "truth",
    [
        Accuracy(deviation=0.8),
        Accuracy(deviation=0.5, num_seeds=5),
        Times(common=0.05, correlation=0.9, neighbour=1.0),
        Times(neighbour=1.0, referred=False),
    ],
)
def test_runs_that_do_not_differ_raise_few_alarms(truth: Accuracy | Times) -> None:
    generator = np.random.default_rng(1)
    assert sum(alarms_of_pair(truth, 0.0, generator) for _ in range(60)) <= 8  # of 5 at most


def test_what_is_worse_is_found() -> None:
    generator = np.random.default_rng(1)
    assert sum(alarms_of_pair(Times(), 30.0, generator) for _ in range(30)) >= 24
    five = Accuracy(num_seeds=5)
    assert sum(alarms_of_pair(five, 1.0, generator) for _ in range(30)) >= 24


def test_thirty_nights_without_a_step_have_none() -> None:
    generator = np.random.default_rng(1)
    times = Times(common=0.05, neighbour=0.3)
    assert sum(alarms_of_history(times, 0.0, generator) for _ in range(8)) <= 1
    assert alarms_of_history(times, 30.0, generator)
