"""Reports of a run for a terminal: one screen, or every table with the paper's contradictions."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from smallnet_core.records import Status
from smallnet_core.report import claim_tables
from smallnet_core.report.kinds import CURVE, kind_tables, summarise
from smallnet_core.report.results import (
    MEASURED,
    NEITHER,
    NEW,
    PRUNING_TABLES,
    RECORDED,
    Result,
    Run,
    provenance,
)
from smallnet_core.report.table import WIDTH, Row, Table, grouped, shorten, wrapped

MAX_ROWS = 16  # a source with more lists only misses and refuted claims
MAX_REASON_LINES = 8  # on misses and unmeasured claims together, on one screen
MAX_COMPLAINTS, MAX_KINDS = 4, 10

# The parts of the paper without a table of their own on one screen: name, pattern of the sources,
# and an example claim with its label.
_SIZES = r"Abstract|Section [123]\b|Table 1|Figure 6"
_OVER_91 = "section-6/resnet18_s-adabound-over_91"
PARTS = (
    ("sizes in the text", _SIZES, "section-3.2.1/resnet18_s", "ResNet18_S"),
    ("layers (App. A-C)", "Appendix [ABC]", "appendix-b/total_params", "VGG16_S"),
    ("sentences (Sec. 5-6)", r"Section [56]\b", _OVER_91, "ResNet18_S"),
    ("by class (App. D)", "Appendix D", "appendix-d.1/macro_avg-f1", "ResNet18_S, F1"),
    ("pruning (Fig. 17)", "Figure 17", "figure17/l1_unstructured-five_points", "L1 unstr."),
    ("goals: digits", "Digits", "digits/resnet18_s-adabound", "ResNet18_S"),
    ("goals: pruned", "Pruning", "pruning/resnet18_s-250k-channels", "at 250k"),
    ("goals: equal effort", "Equal effort", "equal/resnet18_s-cifar10", "ResNet18_S"),
    ("goals: long", "Long training", "long/resnet18_s-adabound", "ResNet18_S"),
    ("goals: SpeedNet", "Beyond the paper", "beyond/speednet-muon", "SpeedNet"),
)


def terminal_lines(
    rows: Sequence[Row],
    known_misses: Mapping[str, str],
    *,
    verbose: bool = False,
    complaints: Sequence[str] = (),
) -> list[str]:
    """Return all tables of a run, by source in the paper's order, then the summary.

    ``known_misses``: the reasons of known misses, by claim id.
    """
    run = Run(rows, known_misses)
    # Tables 6 and 7 include the curves of their networks: don't show those twice.
    curves = [row for row in run.others.get(CURVE, []) if not kind_tables(CURVE, [row])[1]]
    pruned = [r for name in PRUNING_TABLES for r in run.sources.get(name, ())]
    there = claim_tables.networks([r for r in pruned if r.origin != NEITHER])
    shown = {id(row) for row in curves if (row["network"], row["optimizer"]) in there}
    others = {k: [row for row in own if id(row) not in shown] for k, own in run.others.items()}
    return _joined(
        *((s, partial(_source_lines, own, verbose, curves)) for s, own in run.sources.items()),
        *((kind, partial(_kind_lines, kind, own)) for kind, own in others.items() if own),
        ("what is missed", partial(_why_lines, run)),
        *(("complaints", partial(wrapped, complaint, "  ")) for complaint in complaints),
        ("the counts", partial(_headline_lines, run)),
        ("the count", lambda: wrapped(run.count_line())),
    )


def short_lines(
    rows: Sequence[Row], known_misses: Mapping[str, str], *, complaints: Sequence[str] = ()
) -> list[str]:
    """Return the counts, the paper's tables, a line for each other part, and what is missing."""
    run = Run(rows, known_misses)
    tables = [run.sources[name] for name in claim_tables.NETWORK_TABLES if name in run.sources]
    hint = "Everything, with the paper's contradictions: --tables all"
    return _joined(
        ("the counts", partial(_headline_lines, run)),
        *(("accuracies", lambda t=t: _captioned(claim_tables.by_optimizer(t))) for t in tables),
        ("Tables 6 and 7", partial(_pruning_lines, run)),
        ("other parts", partial(_parts_lines, run)),
        ("reasons", partial(_why_lines, run, MAX_REASON_LINES)),
        ("complaints", partial(_complaints_lines, complaints)),
        ("the count", lambda: [hint, *wrapped(run.count_line())]),
    )


def _joined(*sections: tuple[str, Callable[[], Sequence[str]]]) -> list[str]:
    """Return the lines of all sections, separated by empty lines.

    A report may follow hours of measuring: the error that keeps a section from being made is a
    line in its place.
    """
    lines: list[str] = []
    for what, section in sections:
        try:
            own = section()
        except Exception as error:
            own = wrapped(f"{what}: cannot be shown ({type(error).__name__}: {error})"[:400])
        lines += ["", *own] if own else []
    return lines[1:]


def _headline_lines(run: Run) -> list[str]:
    return [*run.headline().terminal(), *wrapped(run.misses_line(), "  ")]


def _source_lines(results: Sequence[Result], verbose: bool, curves: Sequence[Row]) -> list[str]:
    source = results[0].claim.source
    judged = [result for result in results if result.origin != NEITHER]
    lines, shown = wrapped(f"{source}: {_counts(results)}"), list(results)
    if source in claim_tables.CROSSED:
        shown = shown if judged else []
    elif len(results) > MAX_ROWS and not verbose:
        shown = [r for r in results if r.is_missed or r.verdict == Status.REFUTED.value]
    if shown:
        lines += claim_tables.source_table(shown, curves).terminal()
    lines += _training_lines(judged)
    if any(result.origin == RECORDED for result in judged):
        lines += wrapped(provenance(judged), "  ")
    for remark, own in grouped(results, lambda result: result.remark).items():
        names = ", ".join(result.name for result in own[:2]) + ", ..." * (len(own) > 2)
        lines += wrapped(f"{names}: {remark}", "  * ") if remark else []
    return lines


def _counts(results: Sequence[Result]) -> str:
    """Count verdicts in the order of Status, recorded ones separately."""
    counts = Counter((result.origin, result.verdict) for result in results)
    here, neither, recorded = (
        ", ".join(f"{counts[origin, s]} {s.value}" for s in Status if counts[origin, s])
        for origin in (MEASURED, NEITHER, RECORDED)
    )
    here = ", ".join(filter(None, (here, neither)))
    return "; ".join(filter(None, (here, recorded and f"recorded: {recorded}")))


def _training_lines(results: Sequence[Result]) -> list[str]:
    """Say by which recipe, epoch, seeds and machine networks were trained, a line for each."""
    found: dict[str, None] = {}
    for row, details in ((r.row, r.details) for r in results if "selection" in r.details):
        best = details["selection"] == "best_test_epoch"
        epoch = "best epoch on the test set (the paper's rule)" if best else "last epoch"
        trained_on = ", ".join(sorted({*filter(None, details.get("trained_on", ()))}))
        how = f"trained in {'/'.join(details.get('computed_in', ()))} on {trained_on}"
        recipe = f"{row['recipe']} recipe, " if row.get("recipe") else ""
        found[f"{recipe}{epoch}, seeds {', '.join(map(str, row['seeds']))}, {how}"] = None
    return [line for text in found for line in wrapped(text, "  ")]


def _kind_lines(kind: str, rows: Sequence[Row]) -> list[str]:
    tables, left = kind_tables(kind, rows)
    lines = [line for table in tables for line in _captioned(table)]
    return lines + [line for text in left for line in wrapped(text)]


def _captioned(table: Table) -> list[str]:
    return [*wrapped(table.caption), *table.terminal()]


# One screen


def _pruning_lines(run: Run) -> list[str]:
    names = [name for name in ("Figure 17", *PRUNING_TABLES) if name in run.sources]
    if not {*names} & {*PRUNING_TABLES}:
        return []
    results = [r for name in names for r in run.sources[name]]
    return _captioned(claim_tables.lost_by_pruning(results))


def _parts_lines(run: Run) -> list[str]:
    """Return a line for each part of the paper and for each kind of row without a claim."""
    lines: list[tuple[str, ...]] = []

    def add(name: str, numbers: Sequence[int], said: str) -> None:
        lines.append((name, *(str(n or "-") for n in numbers), shorten(said, 29)))

    for name, pattern, example, label in PARTS:
        own = [r for r in run.results if re.match(pattern, r.claim.source)]
        if own:
            counts = Counter(result.origin for result in own)
            origins = [counts[origin] for origin in (MEASURED, RECORDED, NEITHER)]
            missed = sum(result.is_missed for result in own)
            values = [
                f"{label} {r.text('measured')} ({'goal ' * r.is_goal}{r.text('paper')}) {r.marks}"
                for r in own
                if r.claim.id == example
            ]
            add(name, (len(own), *origins, missed), "".join(values[:1]).rstrip())
    for kind, rows in [*run.others.items()][:MAX_KINDS]:
        said = summarise(kind, rows)
        recorded = sum(bool(row.get("recorded")) for row in rows)
        name = shorten(" ".join(kind.replace("_", " ").split()), 20)
        add(name, (len(rows), len(rows) - recorded, recorded, 0, 0), said)
    if (left := len(run.others) - MAX_KINDS) > 0:
        add(f"{left} more kinds", [0] * 5, "--tables all")
    header = ("other parts", "all", "now", "earlier", "none", "!", "one of them: ours (paper)")
    return Table(header, lines).terminal() if lines else []


def _complaints_lines(complaints: Sequence[str]) -> list[str]:
    lines = [part for text in complaints[:MAX_COMPLAINTS] for part in wrapped(text, "  ")[:4]]
    left = len(complaints) - MAX_COMPLAINTS
    return [*lines, f"  and {left} more: --tables all"] if left > 0 else lines


# Misses, and what is not measured


def _why_lines(run: Run, room: int = sys.maxsize) -> list[str]:
    """Say why claims are missed, new misses first, and why others were not measured.

    With ``room``, a number of lines: groups of claims are counted, not named, a reason has two
    lines at most, reasons that differ only in numbers count as one, and the rest is counted.
    """
    brief = room < sys.maxsize

    def some(own: Sequence[Result]) -> str:
        names = ", ".join(result.claim.id for result in own[:2]) + ", ..." * (len(own) > 2)
        counted = f"{len(own)} claim{'s' * (len(own) > 1)}"
        return counted if brief and len(own) > 1 else f"{counted} ({names})"

    def said(text: str) -> list[str]:
        lines = wrapped(text, "  ")
        if brief and len(lines) > 2:
            lines = [lines[0], f"{lines[1][: WIDTH - 4]} ..."]
        return lines

    missed: list[tuple[int, list[str]]] = []  # how many claims, and the lines about them
    for why, own in run.missed(brief=brief):
        if why == NEW:
            texts = [f"missed, new: {r.claim.id}: {r.statement} {r.reason}" for r in own]
            missed += [(1, wrapped(text, "  ")) for text in texts]
            continue
        lines = said(f"missed, as known: {some(own)}: {why}")
        for r in () if brief else own:
            which = r.claim.id if len(own) > 1 else "it says"
            lines += wrapped(f"{which}: {r.statement}", "    ")
        missed.append((len(own), lines))
    unmeasured = [
        (len(own), said(f"not measured: {some(own)}: {why}"))
        for why, own in run.unmeasured(brief=brief)
    ]
    met = [
        (1, wrapped(f"no longer missed: {name}: remove from known_misses", "  "))
        for name in run.no_longer_missed()
    ]
    below = _fitting("no longer missed", met, room // 4)
    needed = min(room // 2, sum(len(lines) for _, lines in missed))
    below = _fitting("not measured", unmeasured, room - needed - len(below)) + below
    return _fitting("missed", missed, room - len(below)) + below


def _fitting(what: str, groups: Sequence[tuple[int, list[str]]], room: int) -> list[str]:
    """Return the groups that fit, and a count of the claims and reasons that don't."""
    lines: list[str] = []
    for done, (_, own) in enumerate(groups):
        if len(lines) + len(own) > room - (done < len(groups) - 1):
            left = [number for number, _ in groups[done:]]
            reasons = f"{len(left)} other reason{'s' * (len(left) > 1)}"
            return [*lines, f"  {what}: {sum(left)} more for {reasons}: --tables all"]
        lines += own
    return lines
