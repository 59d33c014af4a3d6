"""Recipes: frozen records of everything that determines the result of a training."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Increase it with every change of what a recipe computes (order of random draws, loss, update);
# the pinned losses of tests/test_numerics.py show when that happened.
TRAINING_VERSION = 1

IMAGE_SIDE = 32  # pixels, of every dataset
EVALUATED_EPOCHS = 5  # one in so many is evaluated, where the last epoch is selected anyway


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Settings of one optimizer; those after the first four apply where the optimizer has them.

    Raises ValueError for settings out of range.
    """

    name: str  # sgdm, adam, adabound, adabound_package (the authors' own), muon
    lr: float
    weight_decay: float
    decay_norms_and_biases: bool = True
    momentum: float = 0.9  # sgdm, muon
    nesterov: bool = False  # sgdm
    betas: tuple[float, float] = (0.9, 0.999)  # adam, adabound
    eps: float = 1e-8  # adam, adabound
    decoupled: bool = False  # adam: weight decay outside the gradient
    final_lr: float = 0.1  # adabound
    gamma: float = 1e-3  # adabound
    # muon: rates and momentum of the parameters left to SGD, the last layer and the rest
    head_lr: float = 0.1
    rest_lr: float = 0.1
    rest_momentum: float = 0.9
    normalised: bool = False  # muon: filters keep a fixed norm
    ns_steps: int = 5  # muon: Newton-Schulz iterations

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # AdaBound's bounds divide by these two.
            positive = self.name.startswith("adabound") and field.name in ("lr", "gamma")
            if isinstance(value, float) and not (value > 0 or (value == 0 and not positive)):
                expected = "more than 0" if positive else "0 or more"
                raise ValueError(f"{field.name} is {value}: expected {expected}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}: expected numbers from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over time, as a factor of the optimizer's base rate.

    "multistep": multiplied by ``gamma`` after each epoch in ``milestones``; "linear" and "cosine":
    up linearly over the warm-up, then down to ``final_factor`` at the last step; "constant": 1
    after the warm-up. Raises ValueError for other names.
    """

    name: str  # "multistep", "linear", "cosine", "constant"
    warmup_fraction: float = 0.0  # of all steps
    final_factor: float = 0.0  # of the base rate, at the last step
    milestones: tuple[int, ...] = ()  # epochs
    gamma: float = 0.1

    def __post_init__(self) -> None:
        known = ("multistep", "linear", "cosine", "constant")
        if self.name not in known:
            raise ValueError(f"unknown schedule {self.name!r}; known: {', '.join(known)}")

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """Return the factor of the base rate at ``step`` (from 0)."""
        if self.name == "multistep":
            return self.gamma ** sum(step // steps_per_epoch >= at for at in self.milestones)
        warmup_steps = round(self.warmup_fraction * total_steps)
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if self.name == "constant":
            return 1.0
        done = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps)
        if self.name == "linear":
            return 1.0 + (self.final_factor - 1.0) * done
        return self.final_factor + (1.0 - self.final_factor) * 0.5 * (
            1.0 + math.cos(math.pi * done)
        )


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Augmentation of training images: shifts of up to ``crop_padding`` pixels, flips, cutout."""

    crop_padding: int = 4  # pixels on each side; 0: no shift
    padding_mode: str = "zeros"  # "zeros" or "reflect"
    flip: str = "random"  # "random", "alternating" (every other epoch) or "none"
    cutout: int = 0  # side of the square that is blanked, in pixels; 0: none


IMPORTANCES = ("magnitude", "bn_scale", "lamp", "taylor", "random")


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """A pruned network to start a training from, instead of fresh weights.

    Pruning in several rounds is a chain: each round's network is the ``parent`` of the next. Raises
    ValueError for settings that are unknown or do not fit together.
    """

    parent: Recipe  # whose trained network is pruned
    structure: str  # "weights" (masked) or "channels" (removed)
    max_params: int  # at most so many trainable parameters are left ("weights": nonzero)
    importance: str = "magnitude"  # of IMPORTANCES
    round_to: int = 1  # channels that are removed together
    # What is left keeps its trained weights ("trained"), gets new ones ("fresh"), or takes those of
    # ``rewind_to`` ("rewound"), an early state of the parent's own training.
    weights: str = "trained"
    rewind_to: Recipe | None = None

    def __post_init__(self) -> None:
        for value, known in (
            (self.structure, ("weights", "channels")),
            (self.importance, IMPORTANCES),
            (self.weights, ("trained", "fresh", "rewound")),
        ):
            if value not in known:
                raise ValueError(f"unknown {value!r}: one of {', '.join(known)}")
        if self.structure == "weights" and self.importance not in ("magnitude", "random"):
            raise ValueError(
                f"{self.importance} importance applies to channels, not to single weights"
            )
        if (self.weights == "rewound") != (self.rewind_to is not None):
            raise ValueError("rewind_to is required for rewound weights, and only for them")
        if self.max_params < 1 or self.round_to < 1:
            raise ValueError(
                f"max_params is {self.max_params} and round_to {self.round_to}: expected at least 1"
            )


# The paper normalises with these on both datasets. The deviations are not those of CIFAR-10's
# pixels (0.247, ...) but the mean of the deviations within each image.
PAPER_MEAN = (0.4914, 0.4822, 0.4465)
PAPER_STD = (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a training's result; a variant is ``replace(base, ...)``."""

    kind: str  # one of RECIPE_KINDS except "equal", or "pruned"
    dataset: str
    network: str
    optimizer: Optimizer
    schedule: Schedule
    epochs: int
    batch_size: int
    seed: int
    augmentation: Augmentation = Augmentation()
    mean: tuple[float, float, float] = PAPER_MEAN
    std: tuple[float, float, float] = PAPER_STD
    label_smoothing: float = 0.0
    dropout: float | None = None  # None: the network's own
    clip_norm: float | None = None  # of the whole gradient
    # "default": the network's own; else of models.initialisation.INITIALISATIONS
    initialisation: str = "default"
    # (share of the epochs after which it starts, side in pixels): smaller images first; empty: full
    # size throughout
    resolutions: tuple[tuple[float, int], ...] = ()
    # Views of each test image whose logits are averaged, see evaluation.predict; not in curves
    test_time_flips: str = "none"
    # "float32", or "auto": bfloat16 autocast where it is faster
    precision: str = "auto"
    # "last" epoch; "best_test_epoch" is the paper's rule: a maximum over epochs on the test set
    selection: str = "last"
    holdout: int = 0  # training images set aside and judged instead of the test set, for tuning
    # Leave out epochs at the schedule's beginning, for networks that are rewound to an early state,
    # or at its end, for that state.
    first_epoch: int = 0
    stop_epoch: int | None = None  # None: the last one
    pruning: Pruning | None = None  # None: fresh weights, a whole network
    training_version: int = TRAINING_VERSION

    def __post_init__(self) -> None:
        for field, known in (
            ("precision", ("float32", "auto")),
            ("selection", ("last", "best_test_epoch")),
            ("test_time_flips", ("none", "mirror", "mirror_shift")),
        ):
            if (value := getattr(self, field)) not in known:
                raise ValueError(f"unknown {field} {value!r}; known: {', '.join(known)}")
        if not 0 <= self.first_epoch < self.end_epoch <= self.epochs:
            raise ValueError(
                "expected 0 <= first_epoch < end_epoch <= epochs, not "
                f"{self.first_epoch}, {self.end_epoch} and {self.epochs}"
            )

    @property
    def end_epoch(self) -> int:
        """Return the last epoch of the training, from 1."""
        return self.epochs if self.stop_epoch is None else self.stop_epoch

    def image_side(self, epoch: int) -> int:
        """Return the side of the images in ``epoch`` (from 0), in pixels."""
        side = IMAGE_SIDE
        for share, pixels in self.resolutions:
            if epoch >= share * self.epochs:
                side = pixels
        return side

    def is_evaluated(self, epoch: int) -> bool:
        """Tell whether ``epoch`` (from 0) ends with an evaluation, even without divergence."""
        return (
            self.selection == "best_test_epoch"
            or (epoch + 1) % EVALUATED_EPOCHS == 0
            or epoch + 1 == self.end_epoch
        )

    def ancestors(self) -> tuple[Recipe, ...]:
        """List the recipes whose trained weights this training needs, each after its own."""
        if self.pruning is None:
            return ()
        direct = filter(None, (self.pruning.parent, self.pruning.rewind_to))
        return tuple(dict.fromkeys(r for one in direct for r in (*one.ancestors(), one)))

    def canonical(self) -> dict[str, Any]:
        """Collect the non-default fields as JSON values; new fields keep old fingerprints."""
        return _without_defaults(self)

    def fingerprint(self) -> str:
        """Return 12 hexadecimal digits of the sha256 of ``canonical()``."""
        return fingerprint_of(self.canonical())

    @property
    def name(self) -> str:
        """Return a readable, unique name, which the files in the model cache have too."""
        return (
            f"{self.dataset}-{self.network}-{self.optimizer.name}-{self.kind}"
            f"-seed{self.seed}-{self.fingerprint()}"
        )

    def __str__(self) -> str:
        row = f"{self.network} {self.optimizer.name} {self.dataset}"
        return f"{row} ({self.kind}, seed {self.seed})"


def fingerprint_of(canonical: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits of the sha256 of JSON values."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_defaults(record: Any) -> dict[str, Any]:
    out = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        # Its default is the current version, which would always be left out.
        default = 1 if field.name == "training_version" else field.default
        if value != default:
            out[field.name] = _as_json(value)
    return out


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _without_defaults(value)
    return [_as_json(part) for part in value] if isinstance(value, tuple) else value
