"""Trainings that begin from a trained network: smaller, masked, rewound, in rounds, resumed."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from smallnet_core.data.batches import normalise
from smallnet_core.lab.cache import ModelCache, record_of
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.workbench import Workbench
from smallnet_core.models.layer_table import count_parameters
from smallnet_core.pruning.channels import prune_channels
from smallnet_core.pruning.masks import apply_masks, count_nonzeros, magnitude_masks
from smallnet_core.recipes import Pruning, Recipe, find_recipe
from smallnet_core.system.machine import environment
from smallnet_core.training.loop import Trained, train
from smallnet_core.training.start import Source, network_of, start_of
from tests.test_checkpoints import Killed, Killer
from tests.trainable import CPU, same_weights, tiny

ENVIRONMENT = environment(CPU)
DATA = tiny("cifar10", 48)
DENSE = replace(
    find_recipe("tuned", "cifar10", "resnet18_s", "sgdm"),
    epochs=3,
    batch_size=16,
    resolutions=((0.0, 8),),
    precision="float32",
)
SIZE = 701_466


def pruned(parent: Recipe = DENSE, **settings: Any) -> Recipe:
    of_pruning = {"structure": "weights", "max_params": SIZE // 2, "parent": parent} | settings
    return replace(DENSE, kind="pruned", epochs=2, pruning=Pruning(**of_pruning))


_done: dict[Recipe, Trained] = {}


def trained(recipe: Recipe) -> Trained:
    """Trained once, with all that it is pruned from."""
    if recipe not in _done:
        sources = {one: source(trained(one)) for one in recipe.ancestors()}
        _done[recipe] = train(recipe, DATA, CPU, sources=sources)
    return _done[recipe]


def source(result: Trained) -> Source:
    return Source(state_dict=result.state_dict, plan=result.plan)


def network(result: Trained) -> torch.nn.Module:
    model = network_of(result.recipe, result.plan)
    model.load_state_dict(result.state_dict)
    return model.eval()


def zeros(result: Trained) -> dict[str, torch.Tensor]:
    return {n: t == 0 for n, t in result.state_dict.items() if t.dim() == 4}


@pytest.mark.parametrize(
    "settings",
    [
        {"structure": "weights", "importance": "random"},
        {"structure": "channels", "importance": "random"},
        {"structure": "channels", "importance": "taylor"},
        {"structure": "channels", "round_to": 8},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_training_starts_with_what_the_recipes_pruning_leaves(settings):
    recipe = replace(pruned(**settings), seed=5)
    images, labels = DATA.train_images, DATA.train_labels
    start = start_of(recipe, images, labels, {DENSE: source(trained(DENSE))})
    expected, own = network(trained(DENSE)), {"seed": 5, **settings}
    if own.pop("structure") == "weights":
        apply_masks(expected, magnitude_masks(expected, SIZE // 2, **own))
    else:
        x = normalise(images, recipe.mean, recipe.std, torch.float32)
        assert start.plan == prune_channels(expected, SIZE // 2, images=x, labels=labels, **own)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(start.model.state_dict()[name], tensor)


def test_channels_are_removed_and_the_rest_is_trained():
    result = trained(pruned(structure="channels"))
    assert 0.95 * SIZE / 2 < count_parameters(network(result)) <= SIZE / 2
    assert result.plan and len(result.curve) == 2
    assert network(result)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_masked_weights_stay_zero_and_the_others_move():
    result = trained(pruned())
    assert count_nonzeros(network(result)) <= SIZE // 2 and not result.plan
    before = trained(DENSE).state_dict
    for name, zero in zeros(result).items():
        assert zero.any() and not torch.equal(result.state_dict[name][~zero], before[name][~zero])
        # The largest magnitudes of the parent are what stays.
        assert before[name][zero].abs().max() <= before[name][~zero].abs().max()


def test_rounds_keep_a_part_of_what_the_round_before_kept():
    for structure in ("weights", "channels"):
        first = pruned(structure=structure)
        second = pruned(first, structure=structure, max_params=SIZE // 5)
        one, two = trained(first), trained(second)
        if structure == "weights":
            assert all((z <= zeros(two)[name]).all() for name, z in zeros(one).items())
            assert count_nonzeros(network(two)) <= SIZE // 5
        else:
            assert len(two.plan) == 2 and two.plan[:1] == one.plan
            assert count_parameters(network(two)) <= SIZE // 5


def test_a_rewound_network_goes_on_from_the_early_state_at_the_early_epoch():
    early = replace(DENSE, stop_epoch=1)
    ticket = replace(pruned(weights="rewound", rewind_to=early), epochs=3, first_epoch=1)
    start, result = trained(early), trained(ticket)
    assert [epoch.epoch for epoch in start.curve] == [1]
    assert start.curve[0].test_accuracy_percent is not None
    assert [epoch.epoch for epoch in result.curve] == [2, 3]
    # Nothing pruned, it is the dense training but for its momentum and the order of its images.
    assert start.curve[0].train_loss == trained(DENSE).curve[0].train_loss
    assert abs(result.curve[0].train_loss - trained(DENSE).curve[1].train_loss) < 0.5
    # Of channels those go that go without rewinding.
    channels = pruned(structure="channels", weights="rewound", rewind_to=early)
    result = trained(replace(channels, epochs=3, first_epoch=1))
    assert result.plan == trained(pruned(structure="channels")).plan
    assert count_parameters(network(result)) <= SIZE / 2


def test_fresh_weights_have_the_shape_and_nothing_else_of_the_pruned_network():
    kept = trained(pruned(structure="channels"))
    fresh = trained(pruned(structure="channels", weights="fresh"))
    assert kept.plan == fresh.plan
    shapes = [{n: t.shape for n, t in r.state_dict.items()} for r in (kept, fresh)]
    assert shapes[0] == shapes[1]
    assert kept.curve[0].train_loss < fresh.curve[0].train_loss


@pytest.mark.parametrize("structure", ["weights", "channels"])
def test_a_cut_training_ends_as_the_uninterrupted(structure, tmp_path):
    recipe = pruned(structure=structure)
    parent = source(trained(DENSE))
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):  # in the second epoch
        train(recipe, DATA, CPU, sources={DENSE: parent}, checkpoint=path, progress=Killer(5))
    # As a file has them: not in the network's order.
    sources = {DENSE: replace(parent, state_dict=dict(sorted(parent.state_dict.items())))}
    resumed = train(recipe, DATA, CPU, sources=sources, checkpoint=path)
    assert resumed.interruptions and same_weights(resumed.state_dict, trained(recipe).state_dict)


def test_a_checkpoint_of_what_another_network_was_pruned_to_is_not_resumed(tmp_path):
    recipe = pruned(structure="channels")
    mine = source(trained(DENSE))
    others = Source(state_dict={name: 1.1 * tensor for name, tensor in mine.state_dict.items()})
    path = tmp_path / "checkpoint"
    train(recipe, DATA, CPU, sources={DENSE: others}, checkpoint=path)
    result = train(recipe, DATA, CPU, sources={DENSE: mine}, checkpoint=path)
    assert not result.interruptions and same_weights(result.state_dict, trained(recipe).state_dict)


@pytest.mark.parametrize("structure", ["weights", "channels"])
def test_the_cache_gives_back_the_same_logits(structure, tmp_path):
    result = trained(pruned(structure=structure, max_params=SIZE // 4))
    cache = ModelCache(tmp_path / "cache", zoo=tmp_path / "zoo")
    cache.store(result, record_of(result, ENVIRONMENT, {"train": "a"}, None))
    found = cache.load(result.recipe)
    assert found is not None and found.origin == "cache" and found.source.plan == result.plan
    bench = Workbench(Settings(cache_dir=tmp_path / "cache", device="cpu"))
    images = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    expected = network(result).to(memory_format=torch.channels_last)(images)
    assert torch.equal(bench.network(found)(images), expected)
    # A fifth of the bytes: packed, or without the channels.
    size = (tmp_path / "cache" / f"{result.recipe.name}.safetensors").stat().st_size
    assert size < 0.33 * 4 * SIZE
