"""What a report is made of: claims with their measured or recorded values, and counts of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.claims.names import GOAL_SOURCES, NETWORK_NAMES
from smallnet_core.records import Claim, Status
from smallnet_core.report.table import Cell, Row, Table, format_change, format_value, grouped
from smallnet_core.runs.file import RunFile

# Where the value of a result comes from.
MEASURED, RECORDED, NEITHER = "measured", "recorded", "neither"
VERDICTS = [status.value for status in Status if status is not Status.NOT_MEASURED]
MARKS = dict(zip(VERDICTS, "=+*!?", strict=True))
LEGEND = "(paper/ours; r recorded, + exceeded, * refuted, ! missed, ? undecided)"
# The paper's accuracies of a pruned network, by proportion.
PRUNING_TABLES = ("Table 6", "Table 7")
NEW = "New"  # the reason of misses that are not known
_KINDS = ("counts", "accuracies", "by class", "pruning", "sentences")


class Result:
    """A claim and what a row says about it: ``verdict``, ``origin``, ``reason``, ``details``.

    ``not_here`` says why it was not measured in this run; "" if it was.
    """

    def __init__(self, row: Row, claim: Claim) -> None:
        self.claim, self.origin, self.not_here = claim, MEASURED, ""
        if row["verdict"] not in VERDICTS:
            self.origin, self.not_here = NEITHER, row["reason"]
            if recorded := row.get("recorded"):
                row = {**row, **{name: v for name, v in recorded.items() if v is not None}}
                self.origin = RECORDED
        self.row, self.verdict, self.reason = row, row["verdict"], row["reason"]
        self.details: Row = row["details"]
        self.is_missed = self.verdict == Status.MISSED.value
        self.is_known_miss = self.is_missed and row.get("expected_miss") is True
        self.is_goal = claim.source in GOAL_SOURCES
        self.name = claim.id.partition("/")[2]
        # The paper writes ADAM, which is not an acronym.
        self.statement = claim.statement.replace("ADAM", "Adam")
        self.remark = claim.remark.replace("ADAM", "Adam")

    def text(self, field: str) -> str:
        """Format a value of the row, such as "paper" or "measured"."""
        return format_value(self.row[field], self.claim.unit)

    @property
    def measured(self) -> str:
        """Format the mean and, with several seeds, their deviation and number."""
        text = self.text("measured")
        if (deviation := self.row["deviation"]) is not None and text != "-":
            text += f" ± {deviation:.2f} ({len(self.row['values'])})"
        return text

    @property
    def interval(self) -> str:
        """Format the interval of the mean; "" if it has no width."""
        found = self.row["interval"]
        if found is None or found[0] >= found[1]:
            return ""
        return " ({} to {})".format(*(format_value(end, self.claim.unit) for end in found))

    @property
    def seed_values(self) -> str:
        """Format the value of each seed."""
        pairs = zip(self.row["seeds"], self.row["values"], strict=False)
        return ", ".join(f"{seed}: {format_value(v, self.claim.unit)}" for seed, v in pairs)

    @property
    def difference(self) -> str:
        """Format the measured value minus the paper's."""
        return format_change(self.row["difference"], self.claim.unit)

    @property
    def judged(self) -> Cell:
        """Return the verdict, and whether it is a recorded one."""
        return self._cell(self.verdict + " (recorded)" * (self.origin == RECORDED))

    @property
    def marks(self) -> str:
        """Return the marks of tables: "r" if recorded, and the verdict's."""
        mark = MARKS.get(self.verdict, "").replace("=", "")
        return f"{'r' * (self.origin == RECORDED)}{mark}"

    @property
    def pruned_pair(self) -> Cell:
        """Format the pruned network's accuracies, even if the claim is about a difference."""
        of_it = self.claim.unit == "%"
        ours = self.row["measured"] if of_it else self.details.get("minuend_percent")
        return self.pair("%", self.claim.details["paper_percent"], ours)

    def pair(self, unit: str, *values: Any) -> Cell:
        """Format the paper's number, ours, and marks; ``values`` replace the claim's two."""
        paper, ours = values or (self.row["paper"], self.row["measured"])
        numbers = f"{format_value(paper, unit):>5}/{format_value(ours, unit):<5}"
        return self._cell(f"{numbers} {self.marks:2}")

    def _cell(self, text: str) -> Cell:
        return Cell(text, link=f"claim-{self.claim.id}", verdict=self.verdict.replace(" ", "-"))


class Run:
    """All rows of a run: results in the order of the claims, other rows by kind."""

    def __init__(self, rows: Iterable[Row], known_misses: Mapping[str, str]) -> None:
        self.known_misses = known_misses  # why, by the claim's id
        found = grouped(rows, lambda row: row["claim"])
        known = {**CLAIMS, **GOALS}
        self.results = [Result(row, c) for i, c in known.items() for row in found.pop(i, ())]
        # A row of another version may have a claim that this one doesn't know.
        self.others = grouped(
            (row for own in found.values() for row in own),
            lambda row: f"claim {row['claim']}" if row["claim"] else str(row.get("kind")),
        )
        self.sources = grouped(self.results, lambda r: r.claim.source)

    def headline(self) -> Table:
        """Count each kind of claim: all, those measured, those recorded, and neither.

        The counts of measured and recorded claims are followed by counts of each verdict.
        """
        by_id = {result.claim.id: result for result in self.results}
        ids = {kind: [i for i, c in CLAIMS.items() if _kind(c) == kind] for kind in _KINDS}
        ids |= {"the paper": list(CLAIMS), "our goals": list(GOALS)}
        lines = []
        for name, own in ids.items():
            found = Counter((by_id[i].origin, by_id[i].verdict) for i in own if i in by_id)
            counts = [[found[origin, v] for v in VERDICTS] for origin in (MEASURED, RECORDED)]
            neither = len(own) - sum(map(sum, counts))
            cells = [*(n for each in counts for n in (sum(each), *each)), neither]
            lines.append([name, str(len(own)), *(str(n or "-") for n in cells)])
        header = ("claims", "all", "now", *MARKS.values(), "earlier", *MARKS.values(), "none")
        notes = (
            "now: measured in this run; earlier: recorded by another; none: neither",
            "of those: = reproduced (no mark in tables), + exceeded, ! missed, ? undecided, "
            "* refuted: the paper says that it fails, and it works",
        )
        return Table(header, lines, notes, "Claims by kind and verdict")

    def count_line(self) -> str:
        """Say how many claims were measured in this run, recorded, or neither."""
        parts = []
        for whose, known in (("claims of the paper", CLAIMS), ("our own goals", GOALS)):
            origins = {r.claim.id: r.origin for r in self.results if r.claim.id in known}
            counts = Counter(origins.values())
            here, recorded = counts[MEASURED], counts[RECORDED]
            parts.append(
                f"{len(known)} {whose}: {here} measured in this run, {recorded} recorded, "
                f"{len(known) - here - recorded} neither"
            )
        return "; ".join(parts)

    def misses_line(self) -> str:
        """Say how many claims were missed, and what became of known misses; "" if none."""
        missed = [result for result in self.results if result.is_missed]
        known = [result for result in missed if result.is_known_miss]
        total = len({*self.known_misses, *(result.claim.id for result in known)})
        if not missed and not total:
            return ""
        text = f"{len(missed)} missed, {len(missed) - len(known)} of them new"
        if not total:
            return text
        origins, met = Counter(result.origin for result in known), len(self.no_longer_missed())
        return (
            f"{text}. Of {total} known misses {origins[MEASURED]} were missed in this run, "
            f"{origins[RECORDED]} as recorded, {met} no longer, "
            f"{total - len(known) - met} neither measured nor recorded"
        )

    def no_longer_missed(self) -> list[str]:
        """Return the ids of claims to remove from the known misses."""
        judged = (r for r in self.results if r.origin != NEITHER and not r.is_missed)
        return [result.claim.id for result in judged if result.claim.id in self.known_misses]

    def missed(self, *, brief: bool = False) -> list[tuple[str, list[Result]]]:
        """Group missed claims by reason: new misses first, then the largest groups.

        If ``brief``, reasons that differ only in numbers count as one.
        """
        known = [r for r in self.results if r.is_known_miss]
        new = [r for r in self.results if r.is_missed and not r.is_known_miss]
        reasons = _by_reason(known, lambda r: self.known_misses.get(r.claim.id, r.reason), brief)
        return [(NEW, new), *reasons] if new else reasons

    def unmeasured(self, *, brief: bool = False) -> list[tuple[str, list[Result]]]:
        """Group claims not measured in this run by reason, the largest groups first."""
        return _by_reason((r for r in self.results if r.not_here), lambda r: r.not_here, brief)


def _by_reason(
    results: Iterable[Result], why: Callable[[Result], str], brief: bool
) -> list[tuple[str, list[Result]]]:
    numbers = r"\d+( min| h\b)?"
    alike = grouped(results, lambda r: re.sub(numbers, "#", why(r)) if brief else why(r))
    return sorted(((why(own[0]), own) for own in alike.values()), key=lambda item: -len(item[1]))


def is_of_pruning(claim: Claim) -> bool:
    """Tell whether a claim is about a pruned network or one of another recipe."""
    sides = (claim.details.get(side, {}) for side in ("minuend", "subtrahend"))
    return any("technique" in one or "recipe" in one for one in (claim.details, *sides))


def _kind(claim: Claim) -> str:
    if claim.unit not in ("%", "points", ""):
        return "counts"
    if claim.source.startswith("Appendix D"):
        return "by class"
    if is_of_pruning(claim):
        return "pruning"
    return "accuracies" if claim.source.startswith("Table") else "sentences"


def network_name(name: Any) -> str:
    """Return a network's name as the paper writes it."""
    return NETWORK_NAMES.get(str(name), str(name or "-"))


def optimizer_name(name: Any) -> str:
    """Return an optimizer's name as its authors write it."""
    names = {"sgdm": "SGDM", "adam": "Adam", "adabound": "AdaBound", "muon": "Muon"}
    return names.get(str(name), str(name or "-"))


def provenance(results: Sequence[Result]) -> str:
    """Say how many values were measured in this run, and when and where the rest were."""
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


def commit_name(file: RunFile) -> str:
    """Return a run's commit, shortened if it is an id, not "unversioned"."""
    commit = str(file.commit.get("id") or "unversioned")
    return commit[:7] if re.fullmatch("[0-9a-f]{40}", commit) else commit[:40]


def run_name(file: RunFile) -> str:
    """Return a run's name: its time, commit and machine."""
    dirty = " with changes" if file.commit.get("dirty") else ""
    machine = file.machine.get("device_name") or "unknown machine"
    return f"{file.datetime[:16].replace('T', ' ')}, {commit_name(file)}{dirty}, {machine}"
