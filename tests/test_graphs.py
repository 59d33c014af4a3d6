"""Recorded steps, with a stand-in for CUDA's graphs: what is around them is the same on a CPU."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from smallnet_core.data.batches import TrainingBatches, resized
from smallnet_core.recipes import Augmentation, Optimizer, Recipe
from smallnet_core.system.machine import is_out_of_memory
from smallnet_core.training import start
from smallnet_core.training.graphs import GraphedStep, Step, recording_seconds
from smallnet_core.training.optimizers import build_optimizer, set_rates
from tests.trainable import CPU, RECIPE, synthetic

SIDES = (20, 32)


class Recorder:
    """Records like a CUDA graph: without effect, and with the same tensors at each replay."""

    def __init__(self) -> None:
        self.recorded: list[torch.Size] = []

    def __call__(
        self, step: Step, x: Tensor, y: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
        self.recorded.append(x.shape)
        outputs = torch.zeros(()), torch.zeros((), dtype=torch.int64)

        def replay() -> None:
            for static, value in zip(outputs, step(x, y), strict=True):
                static.copy_(value)

        return outputs, replay


def prepared(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> tuple[nn.Module, torch.optim.Optimizer, Step, TrainingBatches]:
    """As on a GPU, with the optimizer in its capturable mode."""
    monkeypatch.setattr(
        start,
        "build_optimizer",
        lambda settings, model, capturable: build_optimizer(settings, model, capturable=True),
    )
    torch.manual_seed(0)
    data = synthetic()
    return start.set_up(recipe, data.train_images, data.train_labels, CPU, torch.float32)


@pytest.mark.parametrize("optimizer", ["adabound", "muon"])
def test_replayed_steps_are_the_steps(monkeypatch, optimizer):
    """Weights, running statistics, optimizer state and dropout masks: as without recording."""
    recipe = replace(
        RECIPE,
        network="resnet18_s",
        optimizer=Optimizer(name=optimizer, lr=1e-3, weight_decay=1e-3),
        augmentation=Augmentation(crop_padding=1, cutout=4),
    )

    def trained(recorder):
        with torch.random.fork_rng(devices=[]):
            model, built, step, batches = prepared(recipe, monkeypatch)
            if recorder is not None:
                step = GraphedStep(step, model, built, recorder)
            losses = []
            for side in SIDES:
                for number, (x, y) in enumerate(batches.epoch(0)):
                    rates = [1e-3 * (1 + number) for _ in built.param_groups]
                    set_rates(built, rates)
                    losses.append(step(resized(x, side), y)[0].item())
            return losses, model.state_dict()

    recorder = Recorder()
    losses, weights = trained(recorder)
    plain_losses, plain_weights = trained(None)
    assert recorder.recorded == [torch.Size((16, 3, side, side)) for side in SIDES]
    assert losses == plain_losses
    assert all(torch.equal(weights[name], plain_weights[name]) for name in weights)


def test_a_step_that_cannot_be_recorded_runs_eagerly_and_says_so():
    """As when another thread's call breaks the recording; but lack of memory is one."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reasons: list[Exception] = [RuntimeError("operation not permitted")]

    def record(*_):
        try:
            raise reasons[0]
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    def step(x, y):
        return model(x).sum(), y.sum()

    x, y = torch.ones(1, 2), torch.ones(1)
    graphed = GraphedStep(step, model, optimizer, record)
    with pytest.warns(UserWarning, match="run eagerly: operation failed due to a previous error"):
        loss, hits = graphed(x, y)
    assert (loss, hits) == step(x, y) and graphed(x, y) == step(x, y)
    assert recording_seconds(graphed) > 0 == recording_seconds(step)
    reasons[0] = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="a previous error") as caught:
        GraphedStep(step, model, optimizer, record)(x, y)
    assert is_out_of_memory(caught.value)
