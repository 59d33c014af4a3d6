"""How often ``compare`` raises a false alarm and what it finds: simulated pairs of runs.

``python -m smallnet_core.studies.compare_power OUT_DIR [--pairs 1000]`` writes simulation.json and
simulation.svg: each pair is two whole documents that go through ``compare``, and through the plain
rules of three peers beside it.

A network's answers: image i is right with the chance of a logistic of its difficulty and of the
network's own shift, so that two seeds disagree on 7 to 8 % of images and their accuracies have a
deviation of ``SEED_DEVIATION`` points, as trained ones do. A timing: rounds with a log-normal,
serially correlated noise around the median that its process happened to have.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from smallnet_core.figures import style
from smallnet_core.figures.style import Drawing, Panel
from smallnet_core.runs.compare import Change, Comparison, Thresholds, compare
from smallnet_core.runs.file import RunFile, check_document
from smallnet_core.system.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Rates", "document", "main", "simulate_accuracy", "simulate_time"]

OURS = "compare"

NUM_IMAGES = 10_000
NUM_NETWORKS = 6  # rows of a table of accuracies
NUM_TIMINGS = 12
NUM_ROUNDS = 40
SEED_DEVIATION = 0.3
PROCESS_DEVIATION = 0.035
ROUND_DEVIATION = 0.05
_SERIAL_CORRELATION = 0.5
_SPREAD = 4.0  # of difficulties: most images are always right, or always wrong
_SHIFT = 0.051  # deviation of a network's own shift; with what images add that is SEED_DEVIATION

_Floats = npt.NDArray[np.float64]


def _difficulties(accuracy_percent: float, generator: np.random.Generator) -> _Floats:
    """Logits (N,) whose mean chance is the accuracy, for a network without a shift."""
    logits = _SPREAD * generator.standard_normal(NUM_IMAGES)
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if _chance(logits + middle).mean() * 100 < accuracy_percent:
            low = middle
        else:
            high = middle
    return logits + low


def _chance(logits: _Floats) -> _Floats:
    return 1 / (1 + np.exp(-logits))


def _shift_of(points: float, logits: _Floats) -> float:
    """What moves the mean chance by so many points, to first order."""
    chance = _chance(logits)
    return points / 100 / float((chance * (1 - chance)).mean())


def _run(network: str, seed: int, right: npt.NDArray[np.bool_], weights: str) -> dict[str, Any]:
    count = int(right.sum())
    fingerprint = f"{network}-{seed}"
    return {
        "name": fingerprint,
        "fingerprint": fingerprint,
        "recipe": {
            "kind": "tuned",
            "dataset": "cifar10",
            "network": network,
            "optimizer": {"name": "sgdm"},
            "seed": seed,
        },
        "origin": "trained",
        "accuracy_percent": 100 * count / NUM_IMAGES,
        "num_images": NUM_IMAGES,
        "right": base64.b64encode(np.packbits(right).tobytes()).decode(),
        "confusion": [[count, NUM_IMAGES - count], [0, 0]],
        "test_digest": "simulated",
        "selection": "last",
        "selected_epoch": 1,
        "curve": [],
        "train_seconds": 1.0,
        "peak_memory_mib": None,
        "computed_in": "float32",
        "trained_on": {},
        "trained_at_commit": None,
        "dataset_digests": None,
        "weights_sha256": weights,
    }


def _claim_row(network: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [run["accuracy_percent"] for run in runs]
    mean = float(np.mean(values))
    return {
        "claim": f"simulated/{network}",
        "source": "Simulated",
        "verdict": "reproduced",
        "reason": "simulated",
        "paper": 90.0,
        "measured": mean,
        "deviation": None,
        "difference": mean - 90.0,
        "interval": [mean - 1, mean + 1],
        "unit": "%",
        "metric": "accuracy_percent",
        "seeds": list(range(len(values))),
        "values": values,
        "num_images": NUM_IMAGES,
        "recipe": "tuned",
        "fingerprints": [run["fingerprint"] for run in runs],
        "device": "cpu",
        "details": {},
    }


def _timing(number: int, rounds: Sequence[float]) -> tuple[dict[str, Any], dict[str, Any]]:
    row = {
        "claim": None,
        "kind": "latency",
        "network": f"timed{number}",
        "batch_size": 1,
        "precision": "float32",
        "device": "cpu",
        "unit": "ms",
    }
    name = f"test_latency[timed{number}]"
    return row, {
        "name": name,
        "extra_info": {"smallnet": row},
        "stats": {"data": list(rounds)},
    }


def document(
    accuracies: Sequence[Sequence[npt.NDArray[np.bool_]]],
    timings: Sequence[Sequence[float]],
    run: int,
) -> RunFile:
    """A saved run of networks, for each seed which images it has right (N,), and of timings."""
    runs, rows, benchmarks = [], [], []
    for k, seeds in enumerate(accuracies):
        own = [
            _run(f"net{k}", seed, right, f"run {run} net {k} seed {seed}")
            for seed, right in enumerate(seeds)
        ]
        runs += own
        rows.append(_claim_row(f"net{k}", own))
    for k, rounds in enumerate(timings):
        row, benchmark = _timing(k, rounds)
        rows.append(row)
        benchmarks.append(benchmark)
    found = check_document(
        {
            "machine_info": {
                "smallnet": {"device": "cpu", "device_name": "simulated", "num_threads": 2}
            },
            "commit_info": {"id": f"{run:040x}", "dirty": False},
            "datetime": f"2026-01-01T00:00:{run % 60:02}",
            "benchmarks": benchmarks,
            "smallnet": {"schema": 2, "rows": rows, "runs": runs},
        }
    )
    return RunFile(path=Path(f"simulated-{run}.json"), document=found)


def _answers(
    logits: _Floats, points: float, num_seeds: int, generator: np.random.Generator
) -> list[npt.NDArray[np.bool_]]:
    shift = _shift_of(points, logits)
    return [
        generator.random(NUM_IMAGES)
        < _chance(logits + shift + _SHIFT * generator.standard_normal())
        for _ in range(num_seeds)
    ]


def _rounds(factor: float, generator: np.random.Generator) -> list[float]:
    noise = generator.standard_normal(NUM_ROUNDS)
    for k in range(1, NUM_ROUNDS):
        noise[k] = _SERIAL_CORRELATION * noise[k - 1] + noise[k] * np.sqrt(
            1 - _SERIAL_CORRELATION**2
        )
    process = PROCESS_DEVIATION * generator.standard_normal()
    seconds = 0.005 * factor * np.exp(process + ROUND_DEVIATION * noise)
    return [float(value) for value in seconds]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Shares of the pairs, 0 to 1, in which each rule raised an alarm about a table.

    Where nothing differs any alarm counts, in either direction; else that of the first row, which
    is the one that became worse.
    """

    what: str  # "accuracy" or "time"
    worse_by: float  # points of accuracy, or percent of time
    num_pairs: int
    num_seeds: int
    rates: dict[str, float]  # by rule


def simulate_accuracy(
    num_pairs: int, *, num_seeds: int = 1, points: float = 0.0, seed: int = 0
) -> Rates:
    """Alarms about networks of which the second run's first is worse by ``points``."""
    generator = np.random.default_rng(seed)
    difficulties = [
        _difficulties(percent, generator) for percent in np.linspace(86, 94, NUM_NETWORKS)
    ]
    alarms = dict.fromkeys((OURS, "drop of 0.5 points", "ratio of 1.1 (asv)"), 0)
    for pair in range(num_pairs):
        files, means = [], []
        for side in (0, 1):
            lost = [points * side, *[0.0] * (NUM_NETWORKS - 1)]
            answers = [
                _answers(logits, -less, num_seeds, generator)
                for logits, less in zip(difficulties, lost, strict=True)
            ]
            files.append(document(answers, [], 2 * pair + side))
            means.append(np.array([100 * np.mean(seeds) for seeds in answers]))
        old, new = means
        alarms[OURS] += _alarm(compare(*files), null=points == 0)
        alarms["drop of 0.5 points"] += _any(old - new, 0.5, null=points == 0)
        alarms["ratio of 1.1 (asv)"] += _any(np.log(old / new), np.log(1.1), null=points == 0)
    return Rates(
        what="accuracy",
        worse_by=points,
        num_pairs=num_pairs,
        num_seeds=num_seeds,
        rates={rule: count / num_pairs for rule, count in alarms.items()},
    )


def simulate_time(num_pairs: int, *, percent: float = 0.0, seed: int = 0) -> Rates:
    """Alarms about timings of which the second run's first is slower by ``percent``."""
    generator = np.random.default_rng(seed)
    rules = (OURS, "mean:5% (pytest-benchmark)", "1.1 and p < 0.002 (asv)", "200 % (action)")
    alarms = dict.fromkeys(rules, 0)
    null = percent == 0
    for pair in range(num_pairs):
        timings = [
            [
                _rounds(1 + percent / 100 if side and k == 0 else 1.0, generator)
                for k in range(NUM_TIMINGS)
            ]
            for side in (0, 1)
        ]
        old, new = (document([], rounds, 2 * pair + side) for side, rounds in enumerate(timings))
        means = np.log(np.mean(timings[1], axis=1) / np.mean(timings[0], axis=1))
        slower = np.array([_asv(a, b) for a, b in zip(*timings, strict=True)])
        alarms[OURS] += _alarm(compare(old, new), null=null)
        alarms["mean:5% (pytest-benchmark)"] += _any(means, np.log(1.05), null=null)
        alarms["1.1 and p < 0.002 (asv)"] += _any(slower, 0.5, null=null)
        alarms["200 % (action)"] += _any(means, np.log(2), null=null)
    return Rates(
        what="time",
        worse_by=percent,
        num_pairs=num_pairs,
        num_seeds=1,
        rates={rule: count / num_pairs for rule, count in alarms.items()},
    )


def _alarm(comparison: Comparison, *, null: bool) -> bool:
    if null:
        return bool(comparison.of(Change.REGRESSION, Change.IMPROVEMENT))
    return comparison.rows[0].change is Change.REGRESSION


def _any(worse_by: _Floats, limit: float, *, null: bool) -> bool:
    """Whether a plain limit is passed: by any where nothing differs, else by the first."""
    return bool((np.abs(worse_by) > limit).any()) if null else bool(worse_by[0] > limit)


def _asv(old: Sequence[float], new: Sequence[float]) -> int:
    """asv compare's rule: medians apart by a factor of 1.1 and Mann-Whitney's p below 0.002."""
    from scipy.stats import mannwhitneyu

    ratio = float(np.median(new) / np.median(old))
    if not (ratio > 1.1 or ratio < 1 / 1.1) or mannwhitneyu(old, new).pvalue >= 0.002:
        return 0
    return 1 if ratio > 1 else -1


# The command

_SEEDS = (1, 3, 5)
_POINTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_PERCENTS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0)


def _figure(found: Sequence[Rates]) -> Drawing:
    by_setting: dict[tuple[str, int], list[Rates]] = {}
    for rates in found:
        by_setting.setdefault((rates.what, rates.num_seeds), []).append(rates)
    one_seed, timed = by_setting["accuracy", 1], by_setting["time", 1]
    accuracy = {
        f"compare, {n} seed{'s' if n > 1 else ''} a side": (by_setting["accuracy", n], OURS)
        for n in _SEEDS
    }
    accuracy |= {rule: (one_seed, rule) for rule in one_seed[0].rates if rule != OURS}
    panels = [
        Panel(
            title=f"Accuracy: alarms about a table of {NUM_NETWORKS} networks",
            unit="% of pairs of runs",
            x_label="points that one network lost; at 0 any alarm is false",
            plot=partial(_plot, accuracy, 0),
        ),
        Panel(
            title=f"Time: alarms about a table of {NUM_TIMINGS} timings",
            unit="% of pairs of runs",
            x_label="% that one became slower by; at 0 any alarm is false",
            plot=partial(_plot, {rule: (timed, rule) for rule in timed[0].rates}, len(accuracy)),
        ),
    ]
    return Drawing(
        rows=[[panel] for panel in panels],
        title="False alarms and power of smallnet compare",
        description=" ".join(
            f"{r.what}, worse by {r.worse_by:g}, {r.num_seeds} a side: "
            + ", ".join(f"{rule} {100 * rate:.1f} %" for rule, rate in r.rates.items())
            + "."
            for r in found
        ),
        note=f"{found[0].num_pairs} simulated pairs of runs a point.",
    )


def _plot(lines: Mapping[str, tuple[Sequence[Rates], str]], first: int, axes: Axes) -> None:
    for number, (label, (found, rule)) in enumerate(lines.items(), first):
        x, y = [r.worse_by for r in found], [100 * r.rates[rule] for r in found]
        style.plot(axes, x, y, label=label, **style.line(number))
    axes.set_ylim(-3, 103)


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, print a line a setting, write both files."""
    parser = argparse.ArgumentParser(prog="python -m smallnet_core.studies.compare_power")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR")
    parser.add_argument("--pairs", type=int, default=1000, help="a setting. Default: 1000")
    args = parser.parse_args(argv)
    found: list[Rates] = []
    start = time.perf_counter()
    for num_seeds in _SEEDS:
        for points in _POINTS:
            found.append(
                simulate_accuracy(args.pairs, num_seeds=num_seeds, points=points, seed=len(found))
            )
            print(found[-1], flush=True)  # noqa: T201 - a command
    for percent in _PERCENTS:
        found.append(simulate_time(args.pairs, percent=percent, seed=len(found)))
        print(found[-1], flush=True)  # noqa: T201
    record = {
        "pairs": args.pairs,
        "seconds": round(time.perf_counter() - start, 1),
        "level": Thresholds().alpha,
        "seed_deviation_points": SEED_DEVIATION,
        "process_deviation": PROCESS_DEVIATION,
        "round_deviation": ROUND_DEVIATION,
        "rates": [vars(rates) for rates in found],
    }
    replace_file(args.folder / "simulation.json", (json.dumps(record, indent=1) + "\n").encode())
    replace_file(args.folder / "simulation.svg", _figure(found).svg())
    return 0


if __name__ == "__main__":
    sys.exit(main())
