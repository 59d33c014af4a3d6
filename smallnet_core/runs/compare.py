"""Two saved runs in, what changed out: row by row, and whether it can be chance.

Rows are paired by claim, or by what was timed, never by the name of a test. By what kind of reading
a row is:

- *accuracy*, where weights and answers are the same: unchanged. The same weights with other
  answers are judged by McNemar's exact test. Several seeds on each side by the exact permutation
  test of their means, where so few could be significant at all, else by Welch's t with each side's
  deviation pooled with ``judging.ASSUMED_SEED_DEVIATION``. One seed on a side cannot tell its own
  spread: such a pair has to pass that t test and, where both sides have their answers, McNemar's
  too, which alone tells two networks apart and not two recipes. Without answers the test set's
  error is added.
- *interval*: a number that comes with a 95 % interval of its own, by the two intervals.
- *rounds*: times, by the bootstrapped ratio of their medians, which has to pass a t test with
  ``ASSUMED_PROCESS_DEVIATION`` on each side too: rounds of one process do not know what the next
  process finds. On one machine only.
- *count*: any change counts. *number*: shown, never judged.

A regression or an improvement is a change whose p value, adjusted by Holm over its table, is below
``alpha``, and whose effect is above the row's threshold. Pure.
"""

from __future__ import annotations

import base64
import enum
import fnmatch
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smallnet_core import judging
from smallnet_core.claims import CLAIMS
from smallnet_core.records import Rule, Status
from smallnet_core.runs import significance
from smallnet_core.runs.file import Row, RunFile
from smallnet_core.runs.significance import Test

__all__ = [
    "Change",
    "Comparison",
    "ComparisonError",
    "History",
    "Line",
    "RowComparison",
    "Thresholds",
    "compare",
    "history",
]

# What makes a timing the same one in another file; the name, for kinds that are not here.
IDENTITY: Mapping[str, tuple[str, ...]] = {
    "latency": ("network", "batch_size", "precision", "backend"),
    "pruning curve": ("network", "optimizer", "technique"),
}


# Medians of the same network's rounds in two runs on one machine differ by 3.7 to 6 % (deviation
# over 22 to 29 timings, three pairs of runs): 2.6 to 4.3 % on a side. Weighs as much as 11 runs.
ASSUMED_PROCESS_DEVIATION = 0.04
_PROCESS_DEGREES = 10

# How much smaller than the level the least p value of a permutation test has to be.
_ROOM = 10


class ComparisonError(ValueError):
    """Two files that cannot be compared, in one line."""


class Change(enum.StrEnum):
    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    CHANGED = "changed"  # a count: neither better nor worse
    SIMILAR = "no difference shown"
    UNCHANGED = "unchanged"
    NOT_JUDGED = "not judged"
    NOT_MEASURED = "not measured on one side"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The least that counts: beyond ``alpha``, an effect in points or percent."""

    alpha: float = 0.05
    accuracy_points: float = 0.1
    time_percent: float = 10.0
    claims: Mapping[str, float] = field(default_factory=dict)  # by pattern, in the row's own unit

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}, expected a level between 0 and 1")
        values = {
            "accuracy_points": self.accuracy_points,
            "time_percent": self.time_percent,
            **self.claims,
        }
        for name, value in values.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"threshold of {name} is {value}, expected 0 or more")

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Thresholds:
        """From ``[tool.smallnet.compare]`` of a pyproject.toml; ValueError for what it is not."""
        known = {"alpha", "accuracy_points", "time_percent", "claims"}
        if unknown := sorted(table.keys() - known):
            raise ValueError(f"{', '.join(unknown)}: expected of {', '.join(sorted(known))}")
        claims = table.get("claims", {})
        if not isinstance(claims, Mapping):
            raise ValueError(f"claims is {claims!r}, expected a table of patterns")
        for name, value in {**table, **claims}.items():
            if name != "claims" and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"{name} is {value!r}, expected a number")
        return cls(**table)

    def of(self, reading: Reading) -> float:
        """What the effect of a reading has to be above; the first pattern that fits decides."""
        for pattern, least in self.claims.items():
            if fnmatch.fnmatchcase(reading.label, pattern):
                return least
        if reading.kind == "rounds":
            return self.time_percent
        return self.accuracy_points if reading.unit in ("%", "points") else 0.0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a row of a file says, as far as it can be compared."""

    key: tuple[str, ...]
    label: str
    table: str
    kind: str  # "accuracy", "interval", "rounds", "count", "number", "none"
    value: float | None = None
    unit: str = ""
    lower_is_better: bool = False
    recipe: str | None = None
    verdict: str | None = None
    values: tuple[float, ...] = ()
    num_images: int | None = None
    interval: tuple[float, float] | None = None
    rounds: tuple[float, ...] = ()  # seconds, or images a second
    runs: tuple[Row, ...] = ()  # a seed each; empty where one is not in the file
    fingerprints: tuple[str, ...] = ()
    alike: tuple[Any, ...] = ()  # what a renamed row has in common with its old self


@dataclass(frozen=True, kw_only=True)
class RowComparison:
    """A row of both files, or of one."""

    label: str
    table: str
    change: Change
    kind: str
    unit: str
    old: float | None = None
    new: float | None = None
    effect: float | None = None  # new - old, in points for %; percent for rounds
    interval: tuple[float, float] | None = None  # 95 %, of the effect
    threshold: float | None = None
    test: Test | None = None
    p_adjusted: float | None = None  # Holm, over the table
    note: str = ""
    renamed_from: str | None = None
    lower_is_better: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of two files, in the order of the new one, those that are gone last."""

    old: RunFile
    new: RunFile
    rows: tuple[RowComparison, ...]
    thresholds: Thresholds
    same_machine: bool

    def of(self, *changes: Change) -> list[RowComparison]:
        return [row for row in self.rows if row.change in changes]

    @property
    def counts(self) -> Counter[Change]:
        return Counter(row.change for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row over several files."""

    label: str
    table: str
    unit: str
    values: tuple[float | None, ...]  # a file each
    steps: tuple[int, ...]  # the files at which it had changed
    changes: tuple[Change, ...]  # at each step


@dataclass(frozen=True, kw_only=True)
class History:
    files: tuple[RunFile, ...]  # by time
    lines: tuple[Line, ...]


def compare(
    old: RunFile,
    new: RunFile,
    *,
    thresholds: Thresholds | None = None,
    across_machines: bool = False,
) -> Comparison:
    """What changed from ``old`` to ``new``; ComparisonError where they have nothing in common.

    Times of another machine are judged only ``across_machines``.
    """
    thresholds = thresholds or Thresholds()
    _check_same_data(old, new)
    same_machine = _machine(old) == _machine(new)
    before, after = _readings(old), _readings(new)
    pairs = _pairs(before, after)
    if not any(a and b and a.value is not None and b.value is not None for a, b in pairs):
        raise ComparisonError(
            f"{old.path} and {new.path} have nothing in common: nothing was measured in both"
        )
    families = Counter(b.table for a, b in pairs if a and b)
    judge_times = same_machine or across_machines
    rows = [_compared(a, b, thresholds, judge_times, families) for a, b in pairs]
    return Comparison(
        old=old,
        new=new,
        rows=tuple(_decided(rows, thresholds)),
        thresholds=thresholds,
        same_machine=same_machine,
    )


def history(
    files: Sequence[RunFile],
    *,
    thresholds: Thresholds | None = None,
    across_machines: bool = False,
) -> History:
    """A line for each row over files in the order of their times, with the steps where it changed.

    Each file is compared with the one at which the row changed last, so that a slow drift is found
    too, once it has become large enough. ComparisonError for fewer than two files.
    """
    if len(files) < 2:
        raise ComparisonError("a history needs two files or more")
    ordered = tuple(sorted(files, key=lambda file: file.datetime))
    readings = [{r.key: r for r in _readings(file)} for file in ordered]
    found: dict[tuple[int, int], dict[str, RowComparison]] = {}

    def compared(reference: int, at: int) -> dict[str, RowComparison]:
        if (reference, at) not in found:
            rows: Sequence[RowComparison] = ()
            try:
                rows = compare(
                    ordered[reference],
                    ordered[at],
                    thresholds=thresholds,
                    across_machines=across_machines,
                ).rows
            except ComparisonError:
                _check_same_data(ordered[reference], ordered[at])
            found[reference, at] = {row.label: row for row in rows}
        return found[reference, at]

    lines = []
    for key in dict.fromkeys(key for of_file in readings for key in of_file):
        own = [of_file.get(key) for of_file in readings]
        first = next(r for r in own if r is not None)
        reference: int | None = None
        steps: dict[int, Change] = {}
        for at, reading in enumerate(own):
            if reading is None or reading.value is None:
                continue
            if reference is None:
                reference = at
                continue
            row = compared(reference, at).get(reading.label)
            if row is not None and row.change in _REAL:
                steps[at] = row.change
                reference = at
        lines.append(
            Line(
                label=first.label,
                table=first.table,
                unit=first.unit,
                values=tuple(None if r is None else r.value for r in own),
                steps=tuple(steps),
                changes=tuple(steps.values()),
            )
        )
    return History(files=ordered, lines=tuple(lines))


_REAL = (Change.REGRESSION, Change.IMPROVEMENT, Change.CHANGED)


# Reading files


def _machine(file: RunFile) -> tuple[Any, ...]:
    return tuple(file.machine.get(name) for name in ("device_name", "device", "num_threads"))


def _check_same_data(old: RunFile, new: RunFile) -> None:
    digests: list[dict[str, str]] = [
        {run["recipe"]["dataset"]: run["test_digest"] for run in file.runs} for file in (old, new)
    ]
    for name in digests[0].keys() & digests[1].keys():
        if digests[0][name] != digests[1][name]:
            raise ComparisonError(
                f"{old.path} and {new.path} were judged on different test images of {name}: "
                "their accuracies cannot be compared"
            )


def _readings(file: RunFile) -> list[Reading]:
    runs = {run["fingerprint"]: run for run in file.runs}
    rounds = {
        key: tuple(seconds)
        for row, seconds in file.rounds
        if row["claim"] is None and row["kind"] == "latency" and (key := _timing_key(row))
    }
    found: dict[tuple[str, ...], Reading] = {}
    for row in file.rows:
        timing = row["claim"] is None
        of_row = _of_timing(row, runs, rounds) if timing else [_of_claim(row, runs)]
        for reading in of_row:
            found.setdefault(reading.key, reading)
    return list(found.values())


def _of_claim(row: Row, runs: Mapping[str, Row]) -> Reading:
    claim = CLAIMS.get(row["claim"])
    base = Reading(
        key=("claim", row["claim"]),
        label=row["claim"],
        table=row["source"],
        kind="none",
        unit=row["unit"],
        verdict=row["verdict"],
        recipe=row["recipe"],
        lower_is_better=claim is not None and claim.rule is Rule.BELOW,
        fingerprints=tuple(row["fingerprints"]),
        alike=(row["source"], row["metric"], row["unit"], row["paper"]),
    )
    value, values = row["measured"], tuple(row["values"])
    if row["verdict"] == Status.NOT_MEASURED.value and value is None:
        return base
    if value is None or None in values:  # it diverged
        return replace(base, kind="number", value=None)
    interval = tuple(row["interval"]) if row["interval"] else None
    own = [runs.get(one) for one in row["fingerprints"]]
    found = tuple(run for run in own if run is not None)
    base = replace(
        base,
        value=value,
        values=values,
        num_images=row["num_images"],
        interval=interval,
        runs=found if found and len(found) == len(own) == len(values) else (),
    )
    if row["unit"] == "%" and row["metric"] == "accuracy_percent":
        if base.num_images or base.runs:
            return replace(base, kind="accuracy")
        return replace(base, kind="interval" if _is_wide(interval) else "number")
    if row["unit"] in ("%", "points", ""):
        return replace(base, kind="interval" if _is_wide(interval) else "number")
    return replace(base, kind="count")


def _is_wide(interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] < interval[1]


def _timing_key(row: Row) -> tuple[str, ...]:
    fields = IDENTITY.get(row["kind"], ("name",))
    return (row["kind"], *(str(row[name]) for name in fields if name in row))


def _of_timing(
    row: Row, runs: Mapping[str, Row], rounds: Mapping[tuple[str, ...], tuple[float, ...]]
) -> list[Reading]:
    kind, key = row["kind"], _timing_key(row)
    base = Reading(
        key=key, label="/".join(key), table=kind, kind="number", unit=str(row.get("unit", ""))
    )

    def number(name: str, unit: str, kind: str = "number", part: str | None = None) -> Reading:
        part = part or name
        return replace(
            base,
            key=(*key, part),
            label=f"{base.label}: {part}",
            kind=kind,
            unit=unit,
            value=_finite(row.get(name)),
        )

    if kind == "latency":
        seconds = rounds.get(key, ())
        value = 1000 * statistics.median(seconds) if seconds else _finite(row.get("measured"))
        timed = "rounds" if seconds else "number"
        return [
            replace(base, kind=timed, unit="ms", value=value, rounds=seconds, lower_is_better=True)
        ]
    if kind == "training_speed":
        by_loop = row.get("rounds_images_per_second")
        speeds = _numbers(by_loop.get("ours")) if isinstance(by_loop, Mapping) else ()
        if speeds:
            value = statistics.median(speeds)
            return [replace(base, kind="rounds", unit="images/s", value=value, rounds=speeds)]
        return [number("ratio", "", part="ratio")]
    if kind == "pruned network":
        fingerprint = str(row.get("fingerprint", ""))
        accuracy = number("accuracy_percent", "%")
        if fingerprint in runs and accuracy.value is not None:
            run = runs[fingerprint]
            accuracy = replace(
                accuracy,
                kind="accuracy",
                values=(accuracy.value,),
                num_images=run["num_images"],
                runs=(run,),
                fingerprints=(fingerprint,),
            )
        return [
            number("num_params", "parameters", "count"),
            number("num_nonzeros", "parameters", "count"),
            number("multiply_adds", "multiply-adds", "count"),
            number("dense_bytes", "bytes", "count"),
            replace(number("latency_ms", "ms"), lower_is_better=True),
            number("images_per_second", "images/s"),
            accuracy,
        ]
    if kind == "pruning curve":
        percents = _numbers(row.get("accuracy_percent"))
        mean = statistics.fmean(percents) if percents else None
        return [replace(base, kind="count", unit="%", value=mean)]
    if kind == "failures":
        return [number("accuracy_percent", "%", "count")]
    return [replace(base, value=_finite(row.get("measured")))]


def _numbers(values: Any) -> tuple[float, ...]:
    """Of a list of finite numbers; empty for anything else."""
    found = [_finite(value) for value in values] if isinstance(values, list) else []
    return tuple(value for value in found if value is not None) if None not in found else ()


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _pairs(
    before: Iterable[Reading], after: Iterable[Reading]
) -> list[tuple[Reading | None, Reading | None]]:
    """By key; then what is left on both sides, where one row alone of each is alike."""
    old = {reading.key: reading for reading in before}
    new = {reading.key: reading for reading in after}
    gone: dict[tuple[Any, ...], list[Reading]] = defaultdict(list)
    added: dict[tuple[Any, ...], list[Reading]] = defaultdict(list)
    for key in old.keys() - new.keys():
        gone[old[key].alike].append(old[key])
    for key in new.keys() - old.keys():
        added[new[key].alike].append(new[key])
    renamed = {
        added[alike][0].key: found[0]
        for alike, found in gone.items()
        if alike and len(found) == len(added.get(alike, ())) == 1
    }
    pairs: list[tuple[Reading | None, Reading | None]] = [
        (old.get(key) or renamed.get(key), reading) for key, reading in new.items()
    ]
    taken = {reading.key for reading in renamed.values()}
    pairs += [(r, None) for key, r in old.items() if key not in new and key not in taken]
    return pairs


# Comparing


def _compared(
    old: Reading | None,
    new: Reading | None,
    thresholds: Thresholds,
    judge_times: bool,
    families: Mapping[str, int],
) -> RowComparison:
    """A pair, with its test where it has one; what that decides is for ``_decided``."""
    some = new or old
    assert some is not None, "a pair has a side"
    row = RowComparison(
        label=some.label,
        table=some.table,
        change=Change.SIMILAR,
        kind=some.kind,
        unit=some.unit,
        old=None if old is None else old.value,
        new=None if new is None else new.value,
        renamed_from=old.label if old and new and old.key != new.key else None,
        lower_is_better=some.lower_is_better,
    )
    if old is None:
        return replace(row, change=Change.NEW)
    if new is None:
        return replace(row, change=Change.GONE)
    if "none" in (old.kind, new.kind):
        both = old.kind == new.kind
        change = Change.UNCHANGED if both else Change.NOT_MEASURED
        return replace(row, change=change, note="not measured in both" if both else "")
    row = replace(row, note=_verdicts(old, new), threshold=thresholds.of(new))
    if old.value is None or new.value is None:
        if old.value == new.value:
            return replace(row, change=Change.UNCHANGED)
        worse = new.value is None and new.kind != "count"
        note = "diverged" if worse else "has a number on one side only"
        change = Change.REGRESSION if worse and new.verdict else Change.NOT_JUDGED
        return replace(row, change=change, note=_joined(row.note, note))
    row = replace(row, effect=new.value - old.value)
    if old.recipe != new.recipe:
        note = f"recipes differ: {old.recipe} and {new.recipe}"
        return replace(row, change=Change.NOT_JUDGED, note=_joined(row.note, note))
    kinds = {old.kind, new.kind}
    if kinds == {"count"}:
        same = old.value == new.value
        return replace(row, change=Change.UNCHANGED if same else Change.CHANGED)
    if kinds == {"accuracy"}:
        return _accuracy(row, old, new, thresholds.alpha, families[new.table])
    if kinds == {"rounds"}:
        return _rounds(row, old, new, judge_times)
    if kinds <= {"interval", "accuracy"} and old.interval and new.interval:
        return _intervals(row, old, new)
    return replace(row, change=Change.NOT_JUDGED if row.effect else Change.UNCHANGED)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _verdicts(old: Reading, new: Reading) -> str:
    if old.verdict == new.verdict:
        return ""
    return f"{old.verdict}, now {new.verdict}"


def _accuracy(
    row: RowComparison, old: Reading, new: Reading, alpha: float, family: int
) -> RowComparison:
    note = row.note
    if old.fingerprints != new.fingerprints:
        note = _joined(note, "the recipe changed")
    pairs = _same_seeds(old, new)
    if pairs and all(_same_weights(a, b) for a, b in pairs):
        lost, gained = (
            sum(counts) for counts in zip(*(_discordant(*p) for p in pairs), strict=True)
        )
        if lost == gained == 0:
            return replace(row, change=Change.UNCHANGED, note=note)
        note = _joined(note, "the same weights with other answers")
        return _paired(replace(row, note=note), lost, gained, _num_images(pairs))

    whole = replace(row, note=note)
    variances = [judging.seed_variance(side.values, 100.0) for side in (old, new)]
    effect = statistics.fmean(new.values) - statistics.fmean(old.values)
    sizes = len(old.values), len(new.values)
    if min(sizes) > 1:
        test = significance.same_mean(effect, variances, "Welch, with an assumed deviation")
        if math.comb(sum(sizes), sizes[0]) <= significance.MAX_ARRANGEMENTS:
            exact = significance.permutation(old.values, new.values)
            # Where only complete separation would do, it finds little: 5 seeds against 5, one point
            # apart, in a table of six, were found in 75 % of pairs.
            if _ROOM * exact.least_p * family < alpha:
                test = exact
        return replace(whole, test=test, interval=_t_interval(effect, variances))
    if not (old.runs and new.runs):  # who knows on which images
        variances += [_binomial_variance(side) for side in (old, new)]
        test = significance.same_mean(effect, variances, "seeds' and images' spread")
        return replace(whole, test=test, interval=_t_interval(effect, variances))
    test = significance.same_mean(effect, variances, "an assumed deviation of seeds")
    if sizes == (1, 1):
        exact = significance.mcnemar(*_discordant(old.runs[0], new.runs[0]))
        test = Test(
            p=max(test.p, exact.p),
            least_p=exact.least_p,
            method="McNemar, exact, and an assumed deviation of seeds",
        )
        note = _joined(note, "one seed each")
    return replace(whole, note=note, test=test, interval=_t_interval(effect, variances))


def _same_seeds(old: Reading, new: Reading) -> list[tuple[Row, Row]]:
    """The runs of both sides by seed, where both have the same ones."""
    before, after = ({run["recipe"].get("seed", 0): run for run in r.runs} for r in (old, new))
    if not before or before.keys() != after.keys():
        return []
    return [(before[seed], after[seed]) for seed in before]


def _same_weights(a: Row, b: Row) -> bool:
    return a["weights_sha256"] is not None and a["weights_sha256"] == b["weights_sha256"]


def _bits(run: Row) -> npt.NDArray[np.bool_]:
    raw = np.frombuffer(base64.b64decode(run["right"]), np.uint8)
    return np.unpackbits(raw, count=run["num_images"]).astype(bool)


def _discordant(a: Row, b: Row) -> tuple[int, int]:
    """How many images only the first has right, and only the second; they have as many."""
    if a["num_images"] != b["num_images"]:
        raise ComparisonError(
            f"{a['name']} was judged on {a['num_images']} images and {b['name']} on "
            f"{b['num_images']}: their accuracies cannot be compared"
        )
    before, after = _bits(a), _bits(b)
    return int((before & ~after).sum()), int((after & ~before).sum())


def _num_images(pairs: Sequence[tuple[Row, Row]]) -> int:
    return sum(int(a["num_images"]) for a, _ in pairs)


def _paired(row: RowComparison, lost: int, gained: int, num_images: int) -> RowComparison:
    low, high = significance.paired_interval(lost, gained, num_images)
    return replace(row, test=significance.mcnemar(lost, gained), interval=(100 * low, 100 * high))


def _binomial_variance(side: Reading) -> tuple[float, float]:
    """Of a share of images, in points squared; with as good as endless degrees of freedom."""
    share = statistics.fmean(side.values) / 100
    n = side.num_images or 1
    # Half an image more: a share of 100 % has an error too.
    share = (share * n + 0.5) / (n + 1)
    return 1e4 * share * (1 - share) / n, 1e9


def _t_interval(effect: float, variances: Sequence[tuple[float, float]]) -> tuple[float, float]:
    squared = sum(v for v, _ in variances)
    degrees = squared**2 / sum(v**2 / d for v, d in variances)
    half = judging.t_quantile(degrees) * math.sqrt(squared)
    return effect - half, effect + half


def _intervals(row: RowComparison, old: Reading, new: Reading) -> RowComparison:
    """By intervals that need not be symmetric: the halves that face each other."""
    assert old.interval and new.interval and old.value is not None and new.value is not None
    effect = new.value - old.value
    if effect == 0 and old.fingerprints == new.fingerprints:
        return replace(row, change=Change.UNCHANGED)
    below = math.hypot(new.value - new.interval[0], old.interval[1] - old.value)
    above = math.hypot(new.interval[1] - new.value, old.value - old.interval[0])
    facing = below if effect > 0 else above
    z = 1.96 * abs(effect) / facing if facing else math.inf
    p = 2 * statistics.NormalDist().cdf(-z) if effect else 1.0
    return replace(
        row,
        test=Test(p=p, least_p=0.0, method="the intervals of both sides"),
        interval=(effect - below, effect + above),
    )


def _rounds(row: RowComparison, old: Reading, new: Reading, judged: bool) -> RowComparison:
    try:
        ratio, (low, high), test = significance.median_ratio(old.rounds, new.rounds)
    except ValueError as error:
        return replace(row, change=Change.NOT_JUDGED, note=_joined(row.note, str(error)))
    row = replace(
        row, effect=100 * (ratio - 1), interval=(100 * (low - 1), 100 * (high - 1)), test=test
    )
    if not judged:
        note = _joined(row.note, "another machine")
        return replace(row, change=Change.NOT_JUDGED, test=None, note=note)
    processes = [(ASSUMED_PROCESS_DEVIATION**2, _PROCESS_DEGREES)] * 2
    between = significance.same_mean(math.log(ratio), processes, "")
    both = Test(
        p=max(test.p, between.p),
        least_p=test.least_p,
        method=f"{test.method}, and an assumed deviation of processes",
    )
    return replace(row, test=both)


def _decided(rows: Sequence[RowComparison], thresholds: Thresholds) -> list[RowComparison]:
    """With each table's p values adjusted, and what is below the level told apart."""
    tests: dict[str, list[tuple[int, Test]]] = defaultdict(list)
    for k, row in enumerate(rows):
        if row.test is not None:
            tests[row.table].append((k, row.test))
    decided = list(rows)
    for found in tests.values():
        adjusted = significance.holm([test.p for _, test in found])
        for (k, test), p in zip(found, adjusted, strict=True):
            decided[k] = _decide(rows[k], p, test.least_p * len(found), thresholds)
    return decided


def _decide(row: RowComparison, p: float, least_p: float, thresholds: Thresholds) -> RowComparison:
    assert row.effect is not None and row.threshold is not None, "what is tested has an effect"
    note, change = row.note, Change.SIMILAR
    if p < thresholds.alpha and abs(row.effect) > row.threshold:
        worse = (row.effect > 0) == row.lower_is_better
        change = Change.REGRESSION if worse else Change.IMPROVEMENT
    elif p < thresholds.alpha:
        note = _joined(note, f"real, but within the threshold of {row.threshold:g}")
    elif least_p >= thresholds.alpha:
        note = _joined(note, "could not have been significant at this number")
    return replace(row, change=change, p_adjusted=p, note=note)
