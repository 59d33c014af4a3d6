"""The traces of the paper's failed trainings: what they record, how they are kept and judged."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import test_failures as bench
from smallnet_core.lab import failures, variants
from smallnet_core.lab.failures import dead_shares, trace
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.traces import (
    TRACES,
    Outcome,
    Point,
    Trace,
    find_trace,
    row_of,
    write_trace,
)
from smallnet_core.lab.variants import VARIANTS, Variant
from smallnet_core.models import build_model
from smallnet_core.models.vit import Attention, ViT
from smallnet_core.records import NotMeasured
from tests.trainable import CPU, tiny

NOISE = tiny("digits", 48)


def short(name: str, num_steps: int = 3, **fields: Any) -> Variant:
    variant = VARIANTS[name]
    recipe = replace(variant.recipe, dataset="digits", holdout=16, **fields)
    return replace(variant, recipe=recipe, num_steps=num_steps)


def kept(variant: Variant, folder: Path) -> Trace | None:
    """The trace in a folder that has no damaged one."""
    complaints: list[str] = []
    found = find_trace(variant, (folder,), complaints)
    assert complaints == []
    return found


def made_up(*shares: float, name: str = "vgg16_s-paper", **fields: Any) -> Trace:
    """A trace whose most predicted class has ``shares`` at steps 0, 20, 40, ..."""
    points = [
        Point(
            step=20 * k,
            loss=2.1,
            gradient_norm=20 * k + 0.5,
            inner_gradient_norm=0.25,
            dead_percent=1.0,
            worst_layer_dead_percent=2.0,
            most_predicted_percent=share,
            logit_spread=0.1,
            accuracy_percent=None,
        )
        for k, share in enumerate(shares)
    ]
    points[-1] = replace(points[-1], accuracy_percent=10.25)
    found: dict[str, Any] = {
        "variant": VARIANTS[name],
        "points": tuple(points),
        "diverged_at": None,
        "seconds": 1.5,
        "environment": {"device_name": "a machine"},
        "commit": {"id": "abc", "dirty": False},
        "time": "2026-11-23T00:00:00Z",
    }
    return Trace(**{**found, **fields})


def test_every_variant_differs_from_the_papers_way_in_one_point():
    for name, variant in VARIANTS.items():
        paper = VARIANTS[f"{variant.recipe.network}-paper"].recipe
        theirs, ours = paper.canonical(), variant.recipe.canonical()
        different = {key for key in theirs | ours if theirs.get(key) != ours.get(key)}
        if name.endswith("cifar100"):  # trained for half as long, which its first steps do not see
            different.discard("epochs")
        assert (variant.recipe.holdout, variant.recipe.selection) == (2000, "last"), "no test image"
        assert len(different) + bool(variant.surgery) == (not name.endswith("-paper")), name
        if variant.recipe.optimizer.name == "sgdm":
            a, b = (vars(recipe.optimizer) for recipe in (paper, variant.recipe))
            assert sum(a[key] != b[key] for key in a) <= 1, name


def test_surgery_changes_what_it_says():
    vit = build_model("vit_s")
    assert isinstance(vit, ViT)
    variants.SURGERIES["small_positions"](vit)
    assert vit.pos_embedding.std().item() == pytest.approx(0.02, rel=0.05)
    variants.SURGERIES["attention_scale"](vit)
    scales = {module.scale for module in vit.modules() if isinstance(module, Attention)}
    assert scales == {(192 / 8) ** -0.5}

    vgg = build_model("vgg16_s")
    variants.SURGERIES["default_weights"](vgg)
    second = vgg.features[2]
    assert second.weight.abs().max().item() <= 1 / math.sqrt(9 * 16)
    assert second.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 9 * 16), rel=0.1)


class ByHand(nn.Module):
    """Channels x, -x, 0 and x - 1 of one; then two features: their sum, and its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.linear = nn.Linear(4, 2, bias=False)
        self.gelu = nn.GELU()
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0, 0.0, 1.0]).view(4, 1, 1, 1))
            self.conv.bias.copy_(torch.tensor([0.0, 0.0, 0.0, -1.0]))  # type: ignore[union-attr]
            self.linear.weight.copy_(torch.tensor([[1.0] * 4, [-1.0] * 4]))

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return self.gelu(self.linear(self.relu(self.conv(x)).mean((2, 3))))


def test_dead_units_are_those_that_are_silent_everywhere():
    model = ByHand().train()
    x = torch.full((3, 1, 2, 2), 0.5)
    # -x, 0 and x - 1 are silent; the features are 0.5 and -0.5, which a GELU lets through.
    assert dead_shares(model, x)[1:] == ([0.75, 0.0], [4, 2])
    x[2, 0, 1, 1] = 8.0  # one position of one image wakes x - 1
    assert dead_shares(model, x)[1:] == ([0.5, 0.0], [4, 2])
    # Features of 6 and more, and of -6 and less, where a GELU gives less than 0.01.
    assert dead_shares(model, torch.full((3, 1, 2, 2), 6.0))[1:] == ([0.5, 0.5], [4, 2])
    assert model.training
    assert not model.relu._forward_hooks


@pytest.mark.parametrize(
    ("shares", "collapse", "outcome"),
    [
        ((50, *[99.219] * 20), (20, 400), Outcome.ONE_CLASS),  # 254 of 256
        ((50, *[98.828] * 20), None, Outcome.LEARNS),  # 253 of 256
        ((50, *[100] * 11, *[40] * 10), (20, 220), Outcome.RECOVERS),
        ((*[100] * 12, 40, *[100] * 13), (260, 500), Outcome.ONE_CLASS),  # the longer one
        ((*[100] * 13, 40, *[100] * 12), (0, 240), Outcome.RECOVERS),
    ],
)
def test_collapse_is_one_class_for_long(shares, collapse, outcome):
    found = made_up(*shares)
    assert found.collapse == collapse
    assert found.outcome is outcome


@pytest.mark.parametrize(
    ("losses", "outcome"),
    [
        ([*[2.1] * 20, *[2.3] * 11], Outcome.CHANCE),  # it forgot: the end counts
        ([*[2.3] * 21, *[2.25] * 10], Outcome.LEARNS),
        ([*[2.1] * 30, None], Outcome.CHANCE),
    ],
)
def test_learning_shows_in_the_loss_of_the_last_steps(losses, outcome):
    points = made_up(*[50.0] * len(losses)).points
    points = [replace(point, loss=loss) for point, loss in zip(points, losses, strict=True)]
    assert made_up(0, points=tuple(points)).outcome is outcome
    hundred = made_up(0, points=tuple(points), name="vgg16_s-paper-cifar100")
    assert hundred.outcome is (Outcome.CHANCE if losses[-1] is None else Outcome.LEARNS)


def test_a_trace_is_determined_by_its_variant():
    variant, dataset = short("vgg16_s-rate"), NOISE
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = trace(variant, dataset, CPU)
    assert torch.equal(torch.random.get_rng_state(), state)  # leaves the caller's alone
    torch.manual_seed(2)
    assert trace(variant, dataset, CPU).points == first.points
    other = replace(variant, recipe=replace(variant.recipe, seed=7))
    assert trace(other, dataset, CPU).points != first.points
    relabelled = replace(dataset, train_labels=dataset.train_labels.clone())
    relabelled.train_labels[-16:] = 0  # held out
    losses = [point.loss for point in trace(variant, relabelled, CPU).points]
    assert losses == [point.loss for point in first.points]


def test_points_lie_every_few_steps_with_accuracies_in_between(monkeypatch):
    monkeypatch.setattr(failures, "RECORD_EVERY", 2)
    monkeypatch.setattr(failures, "ACCURACY_EVERY", 4)
    found = trace(short("vgg16_s-paper", num_steps=7), NOISE, CPU)  # 4 steps make an epoch
    assert [point.step for point in found.points] == [0, 2, 4, 6, 7]
    have = [point.step for point in found.points if point.accuracy_percent is not None]
    assert have == [0, 4, 7]
    assert found.diverged_at is None
    assert all(0 < (point.gradient_norm or 0) < 100 for point in found.points)
    assert all(0 <= point.dead_percent <= point.worst_layer_dead_percent for point in found.points)
    assert found.accuracy_percent in {100 * k / 16 for k in range(17)}
    assert found.environment["device"] == "cpu"


def test_the_gradient_is_measured_before_it_is_clipped():
    plain = trace(short("vgg16_s-paper", num_steps=2), NOISE, CPU)
    clipped = trace(short("vgg16_s-paper", num_steps=2, clip_norm=1e-6), NOISE, CPU)
    assert clipped.points[0] == plain.points[0]  # norm and loss of the first batch
    assert clipped.points[0].gradient_norm != pytest.approx(1e-6)
    # So short a step moves nothing but by weight decay, and that hardly.
    spread = clipped.points[0].logit_spread
    assert clipped.points[-1].logit_spread == pytest.approx(spread, rel=0.01)
    assert plain.points[-1].logit_spread != pytest.approx(spread, rel=0.01)


def test_a_loss_that_is_not_finite_ends_the_trace_at_its_step(monkeypatch, tmp_path):
    variant = short("vgg16_s-paper", num_steps=50)
    set_up = failures.set_up

    def broken(*arguments, **options):
        model, optimizer, step, batches = set_up(*arguments, **options)
        # A captured graph would call no hook: the norms would stay empty on a GPU.
        assert options == {"graphed": False}
        steps = itertools.count(1)

        def breaking(x, y):
            if next(steps) == 5:
                with torch.no_grad():
                    next(model.parameters()).fill_(math.nan)
            return step(x, y)

        return model, optimizer, breaking, batches

    monkeypatch.setattr(failures, "set_up", broken)
    found = trace(variant, NOISE, CPU)
    assert found.diverged_at == 5
    assert [point.step for point in found.points] == [0, 5]
    last = found.points[-1]
    assert last.loss is last.gradient_norm is last.logit_spread is None
    assert last.most_predicted_percent == 100.0
    assert found.accuracy_percent <= 100.0
    write_trace(tmp_path, found)
    assert kept(variant, tmp_path) == found


def test_another_version_is_not_loaded(tmp_path, monkeypatch):
    variant = VARIANTS["vgg16_s-paper"]
    write_trace(tmp_path, made_up(50, 100))
    longer, other = replace(variant, num_steps=100), replace(variant, surgery="default_weights")
    assert len({one.fingerprint() for one in (variant, longer, other)}) == 3
    monkeypatch.setattr(variants, "TRACE_VERSION", variants.TRACE_VERSION + 1)
    assert kept(variant, tmp_path) is None


def test_a_damaged_trace_is_a_complaint_and_the_next_folder_is_asked(tmp_path):
    found = made_up(50, 100)
    cache, zoo = tmp_path / "cache", tmp_path / "zoo"
    path = write_trace(cache, found)
    write_trace(zoo, found)
    other = write_trace(tmp_path / "other", made_up(50, 100, name="vgg16_s-rate"))
    whole = json.loads(path.read_text())
    odd = [json.dumps({**whole, "points": points}) for points in ([], {"step": []})]
    for content in ("", "[]", '{"points": {}}', other.read_text(), *odd):
        path.write_text(content)
        complaints: list[str] = []
        assert find_trace(found.variant, (tmp_path / "nowhere", cache, zoo), complaints) == found
        [line] = complaints
        assert f"{path}: not a trace of vgg16_s-paper" in line


def workbench(folder: Path, minutes: float = 1.0) -> Any:
    return SimpleNamespace(
        cache=SimpleNamespace(folder=folder, complaints=[]),
        dataset=lambda name: NOISE,
        device=CPU,
        settings=Settings(cache_dir=folder, train_budget_minutes=minutes),
    )


CLOCK = SimpleNamespace(pedantic=lambda target, args, **_: target(*args))


def test_a_benchmark_keeps_what_it_traced_where_it_can(tmp_path):
    variant = short("vgg16_s-paper", num_steps=1)
    found = bench.traced(variant, workbench(tmp_path / "cache"), CLOCK)
    assert kept(variant, tmp_path / "cache") == found
    with pytest.raises(NotMeasured, match=r"tracing 1 steps takes .*--train-budget 1 allows it"):
        bench.traced(variant, workbench(tmp_path, minutes=0), CLOCK)
    (tmp_path / "file").touch()
    there = workbench(tmp_path / "file")
    assert bench.traced(variant, there, CLOCK).points == found.points
    [line] = there.cache.complaints
    assert line.startswith("vgg16_s-paper was traced but not saved")


def test_every_variant_has_a_shipped_trace_that_bears_its_finding_out(tmp_path):
    assert bench.FINDINGS.keys() == VARIANTS.keys()
    shipped = {path.name for path in TRACES.iterdir()}
    assert shipped == {variant.file_name for variant in VARIANTS.values()}
    for name, variant in VARIANTS.items():
        found = kept(variant, TRACES)
        assert found is not None and found.outcome == bench.FINDINGS[name], name
        assert found.points[-1].step == (found.diverged_at or variant.num_steps)
        content = (TRACES / variant.file_name).read_bytes()
        assert write_trace(tmp_path, found).read_bytes() == content, "comes back as it was kept"
        assert len(content) < 15_000


def test_a_row_tells_what_the_table_shows():
    row = row_of(made_up(50, *[100] * 11))
    expected = {
        "kind": "failures",
        "change": "the paper's way",
        "collapse": [20, 220],
        "outcome": "one class",
        "gradient_norm_at_start": 0.5,
        "gradient_norm_at_end": 220.5,
        "accuracy_percent": 10.25,
        "commit": "abc",
    }
    assert expected.items() <= row.items()
    assert row_of(made_up(50, 100, 40))["collapse"] is None


def test_a_figure_shows_each_change_and_how_it_ends():
    drawn = failures.figures()
    assert drawn.keys() == {"figure-failures-vgg16_s", "figure-failures-vit_s"}
    assert "gradient clipped at 1: learns, " in drawn["figure-failures-vit_s"]
