"""How fast every network answers: one image (latency) and 256 images (throughput).

No claim of the paper; what its small networks are for. Hardware: any, float32; a GPU is
synchronised in every round. On a CPU the large networks take seconds for 256 images, and are timed
on one only. Takes half a minute on two cores.
"""

from __future__ import annotations

import pytest

from smallnet_core.models import MODEL_NAMES
from smallnet_core.records import NotMeasured

pytestmark = pytest.mark.latency

MAX_CPU_MULTIPLY_ADDS = 50e9  # of a pass: over a second of two cores with AVX2


@pytest.mark.parametrize("batch_size", [1, 256], ids=["batch1", "batch256"])
@pytest.mark.parametrize("network", MODEL_NAMES)
def test_forward_pass(network, batch_size, workbench, record_row, benchmark):
    import torch

    from smallnet_core.lab.latency import Reference, forward_pass, num_rounds
    from smallnet_core.models import build_model
    from smallnet_core.models.layer_table import count_parameters, multiply_adds

    with torch.device("meta"):
        model = build_model(network)
    large = batch_size > 1 and batch_size * multiply_adds(model) > MAX_CPU_MULTIPLY_ADDS
    if large and workbench.device.type == "cpu":
        raise NotMeasured(f"a pass of {batch_size} images takes {network} seconds on a CPU")
    benchmark.group = "inference"
    target = forward_pass(build_model(network), batch_size, workbench.device)
    rounds, reference = num_rounds(target), Reference(workbench.device)
    benchmark.pedantic(target, setup=reference.setup, rounds=rounds, iterations=1)
    if benchmark.stats is None:  # --benchmark-disable
        pytest.skip("nothing is timed under --benchmark-disable")
    seconds = benchmark.stats.stats.median
    record_row(
        {
            "kind": "latency",
            "network": network,
            "num_params": count_parameters(model),
            "batch_size": batch_size,
            "precision": "float32",
            "device": str(workbench.device),
            "median_seconds": seconds,
            "measured": 1000 * seconds,
            "unit": "ms",
            **reference.row(),
        }
    )
