"""The networks against the paper: counts, listings line by line, and vit-pytorch's formulas."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallnet_core.models import MODEL_NAMES, build_model
from smallnet_core.models.layer_table import (
    count_on_meta,
    count_parameters,
    depth,
    layer_table,
    multiply_adds,
)
from smallnet_core.models.reference import DenseNet

SMALL = ("resnet18_s", "vgg16_s", "vit_s")


def on_meta(name: str, num_classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, num_classes)


def images(batch_size: int, size: int = 32) -> Tensor:
    return torch.randn(batch_size, 3, size, size, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", ["vgg16_s", "vit_s"])
def test_dropout_can_be_overridden(name):
    model = build_model(name, dropout=0.25)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.25}


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(ValueError, match=r"'resnet19'.*resnet18_s.*vit_s"):
        build_model("resnet19")


# Parameters with 10 and 100 classes, layers that the name counts, multiply-adds: as far as stated.
FACTS = {
    "resnet18": (11_173_962, 11_220_132, 18, 555_422_720),
    "resnet18_s": (701_466, 713_076, 18, 35_046_656),
    "resnet34": (21_282_122, None, 34, None),
    "resnet50": (23_520_842, None, 50, None),
    "resnet101": (42_512_970, None, 101, None),
    "resnet152": (58_156_618, None, 152, None),
    "vgg16": (15_245_130, None, 16, None),
    "vgg16_s": (955_098, 966_708, 16, 19_940_608),
    "vgg19": (20_029_514, None, 17, None),  # with one Linear in place of three
    "vit": (9_786_378, None, None, None),
    "vit_s": (840_010, 851_620, None, 58_223_360),
    "speednet": (991_032, 1_006_872, 8, 74_497_280),
}


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_counts_and_depths(name):
    model = on_meta(name)
    found = count_on_meta(name), count_on_meta(name, 100), depth(model), multiply_adds(model)
    for fact, expected in zip(found, FACTS[name], strict=True):
        assert expected in (None, fact)


def test_shared_and_frozen_parameters_are_not_counted_twice_or_at_all():
    layer = nn.Linear(3, 2)
    frozen = nn.Linear(5, 5).requires_grad_(False)
    assert count_parameters(nn.ModuleList([layer, layer, frozen])) == 8


def test_layer_table_leaves_a_real_model_as_it_was():
    model = build_model("resnet18_s")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert layer_table(model) == layer_table(on_meta("resnet18_s"))
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_densenet():
    model = DenseNet(depth=10, growth=4, num_classes=7)
    assert depth(model) == 10
    assert model(images(2)).shape == (2, 7)


@pytest.mark.parametrize("size", [8, 20, 24, 40])
def test_resnet_takes_images_of_any_size(size):
    assert build_model("resnet18_s").eval()(images(2, size)).shape == (2, 10)


@pytest.mark.parametrize("name", [*SMALL, "speednet"])
def test_an_image_does_not_depend_on_its_batch(name):
    model = build_model(name).eval()
    batch = images(5)
    with torch.no_grad():
        together = model(batch)
        alone = torch.cat([model(image[None]) for image in batch])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", [*SMALL, "speednet"])
def test_gradients_reach_every_parameter(name, autocast):
    torch.manual_seed(0)
    model = build_model(name)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(images(8))
    F.cross_entropy(logits.float(), torch.arange(8)).backward()
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


def test_vgg_initialisation():
    torch.manual_seed(0)
    convolutions = [m for m in build_model("vgg16_s").modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13
    for convolution in convolutions:
        assert convolution.bias is not None and not convolution.bias.any()
        expected = (2 / (9 * convolution.out_channels)) ** 0.5
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.12)


def vit_pytorch_oracle(ours: nn.Module) -> Any:
    """vit-pytorch's own ViT with the paper's shape, brought to version 0.2.7's formulas."""
    from vit_pytorch import ViT

    oracle = ViT(
        image_size=32,
        patch_size=4,
        num_classes=10,
        dim=192,
        depth=4,
        heads=8,
        dim_head=24,
        mlp_dim=128,
        dropout=0.1,
        emb_dropout=0.1,
    )
    rearrange, _, embed, _ = oracle.to_patch_embedding
    oracle.to_patch_embedding = nn.Sequential(rearrange, embed)
    oracle.transformer.norm = nn.Identity()
    oracle.mlp_head = nn.Sequential(
        nn.LayerNorm(192), nn.Linear(192, 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, 10)
    )
    for attention, _ in oracle.transformer.layers:
        attention.scale = 192**-0.5
        attention.dropout = nn.Identity()

    state = {}
    for key, value in ours.state_dict().items():
        key = key.replace("patch_embedding.", "to_patch_embedding.1.")
        key = key.replace("head.", "mlp_head.")
        if key.startswith("transformer"):
            _, _, index, rest = key.split(".", 3)
            block, feed_forward = divmod(int(index), 2)
            rest = rest.removeprefix("block.").removeprefix("block.")
            if feed_forward:  # its norm is the first of its layers there
                rest = rest.replace("net.3", "net.4").replace("net.0", "net.1")
                rest = rest.replace("norm", "net.0")
            key = f"transformer.layers.{block}.{feed_forward}.{rest}"
        state[key] = value
    oracle.load_state_dict(state)
    return oracle


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_vit_agrees_with_vit_pytorch(training):
    torch.manual_seed(0)
    ours: Any = build_model("vit_s").train(training)
    oracle = vit_pytorch_oracle(ours).train(training)
    assert count_parameters(oracle) == count_parameters(ours)
    batch = images(6)
    logits = []
    for model in (ours, oracle):
        torch.manual_seed(1)  # in training the dropouts draw the same masks in the same order
        logits.append(model(batch))
        logits[-1].square().sum().backward()
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        ours.patch_embedding.weight.grad,
        oracle.to_patch_embedding[1].weight.grad,
        rtol=1e-4,
        atol=1e-4,
    )


def test_speednet_freezes_its_first_layer_and_the_scales_of_its_norms():
    model = build_model("speednet")
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    scales = {f"groups.{group}.norms.{i}.weight" for group in range(3) for i in range(2)}
    assert frozen == {"whitening.weight"} | scales
    assert all((model.get_parameter(key) == 1).all() for key in scales)


def test_speednets_convolutions_begin_as_identities():
    """What is there of inputs is handed on; the other outputs are torch's default, not zero."""
    model: Any = build_model("speednet")
    convolutions = [m for m in model.groups.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 6
    generator = torch.Generator().manual_seed(0)
    for conv in convolutions:
        kept = min(conv.in_channels, conv.out_channels)
        x = torch.randn(2, conv.in_channels, 5, 5, generator=generator)
        y = conv(x)
        assert torch.equal(y[:, :kept], x[:, :kept])
        assert (y[:, kept:].square().mean(dim=(0, 2, 3)) > 0.01).all()
    narrowing: Any = build_model("speednet", widths=(16, 8))
    first = narrowing.groups[0].convs[0]
    x = torch.randn(1, 24, 5, 5, generator=generator)
    assert torch.equal(first(x), x[:, :16])


def test_speednet_by_hand():
    torch.manual_seed(0)
    model: Any = build_model("speednet", widths=(8, 12))
    batch = images(4)
    x = F.gelu(F.conv2d(batch, model.whitening.weight, model.whitening.bias))
    for group in model.groups:
        x = F.max_pool2d(F.conv2d(x, group.convs[0].weight, padding=1), 2)
        x = F.gelu(F.batch_norm(x, None, None, bias=group.norms[0].bias, training=True))
        x = F.conv2d(x, group.convs[1].weight, padding=1)
        x = F.gelu(F.batch_norm(x, None, None, bias=group.norms[1].bias, training=True))
    expected = x.amax(dim=(2, 3)) @ model.head.weight.T / 9
    torch.testing.assert_close(model(batch), expected, rtol=1e-4, atol=1e-5)
    statistics = model.groups[0].norms[0]
    assert statistics.momentum == 0.4
