"""The workflows: a broken run is no regression, one issue, one comment, and options that exist."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load_nightly() -> Any:
    spec = importlib.util.spec_from_file_location("nightly", ROOT / ".github" / "nightly.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nightly = load_nightly()

# What a night was

PASSED = "<testcase name='a'/>"
MISSED = "<testcase name='b'><failure message='Failed: table2/x missed: below it'/></testcase>"
RAISED = "<testcase name='c'><failure message='RuntimeError: out of memory'/></testcase>"
NO_SETUP = "<testcase name='d'><error message='failed on setup with a fixture'/></testcase>"
SKIPPED = "<testcase name='e'><skipped message='Failed: no'/></testcase>"


def changes(*rows: dict[str, object]) -> str:
    """What smallnet compare --json writes, as far as it is read."""
    row = {
        "row": "table2/a|b", "change": "regression", "kind": "accuracy", "unit": "%",
        "old": 90.0, "new": 88.75, "effect": -1.25, "note": "",
    }  # fmt: skip
    old = {"commit": "0" * 40, "datetime": "2026-11-01T01:17:00"}
    new = {"commit": "f" * 40, "datetime": "2026-11-02T01:17:00"}
    return json.dumps({"old": old, "new": new, "rows": [{**row, **own} for own in rows]})


NONE, SOME = changes({"change": "unchanged"}), changes({})
UNTRAINED = {"kind": "none", "new": None, "effect": None, "note": "no longer measured; 40 minutes"}
GONE = {"new": None, "effect": None, "note": "gone"}


def outcome(folder: Path, status: int | None, cases: str | None, compared: str | None) -> str:
    for name, text in (("junit.xml", cases), ("changes.json", compared)):
        if text is not None:
            (folder / name).write_text(text)
    found: str = nightly.outcome(status, folder / "junit.xml", folder / "changes.json")[0]
    return found


def suite(*cases: str) -> str:
    return f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"


@pytest.mark.parametrize(
    ("status", "cases", "compared", "expected"),
    [
        (0, suite(PASSED, SKIPPED), NONE, "good"),
        (0, suite(PASSED), SOME, "regression"),  # --fail-on nothing
        (1, suite(PASSED), SOME, "regression"),
        (1, suite(PASSED, MISSED), SOME, "regression"),
        (1, suite(PASSED, MISSED), NONE, "good"),  # missed in the reference, too
        (1, suite(PASSED), NONE, "broken"),  # it crashed after the last test
        (1, suite(PASSED), changes(UNTRAINED), "broken"),  # its training failed
        (1, suite(PASSED), changes(GONE), "broken"),
        (1, suite(PASSED), changes(UNTRAINED, GONE, {}), "regression"),
        (1, suite(MISSED, RAISED), SOME, "broken"),
        (1, suite(PASSED, NO_SETUP), SOME, "broken"),
        (0, suite(), NONE, "broken"),
        *((status, suite(PASSED, MISSED), SOME, "broken") for status in (2, 3, 4, 5, 137, None)),
        *((1, cases, SOME, "broken") for cases in (None, "", "<testsuites><testca")),
        *((1, suite(MISSED), text, "broken") for text in (None, "", "{}", '{"rows"')),
    ],
)
def test_only_what_was_measured_is_a_regression_or_none(
    status: int | None, cases: str | None, compared: str | None, expected: str, tmp_path: Path
) -> None:
    assert outcome(tmp_path, status, cases, compared) == expected


def test_what_there_is_nothing_to_compare_with_is_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "junit.xml"
    where = ("--report", str(tmp_path / "none"), "--summary", str(tmp_path / "summary.md"))
    for status, cases in (("1", suite(PASSED, MISSED)), ("1", suite(PASSED)), ("4", suite(MISSED))):
        junit.write_text(cases)
        nightly.main(["outcome", "--status", status, "--junit", str(junit), *where])
    assert capsys.readouterr().out == "uncompared\nbroken\nbroken\n"


@pytest.mark.parametrize(
    ("cases", "compared", "first"),
    [
        (
            suite(MISSED),
            changes(
                {},
                {"row": "latency/x", "kind": "rounds", "unit": "ms", "effect": 31.5},
                {"row": "size", "kind": "count", "unit": "B", "new": 7014.0, "effect": 6924.0},
            ),
            "Worse since 000000000000 (2026-11-01), measured at ffffffffffff (2026-11-02): "
            "3 of 3 rows.\n\n"
            "| row | before | now | change | note |\n"
            "| --- | ---: | ---: | ---: | --- |\n"
            "| size | 90 B | 7,014 B | +6,924 B |  |\n"
            "| latency/x | 90.00 ms | 88.75 ms | +31.50 % |  |\n"
            "| table2/a&#124;b | 90.00 % | 88.75 % | -1.25 points |  |\n",
        ),
        (suite(MISSED, RAISED), SOME, "- `c`: RuntimeError: out of memory\n"),
        (suite(PASSED), changes(UNTRAINED), "- `table2/a|b`: no longer measured; 40 minutes\n"),
    ],
)
def test_a_summary_begins_with_what_is_worse_or_what_broke(
    cases: str, compared: str, first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junit.xml").write_text(cases)
    (tmp_path / "changes.json").write_text(compared)
    report = tmp_path / "report"
    report.mkdir()
    (report / "2026-11-02-f.md").write_text("# smallnet: a night\n")
    (report / "README.md").write_text("the index")
    names = {"junit": "junit.xml", "changes": "changes.json", "report": "report"}
    given = [part for option, name in names.items() for part in (f"--{option}", tmp_path / name)]
    written = tmp_path / "out" / "summary.md"
    nightly.main(["outcome", "--status", "1", *map(str, given), "--summary", str(written)])
    heading = nightly.HEADINGS[capsys.readouterr().out.strip()]
    assert written.read_text() == f"# {heading}\n\n{first}\n# smallnet: a night\n\n"


INNER = """
import pytest
from smallnet_core.claims import CLAIMS
from smallnet_core.records import Measurement

@pytest.mark.parametrize("claim_id", ["table2/resnet18_s-adabound"])
def test_claim(claim_id, judge, benchmark):
    value = benchmark.pedantic(lambda: {value}, rounds=1, iterations=1)
    judge(CLAIMS[claim_id], Measurement(values=(value,), unit="%", num_images=10_000))
"""


@pytest.mark.parametrize(("value", "expected"), [("10.0", "regression"), ("1 / 0", "broken")])
def test_pytest_writes_a_miss_and_a_broken_test_as_they_are_told_apart(
    value: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "test_inner.py").write_text(INNER.format(value=value))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    own = ["-p", "smallnet_core.plugin", "-p", "no:cacheprovider", "--junit-xml=junit.xml"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *own, "test_inner.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert outcome(tmp_path, done.returncode, None, SOME) == expected


# Whom it is told

Calls = list[tuple[str, ...]]


@pytest.fixture
def gh(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Calls]:
    """Puts in a gh that lists what is given; returns what it is asked for from then on."""

    def put(listed: str) -> Calls:
        calls: Calls = []

        def called(*arguments: str, text: str | None = None) -> str:
            is_list = arguments[1] == "list" or "--paginate" in arguments
            if not is_list:
                calls.append((*arguments, text or ""))
            return listed if is_list else ""

        monkeypatch.setattr(nightly, "gh", called)
        return calls

    return put


@pytest.mark.parametrize(
    ("outcome", "compared", "numbers", "expected"),
    [
        ("regression", SOME, [], ["label create", "issue create"]),
        ("regression", SOME, [7], ["issue edit"]),
        ("good", NONE, [7], ["issue close"]),
        ("good", changes({"row": "another", "change": "undecided"}), [7], ["issue close"]),
        ("good", changes({"change": "undecided"}), [7], []),  # is it still so?
        ("good", NONE, [], []),
        *((name, None, own, []) for name in ("broken", "uncompared") for own in ([], [7])),
        ("", None, [7], []),  # the job that measures broke before it could say so
    ],
)
def test_one_issue_is_opened_updated_and_closed_and_left_where_nothing_is_known(
    outcome: str,
    compared: str | None,
    numbers: list[int],
    expected: list[str],
    gh: Callable[[str], Calls],
    tmp_path: Path,
) -> None:
    listed = (
        "First seen at 0 by [this run](url)\r\n\r\n| row |\n| --- |\n| table2/a&#124;b | 90 % |\n"
        "\n# smallnet: a night\n\n| another | 1 |\n"
    )
    calls = gh(json.dumps([{"number": number, "body": listed} for number in numbers]))
    if compared is not None:
        (tmp_path / "changes.json").write_text(compared)
    (tmp_path / "summary.md").write_text("a table\n" + "é" * 70_000)
    where = ("--summary", str(tmp_path / "summary.md"), "--url", "https://run")
    read = ("--changes", str(tmp_path / "changes.json"))
    nightly.main(["issue", "--outcome", outcome, *where, *read])
    assert [" ".join(call[:2]) for call in calls] == expected
    if expected and outcome == "regression":
        text = calls[-1][-1]
        assert "https://run" in text and "a table" in text and len(text.encode()) < 65_536
        assert numbers == [] or "7" in calls[-1]
        first = "0 by [this run](url)" if numbers else f"{'f' * 40} by [this run](https://run)"
        assert f"\nFirst seen at {first}\n" in text


@pytest.mark.parametrize(
    ("listed", "method", "place"),
    [("", "POST", "issues/12/comments"), ("34\n56\n", "PATCH", "issues/comments/34")],
)
def test_a_pull_request_has_one_comment_that_is_written_anew(
    listed: str, method: str, place: str, gh: Callable[[str], Calls], tmp_path: Path
) -> None:
    calls = gh(listed)
    where = ("--summary", str(tmp_path / "none.md"), "--url", "https://run")
    nightly.main(["comment", "--pull", "12", "--outcome", "", *where])
    [call] = calls
    assert method in call and any(part.endswith(place) for part in call)
    assert nightly.HEADINGS["broken"] in json.loads(call[-1])["body"]


# What the files say


def load(path: Path) -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the extra dev, is not installed")
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def commands(path: Path) -> list[str]:
    """Every command of a workflow's scripts, a line each."""
    steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
    scripts = [step["run"].replace("\\\n", " ") for step in steps if "run" in step]
    return [line for script in scripts for line in re.split(r"\n|&&|\|\|?|;", script)]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in WORKFLOWS])
def test_a_workflow_has_least_rights_a_time_limit_and_one_run_at_a_time(path: Path) -> None:
    found = load(path)
    assert found["permissions"] in ({}, {"contents": "read"})
    assert "group" in found["concurrency"]
    triggers = found[True]  # what YAML 1.1 reads "on" as
    for job in found["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 420
        assert not ("self-hosted" in job["runs-on"] and "pull_request" in triggers)
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/a@v1"))
            assert "${{" not in step.get("run", ""), "a script takes what is given by env"


@functools.cache
def options_of(*command: str) -> set[str]:
    """The options that a command's help lists."""
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[a-z][a-z-]*", done.stdout))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in WORKFLOWS])
def test_every_command_of_a_workflow_exists_with_its_options(path: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    checked = 0
    for command in commands(path):
        options = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", command))
        if make := re.search(r"\bmake (\S+)", command):
            assert make[1] in targets
        elif smallnet := re.search(r"(?:^|[\s/])smallnet (reference \w+|[a-z]+)", command):
            assert options <= options_of("-m", "smallnet_core.cli", *smallnet[1].split()), command
        elif "-m pytest" in command:
            assert options <= options_of("-m", "pytest"), command
            assert (ROOT / "benchmarks").is_dir() and "pytest benchmarks" in command
        elif script := re.search(r"(\.github/nightly\.py) (\w+)", command):
            assert options <= options_of(*script.groups()), command
        else:
            continue
        checked += 1
    assert checked
