"""smallnet_core.lab.sparse: what is mostly zero takes less room, and comes back bit for bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.lab.sparse import PACKED_FROM, pack, stored_bytes, unpack


def sparse(count: int, share: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(count, generator=generator)
    return dense * (torch.rand(count, generator=generator) < share)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 3000), share=st.floats(0, 1), seed=st.integers(0, 9), half=st.booleans()
)
def test_every_tensor_comes_back(count, share, seed, half):
    tensor = sparse(count, share, seed)
    tensor = tensor.half() if half else tensor
    tensors, shapes = pack({"w": tensor, "n": torch.tensor(3)})
    back = unpack(tensors, shapes)
    assert back.keys() == {"w", "n"} and back["w"].dtype == tensor.dtype
    assert torch.equal(back["w"], tensor) and back["n"] == 3
    kept = int((tensor != 0).sum())
    assert ("w" in shapes) == (count >= PACKED_FROM and kept < count / 2)


def test_shapes_and_channels_last_come_back():
    weight = sparse(64 * 32 * 9, 0.1).view(64, 32, 3, 3).to(memory_format=torch.channels_last)
    tensors, shapes = pack({"conv.weight": weight})
    assert shapes == {"conv.weight": [64, 32, 3, 3]}
    assert tensors.keys() == {"conv.weight.kept", "conv.weight.values"}
    assert torch.equal(unpack(tensors, shapes)["conv.weight"], weight)


def test_what_is_not_a_number_is_not_taken_for_zero():
    weight = torch.zeros(PACKED_FROM)
    weight[7] = torch.nan
    tensors, shapes = pack({"w": weight})
    assert unpack(tensors, shapes)["w"].isnan().nonzero().tolist() == [[7]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("w.kept"), "w.kept"),
        (lambda t: t.pop("w.values"), "w.values"),
        (lambda t: t.update({"w.kept": t["w.kept"][:-1]}), "bytes of bits for 2048 entries"),
        (lambda t: t.update({"w.kept": t["w.kept"].int()}), "bytes of bits"),
        (lambda t: t.update({"w.values": t["w.values"][:-1]}), "values for"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    tensors, shapes = pack({"w": sparse(2048, 0.2)})
    change(tensors)
    with pytest.raises((LookupError, ValueError), match=said):
        unpack(tensors, shapes)


def test_bytes_are_those_of_the_files():
    found = stored_bytes({"w": sparse(100_000, 0.1)})
    assert 400_000 < found["dense_bytes"] < 400_200
    # A bit an entry, and four bytes for each of the ten thousand that are left.
    assert 12_500 + 4 * 9_500 < found["sparse_bytes"] < 12_500 + 4 * 10_500
    assert found["compressed_bytes"] < found["sparse_bytes"]
