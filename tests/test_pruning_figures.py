"""smallnet_core.pruning_figures: each value of the paper, what is measured, and what is not."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from smallnet_core.claims import by_source
from smallnet_core.figures import main
from smallnet_core.pruned_recipes import DENSE, PRUNED_NAMES, find_pruned
from smallnet_core.pruning_figures import (
    NUM_PARAMS,
    PUBLISHED,
    TECHNIQUE_NAMES,
    OneShotCurve,
    one_shot_curve,
    pruned_rows,
    pruning_figures,
)
from smallnet_core.recipes import Recipe, find_recipe

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "smallnet_core" / "zoo"
SVG = "{http://www.w3.org/2000/svg}"
PROPORTIONS = [round(k * 0.05, 2) for k in range(21)]
SMALL = {"resnet18_s": "adabound", "vgg16_s": "sgdm", "vit_s": "adam"}
SIZE_FIGURE = "figure-accuracy-parameters"


def curve_json(
    technique: str = "l1_unstructured",
    network: str = "resnet18",
    optimizer: str = "adabound",
    *,
    run: int = 0,
    **fields: Any,
) -> dict[str, Any]:
    """A curve as its file has it, of the suite's own recipe unless ``fields`` differ."""
    recipe = find_recipe("tuned", "cifar10", network, optimizer, run)
    return {
        "schema": 1,
        "technique": technique,
        "proportions": PROPORTIONS,
        "num_zeros": [int(10_000 * p) for p in PROPORTIONS],
        "hits": [int(9000 * (1 - p)) + 1000 for p in PROPORTIONS],
        "num_images": 10_000,
        "num_weights": 10_000,
        "seed": 0,
        "network": recipe.name,
        "weights_sha256": "ab" * 32,
        "environment": {"device": "cpu"},
        "commit": None,
        "dataset_digests": {},
        "seconds": 1.5,
        **fields,
    }


def curve(*args: Any, **fields: Any) -> OneShotCurve:
    return one_shot_curve(curve_json(*args, **fields))


def all_curves(network: str = "resnet18", optimizer: str = "adabound") -> list[OneShotCurve]:
    seeds = {technique: 3 if "random" in technique else 1 for technique in TECHNIQUE_NAMES}
    return [
        curve(technique, network, optimizer, seed=seed)
        for technique, num_seeds in seeds.items()
        for seed in range(num_seeds)
    ]


def record(recipe: Recipe, percent: Any, **fields: Any) -> dict[str, Any]:
    return {
        "recipe": recipe.canonical(),
        "curve": [
            {
                "epoch": 1,
                "train_loss": 1.0,
                "train_accuracy_percent": 50.0,
                "test_accuracy_percent": 60.0,
            }
        ],
        "time": "2026-01-01T00:00:00Z",
        "test_accuracy_percent": percent,
        **fields,
    }


def tuned(network: str, percent: Any, run: int = 0, **fields: Any) -> dict[str, Any]:
    optimizer = {**DENSE, "speednet": "muon"}[network]
    return record(find_recipe("tuned", "cifar10", network, optimizer, run), percent, **fields)


def pruned(name: str, percent: Any, seed: int = 0) -> dict[str, Any]:
    return record(find_pruned(name, seed=seed), percent)


def bench_json(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"smallnet": {"schema": 1, "rows": [{"kind": "latency"}, *rows]}}


def row(name: str, how: str = "channels", **fields: Any) -> dict[str, Any]:
    return {
        "kind": "pruned network",
        "name": name,
        "how": how,
        "num_params": 987_654,
        "num_nonzeros": 876_543,
        "accuracy_percent": 91.23,
        **fields,
    }


def texts(figure: str, kind: str) -> list[str]:
    return [
        found.text or ""
        for found in ElementTree.fromstring(figure).iter(f"{SVG}text")
        if found.get("class") == kind
    ]


def described(figure: str) -> str:
    return ElementTree.fromstring(figure).findtext(f"{SVG}desc") or ""


def marks(figure: str, label: str) -> int:
    """How many points carry the marker of the series of this label, over all panels."""
    return sum(
        found.attrib["d"].count("M")
        for group in ElementTree.fromstring(figure).iter(f"{SVG}g")
        if group.findtext(f"{SVG}title") == label
        for found in group.iter(f"{SVG}path")
        if "mark" in found.attrib["class"].split()
    )


def lines(figure: str, label: str) -> list[str]:
    return [
        found.attrib["d"]
        for group in ElementTree.fromstring(figure).iter(f"{SVG}g")
        if group.findtext(f"{SVG}title") == label
        for found in group.iter(f"{SVG}path")
        if "line" in found.attrib["class"].split()
    ]


# Pruning in one shot


def test_figure_17_has_a_line_for_each_technique_and_the_papers_63_values() -> None:
    figure = pruning_figures([], all_curves())["figure-17"]
    for technique, name in TECHNIQUE_NAMES.items():
        (path,) = lines(figure, name)
        assert path.count(",") == len(PROPORTIONS)
        assert name in texts(figure, "label"), "in the legend"
        printed = marks(figure, f"{name}, the paper's")
        assert printed == (0 if technique == "random_unstructured" else 21)
    text = described(figure)
    for claim in (*by_source("Table 6"), *by_source("Table 7")):
        if round(claim.details["proportion"] * 20) % 4 == 0:
            at = f"{claim.details['paper_percent']:.2f} % at {claim.details['proportion']:g}"
            assert at in text.split("The paper:")[1]
    assert "unpruned 100.00 %" in text and "Not measured here" not in text
    assert "Random pruning: the mean of 3 draws." in text


def test_the_papers_values_have_the_colour_of_the_technique() -> None:
    root = ElementTree.fromstring(pruning_figures([], all_curves())["figure-17"])
    colours: dict[str, set[str]] = {}
    for group in root.iter(f"{SVG}g"):
        title = group.findtext(f"{SVG}title")
        for found in group.findall(f"{SVG}path"):
            if title:
                kinds = found.attrib["class"].split()
                name = title.removesuffix(", the paper's")
                colours.setdefault(name, set()).update(k for k in kinds if k[0] == "s")
    assert colours.keys() == set(TECHNIQUE_NAMES.values())
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 4


def test_without_curves_the_papers_values_stand_alone() -> None:
    figures = pruning_figures([], [])
    assert figures.keys() == {"figure-17"}
    assert "Not measured here: the paper's values stand alone." in described(figures["figure-17"])
    assert not any(lines(figures["figure-17"], name) for name in TECHNIQUE_NAMES.values())
    assert marks(figures["figure-17"], "L1 structured, the paper's") == 21


def test_what_is_not_measured_is_said() -> None:
    figures = pruning_figures(
        [], [curve("l1_structured"), curve(network="vit_s", optimizer="adam")]
    )
    lacking = "Not measured here: L1 unstructured, Global unstructured and Random unstructured."
    assert lacking in described(figures["figure-17"])
    text = described(figures["figure-17-small"])
    assert "Not measured here: ResNet18_S, VGG16_S, L1 structured of ViT_S, " in text
    assert texts(figures["figure-17-small"], "head") == ["ViT_S ADAM"]


def test_each_small_network_has_a_panel_with_its_techniques() -> None:
    curves = [found for network in SMALL.items() for found in all_curves(*network)]
    figures = pruning_figures([], curves)
    figure = figures["figure-17-small"]
    assert texts(figure, "head") == ["ResNet18_S AdaBound", "VGG16_S SGDM", "ViT_S ADAM"]
    for name in TECHNIQUE_NAMES.values():
        assert len(lines(figure, name)) == 3
    assert "the paper's" not in figure
    assert "stand alone" in described(figures["figure-17"])


def test_random_pruning_is_the_mean_of_its_seeds() -> None:
    def random(hits: int, seed: int, **fields: Any) -> OneShotCurve:
        given = {"proportions": [0, 0.5], "hits": [9000, hits], "seed": seed, **fields}
        return curve("random_unstructured", **given)

    seeds = [random(1000, 0), random(3000, 1), random(8000, 2)]
    odd = [random(5000, 3, proportions=[0, 0.4])]
    for first in itertools.permutations([*seeds, *odd], 2):
        curves = [*first, *odd, *seeds]
        text = described(pruning_figures([], curves)["figure-17"])
        assert "Random unstructured: 90.00 % at 0, 40.00 % at 0.5." in text
        assert "the mean of 3 draws" in text


def test_of_several_networks_the_suites_own_is_drawn() -> None:
    own = curve(network="resnet18_s", hits=[9000] * 21)
    others = [
        curve(network="resnet18_s", run=1, hits=[8000] * 21),
        replace(
            curve(network="resnet18_s", hits=[7000] * 21),
            recipe="cifar10-resnet18_s-adabound-tuned-seed0-ffffffffffff",
        ),
        curve(network="resnet18_s", optimizer="sgdm", hits=[6000] * 21),
    ]
    pruned_once = replace(own, kind="pruned", recipe="x", accuracy_percent=(50.0,) * 21)
    elsewhere = replace(own, dataset="cifar100", accuracy_percent=(40.0,) * 21)
    for curves in itertools.permutations([own, *others]):
        given = [pruned_once, *curves, elsewhere]
        assert "Unpruned: ResNet18_S 90.00 %." in described(
            pruning_figures([], given)["figure-17-small"]
        )
    left = pruning_figures([], others[2:])["figure-17-small"]
    assert texts(left, "head") == ["ResNet18_S SGDM"]


def test_another_optimizers_resnet18_is_not_figure_17() -> None:
    figures = pruning_figures([], [curve(optimizer="sgdm")])
    assert "stand alone" in described(figures["figure-17"])


def test_hostile_names_are_escaped() -> None:
    name = "<script>&\"'"
    found = replace(curve(network="vit_s", optimizer="adam"), optimizer=name)
    figure = pruning_figures([], [found])["figure-17-small"]
    assert texts(figure, "head") == [f"ViT_S {name}"]
    assert "<script" not in figure
    assert ElementTree.fromstring(figure).find(f".//{SVG}script") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"technique": "magic"},
        {"technique": ["l1_structured"]},
        {"network": "resnet18"},
        {"network": 3},
        {"hits": [1, 2]},
        {"hits": [20_000] * 21},
        {"hits": [True] * 21},
        {"hits": [-1] * 21},
        {"hits": None},
        {"hits": [], "proportions": []},
        {"proportions": [0.5] * 21},
        {"proportions": [math.nan] * 21},
        {"proportions": [10**400] * 21},
        {"num_images": 0},
        {"num_images": "many"},
        {"seed": -1},
    ],
    ids=str,
)
def test_what_is_no_curve_is_a_value_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a curve of pruning"):
        one_shot_curve({**curve_json(), **fields})


@pytest.mark.parametrize("data", [[], "text", None, {}, {"technique": "l1_structured"}], ids=str)
def test_other_json_is_no_curve(data: Any) -> None:
    with pytest.raises(ValueError, match="not a curve of pruning"):
        one_shot_curve(data)


# Accuracy against size


def size_figure(records: Sequence[dict[str, Any]], *rows: dict[str, Any]) -> str:
    return pruning_figures(records, [], pruned_rows(bench_json(*rows)))[SIZE_FIGURE]


def test_every_network_has_its_mark_its_accuracy_and_its_size() -> None:
    dense = [tuned(network, 90.0) for network in DENSE]
    records = [*dense, tuned("speednet", 94.0)]
    records += [pruned(name, 80.0 + k / 2) for k, name in enumerate(PRUNED_NAMES)]
    figure = size_figure(records)
    text = described(figure)
    assert "ResNet18 (dense): 90.00 %, 11,173,962 parameters." in text
    assert "SpeedNet (dense): 94.00 %, 991,032 parameters." in text
    for k, name in enumerate(PRUNED_NAMES):
        pruning = find_pruned(name).pruning
        size = 701_466 if pruning is None else pruning.max_params
        assert f"): {80 + k / 2:.2f} %, {size:,} parameters." in text
    assert "Not trained here" not in text
    assert "With test-time flips: SpeedNet." in text
    hows = ("dense", "channels removed", "weights masked", "pruned shape, fresh weights")
    kinds = [f"ours, {how}" for how in hows]
    for kind in kinds:
        assert kind in texts(figure, "label") and marks(figure, kind) > 0
    everything = len(DENSE) + 1 + len(PRUNED_NAMES)
    assert everything <= sum(marks(figure, kind) for kind in kinds) <= 2 * everything


def test_the_paper_and_what_is_published_are_in_it() -> None:
    figure = size_figure([tuned("resnet18_s", 90.0)])
    text = described(figure)
    assert "The paper's ResNet18_S: 91.72 %, 701,466." in text
    assert "The paper's ResNet18: 94.13 %, 11,173,962." in text
    assert "by other recipes, none run here" in text and "the last epoch, one seed each" in text
    for anchor in PUBLISHED:
        assert anchor.name in text and anchor.source in text
        assert f"{anchor.accuracy_percent:g} %, {anchor.num_params:,}." in text
    after = sum(anchor.pruned for anchor in PUBLISHED)
    assert marks(figure, "published") == 2 * (len(PUBLISHED) - after), "in both panels"
    assert marks(figure, "published, pruned") == 2 * after
    assert {anchor.name for anchor in PUBLISHED} <= set(texts(figure, "small")), "all have room"


def test_a_pruned_network_is_linked_with_what_it_was_pruned_from() -> None:
    def links(*records: dict[str, Any]) -> int:
        root = ElementTree.fromstring(size_figure(records))
        paths = [p.attrib["d"] for p in root.iter(f"{SVG}path") if p.get("class") == "axis"]
        return sum(path.count("L") for path in paths)

    small = pruned("resnet18_s-250k-channels", 89.0)
    scratch = pruned("resnet18_s-250k-scratch", 89.0)
    assert links(small) == 0
    assert links(small, tuned("resnet18_s", 90.0)) == 2, "in both panels"
    assert links(scratch, tuned("resnet18_s", 90.0)) == 0
    assert links(pruned("ticket-50", 88.0), pruned("ticket-dense", 88.5)) == 2
    assert links(pruned("resnet18-1m-channels", 92.0), tuned("resnet18", 93.0)) == 1


def test_seeds_are_averaged_and_counted() -> None:
    records = [tuned("vgg16_s", 80.0 + run, run) for run in (0, 1, 2, 1)]
    text = described(size_figure(records))
    assert "VGG16_S (dense): 81.00 %, 955,098 parameters, 3 seeds." in text
    assert "the mean of up to 3 seeds each" in text


def test_the_rows_of_a_benchmark_give_the_sizes() -> None:
    name = "resnet18-1m-channels"
    text = described(size_figure([pruned(name, 92.5)], row(name)))
    assert "ResNet18 (channels removed): 92.50 %, 987,654 parameters." in text
    text = described(size_figure([], row("resnet18-1m-weights", "weights")))
    assert "ResNet18 (weights masked): 91.23 %, 876,543 parameters." in text
    figures = pruning_figures([], [], pruned_rows(bench_json(row(name, accuracy_percent=None))))
    assert figures.keys() == {"figure-17"}
    assert pruned_rows(bench_json(row("no longer there"))) == []


@pytest.mark.parametrize(
    "records",
    [
        [],
        [tuned("resnet18_s", None)],
        [tuned("resnet18_s", "high")],
        [tuned("resnet18_s", math.nan)],
        [tuned("resnet18_s", 1e9)],
        [record(find_recipe("tuned", "cifar100", "resnet18_s", "sgdm"), 60.0)],
        [record(find_recipe("paper", "cifar10", "resnet18_s", "sgdm"), 90.0)],
        [record(find_recipe("tuned", "cifar10", "resnet18_s", "adam"), 90.0)],
        [
            record(
                replace(find_recipe("tuned", "cifar10", "resnet18_s", "sgdm"), holdout=5000), 90.0
            )
        ],
        [record(replace(find_pruned("ticket-5"), epochs=99), 90.0)],
    ],
    ids=[
        *("none", "no accuracy", "text", "nan", "too much", "cifar100", "paper", "optimizer"),
        *("held out", "another recipe"),
    ],
)
def test_without_accuracies_of_the_test_set_there_is_no_such_figure(records: list[Any]) -> None:
    assert pruning_figures(records, []).keys() == {"figure-17"}


def test_the_current_recipe_counts_or_else_the_latest() -> None:
    current = find_recipe("tuned", "cifar10", "vit_s", "adam")
    records = [
        record(current, 70.0),
        record(replace(current, epochs=3), 60.0, time="2027-01-01T00:00:00Z"),
        record(replace(current, epochs=4), 50.0, time="2025-01-01T00:00:00Z"),
    ]
    for given in itertools.permutations(records):
        assert "ViT_S (dense): 70.00 %" in described(size_figure(given))
    assert "ViT_S (dense): 60.00 %" in described(size_figure(records[1:]))


@pytest.mark.parametrize("broken", [[], "text", None, {}, {"recipe": {}}], ids=str)
def test_what_is_no_record_is_a_value_error(broken: Any) -> None:
    with pytest.raises(ValueError, match="not a record of a training"):
        pruning_figures([broken], [])


@pytest.mark.parametrize(
    "data",
    [
        *([], None, {}, {"smallnet": []}, {"smallnet": {"rows": [3]}}),
        bench_json(row("ticket-5", num_params=1.5)),
        bench_json(row("ticket-5", accuracy_percent="high")),
        bench_json({"kind": "pruned network"}),
    ],
    ids=str,
)
def test_what_is_no_saved_benchmark_is_a_value_error(data: Any) -> None:
    with pytest.raises(ValueError, match="not a saved benchmark"):
        pruned_rows(data)


def test_the_sizes_are_the_networks_own() -> None:
    import torch

    from smallnet_core.models import build_model
    from smallnet_core.models.layer_table import count_parameters

    with torch.device("meta"):
        found = {name: count_parameters(build_model(name, num_classes=10)) for name in NUM_PARAMS}
    assert found == NUM_PARAMS


# Files


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")


def test_the_command_reads_curves_records_and_benchmarks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "one.json", curve_json("l1_structured"))
    write(folder / "curves" / "two.json", curve_json("global_unstructured"))
    write(folder / "curves" / "three.json", curve_json(network="vgg16_s", optimizer="sgdm"))
    write(folder / "record.json", pruned("vgg16-1m-channels", 90.0))
    write(folder / "bench.json", bench_json(row("vgg16-1m-channels")))
    assert main([str(out), str(folder)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    names = {"figure-17", "figure-17-small", SIZE_FIGURE}
    assert {path.stem for path in out.iterdir()} == names
    assert {Path(text).stem for text in shown.out.splitlines()} == names
    figure = (out / "figure-17.svg").read_text("utf-8")
    assert lines(figure, "L1 structured") and lines(figure, "Global unstructured")
    size = (out / f"{SIZE_FIGURE}.svg").read_text("utf-8")
    assert "VGG16 (channels removed): 90.00 %, 987,654 parameters." in described(size)


def test_bad_files_are_left_out_with_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    write(folder / "good.json", curve_json())
    write(folder / "bad.json", curve_json(hits=[1]))
    write(folder / "bench.json", bench_json({"kind": "pruned network"}))
    write(folder / "curves" / "list.json", [1])
    write(folder / "curves" / "record.json", tuned("vit_s", 70.0))
    (folder / "curves" / "half.json").write_text('{"technique":', "utf-8")
    (folder / "curves" / "README.md").write_text("words", "utf-8")
    assert main([str(tmp_path / "out"), str(folder)]) == 0
    warnings = capsys.readouterr().err.splitlines()
    names = ["bad", "bench", "half", "list", "record"]
    assert [Path(text.split(": ")[1]).stem for text in warnings] == names
    assert all(text.startswith("warning: ") and "skipped, " in text for text in warnings)


def test_a_folder_of_bad_curves_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "bad.json", curve_json(hits=[1]))
    assert main([str(tmp_path / "out"), str(tmp_path / "in")]) == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert "no figure: " in capsys.readouterr().err


def everything() -> tuple[list[dict[str, Any]], list[OneShotCurve]]:
    records = [tuned(network, 90.0) for network in (*DENSE, "speednet")]
    records += [pruned(name, 80.0 + k / 2) for k, name in enumerate(PRUNED_NAMES)]
    networks = {"resnet18": "adabound", **SMALL}
    return records, [found for network in networks.items() for found in all_curves(*network)]


def test_the_order_of_what_is_found_changes_nothing_and_the_files_are_small() -> None:
    records, curves = everything()
    figures = pruning_figures(records, curves)
    assert figures == pruning_figures(records[::-1], curves[::-1])
    assert figures.keys() == {"figure-17", "figure-17-small", SIZE_FIGURE}
    for figure in figures.values():
        assert len(figure.encode()) < 100_000
        assert "nan" not in figure.lower()
        left, top, width, height = map(
            float, ElementTree.fromstring(figure).attrib["viewBox"].split()
        )
        assert (left, top, width) == (0, 0, 900) and height < 1100


def test_the_zoo_is_drawn_with_its_own_accuracies() -> None:
    curves = [json.loads(path.read_bytes()) for path in sorted((ZOO / "curves").glob("*.json"))]
    records = [json.loads(path.read_bytes()) for path in sorted(ZOO.glob("*.json"))]
    figures = pruning_figures(records, map(one_shot_curve, curves))
    text = described(figures[SIZE_FIGURE])
    names = {find_recipe("tuned", "cifar10", name, DENSE[name]).name for name in DENSE}
    names |= {find_pruned(name).name for name in PRUNED_NAMES}
    for found in records:
        if found["name"] in names:
            assert f"{found['test_accuracy_percent']:.2f} %" in text, found["name"]
