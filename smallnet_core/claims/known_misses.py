"""Claims known to be missed with the weights that ship: id to the reason, in one line.

The row of such a claim says missed all the same; its test is an expected failure where the zoo's
weights were judged, so that a nightly run tells a new miss from an old one. Once such a claim is
met its test passes, and the report ends with a line that says to remove it from known_misses.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smallnet_core.claims.load import read


def load_reasons(name: str) -> Mapping[str, str]:
    """Read what groups of claims are missed for; ValueError where a claim stands in two."""
    reasons: dict[str, str] = {}
    for group in read(name)["misses"]:
        for claim_id in group["claims"]:
            if claim_id in reasons:
                raise ValueError(f"{name}: {claim_id}: is given twice")
            reasons[claim_id] = group["reason"]
    return MappingProxyType(reasons)


KNOWN_MISSES = load_reasons("known_misses.toml")
