"""smallnet accept, and what compare makes of it; smallnet compare --bisect beside git."""

from __future__ import annotations

import datetime
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.cli import main
from smallnet_core.runs import accepted
from smallnet_core.runs import compare as comparing
from smallnet_core.runs.accepted import Accepted, read_accepted
from smallnet_core.runs.file import read_run_file
from smallnet_core.runs.rows import Change, Thresholds
from tests.saved import changed, one, only, saved, timed

CLAIM = "table2/resnet18_s-sgdm"


def git(folder, *args):
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", *own, *args]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def saved_at(path, percent, commit, run):
    """A run of three seeds at a commit."""
    places = {"smallnet.rows.0.claim": CLAIM, "commit_info.id": commit}
    return saved(changed(one((percent, percent + 0.05, percent + 0.1), run), places), path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository of four commits, of which the second costs two points, and a run of each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GIT_DIR", raising=False)
    git(tmp_path, "init", "-q")
    commits, runs = [], []
    for k, percent in enumerate((92.0, 90.0, 89.9, 85.0)):
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", str(k))
        commits.append(git(tmp_path, "rev-parse", "HEAD").strip())
        runs.append(saved_at(tmp_path / f"{k}.json", percent, commits[-1], k))
    return commits, runs


def accept(commit, *options):
    return main(["accept", CLAIM, f"--commit={commit}", "--reason=half the memory", *options])


def compare(*runs):
    return main(["compare", *runs, "--fail-on=regression"])


def test_a_change_that_is_accepted_is_shown_with_its_reason_and_does_not_fail(project, capsys):
    commits, runs = project
    assert compare(*runs[:2]) == 1
    assert accept("HEAD~2", f"--run={runs[1]}", "--until=2999-12-31") == 0
    [entry] = read_accepted(Path("reports/accepted.toml"))
    assert (entry.commit, entry.value) == (commits[1], pytest.approx(90.05))
    capsys.readouterr()
    assert compare(*runs[:2]) == 0
    printed = capsys.readouterr().out
    assert "Accepted: 1" in printed and "accepted (half the memory)" in printed
    assert main(["compare", runs[0], runs[1], "--fail-on=change"]) == 0
    assert compare(runs[0], runs[2]) == 0
    assert compare(*runs[:3]) == 0  # a history


def test_it_is_that_change_alone_and_nothing_worse(project, capsys):
    _, runs = project
    assert accept("HEAD~2", f"--run={runs[1]}") == 0
    assert compare(runs[0], runs[3]) == 1
    assert "worse than the accepted 90.05" in capsys.readouterr().out
    assert compare(runs[2], runs[3]) == 1  # both have the commit
    assert compare(runs[1], runs[0]) == 0
    assert compare(*runs) == 1


@pytest.mark.parametrize(
    ("claim", "options", "status"),
    [
        (CLAIM, ["--commit=HEAD"], 1),  # a later commit
        ("table2/resnet18_s-adam", ["--commit=HEAD~2"], 1),  # another row
        (CLAIM, ["--commit=HEAD~2", "--until=2020-01-01"], 1),
        (CLAIM, ["--commit=HEAD~2", f"--until={datetime.date.today()}"], 0),  # the last day
    ],
)
def test_only_that_row_is_accepted_from_that_commit_until_that_day(project, claim, options, status):
    _, runs = project
    assert main(["accept", claim, "--reason=a", *options]) == 0
    assert compare(*runs[:2]) == status
    assert compare(*runs[:3]) == status  # a history


def levels(*percents):
    return [
        changed(one((p, p + 0.05, p + 0.1), k), {"smallnet.rows.0.claim": CLAIM})
        for k, p in enumerate(percents)
    ]


@pytest.mark.parametrize(
    ("runs", "value", "change"),
    [
        (levels(92.0, 88.0), 85.0, Change.ACCEPTED),  # better than was accepted
        (levels(92.0, 88.0), 90.0, Change.ACCEPTED),  # worse, by less than the threshold
        (levels(92.0, 88.0), 91.5, Change.REGRESSION),
        ([timed(1), timed(2, run=1)], 1900 * math.exp(-5), Change.ACCEPTED),  # 5 %
        ([timed(1), timed(2, run=1)], 1000 * math.exp(-5), Change.REGRESSION),  # 7 ms, 100 %
    ],
)
def test_what_is_accepted_is_as_bad_as_it_became_then(runs, value, change):
    found = comparing.compare(*runs, thresholds=Thresholds(claims={"table2/*": 3.0}))
    label = only(found).label
    entry = Accepted(claim=label, commit=f"{1:040x}", reason="a", value=value)
    assert only(accepted.accept(found, [entry])).change is change


def test_what_is_gone_stays_accepted_when_later_runs_join_the_reference(project, tmp_path):
    """A reference keeps its row, and is of a later commit than the entry then."""
    _, runs = project
    run = read_run_file(Path(runs[2]))
    rows = [*run.rows, {**run.rows[0], "claim": "table2/resnet18_s-adam"}]
    old, new = (
        saved(changed(run, {"smallnet.rows": some}), tmp_path / f"{len(some)}.json")
        for some in (rows, rows[1:])
    )
    assert compare(old, new) == 1
    assert accept("HEAD~2") == 0
    assert compare(old, new) == 0


def test_without_a_value_the_first_stored_run_with_the_commit_tells(project):
    commits, runs = project
    assert accept(commits[1]) == 0
    assert compare(runs[0], runs[3]) == 0  # nothing is known of what it was
    storage = Path(".benchmarks/machine")
    for k, percent in enumerate((92.0, 90.0)):
        saved_at(storage / f"000{k}_run.json", percent, commits[k], k)
    assert compare(runs[0], runs[3]) == 1 and compare(runs[0], runs[2]) == 0


def test_a_commit_that_git_does_not_know_is_taken_at_its_word(project):
    _, runs = project
    assert accept("0123abc") == 0
    assert compare(*runs[:2]) == 0


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([CLAIM, "--commit=HEAD", "--until=tomorrow"], "until"),
        ([CLAIM, "--commit=HEAD", "--run=none.json"], "none.json: cannot be read"),
        ([CLAIM, "--commit=HEAD", "--run=0.json"], "0.json: was made without commit"),
        ([CLAIM, "--commit=no such branch"], "git knows no such commit"),
        ([CLAIM, "--commit=--help"], "git knows no such commit"),
        (["table2/resnet18_s-sgmd", "--commit=HEAD"], "is it table2/resnet18_s-sgdm?"),
    ],
)
def test_what_cannot_be_accepted_is_a_line_and_exit_2(project, capsys, args, expected):
    assert main(["accept", *args, "--reason=a"]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert not Path("reports").exists()


ENTRY = f'[[accepted]]\nclaim = "{CLAIM}"\nreason = "a"\n'
BAD = [
    "[[accepted",
    "accepted = 5",
    "[[accepted]]\n",
    f'{ENTRY}commit = "0123abc"\nuntil = "soon"\n',
    f'{ENTRY}commit = "0123abc"\nvalue = nan\n',
    f'{ENTRY}commit = "--all"\n',
    '[[accepted]]\nclaim = "table9/none"\ncommit = "0123abc"\nreason = "a"\n',
    "a = " + "[" * 5000,
    "unknown = 1",
]


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_file_that_is_none_is_a_line_and_exit_2(project, capsys, tmp_path, text):
    path = tmp_path / "reports" / "accepted.toml"
    path.parent.mkdir()
    path.write_text(text)
    assert compare(*project[1][:2]) == 2
    error = capsys.readouterr().err
    assert "accepted.toml: " in error and error.count("\n") == 1
    assert accept("HEAD") == 2 and path.read_text() == text


def test_what_is_written_by_hand_stays(project, tmp_path, capsys):
    path = tmp_path / "reports" / "accepted.toml"
    path.parent.mkdir()
    path.write_text(f'# ours\n{ENTRY}commit = "{project[0][1]}"\nuntil = 2020-01-01\n')
    assert compare(*project[1][:2]) == 1
    assert "was accepted until 2020-01-01" in capsys.readouterr().out
    assert accept("HEAD~2") == 0
    assert path.read_text().startswith("# ours\n") and compare(*project[1][:2]) == 0


@settings(deadline=None, max_examples=25)
@given(st.text(max_size=20))
def test_any_reason_comes_back_from_the_file_or_is_refused(tmp_path_factory, reason):
    path = tmp_path_factory.mktemp("accepted") / "a.toml"
    options = ["--commit=0123abc", f"--file={path}", "--reason", f"a{reason}"]
    if main(["accept", CLAIM, *options]) == 0:
        [entry] = read_accepted(path)
        assert "\x1b" not in entry.reason and "\x7f" not in entry.reason


def test_git_bisect_finds_the_commit_by_saved_runs(tmp_path):
    """As in ``smallnet compare --help``, with runs that the commits have instead of measuring."""
    good = saved_at(tmp_path / "good.json", 92.0, "", 0)
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q")
    for k in range(8):
        if k == 5:
            (project / "run.json").unlink()  # a commit whose benchmarks crash
        else:
            saved_at(project / "run.json", 92.0 if k < 4 else 88.0, f"{k:040x}", k)
        git(project, "add", "-A")
        git(project, "commit", "-q", "-m", f"commit {k}")
    git(project, "bisect", "start", "HEAD", "HEAD~7")
    command = f"{sys.executable} -m smallnet_core.cli compare {good} run.json --bisect {CLAIM}"
    found = git(project, "bisect", "run", "sh", "-c", command)
    assert "first bad commit" in found and "commit 4" in found.split("first bad commit")[1]


def test_bisect_skips_what_cannot_be_judged(project, capsys, tmp_path):
    _, runs = project
    undecided = [saved(one((p,), k), tmp_path / f"{p}.json") for k, p in enumerate((92.0, 90.5))]
    assert main(["compare", *undecided, "--bisect=simulated/net0"]) == 125
    assert main(["compare", runs[0], "none.json", f"--bisect={CLAIM}"]) == 125
    assert main(["compare", *runs, f"--bisect={CLAIM}"]) == 125
    assert main(["compare", runs[0], runs[1], "--bisect=table9/none"]) == 125
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and "table9/none: neither run has this row" in lines[-1]
