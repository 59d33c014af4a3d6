"""How fast every network answers: one image (latency) and 256 images (throughput).

No claim of the paper; what its small networks are for. Hardware: any, float32; a GPU is
synchronised in every round. Takes about two minutes on two cores.
"""

from __future__ import annotations

import pytest

from smallnet_core.models import MODEL_NAMES

pytestmark = pytest.mark.latency


@pytest.mark.parametrize("batch_size", [1, 256], ids=["batch1", "batch256"])
@pytest.mark.parametrize("network", MODEL_NAMES)
def test_forward_pass(network, batch_size, workbench, record_row, benchmark):
    from smallnet_core.latency import forward_pass, num_rounds
    from smallnet_core.models.layer_table import count_on_meta

    benchmark.group = "inference"
    target = forward_pass(network, batch_size, workbench.device)
    benchmark.pedantic(target, rounds=num_rounds(target), iterations=1)
    if benchmark.stats is None:  # --benchmark-disable
        pytest.skip("nothing is timed under --benchmark-disable")
    seconds = benchmark.stats.stats.median
    record_row(
        {
            "kind": "latency",
            "network": network,
            "num_params": count_on_meta(network),
            "batch_size": batch_size,
            "precision": "float32",
            "device": str(workbench.device),
            "median_seconds": seconds,
            "measured": 1000 * seconds,
            "unit": "ms",
        }
    )
