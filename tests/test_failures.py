"""The traces of the paper's failed trainings: what they record, how they are kept and judged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import test_failures as bench
from smallnet_core.data.datasets import DIGITS_CLASSES, Dataset
from smallnet_core.lab import failures, variants
from smallnet_core.lab.failures import check_budget, dead_shares, trace
from smallnet_core.lab.traces import (
    TRACES,
    Outcome,
    Point,
    Trace,
    find_trace,
    read_trace,
    row_of,
    write_trace,
)
from smallnet_core.lab.variants import VARIANTS, Variant
from smallnet_core.models import build_model
from smallnet_core.models.vit import Attention, ViT
from smallnet_core.recipes import Schedule
from smallnet_core.records import NotMeasured
from smallnet_core.system import files

CPU = torch.device("cpu")
MADE = {
    "seconds": 1.5,
    "environment": {"device_name": "a machine"},
    "commit": {"id": "abc", "dirty": False},
    "time": "2026-11-23T00:00:00Z",
}


def noise(count: int = 48) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 10
    return Dataset(
        name="digits",
        train_images=images,
        train_labels=labels,
        test_images=images[:1],
        test_labels=labels[:1],
        class_names=DIGITS_CLASSES,
        digests={},
        source="these tests",
    )


def short(name: str, num_steps: int = 3, **fields: Any) -> Variant:
    variant = VARIANTS[name]
    recipe = replace(variant.recipe, dataset="digits", holdout=16, **fields)
    return replace(variant, recipe=recipe, num_steps=num_steps)


def point(step: int, share: float = 50.0, accuracy: float | None = None) -> Point:
    return Point(
        step=step,
        loss=2.3,
        gradient_norm=step + 0.5,
        inner_gradient_norm=0.25,
        dead_percent=1.0,
        worst_layer_dead_percent=2.0,
        most_predicted_percent=share,
        logit_spread=0.1,
        accuracy_percent=accuracy,
    )


def made_up(*shares: float, name: str = "vgg16_s-paper", **fields: Any) -> Trace:
    """A trace whose most predicted class has ``shares`` at steps 0, 20, 40, ..."""
    points = [replace(point(20 * k, share), loss=2.1) for k, share in enumerate(shares)]
    points[-1] = replace(points[-1], accuracy_percent=10.25)
    found: dict[str, Any] = {
        "variant": VARIANTS[name],
        "points": tuple(points),
        "diverged_at": None,
        **MADE,
    }
    return Trace(**{**found, **fields})


# The variants


def test_every_variant_differs_from_the_papers_way_in_one_point() -> None:
    for name, variant in VARIANTS.items():
        paper = VARIANTS[f"{variant.recipe.network}-paper"].recipe
        theirs, ours = paper.canonical(), variant.recipe.canonical()
        different = {key for key in theirs | ours if theirs.get(key) != ours.get(key)}
        if name.endswith("cifar100"):  # trained for half as long, which its first steps do not see
            different.discard("epochs")
        assert len(different) + bool(variant.surgery) == (not name.endswith("-paper")), name
        if variant.recipe.optimizer.name == "sgdm":
            a, b = (vars(recipe.optimizer) for recipe in (paper, variant.recipe))
            assert sum(a[key] != b[key] for key in a) <= 1, name


def test_names_and_changes_tell_variants_apart() -> None:
    assert len({variant.fingerprint() for variant in VARIANTS.values()}) == len(VARIANTS)
    for network in variants.NETWORKS:
        changes = [v.change for v in VARIANTS.values() if v.recipe.network == network]
        assert len(set(changes)) == len(changes)
    assert all(variant.surgery in variants.SURGERIES for variant in VARIANTS.values())


def test_no_variant_is_judged_on_test_images() -> None:
    for variant in VARIANTS.values():
        assert variant.recipe.holdout == 2000
        assert variant.recipe.selection == "last"


def test_all_that_determines_a_trace_is_in_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    base = VARIANTS["vit_s-paper"]
    others = [
        replace(base, num_steps=100),
        replace(base, surgery="small_positions"),
        replace(base, recipe=replace(base.recipe, seed=43)),
    ]
    found = {variant.fingerprint() for variant in (base, *others)}
    monkeypatch.setattr(variants, "TRACE_VERSION", variants.TRACE_VERSION + 1)
    assert len(found | {base.fingerprint()}) == 5


def test_surgery_changes_what_it_says() -> None:
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


# What is watched


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


def test_dead_units_are_those_that_are_silent_everywhere() -> None:
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
        ((50, *[60] * 20), None, Outcome.LEARNS),
        ([100] * 21, (0, 400), Outcome.ONE_CLASS),
        ((50, *[100] * 20), (20, 400), Outcome.ONE_CLASS),
        ((50, *[99.219] * 20), (20, 400), Outcome.ONE_CLASS),  # 254 of 256
        ((50, *[98.828] * 20), None, Outcome.LEARNS),  # 253 of 256
        ((50, *[100] * 11, *[40] * 10), (20, 220), Outcome.RECOVERS),
        ((50, *[100] * 3, *[40] * 60), None, Outcome.LEARNS),  # 40 steps: a passing mood
        ((*[100] * 12, 40, *[100] * 13), (260, 500), Outcome.ONE_CLASS),  # the longer one
        ((*[100] * 13, 40, *[100] * 12), (0, 240), Outcome.RECOVERS),
    ],
)
def test_collapse_is_one_class_for_long(
    shares: tuple[float, ...], collapse: tuple[int, int] | None, outcome: Outcome
) -> None:
    found = made_up(*shares)
    assert found.collapse == collapse
    assert found.outcome is outcome


@pytest.mark.parametrize(
    ("losses", "outcome"),
    [
        ([2.30] * 31, Outcome.CHANCE),  # ln(10) is 2.3026
        ([*[2.1] * 20, *[2.3] * 11], Outcome.CHANCE),  # it forgot: the end counts
        ([*[2.3] * 21, *[2.24] * 10], Outcome.LEARNS),
        ([*[2.1] * 30, None], Outcome.CHANCE),
    ],
)
def test_learning_shows_in_the_loss_of_the_last_steps(
    losses: list[float | None], outcome: Outcome
) -> None:
    points = [replace(point(20 * k), loss=loss) for k, loss in enumerate(losses)]
    assert made_up(0, points=tuple(points)).outcome is outcome
    hundred = made_up(0, points=tuple(points), name="vgg16_s-paper-cifar100")
    assert hundred.outcome is (Outcome.CHANCE if losses[-1] is None else Outcome.LEARNS)


# A trace


def test_a_trace_is_determined_by_its_variant() -> None:
    variant, dataset = short("vgg16_s-rate"), noise()
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = trace(variant, dataset, CPU)
    assert torch.equal(torch.random.get_rng_state(), state)  # leaves the caller's alone
    torch.manual_seed(2)
    assert trace(variant, dataset, CPU).points == first.points
    other = replace(variant, recipe=replace(variant.recipe, seed=7))
    assert trace(other, dataset, CPU).points != first.points


def test_points_lie_every_few_steps_with_accuracies_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "RECORD_EVERY", 2)
    monkeypatch.setattr(failures, "ACCURACY_EVERY", 4)
    found = trace(short("vgg16_s-paper", num_steps=7), noise(), CPU)  # 4 steps make an epoch
    assert [point.step for point in found.points] == [0, 2, 4, 6, 7]
    have = [point.step for point in found.points if point.accuracy_percent is not None]
    assert have == [0, 4, 7]
    assert found.diverged_at is None
    assert all(0 < (point.gradient_norm or 0) < 100 for point in found.points)
    assert all(0 <= point.dead_percent <= point.worst_layer_dead_percent for point in found.points)
    assert found.accuracy_percent in {100 * k / 16 for k in range(17)}
    assert found.environment["device"] == "cpu"


def test_a_schedule_runs_over_the_steps_of_the_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    class Sgd(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Sgd)
    warm_up = Schedule(name="constant", warmup_fraction=0.5)
    trace(short("vgg16_s-paper", num_steps=4, schedule=warm_up), noise(), CPU)
    trace(short("vgg16_s-schedule", num_steps=3), noise(), CPU)
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1, 0.05, 0.0])


def test_the_gradient_is_measured_before_it_is_clipped() -> None:
    plain = trace(short("vgg16_s-paper", num_steps=2), noise(), CPU)
    clipped = trace(short("vgg16_s-paper", num_steps=2, clip_norm=1e-6), noise(), CPU)
    assert clipped.points[0] == plain.points[0]  # norm and loss of the first batch
    assert clipped.points[0].gradient_norm != pytest.approx(1e-6)
    # So short a step moves nothing but by weight decay, and that hardly.
    spread = clipped.points[0].logit_spread
    assert clipped.points[-1].logit_spread == pytest.approx(spread, rel=0.01)
    assert plain.points[-1].logit_spread != pytest.approx(spread, rel=0.01)


def test_a_loss_that_is_not_finite_ends_the_trace_at_its_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variant = short("vgg16_s-paper", num_steps=50)
    set_up = failures.set_up

    def broken(*arguments: Any, **options: Any) -> Any:
        model, optimizer, step, batches = set_up(*arguments, **options)
        # A captured graph would call no hook: the norms would stay empty on a GPU.
        assert options == {"graphed": False}
        done = 0

        def breaking(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal done
            done += 1
            if done == 5:
                with torch.no_grad():
                    next(model.parameters()).fill_(math.nan)
            return step(x, y)

        return model, optimizer, breaking, batches

    monkeypatch.setattr(failures, "set_up", broken)
    found = trace(variant, noise(), CPU)
    assert found.diverged_at == 5
    assert [point.step for point in found.points] == [0, 5]
    last = found.points[-1]
    assert last.loss is last.gradient_norm is last.logit_spread is None
    assert last.most_predicted_percent == 100.0
    assert found.accuracy_percent <= 100.0
    write_trace(tmp_path, found)
    assert read_trace(tmp_path, variant) == found


def test_a_recipe_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="the recipe is for cifar10, the dataset is digits"):
        trace(VARIANTS["vgg16_s-paper"], noise(), CPU)
    variant = short("vgg16_s-paper")
    too_many = replace(variant, recipe=replace(variant.recipe, holdout=48))
    with pytest.raises(ValueError, match="48 images cannot be held out of 48"):
        trace(too_many, noise(), CPU)


# Keeping


def test_a_trace_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    found = made_up(50, 100, 100)
    path = write_trace(tmp_path / "new", found)
    assert read_trace(tmp_path / "new", found.variant) == found
    assert [p.name for p in path.parent.iterdir()] == [found.variant.file_name]
    write_trace(path.parent, replace(found, diverged_at=40))  # the newer one wins
    again = read_trace(path.parent, found.variant)
    assert again is not None and again.diverged_at == 40


def test_a_long_trace_is_a_small_file(tmp_path: Path) -> None:
    points = tuple(
        replace(
            point(20 * k, share=99.219, accuracy=10.25 if k == 100 else None),
            loss=2.3026,
            gradient_norm=0.00012346,
            inner_gradient_norm=1.2346e-08,
            dead_percent=12.346,
            worst_layer_dead_percent=98.765,
            logit_spread=1.2346e-05,
        )
        for k in range(101)
    )
    path = write_trace(tmp_path, made_up(0, points=points))
    assert path.stat().st_size < 15_000


def test_another_version_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made_up(50, 100)
    old = write_trace(tmp_path, found)
    monkeypatch.setattr(variants, "TRACE_VERSION", variants.TRACE_VERSION + 1)
    assert read_trace(tmp_path, found.variant) is None
    old.rename(tmp_path / found.variant.file_name)
    with pytest.raises(ValueError, match="not a trace of vgg16_s-paper"):
        read_trace(tmp_path, found.variant)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"points": {}}'])
def test_a_damaged_trace_is_a_complaint_and_the_next_folder_is_asked(
    content: str, tmp_path: Path
) -> None:
    found = made_up(50, 100)
    cache, zoo = tmp_path / "cache", tmp_path / "zoo"
    path = write_trace(cache, found)
    write_trace(zoo, found)
    path.write_text(content)
    complaints: list[str] = []
    assert find_trace(found.variant, (cache, zoo), complaints) == found
    [line] = complaints
    assert str(path) in line
    assert find_trace(found.variant, (tmp_path / "nowhere",), complaints) is None


def test_what_cannot_be_written_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_trace(tmp_path, made_up(50, 100))
    assert list(tmp_path.iterdir()) == []


def test_a_trace_over_the_budget_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = VARIANTS["vit_s-paper"]
    asked: dict[str, Any] = {}

    def estimate(recipe: Any, **given: Any) -> float:
        asked.update(given, epochs=recipe.epochs)
        return 200.0

    monkeypatch.setattr(failures, "estimate_seconds", estimate)
    check_budget(variant, CPU, 4)
    assert asked["epochs"] == 1
    assert asked["num_train"] == 16_000
    assert asked["num_test"] == 101 * 256 + 5 * 2000
    reason = "2,000 steps take about 4 min here, over the budget of 3 min: --train-budget 4 allows"
    with pytest.raises(NotMeasured, match=reason):
        check_budget(variant, CPU, 3)


def workbench(folder: Path, minutes: float = 1.0) -> Any:
    return SimpleNamespace(
        cache=SimpleNamespace(folder=folder, complaints=[]),
        dataset=lambda name: noise(),
        device=CPU,
        settings=SimpleNamespace(train_budget_minutes=minutes),
    )


class Clock:
    """Stands in for pytest-benchmark's fixture."""

    def pedantic(self, target: Any, args: Any, **_: Any) -> Any:
        return target(*args)


def test_a_benchmark_keeps_what_it_traced(tmp_path: Path) -> None:
    variant = short("vgg16_s-paper", num_steps=1)
    found = bench.traced(variant, workbench(tmp_path / "cache"), Clock())
    assert read_trace(tmp_path / "cache", variant) == found
    with pytest.raises(NotMeasured, match="--train-budget"):
        bench.traced(variant, workbench(tmp_path, minutes=0), Clock())


def test_a_benchmark_goes_on_where_it_cannot_keep(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    there = workbench(tmp_path / "file")
    found = bench.traced(short("vgg16_s-paper", num_steps=1), there, Clock())
    assert found.points[-1].step == 1
    [line] = there.cache.complaints
    assert line.startswith("vgg16_s-paper was traced, but not kept")


# What ships


def test_every_variant_has_a_finding_that_its_shipped_trace_bears_out() -> None:
    assert bench.FINDINGS.keys() == VARIANTS.keys()
    for name, variant in VARIANTS.items():
        found = read_trace(TRACES, variant)
        assert found is not None, f"{name}: no {variant.file_name} in {TRACES}"
        assert found.outcome == bench.FINDINGS[name], name
        assert found.points[-1].step == (found.diverged_at or variant.num_steps)


def test_every_shipped_trace_is_of_a_variant_and_small() -> None:
    shipped = {path.name: path.stat().st_size for path in TRACES.iterdir()}
    assert shipped.keys() == {variant.file_name for variant in VARIANTS.values()}
    assert max(shipped.values()) < 15_000


def test_a_row_tells_what_the_table_shows() -> None:
    row = row_of(made_up(50, *[100] * 11))
    assert row["kind"] == "failures"
    assert (row["network"], row["dataset"]) == ("vgg16_s", "cifar10")
    assert row["change"] == "the paper's way"
    assert (row["collapse"], row["outcome"]) == ([20, 220], "one class")
    assert (row["gradient_norm_at_start"], row["gradient_norm_at_end"]) == (0.5, 220.5)
    assert (row["accuracy_percent"], row["commit"]) == (10.25, "abc")
    assert row_of(made_up(50, 100, 40))["collapse"] is None


def test_the_figures_are_drawn_from_what_ships(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures"
    assert failures.main([str(out)]) == 0
    names = [f"figure-failures-{network}.svg" for network in variants.NETWORKS]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert capsys.readouterr().out.splitlines() == [str(out / name) for name in names]
    for network, name in zip(variants.NETWORKS, names, strict=True):
        drawn = (out / name).read_text(encoding="utf-8")
        assert VARIANTS[f"{network}-paper"].change.replace("'", "'") in drawn


def test_no_trace_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(failures, "TRACES", tmp_path / "nothing")
    assert failures.main([str(tmp_path / "out")]) == 1
    assert "no trace of vgg16_s" in capsys.readouterr().err
