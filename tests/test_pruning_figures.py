"""smallnet_core.figures of pruning: each value of the paper, what is measured, and what is not."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from smallnet_core.claims import by_source
from smallnet_core.figures import sizes
from smallnet_core.figures.__main__ import main
from smallnet_core.figures.one_shot import one_shot_figures
from smallnet_core.figures.records import read_run
from smallnet_core.figures.sizes import NUM_PARAMS, PUBLISHED
from smallnet_core.figures.style import Drawing
from smallnet_core.pruning.curve import TECHNIQUE_NAMES, Curve, write_curve
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.recipes.pruned import DENSE, PRUNED_NAMES, find_pruned

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "smallnet_core" / "zoo"
PROPORTIONS = [round(k * 0.05, 2) for k in range(21)]
SMALL = {"resnet18_s": "adabound", "vgg16_s": "sgdm", "vit_s": "adam"}
SIZE_FIGURE = "figure-accuracy-parameters"


def curve(
    technique: str = "l1_unstructured",
    network: str = "resnet18",
    optimizer: str = "adabound",
    *,
    run: int = 0,
    **fields: Any,
) -> Curve:
    """A curve of the suite's own recipe unless ``fields`` differ."""
    given: dict[str, Any] = {
        "technique": technique,
        "proportions": tuple(PROPORTIONS),
        "num_zeros": tuple(int(10_000 * p) for p in PROPORTIONS),
        "hits": tuple(int(9000 * (1 - p)) + 1000 for p in PROPORTIONS),
        "num_images": 10_000,
        "num_weights": 10_000,
        "seed": 0,
        "network": find_recipe("tuned", "cifar10", network, optimizer, run).name,
        "weights_sha256": "ab" * 32,
        "environment": {"device": "cpu"},
        "commit": None,
        "dataset_digests": {},
        "seconds": 1.5,
        **fields,
    }
    return Curve(**given)


def all_curves(network: str = "resnet18", optimizer: str = "adabound") -> list[Curve]:
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


def series(figure: Drawing, panel: int = 0) -> dict[str, list[tuple[float, float]]]:
    """What a panel plots, by label: points joined by a line and points that are not."""
    axes = Figure().add_subplot()
    figure.rows[panel][0].plot(axes)
    return {
        str(line.get_label()): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()
    }


# Pruning in one shot


def test_figure_17_has_a_line_for_each_technique_and_the_papers_63_values() -> None:
    figure = one_shot_figures(all_curves())["figure-17"]
    found = series(figure)
    for name in TECHNIQUE_NAMES.values():
        assert [x for x, _ in found[name]] == PROPORTIONS
    printed = [
        (f"{TECHNIQUE_NAMES[c.details['technique']]}, the paper's", c.details)
        for c in (*by_source("Table 6"), *by_source("Table 7"))
    ]
    assert len(printed) == 63 == sum(len(found[name]) for name in {name for name, _ in printed})
    for name, details in printed:
        assert (details["proportion"], details["paper_percent"]) in found[name]
        if round(details["proportion"] * 20) % 4 == 0:
            at = f"{details['paper_percent']:.2f} % at {details['proportion']:g}"
            assert at in figure.said.split("The paper:")[1]
    assert "Unpruned: ResNet18 AdaBound 100.00 %" in figure.said
    assert "Not measured here" not in figure.said
    assert "Random pruning: the mean of 3 draws." in figure.said


def test_the_papers_values_have_the_colour_of_the_technique() -> None:
    axes = Figure().add_subplot()
    one_shot_figures(all_curves())["figure-17"].rows[0][0].plot(axes)
    colours: dict[str, set[str]] = {}
    for line in axes.get_lines():
        name = str(line.get_label()).removesuffix(", the paper's")
        colours.setdefault(name, set()).add(str(line.get_color()))
    assert colours.keys() == set(TECHNIQUE_NAMES.values())
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 4


def test_without_curves_the_papers_values_stand_alone() -> None:
    figures = one_shot_figures([])
    assert figures.keys() == {"figure-17"}
    assert "Not measured here: the paper's values stand alone." in figures["figure-17"].said
    found = series(figures["figure-17"])
    assert not found.keys() & set(TECHNIQUE_NAMES.values())
    assert len(found["L1 structured, the paper's"]) == 21


def test_what_is_not_measured_is_said() -> None:
    figures = one_shot_figures([curve("l1_structured"), curve(network="vit_s", optimizer="adam")])
    lacking = "Not measured here: L1 unstructured, Global unstructured and Random unstructured."
    assert lacking in figures["figure-17"].said
    small = figures["figure-17-small"]
    assert "Not measured here: ResNet18_S, VGG16_S, L1 structured of ViT_S, " in small.said
    assert titles(small) == ["ViT_S ADAM"]


def titles(figure: Drawing) -> list[str]:
    return [panel.title for row in figure.rows for panel in row]


def test_each_small_network_has_a_panel_with_its_techniques() -> None:
    curves = [found for network in SMALL.items() for found in all_curves(*network)]
    figures = one_shot_figures(curves)
    figure = figures["figure-17-small"]
    assert titles(figure) == ["ResNet18_S AdaBound", "VGG16_S SGDM", "ViT_S ADAM"]
    for panel in range(3):
        assert series(figure, panel).keys() == set(TECHNIQUE_NAMES.values())
    assert "stand alone" in figures["figure-17"].said


def test_random_pruning_is_the_mean_of_its_seeds() -> None:
    seeds = [
        curve(
            "random_unstructured",
            proportions=(0.0, 0.5),
            num_zeros=(0, 5000),
            hits=(9000, hits),
            seed=seed,
        )
        for seed, hits in enumerate((1000, 3000, 8000))
    ]
    text = one_shot_figures(seeds)["figure-17"].said
    assert "Random unstructured: 90.00 % at 0, 40.00 % at 0.5." in text
    assert "the mean of 3 draws" in text


def test_of_several_networks_the_suites_own_is_drawn() -> None:
    own = curve(network="resnet18_s", hits=(9000,) * 21)
    others = [
        curve(network="resnet18_s", run=1, hits=(8000,) * 21),
        replace(own, network=own.network[:-12] + "f" * 12, hits=(7000,) * 21),
        curve(network="resnet18_s", optimizer="sgdm", hits=(6000,) * 21),
        replace(own, network=own.network.replace("tuned", "pruned"), hits=(5000,) * 21),
        replace(own, network=own.network.replace("cifar10", "cifar100"), hits=(4000,) * 21),
    ]
    for curves in ([own, *others], [*others, own]):
        small = one_shot_figures(curves)["figure-17-small"]
        assert "Unpruned: ResNet18_S AdaBound 90.00 %." in small.said


def test_another_optimizers_resnet18_is_not_figure_17() -> None:
    figures = one_shot_figures([curve(optimizer="sgdm")])
    assert "stand alone" in figures["figure-17"].said


# Accuracy against size


def size_figures(records: Sequence[Any]) -> dict[str, Drawing]:
    return sizes.size_figure(read_run(json.dumps(record).encode()) for record in records)


def size_figure(records: Sequence[Any]) -> Drawing:
    return size_figures(records)[SIZE_FIGURE]


def test_every_network_has_its_mark_its_accuracy_and_its_size() -> None:
    dense = [tuned(network, 90.0) for network in DENSE]
    records = [*dense, tuned("speednet", 94.0)]
    records += [pruned(name, 80.0 + k / 2) for k, name in enumerate(PRUNED_NAMES)]
    figure = size_figure(records)
    text = figure.said
    assert "ResNet18 (ours, dense): 90.00 %, 11,173,962 parameters." in text
    assert "SpeedNet (ours, dense): 94.00 %, 991,032 parameters." in text
    for k, name in enumerate(PRUNED_NAMES):
        pruning = find_pruned(name).pruning
        size = 701_466 if pruning is None else pruning.max_params
        assert f"): {80 + k / 2:.2f} %, {size:,} parameters." in text
    assert "Not trained here" not in text
    assert "With test-time flips: SpeedNet." in text
    found = series(figure)
    hows = ("dense", "channels removed", "weights masked", "pruned shape, fresh weights")
    ours = [place for how in hows for place in found[f"ours, {how}"]]
    assert len(ours) == len(DENSE) + 1 + len(PRUNED_NAMES)
    assert all(found[f"ours, {how}"] for how in hows)
    assert len(figure.key) == len(ours) + 2 + len(PUBLISHED), "numbers beside marks, and names here"


def test_the_paper_and_what_is_published_are_in_it() -> None:
    figure = size_figure([tuned("resnet18_s", 90.0)])
    text, key = figure.said, "\n".join(figure.key)
    assert "the paper's ResNet18_S (the paper's): 91.72 %, 701,466 parameters." in text
    assert "the paper's ResNet18 (the paper's): 94.13 %, 11,173,962 parameters." in text
    assert "by other recipes, none run here" in text and "the last epoch, one seed each" in text
    for anchor in PUBLISHED:
        about = f"{anchor.accuracy_percent:.2f} %, {anchor.num_params:,} parameters."
        assert f"{anchor.name} ({anchor.kind}, {anchor.source}): {about}" in text
        assert f"{anchor.name} {anchor.accuracy_percent:.2f} %" in key
    for panel in range(2):
        found = series(figure, panel)
        others = [*found["published"], *found["published, pruned"]]
        assert len(others) == len(PUBLISHED)


def test_numbers_stand_beside_their_points_and_the_key_has_their_names() -> None:
    figure = size_figure([tuned("resnet18_s", 90.0), tuned("vgg16_s", 89.9)])
    axes = Figure().add_subplot()
    figure.rows[1][0].plot(axes)
    numbers = [text.get_text() for text in axes.texts]
    assert len(numbers) == len(set(numbers)) > len(PUBLISHED)
    assert figure.key[0].startswith("1 ") and "ResNet18_S" in figure.key[0]


def test_a_pruned_network_is_linked_with_what_it_was_pruned_from() -> None:
    def links(*records: dict[str, Any]) -> int:
        axes = Figure().add_subplot()
        size_figure(records).rows[0][0].plot(axes)
        return sum(line.get_linestyle() == "-" for line in axes.get_lines())

    small = pruned("resnet18_s-250k-channels", 89.0)
    scratch = pruned("resnet18_s-250k-scratch", 89.0)
    assert links(small) == 0
    assert links(small, tuned("resnet18_s", 90.0)) == 1
    assert links(scratch, tuned("resnet18_s", 90.0)) == 0
    assert links(pruned("ticket-50", 88.0), pruned("ticket-dense", 88.5)) == 1


def test_seeds_are_averaged_and_counted() -> None:
    records = [tuned("vgg16_s", 80.0 + run, run) for run in (0, 1, 2, 1)]
    text = size_figure(records).said
    assert "VGG16_S (ours, dense): 81.00 %, 955,098 parameters, 3 seeds." in text
    assert "the mean of up to 3 seeds each" in text


def test_what_was_judged_gives_the_size() -> None:
    judged = {"num_params": 990_000, "num_nonzeros": 987_654}
    text = size_figure([pruned("resnet18-1m-channels", 92.5) | {"judged": judged}]).said
    assert "ResNet18 (ours, channels removed): 92.50 %, 987,654 parameters." in text


@pytest.mark.parametrize(
    "records",
    [
        [],
        [tuned("resnet18_s", None)],
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
        *("none", "no accuracy", "nan", "too much", "cifar100", "paper", "optimizer"),
        *("held out", "another recipe"),
    ],
)
def test_without_accuracies_of_the_test_set_there_is_no_such_figure(records: list[Any]) -> None:
    assert size_figures(records) == {}


def test_the_current_recipe_counts_or_else_the_latest() -> None:
    current = find_recipe("tuned", "cifar10", "vit_s", "adam")
    records = [
        record(current, 70.0),
        record(replace(current, epochs=3), 60.0, time="2027-01-01T00:00:00Z"),
        record(replace(current, epochs=4), 50.0, time="2025-01-01T00:00:00Z"),
    ]
    for given in itertools.permutations(records):
        assert "ViT_S (ours, dense): 70.00 %" in size_figure(given).said
    assert "ViT_S (ours, dense): 60.00 %" in size_figure(records[1:]).said


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


def test_the_command_reads_curves_and_records_and_names_bad_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write_curve(folder, curve("l1_structured"))
    write_curve(folder / "curves", curve(network="vgg16_s", optimizer="sgdm"))
    write(folder / "record.json", pruned("vgg16-1m-channels", 90.0))
    write(folder / "curves" / "list.json", [1])
    (folder / "curves" / "half.json").write_text('{"technique":', "utf-8")
    (folder / "curves" / "README.md").write_text("words", "utf-8")
    assert main([str(out), str(folder)]) == 0
    shown = capsys.readouterr()
    names = {"figure-17", "figure-17-small", SIZE_FIGURE}
    assert {path.stem for path in out.iterdir()} == names
    assert {Path(text).stem for text in shown.out.splitlines()} == names
    size = (out / f"{SIZE_FIGURE}.svg").read_text("utf-8")
    assert "VGG16 (ours, channels removed): 90.00 %, 1,000,000 parameters." in size
    warnings = shown.err.splitlines()
    assert [Path(text.split(": ")[1]).stem for text in warnings] == ["half", "list"]
    assert all(text.startswith("warning: ") and "skipped, " in text for text in warnings)


def everything() -> tuple[list[dict[str, Any]], list[Curve]]:
    records = [tuned(network, 90.0) for network in (*DENSE, "speednet")]
    records += [pruned(name, 80.0 + k / 2) for k, name in enumerate(PRUNED_NAMES)]
    networks = {"resnet18": "adabound", **SMALL}
    return records, [found for network in networks.items() for found in all_curves(*network)]


def test_the_order_of_what_is_found_changes_nothing_and_the_files_are_small() -> None:
    records, curves = everything()
    figures = {**one_shot_figures(curves), **size_figures(records)}
    turned = {**one_shot_figures(curves[::-1]), **size_figures(records[::-1])}
    assert figures.keys() == {"figure-17", "figure-17-small", SIZE_FIGURE}
    for name, figure in figures.items():
        svg = figure.svg()
        assert svg == turned[name].svg()
        assert len(svg) < 100_000


def test_the_zoo_is_drawn_with_its_own_accuracies() -> None:
    records = [json.loads(path.read_bytes()) for path in sorted(ZOO.glob("*.json"))]
    text = size_figure(records).said
    names = {find_recipe("tuned", "cifar10", name, DENSE[name]).name for name in DENSE}
    names |= {find_pruned(name).name for name in PRUNED_NAMES}
    for found in records:
        if found["name"] in names:
            assert f"{found['test_accuracy_percent']:.2f} %" in text, found["name"]
