"""What a report is made of: claims with what was measured or recorded, counted, and why missed."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from smallnet_core.records import Claim, Status
from smallnet_core.report.table import (
    WIDTH,
    Row,
    Table,
    format_value,
    grouped,
    is_number,
    wrapped,
)

Claims = Mapping[str, Claim]
Reasons = Mapping[str, str]  # known misses: why, by the claim's id

# Where the value of a result comes from.
MEASURED, RECORDED, NEITHER = "measured", "recorded", "neither"
VERDICTS = [status.value for status in Status if status is not Status.NOT_MEASURED]
MARKS = dict(zip(VERDICTS, "=+*!?", strict=True))
LEGEND = "r recorded, + exceeded, * refuted, ! missed, ? undecided"
# What the paper prints as accuracies of a pruned network, one line a proportion.
PRUNING_TABLES = ("Table 6", "Table 7")
KINDS = ("counts", "accuracies", "numbers by class", "pruning", "sentences")
ALL, OWN_GOALS = "all of the paper", "our own goals"


class Result:
    """A claim and what a row says of it: ``verdict``, ``origin``, ``reason``, ``details``.

    ``not_here`` says why it was not measured in this run, None where it was. What a row lacks, or
    has in a form that no table can show, counts as absent.
    """

    def __init__(self, row: Row, claim: Claim) -> None:
        self.claim, self.origin, self.not_here = claim, MEASURED, None
        if row.get("verdict") not in VERDICTS:
            self.not_here = str(row.get("reason") or "no reason given")
            recorded, self.origin = row.get("recorded"), NEITHER
            if isinstance(recorded, Mapping) and recorded.get("verdict") in VERDICTS:
                row = {**row, **{name: v for name, v in recorded.items() if v is not None}}
                self.origin = RECORDED
        self.row = row
        self.verdict = "not measured" if self.origin == NEITHER else str(row["verdict"])
        self.reason = str(row.get("reason") or "no reason given")
        details = row.get("details")
        self.details: Row = details if isinstance(details, Mapping) else {}
        self.is_missed = self.verdict == Status.MISSED.value
        self.name = claim.id.partition("/")[2]

    def text(self, field: str) -> str:
        """Write the paper's or the measured value."""
        return format_value(self.row.get(field), self.claim.unit)

    @property
    def measured(self) -> str:
        """The mean, and with several seeds their deviation and number."""
        text, deviation = self.text("measured"), self.row.get("deviation")
        values = self.row.get("values")
        if is_number(deviation) and isinstance(values, list) and text != "-":
            text += f" ± {deviation:.2f} ({len(values)})"
        return text

    @property
    def difference(self) -> str:
        """What was measured, less the paper's value."""
        found = self.row.get("difference")
        return f"{found:+.2f}" if is_number(found) else "-"

    @property
    def judged(self) -> str:
        """The verdict, and whether it is a recorded one."""
        return self.verdict + " (recorded)" * (self.origin == RECORDED)

    @property
    def marks(self) -> str:
        """Two characters: whether the value is recorded, and what came of it."""
        mark = MARKS.get(self.verdict, "").replace("=", "")
        return f"{'r' * (self.origin == RECORDED)}{mark}".ljust(2)

    @property
    def pruned_percent(self) -> Any:
        """The accuracy of the pruned network, also of a claim that is about what it lost."""
        of_it = self.claim.unit == "%"
        return self.row.get("measured") if of_it else self.details.get("minuend_percent")

    def pair(self, unit: str) -> str:
        """Write a cell: the paper's number, ours, and marks."""
        return self.cell(self.row.get("paper"), self.row.get("measured"), unit)

    def cell(self, paper: Any, ours: Any, unit: str = "%") -> str:
        """Write a cell of two numbers and the marks of this result."""
        return f"{format_value(paper, unit):>5} {format_value(ours, unit):>5} {self.marks}"


def read_rows(rows: Iterable[Any], known: Claims) -> tuple[list[Result], dict[str, list[Row]]]:
    """Split rows into results of known claims and all others by their kind, whatever they are."""
    found: list[Result] = []
    others: list[tuple[str, Row]] = []
    for row in rows:
        if not isinstance(row, Mapping):
            others.append((f"row {row}", {}))
        elif isinstance(claim_id := row.get("claim"), str) and claim_id in known:
            found.append(Result(row, known[claim_id]))
        else:
            others.append((str(row.get("kind")) if claim_id is None else f"claim {claim_id}", row))
    kinds = grouped(others, lambda other: other[0])
    return found, {kind: [row for _, row in own] for kind, own in kinds.items()}


def is_of_pruning(claim: Claim) -> bool:
    """Tell whether network and optimizer alone do not say what was measured."""
    sides = (claim.details.get(side, {}) for side in ("minuend", "subtrahend"))
    return any("technique" in one or "recipe" in one for one in (claim.details, *sides))


def provenance(results: Sequence[Result]) -> str:
    """Count the values measured in this run, and say when and on what machines the rest were."""
    counts = Counter(result.origin for result in results)
    if counts[MEASURED] == len(results):
        return "measured in this run"
    if counts[NEITHER] == len(results):
        return "neither measured nor recorded"
    parts = [f"{counts[MEASURED]} measured in this run"] if counts[MEASURED] else []
    if rows := [result.row for result in results if result.origin == RECORDED]:
        days = sorted({str(row.get("time") or "?")[:10] for row in rows})
        machines = dict.fromkeys(str(row.get("trained_on") or "a machine?") for row in rows)
        when = " to ".join(dict.fromkeys((days[0], days[-1])))
        parts.append(f"{len(rows)} recorded (r) {when} on {', '.join(machines)}")
    if counts[NEITHER]:
        parts.append(f"{counts[NEITHER]} neither")
    return "; ".join(parts)


# Counts


def _kind(claim: Claim) -> str:
    if claim.unit not in ("%", "points", ""):
        return "counts"
    if claim.source.startswith("Appendix D"):
        return "numbers by class"
    if is_of_pruning(claim):
        return "pruning"
    return "accuracies" if claim.source.startswith("Table") else "sentences"


def headline(results: Sequence[Result], claims: Claims, goals: Claims) -> list[list[str]]:
    """Count each kind of claim: all, those measured, those recorded, and neither.

    After the second and the third stands how many of them are of which verdict.
    """
    by_id = {result.claim.id: result for result in results}
    ids = {kind: [i for i, c in claims.items() if _kind(c) == kind] for kind in KINDS}
    lines = []
    for name, own in (ids | {ALL: list(claims), OWN_GOALS: list(goals)}).items():
        found = Counter((by_id[i].origin, by_id[i].verdict) for i in own if i in by_id)
        counts = [[found[origin, v] for v in VERDICTS] for origin in (MEASURED, RECORDED)]
        neither = len(own) - sum(map(sum, counts))
        cells = [*(n for each in counts for n in (sum(each), *each)), neither]
        lines.append([name, str(len(own)), *(str(n or "-") for n in cells)])
    return lines


def headline_lines(
    results: Sequence[Result], claims: Claims, goals: Claims, known_misses: Reasons
) -> list[str]:
    """Write the headline for a terminal, with what its columns mean and with the known misses."""
    notes = (
        "now: measured in this run; earlier: recorded by another; none: neither",
        "of those: = reproduced (no mark in tables), + exceeded, ! missed, ? undecided,",
        "* refuted: the paper says that it fails, and it works",
        known_misses_line(results, known_misses),
    )
    short = {"numbers by class": "by class", ALL: "the paper", OWN_GOALS: "our goals"}
    lines = [[short.get(name, name), *cells] for name, *cells in headline(results, claims, goals)]
    header = ("claims", "all", "now", *MARKS.values(), "earlier", *MARKS.values(), "none")
    return Table(header, lines, notes=notes).terminal()


def count_line(results: Sequence[Result], claims: Claims, goals: Claims) -> str:
    """Count what was measured in this run, recorded, neither."""
    parts = []
    for whose, known in (("claims of the paper", claims), (OWN_GOALS, goals)):
        origins = {r.claim.id: r.origin for r in results if r.claim.id in known}
        counts = Counter(origins.values())
        here, recorded = counts[MEASURED], counts[RECORDED]
        parts.append(
            f"{len(known)} {whose}: {here} measured in this run, {recorded} recorded, "
            f"{len(known) - here - recorded} neither"
        )
    return "; ".join(parts)


# Misses, and what is not measured


def known_misses_line(results: Sequence[Result], known_misses: Reasons) -> str:
    """Say how many misses were known before, each of them counted; "" where there are none."""
    missed = [result for result in results if result.is_missed]
    known = [result for result in missed if _is_known(result)]
    total = len({*known_misses, *(result.claim.id for result in known)})
    if not missed and not total:
        return ""
    text = f"{len(missed)} missed, {len(missed) - len(known)} of them new"
    if not total:
        return text
    origins, met = Counter(result.origin for result in known), len(_met(results, known_misses))
    return (
        f"{text}. Of {total} known misses {origins[MEASURED]} were missed in this run, "
        f"{origins[RECORDED]} as recorded, {met} no longer, "
        f"{total - len(known) - met} neither measured nor recorded"
    )


def _is_known(result: Result) -> bool:
    return result.row.get("expected_miss") is True


def _met(results: Iterable[Result], known_misses: Reasons) -> list[str]:
    """Claims to be removed from the known misses."""
    judged = (r for r in results if r.origin != NEITHER and not r.is_missed)
    return [result.claim.id for result in judged if result.claim.id in known_misses]


def why_lines(
    results: Sequence[Result], known_misses: Reasons, room: int | None = None
) -> list[str]:
    """Say why claims are missed, new ones first, with what they say, and why some are not measured.

    With ``room`` for so many lines no claims are named where there are several, a reason has two
    lines at most, reasons that differ in numbers only are one, and what has no room is counted.
    """

    def groups(chosen: Iterable[Result], why: Callable[[Result], str]) -> list[list[Result]]:
        alike = grouped(
            chosen, lambda r: re.sub(r"\d+( min| h\b)?", "#", why(r)) if room else why(r)
        )
        return sorted(alike.values(), key=len, reverse=True)

    def reason(result: Result) -> str:
        return known_misses.get(result.claim.id, result.reason)

    def some(own: Sequence[Result]) -> str:
        names = ", ".join(result.claim.id for result in own[:2]) + ", ..." * (len(own) > 2)
        counted = f"{len(own)} claim{'s' * (len(own) > 1)}"
        return counted if room and len(own) > 1 else f"{counted} ({names})"

    def said(text: str) -> list[str]:
        lines = wrapped(text, "  ")
        if room and len(lines) > 2:
            lines = [lines[0], f"{lines[1][: WIDTH - 4]} ..."]
        return lines

    missed: list[tuple[int, list[str]]] = []  # how many claims, and the lines about them
    for r in results:
        if r.is_missed and not _is_known(r):
            text = f"missed, new: {r.claim.id}: {r.claim.statement} {r.reason}"
            missed.append((1, wrapped(text, "  ")))
    for own in groups((r for r in results if r.is_missed and _is_known(r)), reason):
        lines = said(f"missed, as known: {some(own)}: {reason(own[0])}")
        for r in () if room else own:
            which = r.claim.id if len(own) > 1 else "it says"
            lines += wrapped(f"{which}: {r.claim.statement}", "    ")
        missed.append((len(own), lines))
    unmeasured = [
        (len(own), said(f"not measured: {some(own)}: {own[0].not_here}"))
        for own in groups((r for r in results if r.not_here), lambda r: str(r.not_here))
    ]
    met = [
        (1, wrapped(f"no longer missed: {name}: remove from known_misses", "  "))
        for name in _met(results, known_misses)
    ]
    total = room or sys.maxsize
    below = _fitting("no longer missed", met, total // 4)
    needed = min(total // 2, sum(len(lines) for _, lines in missed))
    below = _fitting("not measured", unmeasured, total - needed - len(below)) + below
    return _fitting("missed", missed, total - len(below)) + below


def _fitting(what: str, groups: Sequence[tuple[int, list[str]]], room: int) -> list[str]:
    """All groups that there is room for, then how many claims and reasons the others have."""
    lines: list[str] = []
    for done, (_, own) in enumerate(groups):
        if len(lines) + len(own) > room - (done < len(groups) - 1):
            left = [number for number, _ in groups[done:]]
            reasons = f"{len(left)} other reason{'s' * (len(left) > 1)}"
            return [*lines, f"  {what}: {sum(left)} more for {reasons}: --tables all"]
        lines += own
    return lines
