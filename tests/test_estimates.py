"""What a training would cost, on a clock that the test sets."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from smallnet_core.recipes import Optimizer, Pruning, Recipe
from smallnet_core.training import estimates
from tests.trainable import CPU, RECIPE

# 160 images to train and 48 to test, a third of the work each, in batches of 16.
EPOCH, EVALUATION = 160 / 16, 48 / 3 / 16
STEPS = 3 * EPOCH + EVALUATION


@pytest.fixture(autouse=True)
def _no_timings_of_others(tiny_network: None) -> Iterator[None]:
    estimates._step_seconds.cache_clear()
    yield
    estimates._step_seconds.cache_clear()


@pytest.fixture
def clock(monkeypatch):
    """Durations of the steps to come."""
    durations: list[float] = []
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


def estimate(recipe: Recipe = RECIPE) -> float:
    return estimates.estimate_seconds(recipe, num_train=160, num_test=48, device=CPU)


def test_an_estimate_scales_with_epochs_and_pixels(clock):
    clock += [0.9, 0.3, 0.2, 0.4]
    assert estimate() == pytest.approx(STEPS * 0.2), "the fastest step counts"
    for changes, steps in (
        ({"epochs": 30}, 30 * EPOCH + 6 * EVALUATION),
        ({"first_epoch": 1}, 2 * EPOCH + EVALUATION),
        ({"stop_epoch": 1}, EPOCH + EVALUATION),
        ({"resolutions": ((0.0, 16),)}, 3 * EPOCH / 4 + EVALUATION),
    ):
        assert estimate(replace(RECIPE, **changes)) == pytest.approx(steps * 0.2)
    assert clock == []


def test_an_estimate_is_shared_by_optimizers_but_not_by_networks_or_batches(clock):
    clock += [0.1] * 4
    adam = Optimizer(name="adam", lr=1.0, weight_decay=0.0)
    assert estimate() == estimate(replace(RECIPE, optimizer=adam, seed=9, label_smoothing=0.5))
    for other in (replace(RECIPE, network="vit_s"), replace(RECIPE, batch_size=8)):
        clock += [0.5] * 4
        assert estimate(other) > estimate()
        assert clock == []


def test_no_more_slow_steps_are_timed_than_needed(clock):
    clock += [9.0, 1.0, 1.0]
    assert estimate() == pytest.approx(STEPS * 9.0)
    assert clock == [1.0, 1.0]


def test_a_rough_estimate_is_that_of_one_thread_where_two_are_slower(clock):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        clock += [0.2] * 4 + [0.9] * 3
        rough = estimates.estimate_seconds(
            RECIPE, num_train=160, num_test=48, device=CPU, rough=True
        )
        assert rough == pytest.approx((3 * 160 + 48 / 3) / 32 * 0.2) and clock == []
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_fewer_channels_are_timed_and_masks_make_nothing_faster(monkeypatch):
    pruned_to: list[int] = []

    def prune(model: nn.Module, max_params: int, importance: str) -> None:
        pruned_to.append(max_params)

    monkeypatch.setattr(estimates, "prune_channels", prune)
    for structure in ("weights", "channels"):
        pruning = Pruning(parent=RECIPE, structure=structure, max_params=2000)
        estimate(replace(RECIPE, kind="pruned", pruning=pruning))
    assert pruned_to == [2000]


def test_a_real_estimate_is_positive_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    assert 0 < estimate() < 60
    assert torch.equal(torch.get_rng_state(), state)
