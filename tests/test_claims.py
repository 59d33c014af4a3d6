"""The claims against a second transcription of the paper, its arithmetic, and their own rules."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import smallnet_core
from smallnet_core.claims import (
    CHANCE_PERCENT,
    CLAIMS,
    DATASET_NAMES,
    NETWORK_NAMES,
    OPTIMIZER_NAMES,
    assemble,
    by_source,
)
from smallnet_core.claims.goals import GOAL_SOURCES, GOALS, PRUNING_GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.models import MODEL_NAMES, OWN_MODEL_NAMES
from smallnet_core.pruned_recipes import DENSE, PRUNED_NAMES
from smallnet_core.records import Claim, Rule


def ids(*prefixes: str, **filters: Any) -> list[str]:
    return [claim.id for claim in by_source(*prefixes, **filters)]


NUM_CLAIMS = {
    "Abstract": 3,
    "Section 1": 10,
    "Table 1": 8,
    "Section 2": 16,
    "Section 3.1": 4,
    "Section 3.2.1": 11,
    "Figure 6": 5,
    "Section 3.2.2": 3,
    "Section 3.2.3": 1,
    "Section 5.1": 7,
    "Table 2": 6,
    "Table 3": 6,
    "Section 5.2": 2,
    "Section 5.3": 1,
    "Table 4": 6,
    "Table 5": 6,
    "Figure 17": 8,
    "Section 6": 12,
    "Appendix A": 49 + 7,
    "Appendix B": 38 + 7,
    "Appendix C": 73 + 7,
    "Appendix D.1": 51,
    "Appendix D.2": 50,
    "Appendix D.3": 49,
    "Appendix D.4": 51,
    "Table 6": 30,
    "Table 7": 33,
}

METRIC_UNITS = {
    "accuracy": "",
    "accuracy_difference_points": "points",
    "accuracy_percent": "%",
    "depth": "layers",
    "f1": "",
    "first_conv_channels": "channels",
    "image_size": "pixels",
    "images_per_class": "images",
    "incorrect_images": "images",
    "lost_at_proportion": "",
    "multiply_adds": "multiply-adds",
    "num_channels": "channels",
    "num_classes": "classes",
    "num_conv_layers": "layers",
    "num_images": "images",
    "num_linear_layers": "layers",
    "num_hidden_linear_layers": "layers",
    "num_params": "parameters",
    "num_superclasses": "classes",
    "num_test_images": "images",
    "num_train_images": "images",
    "precision": "",
    "recall": "",
    "size_mb": "MiB",
    "support": "images",
    "test_images_per_class": "images",
    "train_images_per_class": "images",
}

TABLE_1_ONLY = {"vit_h_14", "lanet", "densenet_bc_190"}
FIELDS = {"dataset", "network", "optimizer"}

# The rows of Tables 2 to 5 as the paper prints them.
ACCURACY_ROWS = {
    2: """
        ResNet18 SGDM 89.4 ADAM 89.97 AdaBound 94.13
        ResNet18_S SGDM 86.85 ADAM 89.27 AdaBound 91.72
    """,
    3: """
        ResNet18 SGDM 1 ADAM 39.04 AdaBound 58
        ResNet18_S SGDM 1 ADAM 43.31 AdaBound 54.05
    """,
    4: """
        ViT SGDM 10 ADAM 51.49 AdaBound 48.38
        ViT_S SGDM 10 ADAM 50.99 AdaBound 49.44
    """,
    5: """
        ViT SGDM 1 ADAM 22.97 AdaBound 25.05
        ViT_S SGDM 3.86 ADAM 23.56 AdaBound 21.56
    """,
}

COLLAPSED = {
    "table3/resnet18-sgdm",
    "table3/resnet18_s-sgdm",
    "table4/vit-sgdm",
    "table4/vit_s-sgdm",
    "table5/vit-sgdm",
}

PRUNING_ROWS = {
    6: """
Proportion\t0\t0.05\t0.1\t0.15\t0.2\t0.25\t0.3\t0.35\t0.4\t0.45
L1 unstructured\t95.0\t94.97\t95.0\t94.98\t95.01\t94.97\t94.89\t94.82\t94.81\t94.71
L1 structured\t95.0\t94.56\t93.87\t92.22\t45.96\t40.3\t30.24\t24.51\t20.25\t16.99
Global unstructured\t95.0\t95.0\t95.0\t95.0\t94.99\t94.96\t94.94\t94.9\t94.89\t94.86
""",
    7: """
Proportion\t0.5\t0.55\t0.6\t0.65\t0.7\t0.75\t0.8\t0.85\t0.9\t0.95\t1
L1 unstructured\t94.52\t94.25\t93.98\t93.05\t91.02\t85.48\t66.59\t27.31\t15.48\t9.89\t10.0
L1 structured\t15.67\t13.35\t10.06\t10.01\t10.0\t9.79\t10.0\t10.0\t10.0\t10.0\t10.0
Global unstructured\t94.87\t94.9\t94.86\t94.91\t94.87\t94.55\t93.01\t85.24\t52.73\t19.85\t10.0
""",
}

# The reports' columns from top to bottom, plane to truck, in hundredths; then the test accuracy.
CLASS_NAMES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
REPORTS = {
    1: {
        "precision": (93, 96, 89, 81, 94, 87, 95, 95, 94, 95),
        "recall": (91, 96, 90, 83, 91, 86, 94, 94, 95, 95),
        "f1": (92, 96, 89, 82, 93, 87, 95, 94, 94, 95),
        "averages": 92,
        "test_acc": 91.72,
    },
    2: {
        "precision": (95, 97, 95, 87, 97, 90, 97, 98, 97, 97),
        "recall": (96, 98, 92, 89, 94, 92, 97, 97, 96, 97),
        "f1": (95, 97, 94, 88, 95, 91, 97, 97, 96, 97),
        "averages": 95,
        "test_acc": None,
    },
    3: {
        "precision": (88, 93, 85, 81, 89, 84, 90, 94, 94, 94),
        "recall": (91, 96, 84, 79, 89, 86, 94, 91, 94, 93),
        "f1": (90, 94, 85, 80, 89, 85, 92, 92, 94, 93),
        "averages": 89,
        "test_acc": 89.27,
    },
    4: {
        "precision": (89, 94, 88, 81, 90, 84, 90, 94, 94, 95),
        "recall": (92, 97, 84, 79, 89, 86, 94, 91, 94, 94),
        "f1": (91, 95, 86, 80, 90, 85, 92, 92, 94, 94),
        "averages": 90,
        "test_acc": 89.97,
    },
}

FAILS = {
    **{claim_id: (10.0, 20.0) for claim_id in COLLAPSED if claim_id.startswith("table4")},
    **{claim_id: (1.0, 2.0) for claim_id in COLLAPSED if not claim_id.startswith("table4")},
    "section-5.2/vgg16": (10.0, 20.0),
    "section-5.2/vgg16_s": (10.0, 20.0),
    "section-6/pruned-resnet18-under_1m": (52.73, 90.0),
}

Row = tuple[str, tuple[int, ...], int]


def resnet18_listing(width: int) -> list[Row]:
    """What torchsummary lists: type, output shape without the batch, parameters."""
    size, channels = 32, width
    rows: list[Row] = [
        ("Conv2d", (width, 32, 32), 3 * 9 * width),
        ("BatchNorm2d", (width, 32, 32), 2 * width),
    ]
    for stage in range(4):
        for block in range(2):
            out = width * 2**stage
            if out != channels:
                size //= 2
            shape, norm = (out, size, size), ("BatchNorm2d", (out, size, size), 2 * out)
            rows += [("Conv2d", shape, 9 * channels * out), norm]
            rows += [("Conv2d", shape, 9 * out * out), norm]
            if block == 0 and out != channels:
                rows += [("Conv2d", shape, channels * out), norm]
            rows.append(("BasicBlock", shape, 0))
            channels = out
    return [*rows, ("Linear", (10,), (channels + 1) * 10)]


def vgg16_listing(width: int) -> list[Row]:
    size, channels = 32, 3
    rows: list[Row] = []
    for stage, depth in enumerate((2, 2, 3, 3, 3)):
        for _ in range(depth):
            out = width * min(2**stage, 8)
            rows.append(("Conv2d", (out, size, size), (9 * channels + 1) * out))
            rows.append(("ReLU", (out, size, size), 0))
            channels = out
        size //= 2
        rows.append(("MaxPool2d", (channels, size, size), 0))
    hidden: list[Row] = [
        ("Dropout", (channels,), 0),
        ("Linear", (channels,), (channels + 1) * channels),
        ("ReLU", (channels,), 0),
    ]
    return [*rows, *hidden, *hidden, ("Linear", (10,), (channels + 1) * 10)]


def vit_listing(*, dim: int, depth: int, mlp: int) -> list[Row]:
    tokens = (65, dim)
    wrapped: list[Row] = [("PreNorm", tokens, 0), ("Residual", tokens, 0)]
    layer: list[Row] = [
        ("LayerNorm", tokens, 2 * dim),
        ("Linear", (65, 3 * dim), 3 * dim * dim),
        ("Linear", tokens, (dim + 1) * dim),
        ("Dropout", tokens, 0),
        ("Attention", tokens, 0),
        *wrapped,
        ("LayerNorm", tokens, 2 * dim),
        ("Linear", (65, mlp), (dim + 1) * mlp),
        ("GELU", (65, mlp), 0),
        ("Dropout", (65, mlp), 0),
        ("Linear", tokens, (mlp + 1) * dim),
        ("Dropout", tokens, 0),
        ("FeedForward", tokens, 0),
        *wrapped,
    ]
    return [
        ("Linear", (64, dim), (4 * 4 * 3 + 1) * dim),
        ("Dropout", tokens, 0),
        *layer * depth,
        ("Transformer", tokens, 0),
        ("Identity", (dim,), 0),
        ("LayerNorm", (dim,), 2 * dim),
        ("Linear", (mlp,), (dim + 1) * mlp),
        ("GELU", (mlp,), 0),
        ("Dropout", (mlp,), 0),
        ("Linear", (10,), (mlp + 1) * 10),
    ]


APPENDICES = {
    "Appendix A": ("resnet18_s", resnet18_listing(16), 701_466, (0.01, 2.81, 2.68, 5.50)),
    "Appendix B": ("vgg16_s", vgg16_listing(16), 955_098, (0.01, 1.12, 3.64, 4.78)),
    "Appendix C": (
        "vit_s",
        vit_listing(dim=192, depth=4, mlp=128),
        827_338,
        (0.01, 6.76, 3.16, 9.93),
    ),
}


def slug(source: str) -> str:
    return re.sub(r"^(table|figure) ", r"\1", source.lower()).replace(" ", "-")


def value(claim_id: str) -> float:
    return CLAIMS[claim_id].paper_value


def sides(claim: Claim) -> list[dict[str, object]]:
    """Every network that a claim's details name to be evaluated, ``best_of`` resolved."""
    details = claim.details
    found: list[Any] = [details[name] for name in ("minuend", "subtrahend") if name in details]
    if "best_of" in details:
        found.append({"best_of": details["best_of"]})
    return [one for side in found for one in side.get("best_of", (side,))]


def accuracy_of(side: dict[str, Any]) -> float:
    """A side's accuracy by the paper's tables."""
    if "best_of" in side:
        return max(accuracy_of(one) for one in side["best_of"])
    if side.get("proportion") == "mean":
        percents = [percent for _, percent in printed_curve(side["technique"])]
        assert len(percents) == 21
        return sum(percents) / 21
    [found] = [
        claim.details.get("paper_percent", claim.paper_value)
        for claim in by_source(*(f"Table {n}" for n in range(2, 8)))
        if {name: getattr(claim, name) for name in FIELDS} == {name: side[name] for name in FIELDS}
        and claim.details.get("technique") == side.get("technique")
        and claim.details.get("proportion") == side.get("proportion")
    ]
    return found


def printed(number: int) -> dict[str, tuple[str, float, float]]:
    """Technique, proportion and accuracy of Table 6 or 7, by the claim's id."""
    (_, *proportions), *rows = (
        line.split("\t") for line in PRUNING_ROWS[number].strip().splitlines()
    )
    found = {}
    for name, *accuracies in rows:
        technique = name.lower().replace(" ", "_")
        for proportion, accuracy in zip(proportions, accuracies, strict=True):
            claim_id = f"table{number}/{technique}-{proportion}"
            found[claim_id] = (technique, float(proportion), float(accuracy))
    return found


def printed_curve(technique: str) -> list[tuple[float, float]]:
    """Proportion and accuracy."""
    rows = [*printed(6).values(), *printed(7).values()]
    return [(proportion, percent) for name, proportion, percent in rows if name == technique]


# --- all claims ---------------------------------------------------------------------------------

# Of every field of every claim and goal, and of the known misses, all in order. Compute it anew
# only for a change that is meant, and say in the commit which claim it changes.
DIGEST = "a7e3da0ba5b38c9286c4d7b4a5278fa6adbca97064acac11c55e703ac2360ef8"


def test_no_claim_changes_unnoticed() -> None:
    claims = [
        {**vars(claim), "details": dict(claim.details), "resolution": float(claim.resolution)}
        for claim in (*CLAIMS.values(), *GOALS.values())
    ]
    text = json.dumps([claims, list(KNOWN_MISSES.items())], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_every_place_has_its_number_of_claims() -> None:
    assert dict(Counter(claim.source for claim in CLAIMS.values())) == NUM_CLAIMS


def test_ids_are_well_formed_and_begin_with_their_place() -> None:
    for claim_id, claim in CLAIMS.items():
        assert claim_id == claim.id
        place, _, name = claim_id.partition("/")
        assert place == slug(claim.source)
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name), claim_id


def test_statements_are_sentences_and_said_once_in_a_place() -> None:
    for claim in CLAIMS.values():
        assert re.fullmatch(r"[A-Z][^\n]+\.", claim.statement), claim.id
        assert not claim.remark or claim.remark.endswith("."), claim.id
        assert not re.search(r"  |[.]$|\n", claim.not_measured), claim.id
    said = Counter((claim.source, claim.statement) for claim in CLAIMS.values())
    assert [what for what, times in said.items() if times > 1] == []


def test_names_are_known() -> None:
    for claim in CLAIMS.values():
        assert claim.network in {None, *NETWORK_NAMES}, claim.id
        assert claim.optimizer in {None, *OPTIMIZER_NAMES}, claim.id
        assert claim.dataset in {None, *DATASET_NAMES}, claim.id
        for side in sides(claim):
            assert side["network"] in NETWORK_NAMES, claim.id
            assert side["optimizer"] in OPTIMIZER_NAMES, claim.id
            assert side["dataset"] in DATASET_NAMES, claim.id
    assert set(NETWORK_NAMES) - TABLE_1_ONLY == set(MODEL_NAMES) - set(OWN_MODEL_NAMES)
    assert {claim.network for claim in CLAIMS.values() if claim.network} == set(NETWORK_NAMES)


def test_a_metric_has_one_unit() -> None:
    found = {(claim.metric, claim.unit) for claim in CLAIMS.values()}
    assert found == set(METRIC_UNITS.items())


def test_values_lie_where_their_unit_allows() -> None:
    for claim in CLAIMS.values():
        upper = {"%": 100.0, "": 1.0}.get(claim.unit, math.inf)
        lower = -100.0 if claim.metric == "accuracy_difference_points" else 0.0
        assert lower <= claim.paper_value <= upper, claim.id


def test_counts_are_whole_and_exact_claims_have_no_resolution() -> None:
    for claim in CLAIMS.values():
        assert (claim.rule is not Rule.EXACT) or claim.resolution == 0, claim.id
        assert (claim.rule is not Rule.ROUNDED) or claim.resolution > 0, claim.id
        if claim.rule is Rule.EXACT:
            assert claim.paper_value == int(claim.paper_value), claim.id


def test_a_value_is_printed_at_its_resolution() -> None:
    for claim in CLAIMS.values():
        # The figure prints none: its resolution is the step between two proportions.
        if claim.resolution > 0 and claim.metric != "lost_at_proportion":
            digits = claim.paper_value / claim.resolution
            assert digits == pytest.approx(round(digits), abs=1e-6), claim.id


def test_only_what_other_papers_measured_is_given_up() -> None:
    given_up = {claim.id for claim in CLAIMS.values() if claim.not_measured}
    assert given_up == {
        *(claim.id for claim in by_source("Figure 6")),
        *(claim.id for claim in by_source("Table 1", metric="accuracy_percent")),
        *(claim.id for claim in by_source("Section 1", metric="accuracy_percent")),
        "table1/lanet-num_params",
        "section-2/cifar10-size_mb",
        "section-3.1/vit_h_14-incorrect_images",
        "section-5.3/vit_h_14-accuracy_percent",
    }


def test_failures_are_refuted_by_twice_chance_or_by_a_good_accuracy() -> None:
    found = {
        claim.id: (claim.paper_value, claim.refuted_above)
        for claim in by_source(rule=Rule.FAILS)
        if claim.source not in ("Table 6", "Table 7")  # below, with their tables
    }
    assert found == FAILS


def test_claims_are_frozen() -> None:
    claim = CLAIMS["table2/resnet18-sgdm"]
    with pytest.raises(TypeError):
        CLAIMS["table2/new"] = claim  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim.paper_value = 95.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        claim.details["proportion"] = 0.5  # type: ignore[index]


def test_an_id_given_twice_raises() -> None:
    claim = CLAIMS["table2/resnet18-sgdm"]
    with pytest.raises(ValueError, match="table2/resnet18-sgdm"):
        assemble([claim], [claim])


# --- choosing -----------------------------------------------------------------------------------


def test_a_prefix_takes_in_its_subsections_only() -> None:
    assert len(by_source("Appendix D")) == 51 + 50 + 49 + 51
    assert {claim.source for claim in by_source("Section 3")} == {
        "Section 3.1",
        "Section 3.2.1",
        "Section 3.2.2",
        "Section 3.2.3",
    }
    assert {claim.source for claim in by_source("Section 3.2")} == {
        "Section 3.2.1",
        "Section 3.2.2",
        "Section 3.2.3",
    }
    assert by_source() == list(CLAIMS.values())


def test_filters_narrow_the_choice() -> None:
    assert ids("Table 2", "Table 3", network="resnet18_s", dataset="cifar100") == [
        "table3/resnet18_s-sgdm",
        "table3/resnet18_s-adam",
        "table3/resnet18_s-adabound",
    ]
    assert ids("Section 5.2", rule=Rule.FAILS) == ["section-5.2/vgg16", "section-5.2/vgg16_s"]
    assert len(ids("Appendix", metric="num_params")) == 49 + 38 + 73 + 3 * 3


def test_a_choice_of_nothing_raises() -> None:
    with pytest.raises(ValueError, match="Table 7"):
        by_source("Table 8")


# --- sizes --------------------------------------------------------------------------------------


def test_table_1() -> None:
    rows = """
        vit_h_14 632M 99.50
        lanet 44.1M 99.03
        densenet_bc_190 25.6M 97.3
        vgg19 20.03M 94.71
    """
    for network, size, accuracy in (line.split() for line in rows.strip().splitlines()):
        claim = CLAIMS[f"table1/{network}-num_params"]
        assert claim.paper_value == pytest.approx(float(size.removesuffix("M")) * 1e6)
        decimals = len(size.removesuffix("M").partition(".")[2])
        assert claim.resolution == pytest.approx(10.0 ** (6 - decimals))
        assert claim.rule is Rule.ROUNDED
        assert value(f"table1/{network}-accuracy_percent") == float(accuracy)


def test_sizes_in_the_text() -> None:
    found = {
        claim.id: claim.paper_value
        for claim in by_source("Section", metric="num_params")
        if not claim.id.endswith("-under_1m")
    }
    assert found == {
        "section-1/vit_h_14": 632e6,
        "section-1/vgg19": 20e6,
        "section-1/resnet50": 25e6,
        "section-3.2.1/resnet18": 11e6,
        "section-3.2.1/resnet34": 21e6,
        "section-3.2.1/resnet50": 23e6,
        "section-3.2.1/resnet101": 42e6,
        "section-3.2.1/resnet152": 58e6,
        "section-3.2.1/resnet18_s": 700e3,
        "section-3.2.2/vgg16": 15_245_130,
        "section-3.2.3/vit_h_14": 600e6,
        "section-6/resnet18_s-num_params": 700e3,
        "section-6/resnet18-over_10m": 10e6,
    }


def test_the_small_networks_are_said_to_be_under_a_million() -> None:
    for place in ("abstract", "section-1"):
        for network in ("resnet18_s", "vgg16_s", "vit_s"):
            claim = CLAIMS[f"{place}/{network}-under_1m"]
            assert (claim.paper_value, claim.rule) == (1_000_000, Rule.BELOW)


def test_dataset() -> None:
    found = {claim.id.partition("/")[2]: claim.paper_value for claim in by_source("Section 2")}
    assert found == {
        "cifar10-num_images": 60_000,
        "cifar10-image_size": 32,
        "cifar10-num_channels": 3,
        "cifar10-num_classes": 10,
        "cifar10-images_per_class": 6_000,
        "cifar10-num_train_images": 50_000,
        "cifar10-num_test_images": 10_000,
        "cifar10-size_mb": 163,
        "cifar100-num_images": 60_000,
        "cifar100-image_size": 32,
        "cifar100-num_channels": 3,
        "cifar100-num_classes": 100,
        "cifar100-num_superclasses": 20,
        "cifar100-images_per_class": 600,
        "cifar100-train_images_per_class": 500,
        "cifar100-test_images_per_class": 100,
    }


# --- the listings -------------------------------------------------------------------------------


@pytest.mark.parametrize("source", APPENDICES)
def test_listing_is_that_of_the_architecture(source: str) -> None:
    network, rows, num_params, _ = APPENDICES[source]
    claims = [claim for claim in by_source(source) if "index" in claim.details]
    found = [
        (claim.details["layer_type"], claim.details["output_shape"], claim.paper_value)
        for claim in claims
    ]
    assert found == [(layer_type, (-1, *shape), count) for layer_type, shape, count in rows]
    assert [claim.id for claim in claims] == [
        f"{slug(source)}/{index:02}-{layer_type.lower()}"
        for index, (layer_type, _, _) in enumerate(rows, start=1)
    ]
    assert {claim.network for claim in claims} == {network}
    assert {claim.rule for claim in claims} == {Rule.EXACT}
    assert sum(claim.paper_value for claim in claims) == num_params


@pytest.mark.parametrize("source", APPENDICES)
def test_totals_and_sizes_follow_from_the_listing(source: str) -> None:
    _, rows, num_params, sizes_mb = APPENDICES[source]
    totals = {
        claim.details["quantity"]: claim.paper_value
        for claim in by_source(source)
        if "quantity" in claim.details
    }
    names = ("input", "forward_backward", "params", "estimated_total")
    assert totals == {
        "total_params": num_params,
        "trainable_params": num_params,
        "non_trainable_params": 0,
        **{f"{name}_size_mb": size for name, size in zip(names, sizes_mb, strict=True)},
    }
    num_outputs = sum(math.prod(shape) for _, shape, _ in rows)
    in_bytes = (3 * 32 * 32 * 4, 2 * num_outputs * 4, num_params * 4)
    in_mb = [size / 2**20 for size in in_bytes]
    assert [round(size, 2) for size in (*in_mb, sum(in_mb))] == list(sizes_mb)


def test_vit_s_says_what_its_summary_leaves_out() -> None:
    for name in ("total_params", "trainable_params"):
        assert "840,010" in CLAIMS[f"appendix-c/{name}"].remark
    assert value("appendix-c/total_params") + 65 * 192 + 192 == 840_010


# --- accuracies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ACCURACY_ROWS)
def test_accuracy_table_as_printed(number: int) -> None:
    networks = {name: network for network, name in NETWORK_NAMES.items()}
    optimizers = {name: optimizer for optimizer, name in OPTIMIZER_NAMES.items()}
    expected = {}
    for line in ACCURACY_ROWS[number].strip().splitlines():
        network, *cells = line.split()
        for optimizer, accuracy in zip(cells[::2], cells[1::2], strict=True):
            claim_id = f"table{number}/{networks[network]}-{optimizers[optimizer]}"
            expected[claim_id] = float(accuracy)
    claims = by_source(f"Table {number}")
    assert {claim.id: claim.paper_value for claim in claims} == expected
    assert {claim.dataset for claim in claims} == {"cifar10" if number in (2, 4) else "cifar100"}
    for claim in claims:
        assert claim.id == f"table{number}/{claim.network}-{claim.optimizer}"
        assert claim.metric == "accuracy_percent"
        assert (claim.rule is Rule.FAILS) == (claim.id in COLLAPSED)
        assert (claim.paper_value == CHANCE_PERCENT[claim.dataset or ""]) == (claim.id in COLLAPSED)
        assert claim.resolution == (1.0 if claim.paper_value == 58 else 0.01)


@pytest.mark.parametrize("number", PRUNING_ROWS)
def test_pruning_table_as_printed(number: int) -> None:
    found = {}
    for claim in by_source(f"Table {number}"):
        technique, proportion = claim.details["technique"], claim.details["proportion"]
        found[claim.id] = (technique, proportion, claim.details["paper_percent"])
        assert claim.id == f"table{number}/{technique}-{proportion:g}"
        assert (claim.network, claim.optimizer, claim.dataset) == (
            "resnet18",
            "adabound",
            "cifar10",
        )
        assert claim.not_measured == ""
        assert f" {claim.details['paper_percent']} %" in claim.statement
    assert found == printed(number)


@pytest.mark.parametrize("number", PRUNING_ROWS)
def test_pruning_is_judged_by_what_it_takes_away_where_there_is_something_left(number: int) -> None:
    for claim_id, (technique, proportion, percent) in printed(number).items():
        claim = CLAIMS[claim_id]
        judged = (claim.metric, claim.unit, claim.rule, claim.resolution, claim.paper_value)
        if percent <= 20:
            assert judged == ("accuracy_percent", "%", Rule.FAILS, 0.01, percent)
            assert claim.refuted_above == 30
            assert sides(claim) == []
            continue
        rule, resolution = (Rule.AT_LEAST, 0.01) if proportion else (Rule.EXACT, 0)
        drop = round(percent - 95.0, 2)
        assert judged == ("accuracy_difference_points", "points", rule, resolution, drop)
        dense = {"dataset": "cifar10", "network": "resnet18", "optimizer": "adabound"}
        pruned = {**dense, "technique": technique, "proportion": proportion}
        assert sides(claim) == [pruned, dense]
        assert accuracy_of(pruned) == percent


def test_what_is_near_chance_or_not_pruned_says_so() -> None:
    near_chance = [c for c in by_source("Table 6", "Table 7") if c.unit == "%"]
    assert len(near_chance) == 3 + 12 + 2  # by technique
    assert all("chance" in claim.remark.lower() for claim in near_chance)
    below = [claim.id for claim in near_chance if claim.remark.startswith("Below chance")]
    assert below == ["table7/l1_unstructured-0.95", "table7/l1_structured-0.75"]
    unpruned = by_source("Table 6", rule=Rule.EXACT)
    assert len(unpruned) == 3
    assert all("94.13" in claim.remark and "94.78" in claim.remark for claim in unpruned)


def test_figure_17_is_where_the_tables_lose_one_point_and_five() -> None:
    found = {
        claim.id: (claim.details["technique"], claim.details["points"], claim.paper_value)
        for claim in by_source("Figure 17", metric="lost_at_proportion")
    }
    assert found == {
        "figure17/l1_unstructured-one_point": ("l1_unstructured", 1, 0.596),
        "figure17/l1_unstructured-five_points": ("l1_unstructured", 5, 0.709),
        "figure17/l1_structured-one_point": ("l1_structured", 1, 0.091),
        "figure17/l1_structured-five_points": ("l1_structured", 5, 0.152),
        "figure17/global_unstructured-one_point": ("global_unstructured", 1, 0.768),
        "figure17/global_unstructured-five_points": ("global_unstructured", 5, 0.819),
    }
    for claim_id, (technique, points, proportion) in found.items():
        claim = CLAIMS[claim_id]
        assert (claim.rule, claim.resolution) == (Rule.AT_LEAST, 0.05)
        curve = printed_curve(technique)
        first = next(k for k, (_, percent) in enumerate(curve) if percent <= 95 - points)
        (left, above), (right, below) = curve[first - 1 : first + 1]
        assert left < proportion < right
        at = above + (below - above) * (proportion - left) / (right - left)
        slope = (above - below) / (right - left)
        assert abs(at - (95 - points)) <= 0.0005 * slope + 1e-9


def test_figure_17_has_the_techniques_in_the_order_of_their_means() -> None:
    names = ["global_unstructured-above-l1_unstructured", "l1_unstructured-above-l1_structured"]
    claims = by_source("Figure 17", metric="accuracy_difference_points")
    assert [claim.id for claim in claims] == [f"figure17/{name}" for name in names]
    for claim in claims:
        above, below = claim.id.removeprefix("figure17/").split("-above-")
        assert [side["technique"] for side in sides(claim)] == [above, below]
        assert {side["proportion"] for side in sides(claim)} == {"mean"}
        assert (claim.network, claim.optimizer) == ("resnet18", "adabound")


# --- reports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", REPORTS)
def test_report_as_printed(section: int) -> None:
    report = REPORTS[section]
    place = f"appendix-d.{section}"
    expected: dict[str, float] = {}
    for index, name in enumerate(CLASS_NAMES):
        for column in ("precision", "recall", "f1"):
            expected[f"{place}/{name}-{column}"] = report[column][index] / 100  # type: ignore[index]
        expected[f"{place}/{name}-support"] = 1000
        for column in ("precision", "recall", "f1", "support"):
            details = CLAIMS[f"{place}/{name}-{column}"].details
            assert details == {"class_name": name, "class_index": index}
    average = report["averages"] / 100  # type: ignore[operator]
    for name in ("macro", "weighted"):
        for column in ("precision", "recall", "f1", "support"):
            claim_id = f"{place}/{name}_avg-{column}"
            expected[claim_id] = 10_000 if column == "support" else average
            assert CLAIMS[claim_id].details == {"average": name}
    if section != 3:  # printed without its number there
        expected |= {f"{place}/accuracy": average, f"{place}/accuracy-support": 10_000}
    if report["test_acc"] is not None:
        expected[f"{place}/test_acc"] = report["test_acc"]  # type: ignore[assignment]
    claims = by_source(f"Appendix D.{section}")
    assert {claim.id: claim.paper_value for claim in claims} == expected
    networks = {1: "resnet18_s", 2: "resnet18", 3: "resnet18_s", 4: "resnet18"}
    assert {claim.network for claim in claims} == {networks[section]}
    assert {claim.optimizer for claim in claims} == {"adabound" if section <= 2 else "adam"}
    for claim in claims:
        assert claim.rule is (Rule.EXACT if claim.metric == "support" else Rule.AT_LEAST)


@pytest.mark.parametrize("section", REPORTS)
def test_f1_is_the_harmonic_mean_within_rounding(section: int) -> None:
    for name in CLASS_NAMES:
        precision, recall, f1 = (
            value(f"appendix-d.{section}/{name}-{column}")
            for column in ("precision", "recall", "f1")
        )
        low, high = (
            2 * p * r / (p + r)
            for p, r in (
                (precision - 0.005, recall - 0.005),
                (precision + 0.005, recall + 0.005),
            )
        )
        assert low - 0.005 <= f1 <= high + 0.005, name


@pytest.mark.parametrize("section", REPORTS)
def test_averages_follow_from_the_classes_within_rounding(section: int) -> None:
    for column in ("precision", "recall", "f1"):
        mean = sum(value(f"appendix-d.{section}/{name}-{column}") for name in CLASS_NAMES) / 10
        for average in ("macro_avg", "weighted_avg"):
            assert abs(value(f"appendix-d.{section}/{average}-{column}") - mean) <= 0.01 + 1e-9


def test_two_reports_share_rows_and_say_so() -> None:
    """Five classes of D.3 and D.4 are equal to the digit: the paper's, not a slip made here."""
    columns = ("precision", "recall", "f1")
    same = [
        name
        for name in CLASS_NAMES
        if all(
            value(f"appendix-d.3/{name}-{column}") == value(f"appendix-d.4/{name}-{column}")
            for column in columns
        )
    ]
    assert same == ["cat", "dog", "frog", "horse", "ship"]
    for name in CLASS_NAMES:
        for section in (3, 4):
            remark = CLAIMS[f"appendix-d.{section}/{name}-recall"].remark
            assert ("D.3 and D.4 agree" in remark) == (name in same)


def test_reports_agree_with_table_2_or_say_that_they_do_not() -> None:
    for section, optimizer in ((1, "adabound"), (3, "adam"), (4, "adam")):
        network = CLAIMS[f"appendix-d.{section}/test_acc"].network
        expected = value(f"table2/{network}-{optimizer}")
        assert value(f"appendix-d.{section}/test_acc") == expected
    for claim_id in ("table2/resnet18-adabound", "appendix-d.2/accuracy"):
        assert "94.78" in CLAIMS[claim_id].remark


# --- sentences ----------------------------------------------------------------------------------

COMPARISONS = ids("Section", "Figure 17", metric="accuracy_difference_points")


def test_comparisons() -> None:
    rules = {claim_id: (CLAIMS[claim_id].rule, value(claim_id)) for claim_id in COMPARISONS}
    assert rules == {
        "section-1/lottery_ticket": (Rule.AT_LEAST, 0),
        "section-5.1/resnet18-adabound-above-resnet18_s-adabound": (Rule.ABOVE, 0),
        "section-5.1/resnet18_s-adabound-above-resnet18-sgdm": (Rule.ABOVE, 0),
        "section-5.1/resnet18_s-adabound-above-resnet18-adam": (Rule.ABOVE, 0),
        "section-5.1/resnet18_s-adam-almost-resnet18-sgdm": (Rule.AT_LEAST, -0.13),
        "section-5.1/cifar100-resnet18_s-decrease": (Rule.AT_LEAST, -4),
        "section-5.1/cifar100-resnet18_s-above-resnet18-adam": (Rule.ABOVE, 4.2),
        "figure17/global_unstructured-above-l1_unstructured": (Rule.ABOVE, 0),
        "figure17/l1_unstructured-above-l1_structured": (Rule.ABOVE, 0),
        "section-6/no-better-than-smaller-replica": (Rule.AT_LEAST, 0),
        "section-6/resnet18_s-adabound-decrease": (Rule.BELOW, 3),
        "section-6/vit-outclassed": (Rule.ABOVE, 0),
        "section-6/pruning-loss-at-20_percent": (Rule.AT_LEAST, -2),
    }


def test_the_paper_tests_no_lottery_ticket() -> None:
    untested = [i for i in COMPARISONS if "paper_difference" not in CLAIMS[i].details]
    assert untested == ["section-1/lottery_ticket"]
    claim = CLAIMS[untested[0]]
    dense = {"dataset": "cifar10", "network": "resnet18_s", "optimizer": "sgdm"}
    assert sides(claim) == [{**dense, "recipe": "ticket-10"}, {**dense, "recipe": "ticket-dense"}]
    assert (claim.network, claim.optimizer) == ("resnet18_s", "sgdm")
    assert NETWORK_NAMES["resnet18_s"] in claim.remark and "equal epochs" in claim.remark


@pytest.mark.parametrize("claim_id", [i for i in COMPARISONS if "lottery" not in i])
def test_a_comparison_holds_by_the_papers_own_tables(claim_id: str) -> None:
    claim = CLAIMS[claim_id]
    assert {side["dataset"] for side in sides(claim)} == {claim.dataset}
    difference = accuracy_of(claim.details["minuend"]) - accuracy_of(claim.details["subtrahend"])
    if "pruning" in claim_id:  # the dense network of Table 6, not that of Table 2
        difference = value("table7/global_unstructured-0.8")
    digits = 0.005 if claim.source == "Figure 17" else 0  # a mean of 21
    assert claim.details["paper_difference"] == pytest.approx(difference, abs=digits + 1e-9)
    if claim.rule is Rule.BELOW:
        assert difference < claim.paper_value
    elif claim.rule is Rule.ABOVE:
        assert difference > claim.paper_value
    else:
        assert difference >= claim.paper_value - 1e-9


def test_vit_best_is_the_best_of_table_4() -> None:
    claim = CLAIMS["section-6/vit-best"]
    assert {(side["network"], side["optimizer"]) for side in sides(claim)} == {
        (row.network, row.optimizer) for row in by_source("Table 4")
    }
    assert accuracy_of(dict(claim.details)) == 51.49


def test_pruning_under_a_million_is_held_to_table_7() -> None:
    claim = CLAIMS["section-6/pruned-resnet18-under_1m"]
    technique, proportion = claim.details["technique"], claim.details["proportion"]
    assert claim.paper_value == CLAIMS[f"table7/{technique}-{proportion}"].details["paper_percent"]
    conv_weights, others = 11_159_232, 9_600 + 5_130  # ResNet18: batch norm and the Linear
    assert conv_weights - round(0.9 * conv_weights) + others == 1_130_653
    assert conv_weights - round(0.95 * conv_weights) + others == 572_692
    for number in ("1,130,653", "572,692"):
        assert number in claim.remark
    assert "never fine-tunes" in claim.remark
    assert claim.details["recipes"] == tuple(
        name for name in PRUNED_NAMES if name.startswith("resnet18-1m-")
    )


# --- goals --------------------------------------------------------------------------------------


def test_goals_have_sources_of_their_own_and_ids_that_begin_with_them() -> None:
    assert GOAL_SOURCES == ("Digits", "Pruning", "Beyond the paper")
    assert not set(GOAL_SOURCES) & {claim.source for claim in CLAIMS.values()}
    for claim_id, claim in GOALS.items():
        assert claim_id == claim.id and claim_id not in CLAIMS
        assert claim_id.partition("/")[0] == claim.source.lower().partition(" ")[0]
        assert re.fullmatch(r"[A-Z][^\n]+\.", claim.statement, re.I), claim_id
    assert len({claim.statement for claim in GOALS.values()}) == len(GOALS)


def test_a_pruned_network_is_to_be_a_point_under_the_one_that_it_is_pruned_from() -> None:
    limits = {}
    for claim in PRUNING_GOALS.values():
        if claim.rule is Rule.ABOVE:
            continue
        limits[claim.id] = claim.details["max_num_params"]
        assert (claim.rule, claim.paper_value, claim.resolution) == (Rule.AT_LEAST, -1.0, 0)
        dense = {
            "dataset": "cifar10",
            "network": claim.network,
            "optimizer": DENSE[claim.network or ""],
        }
        recipe = claim.id.removeprefix("pruning/")
        assert sides(claim) == [{**dense, "recipe": recipe}, dense]
        assert (claim.dataset, claim.optimizer) == ("cifar10", dense["optimizer"])
        assert f" {limits[claim.id]:,} " in claim.statement
    assert limits == {
        "pruning/resnet18-1m-channels": 1_000_000,
        "pruning/resnet18-1m-channels-iterative": 1_000_000,
        "pruning/resnet18-1m-weights": 1_000_000,
        "pruning/vgg16-1m-channels": 1_000_000,
        "pruning/resnet18_s-250k-channels": 250_000,
        "pruning/vgg16_s-250k-channels": 250_000,
        "pruning/vit_s-250k-channels": 250_000,
    }


def test_pruning_is_to_beat_training_the_small_shape_from_scratch() -> None:
    [claim] = [claim for claim in PRUNING_GOALS.values() if claim.rule is Rule.ABOVE]
    assert (claim.id, claim.paper_value) == ("pruning/resnet18_s-250k-worth_it", 0)
    recipes = [side["recipe"] for side in sides(claim)]
    assert recipes == ["resnet18_s-250k-channels", "resnet18_s-250k-scratch"]


def test_every_recipe_that_a_claim_names_is_one() -> None:
    named = {
        name
        for claim in (*CLAIMS.values(), *GOALS.values())
        for name in (
            *claim.details.get("recipes", ()),
            *(side["recipe"] for side in sides(claim) if "recipe" in side),
        )
    }
    assert len(named) == 2 + 7 + 1
    assert named <= set(PRUNED_NAMES)


def test_known_misses_are_claims_each_with_its_reason_in_a_line() -> None:
    for claim_id, reason in KNOWN_MISSES.items():
        assert claim_id in CLAIMS or claim_id in GOALS
        assert reason == " ".join(reason.split()) != ""


# --- cost ---------------------------------------------------------------------------------------


def test_importing_claims_is_fast_and_never_imports_torch() -> None:
    code = (
        "import sys, time; start = time.process_time(); import smallnet_core.claims; "
        "print(time.process_time() - start, *{'torch', 'numpy'} & set(sys.modules))"
    )
    seconds = []
    for _ in range(3):  # the fastest counts: the machine may be busy, and the first run compiles
        found = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(smallnet_core.__file__).parents[1],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        assert found[1:] == []
        seconds.append(float(found[0]))
    assert min(seconds) < 0.2
