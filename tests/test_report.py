"""smallnet_core.report: rows in, lines of at most 80 columns out, and nothing left unsaid."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.judging import judge, not_measured
from smallnet_core.records import Measurement, Status
from smallnet_core.report.claim_tables import markdown_lines
from smallnet_core.report.details import class_tables
from smallnet_core.report.table import WIDTH, Table, format_change, format_value
from tests.rows import (
    BY_SOURCE,
    KNOWN,
    TABLE_2,
    TABLE_6,
    TABLE_7,
    after,
    all_missed,
    at_paper_values,
    everything,
    flat,
    full,
    headline_of,
    none_measured,
    pruned,
    recorded,
    row,
    said,
    short,
    timed,
    too_wide,
)

# Numbers and tables


@pytest.mark.parametrize(
    ("form", "value", "unit", "shown"),
    [
        (format_value, 94.13, "%", "94.13"),
        (format_value, -4.199, "points", "-4.20"),
        (format_value, 0.8966, "", "0.897"),
        (format_value, 1.0, "", "1"),
        (format_value, 701_466.0, "parameters", "701,466"),
        (format_value, 0.5, "images", "0.5"),
        (format_change, -8968.0, "parameters", "-8,968"),
        (format_change, 0.0, "images", "+0"),
        (format_change, 1.5, "%", "+1.50"),
        (format_change, -0.0296, "", "-0.030"),
        (format_change, None, "%", "-"),
    ],
)
def test_numbers_are_shown_by_unit_and_differences_with_a_sign(form, value, unit, shown):
    assert form(value, unit) == shown


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
    table = Table(("name", "%"), [("vit|s", "9.00"), ("<b>", "-")], ["of @one run"], "numbers")
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
    parser.feed(str(table.html()))
    assert (tags["table"], tags["caption"], tags["tr"], tags["th"]) == (1, 1, 3, 4)
    assert (tags["td"], tags["p"], tags["b"]) == (2, 1, 0)


@given(st.lists(st.tuples(st.text("ab\n", max_size=99), st.integers().map(str)), max_size=5))
@settings(deadline=None)
def test_names_are_cut_to_what_the_numbers_leave_of_a_line(rows):
    lines = Table(("name", "number"), rows).terminal()
    assert too_wide(lines) == [] and len(lines) == 2 + len(rows)
    assert [line.split()[-1] for line in lines[2:]] == [number for _, number in rows]


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


ENDS = st.lists(
    st.tuples(
        st.sampled_from(sorted(CLAIMS)),
        st.sampled_from(Status),
        st.booleans(),
    ).filter(lambda end: end[1] is not Status.NOT_MEASURED or not end[2]),
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
    remarks = {claim.remark.replace("ADAM", "Adam") for claim in CLAIMS.values()} - {""}
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
    assert "network optimizer paper ours diff. verdict" in text
    assert "ResNet18_S AdaBound 91.72 91.50 ± 0.50 (3) -0.22 reproduced" in text
    assert "ResNet18_S SGDM 86.85 80.00 -6.85 missed (recorded)" in text
    assert "tuned recipe, last epoch, seeds 0, 1, 2, trained in bfloat16 on a GPU" in text
    rows[0]["details"]["selection"] = "best_test_epoch"
    assert "best epoch on the test set (the paper's rule)" in flat(full(rows))
    assert "goal ours" in flat(full([row(g, Status.REPRODUCED, 96.0) for g in GOALS.values()]))


def test_the_short_report_has_the_papers_layout():
    rows = [row(claim, status, 90.0) for claim, status in zip(TABLE_2, Status, strict=True)]
    rows[1], rows[3] = recorded(rows[1]), recorded(rows[3], "2026-11-24")
    lines = short(rows)
    assert after(lines, "Table 2: test accuracy on CIFAR-10")[1:6] == [
        "network               SGDM            Adam        AdaBound",
        "----------  --------------  --------------  --------------",
        "ResNet18    89.40/90.00     89.97/90.00 r+  94.13/90.00 *",
        "ResNet18_S  86.85/90.00 r!  89.27/90.00 ?   91.72/90.00",
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
        marked = [x for x in lines if re.search(r"^[^:]* missed$|[\d-] +!", x)]
        assert len(marked) == 1, missed.id
        assert len(full(rows, verbose=True)) >= len(lines)
        for text in map(flat, (lines, short(rows))):
            assert f"missed, new: {missed.id}: {said(missed)} a reason" in text


def test_a_long_source_is_counted_and_shows_what_stands_out():
    claims = BY_SOURCE["Appendix A"]
    statuses = {5: Status.MISSED, 7: Status.REFUTED, 9: Status.EXCEEDED, 11: Status.NOT_MEASURED}
    rows = [row(c, statuses.get(k, Status.REPRODUCED), 1.0) for k, c in enumerate(claims)]
    lines = after(full(rows), f"Appendix A: {len(rows) - 4} reproduced, 1 exceeded, 1 refuted, 1")
    names = [f"{c.details.get('layer_type')}-{c.details.get('index')}" for c in claims]
    assert [line.split()[0] for line in lines[3:5]] == [names[5], names[7]] and lines[5] == ""
    whole = after(full(rows, verbose=True), "layer ")
    assert [line.split()[0] for line in whole[2:51]] == names[:49]


def test_a_classification_report_is_printed_as_the_paper_prints_it():
    claims = BY_SOURCE["Appendix D.1"]
    rows = [row(claim, Status.REPRODUCED, 0.9) for claim in claims]
    rows[[c.id for c in claims].index("appendix-d.1/plane-recall")]["verdict"] = "missed"
    lines = after(full(rows), "class ")
    assert lines[0].split() == ["class", "precision", "recall", "f1", "support"]
    names = "plane car bird cat deer dog frog horse ship truck accuracy macro weighted"
    assert [line.split()[0] for line in lines[2:15]] == names.split()
    assert flat(lines[2]) == "plane 0.93/0.90 0.91/0.90 ! 0.92/0.90 1,000/0.9"
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
    assert flat(lines[3]) == "0.5 94.52/93.50 15.67/93.50 ! 94.87/93.50 50.00"
    assert "random: in one shot, not fine-tuned; weights: zoo, seeds 0, 1; pruned" in flat(lines)
    assert "weights pruned" not in flat(lines)
    lines = after(short([*rows, *curves]), "Tables 6 and 7")
    assert flat(lines[3]) == "L1 struct. 0.091/0.15 r+ 45.96/93.50 15.67/93.50 !"
    assert lines[6] == "  63 numbers: 62 reproduced, 1 missed; measured in this run"
    [few] = [found for found in rows if found["claim"] == "table6/l1_structured-0.05"]
    assert "1 number: 1 reproduced; measured in this run" in flat(short([few]))
    alone = [not_measured(claim, "no data").as_row() for claim in TABLE_6]
    assert any(line.startswith("ResNet18 AdaBound: % right") for line in full([*alone, *curves]))


# Misses, reasons, complaints


@pytest.mark.parametrize("make", [full, short])
def test_misses_are_new_known_or_met_and_the_new_come_first(make):
    known = {TABLE_2[0].id: "trained 5 h", TABLE_2[1].id: "trained 6 h", TABLE_2[3].id: "once"}
    known[TABLE_2[5].id] = "not measured"
    statuses = (Status.MISSED, Status.MISSED, Status.MISSED, Status.REPRODUCED, Status.MISSED)
    rows = [row(claim, status, 80.0) for claim, status in zip(TABLE_2, statuses, strict=False)]
    rows.append(row(TABLE_2[5], Status.NOT_MEASURED, None))
    for k in (0, 1, 4):
        rows[k]["expected_miss"] = True
    rows[4]["reason"] = "an expected one"
    lines = make(rows, known_misses=known)
    assert (
        "4 missed, 1 of them new. Of 5 known misses 3 were missed in this run, 0 as recorded, "
        "1 no longer, 1 neither measured nor recorded"
    ) in flat(lines)
    begins = [re.match(r"  (missed|no longer)[^:]*: [^:]*", x) for x in lines]
    first, *others = [found[0].strip() for found in begins if found]
    assert first == f"missed, new: {TABLE_2[2].id}"
    assert others[-1] == f"no longer missed: {TABLE_2[3].id}"
    if make is short:  # 5 h and 6 h are one reason there
        assert "missed, as known: 2 claims: trained 5 h" in flat(lines)
    else:
        assert f"says: {said(TABLE_2[0])}" in flat(lines)
    assert said(TABLE_2[2]) in flat(lines)
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
        row(ticket := CLAIMS["section-1/lottery_ticket"], Status.REPRODUCED, -0.25),
        timed("latency"),
    ]
    machine = {"device_name": "a CPU", "num_threads": 2, "versions": {"torch": "2.11.0"}}
    document = {
        "smallnet": {"rows": rows},
        "machine_info": {"smallnet": machine},
        "commit_info": {"id": "0123456789abcdef", "dirty": True},
        "datetime": "2026-01-02T03:04:05+00:00",
    }
    lines = markdown_lines(document, {"table2/resnet18_s-sgdm": "too short"})
    assert lines[2:7] == [
        f"| Section 1 | {said(ticket)} | 0.00 | -0.25 | -0.25 | points | reproduced |",
        "| Table 2 | ResNet18_S, SGDM | 86.85 | 80.00 | -6.85 | % | missed (recorded) |",
        "| Table 2 | ResNet18_S, AdaBound | 91.72 | 93.00 | +1.28 | % | exceeded |",
        "| Digits | ViT_S, Adam | goal 95.00 | 96.00 | +1.00 | % | reproduced |",
        "",
    ]
    whole = after(lines, "| the paper")[0]
    assert whole.endswith("| 560 | 4 | 3 | 1 | - | - | - | 1 | - | - | - | 1 | - | 555 |")
    assert any("1 missed, 0 of them new. Of 1 known misses" in line for line in lines)
    assert lines[-1] == (
        "Run on 2026-01-02 at commit 0123456789ab with changes, a CPU, 2 threads, torch 2.11.0. "
        "In the first table, 1 recorded (r) 2026-11-23 on a CPU."
    )
    bare = {**document, "machine_info": {}, "commit_info": {}}
    assert "at commit None" in markdown_lines(bare, {})[-1]


@pytest.mark.parametrize(
    ("dataset", "num_classes", "names"),
    [
        ("cifar10", 10, ["airplane", "truck"]),
        ("cifar100", 100, ["maple tree", "oak tree"]),
        ("digits", 10, ["0", "9"]),
    ],
)
def test_classes_have_the_names_of_their_dataset(dataset, num_classes, names):
    a, b = (47, 52) if dataset == "cifar100" else (0, 9)
    confusion = np.eye(num_classes, dtype=int)
    confusion[a, b] = 5
    by_class, confused = class_tables(
        {"confusion": confusion.tolist(), "recipe": {"dataset": dataset}}
    )
    assert [by_class.rows[a][0], by_class.rows[b][0]] == names
    if dataset == "cifar100":
        assert confused.rows == [[*names, "5"]]
