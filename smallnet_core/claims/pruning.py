"""Accuracy after pruning in one shot, without fine-tuning: Tables 6 and 7 (Appendix E), Figure 17.

``technique`` and ``proportion`` (of the convolutions' weights, 0 to 1) in the details, with the
printed accuracy as ``paper_percent``. The network is ResNet18, trained with AdaBound on CIFAR-10;
ours is another training than the paper's, so that what is held against the tables is how much
pruning takes from it. Figure 17 draws the tables: where a technique has lost so many ``points``,
and which of two keeps more. Section 5.4 names random pruning too: no table has it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from smallnet_core.claims.sides import side
from smallnet_core.records import Claim, Rule

__all__ = ["CLAIMS"]

_TECHNIQUE_NAMES = {
    "l1_unstructured": "L1 unstructured",
    "l1_structured": "L1 structured",
    "global_unstructured": "Global unstructured",
}

# Rows as in the paper; the first is the proportion of pruned connections.
_TABLES = {
    6: """
    proportion            0     0.05   0.1    0.15   0.2    0.25   0.3    0.35   0.4    0.45
    l1_unstructured       95.0  94.97  95.0   94.98  95.01  94.97  94.89  94.82  94.81  94.71
    l1_structured         95.0  94.56  93.87  92.22  45.96  40.3   30.24  24.51  20.25  16.99
    global_unstructured   95.0  95.0   95.0   95.0   94.99  94.96  94.94  94.9   94.89  94.86
    """,
    7: """
    proportion            0.5   0.55   0.6   0.65  0.7   0.75  0.8   0.85  0.9   0.95  1
    l1_unstructured       94.52 94.25 93.98 93.05 91.02 85.48 66.59 27.31 15.48  9.89 10.0
    l1_structured         15.67 13.35 10.06 10.01 10.0   9.79 10.0  10.0  10.0  10.0  10.0
    global_unstructured   94.87 94.9  94.86 94.91 94.87 94.55 93.01 85.24 52.73 19.85 10.0
    """,
}

_DENSE_PERCENT = 95.0
# 10 is chance. What is printed up to here says that nothing works any more, and is held to that: a
# network that begins under 95 cannot lose as many points, whatever is done to it, and where a dead
# network comes to lie between 8 and 17 is an accident.
_NEAR_CHANCE_PERCENT = 20.0
_WORKS_ABOVE_PERCENT = 30.0
_STEP = 0.05  # between two proportions

_NETWORK: dict[str, Any] = {"network": "resnet18", "optimizer": "adabound", "dataset": "cifar10"}
_DENSE = side("resnet18", "adabound")

_UNPRUNED = (
    "Nothing is pruned here, so that the difference is 0 by construction. Table 2 has 94.13 for "
    "this network and its report 94.78."
)
_DROP = "Held to the drop from the 95.0 of proportion 0, for our unpruned network is another one."
_NEAR_CHANCE = "Near chance, which is 10: held to nothing working any more, up to 30 %."
_BELOW_CHANCE = "Below chance, which is 10: there is nothing left to lose."
_ALL_ZERO = "Every convolution is zero: chance is all that is left."


def _pruned(technique: str, proportion: float | str) -> dict[str, Any]:
    return side("resnet18", "adabound", technique=technique, proportion=proportion)


def _judged(technique: str, proportion: float, percent: float) -> dict[str, Any]:
    """By what the claim of a table is judged: the fields of that."""
    if percent <= _NEAR_CHANCE_PERCENT:
        remark = _ALL_ZERO
        if proportion < 1:
            remark = _BELOW_CHANCE if percent < 10 else _NEAR_CHANCE
        return {
            "metric": "accuracy_percent",
            "paper_value": percent,
            "unit": "%",
            "rule": Rule.FAILS,
            "refuted_above": _WORKS_ABOVE_PERCENT,
            "resolution": 0.01,  # 95.0 comes without its trailing zero
            "remark": remark,
        }
    unpruned = proportion == 0
    return {
        "metric": "accuracy_difference_points",
        "paper_value": round(percent - _DENSE_PERCENT, 2),
        "unit": "points",
        "rule": Rule.EXACT if unpruned else Rule.AT_LEAST,
        "resolution": 0.0 if unpruned else 0.01,
        "remark": _UNPRUNED if unpruned else _DROP,
        "details": {"minuend": _pruned(technique, proportion), "subtrahend": _DENSE},
    }


def _table(number: int) -> list[Claim]:
    (_, *proportions), *rows = (line.split() for line in _TABLES[number].strip().splitlines())
    claims = []
    for technique, *values in rows:
        for proportion, value in zip(proportions, values, strict=True):
            percent = float(value)
            judged = _judged(technique, float(proportion), percent)
            details = {
                "technique": technique,
                "proportion": float(proportion),
                "paper_percent": percent,
                **judged.pop("details", {}),
            }
            claims.append(
                Claim(
                    id=f"table{number}/{technique}-{proportion}",
                    source=f"Table {number}",
                    statement=(
                        f"{_TECHNIQUE_NAMES[technique]} pruning of a proportion of {proportion} "
                        f"leaves ResNet18 with {value} % on CIFAR-10's test images."
                    ),
                    **judged,
                    **_NETWORK,
                    details=details,
                )
            )
    return claims


_TABLE_CLAIMS = tuple(claim for number in _TABLES for claim in _table(number))


def _curve(technique: str) -> list[tuple[float, float]]:
    """Proportion and accuracy, by both tables."""
    found = (claim.details for claim in _TABLE_CLAIMS)
    return [(d["proportion"], d["paper_percent"]) for d in found if d["technique"] == technique]


def _lost_at(technique: str, points: float) -> float:
    """The proportion at which so much is lost first, on straight lines between the printed ones."""
    level = _DENSE_PERCENT - points
    for (left, above), (right, below) in pairwise(_curve(technique)):
        if below <= level < above:
            return round(left + (right - left) * (above - level) / (above - below), 3)
    raise AssertionError(f"{technique} never loses {points} points")


def _losses(technique: str) -> list[Claim]:
    claims = []
    for points, words in ((1, "one point"), (5, "five points")):
        proportion = _lost_at(technique, points)
        claims.append(
            Claim(
                id=f"figure17/{technique}-{words.replace(' ', '_')}",
                source="Figure 17",
                statement=(
                    f"{_TECHNIQUE_NAMES[technique]} pruning loses {words} of ResNet18's accuracy "
                    f"on CIFAR-10 at a proportion of {proportion:g}."
                ),
                metric="lost_at_proportion",
                paper_value=proportion,
                unit="",
                rule=Rule.AT_LEAST,
                resolution=_STEP,
                **_NETWORK,
                details={"technique": technique, "points": points},
                remark=(
                    "From Tables 6 and 7, on a straight line between the two proportions around it."
                ),
            )
        )
    return claims


def _order(better: str, worse: str) -> Claim:
    means = [
        sum(percent for _, percent in _curve(technique)) / len(_curve(technique))
        for technique in (better, worse)
    ]
    return Claim(
        id=f"figure17/{better}-above-{worse}",
        source="Figure 17",
        statement=(
            f"{_TECHNIQUE_NAMES[better]} pruning leaves ResNet18 with a higher accuracy on "
            f"CIFAR-10 than {_TECHNIQUE_NAMES[worse]} pruning."
        ),
        metric="accuracy_difference_points",
        paper_value=0.0,
        unit="points",
        rule=Rule.ABOVE,
        **_NETWORK,
        details={
            "minuend": _pruned(better, "mean"),
            "subtrahend": _pruned(worse, "mean"),
            "paper_difference": round(means[0] - means[1], 2),
        },
        remark="Held to the means over the 21 proportions of Tables 6 and 7.",
    )


_BEST_FIRST = ("global_unstructured", "l1_unstructured", "l1_structured")

CLAIMS = (
    *(claim for technique in _TECHNIQUE_NAMES for claim in _losses(technique)),
    *(_order(better, worse) for better, worse in pairwise(_BEST_FIRST)),
    *_TABLE_CLAIMS,
)
