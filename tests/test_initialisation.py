"""First weights by their defining properties: what a network computes before its first step."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.models import build_model
from smallnet_core.models.initialisation import initialise

# The network that each is for.
NETWORKS = {
    "zero_residual": "resnet18_s",
    "delta_orthogonal": "vgg16_s",
    "convolutional": "vit_s",
    "whitened": "speednet",
}


def noise(count: int, seed: int = 0) -> Tensor:
    """Coloured: neighbouring pixels and the three channels have much in common, as in photos."""
    x = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(x, 3, stride=1, padding=1) + 0.5 * x.mean(1, keepdim=True) + 0.2


def fresh(network: str, initialisation: str = "default", **overrides: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(network, **overrides).eval()
        initialise(model, initialisation, noise(200))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_gives_the_same_weights_and_others_than_the_default(name):
    model, again = (fresh(NETWORKS[name], name) for _ in range(2))
    default = fresh(NETWORKS[name])
    states = [network.state_dict() for network in (model, again, default)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert any(not torch.equal(value, states[2][key]) for key, value in states[0].items())
    assert all(value.isfinite().all() for value in states[0].values())
    assert all(p.is_leaf for p in model.parameters())

    random_state = torch.get_rng_state()
    initialise(default, "default")
    assert all(torch.equal(value, states[2][key]) for key, value in default.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(ValueError, match=r"'orthogonal'; known: default, zero_r.*whitened"):
        initialise(nn.Linear(1, 1), "orthogonal")


@pytest.mark.parametrize(
    ("network", "overrides"), [("resnet18_s", {}), ("resnet50", {"width": 8})], ids=["18", "50"]
)
def test_each_block_is_its_shortcut(network, overrides):
    model = fresh(network, "zero_residual", **overrides)
    blocks = [block for stage in model.stages for block in stage]
    assert len(blocks) == {"resnet18_s": 8, "resnet50": 16}[network]
    x = F.relu(model.bn1(model.conv1(noise(2))))
    with torch.no_grad():
        for training in (False, True):
            y = x
            for block in blocks:
                block.train(training)
                out = block(y)
                assert torch.equal(out, F.relu(block.shortcut(y)))
                y = out
    default = fresh(network, **overrides)
    assert not torch.equal(default.stages[0](x), model.stages[0](x))


def norms_through(model: Any, x: Tensor) -> list[float]:
    """After each convolution's ReLU: root mean square over pixels of their norms, input 1."""

    def norm(y: Tensor) -> float:
        return y.square().sum(1).mean().sqrt().item()

    found, start = [], norm(x)
    with torch.no_grad():
        for layer in model.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(norm(x) / start)
    assert len(found) == 13
    return found


def test_delta_orthogonal_keeps_the_norm_of_an_image_of_one_colour_through_13_relus():
    """There the max pools do nothing; the default's signal is a fraction at the end."""
    one_colour = noise(6)[:, :, :1, :1].expand(-1, -1, 32, 32)
    kept = norms_through(fresh("vgg16_s", "delta_orthogonal"), one_colour)
    assert kept == pytest.approx([1.0] * 13, rel=1e-5)
    assert norms_through(fresh("vgg16_s"), one_colour)[-1] < 0.5


def mean_attentions(model: Any, x: Tensor) -> list[Tensor]:
    """Of each block, the mean over images: (heads, patches, patches), without the class token."""
    found = []

    def attend(module: Any, args: tuple[Tensor, ...], _: Tensor) -> None:
        q, k, _v = (
            t.unflatten(-1, (module.heads, -1)).transpose(1, 2)
            for t in module.to_qkv(args[0]).chunk(3, dim=-1)
        )
        attention = (q @ k.mT * module.scale).softmax(-1).mean(0)
        found.append(attention[:, 1:, 1:])

    for block in model.transformer.blocks[::2]:
        block.block.block.register_forward_hook(attend)
    with torch.no_grad():
        model(x)
    return found


def neighbours(offset: tuple[int, int], side: int = 8) -> tuple[Tensor, Tensor]:
    """Indices of the patches that have a neighbour at ``offset`` = (down, right), and of it."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    there = rows + offset[0], columns + offset[1]
    inside = (there[0] >= 0) & (there[0] < side) & (there[1] >= 0) & (there[1] < side)
    return (rows * side + columns)[inside], (there[0] * side + there[1])[inside]


OFFSETS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def test_each_heads_attention_peaks_at_its_neighbour():
    attentions = mean_attentions(fresh("vit_s", "convolutional"), noise(16))
    assert len(attentions) == 4
    for attention in attentions:
        assert attention.shape == (8, 64, 64)
        for head, offset in enumerate(OFFSETS):
            here, there = neighbours(offset)
            peaks = attention[head, here].argmax(-1) == there
            assert peaks.float().mean() > 0.9, offset
            # Far above an even share of 1 / 65.
            assert attention[head, here, there].mean() > 0.1, offset


def test_whitening_is_that_of_the_covariance_with_mirrored_sorted_signed_filters():
    """The filters' Gram matrix V (D + eps)^-1 V^T does not depend on signs or order."""
    images, model = noise(40), build_model("speednet")
    initialise(model, "whitened", images)
    filters = model.whitening.weight
    weight = filters[:12].flatten(1).double()
    patches = F.unfold(images.double(), 2).transpose(0, 1).flatten(1)
    moments = patches @ patches.T / patches.shape[1]
    expected = torch.linalg.inv(moments + 5e-4 * torch.eye(12, dtype=torch.float64))
    torch.testing.assert_close(weight.T @ weight, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(filters[12:], -filters[:12]) and not filters.requires_grad
    sizes = weight.norm(dim=1)  # the strongest direction has the smallest filter
    assert torch.equal(sizes, sizes.sort().values)
    assert (weight.gather(1, weight.abs().argmax(1, keepdim=True)) > 0).all()
