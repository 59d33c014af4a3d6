"""Targets that run what they say, and rounds within their bounds."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from smallnet_core.lab import latency
from smallnet_core.lab.latency import MAX_ROUNDS, forward_pass, num_rounds

CPU = torch.device("cpu")


class Recorder(nn.Module):
    """Stands in for a network: remembers what it was called with, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.calls: list[tuple[Tensor, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((x, self.training, torch.is_inference_mode_enabled()))
        return self.conv(x)


@pytest.mark.parametrize("batch_size", [1, 256])
def test_a_target_is_one_forward_pass_in_evaluation_mode(monkeypatch, batch_size):
    recorder, waits = Recorder(), []
    monkeypatch.setattr(latency, "synchronize", waits.append)
    state = torch.get_rng_state()
    target = forward_pass(recorder, batch_size, CPU)
    assert len(recorder.calls) == 1, "the warm-up is not timed"
    target()
    target()
    assert torch.equal(torch.get_rng_state(), state)
    assert len(recorder.calls) == 3 and waits == [CPU] * 3, "each round waits for the device"
    for x, training, inference in recorder.calls:
        assert x.shape == (batch_size, 3, 32, 32) and x.dtype == torch.float32
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert not training and inference
    assert len({x.data_ptr() for x, _, _ in recorder.calls}) == 1


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [(1e-6, MAX_ROUNDS), (0.0049, MAX_ROUNDS), (0.01, 100), (0.3, 3), (0.9, 1), (7.0, 1)],
)
def test_rounds_fill_about_a_second(monkeypatch, seconds, rounds):
    now, calls = [0.0], []

    def target():
        calls.append(None)
        now[0] += seconds

    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert num_rounds(target) == rounds
    assert len(calls) == 1


def test_the_reference_timing_is_taken_between_rounds_but_not_between_all(monkeypatch):
    now = [0.0]

    def clock():
        now[0] += 0.001
        return now[0]

    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=clock))
    reference = latency.Reference(CPU)
    for _ in range(200):  # rounds of no time: a reading of the clock each, and those of both
        reference.setup()
    row = reference.row()
    assert row["reference_seconds"] == pytest.approx({"product": 0.001, "convolution": 0.001})
    assert 0 < now[0] < 0.25
    assert row["load_average"] is None or row["load_average"] >= 0
