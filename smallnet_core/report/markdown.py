"""The table of a saved run in README."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from smallnet_core.report.claim_tables import accuracies, is_accuracy
from smallnet_core.report.results import (
    RECORDED,
    Claims,
    Reasons,
    Run,
    provenance,
)
from smallnet_core.report.table import guarded


def markdown_lines(
    document: Mapping[str, Any],
    claims: Claims,
    goals: Claims,
    known_misses: Reasons = MappingProxyType({}),
) -> list[str]:
    """Return README's lines: the accuracies of a saved benchmark JSON, and counts of all claims.

    ``document`` is the parsed file. Pruning results are included, with Figure 17 in place of
    Tables 6 and 7.
    """
    run = Run(document["smallnet"]["rows"], claims, goals, known_misses)
    machine = document["machine_info"].get("smallnet", {})
    commit = document["commit_info"]
    recorded = [r for r in filter(is_accuracy, run.results) if r.origin == RECORDED]
    return [
        *guarded("the results", lambda: accuracies(run.results).markdown()),
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
