"""Comparing accuracies, curves and counts: what changed is said, and nothing else is."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smallnet_core.runs.compare import compare
from smallnet_core.runs.file import RunFile, check_document, read_run_file
from smallnet_core.runs.history import history
from smallnet_core.runs.reference import learn
from smallnet_core.runs.rows import Change, ComparisonError, Thresholds
from studies.compare_power import document
from tests.saved import (
    NUM_IMAGES,
    SCHEMA_1,
    SCHEMA_2,
    TABLE_2,
    by_label,
    changed,
    file,
    one,
    only,
    right,
)


def test_nothing_changes_from_a_run_to_itself() -> None:
    for path in (SCHEMA_1, SCHEMA_2):
        comparison = compare(read_run_file(path), read_run_file(path), across_machines=True)
        assert set(comparison.counts) <= {Change.UNCHANGED, Change.SIMILAR}
        assert all(not row.effect for row in comparison.rows)
        assert len(comparison.rows) > 60


def test_a_file_of_schema_1_compares_with_its_like_of_schema_2() -> None:
    comparison = compare(read_run_file(SCHEMA_1), read_run_file(SCHEMA_2))
    assert not comparison.of(Change.REGRESSION, Change.IMPROVEMENT, Change.GONE, Change.NEW)


def test_one_seed_against_one_of_other_weights_is_undecided_within_what_seeds_may_do() -> None:
    for n in (1, 2):
        near = only(compare(one((92.0,) * n, 0), one((91.5,) * n, n)))
        assert near.change is Change.SIMILAR and "fewer than three seeds" in near.note
    far = only(compare(one((92.0,), 0), one((90.5,), 1)))
    assert far.change is Change.UNDECIDED and far.effect == pytest.approx(-1.5)
    assert far.interval is not None and far.interval[0] < -1.5 < 0 < far.interval[1]
    assert only(compare(one((92.0,), 0), one((80.0,), 1))).change is Change.REGRESSION


@pytest.mark.parametrize(
    ("seeds", "effect", "change"),
    [
        ((92.0, 92.1, 91.9), -0.8, Change.REGRESSION),
        ((92.0, 93.0, 91.0), -0.8, Change.SIMILAR),  # seeds that do not agree
        ((92.0, 92.0, 92.0), -0.15, Change.SIMILAR),  # seeds that happen to agree are not exact
        ((90.0, 90.1, 90.2), 2.0, Change.IMPROVEMENT),
    ],
)
def test_from_three_seeds_on_their_own_deviation_rules(seeds, effect, change) -> None:
    row = only(compare(one(seeds, 0), one(tuple(p + effect for p in seeds), 10)))
    assert row.change is change and row.effect == pytest.approx(effect)
    assert row.test is not None and "own deviation" in row.test.method


def test_a_deviation_is_learnt_from_earlier_runs() -> None:
    earlier = [one((p,), k) for k, p in enumerate((92.0, 92.1, 91.9, 92.05, 91.95, 92.0))]
    new = one((91.0,), 10)
    assert only(compare(earlier[-1], new)).change is not Change.REGRESSION
    row = only(compare(earlier[-1], new, learnt=learn(earlier)))
    assert row.change is Change.REGRESSION and row.effect == pytest.approx(-1.0)


def test_the_same_weights_are_held_to_the_same_answers() -> None:
    """A change of the evaluation, and no chance of seeds in it."""
    old = document([[right(92.0)]], [], 0)
    weights = {"smallnet.runs.0.weights_sha256": old.runs[0]["weights_sha256"]}
    row = only(compare(old, changed(document([[right(91.8)]], [], 1), weights)))
    assert row.change is Change.REGRESSION and "the same weights" in row.note
    assert row.test is not None and row.test.method == "McNemar, exact"
    assert row.interval is not None and row.interval[0] < -0.2 < row.interval[1] < 0


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
    asked = compare(document(old + quiet, [], 0), document(new + quiet, [], 1), only=among.label)
    assert only(asked).change is Change.REGRESSION
    # Of a single seed it is undecided alone.
    old, new = ([[right(p)], *[[right(90.0)]] * 50] for p in (92.0, 90.5))
    assert compare(document(old, [], 0), document(new, [], 1)).rows[0].change is Change.SIMILAR


def test_other_test_images_cannot_be_compared() -> None:
    old = document([[right(92.0)]], [], 0)
    new = changed(old, {"smallnet.runs.0.test_digest": "other"})
    with pytest.raises(ComparisonError, match="different test images of cifar10"):
        compare(old, new)
    with pytest.raises(ComparisonError, match="different test images"):
        history([old, new])


def test_runs_that_have_nothing_in_common_cannot_be_compared() -> None:
    with pytest.raises(ComparisonError, match="nothing in common"):
        compare(document([[right(92.0)]], [], 0), document([], [[1.0, 1.1]], 1))


NO_NUMBER = {"measured": None, "fingerprints": []}
GONE_DARK = {**NO_NUMBER, "values": [], "verdict": "not measured", "device": None, "reason": "dark"}
PAPER = {"recipe": "paper", "measured": 50.0, "values": [50.0], "fingerprints": []}


@pytest.mark.parametrize(
    ("fields", "change", "note"),
    [
        ({**NO_NUMBER, "values": [None], "verdict": "missed"}, Change.REGRESSION, "diverged"),
        (GONE_DARK, Change.REGRESSION, "no longer measured; dark"),
        ({"verdict": "missed"}, Change.REGRESSION, "now missed"),
        (PAPER, Change.NOT_JUDGED, "tuned and paper"),
    ],
)
def test_what_became_of_a_claim_is_said(fields: dict[str, Any], change: Change, note: str) -> None:
    new = file({TABLE_2: fields})
    row = by_label(compare(file(), new, across_machines=True))[TABLE_2]
    assert row.change is change and note in row.note
    assert by_label(compare(new, new))[TABLE_2].change in (Change.UNCHANGED, Change.SIMILAR)


@pytest.mark.parametrize(
    ("verdict", "change"),
    [
        ("reproduced", Change.REGRESSION),
        ("exceeded", Change.REGRESSION),
        ("refuted", Change.REGRESSION),
        ("undecided", Change.UNCHANGED),
    ],
)
def test_only_a_claim_that_was_met_can_be_missed_anew(verdict: str, change: Change) -> None:
    old, new = (file({TABLE_2: {"verdict": one}}) for one in (verdict, "missed"))
    assert by_label(compare(old, new))[TABLE_2].change is change


def test_rows_that_are_gone_fail_at_home_unless_they_were_not_asked_for() -> None:
    old, new = document([[right(92.0)]], [[1.0]], 0), document([[right(92.0)]], [], 1)
    assert [r.change for r in compare(old, new).rows][-1] is Change.REGRESSION
    assert compare(old, new, partial=True).of(Change.GONE)
    assert compare(old, changed(new, {"machine_info.node": "elsewhere"})).of(Change.GONE)
    assert compare(new, old).of(Change.NEW)


def test_a_row_is_not_taken_for_another_that_it_resembles() -> None:
    renamed = file({TABLE_2: {"claim": "table2/renamed"}})
    comparison = compare(file(), renamed)
    assert [row.label for row in comparison.of(Change.NEW)] == ["table2/renamed"]
    assert by_label(comparison)[TABLE_2].note == "gone"
    for old, change in ((file(), Change.REGRESSION), (file({TABLE_2: GONE_DARK}), Change.GONE)):
        assert by_label(compare(old, renamed, across_machines=True))[TABLE_2].change is change


def test_a_claim_on_two_devices_is_two_rows() -> None:
    def two(gpu: float) -> RunFile:
        run = document([[right(92.0)]], [], 0)
        on_gpu = {"device": "cuda:0", "measured": gpu, "values": [gpu], "fingerprints": []}
        return changed(run, {"smallnet.rows": [*run.rows, {**run.rows[0], **on_gpu}]})

    rows = compare(two(92.0), two(10.0)).rows
    assert [row.change for row in rows] == [Change.UNCHANGED, Change.REGRESSION]
    assert len({row.label for row in rows}) == 2


def test_a_difference_is_judged_by_what_its_own_network_lost() -> None:
    """The dense network got better by 4 points; then the pruned one worse by 4."""
    claim = next(
        r["claim"] for r in file().rows if r["unit"] == "points" and r["measured"] is not None
    )

    def pruned(own: float, difference: float, verdict: str = "reproduced") -> RunFile:
        found = {
            "measured": difference,
            "values": [difference],
            "interval": [difference - 0.5, difference + 0.5],
            "verdict": verdict,
            "details": {"minuend_percent": own},
        }
        return file({claim: found})

    old = pruned(90.0, -1.0)
    dense_better = by_label(compare(old, pruned(90.0, -5.0, "missed")))[claim]
    assert dense_better.change is Change.UNCHANGED
    assert by_label(compare(old, pruned(86.0, -5.0)))[claim].change is Change.REGRESSION


@pytest.mark.parametrize(
    ("levels", "change"),
    [
        (((0.895, 0.90, 0.95), (0.70, 0.85, 0.855)), Change.REGRESSION),
        (((0.70, 0.85, 0.855), (0.895, 0.90, 0.95)), Change.IMPROVEMENT),
        (((0.70, 0.90, 0.905), (0.845, 0.85, 0.95)), Change.SIMILAR),
    ],
)
def test_of_two_intervals_the_halves_count_that_face_each_other(levels, change: Change) -> None:
    name = "appendix-d.1/accuracy"
    runs = [
        file({name: {"measured": value, "values": [value], "interval": [low, high]}})
        for low, value, high in levels
    ]
    assert by_label(compare(*runs))[name].change is change


def test_a_share_without_its_network_has_a_threshold_in_points() -> None:
    name = "appendix-d.1/plane-recall"
    old, *others = (
        file({name: {"measured": v, "values": [v], "interval": [v, v + 1e-6], "fingerprints": []}})
        for v in (0.9, 0.8995, 0.8985)
    )
    changes = [by_label(compare(old, new))[name].change for new in others]
    assert changes == [Change.SIMILAR, Change.REGRESSION]


def test_what_a_claim_wants_low_is_worse_when_it_rises() -> None:
    name = "section-6/resnet18_s-adabound-decrease"
    old, new = (
        file({name: {"measured": v, "values": [v], "interval": [v - 1, v + 1], "details": {}}})
        for v in (-5.0, -1.0)
    )
    assert by_label(compare(old, new))[name].change is Change.REGRESSION
    assert by_label(compare(new, old))[name].change is Change.IMPROVEMENT


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
        assert row.p_adjusted == row.test.p  # by metric, and of each there is one class


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
        ((0, 1.0, 0), "same", Change.SIMILAR),  # of one point alone it would be significant
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
        row = {**CURVE, "accuracy_percent": percents, "weights_sha256": weights}
        run = document([[right(92.0)]], [], 0)
        return changed(run, {"smallnet.rows": [*run.rows, row]})

    points = [90.0, 88.0, 86.0]
    new = curve([p - f for p, f in zip(points, fall, strict=True)], weights)
    assert compare(curve(points, "same"), new).rows[-1].change is change


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
    if change is not Change.CHANGED:
        least = Thresholds(claims={row["claim"]: 1.0})
        found = by_label(compare(file(), file({row["claim"]: more}), thresholds=least))[
            row["claim"]
        ]
        assert found.change is Change.SIMILAR and "within the threshold of 1" in found.note
