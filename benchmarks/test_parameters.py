"""Parameter counts and layer listings.

Claims: Table 1 (counts), Abstract, Sections 1, 3.1, 3.2.1 to 3.2.3 and 6 (counts, depths), and
Appendices A, B and C line by line. Hardware: any; networks are built on the meta device. Takes
about 20 seconds.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from smallnet_core.claims import CLAIMS, by_source
from smallnet_core.plugin import claim_params
from smallnet_core.records import Claim, Measurement, NotMeasured

if TYPE_CHECKING:
    from torch import nn

    from smallnet_core.models.layer_table import LayerRow

pytestmark = pytest.mark.parameters

COUNTED = ("num_params", "depth", "num_conv_layers", "num_linear_layers", "first_conv_channels")
COUNTED += ("num_hidden_linear_layers", "multiply_adds")
APPENDICES = {"Appendix A": "resnet18_s", "Appendix B": "vgg16_s", "Appendix C": "vit_s"}


def on_meta(claim: Claim) -> nn.Module:
    """Build the claim's network on the meta device."""
    import torch

    from smallnet_core.models import build_model
    from smallnet_core.models.reference import build_reference

    if claim.not_measured:
        raise NotMeasured(claim.not_measured)
    if "reference" in claim.details:
        return build_reference(claim.details["reference"])
    assert claim.network is not None
    with torch.device("meta"):
        return build_model(claim.network)


def count(network: nn.Module, metric: str) -> int:
    """Compute one of the metrics in COUNTED."""
    from torch import nn

    from smallnet_core.models.layer_table import count_parameters, depth, multiply_adds

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
    counts: dict[str, Callable[[], int]] = {
        "num_params": lambda: count_parameters(network),
        "depth": lambda: depth(network),
        "num_conv_layers": lambda: len(convolutions),
        "num_linear_layers": lambda: len(linears),
        "num_hidden_linear_layers": lambda: len(linears) - 1,
        "first_conv_channels": lambda: convolutions[0].out_channels,
        "multiply_adds": lambda: multiply_adds(network),
    }
    return counts[metric]()


@pytest.mark.parametrize(
    "claim_id",
    claim_params(
        claim
        for claim in CLAIMS.values()
        if claim.metric in COUNTED and claim.source not in APPENDICES
    ),
)
def test_count(claim, judge, benchmark):
    network = on_meta(claim)
    benchmark.group = "counting"
    value = benchmark.pedantic(count, args=(network, claim.metric), rounds=1, iterations=1)
    judge(claim, Measurement(values=(value,), unit=claim.unit, device="meta"))


@functools.cache
def listing(network: str) -> tuple[list[LayerRow], dict[str, float], int]:
    """Return torchsummary's rows, the lines under them, and the number of unlisted parameters."""
    import torch

    from smallnet_core.models import build_model
    from smallnet_core.models.layer_table import layer_summary, layer_table

    with torch.device("meta"):
        model = build_model(network)
    summary = layer_summary(model)
    unlisted = sum(p.numel() for p in model.parameters()) - int(summary["total_params"])
    return layer_table(model), summary, unlisted


@pytest.mark.parametrize("claim_id", claim_params(by_source(*APPENDICES)))
def test_listing(claim, judge, benchmark):
    benchmark.group = "counting"
    rows, summary, unlisted = benchmark.pedantic(
        listing, args=(APPENDICES[claim.source],), rounds=1, iterations=1
    )
    if "layer_type" in claim.details:
        expected = claim.details["layer_type"], tuple(claim.details["output_shape"])
        [row] = rows[claim.details["index"] - 1 :][:1] or [None]
        same = row is not None and (row.layer_type, row.output_shape) == expected
        # Another layer in its place is a miss: there is no number to compare.
        value = row.num_params if same else math.nan
        details = {"found": str(row)}
    else:
        value = summary[claim.details["quantity"]]
        details = {"num_params_not_listed": unlisted}
    judge(claim, Measurement(values=(value,), unit=claim.unit, device="meta", details=details))
