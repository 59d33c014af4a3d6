"""Set up what a training needs before its first step: network, optimizer, step and batches."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.data.batches import TrainingBatches, normalise
from smallnet_core.data.datasets import NUM_CLASSES
from smallnet_core.models import build_model
from smallnet_core.models.initialisation import INITIALISATIONS_FROM_IMAGES, initialise
from smallnet_core.models.layer_table import count_parameters
from smallnet_core.pruning.channels import Plan, apply_plan, prune_channels
from smallnet_core.pruning.masks import apply_masks, magnitude_masks
from smallnet_core.recipes import Recipe
from smallnet_core.system.machine import seeded
from smallnet_core.training.graphs import GraphedStep, Step
from smallnet_core.training.optimizers import build_optimizer

WHITENING_IMAGES = 5000  # for a whitening first layer, where the recipe asks for one
IMPORTANCE_IMAGES = 2000  # for the gradients of Taylor importance

# bfloat16 rounds to 8 bits, so it must be at least this much faster to be worth it.
BFLOAT16_MIN_GAIN = 1.15
# Images of a timed step. With 8 the small networks' gains lie about the least one, so that the
# choice differed from run to run. Large networks gain far more or nothing, and would take long.
_PROBE_BATCH, _LARGE_PROBE_BATCH = 32, 8
_LARGE = 2_000_000  # parameters


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained network to prune: its weights, and the plan that it was pruned by itself."""

    state_dict: Mapping[str, Tensor]
    plan: Plan = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network before the first step, on the CPU."""

    model: nn.Module
    masks: Mapping[str, Tensor] = field(default_factory=dict)  # by parameter name
    plan: Plan = field(default_factory=list)  # of the channels that were removed


def dtype_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Choose the dtype for this network on this device: with "auto", bfloat16 where it is faster.

    GPUs have units for it from Ampere on. On a CPU, steps in both are timed, once per process.
    """
    if recipe.precision == "float32":
        return torch.float32
    if device.type == "cuda":
        gains = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        gains = bfloat16_gain(recipe.network) >= BFLOAT16_MIN_GAIN
    return torch.bfloat16 if gains else torch.float32


@functools.cache
def bfloat16_gain(network: str) -> float:
    """Measure how many times faster ``network`` trains under autocast on this CPU.

    Compares the best of three small batches each, after a warm-up; takes 0.2 to 4 seconds.
    """
    cpu = torch.device("cpu")
    with seeded(0, cpu):
        model = build_model(network).train().to(memory_format=torch.channels_last)
        batch = _LARGE_PROBE_BATCH if count_parameters(model) > _LARGE else _PROBE_BATCH
        x = torch.zeros(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(4):
            for enabled, found in seconds.items():
                start = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                    logits = model(x)
                logits.float().square().mean().backward()
                found.append(time.perf_counter() - start)
    return min(seconds[False][1:]) / min(seconds[True][1:])


def network_of(recipe: Recipe, plan: Plan | None = None) -> nn.Module:
    """Build the recipe's network, without the channels that ``plan`` removes.

    Its weights are drawn from torch's global random state.
    """
    overrides = {} if recipe.dropout is None else {"dropout": recipe.dropout}
    network = build_model(recipe.network, NUM_CLASSES[recipe.dataset], **overrides)
    return apply_plan(network, plan) if plan else network


def start_of(
    recipe: Recipe, images: Tensor, labels: Tensor, sources: Mapping[Recipe, Source]
) -> Start:
    """Build the network that training starts with: fresh, or pruned from one of ``sources``."""
    pruning = recipe.pruning
    if pruning is None:
        return Start(model=_fresh(recipe, [], images))
    parent = sources[pruning.parent]
    masks: dict[str, Tensor] = {}
    plan = parent.plan
    model = _trained(recipe, parent)
    if pruning.structure == "weights":
        masks = magnitude_masks(
            model, pruning.max_params, importance=pruning.importance, seed=recipe.seed
        )
    else:
        some = normalise(images[:IMPORTANCE_IMAGES], recipe.mean, recipe.std, torch.float32)
        removed = prune_channels(
            model,
            pruning.max_params,
            importance=pruning.importance,
            images=some.cpu(),
            labels=labels[:IMPORTANCE_IMAGES].cpu(),
            seed=recipe.seed,
            round_to=pruning.round_to,
        )
        plan = [*plan, *removed]
    if pruning.weights == "fresh":
        model = _fresh(recipe, plan, images)
    elif pruning.rewind_to is not None:
        early = sources[pruning.rewind_to]
        model = _trained(recipe, early)
        if since := plan[len(early.plan) :]:
            model = apply_plan(model, since)
    apply_masks(model, masks)
    return Start(model=model, masks=masks, plan=plan)


def _trained(recipe: Recipe, source: Source) -> nn.Module:
    model = network_of(recipe, source.plan)
    model.load_state_dict(source.state_dict)
    return model


def _fresh(recipe: Recipe, plan: Plan, images: Tensor) -> nn.Module:
    model = network_of(recipe, plan)
    some = None
    if recipe.initialisation in INITIALISATIONS_FROM_IMAGES:
        some = normalise(images[:WHITENING_IMAGES].cpu(), recipe.mean, recipe.std, torch.float32)
    initialise(model, recipe.initialisation, some)
    return model


def step_function(
    recipe: Recipe,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype,
    masks: Mapping[str, Tensor] = MappingProxyType({}),
) -> Step:
    """Return a step: images and labels in; mean loss and hits out, as tensors on the device.

    Weights that ``masks`` (by parameter name) exclude are reset to zero after every step.
    """
    parameters = dict(model.named_parameters())
    masked = [parameters[name].detach() for name in masks]
    # With the strides of the weights: mixed ones are slow.
    keeps = [torch.empty_like(w).copy_(m) for w, m in zip(masked, masks.values(), strict=True)]

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(x)
        logits = logits.float()
        loss = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        if masked:
            torch._foreach_mul_(masked, keeps)
        return loss.detach(), (logits.detach().argmax(1) == y).sum()

    return step


def set_up(
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    dtype: torch.dtype,
    *,
    graphed: bool = True,
    start: Start | None = None,
) -> tuple[nn.Module, torch.optim.Optimizer, Step, TrainingBatches]:
    """Build what a training needs before its first step, on the device.

    On a GPU the step is a CUDA graph, whose outputs the next step overwrites; hooks, and losses
    that are kept, need ``graphed=False``. Without ``start`` the initial weights come from torch's
    global random state; batches come from the recipe's seed.
    """
    start = start or start_of(recipe, images, labels, {})
    model = start.model.to(device).to(memory_format=torch.channels_last)
    graphed = graphed and device.type == "cuda"
    optimizer = build_optimizer(recipe.optimizer, model, capturable=graphed)
    step = step_function(recipe, model, optimizer, dtype, start.masks)
    if graphed:
        step = GraphedStep(step, model, optimizer)
    batches = TrainingBatches(
        images.to(device),
        labels.to(device),
        batch_size=recipe.batch_size,
        augmentation=recipe.augmentation,
        mean=recipe.mean,
        std=recipe.std,
        dtype=dtype,
        generator=torch.Generator(device).manual_seed(recipe.seed),
    )
    return model, optimizer, step, batches
