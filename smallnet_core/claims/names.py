"""The names that claims may use, and how the paper writes them."""

from __future__ import annotations

from smallnet_core.records import Rule

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
    # Ours
    "speednet": "SpeedNet",
}

OPTIMIZER_NAMES = {"sgdm": "SGDM", "adam": "ADAM", "adabound": "AdaBound"}

DATASET_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}

CHANCE_PERCENT = {"cifar10": 10.0, "cifar100": 1.0}  # the accuracy of guessing

TECHNIQUE_NAMES = {
    "l1_unstructured": "L1 unstructured",
    "l1_structured": "L1 structured",
    "global_unstructured": "Global unstructured",
}

# What claims and goals may be about; only goals use what the paper doesn't name.
VOCABULARY = {
    "network": (*NETWORK_NAMES,),
    "optimizer": (*OPTIMIZER_NAMES, "muon"),
    "dataset": (*DATASET_NAMES, "digits"),
    "technique": (*TECHNIQUE_NAMES,),
}

# The places of the paper, in its order.
SOURCES = (
    *("Abstract", "Section 1", "Section 2", "Section 3.1", "Table 1", "Section 3.2.1", "Figure 6"),
    *("Section 3.2.2", "Section 3.2.3", "Section 5.1", "Table 2", "Table 3", "Section 5.2"),
    *("Section 5.3", "Table 4", "Table 5", "Figure 17", "Section 6"),
    *("Appendix A", "Appendix B", "Appendix C"),
    *("Appendix D.1", "Appendix D.2", "Appendix D.3", "Appendix D.4", "Table 6", "Table 7"),
)

GOAL_SOURCES = ("Digits", "Pruning", "Equal effort", "Long training", "Beyond the paper")


def _place(source: str) -> str:
    kind, _, number = source.lower().partition(" ")
    if source in GOAL_SOURCES or not number:
        return kind
    return kind + number if kind in ("table", "figure") else f"{kind}-{number}"


# How ids begin: "table2", "section-3.2.1", "appendix-d.1", "beyond".
PLACES = {_place(source): source for source in (*SOURCES, *GOAL_SOURCES)}

# Unit, and the rule for a number of that metric unless a sign says otherwise.
METRICS = {
    **dict.fromkeys(("accuracy", "precision", "recall", "f1"), ("", Rule.AT_LEAST)),
    "accuracy_percent": ("%", Rule.AT_LEAST),
    "accuracy_difference_points": ("points", Rule.AT_LEAST),
    "accuracy_spread_points": ("points", Rule.BELOW),
    "lost_at_proportion": ("", Rule.AT_LEAST),
    "num_params": ("parameters", Rule.ROUNDED),
    "size_mb": ("MiB", Rule.ROUNDED),
    "multiply_adds": ("multiply-adds", Rule.ROUNDED),
    "image_size": ("pixels", Rule.EXACT),
    **dict.fromkeys(("num_channels", "first_conv_channels"), ("channels", Rule.EXACT)),
    **dict.fromkeys(("num_classes", "num_superclasses"), ("classes", Rule.EXACT)),
    **dict.fromkeys(
        ("depth", "num_conv_layers", "num_linear_layers", "num_hidden_linear_layers"),
        ("layers", Rule.EXACT),
    ),
    **dict.fromkeys(
        (
            *("num_images", "num_train_images", "num_test_images", "images_per_class"),
            *("train_images_per_class", "test_images_per_class", "support", "incorrect_images"),
        ),
        ("images", Rule.EXACT),
    ),
}
