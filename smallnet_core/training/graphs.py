"""Training steps as CUDA graphs: recorded once and replayed, one launch instead of hundreds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from smallnet_core.system.machine import is_out_of_memory, synchronize

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# Records a step without executing it; returns its outputs, and a function that replays into them.
Record = Callable[[Step, Tensor, Tensor], tuple[tuple[Tensor, Tensor], Callable[[], None]]]

WARM_UP_STEPS = 3


def record_cuda_graph(
    step: Step, x: Tensor, y: Tensor
) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
    """Record a CUDA graph, while other threads may use CUDA too, for example to pin memory."""
    graph = torch.cuda.CUDAGraph()
    # If recording fails, torch.cuda.graph leaves its stream current; the outer context restores it.
    with (
        torch.cuda.device(x.device),
        torch.cuda.stream(torch.cuda.current_stream(x.device)),
        torch.cuda.graph(graph, capture_error_mode="thread_local"),
    ):
        outputs = step(x, y)
    return outputs, graph.replay


class GraphedStep:
    """``step`` as a CUDA graph, recorded at the first batch of each image shape.

    Recording needs a few warm-up steps, in which libraries choose kernels and optimizers allocate
    their state; weights, state and random numbers are restored afterwards, so that training is the
    same as without graphs. The returned tensors are overwritten by the next step. The optimizer
    must be capturable, with its state in tensors and its rates in tensors that are changed in
    place.

    Where recording fails, except for lack of memory, it warns and steps run eagerly.
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
        self.recording_seconds = 0.0  # so far, including warm-up
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
            warnings.warn(f"cannot record a CUDA graph, steps run eagerly: {error}", stacklevel=3)
        synchronize(x.device)
        self.recording_seconds += time.perf_counter() - start

    def _warm_up(self, x: Tensor, y: Tensor) -> None:
        """Run some steps and undo their effects."""
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        slots = {
            (p, key): value.clone()
            for p, values in self.optimizer.state.items()
            for key, value in _tensors(values).items()
        }
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            _on_side_stream(x.device, lambda: [self.step(x, y) for _ in range(WARM_UP_STEPS)])
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                value.copy_(weights[name])
            for p, values in self.optimizer.state.items():
                for key, value in _tensors(values).items():
                    if (p, key) in slots:
                        value.copy_(slots[p, key])
                    else:
                        value.zero_()  # how every optimizer here starts


def recording_seconds(step: Step) -> float:
    """Return how long ``step`` has been recording so far, in seconds; 0 for an eager step."""
    return step.recording_seconds if isinstance(step, GraphedStep) else 0.0


def _tensors(values: dict[str, Any]) -> dict[str, Tensor]:
    found = {key: value for key, value in values.items() if isinstance(value, Tensor)}
    others = {key for key, value in values.items() if value is not None} - found.keys()
    assert not others, (
        f"optimizer state must be tensors to be replayed: {', '.join(sorted(others))}"
    )
    return found


def _on_side_stream(device: torch.device, run: Callable[[], Any]) -> None:
    """Run on a separate stream, as the warm-up of CUDA graphs requires."""
    if device.type != "cuda":
        run()
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream(device).wait_stream(stream)
