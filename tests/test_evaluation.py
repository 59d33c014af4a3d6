"""Reports against scikit-learn's; accuracy that counts every image exactly once."""

import base64

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor, nn

from smallnet_core.data.batches import normalise
from smallnet_core.judging import report_value
from smallnet_core.training.evaluation import (
    accuracy_percent,
    confusion_matrix,
    packed_right,
    predict,
)
from tests.trainable import noise

MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.2)


def logits_for(predicted: list[int], classes: int) -> Tensor:
    """Noise with its largest entry at each row's class."""
    noise = torch.rand(len(predicted), classes, generator=torch.Generator().manual_seed(0))
    return noise + 2 * nn.functional.one_hot(torch.tensor(predicted), classes)


# Few enough images that classes are often missing among the labels, the predictions, or both.
@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    classes = draw(st.integers(2, 12))
    pairs = st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1))
    true, predicted = zip(*draw(st.lists(pairs, min_size=1, max_size=30)), strict=True)
    return list(true), list(predicted), classes


@settings(deadline=None)
@given(answers())
def test_matrix_report_and_accuracy_are_scikit_learns(case):
    true, predicted, classes = case
    logits, labels = logits_for(predicted, classes), torch.tensor(true)
    confusion = confusion_matrix(logits, labels)
    expected = metrics.confusion_matrix(true, predicted, labels=range(classes))
    assert confusion.dtype == torch.int64
    np.testing.assert_array_equal(confusion.numpy(), expected)

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
            found = report_value(confusion, row, metric)
            assert found == pytest.approx(rows[key][column], rel=1e-12)
    accuracy = metrics.accuracy_score(true, predicted)
    assert accuracy_percent(logits, labels) == pytest.approx(100 * accuracy, rel=1e-12)
    assert report_value(confusion, "accuracy", "accuracy") == pytest.approx(accuracy, rel=1e-12)
    assert report_value(confusion, "accuracy", "support") == len(true)

    bits = np.frombuffer(base64.b64decode(packed_right(logits, labels)), np.uint8)
    right = [a == b for a, b in zip(true, predicted, strict=True)]
    assert np.unpackbits(bits, count=len(true)).tolist() == right


def small_network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(16, 10)
        )


def test_images_do_not_see_each_other():
    """Evaluation mode: running statistics, no dropout; one by one gives the same logits."""
    model, images = small_network(), noise(507, side=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    together = predict(model, images, mean=MEAN, std=STD)
    assert not together.requires_grad and all(module.training for module in model.modules())
    alone = [predict(model, image[None], mean=MEAN, std=STD) for image in images]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    model.eval()
    by_hand = model(normalise(images, MEAN, STD, torch.float32)).detach()
    torch.testing.assert_close(together, by_hand, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    predict(model, images, mean=MEAN, std=STD)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("flips", ["none", "mirror", "mirror_shift"])
def test_bfloat16_is_autocast_and_gives_float32_logits(flips):
    seen: set[torch.dtype] = set()
    model = small_network()
    model[4].register_forward_hook(lambda _module, _given, out: seen.add(out.dtype))
    images = noise(5, side=4)
    rounded = predict(model, images, mean=MEAN, std=STD, dtype=torch.bfloat16, flips=flips)
    assert seen == {torch.bfloat16}
    exact = predict(model, images, mean=MEAN, std=STD, flips=flips)
    assert rounded.dtype == exact.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """By at most one pixel each; the border is the reflection about the outermost pixels."""
    side = images.shape[-1]
    at = [np.abs(np.arange(side) - step) for step in (down, right)]
    rows, columns = (np.where(place < side, place, 2 * (side - 1) - place) for place in at)
    return torch.from_numpy(images.numpy()[..., rows[:, None], columns[None, :]])


@pytest.mark.parametrize("flips", ["mirror", "mirror_shift"])
def test_views_of_an_image_are_weighed(flips):
    """Against numpy's own moving of the uint8 pixels, all views judged one by one."""
    model, images = small_network(), noise(507, side=4)
    assert moved(images, 1, 1)[0, 0, 1:, 1:].equal(images[0, 0, :-1, :-1])
    views = [(1.0, images)]
    if flips == "mirror_shift":
        views = [(0.5, images), (0.25, moved(images, 1, 1)), (0.25, moved(images, -1, -1))]
    expected = torch.zeros(507, 10)
    for weight, view in views:
        for x in (view, view.flip(-1)):
            expected += weight / 2 * predict(model, x, mean=MEAN, std=STD)
    found = predict(model, images, mean=MEAN, std=STD, flips=flips)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
