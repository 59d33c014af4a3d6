"""Our own goals, beside the paper's claims: on digits, pruned networks, and one of our own."""

from __future__ import annotations

from smallnet_core.claims.names import NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.claims.sides import Side, side
from smallnet_core.records import Claim, Rule

__all__ = ["BEYOND_GOALS", "DIGITS_GOALS", "GOALS", "GOAL_SOURCES", "PRUNING_GOALS"]

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

DIGITS_GOALS = {
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

MAX_POINTS_LOST = 1.0

_HOW = {
    "channels": "by channels in one step",
    "channels-iterative": "by channels in several rounds",
    "weights": "by single weights",
}
_SIZES = {"1m": 1_000_000, "250k": 250_000}

# The recipe's name, and the optimizer of the network that it prunes.
_PRUNED_ROWS = (
    ("resnet18", "1m", "channels", "adabound"),
    ("resnet18", "1m", "channels-iterative", "adabound"),
    ("resnet18", "1m", "weights", "adabound"),
    ("vgg16", "1m", "channels", "sgdm"),
    ("resnet18_s", "250k", "channels", "sgdm"),
    ("vgg16_s", "250k", "channels", "sgdm"),
    ("vit_s", "250k", "channels", "adam"),
)


def _pruning_goal(
    name: str,
    statement: str,
    network: str,
    optimizer: str,
    *,
    rule: Rule,
    points: float,
    minuend: Side,
    subtrahend: Side,
    max_num_params: int,
) -> Claim:
    return Claim(
        id=f"pruning/{name}",
        source="Pruning",
        statement=statement,
        metric="accuracy_difference_points",
        paper_value=points,
        unit="points",
        rule=rule,
        network=network,
        optimizer=optimizer,
        dataset="cifar10",
        details={
            "minuend": minuend,
            "subtrahend": subtrahend,
            "max_num_params": max_num_params,
        },
    )


def _stays_good(network: str, size: str, how: str, optimizer: str) -> Claim:
    recipe = f"{network}-{size}-{how}"
    return _pruning_goal(
        recipe,
        f"{NETWORK_NAMES[network]} pruned {_HOW[how]} to at most {_SIZES[size]:,} parameters and "
        f"fine-tuned is at most {MAX_POINTS_LOST} point under the dense one.",
        network,
        optimizer,
        rule=Rule.AT_LEAST,
        points=-MAX_POINTS_LOST,
        minuend=side(network, optimizer, recipe=recipe),
        subtrahend=side(network, optimizer),
        max_num_params=_SIZES[size],
    )


PRUNING_GOALS = {
    claim.id: claim
    for claim in (
        *(_stays_good(*row) for row in _PRUNED_ROWS),
        _pruning_goal(
            "resnet18_s-250k-worth_it",
            "A pruned network is more accurate than one of the same shape trained from scratch for "
            "the same total compute.",
            "resnet18_s",
            "sgdm",
            rule=Rule.ABOVE,
            points=0.0,
            minuend=side("resnet18_s", "sgdm", recipe="resnet18_s-250k-channels"),
            subtrahend=side("resnet18_s", "sgdm", recipe="resnet18_s-250k-scratch"),
            max_num_params=_SIZES["250k"],
        ),
    )
}

# No speed record under a million parameters was found; those above it ask for a mean of 94 %.
SPEEDNET_SEEDS = 5
BEYOND_GOALS = {
    claim.id: claim
    for claim in (
        Claim(
            id="beyond/speednet-num_params",
            source="Beyond the paper",
            statement="speednet has fewer than 1,000,000 trainable parameters.",
            metric="num_params",
            paper_value=1_000_000,
            unit="parameters",
            rule=Rule.BELOW,
            network="speednet",
        ),
        Claim(
            id="beyond/speednet-muon",
            source="Beyond the paper",
            statement=(
                f"speednet classifies 94 % of CIFAR-10's test images, the mean of "
                f"{SPEEDNET_SEEDS} seeds or more, with test-time flips and shifts."
            ),
            metric="accuracy_percent",
            paper_value=94.0,
            unit="%",
            rule=Rule.AT_LEAST,
            network="speednet",
            optimizer="muon",
            dataset="cifar10",
            details={"min_seeds": SPEEDNET_SEEDS},
        ),
    )
}

GOALS = {**DIGITS_GOALS, **PRUNING_GOALS, **BEYOND_GOALS}
GOAL_SOURCES = tuple(dict.fromkeys(claim.source for claim in GOALS.values()))
