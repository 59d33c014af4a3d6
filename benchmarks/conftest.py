"""The claim that a benchmark is parametrized with."""

from __future__ import annotations

import pytest

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.records import Claim


@pytest.fixture
def claim(claim_id: str) -> Claim:
    """Return the claim or goal of the id that ``claim_params`` gives."""
    return CLAIMS.get(claim_id) or GOALS[claim_id]
