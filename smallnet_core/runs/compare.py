"""Compare two saved runs row by row: what changed, and whether it could be chance. Pure.

Rows are paired by claim and device, or by what was timed and where. ``--fail-on regression`` fails
on these rows (exit code 1; 0 without any, 2 for files or settings that cannot be used):

| regression | row | test | threshold | where |
| --- | --- | --- | --- | --- |
| worse accuracy | same weights | McNemar's exact test of the images | 0.1 points | anywhere |
| | other weights, 3 seeds or more on a side | t, measured deviation | 0.1 points | anywhere |
| | fewer seeds | t, 0.8 points assumed; undecided if 0.3 would do | 0.1 points | anywhere |
| | a class's precision, recall, f1 | two confusion matrices | 0.1 points | anywhere |
| | another number with a 95 % interval | both intervals | 0.1 points | anywhere |
| | it diverged | none | none | anywhere |
| worse curve | any point of it | two shares of images, times the points | 0.1 points | anywhere |
| slower | time or rate | t between processes, against the reference timing | 10 % | same machine |
| bigger | parameters, multiply-adds, bytes | none: any growth | 0 | anywhere |
| met -> missed | claim | none: the verdict | none | anywhere |
| measured -> not measured | claim | none | none | same machine |
| gone | any row | none | none | same machine, and not ``partial`` |

Tests are two-sided, and a table's p values are adjusted by Holm to 5 % together; those of classes
for each metric. A difference of two networks is a regression only if the first, which the claim is
about, got worse. *Undecided* is a change that would be significant if something unknown could not
explain it: the deviation of seeds, or how fast the machine was at the time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smallnet_core.records import Status
from smallnet_core.runs import significance
from smallnet_core.runs.file import RunFile
from smallnet_core.runs.machines import Difference, differences, machines, warnings
from smallnet_core.runs.readings import Reading, readings
from smallnet_core.runs.reference import Learnt, learn
from smallnet_core.runs.rows import (
    Change,
    ComparisonError,
    RowComparison,
    Thresholds,
    joined,
    process_variance,
    tested,
)

_MET = frozenset({Status.REPRODUCED.value, Status.EXCEEDED.value, Status.REFUTED.value})


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of two files, in the order of the new one, rows that are gone last."""

    old: RunFile
    new: RunFile
    rows: tuple[RowComparison, ...]
    thresholds: Thresholds
    machines: str  # "same", "another", "unknown"
    environment: tuple[Difference, ...] = ()  # what differs between the files, commits first
    warnings: tuple[str, ...] = ()  # a busy machine, another clock

    @property
    def same_machine(self) -> bool:
        """Tell whether both runs are known to be of one machine."""
        return self.machines == "same"

    def of(self, *changes: Change) -> list[RowComparison]:
        """Return the rows with any of these changes."""
        return [row for row in self.rows if row.change in changes]

    @property
    def counts(self) -> Counter[Change]:
        """Count the rows by their change."""
        return Counter(row.change for row in self.rows)


def compare(
    old: RunFile,
    new: RunFile,
    *,
    thresholds: Thresholds | None = None,
    across_machines: bool = False,
    partial: bool = False,
    only: str | None = None,
    learnt: Mapping[tuple[str, ...], Learnt] | None = None,
) -> Comparison:
    """Compare ``new`` with ``old``; ComparisonError if they have nothing in common.

    ``learnt`` has each row's values in earlier runs, which replace the old file's mean and
    deviation; the default is the old file's own, if it is a reference. ``partial``: the new run was
    not asked for everything, so missing rows are not regressions. ``only``: judge the row with this
    label alone, without correcting for other rows.
    """
    thresholds = thresholds or Thresholds()
    check_same_data(old, new)
    found = machines(old, new)
    same_machine = found == "same" or across_machines
    pairs = _pairs(readings(old), readings(new))
    if not any(a and b and a.value is not None and b.value is not None for a, b in pairs):
        raise ComparisonError(
            f"{old.path} and {new.path} have nothing in common: nothing was measured in both"
        )
    known = (learn([old]) if old.learnt else {}) if learnt is None else learnt
    rows = []
    for a, b in pairs:
        if only not in (None, a and a.label, b and b.label):
            continue
        row = _compared(a, b, thresholds, same_machine=same_machine, partial=partial)
        if row.change is Change.SIMILAR and a and b:
            row = tested(row, a, b, known.get(a.pool), process_variance(pairs, known, b))
            if row.kind == "rounds" and not same_machine:
                row = row.decided(Change.NOT_JUDGED, f"{found} machine")
        rows.append(_flipped(row, a, b))
    return Comparison(
        old=old,
        new=new,
        rows=tuple(_decided(rows, thresholds)),
        thresholds=thresholds,
        machines=found,
        environment=differences(old, new),
        warnings=warnings(old, new),
    )


def check_same_data(old: RunFile, new: RunFile) -> None:
    """Raise ComparisonError for runs that were judged on different images."""
    digests: list[dict[str, str]] = [
        {run["recipe"]["dataset"]: run["test_digest"] for run in file.runs} for file in (old, new)
    ]
    for name, digest in digests[0].items():
        if digests[1].get(name, digest) != digest:
            raise ComparisonError(
                f"{old.path} and {new.path} were judged on different test images of {name}: "
                "their accuracies cannot be compared"
            )
    sizes = [{r.key: r.num_images for r in readings(f) if r.kind == "accuracy"} for f in (old, new)]
    for key, before in sizes[0].items():
        after = sizes[1].get(key)
        if before and after and before != after:
            raise ComparisonError(
                f"{key[1]} was judged on {before} images in {old.path} and on {after} in "
                f"{new.path}: its accuracies cannot be compared"
            )


def _pairs(
    before: Sequence[Reading], after: Sequence[Reading]
) -> list[tuple[Reading | None, Reading | None]]:
    """Pair rows by key; a reference may have several recipes, of which the new row's counts.

    A claim that one side did not measure has no device and is paired by its name.
    """
    old, new = ({reading.key: reading for reading in side} for side in (before, after))
    by_recipe = {(reading.key[:3], reading.recipe): reading for reading in before}
    names = {key[:2]: reading for key, reading in old.items() if key not in new}
    pairs: list[tuple[Reading | None, Reading | None]] = []
    taken = set()
    for key, reading in new.items():
        other = old.get(key)
        if key[0] == "claim":
            other = by_recipe.get((key[:3], reading.recipe), other)
            left = names.get(key[:2])
            if other is None and left is not None and "none" in (left.kind, reading.kind):
                other = left
        if other is not None:
            taken |= {other.key, key}
        pairs.append((other, reading))
    return pairs + [
        (reading, None)
        for key, reading in old.items()
        if key not in taken and (key[0] != "claim" or key[:3] not in taken)
    ]


# Rows that need no test


def _compared(
    old: Reading | None,
    new: Reading | None,
    thresholds: Thresholds,
    *,
    same_machine: bool,
    partial: bool,
) -> RowComparison:
    """Compare a pair; ``Change.SIMILAR`` if it still has to be tested."""
    some = new or old
    assert some is not None, "a pair has a side"
    row = RowComparison(
        label=some.label,
        table=some.table,
        change=Change.SIMILAR,
        kind=some.kind,
        unit=some.unit,
        family=some.family,
        old=None if old is None else old.value,
        new=None if new is None else new.value,
        lower_is_better=some.lower_is_better,
    )
    if old is None:
        return row.decided(Change.NEW)
    if new is None:
        fails = same_machine and not partial and old.kind != "none"
        return row.decided(Change.REGRESSION if fails else Change.GONE, "gone")
    if new.kind == "none":
        if old.kind == "none":
            return row.decided(Change.UNCHANGED, "not measured in both")
        change = Change.REGRESSION if same_machine else Change.NOT_MEASURED
        return row.decided(change, "no longer measured", new.reason)
    if old.kind == "none":
        return row.decided(Change.NOT_MEASURED)
    verdicts = "" if old.verdict == new.verdict else f"{old.verdict}, now {new.verdict}"
    row = replace(row, note=verdicts, threshold=thresholds.of(new))
    if old.value is None or new.value is None:
        if old.value == new.value:
            return row.decided(Change.UNCHANGED)
        if new.value is None and new.verdict:
            return row.decided(Change.REGRESSION, "diverged")
        return row.decided(Change.NOT_JUDGED, "has a number on one side only")
    row = replace(row, effect=new.value - old.value)
    if old.precision != new.precision:
        return row.decided(Change.NOT_JUDGED, f"computed in {old.precision} and {new.precision}")
    if old.recipe != new.recipe:
        return row.decided(Change.NOT_JUDGED, f"recipes differ: {old.recipe} and {new.recipe}")
    if {old.kind, new.kind} != {"count"}:
        return row
    if not row.effect:
        return row.decided(Change.UNCHANGED)
    if not row.lower_is_better:
        return row.decided(Change.CHANGED)
    if abs(row.effect) <= thresholds.of(new):
        return row
    return row.decided(Change.REGRESSION if row.effect > 0 else Change.IMPROVEMENT)


def _flipped(row: RowComparison, old: Reading | None, new: Reading | None) -> RowComparison:
    """Make a claim that was met and is now missed a regression, whatever its numbers say."""
    if not (old and new and old.verdict in _MET and new.verdict == Status.MISSED.value):
        return row
    # A difference is no worse if the network that it is about is as good as before.
    kept = old.minuend is not None and new.minuend is not None and new.minuend >= old.minuend
    if kept or row.change is Change.NOT_JUDGED:
        return row
    return row.decided(Change.REGRESSION)


def _decided(rows: Sequence[RowComparison], thresholds: Thresholds) -> list[RowComparison]:
    """Adjust each table's p values and decide its rows by them."""
    families: dict[str, dict[int, float]] = defaultdict(dict)
    for k, row in enumerate(rows):
        if row.test is not None:
            families[row.family or row.table][k] = row.test.p
    decided = list(rows)
    for ps in families.values():
        for k, p in zip(ps, significance.holm(list(ps.values())), strict=True):
            decided[k] = _decide(rows[k], p, len(ps), thresholds)
    return decided


def _decide(row: RowComparison, p: float, family: int, thresholds: Thresholds) -> RowComparison:
    assert row.effect is not None and row.threshold is not None and row.test is not None
    note, change, alpha = row.note, Change.SIMILAR, thresholds.alpha
    beyond = abs(row.effect) > row.threshold
    if p < alpha and beyond:
        worse = (row.effect > 0) == row.lower_is_better
        change = Change.REGRESSION if worse else Change.IMPROVEMENT
    elif p < alpha:
        note = joined(note, f"real, but within the threshold of {row.threshold:g}")
    elif beyond and row.narrow_p is not None and row.narrow_p * family < alpha:
        change = Change.UNDECIDED
    elif row.test.least_p * family >= alpha:
        note = joined(note, "too few changed images to be significant")
    return replace(row, change=change, p_adjusted=p, note=note)
