"""``smallnet publish``: judge what the cache has trained and put it into the zoo."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch

from smallnet_core.lab.cache import in_dtype, now, write_entry
from smallnet_core.lab.judged import JUDGED
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.sparse import stored_bytes
from smallnet_core.lab.workbench import Workbench
from smallnet_core.pruning.curve import read_curves, write_curve
from smallnet_core.pruning.masks import count_nonzeros
from smallnet_core.recipes import Recipe
from smallnet_core.records import NotMeasured
from smallnet_core.system.files import ZOO_DIR
from smallnet_core.training.progress import LogLines

MAX_ZOO_BYTES = 48 * 2**20
# A network below either limit ships with its weights, any other as a record alone.
MAX_WEIGHT_BYTES = 2 * 10**6
MAX_PARAMS = 1_000_000
_RECORD_BYTES = 100_000  # training curve, a bit per image, confusion matrix of 100 classes


class NotPublishable(Exception):  # noqa: N818 - says what the network is
    """A trained network that does not belong in the zoo; the message says why."""


def publish(
    recipes: Iterable[Recipe], settings: Settings, display: LogLines, *, zoo: Path = ZOO_DIR
) -> int:
    """Put the cache's trained networks and pruning curves into the zoo.

    Networks that are already in the zoo stay as they are. Return the exit status, 1 where a network
    was refused.
    """
    bench = Workbench(settings)
    bench.cache.zoo = zoo
    counts = dict.fromkeys(("published", "already in the zoo", "not trained", "refused"), 0)
    for recipe in recipes:
        if bench.cache.recorded(recipe) is not None:
            outcome = "already in the zoo"
        elif bench.missing([recipe]):
            outcome = "not trained"
        else:
            try:
                display.line(f"{recipe}: {_publish(bench, recipe)}")
                outcome = "published"
            except (NotPublishable, NotMeasured, OSError) as reason:
                display.line(f"{recipe}: not published: {reason}")
                outcome = "refused"
        counts[outcome] += 1
        if outcome in ("published", "already in the zoo"):
            _publish_curves(bench, recipe, display)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    for line in (*bench.cache.complaints, summary):
        display.line(line)
    return int(counts["refused"] > 0)


def _publish(bench: Workbench, recipe: Recipe) -> str:
    """Judge a network as it ships, in float16, and write its entry; return a description.

    Raises NotPublishable.
    """
    model = bench.model(recipe)
    commit = model.record["commit"] or {}
    if commit.get("dirty"):
        raise NotPublishable(
            f"it was trained with uncommitted changes on top of {commit['id'][:12]}; "
            "commit them and train again"
        )
    rounded = in_dtype(model.state_dict, torch.float16)
    stored = stored_bytes(rounded)["sparse_bytes"]
    is_small = stored < MAX_WEIGHT_BYTES or count_nonzeros(bench.network(model)) < MAX_PARAMS
    _check_room(bench.cache.zoo, _RECORD_BYTES + (stored if is_small else 0))
    found = bench.judge(dataclasses.replace(model, state_dict=in_dtype(rounded, torch.float32)))
    judged = {
        **{name: getattr(found, name) for name in JUDGED},
        "accuracy_percent": found.accuracy_percent,
        "environment": bench.facts.as_dict(),
        "commit": bench.commit,
        "time": now(),
    }
    record = {**model.record, "shipped_accuracy_percent": found.accuracy_percent, "judged": judged}
    write_entry(bench.cache.zoo, recipe, rounded, record, with_weights=is_small)
    what = "with its weights" if is_small else "record only"
    return f"published, {what}, {found.accuracy_percent:.2f} %"


def _publish_curves(bench: Workbench, recipe: Recipe, display: LogLines) -> None:
    """Copy the cache's curves that were measured on the weights in the zoo's record."""
    record = bench.cache.recorded(recipe)
    assert record is not None, "it was published"
    folder = bench.cache.zoo / "curves"
    num_other = 0
    for path, curve in read_curves(bench.cache.folder, recipe.name, bench.cache.complaints):
        if curve.weights_sha256 != record["weights_sha256"]:
            num_other += 1
        elif not (folder / path.name).exists():
            try:
                _check_room(bench.cache.zoo, path.stat().st_size)
                write_curve(folder, curve)
            except (NotPublishable, OSError) as reason:
                display.line(f"{path.name}: not published: {reason}")
            else:
                display.line(f"{path.name}: published")
    if num_other:
        display.line(
            f"{recipe}: skipped {num_other} curves of other weights than the zoo's; run pytest "
            "benchmarks -m pruning with an empty --model-cache to measure the zoo's"
        )


def _check_room(zoo: Path, num_bytes: int) -> None:
    taken = sum(path.stat().st_size for path in zoo.rglob("*") if path.is_file())
    if taken + num_bytes > MAX_ZOO_BYTES:
        raise NotPublishable(
            f"{num_bytes / 2**20:.1f} MiB more would make the zoo larger than "
            f"{MAX_ZOO_BYTES / 2**20:.0f} MiB"
        )
