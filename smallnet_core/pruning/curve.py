"""Accuracy after one-shot pruning, by proportion: the curve, its file, and values read from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from smallnet_core.claims.names import TECHNIQUE_NAMES as PAPER_TECHNIQUES
from smallnet_core.system.checked import parse
from smallnet_core.system.files import json_fields, replace_file

# Techniques of one-shot pruning; the paper prints no values for the last.
TECHNIQUE_NAMES = {**PAPER_TECHNIQUES, "random_unstructured": "Random unstructured"}
TECHNIQUES = tuple(TECHNIQUE_NAMES)

# Networks that have curves, by optimizer: the paper's, and each small one with its best.
CURVE_OPTIMIZERS = {
    "resnet18": "adabound",
    "resnet18_s": "adabound",
    "vgg16_s": "sgdm",
    "vit_s": "adam",
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How many test images a pruned network classifies correctly, by pruned proportion.

    ``seed`` is that of random pruning, 0 for the other techniques. Raises ValueError for an unknown
    technique and for fields of unequal lengths.
    """

    schema: Literal[1] = 1
    technique: str  # of TECHNIQUES
    proportions: tuple[float, ...]  # rising, 0 to 1
    num_zeros: tuple[int, ...]  # pruned weights, of num_weights
    hits: tuple[int, ...]  # correctly classified images, of num_images
    num_images: int
    num_weights: int  # that can be pruned
    seed: int
    network: str  # the name of its recipe
    weights_sha256: str
    environment: Mapping[str, Any]
    commit: Mapping[str, Any] | None  # None outside git
    dataset_digests: Mapping[str, str]
    seconds: float

    def __post_init__(self) -> None:
        if self.technique not in TECHNIQUES:
            raise ValueError(
                f"unknown technique {self.technique!r}: one of {', '.join(TECHNIQUES)}"
            )
        if not 0 < len(self.proportions) == len(self.num_zeros) == len(self.hits):
            raise ValueError(
                f"{len(self.proportions)} proportions, {len(self.num_zeros)} numbers of zeros and "
                f"{len(self.hits)} of hits: expected equally many, at least one of each"
            )

    @property
    def accuracy_percent(self) -> tuple[float, ...]:
        """Return the percentage of correctly classified images at each proportion."""
        return tuple(100 * hits / self.num_images for hits in self.hits)

    def at(self, proportion: float) -> float:
        """Return the accuracy in percent; ValueError for a proportion that was not measured."""
        for measured, accuracy in zip(self.proportions, self.accuracy_percent, strict=True):
            if math.isclose(measured, proportion, abs_tol=1e-9):  # 3 * 0.05 is not 0.15
                return accuracy
        raise ValueError(
            f"{self.network} was not measured at {proportion}, only at "
            f"{', '.join(map(str, self.proportions))}"
        )


def curve_path(folder: Path, name: str, technique: str, seed: int = 0) -> Path:
    """Return the path of a recipe's curve; only the file of random pruning names its seed."""
    drawn = f"-seed{seed}" if technique == "random_unstructured" else ""
    return folder / f"{name}-{technique}{drawn}.json"


def write_curve(folder: Path, curve: Curve) -> Path:
    """Write a curve as JSON, one field per line, atomically; raises OSError."""
    path = curve_path(folder, curve.network, curve.technique, curve.seed)
    replace_file(path, json_fields(asdict(curve)).encode())
    return path


def read_curve(
    folder: Path, name: str, technique: str, *, weights_sha256: str, seed: int = 0
) -> Curve | None:
    """Read the curve of the recipe ``name`` with exactly these weights; None where there is none.

    Raises ValueError, with the path, for any other file, and OSError for one that cannot be read.
    """
    path = curve_path(folder, name, technique, seed)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = parse(Curve, text)
        if found.weights_sha256 != weights_sha256:
            raise ValueError(
                f"weights_sha256 is {found.weights_sha256[:12]}, expected {weights_sha256[:12]}"
            )
    except ValueError as error:
        raise ValueError(f"{path}: not a {technique} curve of {name} ({error})") from error
    return found


def read_curves(folder: Path, name: str, complaints: list[str]) -> Iterator[tuple[Path, Curve]]:
    """Read all curves of the recipe ``name`` in a folder, of whatever weights.

    Files that are not curves are reported as complaints.
    """
    paths = [path for t in TECHNIQUES for path in sorted(folder.glob(f"{name}-{t}*.json"))]
    for path in paths:
        try:
            yield path, parse(Curve, path.read_bytes())
        except (OSError, ValueError) as error:
            complaints.append(f"curve ignored: {path}: {error}")


def lost_at(proportions: Sequence[float], accuracy: Sequence[float], points: float) -> float | None:
    """Find the proportion where ``accuracy`` (percent) is first ``points`` below its first value.

    ``proportions`` start at 0; interpolates linearly. None where accuracy never falls that far.
    """
    lost = [accuracy[0] - value for value in accuracy]
    for i in range(1, len(lost)):
        if lost[i] >= points - 1e-9:  # accuracies are rounded
            share = min(1.0, (points - lost[i - 1]) / (lost[i] - lost[i - 1]))
            return proportions[i - 1] + share * (proportions[i] - proportions[i - 1])
    return None
