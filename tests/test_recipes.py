"""The paper's settings to the letter; names and fingerprints that stay what they are."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

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
from smallnet_core.recipes.pruned import PRUNED_NAMES, find_pruned
from smallnet_core.records import NotMeasured

DATASETS = ("cifar10", "cifar100", "digits")
OPTIMIZERS = ("sgdm", "adam", "adabound")
TUNED = find_recipe("tuned", "cifar10", "resnet18_s", "sgdm")


def all_recipes() -> dict[tuple[str, ...], Recipe]:
    found = {}
    for row in itertools.product(RECIPE_KINDS, DATASETS, MODEL_NAMES, (*OPTIMIZERS, "muon")):
        try:
            found[row] = find_recipe(*row)
        except NotMeasured:
            continue
    return found


# Stored models are found by these. Whoever changes a recipe or TRAINING_VERSION on purpose pins the
# digest anew; the paper's recipes have no reason to change at all.
ALL_FINGERPRINTS = "cf538a7fc46530f69956005ab448280e5ee0e0f38e9afa55a33cc6504ecff8b8"


def test_all_fingerprints_are_pinned():
    found = {" ".join(row): recipe.fingerprint() for row, recipe in all_recipes().items()}
    for row in itertools.product(PRUNED_NAMES, ("cifar10", "cifar100")):
        found[" ".join(row)] = find_pruned(*row).fingerprint()
    assert len(found) == 171
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    assert digest == ALL_FINGERPRINTS, found
    assert TUNED.name == f"cifar10-resnet18_s-sgdm-tuned-seed0-{TUNED.fingerprint()}"
    assert str(TUNED) == "resnet18_s sgdm cifar10 (tuned, seed 0)"


def test_every_recipe_is_what_was_asked_for_under_a_name_of_its_own():
    recipes = all_recipes()
    for (kind, dataset, network, optimizer), recipe in recipes.items():
        asked = ("tuned" if kind == "equal" else kind, dataset, network, optimizer)
        found = (recipe.kind, recipe.dataset, recipe.network, recipe.optimizer.name)
        assert found == asked
        assert recipe.holdout == 0, "held-out images are for tuning, not for results"
        # Only the paper chooses its epoch on the test set.
        assert (recipe.selection == "best_test_epoch") == (kind == "paper")
        assert re.fullmatch(r"[a-z0-9_-]+", recipe.name)
    different = set(recipes.values())  # those of equal effort are mostly tuned ones
    assert len(different) > 50 and len({recipe.name for recipe in different}) == len(different)


def test_seeds_follow_on_the_first_and_change_nothing_else():
    for kind, first in (("paper", 42), ("tuned", 0)):
        found = [find_recipe(kind, "cifar10", "resnet18_s", "adabound", seed) for seed in range(3)]
        assert [recipe.seed for recipe in found] == [first, first + 1, first + 2]
        assert len({replace(recipe, seed=0) for recipe in found}) == 1
        assert len({recipe.fingerprint() for recipe in found}) == 3


def test_rows_without_a_recipe_and_unknown_names_are_refused():
    for kind, dataset in (("paper", "digits"), ("quick", "cifar10"), ("quick", "cifar100")):
        reason = f"no {kind} recipe for resnet18_s with sgdm on {dataset}"
        with pytest.raises(NotMeasured, match=reason):
            find_recipe(kind, dataset, "resnet18_s", "sgdm")
    with pytest.raises(ValueError, match="unknown recipe 'best'; known: tuned, long, equal, paper"):
        find_recipe("best", "cifar10", "resnet18_s", "sgdm")
    with pytest.raises(ValueError, match="unknown optimizer 'lion'"):
        find_recipe("tuned", "cifar10", "resnet18_s", "lion")
    with pytest.raises(ValueError, match="unknown schedule 'step'; known: multistep, linear"):
        Schedule(name="step")
    for field in ("precision", "selection", "test_time_flips"):
        with pytest.raises(ValueError, match=f"unknown {field} 'x'; known: "):
            replace(TUNED, **{field: "x"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": -0.1},
        {"weight_decay": math.nan},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, -0.1)},
        {"name": "adabound", "lr": 0.0},
        {"name": "adabound", "gamma": 0.0},
    ],
    ids=str,
)
def test_an_optimizers_setting_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"(is|are) .*: expected"):
        replace(TUNED.optimizer, **wrong)
    assert replace(TUNED.optimizer, lr=0.0).lr == 0.0


# Values that are no default, where another of the same type will not do.
OTHER: dict[str, Any] = {
    "optimizer": Optimizer(name="adam", lr=1.0, weight_decay=0.0),
    "schedule": Schedule(name="constant"),
    "augmentation": Augmentation(cutout=1),
    "dropout": 0.25,
    "clip_norm": 1.5,
    "stop_epoch": 3,
    "pruning": Pruning(parent=TUNED, structure="weights", max_params=10),
    "precision": "float32",
    "selection": "best_test_epoch",
    "resolutions": ((0.0, 20), (0.5, 28)),
    "betas": (0.9, 0.99),
    "test_time_flips": "mirror",
}


def another(part: Any, field: Any) -> Any:
    """A value of the field that is neither its default nor what ``part`` has."""
    value = getattr(part, field.name)
    if field.name in OTHER or value is None:
        return OTHER[field.name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "constant" if isinstance(part, Schedule) else "another"
    return (*value[1:], 7) if isinstance(value, tuple) else value + 1


PLAIN = Recipe(
    kind="tuned",
    dataset="cifar10",
    network="vgg16_s",
    optimizer=Optimizer(name="sgdm", lr=0.1, weight_decay=0.0),
    schedule=Schedule(name="linear"),
    epochs=5,
    batch_size=8,
    seed=0,
)
PARTS: dict[str | None, Any] = {
    None: PLAIN,
    **{own: getattr(PLAIN, own) for own in ("optimizer", "schedule", "augmentation")},
}
FIELDS = [(own, field) for own, part in PARTS.items() for field in dataclasses.fields(part)]


@pytest.mark.parametrize(
    ("own", "field"), FIELDS, ids=[f"{own or 'recipe'}.{field.name}" for own, field in FIELDS]
)
def test_every_field_changes_the_fingerprint_and_none_at_its_default_leaves_a_trace(own, field):
    """So that a field added later, with a default that means "as before", renames nothing."""
    change = {field.name: another(PARTS[own], field)}
    changed = replace(PLAIN, **({own: replace(PARTS[own], **change)} if own else change))
    assert changed.fingerprint() != PLAIN.fingerprint() and changed.name != PLAIN.name
    assert changed != PLAIN and hash(changed) == hash(replace(changed))
    canonical = [recipe.canonical() for recipe in (changed, PLAIN)]
    assert json.loads(json.dumps(canonical)) == canonical
    with_it, without = (form.get(own, {}) if own else form for form in canonical)
    assert field.name in with_it
    assert (field.name in without) == (field.default is dataclasses.MISSING)


def test_raising_the_training_version_renames_every_model(monkeypatch):
    """The version is a default too, and would be left out of the fingerprint like any other."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    line = f"\nTRAINING_VERSION = {module.TRAINING_VERSION}\n"
    assert source.count(line) == 1
    raised = types.ModuleType("raised")
    monkeypatch.setitem(sys.modules, "raised", raised)
    exec(source.replace(line, line.replace("= ", "= 1")), raised.__dict__)
    fields = {**vars(PLAIN), "training_version": raised.TRAINING_VERSION}
    assert raised.Recipe(**fields).fingerprint() != PLAIN.fingerprint()


def factors(name: str, total_steps: int = 100, **setup: Any) -> list[float]:
    schedule = Schedule(name=name, **setup)
    return [schedule.factor(step, total_steps, steps_per_epoch=10) for step in range(total_steps)]


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("final_factor", [0.0, 0.1])
@pytest.mark.parametrize("warmup", [0, 20])
def test_a_schedule_rises_to_one_and_falls_to_its_end(name, final_factor, warmup):
    found = factors(name, warmup_fraction=warmup / 100, final_factor=final_factor)
    assert found[:warmup] == pytest.approx([(step + 1) / warmup for step in range(warmup)])
    last = 99 - warmup
    shares = [done / last for done in range(last + 1)]
    if name == "cosine":
        shares = [(1 - math.cos(math.pi * share)) / 2 for share in shares]
    expected = [1 - (1 - final_factor) * share for share in shares]
    assert found[warmup:] == pytest.approx(expected, abs=1e-12) and max(found) == 1.0


def test_a_schedule_of_few_steps_stays_in_its_range():
    for total_steps, warmup in itertools.product((1, 2, 3), (0.0, 0.5, 1.0)):
        found = factors("linear", total_steps, warmup_fraction=warmup)
        assert max(found) == 1.0 and min(found) >= 0.0


def test_multistep_is_torchs_stepped_once_an_epoch():
    """Beyond its end it stays at one: the paper's CIFAR-100 runs end at the first milestone."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 7], gamma=0.1)
    expected = []
    for _ in range(10):
        expected += [reference.get_last_lr()[0]] * 10
        optimizer.step()
        reference.step()
    assert factors("multistep", milestones=(4, 7)) == pytest.approx(expected, rel=1e-12)
    assert set(factors("multistep", milestones=(10, 15))) == {1.0}
