"""--report [DIR]: the run as a page, at its end."""

from __future__ import annotations

import json

import pytest

from smallnet_core.lab import reports

INNER = """
from smallnet_core.claims import CLAIMS
from smallnet_core.records import Measurement


def test_claim(judge, benchmark):
    benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    found = Measurement(values=(91.0,), unit="%", seeds=(0,), num_images=10_000, recipe="tuned")
    judge(CLAIMS["table2/resnet18_s-sgdm"], found)
"""


@pytest.fixture
def run(suite, monkeypatch):
    monkeypatch.setattr(reports, "draw", lambda file: ({}, "not here"))
    monkeypatch.chdir(suite.pytester.path)

    def run(*options: object):
        suite.pytester.makepyfile(test_it=INNER)
        return suite.run("--device=cpu", *options)

    return run


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        (["--report"], "reports"),
        (["--report=here"], "here"),
        (["--benchmark-json=out/run.json", "--report"], "out"),
    ],
)
def test_a_run_ends_with_its_report(run, suite, options, folder):
    (suite.pytester.path / "out").mkdir()
    result = run(*options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"report: */{folder}/*.html"])
    found = suite.pytester.path / folder
    [saved] = [path for path in found.glob("*.json") if path.name != "run.json"]
    assert json.loads(saved.read_text())["smallnet"]["rows"][0]["measured"] == 91.0
    assert "exceeded" in saved.with_suffix(".md").read_text()
    assert saved.with_suffix(".html").name in (found / "README.md").read_text()


def test_what_changed_since_another_run_is_in_it(run, suite):
    run("--benchmark-json=old.json").assert_outcomes(passed=1)
    run("--compare=old.json", "--report=here").assert_outcomes(passed=1)
    [page] = (suite.pytester.path / "here").glob("*.html")
    assert "What changed" in page.read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_one_is_refused_before_anything_is_measured(run, suite):
    (suite.pytester.path / "file").write_text("mine")
    assert "is not a folder" in suite.refusal(run("--report=file"))
    (suite.pytester.path / "mine").mkdir()
    (suite.pytester.path / "mine" / "README.md").write_text("# Mine\n")
    assert "is not an index of reports" in suite.refusal(run("--report=mine"))
    tests = suite.pytester.path / "tests"
    tests.mkdir()
    (tests / "test_more.py").write_text("")
    assert "has tests in it: write --report=DIR" in suite.refusal(run("--report=tests"))


def test_a_report_that_cannot_be_made_is_a_line_at_the_end(run, monkeypatch):
    monkeypatch.setattr(reports, "draw", lambda file: {}["a figure"])
    result = run("--report=here")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["--report: KeyError: 'a figure'"])
