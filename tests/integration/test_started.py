"""pytest's and pytest-benchmark's own ways of being started, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INNER = """
from smallnet_core.claims import CLAIMS
from smallnet_core.records import Measurement
attempts = []

def test_claim(judge, benchmark):
    benchmark.pedantic(lambda: None, rounds=2, iterations=1)
    attempts.append(1)
    value = 10.0 if len(attempts) < 2 and {flaky} else 92.0
    found = Measurement(values=(value,), unit="%", num_images=10_000, recipe="tuned")
    judge(CLAIMS["table2/resnet18_s-sgdm"], found)
"""


@pytest.fixture
def project(tmp_path):
    """A project of two files that uses the plugin, beside an installed smallnet; runs pytest."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    metadata = tmp_path / "site" / "smallnet-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: smallnet\nVersion: 0\n")
    lines = [f"{name} = {module}\n" for name, module in entries["pytest11"].items()]
    (metadata / "entry_points.txt").write_text("[pytest11]\n" + "".join(lines))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\nxfail_strict = true\n")
    (folder / "conftest.py").write_text('pytest_plugins = ["smallnet_core.plugin"]\n')
    (folder / "test_it.py").write_text(INNER.format(flaky=False))

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "--device=cpu", "-p", "no:cacheprovider"]
        paths = os.pathsep.join(map(str, (ROOT, tmp_path / "site")))
        return subprocess.run(
            [*command, *map(str, args)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": paths, "PYTEST_XDIST_WORKER": ""},
            capture_output=True,
            text=True,
            timeout=120,
        )

    run.folder = folder
    return run


def line_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "INTERNALERROR" not in done.stdout + done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return line


def test_autosaved_runs_are_compared_by_pytest_benchmark_and_by_us(project):
    assert project("--benchmark-autosave", "--benchmark-save-data").returncode == 0
    [saved] = (project.folder / ".benchmarks").rglob("*.json")
    elsewhere = project.folder.parent / "elsewhere" / "old.json"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(saved.read_bytes())
    done = project("test_it.py", "--benchmark-compare", "--compare", elsewhere, "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Comparing against benchmarks" in done.stderr + done.stdout
    assert f"rootdir: {project.folder}\nconfigfile: pyproject.toml" in done.stdout
    # Alone, the path is all that pytest has to find the project by.
    done = project("--compare", elsewhere, "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rootdir: {project.folder}\nconfigfile: pyproject.toml" in done.stdout
    assert "compared" in done.stdout


def test_another_project_has_none_of_our_options(project):
    (project.folder / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--device')\n"
    )
    (project.folder / "test_it.py").write_text("def test_it(): pass\n")
    done = project()
    assert (done.returncode, "smallnet: models" in done.stdout) == (0, False)
    assert "--recipe" not in project("--help").stdout


def test_a_claim_has_one_row_however_often_its_test_ran(project, monkeypatch):
    pytest.importorskip("pytest_rerunfailures")
    (project.folder / "test_it.py").write_text(INNER.format(flaky=True))
    path = project.folder / "run.json"
    assert project("--reruns=1", f"--benchmark-json={path}").returncode == 0
    [row] = json.loads(path.read_text())["smallnet"]["rows"]
    assert row["measured"] == 92.0
    line = line_of(project(f"--benchmark-json={path}", f"--compare={path}"))
    assert "would overwrite" in line and json.loads(path.read_text())


def test_settings_elsewhere_no_capture_and_no_pytest_benchmark(project):
    old, ini = project.folder / "old.json", project.folder / "other.ini"
    ini.write_text("[pytest]\n")
    assert project(f"--benchmark-json={old}", "-p", "no:capture").returncode == 0
    (project.folder / "pyproject.toml").write_text("[tool.smallnet.compare]\nalpha = 5\n")
    done = project("-c", ini, f"--compare={old}")
    assert "alpha: expected less than 1" in line_of(done)  # before the first test, and not lost
    assert "-p no:benchmark" in line_of(project("-p", "no:benchmark"))


def test_workers_of_xdist_say_what_is_wrong_in_a_line_and_leave_the_same_file(project):
    pytest.importorskip("xdist")
    path = project.folder / "run.json"
    assert project("-n1", f"--benchmark-json={path}").returncode == 0
    assert [row["measured"] for row in json.loads(path.read_text())["smallnet"]["rows"]] == [92.0]
    (project.folder / "test_it.py").write_text(
        "import pytest\n@pytest.mark.accuracy\ndef test_it(workbench): pass\n"
    )
    line = line_of(project("-n1", "--model-cache=/proc/smallnet"))
    assert line.startswith("ERROR: model cache /proc/smallnet: cannot be written (")
