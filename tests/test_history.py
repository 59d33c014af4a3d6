"""What changed over many runs; and how often comparing is right, in simulated runs."""

from __future__ import annotations

import numpy as np
import pytest

from smallnet_core.runs.compare import compare
from smallnet_core.runs.history import history
from smallnet_core.runs.rows import Change, ComparisonError, Thresholds
from studies.compare_power import (
    Accuracy,
    Times,
    alarms_of_history,
    alarms_of_pair,
    document,
    main,
)
from tests.saved import changed, one, timed


def test_a_history_names_the_step() -> None:
    percents = (92.0, 92.1, 80.0, 80.1)
    files = [one((p,), k) for k, p in enumerate(percents)]
    [line] = history(files[::-1]).lines  # in the order of their times
    assert line.values == percents and line.steps == (2,) and line.changes == (Change.REGRESSION,)


def test_the_steps_of_a_short_history_share_its_level() -> None:
    files = [one((p,) * 3, k) for k, p in enumerate((92.0, 92.0, 91.63, 91.63))]
    assert compare(files[0], files[2]).rows[0].change is Change.REGRESSION
    assert not history(files).lines[0].steps


def test_a_long_history_learns_what_runs_differ_by() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 24)
    files = [one((92 + n - (k >= 15),), k) for k, n in enumerate(noise)]
    [line] = history(files).lines
    assert line.changes == (Change.REGRESSION,) and abs(line.steps[0] - 15) <= 1
    assert not history(files, thresholds=Thresholds(claims={"*": 3.0})).lines[0].steps
    assert not history([one((92 + 4 * n,), k) for k, n in enumerate(noise)]).lines[0].steps


def test_times_of_another_machine_are_no_step() -> None:
    files = [timed(1 + k // 6, run=k) for k in range(12)]
    moved = [changed(file, {"machine_info.node": "elsewhere"}) for file in files[6:]]
    assert not history(files[:6] + moved).lines[0].steps
    assert history(files[:6] + moved, across_machines=True).lines[0].steps == (6,)


def test_a_history_refuses_a_file_of_another_size() -> None:
    with pytest.raises(ComparisonError, match="10000 images"):
        history([one((92.0,), 0), document([[np.ones(500, bool)]], [], 1)])


# The simulation, short: the full one is in reports/


@pytest.mark.parametrize(
    "truth",
    [
        Accuracy(deviation=0.8),
        Accuracy(deviation=0.5, num_seeds=5),
        Times(common=0.05, correlation=0.9, neighbour=1.0),
        Times(neighbour=1.0, referred=False),
    ],
)
def test_runs_that_do_not_differ_raise_few_alarms(truth: Accuracy | Times) -> None:
    generator = np.random.default_rng(1)
    assert sum(alarms_of_pair(truth, 0.0, generator) for _ in range(60)) <= 8  # of 5 at most


def test_what_is_worse_is_found() -> None:
    generator = np.random.default_rng(1)
    assert sum(alarms_of_pair(Times(), 30.0, generator) for _ in range(30)) >= 24
    five = Accuracy(num_seeds=5)
    assert sum(alarms_of_pair(five, 1.0, generator) for _ in range(30)) >= 24


def test_thirty_nights_without_a_step_have_none() -> None:
    generator = np.random.default_rng(1)
    times = Times(common=0.05, neighbour=0.3)
    assert sum(alarms_of_history(times, 0.0, generator) for _ in range(8)) <= 1
    assert alarms_of_history(times, 30.0, generator)


def test_a_single_setting_of_the_study_is_drawn_by_its_name(tmp_path, capsys) -> None:
    assert main([str(tmp_path), "--only=1 point, 5 seeds*", "--pairs=1"]) == 0
    [row] = [line for line in (tmp_path / "power.md").read_text().splitlines() if "seeds" in line]
    assert row.startswith("| 1 point, 5 seeds, deviation 0.3 |") and "| 1 | 29 |" in row
