"""Accuracies of trained networks, and what the paper concludes from them.

Claims: Tables 2 to 5, Section 5.2 (VGG did not learn), Appendix D (per-class reports), and the
comparisons of Sections 5 and 6; besides the paper, our own goals on the embedded digits. Hardware:
on two cores the digits take two minutes and the zoo's networks seconds; networks that neither cache
nor zoo has are trained if ``--train-budget`` allows it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.rows import best_of_several, evaluated, is_one_shot, measured
from smallnet_core import judging
from smallnet_core.claims import CLAIMS, by_source
from smallnet_core.lab.judged import measurement
from smallnet_core.lab.needs import sides_of
from smallnet_core.plugin import claim_params
from smallnet_core.records import Claim, NotMeasured

pytestmark = pytest.mark.accuracy


def row_of(claim: Claim) -> str | int:
    """Return the row of a per-class report that the claim is about."""
    if "class_index" in claim.details:
        return int(claim.details["class_index"])
    return f"{claim.details['average']}_avg" if "average" in claim.details else "accuracy"


@pytest.mark.parametrize("claim_id", claim_params(by_source("Digits")))
def test_digits(claim, workbench, judge, benchmark):
    judge(claim, measured(claim, workbench, benchmark))


@pytest.mark.parametrize(
    "claim_id", claim_params(by_source("Table 2", "Table 3", "Table 4", "Table 5"))
)
def test_table(claim, workbench, judge, benchmark):
    judge(claim, measured(claim, workbench, benchmark))


@pytest.mark.parametrize("claim_id", claim_params(by_source("Section 5.2")))
def test_vgg_learns(claim, workbench, judge, benchmark):
    """The paper says that no training made progress; the best of ours is the measurement."""
    judge(claim, best_of_several(claim, workbench, benchmark))


@pytest.mark.parametrize("claim_id", claim_params(by_source("Appendix D")))
def test_per_class(claim, workbench, judge, benchmark):
    [results] = evaluated(workbench, benchmark, sides_of(claim))
    accuracy = measurement(results)
    if claim.metric == "accuracy_percent":
        judge(claim, accuracy)
        return
    confusions = [result.confusion for result in results]
    row = row_of(claim)
    values = tuple(judging.report_value(c, row, claim.metric) for c in confusions)
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
def test_conclusion(claim, workbench, judge, benchmark):
    """Sections 5.1 and 6: accuracies and differences between two of them."""
    if claim.metric == "accuracy_difference_points":
        found = list(map(measurement, evaluated(workbench, benchmark, sides_of(claim))))
        num_minuends = len(claim.details["minuend"].get("best_of", [None]))
        a, b = (
            max(side, key=lambda found: found.mean)
            for side in (found[:num_minuends], found[num_minuends:])
        )
        judge(claim, judging.difference_measurement(a, b))
    elif "best_of" in claim.details:
        judge(claim, best_of_several(claim, workbench, benchmark))
    else:
        judge(claim, measured(claim, workbench, benchmark))


@pytest.mark.parametrize("claim_id", claim_params(by_source("Long training")))
def test_long(claim, workbench, judge, benchmark):
    """Accuracies with more epochs."""
    judge(claim, measured(claim, workbench, benchmark))


@pytest.mark.parametrize("claim_id", claim_params(by_source("Equal effort")))
def test_equal_effort(claim, workbench, judge, benchmark):
    """How far apart the optimizers are when nothing else differs: the best minus the worst."""
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
def test_cited(claim):
    """Accuracies that the paper cites for networks that neither it nor this suite trains."""
    raise NotMeasured(claim.not_measured)
