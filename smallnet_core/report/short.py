"""The report of one screen: what a run of everything ends with."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from smallnet_core.claims.names import DATASET_NAMES, NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.report import kinds
from smallnet_core.report.results import (
    MEASURED,
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    VERDICTS,
    Claims,
    Reasons,
    Result,
    count_line,
    headline_lines,
    provenance,
    read_rows,
    why_lines,
)
from smallnet_core.report.table import Row, Table, grouped, guarded, shorten, wrapped

MAX_REASON_LINES = 8  # of what is missed and what is not measured, together
MAX_COMPLAINTS, MAX_KINDS = 4, 10

NETWORK_TABLES = ("Table 2", "Table 3", "Table 4", "Table 5")
# Every part of the paper that has no table of its own here: its name, the pattern of its
# sources, and the claim whose number stands for it.
_SIZES = r"Abstract|Section [123]\b|Table 1|Figure 6"
_OVER_91 = "section-6/resnet18_s-adabound-over_91"
PARTS = (
    ("sizes in the text", _SIZES, "section-3.2.1/resnet18_s", "ResNet18_S"),
    ("layers (App. A-C)", "Appendix [ABC]", "appendix-b/total_params", "VGG16_S"),
    ("sentences (Sec. 5-6)", r"Section [56]\b", _OVER_91, "ResNet18_S"),
    ("by class (App. D)", "Appendix D", "appendix-d.1/macro_avg-f1", "ResNet18_S, F1"),
    ("pruning (Fig. 17)", "Figure 17", "figure17/l1_unstructured-five_points", "L1 unstr."),
    ("goals: digits", "Digits", "digits/resnet18_s-adabound", "ResNet18_S"),
    ("goals: pruned", "Pruning", "pruning/resnet18_s-250k-channels", "ResNet18_S"),
    ("goals: equal effort", "Equal effort", "equal/resnet18_s-cifar10", "ResNet18_S"),
    ("goals: long", "Long training", "long/resnet18_s-adabound", "ResNet18_S"),
    ("goals: SpeedNet", "Beyond the paper", "beyond/speednet-muon", "SpeedNet"),
)


def short_lines(
    rows: Sequence[Row],
    claims: Claims,
    goals: Claims,
    *,
    complaints: Sequence[str] = (),
    known_misses: Reasons = MappingProxyType({}),
) -> list[str]:
    """Write the headline, the paper's tables, a line for each other part, and what is missing."""
    results, others = read_rows(rows, {**claims, **goals})
    sources = grouped(results, lambda result: result.claim.source)
    above = [
        guarded("the counts", headline_lines, results, claims, goals, known_misses),
        *(guarded(s, _network_table, sources[s]) for s in NETWORK_TABLES if s in sources),
        guarded("Tables 6 and 7", _pruning_lines, results),
        guarded("other parts", _parts_lines, sources, others),
    ]
    below = [
        guarded("complaints", _complaints_lines, complaints),
        [
            "Everything, with the paper's contradictions: --tables all",
            *guarded("the count", lambda: wrapped(count_line(results, claims, goals))),
        ],
    ]
    reasons = guarded("reasons", why_lines, results, known_misses, MAX_REASON_LINES)
    sections = (*above, reasons, *below)
    return [line for section in sections if section for line in ("", *section)][1:]


def _network_table(results: Sequence[Result]) -> list[str]:
    """As the paper prints it, networks and optimizers."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for r in results:
        network = r.claim.network or "-"
        cells[NETWORK_NAMES.get(network, network)][r.claim.optimizer or "-"] = r.pair("%")
    columns = {k: v for k, v in OPTIMIZER_NAMES.items() if any(k in own for own in cells.values())}
    claim = results[0].claim
    data = DATASET_NAMES.get(claim.dataset or "", claim.dataset)
    title = f"{claim.source}: test accuracy on {data}, %: paper, ours"
    return [title, *Table.cross("network", cells, columns, [provenance(results)]).terminal()]


def _pruning_lines(results: Sequence[Result]) -> list[str]:
    """Where each technique has lost a point and five, and its accuracy at two proportions."""
    pruned = [result for result in results if result.claim.source in PRUNING_TABLES]
    if not pruned:
        return []
    columns = {
        ("points", 1): "1 point lost at",
        ("points", 5): "5 points lost at",
        ("proportion", 0.2): "% at 0.2",
        ("proportion", 0.5): "% at 0.5",
    }
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for r in (*(r for r in results if r.claim.source == "Figure 17"), *pruned):
        details = r.claim.details
        for (field, value), name in columns.items():
            if details.get(field) == value:
                at = field == "proportion"
                cell = r.cell(details["paper_percent"], r.pruned_percent) if at else r.pair("")
                cells[kinds.TECHNIQUES[details["technique"]]][name] = cell
    counts = Counter(result.verdict for result in pruned)
    verdicts = [f"{counts[name]} {name}" for name in VERDICTS if counts[name]]
    note = ": ".join(filter(None, (f"{len(pruned)} numbers", ", ".join(verdicts))))
    names = {name: name for name in columns.values()}
    table = Table.cross("technique", cells, names, [f"{note}; {provenance(pruned)}"])
    title = "Tables 6 and 7: ResNet18 pruned in one shot, by proportion pruned: paper, ours"
    return [title, *table.terminal()]


def _parts_lines(
    sources: Mapping[str, Sequence[Result]], others: Mapping[str, Sequence[Row]]
) -> list[str]:
    """A line a part of the paper, then one a kind of row that judges no claim."""
    lines: list[tuple[str, ...]] = []

    def add(name: str, numbers: Sequence[int], said: str) -> None:
        lines.append((name, *(str(n or "-") for n in numbers), shorten(said, 29)))

    for name, pattern, example, label in PARTS:
        own = [r for source, found in sources.items() if re.match(pattern, source) for r in found]
        if own:
            counts = Counter(result.origin for result in own)
            origins = [counts[origin] for origin in (MEASURED, RECORDED, NEITHER)]
            missed = sum(result.is_missed for result in own)
            telling = [f"{label} {_value(r)}" for r in own if r.claim.id == example]
            add(name, (len(own), *origins, missed), "".join(telling[:1]))
    for kind, rows in [*others.items()][:MAX_KINDS]:
        [said, *_] = guarded("these", kinds.telling, kind, rows)
        recorded = sum(bool(row.get("recorded")) for row in rows)
        name = shorten(" ".join(kind.replace("_", " ").split()), 20)
        add(name, (len(rows), len(rows) - recorded, recorded, 0, 0), said)
    if (left := len(others) - MAX_KINDS) > 0:
        add(f"{left} more kinds", [0] * 5, "--tables all")
    header = ("other parts", "all", "now", "earlier", "none", "!", "one of them: ours (paper)")
    return Table(header, lines, "lrrrrrl").terminal() if lines else []


def _value(result: Result) -> str:
    return f"{result.text('measured')} ({result.text('paper')}) {result.marks}".rstrip()


def _complaints_lines(complaints: Sequence[str]) -> list[str]:
    lines = [part for text in complaints[:MAX_COMPLAINTS] for part in wrapped(str(text), "  ")[:4]]
    left = len(complaints) - MAX_COMPLAINTS
    return [*lines, f"  and {left} more of this kind: --tables all"] if left > 0 else lines
