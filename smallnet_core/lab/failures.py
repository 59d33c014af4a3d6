"""Why the paper's runs failed: first steps of VGG and ViT as published, and with one change each.

``trace`` trains a variant for a few steps and records what a loss curve does not show: the size of
the gradient, the share of dead units, and whether the predictions still depend on the image.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from smallnet_core.claims.names import NETWORK_NAMES
from smallnet_core.data.batches import normalise
from smallnet_core.data.datasets import Dataset
from smallnet_core.figures import style
from smallnet_core.lab.cache import current_commit, now
from smallnet_core.lab.traces import TRACES, Point, Trace, find_trace
from smallnet_core.lab.variants import NETWORKS, SURGERIES, VARIANTS, Variant
from smallnet_core.system.machine import environment, ieee_float32, keep_freed_memory, seeded
from smallnet_core.training.estimates import estimate_seconds
from smallnet_core.training.evaluation import accuracy_percent, predict
from smallnet_core.training.optimizers import set_rates
from smallnet_core.training.start import set_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECORD_EVERY = 20  # steps
ACCURACY_EVERY = 500  # steps: 2,000 images cost ViT_S as much as 40 steps of 8
NUM_PROBE = 256  # training images, the first ones, as they are
# A GELU never reaches 0 exactly: at an input of -2.8 it is -0.007, with a slope of -0.02.
GELU_DEAD_BELOW = 0.01


def dead_shares(model: nn.Module, x: Tensor) -> tuple[Tensor, list[float], list[int]]:
    """Return the logits of ``x`` in evaluation mode, and each layer's share of dead units and size.

    A unit is a channel of a convolution's ReLU, or a feature of a linear layer's ReLU or GELU. It
    is dead when its output is 0 (for a GELU, within 0.01 of 0) at every position or token of every
    image. Layers are in order of execution.
    """
    shares: list[float] = []
    sizes: list[int] = []

    def watch(module: nn.Module, inputs: Any, output: Tensor) -> None:
        limit = 0.0 if isinstance(module, nn.ReLU) else GELU_DEAD_BELOW
        others = (0, 2, 3) if output.ndim == 4 else tuple(range(output.ndim - 1))
        dead = output.abs().amax(others) <= limit
        shares.append(dead.float().mean().item())
        sizes.append(len(dead))

    units = [module for module in model.modules() if isinstance(module, nn.ReLU | nn.GELU)]
    hooks = [module.register_forward_hook(watch) for module in units]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(x)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return logits, shares, sizes


def trace(variant: Variant, dataset: Dataset, device: torch.device) -> Trace:
    """Train the variant for its steps, in float32 throughout, and record a point every 20 steps.

    Deterministic for the recipe's seed. A loss that is not finite ends the training; see
    ``Trace.diverged_at``.
    """
    recipe = variant.recipe
    kept = len(dataset.train_images) - recipe.holdout
    keep_freed_memory()
    facts, commit, start = environment(device).as_dict(), current_commit(), time.perf_counter()
    probe = normalise(
        dataset.train_images[:NUM_PROBE].to(device), recipe.mean, recipe.std, torch.float32
    )
    held_out_images = dataset.train_images[kept:].to(device)
    held_out_labels = dataset.train_labels[kept:].to(device)
    points: list[Point] = []
    losses: list[Tensor] = []  # since the last point, like the norms below
    norms: list[Tensor] = []
    inner_norms: list[Tensor] = []
    diverged_at = None

    # Seeds the initial weights here and the dropout masks later.
    with seeded(recipe.seed, device), ieee_float32():
        model, optimizer, step, batches = set_up(
            # Clipped below instead, where the norm before clipping is recorded.
            replace(recipe, clip_norm=None),
            dataset.train_images[:kept],
            dataset.train_labels[:kept],
            device,
            torch.float32,
            graphed=False,
        )
        SURGERIES[variant.surgery](model)

        def before_update(*_: Any) -> None:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            inner_norms.append(nn.utils.get_total_norm(gradients[:-2]))  # the rest: weight, bias
            if recipe.clip_norm is not None:
                nn.utils.clip_grads_with_norm_(model.parameters(), recipe.clip_norm, norm)
            norms.append(norm)

        def point(done: int) -> Point:
            logits, shares, sizes = dead_shares(model, probe)
            counts = torch.bincount(logits.argmax(1), minlength=logits.shape[1])
            accuracy = None
            if done % ACCURACY_EVERY == 0 or done in (variant.num_steps, diverged_at):
                held_out = predict(model, held_out_images, mean=recipe.mean, std=recipe.std)
                accuracy = accuracy_percent(held_out, held_out_labels)
            dead = sum(share * size for share, size in zip(shares, sizes, strict=True))
            return Point(
                step=done,
                loss=_finite(torch.stack(losses).mean()) if losses else None,
                gradient_norm=_finite(torch.stack(norms).max()) if norms else None,
                inner_gradient_norm=_finite(torch.stack(inner_norms).max()) if norms else None,
                dead_percent=_rounded(100 * dead / sum(sizes)),
                worst_layer_dead_percent=_rounded(100 * max(shares)),
                most_predicted_percent=_rounded(100 * counts.max().item() / len(probe)),
                logit_spread=_finite(logits.std(0).mean()),
                accuracy_percent=accuracy,
            )

        base_rates = [group["lr"] for group in optimizer.param_groups]
        optimizer.register_step_pre_hook(before_update)
        model.train()
        points.append(point(0))
        stream = itertools.chain.from_iterable(map(batches.epoch, itertools.count()))
        for done, (x, y) in enumerate(stream):
            factor = recipe.schedule.factor(done, variant.num_steps, batches.steps_per_epoch)
            set_rates(optimizer, [base * factor for base in base_rates])
            losses.append(step(x, y)[0])
            if done == 0:
                points[0] = replace(
                    points[0],
                    loss=_finite(losses[0]),
                    gradient_norm=_finite(norms[0]),
                    inner_gradient_norm=_finite(inner_norms[0]),
                )
            if not math.isfinite(losses[-1].item()):
                diverged_at = done + 1
            last = done + 1 == variant.num_steps or diverged_at is not None
            if last or (done + 1) % RECORD_EVERY == 0:
                points.append(point(done + 1))
                losses.clear()
                norms.clear()
                inner_norms.clear()
            if last:
                break

    return Trace(
        variant=variant,
        points=tuple(points),
        diverged_at=diverged_at,
        seconds=round(time.perf_counter() - start, 1),
        environment=facts,
        commit=commit,
        time=now(),
    )


def _finite(value: Tensor) -> float | None:
    number = value.item()
    return _rounded(number) if math.isfinite(number) else None


def _rounded(number: float) -> float:
    """Round to five significant digits: enough for a curve, and it keeps the files small."""
    return float(f"{number:.5g}")


def estimated_seconds(variant: Variant, device: torch.device) -> float:
    """Estimate how long the trace takes here."""
    num_points = 1 + variant.num_steps // RECORD_EVERY
    num_accuracies = 1 + variant.num_steps // ACCURACY_EVERY
    return estimate_seconds(
        replace(variant.recipe, epochs=1),
        num_train=variant.num_steps * variant.recipe.batch_size,
        num_test=num_points * NUM_PROBE + num_accuracies * variant.recipe.holdout,
        device=device,
    )


_QUANTITIES = {
    "loss": ("Training loss", "cross entropy"),
    "most_predicted_percent": ("Most predicted class", "% of predictions"),
    "gradient_norm": ("Norm of the gradient", "logarithmic"),
    "worst_layer_dead_percent": ("Dead units", "% of the layer with most of them"),
}


def figures() -> dict[str, str]:
    """Draw each network's shipped traces by step, as SVG by name; MatplotlibMissingError."""
    return {f"figure-failures-{network}": _figure(network) for network in NETWORKS}


def _figure(network: str) -> str:
    drawn = (v for v in VARIANTS.values() if v.recipe.network == network and v.drawn)
    traces = [found for v in drawn if (found := find_trace(v, [TRACES], []))]
    endings = []
    for found in traces:
        steps = ", one class from step {} to {}".format(*found.collapse) if found.collapse else ""
        endings.append(
            f"{found.variant.change}: {found.outcome.value}{steps}, "
            f"{found.accuracy_percent:.2f} % of held-out images right"
        )
    return style.svg(
        [
            [
                style.Panel(
                    title=name, unit=unit, x_label="step", plot=partial(_plot, traces, quantity)
                )
            ]
            for quantity, (name, unit) in _QUANTITIES.items()
        ],
        title=f"The first steps of {NETWORK_NAMES[network]} on CIFAR-10: the paper's SGDM "
        "(rate 0.1, batch 8), and with one change each",
        description=f"How each ends. {'; '.join(endings)}.",
        note=f"Loss: mean of {RECORD_EVERY} steps; gradient: the largest norm of them, before "
        f"clipping. Dead units and predictions: of {NUM_PROBE} training images.",
    )


def _plot(traces: Sequence[Trace], quantity: str, axes: Axes) -> None:
    for number, found in enumerate(traces):
        look = style.line(number, label=found.variant.change, linewidth=1.4)
        steps = [point.step for point in found.points]
        style.plot(axes, steps, [getattr(point, quantity) for point in found.points], **look)
    if quantity.endswith("_percent"):
        axes.set_ylim(-2, 102)
    if quantity == "gradient_norm":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
