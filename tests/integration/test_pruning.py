"""What is pruned is reported beside the claims: Tables 6 and 7, curves, sizes."""

from __future__ import annotations

import re

from smallnet_core.claims import by_source

INNER = """
import pytest

from smallnet_core.claims import CLAIMS, by_source
from smallnet_core.judging import difference_measurement
from smallnet_core.plugin import claim_params
from smallnet_core.records import Measurement

PROPORTIONS = [round(0.05 * k, 2) for k in range(21)]


def accuracy(percent):
    return Measurement(values=(percent,), unit="%", seeds=(0,), num_images=10_000)


@pytest.mark.parametrize("claim_id", claim_params(by_source("Table 6", "Table 7")))
def test_table(claim_id, judge, benchmark):
    claim = CLAIMS[claim_id]
    percent = claim.details["paper_percent"]
    found = accuracy(percent - 2 if percent > 20 else percent)
    if claim.unit == "points":
        dense = 95.0 - 2
        if claim.details["proportion"] == 0:
            dense = found.mean
        found = difference_measurement(found, accuracy(dense))
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    judge(claim, found)


@pytest.mark.parametrize("network", ["resnet18", "resnet18_s"])
def test_curve(network, record_row, benchmark):
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    record_row(
        {
            "kind": "pruning curve",
            "network": network,
            "optimizer": "adabound",
            "technique": "random_unstructured",
            "proportions": PROPORTIONS,
            "accuracy_percent": [93.0 - 83 * p for p in PROPORTIONS],
            "num_weights": 1000,
            "seeds": [0],
            "origin": "cache",
            "device": "cpu",
            "seconds": 1.0,
        }
    )


def test_size(record_row, benchmark):
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    record_row(
        {
            "kind": "pruned network",
            "name": "resnet18-1m-weights",
            "network": "resnet18",
            "how": "weights",
            "num_params": 11_173_962,
            "num_nonzeros": 1_000_000,
            "multiply_adds": 555_422_720,
            "dense_bytes": 44_735_000,
            "sparse_bytes": 5_400_000,
            "compressed_bytes": 5_000_000,
            "latency_ms": 8.25,
            "images_per_second": 150.0,
            "accuracy_percent": None,
            "dense_accuracy_percent": None,
            "device": "cpu",
        }
    )
"""


def test_a_dense_network_that_is_worse_than_the_papers_can_lose_as_little(suite):
    """And every table of pruning is there, in 80 columns."""
    suite.pytester.makepyfile(INNER)
    result = suite.run()
    result.assert_outcomes(passed=66)
    rows = {row["claim"]: row for row in suite.rows(result) if row["claim"]}
    assert rows.keys() == {claim.id for claim in by_source("Table 6", "Table 7")}
    assert {row["verdict"] for row in rows.values()} == {"reproduced"}
    lines = result.outlines
    assert [line for line in lines if re.match(r" *0\.7 +91\.02/89\.02 +10\.00/10\.00 ", line)]
    assert sum(line.startswith("prop.") for line in lines) == 3
    assert "ResNet18_S AdaBound: % right, by the proportion pruned of its 1,000 weights" in lines
    assert "Pruned networks: speed in float32 on cpu, and accuracy" in lines
    start = next(k for k, line in enumerate(lines) if re.match(r"=+ smallnet =+$", line))
    stop = next(k for k, line in enumerate(lines) if k > start and line.startswith("==="))
    assert [line for line in lines[start:stop] if len(line) > 80] == []
