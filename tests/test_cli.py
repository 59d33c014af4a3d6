"""smallnet compare as a command: what it reads, refuses and writes, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from smallnet_core.cli import main
from smallnet_core.report import compare as compare_report
from smallnet_core.runs.policy import fail_on_default, fails, read_thresholds
from smallnet_core.runs.rows import Change, Thresholds
from studies.compare_power import document
from tests.saved import right

FILE = Path(__file__).parent / "files" / "run-schema-2.json"


@pytest.mark.parametrize("option", ["json", "markdown", "html"])
def test_no_output_overwrites_an_input_or_another_output(tmp_path, capsys, option):
    new = tmp_path / "new.json"
    new.write_bytes(FILE.read_bytes())
    assert main(["compare", str(FILE), str(new), f"--{option}={tmp_path / '.' / 'new.json'}"]) == 2
    assert new.read_bytes() == FILE.read_bytes()
    twice = ["--markdown=x", "--html=x"]
    assert main(["compare", str(FILE), str(FILE), *twice]) == 2
    assert "is also --markdown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "expected"), [("true", "regression"), ("1", "regression"), ("false", "nothing")]
)
def test_ci_that_is_false_is_no_ci(monkeypatch, value, expected):
    monkeypatch.setenv("CI", value)
    assert fail_on_default() == expected


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        ("regression", {"regression"}),
        ("change", {"regression", "improvement", "changed", "new", "gone"}),
        ("nothing", set()),
    ],
)
def test_each_choice_fails_on_what_it_names(fail_on, failing):
    assert {str(change) for change in Change if fails([change], fail_on)} == failing


def test_a_threshold_that_fits_no_row_is_said(tmp_path, capsys):
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.smallnet.compare.claims]\n"table9/*" = 1.0\n"table2/*" = 1.0\n')
    assert main(["compare", str(FILE), str(FILE), f"--config={path}"]) == 0
    printed = capsys.readouterr().out
    assert "'table9/*' matches no row" in printed and "'table2/*'" not in printed


def test_a_file_without_rounds_says_which_option_saves_them(tmp_path, capsys):
    document = json.loads(FILE.read_text())
    for benchmark in document["benchmarks"]:
        benchmark["stats"].pop("data", None)
    path = tmp_path / "autosaved.json"
    path.write_text(json.dumps(document))
    assert main(["compare", str(FILE), str(path)]) == 0
    assert f"{path}: has no rounds" in (printed := capsys.readouterr().out)
    assert "--benchmark-save-data" in printed and f"{FILE}: has" not in printed


# Thresholds


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("tool = 5", "expected a table"),
        ("tool = {smallnet = {compare = [1]}}", "expected a table"),
        ("tool.smallnet.compare.alpha = 0", "alpha: expected greater than 0"),
        ("tool.smallnet.compare.alpha = true", "alpha: expected a valid number"),
        ("tool.smallnet.compare.alhpa = 0.01", "alhpa: "),
        ("tool.smallnet.compare.time_percent = -1", "greater than or equal to 0"),
        ("tool.smallnet.compare.claims = ['a']", "claims: "),
        ("tool.smallnet.compare.claims = { 'table2/*' = nan }", "finite number"),
        ("tool = [", ""),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_thresholds_that_are_none_are_a_line_with_the_file(tmp_path, capsys, table, expected):
    path = tmp_path / "pyproject.toml"
    path.write_text(table)
    assert main(["compare", str(FILE), str(FILE), f"--config={path}"]) == 2
    error = capsys.readouterr().err
    assert f"{path}: " in error and expected in error and error.count("\n") == 1


def test_thresholds_come_from_the_projects_file(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.smallnet.compare]\nalpha = 0.01\nclaims = { "table2/*" = 0.5 }\n')
    found = read_thresholds(path)
    assert found.alpha == 0.01 and found.claims == {"table2/*": 0.5}


def test_the_repositorys_own_thresholds_are_the_defaults() -> None:
    assert read_thresholds(FILE.parents[2] / "pyproject.toml") == Thresholds()


# What is written


@pytest.fixture
def worse(tmp_path: Path) -> tuple[Path, Path]:
    """Two files: the second has lost ten points."""
    paths = tmp_path / "old.json", tmp_path / "new.json"
    for k, (path, percent) in enumerate(zip(paths, (92.0, 82.0), strict=True)):
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
    assert "Regressions: 1" in text and "simulated/net0: 92.00 -> 82.00 %" in text
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
    undone = worse[0].with_name("undone.json")
    again = document([[right(92.0, 2, 3.0)], [right(91.0)]], [[0.1, 0.1]], 2)
    undone.write_text(json.dumps(again.document))
    assert main(["compare", old, new, str(undone)]) == 0


def test_the_command_writes_what_it_is_asked_for(worse: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = map(str, worse)
    outputs = {name: tmp_path / "out" / f"compared.{name}" for name in ("markdown", "json", "html")}
    options = [text for name, path in outputs.items() for text in (f"--{name}", str(path))]
    main(["compare", old, new, *options])
    assert "### Regressions" in outputs["markdown"].read_text()
    found = json.loads(outputs["json"].read_text())
    assert found["schema"] == compare_report.COMPARISON_SCHEMA
    [row] = [row for row in found["rows"] if row["change"] == "regression"]
    assert row["row"] == "simulated/net0" and row["effect"] == pytest.approx(-10)
    assert row["p"] <= row["p_adjusted"] < found["alpha"]
    assert "Regressions: 1<" in outputs["html"].read_text()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["old.json", "none.json"], "none.json: cannot be read"),
        (["old.json", "bad.json"], "bad.json: broken JSON"),
        (["old.json"], "old.json: only one run"),
        (["one"], "one: only one run: name another to compare it with; left out: one/bad.json"),
        (["none"], "none: has no saved run in it; left out: none/bad.json"),
        (["old.json", "new.json", "--alpha=2"], "--alpha 2.0: expected"),
        (["old.json", "new.json", "--config=none.toml"], "none.toml"),
        (["old.json", "new.json", "new.json", "--json=x"], "--json and --html need two runs"),
    ],
)
def test_what_cannot_be_compared_is_a_line_and_exit_2(worse, capsys, monkeypatch, args, expected):
    folder = worse[0].parent
    monkeypatch.chdir(folder)
    for name in ("one", "none"):
        (folder / name).mkdir()
    for name in ("bad.json", "one/bad.json", "none/bad.json"):
        (folder / name).write_text("{")
    (folder / "one" / "good.json").write_bytes(worse[0].read_bytes())
    assert main(["compare", *args]) == 2
    found = capsys.readouterr()
    assert expected in found.err and found.err.count("\n") == 1 and not found.out


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
