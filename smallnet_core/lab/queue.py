"""``smallnet train``: run trainings in parallel, each in a process of its own."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from smallnet_core.data.datasets import load_dataset
from smallnet_core.lab.cache import Busy, ModelCache
from smallnet_core.lab.jobs import SIGNALS, Job
from smallnet_core.lab.listing import label, work_left
from smallnet_core.lab.settings import Settings, duration
from smallnet_core.recipes import Recipe
from smallnet_core.records import NotMeasured
from smallnet_core.training.progress import LogLines

_POLL_SECONDS = 0.1  # between polls of the jobs
_RETRY_SECONDS = 2.0  # between polls of a recipe that another process is training


class _Running:
    """A job and its row in the live table."""

    def __init__(self, recipe: Recipe, job: Job) -> None:
        self.recipe = recipe
        self.job = job
        self.steps_per_epoch = 1.0
        self.first = self.done = 0.0  # epochs, since the recipe's first
        self.began = time.monotonic()
        self.accuracy = ""

    def row(self) -> str:
        end = self.recipe.end_epoch
        epoch = f"epoch {min(int(self.done) + 1, end)}/{end}"
        at_first, now = (work_left(self.recipe, done) for done in (self.first, self.done))
        left = ""
        if now < at_first:
            seconds = (time.monotonic() - self.began) * now / (at_first - now)
            left = f"{duration(seconds)} left"
        return f"{label(self.recipe):<39}{epoch:<14}{self.accuracy:<13}{left:>13}"


class _Queue:
    def __init__(self, recipes: Iterable[Recipe], cache: ModelCache, display: LogLines) -> None:
        self.cache = cache
        self.display = display
        self.waiting = list(recipes)
        self.total = len(self.waiting)
        self.running: list[_Running] = []
        self.failed: set[Recipe] = set()
        self.num_trained = 0
        self.num_stopped = 0
        self._retry_at: dict[Recipe, float] = {}  # of recipes that other processes are training

    def start_next(self, start: Callable[[Recipe], Job]) -> bool:
        """Start the first recipe that is ready; return False where none is."""
        for recipe in tuple(self.waiting):
            ancestors = set(recipe.ancestors())
            unfinished = {*self.waiting, *(running.recipe for running in self.running)}
            if ancestors & self.failed:
                self.end(recipe, "failed", "the network it is pruned from failed")
            elif ancestors & unfinished or time.monotonic() < self._retry_at.get(recipe, 0.0):
                continue
            elif self.cache.load(recipe) is not None:
                self.waiting.remove(recipe)
                self.num_trained += 1
                self.display.line(f"{recipe}: another process has trained it")
            elif self._is_busy(recipe):
                self.end(recipe, "busy", "")
            else:
                self.waiting.remove(recipe)
                self.running.append(_Running(recipe, start(recipe)))
                return True
        return False

    def _is_busy(self, recipe: Recipe) -> bool:
        try:
            with self.cache.lock(recipe, blocking=False):
                return False
        except Busy:
            return True

    def listen(self) -> None:
        for running in tuple(self.running):
            recipe = running.recipe
            for kind, value in running.job.messages():
                if kind == "start":
                    total, done = value
                    running.steps_per_epoch = total / recipe.end_epoch
                    running.first = running.done = done / running.steps_per_epoch
                    running.began = time.monotonic()
                elif kind == "step":
                    running.done = value / running.steps_per_epoch
                elif kind == "note":
                    self.display.line(value)
                elif kind == "epoch":
                    running.done = float(value.epoch)
                    test = ""
                    if value.test_accuracy_percent is not None:
                        running.accuracy = f"test {value.test_accuracy_percent:.2f} %"
                        test = f"{running.accuracy}, "
                    self.display.epoch(
                        f"{recipe}: epoch {value.epoch} of {recipe.end_epoch}, "
                        f"loss {value.train_loss:.3f}, train {value.train_accuracy_percent:.2f} %, "
                        f"{test}{value.seconds:.0f} s"
                    )
                else:
                    self.running.remove(running)
                    self.end(recipe, kind, value)

    def end(self, recipe: Recipe, how: str, text: str) -> None:
        """Note the end of a job, one of ENDS, or why a recipe that waits cannot be started."""
        if how == "busy":
            if recipe not in self.waiting:
                self.waiting.append(recipe)
            if recipe not in self._retry_at:
                self.display.line(f"{recipe}: another process is training it, will try again later")
            self._retry_at[recipe] = time.monotonic() + _RETRY_SECONDS
        elif how == "failed":
            if recipe in self.waiting:
                self.waiting.remove(recipe)
            self.failed.add(recipe)
            self.display.line(f"{recipe}: failed: {text.removeprefix(f'{recipe}: ')}")
        elif how == "stopped":
            self.num_stopped += 1
            self.display.line(text)
        else:
            self.num_trained += 1
            self.display.line(f"{recipe}: trained, {text}")

    def rows(self) -> list[str]:
        return [running.row() for running in self.running] + [self.summary()]

    def summary(self) -> str:
        parts = {
            "trained": self.num_trained,
            "running": len(self.running),
            "failed": len(self.failed),
            "stopped at a checkpoint": self.num_stopped,
            "not started": len(self.waiting),
        }
        counts = ", ".join(f"{count} {what}" for what, count in parts.items() if count)
        return f"of {self.total} to train: {counts}"


def train_all(
    recipes: Iterable[Recipe],
    settings: Settings,
    display: LogLines,
    *,
    num_jobs: int = 1,
    num_threads: int = 1,
    minutes: float | None = None,
    start: Callable[[Recipe, Settings, int], Job] = Job,
) -> int:
    """Train what the cache lacks, ``num_jobs`` at a time, and return the exit status.

    The status is 0, 1 where a training failed, or 130 after SIGINT or SIGTERM; after these, and
    when ``minutes`` are over, each job leaves a checkpoint. Raises OSError where the cache cannot
    be written, and DatasetError, a ValueError, for data that is not what it should be.
    """
    started = time.monotonic()
    queue = _Queue(recipes, ModelCache(settings.cache_dir), display)
    queue.cache.check_writable()
    for name in dict.fromkeys(recipe.dataset for recipe in queue.waiting):
        try:  # once, before several jobs would fetch it
            load_dataset(name, data_dir=settings.data_dir, offline=settings.offline)
        except NotMeasured as reason:
            for recipe in [one for one in queue.waiting if one.dataset == name]:
                queue.end(recipe, "failed", str(reason))

    def start_job(recipe: Recipe) -> Job:
        return start(recipe, settings, num_threads)

    caught: list[int] = []
    asked = False
    with _handled(caught):
        while queue.running or (queue.waiting and not asked):
            over = minutes is not None and time.monotonic() - started >= 60 * minutes
            if not asked and (caught or over):
                asked = True
                for running in queue.running:
                    running.job.ask_to_stop()
            while not asked and len(queue.running) < num_jobs and queue.start_next(start_job):
                pass
            queue.listen()
            display.draw(queue.rows())
            time.sleep(_POLL_SECONDS)
    display.draw([])
    for line in (*queue.cache.complaints, queue.summary()):
        display.line(line)
    if caught:
        return 130
    return int(bool(queue.failed))


@contextlib.contextmanager
def _handled(caught: list[int]) -> Iterator[None]:
    """Collect SIGINT and SIGTERM in ``caught``; a second one has its usual effect."""
    before: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, before[number])

    for number in SIGNALS:
        before[number] = signal.getsignal(number)
        signal.signal(number, note)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
