"""README's table of a saved run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from smallnet_core.records import Claim, Status
from smallnet_core.report.results import (
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    Row,
    count_line,
    difference,
    headline,
    is_of_pruning,
    known_misses_line,
    measured,
    of_claims,
    provenance,
    verdict,
)
from smallnet_core.report.text import format_value, guarded, markdown_table

__all__ = ["markdown_lines"]

VERDICTS = [status.value for status in Status if status is not Status.NOT_MEASURED]


def markdown_lines(
    document: Mapping[str, Any],
    claims: Mapping[str, Claim],
    goals: Mapping[str, Claim],
    known_misses: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Accuracies of a saved benchmark JSON, measured and recorded, and a line a kind of claim.

    ``document`` is the parsed file. Of pruning it has what is lost too, but of Tables 6 and 7
    Figure 17 only.
    """
    known = {**claims, **goals}
    rows = of_claims(document["smallnet"]["rows"], known)
    shown = [row for row in rows if _is_shown(row, known[row["claim"]])]
    machine = document["machine_info"].get("smallnet", {})
    commit = document["commit_info"]
    recorded = [row for row in shown if row["origin"] == RECORDED]
    return [
        *guarded("the results", _results, shown, known, goals),
        "",
        *markdown_table(
            ("", "claims", "measured", *VERDICTS, "recorded", *VERDICTS, "neither"),
            headline(rows, claims, goals),
        ),
        "",
        f"{count_line(rows, claims, goals)}. {known_misses_line(rows, known_misses)}".rstrip(),
        "",
        f"Run on {document['datetime'][:10]} at commit {str(commit.get('id'))[:12]}"
        f"{' with changes' if commit.get('dirty') else ''}, {machine.get('device_name')}, "
        f"{machine.get('num_threads')} threads, torch {machine.get('versions', {}).get('torch')}."
        + (f" In the first table, {provenance(recorded)}." if recorded else ""),
    ]


def _is_shown(row: Row, claim: Claim) -> bool:
    if row["origin"] == NEITHER or claim.source.startswith("Appendix D"):
        return False
    if claim.source in PRUNING_TABLES:
        return False
    return claim.metric == "accuracy_percent" or is_of_pruning(claim)


def _results(
    rows: Sequence[Row], known: Mapping[str, Claim], goals: Mapping[str, Claim]
) -> list[str]:
    lines = []
    for row in rows:
        claim = known[row["claim"]]
        what = ", ".join(filter(None, (claim.network, claim.optimizer))) or claim.id
        if is_of_pruning(claim):
            what = claim.id.partition("/")[2]
        goal = "goal " if claim.id in goals else ""
        paper = goal + format_value(row["paper"], row["unit"])
        lines.append((claim.source, what, paper, measured(row), difference(row), verdict(row)))
    return markdown_table(
        ("where", "network, optimizer", "paper", "ours", "difference", "verdict"), lines
    )
