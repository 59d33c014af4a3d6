"""What cannot be measured is shown from the zoo's records, beside the verdict and never as it."""

from __future__ import annotations

import json

import pytest

from smallnet_core.lab import cache
from smallnet_core.system.files import ZOO_DIR


@pytest.fixture
def recorded(suite, monkeypatch):
    """The rows of benchmarks that have the zoo and no CIFAR, by claim; and the run."""
    monkeypatch.setattr(cache.ModelCache.__init__, "__defaults__", (ZOO_DIR,))

    def run(keyword, *args):
        result = suite.benchmarks(keyword, "--offline", "--train-budget=0", "-rs", *args)
        return {row["claim"]: row for row in suite.rows(result)}, result

    return run


def judged(start):
    [path] = ZOO_DIR.glob(f"{start}*.json")
    record = json.loads(path.read_text())
    return record, record["judged"]


def test_a_claim_without_data_stays_unmeasured_and_says_what_is_recorded(recorded):
    rows, result = recorded("table2/resnet18_s-sgdm")
    result.assert_outcomes(skipped=1)
    record, own = judged("cifar10-resnet18_s-sgdm-tuned-seed0")
    [row] = rows.values()
    assert (row["verdict"], row["measured"], row["values"]) == ("not measured", None, [])
    assert row["reason"].startswith("CIFAR-10 is not in")
    found = row["recorded"]
    assert found["measured"] == own["accuracy_percent"] and found["values"] == [found["measured"]]
    assert (found["verdict"], found["seeds"]) == ("exceeded", [0])
    assert found["interval"][0] < found["measured"] < found["interval"][1]
    assert found["reason"].endswith("is above the claimed 86.85 %")
    machine, day = record["environment"]["device_name"], record["time"][:10]
    assert (found["trained_on"], found["time"]) == (machine, record["time"])
    assert found["commit"] == record["commit"]["id"]
    skipped = f"*not measured here; recorded {found['measured']:.2f}, exceeded, {day}, {machine}*"
    result.stdout.fnmatch_lines([skipped])


def test_every_kind_of_claim_is_judged_from_records_alone(recorded):
    claims = {
        "appendix-d.1/car-recall": "per class",
        "section-5.2/vgg16_s": "the best of several",
        "section-6/pruned-resnet18-under_1m": "of pruned networks",
        "pruning/vgg16_s-250k-channels": "a difference",
        "table6/l1_structured-0.05": "on a curve",
        "figure17/l1_unstructured-one_point": "where a curve loses a point",
    }
    rows, result = recorded(" or ".join(claims))
    result.assert_outcomes(skipped=len(claims))
    assert rows.keys() == claims.keys()
    for claim, row in rows.items():
        assert row["recorded"]["measured"] is not None, claims[claim]
        assert row["recorded"]["trained_on"], claims[claim]
    assert rows["section-6/pruned-resnet18-under_1m"]["recorded"]["verdict"] == "refuted"
    _, own = judged("cifar10-resnet18_s-adabound-tuned-seed0-d0a0dc331400")
    car = rows["appendix-d.1/car-recall"]["recorded"]["measured"]
    assert car == own["confusion"][1][1] / 1000


def test_what_needs_the_images_themselves_is_not_recorded(recorded):
    rows, result = recorded("section-2/")
    result.assert_outcomes(skipped=len(rows))
    assert not any("recorded" in row for row in rows.values())


@pytest.mark.parametrize("option", ["--no-recorded", "--recipe=paper"])
def test_what_is_hidden_or_of_another_recipe_is_not_shown(recorded, option):
    rows, result = recorded("table2/resnet18_s-sgdm", option)
    assert "recorded" not in rows["table2/resnet18_s-sgdm"]
    result.stdout.fnmatch_lines(["SKIPPED * CIFAR-10 is not in *"])
