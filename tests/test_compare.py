"""Comparing, its reports and its command: what changed is said, and nothing else is."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.cli import main, read_thresholds
from smallnet_core.report import compare as compare_report
from smallnet_core.runs.compare import (
    Change,
    Comparison,
    ComparisonError,
    RowComparison,
    Thresholds,
    compare,

)
from smallnet_core.runs.file import RunFile, check_document, read_run_file
from smallnet_core.runs.history import history
from smallnet_core.studies.compare_power import document

FILES = Path(__file__).parent / "files"
SCHEMA_1, SCHEMA_2 = FILES / "run-schema-1.json", FILES / "run-schema-2.json"
NUM_IMAGES = 10_000
TABLE_2 = "table2/resnet18_s-adabound"


def right(percent: float, seed: int = 0, flipped: float = 0.0) -> np.ndarray:
    """Answers of which so many are right, and so many points of them at other images."""
    answers = np.zeros(NUM_IMAGES, bool)
    answers[: round(percent * NUM_IMAGES / 100)] = True
    count = round(flipped * NUM_IMAGES / 100)
    generator = np.random.default_rng(seed)
    lost = generator.choice(np.flatnonzero(answers), count, replace=False)
    gained = generator.choice(np.flatnonzero(~answers), count, replace=False)
    answers[lost], answers[gained] = False, True
    return answers


def only(comparison: Comparison) -> RowComparison:
    [row] = comparison.rows
    return row


def file(changes: dict[str, Any] | None = None, source: Path = SCHEMA_2) -> RunFile:
    """The stored run, with fields of its rows changed, by claim."""
    found = json.loads(source.read_text())
    for row in found["smallnet"]["rows"]:
        if row["claim"] is not None:
            row.update((changes or {}).get(row["claim"], {}))
    return RunFile(path=source, document=check_document(found))


def by_label(comparison: Comparison) -> dict[str, RowComparison]:
    return {row.label: row for row in comparison.rows}


# Accuracy


def test_nothing_changes_from_a_run_to_itself() -> None:
    for path in (SCHEMA_1, SCHEMA_2):
        comparison = compare(read_run_file(path), read_run_file(path))
        assert set(comparison.counts) <= {Change.UNCHANGED, Change.SIMILAR}
        assert all(not row.effect for row in comparison.rows)
        assert len(comparison.rows) > 60


def test_a_file_of_schema_1_compares_with_its_like_of_schema_2() -> None:
    comparison = compare(read_run_file(SCHEMA_1), read_run_file(SCHEMA_2))
    assert not comparison.of(Change.REGRESSION, Change.IMPROVEMENT, Change.GONE, Change.NEW)


def test_one_seed_has_to_fall_further_than_seeds_do() -> None:
    """McNemar's test alone would call 0.8 points a change of the recipe."""
    old = document([[right(92.0)]], [], 0)
    near = only(compare(old, document([[right(91.2, 1, 3.0)]], [], 1)))
    assert near.change is Change.SIMILAR and near.test is not None
    assert "McNemar" in near.test.method and "one seed each" in near.note
    far = only(compare(old, document([[right(90.0, 1, 3.0)]], [], 1)))
    assert far.change is Change.REGRESSION
    assert far.effect == pytest.approx(-2.0)
    assert far.interval is not None and far.interval[0] < -2.0 < far.interval[1] < 0
    better = only(compare(document([[right(90.0, 1, 3.0)]], [], 1), old))
    assert better.change is Change.IMPROVEMENT and better.effect == pytest.approx(2.0)


def test_more_seeds_tell_smaller_changes() -> None:
    percents = (92.0, 92.2, 91.9, 92.1, 92.0)
    old = document([[right(p, k, 3.0) for k, p in enumerate(percents)]], [], 0)
    new = document([[right(p - 0.8, k + 9, 3.0) for k, p in enumerate(percents)]], [], 1)
    row = only(compare(old, new))
    assert row.change is Change.REGRESSION
    assert row.effect == pytest.approx(-0.8)
    assert row.test is not None and "Welch" in row.test.method
    assert only(compare(old, old)).change is Change.UNCHANGED


def test_many_seeds_are_told_apart_by_the_exact_permutation_test() -> None:
    def seeds(shift: float, first: int) -> list[np.ndarray]:
        return [right(92 - shift + k / 20, first + k, 3.0) for k in range(8)]

    row = only(compare(document([seeds(0, 0)], [], 0), document([seeds(1.0, 50)], [], 1)))
    assert row.change is Change.REGRESSION
    assert row.test is not None and row.test.method == "permutation, exact"
    assert row.test.p == row.test.least_p == pytest.approx(2 / 12_870)


def test_the_same_weights_are_held_to_the_same_answers() -> None:
    """A change of the evaluation, and no chance of seeds in it."""
    old = document([[right(92.0)]], [], 0)
    other = copy.deepcopy(dict(document([[right(91.8)]], [], 1).document))
    other["smallnet"]["runs"][0]["weights_sha256"] = old.runs[0]["weights_sha256"]
    new = RunFile(path=Path("b.json"), document=check_document(other))
    row = only(compare(old, new))
    assert row.change is Change.REGRESSION and "the same weights" in row.note
    assert row.test is not None and row.test.method == "McNemar, exact"


def test_what_is_real_but_small_is_within_its_threshold() -> None:
    old = document([[right(92.0)]], [], 0)
    new = document([[right(90.0, 1, 3.0)]], [], 1)
    row = only(compare(old, new, thresholds=Thresholds(claims={"simulated/*": 3.0})))
    assert row.change is Change.SIMILAR and "within the threshold of 3" in row.note
    stricter = Thresholds(claims={"other/*": 3.0, "simulated/net0": 1.0, "*": 9.0})
    assert only(compare(old, new, thresholds=stricter)).change is Change.REGRESSION


def test_a_table_is_a_family() -> None:
    """The same pair, alone and among fifty that did not change."""
    quiet = [[right(90.0, 7, 2.0)]] * 50
    pair = [[right(92.0)]], [[right(90.9, 1, 3.0)]]
    alone = only(compare(document(pair[0], [], 0), document(pair[1], [], 1)))
    among = compare(document(pair[0] + quiet, [], 0), document(pair[1] + quiet, [], 1))
    assert alone.change is Change.REGRESSION
    assert among.rows[0].change is Change.SIMILAR
    assert alone.p_adjusted is not None and among.rows[0].p_adjusted is not None
    assert among.rows[0].p_adjusted > alone.p_adjusted


def test_other_test_images_cannot_be_compared() -> None:
    old = document([[right(92.0)]], [], 0)
    other = copy.deepcopy(dict(old.document))
    other["smallnet"]["runs"][0]["test_digest"] = "other"
    new = RunFile(path=Path("b.json"), document=check_document(other))
    with pytest.raises(ComparisonError, match="different test images of cifar10"):
        compare(old, new)
    with pytest.raises(ComparisonError, match="different test images"):
        history([old, new])


def test_runs_that_have_nothing_in_common_cannot_be_compared() -> None:
    with pytest.raises(ComparisonError, match="nothing in common"):
        compare(document([[right(92.0)]], [], 0), document([], [[1.0, 1.1]], 1))


def test_a_network_that_diverges_is_a_regression() -> None:
    new = file({TABLE_2: {"measured": None, "values": [None], "verdict": "missed"}})
    row = by_label(compare(file(), new))[TABLE_2]
    assert row.change is Change.REGRESSION and "diverged" in row.note
    assert by_label(compare(new, new))[TABLE_2].change is Change.UNCHANGED


def test_recipes_of_two_kinds_are_not_judged_against_each_other() -> None:
    row = by_label(
        compare(
            file(),
            file(
                {
                    TABLE_2: {
                        "recipe": "paper",
                        "measured": 50.0,
                        "values": [50.0],
                        "fingerprints": [],
                    }
                }
            ),
        )
    )[TABLE_2]
    assert row.change is Change.NOT_JUDGED and "tuned and paper" in row.note


def test_what_was_measured_on_one_side_only_is_named() -> None:
    gone = {"measured": None, "values": [], "verdict": "not measured", "fingerprints": []}
    comparison = compare(file(), file({TABLE_2: gone}))
    assert by_label(comparison)[TABLE_2].change is Change.NOT_MEASURED
    text = "\n".join(compare_report.terminal_lines(comparison))
    assert "Not measured on one side: 1" in text and TABLE_2 in text


def test_rows_that_are_new_and_gone_and_renamed_are_named() -> None:
    found = json.loads(SCHEMA_2.read_text())
    rows = found["smallnet"]["rows"]
    old_name = next(row for row in rows if row["claim"] == TABLE_2)
    old_name["claim"] = "table2/renamed"
    gone = next(row for row in rows if row["claim"] and row["source"] == "Digits")
    rows.remove(gone)
    rows.append({**copy.deepcopy(gone), "claim": "digits/another", "paper": 12.5})
    new = RunFile(path=Path("b.json"), document=check_document(found))
    comparison = compare(file(), new)
    assert [row.label for row in comparison.of(Change.NEW)] == ["digits/another"]
    assert [row.label for row in comparison.of(Change.GONE)] == [gone["claim"]]
    renamed = by_label(comparison)["table2/renamed"]
    assert (renamed.renamed_from, renamed.change) == (TABLE_2, Change.UNCHANGED)
    assert f"{TABLE_2} is now table2/renamed" in "\n".join(
        compare_report.terminal_lines(comparison)
    )


# Counts and times


def test_any_change_of_a_count_counts() -> None:
    row = next(r for r in file().rows if r["unit"] == "parameters" and r["measured"] is not None)
    comparison = compare(file(), file({row["claim"]: {"measured": row["measured"] + 1}}))
    found = by_label(comparison)[row["claim"]]
    assert found.change is Change.CHANGED and found.effect == 1


def timed(*factors: float, run: int = 0) -> RunFile:
    generator = np.random.default_rng(run)
    rounds = [(f * generator.lognormal(-5, 0.03, 50)).tolist() for f in factors]
    return document([], rounds, run)


def test_a_time_that_doubled_is_a_regression_and_the_other_way_an_improvement() -> None:
    old, new = timed(1, 1, 1), timed(2, 1, 1, run=1)
    rows = compare(old, new).rows
    assert [row.change for row in rows] == [Change.REGRESSION, Change.SIMILAR, Change.SIMILAR]
    assert rows[0].effect == pytest.approx(100, abs=5)
    assert rows[0].interval is not None and rows[0].interval[0] < rows[0].effect
    assert compare(new, old).rows[0].change is Change.IMPROVEMENT


def test_what_machines_do_from_day_to_day_is_no_change() -> None:
    assert compare(timed(1), timed(1.08, run=1)).rows[0].change is Change.SIMILAR


def test_times_of_another_machine_are_shown_and_not_judged() -> None:
    found = copy.deepcopy(dict(timed(2, run=1).document))
    found["machine_info"]["smallnet"]["device_name"] = "another"
    new = RunFile(path=Path("b.json"), document=check_document(found))
    comparison = compare(timed(1), new)
    assert not comparison.same_machine
    row = only(comparison)
    assert row.change is Change.NOT_JUDGED and row.effect == pytest.approx(100, abs=5)
    assert "different machines" in "\n".join(compare_report.terminal_lines(comparison))
    across = only(compare(timed(1), new, across_machines=True))
    assert across.change is Change.REGRESSION


def test_images_a_second_are_better_when_there_are_more() -> None:
    old = read_run_file(SCHEMA_2)
    found = copy.deepcopy(dict(old.document))
    faster = []
    for row in found["smallnet"]["rows"]:
        if row["claim"] is None and "rounds_images_per_second" in row:
            loops = row["rounds_images_per_second"]
            loops["ours"] = [3 * speed for speed in loops["ours"]]
            faster.append(f"training_speed/{row['name']}")
    assert faster
    rows = by_label(compare(old, RunFile(path=old.path, document=check_document(found))))
    assert {rows[name].change for name in faster} == {Change.IMPROVEMENT}


# Histories


def test_a_history_names_the_step_and_finds_what_creeps() -> None:
    percents = (92.0, 92.1, 90.0, 90.1)
    files = [document([[right(p, k, 3.0)]], [], k) for k, p in enumerate(percents)]
    [line] = history(files[::-1]).lines
    assert line.values == percents and line.steps == (2,) and line.changes == (Change.REGRESSION,)
    text = "\n".join(compare_report.history_lines(history(files)))
    assert "92.00 92.10 [90.00 worse] 90.10" in text

    creeping = [document([[right(92 - 0.5 * k, k, 3.0)]], [], k) for k in range(7)]
    [line] = history(creeping).lines
    assert line.steps  # no step of half a point is one, but three are
    assert 1 not in line.steps


def test_a_history_needs_two_files() -> None:
    with pytest.raises(ComparisonError, match="two files or more"):
        history([document([[right(92.0)]], [], 0)])


# Thresholds


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"alpha": 0}, "between 0 and 1"),
        ({"alpha": "5 %"}, "expected a number"),
        ({"alpha": True}, "expected a number"),
        ({"time_percent": -1}, "expected 0 or more"),
        ({"times": 1}, "times: expected of"),
        ({"claims": ["a"]}, "expected a table"),
        ({"claims": {"table2/*": "much"}}, "expected a number"),
        ({"claims": {"table2/*": float("nan")}}, "expected 0 or more"),
    ],
)
def test_thresholds_that_are_none_are_refused(table: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Thresholds.from_table(table)


def test_thresholds_come_from_the_projects_file(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.smallnet.compare]\nalpha = 0.01\nclaims = { "table2/*" = 0.5 }\n')
    found = read_thresholds(path)
    assert found.alpha == 0.01 and found.claims == {"table2/*": 0.5}
    path.write_text("[tool.smallnet.compare]\nalhpa = 0.01\n")
    with pytest.raises(ValueError, match="alhpa: expected of"):
        read_thresholds(path)
    path.write_text("tool = [")
    with pytest.raises(ValueError, match=r"pyproject\.toml"):
        read_thresholds(path)


def test_the_repositorys_own_thresholds_are_the_defaults() -> None:
    assert read_thresholds(FILES.parents[1] / "pyproject.toml") == Thresholds()


# What is written


@pytest.fixture
def worse(tmp_path: Path) -> tuple[Path, Path]:
    """Two files: the second has lost two points and a row."""
    paths = tmp_path / "old.json", tmp_path / "new.json"
    for k, (path, percent) in enumerate(zip(paths, (92.0, 90.0), strict=True)):
        found = document([[right(percent, k, 3.0)], [right(91.0)]], [[0.1, 0.1]], k)
        path.write_text(json.dumps(found.document))
    return paths


def test_the_command_says_what_changed_and_fails_on_what_it_is_told_to(
    worse: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    old, new = map(str, worse)
    assert main(["compare", old, new]) == 0
    text = capsys.readouterr().out
    assert "Regressions: 1" in text and "simulated/net0: 92.00 -> 90.00 %" in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["compare", old, new, "--fail-on", "regression"]) == 1
    assert main(["compare", new, old, "--fail-on", "regression"]) == 0
    assert "renew the reference" in capsys.readouterr().out
    assert main(["compare", new, old, "--fail-on", "change"]) == 1
    assert main(["compare", old, old, "--fail-on", "change"]) == 0
    monkeypatch.setenv("CI", "1")
    assert main(["compare", old, new]) == 1
    assert main(["compare", old, new, "--alpha", "1e-9"]) == 0
    assert main(["compare", old, old, new]) == 1
    assert main(["compare", old, old, old]) == 0


def test_the_command_writes_what_it_is_asked_for(worse: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = map(str, worse)
    outputs = {name: tmp_path / "out" / f"compared.{name}" for name in ("markdown", "json", "html")}
    options = [text for name, path in outputs.items() for text in (f"--{name}", str(path))]
    main(["compare", old, new, *options])
    assert "### Regressions" in outputs["markdown"].read_text()
    found = json.loads(outputs["json"].read_text())
    assert found["schema"] == compare_report.COMPARISON_SCHEMA
    [row] = [row for row in found["rows"] if row["change"] == "regression"]
    assert row["row"] == "simulated/net0" and row["effect"] == pytest.approx(-2)
    assert row["p"] <= row["p_adjusted"] < found["alpha"]
    assert "<h2>Regressions: 1</h2>" in outputs["html"].read_text()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read"), ("", "broken JSON"), ("{}", "nothing of smallnet")],
)
def test_what_cannot_be_used_is_a_line_and_exit_2(
    content: str | None,
    expected: str,
    worse: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    assert main(["compare", str(worse[0]), str(path)]) == 2
    found = capsys.readouterr()
    assert expected in found.err and found.err.count("\n") == 1 and not found.out
    assert str(path) in found.err


def test_options_that_cannot_be_are_exit_2(worse: tuple[Path, Path]) -> None:
    old, new = map(str, worse)
    assert main(["compare", old, new, "--alpha", "2"]) == 2
    assert main(["compare", old, new, "--config", "/nonexistent.toml"]) == 2
    assert main(["compare", old, new, new, "--json", "x.json"]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["compare", old])
    assert caught.value.code == 2


def test_help_does_not_wait_for_numpy() -> None:
    code = (
        "import sys; from smallnet_core.cli import main\n"
        "try: main(['compare', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'scipy', 'torch'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--fail-on" in done.stdout


NAMES = st.text(
    alphabet=st.sampled_from("<>&\"'`|*_[]()@#-!\\ \n\u202ea1/"), min_size=1, max_size=24
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *sorted(name for name, _ in attributes)))


def tags(text: str) -> set[tuple[str, ...]]:
    parser = Tags()
    parser.feed(text)
    return parser.found


@settings(deadline=None, max_examples=40)
@given(NAMES, NAMES)
def test_no_name_becomes_markup(claim: str, machine: str) -> None:
    """The same elements and attributes, whatever a row and a machine are called."""
    pages = []
    for name, device in (("plain", "plain"), (claim, machine)):
        files = []
        for k, percent in enumerate((92.0, 90.0)):
            found = copy.deepcopy(dict(document([[right(percent, k, 3.0)]], [], k).document))
            found["smallnet"]["rows"][0]["claim"] = name
            found["machine_info"]["smallnet"]["device_name"] = device
            files.append(RunFile(path=Path(f"{k}.json"), document=check_document(found)))
        comparison = compare(*files)
        pages.append(tags(compare_report.html_page(comparison)))
        for line in compare_report.markdown_lines(comparison):
            if line.startswith("| simulated") or "Regressions" in line:
                continue
            bare = line.replace("<details>", "").replace("</details>", "")
            bare = bare.replace("<summary>", "").replace("</summary>", "")
            assert "<" not in bare and "@" not in bare
        json.loads(compare_report.as_json(comparison))
        compare_report.terminal_lines(comparison, verbose=True)
    assert pages[0] == pages[1]


GOOD = json.loads(SCHEMA_2.read_text())
FIELDS = [(k, name) for k, row in enumerate(GOOD["smallnet"]["rows"]) for name in row]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.none() | st.floats(allow_nan=False), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(FIELDS), ANYTHING)
def test_whatever_comes_through_the_door_is_compared_or_refused(
    field: tuple[int, str], value: Any
) -> None:
    changed = copy.deepcopy(GOOD)
    changed["smallnet"]["rows"][field[0]][field[1]] = value
    try:
        found = RunFile(path=Path("b.json"), document=check_document(changed))
        pairs = [compare(file(), found), compare(found, file())]
    except ValueError:
        return
    for comparison in pairs:
        compare_report.terminal_lines(comparison, verbose=True)
        compare_report.markdown_lines(comparison)
        compare_report.html_page(comparison)
        json.loads(compare_report.as_json(comparison))


def test_a_table_of_markdown_keeps_its_columns() -> None:
    files = []
    for k, percent in enumerate((92.0, 90.0)):
        found = copy.deepcopy(dict(document([[right(percent, k, 3.0)]], [], k).document))
        found["smallnet"]["rows"][0]["claim"] = "a|b`c"
        files.append(RunFile(path=Path(f"{k}.json"), document=check_document(found)))
    lines = compare_report.markdown_lines(compare(*files))
    head = lines.index("| row | old | new | effect (95 %) | p | by | note |")
    row = lines[head + 2].replace("\\|", "")
    assert row.count("|") == lines[head].count("|") and "ab\\`c" in row


# The simulation, short: the full one is in reports/


@pytest.mark.parametrize("num_seeds", [1, 5])
def test_runs_that_do_not_differ_raise_few_alarms(num_seeds: int) -> None:
    found = simulate_accuracy(80, num_seeds=num_seeds, seed=1)
    assert found.rates["compare"] <= 0.1  # 4 expected of 80 at the level; 8 come by chance in 100
    assert num_seeds > 1 or found.rates["drop of 0.5 points"] > 0.5


def test_times_that_do_not_differ_raise_few_alarms() -> None:
    found = simulate_time(25, seed=1)
    assert found.rates["compare"] <= 0.12
    assert found.rates["mean:5% (pytest-benchmark)"] > 0.6


def test_what_is_worse_is_found() -> None:
    assert simulate_accuracy(20, num_seeds=5, points=1.5).rates["compare"] > 0.9
    assert simulate_time(10, percent=50.0).rates["compare"] > 0.9
