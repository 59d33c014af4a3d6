"""Shared by benchmark files: obtain and time the trained models of a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smallnet_core.lab.needs import Side
from smallnet_core.records import Claim, NotMeasured

if TYPE_CHECKING:
    from smallnet_core.lab.judged import Evaluated
    from smallnet_core.lab.workbench import Workbench


def side_of(claim: Claim) -> Side:
    """Return the claim's own row of the paper's tables."""
    return {"dataset": claim.dataset, "network": claim.network, "optimizer": claim.optimizer}


def is_one_shot(claim: Claim) -> bool:
    """Tell whether the claim, or a side of it, is about one-shot pruning."""
    sides = (claim.details.get(side, {}) for side in ("minuend", "subtrahend"))
    return any("technique" in side for side in (claim.details, *sides))


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


def available(workbench: Workbench, sides: Sequence[Side]) -> list[Side]:
    """List the sides whose models need no training; without any, the first that can be trained.

    For the best of several, where one trained model is enough. Raises the first side's NotMeasured
    if none can be measured.
    """
    found, trainable, reasons = [], [], []
    for side in sides:
        try:
            missing = workbench.to_train(workbench.recipes_of(side))
            (trainable if missing else found).append(side)
        except NotMeasured as reason:
            reasons.append(reason)
    if not found and not trainable:
        raise reasons[0]
    return found or trainable[:1]
