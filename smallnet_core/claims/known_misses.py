"""Claims known to be missed with the weights that ship: reasons, and what those weights reach.

The row of such a claim still says missed. Its test is an expected failure if the zoo's weights were
judged and reach their known value, so that a nightly run tells a new miss from an old one. Once
such a claim is met, its test passes and the report says to remove it from known_misses.toml.
"""

from __future__ import annotations

from smallnet_core.claims.load import read
from smallnet_core.records import Claim

# What rounding on another machine may change: ten of 10,000 test images, ten on either side of a
# difference, and ten of one class's 1,000.
_TOLERANCES = {"%": 0.1, "points": 0.2, "": 0.01}


# By id: the reason, in one line; and the value, in the claim's unit.
KNOWN_MISSES: dict[str, str] = {}
MEASURED: dict[str, float] = {}
for _group in read("known_misses.toml")["misses"]:
    KNOWN_MISSES |= dict.fromkeys(_group["measured"], _group["reason"])
    MEASURED |= {claim_id: float(value) for claim_id, value in _group["measured"].items()}


def is_known(claim: Claim, value: float) -> bool:
    """Tell whether ``claim`` is known to be missed by as much as ``value``, within tolerance."""
    known = MEASURED.get(claim.id)
    if known is None:
        return False
    off = abs(value - claim.paper_value) - abs(known - claim.paper_value)
    return off <= _TOLERANCES[claim.unit] + 1e-9
