"""smallnet_core.figures of pruning: each value of the paper, what is measured, and what is not."""

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
from smallnet_core.figures import sizes
from smallnet_core.figures.__main__ import main
from smallnet_core.figures.one_shot import one_shot_figures
from smallnet_core.figures.records import read_run
from smallnet_core.figures.sizes import NUM_PARAMS, published
from smallnet_core.figures.style import AXIS, COLOURS
from smallnet_core.models.layer_table import count_on_meta
from smallnet_core.pruning.curve import TECHNIQUE_NAMES, Curve, write_curve
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.recipes.pruned import DENSE, PRUNED_NAMES, find_pruned
from tests.drawn import SVG, lines, record_of, said, texts
from tests.test_pruning_curves import curve as a_curve

PROPORTIONS = [round(k * 0.05, 2) for k in range(21)]
SMALL = {"resnet18_s": "adabound", "vgg16_s": "sgdm", "vit_s": "adam"}


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
        "proportions": tuple(PROPORTIONS),
        "num_zeros": tuple(int(10_000 * p) for p in PROPORTIONS),
        "hits": tuple(int(9000 * (1 - p)) + 1000 for p in PROPORTIONS),
        "num_images": 10_000,
        "num_weights": 10_000,
        "network": find_recipe("tuned", "cifar10", network, optimizer, run).name,
    }
    return a_curve(technique=technique, **{**given, **fields})


def all_curves(network: str = "resnet18", optimizer: str = "adabound") -> list[Curve]:
    seeds = {technique: 3 if "random" in technique else 1 for technique in TECHNIQUE_NAMES}
    return [
        curve(technique, network, optimizer, seed=seed)
        for technique, num_seeds in seeds.items()
        for seed in range(num_seeds)
    ]


def record(recipe: Recipe, percent: Any, **fields: Any) -> dict[str, Any]:
    return record_of(recipe, test_accuracy_percent=percent, **fields)


def tuned(network: str, percent: Any, run: int = 0, **fields: Any) -> dict[str, Any]:
    optimizer = {**DENSE, "speednet": "muon"}[network]
    return record(find_recipe("tuned", "cifar10", network, optimizer, run), percent, **fields)


def pruned(name: str, percent: Any, seed: int = 0) -> dict[str, Any]:
    return record(find_pruned(name, seed=seed), percent)


def marks(svg: str, colour: str, filling: str) -> int:
    """How many marks of this colour the panels have, and the legend."""
    look = f"fill: {filling}; stroke: {colour}"
    return sum(
        look in found.get("style", "") for found in ElementTree.fromstring(svg).iter(f"{SVG}use")
    )


def test_figure_17_has_a_line_for_each_technique_and_the_papers_63_values():
    figure = one_shot_figures(all_curves())["figure-17"]
    text = said(figure)
    printed = [c.details for c in (*by_source("Table 6"), *by_source("Table 7"))]
    for number, (technique, name) in enumerate(TECHNIQUE_NAMES.items()):
        colour = COLOURS[number][0]
        assert len(lines(figure, colour)) == 1 and name in texts(figure)
        values = [details for details in printed if details["technique"] == technique]
        if values:  # hollow marks of the technique's colour
            assert marks(figure, colour, "#ffffff") == 21 + 1
            assert f"{name}, the paper's" in texts(figure)
        for details in values:
            if round(details["proportion"] * 20) % 4 == 0:
                at = f"{details['paper_percent']:.2f} % at {details['proportion']:g}"
                assert at in text.split("The paper:")[1]
    assert len(printed) == 63
    assert "Unpruned: ResNet18 AdaBound 100.00 %" in text
    assert "Not measured here" not in text


def test_what_is_not_measured_is_said():
    for curves in ([], [curve(optimizer="sgdm")]):
        ((name, alone),) = one_shot_figures(curves).items()
        assert name == "figure-17" and not set(texts(alone)) & set(TECHNIQUE_NAMES.values())
        assert "Not measured here: the paper's values stand alone." in said(alone)
    figures = one_shot_figures([curve("l1_structured"), curve(network="vit_s", optimizer="adam")])
    lacking = "Not measured here: L1 unstructured, Global unstructured and Random unstructured."
    assert lacking in said(figures["figure-17"])
    small = figures["figure-17-small"]
    assert "Not measured here: ResNet18_S, VGG16_S, L1 structured of ViT_S, " in said(small)
    assert "ViT_S ADAM" in texts(small) and "VGG16_S SGDM" not in texts(small)


def test_each_small_network_has_a_panel_with_its_techniques():
    curves = [found for network in SMALL.items() for found in all_curves(*network)]
    figure = one_shot_figures(curves)["figure-17-small"]
    names = {"ResNet18_S AdaBound", "VGG16_S SGDM", "ViT_S ADAM", *TECHNIQUE_NAMES.values()}
    assert names <= set(texts(figure))
    assert [len(lines(figure, COLOURS[number][0])) for number in range(4)] == [3, 3, 3, 3]


def test_random_pruning_is_the_mean_of_its_seeds():
    points = {"proportions": (0.0, 0.5), "num_zeros": (0, 5000)}
    seeds = [
        curve("random_unstructured", **points, hits=(9000, hits), seed=seed)
        for seed, hits in enumerate((1000, 3000, 8000))
    ]
    text = said(one_shot_figures(seeds)["figure-17"])
    assert "Random unstructured: 90.00 % at 0, 40.00 % at 0.5." in text
    assert "the mean of 3 draws" in text


def test_of_several_networks_the_suites_own_is_drawn():
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
        assert "Unpruned: ResNet18_S AdaBound 90.00 %." in said(small)


def size_figure(records: Sequence[Any]) -> str | None:
    return sizes.size_figure(read_run(json.dumps(record).encode()) for record in records)


def size_text(records: Sequence[Any]) -> str:
    return said(size_figure(records) or "")


def test_every_network_has_its_mark_its_accuracy_and_its_size():
    records = [tuned(network, 90.0) for network in DENSE]
    records += [tuned("speednet", 94.0)]
    records += [pruned(name, 80.0 + k / 2) for k, name in enumerate(PRUNED_NAMES)]
    figure = size_figure(records) or ""
    text, shown = said(figure), texts(figure)
    assert "ResNet18 (ours, dense): 90.00 %, 11,173,962 parameters." in text
    assert "SpeedNet (ours, dense): 94.00 %, 991,032 parameters." in text
    for k, name in enumerate(PRUNED_NAMES):
        pruning = find_pruned(name).pruning
        size = 701_466 if pruning is None else pruning.max_params
        assert f"): {80 + k / 2:.2f} %, {size:,} parameters." in text
    assert "Not trained here" not in text
    assert "With test-time flips: SpeedNet." in text
    assert "the paper's ResNet18_S (the paper's): 91.72 %, 701,466 parameters." in text
    assert "the paper's ResNet18 (the paper's): 94.13 %, 11,173,962 parameters." in text
    for dot in published():
        about = f"{dot.accuracy_percent:.2f} %, {dot.num_params:,} parameters."
        assert f"{dot.name} ({dot.kind}, {dot.source}): {about}" in text
    # A number beside each mark, and its name in the key.
    total = len(records) + 2 + len(published())
    key = [line.split(" ", 2) for line in shown if line.endswith(" M")]
    assert [int(number) for number, _, _ in key] == list(range(1, total + 1))
    assert all(number in shown for number, _, _ in key)
    hows = ("dense", "channels removed", "weights masked", "pruned shape, fresh weights")
    assert {f"ours, {how}" for how in hows} <= set(shown)


def test_a_pruned_network_is_linked_with_what_it_was_pruned_from():
    def links(*records):
        return len(lines(size_figure(records) or "", f"{AXIS[0]}; stroke-linecap: square")) // 2

    small = pruned("resnet18_s-250k-channels", 89.0)
    scratch = pruned("resnet18_s-250k-scratch", 89.0)
    assert links(small) == 0
    assert links(small, tuned("resnet18_s", 90.0)) == 1
    assert links(scratch, tuned("resnet18_s", 90.0)) == 0
    assert links(pruned("ticket-50", 88.0), pruned("ticket-dense", 88.5)) == 1


def test_seeds_are_averaged_and_counted():
    records = [tuned("vgg16_s", 80.0 + run, run) for run in (0, 1, 2, 1)]
    text = size_text(records)
    assert "VGG16_S (ours, dense): 81.00 %, 955,098 parameters, 3 seeds." in text
    assert "the mean of up to 3 seeds each" in text


def test_what_was_judged_gives_the_size():
    judged = {"num_params": 990_000, "num_nonzeros": 987_654}
    text = size_text([pruned("resnet18-1m-channels", 92.5) | {"judged": judged}])
    assert "ResNet18 (ours, channels removed): 92.50 %, 987,654 parameters." in text


@pytest.mark.parametrize(
    "records",
    [
        [],
        [tuned("resnet18_s", math.nan)],
        [tuned("resnet18_s", 1e9)],
        [record(find_recipe("tuned", "cifar100", "resnet18_s", "sgdm"), 60.0)],
        [record(find_recipe("tuned", "cifar10", "resnet18_s", "adam"), 90.0)],
        [record(replace(find_pruned("ticket-5"), holdout=5000), 90.0)],
        [record(replace(find_pruned("ticket-5"), epochs=99), 90.0)],
    ],
)
def test_without_accuracies_of_the_test_set_there_is_no_such_figure(records):
    assert size_figure(records) is None


def test_the_current_recipe_counts_or_else_the_latest():
    current = find_recipe("tuned", "cifar10", "vit_s", "adam")
    records = [
        record(current, 70.0),
        record(replace(current, epochs=3), 60.0, time="2027-01-01T00:00:00Z"),
        record(replace(current, epochs=4), 50.0, time="2025-01-01T00:00:00Z"),
    ]
    for given in itertools.permutations(records):
        assert "ViT_S (ours, dense): 70.00 %" in size_text(given)
    assert "ViT_S (ours, dense): 60.00 %" in size_text(records[1:])


def test_the_sizes_are_the_networks_own():
    assert {name: count_on_meta(name) for name in NUM_PARAMS} == NUM_PARAMS


def test_the_command_reads_curves_and_records_and_names_bad_files(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    write_curve(folder, curve("l1_structured"))
    write_curve(folder / "curves", curve(network="vgg16_s", optimizer="sgdm"))
    small = pruned("vgg16-1m-channels", 90.0)
    for name, content in {
        "record.json": json.dumps(small).encode(),
        "held.json": json.dumps(small | {"recipe": small["recipe"] | {"holdout": 5000}}).encode(),
        "bytes.json": b"\xff\xfe\x00",
        "deep.json": b"[" * 100_000,
        "curves/list.json": b"[1]",
        "curves/half.json": b'{"technique":',
        "curves/README.md": b"words",
    }.items():
        (folder / name).write_bytes(content)
    (folder / "folder.json").mkdir()
    assert main([str(out), str(folder)]) == 0
    shown = capsys.readouterr()
    names = {"figure-17", "figure-17-small", "figure-accuracy-parameters"}
    assert {path.stem for path in out.iterdir()} == names
    assert {Path(text).stem for text in shown.out.splitlines()} == names
    size = (out / "figure-accuracy-parameters.svg").read_text("utf-8")
    assert "VGG16 (ours, channels removed): 90.00 %, 1,000,000 parameters." in size
    warnings = shown.err.splitlines()
    named = [Path(text.split(": ")[1]).stem for text in warnings]
    assert named == ["bytes", "deep", "folder", "held", "half", "list"]
    assert all(text.startswith("warning: ") for text in warnings)
