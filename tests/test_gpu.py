"""What only a GPU can show."""

import itertools
from dataclasses import replace

import pytest
import torch

from smallnet_core.data.batches import resized
from smallnet_core.data.datasets import load_dataset
from smallnet_core.recipes import Augmentation, Optimizer, Recipe, find_recipe
from smallnet_core.system.machine import ieee_float32, is_out_of_memory, seeded
from smallnet_core.training.evaluation import predict
from smallnet_core.training.graphs import GraphedStep
from smallnet_core.training.loop import BatchTooLarge, train
from smallnet_core.training.optimizers import build_optimizer, set_rates
from smallnet_core.training.start import dtype_of, network_of, set_up, step_function
from tests.test_checkpoints import Killed, Killer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a GPU: torch sees none on this machine"
    ),
]
GPU = torch.device("cuda:0")
OPTIMIZERS = {
    "sgdm": Optimizer(name="sgdm", lr=0.01, weight_decay=1e-3, nesterov=True),
    "adam": Optimizer(name="adam", lr=1e-3, weight_decay=1e-3),
    "adamw": Optimizer(name="adam", lr=1e-3, weight_decay=0.1, decoupled=True),
    "adabound": Optimizer(name="adabound", lr=1e-3, weight_decay=1e-3),
    "muon": Optimizer(name="muon", lr=0.02, weight_decay=1e-3),
}


def quick(optimizer: str, network: str = "vgg16_s", **changes) -> Recipe:
    base = find_recipe("quick", "digits", network, "sgdm")
    return replace(base, optimizer=OPTIMIZERS[optimizer], **changes)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_epoch_does_not_wait_for_the_device(optimizer):
    data = load_dataset("digits")
    recipe = quick(optimizer, "resnet18_s")
    dtype = dtype_of(recipe, GPU)
    _, _, step, batches = set_up(recipe, data.train_images, data.train_labels, GPU, dtype)
    for x, y in batches.epoch(0):  # allocations and lazy initialisation may wait
        step(x, y)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for x, y in batches.epoch(1):
            step(x, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_digits_are_learnt_and_the_cpu_agrees():
    data = load_dataset("digits")
    recipe = find_recipe("quick", "digits", "resnet18_s", "sgdm")
    trained = train(recipe, data, GPU)
    assert trained.test_accuracy_percent >= 95
    model = network_of(recipe)
    model.load_state_dict(trained.state_dict)
    on_cpu = predict(model, data.test_images, mean=recipe.mean, std=recipe.std)
    model, images = model.to(GPU), data.test_images.to(GPU)
    on_gpu = predict(model, images, mean=recipe.mean, std=recipe.std).cpu()
    # TF32 would be off by more than 1e-2.
    torch.testing.assert_close(on_cpu, on_gpu, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_recorded_step_is_the_step(optimizer, masked, monkeypatch):
    """Five steps with dropout, two sizes of images and falling rates: the same bits as eagerly."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    data = load_dataset("digits")
    augmentation = Augmentation(crop_padding=1, cutout=4)
    network = "resnet18_s" if masked else "vgg16_s"
    recipe = quick(optimizer, network, augmentation=augmentation, precision="float32")

    def five(graphed):
        with seeded(3, GPU), ieee_float32():
            model, built, _, batches = set_up(
                recipe, data.train_images, data.train_labels, GPU, torch.float32, graphed=False
            )
            built = build_optimizer(recipe.optimizer, model, capturable=True)
            weights = {n: p for n, p in model.named_parameters() if p.ndim >= 2} if masked else {}
            masks = {name: (p > 0).float().cpu() for name, p in weights.items()}
            step = step_function(recipe, model, built, torch.float32, masks)
            if graphed:
                step = GraphedStep(step, model, built)
            bases = [float(group["lr"]) for group in built.param_groups]
            losses = []
            sides = (20, 20, 32, 20, 32) if masked else (32,) * 5
            for number, (x, y) in enumerate(itertools.islice(batches.epoch(0), 5)):
                set_rates(built, [base * (1 - number / 5) for base in bases])
                losses.append(step(resized(x, sides[number]), y)[0].item())
            return losses, model.state_dict()

    (losses, weights), (eager_losses, eager_weights) = five(True), five(False)
    assert losses == eager_losses
    assert all(torch.equal(weights[name], eager_weights[name]) for name in weights)


def test_a_training_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("smallnet_core.training.checkpoints.CHECKPOINT_SECONDS", 0.0)
    data, recipe = load_dataset("digits"), quick("adabound", epochs=2)
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        train(recipe, data, GPU, progress=Killer(60), checkpoint=path)
    resumed = train(recipe, data, GPU, checkpoint=path)
    assert len(resumed.interruptions) == 1 and len(resumed.curve) == 2
    whole = train(recipe, data, GPU)
    assert resumed.curve[1].train_loss == pytest.approx(whole.curve[1].train_loss, rel=0.05)


def test_a_batch_that_memory_cannot_hold_is_named_and_leaves_no_memory_taken():
    data, recipe = load_dataset("digits"), quick("sgdm", epochs=1, batch_size=512)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(GPU)
    torch.cuda.set_per_process_memory_fraction(1e-3, GPU)
    try:
        with pytest.raises(BatchTooLarge) as caught:
            train(recipe, data, GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    assert is_out_of_memory(caught.value)
    assert torch.cuda.memory_allocated(GPU) < before + 2**27
    assert train(recipe, data, GPU).train_seconds > 0
