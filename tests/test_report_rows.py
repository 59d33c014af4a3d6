"""Rows that judge no claim, and rows that no report can show."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.claims import CLAIMS
from smallnet_core.judging import judge
from smallnet_core.records import Measurement, Status
from smallnet_core.report.table import WIDTH
from tests.rows import (
    TABLE_2,
    TABLE_6,
    TIMED,
    after,
    at_paper_values,
    everything,
    flat,
    full,
    pruned,
    row,
    short,
    timed,
)

# Rows that judge no claim


@pytest.mark.parametrize(
    ("kind", "table", "telling"),
    [
        ("latency", "ViT 60,000,000 256 500.00 512 cuda:0", "ViT, 256 images: 500.00 ms"),
        ("training_speed", "ResNet18_S SGDM 1,234 4.57 1.23 34.6 1,050", "1,234 images/s"),
        ("failures", "rate 0.001 learns 40-2000 17.95 0.44 25.0", "1 changes make it learn"),
        (
            "pruned network",
            "network ms at 1 images/s at 256 right % "
            "------------------------------ ------- --------------- ------- "
            "resnet18-1m-channels-iterative 1.23 12,346 93.00",
            "999,321 parameters: 93.00 %",
        ),
        ("pruning curve", "0.05 86.00 0.1 82.00", "ResNet18_S"),
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
    pair |= {"claim": None, "kind": "training_speed", "device": "cpu"}
    assert "ours : package 12.0 24.0 ms 0.50" in flat(full([*rows, pair]))
    assert "ours : package: 0.50" in flat(short([pair]))


def test_curves_are_a_table_a_network_and_the_mean_over_seeds():
    names = ("l1_unstructured", "l1_structured", "random_unstructured")
    rows = [timed("pruning curve", technique=name) for name in names]
    rows.append(timed("pruning curve", technique=names[1], seeds=[1], accuracy_percent=[50.0] * 21))
    lines = after(full([*rows, timed("pruning curve", network="vgg16_s")]), "ResNet18_S AdaBound")
    assert lines[3].split() == ["0", "90.00", "70.00", "90.00"]
    assert "L1 unstr., random: in one shot" in flat(lines) and "seeds 0, 1" in flat(lines)
    assert any(line.startswith("VGG16_S AdaBound: % right") for line in lines)


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
    assert found["goals: SpeedNet"].startswith("2 1 1 - - SpeedNet 94.00 (goal 94.00)")


# Rows without a claim are anything: files of other versions have other fields, or other kinds

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([10**400, [None], {"verdict": "missed"}]),
    st.lists(st.none() | st.floats(), max_size=3),
)
FIELDS = sorted({name for found in TIMED.values() for name in found})


@pytest.mark.parametrize("make", [full, short])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TIMED, "moon phase"]),
            st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4),
            st.sets(st.sampled_from(FIELDS), max_size=4),
        ),
        max_size=6,
    ),
)
@settings(deadline=None, max_examples=100)
def test_the_report_never_dies(make: Callable[..., list[str]], broken):
    rows = [
        {
            name: value
            for name, value in ({"claim": None, "kind": kind, **TIMED.get(kind, {})} | own).items()
            if name not in missing
        }
        for kind, own, missing in broken
    ]
    claims = (row(TABLE_2[0], Status.REPRODUCED, 94.13), pruned(TABLE_6[1], Status.MISSED, 93.5))
    text = "\n".join(lines := make([*rows, *claims]))
    assert re.search(r"89\.40[ /]+94\.13", text) and "missed, new: table6" in text
    assert make is short or "94.97/93.50 !" in text
    assert "560 claims of the paper" in flat(lines[-4:])


@pytest.mark.parametrize("make", [full, short])
@pytest.mark.parametrize(
    "found",
    [{"claim": "table9/unknown"}, *({"claim": None, "kind": k} for k in ("moon phase", *TIMED))],
)
def test_a_row_that_cannot_be_shown_is_a_line_that_says_so(found, make):
    assert sum("cannot" in line for line in make([found, *at_paper_values()])) == 1


def test_a_value_that_is_not_finite_makes_a_row_that_json_has_numbers_for():
    details = {"curve": [1.0, math.nan], "more": {"low": -math.inf}}
    values = (math.nan, math.inf)
    found = Measurement(values=values, unit="%", seeds=(0, 1), num_images=100, details=details)
    saved = judge(CLAIMS["table2/resnet18_s-adabound"], found).as_row()
    assert json.loads(json.dumps(saved, allow_nan=False)) == saved
    assert saved["values"] == [None, None] and saved["details"]["more"] == {"low": None}
    assert re.search(r"91\.72 +- +- +missed", "\n".join(full([saved])))
