"""Beyond the paper: a network of our own with under a million parameters, trained for speed.

Goals: fewer than 1,000,000 trainable parameters, and a mean of 94.0 % on CIFAR-10 over at least
five seeds, by the rules of the published speed records, including their test-time flips and shifts
(K. Jordan's airbench94 has 1.97 million parameters). Hardware: a training takes about a quarter of
an hour on two cores; ``--seeds 5 --train-budget 60`` trains what the cache lacks.
"""

from __future__ import annotations

import pytest

from benchmarks.rows import evaluated
from smallnet_core.claims import by_source
from smallnet_core.lab.judged import measurement
from smallnet_core.lab.needs import sides_of
from smallnet_core.plugin import claim_params
from smallnet_core.records import Measurement, NotMeasured

SOURCE = "Beyond the paper"


@pytest.mark.parameters
@pytest.mark.parametrize("claim_id", claim_params(by_source(SOURCE, metric="num_params")))
def test_size(claim, judge, benchmark):
    from smallnet_core.models.layer_table import count_on_meta

    benchmark.group = "counting"
    value = benchmark.pedantic(count_on_meta, args=(claim.network,), rounds=1, iterations=1)
    judge(claim, Measurement(values=(value,), unit=claim.unit, device="meta"))


@pytest.mark.accuracy
@pytest.mark.parametrize("claim_id", claim_params(by_source(SOURCE, metric="accuracy_percent")))
def test_mean_of_seeds(claim, workbench, judge, benchmark):
    [side] = sides_of(claim)
    wanted = claim.details["min_seeds"]
    if len(workbench.recipes_of(side)) < wanted:
        raise NotMeasured(f"needs the mean of at least {wanted} seeds: --seeds {wanted}")
    [results] = evaluated(workbench, benchmark, [side])
    judge(claim, measurement(results, test_time_flips=results[0].recipe.test_time_flips))
