"""Accuracies of trained networks, and what the paper concludes from them.

Claims: Tables 2 to 5, Section 5.2 (VGG did not learn), Appendix D (per-class reports), and the
comparisons of Sections 5 and 6; besides the paper, our own goals on the embedded digits. Hardware:
on two cores the digits take two minutes and the zoo's networks seconds; networks that neither cache
nor zoo has are trained if ``--train-budget`` allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.rows import available, evaluated, is_one_shot, side_of
from smallnet_core import judging
from smallnet_core.claims import CLAIMS, OPTIMIZER_NAMES, by_source
from smallnet_core.claims.goals import DIGITS_GOALS, EQUAL_GOALS, LONG_GOALS
from smallnet_core.lab.judged import measurement
from smallnet_core.lab.needs import Side, sides_of
from smallnet_core.plugin import claim_params
from smallnet_core.records import Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from smallnet_core.lab.workbench import Workbench

pytestmark = pytest.mark.accuracy


def best(measurements: Iterable[Measurement]) -> Measurement:
    """Return the measurement with the highest mean over seeds."""
    return max(measurements, key=lambda found: found.mean)


def best_of_several(
    claim: Claim, workbench: Workbench, benchmark: Any, sides: Sequence[Side]
) -> Measurement:
    """Measure the best of the available sides; NotMeasured where these do not suffice."""
    some = available(workbench, sides)
    found = map(measurement, evaluated(workbench, benchmark, some))
    return judging.best_of(claim, found, unmeasured=len(sides) - len(some))


def row_of(claim: Claim) -> str | int:
    """Return the row of a per-class report that the claim is about."""
    if "class_index" in claim.details:
        return int(claim.details["class_index"])
    return f"{claim.details['average']}_avg" if "average" in claim.details else "accuracy"


@pytest.mark.parametrize("claim_id", claim_params(DIGITS_GOALS.values()))
def test_digits(claim_id, workbench, judge, benchmark):
    claim = DIGITS_GOALS[claim_id]
    [results] = evaluated(workbench, benchmark, [side_of(claim)])
    judge(claim, measurement(results))


@pytest.mark.parametrize(
    "claim_id", claim_params(by_source("Table 2", "Table 3", "Table 4", "Table 5"))
)
def test_table(claim_id, workbench, judge, benchmark):
    claim = CLAIMS[claim_id]
    [results] = evaluated(workbench, benchmark, [side_of(claim)])
    judge(claim, measurement(results))


@pytest.mark.parametrize("claim_id", claim_params(by_source("Section 5.2")))
def test_vgg_learns(claim_id, workbench, judge, benchmark):
    """The paper says that no training made progress; the best of ours is the measurement."""
    claim = CLAIMS[claim_id]
    sides = [side_of(claim) | {"optimizer": optimizer} for optimizer in OPTIMIZER_NAMES]
    judge(claim, best_of_several(claim, workbench, benchmark, sides))


@pytest.mark.parametrize("claim_id", claim_params(by_source("Appendix D")))
def test_per_class(claim_id, workbench, judge, benchmark):
    import torch

    from smallnet_core.training.evaluation import report_value

    claim = CLAIMS[claim_id]
    [results] = evaluated(workbench, benchmark, [side_of(claim)])
    if claim.metric == "accuracy_percent":
        judge(claim, measurement(results))
        return
    confusions = [torch.tensor(result.confusion) for result in results]
    row = row_of(claim)
    values = tuple(report_value(c, row, claim.metric) for c in confusions)
    accuracy = measurement(results)
    is_share = claim.metric != "support"
    interval = judging.report_interval(confusions, row, claim.metric) if is_share else None
    found = replace(accuracy, values=values, unit=claim.unit, num_images=None, interval=interval)
    judge(claim, found)


@pytest.mark.parametrize(
    "claim_id",
    claim_params(
        claim
        for claim in by_source("Section 5.1", "Section 6")
        if claim.metric.startswith("accuracy") and not is_one_shot(claim)
    ),
)
def test_conclusion(claim_id, workbench, judge, benchmark):
    """Sections 5.1 and 6: accuracies and differences between two of them."""
    claim = CLAIMS[claim_id]
    if claim.metric == "accuracy_difference_points":
        sides = (claim.details["minuend"], claim.details["subtrahend"])
        minuend, subtrahend = (side.get("best_of", [side]) for side in sides)
        results = evaluated(workbench, benchmark, [*minuend, *subtrahend])
        found = list(map(measurement, results))
        a, b = best(found[: len(minuend)]), best(found[len(minuend) :])
        judge(claim, judging.difference_measurement(a, b))
    elif "best_of" in claim.details:
        sides = claim.details["best_of"]
        judge(claim, best_of_several(claim, workbench, benchmark, sides))
    else:
        [results] = evaluated(workbench, benchmark, [side_of(claim)])
        judge(claim, measurement(results))


@pytest.mark.parametrize("claim_id", claim_params(LONG_GOALS.values()))
def test_long(claim_id, workbench, judge, benchmark):
    """Accuracies with more epochs."""
    claim = LONG_GOALS[claim_id]
    [results] = evaluated(workbench, benchmark, sides_of(claim))
    judge(claim, measurement(results))


@pytest.mark.parametrize("claim_id", claim_params(EQUAL_GOALS.values()))
def test_equal_effort(claim_id, workbench, judge, benchmark):
    """How far apart the optimizers are when nothing else differs: the best minus the worst."""
    claim = EQUAL_GOALS[claim_id]
    results = evaluated(workbench, benchmark, sides_of(claim))
    found = sorted(map(measurement, results), key=lambda found: found.mean)
    judge(claim, judging.difference_measurement(found[-1], found[0]))


@pytest.mark.parametrize(
    "claim_id",
    claim_params(
        claim
        for claim in CLAIMS.values()
        if claim.not_measured and claim.metric in ("accuracy_percent", "incorrect_images")
    ),
)
def test_cited(claim_id):
    """Accuracies that the paper cites for networks that neither it nor this suite trains."""
    raise NotMeasured(CLAIMS[claim_id].not_measured)
