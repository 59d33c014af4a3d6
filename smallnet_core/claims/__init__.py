"""Every number of the paper: ``CLAIMS`` maps ids to claims, read from this folder's data files.

text.toml, accuracy.toml, pruning.toml, listings.toml and reports.toml hold the paper's claims,
goals.toml and known_misses.toml ours; text.toml explains how to write a claim.

An id is the claim's place and its name: ``table2/resnet18_s-adabound``. A claim's ``details`` may
hold:

- ``quantity``: the number's name if several of one metric share a place ("total_params");
- ``reference``: a network for ``models.reference.build_reference``, if the paper counts one that it
  does not train;
- ``paper_difference``: minuend minus subtrahend from the paper's own tables;
- ``minuend``, ``subtrahend`` of metric "accuracy_difference_points": the two sides. A side is
  ``{"dataset", "network", "optimizer"}``, with ``technique`` and ``proportion`` if it is pruned in
  one shot (a proportion of "mean": the mean over those of Tables 6 and 7), with ``recipe`` if it is
  trained with our recipe of that name instead of its row's, or ``{"best_of": (side, ...)}``, the
  highest accuracy of several;
- ``recipes``: names of our recipes, any of which can refute a claim of failure;
- ``paper_percent``: the printed accuracy, if the claim is judged by a difference from it;
- ``best_of``: sides as above, if the accuracy is the highest of several;
- ``technique``, ``proportion``: how a network is pruned, 0 to 1 of its convolutions' weights;
- ``points``: of accuracy, which are first lost at the proportion that is the claim's value;
- ``max_num_params``, ``min_seeds``: further conditions on a network and its measurement;
- ``index``, ``layer_type``, ``output_shape``: a line of a listing, with -1 for the batch;
- ``class_name`` (the paper's: plane and car), ``class_index``; ``average``: "macro" or "weighted".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from types import MappingProxyType

from smallnet_core.claims import tables
from smallnet_core.claims.load import load_claims, load_tables
from smallnet_core.claims.names import PLACES
from smallnet_core.records import Claim


def assemble(*groups: Iterable[Claim]) -> Mapping[str, Claim]:
    """Return a read-only mapping of id to claim, in the paper's order; ValueError if repeated."""
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


GOALS: Mapping[str, Claim] = assemble(load_claims("goals.toml"))


def by_source(*sources: str, metric: str | None = None) -> list[Claim]:
    """Return the claims and goals under any of ``sources``, of one metric if it is given.

    "Appendix D" includes "Appendix D.1", and "Section 3" includes "Section 3.2.1". ValueError if
    there is none: parametrizing with nothing would be a silent skip.
    """
    found = [
        claim
        for claim in (*CLAIMS.values(), *GOALS.values())
        if any(f"{claim.source}.".startswith(f"{source}.") for source in sources)
        and metric in (None, claim.metric)
    ]
    if not found:
        known = ", ".join(PLACES.values())
        raise ValueError(f"no {metric or 'claim'} in {sources}: the sources are {known}")
    return found
