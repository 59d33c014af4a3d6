"""smallnet_core.recipes.pruned: what is pruned from what, in which order, and to what size."""

from dataclasses import replace

import pytest

from smallnet_core.models.layer_table import count_on_meta
from smallnet_core.recipes import Pruning, Recipe, find_recipe
from smallnet_core.recipes.pruned import DENSE, PRUNED_NAMES, find_pruned
from smallnet_core.records import NotMeasured

DENSE_RESNET = find_recipe("tuned", "cifar10", "resnet18_s", "sgdm")


def pruned(**changes) -> Recipe:
    settings = {"parent": DENSE_RESNET, "structure": "weights", "max_params": 1000} | changes
    return replace(DENSE_RESNET, kind="pruned", pruning=Pruning(**settings))


def test_each_is_smaller_than_what_it_is_pruned_from():
    for name in PRUNED_NAMES:
        recipe, network = find_pruned(name), name.split("-")[0]
        size = count_on_meta(recipe.network)
        for step in (*recipe.ancestors(), recipe):
            assert step.network == recipe.network and step.dataset == "cifar10"
            assert not step.holdout
            if step.pruning is not None:
                assert step.pruning.max_params < size
                parent = step.pruning.parent.pruning
                assert parent is None or step.pruning.max_params < parent.max_params
        assert recipe.seed == 0 and find_pruned(name, seed=3).seed == 3
        assert find_pruned(name, seed=3).ancestors() == recipe.ancestors()
        assert find_pruned(name, "cifar100").dataset == "cifar100"
        if network in DENSE:  # the dense network of the tables
            assert recipe.ancestors()[0] == find_recipe("tuned", "cifar10", network, DENSE[network])


def test_an_unknown_name_and_digits_are_refused():
    with pytest.raises(ValueError, match=r"unknown pruned network 'x'; known: resnet18-1m"):
        find_pruned("x")
    with pytest.raises(NotMeasured, match="no recipe for ticket-10 on digits"):
        find_pruned("ticket-10", "digits")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"structure": "rows"}, "unknown 'rows': one of weights, channels"),
        ({"importance": "luck"}, "unknown 'luck'"),
        ({"importance": "taylor"}, "taylor importance applies to channels"),
        ({"weights": "old"}, "unknown 'old'"),
        ({"weights": "rewound"}, "rewind_to is required for rewound weights"),
        ({"rewind_to": DENSE_RESNET}, "rewind_to is required for rewound weights"),
        ({"max_params": 0}, "at least 1"),
        ({"round_to": 0}, "at least 1"),
    ],
)
def test_impossible_prunings_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        pruned(**changes)


@pytest.mark.parametrize("epochs", [{"first_epoch": 25}, {"stop_epoch": 26}, {"first_epoch": -1}])
def test_epochs_that_the_schedule_does_not_have_are_refused(epochs):
    with pytest.raises(ValueError, match="first_epoch < end_epoch"):
        replace(DENSE_RESNET, **epochs)
