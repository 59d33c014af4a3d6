"""smallnet compare as a command: what it reads, refuses and writes, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallnet_core.cli import main
from smallnet_core.cli.compare import fail_on_default, read_thresholds

FILE = Path(__file__).parent / "files" / "run-schema-2.json"


@pytest.mark.parametrize("value", ["5", "[]", "{smallnet = 5}", "{smallnet = {compare = [1]}}"])
def test_any_pyproject_is_settings_or_a_line(tmp_path, capsys, value):
    path = tmp_path / "pyproject.toml"
    path.write_text(f"tool = {value}\n")
    assert main(["compare", str(FILE), str(FILE), f"--config={path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    path.write_text("a = " + "[" * 5000)
    with pytest.raises(ValueError, match=r"pyproject\.toml"):
        read_thresholds(path)


@pytest.mark.parametrize("option", ["json", "markdown", "html"])
def test_no_output_overwrites_an_input_or_another_output(tmp_path, capsys, option):
    new = tmp_path / "new.json"
    new.write_bytes(FILE.read_bytes())
    assert main(["compare", str(FILE), str(new), f"--{option}={tmp_path / '.' / 'new.json'}"]) == 2
    assert new.read_bytes() == FILE.read_bytes()
    twice = ["--markdown=x", "--html=x"]
    assert main(["compare", str(FILE), str(FILE), *twice]) == 2
    assert "is --markdown too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "expected"), [("true", "regression"), ("1", "regression"), ("false", "nothing")]
)
def test_ci_that_is_false_is_no_ci(monkeypatch, value, expected):
    monkeypatch.setenv("CI", value)
    assert fail_on_default() == expected


def test_a_threshold_that_fits_no_row_is_said(tmp_path, capsys):
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.smallnet.compare.claims]\n"table9/*" = 1.0\n"table2/*" = 1.0\n')
    assert main(["compare", str(FILE), str(FILE), f"--config={path}"]) == 0
    printed = capsys.readouterr().out
    assert "'table9/*' fits no row" in printed and "'table2/*'" not in printed


def test_a_file_without_rounds_says_which_option_saves_them(tmp_path, capsys):
    document = json.loads(FILE.read_text())
    for benchmark in document["benchmarks"]:
        benchmark["stats"].pop("data", None)
    path = tmp_path / "autosaved.json"
    path.write_text(json.dumps(document))
    assert main(["compare", str(FILE), str(path)]) == 0
    assert f"{path}: has no rounds" in (printed := capsys.readouterr().out)
    assert "--benchmark-save-data" in printed and f"{FILE}: has" not in printed
