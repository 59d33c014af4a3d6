"""Log training curves and verdicts to an experiment tracker: wandb, trackio or tensorboard.

Each is an extra of the same name. Environment variables of its own say where it writes and whether
it is online (WANDB_MODE, WANDB_DIR; TRACKIO_DIR, TRACKIO_SPACE_ID); tensorboard writes ``./runs``.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from smallnet_core.training.progress import Progress

if TYPE_CHECKING:
    from smallnet_core.recipes import Recipe
    from smallnet_core.training.checkpoints import Epoch

T = TypeVar("T")

PROJECT = "smallnet"
COLUMNS = ("claim", "verdict", "measured", "paper", "unit")


class Run(Protocol):
    """A tracker's run, opened with a name and a configuration."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name at ``step``."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table."""

    def finish(self) -> None:
        """Close the run, so that everything logged is stored."""


class _WandbRun:
    """A run of wandb, or of trackio, which has its interface."""

    def __init__(self, package: Any, name: str, config: Mapping[str, Any], **options: Any) -> None:
        self.package = package
        self.run = package.init(project=PROJECT, name=name, config=dict(config), **options)
        self.finish: Callable[[], None] = self.run.finish

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        found = self.package.Table(columns=list(columns), data=[list(row) for row in rows])
        self.run.log({name: found})


def _wandb(name: str, config: Mapping[str, Any]) -> Run:
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    return _WandbRun(wandb, name, config, reinit="create_new", settings=settings)


def _trackio(name: str, config: Mapping[str, Any]) -> Run:
    import trackio

    # Without its monitoring of the machine, which would disturb timings.
    options = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
    found = _WandbRun(trackio, name, config, **options)
    found.finish = trackio.finish  # also forgets the run, which it would finish again at exit
    return found


class _Tensorboard:
    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.writer = SummaryWriter(f"runs/{PROJECT}/{name}/{started}")
        self.writer.add_text("config", f"```json\n{json.dumps(config, indent=2)}\n```")

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
        self.writer.add_text(name, text)

    def finish(self) -> None:
        self.writer.close()


BACKENDS: dict[str, Callable[[str, Mapping[str, Any]], Run]] = {
    "wandb": _wandb,
    "trackio": _trackio,
    "tensorboard": _Tensorboard,
}


class Tracked(Progress):
    """Progress that also logs to a tracker; where that fails, it notes so and training continues.

    A training that resumes from a checkpoint is a new run of the same name.
    """

    def __init__(self, progress: Progress, backend: str) -> None:
        self.progress = progress
        self.backend = backend
        self.run: Run | None = None
        self.step = progress.step  # type: ignore[method-assign]  # no overhead in each step
        # Imported now, so that it does not count towards a training's peak memory.
        self.works = True
        self._attempt(lambda: importlib.import_module(backend))

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None:
        self.progress.start(recipe, total_steps, done)
        self.recipe = recipe
        self.steps_per_epoch = total_steps // recipe.end_epoch
        config = {"fingerprint": recipe.fingerprint(), **dataclasses.asdict(recipe)}
        self.run = self._attempt(lambda: BACKENDS[self.backend](recipe.name, config))

    def epoch(self, result: Epoch) -> None:
        """Log an epoch as recorded, with the learning rate of its last step."""
        self.progress.epoch(result)
        recipe, per_epoch, run = self.recipe, self.steps_per_epoch, self.run
        if run is None:
            return
        steps = result.epoch * per_epoch
        factor = recipe.schedule.factor(steps - 1, recipe.epochs * per_epoch, per_epoch)
        found = {name: value for name, value in vars(result).items() if value is not None}
        values = {**found, "num_steps": steps, "learning_rate": factor * recipe.optimizer.lr}
        self._attempt(lambda: run.log(values, result.epoch))

    def note(self, line: str) -> None:
        self.progress.note(line)

    def close(self) -> None:
        self.progress.close()
        if self.run is not None:
            self._attempt(self.run.finish)
        self.run = None

    def _attempt(self, call: Callable[[], T]) -> T | None:
        if not self.works:
            return None
        try:
            return _quietly(call)
        except Exception as error:
            self.works, self.run = False, None
            self.note(f"{_failure(self.backend, error)}; this session continues without it")
            return None


def track_verdicts(backend: str, rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Log a session's rows as a table, with counts of the verdicts.

    Return an error message where that fails, else None.
    """
    table = [[row[name] for name in COLUMNS] for row in rows if row["claim"]]

    def log() -> None:
        run = BACKENDS[backend]("verdicts", {})
        run.log(collections.Counter(verdict for _, verdict, *_ in table), 0)
        run.table("claims", COLUMNS, table)
        run.finish()

    try:
        _quietly(log)
    except Exception as error:
        return f"{_failure(backend, error)}; verdicts were not tracked"
    return None


def _quietly(call: Callable[[], T]) -> T:
    with contextlib.redirect_stdout(io.StringIO()):  # trackio prints
        return call()


def _failure(backend: str, error: Exception) -> str:
    return f"--track {backend} failed ({type(error).__name__}: {' '.join(str(error).split())})"
