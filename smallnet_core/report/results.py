"""What a report is made of: rows with what is recorded beside what was measured, counted apart."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smallnet_core.records import Claim, Status
from smallnet_core.report.text import format_value, table, wrapped

Row = Mapping[str, Any]

# Where the value of a row comes from: its key "origin".
MEASURED, RECORDED, NEITHER = "measured", "recorded", "neither"
MARKS = {
    Status.EXCEEDED.value: "+",
    Status.REFUTED.value: "*",
    Status.MISSED.value: "!",
    Status.UNDECIDED.value: "?",
}
NETWORK_TABLES = ("Table 2", "Table 3", "Table 4", "Table 5")
# What the paper prints as accuracies of a pruned network, one line a proportion.
PRUNING_TABLES = ("Table 6", "Table 7")
TECHNIQUES = {
    "l1_unstructured": "L1 unstr.",
    "l1_structured": "L1 struct.",
    "global_unstructured": "global unstr.",
    "random_unstructured": "random",
    "random_structured": "random struct.",
}
KINDS = ("counts", "accuracies", "numbers by class", "pruning", "sentences")
OWN_GOALS = "our own goals"

LEGEND = "r recorded, = reproduced, + exceeded, * refuted, ! missed, ? undecided"

# What a row has at least; None counts as absent.
_BLANK: Row = {
    "verdict": Status.NOT_MEASURED.value,
    "reason": "no reason given",
    "paper": float("nan"),
    "measured": None,
    "deviation": None,
    "difference": None,
    "interval": None,
    "values": [],
    "seeds": [],
    "recipe": None,
    "details": {},
    "recorded": None,
}


def of_claims(rows: Iterable[Row], known: Mapping[str, Claim]) -> list[Row]:
    """Rows of known claims, complete, the recorded value in the place of one not measured.

    ``origin`` says which of them it is, ``not_here`` why it was not measured in this run.
    """
    return [_complete(row, known[row["claim"]]) for row in rows if row.get("claim") in known]


def _complete(row: Row, claim: Claim) -> Row:
    given = {"unit": claim.unit, "source": claim.source, **_BLANK}
    given |= {name: value for name, value in row.items() if value is not None}
    if given["verdict"] != Status.NOT_MEASURED.value:
        return {**given, "origin": MEASURED, "not_here": None}
    not_here = given["reason"]
    if not isinstance(given["recorded"], Mapping):
        return {**given, "origin": NEITHER, "not_here": not_here}
    recorded = {name: value for name, value in given["recorded"].items() if value is not None}
    return {**given, **recorded, "origin": RECORDED, "not_here": not_here}


def without_claim(rows: Iterable[Row], known: Mapping[str, Claim]) -> dict[str, list[Row]]:
    """By kind: timings and curves, and rows that nobody here knows."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.get("claim") is None:
            kinds[str(row.get("kind"))].append(row)
        elif row["claim"] not in known:
            kinds[f"claim {row['claim']}"].append(row)
    return kinds


def marks(row: Row) -> str:
    """Two characters: whether the value is recorded, and what came of it."""
    origin = "r" if row["origin"] == RECORDED else ""
    return f"{origin}{MARKS.get(row['verdict'], '')}".ljust(2)


def measured(row: Row) -> str:
    """The mean, and with several seeds their deviation and number."""
    text = format_value(row["measured"], row["unit"])
    if row["deviation"] is not None and text != "-":
        text += f" ± {row['deviation']:.2f} ({len(row['values'])})"
    return text


def difference(row: Row) -> str:
    found = row["difference"]
    return "-" if found is None or not math.isfinite(found) else f"{found:+.2f}"


def verdict(row: Row) -> str:
    return row["verdict"] + (" (recorded)" if row["origin"] == RECORDED else "")


def is_of_pruning(claim: Claim) -> bool:
    """Whether network and optimizer alone do not tell what was measured."""
    sides = (claim.details.get(side, {}) for side in ("minuend", "subtrahend"))
    return any("technique" in one or "recipe" in one for one in (claim.details, *sides))


def pruned_percent(row: Row) -> float | None:
    """The accuracy of the pruned network, also of a claim that is about what it lost."""
    percent: float | None = row["measured"]
    return percent if row["unit"] == "%" else row["details"].get("minuend_percent")


def provenance(rows: Iterable[Row]) -> str:
    """How many values were measured in this run, and when and on what machines the rest were."""
    rows = list(rows)
    counts = Counter(row["origin"] for row in rows)
    if counts[MEASURED] == len(rows):
        return "measured in this run"
    if counts[NEITHER] == len(rows):
        return "neither measured nor recorded"
    parts = [f"{counts[MEASURED]} measured in this run"] if counts[MEASURED] else []
    recorded = [row for row in rows if row["origin"] == RECORDED]
    if recorded:
        days = sorted({str(row.get("time") or "?")[:10] for row in recorded})
        machines = dict.fromkeys(str(row.get("trained_on") or "a machine?") for row in recorded)
        when = " to ".join(dict.fromkeys((days[0], days[-1])))
        parts.append(f"{len(recorded)} recorded (r) {when} on {', '.join(machines)}")
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


def headline(
    rows: Sequence[Row], claims: Mapping[str, Claim], goals: Mapping[str, Claim]
) -> list[list[str]]:
    """A line a kind of claim: their number, those measured, those recorded, and neither.

    After the second and the third stands how many of them are of which verdict.
    """
    by_id = {row["claim"]: row for row in rows}
    verdicts = [status.value for status in Status if status is not Status.NOT_MEASURED]

    def line(name: str, ids: Sequence[str]) -> list[str]:
        own = [by_id[claim_id] for claim_id in ids if claim_id in by_id]
        found = Counter((row["origin"], row["verdict"]) for row in own)
        counts = {o: [found[o, verdict] for verdict in verdicts] for o in (MEASURED, RECORDED)}
        neither = len(ids) - sum(map(sum, counts.values()))
        cells = [n for each in counts.values() for n in (sum(each), *each)]
        return [name, str(len(ids)), *(str(n or "-") for n in (*cells, neither))]

    by_kind = {kind: [i for i, c in claims.items() if _kind(c) == kind] for kind in KINDS}
    return [
        *(line(kind, ids) for kind, ids in by_kind.items()),
        line("all of the paper", list(claims)),
        line(OWN_GOALS, list(goals)),
    ]


def headline_lines(
    rows: Sequence[Row],
    claims: Mapping[str, Claim],
    goals: Mapping[str, Claim],
    known_misses: Mapping[str, str],
) -> list[str]:
    """The headline for a terminal, with what its marks say and with the known misses."""
    symbols = ["=", *MARKS.values()]
    header = ("", "all", "here", *symbols, "rec.", *symbols, "none")
    return [
        "Claims measured in this run (here), recorded in earlier runs (rec.), and neither",
        *table(header, headline(rows, claims, goals)),
        f"  {LEGEND}",
        *wrapped(known_misses_line(rows, known_misses), "  "),
    ]


def count_line(rows: Sequence[Row], claims: Mapping[str, Claim], goals: Mapping[str, Claim]) -> str:
    """What the last line says: measured in this run, recorded, neither."""
    parts = []
    for whose, known in (("claims of the paper", claims), (OWN_GOALS, goals)):
        origins = {row["claim"]: row["origin"] for row in rows if row["claim"] in known}
        counts = Counter(origins.values())
        here, recorded = counts[MEASURED], counts[RECORDED]
        parts.append(
            f"{len(known)} {whose}: {here} measured in this run, {recorded} recorded, "
            f"{len(known) - here - recorded} neither"
        )
    return "; ".join(parts)


def known_misses_line(rows: Sequence[Row], known_misses: Mapping[str, str]) -> str:
    """How many misses were known before, each of them counted; "" where there are none."""
    missed = [row for row in rows if row["verdict"] == Status.MISSED.value]
    if not missed and not known_misses:
        return ""
    known = [row for row in missed if row["claim"] in known_misses]
    text = f"{len(missed)} missed, {len(missed) - len(known)} of them new"
    if not known_misses:
        return text
    origins = Counter(row["origin"] for row in known)
    met = len(no_longer_missed(rows, known_misses))
    return (
        f"{text}. Of {len(known_misses)} known misses {origins[MEASURED]} were missed in this run, "
        f"{origins[RECORDED]} as recorded, {met} no longer, "
        f"{len(known_misses) - len(known) - met} neither measured nor recorded"
    )


def no_longer_missed(rows: Iterable[Row], known_misses: Mapping[str, str]) -> list[str]:
    """Claims to be removed from the known misses."""
    return [
        row["claim"]
        for row in rows
        if row["claim"] in known_misses
        and row["origin"] != NEITHER
        and row["verdict"] != Status.MISSED.value
    ]
