"""Tables of claims: in the layout of the paper's table, or with one line per claim; README's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smallnet_core.claims.names import DATASET_NAMES
from smallnet_core.records import Claim
from smallnet_core.report.kinds import TECHNIQUES, at_proportion, by_technique, how_pruned
from smallnet_core.report.results import (
    LEGEND,
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    VERDICTS,
    Result,
    Run,
    is_of_pruning,
    network_name,
    optimizer_name,
    provenance,
)
from smallnet_core.report.table import Cell, Row, Table

NETWORK_TABLES = ("Table 2", "Table 3", "Table 4", "Table 5")
LISTINGS = ("Appendix A", "Appendix B", "Appendix C")
CLASS_REPORTS = ("Appendix D.1", "Appendix D.2", "Appendix D.3", "Appendix D.4")
CROSSED = ("Table 1", *PRUNING_TABLES, *CLASS_REPORTS)  # shown whole, in the paper's own layout


def _layer(result: Result) -> str:
    details = result.claim.details
    if "layer_type" in details:
        return f"{details['layer_type']}-{details['index']}"
    return str(details.get("quantity", result.name)).replace("_", " ")


def _what(result: Result) -> str:
    """Name a row of a table by network and optimizer; any other claim says itself."""
    claim = result.claim
    if not claim.source.startswith(("Table", "Digits")):
        return result.statement
    return f"{network_name(claim.network)}, {optimizer_name(claim.optimizer)}"


_COLUMNS: Mapping[str, Callable[[Result], str]] = {
    "where": lambda r: r.claim.source,
    "claim": lambda r: r.name,
    "it says": lambda r: r.statement,
    "what": _what,
    "network": lambda r: network_name(r.claim.network),
    "optimizer": lambda r: optimizer_name(r.claim.optimizer),
    "layer": _layer,
    "output shape": lambda r: str(list(r.claim.details.get("output_shape", ())) or "-"),
    "paper": lambda r: r.text("paper"),
    "paper, or goal": lambda r: "goal " * r.is_goal + r.text("paper"),
    "goal": lambda r: r.text("paper"),
    "ours": lambda r: r.measured,
    "diff.": lambda r: r.difference,
    "unit": lambda r: r.claim.unit,
    "verdict": lambda r: r.judged,
}


def claims_table(results: Sequence[Result], *columns: str, **more: Any) -> Table:
    """Lay out one line per claim; the column "paper" is "goal" if all claims are our own."""
    if results and all(result.is_goal for result in results):
        columns = tuple("goal" if name == "paper" else name for name in columns)
    rows = [[_COLUMNS[name](result) for name in columns] for result in results]
    return Table(columns, rows, **more)


def source_table(results: Sequence[Result], curves: Sequence[Row] = ()) -> Table:
    """Lay out the claims of one source; ``curves`` adds techniques that the paper has not."""
    claim = results[0].claim
    source, network = claim.source, network_name(claim.network)
    if source in CROSSED:
        return _crossed(results, curves)
    if source in LISTINGS:
        names = ("layer", "output shape", "paper", "ours", "verdict")
        caption = f"{source}: parameters of the layers of {network}"
        return claims_table(results, *names, caption=caption, folded=True)
    if _are_networks(results):
        columns = ("network", "optimizer", "paper", "ours", "diff.", "verdict")
        return claims_table(results, *columns, caption=_accuracy_caption(claim))
    return claims_table(results, "claim", "paper", "ours", "verdict", caption=source)


def is_accuracy(result: Result) -> bool:
    """Tell whether a result has a value and is an accuracy or about pruning."""
    claim = result.claim
    if result.origin == NEITHER or claim.source in (*CLASS_REPORTS, *PRUNING_TABLES):
        return False
    metrics = ("accuracy_percent", "accuracy_spread_points")
    return is_of_pruning(claim) or claim.metric in metrics


def accuracies(results: Sequence[Result]) -> Table:
    """Lay out accuracies and pruning results, with Figure 17 in place of Tables 6 and 7."""
    columns = ("where", "what", "paper, or goal", "ours", "diff.", "unit", "verdict")
    return claims_table(list(filter(is_accuracy, results)), *columns)


def _are_networks(results: Sequence[Result]) -> bool:
    """Tell whether network and optimizer identify each of these claims."""
    names = networks(results)
    pruned = any(is_of_pruning(result.claim) for result in results)
    return all(map(all, names)) and len(names) == len(results) and not pruned


def networks(results: Sequence[Result]) -> set[tuple[str | None, str | None]]:
    """Return the networks and optimizers that results are about."""
    return {(result.claim.network, result.claim.optimizer) for result in results}


# The paper's own layouts


def _accuracy_caption(claim: Claim) -> str:
    data = DATASET_NAMES.get(claim.dataset or "", claim.dataset)
    return f"{claim.source}: test accuracy on {data}, %"


def _crossed(results: Sequence[Result], curves: Sequence[Row]) -> Table:
    claim = results[0].claim
    notes, source = [LEGEND], claim.source
    if source == "Table 1":
        names = {"num_params": "parameters", "accuracy_percent": "% correct"}
        cells = [
            (network_name(r.claim.network), names[r.claim.metric], r.pair(r.claim.unit))
            for r in results
        ]
        return Table.cross("model", cells, notes=notes, caption="Table 1: published models")
    if source in CLASS_REPORTS:
        cells = []
        for r in results:
            name = r.name.removesuffix(f"-{r.claim.metric}").replace("_", " ")
            metric = "f1" if r.claim.metric.startswith("accuracy") else r.claim.metric  # as there
            cells.append((name, metric, r.pair(r.claim.unit or "%")))  # two decimals, as there
        caption = f"{source}: {network_name(claim.network)}, classes of CIFAR-10"
        return Table.cross("class", cells, notes=notes, caption=caption, folded=True)
    results = sorted(results, key=lambda r: r.claim.details["proportion"])
    cells = [(f"{r.claim.details['proportion']:g}", _technique(r), r.pruned_pair) for r in results]
    # Add techniques that the paper has no numbers for.
    there, shown = networks(results), {r.claim.details["technique"] for r in results}
    own = [c for c in curves if (c["network"], c["optimizer"]) in there]
    own = [c for c in own if c["technique"] not in shown]
    proportions = dict.fromkeys(line for line, *_ in cells)
    for name, of_one in by_technique(own).items():
        label = TECHNIQUES.get(name, name)
        cells += [(p, label, Cell(at_proportion(float(p), of_one))) for p in proportions]
    caption = f"{source}: ResNet18 pruned in one shot, test accuracy, %"
    return Table.cross("prop.", cells, notes=[*notes, *how_pruned(own)], caption=caption)


def _technique(result: Result) -> str:
    return TECHNIQUES[result.claim.details["technique"]]


def by_optimizer(results: Sequence[Result]) -> Table:
    """Lay out accuracies by network and optimizer."""
    cells = [
        (network_name(r.claim.network), optimizer_name(r.claim.optimizer), r.pair("%"))
        for r in results
    ]
    caption = f"{_accuracy_caption(results[0].claim)}: paper/ours"
    return Table.cross("network", cells, notes=[provenance(results)], caption=caption)


def lost_by_pruning(results: Sequence[Result]) -> Table:
    """Lay out where each technique loses one point and five, and its accuracy at 0.2 and 0.5.

    ``results`` are those of Figure 17 and Tables 6 and 7.
    """
    columns = {
        ("points", 1): "1 point lost at",
        ("points", 5): "5 points lost at",
        ("proportion", 0.2): "% at 0.2",
        ("proportion", 0.5): "% at 0.5",
    }
    cells = [
        (_technique(r), name, r.pruned_pair if field == "proportion" else r.pair(""))
        for r in results
        for (field, value), name in columns.items()
        if r.claim.details.get(field) == value
    ]
    pruned = [r for r in results if r.claim.source in PRUNING_TABLES]
    counts = Counter(result.verdict for result in pruned)
    verdicts = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    number = f"{len(pruned)} number{'s' * (len(pruned) > 1)}"
    note = f"{': '.join(filter(None, (number, verdicts)))}; {provenance(pruned)}"
    caption = "Tables 6 and 7: ResNet18 pruned in one shot, by proportion pruned: paper/ours"
    return Table.cross("technique", cells, notes=[note], caption=caption)


def markdown_lines(document: Mapping[str, Any], known_misses: Mapping[str, str]) -> list[str]:
    """Return README's lines: the accuracies of a saved benchmark JSON, and counts of all claims.

    ``document`` is the parsed file. Pruning results are included, with Figure 17 in place of
    Tables 6 and 7.
    """
    run = Run(document["smallnet"]["rows"], known_misses)
    machine = document["machine_info"].get("smallnet", {})
    commit = document["commit_info"]
    recorded = [r for r in filter(is_accuracy, run.results) if r.origin == RECORDED]
    return [
        *accuracies(run.results).markdown(),
        "",
        *run.headline().markdown(),
        "",
        f"{run.count_line()}. {run.misses_line()}".rstrip(),
        "",
        f"Run on {document['datetime'][:10]} at commit {str(commit.get('id'))[:12]}"
        f"{' with changes' if commit.get('dirty') else ''}, {machine.get('device_name')}, "
        f"{machine.get('num_threads')} threads, torch {machine.get('versions', {}).get('torch')}."
        + (f" In the first table, {provenance(recorded)}." if recorded else ""),
    ]
