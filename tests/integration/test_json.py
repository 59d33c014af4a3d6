"""--benchmark-json: what later comparisons rely on."""

from __future__ import annotations

import json

import pytest

from smallnet_core.claims import CLAIMS
from smallnet_core.lab import latency

KEYS = {"claim", "verdict", "paper", "measured", "unit", "seeds", "values", "recipe", "device"}

INNER = """
import pytest

from smallnet_core.claims import CLAIMS
from smallnet_core.plugin import claim_params
from smallnet_core.records import Measurement, NotMeasured

VALUES = {
    "table2/resnet18_s-adabound": (91.5, 91.9),
    "table2/resnet18_s-adam": (float("nan"), 89.0),
    "table2/resnet18-adabound": (60.0, 61.0),
    "table3/resnet18-adam": None,
}

@pytest.mark.parametrize("claim_id", claim_params(CLAIMS[name] for name in VALUES))
def test_claim(claim_id, judge, benchmark):
    values = benchmark.pedantic(VALUES.get, args=(claim_id,), rounds=1, iterations=1)
    if values is None:
        raise NotMeasured("no data")
    judge(
        CLAIMS[claim_id],
        Measurement(
            values=values,
            unit="%",
            seeds=(0, 1),
            num_images=10_000,
            recipe="tuned",
            fingerprints=("a", "b"),
            device="cpu",
            details={"train_seconds": [1.0, float("inf")]},
        ),
    )


def test_speed(record_row, benchmark):
    benchmark.group = "training speed"
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    record_row(
        {
            "kind": "training_speed",
            "name": "this : that",
            "ours": 2.0,
            "other": 1.0,
            "unit": "images/s",
            "ratio": 2.0,
            "device": "cpu",
        }
    )
"""


def strict(text: str):
    """As every other language reads it: no NaN, no Infinity."""

    def refuse(name: str):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def document(suite):
    suite.pytester.makepyfile(INNER)
    path = suite.pytester.path / "run.json"
    result = suite.run("--device=cpu", f"--benchmark-json={path}")
    result.assert_outcomes(passed=2, failed=2, skipped=1)
    return strict(path.read_text())


def test_what_is_not_finite_is_null(document):
    [row] = [
        row for row in document["smallnet"]["rows"] if row["claim"] == "table2/resnet18_s-adam"
    ]
    assert row["verdict"] == "missed" and "nan" in row["reason"]
    assert row["values"] == [None, 89.0] and row["measured"] is None
    assert row["details"] == {"train_seconds": [1.0, None]}


def test_all_rows_stand_together_with_those_that_were_not_measured(document):
    assert document["smallnet"]["schema"] == 2
    assert document["smallnet"]["runs"] == []  # no network was judged
    rows = document["smallnet"]["rows"]
    assert {row["claim"]: row.get("verdict") for row in rows} == {
        "table2/resnet18_s-adabound": "reproduced",
        "table2/resnet18_s-adam": "missed",
        "table2/resnet18-adabound": "missed",
        "table3/resnet18-adam": "not measured",
        None: None,
    }
    for row in rows:
        assert row["claim"] is None or row.keys() >= KEYS
    assert rows[0]["values"] == [91.5, 91.9] and rows[0]["fingerprints"] == ["a", "b"]
    assert rows[0]["measured"] == pytest.approx(91.7) and rows[0]["num_images"] == 10_000
    assert rows[0]["paper"] == CLAIMS[rows[0]["claim"]].paper_value
    for bench in document["benchmarks"]:
        row = bench["extra_info"].get("smallnet")
        assert row is None or row in rows
        assert bench["params"] is None or all(isinstance(v, str) for v in bench["params"].values())


def test_each_judged_network_is_there_once(suite, fake_training):
    path = suite.pytester.path / "run.json"
    suite.benchmarks("digits/resnet18_s-adam", "--seeds=2", f"--benchmark-json={path}")
    document = strict(path.read_text())
    [row] = document["smallnet"]["rows"]
    runs = document["smallnet"]["runs"]
    assert [run["fingerprint"] for run in runs] == row["fingerprints"]
    assert [run["accuracy_percent"] for run in runs] == row["values"]


def test_the_machine_is_described_though_no_test_needs_its_device(document):
    facts = document["machine_info"]["smallnet"]
    assert facts["device"] == "cpu" and facts["device_name"]
    assert facts["num_threads"] >= 1 and facts["memory_gib"] > 0
    assert {"torch", "pytest-benchmark", "numpy"} <= facts["versions"].keys()
    assert facts["python"] and facts["system"] and facts["machine"]


def test_a_run_that_measures_nothing_ends_with_its_report_and_says_that_there_is_no_file(suite):
    path = suite.pytester.path / "run.json"
    result = suite.benchmarks("table2/", "--offline", f"--benchmark-json={path}")
    assert result.ret == 0
    result.assert_outcomes(skipped=6)
    result.stdout.fnmatch_lines(
        ["Table 2: 6 not measured", f"{path}: not written, because nothing was timed"]
    )
    assert not path.exists()


@pytest.mark.parametrize("option", ["--benchmark-disable", "--benchmark-skip", "--benchmark-only"])
def test_pytest_benchmarks_own_options_work(suite, fake_training, option):
    result = suite.benchmarks("digits/resnet18_s-adam", option)
    if option == "--benchmark-skip":
        result.assert_outcomes(skipped=1)
        assert suite.rows(result) == []
        return
    result.assert_outcomes(passed=1)
    [row] = suite.rows(result)
    assert row["verdict"] in ("reproduced", "exceeded") and row["measured"] == 97.0


def test_nothing_is_timed_where_benchmarks_are_disabled(suite, monkeypatch):
    monkeypatch.setattr(latency, "forward_pass", lambda *_: lambda: None)
    result = suite.benchmarks("vit_s-batch1", "--benchmark-disable", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * nothing is timed under --benchmark-disable"])
