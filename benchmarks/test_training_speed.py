"""Training speed: our loop beside the paper's own way, and AdaBound beside its package.

No claim of the paper; how much longer its way takes. Both sides run in turns within one test, so
that whatever else the machine does hits both. Hardware: any. Takes about half a minute on two
cores, on the embedded digits: pixels do not change the time.
"""

from __future__ import annotations

import statistics

import pytest

from smallnet_core.recipes import find_recipe

pytestmark = pytest.mark.training_speed

ROUNDS = 3


@pytest.mark.parametrize("optimizer", ["sgdm", "adam", "adabound"])
@pytest.mark.parametrize("network", ["resnet18_s"])
def test_images_per_second(network, optimizer, workbench, record_row, benchmark):
    """Ours (tuned recipe) against the paper's way: batch 8, DataLoader, PIL, float32."""
    from smallnet_core.speed import our_way, papers_way

    data = workbench.dataset("digits")
    tuned = find_recipe("tuned", "cifar10", network, optimizer)
    paper = find_recipe("paper", "cifar10", network, optimizer)
    ours, papers = our_way(tuned, data, workbench.device), papers_way(paper, data, workbench.device)
    ours(1), papers(5)  # warm up
    found_ours, found_papers = [], []

    def one_round() -> None:
        found_ours.append(ours(6))

    benchmark.group = "training speed"
    benchmark.pedantic(
        one_round, setup=lambda: found_papers.append(papers(40)), rounds=ROUNDS, iterations=1
    )
    record_row(
        {
            "kind": "training_speed",
            "name": f"{network} {optimizer}, ours : the paper's way",
            "network": network,
            "optimizer": optimizer,
            "ours": statistics.median(found_ours),
            "other": statistics.median(found_papers),
            "rounds": [found_ours, found_papers],
            "unit": "images/s",
            "ratio": statistics.median(
                a / b for a, b in zip(found_ours, found_papers, strict=True)
            ),
            "batch_sizes": [tuned.batch_size, paper.batch_size],
            "device": str(workbench.device),
        }
    )


@pytest.mark.parametrize("network", ["resnet18_s"])
def test_adabound_step(network, workbench, record_row, benchmark):
    """One update of all parameters: our AdaBound against the authors' package."""
    import time

    from smallnet_core.speed import optimizer_step

    ours = optimizer_step("adabound", network, workbench.device)
    package = optimizer_step("adabound_package", network, workbench.device)
    found_package: list[float] = []

    def time_package() -> None:
        start = time.perf_counter()
        package()
        found_package.append(time.perf_counter() - start)

    benchmark.group = "training speed"
    benchmark.pedantic(ours, setup=time_package, rounds=100, iterations=1)
    if benchmark.stats is None:  # --benchmark-disable
        pytest.skip("nothing is timed under --benchmark-disable")
    found_ours = list(benchmark.stats.stats.data)
    record_row(
        {
            "kind": "training_speed",
            "name": f"{network} AdaBound step, ours : package",
            "network": network,
            "optimizer": "adabound",
            "ours": 1000 * statistics.median(found_ours),
            "other": 1000 * statistics.median(found_package),
            "unit": "ms",
            "ratio": statistics.median(found_package) / statistics.median(found_ours),
            "device": str(workbench.device),
        }
    )
