"""--tables: one screen, or everything; and pytest-benchmark's own tables beside either."""

from __future__ import annotations

import pytest

from smallnet_core.claims import CLAIMS

INNER = """
from smallnet_core.claims import CLAIMS
from smallnet_core.plugin import claim_params
from smallnet_core.records import Measurement
import pytest

@pytest.mark.parametrize("claim_id", claim_params([CLAIMS["table2/resnet18_s-adabound"]]))
def test_claim(claim_id, judge, benchmark):
    benchmark.group = "training"
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    judge(CLAIMS[claim_id], Measurement(values=(91.7,), unit="%", num_images=10_000))

@pytest.mark.parametrize("claim_id", claim_params([CLAIMS["section-3.2.1/resnet18_s"]]))
def test_count(claim_id, judge, benchmark):
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    judge(CLAIMS[claim_id], Measurement(values=(701_466,), unit="parameters"))

def test_moon(record_row, benchmark):
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    record_row({"kind": "moon phase"})
"""
REMARK = CLAIMS["table2/resnet18_s-adabound"].remark


def printed(suite, *args: object, inner: str = INNER) -> str:
    suite.pytester.makepyfile(inner)
    result = suite.run(*args)
    assert result.ret == pytest.ExitCode.OK
    return " ".join(result.stdout.str().split())


def test_one_screen_has_no_remarks_and_no_tables_of_timings(suite):
    text = printed(suite, "--tables=short")
    assert "ResNet18_S 91.72/91.70 measured in this run" in text
    assert "moon phase 1 1 - - - cannot be shown" in text
    assert "--tables all" in text
    assert REMARK and REMARK not in text
    assert "benchmark 'training'" not in text


def test_all_has_both(suite):
    text = printed(suite, "--tables=all")
    assert "moon phase: 1 row that cannot be shown: there is no table for it" in text
    assert REMARK.split(".")[0] in text
    assert "benchmark 'training'" in text
    assert "benchmark: 1 tests" in text  # the moon's, and no count's


def test_timings_are_there_for_whoever_asks_for_them(suite):
    assert "benchmark 'training'" in printed(suite, "--tables=short", "--benchmark-columns=min")


def test_timings_of_other_suites_are_left_alone(suite):
    inner = "def test_it(benchmark): benchmark.pedantic(int, rounds=1, iterations=1)"
    assert "Name (time in" in printed(suite, "--tables=short", inner=inner)
