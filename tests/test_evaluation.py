"""Reports against scikit-learn's; accuracy that counts every image exactly once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor, nn

from smallnet_core.data.batches import normalise
from smallnet_core.training.evaluation import (
    FLIPS,
    PerClassReport,
    accuracy_percent,
    confusion_matrix,
    per_class_report,
    predict,
)

MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.2)


def logits_for(predicted: list[int], classes: int) -> Tensor:
    """Noise with its largest entry at each row's class."""
    noise = torch.rand(len(predicted), classes, generator=torch.Generator().manual_seed(0))
    return noise + 2 * nn.functional.one_hot(torch.tensor(predicted), classes)


def report_on(true: list[int], predicted: list[int], classes: int) -> PerClassReport:
    return per_class_report(confusion_matrix(logits_for(predicted, classes), torch.tensor(true)))


# Few enough images that classes are often missing among the labels, the predictions, or both.
@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    classes = draw(st.integers(2, 12))
    pairs = st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1))
    true, predicted = zip(*draw(st.lists(pairs, min_size=1, max_size=30)), strict=True)
    return list(true), list(predicted), classes


# --- Against scikit-learn -----------------------------------------------------------------------


@settings(deadline=None)
@given(answers())
def test_the_confusion_matrix_is_scikit_learns(case: tuple[list[int], list[int], int]) -> None:
    true, predicted, classes = case
    found = confusion_matrix(logits_for(predicted, classes), torch.tensor(true))
    expected = metrics.confusion_matrix(true, predicted, labels=range(classes))
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found.numpy(), expected)


@settings(deadline=None)
@given(answers())
def test_the_report_is_scikit_learns(case: tuple[list[int], list[int], int]) -> None:
    true, predicted, classes = case
    report = report_on(true, predicted, classes)
    expected = metrics.precision_recall_fscore_support(
        true, predicted, labels=range(classes), zero_division=0
    )
    for found, column in zip(
        (report.precision, report.recall, report.f1, report.support), expected, strict=True
    ):
        np.testing.assert_allclose(found.numpy(), column, rtol=1e-12)

    rows = metrics.classification_report(
        true, predicted, labels=range(classes), zero_division=0, output_dict=True
    )
    names = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}
    for row, key in [
        *((k, str(k)) for k in range(classes)),
        ("macro_avg", "macro avg"),
        ("weighted_avg", "weighted avg"),
    ]:
        for metric, column in names.items():
            assert report.value(row, metric) == pytest.approx(rows[key][column], rel=1e-12)
    accuracy = metrics.accuracy_score(true, predicted)
    assert report.accuracy == pytest.approx(accuracy, rel=1e-12)
    for metric in ("precision", "recall", "f1"):
        assert report.value("accuracy", metric) == pytest.approx(accuracy, rel=1e-12)
    assert report.value("accuracy", "support") == len(true)


@settings(deadline=None)
@given(answers())
def test_the_accuracy_is_scikit_learns(case: tuple[list[int], list[int], int]) -> None:
    true, predicted, classes = case
    found = accuracy_percent(logits_for(predicted, classes), torch.tensor(true))
    assert found == pytest.approx(100 * metrics.accuracy_score(true, predicted), rel=1e-12)


# --- By hand ------------------------------------------------------------------------------------


def test_rows_are_the_truth_and_columns_the_prediction() -> None:
    logits = logits_for([0, 1, 1, 1], 3)
    assert confusion_matrix(logits, torch.tensor([0, 0, 0, 1])).tolist() == [
        [1, 2, 0],
        [0, 1, 0],
        [0, 0, 0],
    ]


def test_one_class_for_every_image_as_in_the_papers_vit_s_with_sgdm() -> None:
    true = [k for k in range(10) for _ in range(100)]
    report = report_on(true, [3] * 1000, 10)
    assert report.accuracy == pytest.approx(0.1)
    assert report.precision.tolist() == pytest.approx([0.0] * 3 + [0.1] + [0.0] * 6)
    assert report.recall.tolist() == [0.0] * 3 + [1.0] + [0.0] * 6
    assert report.f1[3].item() == pytest.approx(2 * 0.1 / 1.1) and report.f1[0] == 0.0
    assert report.value("macro_avg", "precision") == pytest.approx(0.01)


@pytest.mark.parametrize("metric", ["precision", "support"])
def test_an_unknown_row_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="unknown row 'micro_avg': a class index"):
        report_on([0, 1], [0, 1], 2).value("micro_avg", metric)


# --- predict ------------------------------------------------------------------------------------


class LabelReader(nn.Module):
    """A perfect model: the label is the first pixel's red."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batch_sizes.append(len(x))
        label = (x[:, 0, 0, 0] * STD[0] + MEAN[0]) * 255
        return -(torch.arange(10) - label.unsqueeze(1)).abs()


def labelled(count: int) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % 10
    images = torch.zeros(count, 3, 2, 2, dtype=torch.uint8)
    images[:, 0] = labels.view(-1, 1, 1)
    return images, labels


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1297])
def test_a_perfect_model_scores_one_hundred_and_one_mistake_counts_once(count: int) -> None:
    """Also where the last batch is incomplete: a mean of batch means would be off there."""
    images, labels = labelled(count)
    model = LabelReader()
    logits = predict(model, images, mean=MEAN, std=STD)
    assert logits.shape == (count, 10)
    assert sum(model.batch_sizes) == count and max(model.batch_sizes) <= 100
    assert accuracy_percent(logits, labels) == 100.0
    labels[-1] = (labels[-1] + 1) % 10
    assert accuracy_percent(logits, labels) == 100.0 * (count - 1) / count


def small_network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(16, 10)
        )


def test_images_do_not_see_each_other() -> None:
    """Evaluation mode: running statistics, no dropout; one by one gives the same logits."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (507, 3, 4, 4), generator=generator, dtype=torch.uint8)
    model = small_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    together = predict(model, images, mean=MEAN, std=STD)
    alone = [predict(model, image[None], mean=MEAN, std=STD) for image in images]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    model.eval()
    torch.testing.assert_close(
        together, model(normalise(images, MEAN, STD, torch.float32)).detach(), rtol=1e-4, atol=1e-5
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_predict_leaves_the_models_mode_as_it_was(training: bool) -> None:
    model = small_network().train(training)
    logits = predict(model, labelled(3)[0].repeat(1, 1, 2, 2), mean=MEAN, std=STD)
    assert [module.training for module in model.modules()] == [training] * 6
    assert not logits.requires_grad and logits.dtype == torch.float32


def test_bfloat16_is_autocast_and_gives_float32_logits() -> None:
    seen: list[torch.dtype] = []
    model = small_network()
    model[4].register_forward_hook(lambda _module, _given, out: seen.append(out.dtype))
    images = labelled(5)[0].repeat(1, 1, 2, 2)
    rounded = predict(model, images, mean=MEAN, std=STD, dtype=torch.bfloat16)
    exact = predict(model, images, mean=MEAN, std=STD)
    assert seen == [torch.bfloat16, torch.float32]
    assert rounded.dtype == exact.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05
    assert all(p.dtype == torch.float32 for p in model.parameters())


# --- Several views of an image ------------------------------------------------------------------


def noise(count: int, side: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """By at most one pixel each; the border is the reflection about the outermost pixels."""
    side = images.shape[-1]
    at = [np.abs(np.arange(side) - step) for step in (down, right)]
    rows, columns = (np.where(place < side, place, 2 * (side - 1) - place) for place in at)
    return torch.from_numpy(images.numpy()[..., rows[:, None], columns[None, :]])


def test_without_flips_an_image_is_seen_once_and_that_is_the_default() -> None:
    model, images = small_network(), noise(9)
    plain = predict(model, images, mean=MEAN, std=STD)
    assert torch.equal(plain, predict(model, images, mean=MEAN, std=STD, flips="none"))
    model.eval()
    assert torch.equal(plain, model(normalise(images, MEAN, STD, torch.float32)).detach())


def test_mirror_is_the_mean_with_the_mirror_image() -> None:
    model, images = small_network(), noise(507)
    both = [predict(model, x, mean=MEAN, std=STD) for x in (images, images.flip(-1))]
    found = predict(model, images, mean=MEAN, std=STD, flips="mirror")
    torch.testing.assert_close(found, (both[0] + both[1]) / 2, rtol=1e-5, atol=1e-5)
    again = predict(model, images.flip(-1), mean=MEAN, std=STD, flips="mirror")
    torch.testing.assert_close(found, again, rtol=1e-5, atol=1e-5)


def test_mirror_shift_weighs_six_views() -> None:
    """Against numpy's own moving of the uint8 pixels, all views judged one by one."""
    model, images = small_network(), noise(507)
    assert moved(images, 1, 1)[0, 0, 1:, 1:].equal(images[0, 0, :-1, :-1])
    expected = torch.zeros(507, 10)
    for weight, view in (
        (0.5, images),
        (0.25, moved(images, 1, 1)),
        (0.25, moved(images, -1, -1)),
    ):
        for x in (view, view.flip(-1)):
            expected += weight / 2 * predict(model, x, mean=MEAN, std=STD)
    found = predict(model, images, mean=MEAN, std=STD, flips="mirror_shift")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    other = predict(model, images, mean=MEAN, std=STD, flips="mirror")
    assert (found - other).abs().max() > 1e-2


@pytest.mark.parametrize(("flips", "views"), [("none", 1), ("mirror", 2), ("mirror_shift", 6)])
def test_the_weights_of_the_views_add_up_to_one(flips: str, views: int) -> None:
    class Constant(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return torch.arange(10.0).expand(len(x), 10)

    model = Constant()
    found = predict(model, noise(3), mean=MEAN, std=STD, flips=flips)
    assert torch.equal(found, torch.arange(10.0).expand(3, 10))
    assert model.calls == views


@pytest.mark.parametrize("flips", FLIPS)
def test_views_are_averaged_in_float32(flips: str) -> None:
    model, images = small_network(), noise(5)
    rounded = predict(model, images, mean=MEAN, std=STD, dtype=torch.bfloat16, flips=flips)
    exact = predict(model, images, mean=MEAN, std=STD, flips=flips)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05


def test_unknown_flips_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'both'; known: none, mirror, mirror_shift"):
        predict(small_network(), noise(1), mean=MEAN, std=STD, flips="both")
