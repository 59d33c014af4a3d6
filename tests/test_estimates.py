"""What a training would cost, on a clock that the test sets."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from smallnet_core.recipes import Optimizer, Recipe
from smallnet_core.training import estimates, start
from smallnet_core.training.estimates import estimate_seconds
from tests.trainable import RECIPE, Tiny

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Durations of the steps to come; the memory of earlier estimates is put aside."""
    durations: list[float] = []
    monkeypatch.setattr(estimates, "_step_seconds", {})
    monkeypatch.setattr(start, "build_model", lambda *_, **__: Tiny())
    now, reads = [0.0], [0]

    class Clock:
        @staticmethod
        def perf_counter():
            reads[0] += 1
            if reads[0] % 2 == 0:  # the end of a step
                now[0] += durations.pop(0)
            return now[0]

    monkeypatch.setattr(estimates, "time", Clock)
    return durations


def estimate(recipe: Recipe = RECIPE, **setup: Any) -> float:
    return estimate_seconds(recipe, num_train=160, num_test=48, device=CPU, **setup)


# 160 images to train and 48 to test, a third of the work each, in batches of 16.
EPOCH, EVALUATION = 160 / 16, 48 / 3 / 16
STEPS = 3 * EPOCH + EVALUATION


def test_an_estimate_scales_with_the_epochs(clock):
    clock += [9.0, 3.0, 2.0, 4.0]
    assert estimate() == pytest.approx(STEPS * 2.0), "the fastest step counts"
    assert clock == []
    assert estimate(replace(RECIPE, epochs=30)) == pytest.approx(
        (30 * EPOCH + 6 * EVALUATION) * 2.0
    )


def test_an_estimate_is_shared_by_optimizers_but_not_by_networks_or_batches(clock):
    clock += [1.0] * 4
    adam = Optimizer(name="adam", lr=1.0, weight_decay=0.0)
    assert estimate() == estimate(replace(RECIPE, optimizer=adam, seed=9, label_smoothing=0.5))
    for other in (replace(RECIPE, network="vit_s"), replace(RECIPE, batch_size=8)):
        clock += [5.0] * 4
        assert estimate(other) > estimate()
        assert clock == []


def test_a_hopeless_estimate_stops_after_the_first_step(clock):
    clock += [9.0, 1.0, 1.0, 1.0]
    enough = STEPS * 9.0 / 4.01  # a quarter of the first step's time is too much
    assert estimate(enough=enough) > enough
    assert len(clock) == 3, "one was timed"
    # Someone with more time has it measured properly.
    clock[:] = [9.0, 1.0, 1.0, 1.0]
    assert estimate() == pytest.approx(STEPS * 1.0)


def test_a_real_estimate_is_positive_and_leaves_the_random_state_alone(monkeypatch):
    monkeypatch.setattr(estimates, "_step_seconds", {})
    monkeypatch.setattr(start, "build_model", lambda *_, **__: Tiny())
    state = torch.get_rng_state()
    assert 0 < estimate() < 60
    assert torch.equal(torch.get_rng_state(), state)
