"""--compare OLD.json and --fail-on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallnet_core.cli import main

FILES = Path(__file__).resolve().parents[1] / "files"

INNER = """
import pytest

from smallnet_core.claims import CLAIMS
from smallnet_core.records import Measurement


def test_claim(judge, benchmark):
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    found = Measurement(
        values={values}, unit="%", seeds={seeds}, num_images=10_000, recipe="tuned"
    )
    judge(CLAIMS["table2/resnet18_s-sgdm"], found)
"""


@pytest.fixture
def run(suite):
    def run(*values: float, options: tuple[object, ...] = ()):
        seeds = tuple(range(len(values)))
        suite.pytester.makepyfile(test_it=INNER.format(values=values, seeds=seeds))
        return suite.run("--device=cpu", *options)

    return run


@pytest.fixture
def old(run, suite):
    path = suite.pytester.path / "old.json"
    run(92.0, 92.1, 92.2, options=(f"--benchmark-json={path}",)).assert_outcomes(passed=1)
    return path


def test_what_became_worse_is_said_at_the_end_and_fails_where_it_is_told_to(run, old, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    result = run(90.9, 91.0, 91.1, options=("--compare", old))
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["=* compared =*", "Regressions: 1", "*-1.10 (*"])
    failed = run(90.9, 91.0, 91.1, options=("--compare", old, "--fail-on=regression"))
    assert failed.ret == pytest.ExitCode.TESTS_FAILED
    monkeypatch.setenv("CI", "true")
    assert run(90.9, 91.0, 91.1, options=("--compare", old)).ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(("name", "left_out"), [("runs", True), ("latest", False)])
def test_a_folder_or_the_storage_names_its_newest_run(run, old, suite, name, left_out):
    folder = suite.pytester.mkdir("runs")
    (folder / "0001_old.json").write_bytes(old.read_bytes())
    (folder / "cut.json").write_text("{")
    options = (f"--compare={name}", f"--benchmark-storage={folder}", "--fail-on=regression")
    result = run(90.9, 91.0, 91.1, options=options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["left out: *cut.json: broken JSON*"] * left_out)
    result.stdout.fnmatch_lines(["Regressions: 1"])


def test_what_did_not_change_is_silent(run, old):
    result = run(92.0, 92.1, 92.2, options=("--compare", old, "--fail-on=change"))
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("Regressions:*")
    result.stdout.fnmatch_lines(["1 rows: 1 no difference shown"])


def test_a_run_that_shares_nothing_with_the_old_one_says_so_and_fails(run, old, suite):
    document = json.loads(old.read_text())
    document["smallnet"]["rows"][0]["claim"] = "table2/other"
    document["smallnet"]["rows"][0]["paper"] = 1.0
    old.write_text(json.dumps(document))
    result = run(92.0, options=("--compare", old))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--compare: *nothing in common*"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--compare", "none.json"), "--compare none.json: cannot be read (No such file*"),
        (("--compare=latest",), "--compare latest: *.benchmarks has no such run"),
        (("--fail-on", "regression"), "--fail-on is for --compare RUN, which is not given"),
        (("--confirm",), "--confirm is for --compare RUN, which is not given"),
        (
            ("--compare", FILES / "run-schema-1.json", "--fail-on", "anything"),
            "--fail-on anything: expected one of regression, change, nothing",
        ),
    ],
)
def test_what_cannot_be_used_stops_before_anything_is_measured(suite, options, expected):
    import fnmatch

    line = suite.refusal(suite.run(*options))
    assert fnmatch.fnmatch(line, expected)


def test_a_run_is_held_to_its_machines_reference(run, old, suite):
    missing = run(92.0, options=("--compare=reference",))
    assert "smallnet reference update RUN.json makes it" in suite.refusal(missing)
    folder = suite.pytester.path / "reports" / "reference"
    assert main(["reference", "update", str(old), f"--folder={folder}"]) == 0
    result = run(90.9, 91.0, 91.1, options=("--compare=reference", "--fail-on=regression"))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    [path] = folder.iterdir()
    path.write_text("{")
    broken = suite.refusal(run(92.0, options=("--compare=reference",)))
    assert f"{path}: broken JSON" in broken


def test_an_accepted_change_does_not_fail_and_a_broken_file_of_them_stops_the_start(
    run, old, suite
):
    path = suite.pytester.path / "reports" / "accepted.toml"
    entry = ["accept", "table2/resnet18_s-sgdm", "--commit=0123abc", "--reason=known"]
    assert main([*entry, f"--file={path}"]) == 0
    result = run(90.9, 91.0, 91.1, options=("--compare", old, "--fail-on=regression"))
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["Accepted: 1", "*accepted (known)*"])
    path.write_text("accepted = 5")
    refused = suite.refusal(run(92.0, options=("--compare", old)))
    assert "accepted.toml: accepted: expected a valid list" in refused


TIMED = """
import time
from pathlib import Path

SECONDS = {seconds}


def test_time(record_row, benchmark):
    runs = Path({runs!r})
    runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
    seconds = SECONDS[len(runs.read_text()) - 1]
    benchmark.pedantic(time.sleep, args=(seconds,), rounds=5)
    row = dict(kind="latency", network="net", batch_size=1, precision="float32", device="cpu")
    reference = {{"product": 0.001}}
    record_row({{**row, "unit": "ms", "median_seconds": seconds, "reference_seconds": reference}})


def test_other(record_row, benchmark):
    benchmark.pedantic(lambda: None, rounds=1)
"""


@pytest.mark.parametrize(
    ("seconds", "status", "said"),
    [((0.2, 0.02), 0, "not confirmed"), ((0.2, 0.2), 1, "confirmed")],
)
def test_what_is_slower_is_timed_again_where_that_is_asked_for(
    suite, monkeypatch, seconds, status, said
):
    monkeypatch.setattr("pytest_benchmark.plugin.get_cpu_info", lambda: {"brand_raw": "a"})
    folder, runs = suite.pytester.path, suite.pytester.path / "runs"

    def run(*seconds, options):
        suite.pytester.makepyfile(test_it=TIMED.format(seconds=seconds, runs=str(runs)))
        return suite.run("--device=cpu", *options)

    old, new = folder / "old.json", folder / "new.json"
    run(0.02, options=(f"--benchmark-json={old}",)).assert_outcomes(passed=2)
    runs.unlink()
    options = (f"--compare={old}", "--fail-on=regression", "--confirm", f"--benchmark-json={new}")
    result = run(*seconds, options=options)
    result.assert_outcomes(passed=2)
    assert result.ret == status and runs.read_text() == "xx"
    result.stdout.fnmatch_lines(["timed again: latency/net/1/float32, +*", f"  time: {said}"])
    # One benchmark a test, that of the last time.
    found = [b["stats"]["median"] for b in json.loads(new.read_text())["benchmarks"]]
    assert len(found) == 2 and max(found) == pytest.approx(seconds[-1], rel=0.5)


def test_confirm_cannot_be_under_xdist(suite):
    pytest.importorskip("xdist")
    options = ("-p", "xdist", "-n", "1", f"--compare={FILES / 'run-schema-2.json'}", "--confirm")
    assert "under pytest-xdist" in suite.refusal(suite.run(*options))
