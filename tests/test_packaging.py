"""What holds the repository together: versions, markers, imports that stay light, fixed names."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import smallnet_core
from smallnet_core import plugin

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "smallnet_core"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
INI = PYPROJECT["tool"]["pytest"]["ini_options"]

MARKERS = {
    *("digits", "cifar10", "cifar100"),
    *("parameters", "accuracy", "failures", "pruning", "latency", "training_speed"),
    "gpu",
}
LIGHT_MODULES = {
    *("records", "claims", "recipes", "judging", "report", "plugin", "cli"),
    *("models", "lab.settings", "lab.needs", "training.progress", "figures.__main__"),
}


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_version_has_one_source_and_the_changelog_knows_it():
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    source = PYPROJECT["tool"]["setuptools"]["dynamic"]["version"]
    assert source == {"attr": "smallnet_core.__version__"}
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released[0] == smallnet_core.__version__


def test_every_dependency_has_a_lower_and_an_upper_bound():
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(name for extra in extras for name in extra)]:
        if requirement != "smallnet[figures]":  # which dev includes
            assert re.fullmatch(r"[\w-]+(>=[\d.]+,<[\d.]+|==[\d.]+)", requirement), requirement


def test_every_module_says_what_it_is_for():
    for path in python_files(PACKAGE):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_the_registered_markers_are_the_promised_ones_each_with_its_meaning():
    registered = dict(marker.split(": ", 1) for marker in plugin.MARKERS)
    assert registered.keys() == MARKERS
    assert all(registered.values())
    assert {"--strict-markers", "--strict-config"} <= set(INI["addopts"])


def test_every_file_of_benchmarks_has_a_marker_that_selects_it():
    for path in (ROOT / "benchmarks").glob("test_*.py"):
        used = set(re.findall(r"mark\.(\w+)", path.read_text(encoding="utf-8")))
        marked_by_claim = "claim_params(" in path.read_text(encoding="utf-8")  # with the dataset
        assert used & MARKERS or marked_by_claim, f"{path.name}: no marker, so no -m selects it"


@pytest.mark.parametrize("name", sorted(LIGHT_MODULES))
def test_loading_leaves_torch_alone(name):
    """Each in an interpreter of its own: a second of torch is a second of ``pytest --help``."""
    heavy = ("torch", "torchvision", "vit_pytorch", "torch_pruning", "sklearn", "scipy.stats")
    heavy += ("matplotlib",)
    code = f"import sys, smallnet_core.{name}; print(*(m for m in {heavy} if m in sys.modules))"
    assert run_python(code) == ""


def test_help_shows_every_option_and_comes_without_torch():
    """The root conftest and the plugin together, as ``pytest --help`` loads them."""
    shown = run_python(
        "import pytest, sys\n"
        "code = pytest.main(['--help'])\n"
        "sys.exit('torch is loaded' if 'torch' in sys.modules else code)"
    )
    for option in (
        *("--recipe", "--seeds", "--retrain", "--train-budget", "--data-dir", "--model-cache"),
        *("--device", "--offline"),
    ):
        assert re.search(rf"^\s+{option}\b", shown, re.M), option


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["bench", "test"])
def test_make_passes_arguments_on_and_skips_pip_once_installed(target, tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path / ".smallnet-installed")  # newer than it
    # "make test" runs this too, and would hand its own flags and variables down.
    own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV", "PYTHON", "ARGS")
    shown = subprocess.run(
        ["make", "--dry-run", target, f"VENV={tmp_path}", 'ARGS=-m "cifar10 and accuracy" -x'],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in own},
    ).stdout
    folder = {"bench": "benchmarks --train-budget 3", "test": "tests"}[target]
    assert shown == f'{tmp_path}/bin/python -m pytest {folder} -m "cifar10 and accuracy" -x\n'


def test_the_zoo_and_data_files_ship_with_the_package():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["smallnet_core"]
    unshipped = {
        path.name
        for path in (*(PACKAGE / "zoo").rglob("*"), *PACKAGE.rglob("*.toml"))
        if path.is_file()
        and not any(path.match(f"smallnet_core/{pattern}") for pattern in patterns)
    }
    assert not unshipped
