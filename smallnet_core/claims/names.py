"""How the paper writes what the claims name, and what guessing reaches on each dataset."""

from __future__ import annotations

__all__ = [
    "CHANCE_PERCENT",
    "DATASET_NAMES",
    "NETWORK_NAMES",
    "OPTIMIZER_NAMES",
    "RESNETS",
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

RESNETS = ("resnet18", "resnet18_s")  # trained in Tables 2 and 3

VITS = ("vit", "vit_s")  # trained in Tables 4 and 5
