"""How often comparisons raise a false alarm, and what they find: simulated runs.

``python -m studies.compare_power OUT_DIR [--minutes 5] [--only '30 nights*']`` writes
power.md: a table whose rows go through ``compare`` and ``history`` as whole saved documents. The
truths they are drawn from are wider than what the tests assume: deviations of seeds of 0.1 to 0.8
points; times with a factor that a run has in common, which a network follows by 0.6 to 1.4 times
what the reference timing does; correlated rounds; neighbours that slow one timing of a run by 10 to
30 %.
"""

from __future__ import annotations

import argparse
import base64
import fnmatch
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smallnet_core.runs.compare import Comparison, compare
from smallnet_core.runs.file import SCHEMA, RunFile, check_document
from smallnet_core.runs.history import WINDOW, history
from smallnet_core.runs.reference import learn
from smallnet_core.runs.rows import Change, Thresholds
from smallnet_core.system.files import replace_file

NUM_IMAGES = 10_000
NUM_NETWORKS = 6  # rows of a table of accuracies
NUM_TIMINGS = 12
NUM_ROUNDS = 40
NUM_NIGHTS = 30
ROUND_DEVIATION = 0.05

_Answers = npt.NDArray[np.bool_]


def _run(network: str, seed: int, right: _Answers, weights: str) -> dict[str, Any]:
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
        "accuracy_percent": 100 * count / len(right),
        "num_images": len(right),
        "right": base64.b64encode(np.packbits(right).tobytes()).decode(),
        "confusion": [[count, len(right) - count], [0, 0]],
        "test_digest": "simulated",
        "selection": "last",
        "selected_epoch": 1,
        "curve": [],
        "train_seconds": 1.0,
        "computed_in": "float32",
        "trained_on": {},
        "weights_sha256": weights,
        **dict.fromkeys(("peak_memory_mib", "trained_at_commit", "dataset_digests")),
    }


def _claim_row(network: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [run["accuracy_percent"] for run in runs]
    return {
        "claim": f"simulated/{network}",
        "source": "Simulated",
        "verdict": "reproduced",
        "reason": "simulated",
        "paper": 90.0,
        "measured": float(np.mean(values)),
        "unit": "%",
        "metric": "accuracy_percent",
        "seeds": list(range(len(values))),
        "values": values,
        "num_images": runs[0]["num_images"],
        "recipe": "tuned",
        "fingerprints": [run["fingerprint"] for run in runs],
        "device": "cpu",
        "details": {},
        **dict.fromkeys(("deviation", "difference", "interval")),
    }


def document(
    accuracies: Sequence[Sequence[_Answers]],
    timings: Sequence[Sequence[float]],
    run: int,
    references: Sequence[float] = (),
) -> RunFile:
    """Make a saved run: which images each seed of each network has right (N,), and timings.

    ``timings`` are seconds of rounds; ``references`` those of the reference timing beside each.
    """
    runs, rows, benchmarks = [], [], []
    for k, seeds in enumerate(accuracies):
        own = [
            _run(f"net{k}", seed, right, f"run {run} net {k} seed {seed}")
            for seed, right in enumerate(seeds)
        ]
        runs += own
        rows.append(_claim_row(f"net{k}", own))
    for k, rounds in enumerate(timings):
        row: dict[str, Any] = {
            "claim": None,
            "kind": "latency",
            "network": f"timed{k}",
            "batch_size": 1,
            "precision": "float32",
            "device": "cpu",
            "unit": "ms",
        }
        if references:
            row["reference_seconds"] = {"product": references[k]}
        rows.append(row)
        stats = {"data": list(rounds)}
        benchmarks.append({"name": f"{k}", "extra_info": {"smallnet": row}, "stats": stats})
    machine = {"device": "cpu", "device_name": "simulated", "num_threads": 2, "memory_gib": 8.0}
    found = check_document(
        {
            "machine_info": {
                "node": "simulated",
                "cpu": {"brand_raw": "simulated"},
                "smallnet": machine,
            },
            "commit_info": {"id": f"{run:040x}", "dirty": False},
            "datetime": f"2026-01-01T00:{run // 60 % 60:02}:{run % 60:02}",
            "benchmarks": benchmarks,
            "smallnet": {"schema": SCHEMA, "rows": rows, "runs": runs},
        }
    )
    return RunFile(path=Path(f"simulated-{run}.json"), document=found)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Networks as they truly are: what their seeds differ by, in points, and how many there are."""

    deviation: float = 0.3
    num_seeds: int = 3

    def draw(self, run: int, worse_by: float, generator: np.random.Generator) -> RunFile:
        networks = []
        for k, mean in enumerate(np.linspace(86, 94, NUM_NETWORKS)):
            seeds = []
            for _ in range(self.num_seeds):
                percent = mean - (worse_by if k == 0 else 0.0)
                percent += self.deviation * generator.standard_normal()
                # Networks of other weights are not paired by their images: any of them will do.
                seeds.append(np.arange(NUM_IMAGES) < percent * NUM_IMAGES / 100)
            networks.append(seeds)
        return document(networks, [], run)


@dataclass(frozen=True, kw_only=True)
class Times:
    """Timings as they truly are; deviations are of logs.

    Medians of correlated rounds differ by 1.7 % of themselves and more, those of the reference
    timing by 0.7 %, which with what a process adds here makes 4 %.
    """

    process: float = 0.0355
    common: float = 0.0
    correlation: float = 0.5
    neighbour: float = 0.0  # the chance that one slows a timing of a run
    referred: bool = True
    num_rounds: int = NUM_ROUNDS
    num_timings: int = NUM_TIMINGS

    def draw(self, run: int, worse_by: float, generator: np.random.Generator) -> RunFile:
        mood = self.common * generator.standard_normal()
        slowed = np.zeros(self.num_timings)
        if generator.random() < self.neighbour:
            slowed[generator.integers(self.num_timings)] = np.log(generator.uniform(1.1, 1.3))
        felt = mood + slowed
        noise = generator.standard_normal((self.num_timings, self.num_rounds))
        for r in range(1, self.num_rounds):
            noise[:, r] *= np.sqrt(1 - self.correlation**2)
            noise[:, r] += self.correlation * noise[:, r - 1]
        logs = np.log(0.005) + self.process * generator.standard_normal(self.num_timings) + felt
        logs[0] += np.log1p(worse_by / 100)
        timings = np.exp(logs[:, None] + ROUND_DEVIATION * noise).tolist()
        follows = generator.uniform(0.6, 1.4, self.num_timings)
        beside = follows * felt + 0.007 * generator.standard_normal(self.num_timings)
        references = (np.exp(beside) / 1000).tolist() if self.referred else []
        return document([], timings, run, references)


Truth = Accuracy | Times


def alarms_of_pair(truth: Truth, worse_by: float, generator: np.random.Generator) -> bool:
    """Compare two runs: any alarm where nothing differs, else a regression of the first row."""
    old, new = truth.draw(0, 0.0, generator), truth.draw(1, worse_by, generator)
    return _alarm(compare(old, new), worse_by)


def alarms_of_window(truth: Truth, worse_by: float, generator: np.random.Generator) -> bool:
    """Compare a run with the seven before it."""
    window = [truth.draw(k, 0.0, generator) for k in range(WINDOW)]
    new = truth.draw(WINDOW, worse_by, generator)
    return _alarm(compare(window[-1], new, learnt=learn(window)), worse_by)


def alarms_of_history(truth: Truth, worse_by: float, generator: np.random.Generator) -> bool:
    """Look at 30 nights, of which the last ten may be worse."""
    nights = [
        truth.draw(k, worse_by if k >= NUM_NIGHTS - 10 else 0.0, generator)
        for k in range(NUM_NIGHTS)
    ]
    lines = history(nights).lines
    if worse_by:
        return Change.REGRESSION in lines[0].changes
    return any(line.steps for line in lines)


def _alarm(comparison: Comparison, worse_by: float) -> bool:
    if worse_by:
        return comparison.rows[0].change is Change.REGRESSION
    return bool(comparison.of(Change.REGRESSION, Change.IMPROVEMENT))


@dataclass(frozen=True)
class Setting:
    """A row of the table: a truth, what became worse in it, and what is to be reached."""

    what: str
    draw: Callable[[Truth, float, np.random.Generator], bool]
    truth: Truth
    worse_by: float = 0.0  # points of accuracy, percent of time
    limit: float | None = None  # at most for nulls, at least for effects

    def line(self, num: int, seconds: float, seed: int) -> str:
        """Draw ``num`` times, or as often as the time allows, at least once; return the row."""
        generator = np.random.default_rng(seed)
        end = time.perf_counter() + seconds
        alarms = drawn = 0
        while drawn < num and (drawn == 0 or time.perf_counter() < end):
            alarms += self.draw(self.truth, self.worse_by, generator)
            drawn += 1
        share, goal, reached = alarms / drawn, "", ""
        if self.limit is not None:
            goal = f"{'at least' if self.worse_by else 'at most'} {100 * self.limit:g} %"
            met = share >= self.limit if self.worse_by else share <= self.limit
            reached = "yes" if met else "no"
        error = 100 * np.sqrt(max(share * (1 - share), 0.5 / drawn) / drawn)
        return (
            f"| {self.what} | {100 * share:.1f} % ± {error:.1f} | {goal} | {reached} "
            f"| {drawn} | {seed} |"
        )


def _settings() -> list[Setting]:
    pair, window, night = alarms_of_pair, alarms_of_window, alarms_of_history
    times = {
        "process 2 %": Times(process=0.01),
        "process 4 %": Times(),
        "process 6 %": Times(process=0.0575),
        "common factor 5 %": Times(common=0.05),
        "common factor 10 %": Times(common=0.1),
        "rounds correlated 0.9": Times(correlation=0.9),
        "a neighbour in each run": Times(neighbour=1.0),
        "all of these": Times(common=0.05, correlation=0.9, neighbour=1.0),
        "no reference, common factor 5 %": Times(common=0.05, referred=False),
        "no reference, neighbours": Times(neighbour=1.0, referred=False),
        "one round": Times(num_rounds=1),
    }
    common, bare = Times(common=0.05), Times(common=0.05, referred=False)
    both = Times(common=0.05, neighbour=0.3)
    long = Times(num_rounds=1, num_timings=101)
    one, five = Accuracy(num_seeds=1), Accuracy(num_seeds=5)
    wide = Accuracy(num_seeds=1, deviation=0.8)
    return [
        *(
            Setting(
                f"accuracy, {n} seeds, deviation {deviation:g}",
                pair,
                Accuracy(deviation=deviation, num_seeds=n),
                limit=0.08 if n >= 3 else None,
            )
            for n in (1, 3, 5)
            for deviation in (0.1, 0.3, 0.5, 0.8)
        ),
        *(Setting(f"times, {name}", pair, truth, limit=0.08) for name, truth in times.items()),
        Setting("window of 7, times, process 4 %", window, Times(), limit=0.08),
        Setting("window of 7, times, common and neighbours", window, both, limit=0.08),
        Setting("30 nights, times, process 4 %", night, Times(), limit=0.1),
        Setting("30 nights, times, common and neighbours", night, both, limit=0.1),
        Setting("30 nights, accuracy, 1 seed, 0.3", night, one, limit=0.1),
        Setting("30 nights, accuracy, 1 seed, 0.8", night, wide, limit=0.1),
        Setting("1 point, 5 seeds, deviation 0.3", pair, five, 1.0, 0.9),
        Setting("0.5 points, 5 seeds, deviation 0.3", pair, five, 0.5),
        Setting("30 % slower, process 4 %", pair, Times(), 30, 0.9),
        Setting("30 % slower, common factor 5 %", pair, common, 30),
        Setting("30 % slower, no reference", pair, bare, 30),
        Setting("20 % slower, window of 7, process 4 %", window, Times(), 20, 0.9),
        Setting("20 % slower, window of 7, common 5 %", window, common, 20),
        Setting("tenfold, one round, 101 timings", pair, long, 900, 1.0),
        Setting("20 % slower for ten of 30 nights", night, both, 20),
        Setting("1 point for ten of 30 nights", night, one, 1.0),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate each setting for its share of the minutes, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.compare_power")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR")
    parser.add_argument("--minutes", type=float, default=5.0, help="in all. Default: 5")
    parser.add_argument("--pairs", type=int, default=2000, help="a setting at most. Default: 2000")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="settings of such a name: '30 nights*'"
    )
    parser.add_argument("--machine", default="", help="what to say of the machine")
    parser.add_argument("--commit", default="", help="what was simulated")
    args = parser.parse_args(argv)
    settings = [
        (seed, setting)
        for seed, setting in enumerate(_settings())
        if fnmatch.fnmatchcase(setting.what, args.only)
    ]
    if not settings:
        parser.error(f"--only {args.only}: no setting has such a name")
    lines = [
        "# False alarms and power of comparisons",
        "",
        f"`python -m studies.compare_power`, {args.minutes:g} minutes of one core of "
        f"{args.machine or 'an unnamed machine'}, commit {args.commit or 'unknown'}, level "
        f"{Thresholds().alpha:g}. Tables of {NUM_NETWORKS} accuracies or {NUM_TIMINGS} timings of "
        f"{NUM_ROUNDS} rounds. Without an effect any alarm counts, better or worse; with one, a "
        "regression of the row that became worse. ± is one standard error.",
        "",
        "| setting | alarms | to reach | reached | drawn | seed |",
        "| --- | ---: | --- | --- | ---: | ---: |",
    ]
    end = time.perf_counter() + 60 * args.minutes
    for k, (seed, setting) in enumerate(settings):
        share = (end - time.perf_counter()) / (len(settings) - k)
        lines.append(setting.line(args.pairs, share, seed))
        print(lines[-1], flush=True)  # noqa: T201 - a command
    replace_file(args.folder / "power.md", ("\n".join(lines) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
