"""Tables of claims: a source of the paper as the paper lays it out, or a line a claim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from smallnet_core.claims.names import DATASET_NAMES
from smallnet_core.records import Claim
from smallnet_core.report.curves import TECHNIQUES, at_proportion, by_technique, how_pruned
from smallnet_core.report.results import (
    LEGEND,
    NEITHER,
    PRUNING_TABLES,
    Result,
    is_of_pruning,
    network_name,
    optimizer_name,
)
from smallnet_core.report.table import Row, Table

NETWORK_TABLES = ("Table 2", "Table 3", "Table 4", "Table 5")
LISTINGS = ("Appendix A", "Appendix B", "Appendix C")
CLASS_REPORTS = ("Appendix D.1", "Appendix D.2", "Appendix D.3", "Appendix D.4")
_CROSSED = ("Table 1", *PRUNING_TABLES, *CLASS_REPORTS)  # the paper's own layout


def _layer(claim: Claim) -> str:
    details = claim.details
    if "layer_type" in details:
        return f"{details['layer_type']}-{details['index']}"
    return str(details.get("quantity", claim.id)).replace("_", " ")


def _shape(claim: Claim) -> str:
    shape = claim.details.get("output_shape")
    return "-" if shape is None else str(list(shape))


def _what(result: Result) -> str:
    claim = result.claim
    if is_of_pruning(claim) or claim.optimizer is None:
        return result.name
    return f"{network_name(claim.network)}, {optimizer_name(claim.optimizer)}"


_COLUMNS: Mapping[str, Callable[[Result], str]] = {
    "where": lambda r: r.claim.source,
    "claim": lambda r: r.name,
    "it says": lambda r: r.statement,
    "what": _what,
    "network": lambda r: network_name(r.claim.network),
    "optimizer": lambda r: optimizer_name(r.claim.optimizer),
    "layer": lambda r: _layer(r.claim),
    "output shape": lambda r: _shape(r.claim),
    "paper": lambda r: r.text("paper"),
    "paper, or goal": lambda r: "goal " * r.is_goal + r.text("paper"),
    "goal": lambda r: r.text("paper"),
    "ours": lambda r: r.measured,
    "diff.": lambda r: r.difference,
    "unit": lambda r: r.claim.unit,
    "verdict": lambda r: r.judged,
}


def claims_table(
    results: Sequence[Result], *columns: str, caption: str = "", folded: bool = False
) -> Table:
    """Lay out a line a claim."""
    rows = [[_COLUMNS[name](result) for name in columns] for result in results]
    return Table(columns, rows, caption=caption, folded=folded)


def is_crossed(source: str) -> bool:
    """Tell whether a source is shown in the paper's own layout, and thus as a whole."""
    return source in _CROSSED


def source_table(results: Sequence[Result], curves: Sequence[Row] = ()) -> Table:
    """Lay out claims of one source; ``curves`` are of networks that were pruned."""
    claim = results[0].claim
    source, network = claim.source, network_name(claim.network)
    if source == "Table 1":
        return _models(results)
    if source in PRUNING_TABLES:
        return _pruned(results, curves)
    if source in CLASS_REPORTS:
        return _by_class(results, f"{source}: {network}, classes of CIFAR-10")
    if source in LISTINGS:
        names = ("layer", "output shape", "paper", "ours", "verdict")
        caption = f"{source}: parameters of the layers of {network}"
        return claims_table(results, *names, caption=caption, folded=True)
    paper = "goal" if results[0].is_goal else "paper"
    if _are_networks(results):
        data = DATASET_NAMES.get(claim.dataset or "", claim.dataset)
        columns = ("network", "optimizer", paper, "ours", "diff.", "verdict")
        return claims_table(results, *columns, caption=f"{source}: test accuracy on {data}, %")
    return claims_table(results, "claim", paper, "ours", "verdict", caption=source)


def statements(caption: str, results: Sequence[Result]) -> Table:
    """Lay out what the paper, or we, say in words."""
    paper = "goal" if results and results[0].is_goal else "paper"
    columns = ("where", "it says", paper, "ours", "unit", "verdict")
    return claims_table(results, *columns, caption=caption)


def is_accuracy(result: Result) -> bool:
    """Tell whether a result is an accuracy, or of pruning, and has a value."""
    claim = result.claim
    if result.origin == NEITHER or claim.source in (*CLASS_REPORTS, *PRUNING_TABLES):
        return False
    accuracies = ("accuracy_percent", "accuracy_spread_points")
    return is_of_pruning(claim) or claim.metric in accuracies


def accuracies(results: Sequence[Result]) -> Table:
    """Lay out accuracies and what pruning costs; of Tables 6 and 7 only what Figure 17 has."""
    columns = ("where", "what", "paper, or goal", "ours", "diff.", "verdict")
    return claims_table(list(filter(is_accuracy, results)), *columns)


def _are_networks(results: Sequence[Result]) -> bool:
    """Whether network and optimizer tell these claims apart."""
    names = {(r.claim.network, r.claim.optimizer) for r in results}
    pruned = any(is_of_pruning(result.claim) for result in results)
    return all(map(all, names)) and len(names) == len(results) and not pruned


def _models(results: Sequence[Result]) -> Table:
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for r in results:
        cells[network_name(r.claim.network)][r.claim.metric] = r.pair(r.claim.unit)
    columns = {"num_params": "parameters", "accuracy_percent": "% correct"}
    caption = "Table 1: published models"
    return Table.cross("model", cells, columns, notes=[LEGEND], caption=caption)


def _by_class(results: Sequence[Result], caption: str) -> Table:
    """Lay out as the paper does; its accuracies stand under f1 there too."""
    metrics = ("precision", "recall", "f1", "support")
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for r in results:
        name = r.name.removesuffix(f"-{r.claim.metric}").replace("_", " ")
        metric = r.claim.metric if r.claim.metric in metrics else "f1"
        cells[name][metric] = r.pair(r.claim.unit or "%")  # two decimals, as the paper's
    columns = dict(zip(metrics, metrics, strict=True))
    return Table.cross("class", cells, columns, notes=[LEGEND], caption=caption, folded=True)


def _pruned(results: Sequence[Result], curves: Sequence[Row]) -> Table:
    """Lay out by proportion and technique.

    ``curves`` of the same network add the techniques that the paper has no numbers for.
    """
    cells: dict[float, dict[str, str]] = defaultdict(dict)
    for r in results:
        details = r.claim.details
        cells[details["proportion"]][details["technique"]] = r.pruned_pair
    names = networks(results)
    own = [c for c in curves if (c.get("network"), c.get("optimizer")) in names]
    techniques = dict.fromkeys(name for found in cells.values() for name in found)
    others = {name: c for name, c in by_technique(own).items() if name not in techniques}
    for name, of_one in others.items():
        for proportion, found in cells.items():
            found[name] = at_proportion(proportion, of_one)
    columns = {name: TECHNIQUES.get(name, name) for name in (*techniques, *others)}
    notes = [LEGEND, *how_pruned([curve for of_one in others.values() for curve in of_one])]
    lines = {f"{proportion:g}": found for proportion, found in sorted(cells.items())}
    caption = f"{results[0].claim.source}: ResNet18 pruned in one shot, test accuracy, %"
    return Table.cross("prop.", lines, columns, notes=notes, caption=caption)


def networks(results: Sequence[Result]) -> set[tuple[str | None, str | None]]:
    """Give the networks and optimizers that claims are about."""
    return {(result.claim.network, result.claim.optimizer) for result in results}
