"""Recipes: frozen records of everything that determines the result of a training."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

# Raised by whoever changes what a recipe computes (order of random draws, loss, update); the
# pinned losses of tests/test_numerics.py say when that happened.
TRAINING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Settings of one optimizer; those after the first four apply where the optimizer has them."""

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
    # muon: rates and momentum of what it leaves to SGD, the last layer and the rest
    head_lr: float = 0.1
    rest_lr: float = 0.1
    rest_momentum: float = 0.9
    normalised: bool = False  # muon: filters are kept at one norm
    ns_steps: int = 5  # muon: Newton-Schulz iterations


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over time, as a factor of the optimizer's own.

    "multistep": times ``gamma`` after each of the epochs in ``milestones``; "linear" and "cosine":
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
        """Tell what the base rate is multiplied with at ``step`` (from 0)."""
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
    """What happens to a training image: shifts of up to ``crop_padding`` pixels, flips."""

    crop_padding: int = 4  # pixels on each side; 0: no shift
    padding_mode: str = "zeros"  # "zeros" or "reflect"
    flip: str = "random"  # "random", "alternating" (every other epoch) or "none"
    cutout: int = 0  # side of the square that is blanked, in pixels; 0: none


IMPORTANCES = ("magnitude", "bn_scale", "lamp", "taylor", "random")


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What a training begins from instead of fresh weights: a trained network, made smaller.

    Pruning in several rounds is a chain: each round's network is the next one's ``parent``.
    """

    parent: Recipe  # whose trained network is pruned
    structure: str  # "weights" (masks) or "channels" (which are removed)
    max_params: int  # trainable parameters that may be left; of "weights": that are not zero
    importance: str = "magnitude"  # of IMPORTANCES
    round_to: int = 1  # channels that go together
    # What is left keeps its trained weights ("trained"), gets new ones ("fresh"), or those of
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
            raise ValueError(f"{self.importance} importance is of channels, not of single weights")
        if (self.weights == "rewound") != (self.rewind_to is not None):
            raise ValueError("rewind_to goes with rewound weights and with them only")
        if self.max_params < 1 or self.round_to < 1:
            raise ValueError(
                f"max_params and round_to are at least 1, not {self.max_params} and {self.round_to}"
            )


# The paper normalises with these on both datasets; the deviations are not CIFAR-10's (0.247, ...),
# they are the mean over images of each image's own.
PAPER_MEAN = (0.4914, 0.4822, 0.4465)
PAPER_STD = (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a training's result; a variant is ``replace(base, ...)``."""

    kind: str  # of RECIPE_KINDS but "equal", or "pruned"
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
    # (share of the epochs from which, side in pixels): smaller images first; empty: full size
    resolutions: tuple[tuple[float, int], ...] = ()
    # Views of each test image whose logits are averaged, see evaluation.predict; curves are without
    test_time_flips: str = "none"
    # "float32", or "auto": bfloat16 autocast where a timed probe says that it gains
    precision: str = "auto"
    # "last" epoch; "best_test_epoch" is the paper's rule: a maximum over epochs on the test set
    selection: str = "last"
    holdout: int = 0  # training images set aside and judged instead of the test set, for tuning
    # Epochs of the schedule that are left out, at its beginning and at its end: for networks that
    # are rewound to an early state, and for that state.
    first_epoch: int = 0
    stop_epoch: int | None = None  # None: the last one
    pruning: Pruning | None = None  # None: fresh weights, a whole network
    training_version: int = TRAINING_VERSION

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "auto"):
            raise ValueError(f"unknown precision {self.precision!r}: float32 or auto")
        if self.selection not in ("last", "best_test_epoch"):
            raise ValueError(f"unknown selection {self.selection!r}: last or best_test_epoch")
        if not 0 <= self.first_epoch < self.end_epoch <= self.epochs:
            raise ValueError(
                f"epochs {self.first_epoch} to {self.end_epoch} of {self.epochs} are none"
            )

    @property
    def end_epoch(self) -> int:
        """The epoch that the training ends with, from 1."""
        return self.epochs if self.stop_epoch is None else self.stop_epoch

    def ancestors(self) -> tuple[Recipe, ...]:
        """List whose trained weights this training needs, each after its own."""
        if self.pruning is None:
            return ()
        direct = filter(None, (self.pruning.parent, self.pruning.rewind_to))
        return tuple(dict.fromkeys(r for one in direct for r in (*one.ancestors(), one)))

    def canonical(self) -> dict[str, Any]:
        """Collect what is no default, as JSON values: a new field leaves old names alone."""
        return _without_defaults(self)

    def fingerprint(self) -> str:
        """Name this recipe: 12 hexadecimal digits of the sha256 of ``canonical()``."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Readable and unique: also the name of the files in the model cache."""
        return (
            f"{self.dataset}-{self.network}-{self.optimizer.name}-{self.kind}"
            f"-seed{self.seed}-{self.fingerprint()}"
        )

    def __str__(self) -> str:
        row = f"{self.network} {self.optimizer.name} {self.dataset}"
        return f"{row} ({self.kind}, seed {self.seed})"


def _without_defaults(record: Any) -> dict[str, Any]:
    out = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        # The version's default moves with it, and would hide it.
        default = 1 if field.name == "training_version" else field.default
        if value != default:
            out[field.name] = _as_json(value)
    return out


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _without_defaults(value)
    return [_as_json(part) for part in value] if isinstance(value, tuple) else value
