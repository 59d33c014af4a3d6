"""The report of one screen: what a run of everything ends with."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from smallnet_core.claims.names import DATASET_NAMES, NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.records import Claim, Status
from smallnet_core.report.results import (
    MARKS,
    MEASURED,
    NEITHER,
    NETWORK_TABLES,
    PRUNING_TABLES,
    RECORDED,
    TECHNIQUES,
    Row,
    count_line,
    headline_lines,
    marks,
    no_longer_missed,
    of_claims,
    provenance,
    pruned_percent,
    without_claim,
)
from smallnet_core.report.text import WIDTH, format_value, guarded, table, wrapped

__all__ = ["short_lines"]

MAX_REASON_LINES = 8  # all together
MAX_NOT_MEASURED_LINES = 5  # of these
MAX_COMPLAINTS = 4
NEW = "new: "  # before the reason of a miss that was not known

# Every part of the paper that has no table of its own here: its name, the beginnings of its
# sources, and the claim whose number stands for it.
PARTS = (
    (
        "sizes in the text",
        ("Abstract", "Section 1", "Section 2", "Section 3", "Table 1", "Figure 6"),
        "section-3.2.1/resnet18_s",
        "ResNet18_S",
    ),
    (
        "layers (App. A-C)",
        ("Appendix A", "Appendix B", "Appendix C"),
        "appendix-b/total_params",
        "VGG16_S",
    ),
    (
        "sentences (Sec. 5-6)",
        ("Section 5", "Section 6"),
        "section-6/resnet18_s-adabound-over_91",
        "ResNet18_S",
    ),
    ("by class (App. D)", ("Appendix D",), "appendix-d.1/macro_avg-f1", "ResNet18_S, F1"),
    ("pruning (Fig. 17)", ("Figure 17",), "figure17/l1_unstructured-five_points", "L1 unstr."),
    ("goals: digits", ("Digits",), "digits/resnet18_s-adabound", "ResNet18_S"),
    ("goals: pruned", ("Pruning",), "pruning/resnet18_s-250k-channels", "ResNet18_S"),
    ("goals: SpeedNet", ("Beyond the paper",), "beyond/speednet-muon", "SpeedNet"),
)


def short_lines(
    rows: Sequence[Row],
    claims: Mapping[str, Claim],
    goals: Mapping[str, Claim],
    *,
    complaints: Sequence[str] = (),
    known_misses: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """The headline, the paper's tables, a line for each other part, and what is missing and why."""
    known = {**claims, **goals}
    found = of_claims(rows, known)
    by_source: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        by_source[row["source"]].append(row)
    kinds = without_claim(rows, known)

    sections = [
        guarded("the counts", headline_lines, found, claims, goals, known_misses),
        *(
            guarded(source, _network_table, source, by_source[source], known)
            for source in NETWORK_TABLES
        ),
        guarded("Tables 6 and 7", _pruning_lines, by_source, known),
        guarded("other parts", _parts_lines, by_source, kinds),
        guarded("reasons", _reasons_lines, found, known_misses),
        _complaints_lines(complaints),
        [
            "Everything, with the paper's contradictions: --tables all",
            *wrapped(count_line(found, claims, goals)),
        ],
    ]
    return [line for section in sections if section for line in ("", *section)]


def _cell(paper: str, ours: str, row: Row) -> str:
    return f"{paper:>5} {ours:>5} {marks(row)}"


def _network_table(source: str, rows: Sequence[Row], known: Mapping[str, Claim]) -> list[str]:
    """As the paper prints it, networks and optimizers, each cell "paper ours"."""
    if not rows:
        return []
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        claim = known[row["claim"]]
        paper, ours = format_value(row["paper"], "%"), format_value(row["measured"], "%")
        cells[claim.network or "-"][claim.optimizer or "-"] = _cell(paper, ours, row)
    optimizers = [name for name in OPTIMIZER_NAMES if any(name in own for own in cells.values())]
    header = ("paper, ours", *(OPTIMIZER_NAMES[name].ljust(14) for name in optimizers))
    lines = [
        (NETWORK_NAMES.get(network, network), *(own.get(name, "-") for name in optimizers))
        for network, own in cells.items()
    ]
    dataset = known[rows[0]["claim"]].dataset or ""
    return [
        f"{source}: test accuracy on {DATASET_NAMES.get(dataset, dataset)}, %",
        *table(header, lines),
        *wrapped(provenance(rows), "  "),
    ]


def _pruning_lines(by_source: Mapping[str, Sequence[Row]], known: Mapping[str, Claim]) -> list[str]:
    """Where each technique has lost a point and five, and its accuracy at two proportions."""
    pruned = [row for source in PRUNING_TABLES for row in by_source.get(source, ())]
    if not pruned:
        return []
    names = {
        "1 point lost at": ("points", 1),
        "5 points lost at": ("points", 5),
        "% at 0.2": ("proportion", 0.2),
        "% at 0.5": ("proportion", 0.5),
    }
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for row in (*by_source.get("Figure 17", ()), *pruned):
        details = known[row["claim"]].details
        for name, (field, value) in names.items():
            if details.get(field) != value:
                continue
            paper, ours, unit = row["paper"], row["measured"], ""
            if field == "proportion":
                paper, ours, unit = details["paper_percent"], pruned_percent(row), "%"
            cell = _cell(format_value(paper, unit), format_value(ours, unit), row)
            cells[details["technique"]][name] = cell
    lines = [
        (TECHNIQUES[technique], *(own.get(name, "-") for name in names))
        for technique, own in cells.items()
    ]
    ends = [f"{len(pruned)} numbers", _verdicts(pruned), provenance(pruned)]
    return [
        "Tables 6 and 7: ResNet18 pruned in one shot, by the proportion pruned",
        *table(("paper, ours", *(name.ljust(14) for name in names)), lines),
        *wrapped("; ".join(filter(None, ends)), "  "),
    ]


def _verdicts(rows: Iterable[Row]) -> str:
    counts = Counter(row["verdict"] for row in rows)
    symbols = {Status.REPRODUCED.value: "=", **MARKS}
    return ", ".join(f"{counts[v]} {s}" for v, s in symbols.items() if counts[v])


def _parts_lines(
    by_source: Mapping[str, Sequence[Row]], kinds: Mapping[str, Sequence[Row]]
) -> list[str]:
    """A line a part of the paper, then one a kind of row that judges no claim."""
    lines = []
    for name, sources, example, label in PARTS:
        own = [row for source, rows in by_source.items() if _is_in(source, sources) for row in rows]
        if not own:
            continue
        counts = Counter(row["origin"] for row in own)
        missed = sum(row["verdict"] == Status.MISSED.value for row in own)
        numbers = (len(own), counts[MEASURED], counts[RECORDED], counts[NEITHER], missed)
        telling = [f"{label} {_telling(row)}" for row in own if row["claim"] == example]
        lines.append((name, *(str(n or "-") for n in numbers), *(telling or [""])))
    for kind, rows in kinds.items():
        telling = guarded("these", _TELLING.get(kind, _unknown), rows)
        name = kind.replace("_", " ")[:20]
        recorded = sum(bool(row.get("recorded")) for row in rows)
        numbers = (len(rows), len(rows) - recorded, recorded, 0, 0)
        lines.append((name, *(str(n or "-") for n in numbers), telling[0]))
    header = ("other parts", "rows", "here", "rec.", "none", "!", "one of them: ours (paper)")
    return [line[:WIDTH] for line in table(header, lines)] if lines else []


def _is_in(source: str, beginnings: Sequence[str]) -> bool:
    return any(re.match(rf"{re.escape(begins)}(\.|$)", source) for begins in beginnings)


def _telling(row: Row) -> str:
    paper, ours = (format_value(row[name], row["unit"]) for name in ("paper", "measured"))
    return f"{ours} ({paper}) {marks(row)}".rstrip()


def _latency(rows: Sequence[Row]) -> list[str]:
    row = next((r for r in rows if r["network"] == "resnet18_s"), rows[0])
    images = f"{row['batch_size']} image{'s' * (row['batch_size'] > 1)}"
    return [f"{_name(row)}, {images}: {1000 * row['median_seconds']:.2f} ms"]


def _training_speed(rows: Sequence[Row]) -> list[str]:
    row = next(r for r in rows if "ours_images_per_second" in r)
    return [f"{_name(row)}: {row['ours_images_per_second']:,.0f} images/s"]


def _failures(rows: Sequence[Row]) -> list[str]:
    return [f"{sum(row['outcome'] == 'learns' for row in rows)} changes of the loop learn"]


def _pruned_network(rows: Sequence[Row]) -> list[str]:
    row = min(rows, key=lambda r: r["num_params"])
    return [f"{row['num_params']:,} parameters: {format_value(row['accuracy_percent'], '%')} %"]


def _curves(rows: Sequence[Row]) -> list[str]:
    return ["of " + ", ".join(dict.fromkeys(map(_name, rows)))]


def _name(row: Row) -> str:
    name: str = row["network"]
    return NETWORK_NAMES.get(name, name)


def _unknown(_: Sequence[Row]) -> list[str]:
    return ["cannot be shown: unknown"]


_TELLING: dict[str, Callable[[Sequence[Row]], list[str]]] = {
    "latency": _latency,
    "training_speed": _training_speed,
    "failures": _failures,
    "pruned network": _pruned_network,
    "pruning curve": _curves,
}


def _reasons_lines(rows: Sequence[Row], known_misses: Mapping[str, str]) -> list[str]:
    missed: Counter[str] = Counter()
    not_here: Counter[str] = Counter()
    for row in rows:
        if row["verdict"] == Status.MISSED.value:
            new = f"{NEW}{row['claim']}: {row['reason']}"
            missed[known_misses.get(row["claim"], new)] += 1
        if row["not_here"] is not None:
            not_here[row["not_here"]] += 1
    met = no_longer_missed(rows, known_misses)
    below = _grouped("not measured here", not_here, MAX_NOT_MEASURED_LINES - bool(met))
    if met:
        below.append(_cut(f"no longer missed, {len(met)}: {', '.join(met)}"))
    return [*_grouped("missed", missed, MAX_REASON_LINES - len(below)), *below]


def _grouped(what: str, reasons: Mapping[str, int], max_lines: int) -> list[str]:
    """A reason each, of at most two lines, new misses first, then the commonest.

    Reasons that differ in numbers only, as of how long a training takes, are one.
    """
    alike: dict[str, Counter[str]] = defaultdict(Counter)
    for reason, count in reasons.items():
        alike[re.sub(r"\d+( min| h\b)?", "#", reason)][reason] += count
    groups = sorted(alike.values(), key=lambda g: (not min(g).startswith(NEW), -g.total()))
    lines: list[str] = []
    for done, group in enumerate(groups):
        [(reason, _)] = group.most_common(1)
        head, *tail = wrapped(f"{what}, {group.total()}: {reason}")
        own = [head, *([_cut(" ".join([tail[0], *map(str.strip, tail[1:])]))] if tail else [])]
        is_last = done == len(groups) - 1
        if len(lines) + len(own) > max_lines - (not is_last):
            left = sum(other.total() for other in groups[done:])
            others = len(groups) - done
            return [*lines, f"{what}, {left}: for {others} other reason{'s' * (others > 1)}"]
        lines += own
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3].rstrip()}..."


def _complaints_lines(complaints: Sequence[str]) -> list[str]:
    lines = [line for complaint in complaints[:MAX_COMPLAINTS] for line in wrapped(complaint, "  ")]
    if left := len(complaints[MAX_COMPLAINTS:]):
        lines.append(f"  and {left} more of this kind: --tables all")
    return lines
