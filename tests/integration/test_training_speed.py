"""benchmarks/test_training_speed.py: what its rows hold, and the table that it ends with."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from smallnet_core.lab import speed
from smallnet_core.system import machine
from smallnet_core.training import start

RATES = {"fast_loop": 200.0, "our_batches": 10_000.0, "plain_loop": 100.0, "paper_loop": 40.0}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Loops that take no time, and the turns that they took: name and steps."""
    taken: list[tuple[str, int]] = []

    def way_of(name: str) -> Any:
        def run(num_steps: int) -> float:
            taken.append((name, num_steps))
            return RATES[name]

        return lambda recipe, dataset, device: run

    for name in RATES:
        monkeypatch.setattr(speed, name, way_of(name))
    monkeypatch.setattr(start, "dtype_of", lambda recipe, device: torch.bfloat16)
    monkeypatch.setattr(machine, "matmul_gflops", lambda _, dtype: {torch.bfloat16: 1000.0}[dtype])
    return taken


@pytest.mark.parametrize("option", ["--benchmark-columns=median", "--benchmark-disable"])
def test_a_row_keeps_every_round_and_what_they_say(suite, turns, option):
    result = suite.benchmarks("images_per_second and vit_s", "--device=cpu", option)
    result.assert_outcomes(passed=1)
    [row] = suite.rows(result)
    num_rounds = 1 if option == "--benchmark-disable" else 5
    assert row["rounds_images_per_second"] == {
        "plain": [100.0] * num_rounds,
        "papers": [40.0] * num_rounds,
        "batches": [10_000.0] * num_rounds,
        "ours": [200.0] * num_rounds,
    }
    assert row["num_steps"] == {"plain": 1, "papers": 2, "batches": 8, "ours": 1}
    assert row["batch_sizes"] == {"plain": 128, "papers": 8, "batches": 128, "ours": 128}
    in_turn = [("plain_loop", 1), ("paper_loop", 2), ("our_batches", 8), ("fast_loop", 1)]
    assert turns[-4 * num_rounds :] == in_turn * num_rounds
    assert row["claim"] is None and row["kind"] == "training_speed"
    assert (row["network"], row["optimizer"], row["device"]) == ("vit_s", "adam", "cpu")
    assert row["precision"] == "bfloat16" and row["matmul_gflops"] == 1000.0
    assert row["ratio_to_papers"] == 5.0 and row["ratio_to_plain"] == 2.0
    assert row["augmentation_percent"] == pytest.approx(2.0)
    assert row["joules_per_1000_images"] is None
    result.stdout.fnmatch_lines(
        [
            "Training speed, interleaved in this run, on cpu",
            "network * images/s  x paper  x plain  use %  aug %*",
            "ViT_S * Adam * 200 * 5.00 * 2.00 * 2.00 *",
        ]
    )
    assert "J/1000" not in result.stdout.str()


def test_energy_is_that_of_our_turns_alone(suite, turns, monkeypatch):
    """Each turn of ours takes 6.4 joules, and each of the others a thousand."""
    monkeypatch.setattr(
        machine,
        "energy_meter",
        lambda device: lambda: sum(6.4 if name == "fast_loop" else 1000.0 for name, _ in turns),
    )
    monkeypatch.setattr(machine, "peak_memory_mib", lambda work, device: work() and None)
    result = suite.benchmarks("images_per_second and vit_s", "--device=cpu")
    [row] = suite.rows(result)
    assert row["joules_per_1000_images"] == pytest.approx(6.4 / 128 * 1000)
    assert row["peak_memory_mib"] is None
    result.stdout.fnmatch_lines(["* aug %  J/1000", "ViT_S * 50.0"])
