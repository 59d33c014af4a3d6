"""The listings of the three small networks, line by line: Appendices A, B and C.

A claim for each line (its parameters; ``index``, ``layer_type`` and ``output_shape``, the batch
first as -1, are in the details), for each total and for each size. Sizes are in MiB, as the summary
tool counts them for one image of float32: forward/backward is 2 * 4 bytes for every output element
of every line, containers such as BasicBlock and PreNorm among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smallnet_core.claims.names import NETWORK_NAMES
from smallnet_core.records import Claim, Rule

__all__ = ["CLAIMS"]

# Columns as in the paper: layer (type-index), output shape, parameters.
_RESNET18_S = """
Conv2d-1        [-1, 16, 32, 32]        432
BatchNorm2d-2   [-1, 16, 32, 32]         32
Conv2d-3        [-1, 16, 32, 32]      2,304
BatchNorm2d-4   [-1, 16, 32, 32]         32
Conv2d-5        [-1, 16, 32, 32]      2,304
BatchNorm2d-6   [-1, 16, 32, 32]         32
BasicBlock-7    [-1, 16, 32, 32]          0
Conv2d-8        [-1, 16, 32, 32]      2,304
BatchNorm2d-9   [-1, 16, 32, 32]         32
Conv2d-10       [-1, 16, 32, 32]      2,304
BatchNorm2d-11  [-1, 16, 32, 32]         32
BasicBlock-12   [-1, 16, 32, 32]          0
Conv2d-13       [-1, 32, 16, 16]      4,608
BatchNorm2d-14  [-1, 32, 16, 16]         64
Conv2d-15       [-1, 32, 16, 16]      9,216
BatchNorm2d-16  [-1, 32, 16, 16]         64
Conv2d-17       [-1, 32, 16, 16]        512
BatchNorm2d-18  [-1, 32, 16, 16]         64
BasicBlock-19   [-1, 32, 16, 16]          0
Conv2d-20       [-1, 32, 16, 16]      9,216
BatchNorm2d-21  [-1, 32, 16, 16]         64
Conv2d-22       [-1, 32, 16, 16]      9,216
BatchNorm2d-23  [-1, 32, 16, 16]         64
BasicBlock-24   [-1, 32, 16, 16]          0
Conv2d-25       [-1, 64, 8, 8]       18,432
BatchNorm2d-26  [-1, 64, 8, 8]          128
Conv2d-27       [-1, 64, 8, 8]       36,864
BatchNorm2d-28  [-1, 64, 8, 8]          128
Conv2d-29       [-1, 64, 8, 8]        2,048
BatchNorm2d-30  [-1, 64, 8, 8]          128
BasicBlock-31   [-1, 64, 8, 8]            0
Conv2d-32       [-1, 64, 8, 8]       36,864
BatchNorm2d-33  [-1, 64, 8, 8]          128
Conv2d-34       [-1, 64, 8, 8]       36,864
BatchNorm2d-35  [-1, 64, 8, 8]          128
BasicBlock-36   [-1, 64, 8, 8]            0
Conv2d-37       [-1, 128, 4, 4]      73,728
BatchNorm2d-38  [-1, 128, 4, 4]         256
Conv2d-39       [-1, 128, 4, 4]     147,456
BatchNorm2d-40  [-1, 128, 4, 4]         256
Conv2d-41       [-1, 128, 4, 4]       8,192
BatchNorm2d-42  [-1, 128, 4, 4]         256
BasicBlock-43   [-1, 128, 4, 4]           0
Conv2d-44       [-1, 128, 4, 4]     147,456
BatchNorm2d-45  [-1, 128, 4, 4]         256
Conv2d-46       [-1, 128, 4, 4]     147,456
BatchNorm2d-47  [-1, 128, 4, 4]         256
BasicBlock-48   [-1, 128, 4, 4]           0
Linear-49       [-1, 10]              1,290
"""

_VGG16_S = """
Conv2d-1        [-1, 16, 32, 32]        448
ReLU-2          [-1, 16, 32, 32]          0
Conv2d-3        [-1, 16, 32, 32]      2,320
ReLU-4          [-1, 16, 32, 32]          0
MaxPool2d-5     [-1, 16, 16, 16]          0
Conv2d-6        [-1, 32, 16, 16]      4,640
ReLU-7          [-1, 32, 16, 16]          0
Conv2d-8        [-1, 32, 16, 16]      9,248
ReLU-9          [-1, 32, 16, 16]          0
MaxPool2d-10    [-1, 32, 8, 8]            0
Conv2d-11       [-1, 64, 8, 8]       18,496
ReLU-12         [-1, 64, 8, 8]            0
Conv2d-13       [-1, 64, 8, 8]       36,928
ReLU-14         [-1, 64, 8, 8]            0
Conv2d-15       [-1, 64, 8, 8]       36,928
ReLU-16         [-1, 64, 8, 8]            0
MaxPool2d-17    [-1, 64, 4, 4]            0
Conv2d-18       [-1, 128, 4, 4]      73,856
ReLU-19         [-1, 128, 4, 4]           0
Conv2d-20       [-1, 128, 4, 4]     147,584
ReLU-21         [-1, 128, 4, 4]           0
Conv2d-22       [-1, 128, 4, 4]     147,584
ReLU-23         [-1, 128, 4, 4]           0
MaxPool2d-24    [-1, 128, 2, 2]           0
Conv2d-25       [-1, 128, 2, 2]     147,584
ReLU-26         [-1, 128, 2, 2]           0
Conv2d-27       [-1, 128, 2, 2]     147,584
ReLU-28         [-1, 128, 2, 2]           0
Conv2d-29       [-1, 128, 2, 2]     147,584
ReLU-30         [-1, 128, 2, 2]           0
MaxPool2d-31    [-1, 128, 1, 1]           0
Dropout-32      [-1, 128]                 0
Linear-33       [-1, 128]            16,512
ReLU-34         [-1, 128]                 0
Dropout-35      [-1, 128]                 0
Linear-36       [-1, 128]            16,512
ReLU-37         [-1, 128]                 0
Linear-38       [-1, 10]              1,290
"""

_VIT_S = """
Linear-1        [-1, 64, 192]         9,408
Dropout-2       [-1, 65, 192]             0
LayerNorm-3     [-1, 65, 192]           384
Linear-4        [-1, 65, 576]       110,592
Linear-5        [-1, 65, 192]        37,056
Dropout-6       [-1, 65, 192]             0
Attention-7     [-1, 65, 192]             0
PreNorm-8       [-1, 65, 192]             0
Residual-9      [-1, 65, 192]             0
LayerNorm-10    [-1, 65, 192]           384
Linear-11       [-1, 65, 128]        24,704
GELU-12         [-1, 65, 128]             0
Dropout-13      [-1, 65, 128]             0
Linear-14       [-1, 65, 192]        24,768
Dropout-15      [-1, 65, 192]             0
FeedForward-16  [-1, 65, 192]             0
PreNorm-17      [-1, 65, 192]             0
Residual-18     [-1, 65, 192]             0
LayerNorm-19    [-1, 65, 192]           384
Linear-20       [-1, 65, 576]       110,592
Linear-21       [-1, 65, 192]        37,056
Dropout-22      [-1, 65, 192]             0
Attention-23    [-1, 65, 192]             0
PreNorm-24      [-1, 65, 192]             0
Residual-25     [-1, 65, 192]             0
LayerNorm-26    [-1, 65, 192]           384
Linear-27       [-1, 65, 128]        24,704
GELU-28         [-1, 65, 128]             0
Dropout-29      [-1, 65, 128]             0
Linear-30       [-1, 65, 192]        24,768
Dropout-31      [-1, 65, 192]             0
FeedForward-32  [-1, 65, 192]             0
PreNorm-33      [-1, 65, 192]             0
Residual-34     [-1, 65, 192]             0
LayerNorm-35    [-1, 65, 192]           384
Linear-36       [-1, 65, 576]       110,592
Linear-37       [-1, 65, 192]        37,056
Dropout-38      [-1, 65, 192]             0
Attention-39    [-1, 65, 192]             0
PreNorm-40      [-1, 65, 192]             0
Residual-41     [-1, 65, 192]             0
LayerNorm-42    [-1, 65, 192]           384
Linear-43       [-1, 65, 128]        24,704
GELU-44         [-1, 65, 128]             0
Dropout-45      [-1, 65, 128]             0
Linear-46       [-1, 65, 192]        24,768
Dropout-47      [-1, 65, 192]             0
FeedForward-48  [-1, 65, 192]             0
PreNorm-49      [-1, 65, 192]             0
Residual-50     [-1, 65, 192]             0
LayerNorm-51    [-1, 65, 192]           384
Linear-52       [-1, 65, 576]       110,592
Linear-53       [-1, 65, 192]        37,056
Dropout-54      [-1, 65, 192]             0
Attention-55    [-1, 65, 192]             0
PreNorm-56      [-1, 65, 192]             0
Residual-57     [-1, 65, 192]             0
LayerNorm-58    [-1, 65, 192]           384
Linear-59       [-1, 65, 128]        24,704
GELU-60         [-1, 65, 128]             0
Dropout-61      [-1, 65, 128]             0
Linear-62       [-1, 65, 192]        24,768
Dropout-63      [-1, 65, 192]             0
FeedForward-64  [-1, 65, 192]             0
PreNorm-65      [-1, 65, 192]             0
Residual-66     [-1, 65, 192]             0
Transformer-67  [-1, 65, 192]             0
Identity-68     [-1, 192]                 0
LayerNorm-69    [-1, 192]               384
Linear-70       [-1, 128]            24,704
GELU-71         [-1, 128]                 0
Dropout-72      [-1, 128]                 0
Linear-73       [-1, 10]              1,290
"""


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """One appendix; the four sizes are those under the listing, in its order."""

    source: str
    network: str
    lines: str
    num_params: int
    sizes_mb: tuple[float, float, float, float]
    remark: str = ""  # on the totals
    hyperparameters: Mapping[str, float] | None = None

    def claims(self) -> list[Claim]:
        return [*self._lines(), *self._totals(), *self._sizes()]

    def _claim(self, name: str, statement: str, value: float, **fields: Any) -> Claim:
        arguments: dict[str, Any] = {
            "metric": "num_params",
            "unit": "parameters",
            "rule": Rule.EXACT,
            **fields,
        }
        return Claim(
            id=f"{self.source.lower().replace(' ', '-')}/{name}",
            source=self.source,
            statement=statement,
            paper_value=value,
            network=self.network,
            **arguments,
        )

    def _lines(self) -> list[Claim]:
        claims = []
        for line in self.lines.strip().splitlines():
            layer, rest = line.split(maxsplit=1)
            shape_text, count_text = rest.rsplit(maxsplit=1)
            layer_type, _, index_text = layer.rpartition("-")
            index = int(index_text)
            num_params = int(count_text.replace(",", ""))
            claims.append(
                self._claim(
                    f"{index:02}-{layer_type.lower()}",
                    f"Layer {index} of {NETWORK_NAMES[self.network]}, {layer_type}, puts out "
                    f"{shape_text} and has {count_text} parameters.",
                    num_params,
                    details={
                        "index": index,
                        "layer_type": layer_type,
                        "output_shape": tuple(int(n) for n in shape_text.strip("[]").split(",")),
                    },
                )
            )
        return claims

    def _totals(self) -> list[Claim]:
        name = NETWORK_NAMES[self.network]
        more: dict[str, Any] = {}
        if self.hyperparameters is not None:
            more["hyperparameters"] = dict(self.hyperparameters)
        return [
            self._claim(
                "total_params",
                f"{name} has {self.num_params:,} parameters in total.",
                self.num_params,
                details={"quantity": "total_params", **more},
                remark=self.remark,
            ),
            self._claim(
                "trainable_params",
                f"The listing of {name} counts {self.num_params:,} trainable parameters.",
                self.num_params,
                details={"quantity": "trainable_params"},
                remark=self.remark,
            ),
            self._claim(
                "non_trainable_params",
                f"The listing of {name} counts no parameter that is not trainable.",
                0,
                details={"quantity": "non_trainable_params"},
            ),
        ]

    def _sizes(self) -> list[Claim]:
        name = NETWORK_NAMES[self.network]
        quantities = (
            ("input_size_mb", "input size"),
            ("forward_backward_size_mb", "forward/backward pass size"),
            ("params_size_mb", "parameters' size"),
            ("estimated_total_size_mb", "estimated total size"),
        )
        return [
            self._claim(
                quantity,
                f"For one image, {name}'s {label} is {size:.2f} MB.",
                size,
                metric="size_mb",
                unit="MiB",
                rule=Rule.ROUNDED,
                resolution=0.01,
                details={"quantity": quantity},
            )
            for (quantity, label), size in zip(quantities, self.sizes_mb, strict=True)
        ]


_LISTINGS = (
    _Listing(
        source="Appendix A",
        network="resnet18_s",
        lines=_RESNET18_S,
        num_params=701_466,
        sizes_mb=(0.01, 2.81, 2.68, 5.50),
    ),
    _Listing(
        source="Appendix B",
        network="vgg16_s",
        lines=_VGG16_S,
        num_params=955_098,
        sizes_mb=(0.01, 1.12, 3.64, 4.78),
    ),
    _Listing(
        source="Appendix C",
        network="vit_s",
        lines=_VIT_S,
        num_params=827_338,
        sizes_mb=(0.01, 6.76, 3.16, 9.93),
        remark=(
            "840,010 are trainable: the summary tool does not see the position embedding "
            "(65 x 192) and the class token (192), which belong to no layer of the listing."
        ),
        hyperparameters={
            "image_size": 32,
            "patch_size": 4,
            "num_classes": 10,
            "dim": 192,
            "depth": 4,
            "heads": 8,
            "mlp_dim": 128,
            "dropout": 0.1,
            "emb_dropout": 0.1,
        },
    ),
)

CLAIMS = tuple(claim for listing in _LISTINGS for claim in listing.claims())
