"""A training step recorded once on a GPU and replayed: one launch instead of hundreds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from smallnet_core.system.machine import is_out_of_memory, synchronize

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# Runs a function without effect, recording it; its outputs, and what repeats it into them.
Record = Callable[[Step, Tensor, Tensor], tuple[tuple[Tensor, Tensor], Callable[[], None]]]

WARM_UP_STEPS = 3


def record_cuda_graph(
    step: Step, x: Tensor, y: Tensor
) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
    """Record a CUDA graph; what other threads do meanwhile, pinning memory say, is no failure."""
    graph = torch.cuda.CUDAGraph()
    # torch.cuda.graph leaves its stream the current one when recording fails: the outer one not.
    with (
        torch.cuda.device(x.device),
        torch.cuda.stream(torch.cuda.current_stream(x.device)),
        torch.cuda.graph(graph, capture_error_mode="thread_local"),
    ):
        outputs = step(x, y)
    return outputs, graph.replay


class GraphedStep:
    """``step`` as a CUDA graph, recorded when it first meets a shape of images.

    Recording needs a few steps before it, for libraries to choose their kernels and optimizers to
    allocate their state; weights, state and random numbers are put back afterwards, so that a
    training is the same as without. The returned tensors are overwritten by the next step. The
    optimizer must be capturable, with its state in tensors and its rates in tensors that are
    changed in place.

    Where recording fails for another reason than memory, a warning says so and steps run eagerly.
    """

    def __init__(
        self,
        step: Step,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        record: Record = record_cuda_graph,
    ) -> None:
        self.step = step
        self.model = model
        self.optimizer = optimizer
        self.record: Record | None = record
        self.recording_seconds = 0.0  # so far, warm-up included
        # By shape of images: inputs, outputs, replay.
        self._recorded: dict[
            torch.Size,
            tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Callable[[], None]],
        ] = {}

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.record is not None and x.shape not in self._recorded:
            self._add_recording(self.record, x, y)
        if x.shape not in self._recorded:
            return self.step(x, y)
        (static_x, static_y), outputs, replay = self._recorded[x.shape]
        static_x.copy_(x)
        static_y.copy_(y)
        replay()
        return outputs

    def _add_recording(self, record: Record, x: Tensor, y: Tensor) -> None:
        synchronize(x.device)
        start = time.perf_counter()
        inputs = x.clone(), y.clone()
        self._warm_up(*inputs)
        try:
            self._recorded[x.shape] = inputs, *record(self.step, *inputs)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.record = None
            warnings.warn(f"no CUDA graph of a step, which run eagerly: {error}", stacklevel=3)
        synchronize(x.device)
        self.recording_seconds += time.perf_counter() - start

    def _warm_up(self, x: Tensor, y: Tensor) -> None:
        """Run some steps and undo what they did."""
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        slots = {
            (p, key): value.clone()
            for p, values in self.optimizer.state.items()
            for key, value in _tensors(values).items()
        }
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            _beside(x.device, lambda: [self.step(x, y) for _ in range(WARM_UP_STEPS)])
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                value.copy_(weights[name])
            for p, values in self.optimizer.state.items():
                for key, value in _tensors(values).items():
                    if (p, key) in slots:
                        value.copy_(slots[p, key])
                    else:
                        value.zero_()  # as every optimizer of ours begins


def recording_seconds(step: Step) -> float:
    """How long ``step`` has been recorded so far, in seconds; 0 for one that is no graph."""
    return step.recording_seconds if isinstance(step, GraphedStep) else 0.0


def _tensors(values: dict[str, Any]) -> dict[str, Tensor]:
    found = {key: value for key, value in values.items() if isinstance(value, Tensor)}
    others = {key for key, value in values.items() if value is not None} - found.keys()
    assert not others, f"state outside tensors cannot be replayed: {', '.join(sorted(others))}"
    return found


def _beside(device: torch.device, run: Callable[[], Any]) -> None:
    """Run on a stream of its own, as CUDA graphs want their warm-up."""
    if device.type != "cuda":
        run()
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream(device).wait_stream(stream)
