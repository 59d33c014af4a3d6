"""The state of a training, and its checkpoint file, which does without pickle.

The file is the sha256 of the rest in hexadecimal, a line feed, and a safetensors image of the
training's tensors, with its other facts as JSON in the metadata. A running training touches the
file, so that its modification time tells how much work an interruption lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from smallnet_core.data.batches import TrainingBatches
from smallnet_core.recipes import Recipe
from smallnet_core.system.files import remove_leftovers, replace_file

CHECKPOINT_SCHEMA = 1
# Between checkpoints: writing one takes as long as half an epoch of a small network on a GPU.
CHECKPOINT_SECONDS = 60.0
_TOUCH_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One point of the training curve; training figures are running means over augmented images."""

    epoch: int  # from 1
    train_loss: float
    train_accuracy_percent: float
    # On held-out images where the recipe holds some out; None for epochs that are not evaluated.
    test_accuracy_percent: float | None
    seconds: float  # of training, without evaluation


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """A training that was interrupted and resumed from a checkpoint."""

    step: int  # steps done when it resumed
    lost_seconds: float  # of work after the checkpoint, by the file's modification time


class UnusableCheckpoint(Exception):  # noqa: N818 - says what the file is
    """A checkpoint that is damaged or belongs to another training; the message says which."""


class CheckpointFile:
    """The checkpoint of one recipe's training, at ``path``.

    ``context`` holds further facts, as JSON, that must be equal for a resumed training to reproduce
    the same bits, such as data and dtype. Recipe, training version and torch version always must.
    """

    def __init__(self, path: Path, recipe: Recipe, context: Mapping[str, Any]) -> None:
        self.path = path
        self.recipe = recipe
        self.identity = {
            "schema": CHECKPOINT_SCHEMA,
            "recipe": json.loads(json.dumps(recipe.canonical())),
            "fingerprint": recipe.fingerprint(),
            "training_version": recipe.training_version,
            "torch": torch.__version__,
            **context,
        }
        self._touched = 0.0

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint; raises OSError where it cannot be written.

        The old one stays until the new one is completely on disk.
        """
        whole = {"identity": self.identity, "facts": dict(facts)}
        metadata = {"smallnet": json.dumps(whole, sort_keys=True)}
        on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        content = safetensors.torch.save(on_cpu, metadata=metadata)
        digest = hashlib.sha256(content).hexdigest().encode() + b"\n"
        replace_file(self.path, digest, content)
        self._touched = time.monotonic()

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any], float] | None:
        """Read tensors, facts, and the seconds of work lost after it; None where there is no file.

        Raises UnusableCheckpoint where it is damaged or belongs to another training, and OSError
        where it cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                modified = os.fstat(file.fileno()).st_mtime
                digest, content = file.readline(65), file.read()
        except FileNotFoundError:
            return None
        if digest != hashlib.sha256(content).hexdigest().encode() + b"\n":
            raise UnusableCheckpoint(f"{self.path}: damaged, its checksum does not match")
        whole = _metadata(content)
        for key, value in self.identity.items():
            found = whole["identity"].get(key)
            if found != value:
                raise UnusableCheckpoint(
                    f"{self.path}: belongs to another training: {key} is {found!r}, not {value!r}"
                )
        lost_seconds = max(0.0, modified - whole["facts"]["time"])
        return safetensors.torch.load(content), whole["facts"], lost_seconds

    def touch(self) -> None:
        """Update the modification time, at most once a second, to show that work goes on."""
        now = time.monotonic()
        if now - self._touched >= _TOUCH_SECONDS:
            self._touched = now
            with contextlib.suppress(OSError):
                os.utime(self.path)


def steps_done(path: Path) -> int | None:
    """Read a checkpoint's number of steps from its header; None where there is no checkpoint."""
    try:
        with open(path, "rb") as file:
            start = file.read(1 << 20)  # more than any header takes
        return int(_metadata(start[65:])["facts"]["done"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _metadata(content: bytes) -> dict[str, Any]:
    # safetensors.torch.load omits it. The format: 8 bytes of length, then a JSON header.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata: dict[str, Any] = json.loads(header["__metadata__"]["smallnet"])
    return metadata


def on_cpu(model: nn.Module) -> dict[str, Tensor]:
    """Copy the model's state dict to the CPU."""
    return {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, value in model.state_dict().items()
    }


class TrainingState:
    """Everything that changes while a training runs, to be saved in a checkpoint and restored."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: TrainingBatches,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.device = device = batches.labels.device
        self.done = 0  # steps
        # Of the epoch in progress; losses has one entry per step.
        self.losses = torch.zeros(batches.steps_per_epoch, device=device)
        self.hits = torch.zeros((), device=device, dtype=torch.int64)
        self.epoch_seconds = 0.0
        self.curve: list[Epoch] = []
        self.best_epoch = 0  # from 1, in the curve; 0 where the recipe does not select it
        self.best_weights: dict[str, Tensor] = {}
        self.seconds_before = 0.0  # in total, of interrupted runs up to their checkpoint
        self.interruptions: list[Interruption] = []

    def end_epoch(self, result: Epoch, *, keep_best: bool) -> None:
        """Add ``result`` to the curve and reset the sums; of equally good epochs keep the first."""
        self.curve.append(result)
        self.hits.zero_()
        self.epoch_seconds = 0.0
        best = self.curve[self.best_epoch - 1].test_accuracy_percent if self.best_epoch else None
        found = result.test_accuracy_percent
        if keep_best and found is not None and (best is None or found > best):
            self.best_epoch, self.best_weights = len(self.curve), on_cpu(self.model)

    def tensors(self) -> dict[str, Tensor]:
        """Collect weights, optimizer, random states, the order of the data and the epoch's sums."""
        out = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            for key, value in slots.items():
                if isinstance(value, Tensor):
                    out[f"optimizer.{index}.{key}"] = value
        out |= {f"best.{name}": value for name, value in self.best_weights.items()}
        out |= {f"batches.{name}": value for name, value in self.batches.state().items()}
        out["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            out["random.cuda"] = torch.cuda.get_rng_state(self.device)
        out["losses"], out["hits"] = self.losses, self.hits
        return out

    def facts(self) -> dict[str, Any]:
        """Collect what is not a tensor, as JSON values."""
        slots = self.optimizer.state_dict()["state"]
        return {
            "done": self.done,
            "epoch_seconds": self.epoch_seconds,
            "curve": [asdict(epoch) for epoch in self.curve],
            "best_epoch": self.best_epoch,
            "interruptions": [asdict(interruption) for interruption in self.interruptions],
            "optimizer": {
                str(index): {k: v for k, v in values.items() if not isinstance(v, Tensor)}
                for index, values in slots.items()
            },
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore the state that ``tensors()`` and ``facts()`` were taken from."""
        self.model.load_state_dict(_under("model.", tensors))
        slots = {int(index): dict(values) for index, values in facts["optimizer"].items()}
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            p = params[int(index)]
            # With its parameter's strides: the file has none, and mixed ones are slow.
            if value.shape == p.shape:
                value = torch.empty_like(p, dtype=value.dtype).copy_(value)
            slots[int(index)][key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        best = _under("best.", tensors)
        # In the model's order, which the file does not keep.
        self.best_weights = {name: best[name] for name in self.model.state_dict() if name in best}
        self.batches.restore(_under("batches.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.losses.copy_(tensors["losses"])
        self.hits.copy_(tensors["hits"])
        self.done, self.epoch_seconds = facts["done"], facts["epoch_seconds"]
        self.seconds_before = facts["seconds"]
        self.curve = [Epoch(**values) for values in facts["curve"]]
        self.best_epoch = facts["best_epoch"]
        self.interruptions = [Interruption(**values) for values in facts["interruptions"]]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


class CheckpointKeeper:
    """Writes a training's state to its file at intervals, and restores it from there."""

    def __init__(
        self, file: CheckpointFile, state: TrainingState, note: Callable[[str], None]
    ) -> None:
        self.file = file
        self.state = state
        self.note = note
        self._failed = False
        self._start = self._kept = time.perf_counter()

    def resume(self) -> None:
        """Restore the state from the file; note what was lost, or why the file was not used.

        Then write a new one, from which a later resumption can tell how much work was lost.
        """
        remove_leftovers(self.file.path)
        try:
            found = self.file.read()
        except (UnusableCheckpoint, OSError) as reason:
            self.note(f"not resumed: {reason}")
            found = None
        if found is not None:
            tensors, facts, lost_seconds = found
            self.state.restore(tensors, facts)
            self.state.interruptions.append(
                Interruption(step=self.state.done, lost_seconds=lost_seconds)
            )
            self.note(
                f"{self.file.recipe}: resumed after step {self.state.done}, "
                f"{lost_seconds:.1f} s of work were lost"
            )
        self.keep()

    def keep(self) -> float:
        """Write a checkpoint; return how long that took, in seconds."""
        start = time.perf_counter()
        facts = self.state.facts()
        facts["seconds"] = self.state.seconds_before + start - self._start
        facts["time"] = time.time()
        try:
            self.file.write(self.state.tensors(), facts)
        except OSError as error:
            if not self._failed:
                self.note(
                    f"{self.file.path}: checkpoint not written ({error}); the training continues"
                )
            self._failed = True
        self._kept = time.perf_counter()
        return self._kept - start

    def keep_if_due(self) -> float:
        """Write one if the last is CHECKPOINT_SECONDS old, else touch it; return seconds taken."""
        if time.perf_counter() - self._kept >= CHECKPOINT_SECONDS:
            return self.keep()
        self.file.touch()
        return 0.0
