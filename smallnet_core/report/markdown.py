"""README's table of a saved run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from smallnet_core.report.results import (
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    VERDICTS,
    Claims,
    Reasons,
    Result,
    count_line,
    headline,
    is_of_pruning,
    known_misses_line,
    provenance,
    read_rows,
)
from smallnet_core.report.table import Table, guarded


def markdown_lines(
    document: Mapping[str, Any],
    claims: Claims,
    goals: Claims,
    known_misses: Reasons = MappingProxyType({}),
) -> list[str]:
    """Write accuracies of a saved benchmark JSON, measured and recorded, and counts of all claims.

    ``document`` is the parsed file. Of pruning it has what is lost too, but of Tables 6 and 7
    Figure 17 only.
    """
    results, _ = read_rows(document["smallnet"]["rows"], {**claims, **goals})
    order = [*claims, *goals]  # the paper's, then our own
    shown = sorted(filter(is_shown, results), key=lambda result: order.index(result.claim.id))
    machine = document["machine_info"].get("smallnet", {})
    commit = document["commit_info"]
    recorded = [result for result in shown if result.origin == RECORDED]
    header = ("", "claims", "measured", *VERDICTS, "recorded", *VERDICTS, "neither")
    count, misses = count_line(results, claims, goals), known_misses_line(results, known_misses)
    return [
        *guarded("the results", results_lines, shown, goals),
        "",
        *Table(header, headline(results, claims, goals)).markdown(),
        "",
        f"{count}. {misses}".rstrip(),
        "",
        f"Run on {document['datetime'][:10]} at commit {str(commit.get('id'))[:12]}"
        f"{' with changes' if commit.get('dirty') else ''}, {machine.get('device_name')}, "
        f"{machine.get('num_threads')} threads, torch {machine.get('versions', {}).get('torch')}."
        + (f" In the first table, {provenance(recorded)}." if recorded else ""),
    ]


def is_shown(result: Result) -> bool:
    """Tell whether a result is an accuracy, or of pruning, and has a value."""
    claim = result.claim
    if result.origin == NEITHER or claim.source.startswith("Appendix D"):
        return False
    is_accuracy = claim.metric in ("accuracy_percent", "accuracy_spread_points")
    return (is_accuracy or is_of_pruning(claim)) and claim.source not in PRUNING_TABLES


def results_lines(results: Sequence[Result], goals: Claims) -> list[str]:
    """Write a line a result."""
    rows = []
    for r in results:
        what = ", ".join(filter(None, (r.claim.network, r.claim.optimizer))) or r.claim.id
        what = r.name if is_of_pruning(r.claim) or r.claim.optimizer is None else what
        paper = "goal " * (r.claim.id in goals) + r.text("paper")
        rows.append((r.claim.source, what, paper, r.measured, r.difference, r.judged))
    header = ("where", "network, optimizer", "paper", "ours", "difference", "verdict")
    return Table(header, rows).markdown()
