"""smallnet_core.data.datasets on tiny datasets in the published layouts, and on the real."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.data.datasets import (
    NUM_CLASSES,
    canonical_order,
    content_digest,
    load_dataset,
    load_from_spec,
    record_digests,
)
from smallnet_core.data.sources import SPECS, DatasetNotFound
from smallnet_core.records import NotMeasured
from tests.tinydata import Tiny, make_tiny, refusal, same

pytestmark = pytest.mark.usefixtures("no_data")

REAL_DATA = os.environ.get("SMALLNET_DATA")


@pytest.fixture(params=["fine", "coarse"])
def tiny(request):
    return make_tiny(coarse=request.param == "coarse")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_constants_are_torchvisions(name):
    import torchvision

    published = getattr(torchvision.datasets, name.upper())
    spec = SPECS[name]
    assert spec.folders["python"] == published.base_folder
    assert [list(pair) for pair in spec.md5["train"].items()] == published.train_list
    assert [list(pair) for pair in spec.md5["test"].items()] == published.test_list
    assert (spec.url, spec.archive, spec.archive_md5) == (
        published.url,
        published.filename,
        published.tgz_md5,
    )


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_the_digest_is_a_sum_that_no_order_of_the_files_changes(data):
    count = data.draw(st.sampled_from((1, 2, 7, 300)))  # 300: more than one chunk
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    images = rng.integers(0, 256, (count, 3072), np.uint8)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    if count > 1 and data.draw(st.booleans()):
        images[1], labels[1] = images[0], labels[0]  # a repeated record has no order of its own
    shuffle = np.array(data.draw(st.permutations(range(count))))
    before = record_digests(images, labels)
    after = record_digests(images[shuffle], labels[shuffle])

    assert content_digest(before) == content_digest(after)
    total = 0
    for image, label in zip(images, labels, strict=True):
        hwc = image.reshape(3, 32, 32).transpose(1, 2, 0).tobytes()
        total += int(hashlib.sha256(bytes([label]) + hwc).hexdigest(), 16)
    assert content_digest(before) == f"{total % 2**256:064x}"
    p, q = canonical_order(before), canonical_order(after)
    assert np.array_equal(images[p], images[shuffle][q])
    assert np.array_equal(labels[p], labels[shuffle][q])
    assert sorted(p) == list(range(count))


def test_layouts_and_shuffled_copies_give_the_same_tensors(tiny, tmp_path):
    tiny.write_python(tmp_path / "a")
    tiny.write_binary(tmp_path / "b")
    tiny.write_binary(tmp_path / "c", shuffle=1)
    a, b, c = (load_from_spec(tiny.spec, data_dir=tmp_path / k, offline=True) for k in "abc")
    assert same(a, b) and same(b, c)
    assert a.digests == tiny.spec.digests

    assert a.train_images.dtype == torch.uint8 and a.train_images.shape == (24, 3, 32, 32)
    assert a.train_labels.dtype == torch.int64 and a.test_labels.shape == (8,)
    loaded = zip(a.test_images.numpy(), a.test_labels, strict=True)
    written = zip(tiny.images["test"], tiny.labels["test"], strict=True)
    assert {(i.tobytes(), int(k)) for i, k in loaded} == {(i.tobytes(), k) for i, k in written}


@pytest.mark.parametrize("write", [Tiny.write_python, Tiny.write_binary])
def test_data_dir_may_be_the_folder_itself(tiny, write, tmp_path):
    folder = write(tiny, tmp_path)
    expected = load_from_spec(tiny.spec, data_dir=tmp_path, offline=True)
    renamed = folder.rename(tmp_path / "renamed")
    assert same(load_from_spec(tiny.spec, data_dir=renamed, offline=True), expected)


def test_data_dir_from_the_environment_and_by_default(ten, tmp_path, monkeypatch):
    ten.write_binary(tmp_path / "named")
    monkeypatch.setenv("SMALLNET_DATA", str(tmp_path / "named"))
    named = load_from_spec(ten.spec, offline=True)
    monkeypatch.delenv("SMALLNET_DATA")
    refusal(ten.spec, None, DatasetNotFound)
    ten.write_binary(tmp_path / "cache" / "smallnet" / "data")
    assert same(load_from_spec(ten.spec, offline=True), named)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(ValueError, match="'cifar11': choose one of cifar10, cifar100, digits"):
        load_dataset("cifar11")


def test_absent_and_offline(ten, tmp_path):
    message = refusal(ten.spec, tmp_path, DatasetNotFound)
    assert message == (
        f"Tiny is not in {tmp_path}: put tiny-py/ or tiny-bin/ or tiny.tar.gz there, or allow the "
        "download"
    )
    refusal(ten.spec, None, NotMeasured)  # an absent default folder
    assert not (tmp_path / "cache").exists()


def test_wrong_data_dir(ten, tmp_path, monkeypatch):
    missing, file = tmp_path / "missing", tmp_path / "file"
    file.touch()
    assert f"{missing} does not exist" in refusal(ten.spec, missing, offline=False)
    assert f"{file} is a file" in refusal(ten.spec, file)
    monkeypatch.setenv("SMALLNET_DATA", str(missing))
    assert f"SMALLNET_DATA {missing} does not exist" in refusal(ten.spec, None)
    assert not missing.exists()


def test_missing_truncated_or_lengthened_file(ten, tmp_path):
    path = ten.write_binary(tmp_path) / "data_batch_2.bin"
    content = path.read_bytes()
    for wrong in (content[:-1], content * 2):
        path.write_bytes(wrong)
        message = refusal(ten.spec, tmp_path)
        assert f"{path}: has {len(wrong)} bytes, expected {len(content)}" in message
    path.unlink()
    message = refusal(ten.spec, tmp_path)
    assert f"{path}: the file is missing" in message and "allow the download" in message


def test_altered_pixel(tiny, tmp_path):
    folder = tiny.write_binary(tmp_path)
    (name,) = tiny.spec.files("binary", "test")
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    message = refusal(tiny.spec, tmp_path)
    assert f"{folder}: {name}: the content is not that of Tiny's test split" in message
    assert tiny.spec.digests["test"] in message


def test_a_pickle_that_is_not_as_published_stays_closed(ten, tmp_path):
    path = ten.write_python(tmp_path) / "test_batch"
    path.write_bytes(b"cbuiltins\nexit\n)R.")
    assert f"{path}: MD5 is " in refusal(ten.spec, tmp_path)


def test_digits_are_scikit_learns_scaled_up_and_split_in_proportion():
    """The digests of both splits are pinned where they are loaded."""
    digits = load_dataset("digits", offline=True)
    assert digits.train_images.shape == (1297, 3, 32, 32)
    assert digits.test_images.shape == (500, 3, 32, 32)
    images = torch.cat([digits.train_images, digits.test_images])
    values = (images[:, 0, ::4, ::4].double() * 16 / 255).round()
    bunch = sklearn.datasets.load_digits()
    assert {i.tobytes() for i in values.numpy()} == {i.tobytes() for i in bunch.images}
    shares = np.bincount(bunch.target) * 500 / 1797
    assert (abs(digits.test_labels.bincount().numpy() - shares) < 1).all()


@pytest.mark.skipif(not REAL_DATA, reason="SMALLNET_DATA is not set: no real CIFAR to read")
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_cifar(name, tmp_path):
    assert REAL_DATA is not None
    try:
        dataset = load_dataset(name, data_dir=Path(REAL_DATA), offline=True)
    except DatasetNotFound as reason:
        pytest.skip(str(reason))
    num_classes = NUM_CLASSES[name]
    assert dataset.train_labels.bincount().tolist() == [50_000 // num_classes] * num_classes
    assert dataset.test_labels.bincount().tolist() == [10_000 // num_classes] * num_classes
    assert dataset.digests == SPECS[name].digests
    # The first record in canonical order, for any layout: the order is part of the seed's meaning.
    first = hashlib.sha256(dataset.train_images[0].numpy().tobytes()).hexdigest()[:16]
    assert first == {"cifar10": "4976c35f21dda853", "cifar100": "a69e8ff869d17afb"}[name]
    if name == "cifar10":
        mean = dataset.train_images.double().mean((0, 2, 3)) / 255
        assert mean.numpy() == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
