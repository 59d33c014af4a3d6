"""Show trainings as they run: bars under pytest, a live table for a queue, lines in a log."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from smallnet_core.recipes import Recipe
    from smallnet_core.training.checkpoints import Epoch


class Progress:
    """Receives a training's steps (without losses) and epochs; the base class ignores them."""

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None:
        """Begin a training of ``total_steps``, of which ``done`` are already done."""

    def note(self, line: str) -> None:
        """Show a line to the user."""

    def step(self) -> None:
        """Count a step that was queued on the device."""

    def epoch(self, result: Epoch) -> None:
        """Show the results of an epoch."""

    def close(self) -> None:
        """End the training, whether or not it succeeded."""


class Notes(Progress):
    """Progress without a terminal: only notes, one line each."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def note(self, line: str) -> None:
        self.stream.write(f"\n{line}\n")  # pytest's own line is still open
        self.stream.flush()


class ProgressBar(Notes):
    """One bar per training on ``stream``, with the last epoch's loss and accuracies.

    The bar counts steps queued on the device, so that drawing it never waits for the device.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.bar: tqdm[None] = tqdm(disable=True)

    def start(self, recipe: Recipe, total_steps: int, done: int = 0) -> None:
        self.stream.write("\n")  # pytest's own line is still open
        self.bar = tqdm(
            total=total_steps,
            initial=done,
            desc=str(recipe),
            file=self.stream,
            unit="step",
            mininterval=0.5,
        )

    def step(self) -> None:
        self.bar.update()

    def epoch(self, result: Epoch) -> None:
        text = (
            f"epoch {result.epoch}, loss {result.train_loss:.3f}, "
            f"train {result.train_accuracy_percent:.2f} %"
        )
        if result.test_accuracy_percent is not None:
            text += f", test {result.test_accuracy_percent:.2f} %"
        self.bar.set_postfix_str(text)

    def close(self) -> None:
        self.bar.close()


class LogLines:
    """A queue's progress without a terminal: one line for each event and each epoch."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def line(self, text: str) -> None:
        """Show an event."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def epoch(self, text: str) -> None:
        """Show the results of an epoch."""
        self.line(text)

    def draw(self, rows: Sequence[str]) -> None:
        """Show the jobs' current rows; a log has none."""


class LiveTable(LogLines):
    """A queue's progress on a terminal: lines for events, and below them rows redrawn in place."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.rows: list[str] = []

    def line(self, text: str) -> None:
        self._replace(self.rows, above=f"{text}\n")

    def epoch(self, text: str) -> None: ...

    def draw(self, rows: Sequence[str]) -> None:
        width = shutil.get_terminal_size().columns - 1  # one less: a full line may wrap
        cut = [row[:width] for row in rows]
        if cut != self.rows:
            self._replace(cut)

    def _replace(self, rows: list[str], above: str = "") -> None:
        # Moves up to the start of the first row and clears everything below.
        back = f"\x1b[{len(self.rows)}F\x1b[J" if self.rows else ""
        self.stream.write(back + above + "".join(f"{row}\n" for row in rows))
        self.stream.flush()
        self.rows = rows
