"""smallnet_core.report: rows in, lines of at most 80 columns out, and nothing left unsaid."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.judging import judge, not_measured
from smallnet_core.records import Claim, Measurement, Rule, Status, Verdict
from smallnet_core.report import (
    MAX_ROWS,
    WIDTH,
    format_value,
    markdown_lines,
    short_lines,
    table,
    terminal_lines,
)
from smallnet_core.report.full import MARKS_LEGEND

Row = dict[str, Any]

# A word this long is a path or an id: it is left whole, and may stand out.
UNBREAKABLE = WIDTH - 6


def row(claim: Claim, status: Status, measured: float | None, **fields: Any) -> Row:
    """What ``Verdict.as_row`` makes of a verdict that nobody had to reach."""
    values = fields.pop("values", () if measured is None else (measured,))
    details = fields.pop("details", {})
    measurement = None
    if values:
        measurement = Measurement(
            values=values,
            unit=claim.unit,
            recipe="tuned",
            seeds=tuple(range(len(values))),
            details=details,
        )
    verdict = Verdict(
        claim=claim,
        status=status,
        reason="a reason",
        measurement=measurement,
        measured=measured,
        difference=None if measured is None else measured - claim.paper_value,
        **fields,
    )
    return verdict.as_row()


def at_paper_values(*seeds: float) -> list[Row]:
    """Every claim judged as measured to be what the paper says, give or take ``seeds``."""
    rows = []
    for claim in (*CLAIMS.values(), *GOALS.values()):
        said = claim.paper_value
        if claim.id in GOALS:
            said += {Rule.BELOW: -1, Rule.ABOVE: 1}.get(claim.rule, 0)
        values = tuple(said + off for off in seeds) or (said,)
        rows.append(judge(claim, Measurement(values=values, unit=claim.unit)).as_row())
    return rows


def lines_of(rows: Sequence[Row], **options: Any) -> list[str]:
    return terminal_lines(rows, CLAIMS, GOALS, **options)


def recorded(found: Row, day: str = "2026-11-23") -> Row:
    """As it is where its test measures nothing and a record of an earlier run has its value."""
    names = ("measured", "values", "seeds", "verdict", "reason")
    names += ("interval", "deviation", "difference", "details")
    if found["verdict"] == Status.NOT_MEASURED.value:
        return found
    blank = not_measured({**CLAIMS, **GOALS}[found["claim"]], "no data here").as_row()
    facts = {"trained_on": "a CPU", "commit": "0123456789ab", "time": f"{day}T01:02:03+00:00"}
    return {**blank, "recorded": {**{name: found[name] for name in names}, **facts}}


def short_of(rows: Sequence[Row], **options: Any) -> list[str]:
    return short_lines(rows, CLAIMS, GOALS, **options)


def text_of(rows: Sequence[Row], **options: Any) -> str:
    return "\n".join(lines_of(rows, **options))


def flat(text: str) -> str:
    """Without the line breaks of wrapping."""
    return " ".join(text.split())


def too_wide(lines: Sequence[str]) -> list[str]:
    return [
        line for line in lines if len(line) > WIDTH and max(map(len, line.split())) <= UNBREAKABLE
    ]


TABLE_2 = [claim for claim in CLAIMS.values() if claim.source == "Table 2"]
APPENDIX_A = [claim for claim in CLAIMS.values() if claim.source == "Appendix A"]
TABLE_6 = [claim for claim in CLAIMS.values() if claim.source == "Table 6"]
TABLE_7 = [claim for claim in CLAIMS.values() if claim.source == "Table 7"]
APPENDIX_D = [claim for claim in CLAIMS.values() if claim.source == "Appendix D.1"]


# Numbers


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (94.13, "%", "94.13"),
        (95.0, "%", "95.00"),
        (-4.199, "points", "-4.20"),
        (2.68, "MiB", "2.68"),
        (0.89, "", "0.89"),
        (0.8966, "", "0.897"),
        (1.0, "", "1"),
        (0.0, "", "0"),
        (701_466, "parameters", "701,466"),
        (701_466.0, "parameters", "701,466"),
        (10_000, "images", "10,000"),
        (0.5, "images", "0.5"),
        (1.8e9, "multiply-adds", "1,800,000,000"),
        (None, "%", "-"),
        (None, "parameters", "-"),
    ],
)
def test_numbers_as_the_tables_show_them(value, unit, shown):
    assert format_value(value, unit) == shown


@pytest.mark.parametrize("unit", ["%", "points", "MiB", "", "parameters", "images"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_shown_as_not_there(value, unit):
    assert format_value(value, unit) == "-"


@given(
    st.floats(allow_nan=True, allow_infinity=True) | st.none() | st.integers(-(10**9), 10**9),
    st.sampled_from(["%", "points", "MiB", "", "parameters", "images"]),
)
@settings(deadline=None)
def test_any_number_is_one_word(value, unit):
    shown = format_value(value, unit)
    assert shown == shown.strip() != ""
    assert " " not in shown


# Tables


def test_columns_are_aligned_words_left_and_numbers_right():
    assert table(("network", "paper"), [("vit", "9.00"), ("resnet18", "94.13")]) == [
        "network   paper",
        "--------  -----",
        "vit        9.00",
        "resnet18  94.13",
    ]


def test_a_dash_is_a_number_that_is_not_there():
    assert table(("a", "b"), [("x", "-"), ("y", "-10.5")])[2:] == ["x      -", "y  -10.5"]


def test_a_table_without_rows_is_its_header():
    assert table(("a", "bcd"), []) == ["a  bcd", "-  ---"]


@given(st.lists(st.tuples(st.text("ab", min_size=1), st.integers().map(str)), min_size=1))
@settings(deadline=None)
def test_columns_start_and_end_alike(rows):
    lines = table(("name", "number"), rows)
    assert len({len(line) for line in lines[1:]}) == 1
    assert [tuple(line.split()) for line in lines[2:]] == rows


# Everything at once


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("seeds", [(), (0.0, 0.0), (-0.25, 0.0, 0.25)], ids=["1", "2", "3"])
def test_all_claims_at_their_paper_values_fit_into_80_columns(seeds, verbose):
    lines = lines_of(at_paper_values(*seeds), verbose=verbose)
    assert [line for line in lines if len(line) > WIDTH] == []
    assert lines == [line.rstrip() for line in lines]


def test_sources_come_in_the_papers_order_and_goals_last():
    rows = at_paper_values()
    headings = [re.match(r"([A-Z][^:*]+): \d+ ", line) for line in lines_of(rows[::-1])]
    sources = [found[1] for found in headings if found]
    expected = list(dict.fromkeys(claim.source for claim in (*CLAIMS.values(), *GOALS.values())))
    assert sources == expected


def headline_of(lines: Sequence[str]) -> dict[str, list[int]]:
    """The table of counts: claims, here, = + * !, recorded, = + * !, neither."""
    start = next(k for k, line in enumerate(lines) if line.startswith("Claims measured"))
    cells = [re.split(r" {2,}", line) for line in lines[start + 3 : start + 10]]
    return {name: [0 if n == "-" else int(n) for n in numbers] for name, *numbers in cells}


def test_counts_of_each_kind_add_up_to_all_claims():
    counts = headline_of(lines_of(at_paper_values()))
    *kinds, paper, goals = counts.values()
    assert [sum(numbers) for numbers in zip(*kinds, strict=True)] == paper
    assert paper[0] == sum(paper[i] for i in (1, 6, 11)) == len(CLAIMS) == 560
    assert goals[:3] == [len(GOALS)] * 3
    assert list(counts)[:5] == [
        *("counts", "accuracies", "numbers by class", "pruning", "sentences")
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CLAIMS)), st.sampled_from(Status), st.booleans()),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=30)
def test_measured_recorded_and_neither_are_counted_apart(triples):
    ends = {claim_id: (status, is_recorded) for claim_id, status, is_recorded in triples}
    rows = [
        recorded(row(CLAIMS[claim_id], status, 1.0))
        if is_recorded
        else row(CLAIMS[claim_id], status, None)
        for claim_id, (status, is_recorded) in ends.items()
    ]
    verdicts = [status for status in Status if status is not Status.NOT_MEASURED]
    found = Counter(ends.values())
    here, earlier = ([found[status, origin] for status in verdicts] for origin in (False, True))
    for lines in (lines_of(rows), short_of(rows)):
        numbers = headline_of(lines)["all of the paper"]
        neither = 560 - sum(here) - sum(earlier)
        assert numbers[1:] == [sum(here), *here, sum(earlier), *earlier, neither]
        assert flat("\n".join(lines[-2:])).startswith(
            f"560 claims of the paper: {sum(here)} measured in this run, {sum(earlier)} recorded, "
            f"{neither} neither; {len(GOALS)} our own goals: 0 measured"
        )


def test_every_remark_is_printed_with_the_claims_that_it_is_about():
    text = flat(text_of(at_paper_values()))
    remarks = {claim.remark for claim in CLAIMS.values()} - {""}
    assert len(remarks) > 20
    assert [remark for remark in remarks if flat(remark) not in text] == []
    assert "resnet18-adabound: " in text


def test_a_remark_on_many_claims_is_printed_once_a_source():
    rows = [r for r in at_paper_values() if r["source"] == "Appendix D.3"]
    remark = CLAIMS["appendix-d.3/cat-precision"].remark
    text = flat(text_of(rows))
    assert text.count(flat(remark)) == 1
    assert f"cat-precision, cat-recall, ...: {flat(remark)}" in text


# The network table


def test_a_table_of_the_paper_line_by_line():
    rows = [
        row(claim, status, None if status is Status.NOT_MEASURED else 90.0)
        for claim, status in zip(TABLE_2, Status, strict=True)
    ]
    lines = lines_of(rows)
    heading = "Table 2: 1 reproduced, 1 exceeded, 1 refuted, 1 missed, 1 undecided, 1 not measured"
    start = lines.index(heading)
    assert lines[start + 1].split() == [
        *("network", "optimizer", "paper", "measured", "diff.", "verdict"),
    ]
    for line, claim, found in zip(lines[start + 3 :], TABLE_2, rows, strict=False):
        cells = re.split(r" {2,}", line)
        difference = "-" if found["measured"] is None else f"{90 - claim.paper_value:+.2f}"
        measured = "-" if found["measured"] is None else "90.00"
        assert cells == [
            claim.network,
            claim.optimizer,
            f"{claim.paper_value:.2f}",
            measured,
            difference,
            found["verdict"],
        ]


def test_several_seeds_are_a_mean_a_deviation_and_their_number():
    claim = CLAIMS["table2/resnet18_s-adabound"]
    found = Measurement(values=(91.0, 91.5, 92.0), unit="%", seeds=(0, 1, 2), num_images=10_000)
    text = text_of([judge(claim, found).as_row()])
    assert re.search(r"91\.72 +91\.50 ± 0\.50 \(3\) +-0\.22 +reproduced", text)


def test_one_seed_has_no_deviation():
    claim = CLAIMS["table2/resnet18_s-adabound"]
    found = Measurement(values=(91.5,), unit="%", seeds=(0,), num_images=10_000)
    assert "±" not in text_of([judge(claim, found).as_row()])


def test_digits_have_goals_and_not_the_papers_numbers():
    rows = [row(claim, Status.REPRODUCED, 96.0) for claim in GOALS.values()]
    text = text_of(rows)
    assert re.search(r"^network +optimizer +goal +measured", text, re.M)


def test_where_a_network_stands_twice_the_claims_are_named():
    rows = [row(claim, Status.REPRODUCED, 0.9) for claim in APPENDIX_D if "cat-" in claim.id]
    text = text_of([{**found, "verdict": Status.NOT_MEASURED.value} for found in rows])
    for metric in ("precision", "recall", "f1", "support"):
        assert f"\ncat-{metric} " in text


def test_under_a_table_stands_how_its_networks_were_trained():
    claim = CLAIMS["table2/resnet18_s-adabound"]
    details = {
        "selection": "best_test_epoch",
        "computed_in": ["bfloat16"],
        "trained_on": ["a GPU", "a GPU"],
    }
    found = Measurement(
        values=(91.0, 92.0),
        unit="%",
        seeds=(42, 43),
        recipe="paper",
        num_images=10_000,
        details=details,
    )
    text = flat(text_of([judge(claim, found).as_row()]))
    assert (
        "paper recipe, best epoch on the test set (the paper's rule), seeds 42, 43, "
        "trained in bfloat16 on a GPU"
    ) in text
    last = replace(found, recipe="tuned", details={**details, "selection": "last"})
    assert "tuned recipe, last epoch, seeds 42, 43" in flat(text_of([judge(claim, last).as_row()]))


# The claim table


def test_names_of_claims_can_be_told_apart():
    claims = [claim for claim in CLAIMS.values() if claim.source == "Section 5.1"]
    for values in ((1.0,), (1.0, 1.5, 2.0)):
        rows = [
            row(claim, Status.NOT_MEASURED, 1.0, values=values, deviation=0.5) for claim in claims
        ]
        lines = lines_of(rows)
        start = lines.index(f"Section 5.1: {len(claims)} not measured") + 3
        names = [line.split()[0] for line in lines[start : start + len(claims)]]
        assert len(set(names)) == len(claims)


@given(
    st.text("abcdefgh-_", min_size=1, max_size=120),
    st.floats(-1e12, 1e12) | st.none(),
    st.lists(st.floats(0, 1e6), max_size=4),
    st.sampled_from(["%", "points", "MiB", "", "parameters"]),
    st.sampled_from(Status),
)
@settings(deadline=None)
def test_a_claim_of_any_name_and_value_fits_into_80_columns(name, measured, values, unit, status):
    claim = Claim(
        id=f"place/{name}",
        source="Somewhere",
        statement="So it is.",
        metric="metric",
        paper_value=12.5,
        unit=unit,
        rule=Rule.AT_LEAST,
        remark="Said twice.",
    )
    deviation = 1.5 if len(values) > 1 else None
    found = row(claim, status, measured, values=tuple(values), deviation=deviation)
    lines = terminal_lines([found], {claim.id: claim}, {})
    assert too_wide(lines) == []


# Collapsed sources


def test_a_long_source_is_counted_and_shows_what_stands_out():
    assert len(APPENDIX_A) > MAX_ROWS
    statuses = {5: Status.MISSED, 7: Status.REFUTED, 9: Status.EXCEEDED, 11: Status.NOT_MEASURED}
    rows = [
        row(claim, statuses.get(k, Status.REPRODUCED), claim.paper_value)
        for k, claim in enumerate(APPENDIX_A)
    ]
    lines = lines_of(rows)
    start = lines.index(
        f"Appendix A: {len(rows) - 4} reproduced, 1 exceeded, 1 refuted, 1 missed, 1 not measured"
    )
    shown = [line.split()[0] for line in lines[start + 3 : start + 5]]
    assert shown == [APPENDIX_A[k].id.partition("/")[2] for k in (5, 7)]
    assert APPENDIX_A[9].id.partition("/")[2] not in "\n".join(lines[start:]).split()
    everything = text_of(rows, verbose=True)
    assert all(f"\n{claim.id.partition('/')[2]} " in everything for claim in APPENDIX_A)


@pytest.mark.parametrize("source", sorted({claim.source for claim in CLAIMS.values()}))
def test_a_missed_claim_is_shown_in_every_source(source):
    claims = [claim for claim in CLAIMS.values() if claim.source == source]
    for missed in claims:
        rows = [
            row(claim, Status.MISSED if claim is missed else Status.REPRODUCED, claim.paper_value)
            for claim in claims
        ]
        lines = lines_of(rows)
        marked = [line for line in lines if line.endswith(" missed") and ":" not in line]
        marked += [line for line in lines if re.search(r"[\d-] !", line)]
        assert len(marked) == 1, missed.id


# Appendix D


def test_a_classification_report_is_printed_as_the_paper_prints_it():
    rows = [row(claim, Status.REPRODUCED, 0.9) for claim in APPENDIX_D]
    marks = {"plane-recall": Status.MISSED, "car-f1": Status.EXCEEDED}
    for found in rows:
        found["verdict"] = marks.get(found["claim"].partition("/")[2], found["verdict"])
    lines = lines_of(rows)
    start = next(k for k, line in enumerate(lines) if line.startswith("class "))
    assert lines[start].split() == ["class", "precision", "recall", "f1"]
    table_lines = lines[start + 2 : start + 14]
    names = [*("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")]
    assert [line.split()[0] for line in table_lines] == [*names, "macro_avg", "weighted_avg"]
    paper = CLAIMS["appendix-d.1/plane-recall"].paper_value
    assert f"{paper:.2f} 0.90 !" in table_lines[0]
    assert table_lines[1].endswith("0.90 +")
    assert lines[start + 14] == MARKS_LEGEND


@pytest.mark.parametrize("part", ["cat-recall", "cat-", "support", "accuracy", "test_acc"])
def test_a_part_of_a_classification_report_is_printed_too(part):
    """What ``-k`` leaves of it."""
    for status in (Status.REPRODUCED, Status.MISSED):
        rows = [row(claim, status, 0.9) for claim in APPENDIX_D if part in claim.id]
        lines = lines_of(rows)
        assert lines[1] == f"Appendix D.1: {len(rows)} {status.value}"
        assert too_wide(lines) == []


def test_a_report_that_was_not_measured_is_one_line():
    rows = [not_measured(claim, "no data").as_row() for claim in APPENDIX_D]
    lines = lines_of(rows)
    assert lines[1] == f"Appendix D.1: {len(rows)} not measured"
    assert not any(line.startswith("class") for line in lines)


# Tables 6 and 7, and pruning beside them

PROPORTIONS = [round(0.05 * k, 2) for k in range(21)]
FOUR = ("l1_unstructured", "l1_structured", "global_unstructured", "random_unstructured")


def pruned(claim: Claim, status: Status, percent: float) -> Row:
    """As measured by an accuracy, whatever the claim is judged by."""
    if claim.unit == "%":
        return row(claim, status, percent)
    return row(claim, status, percent - 94.0, details={"minuend_percent": percent})


def curve(technique: str, network: str = "resnet18", **facts: Any) -> Row:
    return {
        "claim": None,
        "kind": "pruning curve",
        "network": network,
        "optimizer": "adabound",
        "technique": technique,
        "proportions": PROPORTIONS,
        "accuracy_percent": [90 - 4 * k for k in range(21)],
        "num_weights": 11_159_232,
        "seeds": [0],
        "origin": "zoo",
        "device": "cpu",
        "seconds": 12.5,
        **facts,
    }


def test_pruned_accuracies_are_printed_as_the_paper_prints_them():
    statuses = {
        "l1_structured-0.5": Status.MISSED,
        "global_unstructured-0.55": Status.EXCEEDED,
        "l1_unstructured-0.95": Status.EXCEEDED,
    }
    rows = [
        pruned(claim, statuses.get(claim.id.partition("/")[2], Status.REPRODUCED), 93.5)
        for claim in TABLE_7
    ]
    rows[0] = row(TABLE_7[0], Status.NOT_MEASURED, None)  # L1 unstructured, 0.5
    lines = lines_of(rows)
    assert lines[1] == "Table 7: 29 reproduced, 2 exceeded, 1 missed, 1 not measured"
    assert lines[2:6] == [
        "prop.  L1 unstr.       L1 struct.      global unstr.",
        "-----  --------------  --------------  --------------",
        "  0.5  94.52     -     15.67 93.50 !   94.87 93.50",
        " 0.55  94.25 93.50     13.35 93.50     94.90 93.50 +",
    ]
    assert lines[13:16] == [
        " 0.95   9.89 93.50 +   10.00 93.50     19.85 93.50",
        "    1  10.00 93.50     10.00 93.50     10.00 93.50",
        MARKS_LEGEND,
    ]
    assert not [line for line in lines if line.endswith(("reproduced", " missed"))][1:]
    assert lines_of(rows, verbose=True) == lines


def test_a_drop_whose_accuracy_is_not_known_shows_none():
    lines = lines_of([row(TABLE_6[1], Status.MISSED, -5.0)])
    assert flat(lines[4]) == "0.05 94.97 - !"


def test_random_pruning_stands_beside_the_papers_techniques_where_it_was_measured():
    rows = [pruned(claim, Status.REPRODUCED, 93.5) for claim in (*TABLE_6, *TABLE_7)]
    rows += [curve(name) for name in FOUR]
    rows.append(curve("random_unstructured", seeds=[1], accuracy_percent=[None] * 21))
    lines = lines_of(rows)
    assert [line for line in lines if len(line) > WIDTH] == []
    headings = [line for line in lines if line.startswith("prop.")]
    assert headings == ["prop.  L1 unstr.       L1 struct.      global unstr.   random"] * 2
    start = lines.index(headings[0])
    assert flat(lines[start + 2]) == "0 95.00 93.50 95.00 93.50 95.00 93.50 90.00"
    assert flat(lines[start + 3]).endswith(" 86.00")
    second = lines.index(headings[1], start + 1)
    assert flat(lines[second + 2]).endswith(" 94.87 93.50 50.00")
    assert flat(lines[second + 12]).endswith(" 10.00")
    text = flat("\n".join(lines))
    assert text.count("random: in one shot, not fine-tuned; weights: zoo, seeds 0, 1; pruned") == 2
    assert "weights pruned" not in text


def test_tables_6_and_7_not_measured_are_counted_only():
    rows = [not_measured(claim, "no data").as_row() for claim in (*TABLE_6, *TABLE_7)]
    lines = lines_of(rows)
    assert not any(line.startswith("prop.") for line in lines)
    assert "Table 6: 30 not measured" in lines and "Table 7: 33 not measured" in lines


def test_curves_of_other_networks_are_a_table_a_network():
    rows = [curve(name, network) for network in ("resnet18_s", "vgg16_s") for name in FOUR]
    rows.append(curve("l1_structured", "resnet18_s", seeds=[1], accuracy_percent=[50.0] * 21))
    lines = lines_of(rows)
    title = "resnet18_s adabound: % right, by the proportion pruned of its 11,159,232 weights"
    assert lines[1] == title and len(title) <= WIDTH
    assert lines[2].split("  ")[0] == "prop."
    assert lines[4].split() == ["0", "90.00", "70.00", "90.00", "90.00"]
    assert lines[24].split() == ["1", "10.00", "30.00", "10.00", "10.00"]
    assert lines[25].startswith("  L1 unstr., global unstr., random: in one shot, not fine-tuned;")
    assert flat("\n".join(lines[25:29])).endswith(
        "L1 struct.: in one shot, not fine-tuned; weights: zoo, seeds 0, 1; pruned on cpu"
    )
    assert title.replace("resnet18_s", "vgg16_s") in lines
    assert too_wide(lines) == []


def test_curves_of_resnet18_have_a_table_of_their_own_where_the_papers_was_not_measured():
    rows = [not_measured(claim, "no data").as_row() for claim in TABLE_6]
    lines = lines_of([*rows, curve("random_unstructured")])
    assert any(line.startswith("resnet18 adabound: % right") for line in lines)


def test_claims_about_a_pruned_network_are_named_however_few_they_are():
    claims = [
        "figure17/l1_structured-one_point",
        "table6/l1_structured-0.05",
        "section-1/lottery_ticket",
    ]
    for claim in (*map(CLAIMS.get, claims), GOALS["pruning/vgg16-1m-channels"]):
        lines = lines_of([row(claim, Status.NOT_MEASURED, 0.25)])
        assert lines[4].startswith(claim.id.partition("/")[2] + " ")


def pruned_network(name: str, **facts: Any) -> Row:
    return {
        "claim": None,
        "kind": "pruned network",
        "name": name,
        "network": "resnet18",
        "how": "channels",
        "num_params": 999_321,
        "num_nonzeros": 999_100,
        "multiply_adds": 101_234_567,
        "dense_bytes": 4_012_345,
        "sparse_bytes": 4_012_400,
        "compressed_bytes": 3_700_000,
        "latency_ms": 1.234,
        "images_per_second": 12_345.6,
        "accuracy_percent": None,
        "dense_accuracy_percent": None,
        "device": "cpu",
        **facts,
    }


def test_pruned_networks_have_their_sizes_their_speed_and_their_accuracy():
    rows = [
        pruned_network("resnet18-1m-channels-iterative"),
        pruned_network(
            "resnet18-1m-weights",
            num_params=11_173_962,
            dense_bytes=44_700_000,
            accuracy_percent=93.2,
            dense_accuracy_percent=94.0,
        ),
    ]
    lines = lines_of(rows)
    assert lines[1:10] == [
        "Pruned networks, timed in float32 on cpu",
        "what                            par. k  nz. k  M m-a   dense  sparse    zip",
        "------------------------------  ------  -----  -----  ------  ------  -----",
        "resnet18-1m-channels-iterative     999    999    101   4,012   4,012  3,700",
        "resnet18-1m-weights             11,174    999    101  44,700   4,012  3,700",
        "what                            ms at 1  images/s at 256  right %  dense %",
        "------------------------------  -------  ---------------  -------  -------",
        "resnet18-1m-channels-iterative     1.23           12,346        -        -",
        "resnet18-1m-weights                1.23           12,346    93.20    94.00",
    ]
    assert flat("\n".join(lines)).count("M m-a: million multiply-adds an image") == 1


@given(
    st.text("abcdef-_", min_size=1, max_size=60),
    st.integers(1, 10**8),
    st.integers(1, 10**9),
    st.floats(0.001, 9_999),
    st.none() | st.floats(0, 100),
)
@settings(deadline=None)
def test_pruned_networks_fit_into_80_columns(name, count, size, speed, percent):
    found = pruned_network(
        name,
        num_params=count,
        num_nonzeros=count,
        multiply_adds=size,
        dense_bytes=size,
        sparse_bytes=size,
        compressed_bytes=size,
        latency_ms=speed,
        images_per_second=speed,
        accuracy_percent=percent,
    )
    assert [line for line in lines_of([found]) if len(line) > WIDTH] == []


# Known misses


def test_known_misses_are_said_and_those_that_are_met_are_to_be_removed():
    known = {claim.id: "trained too short" for claim in TABLE_2[:4]} | {"table9/x": "no such claim"}
    statuses = (Status.MISSED, Status.EXCEEDED, Status.NOT_MEASURED, Status.REPRODUCED)
    rows = [row(claim, status, 90.0) for claim, status in zip(TABLE_2, statuses, strict=False)]
    rows.append(row(TABLE_2[4], Status.MISSED, 80.0))
    lines = lines_of([*rows, latency("vit", 1, 0.001)], known_misses=known)
    start = lines.index(f"  missed, as known: 1 claim ({TABLE_2[0].id}): trained too short")
    assert lines[start - 1 : start + 4] == [
        "",
        lines[start],
        f"  no longer missed: {TABLE_2[1].id}: remove from known_misses",
        f"  no longer missed: {TABLE_2[3].id}: remove from known_misses",
        "",
    ]
    assert not any("known" in line for line in lines_of(rows))


# Why not measured, and what was wrong


def test_reasons_are_said_once_the_commonest_first_with_two_examples():
    rows = [not_measured(claim, "no data").as_row() for claim in TABLE_2]
    rows.append(not_measured(CLAIMS["section-5.2/vgg16"], "no time").as_row())
    lines = lines_of(rows)
    start = lines.index("not measured in this run, and why:")
    assert lines[start + 1 : start + 3] == [
        "  6 claims (table2/resnet18-sgdm, table2/resnet18-adam, ...): no data",
        "  1 claim (section-5.2/vgg16): no time",
    ]


def test_no_heading_where_all_was_measured():
    rows = [row(claim, Status.REPRODUCED, 90.0) for claim in TABLE_2]
    assert "not measured in this run, and why:" not in lines_of(rows)


def test_options_and_paths_are_not_broken_at_their_hyphens():
    reason = "training takes long here: --train-budget 90 allows it; see cifar-10-batches-py/ "
    for padding in range(40):
        rows = [not_measured(TABLE_2[0], "x" * padding + " " + reason).as_row()]
        words = text_of(rows, complaints=["y" * padding + " " + reason]).split()
        assert words.count("--train-budget") == words.count("cifar-10-batches-py/") == 2


def test_a_path_stays_whole_and_all_else_is_wrapped():
    path = "/a/" + "long-" * 30 + "path"
    lines = lines_of([], complaints=[f"damaged cache entry put aside: {path}: " + "word " * 40])
    assert sum(path in line for line in lines) == 1
    assert too_wide(lines) == []


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"])), max_size=5))
@settings(deadline=None)
def test_any_complaint_is_printed_within_80_columns(complaints):
    lines = lines_of([], complaints=complaints)
    assert too_wide(lines) == []
    assert flat("\n".join(lines)).startswith(flat(" ".join(complaints)))


# Timings, beside the claims


def latency(network: str, batch_size: int, seconds: float) -> Row:
    return {
        "claim": None,
        "kind": "latency",
        "network": network,
        "num_params": 60_000_000,
        "batch_size": batch_size,
        "device": "cuda:0",
        "median_seconds": seconds,
    }


def speed(ours: float, other: float) -> Row:
    return {
        "claim": None,
        "kind": "training_speed",
        "name": "resnet18_s adabound, ours : the paper's way",
        "ours": ours,
        "other": other,
        "unit": "images/s",
        "ratio": ours / other,
        "device": "cuda:0",
    }


def loop(optimizer: str, **facts: float | None) -> Row:
    return {
        "claim": None,
        "kind": "training_speed",
        "network": "resnet18_s",
        "optimizer": optimizer,
        "device": "cuda:0",
        "ours_images_per_second": 1234.5,
        "ratio_to_papers": 4.567,
        "ratio_to_plain": 1.234,
        "utilisation_percent": 34.56,
        "augmentation_percent": 1.234,
        "peak_memory_mib": 1050.4,
        "joules_per_1000_images": None,
        **facts,
    }


def test_latency_is_a_line_a_network():
    rows = [latency("vit", 1, 0.00125), latency("vit", 256, 0.5), latency("vit_s", 1, 0.001)]
    lines = lines_of(rows)
    assert lines[1] == "Inference, float32, random weights, on cuda:0"
    assert lines[4].split() == ["vit", "60,000,000", "1.25", "500.00", "512"]
    assert lines[5].split() == ["vit_s", "60,000,000", "1.00", "-", "-"]


def test_speeds_stand_beside_each_other():
    lines = lines_of([speed(1000.0, 400.0)])
    assert lines[1] == "Training speed, interleaved in this run, on cuda:0"
    assert lines[4].split()[-4:] == ["1,000.0", "400.0", "images/s", "2.50"]


def test_loops_are_a_line_each_above_what_else_was_timed():
    lines = lines_of([speed(12.0, 24.0), loop("sgdm"), loop("adam", ratio_to_plain=0.5)])
    assert lines[1] == "Training speed, interleaved in this run, on cuda:0"
    assert lines[2:6] == [
        "network     optimizer  images/s  x paper  x plain  use %  aug %    MiB",
        "----------  ---------  --------  -------  -------  -----  -----  -----",
        "resnet18_s  sgdm          1,234     4.57     1.23   34.6   1.23  1,050",
        "resnet18_s  adam          1,234     4.57     0.50   34.6   1.23  1,050",
    ]
    assert lines[6].startswith("  x paper: times the paper's loop; x plain: times a plain")
    text = "\n".join(lines)
    assert "MiB: peak memory" in flat(text) and "J/1000" not in text
    assert re.search(r"ours : the paper's way +12\.0 +24\.0 +images/s +0\.50", text)


def test_energy_has_a_column_where_a_device_told_it():
    lines = lines_of([loop("sgdm", joules_per_1000_images=12.34), loop("adam")])
    assert lines[2].endswith("    MiB  J/1000")
    assert [line.split()[-1] for line in lines[4:6]] == ["12.3", "-"]
    assert "J/1000: joules per 1,000 images" in flat("\n".join(lines))


def test_a_loop_of_an_older_file_lacks_what_was_not_measured_then():
    old = loop("sgdm")
    for name in ("utilisation_percent", "peak_memory_mib", "joules_per_1000_images"):
        del old[name]
    lines = lines_of([old])
    assert flat(lines[2]) == "network optimizer images/s x paper x plain aug %"
    beside_new = lines_of([old, loop("adam")])
    assert flat(beside_new[4]) == "resnet18_s sgdm 1,234 4.57 1.23 - 1.23 -"


@given(
    st.floats(1, 999_999),
    st.floats(0.01, 9_999),
    st.one_of(st.none(), st.floats(0, 200)),
    st.one_of(st.none(), st.floats(1, 99_999)),
)
@settings(deadline=None)
def test_loops_fit_into_80_columns(rate, ratio, percent, amount):
    facts = {
        "ours_images_per_second": rate,
        "ratio_to_papers": ratio,
        "ratio_to_plain": ratio,
        "utilisation_percent": percent,
        "augmentation_percent": percent,
        "peak_memory_mib": amount,
        "joules_per_1000_images": amount,
    }
    rows = [loop("adabound", **facts), loop("sgdm", joules_per_1000_images=1.0), speed(1, 2)]
    assert [line for line in lines_of(rows) if len(line) > WIDTH] == []


@given(st.floats(0.1, 99_999), st.floats(0.1, 9_999), st.floats(1e-6, 99))
@settings(deadline=None)
def test_timings_fit_into_80_columns(ours, other, seconds):
    rows = [speed(ours, max(other, ours / 1000)), latency("resnet152", 1, seconds)]
    assert [line for line in lines_of(rows) if len(line) > WIDTH] == []


# Saved runs


def test_saved_rows_make_the_same_lines():
    rows = at_paper_values(-0.25, 0.25)
    saved = json.loads(json.dumps(rows, allow_nan=False))
    assert lines_of(saved) == lines_of(rows)


def test_a_value_that_is_not_finite_makes_a_row_that_json_has_numbers_for():
    details = {"curve": [1.0, math.nan], "more": {"low": -math.inf}}
    found = Measurement(
        values=(math.nan, math.inf), unit="%", seeds=(0, 1), num_images=10_000, details=details
    )
    saved = judge(CLAIMS["table2/resnet18_s-adabound"], found).as_row()
    assert json.loads(json.dumps(saved, allow_nan=False)) == saved
    assert saved["verdict"] == "missed"
    assert saved["values"] == [None, None] and saved["measured"] is None
    assert saved["details"] == {"curve": [1.0, None], "more": {"low": None}}
    assert re.search(r"91\.72 +- +- +missed", text_of([saved]))


def test_markdown_has_the_measured_accuracies_and_says_whence():
    goal = GOALS["digits/vit_s-adam"]
    rows = [
        row(CLAIMS["table2/resnet18_s-adabound"], Status.EXCEEDED, 93.0),
        row(CLAIMS["table2/resnet18_s-sgdm"], Status.NOT_MEASURED, None),
        row(CLAIMS["appendix-d.1/test_acc"], Status.REPRODUCED, 91.72),
        row(APPENDIX_A[0], Status.REPRODUCED, APPENDIX_A[0].paper_value),
        row(goal, Status.REPRODUCED, 96.0),
        pruned(TABLE_6[1], Status.REPRODUCED, 94.0),
        pruned(TABLE_7[10], Status.REPRODUCED, 10.0),
        row(CLAIMS["figure17/l1_structured-one_point"], Status.EXCEEDED, 0.15),
        row(CLAIMS["section-1/lottery_ticket"], Status.REPRODUCED, -0.25),
        row(CLAIMS["section-6/pruned-resnet18-under_1m"], Status.REFUTED, 93.0),
        row(GOALS["pruning/resnet18-1m-channels"], Status.MISSED, -1.5),
        latency("vit", 1, 0.001),
        curve("random_unstructured"),
        pruned_network("resnet18-1m-channels"),
    ]
    document = {
        "smallnet": {"rows": rows},
        "machine_info": {
            "smallnet": {
                "device_name": "a CPU",
                "num_threads": 2,
                "versions": {"torch": "2.11.0"},
            }
        },
        "commit_info": {"id": "0123456789abcdef", "dirty": True},
        "datetime": "2026-01-02T03:04:05+00:00",
    }
    known = {"pruning/resnet18-1m-channels": "too short", "table2/resnet18_s-sgdm": "too short"}
    lines = markdown_lines(document, CLAIMS, GOALS, known)
    assert lines[2:9] == [
        "| Table 2 | resnet18_s, adabound | 91.72 | 93.00 | +1.28 | exceeded |",
        "| Digits | vit_s, adam | goal 95.00 | 96.00 | +1.00 | reproduced |",
        "| Figure 17 | l1_structured-one_point | 0.091 | 0.15 | +0.06 | exceeded |",
        "| Section 1 | lottery_ticket | 0.00 | -0.25 | -0.25 | reproduced |",
        "| Section 6 | pruned-resnet18-under_1m | 52.73 | 93.00 | +40.27 | refuted |",
        "| Pruning | resnet18-1m-channels | goal -1.00 | -1.50 | -0.50 | missed |",
        "",
    ]
    assert "| our own goals | 17 | 2 | 1 | - | - | 1 | - | - | - | - | - | - | - | 15 |" in lines
    assert any("1 missed, 0 of them new. Of 2 known misses 1 were missed" in line for line in lines)
    assert lines[-1] == (
        "Run on 2026-01-02 at commit 0123456789ab with changes, a CPU, 2 threads, torch 2.11.0."
    )
    bare = {**document, "machine_info": {}, "commit_info": {}}
    assert markdown_lines(bare, CLAIMS, GOALS)[-1].startswith("Run on 2026-01-02 at commit None")


def test_markdown_tells_recorded_values_from_measured_ones():
    rows = [
        row(CLAIMS["table2/resnet18_s-adabound"], Status.EXCEEDED, 93.0),
        recorded(row(CLAIMS["table2/resnet18_s-sgdm"], Status.MISSED, 80.0)),
    ]
    document = {
        "smallnet": {"rows": rows},
        "machine_info": {},
        "commit_info": {},
        "datetime": "2026-01-02T03:04:05+00:00",
    }
    lines = markdown_lines(document, CLAIMS, GOALS)
    assert lines[2:4] == [
        "| Table 2 | resnet18_s, adabound | 91.72 | 93.00 | +1.28 | exceeded |",
        "| Table 2 | resnet18_s, sgdm | 86.85 | 80.00 | -6.85 | missed (recorded) |",
    ]
    [whole] = [line for line in lines if line.startswith("| all of the paper")]
    assert whole.endswith("| 560 | 1 | - | 1 | - | - | - | 1 | - | - | - | 1 | - | 558 |")
    assert lines[-1].endswith("1 recorded (r) 2026-11-23 on a CPU.")


# The report of one screen


def everything(**options: Any) -> list[Row]:
    """A row of every claim and goal, each other one recorded, and all that was timed."""
    rows = at_paper_values(**options)
    rows[::2] = [recorded(found) for found in rows[::2]]
    timings = [latency("vit", 1, 0.001), speed(1.0, 2.0), loop("sgdm"), curve("l1_structured")]
    return [*rows, *timings, pruned_network("resnet18-1m-channels", accuracy_percent=93.0)]


def all_missed() -> list[Row]:
    return [
        row(claim, Status.MISSED, -1.0, details={"minuend_percent": 10.0}) | {"reason": claim.id}
        for claim in (*CLAIMS.values(), *GOALS.values())
    ]


def none_measured() -> list[Row]:
    """For as many reasons as there are claims, all of them long."""
    return [
        not_measured(claim, f"{claim.id} {claim.statement} " * 3).as_row()
        for claim in (*CLAIMS.values(), *GOALS.values())
    ]


@pytest.mark.parametrize("make", [everything, all_missed, none_measured])
def test_one_screen_fits_into_120_lines_of_80_columns(make):
    """What pytest prints itself, a line a file and its dots, has the rest of 150."""
    lines = short_of(make(), complaints=["a damaged entry " * 3] * 50)
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > WIDTH] == []
    assert "--tables all" in flat("\n".join(lines[-4:]))


def test_a_table_of_the_paper_in_its_own_layout():
    rows = [
        row(claim, status, None if status is Status.NOT_MEASURED else 90.0)
        for claim, status in zip(TABLE_2, Status, strict=True)
    ]
    rows[1], rows[3] = recorded(rows[1]), recorded(rows[3], "2026-11-24")
    lines = short_of(rows)
    start = lines.index("Table 2: test accuracy on CIFAR-10, %")
    assert lines[start + 1 : start + 6] == [
        "paper, ours  SGDM            ADAM            AdaBound",
        "-----------  --------------  --------------  --------------",
        "ResNet18     89.40 90.00     89.97 90.00 r+  94.13 90.00 *",
        "ResNet18_S   86.85 90.00 r!  89.27 90.00 ?   91.72     -",
        "  3 measured in this run; 2 recorded (r) 2026-11-23 to 2026-11-24 on a CPU; 1",
    ]
    assert not any(line.startswith(("Table 3", "Tables 6")) for line in lines)


def test_under_a_table_that_this_run_measured_stands_so():
    lines = short_of([row(claim, Status.REPRODUCED, 90.0) for claim in TABLE_2])
    assert "  measured in this run" in lines


def test_tables_6_and_7_are_a_line_a_technique():
    rows = [pruned(claim, Status.REPRODUCED, 93.5) for claim in (*TABLE_6, *TABLE_7)]
    lost = CLAIMS["figure17/l1_structured-one_point"]
    rows.append(recorded(row(lost, Status.EXCEEDED, 0.15)))
    lines = short_of(rows)
    start = next(k for k, line in enumerate(lines) if line.startswith("Tables 6 and 7"))
    assert flat(lines[start + 3]) == "L1 struct. 0.091 0.15 r+ - 45.96 93.50 15.67 93.50"
    assert lines[start + 6] == "  63 numbers; 63 =; measured in this run"


def test_each_other_part_is_a_line():
    lines = short_of(everything())
    start = next(k for k, line in enumerate(lines) if line.startswith("other parts"))
    found = {line[:20].strip(): flat(line[20:]) for line in lines[start + 2 :] if line[:1].strip()}
    assert found["by class (App. D)"] == "201 100 101 - - ResNet18_S, F1 0.92 (0.92) r"
    assert found["goals: SpeedNet"].startswith("2 1 1 - - SpeedNet 94.00 (94.00)")
    assert found["training speed"] == "2 2 - - - ResNet18_S: 1,234 images/s"
    assert found["pruned network"] == "1 1 - - - 999,321 parameters: 93.00 %"


def test_what_is_missed_and_what_is_not_measured_is_said_with_its_reasons():
    known = dict.fromkeys(("table2/resnet18-sgdm", "table2/resnet18-adam"), "trained too short")
    known["table2/resnet18-adabound"] = "was so once"
    rows = [row(claim, Status.MISSED, 80.0) for claim in TABLE_2[:2]]
    rows.append(row(TABLE_2[2], Status.REPRODUCED, 94.0))
    rows.append(recorded(row(TABLE_2[3], Status.MISSED, 80.0)))
    budget = "training takes {}: --train-budget 90"
    for claim, time in zip(TABLE_2[4:], ("70 min", "5 h"), strict=True):
        rows.append(not_measured(claim, budget.format(time)).as_row())
    lines = short_of(rows, known_misses=known)
    start = lines.index(f"missed, 1: new: {TABLE_2[3].id}: a reason")
    assert lines[start + 1 : start + 5] == [
        "missed, 2: trained too short",
        f"not measured here, 2: {budget.format('70 min')}",
        "not measured here, 1: no data here",
        "no longer missed, 1: table2/resnet18-adabound",
    ]


def test_reasons_take_eight_lines_at_most_and_those_left_are_counted():
    missed = [found for found in all_missed() if found["claim"].startswith("table")]
    others = [found for found in none_measured() if not found["claim"].startswith("table")]
    lines = short_of([*missed, *others], known_misses={"table2/resnet18-sgdm": "a known reason"})
    start = next(k for k, line in enumerate(lines) if line.startswith("missed, "))
    section = lines[start : lines.index("", start)]
    assert len(section) <= 8
    counts = [
        int(n)
        for n in re.findall(r"^(?:missed|not measured here), (\d+):", "\n".join(section), re.M)
    ]
    assert sum(counts) == len(missed) + len(others)


# Whatever a row is


@pytest.mark.parametrize("make", [lines_of, short_of])
@pytest.mark.parametrize(
    "found",
    [
        {"claim": None, "kind": "moon phase"},
        {"claim": None, "kind": None},
        {"claim": None},
        {"claim": None, "kind": "latency"},
        {"claim": None, "kind": "training_speed", "name": None},
        {"claim": None, "kind": "failures"},
        {"claim": None, "kind": "pruned network"},
        {"claim": None, "kind": "pruning curve"},
        {"claim": "table9/unknown", "verdict": "missed"},
    ],
)
def test_a_row_that_cannot_be_shown_is_a_line_that_says_so(found, make):
    lines = make([found, *at_paper_values()])
    assert sum("cannot" in line for line in lines) == 1
    assert headline_of(lines)["all of the paper"][0] == 560


@pytest.mark.parametrize("make", [lines_of, short_of])
def test_claims_without_details_values_or_numbers_are_shown(make):
    rows = at_paper_values(0.0, 0.0)
    for names in (("details", "recorded"), ("measured", "values", "deviation", "difference")):
        lacking = [{k: v for k, v in found.items() if k not in names} for found in rows]
        empty = [{**found, **dict.fromkeys(names)} for found in rows]
        nan = [{**found, "measured": math.nan, "paper": None} for found in rows]
        for lines in map(make, (lacking, empty, nan)):
            assert not any("cannot" in line for line in lines)
            assert headline_of(lines)["all of the paper"][1] == 560
