"""Our own goals, beside the paper's claims: the embedded digits have to be learnt."""

from __future__ import annotations

from smallnet_core.claims.names import NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.records import Claim, Rule

__all__ = ["GOALS"]

DIGITS_GOAL_PERCENT = 95.0

# ViT_S takes more than half of the two minutes that the digits may take, so it has one optimizer:
# the one that the paper's Table 4 has ahead.
DIGITS_ROWS = (
    *(
        (network, optimizer)
        for network in ("resnet18_s", "vgg16_s")
        for optimizer in OPTIMIZER_NAMES
    ),
    ("vit_s", "adam"),
)

GOALS = {
    f"digits/{network}-{optimizer}": Claim(
        id=f"digits/{network}-{optimizer}",
        source="Digits",
        statement=(
            f"{NETWORK_NAMES[network]} with {OPTIMIZER_NAMES[optimizer]} classifies at least "
            f"{DIGITS_GOAL_PERCENT:g} % of the digits test split correctly."
        ),
        metric="accuracy_percent",
        paper_value=DIGITS_GOAL_PERCENT,
        unit="%",
        rule=Rule.AT_LEAST,
        network=network,
        optimizer=optimizer,
        dataset="digits",
    )
    for network, optimizer in DIGITS_ROWS
}
