"""pytest inside pytest: in this process, under the repository's own configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Before any inner run: pytester forgets what one imported, and torch cannot be imported twice.
import hypothesis  # noqa: F401
import pytest
import scipy.special  # noqa: F401
import torch
import torch._dynamo

from smallnet_core import plugin
from smallnet_core.data.datasets import Dataset
from smallnet_core.lab import cache, workbench
from smallnet_core.lab.settings import Settings
from smallnet_core.recipes import Recipe
from smallnet_core.training.loop import Trained
from smallnet_core.training.start import network_of
from tests.trainable import as_if_trained, tiny

ROOT = Path(__file__).resolve().parents[2]


class Suite:
    """The repository's pytest, with a home and a model cache of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.home = Path(os.environ["HOME"])
        self.cache = pytester.path / "model cache"

    def arguments(self, *args: object) -> list[str]:
        own = [
            "-c",
            ROOT / "pyproject.toml",
            "-p",
            "smallnet_core.plugin",
            "-p",
            "no:cacheprovider",
            # As in tests/: a later filter counts.
            "-W",
            "error",
            "-W",
            "ignore:This overload of:UserWarning",
        ]
        named = any(str(arg).startswith("--model-cache") for arg in args)
        if not named and "SMALLNET_CACHE" not in os.environ:
            own.append(f"--model-cache={self.cache}")
        if not any(str(arg).startswith("--tables") for arg in args):
            own.append("--tables=all")
        return [str(arg) for arg in (*own, *args)]

    def run(self, *args: object, rootdir: Path | None = None) -> pytest.RunResult:
        """The tests that were made in this folder, or those that are named."""
        if rootdir is None:
            args = self.pytester.path, *args
        where = f"--rootdir={rootdir or self.pytester.path}"
        return self.pytester.runpytest_inprocess(where, *self.arguments(*args))

    def benchmarks(self, keyword: str, *args: object) -> pytest.RunResult:
        """The repository's benchmarks, those of them that ``-k keyword`` selects."""
        return self.run(ROOT / "benchmarks", "-k", keyword, *args, rootdir=ROOT)

    def refusal(self, result: pytest.RunResult) -> str:
        """The one line of a refused start."""
        printed = [*result.outlines, *result.errlines]
        assert result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(printed)
        assert not [line for line in printed if "Traceback" in line or "INTERNALERROR" in line]
        [line] = [line for line in printed if line.startswith("ERROR: ")]
        # What comes after it would belong to it.
        assert [line for line in result.errlines if line.strip()][-1] == line
        assert self.reports(result) == []
        return line.removeprefix("ERROR: ")

    def settings(self, *args: object) -> Settings:
        """What the options come to; raises pytest.UsageError as they do."""
        config = self.pytester.parseconfigure(*self.arguments(*args))
        return config.stash[plugin._own].settings

    def reports(self, result: pytest.RunResult) -> list[pytest.TestReport]:
        recorder = result.reprec  # type: ignore[attr-defined]
        if not hasattr(recorder, "getreports"):  # not even configured
            return []
        return recorder.getreports("pytest_runtest_logreport")

    def rows(self, result: pytest.RunResult) -> list[dict[str, Any]]:
        return [
            row
            for report in self.reports(result)
            if report.when == "call"
            for name, row in report.user_properties
            if name == "smallnet"
        ]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    for name in ("SMALLNET_DATA", "SMALLNET_CACHE", "XDG_CACHE_HOME", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    # What the zoo happens to ship decides nothing here.
    monkeypatch.setattr(cache.ModelCache.__init__, "__defaults__", (pytester.path / "no zoo",))
    # Two runs of git a session.
    monkeypatch.setattr(workbench, "current_commit", lambda: None)
    # A second of CPU that only pytest-benchmark's JSON needs.
    monkeypatch.setattr("pytest_benchmark.plugin.get_cpu_info", dict)
    return Suite(pytester)


@pytest.fixture
def tree() -> Callable[[Path], list[str]]:
    """All files and folders below one, but for the empty one that pytest-benchmark starts with."""

    def tree(folder: Path) -> list[str]:
        names = (str(path.relative_to(folder)) for path in folder.rglob("*"))
        return sorted(name for name in names if name != ".benchmarks")

    return tree


@pytest.fixture
def fake_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Digits of 100 blank images, and networks that learn in no time to be right on 97 of them."""
    fakes = SimpleNamespace(trained=[], seconds=1.0)

    def train(
        recipe: Recipe, dataset: Dataset, device: Any, *, progress: Any, checkpoint: Any, **_: Any
    ) -> Trained:
        fakes.trained.append(recipe)
        weights = {name: torch.zeros_like(v) for name, v in network_of(recipe).state_dict().items()}
        bias = weights[[name for name in weights if name.endswith("bias")][-1]]
        bias[0] = 1.0  # the first class, whatever the image
        return as_if_trained(recipe, weights)

    def load_dataset(name: str, **options: Any) -> Dataset:
        images = torch.zeros(100, 3, 32, 32, dtype=torch.uint8)
        labels = torch.tensor([0] * 97 + [1] * 3)
        sides = ("train", "test")
        blank = {f"{side}_images": images for side in sides}
        return tiny(name, 100, **blank, **{f"{side}_labels": labels for side in sides})

    monkeypatch.setattr(workbench, "train", train)
    monkeypatch.setattr(workbench, "load_dataset", load_dataset)
    monkeypatch.setattr(workbench, "estimate_seconds", lambda *_, **__: fakes.seconds)
    return fakes
