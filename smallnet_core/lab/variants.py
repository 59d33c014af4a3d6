"""The trainings whose first steps are traced: the paper's, and variants with one change each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from smallnet_core.models.vit import Attention, ViT
from smallnet_core.recipes import Recipe, Schedule, find_recipe
from smallnet_core.recipes.recipe import fingerprint_of

# Increase it with every change of what a trace records, or how.
TRACE_VERSION = 1

NETWORKS = ("vgg16_s", "vit_s")
NUM_STEPS = 2000
NUM_HELD_OUT = 2000  # training images, the last ones


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A training to trace: the paper's, or one that differs from it in a single setting."""

    name: str  # "vgg16_s-warmup"
    change: str  # in words
    recipe: Recipe
    surgery: str = ""  # of SURGERIES: a change of the fresh network that no recipe expresses
    num_steps: int = NUM_STEPS
    drawn: bool = True  # in the figure, which has styles for nine lines

    def canonical(self) -> dict[str, Any]:
        """Return everything that determines the trace, as JSON values."""
        return {
            "trace_version": TRACE_VERSION,
            "recipe": self.recipe.canonical(),
            "surgery": self.surgery,
            "num_steps": self.num_steps,
        }

    def fingerprint(self) -> str:
        """Return 12 hexadecimal digits of the sha256 of ``canonical()``."""
        return fingerprint_of(self.canonical())

    @property
    def file_name(self) -> str:
        """Return the name of the trace's file."""
        return f"trace-{self.name}-{self.fingerprint()}.json"


def _variants() -> Iterator[Variant]:
    for network in NETWORKS:
        paper = _from_paper(network, "cifar10")
        sgdm = paper.optimizer

        def variant(name: str, change: str, base: Recipe = paper, **fields: Any) -> Variant:
            return Variant(name=f"{base.network}-{name}", change=change, recipe=base, **fields)

        yield variant("paper", "the paper's way")
        hundred = _from_paper(network, "cifar100")
        yield variant("paper-cifar100", "the same, CIFAR-100", hundred, drawn=False)
        slow = replace(paper, optimizer=replace(sgdm, lr=0.01))
        yield variant("rate", "rate 0.01", slow)
        rising = Schedule(name="constant", warmup_fraction=1000 / NUM_STEPS)
        yield variant("warmup", "warm-up, 1,000 steps", replace(paper, schedule=rising))
        falling = Schedule(name="linear")
        # For VGG16_S these end as the paper's training does, and the figure has room for nine.
        drawn = network == "vit_s"
        yield variant(
            "schedule", "rate falling to 0", replace(paper, schedule=falling), drawn=drawn
        )
        clipped = replace(paper, clip_norm=1.0)
        yield variant("clip", "gradient clipped at 1", clipped, drawn=drawn)
        undecayed = replace(paper, optimizer=replace(sgdm, weight_decay=0.0))
        yield variant("weight_decay", "no weight decay", undecayed)
        large = replace(paper, batch_size=128)
        if network == "vgg16_s":
            adam = find_recipe("paper", "cifar10", network, "adam").optimizer
            yield variant("adam", "the paper's Adam", replace(paper, optimizer=adam))
            slower = replace(paper, optimizer=replace(sgdm, lr=0.001))
            yield variant("rate_0.001", "rate 0.001", slower)
            yield variant("dropout", "no dropout", replace(paper, dropout=0.0))
            yield variant(
                "default_weights",
                "torch's first weights",
                surgery="default_weights",
                drawn=False,
            )
            orthogonal = replace(paper, initialisation="delta_orthogonal")
            yield variant("orthogonal", "delta-orthogonal weights", orthogonal)
            yield variant("batch", "batch 128, 500 steps", large, num_steps=500)
        else:
            yield variant("small_positions", "position embedding 0.02", surgery="small_positions")
            yield variant("attention_scale", "attention scale 24^-0.5", surgery="attention_scale")
            # A step of 128 takes ViT_S half a second on a CPU; still twice the others' images.
            yield variant("batch", "batch 128, 250 steps", large, num_steps=250)


def _from_paper(network: str, dataset: str) -> Recipe:
    recipe = find_recipe("paper", dataset, network, "sgdm")
    return replace(recipe, selection="last", holdout=NUM_HELD_OUT)


VARIANTS = {variant.name: variant for variant in _variants()}


# Changes that no recipe expresses


def _default_weights(model: nn.Module) -> None:
    """Draw every layer's weights as torch does: uniform, with a third of He's variance."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()


def _small_positions(model: nn.Module) -> None:
    """Draw the position embedding with a deviation of 0.02, as is usual today."""
    assert isinstance(model, ViT)
    nn.init.normal_(model.pos_embedding, std=0.02)


def _attention_scale(model: nn.Module) -> None:
    """Scale attention by the root of one head's dimension, not of all heads' together."""
    for module in model.modules():
        if isinstance(module, Attention):
            module.scale = (module.to_qkv.out_features // 3 // module.heads) ** -0.5


SURGERIES: dict[str, Callable[[nn.Module], None]] = {
    "": lambda model: None,
    "default_weights": _default_weights,
    "small_positions": _small_positions,
    "attention_scale": _attention_scale,
}
