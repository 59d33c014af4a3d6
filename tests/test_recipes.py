"""The paper's settings to the letter; names and fingerprints that stay what they are."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.models import MODEL_NAMES
from smallnet_core.recipes import (
    RECIPE_KINDS,
    Augmentation,
    Optimizer,
    Pruning,
    Recipe,
    Schedule,
    find_recipe,
)
from smallnet_core.recipes import recipe as module
from smallnet_core.records import NotMeasured

DATASETS = ("cifar10", "cifar100", "digits")
OPTIMIZERS = ("sgdm", "adam", "adabound")

# What the paper's implementation did, setting by setting; the defaults of smallnet_core.recipes
# are not relied on.
PAPER_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgdm": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": False},
    "adam": {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 1e-3,
        "decoupled": False,
    },
    "adabound": {
        "lr": 1e-3,
        "final_lr": 0.1,
        "betas": (0.9, 0.999),
        "gamma": 1e-3,
        "eps": 1e-8,
        "weight_decay": 5e-4,
    },
}
PAPER = {
    "batch_size": 8,
    "seed": 42,
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2023, 0.1994, 0.2010),
    "label_smoothing": 0.0,
    "dropout": None,
    "clip_norm": None,
    "precision": "float32",
    "selection": "best_test_epoch",
    "holdout": 0,
}
PAPER_EPOCHS = {"cifar10": 200, "cifar100": 100}
PAPER_SCHEDULE = {"name": "multistep", "milestones": (100, 150), "gamma": 0.1}
PAPER_AUGMENTATION = {"crop_padding": 4, "padding_mode": "zeros", "flip": "random", "cutout": 0}
PAPER_NETWORKS = ("resnet18", "resnet18_s", "vgg16", "vgg16_s", "vit", "vit_s")


def all_recipes(seeds: int = 3) -> list[Recipe]:
    found = []
    for row in itertools.product(RECIPE_KINDS, DATASETS, MODEL_NAMES, OPTIMIZERS, range(seeds)):
        try:
            found.append(find_recipe(*row))
        except NotMeasured:
            continue
    return found


PARENT = find_recipe("tuned", "cifar10", "vgg16_s", "sgdm")


def base() -> Recipe:
    """Far from every default, so that no change can hide behind one."""
    return Recipe(
        kind="tuned",
        dataset="cifar10",
        network="vgg16_s",
        optimizer=Optimizer(
            name="adabound",
            lr=0.25,
            weight_decay=0.5,
            decay_norms_and_biases=False,
            momentum=0.5,
            nesterov=True,
            betas=(0.5, 0.75),
            eps=0.125,
            decoupled=True,
            final_lr=0.5,
            gamma=0.25,
            head_lr=0.5,
            rest_lr=0.5,
            rest_momentum=0.5,
            normalised=True,
            ns_steps=3,
        ),
        schedule=Schedule(
            name="cosine", warmup_fraction=0.25, final_factor=0.5, milestones=(1, 2), gamma=0.5
        ),
        epochs=4,
        batch_size=16,
        seed=7,
        augmentation=Augmentation(crop_padding=1, padding_mode="reflect", flip="none", cutout=8),
        mean=(0.5, 0.25, 0.125),
        std=(0.5, 0.25, 0.125),
        label_smoothing=0.125,
        dropout=0.25,
        clip_norm=1.5,
        initialisation="zero_residual",
        resolutions=((0.0, 20), (0.5, 32)),
        test_time_flips="mirror",
        precision="float32",
        selection="best_test_epoch",
        holdout=100,
        first_epoch=1,
        stop_epoch=3,
        pruning=Pruning(parent=PARENT, structure="weights", max_params=10),
        training_version=99,
    )


PARTS = {"optimizer": Optimizer, "schedule": Schedule, "augmentation": Augmentation}
LEAVES = [
    (*prefix, field.name)
    for kind, prefix in [(Recipe, ()), *((part, (name,)) for name, part in PARTS.items())]
    for field in dataclasses.fields(kind)
    if field.name not in PARTS
]


def get(recipe: Recipe, path: tuple[str, ...]) -> Any:
    value: Any = recipe
    for name in path:
        value = getattr(value, name)
    return value


def put(recipe: Recipe, path: tuple[str, ...], value: Any) -> Recipe:
    if len(path) == 1:
        return replace(recipe, **{path[0]: value})
    part = replace(getattr(recipe, path[0]), **{path[1]: value})
    return replace(recipe, **{path[0]: part})


def other_than(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, Pruning):
        return replace(value, max_params=value.max_params + 1)
    if isinstance(value, str):
        chosen = {"auto": "float32", "float32": "auto", "last": "best_test_epoch"}
        return chosen.get(value, "last" if value == "best_test_epoch" else value + "x")
    if isinstance(value, tuple):
        return (*value[:-1], other_than(value[-1])) if value else (1,)
    return value + 1


# --- The paper ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", PAPER_NETWORKS)
@pytest.mark.parametrize("dataset", PAPER_EPOCHS)
def test_paper_recipes_are_the_papers(dataset: str, network: str, optimizer: str) -> None:
    recipe = find_recipe("paper", dataset, network, optimizer)
    assert (recipe.kind, recipe.dataset, recipe.network) == ("paper", dataset, network)
    assert {name: getattr(recipe, name) for name in PAPER} == PAPER
    assert recipe.epochs == PAPER_EPOCHS[dataset]
    assert {name: getattr(recipe.schedule, name) for name in PAPER_SCHEDULE} == PAPER_SCHEDULE
    augmentation = dataclasses.asdict(recipe.augmentation)
    assert augmentation == PAPER_AUGMENTATION

    expected = PAPER_OPTIMIZERS[optimizer]
    assert recipe.optimizer.name == optimizer
    assert {name: getattr(recipe.optimizer, name) for name in expected} == expected
    assert recipe.optimizer.decay_norms_and_biases
    own = {k: v for k, v in expected.items() if k not in ("lr", "weight_decay")}
    assert recipe.optimizer.own_settings() == own


def test_a_paper_recipe_prints_as_its_row() -> None:
    recipe = find_recipe("paper", "cifar100", "vit_s", "adabound")
    assert str(recipe) == "vit_s adabound cifar100 (paper, seed 42)"


def test_seeds_follow_on_the_first_and_change_nothing_else() -> None:
    for kind, first in (("paper", 42), ("tuned", 0)):
        recipes_by_seed = [
            find_recipe(kind, "cifar10", "resnet18_s", "adabound", seed) for seed in range(3)
        ]
        assert [recipe.seed for recipe in recipes_by_seed] == [first, first + 1, first + 2]
        assert len({replace(recipe, seed=0) for recipe in recipes_by_seed}) == 1


# --- Every recipe -------------------------------------------------------------------------------


def test_every_recipe_is_what_was_asked_for() -> None:
    for row in itertools.product(RECIPE_KINDS, DATASETS, MODEL_NAMES, OPTIMIZERS):
        try:
            recipe = find_recipe(*row)
        except NotMeasured:
            continue
        kind = "tuned" if row[0] == "equal" else row[0]
        assert (recipe.kind, recipe.dataset, recipe.network, recipe.optimizer.name) == (
            kind,
            *row[1:],
        )
        assert recipe.holdout == 0, "held-out images are for tuning, not for results"


def test_names_are_unique() -> None:
    found = dict.fromkeys(all_recipes())  # those of equal effort are mostly tuned ones
    names = [recipe.name for recipe in found]
    assert len(found) > 100
    assert len(set(names)) == len(names)
    assert len({recipe.fingerprint() for recipe in found}) == len(found)
    assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in names)


def test_only_the_paper_chooses_its_epoch_on_the_test_set() -> None:
    for recipe in all_recipes(seeds=1):
        assert (recipe.selection == "best_test_epoch") == (recipe.kind == "paper"), recipe


@pytest.mark.parametrize(
    ("kind", "dataset"), [("paper", "digits"), ("quick", "cifar10"), ("quick", "cifar100")]
)
def test_a_row_without_a_recipe_is_not_measured(kind: str, dataset: str) -> None:
    reason = f"no {kind} recipe for resnet18_s with sgdm on {dataset}"
    with pytest.raises(NotMeasured, match=reason):
        find_recipe(kind, dataset, "resnet18_s", "sgdm")


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'best'; known: tuned, long, equal, paper"):
        find_recipe("best", "cifar10", "resnet18_s", "sgdm")


def test_recipes_of_equal_effort_differ_in_nothing_but_the_optimizer() -> None:
    found = [find_recipe("equal", "cifar10", "resnet18_s", name) for name in OPTIMIZERS]
    assert len({replace(recipe, optimizer=found[0].optimizer) for recipe in found}) == 1
    assert found[0] == find_recipe("tuned", "cifar10", "resnet18_s", "sgdm")


# --- The fingerprint ----------------------------------------------------------------------------

# Stored models are found by these: they change when the recipes or TRAINING_VERSION do, and
# never otherwise.
FINGERPRINTS = {"sgdm": "6b6c8cbf126a", "adam": "554ffa743c5a", "adabound": "d0a0dc331400"}
# The paper's recipes have no reason to change at all.
PAPER_FINGERPRINTS = {"sgdm": "febce8e4f06b", "adam": "009d5380aac4", "adabound": "c91198b54c6c"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fingerprints_are_pinned(optimizer: str) -> None:
    recipe = find_recipe("tuned", "cifar10", "resnet18_s", optimizer)
    assert recipe.fingerprint() == FINGERPRINTS[optimizer]
    assert recipe.name == f"cifar10-resnet18_s-{optimizer}-tuned-seed0-{FINGERPRINTS[optimizer]}"
    paper = find_recipe("paper", "cifar10", "resnet18_s", optimizer)
    assert paper.fingerprint() == PAPER_FINGERPRINTS[optimizer]


def test_the_base_of_these_tests_is_far_from_every_default() -> None:
    canonical = base().canonical()
    for path in LEAVES:
        found = canonical
        for name in path:
            assert name in found, f"{path}: give base() a value that is not the default"
            found = found[name]


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_field_changes_the_fingerprint(path: tuple[str, ...]) -> None:
    changed = put(base(), path, other_than(get(base(), path)))
    assert changed.fingerprint() != base().fingerprint()
    assert changed.name != base().name
    assert changed != base()


DEFAULTS = [
    (path, field.default)
    for path in LEAVES
    for field in dataclasses.fields(PARTS[path[0]] if len(path) == 2 else Recipe)
    if field.name == path[-1] and field.default is not dataclasses.MISSING
    if field.name != "training_version"
]


@pytest.mark.parametrize(
    ("path", "default"), DEFAULTS, ids=[".".join(path) for path, _ in DEFAULTS]
)
def test_a_field_at_its_default_leaves_no_trace(path: tuple[str, ...], default: Any) -> None:
    """So that a field added later, with a default that means "as before", renames nothing."""
    found = put(base(), path, default).canonical()
    for name in path[:-1]:
        found = found[name]
    assert path[-1] not in found


def test_a_part_at_its_default_leaves_no_trace() -> None:
    assert "augmentation" not in replace(base(), augmentation=Augmentation()).canonical()


def test_raising_the_training_version_renames_every_model() -> None:
    """The version is a default too, and would be left out of the fingerprint like any other."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    line = f"\nTRAINING_VERSION = {module.TRAINING_VERSION}\n"
    assert source.count(line) == 1
    raised = source.replace(line, f"\nTRAINING_VERSION = {module.TRAINING_VERSION + 1}\n")
    code = f"""
import sys, types
module = types.ModuleType("smallnet_core.recipes.recipe")
sys.modules[module.__name__] = module
exec(compile({raised!r}, "raised", "exec"), module.__dict__)
from smallnet_core.recipes import find_recipe
print(find_recipe("tuned", "cifar10", "resnet18_s", "sgdm").fingerprint())
"""
    assert run_python(code) != find_recipe("tuned", "cifar10", "resnet18_s", "sgdm").fingerprint()


numbers = st.floats(0, 10)
names = st.text(max_size=8)


@settings(deadline=None)
@given(
    first=st.builds(
        Recipe,
        kind=st.sampled_from(RECIPE_KINDS),
        dataset=names,
        network=names,
        optimizer=st.builds(
            Optimizer,
            name=names,
            lr=numbers,
            weight_decay=numbers,
            betas=st.tuples(numbers, numbers),
            nesterov=st.booleans(),
        ),
        schedule=st.builds(
            Schedule, name=names, milestones=st.lists(st.integers(0, 9), max_size=2).map(tuple)
        ),
        epochs=st.integers(1, 3),
        batch_size=st.integers(1, 3),
        seed=st.integers(0, 3),
        augmentation=st.builds(Augmentation, crop_padding=st.integers(3, 5), flip=names),
        dropout=st.none() | numbers,
        clip_norm=st.none() | numbers,
    ),
    data=st.data(),
)
def test_recipes_are_equal_exactly_when_their_fingerprints_are(
    first: Recipe, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(LEAVES))
    value = get(first, path)
    value = data.draw(st.sampled_from([value, 0.5 if value is None else other_than(value)]))
    second = put(first, path, value)
    assert (first == second) == (first.fingerprint() == second.fingerprint())
    assert re.fullmatch("[0-9a-f]{12}", first.fingerprint())
    assert json.loads(json.dumps(first.canonical())) == first.canonical()


# --- The record ---------------------------------------------------------------------------------


def test_a_recipe_is_frozen_and_hashable() -> None:
    recipe = base()
    for record in (recipe, recipe.optimizer, recipe.schedule, recipe.augmentation):
        name = dataclasses.fields(record)[0].name
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, "other")
        assert hash(record) == hash(replace(record))
    assert len({recipe, base(), replace(recipe, seed=8)}) == 2


def test_fields_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        Schedule("linear")  # type: ignore[misc]


def test_own_settings_are_those_of_the_optimizer() -> None:
    settings_of = {
        name: set(Optimizer(name=name, lr=0.1, weight_decay=0.0).own_settings())
        for name in (*OPTIMIZERS, "adabound_package")
    }
    bounds = {"betas", "eps", "final_lr", "gamma"}
    assert settings_of == {
        "sgdm": {"momentum", "nesterov"},
        "adam": {"betas", "eps", "decoupled"},
        "adabound": bounds,
        "adabound_package": bounds,
    }


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_importing_recipes_does_not_import_torch() -> None:
    code = (
        "import sys; from smallnet_core.recipes import find_recipe;"
        "find_recipe('paper', 'cifar10', 'resnet18_s', 'sgdm').name;"
        "print([name for name in ('torch', 'numpy', 'sklearn') if name in sys.modules])"
    )
    assert run_python(code) == "[]"


@pytest.mark.parametrize("field", ["precision", "selection"])
def test_an_unknown_choice_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=f"unknown {field} 'x'"):
        replace(base(), **{field: "x"})


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'lion'"):
        find_recipe("tuned", "cifar10", "resnet18_s", "lion")
