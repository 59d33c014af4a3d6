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


def write_checkpoint(
    path: Path, identity: Mapping[str, Any], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Replace the checkpoint, once the new one is completely on disk; raises OSError."""
    whole = {"identity": identity, "facts": facts}
    metadata = {"smallnet": json.dumps(whole, sort_keys=True)}
    on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(on_cpu, metadata=metadata)
    digest = hashlib.sha256(content).hexdigest().encode() + b"\n"
    replace_file(path, digest, content)


def _read_checkpoint(
    path: Path, identity: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any], float] | None:
    """Read tensors, facts, and the seconds of work lost after them; None where there is no file.

    Raises ValueError where it is damaged or belongs to another training, and OSError where it
    cannot be read.
    """
    try:
        with open(path, "rb") as file:
            modified = os.fstat(file.fileno()).st_mtime
            digest, content = file.readline(65), file.read()
    except FileNotFoundError:
        return None
    if digest != hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise ValueError(f"{path}: damaged, its checksum does not match")
    whole = _metadata(content)
    for key, value in identity.items():
        found = whole["identity"].get(key)
        if found != value:
            raise ValueError(
                f"{path}: belongs to another training: {key} is {found!r}, not {value!r}"
            )
    lost_seconds = max(0.0, modified - whole["facts"]["time"])
    return safetensors.torch.load(content), whole["facts"], lost_seconds


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

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Collect the state: tensors, and everything else as JSON values."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        tensors |= {f"batches.{name}": value for name, value in self.batches.state().items()}
        slots: dict[str, dict[str, Any]] = {}
        for index, values in self.optimizer.state_dict()["state"].items():
            slots[str(index)] = {}
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
                else:
                    slots[str(index)][key] = value
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        tensors["losses"], tensors["hits"] = self.losses, self.hits
        facts = {
            "done": self.done,
            "epoch_seconds": self.epoch_seconds,
            "curve": [asdict(epoch) for epoch in self.curve],
            "best_epoch": self.best_epoch,
            "interruptions": [asdict(interruption) for interruption in self.interruptions],
            "optimizer": slots,
        }
        return tensors, facts

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore a ``snapshot``, whose facts have gained ``seconds``, in total so far."""
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


class Checkpoint:
    """Writes a training's state to ``path`` at intervals, and restores it; without path, nothing.

    ``context`` holds further facts, as JSON, that must be equal for a resumed training to reproduce
    the same bits, such as data and dtype. Recipe, training version and torch version always must.
    """

    def __init__(
        self,
        path: Path | None,
        recipe: Recipe,
        context: Mapping[str, Any],
        state: TrainingState,
        note: Callable[[str], None],
    ) -> None:
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
        self.state = state
        self.note = note
        self._failed = False
        self._start = self._kept = self._touched = time.perf_counter()

    def resume(self) -> None:
        """Restore the state from the file; note what was lost, or why the file was not used.

        Then write a new one, from which a later resumption can tell how much work was lost.
        """
        if self.path is None:
            return
        remove_leftovers(self.path)
        try:
            found = _read_checkpoint(self.path, self.identity)
        except (ValueError, OSError) as reason:
            self.note(f"not resumed: {reason}")
            found = None
        if found is not None:
            tensors, facts, lost = found
            self.state.restore(tensors, facts)
            self.state.interruptions.append(Interruption(step=self.state.done, lost_seconds=lost))
            self.note(
                f"{self.recipe}: resumed after step {self.state.done}, "
                f"{lost:.1f} s of work were lost"
            )
        self.keep()

    def keep(self) -> float:
        """Write a checkpoint; return how long that took, in seconds."""
        if self.path is None:
            return 0.0
        start = time.perf_counter()
        tensors, facts = self.state.snapshot()
        facts["seconds"] = self.state.seconds_before + start - self._start
        facts["time"] = time.time()
        try:
            write_checkpoint(self.path, self.identity, tensors, facts)
        except OSError as error:
            if not self._failed:
                self.note(f"{self.path}: checkpoint not written ({error}); the training continues")
            self._failed = True
        self._kept = self._touched = time.perf_counter()
        return self._kept - start

    def keep_if_due(self) -> float:
        """Write one if the last is CHECKPOINT_SECONDS old, else touch it; return seconds taken."""
        now = time.perf_counter()
        if now - self._kept >= CHECKPOINT_SECONDS:
            return self.keep()
        if self.path is not None and now - self._touched >= _TOUCH_SECONDS:
            self._touched = now
            with contextlib.suppress(OSError):
                os.utime(self.path)
        return 0.0
