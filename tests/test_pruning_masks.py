"""Pruning by masks: as torch.nn.utils.prune from scratch, exactly counted, and undone."""

import copy
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from smallnet_core.models import build_model
from smallnet_core.pruning.curve import TECHNIQUES
from smallnet_core.pruning.masks import (
    OneShot,
    apply_masks,
    count_nonzeros,
    magnitude_masks,
    prunable,
)

GRID = [round(k * 0.05, 2) for k in range(21)]


def network(seed: int = 0) -> nn.Sequential:
    """1,004 weights in convolutions of 3, 8 and 6 input channels, one of them grouped."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 6, (3, 1), bias=False),
        nn.Sequential(OrderedDict(deep=nn.Conv2d(6, 12, 3, groups=2))),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def from_scratch(model: nn.Module, technique: str, proportion: float, seed: int = 0) -> nn.Module:
    """A pruned copy, as the paper's few lines make it."""
    model = copy.deepcopy(model)
    layers = list(prunable(model).values())
    torch.manual_seed(seed)
    if technique == "global_unstructured":
        prune.global_unstructured(
            [(layer, "weight") for layer in layers],
            pruning_method=prune.L1Unstructured,
            amount=proportion,
        )
    for layer in layers:
        if technique == "l1_unstructured":
            prune.l1_unstructured(layer, "weight", proportion)
        elif technique == "l1_structured":
            prune.ln_structured(layer, "weight", proportion, n=1, dim=1)
        elif technique == "random_unstructured":
            prune.random_unstructured(layer, "weight", proportion)
    return model


def masks_of(model: nn.Module) -> list[Tensor]:
    """What is not zero: the networks here have no zeros of their own."""
    return [layer.weight != 0 for layer in prunable(model).values()]


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_convolutions_are_pruned_or_all_linear_layers_but_the_classifier():
    layers = prunable(network())
    assert list(layers) == ["0", "2", "3.deep"]
    assert sum(layer.weight.numel() for layer in layers.values()) == 216 + 144 + 324
    assert len(prunable(build_model("vgg16_s"))) == 13
    assert len(prunable(build_model("resnet18_s"))) == 1 + 16 + 3
    of_vit = list(prunable(build_model("vit_s")))
    assert (of_vit[0], of_vit[-1], len(of_vit)) == ("patch_embedding", "head.1", 1 + 4 * 4 + 1)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_masks_are_those_of_torch_from_scratch(technique):
    model = network()
    ours = copy.deepcopy(model)
    pruner = OneShot(ours, technique, seed=3)
    for proportion in GRID:
        pruner.prune_to(proportion)
        reference = masks_of(from_scratch(model, technique, proportion, seed=3))
        assert same(masks_of(ours), reference), proportion
        assert pruner.num_zeros == sum(int((~mask).sum()) for mask in reference)


def one_shot(model: nn.Module, seed: int) -> list[Tensor]:
    OneShot(model, "random_unstructured", seed=seed).prune_to(0.3)
    return masks_of(model)


def of_training(model: nn.Module, seed: int) -> list[Tensor]:
    return list(magnitude_masks(model, 400, importance="random", seed=seed).values())


@pytest.mark.parametrize("drawn", [one_shot, of_training])
def test_random_masks_come_from_the_seed_alone(drawn):
    found = []
    for seed in (7, 7, 8):
        model = network()
        torch.manual_seed(len(found))
        state = torch.random.get_rng_state()
        found.append(drawn(model, seed))
        assert torch.equal(torch.random.get_rng_state(), state)
    assert same(found[0], found[1]) and not same(found[0], found[2])


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_the_dense_weights_come_back_even_after_an_error(technique):
    model = network().to(memory_format=torch.channels_last)
    before = {name: (p, p.clone(), p.data_ptr()) for name, p in model.named_parameters()}

    def fail():
        with OneShot(model, technique) as pruner:
            pruner.prune_to(0.5)
            assert pruner.num_zeros > 0
            model(torch.ones(1, 3, 7, 5)).sum().backward()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [name for name, _ in model.named_parameters()] == list(before)
    for name, p in model.named_parameters():
        same_one, value, pointer = before[name]
        assert p is same_one and torch.equal(p, value) and p.data_ptr() == pointer


@given(share=st.floats(0.2, 1), importance=st.sampled_from(["magnitude", "random"]))
@settings(max_examples=30, deadline=None)
def test_exactly_so_many_parameters_are_left(share, importance):
    model = network()
    for layer in prunable(model).values():  # ties
        layer.weight.data.mul_(4).round_().add_(1 / 8).div_(4)
    nn.init.ones_(model[1].bias)  # zero at first, but not after a training
    max_params = 8 + 12 + 16 + 65 + int(share * 684)  # biases, batch norm, classifier
    apply_masks(model, magnitude_masks(model, max_params, importance=importance))
    assert count_nonzeros(model) == max_params


def test_the_largest_magnitudes_of_all_layers_are_kept():
    model = network()
    total = sum(p.numel() for p in model.parameters())
    masks = magnitude_masks(model, total - 100)
    assert list(masks) == ["0.weight", "2.weight", "3.deep.weight"]
    reference = masks_of(from_scratch(model, "global_unstructured", 100 / 684))
    assert all(mask.dtype == torch.bool for mask in masks.values())
    assert same(list(masks.values()), reference)


@pytest.mark.parametrize("importance", ["magnitude", "random"])
def test_pruning_again_takes_of_what_was_left(importance):
    model = network()
    first = magnitude_masks(model, 500, importance=importance, seed=1)
    apply_masks(model, first)
    for layer in prunable(model).values():  # as if it had been trained
        layer.weight.data.mul_(torch.rand_like(layer.weight) + 0.1)
    second = magnitude_masks(model, 300, importance=importance, seed=2)
    assert all((second[name] <= first[name]).all() for name in first)
    apply_masks(model, second)
    again = magnitude_masks(model, 300, importance=importance)
    assert all(torch.equal(again[name], second[name]) for name in second)


def test_frozen_parameters_neither_count_nor_go():
    model = network()
    model[0].weight.requires_grad_(False)
    assert list(magnitude_masks(model, 400)) == ["2.weight", "3.deep.weight"]


def test_no_layer_may_lose_all_its_weights():
    model = network()
    total = sum(p.numel() for p in model.parameters())
    assert all(mask.all() for mask in magnitude_masks(model, total).values())
    with pytest.raises(ValueError, match=r"^1 parameters are too few: 0\.weight"):
        magnitude_masks(model, 1)
    model[2].weight.data.mul_(1e-3)
    with pytest.raises(ValueError, match=r"too few: 2\.weight would lose all its weights"):
        magnitude_masks(model, total - 684 + 100)
