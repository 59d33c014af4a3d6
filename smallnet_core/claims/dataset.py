"""What CIFAR-10 and CIFAR-100 consist of: Section 2."""

from __future__ import annotations

from smallnet_core.records import Claim, Rule

__all__ = ["CLAIMS"]


def _fact(
    dataset: str, metric: str, value: int, unit: str, statement: str, *, remark: str = ""
) -> Claim:
    return Claim(
        id=f"section-2/{dataset}-{metric}",
        source="Section 2",
        statement=statement,
        metric=metric,
        paper_value=value,
        unit=unit,
        rule=Rule.EXACT,
        dataset=dataset,
        remark=remark,
    )


_CIFAR10 = (
    _fact("cifar10", "num_images", 60_000, "images", "CIFAR-10 consists of 60000 images."),
    _fact(
        "cifar10",
        "image_size",
        32,
        "pixels",
        "CIFAR-10's images are 32x32 pixels large.",
    ),
    _fact("cifar10", "num_channels", 3, "channels", "CIFAR-10's images are in colour."),
    _fact(
        "cifar10",
        "num_classes",
        10,
        "classes",
        "CIFAR-10 has 10 classes.",
        remark="The paper says cars, and plane and car in Appendix D, for automobile and airplane.",
    ),
    _fact(
        "cifar10",
        "images_per_class",
        6_000,
        "images",
        "There are 6000 images of each class of CIFAR-10.",
    ),
    _fact(
        "cifar10",
        "num_train_images",
        50_000,
        "images",
        "CIFAR-10 has 50000 training images.",
    ),
    _fact(
        "cifar10",
        "num_test_images",
        10_000,
        "images",
        "CIFAR-10 has 10000 test images.",
        remark='Section 3.1 calls them "10000 training images" once.',
    ),
    Claim(
        id="section-2/cifar10-size_mb",
        source="Section 2",
        statement="CIFAR-10 is 163 MB large.",
        metric="size_mb",
        paper_value=163,
        unit="MiB",
        rule=Rule.ROUNDED,
        resolution=1,
        dataset="cifar10",
        remark="163 are MiB, and the archive's; the images themselves are 175.8 MiB.",
        not_measured=(
            "it is the size of the python archive, 170,498,071 bytes = 162.6 MiB, which is not kept"
        ),
    ),
)

_CIFAR100 = (
    _fact("cifar100", "num_images", 60_000, "images", "CIFAR-100 consists of 60000 images."),
    _fact("cifar100", "image_size", 32, "pixels", "CIFAR-100's images are 32x32 pixels large."),
    _fact("cifar100", "num_channels", 3, "channels", "CIFAR-100's images are in colour."),
    _fact("cifar100", "num_classes", 100, "classes", "CIFAR-100 has 100 classes."),
    _fact(
        "cifar100",
        "num_superclasses",
        20,
        "classes",
        "The classes of CIFAR-100 are grouped into 20 super classes.",
    ),
    _fact(
        "cifar100",
        "images_per_class",
        600,
        "images",
        "There are 600 images of each class of CIFAR-100.",
    ),
    _fact(
        "cifar100",
        "train_images_per_class",
        500,
        "images",
        "CIFAR-100 has 500 training images per class.",
    ),
    _fact(
        "cifar100",
        "test_images_per_class",
        100,
        "images",
        "CIFAR-100 has 100 testing images per class.",
    ),
)

CLAIMS = (*_CIFAR10, *_CIFAR100)
