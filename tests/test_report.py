"""smallnet_core.report: rows in, lines of at most 80 columns out, and nothing left unsaid."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.judging import judge, not_measured
from smallnet_core.records import Claim, Measurement, Rule, Status, Verdict
from smallnet_core.report import (
    WIDTH,
    Table,
    format_value,
    markdown_lines,
    short_lines,
    terminal_lines,
)

Row = dict[str, Any]
KNOWN = {**CLAIMS, **GOALS}
BY_SOURCE = {
    source: [claim for claim in CLAIMS.values() if claim.source == source]
    for source in dict.fromkeys(claim.source for claim in CLAIMS.values())
}
TABLE_2, TABLE_6, TABLE_7 = BY_SOURCE["Table 2"], BY_SOURCE["Table 6"], BY_SOURCE["Table 7"]


def row(claim: Claim, status: Status, measured: float | None, **fields: Any) -> Row:
    """What ``Verdict.as_row`` makes of a verdict that nobody had to reach."""
    values = fields.pop("values", () if measured is None else (measured,))
    details = fields.pop("details", {})
    found = None
    if values:
        seeds = tuple(range(len(values)))
        found = Measurement(values=values, unit=claim.unit, seeds=seeds, details=details)
    verdict = Verdict(
        claim=claim,
        status=status,
        reason="a reason",
        measurement=found,
        measured=measured,
        difference=None if measured is None else measured - claim.paper_value,
        deviation=fields.pop("deviation", None),
    )
    return verdict.as_row() | fields


def at_paper_values(*seeds: float) -> list[Row]:
    """Every claim judged as measured to be what the paper says, give or take ``seeds``."""
    rows = []
    for claim in KNOWN.values():
        off = {Rule.BELOW: -1, Rule.ABOVE: 1}.get(claim.rule, 0) if claim.id in GOALS else 0
        values = tuple(claim.paper_value + off + seed for seed in seeds or (0.0,))
        rows.append(judge(claim, Measurement(values=values, unit=claim.unit)).as_row())
    return rows


def recorded(found: Row, day: str = "2026-11-23") -> Row:
    """As it is where its test measures nothing and a record of an earlier run has its value."""
    facts = {"trained_on": "a CPU", "time": f"{day}T01:02:03+00:00"}
    blank = not_measured(KNOWN[found["claim"]], "no data here").as_row()
    return {**blank, "recorded": {**found, **facts}}


def pruned(claim: Claim, status: Status, percent: float) -> Row:
    """As measured by an accuracy, whatever the claim is judged by."""
    if claim.unit == "%":
        return row(claim, status, percent)
    return row(claim, status, percent - 94.0, details={"minuend_percent": percent})


def full(rows: Sequence[Any], **options: Any) -> list[str]:
    return terminal_lines(rows, CLAIMS, GOALS, **options)


def short(rows: Sequence[Any], **options: Any) -> list[str]:
    return short_lines(rows, CLAIMS, GOALS, **options)


def flat(lines: Sequence[str] | str) -> str:
    """Without the line breaks of wrapping."""
    return " ".join((lines if isinstance(lines, str) else "\n".join(lines)).split())


def after(lines: Sequence[str], beginning: str) -> list[str]:
    """The lines from the first that begins so."""
    return list(lines[next(k for k, line in enumerate(lines) if line.startswith(beginning)) :])


def too_wide(lines: Sequence[str]) -> list[str]:
    """Lines that could have been broken: a path or an id stays whole, and may stand out."""
    return [x for x in lines if len(x) > WIDTH and max(map(len, x.split())) <= WIDTH - 6]


# Numbers and tables


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (94.13, "%", "94.13"),
        (-4.199, "points", "-4.20"),
        (0.8966, "", "0.897"),
        (1.0, "", "1"),
        (701_466.0, "parameters", "701,466"),
        (0.5, "images", "0.5"),
        (None, "%", "-"),
    ],
)
def test_numbers_as_the_tables_show_them(value, unit, shown):
    assert format_value(value, unit) == shown


@given(
    st.floats() | st.none() | st.integers() | st.text(),
    st.sampled_from(["%", "points", "MiB", "", "parameters"]),
)
@settings(deadline=None)
def test_whatever_is_no_finite_number_is_a_dash(value, unit):
    shown = format_value(value, unit)
    is_number = isinstance(value, int | float) and abs(value) < 1e300
    assert (shown == "-") != is_number and " " not in shown


def test_a_table_renders_itself_for_each_medium():
    table = Table(("name", "%"), [("vit|s", "9.00"), ("<b>", "-")], "lr", ["of @one run"])
    assert table.terminal() == [
        "name      %",
        "-----  ----",
        "vit|s  9.00",
        "<b>       -",
        "  of @one run",
    ]
    assert table.markdown() == [
        "| name | % |",
        "| --- | ---: |",
        "| vit\\|s | 9.00 |",
        "| &lt;b&gt; | - |",
        "",
        "of &#64;one run",
    ]
    tags: Counter[str] = Counter()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: tags.update([tag])  # type: ignore[method-assign]
    parser.feed(table.html())
    assert tags == {"table": 1, "thead": 1, "tbody": 1, "tr": 3, "th": 4, "td": 2, "p": 1}


@given(st.lists(st.tuples(st.text("ab\n", max_size=99), st.integers().map(str)), max_size=5))
@settings(deadline=None)
def test_names_are_cut_to_what_the_numbers_leave_of_a_line(rows):
    lines = Table(("name", "number"), rows).terminal()
    assert too_wide(lines) == [] and len(lines) == 2 + len(rows)
    assert [line.split()[-1] for line in lines[2:]] == [number for _, number in rows]


# All of it


TIMED: dict[str, Row] = {
    "latency": {
        "network": "vit",
        "num_params": 60_000_000,
        "batch_size": 256,
        "device": "cuda:0",
        "median_seconds": 0.5,
    },
    "training_speed": {
        "network": "resnet18_s",
        "optimizer": "sgdm",
        "device": "cuda:0",
        "ours_images_per_second": 1234.5,
        "ratio_to_papers": 4.567,
        "ratio_to_plain": 1.234,
        "utilisation_percent": 34.56,
        "peak_memory_mib": 1050.4,
        "joules_per_1000_images": None,
    },
    "failures": {
        "network": "vgg16_s",
        "change": "rate 0.001",
        "outcome": "learns",
        "collapse": [40, 2000],
        "accuracy_percent": 17.95,
        "inner_gradient_norm_at_start": 0.44,
        "inner_gradient_norm_at_end": None,
        "worst_layer_dead_percent": 25.0,
    },
    "pruned network": {
        "name": "resnet18-1m-channels-iterative",
        "num_params": 999_321,
        "num_nonzeros": 999_100,
        "multiply_adds": 101_234_567,
        "dense_bytes": 4_012_345,
        "sparse_bytes": 4_012_400,
        "compressed_bytes": 3_700_000,
        "latency_ms": 1.234,
        "images_per_second": 12_345.6,
        "accuracy_percent": 93.0,
        "dense_accuracy_percent": None,
        "device": "cpu",
    },
    "pruning curve": {
        "network": "resnet18_s",
        "optimizer": "adabound",
        "technique": "l1_structured",
        "proportions": [round(0.05 * k, 2) for k in range(21)],
        "accuracy_percent": [90 - 4 * k for k in range(21)],
        "num_weights": 11_159_232,
        "seeds": [0],
        "origin": "zoo",
        "device": "cpu",
    },
    "reference timing": {"name": "matrix product", "median_seconds": 0.0123},
}


def timed(kind: str, **facts: Any) -> Row:
    return {"claim": None, "kind": kind, **TIMED[kind], **facts}


def everything() -> list[Row]:
    """A row of every claim and goal, each other one recorded, and all that was timed."""
    rows = at_paper_values()
    rows[::2] = [recorded(found) for found in rows[::2]]
    return [*rows, *map(timed, TIMED)]


def all_missed() -> list[Row]:
    return [
        row(claim, Status.MISSED, -1.0, details={"minuend_percent": 10.0}, reason=claim.id)
        for claim in KNOWN.values()
    ]


def none_measured() -> list[Row]:
    """For as many reasons as there are claims, all of them long."""
    return [not_measured(c, f"{c.id} {c.statement} " * 3).as_row() for c in KNOWN.values()]


@pytest.mark.parametrize("make", [everything, all_missed, none_measured])
def test_one_screen_fits_into_120_lines_of_80_columns(make):
    """What pytest prints itself, a line a file and its dots, has the rest of 150."""
    unknown = [{"claim": None, "kind": f"kind {k}"} for k in range(50)]
    lines = short([*make(), *unknown], complaints=["a damaged entry " * 30] * 50)
    assert len(lines) <= 120 and lines[0] and "" not in map(str.strip, lines[-2:])
    assert too_wide(lines) == [] and "--tables all" in flat(lines[-4:])


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("seeds", [(), (-0.25, 0.0, 0.25)], ids=["1", "3"])
def test_all_tables_in_the_papers_order_fit_into_80_columns(seeds, verbose):
    rows = at_paper_values(*seeds)
    lines = full(rows[::-1], verbose=verbose)
    assert [line for line in lines if len(line) > WIDTH] == []
    headings = [re.match(r"([A-Z][^:*]+): \d+ ", line) for line in lines]
    sources = list(dict.fromkeys(claim.source for claim in KNOWN.values()))
    assert [found[1] for found in headings if found] == sources
    saved = json.loads(json.dumps(rows, allow_nan=False))
    assert full(saved[::-1], verbose=verbose) == lines


def headline_of(lines: Sequence[str]) -> dict[str, list[int]]:
    """The table of counts: claims, now, = + * ! ?, earlier, = + * ! ?, none."""
    cells = [re.split(r" {2,}", line) for line in after(lines, "claims  ")[2:9]]
    return {name: [0 if n == "-" else int(n) for n in numbers] for name, *numbers in cells}


ENDS = st.lists(
    st.tuples(st.sampled_from(sorted(CLAIMS)), st.sampled_from(Status), st.booleans()),
    max_size=60,
)


@given(ENDS)
@settings(deadline=None, max_examples=30)
def test_measured_recorded_and_neither_are_counted_apart(triples):
    ends = {claim_id: (status, is_recorded) for claim_id, status, is_recorded in triples}
    rows = [
        (recorded if is_recorded else dict)(row(CLAIMS[claim_id], status, 1.0))
        for claim_id, (status, is_recorded) in ends.items()
    ]
    verdicts = [status for status in Status if status is not Status.NOT_MEASURED]
    found = Counter(ends.values())
    here, earlier = ([found[status, origin] for status in verdicts] for origin in (False, True))
    neither = 560 - sum(here) - sum(earlier)
    for lines in (full(rows), short(rows)):
        *kinds, paper, goals = headline_of(lines).values()
        assert paper == [560, sum(here), *here, sum(earlier), *earlier, neither]
        assert [sum(numbers) for numbers in zip(*kinds, strict=True)] == paper
        assert goals[0] == goals[-1] == len(GOALS)
        assert flat(lines[-2:]).startswith(
            f"560 claims of the paper: {sum(here)} measured in this run, {sum(earlier)} recorded, "
            f"{neither} neither; {len(GOALS)} our own goals: 0 measured"
        )


def test_a_remark_is_printed_once_a_source_with_claims_that_it_is_about():
    text = flat(full(at_paper_values()))
    remarks = {claim.remark for claim in CLAIMS.values()} - {""}
    assert len(remarks) > 20 and [r for r in remarks if flat(r) not in text] == []
    remark = flat(CLAIMS["appendix-d.3/cat-precision"].remark)
    assert f"* cat-precision, cat-recall, ...: {remark}" in text


# The paper's tables


def test_accuracies_have_their_deviation_difference_and_provenance():
    details = {"selection": "last", "computed_in": ["bfloat16"], "trained_on": ["a GPU", "a GPU"]}
    found = Measurement(
        values=(91.0, 91.5, 92.0),
        unit="%",
        seeds=(0, 1, 2),
        recipe="tuned",
        num_images=10_000,
        details=details,
    )
    rows = [judge(CLAIMS["table2/resnet18_s-adabound"], found).as_row()]
    rows.append(recorded(row(CLAIMS["table2/resnet18_s-sgdm"], Status.MISSED, 80.0)))
    text = flat(full(rows))
    assert "network optimizer paper measured diff. verdict" in text
    assert "resnet18_s adabound 91.72 91.50 ± 0.50 (3) -0.22 reproduced" in text
    assert "resnet18_s sgdm 86.85 80.00 -6.85 missed (recorded)" in text
    assert "tuned recipe, last epoch, seeds 0, 1, 2, trained in bfloat16 on a GPU" in text
    rows[0]["details"]["selection"] = "best_test_epoch"
    assert "best epoch on the test set (the paper's rule)" in flat(full(rows))
    assert "goal measured" in flat(full([row(g, Status.REPRODUCED, 96.0) for g in GOALS.values()]))


def test_the_short_report_has_the_papers_layout():
    rows = [row(claim, status, 90.0) for claim, status in zip(TABLE_2, Status, strict=True)]
    rows[1], rows[3] = recorded(rows[1]), recorded(rows[3], "2026-11-24")
    lines = short(rows)
    assert after(lines, "Table 2: test accuracy on CIFAR-10")[1:6] == [
        "network     SGDM            ADAM            AdaBound",
        "----------  --------------  --------------  --------------",
        "ResNet18    89.40 90.00     89.97 90.00 r+  94.13 90.00 *",
        "ResNet18_S  86.85 90.00 r!  89.27 90.00 ?   91.72 90.00",
        "  3 measured in this run; 2 recorded (r) 2026-11-23 to 2026-11-24 on a CPU; 1",
    ]
    assert not any(line.startswith(("Table 3", "Tables 6")) for line in lines)


@pytest.mark.parametrize("source", BY_SOURCE)
def test_a_missed_claim_stands_out_and_is_said_in_words_in_every_source(source):
    claims = BY_SOURCE[source]
    for missed in claims[:: max(1, len(claims) // 12)]:
        rows = [
            row(claim, Status.MISSED if claim is missed else Status.REPRODUCED, claim.paper_value)
            for claim in claims
        ]
        lines = full(rows)
        marked = [x for x in lines if re.search(r"^[^:]* missed$|[\d-] !", x)]
        assert len(marked) == 1, missed.id
        assert len(full(rows, verbose=True)) >= len(lines)
        for text in map(flat, (lines, short(rows))):
            assert f"missed, new: {missed.id}: {flat(missed.statement)} a reason" in text


def test_a_long_source_is_counted_and_shows_what_stands_out():
    claims = BY_SOURCE["Appendix A"]
    statuses = {5: Status.MISSED, 7: Status.REFUTED, 9: Status.EXCEEDED, 11: Status.NOT_MEASURED}
    rows = [row(c, statuses.get(k, Status.REPRODUCED), 1.0) for k, c in enumerate(claims)]
    lines = after(full(rows), f"Appendix A: {len(rows) - 4} reproduced, 1 exceeded, 1 refuted, 1")
    names = [claim.id.partition("/")[2] for claim in claims]
    assert [line.split()[0] for line in lines[3:5]] == [names[5], names[7]] and lines[5] == ""
    everything = "\n".join(full(rows, verbose=True))
    assert all(f"\n{name} " in everything for name in names)


def test_a_classification_report_is_printed_as_the_paper_prints_it():
    claims = BY_SOURCE["Appendix D.1"]
    rows = [row(claim, Status.REPRODUCED, 0.9) for claim in claims]
    rows[[c.id for c in claims].index("appendix-d.1/plane-recall")]["verdict"] = "missed"
    lines = after(full(rows), "class ")
    assert lines[0].split() == ["class", "precision", "recall", "f1"]
    names = "plane car bird cat deer dog frog horse ship truck macro_avg weighted_avg"
    assert [line.split()[0] for line in lines[2:14]] == names.split()
    assert flat(lines[2]) == "plane 0.93 0.90 0.91 0.90 ! 0.92 0.90"
    for part in ("cat-recall", "support"):  # what -k leaves of it
        some = [found for found in rows if part in found["claim"]]
        assert full(some)[0] == f"Appendix D.1: {len(some)} reproduced"
    assert not any(x.startswith("class ") for x in full([not_measured(claims[0], "-").as_row()]))


def test_tables_6_and_7_are_printed_as_the_paper_prints_them_and_random_pruning_beside():
    rows = [pruned(claim, Status.REPRODUCED, 93.5) for claim in (*TABLE_6, *TABLE_7)]
    by_id = {found["claim"]: found for found in rows}
    by_id["table7/l1_structured-0.5"]["verdict"] = "missed"
    rows.append(recorded(row(CLAIMS["figure17/l1_structured-one_point"], Status.EXCEEDED, 0.15)))
    curves = [
        timed("pruning curve", network="resnet18", technique=technique, seeds=[seed])
        for technique in ("l1_structured", "random_unstructured")
        for seed in (0, 1)
    ]
    curves[-1]["accuracy_percent"] = [None] * 21
    lines = after(full([*rows, *curves]), "Table 7")
    assert flat(lines[1]) == "prop. L1 unstr. L1 struct. global unstr. random"
    assert flat(lines[3]) == "0.5 94.52 93.50 15.67 93.50 ! 94.87 93.50 50.00"
    assert "random: in one shot, not fine-tuned; weights: zoo, seeds 0, 1; pruned" in flat(lines)
    assert "weights pruned" not in flat(lines)
    lines = after(short([*rows, *curves]), "Tables 6 and 7")
    assert flat(lines[3]) == "L1 struct. 0.091 0.15 r+ - 45.96 93.50 15.67 93.50 !"
    assert lines[6] == "  63 numbers: 62 reproduced, 1 missed; measured in this run"
    alone = [not_measured(claim, "no data").as_row() for claim in TABLE_6]
    assert any(line.startswith("resnet18 adabound: % right") for line in full([*alone, *curves]))


# Rows that judge no claim


@pytest.mark.parametrize(
    ("kind", "table", "telling"),
    [
        ("latency", "vit 60,000,000 - 500.00 512", "ViT, 256 images: 500.00 ms"),
        ("training_speed", "resnet18_s sgdm 1,234 4.57 1.23 34.6 1,050", "1,234 images/s"),
        ("failures", "rate 0.001 learns 40-2000 17.95 0.44 - 25.0", "1 changes of the loop"),
        (
            "pruned network",
            "what ms at 1 images/s at 256 right % dense % "
            "------------------------------ ------- --------------- ------- ------- "
            "resnet18-1m-channels-iterative 1.23 12,346 93.00 -",
            "999,321 parameters: 93.00 %",
        ),
        ("pruning curve", "0.05 86.00 0.1 82.00", "ResNet18_S"),
        ("reference timing", "name matrix product, median seconds 0.0123", "name matrix"),
    ],
)
def test_each_kind_has_its_table_in_full_and_a_line_in_short(kind, table, telling):
    assert table in flat(full([timed(kind)]))
    lines = short([*at_paper_values(), timed(kind)])
    [line] = [x for x in after(lines, "other parts") if x.startswith(kind.replace("_", " "))]
    assert flat(line).startswith(f"{kind.replace('_', ' ')} 1 1 - - -") and telling in line


def test_a_column_of_which_no_loop_tells_anything_is_left_out():
    rows = [timed("training_speed"), timed("training_speed", joules_per_1000_images=12.34)]
    assert "J/1000" not in flat(full(rows[:1])) and "aug %" not in flat(full(rows))
    assert [x.split()[-1] for x in after(full(rows), "network ")[2:4]] == ["-", "12.3"]
    pair = {"name": "ours : package", "ours": 12.0, "other": 24.0, "unit": "ms", "ratio": 0.5}
    both = full([*rows, {"claim": None, "kind": "training_speed", "device": "cpu", **pair}])
    assert "ours : package 12.0 24.0 ms 0.50" in flat(both)


def test_curves_are_a_table_a_network_and_the_mean_over_seeds():
    names = ("l1_unstructured", "l1_structured", "random_unstructured")
    rows = [timed("pruning curve", technique=name) for name in names]
    rows.append(timed("pruning curve", technique=names[1], seeds=[1], accuracy_percent=[50.0] * 21))
    lines = after(full([*rows, timed("pruning curve", network="vgg16_s")]), "resnet18_s adabound")
    assert lines[3].split() == ["0", "90.00", "70.00", "90.00"]
    assert "L1 unstr., random: in one shot" in flat(lines) and "seeds 0, 1" in flat(lines)
    assert any(line.startswith("vgg16_s adabound: % right") for line in lines)


@given(st.floats(1e-6, 999_999), st.floats(0.01, 9_999), st.none() | st.floats(0, 99_999))
@settings(deadline=None)
def test_any_timing_fits_into_80_columns(rate, ratio, amount):
    loop = {name: amount for name, v in TIMED["training_speed"].items() if not isinstance(v, str)}
    loop |= {"ours_images_per_second": rate, "ratio_to_papers": ratio}
    sizes = {name: 10**8 for name, v in TIMED["pruned network"].items() if isinstance(v, int)}
    rows = [timed("training_speed", **loop), timed("latency", median_seconds=rate)]
    rows.append(timed("pruned network", latency_ms=rate, images_per_second=rate, **sizes))
    assert [line for line in full(rows) if len(line) > WIDTH] == []


def test_each_other_part_is_a_line():
    lines = after(short(everything()), "other parts")
    found = {line[:20].strip(): flat(line[20:]) for line in lines[2:]}
    assert found["by class (App. D)"] == "201 100 101 - - ResNet18_S, F1 0.92 (0.92) r"
    assert found["goals: SpeedNet"].startswith("2 1 1 - - SpeedNet 94.00 (94.00)")


# Misses, reasons, complaints


@pytest.mark.parametrize("make", [full, short])
def test_misses_are_new_known_or_met_and_the_new_come_first(make):
    known = {TABLE_2[0].id: "trained 5 h", TABLE_2[1].id: "trained 6 h", TABLE_2[3].id: "once"}
    statuses = (Status.MISSED, Status.MISSED, Status.MISSED, Status.REPRODUCED, Status.MISSED)
    rows = [row(claim, status, 80.0) for claim, status in zip(TABLE_2, statuses, strict=False)]
    for k in (0, 1, 4):
        rows[k]["expected_miss"] = True
    rows[4]["reason"] = "an expected one"
    lines = make(rows, known_misses=known)
    assert (
        "4 missed, 1 of them new. Of 4 known misses 3 were missed in this run, 0 as recorded, "
        "1 no longer, 0 neither measured nor recorded"
    ) in flat(lines)
    begins = [re.match(r"  (missed|no longer)[^:]*: [^:]*", x) for x in lines]
    first, *others = [found[0].strip() for found in begins if found]
    assert first == f"missed, new: {TABLE_2[2].id}"
    assert others[-1] == f"no longer missed: {TABLE_2[3].id}"
    if make is short:  # 5 h and 6 h are one reason there
        assert "missed, as known: 2 claims: trained 5 h" in flat(lines)
    else:
        assert f"says: {flat(TABLE_2[0].statement)}" in flat(lines)
    assert flat(TABLE_2[2].statement) in flat(lines)
    assert "known" not in flat(make([row(TABLE_2[0], Status.REPRODUCED, 94.0)]))


def test_reasons_are_said_as_far_as_there_is_room_and_the_rest_is_counted():
    rows = [not_measured(claim, "no data").as_row() for claim in TABLE_2]
    rows.append(not_measured(CLAIMS["section-5.2/vgg16"], "no time").as_row())
    for make, names in ((full, " (table2/resnet18-sgdm, table2/resnet18-adam, ...)"), (short, "")):
        first = f"not measured: 6 claims{names}: no data"
        assert f"{first} not measured: 1 claim (section-5.2/vgg16): no time" in flat(make(rows))
    mixed = all_missed()[:280] + none_measured()[280:]
    lines = short(mixed)
    text = flat(lines)
    assert sum("missed" in x[:12] or "not measured" in x[:16] for x in lines) <= 8
    [left] = re.findall(r"missed: (\d+) more for \d+ other reasons: --tables all", text)
    assert int(left) + text.count("missed, new: ") == 280
    numbers = re.findall(r"not measured: (\d+) (?:claim|more)", text)
    assert sum(map(int, numbers)) == len(KNOWN) - 280 and len(numbers) > 1


def test_paths_and_options_stay_whole_in_reasons_and_complaints():
    reason = "training takes long: --train-budget 90 allows it; see cifar-10-batches-py/ "
    for padding in range(0, 40, 3):
        rows = [not_measured(TABLE_2[0], "x" * padding + " " + reason).as_row()]
        words = " ".join(full(rows, complaints=["y" * padding + " " + reason])).split()
        assert words.count("--train-budget") == words.count("cifar-10-batches-py/") == 2
    path = "/a/" + "long-" * 30 + "path"
    lines = full([], complaints=[f"damaged cache entry: {path}: " + "word " * 40])
    assert sum(path in line for line in lines) == 1 and too_wide(lines) == []


# Whatever a row is

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["missed", "reproduced", 10**400, [None], {"verdict": "missed"}]),
    st.lists(st.none() | st.floats(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FIELDS = sorted({name for found in everything() for name in found})


@pytest.mark.parametrize("make", [full, short])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(everything()[::7] + everything()[-6:]),
            st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4),
            st.sets(st.sampled_from(FIELDS), max_size=4),
        ),
        max_size=6,
    ),
    st.lists(ANYTHING, max_size=2),
)
@settings(deadline=None, max_examples=150)
def test_the_report_never_dies(make: Callable[..., list[str]], broken, others):
    rows = [
        {name: value for name, value in (found | changes).items() if name not in missing}
        for found, changes, missing in broken
    ]
    whole = row(TABLE_2[0], Status.REPRODUCED, 94.13)
    lines = make([*rows, *others, whole], complaints=[None, "a word"])
    assert all(isinstance(line, str) for line in lines)
    assert headline_of(lines)["the paper"][0] == 560
    assert re.search(r"89\.40 +94\.13", "\n".join(lines))
    assert "560 claims of the paper" in flat(lines[-4:])


@pytest.mark.parametrize("make", [full, short])
@pytest.mark.parametrize(
    "found",
    [
        {"claim": None, "kind": "moon phase"},
        {"claim": "table9/unknown"},
        {"claim": ["table2/resnet18-sgdm"], "verdict": "missed"},
        {"claim": math.nan},
        None,
        "a row",
        *({"claim": None, "kind": kind} for kind in TIMED if kind != "reference timing"),
    ],
)
def test_a_row_that_cannot_be_shown_is_a_line_that_says_so(found, make):
    assert sum("cannot" in line for line in make([found, *at_paper_values()])) == 1


def test_what_is_broken_takes_nothing_else_with_it():
    rows = [pruned(claim, Status.REPRODUCED, 93.5) for claim in TABLE_6]
    rows[0]["details"] |= {"selection": "last", "trained_on": 5}
    rows.append({"claim": None, "kind": "pruning curve", "network": "resnet18"})
    rows[-1]["optimizer"] = "adabound"
    lines = full(rows)
    assert sum("cannot be shown" in line for line in lines) == 2
    assert flat(after(lines, "0.05 ")[0]).startswith("0.05 94.97 93.50")


def test_a_value_that_is_not_finite_makes_a_row_that_json_has_numbers_for():
    details = {"curve": [1.0, math.nan], "more": {"low": -math.inf}}
    values = (math.nan, math.inf)
    found = Measurement(values=values, unit="%", seeds=(0, 1), num_images=100, details=details)
    saved = judge(CLAIMS["table2/resnet18_s-adabound"], found).as_row()
    assert json.loads(json.dumps(saved, allow_nan=False)) == saved
    assert saved["values"] == [None, None] and saved["details"]["more"] == {"low": None}
    assert re.search(r"91\.72 +- +- +missed", "\n".join(full([saved])))


# README


def test_markdown_has_accuracies_and_what_pruning_costs_and_says_where_they_are_from():
    rows = [
        row(CLAIMS["table2/resnet18_s-adabound"], Status.EXCEEDED, 93.0),
        recorded(
            {**row(CLAIMS["table2/resnet18_s-sgdm"], Status.MISSED, 80.0), "expected_miss": True}
        ),
        row(CLAIMS["table2/resnet18_s-adam"], Status.NOT_MEASURED, None),
        row(CLAIMS["appendix-d.1/test_acc"], Status.REPRODUCED, 91.72),
        row(GOALS["digits/vit_s-adam"], Status.REPRODUCED, 96.0),
        pruned(TABLE_6[1], Status.REPRODUCED, 94.0),
        row(CLAIMS["section-1/lottery_ticket"], Status.REPRODUCED, -0.25),
        timed("latency"),
    ]
    machine = {"device_name": "a CPU", "num_threads": 2, "versions": {"torch": "2.11.0"}}
    document = {
        "smallnet": {"rows": rows},
        "machine_info": {"smallnet": machine},
        "commit_info": {"id": "0123456789abcdef", "dirty": True},
        "datetime": "2026-01-02T03:04:05+00:00",
    }
    lines = markdown_lines(document, CLAIMS, GOALS, {"table2/resnet18_s-sgdm": "too short"})
    assert lines[2:7] == [
        "| Section 1 | lottery_ticket | 0.00 | -0.25 | -0.25 | reproduced |",
        "| Table 2 | resnet18_s, sgdm | 86.85 | 80.00 | -6.85 | missed (recorded) |",
        "| Table 2 | resnet18_s, adabound | 91.72 | 93.00 | +1.28 | exceeded |",
        "| Digits | vit_s, adam | goal 95.00 | 96.00 | +1.00 | reproduced |",
        "",
    ]
    whole = after(lines, "| all of the paper")[0]
    assert whole.endswith("| 560 | 4 | 3 | 1 | - | - | - | 1 | - | - | - | 1 | - | 555 |")
    assert any("1 missed, 0 of them new. Of 1 known misses" in line for line in lines)
    assert lines[-1] == (
        "Run on 2026-01-02 at commit 0123456789ab with changes, a CPU, 2 threads, torch 2.11.0. "
        "In the first table, 1 recorded (r) 2026-11-23 on a CPU."
    )
    bare = {**document, "machine_info": {}, "commit_info": {}}
    assert "at commit None" in markdown_lines(bare, CLAIMS, GOALS)[-1]
