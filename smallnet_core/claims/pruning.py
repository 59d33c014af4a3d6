"""Accuracy after pruning in one shot, without fine-tuning: Tables 6 and 7 (Appendix E).

``technique`` and ``proportion`` (of the convolutions' weights, 0 to 1) in the details. The network
is ResNet18, trained with AdaBound on CIFAR-10. Section 5.4 names random pruning too: no table has
it.
"""

from __future__ import annotations

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

_DENSE = "Nothing is pruned here, yet Table 2 has 94.13 for this network and its report 94.78."
_BELOW_CHANCE = "Below chance, which is 10."
_REMARKS = {
    **{f"table6/{technique}-0": _DENSE for technique in _TECHNIQUE_NAMES},
    "table7/l1_unstructured-0.95": _BELOW_CHANCE,
    "table7/l1_structured-0.75": _BELOW_CHANCE,
    **{
        f"table7/{technique}-1": "Every convolution is zero: chance is all that is left."
        for technique in _TECHNIQUE_NAMES
    },
}


def _table(number: int) -> list[Claim]:
    (_, *proportions), *rows = (line.split() for line in _TABLES[number].strip().splitlines())
    claims = []
    for technique, *values in rows:
        for proportion, value in zip(proportions, values, strict=True):
            claim_id = f"table{number}/{technique}-{proportion}"
            claims.append(
                Claim(
                    id=claim_id,
                    source=f"Table {number}",
                    statement=(
                        f"{_TECHNIQUE_NAMES[technique]} pruning of a proportion of {proportion} "
                        f"leaves ResNet18 with {value} % on CIFAR-10's test images."
                    ),
                    metric="accuracy_percent",
                    paper_value=float(value),
                    unit="%",
                    rule=Rule.AT_LEAST,
                    resolution=0.01,  # 95.0 comes without its trailing zero
                    network="resnet18",
                    optimizer="adabound",
                    dataset="cifar10",
                    details={"technique": technique, "proportion": float(proportion)},
                    remark=_REMARKS.get(claim_id, ""),
                )
            )
    return claims


CLAIMS = tuple(claim for number in _TABLES for claim in _table(number))
