"""Why the paper's runs failed: the first steps of VGG and ViT its way, and one change at a time.

``trace`` trains a variant for its few steps and watches what a loss curve does not show: how large
the gradient is, which units have died, and whether the predictions still depend on the image. A
trace is kept as JSON by fingerprint, in the user's cache or shipped in ``zoo/traces``, as trained
models are; new ones get there by ``write_trace(TRACES, trace(...))`` from a clean commit.

    python -m smallnet_core.lab.failures OUT_DIR    # figures of the shipped traces
"""

from __future__ import annotations

import argparse
import enum
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smallnet_core.claims import NETWORK_NAMES
from smallnet_core.data.batches import TrainingBatches, normalise
from smallnet_core.data.datasets import NUM_CLASSES, Dataset
from smallnet_core.figures.failures import FirstSteps, failures_figure
from smallnet_core.figures.style import Drawing, MatplotlibMissingError
from smallnet_core.lab.cache import ZOO_DIR, current_commit, now
from smallnet_core.lab.variants import NETWORKS, SURGERIES, VARIANTS, Variant
from smallnet_core.recipes import Schedule
from smallnet_core.records import NotMeasured
from smallnet_core.system.checked import parse
from smallnet_core.system.files import replace_file
from smallnet_core.system.machine import environment, ieee_float32, keep_freed_memory, seeded
from smallnet_core.training.estimates import estimate_seconds
from smallnet_core.training.evaluation import accuracy_percent, predict
from smallnet_core.training.start import set_up

RECORD_EVERY = 20  # steps
ACCURACY_EVERY = 500  # steps: 2,000 images cost ViT_S as much as 40 steps of 8
NUM_PROBE = 256  # training images, the first ones, as they are
# A GELU fades where a ReLU ends: at an input of -2.8 it gives -0.007 with a slope of -0.02.
GELU_DEAD_BELOW = 0.01
# Predictions of one class among the probe's images, 254 of 256.
COLLAPSED_PERCENT = 99.0
COLLAPSED_STEPS = 200
LATE_STEPS = 200
# Below ln(classes): three times the standard error of the mean over so many batches of 8, 0.015.
LEARNT_LOSS = 0.05

TRACES = ZOO_DIR / "traces"


class Outcome(enum.StrEnum):
    """What the steps of a variant end as."""

    DIVERGED = "diverged"  # the loss is no number any more
    ONE_CLASS = "one class"  # which is predicted for every image
    CHANCE = "chance"  # several classes, and a loss that knows no more than their number
    RECOVERS = "recovers"  # learns, after it predicted one class for long
    LEARNS = "learns"


@dataclass(frozen=True, kw_only=True)
class Point:
    """The network after ``step`` steps, and the batches since the point before.

    At step 0 the batch is the first one, which fresh weights see. None stands for what is not
    finite, and for an accuracy that was not taken there.
    """

    step: int
    loss: float | None  # mean
    gradient_norm: float | None  # largest, of the whole gradient before clipping
    inner_gradient_norm: float | None  # largest, of all weights before the last layer
    dead_percent: float  # of all units, see dead_shares
    worst_layer_dead_percent: float  # of the layer that has the most
    most_predicted_percent: float  # of the probe's images, the class that most of them get
    logit_spread: float | None  # standard deviation over the probe's images, mean over classes
    accuracy_percent: float | None  # of the held-out images


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A variant's first steps, and where and when they were taken."""

    variant: Variant
    points: tuple[Point, ...]
    diverged_at: int | None  # the first step whose loss was not finite, after which nothing ran
    seconds: float
    environment: Mapping[str, Any]
    commit: Mapping[str, Any] | None  # None outside git
    time: str  # UTC

    @property
    def collapse(self) -> tuple[int, int] | None:
        """From which step to which one class took 99 % of the probe's predictions; the longest.

        None where it never lasted for 200 steps: fresh weights may begin so, and learn.
        """
        longest, start = (0, 0), None
        for point in self.points:
            if point.most_predicted_percent < COLLAPSED_PERCENT:
                start = None
                continue
            start = point.step if start is None else start
            longest = max(longest, (start, point.step), key=lambda span: span[1] - span[0])
        return longest if longest[1] - longest[0] >= COLLAPSED_STEPS else None

    @property
    def late_loss(self) -> float:
        """Mean training loss of the last 200 steps; infinite where the loss was not finite."""
        late = [p.loss for p in self.points if p.step > self.points[-1].step - LATE_STEPS]
        return sum(math.inf if loss is None else loss for loss in late) / len(late)

    @property
    def outcome(self) -> Outcome:
        if self.diverged_at is not None:
            return Outcome.DIVERGED
        if self.collapse is not None and self.collapse[1] == self.points[-1].step:
            return Outcome.ONE_CLASS
        chance = math.log(NUM_CLASSES[self.variant.recipe.dataset])
        if self.late_loss > chance - LEARNT_LOSS:
            return Outcome.CHANCE
        return Outcome.LEARNS if self.collapse is None else Outcome.RECOVERS

    @property
    def accuracy_percent(self) -> float:
        """Of the held-out images, at the end."""
        found = self.points[-1].accuracy_percent
        assert found is not None, "the last point has it"
        return found


def dead_shares(model: nn.Module, x: Tensor) -> tuple[Tensor, list[float], list[int]]:
    """Logits of ``x`` in evaluation mode, and the share of dead units of each layer with its size.

    A unit is a channel of a convolution's ReLU, or a feature of a linear layer's ReLU or GELU. It
    is dead when its output is 0 (a GELU's: within 0.01 of 0) at every position, or token, of every
    image. Layers come in the order in which they are used.
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
    """Train the variant for its steps and record a point every 20; in float32 throughout.

    Deterministic by the recipe's seed. A loss that is not finite ends it, see ``diverged_at``.
    Raises ValueError when the recipe does not fit the dataset.
    """
    recipe = variant.recipe
    if recipe.dataset != dataset.name:
        raise ValueError(f"the recipe is for {recipe.dataset}, the dataset is {dataset.name}")
    kept = len(dataset.train_images) - recipe.holdout
    if not 0 < recipe.holdout < len(dataset.train_images):
        raise ValueError(
            f"{recipe.holdout} images cannot be held out of {len(dataset.train_images)}"
        )
    keep_freed_memory()
    facts, commit, start = environment(device).as_dict(), current_commit(), time.perf_counter()
    probe = normalise(
        dataset.train_images[:NUM_PROBE].to(device), recipe.mean, recipe.std, torch.float32
    )
    held_out_images = dataset.train_images[kept:].to(device)
    held_out_labels = dataset.train_labels[kept:].to(device)
    points: list[Point] = []
    losses: list[Tensor] = []  # of the steps since the last point, as the norms
    norms: list[Tensor] = []
    inner_norms: list[Tensor] = []
    diverged_at = None

    # The seed: of initial weights here, of dropout masks later.
    with seeded(recipe.seed, device), ieee_float32():
        model, optimizer, step, batches = set_up(
            # Clipped below instead: the norm is wanted as it was before.
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
        for done, (x, y) in enumerate(_endless(batches)):
            factor = recipe.schedule.factor(done, variant.num_steps, batches.steps_per_epoch)
            for group, base in zip(optimizer.param_groups, base_rates, strict=True):
                group["lr"] = base * factor
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


def _endless(batches: TrainingBatches) -> Iterator[tuple[Tensor, Tensor]]:
    index = 0
    while True:
        yield from batches.epoch(index)
        index += 1


def _finite(value: Tensor) -> float | None:
    number = value.item()
    return _rounded(number) if math.isfinite(number) else None


def _rounded(number: float) -> float:
    """Five digits: what a curve needs, and what a file of a hundred points has room for."""
    return float(f"{number:.5g}")


# Keeping traces


def check_budget(variant: Variant, device: torch.device, minutes: float) -> None:
    """Raises NotMeasured where the trace is estimated to take longer here than ``minutes``."""
    num_points = 1 + variant.num_steps // RECORD_EVERY
    num_accuracies = 1 + variant.num_steps // ACCURACY_EVERY
    seconds = estimate_seconds(
        replace(variant.recipe, epochs=1),
        num_train=variant.num_steps * variant.recipe.batch_size,
        num_test=num_points * NUM_PROBE + num_accuracies * variant.recipe.holdout,
        device=device,
        enough=60 * minutes,
    )
    if seconds > 60 * minutes:
        needed = math.ceil(seconds / 60)
        raise NotMeasured(
            f"{variant.num_steps:,} steps take about {needed} min here, over the budget of "
            f"{minutes:g} min: --train-budget {needed} allows it"
        )


def write_trace(folder: Path, found: Trace) -> Path:
    """Write a trace as JSON, a column of numbers a line, whole or not at all; raises OSError."""
    columns = {
        field.name: [getattr(point, field.name) for point in found.points]
        for field in fields(Point)
    }
    record = {
        "name": found.variant.name,
        "change": found.variant.change,
        "fingerprint": found.variant.fingerprint(),
        **found.variant.canonical(),
        "seed": found.variant.recipe.seed,
        "diverged_at": found.diverged_at,
        "seconds": found.seconds,
        "environment": found.environment,
        "commit": found.commit,
        "time": found.time,
    }
    lines = [*_json_lines(record, 1), f' "points": {{\n{_joined(_json_lines(columns, 2))}\n }}']
    path = folder / found.variant.file_name
    replace_file(path, f"{{\n{_joined(lines)}\n}}\n".encode())
    return path


def _json_lines(values: Mapping[str, Any], indent: int) -> list[str]:
    return [
        f"{' ' * indent}{json.dumps(name)}: {json.dumps(value, sort_keys=True, allow_nan=False)}"
        for name, value in values.items()
    ]


def _joined(lines: Sequence[str]) -> str:
    return ",\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A trace as its file has it: numbers by the names of a point's fields."""

    trace_version: int
    recipe: Mapping[str, Any]
    surgery: str
    num_steps: int
    points: Mapping[str, Sequence[int | float | None]]
    diverged_at: int | None
    seconds: float
    environment: Mapping[str, Any]
    commit: Mapping[str, Any] | None
    time: str


def read_trace(folder: Path, variant: Variant) -> Trace | None:
    """Read the variant's trace, None where there is none; ValueError for a file that is not it."""
    path = folder / variant.file_name
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = parse(_File, text)
        if any(getattr(found, name) != value for name, value in variant.canonical().items()):
            raise ValueError("of another recipe")
        names = [field.name for field in fields(Point)]
        rows = zip(*(found.points[name] for name in names), strict=True)
        points = tuple(Point(**dict(zip(names, row, strict=True))) for row in rows)
        if not points or points[-1].accuracy_percent is None:
            raise ValueError("without an end")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a trace of {variant.name} ({error})") from error
    return Trace(
        variant=variant,
        points=points,
        diverged_at=found.diverged_at,
        seconds=found.seconds,
        environment=found.environment,
        commit=found.commit,
        time=found.time,
    )


def find_trace(
    variant: Variant, folders: Sequence[Path], complaints: list[str] | None = None
) -> Trace | None:
    """The trace from the first folder that has one; a damaged file is a complaint, no trace."""
    for folder in folders:
        try:
            found = read_trace(folder, variant)
        except (OSError, ValueError) as error:
            if complaints is not None:
                complaints.append(f"damaged trace ignored: {error}")
            continue
        if found is not None:
            return found
    return None


def row_of(found: Trace) -> dict[str, Any]:
    """What the report's table shows of a trace, as JSON values."""
    first, last = found.points[0], found.points[-1]
    collapse = found.collapse
    recipe = found.variant.recipe
    return {
        "kind": "failures",
        "name": found.variant.name,
        "network": recipe.network,
        "dataset": recipe.dataset,
        "change": found.variant.change,
        "num_steps": found.variant.num_steps,
        "seed": recipe.seed,
        "fingerprint": found.variant.fingerprint(),
        "accuracy_percent": found.accuracy_percent,
        "most_predicted_percent": last.most_predicted_percent,
        "collapse": None if collapse is None else list(collapse),
        "outcome": found.outcome.value,
        "diverged_at": found.diverged_at,
        "gradient_norm_at_start": first.gradient_norm,
        "gradient_norm_at_end": last.gradient_norm,
        "inner_gradient_norm_at_start": first.inner_gradient_norm,
        "inner_gradient_norm_at_end": last.inner_gradient_norm,
        "dead_percent": last.dead_percent,
        "worst_layer_dead_percent": last.worst_layer_dead_percent,
        "loss": found.late_loss,
        "logit_spread_at_start": first.logit_spread,
        "logit_spread": last.logit_spread,
        "device_name": found.environment["device_name"],
        "commit": (found.commit or {}).get("id"),
    }


# Figures


def figure(network: str, traces: Sequence[Trace]) -> Drawing:
    """Show a network's traces by step."""
    return failures_figure(
        [
            FirstSteps(
                change=found.variant.change,
                ending=found.outcome.value
                + (
                    ", one class from step {} to {}".format(*found.collapse)
                    if found.collapse
                    else ""
                )
                + f", {found.accuracy_percent:.2f} % of held-out images right",
                columns={
                    field.name: [getattr(point, field.name) for point in found.points]
                    for field in fields(Point)
                },
            )
            for found in traces
        ],
        title=f"The first steps of {NETWORK_NAMES[network]} on CIFAR-10: the paper's SGDM "
        "(rate 0.1, batch 8), and one change of it each",
        note=f"Loss: mean of {RECORD_EVERY} steps; gradient: the largest norm of them, before "
        f"clipping. Dead units and predictions: of {NUM_PROBE} training images.",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Draw figure-failures-NETWORK.svg from the shipped traces.

    The exit status: 1 without any, 2 without matplotlib.
    """
    parser = argparse.ArgumentParser(
        prog="python -m smallnet_core.lab.failures",
        description="Draw the first steps of the paper's failed trainings from the shipped traces.",
    )
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="where the figures go")
    folder = parser.parse_args(argv).out_dir
    for network in NETWORKS:
        drawn = [v for v in VARIANTS.values() if v.recipe.network == network and v.drawn]
        found = [trace for v in drawn if (trace := read_trace(TRACES, v)) is not None]
        if not found:
            sys.stderr.write(f"{TRACES}: no trace of {network}\n")
            return 1
        path = folder / f"figure-failures-{network}.svg"
        try:
            replace_file(path, figure(network, found).svg())
        except MatplotlibMissingError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
