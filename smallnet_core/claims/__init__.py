"""Every number of the paper: ``CLAIMS`` maps an id to its claim, read from the data files beside.

text.toml, accuracy.toml, pruning.toml, listings.toml and reports.toml are the paper, goals.toml
and known_misses.toml ours; text.toml says how to write a claim.

An id is the claim's place and its name: ``table2/resnet18_s-adabound``. What a claim's ``details``
hold:

- ``quantity``: the number's name where several of one metric share a place ("total_params");
- ``reference``: the name of the network for ``models.reference.build_reference``, where the paper
  counts one that it does not train;
- ``paper_difference``: minuend minus subtrahend by the paper's own tables;
- ``minuend``, ``subtrahend`` of metric "accuracy_difference_points": the two sides. A side is
  ``{"dataset", "network", "optimizer"}``, with ``technique`` and ``proportion`` where it is pruned
  in one shot (a proportion of "mean": the mean over those of Tables 6 and 7), with ``recipe`` where
  it is trained by a recipe of ours of that name and not by the one of its row, or
  ``{"best_of": (side, ...)}``, the highest accuracy of several;
- ``recipes``: names of recipes of ours, any of which can refute what is said to fail;
- ``paper_percent``: the accuracy that is printed where the claim is judged by a difference of it;
- ``best_of``: the same sides, for an accuracy that is the highest of several;
- ``technique``, ``proportion``: how a network is pruned, 0 to 1 of its convolutions' weights;
- ``points``: of accuracy, lost first at the proportion that is the claim's value;
- ``max_num_params``, ``min_seeds``: what a network and its measurement are held to besides;
- ``index``, ``layer_type``, ``output_shape`` of a line of a listing, the batch first as -1;
- ``class_name`` (the paper's: plane and car), ``class_index``; ``average``: "macro" or "weighted".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from types import MappingProxyType

from smallnet_core.claims import tables
from smallnet_core.claims.load import load_claims, load_tables
from smallnet_core.claims.names import (
    CHANCE_PERCENT,
    DATASET_NAMES,
    NETWORK_NAMES,
    OPTIMIZER_NAMES,
    PLACES,
)
from smallnet_core.records import Claim, Rule

__all__ = [
    "CHANCE_PERCENT",
    "CLAIMS",
    "DATASET_NAMES",
    "NETWORK_NAMES",
    "OPTIMIZER_NAMES",
    "assemble",
    "by_source",
]


def assemble(*groups: Iterable[Claim]) -> Mapping[str, Claim]:
    """One read-only mapping of id to claim, in the paper's order; ValueError for a repeated id."""
    claims: dict[str, Claim] = {}
    for claim in chain(*groups):
        if claim.id in claims:
            raise ValueError(f"claim id {claim.id!r} is given twice: ids must be unique")
        claims[claim.id] = claim
    order = {source: k for k, source in enumerate(PLACES.values())}
    return MappingProxyType(dict(sorted(claims.items(), key=lambda item: order[item[1].source])))


CLAIMS: Mapping[str, Claim] = assemble(
    load_claims("text.toml"),
    load_tables("listings.toml", tables.listing),
    load_tables("accuracy.toml", tables.accuracy),
    load_tables("reports.toml", tables.report),
    load_tables("pruning.toml", tables.pruning),
)


def by_source(
    *prefixes: str,
    metric: str | None = None,
    rule: Rule | None = None,
    network: str | None = None,
    dataset: str | None = None,
) -> list[Claim]:
    """The claims under any of ``prefixes`` (all without one) that agree with every filter given.

    "Appendix D" and "Appendix" take in "Appendix D.1"; "Section 3.2" takes in "Section 3.2.1" and
    not "Section 3". ValueError where nothing is left: parametrizing with nothing would be a silent
    skip.
    """
    wanted = {"metric": metric, "rule": rule, "network": network, "dataset": dataset}
    filters = {name: value for name, value in wanted.items() if value is not None}
    found = [
        claim
        for claim in CLAIMS.values()
        if (not prefixes or any(_is_under(claim.source, prefix) for prefix in prefixes))
        and all(getattr(claim, name) == value for name, value in filters.items())
    ]
    if not found:
        sources = ", ".join(dict.fromkeys(claim.source for claim in CLAIMS.values()))
        raise ValueError(f"no claim under {prefixes} with {filters}: the sources are {sources}")
    return found


def _is_under(source: str, prefix: str) -> bool:
    return source == prefix or source.startswith((f"{prefix}.", f"{prefix} "))
