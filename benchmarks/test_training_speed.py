"""Training speed: our loop, a plain DataLoader loop and the paper's, and AdaBound's step.

Not a claim of the paper. The loops run in turn within one test, so that other load on the machine
affects all of them. Hardware: any. Takes about 40 s on two cores, on the embedded digits, as pixels
do not change the time.
"""

from __future__ import annotations

import statistics

import pytest

from smallnet_core.recipes import find_recipe

pytestmark = pytest.mark.training_speed

ROUNDS = 5
# Per loop and round; making the batches is a small part of a step.
SECONDS = {"plain": 0.3, "papers": 0.3, "batches": 0.1, "ours": 0.3}


@pytest.mark.parametrize(
    ("network", "optimizer"),
    [
        *(("resnet18_s", optimizer) for optimizer in ("sgdm", "adam", "adabound")),
        ("vgg16_s", "sgdm"),
        ("vit_s", "adam"),
    ],
)
def test_images_per_second(network, optimizer, workbench, record_row, benchmark):
    """The tuned recipe in our loop and in a plain one, and the paper's recipe in its own."""
    from smallnet_core.lab.latency import Reference
    from smallnet_core.lab.speed import (
        fast_loop,
        our_batches,
        paper_loop,
        plain_loop,
        steps_in,
        summary,
    )
    from smallnet_core.system.machine import energy_meter, matmul_gflops, peak_memory_mib
    from smallnet_core.training.start import dtype_of

    device = workbench.device
    data = workbench.dataset("digits")
    tuned = find_recipe("tuned", "cifar10", network, optimizer)
    paper = find_recipe("paper", "cifar10", network, optimizer)
    dtype = dtype_of(tuned, device)

    ours = fast_loop(tuned, data, device)
    # Measured before other loops allocate memory, and first, as a replayed step on a GPU allocates
    # none. The second step has the optimizer's state too.
    peak_mib = peak_memory_mib(lambda: ours(2), device)
    loops = {
        "plain": plain_loop(tuned, data, device),
        "papers": paper_loop(paper, data, device),
        "batches": our_batches(tuned, data, device),
        "ours": ours,
    }
    batch_size = dict.fromkeys(loops, tuned.batch_size) | {"papers": paper.batch_size}
    num_steps = {
        name: steps_in(SECONDS[name], loop, batch_size[name]) for name, loop in loops.items()
    }
    gflops = matmul_gflops(device, dtype)
    meter, reference = energy_meter(device), Reference(device)
    rounds = {name: [] for name in loops}
    joules = []

    def others() -> None:
        reference.setup()
        for name in ("plain", "papers", "batches"):
            rounds[name].append(loops[name](num_steps[name]))

    def our_turn() -> None:
        start = meter() if meter else 0.0
        rounds["ours"].append(ours(num_steps["ours"]))
        if meter:
            joules.append(meter() - start)

    benchmark.group = "training speed"
    benchmark.pedantic(our_turn, setup=others, rounds=ROUNDS, iterations=1)
    num_images = len(joules) * num_steps["ours"] * tuned.batch_size
    record_row(
        {
            "kind": "training_speed",
            "name": f"{network} {optimizer}",
            "network": network,
            "optimizer": optimizer,
            "device": str(device),
            "precision": str(dtype).removeprefix("torch."),
            "batch_sizes": batch_size,
            "num_steps": num_steps,
            "rounds_images_per_second": rounds,
            **summary(tuned, rounds, gflops),
            "peak_memory_mib": peak_mib,
            "joules_per_1000_images": 1000 * sum(joules) / num_images if joules else None,
            **reference.row(),
        }
    )


@pytest.mark.parametrize("network", ["resnet18_s"])
def test_adabound_step(network, workbench, record_row, benchmark):
    """One update of all parameters: our AdaBound against the authors' package."""
    from smallnet_core.lab.latency import seconds_of
    from smallnet_core.lab.speed import optimizer_step

    ours = optimizer_step("adabound", network, workbench.device)
    package = optimizer_step("adabound_package", network, workbench.device)
    found_package: list[float] = []

    def other() -> None:
        found_package.append(seconds_of(package))

    benchmark.group = "training speed"
    benchmark.pedantic(ours, setup=other, rounds=100, iterations=1)
    if benchmark.stats is None:  # --benchmark-disable
        pytest.skip("nothing is timed under --benchmark-disable")
    found_ours = statistics.median(benchmark.stats.stats.data)
    found_other = statistics.median(found_package)
    record_row(
        {
            "kind": "training_speed",
            "name": f"{network} AdaBound step, ours : package",
            "network": network,
            "optimizer": "adabound",
            "ours": 1000 * found_ours,
            "other": 1000 * found_other,
            "unit": "ms",
            "ratio": found_other / found_ours,
            "device": str(workbench.device),
        }
    )
