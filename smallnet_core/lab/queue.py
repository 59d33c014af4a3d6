"""``smallnet train`` and ``smallnet publish``: trainings beside each other, a process each.

What a job does is ``work``, the code that the benchmarks train with. Where it runs is the business
of an executor, a function that starts a ``Job`` and returns how to follow it: ``start_process``.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch

from smallnet_core.data.datasets import load_dataset
from smallnet_core.lab.cache import Busy, ModelCache, in_float16
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.sparse import stored_bytes
from smallnet_core.lab.workbench import NUM_IMAGES, Workbench
from smallnet_core.pruning.masks import count_nonzeros
from smallnet_core.recipes import Recipe
from smallnet_core.records import NotMeasured
from smallnet_core.system.machine import resolve_device
from smallnet_core.training.checkpoints import Epoch, steps_done
from smallnet_core.training.estimates import estimate_seconds
from smallnet_core.training.loop import (
    IMAGE_SIDE,
    BatchTooLarge,
    Interrupted,
    side_of_epoch,
)
from smallnet_core.training.progress import LogLines

__all__ = [
    "Job",
    "Outcome",
    "Running",
    "State",
    "listing",
    "ordered",
    "publish",
    "start_process",
    "state_of",
    "train_all",
    "work",
]

# --- A job ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training, with all that another process needs for it."""

    recipe: Recipe
    settings: Settings
    num_threads: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended: "trained", "busy" (somebody else is at it), "stopped" or "failed"."""

    status: str
    text: str = ""  # a line for people


class Running(Protocol):
    """A job that was started."""

    def told(self) -> Iterator[tuple[str, Any]]:
        """What it has said since: "start" (total, done), "step" done, "epoch", "note", "outcome".

        The outcome comes last, exactly once, whatever became of the job.
        """
        ...

    def ask_to_stop(self) -> None:
        """Have it end at a checkpoint; it tells the outcome when it has."""
        ...


Executor = Callable[[Job], Running]


class _Telling:
    """A Progress that tells whoever started the job, steps twice a second."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.done = 0
        self._told = 0.0

    def tell(self, kind: str, value: Any) -> None:
        with contextlib.suppress(OSError):  # nobody is there any more: should_stop sees that too
            self.connection.send((kind, value))

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None:
        self.done = done
        self.tell("start", (total_steps, done))

    def note(self, line: str) -> None:
        self.tell("note", line)

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self._told >= 0.5:
            self._told = now
            self.tell("step", self.done)

    def epoch(self, result: Epoch) -> None:
        self.tell("epoch", result)

    def close(self) -> None: ...


def work(job: Job, connection: Connection) -> None:
    """Do a job in this process; it stops when anything comes in, or nobody is at the other end."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent asks
    _unblock_signals()
    telling = _Telling(connection)

    def should_stop() -> bool:
        return asked or connection.poll()  # true at the end of the pipe, too

    torch.set_num_threads(job.num_threads)
    try:
        outcome = _outcome(job, telling, should_stop)
    except Busy:
        outcome = Outcome(status="busy")
    except Interrupted as stopped:
        outcome = Outcome(status="stopped", text=str(stopped))
    except (NotMeasured, BatchTooLarge, OSError) as error:
        outcome = Outcome(status="failed", text=str(error))
    except Exception as error:
        [*_, frame] = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        outcome = Outcome(status="failed", text=f"{type(error).__name__}: {error} ({where})")
    telling.tell("outcome", outcome)


def _outcome(job: Job, telling: _Telling, should_stop: Callable[[], bool]) -> Outcome:
    bench = Workbench(job.settings, telling, should_stop)
    bench.train([job.recipe], blocking=False)
    model = bench.model(job.recipe)
    if model.origin.startswith("diverged"):
        return Outcome(status="failed", text=model.origin)
    if "weights_sha256" not in model.record:  # a full disk
        return Outcome(status="failed", text="; ".join(bench.cache.complaints))
    seconds, accuracy = model.record["total_seconds"], model.record["test_accuracy_percent"]
    return Outcome(
        status="trained", text=f"{accuracy:.2f} % of test images in {_duration(seconds)}"
    )


_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def _unblock_signals() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


class LocalProcess:
    """A job in a process of this machine."""

    def __init__(
        self,
        job: Job,
        target: Callable[[Job, Connection], None] = work,
        context: Any = None,
    ) -> None:
        context = context or multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=target, args=(job, theirs), daemon=True)
        threads = str(job.num_threads)
        names = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"
        with _environment(dict.fromkeys(names, threads)), _signals_blocked():
            self.process.start()
        theirs.close()
        self._ended = False

    def told(self) -> Iterator[tuple[str, Any]]:
        try:
            while not self._ended and self.connection.poll():
                kind, value = self.connection.recv()
                self._ended = kind == "outcome"
                if self._ended:
                    self._join()
                yield kind, value
        except (EOFError, OSError):
            self._ended = True
            self._join()
            code = self.process.exitcode
            how = f"was killed by signal {-code}" if code and code < 0 else f"ended with {code}"
            yield "outcome", Outcome(status="failed", text=f"its process {how}")

    def ask_to_stop(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.send("stop")

    def _join(self) -> None:
        self.process.join()
        self.connection.close()


def start_process(job: Job) -> Running:
    """The executor for this machine."""
    return LocalProcess(job)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets the variables for processes that are started in here: torch reads them at its start."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process that is started in here has them blocked until ``work`` knows what to do."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    multiprocessing.resource_tracker.ensure_running()  # whose own start would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- The queue -----------------------------------------------------------------------------------

_LOOK_SECONDS = 0.1  # between two looks at the jobs
_LOCK_SECONDS = 2.0  # between two looks at what somebody else is training


class _Watched:
    """What the table shows of a job."""

    def __init__(self, recipe: Recipe, running: Running) -> None:
        self.recipe = recipe
        self.running = running
        self.steps_per_epoch = 1.0
        self.first = self.done = 0.0  # epochs, since the recipe's first
        self.began = time.monotonic()
        self.accuracy = ""

    def hear(self, kind: str, value: Any) -> None:
        if kind == "start":
            total, done = value
            self.steps_per_epoch = total / self.recipe.end_epoch
            self.first = self.done = done / self.steps_per_epoch
            self.began = time.monotonic()
        elif kind == "step":
            self.done = value / self.steps_per_epoch
        elif kind == "epoch":
            self.done = float(value.epoch)
            if value.test_accuracy_percent is not None:
                self.accuracy = f"test {value.test_accuracy_percent:.2f} %"

    def row(self) -> str:
        end = self.recipe.end_epoch
        epoch = f"epoch {min(int(self.done) + 1, end)}/{end}"
        at_first, now = (_work_left(self.recipe, done) for done in (self.first, self.done))
        left = ""
        if now < at_first:
            seconds = (time.monotonic() - self.began) * now / (at_first - now)
            left = f"{_duration(seconds)} left"
        return f"{label(self.recipe):<39}{epoch:<14}{self.accuracy:<13}{left:>13}"


def _work_left(recipe: Recipe, epochs_done: float) -> float:
    """In epochs of whole images; smaller ones take less time."""
    return sum(
        (side_of_epoch(recipe, epoch, IMAGE_SIDE) / IMAGE_SIDE) ** 2
        * min(1.0, max(0.0, epoch + 1 - epochs_done))
        for epoch in range(recipe.first_epoch, recipe.end_epoch)
    )


class _Queue:
    def __init__(
        self, recipes: Iterable[Recipe], settings: Settings, display: LogLines, num_threads: int
    ) -> None:
        self.cache = ModelCache(settings.cache_dir)
        self.settings = settings
        self.display = display
        self.num_threads = num_threads
        self.waiting = list(recipes)
        self.total = len(self.waiting)
        self.running: list[_Watched] = []
        self.failed: set[Recipe] = set()
        self.num_trained = 0
        self.num_stopped = 0
        self._look_again: dict[Recipe, float] = {}  # when, at what others are training

    def start_next(self, start: Executor) -> bool:
        """Start the first that can be; False where there is none now."""
        for recipe in tuple(self.waiting):
            ancestors = set(recipe.ancestors())
            if ancestors & self.failed:
                self._fail(recipe, "what it is pruned from failed")
                continue
            busy = {*self.waiting, *(watched.recipe for watched in self.running)}
            if ancestors & busy or time.monotonic() < self._look_again.get(recipe, 0.0):
                continue
            if self.cache.load(recipe) is not None:
                self.waiting.remove(recipe)
                self.num_trained += 1
                self.display.line(f"{recipe}: another process has trained it")
            elif self._is_locked(recipe):
                self._come_back(recipe)
            else:
                self.waiting.remove(recipe)
                job = Job(recipe=recipe, settings=self.settings, num_threads=self.num_threads)
                self.running.append(_Watched(recipe, start(job)))
                return True
        return False

    def listen(self) -> None:
        for watched in tuple(self.running):
            for kind, value in watched.running.told():
                watched.hear(kind, value)
                if kind == "note":
                    self.display.line(value)
                elif kind == "epoch":
                    test = f"{watched.accuracy}, " if value.test_accuracy_percent else ""
                    self.display.epoch(
                        f"{watched.recipe}: epoch {value.epoch} of {watched.recipe.end_epoch}, "
                        f"loss {value.train_loss:.3f}, train {value.train_accuracy_percent:.2f} %, "
                        f"{test}{value.seconds:.0f} s"
                    )
                elif kind == "outcome":
                    self.running.remove(watched)
                    self._end(watched.recipe, value)

    def _end(self, recipe: Recipe, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self._fail(recipe, outcome.text)
        elif outcome.status == "busy":
            self.waiting.append(recipe)
            self._come_back(recipe)
        elif outcome.status == "stopped":
            self.num_stopped += 1
            self.display.line(outcome.text)
        else:
            self.num_trained += 1
            self.display.line(f"{recipe}: trained, {outcome.text}")

    def _fail(self, recipe: Recipe, reason: str) -> None:
        if recipe in self.waiting:
            self.waiting.remove(recipe)
        self.failed.add(recipe)
        prefix = f"{recipe}: "
        self.display.line(f"{prefix}failed: {reason.removeprefix(prefix)}")

    def _come_back(self, recipe: Recipe) -> None:
        if recipe not in self._look_again:
            self.display.line(f"{recipe}: another process is training it, coming back later")
        self._look_again[recipe] = time.monotonic() + _LOCK_SECONDS

    def _is_locked(self, recipe: Recipe) -> bool:
        try:
            with self.cache.lock(recipe, blocking=False):
                return False
        except Busy:
            return True

    def rows(self) -> list[str]:
        return [watched.row() for watched in self.running] + [self.summary()]

    def summary(self) -> str:
        parts = {
            "trained": self.num_trained,
            "running": len(self.running),
            "failed": len(self.failed),
            "stopped at a checkpoint": self.num_stopped,
            "not begun": len(self.waiting),
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
    start: Executor = start_process,
) -> int:
    """Train what the cache lacks, so many at once; the exit status.

    0, 1 where one failed, 130 where SIGINT or SIGTERM ended it: then, as after so many ``minutes``,
    each job has left a checkpoint. Raises OSError where the cache cannot be written, and
    DatasetError, a ValueError, for data that is not what it should be.
    """
    started = time.monotonic()
    queue = _Queue(recipes, settings, display, num_threads)
    queue.cache.check_writable()
    for name in dict.fromkeys(recipe.dataset for recipe in queue.waiting):
        try:  # once, before several jobs fetch it
            load_dataset(name, data_dir=settings.data_dir, offline=settings.offline)
        except NotMeasured as reason:
            for recipe in [one for one in queue.waiting if one.dataset == name]:
                queue._fail(recipe, str(reason))
    caught: list[int] = []
    asked = False
    with _handled(caught):
        while queue.running or (queue.waiting and not asked):
            over = minutes is not None and time.monotonic() - started >= 60 * minutes
            if not asked and (caught or over):
                asked = True
                for watched in queue.running:
                    watched.running.ask_to_stop()
            while not asked and len(queue.running) < num_jobs and queue.start_next(start):
                pass
            queue.listen()
            display.draw(queue.rows())
            time.sleep(_LOOK_SECONDS)
    display.draw([])
    for line in (*queue.cache.complaints, queue.summary()):
        display.line(line)
    if caught:
        return 130
    return int(bool(queue.failed))


@contextlib.contextmanager
def _handled(caught: list[int]) -> Iterator[None]:
    """SIGINT and SIGTERM are noted in ``caught``; a second one has its usual effect."""
    before: dict[int, Any] = {}

    def note(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, before[number])

    for number in _SIGNALS:
        before[number] = signal.getsignal(number)
        signal.signal(number, note)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


# --- What there is to do -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class State:
    """What there is of a recipe's training."""

    text: str  # "zoo", "cache", "recorded", "checkpoint at epoch 7 of 25", "nothing"
    is_done: bool  # no claim waits for it
    has_weights: bool
    epochs_done: float = 0.0


def state_of(cache: ModelCache, recipe: Recipe) -> State:
    if _is_record_alone(cache.zoo, recipe) and not (cache.folder / f"{recipe.name}.json").exists():
        return State(text="recorded", is_done=True, has_weights=False)
    model = cache.load(recipe)
    if model is not None:
        return State(text=model.origin, is_done=True, has_weights=True)
    done = steps_done(cache.checkpoint(recipe))
    if done is None:
        return State(text="nothing", is_done=False, has_weights=False)
    steps_per_epoch = (NUM_IMAGES[recipe.dataset][0] - recipe.holdout) // recipe.batch_size
    epochs = done / steps_per_epoch
    return State(
        text=f"checkpoint at epoch {int(epochs)} of {recipe.end_epoch}",
        is_done=False,
        has_weights=False,
        epochs_done=epochs,
    )


def _is_record_alone(folder: Path, recipe: Recipe) -> bool:
    try:
        record = json.loads((folder / f"{recipe.name}.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("weights") is False


def to_do(recipes: Iterable[Recipe], cache: ModelCache) -> dict[Recipe, State]:
    """What the claims lack of these, and of what that is pruned from."""
    states = {recipe: state_of(cache, recipe) for recipe in recipes}
    missing = [recipe for recipe, state in states.items() if not state.is_done]
    ancestors = {one for recipe in missing for one in recipe.ancestors()}
    return {
        recipe: state
        for recipe, state in states.items()
        if not state.is_done or (recipe in ancestors and not state.has_weights)
    }


def seconds_left(recipe: Recipe, state: State, device: torch.device) -> float:
    """Roughly, by a timing that all recipes of a network share."""
    num_train, num_test = NUM_IMAGES[recipe.dataset]
    whole = estimate_seconds(
        recipe, num_train=num_train, num_test=num_test, device=device, rough=True
    )
    return whole * _work_left(recipe, state.epochs_done) / _work_left(recipe, 0.0)


def ordered(states: Mapping[Recipe, State], device: torch.device) -> list[Recipe]:
    """Cheapest first; what they are pruned from comes before that."""
    costs = {
        recipe: 0.0 if state.is_done else seconds_left(recipe, state, device)
        for recipe, state in states.items()
    }
    out: dict[Recipe, None] = {}
    for recipe in sorted(costs, key=costs.__getitem__):
        out |= dict.fromkeys(one for one in (*recipe.ancestors(), recipe) if one in states)
    return list(out)


def listing(
    wanted: Mapping[Recipe, Sequence[str]], settings: Settings, *, as_given: bool
) -> list[str]:
    """A table of 80 columns: what there is of each recipe, who needs it, and what it would take."""
    cache = ModelCache(settings.cache_dir)
    device = resolve_device(settings.device)
    states = {recipe: state_of(cache, recipe) for recipe in wanted}
    lacking = to_do(wanted, cache)
    order = list(wanted) if as_given else ordered(states, device)
    head = f"{'recipe':<39}{'state':<28}{'claims':>6}{'hours':>7}"
    lines = [head, "-" * len(head)]
    total = 0.0
    for recipe in order:
        hours = ""
        if recipe in lacking:
            seconds = seconds_left(recipe, states[recipe], device)
            total += seconds
            hours = f"{seconds / 3600:.2f}"
        lines.append(
            f"{label(recipe):<39}{states[recipe].text:<28}{len(wanted[recipe]):>6}{hours:>7}"
        )
    lines.append(f"{len(lacking)} of {len(order)} to train, {total / 3600:.1f} hours here")
    return [*lines, *cache.complaints]


def label(recipe: Recipe) -> str:
    """Network, optimizer, dataset, kind and seed, in at most 38 characters."""
    kind = recipe.kind
    if recipe.pruning is not None:
        pruning = recipe.pruning
        kind = "masked" if pruning.structure == "weights" else "pruned"
        kind = {"fresh": "fresh", "rewound": "ticket"}.get(pruning.weights, kind)
        size = pruning.max_params
        kind += f" {size // 1_000_000}m" if size >= 1_000_000 else f" {size // 1000}k"
    elif recipe.stop_epoch is not None:
        kind += " start"
    return f"{recipe.network} {recipe.optimizer.name} {recipe.dataset} {kind} {recipe.seed}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# --- Publishing ----------------------------------------------------------------------------------

MAX_ZOO_BYTES = 48 * 2**20
MAX_WEIGHT_BYTES = 2 * 10**6
MAX_PARAMS = 1_000_000


def publish(recipes: Iterable[Recipe], settings: Settings, display: LogLines) -> int:
    """Put what the cache has trained into the zoo; the exit status, 1 where one was refused."""
    bench = Workbench(settings)
    zoo = bench.cache.zoo
    num_published = num_there = num_missing = num_refused = 0
    for recipe in recipes:
        state = state_of(bench.cache, recipe)
        if (zoo / f"{recipe.name}.json").exists():
            num_there += 1
            continue
        if not state.has_weights:
            num_missing += 1
            continue
        model = bench.model(recipe)
        stored = stored_bytes(in_float16(model.state_dict)).sparse
        small = stored < MAX_WEIGHT_BYTES or count_nonzeros(bench.network(model)) < MAX_PARAMS
        # The record: its curve, a bit an image, the confusion matrix of 100 classes.
        size = (stored if small else 0) + 100_000
        taken = sum(path.stat().st_size for path in zoo.rglob("*") if path.is_file())
        try:
            if taken + size > MAX_ZOO_BYTES:
                raise NotMeasured(
                    f"{size / 2**20:.1f} MiB more would make the zoo larger than "
                    f"{MAX_ZOO_BYTES / 2**20:.0f} MiB"
                )
            accuracy = bench.publish(recipe, weights=small)
        except (NotMeasured, OSError) as reason:
            num_refused += 1
            display.line(f"{recipe}: not published: {reason}")
            continue
        num_published += 1
        what = "with its weights" if small else "its record alone"
        display.line(f"{recipe}: published, {what}, {accuracy:.2f} %")
    for complaint in bench.cache.complaints:
        display.line(complaint)
    display.line(
        f"{num_published} published, {num_there} in the zoo already, {num_missing} not trained, "
        f"{num_refused} refused"
    )
    return int(num_refused > 0)
