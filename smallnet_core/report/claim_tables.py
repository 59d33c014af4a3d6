"""Tables of claims: a source of the paper as the paper lays it out, or a line a claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from smallnet_core.claims.names import DATASET_NAMES
from smallnet_core.records import Claim
from smallnet_core.report.kinds import TECHNIQUES, at_proportion, by_technique, how_pruned
from smallnet_core.report.results import (
    LEGEND,
    NEITHER,
    PRUNING_TABLES,
    VERDICTS,
    Result,
    is_of_pruning,
    network_name,
    optimizer_name,
    provenance,
)
from smallnet_core.report.table import Cell, Row, Table

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
    names = {"num_params": "parameters", "accuracy_percent": "% correct"}
    cells = [
        (network_name(r.claim.network), names[r.claim.metric], r.pair(r.claim.unit))
        for r in results
    ]
    return Table.cross("model", cells, notes=[LEGEND], caption="Table 1: published models")


def _by_class(results: Sequence[Result], caption: str) -> Table:
    """Lay out as the paper does; its accuracies stand under f1 there too."""
    cells = []
    for r in results:
        name = r.name.removesuffix(f"-{r.claim.metric}").replace("_", " ")
        metric = "f1" if r.claim.metric.startswith("accuracy") else r.claim.metric
        cells.append((name, metric, r.pair(r.claim.unit or "%")))  # two decimals, as the paper's
    return Table.cross("class", cells, notes=[LEGEND], caption=caption, folded=True)


def _pruned(results: Sequence[Result], curves: Sequence[Row]) -> Table:
    """Lay out by proportion and technique.

    ``curves`` of the same network add the techniques that the paper has no numbers for.
    """
    results = sorted(results, key=lambda r: r.claim.details["proportion"])
    places = [(r.claim.details["proportion"], r.claim.details["technique"]) for r in results]
    proportions, techniques = (list(dict.fromkeys(names)) for names in zip(*places, strict=True))
    names = networks(results)
    own = [
        c
        for c in curves
        if (c["network"], c["optimizer"]) in names and c["technique"] not in techniques
    ]
    cells = [
        (f"{p:g}", TECHNIQUES.get(technique, technique), r.pruned_pair)
        for (p, technique), r in zip(places, results, strict=True)
    ]
    cells += [
        (f"{p:g}", TECHNIQUES.get(name, name), Cell(at_proportion(p, of_one)))
        for name, of_one in by_technique(own).items()
        for p in proportions
    ]
    caption = f"{results[0].claim.source}: ResNet18 pruned in one shot, test accuracy, %"
    return Table.cross("prop.", cells, notes=[LEGEND, *how_pruned(own)], caption=caption)


def by_optimizer(results: Sequence[Result]) -> Table:
    """Lay out accuracies by network and optimizer, as the paper does."""
    cells = [
        (network_name(r.claim.network), optimizer_name(r.claim.optimizer), r.pair("%"))
        for r in results
    ]
    return Table.cross("network", cells, notes=[provenance(results)])


def lost_by_pruning(results: Sequence[Result]) -> Table:
    """Lay out where each technique has lost a point and five, and its accuracy at 0.2 and 0.5.

    ``results`` are those of Figure 17 and Tables 6 and 7.
    """
    columns = {
        ("points", 1): "1 point lost at",
        ("points", 5): "5 points lost at",
        ("proportion", 0.2): "% at 0.2",
        ("proportion", 0.5): "% at 0.5",
    }
    cells = [
        (
            TECHNIQUES[r.claim.details["technique"]],
            name,
            r.pruned_pair if field == "proportion" else r.pair(""),
        )
        for r in results
        for (field, value), name in columns.items()
        if r.claim.details.get(field) == value
    ]
    pruned = [r for r in results if r.claim.source in PRUNING_TABLES]
    counts = Counter(result.verdict for result in pruned)
    verdicts = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    note = f"{len(pruned)} numbers{': ' * bool(verdicts)}{verdicts}; {provenance(pruned)}"
    return Table.cross("technique", cells, notes=[note])


def networks(results: Sequence[Result]) -> set[tuple[str | None, str | None]]:
    """Give the networks and optimizers that claims are about."""
    return {(result.claim.network, result.claim.optimizer) for result in results}
