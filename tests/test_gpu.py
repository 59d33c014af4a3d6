"""What only a GPU can show."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from smallnet_core.data.datasets import load_dataset
from smallnet_core.recipes import find_recipe
from smallnet_core.training import loop as training
from smallnet_core.training.evaluation import predict
from smallnet_core.training.loop import dtype_of, network_of, set_up, train
from tests.test_checkpoints import Killed, Killer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a GPU: torch sees none on this machine"
    ),
]


@pytest.mark.parametrize("optimizer", ["sgdm", "adam", "adabound"])
def test_an_epoch_does_not_wait_for_the_device(optimizer):
    device = torch.device("cuda")
    data = load_dataset("digits")
    recipe = find_recipe("quick", "digits", "resnet18_s", optimizer)
    _, _, step, batches = set_up(
        recipe, data.train_images, data.train_labels, device, dtype_of(recipe, device)
    )
    for x, y in batches.epoch(0):  # allocations and lazy initialisation may wait
        step(x, y)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for x, y in batches.epoch(1):
            step(x, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_digits_are_learnt_and_the_cpu_agrees():
    data = load_dataset("digits")
    recipe = find_recipe("quick", "digits", "resnet18_s", "sgdm")
    trained = train(recipe, data, torch.device("cuda"))
    assert trained.test_accuracy_percent >= 95
    model = network_of(recipe)
    model.load_state_dict(trained.state_dict)
    on_cpu = predict(model, data.test_images, mean=recipe.mean, std=recipe.std)
    on_gpu = predict(model.cuda(), data.test_images.cuda(), mean=recipe.mean, std=recipe.std).cpu()
    torch.testing.assert_close(on_cpu, on_gpu, rtol=0, atol=1e-2)


@pytest.mark.parametrize("optimizer", ["sgdm", "adam", "adabound"])
def test_a_recorded_step_is_the_step(optimizer, monkeypatch):
    """The same training with and without CUDA graphs, but for the order of sums."""
    data = load_dataset("digits")
    recipe = replace(
        find_recipe("quick", "digits", "vgg16_s", optimizer), epochs=1, precision="float32"
    )
    graphed = train(recipe, data, torch.device("cuda"))
    monkeypatch.setattr(training, "GraphedStep", lambda step, model, optimizer: step)
    eager = train(recipe, data, torch.device("cuda"))
    assert graphed.curve[0].train_loss == pytest.approx(eager.curve[0].train_loss, rel=0.02)


def test_a_training_that_was_cut_off_goes_on(tmp_path):
    data = load_dataset("digits")
    recipe = replace(find_recipe("quick", "digits", "vgg16_s", "adabound"), epochs=2)
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        train(recipe, data, torch.device("cuda"), progress=Killer(60), checkpoint=path)
    resumed = train(recipe, data, torch.device("cuda"), checkpoint=path)
    assert len(resumed.interruptions) == 1 and len(resumed.curve) == 2
    whole = train(recipe, data, torch.device("cuda"))
    assert resumed.curve[1].train_loss == pytest.approx(whole.curve[1].train_loss, rel=0.05)
