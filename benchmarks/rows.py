"""Shared by benchmark files: obtain and time the trained models of a claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from smallnet_core import judging
from smallnet_core.lab.judged import measurement
from smallnet_core.lab.needs import Side, sides_of
from smallnet_core.records import Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from smallnet_core.lab.judged import Evaluated
    from smallnet_core.lab.workbench import Workbench


def is_one_shot(claim: Claim) -> bool:
    """Tell whether the claim, or a side of it, is about one-shot pruning."""
    return any("technique" in side for side in (claim.details, *sides_of(claim)))


def evaluated(workbench: Workbench, benchmark: Any, sides: Sequence[Side]) -> list[list[Evaluated]]:
    """Judge the models of each side, one per seed, on all test images.

    Time the training of those that are missing, once; without any, time the evaluation, once.
    Raises NotMeasured where data or recipe are missing or the training exceeds the budget.
    """
    recipes = [workbench.recipes_of(side) for side in sides]
    wanted = [recipe for of_side in recipes for recipe in of_side]
    missing = workbench.to_train(wanted)

    def evaluate() -> list[list[Evaluated]]:
        return [workbench.evaluate(of_side) for of_side in recipes]

    if missing:
        benchmark.group = "training"
        benchmark.pedantic(workbench.train, args=(missing,), rounds=1, iterations=1)
        return evaluate()
    # A second time this is only a look-up, which pytest-benchmark's tables need not list.
    known = all(recipe in workbench.evaluated for recipe in wanted)
    benchmark.group = "judging" if known else "evaluation"
    results: list[list[Evaluated]] = benchmark.pedantic(evaluate, rounds=1, iterations=1)
    return results


def measured(claim: Claim, workbench: Workbench, benchmark: Any) -> Measurement:
    """Measure the accuracy of the one network that the claim is about."""
    [results] = evaluated(workbench, benchmark, sides_of(claim))
    return measurement(results)


def best_of_several(
    claim: Claim,
    workbench: Workbench,
    benchmark: Any,
    measure: Callable[[Sequence[Evaluated]], Measurement] = measurement,
) -> Measurement:
    """Measure the best of the claim's sides whose models need no training.

    Without any, train the first side that can be trained. Raises NotMeasured where that does not
    suffice, and with the first side's reason where none can be measured.
    """
    sides = sides_of(claim)
    found, trainable, reasons = [], [], []
    for side in sides:
        try:
            missing = workbench.to_train(workbench.recipes_of(side))
            (trainable if missing else found).append(side)
        except NotMeasured as reason:
            reasons.append(reason)
    some = found or trainable[:1]
    if not some:
        raise reasons[0]
    results = map(measure, evaluated(workbench, benchmark, some))
    return judging.best_of(claim, results, unmeasured=len(sides) - len(some))
