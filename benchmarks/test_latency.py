"""Inference time of every network: one image (latency) and 256 images (throughput).

Not a claim of the paper, but the purpose of its small networks. Hardware: any, float32; a GPU is
synchronised in every round. On a CPU the large networks take seconds for 256 images, so they are
timed on one image only. Takes half a minute on two cores.
"""

from __future__ import annotations

import pytest

from smallnet_core.models import MODEL_NAMES
from smallnet_core.records import NotMeasured

pytestmark = pytest.mark.latency

MAX_CPU_MULTIPLY_ADDS = 50e9  # per pass: over a second on two cores with AVX2


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
        raise NotMeasured(f"{network} takes seconds for a pass of {batch_size} images on a CPU")
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
