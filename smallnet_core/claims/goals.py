"""Our own goals, from goals.toml, by source."""

from __future__ import annotations

from collections.abc import Mapping

from smallnet_core.claims import assemble
from smallnet_core.claims.load import load_claims
from smallnet_core.claims.names import GOAL_SOURCES as GOAL_SOURCES
from smallnet_core.records import Claim

GOALS = assemble(load_claims("goals.toml"))


def _of(source: str) -> Mapping[str, Claim]:
    return {claim.id: claim for claim in GOALS.values() if claim.source == source}


DIGITS_GOALS = _of("Digits")
PRUNING_GOALS = _of("Pruning")
EQUAL_GOALS = _of("Equal effort")
LONG_GOALS = _of("Long training")
BEYOND_GOALS = _of("Beyond the paper")
