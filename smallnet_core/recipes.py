"""Recipes: frozen records of everything that determines the result of a training.

``paper`` recipes are the paper's to the letter, ``tuned`` are ours, ``long`` are ours for who has
more time, ``equal`` give each optimizer the same epochs and images, ``quick`` are for digits.
Standard library only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from smallnet_core.records import NotMeasured

__all__ = [
    "RECIPE_KINDS",
    "TRAINING_VERSION",
    "Augmentation",
    "Optimizer",
    "Pruning",
    "Recipe",
    "Schedule",
    "find_recipe",
]

RECIPE_KINDS = ("tuned", "long", "equal", "paper", "quick")

# Raised by whoever changes what a recipe computes (order of random draws, loss, update); the
# pinned losses of tests/test_numerics.py say when that happened.
TRAINING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Settings of one optimizer; those after the first four apply where the optimizer has them."""

    name: str  # of optimizers.OPTIMIZER_NAMES
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

    def own_settings(self) -> dict[str, Any]:
        """The keyword arguments that this optimizer's builder takes beside lr and decay."""
        if self.name == "sgdm":
            return {"momentum": self.momentum, "nesterov": self.nesterov}
        if self.name == "adam":
            return {"betas": self.betas, "eps": self.eps, "decoupled": self.decoupled}
        if self.name == "muon":
            names = "momentum", "head_lr", "rest_lr", "rest_momentum", "normalised", "ns_steps"
            return {name: getattr(self, name) for name in names}
        bounds = {"final_lr": self.final_lr, "gamma": self.gamma}
        return {"betas": self.betas, "eps": self.eps, **bounds}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over time; see optimizers.learning_rate_factor."""

    name: str  # "multistep", "linear", "cosine", "constant"
    warmup_fraction: float = 0.0  # of all steps
    final_factor: float = 0.0  # of the base rate, at the last step
    milestones: tuple[int, ...] = ()  # epochs
    gamma: float = 0.1


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


# The networks of Tables 2 to 5 and Section 5.2; the others are counted only.
_TRAINED_NETWORKS = ("resnet18", "resnet18_s", "vgg16", "vgg16_s", "vit", "vit_s")

_OPTIMIZER_NAMES = ("sgdm", "adam", "adabound")

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
        """Whose trained weights this training needs, each after its own; empty without pruning."""
        if self.pruning is None:
            return ()
        direct = filter(None, (self.pruning.parent, self.pruning.rewind_to))
        return tuple(dict.fromkeys(r for one in direct for r in (*one.ancestors(), one)))

    def canonical(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values: a new field leaves old names alone."""
        return _without_defaults(self)

    def fingerprint(self) -> str:
        """A name for this recipe: 12 hexadecimal digits of the sha256 of ``canonical()``."""
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
        if value == default:
            continue
        out[field.name] = (
            _without_defaults(value) if dataclasses.is_dataclass(value) else _as_json(value)
        )
    return out


def _as_json(value: Any) -> Any:
    return [_as_json(part) for part in value] if isinstance(value, tuple) else value


def _paper_optimizer(name: str) -> Optimizer:
    if name == "sgdm":
        return Optimizer(name="sgdm", lr=0.1, weight_decay=1e-3)
    if name == "adam":
        return Optimizer(name="adam", lr=1e-3, weight_decay=1e-3)
    return Optimizer(name=name, lr=1e-3, weight_decay=5e-4)


def _paper(dataset: str, network: str, optimizer: str) -> Recipe:
    """The paper's own way: batches of 8, 200 epochs (100 on CIFAR-100), best test epoch."""
    return Recipe(
        kind="paper",
        dataset=dataset,
        network=network,
        optimizer=_paper_optimizer(optimizer),
        schedule=Schedule(name="multistep", milestones=(100, 150), gamma=0.1),
        epochs=200 if dataset == "cifar10" else 100,
        batch_size=8,
        seed=42,
        precision="float32",
        selection="best_test_epoch",
    )


# What our own recipes have in common: a rate that rises over the first fifth and falls linearly
# to nothing, decay on weights only, and flips that alternate (K. Jordan, "94 % on CIFAR-10 in 3.29
# seconds", 2024).
_TRIANGLE = Schedule(name="linear", warmup_fraction=0.2)
_AUGMENTATION = Augmentation(crop_padding=4, padding_mode="reflect", flip="alternating")
_GENTLE = dataclasses.replace(_AUGMENTATION, crop_padding=2)


def _sgdm(lr: float) -> Optimizer:
    return Optimizer(
        name="sgdm", lr=lr, weight_decay=5e-4, decay_norms_and_biases=False, nesterov=True
    )


def _adam(lr: float) -> Optimizer:
    return Optimizer(
        name="adam", lr=lr, weight_decay=0.1, decay_norms_and_biases=False, decoupled=True
    )


def _adabound(final_lr: float) -> Optimizer:
    # final_lr is the rate of the SGD that AdaBound ends as, whose momentum is an average: ten
    # times sgdm's lr makes the same step.
    return Optimizer(
        name="adabound", lr=1e-3, final_lr=final_lr, weight_decay=5e-4, decay_norms_and_biases=False
    )


_OPTIMIZERS = {
    "resnet": {"sgdm": _sgdm(0.1), "adam": _adam(3e-3), "adabound": _adabound(1.0)},
    "vgg": {"sgdm": _sgdm(0.05), "adam": _adam(1e-3), "adabound": _adabound(0.5)},
    "vit": {"sgdm": _sgdm(0.05), "adam": _adam(1e-3), "adabound": _adabound(0.5)},
}
# Images of 20, 24 and 28 pixels before those of 32: 25 epochs for the time of 16. On 5,000 held-out
# images ResNet18_S reached 85.84 in 8 such epochs, with zero_residual and a decay of 1e-3 besides,
# and 84.74 in 5 full ones without these, which take as long.
_GROWING = ((0.0, 20), (0.3, 24), (0.6, 28), (0.8, 32))
# ResNet18 takes twelve minutes for an epoch of two cores: ten epochs for the time of five.
_GROWING_FAST = ((0.0, 16), (0.3, 20), (0.6, 24), (0.8, 28), (0.9, 32))
# A core hour or two each on a CPU: far enough to be told from the paper's result, no further.
_EPOCHS = {
    ("vgg16", "cifar10"): 6,
    ("vgg16", "cifar100"): 6,
    ("vit", "cifar10"): 4,
    ("vit", "cifar100"): 4,
    ("vit_s", "cifar100"): 12,
    ("resnet18", "cifar100"): 8,
}


def _tuned(dataset: str, network: str, optimizer: str) -> Recipe | None:
    """Ours for CIFAR, of which LOG.md says what was run and what is still a first guess.

    ResNet: each block begins as its shortcut, and the images grow; the large one is trained just
    far enough for its pruning to be studied on two cores. VGG and ViT, without batch
    norm, need their gradient clipped to start at these rates, and are better off without dropout
    in trainings this short. VGG begins as an isometry (43.3 % of held-out images after the first
    of 6 epochs, against 30.1 % with He's deviations), ViT as a convolution (61.3 % after 4 epochs,
    against 60.4 %).
    """
    family = next((name for name in _OPTIMIZERS if network.startswith(name)), None)
    if family is None or network not in _TRAINED_NETWORKS:
        return None
    normalised = family == "resnet"
    large = network == "resnet18"
    # On CIFAR-10 AdaBound keeps the full epochs that the zoo's ResNet18_S was trained with.
    growing = normalised and (large or optimizer != "adabound" or dataset == "cifar100")
    resnet_epochs = 10 if large else 25 if growing else 30
    epochs = {"resnet": resnet_epochs, "vgg": 40, "vit": 22}[family]
    return Recipe(
        kind="tuned",
        dataset=dataset,
        network=network,
        optimizer=_OPTIMIZERS[family][optimizer],
        schedule=_TRIANGLE,
        epochs=_EPOCHS.get((network, dataset), epochs),
        batch_size=128,
        seed=0,
        augmentation=_AUGMENTATION if family != "resnet" or resnet_epochs > 20 else _GENTLE,
        label_smoothing=0.1,
        dropout=None if normalised else 0.0,
        clip_norm=None if normalised else 1.0,
        initialisation={
            "resnet": "zero_residual" if growing else "default",
            "vgg": "delta_orthogonal",
            "vit": "convolutional",
        }[family],
        resolutions=() if not growing else _GROWING_FAST if large else _GROWING,
    )


# A third of the epochs with whole images.
_GROWING_LONG = ((0.0, 20), (0.25, 24), (0.45, 28), (0.65, 32))
_LONG_EPOCHS = {"resnet18_s": 55, "resnet18": 20}


def _long(dataset: str, network: str, optimizer: str) -> Recipe | None:
    """The ResNets for twice the epochs of ``tuned``, more of them with whole images."""
    tuned = _tuned(dataset, network, optimizer)
    if tuned is None or network not in _LONG_EPOCHS:
        return None
    return dataclasses.replace(
        tuned,
        kind="long",
        epochs=_LONG_EPOCHS[network],
        augmentation=_AUGMENTATION,
        initialisation="zero_residual",
        resolutions=_GROWING_LONG,
    )


def _equal(dataset: str, network: str, optimizer: str) -> Recipe | None:
    """``tuned`` as it is with SGDM, but for the optimizer: what is left between two is theirs.

    Where ``tuned`` is the same for both, so is the trained network.
    """
    sgdm, tuned = (_tuned(dataset, network, name) for name in ("sgdm", optimizer))
    if sgdm is None or tuned is None:
        return None
    return dataclasses.replace(sgdm, optimizer=tuned.optimizer)


def _speednet(dataset: str) -> Recipe:
    """Our own network, for the fastest training to 94 % under a million parameters.

    The rates are those of K. Jordan's airbench94_muon (2024), rescaled from its summed loss.
    """
    return Recipe(
        kind="tuned",
        dataset=dataset,
        network="speednet",
        optimizer=Optimizer(
            name="muon",
            lr=0.24,
            weight_decay=0.004,
            decay_norms_and_biases=False,
            momentum=0.6,
            head_lr=2.0,
            rest_lr=106.0,
            rest_momentum=0.85,
            normalised=True,
            ns_steps=3,
        ),
        schedule=Schedule(name="linear"),
        epochs=12,
        batch_size=2000,
        seed=0,
        augmentation=_GENTLE,
        label_smoothing=0.2,
        initialisation="whitened",
        test_time_flips="mirror_shift",
    )


# Epochs and batch size that brought each network over 95 % of 297 digits held out of the
# training set, in little time on two cores; LOG.md has the numbers.
_QUICK = {"resnet18_s": (6, 64), "vgg16_s": (12, 32), "vit_s": (16, 32)}


def _quick(network: str, optimizer: str) -> Recipe | None:
    tuned = _tuned("digits", network, optimizer)
    if tuned is None or network not in _QUICK:
        return None
    epochs, batch_size = _QUICK[network]
    # Shifts alone leave the transformer at 91 %, fitting its thousand images to 96 %: nothing in
    # it knows that neighbouring patches belong together. Blanked squares and smoothed labels: 96.3.
    vit = network == "vit_s"
    return dataclasses.replace(
        tuned,
        kind="quick",
        epochs=epochs,
        batch_size=batch_size,
        initialisation="default",
        resolutions=(),
        # A mirrored digit is none.
        augmentation=Augmentation(crop_padding=2, flip="none", cutout=10 if vit else 0),
        label_smoothing=0.1 if vit else 0.0,
    )


def find_recipe(kind: str, dataset: str, network: str, optimizer: str, seed: int = 0) -> Recipe:
    """The suite's recipe for one row; raises NotMeasured where there is none of that kind.

    ``seed`` counts runs from 0; the paper's one run has 42, and further ones follow on it.
    """
    if kind not in RECIPE_KINDS:
        raise ValueError(f"unknown recipe {kind!r}; known: {', '.join(RECIPE_KINDS)}")
    if optimizer not in (*_OPTIMIZER_NAMES, "muon"):
        known = ", ".join((*_OPTIMIZER_NAMES, "muon"))
        raise ValueError(f"unknown optimizer {optimizer!r}; known: {known}")
    recipe = None
    if network == "speednet" or optimizer == "muon":  # which go together
        if (network, optimizer, kind) == ("speednet", "muon", "tuned") and dataset != "digits":
            recipe = _speednet(dataset)
    elif kind == "quick":
        recipe = _quick(network, optimizer) if dataset == "digits" else None
    elif dataset != "digits" and network in _TRAINED_NETWORKS:
        find = {"paper": _paper, "tuned": _tuned, "long": _long, "equal": _equal}[kind]
        recipe = find(dataset, network, optimizer)
    if recipe is None:
        raise NotMeasured(f"no {kind} recipe for {network} with {optimizer} on {dataset}")
    return dataclasses.replace(recipe, seed=recipe.seed + seed)
