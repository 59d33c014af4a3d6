"""The options of a run of pytest: what they are, and what they come to."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from smallnet_core.lab.reports import check_folder
from smallnet_core.lab.settings import (
    TRACKERS,
    Settings,
    cache_folder,
    check_device,
    check_tracker,
    data_folder,
    number,
    one_of,
)
from smallnet_core.recipes import RECIPE_KINDS
from smallnet_core.runs.file import RunFile, read_run_file
from smallnet_core.runs.find import STORAGE, find_run
from smallnet_core.runs.policy import FAIL_ON, Baseline, read_thresholds

TABLES = ("short", "all")
PATH_OPTIONS = ("--compare", "--data-dir", "--model-cache", "--report")


def option_type(check: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a ``type=`` whose refusal is one line: argparse's own would come with its usage."""

    def parsed(text: str) -> Any:
        try:
            found = check(text)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
        return str(found) if isinstance(found, Path) else found  # xdist sends options to workers

    return parsed


def _choice(option: str, names: Sequence[str]) -> dict[str, Any]:
    return {"type": option_type(one_of(option, names)), "metavar": "{" + ",".join(names) + "}"}


def add_options(parser: pytest.Parser) -> None:
    """Add ours to the options of pytest."""
    group = parser.getgroup("smallnet", "smallnet: models, data and training")
    group.addoption(
        "--recipe",
        default="tuned",
        **_choice("--recipe", RECIPE_KINDS),
        help="how networks are trained on CIFAR: our tuned recipes, or the paper's to the letter; "
        "digits always uses the quick ones. Default: tuned",
    )
    group.addoption(
        "--seeds",
        default=1,
        type=option_type(number("--seeds", int, "a whole number of at least 1", 1)),
        metavar="N",
        help="runs of each recipe, one per seed. Default: 1",
    )
    group.addoption(
        "--retrain", action="store_true", help="train even what the cache or the zoo could supply"
    )
    group.addoption(
        "--train-budget",
        default=15.0,
        type=option_type(number("--train-budget", float, "minutes, 0 or more", 0)),
        metavar="MIN",
        help="skip trainings estimated to take longer, and leave their claims unmeasured; "
        "0 trains nothing. Default: 15 minutes per model",
    )
    group.addoption(
        "--data-dir",
        type=option_type(data_folder),
        metavar="DIR",
        help="where CIFAR is, in torchvision's python layout or the official binary one. "
        "Default: SMALLNET_DATA, else the user's cache, where a download goes",
    )
    group.addoption(
        "--model-cache",
        metavar="DIR",
        help="where trained models are kept. Default: SMALLNET_CACHE, else the user's cache",
    )
    group.addoption(
        "--device",
        default="auto",
        type=option_type(check_device),
        help="auto, cpu, cuda or cuda:N. Default: auto, a GPU if there is one",
    )
    group.addoption("--offline", action="store_true", help="download nothing")
    group.addoption(
        "--no-recorded",
        action="store_true",
        help="leave unmeasured claims empty instead of showing what earlier runs recorded",
    )
    group.addoption(
        "--track",
        type=option_type(check_tracker),
        metavar="{" + ",".join(TRACKERS) + "}",
        help="send training curves and verdicts to an experiment tracker; install the extra of "
        "that name",
    )
    group.addoption(
        "--tables",
        default="short",
        **_choice("--tables", TABLES),
        help="how long the report at the end is: one screen, or every table with remarks. "
        "Default: short",
    )
    group.addoption(
        "--compare",
        metavar="RUN",
        help="at the end, say what changed since a saved run, and whether that could be chance. "
        "RUN is a file, a folder (its newest run), latest, latest~3 or a number in "
        "--benchmark-storage, or reference, this machine's file in reports/reference",
    )
    group.addoption(
        "--confirm",
        action="store_true",
        help="with --compare: time rows that became slower again at the end; the second timing "
        "counts",
    )
    group.addoption(
        "--fail-on",
        **_choice("--fail-on", tuple(FAIL_ON)),
        help="with --compare: what fails the run. Default: regression where CI is set, else "
        "nothing",
    )
    group.addoption(
        "--report",
        nargs="?",
        const="",
        metavar="DIR",
        help="at the end, write the run as a web page and as Markdown, and add it to the index. "
        "Default: beside --benchmark-json's file, else in reports/",
    )


def settings_of(config: pytest.Config) -> Settings:
    """Return what the options of a run come to; pytest.UsageError for a cache that can't be."""
    option = config.option
    try:
        cache_dir = cache_folder(option.model_cache)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    return Settings(
        recipe_kind=option.recipe,
        num_seeds=option.seeds,
        retrain=option.retrain,
        train_budget_minutes=option.train_budget,
        data_dir=None if option.data_dir is None else Path(option.data_dir),
        cache_dir=cache_dir,
        device=option.device,
        offline=option.offline,
        recorded=not option.no_recorded,
        track=option.track,
    )


def baseline_of(config: pytest.Config) -> Baseline | None:
    """Read what ``--compare`` names, before anything is measured; None where it is not given.

    Raises pytest.UsageError, in a line, for what cannot be read, and for options that need it.
    """
    option = config.option
    if option.compare is None:
        if option.fail_on or option.confirm:
            given = "--fail-on" if option.fail_on else "--confirm"
            raise pytest.UsageError(f"{given} is for --compare RUN, which is not given")
        return None
    if option.confirm and config.getoption("dist", "no") != "no":
        raise pytest.UsageError(
            "--confirm: cannot time a test again under pytest-xdist, leave -n out"
        )
    from smallnet_core.runs.accepted import FILE, read_accepted

    pyproject = config.inipath
    if pyproject is None or pyproject.name != "pyproject.toml":
        pyproject = config.rootpath / "pyproject.toml"
    left_out: list[str] = []
    try:
        thresholds = read_thresholds(pyproject if pyproject.exists() else None)
        accepted = read_accepted(config.rootpath / FILE)
        if option.compare == "reference":
            run = _reference(config)
        else:
            storage = config.getoption("benchmark_storage", STORAGE)
            [*_, run], left_out = find_run(option.compare, storage)
    except (ValueError, OSError) as error:
        raise pytest.UsageError(f"--compare {error}") from error
    path = config.getoption("benchmark_json", None)
    if path is not None and os.path.realpath(path) == os.path.realpath(run.path):
        raise pytest.UsageError(f"--benchmark-json {path} would overwrite --compare's")
    return Baseline(run=run, thresholds=thresholds, accepted=accepted, left_out=left_out)


def _reference(config: pytest.Config) -> RunFile:
    from smallnet_core.runs.reference import FOLDER, reference_path
    from smallnet_core.system.machine import resolve_device

    device = str(resolve_device(config.option.device))
    path = reference_path(platform.node(), device, config.rootpath / FOLDER)
    if not path.exists():
        raise ValueError(
            f"reference: this machine has no {path}: smallnet reference update RUN.json makes it"
        )
    return read_run_file(path)


def report_folder_of(config: pytest.Config) -> Path | None:
    """Return where ``--report`` writes, None where it is not given.

    Raises pytest.UsageError, before anything is measured, for a folder where it can't.
    """
    given = config.option.report
    if given is None:
        return None
    beside = config.getoption("benchmark_json", None)
    folder = Path(os.path.expanduser(given)) if given else Path("reports")
    if not given and beside is not None:
        folder = Path(beside).parent
    if given and any(folder.glob("test_*.py")):
        raise pytest.UsageError(
            f"--report {given}: has tests in it: write --report=DIR, or --report last"
        )
    try:
        check_folder(folder)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise pytest.UsageError(f"--report {given}: {reason}") from error
    except ValueError as error:
        raise pytest.UsageError(f"--report {error}") from error
    return folder.absolute()


def joined_arguments(config: pytest.Config) -> list[str] | None:
    """Return the arguments with paths joined to their options where pytest lost the project.

    pytest looks for the project before it knows any plugin's options, and then the path of
    ``--compare /elsewhere/old.json`` is that of a test. None where the project was found.
    """
    given = list(map(str, config.invocation_params.args))
    apart = [k for k, arg in enumerate(given[:-1]) if arg in PATH_OPTIONS]
    if not apart or config.option.rootdir or config.option.inifilename:
        return None
    tests = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    here = config.invocation_params.dir
    lost = config.inipath is None and any(
        (folder / "pyproject.toml").is_file() for folder in (here, *here.parents)
    )
    if not lost and any(test.is_relative_to(config.rootpath) for test in tests):
        return None
    for k in reversed(apart):
        given[k : k + 2] = [f"{given[k]}={given[k + 1]}"]
    return given
