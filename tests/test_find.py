"""smallnet_core.runs.find: what a name of saved runs stands for."""

from __future__ import annotations

import pytest

from smallnet_core.cli import main
from smallnet_core.runs import find
from smallnet_core.runs.file import RunFileError
from smallnet_core.runs.find import find_run, find_runs
from tests.saved import one, saved

PERCENTS = (92.0, 92.1, 80.0, 80.1)


@pytest.fixture
def storage(tmp_path):
    """Four runs, as pytest-benchmark stores them; by time, not by the order of their names."""
    folder = tmp_path / ".benchmarks" / "Linux-CPython-3.11-64bit"
    for k, percent in enumerate(PERCENTS):
        saved(one((percent,), k), folder / f"000{k + 1}_{'dcba'[k]}.json")
    return folder.parent


def accuracies(runs):
    return [run.rows[0]["measured"] for run in runs]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["latest"], [80.0, 80.1]),
        (["latest~2"], [92.0, 92.1]),
        (["latest~3"], [92.0]),  # the first, with none before it
        (["0003"], [92.1, 80.0]),
        (["latest~1", "0001"], [80.0, 92.0]),
    ],
)
def test_a_stored_run_is_named_by_number_or_age(storage, names, expected):
    assert accuracies(find_runs(names, str(storage))[0]) == expected
    assert accuracies(find_runs(names, f"file://{storage}")[0]) == expected


def test_a_folder_is_all_runs_in_it_by_time_but_for_what_is_none(storage, capsys):
    (storage / "package.json").write_text("{}")
    (storage / "cut.json").write_text('{"a": ')
    runs, left_out = find_runs([str(storage)])
    assert accuracies(runs) == list(PERCENTS) and len(left_out) == 2
    assert main(["compare", str(storage)]) == 0
    printed = capsys.readouterr().out
    assert "92.00 92.10 [80.00 worse] 80.10" in printed and "cut.json: broken JSON" in printed


def test_without_a_name_for_the_storage_it_is_pytest_benchmarks_own(storage, monkeypatch, capsys):
    monkeypatch.chdir(storage.parent)
    assert main(["compare", "latest~2", "latest", "--fail-on=regression"]) == 1
    assert main(["compare", "latest", "--fail-on=regression"]) == 0
    (storage.parent / "latest").write_bytes(next(storage.rglob("0001_*")).read_bytes())
    assert accuracies(find_run("latest")[0]) == [92.0]  # a file of that name comes first


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0009"], "0009: .* has no such run"),
        (["latest~4"], "latest~4: .* has no such run"),
        (["earliest"], "earliest: cannot be read"),
        (["~no-user/run.json"], "~no-user/run.json: cannot be read"),
        (["-", "-"], "standard input can be read only once"),
        ([""], "has no saved run"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(storage, tmp_path, monkeypatch, names, expected):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(RunFileError, match=expected):
        find_runs(names, str(storage))


def test_the_newest_of_many_is_found_without_reading_all(storage, monkeypatch):
    other = storage / "Darwin"
    other.mkdir()
    (other / "0007_x.json").write_bytes(next(storage.rglob("0003_*")).read_bytes())
    read = []
    real = find.read_run_file
    monkeypatch.setattr(find, "read_run_file", lambda path: read.append(path) or real(path))
    assert accuracies(find_run("latest", str(storage))[0]) == [80.1]
    assert [path.name[:4] for path in read] == ["0007", "0004"]  # the newest of each machine


def test_a_number_of_two_machines_asks_for_one_of_them(storage):
    other = storage / "another"
    other.mkdir()
    (other / "0001_x.json").write_bytes(next(storage.rglob("0001_*")).read_bytes())
    with pytest.raises(RunFileError, match=r"0001: is in .* and .*--storage"):
        find_run("0001", str(storage))
    assert accuracies(find_run("0001", str(other))[0]) == [92.0]
