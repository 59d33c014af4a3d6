"""Test accuracies after training: Tables 2 to 5 and Section 5.2.

The paper's are the best epoch's on the test set, of one run each. Where it shows a network that
stays at chance, the claim is that training fails: refuted by twice chance, which takes learning.
"""

from __future__ import annotations

from smallnet_core.claims.names import (
    CHANCE_PERCENT,
    DATASET_NAMES,
    NETWORK_NAMES,
    OPTIMIZER_NAMES,
)
from smallnet_core.records import Claim, Rule

__all__ = ["CLAIMS", "TABLES"]

# number: dataset, {network: by (SGDM, ADAM, AdaBound)}
TABLES: dict[int, tuple[str, dict[str, tuple[float, float, float]]]] = {
    2: ("cifar10", {"resnet18": (89.4, 89.97, 94.13), "resnet18_s": (86.85, 89.27, 91.72)}),
    3: ("cifar100", {"resnet18": (1, 39.04, 58), "resnet18_s": (1, 43.31, 54.05)}),
    4: ("cifar10", {"vit": (10, 51.49, 48.38), "vit_s": (10, 50.99, 49.44)}),
    5: ("cifar100", {"vit": (1, 22.97, 25.05), "vit_s": (3.86, 23.56, 21.56)}),
}

_TABLE_REMARKS = {
    2: "Figures 8 and 9 say 1000 epochs; the experiments' default was 200.",
    3: "",
    4: (
        "Figure 14 says 100 epochs, Figure 13 says 1000 and names the ResNets; the experiments' "
        "default was 200."
    ),
    5: "The caption says ResNet; the rows are ViT's.",
}

_CLAIM_REMARKS = {
    "table2/resnet18-adabound": (
        "94.13 here and in Sections 5.1 and 6, 94.78 in its classification report (0.95 in "
        "Appendix D.2), 95.0 before pruning (Table 6)."
    ),
    "table2/resnet18_s-adabound": "Appendix D.1 agrees: 91.720.",
    "table2/resnet18_s-adam": "Appendix D.3 agrees on 89.270, though its rows do not.",
    "table2/resnet18-adam": "Appendix D.4 agrees: 89.970.",
    "table3/resnet18-adabound": "The only accuracy printed without decimals that is not chance.",
    "table3/resnet18_s-adam": (
        "The smaller network is the better one here; under AdaBound it is the worse one."
    ),
    "table4/vit-adabound": (
        "The smaller network is the better one here; in Table 5 it is the worse one."
    ),
    "table4/vit_s-sgdm": "Its report shows one class predicted for every image: 10.000.",
    "table4/vit_s-adam": "Its report agrees: 50.990.",
    "table4/vit_s-adabound": (
        "Its report agrees: 49.440. Above ViT's 48.38 here, below ViT in Table 5."
    ),
    "table5/vit_s-sgdm": "Above chance, unlike the other SGDM runs of Tables 3 to 5: it did learn.",
}


def _in_table(number: int, network: str, optimizer: str, value: float) -> Claim:
    dataset = TABLES[number][0]
    claim_id = f"table{number}/{network}-{optimizer}"
    chance = CHANCE_PERCENT[dataset]
    collapsed = value == chance
    subject = f"{NETWORK_NAMES[network]} with {OPTIMIZER_NAMES[optimizer]}"
    if collapsed:
        statement = f"{subject} does not learn {DATASET_NAMES[dataset]}: {value:g} % is chance."
    else:
        statement = f"{subject} reaches {value:g} % on {DATASET_NAMES[dataset]}'s test images."
    remarks = (_CLAIM_REMARKS.get(claim_id, ""), _TABLE_REMARKS[number])
    return Claim(
        id=claim_id,
        source=f"Table {number}",
        statement=statement,
        metric="accuracy_percent",
        paper_value=value,
        unit="%",
        rule=Rule.FAILS if collapsed else Rule.AT_LEAST,
        # A number printed as 89.4 comes without its trailing zero; 58 has lost both its decimals.
        resolution=1.0 if value == 58 else 0.01,
        refuted_above=2 * chance if collapsed else None,
        network=network,
        optimizer=optimizer,
        dataset=dataset,
        remark=" ".join(filter(None, remarks)),
    )


def _vgg_fails(network: str, remark: str) -> Claim:
    chance = CHANCE_PERCENT["cifar10"]
    return Claim(
        id=f"section-5.2/{network}",
        source="Section 5.2",
        statement=(
            f"{NETWORK_NAMES[network]} cannot be trained to make meaningful learning progress on "
            "CIFAR-10."
        ),
        metric="accuracy_percent",
        paper_value=chance,
        unit="%",
        rule=Rule.FAILS,
        resolution=0.01,
        refuted_above=2 * chance,
        network=network,
        dataset="cifar10",
        remark=f"The paper prints neither an accuracy nor an optimizer: 10 is chance. {remark}",
    )


CLAIMS = (
    *(
        _in_table(number, network, optimizer, value)
        for number, (_, rows) in TABLES.items()
        for network, values in rows.items()
        for optimizer, value in zip(OPTIMIZER_NAMES, values, strict=True)
    ),
    _vgg_fails("vgg16", "Figure 12 shows this network alone."),
    _vgg_fails("vgg16_s", 'It is among "the VGG architectures" whose results are inconclusive.'),
)
