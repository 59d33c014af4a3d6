"""How large the networks are: Table 1, the Abstract, Sections 1, 3 and 6, Figure 6.

``reference`` in the details: built for counting only, by ``models.reference``. The accuracies that
the paper cites from other papers stand here too, beside the sizes that they are cited for.
"""

from __future__ import annotations

from smallnet_core.claims.names import NETWORK_NAMES
from smallnet_core.records import Claim, Rule

__all__ = ["CLAIMS"]

_CITED = "cited from {}: the suite counts this network and does not train it"
_UNSOURCED = "given without a source: the suite counts this network and does not train it"
_ONE_MILLION = 1e6


def _count(
    place: str,
    source: str,
    network: str,
    value: float,
    statement: str,
    *,
    rule: Rule = Rule.ROUNDED,
    resolution: float = 0.0,
    reference: str = "",
    remark: str = "",
    not_measured: str = "",
) -> Claim:
    return Claim(
        id=place,
        source=source,
        statement=statement,
        metric="num_params",
        paper_value=value,
        unit="parameters",
        rule=rule,
        resolution=resolution,
        network=network,
        details={"reference": reference} if reference else {},
        remark=remark,
        not_measured=not_measured,
    )


def _shape(
    place: str,
    source: str,
    network: str,
    metric: str,
    unit: str,
    value: int,
    statement: str,
    remark: str = "",
    **details: str,
) -> Claim:
    return Claim(
        id=place,
        source=source,
        statement=statement,
        metric=metric,
        paper_value=value,
        unit=unit,
        rule=Rule.EXACT,
        network=network,
        details=details,
        remark=remark,
    )


def _cited(
    place: str,
    source: str,
    network: str,
    value: float,
    statement: str,
    *,
    cited_from: str = "",
    rule: Rule = Rule.AT_LEAST,
    resolution: float = 0.0,
    remark: str = "",
) -> Claim:
    return Claim(
        id=place,
        source=source,
        statement=statement,
        metric="accuracy_percent",
        paper_value=value,
        unit="%",
        rule=rule,
        resolution=resolution,
        network=network,
        dataset="cifar10",
        remark=remark,
        not_measured=_CITED.format(cited_from) if cited_from else _UNSOURCED,
    )


_VIT_H_14 = (
    "torchvision's ViT-H/14 has 632,045,800 with ImageNet's 1000 classes; with CIFAR-10's ten it "
    "has 630,777,610, which is not 632M."
)
_VGG_19 = (
    "20,029,514 without batch norm and with one Linear(512, 10). Section 3.1 gives it three fully "
    "connected layers, with which it is larger than 20.03M."
)

_TABLE_1 = (
    _count(
        "table1/vit_h_14-num_params",
        "Table 1",
        "vit_h_14",
        632e6,
        "ViT-H/14 has 632M parameters.",
        resolution=1e6,
        reference="vit_h_14",
        remark=_VIT_H_14,
    ),
    _count(
        "table1/lanet-num_params",
        "Table 1",
        "lanet",
        44.1e6,
        "LaNet has 44.1M parameters.",
        resolution=1e5,
        not_measured="LaNet's cell was found by a search, and the paper does not print it",
    ),
    _count(
        "table1/densenet_bc_190-num_params",
        "Table 1",
        "densenet_bc_190",
        25.6e6,
        "DenseNet-BC-190 has 25.6M parameters.",
        resolution=1e5,
        reference="densenet_bc_190",
        remark="The growth rate is not in the paper; with 40 it has 25,624,430.",
    ),
    _count(
        "table1/vgg19-num_params",
        "Table 1",
        "vgg19",
        20.03e6,
        "VGG-19 has 20.03M parameters.",
        resolution=1e4,
        reference="vgg19",
        remark=_VGG_19,
    ),
    _cited(
        "table1/vit_h_14-accuracy_percent",
        "Table 1",
        "vit_h_14",
        99.50,
        "ViT-H/14 classifies 99.50 % of CIFAR-10's test images correctly.",
        cited_from="[3]",
        resolution=0.01,
        remark="[3] pre-trained it on 300 million images that are not public.",
    ),
    _cited(
        "table1/lanet-accuracy_percent",
        "Table 1",
        "lanet",
        99.03,
        "LaNet classifies 99.03 % of CIFAR-10's test images correctly.",
        cited_from="[13]",
        resolution=0.01,
    ),
    _cited(
        "table1/densenet_bc_190-accuracy_percent",
        "Table 1",
        "densenet_bc_190",
        97.3,
        "DenseNet-BC-190 with Mixup classifies 97.3 % of CIFAR-10's test images correctly.",
        cited_from="[14]",
        resolution=0.1,
    ),
    _cited(
        "table1/vgg19-accuracy_percent",
        "Table 1",
        "vgg19",
        94.71,
        "VGG-19 with GradInit classifies 94.71 % of CIFAR-10's test images correctly.",
        cited_from="[15]",
        resolution=0.01,
        remark='Section 1 counts VGG-19 among the architectures "over 95% accuracy".',
    ),
)

_UNDER_1M_REMARKS = {
    "vit_s": "840,010 are trainable; Appendix C's 827,338 leaves out 12,672 of them.",
}

_ABSTRACT = tuple(
    _count(
        f"abstract/{network}-under_1m",
        "Abstract",
        network,
        _ONE_MILLION,
        f"{NETWORK_NAMES[network]} has under 1M trainable parameters.",
        rule=Rule.BELOW,
        remark=_UNDER_1M_REMARKS.get(network, ""),
    )
    for network in ("resnet18_s", "vgg16_s", "vit_s")
)

_SECTION_1 = (
    _count(
        "section-1/vit_h_14",
        "Section 1",
        "vit_h_14",
        632e6,
        "ViT-H/14, the best model of late 2021, has 632M parameters.",
        resolution=1e6,
        reference="vit_h_14",
        remark=_VIT_H_14,
    ),
    _count(
        "section-1/vgg19",
        "Section 1",
        "vgg19",
        20e6,
        "Models based on VGG-19 have 20M parameters.",
        resolution=1e6,
        reference="vgg19",
        remark=_VGG_19,
    ),
    _count(
        "section-1/resnet50",
        "Section 1",
        "resnet50",
        25e6,
        "Models based on ResNet50 have 25M parameters.",
        resolution=1e6,
        reference="resnet50_imagenet",
        remark=(
            "25M is cut off from 25,557,032, ResNet50 with ImageNet's 1000 classes; Section 3.2.1 "
            "gives the one for CIFAR-10 as 23M."
        ),
    ),
    *(
        _count(
            f"section-1/{network}-under_1m",
            "Section 1",
            network,
            _ONE_MILLION,
            f"{NETWORK_NAMES[network]} has at most one million parameters.",
            rule=Rule.BELOW,
            remark=_UNDER_1M_REMARKS.get(network, ""),
        )
        for network in ("resnet18_s", "vgg16_s", "vit_s")
    ),
    _cited(
        "section-1/vit_h_14-accuracy_percent",
        "Section 1",
        "vit_h_14",
        99.5,
        "ViT-H/14 has the highest share of correct classifications, 99.5 %.",
        cited_from="[3]",
        resolution=0.1,
    ),
    _cited(
        "section-1/vgg19-accuracy_percent",
        "Section 1",
        "vgg19",
        95,
        "Models based on VGG-19 reach over 95 % accuracy on CIFAR-10.",
        rule=Rule.ABOVE,
        remark="Table 1 has 94.71 % for VGG-19.",
    ),
    _cited(
        "section-1/resnet50-accuracy_percent",
        "Section 1",
        "resnet50",
        95,
        "Models based on ResNet50 reach over 95 % accuracy on CIFAR-10.",
        rule=Rule.ABOVE,
    ),
)

_VGG_19_LAYERS = (
    "Counted in torchvision's VGG-19, for ImageNet. The 20.03M of Table 1 hold for one fully "
    "connected layer in place of three, and then for 17 layers with weights."
)

_SECTION_3_1 = (
    Claim(
        id="section-3.1/vit_h_14-incorrect_images",
        source="Section 3.1",
        statement="ViT-H/14 classifies less than 50 of CIFAR-10's 10,000 test images wrongly.",
        metric="incorrect_images",
        paper_value=50,
        unit="images",
        rule=Rule.BELOW,
        network="vit_h_14",
        dataset="cifar10",
        remark=(
            "99.5 % of 10,000 leaves exactly 50, not less; and the same sentence calls the 10,000 "
            "training images, then testing."
        ),
        not_measured=_CITED.format("[3]"),
    ),
    _shape(
        "section-3.1/vgg19-depth",
        "Section 3.1",
        "vgg19",
        "depth",
        "layers",
        19,
        "VGG-19 has 19 layers with trainable weights.",
        _VGG_19_LAYERS,
        reference="vgg19_imagenet",
    ),
    _shape(
        "section-3.1/vgg19-num_conv_layers",
        "Section 3.1",
        "vgg19",
        "num_conv_layers",
        "layers",
        16,
        "VGG-19 has 16 convolutional layers.",
        reference="vgg19_imagenet",
    ),
    _shape(
        "section-3.1/vgg19-num_linear_layers",
        "Section 3.1",
        "vgg19",
        "num_linear_layers",
        "layers",
        3,
        "VGG-19 has 3 fully connected layers.",
        _VGG_19_LAYERS,
        reference="vgg19_imagenet",
    ),
)

_DEPTH = (
    "{} counts the layers with weights on the main path, the Linear among them; convolutions are "
    "{} there, and the shortcuts' projections come on top."
)

_SECTION_3_2_1 = (
    *(
        _count(
            f"section-3.2.1/{network}",
            "Section 3.2.1",
            network,
            millions * 1e6,
            f"{NETWORK_NAMES[network]} has {millions}M trainable parameters.",
            resolution=1e6,
            remark=remark,
        )
        for network, millions, remark in (
            ("resnet18", 11, ""),
            ("resnet34", 21, ""),
            ("resnet50", 23, "Cut off from 23,520,842, which rounds to 24M; Section 1 has 25M."),
            ("resnet101", 42, "Cut off from 42,512,970, which rounds to 43M."),
            ("resnet152", 58, ""),
        )
    ),
    _count(
        "section-3.2.1/resnet18_s",
        "Section 3.2.1",
        "resnet18_s",
        700e3,
        "ResNet18_S has 700K trainable parameters.",
        resolution=1e5,
    ),
    _count(
        "section-3.2.1/resnet18_s-under_1m",
        "Section 3.2.1",
        "resnet18_s",
        _ONE_MILLION,
        "ResNet18_S fits the limit of 1M parameters: it has less.",
        rule=Rule.BELOW,
    ),
    _shape(
        "section-3.2.1/resnet18-depth",
        "Section 3.2.1",
        "resnet18",
        "depth",
        "layers",
        18,
        "ResNet18 has 18 convolutional layers.",
        _DEPTH.format(18, 17),
    ),
    _shape(
        "section-3.2.1/resnet152-depth",
        "Section 3.2.1",
        "resnet152",
        "depth",
        "layers",
        152,
        "ResNet152 has 152 convolutional layers.",
        _DEPTH.format(152, 151),
    ),
    _shape(
        "section-3.2.1/resnet18-first_conv_channels",
        "Section 3.2.1",
        "resnet18",
        "first_conv_channels",
        "channels",
        64,
        "The first convolution of ResNet18 puts out 64 channels.",
    ),
    _shape(
        "section-3.2.1/resnet18_s-first_conv_channels",
        "Section 3.2.1",
        "resnet18_s",
        "first_conv_channels",
        "channels",
        16,
        "The first convolution of ResNet18_S puts out 16 channels only.",
        "The text narrows the first convolution; in Appendix A every layer is a quarter as wide.",
    ),
)

_SECTION_3_2_2 = (
    _count(
        "section-3.2.2/vgg16",
        "Section 3.2.2",
        "vgg16",
        15_245_130,
        "VGG16 for CIFAR-10 has 15245130 trainable parameters.",
        rule=Rule.EXACT,
    ),
    _shape(
        "section-3.2.2/vgg16-depth",
        "Section 3.2.2",
        "vgg16",
        "depth",
        "layers",
        16,
        "VGG16 is 16 layers deep.",
        "13 convolutions and 3 fully connected layers, of which the same paragraph sees 2.",
    ),
    _shape(
        "section-3.2.2/vgg16-num_hidden_linear_layers",
        "Section 3.2.2",
        "vgg16",
        "num_hidden_linear_layers",
        "layers",
        2,
        "VGG16 ends in 2 fully connected layers followed by a soft-max layer for output.",
        (
            "With the one that the soft-max needs they are three, as Appendix B lists for VGG16_S "
            "and as 15,245,130 parameters and 16 layers need."
        ),
    ),
)

_SECTION_3_2_3 = (
    _count(
        "section-3.2.3/vit_h_14",
        "Section 3.2.3",
        "vit_h_14",
        600e6,
        "ViT-H/14 has over 600M trainable parameters.",
        rule=Rule.ABOVE,
        reference="vit_h_14",
    ),
)

_SECTION_5_3 = (
    _cited(
        "section-5.3/vit_h_14-accuracy_percent",
        "Section 5.3",
        "vit_h_14",
        99,
        "The best ViT reaches over 99 % accuracy on CIFAR-10.",
        cited_from="[3]",
        rule=Rule.ABOVE,
        remark="In the caption of Table 4.",
    ),
)

_SECTION_6 = (
    _count(
        "section-6/resnet18_s-num_params",
        "Section 6",
        "resnet18_s",
        700e3,
        "ResNet18_S uses 700k parameters only.",
        resolution=1e5,
    ),
    _count(
        "section-6/resnet18-over_10m",
        "Section 6",
        "resnet18",
        10e6,
        "ResNet18 as originally proposed has over 10M parameters.",
        rule=Rule.ABOVE,
    ),
)

_FIGURE_6 = tuple(
    Claim(
        id=f"figure6/{network}-multiply_adds",
        source="Figure 6",
        statement=f"{NETWORK_NAMES[network]} needs {billions} x 10^9 FLOPs for one image.",
        metric="multiply_adds",
        paper_value=billions * 1e9,
        unit="multiply-adds",
        rule=Rule.ROUNDED,
        resolution=1e8,
        network=network,
        remark="[5] counts multiply-adds and calls them FLOPs.",
        not_measured=(
            "cited from [5], for ImageNet's 224 x 224 images and 1000 classes; the networks here "
            "take 32 x 32"
        ),
    )
    for network, billions in (
        ("resnet18", 1.8),
        ("resnet34", 3.6),
        ("resnet50", 3.8),
        ("resnet101", 7.6),
        ("resnet152", 11.3),
    )
)

CLAIMS = (
    *_ABSTRACT,
    *_SECTION_1,
    *_TABLE_1,
    *_SECTION_3_1,
    *_SECTION_3_2_1,
    *_FIGURE_6,
    *_SECTION_3_2_2,
    *_SECTION_3_2_3,
    *_SECTION_5_3,
    *_SECTION_6,
)
