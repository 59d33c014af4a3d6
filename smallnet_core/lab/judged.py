"""Trained networks judged on the whole test set, now or as recorded; does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smallnet_core.recipes import Recipe
from smallnet_core.records import Measurement, as_json

if TYPE_CHECKING:
    from smallnet_core.pruning.curve import Curve


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network, known by the record of its training."""

    recipe: Recipe
    record: Mapping[str, Any]
    origin: str  # "trained", "cache", "zoo", "recorded" or "diverged: ..."


@dataclass(frozen=True, kw_only=True)
class Evaluated(Network):
    """A trained network's results on all test images."""

    device: str  # on which it was judged
    test_digest: str  # sha256 of the test set's content
    num_images: int
    right: str  # which images: a bit each, the highest first, in base64
    confusion: Sequence[Sequence[int]]  # rows: true classes; columns: predicted ones
    num_params: int
    num_nonzeros: int  # of the parameters

    @property
    def num_right(self) -> int:
        """Count the images that are classified correctly."""
        return sum(row[k] for k, row in enumerate(self.confusion))

    @property
    def accuracy_percent(self) -> float:
        """Return the percentage of test images that are classified correctly."""
        return 100 * self.num_right / self.num_images


# Of these fields, a zoo record keeps:
JUDGED = ("test_digest", "num_images", "right", "confusion", "num_params", "num_nonzeros")


def measurement(results: Sequence[Evaluated], **details: Any) -> Measurement:
    """Build a measurement of accuracies in percent, one value per seed."""
    recipes = [result.recipe for result in results]
    return Measurement(
        values=tuple(result.accuracy_percent for result in results),
        unit="%",
        seeds=tuple(recipe.seed for recipe in recipes),
        num_images=results[0].num_images,
        right=tuple(result.right for result in results if result.right),
        recipe=recipes[0].kind,
        fingerprints=tuple(recipe.fingerprint() for recipe in recipes),
        device=results[0].device,
        details={**provenance(results), **details},
    )


def curve_measurement(network: Network, curve: Curve, accuracy: float) -> Measurement:
    """Build a measurement from an accuracy, in percent, on a network's pruning curve."""
    recipe = network.recipe
    return Measurement(
        values=(accuracy,),
        unit="%",
        seeds=(recipe.seed,),
        num_images=curve.num_images,
        recipe=recipe.kind,
        fingerprints=(recipe.fingerprint(),),
        device=curve.environment["device"],
        details={
            **provenance([network]),
            "technique": curve.technique,
            "measured_on": curve.environment["device_name"],
            "measured_at_commit": (curve.commit or {}).get("id"),
        },
    )


def provenance(networks: Sequence[Network]) -> dict[str, Any]:
    """Collect where trained networks come from, one value per seed."""
    recipe, records = networks[0].recipe, [network.record for network in networks]
    return {
        "epochs": recipe.epochs,
        "selection": recipe.selection,
        "computed_in": sorted({record["computed_in"] for record in records}),
        "origins": [network.origin for network in networks],
        "train_seconds": [record["train_seconds"] for record in records],
        "trained_on": [record["environment"]["device_name"] for record in records],
        "trained_at_commit": [(record["commit"] or {}).get("id") for record in records],
    }


# Fields of a training's record that a saved run keeps.
_KEPT = (
    "selection",
    "selected_epoch",
    "curve",
    "train_seconds",
    "peak_memory_mib",
    "computed_in",
    "dataset_digests",
    "weights_sha256",
)


def run_record(found: Evaluated) -> dict[str, Any]:
    """Collect what a saved run keeps of a network, as JSON values; see ``runs.schema``."""
    recipe, record = found.recipe, found.record
    run = {
        "name": recipe.name,
        "fingerprint": recipe.fingerprint(),
        "recipe": recipe.canonical(),
        "origin": found.origin,
        "accuracy_percent": found.accuracy_percent,
        "num_images": found.num_images,
        "right": found.right,
        "confusion": [list(row) for row in found.confusion],
        "test_digest": found.test_digest,
        "trained_on": record["environment"],
        "trained_at_commit": record["commit"],
    }
    # Older records have no peak memory, those of diverged trainings no weights.
    return as_json(run | {name: record.get(name) for name in _KEPT})
