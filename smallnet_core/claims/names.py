"""How the paper writes what the claims name, and what guessing reaches on each dataset."""

from __future__ import annotations

__all__ = [
    "CHANCE_PERCENT",
    "DATASET_NAMES",
    "NETWORK_NAMES",
    "OPTIMIZER_NAMES",
    "RESNETS",
    "SOURCES",
    "VITS",
]

NETWORK_NAMES = {
    "resnet18": "ResNet18",
    "resnet18_s": "ResNet18_S",
    "resnet34": "ResNet34",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "vgg16": "VGG16",
    "vgg16_s": "VGG16_S",
    "vgg19": "VGG-19",
    "vit": "ViT",
    "vit_s": "ViT_S",
    # Table 1 only
    "vit_h_14": "ViT-H/14",
    "lanet": "LaNet",
    "densenet_bc_190": "DenseNet-BC-190",
}

OPTIMIZER_NAMES = {"sgdm": "SGDM", "adam": "ADAM", "adabound": "AdaBound"}

DATASET_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}

CHANCE_PERCENT = {"cifar10": 10.0, "cifar100": 1.0}

# Where the paper says something, in its own order.
SOURCES = (
    "Abstract",
    "Section 1",
    "Section 2",
    "Section 3.1",
    "Table 1",
    "Section 3.2.1",
    "Figure 6",
    "Section 3.2.2",
    "Section 3.2.3",
    "Section 5.1",
    "Table 2",
    "Table 3",
    "Section 5.2",
    "Section 5.3",
    "Table 4",
    "Table 5",
    "Figure 17",
    "Section 6",
    "Appendix A",
    "Appendix B",
    "Appendix C",
    "Appendix D.1",
    "Appendix D.2",
    "Appendix D.3",
    "Appendix D.4",
    "Table 6",
    "Table 7",
)

RESNETS = ("resnet18", "resnet18_s")  # trained in Tables 2 and 3

VITS = ("vit", "vit_s")  # trained in Tables 4 and 5
