"""Claims known to be missed with the weights that ship: reasons, and what those weights reach.

The row of such a claim says missed all the same; its test is an expected failure where the zoo's
weights were judged, and reach what is known of them, so that a nightly run tells a new miss from
an old one. Once such a claim is met its test passes, and the report ends with a line that says to
remove it from known_misses.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smallnet_core.claims.load import read
from smallnet_core.records import Claim

# What another machine's rounding may change: ten of 10,000 test images, ten on either side of a
# difference, and ten of one class's 1,000.
_TOLERANCES = {"%": 0.1, "points": 0.2, "": 0.01}


def load_misses(name: str) -> tuple[Mapping[str, str], Mapping[str, float]]:
    """Read each claim's reason and value; ValueError where a claim stands in two groups."""
    reasons: dict[str, str] = {}
    measured: dict[str, float] = {}
    for group in read(name)["misses"]:
        for claim_id, value in group["measured"].items():
            if claim_id in reasons:
                raise ValueError(f"{name}: {claim_id}: is given twice")
            reasons[claim_id], measured[claim_id] = group["reason"], float(value)
    return MappingProxyType(reasons), MappingProxyType(measured)


# By id: why, in one line; and the value, in the claim's unit.
KNOWN_MISSES, MEASURED = load_misses("known_misses.toml")


def is_known(claim: Claim, value: float) -> bool:
    """Whether ``claim`` is known to be missed by as much as ``value`` is, but for a few images."""
    known = MEASURED.get(claim.id)
    if known is None:
        return False
    off = abs(value - claim.paper_value) - abs(known - claim.paper_value)
    return off <= _TOLERANCES[claim.unit] + 1e-9
