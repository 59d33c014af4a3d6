"""Claims known to be missed with the weights that ship: id to the reason, in one line.

The row of such a claim says missed all the same; its test is an expected failure where the zoo's
weights were judged, so that a nightly run tells a new miss from an old one. Once such a claim is
met its test passes, and the report ends with a line that says to remove it from known_misses.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smallnet_core.claims.load import read

KNOWN_MISSES: Mapping[str, str] = MappingProxyType(
    {
        claim_id: miss["reason"]
        for miss in read("known_misses.toml")["misses"]
        for claim_id in miss["claims"]
    }
)
