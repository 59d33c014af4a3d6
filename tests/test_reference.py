"""smallnet_core.runs.reference: what several runs found, kept and compared with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.cli import main
from smallnet_core.runs.compare import compare
from smallnet_core.runs.file import read_run_file
from smallnet_core.runs.reference import MOST, path_of, update
from smallnet_core.runs.rows import Change
from studies.compare_power import NUM_IMAGES, Times, document
from tests.saved import SCHEMA_2, changed, one, saved

EARLIER = [one((p,), k) for k, p in enumerate((92.0, 92.1, 91.9, 92.05, 91.95, 92.0))]


def test_a_reference_grows_with_each_update_and_later_runs_are_held_to_it(tmp_path, capsys):
    folder = f"--folder={tmp_path / 'reference'}"
    for k, run in enumerate(EARLIER):
        path = saved(run, tmp_path / f"{k}.json")
        assert main(["reference", "update", path, folder]) == 0
    assert main(["reference", "update", path, folder]) == 0  # what it has, once
    gpu = saved(changed(run, {"machine_info.smallnet.device": "cuda:0"}), tmp_path / "gpu.json")
    assert main(["reference", "update", gpu, path, folder]) == 0  # each in its own file
    assert main(["reference", "show", folder]) == 0
    printed = capsys.readouterr().out
    assert (
        "simulated/net0: 92 %, deviation 0.0707, n 6 (2026-01-01T00:00:00 000000000000" in printed
    )
    path, other = sorted((tmp_path / "reference").iterdir())
    assert (path.name, other.name) == ("simulated-cpu.json", "simulated-cuda-0.json")
    assert [row["n"] for p in (path, other) for row in read_run_file(p).learnt] == [6, 1]
    new = one((91.0,), 10)
    assert compare(EARLIER[-1], new).rows[0].change is not Change.REGRESSION
    [row] = compare(read_run_file(path), new).rows
    assert row.change is Change.REGRESSION and row.effect == pytest.approx(-1.0)
    command = ["compare", str(path), saved(new, tmp_path / "new.json"), "--fail-on=regression"]
    assert main(command) == 1


def test_a_run_of_a_part_leaves_the_rest_in_the_reference(tmp_path):
    answers = [np.arange(NUM_IMAGES) < 9000]
    whole, part = document([answers, answers], [[0.01]], 0), document([answers], [], 1)
    reference = update([whole, part], tmp_path / "a.json")
    assert len(reference.rows) == 3 and len(list(reference.rounds)) == 1
    assert not compare(reference, whole).of(Change.GONE, Change.NEW)


def test_a_later_run_that_did_not_measure_a_claim_adds_no_row_of_it(tmp_path):
    fields = {"measured": None, "values": [], "fingerprints": [], "seeds": [], "device": None}
    row = {**EARLIER[1].rows[0], **fields, "verdict": "not measured"}
    dark = changed(EARLIER[1], {"smallnet.rows": [row], "smallnet.runs": []})
    reference = update([EARLIER[0], dark], tmp_path / "a.json")
    assert [row["measured"] for row in reference.rows] == [92.0]
    assert update([dark], tmp_path / "b.json").rows[0]["measured"] is None


@pytest.mark.parametrize(
    ("place", "value", "number"), [("optimizer.name", "adam", 1), ("seed", 5, 7)]
)
def test_values_are_pooled_over_seeds_and_not_over_recipes(tmp_path, place, value, number):
    other = changed(one((92.0,), 9), {f"smallnet.runs.0.recipe.{place}": value})
    [row] = update([*EARLIER, other], tmp_path / "a.json").learnt
    assert row["mean"] == pytest.approx(92.0) and row["n"] == number


def test_two_kinds_of_recipe_stay_beside_each_other(tmp_path):
    places = {
        "smallnet.rows.0.recipe": "paper",
        "smallnet.rows.0.fingerprints": ["p"],
        "smallnet.runs.0.recipe.kind": "paper",
        "smallnet.runs.0.fingerprint": "p",
    }
    paper = changed(one((80.0,), 9), places)
    reference = update([*EARLIER, paper], tmp_path / "a.json")
    assert sorted(row["mean"] for row in reference.learnt) == pytest.approx([80.0, 92.0])
    for run, change in ((paper, Change.UNCHANGED), (one((91.0,), 10), Change.REGRESSION)):
        [row] = compare(reference, run).rows
        assert row.change is change


def test_a_network_that_was_trained_anew_takes_its_older_rows_along(tmp_path):
    """They would not agree with it."""
    older = changed(EARLIER[0], {"smallnet.rows.0.claim": "simulated/other"})
    reference = update([older, EARLIER[1]], tmp_path / "a.json")
    assert [row["claim"] for row in reference.rows] == ["simulated/net0"]


def test_times_are_pooled_of_one_machine_and_only_the_newest_of_them(tmp_path):
    generator = np.random.default_rng(0)
    runs = [Times(num_timings=1).draw(k, 0.0, generator) for k in range(MOST + 3)]
    [row] = update(runs, tmp_path / "a.json").learnt
    assert row["n"] == MOST and row["mean"] == pytest.approx(5, rel=0.1) and row["unit"] == "ms"
    assert [one["run"][:19] for one in row["values"]] == [run.datetime[:19] for run in runs[3:]]

    run = Times(num_timings=1).draw(MOST + 3, 0.0, generator)
    moved = changed(run, {"machine_info.smallnet.memory_gib": 1.0})
    [row] = update([*runs, moved], tmp_path / "a.json").learnt
    assert row["n"] == 1
    assert path_of(runs[0], tmp_path) == tmp_path / "simulated-cpu.json"


def test_a_real_run_becomes_a_reference_of_itself(tmp_path):
    reference = update([read_run_file(SCHEMA_2)], tmp_path / "a.json")
    assert read_run_file(reference.path).document == reference.document
    comparison = compare(reference, read_run_file(SCHEMA_2), across_machines=True)
    assert set(comparison.counts) <= {Change.UNCHANGED, Change.SIMILAR}
    assert len(reference.learnt) > 5


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_what_is_no_reference_is_a_line_and_exit_2(text, tmp_path, capsys):
    run = saved(EARLIER[0], tmp_path / "run.json")
    assert main(["reference", "show", f"--folder={tmp_path / 'none'}"]) == 2
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / "simulated-cpu.json").write_text(text)
    for action in (["show"], ["update", run]):
        assert main(["reference", *action, f"--folder={folder}"]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "simulated-cpu.json: " in line
    assert (folder / "simulated-cpu.json").read_text() == text


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@settings(deadline=None, max_examples=60)
@given(st.data(), ANYTHING)
def test_whatever_is_done_to_a_reference_it_is_compared_or_refused(tmp_path_factory, data, value):
    path = tmp_path_factory.mktemp("reference") / "a.json"
    reference = update(EARLIER[:1], path)
    [row] = reference.learnt
    places = [*row, *(f"values.0.{name}" for name in row["values"][0])]
    place = data.draw(st.sampled_from(places))
    try:
        reference = changed(reference, {f"smallnet.learnt.0.{place}": value})
        compare(reference, EARLIER[1])
        update([reference, EARLIER[2]], path)
    except ValueError:
        return
