"""A training in a process of its own: its input, its messages, and how it ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from smallnet_core.lab.cache import Busy
from smallnet_core.lab.settings import Settings, duration
from smallnet_core.lab.workbench import Workbench
from smallnet_core.recipes import Recipe
from smallnet_core.records import NotMeasured
from smallnet_core.training.checkpoints import Epoch
from smallnet_core.training.loop import BatchTooLarge, Interrupted
from smallnet_core.training.progress import Progress

# The last message of a job, with a line of text; "busy": another process is training the recipe.
ENDS = ("trained", "busy", "stopped", "failed")
SIGNALS = {signal.SIGINT, signal.SIGTERM}


class _PipeProgress(Progress):
    """Sends progress to the process that started the job; steps twice a second."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.done = 0
        self._last_step_sent = 0.0

    def send(self, kind: str, value: Any) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, which should_stop notices as well
            self.connection.send((kind, value))

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None:
        self.done = done
        self.send("start", (total_steps, done))

    def note(self, line: str) -> None:
        self.send("note", line)

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self._last_step_sent >= 0.5:
            self._last_step_sent = now
            self.send("step", self.done)

    def epoch(self, result: Epoch) -> None:
        self.send("epoch", result)


def work(recipe: Recipe, settings: Settings, num_threads: int, connection: Connection) -> None:
    """Train in this process until it ends, a message arrives, or the parent is gone."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    progress = _PipeProgress(connection)

    def should_stop() -> bool:
        return asked or connection.poll()  # true at the end of the pipe, too

    torch.set_num_threads(num_threads)
    try:
        end = _train(recipe, Workbench(settings, progress, should_stop))
    except Busy as busy:
        end = "busy", str(busy)
    except Interrupted as stopped:
        end = "stopped", str(stopped)
    except (NotMeasured, BatchTooLarge, OSError) as error:
        end = "failed", str(error)
    except Exception as error:
        [*_, frame] = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        end = "failed", f"{type(error).__name__}: {error} ({where})"
    progress.send(*end)


def _train(recipe: Recipe, bench: Workbench) -> tuple[str, str]:
    bench.train([recipe], blocking=False)
    model = bench.model(recipe)
    if model.origin.startswith("diverged"):
        return "failed", model.origin
    if "weights_sha256" not in model.record:  # a full disk
        return "failed", "; ".join(bench.cache.complaints)
    seconds, accuracy = model.record["total_seconds"], model.record["test_accuracy_percent"]
    return "trained", f"{accuracy:.2f} % of test images in {duration(seconds)}"


class Job:
    """A training in a process of its own, from the moment the job is constructed."""

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        num_threads: int,
        target: Callable[[Recipe, Settings, int, Connection], None] = work,
        context: Any = None,
    ) -> None:
        context = context or multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        args = recipe, settings, num_threads, theirs
        self.process = context.Process(target=target, args=args, daemon=True)
        # Blocked until ``work`` has its handlers.
        multiprocessing.resource_tracker.ensure_running()  # starting it would unblock them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._ended = False

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Yield new messages: "start" (total, done), "step" done, "epoch", "note", and the end.

        The end, one of ENDS, is yielded exactly once, even if the process was killed.
        """
        try:
            while not self._ended and self.connection.poll():
                kind, value = self.connection.recv()
                if kind in ENDS:
                    self._join()
                yield kind, value
        except (EOFError, OSError):
            self._join()
            code = self.process.exitcode
            how = f"was killed by signal {-code}" if code and code < 0 else f"ended with {code}"
            yield "failed", f"its process {how}"

    def ask_to_stop(self) -> None:
        """Ask the job to stop at a checkpoint; it sends "stopped" once it has."""
        with contextlib.suppress(OSError):
            self.connection.send("stop")

    def _join(self) -> None:
        self._ended = True
        self.process.join()
        self.connection.close()
