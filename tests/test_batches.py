"""Batches against naive loops over single images; every draw is its image's own."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from smallnet_core.data.batches import TrainingBatches, normalise
from smallnet_core.recipes import Augmentation
from tests.trainable import noise

MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 0.2)
STILL = Augmentation(crop_padding=0, flip="none")


def make(
    images: Tensor,
    augmentation: Augmentation = STILL,
    *,
    batch_size: int = 4,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    mean: tuple[float, ...] = (0.0, 0.0, 0.0),
    std: tuple[float, ...] = (1 / 255, 1 / 255, 1 / 255),
) -> TrainingBatches:
    """Labels are positions in the set; the default normalisation gives the pixels back."""
    return TrainingBatches(
        images,
        torch.arange(len(images)),
        batch_size=batch_size,
        augmentation=augmentation,
        mean=mean,
        std=std,
        dtype=dtype,
        generator=torch.Generator().manual_seed(seed),
    )


def one_epoch(batches: TrainingBatches, index: int = 0) -> tuple[Tensor, Tensor]:
    x, y = zip(*batches.epoch(index), strict=True)
    return torch.cat(x), torch.cat(y)


def pixels(x: Tensor) -> Tensor:
    """uint8 again, having seen that rounding is all that it takes."""
    assert (x - x.round()).abs().max() < 1e-3
    return x.round().byte()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_normalise_is_the_textbooks_formula_rounded_once_to_the_dtype(dtype):
    images = noise(5)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    found = normalise(images, MEAN, STD, torch.float32)
    torch.testing.assert_close(found, (images / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)
    rounded = normalise(images, MEAN, STD, dtype)
    assert rounded.dtype == dtype and torch.equal(rounded, found.to(dtype))


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("padding", [1, 2, 4])
def test_crops_are_those_of_the_padded_image_at_the_same_offsets(mode, padding):
    images = noise(24, side=9)
    batches = make(images, Augmentation(crop_padding=padding, padding_mode=mode, flip="none"))
    found, labels = one_epoch(batches)
    # The epoch's first draws, as epoch() makes them.
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(24, generator=generator)
    dy, dx = torch.randint(2 * padding + 1, (2, 24), generator=generator)
    assert torch.equal(labels, order)
    mode = "constant" if mode == "zeros" else mode
    padded = F.pad(images[order].float(), (padding,) * 4, mode=mode).byte()
    for one, whole, y, x in zip(found, padded, dy, dx, strict=True):
        assert torch.equal(pixels(one), whole[:, y : y + 9, x : x + 9])


def test_zeros_are_black_pixels_before_normalisation_as_in_the_paper():
    images = torch.full((64, 3, 8, 8), 255, dtype=torch.uint8)
    x, _ = one_epoch(make(images, Augmentation(flip="none"), mean=MEAN, std=STD))
    for channel in range(3):
        black = (0 - MEAN[channel]) / STD[channel]
        white = (1 - MEAN[channel]) / STD[channel]
        found = x[:, channel].unique()
        assert found.tolist() == pytest.approx([black, white], rel=1e-5)


def mirrored(batches: TrainingBatches, images: Tensor, index: int) -> Tensor:
    """By position in the set: whether the epoch mirrors it; each must be one or the other."""
    x, labels = one_epoch(batches, index)
    found = torch.zeros(len(images), dtype=torch.bool)
    for image, label in zip(x, labels, strict=True):
        flipped = torch.equal(pixels(image), images[label].flip(-1))
        assert flipped or torch.equal(pixels(image), images[label])
        found[label] = flipped
    return found


@pytest.mark.parametrize("flip", ["random", "alternating"])
def test_flips_mirror_about_half_anew_or_every_image_in_every_other_epoch(flip):
    images = noise(400, side=4)
    batches = make(images, Augmentation(crop_padding=0, flip=flip))
    epochs = [mirrored(batches, images, index) for index in range(4)]
    # 400 fair coins: outside of 140..260 once in 10^9 draws.
    assert all(140 < int(flips.sum()) < 260 for flips in epochs)
    changed = [int((a ^ b).sum()) for a, b in pairwise(epochs)]
    assert all(140 < count < 260 if flip == "random" else count == 400 for count in changed)


@pytest.mark.parametrize("side", [1, 4, 5, 40])
def test_cutout_blanks_one_square_clipped_at_the_border(side):
    images = torch.full((300, 3, 12, 12), 255, dtype=torch.uint8)
    augmentation = Augmentation(crop_padding=0, flip="none", cutout=side)
    x, _ = one_epoch(make(images, augmentation, mean=MEAN, std=STD, batch_size=100))
    blank = x == 0.0  # the mean colour: white is not
    assert torch.equal(blank.any(1), blank.all(1)), "all channels or none"
    heights, widths = set(), set()
    for one in blank[:, 0]:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None, :])
        for lines in (rows, columns):
            at = lines.nonzero().flatten()
            assert 1 <= len(at) <= side and len(at) == at[-1] - at[0] + 1
        heights.add(int(rows.sum()))
        widths.add(int(columns.sum()))
    full = min(side, 12)
    # An even square's centre lies between pixels: half of it is always inside.
    assert max(heights) == max(widths) == full
    assert min(heights) >= min(full, (side + 1) // 2) and min(widths) >= min(full, (side + 1) // 2)
    if side < 12:
        assert len(blank[:100, 0].flatten(1).unique(dim=0)) > 20, "a place for each image"


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 40), data=st.data())
def test_an_epoch_shows_each_image_once_minus_an_incomplete_batch(count, data):
    batch_size = data.draw(st.integers(1, count))
    images = noise(count, side=2)
    batches = make(images, batch_size=batch_size)
    assert batches.steps_per_epoch == count // batch_size
    for index in range(2):
        steps = list(batches.epoch(index))
        assert [len(y) for _, y in steps] == [batch_size] * (count // batch_size)
        assert all(torch.equal(pixels(x), images[y]) for x, y in steps)
        labels = torch.cat([y for _, y in steps])
        assert len(labels.unique()) == len(labels) == count - count % batch_size


FULL = Augmentation(crop_padding=2, padding_mode="reflect", flip="random", cutout=6)


def test_the_generator_decides_everything_and_torchs_own_state_nothing():
    images = noise(32)

    def epochs(seed):
        batches = make(images, FULL, seed=seed)
        return [part for index in range(2) for part in one_epoch(batches, index)]

    state = torch.get_rng_state()
    first = epochs(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first[1], first[3]), "each epoch in an order of its own"
    torch.rand(7)
    again, other = epochs(0), epochs(1)
    assert torch.equal(images, noise(32)), "left as they were"
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(("flip", "cutout"), [("random", 0), ("alternating", 6), ("none", 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_batches_are_channels_last_in_their_dtype(flip, cutout, dtype):
    batches = make(noise(8), Augmentation(flip=flip, cutout=cutout), dtype=dtype)
    assert batches.windows.dtype == torch.uint8, "the set stays a quarter of its float size"
    for x, y in batches.epoch(0):
        assert x.shape == (4, 3, 32, 32) and x.dtype == dtype and y.dtype == torch.int64
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_unknown_augmentations_and_a_batch_larger_than_the_set_are_refused():
    with pytest.raises(ValueError, match="'vertical'; known: random, alternating, none"):
        make(noise(5), Augmentation(flip="vertical"))
    with pytest.raises(ValueError, match="'edge'; known: zeros"):
        make(noise(5), Augmentation(padding_mode="edge"))
    with pytest.raises(ValueError, match="batch size 6 is larger than the 5 images"):
        make(noise(5), batch_size=6)
