"""Every table of a run: what ``--tables all`` prints, remarks on the paper with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from types import MappingProxyType

from smallnet_core.claims.names import GOAL_SOURCES
from smallnet_core.records import Status
from smallnet_core.report import kinds
from smallnet_core.report.results import (
    LEGEND,
    MEASURED,
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    Claims,
    Reasons,
    Result,
    count_line,
    headline_lines,
    is_of_pruning,
    provenance,
    read_rows,
    why_lines,
)
from smallnet_core.report.table import Row, Table, grouped, guarded, wrapped

MAX_ROWS = 16  # of a source with more, only what stands out is listed
# What a classification report says of each class and of the averages over them.
PER_CLASS = ("precision", "recall", "f1")


def terminal_lines(
    rows: Sequence[Row],
    claims: Claims,
    goals: Claims,
    *,
    verbose: bool = False,
    complaints: Sequence[str] = (),
    known_misses: Reasons = MappingProxyType({}),
) -> list[str]:
    """Write all tables of a run, a source at a time in the paper's order, then the summary.

    ``known_misses``: why claims are missed that are known to be, by id.
    """
    results, others = read_rows(rows, {**claims, **goals})
    found = grouped(results, lambda result: result.claim.source)
    curves, broken = kinds.split_curves(others.pop(kinds.CURVE, []))
    others |= {kinds.CURVE: broken} if broken else {}
    sources = dict.fromkeys(claim.source for claim in (*claims.values(), *goals.values()))
    sections = [
        *(guarded(s, _source_lines, found[s], verbose, curves) for s in sources if s in found),
        guarded("pruning curves", _other_curves, curves, results),
        *(guarded(kind, kinds.table_lines, kind, own) for kind, own in others.items()),
        guarded("what is missed", why_lines, results, known_misses),
        *(wrapped(str(complaint), "  ") for complaint in complaints),
        guarded("the counts", headline_lines, results, claims, goals, known_misses),
        guarded("the count", lambda: wrapped(count_line(results, claims, goals))),
    ]
    return [line for section in sections if section for line in ("", *section)][1:]


def _source_lines(results: Sequence[Result], verbose: bool, curves: Sequence[Row]) -> list[str]:
    source = results[0].claim.source
    judged = [result for result in results if result.origin != NEITHER]
    lines, shown = [f"{source}: {_counts(results)}"], list(results)
    if len(results) > MAX_ROWS and not verbose:
        shown = [r for r in results if r.is_missed or r.verdict == Status.REFUTED.value]
    if source.startswith("Appendix D") and judged:
        lines += _per_class_table(results)
        shown = [result for result in shown if result.claim.metric not in PER_CLASS]
    if source in PRUNING_TABLES and judged:
        lines += _pruning_table(results, curves)
    elif shown:
        lines += _claims_table(shown, _are_networks(results))
    lines += guarded("how it was trained", _training_lines, judged)
    if any(result.origin == RECORDED for result in judged):
        lines += wrapped(provenance(judged), "  ")
    for remark, own in grouped(results, lambda result: result.claim.remark).items():
        names = ", ".join(result.name for result in own[:2]) + ", ..." * (len(own) > 2)
        lines += wrapped(f"{names}: {remark}", "  * ") if remark else []
    return lines


def _counts(results: Sequence[Result]) -> str:
    """Verdicts in the order of Status, those that are recorded apart."""
    counts = Counter((result.origin, result.verdict) for result in results)
    here, neither, recorded = (
        ", ".join(f"{counts[origin, s]} {s.value}" for s in Status if counts[origin, s])
        for origin in (MEASURED, NEITHER, RECORDED)
    )
    here = ", ".join(filter(None, (here, neither)))
    return "; ".join(filter(None, (here, recorded and f"recorded: {recorded}")))


def _training_lines(results: Sequence[Result]) -> list[str]:
    """Which recipe, which epoch, which seeds, trained on what: a line for each that occurs."""
    found: dict[str, None] = {}
    for row, details in ((r.row, r.details) for r in results if "selection" in r.details):
        best = details["selection"] == "best_test_epoch"
        epoch = "best epoch on the test set (the paper's rule)" if best else "last epoch"
        trained_on = ", ".join(sorted(set(details.get("trained_on", ()))))
        how = f"trained in {'/'.join(details.get('computed_in', ()))} on {trained_on}"
        recipe = f"{row['recipe']} recipe, " if row.get("recipe") else ""
        found[f"{recipe}{epoch}, seeds {', '.join(map(str, row['seeds']))}, {how}"] = None
    return [line for text in found for line in wrapped(text, "  ")]


def _are_networks(results: Sequence[Result]) -> bool:
    """Whether network and optimizer tell these claims apart."""
    names = {(r.claim.network, r.claim.optimizer) for r in results}
    pruned = any(is_of_pruning(result.claim) for result in results)
    return all(map(all, names)) and len(names) == len(results) and not pruned


def _claims_table(results: Sequence[Result], are_networks: bool) -> list[str]:
    """A line a claim, by its network and optimizer where they tell it apart, else by its name."""
    paper = "goal" if results[0].claim.source in GOAL_SOURCES else "paper"
    if not are_networks:
        rows = [(r.name, r.text("paper"), r.measured, r.judged) for r in results]
        return Table(("claim", paper, "measured", "verdict"), rows).terminal()
    header = ("network", "optimizer", paper, "measured", "diff.", "verdict")
    networks = [
        (
            str(r.claim.network),
            str(r.claim.optimizer),
            r.text("paper"),
            r.measured,
            r.difference,
            r.judged,
        )
        for r in results
    ]
    return Table(header, networks).terminal()


def _per_class_table(results: Sequence[Result]) -> list[str]:
    """Appendix D as the paper prints it."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for r in results:
        if r.claim.metric in PER_CLASS:
            name = r.name.removesuffix(f"-{r.claim.metric}")
            cells[name][r.claim.metric] = r.pair("%")  # two decimals, as the paper's
    if not cells:  # -k chose others
        return []
    columns = dict(zip(PER_CLASS, PER_CLASS, strict=True))
    return Table.cross("class", cells, columns, [f"(paper, ours; {LEGEND})"]).terminal()


def _pruning_table(results: Sequence[Result], curves: Sequence[Row]) -> list[str]:
    """Tables 6 and 7 as the paper prints them, by proportion and technique.

    ``curves`` of the same network add the techniques that the paper has no numbers for.
    """
    cells: dict[float, dict[str, str]] = defaultdict(dict)
    for r in results:
        details = r.claim.details
        cell = r.cell(details["paper_percent"], r.pruned_percent)
        cells[details["proportion"]][details["technique"]] = cell
    networks = _networks(results)
    own = [c for c in curves if (c.get("network"), c.get("optimizer")) in networks]
    techniques = dict.fromkeys(name for found in cells.values() for name in found)
    others = {name: c for name, c in kinds.by_technique(own).items() if name not in techniques}
    for name, of_one in others.items():
        for proportion, found in cells.items():
            found[name] = kinds.percent_at(proportion, of_one)
    columns = {name: kinds.TECHNIQUES.get(name, name) for name in (*techniques, *others)}
    shown = [curve for of_one in others.values() for curve in of_one]
    notes = [f"(paper, ours; {LEGEND})", *kinds.curves_provenance(shown)]
    lines = {f"{proportion:g}": found for proportion, found in sorted(cells.items())}
    return Table.cross("prop.", lines, columns, notes).terminal()


def _networks(results: Sequence[Result]) -> set[tuple[str | None, str | None]]:
    return {(result.claim.network, result.claim.optimizer) for result in results}


def _other_curves(curves: Sequence[Row], results: Sequence[Result]) -> list[str]:
    """Curves of networks that Tables 6 and 7 don't show."""
    pruned = [r for r in results if r.claim.source in PRUNING_TABLES and r.origin != NEITHER]
    shown = _networks(pruned)
    return kinds.curve_lines([c for c in curves if (c["network"], c["optimizer"]) not in shown])
