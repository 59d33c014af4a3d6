"""smallnet_core.figures: what a figure shows, what it says aloud, and what it lacks."""

import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.names import NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.figures import style, training
from smallnet_core.figures.__main__ import main
from smallnet_core.figures.records import read_run
from smallnet_core.figures.style import COLOURS, Panel
from smallnet_core.recipes import find_recipe
from smallnet_core.system.files import ZOO_DIR
from tests.drawn import SVG, lines, record_of, said, texts

ROOT = Path(__file__).resolve().parent.parent

# Which table's accuracies each figure leads to, and whether it is drawn an optimizer at a time.
TABLE_OF = {8: 2, 9: 2, 10: 3, 11: 3, 13: 4, 14: 4, 15: 5, 16: 5}
BY_LETTER = {"a": "SGDM", "b": "ADAM", "c": "AdaBound"}
BY_OPTIMIZER = {9, 11, 13, 16}
WRONG_CAPTIONS = {13, 16}
ROWS_OF = {
    2: ("cifar10", ("resnet18", "resnet18_s")),
    3: ("cifar100", ("resnet18", "resnet18_s")),
    4: ("cifar10", ("vit", "vit_s")),
    5: ("cifar100", ("vit", "vit_s")),
}


def record(
    network: str = "resnet18_s",
    optimizer: str = "adam",
    dataset: str = "cifar10",
    kind: str = "tuned",
    seed: int = 0,
    test: Sequence[float | None] = (40.0, 60.0, 80.0),
    **fields: Any,
) -> dict[str, Any]:
    """A record of the suite's own recipe unless ``fields`` differ."""
    found = record_of(replace(find_recipe(kind, dataset, network, optimizer), seed=seed), test)
    found["recipe"] |= fields
    return found


def records_of_table(table: int, **fields: Any) -> list[dict[str, Any]]:
    dataset, networks = ROWS_OF[table]
    rows = itertools.product(networks, OPTIMIZER_NAMES)
    return [record(network, optimizer, dataset, **fields) for network, optimizer in rows]


def paper_figures(records: Sequence[Any], **fields: Any) -> dict[str, str]:
    runs = [read_run(json.dumps(record).encode()) for record in records]
    return training.paper_figures(runs, **fields)


def drawn(y: Sequence[float | None], label: str = "a line", **texts: str) -> str:
    def plot(axes: Any) -> None:
        style.plot(axes, range(len(y)), y, label=label, **style.line(0))

    panel = Panel(title="a panel", unit="nats", x_label="epoch", plot=plot)
    return style.svg([[panel]], **{"title": "t", "description": "d", "note": "", **texts})


def test_screen_readers_get_one_image_with_a_name_and_a_description():
    label = "$a$ <line> & more"
    svg = drawn([1, 2], label, title="<A> & name", description="Words.", note="A note.")
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    ids = {found.get("id"): found.text for found in root.iter() if found.get("id")}
    name, description = root.attrib["aria-labelledby"].split()
    assert (ids[name], ids[description]) == ("<A> & name", "Words. A note.")
    assert {"<A> & name", "A note.", label, "a panel", "nats", "epoch"} <= set(texts(svg))
    assert root.attrib["aria-labelledby"] not in drawn([1, 2]), "one page may hold two figures"


def test_every_colour_turns_where_dark_is_preferred():
    figure = paper_figures(records_of_table(2))["figure-08"].replace("\n", "")
    sheet = "".join(
        found.text or "" for found in ElementTree.fromstring(figure).iter(f"{SVG}style")
    )
    _, dark = sheet.split("@media screen and (prefers-color-scheme: dark)")
    used = set(re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", figure.split("</style>", 1)[1]))
    assert len(used) > 8
    for colour in used:
        assert f'[style*="{colour}"]' in dark
    rules = re.findall(r"(?:^|[}{])([^{}@]+)\{", sheet)
    assert rules and all(rule.startswith(".snf ") for rule in rules), "and nothing outside"


def test_nothing_in_it_runs_or_comes_from_elsewhere():
    figure = paper_figures(records_of_table(2))["figure-08"]
    root = ElementTree.fromstring(figure)
    assert figure.startswith("<svg ") and root.get("viewBox") is not None
    links = [value for found in root.iter() for name, value in found.items() if "href" in name]
    assert all(link.startswith("#") for link in links)
    assert root.find(f".//{SVG}script") is None
    assert "@import" not in figure and not re.search(r"url\((?!#)", figure)
    assert not re.search(r"\bnan\b|20\d\d-\d\d-\d\d", figure), "no date"


@pytest.mark.parametrize("missing", [math.nan, math.inf, 1e308, None])
def test_a_point_that_was_not_measured_is_skipped(missing):
    (line,) = lines(drawn([1, missing, 4, missing, missing]), COLOURS[0][0])
    assert (line.count("M"), line.count("L")) == (1, 1)
    assert lines(drawn([missing, missing]), COLOURS[0][0]) == []


@pytest.mark.parametrize("number", TABLE_OF)
def test_a_figure_shows_its_tables_networks_and_accuracies(number):
    table = TABLE_OF[number]
    figures = paper_figures(records_of_table(table))
    assert figures.keys() == {f"figure-{n:02}" for n, t in TABLE_OF.items() if t == table}
    figure = figures[f"figure-{number:02}"]
    shown = texts(figure)
    for network in ROWS_OF[table][1]:
        for optimizer in OPTIMIZER_NAMES:
            name = f"{NETWORK_NAMES[network]} {OPTIMIZER_NAMES[optimizer]}"
            paper = CLAIMS[f"table{table}/{network}-{optimizer}"].paper_value
            assert shown.count(name) == 2, "in the legend, and beside the paper's value"
            assert any(re.fullmatch(rf"{paper:g}[.0]*(, did not learn)?", text) for text in shown)
            assert f"test accuracy from 40.00 to 80.00 % (paper: {paper:g}" in said(figure)
    for optimizer in range(3):
        assert len(lines(figure, COLOURS[optimizer][0])) == 2 * 3
    heads = [text for text in shown if text.lower().endswith("test accuracy")]
    if number in BY_OPTIMIZER:
        assert heads == [f"({letter}) {name}: test accuracy" for letter, name in BY_LETTER.items()]
    else:
        assert heads == ["Test accuracy"]
    assert f"Figure {number} redrawn: " in figure
    assert "Not trained here" not in said(figure)
    assert ("caption names" in said(figure)) == (number in WRONG_CAPTIONS)


def test_vgg_is_held_against_not_learning():
    figures = paper_figures([record("vgg16_s", "sgdm")])
    assert figures.keys() == {"figure-12"}
    assert "did not learn" in texts(figures["figure-12"])
    assert "Not trained here: VGG16." in said(figures["figure-12"])
    whole = paper_figures([record("vgg16_s", "adam"), record("vgg16", "adabound")])["figure-12"]
    assert "Not trained here" not in said(whole)


def test_what_is_not_trained_is_said_and_its_rows_left_out():
    figures = paper_figures([record("resnet18_s", "adam")])
    assert figures.keys() == {"figure-08", "figure-09"}
    lacking = "Not trained here: ResNet18 with SGDM, ADAM and AdaBound; ResNet18_S with SGDM and "
    for figure in figures.values():
        assert lacking in said(figure) and lacking in " ".join(texts(figure))
    panels = texts(figures["figure-09"])
    assert "(b) ADAM: test accuracy" in panels
    assert "(a) SGDM: test accuracy" not in panels


@pytest.mark.parametrize(
    "records",
    [[], [record(dataset="digits", kind="quick")], [record(holdout=5000)], [record(test=())]],
    ids=["none", "digits", "held out", "no epoch"],
)
def test_without_a_curve_of_the_test_set_there_is_no_figure(records):
    assert paper_figures(records) == {}


def test_recipes_of_two_kinds_are_not_mixed():
    tuned, paper = record(optimizer="adam"), record(optimizer="sgdm", kind="paper")
    more = [tuned, record(optimizer="adabound"), paper]
    text = said(paper_figures(more)["figure-08"])
    assert "Ours: tuned recipes, 3 epochs." in text
    assert "left out: ResNet18_S with SGDM." in text
    assert "Not trained here: ResNet18 with SGDM, ADAM and AdaBound. " in text
    assert "Ours: paper recipes" in said(paper_figures([tuned, paper])["figure-08"])
    chosen = said(paper_figures(more, kind="paper")["figure-08"])
    assert "Ours: paper recipes" in chosen and "ResNet18_S ADAM" not in chosen


def test_every_seed_is_drawn_once():
    runs = [record(seed=seed, test=[50.0 + seed, 60.0 + seed]) for seed in (0, 1, 2, 1)]
    figure = paper_figures(runs)["figure-08"]
    assert len(lines(figure, COLOURS[1][0])) == 3 * 3
    assert {"ResNet18_S ADAM (3 seeds)", "61.00"} <= set(texts(figure)), "and their mean"
    assert "seed 2: 2 epochs" in said(figure)


def test_smoothed_labels_are_owned_up_to():
    smoothed = paper_figures([record()])["figure-08"]
    assert "Their loss is with labels smoothed by 0.1." in said(smoothed)
    assert "smoothed" not in said(paper_figures([record(kind="paper")])["figure-08"])


def test_a_run_evaluated_now_and_then_or_diverged_is_drawn_where_it_was_measured():
    figure = paper_figures([record(test=[30.0, None, 40.0, None, math.nan])])["figure-08"]
    assert "from 30.00 to 40.00 %" in said(figure)
    points = [line.count("L") + line.count("M") for line in lines(figure, COLOURS[1][0])]
    assert points == [5, 5, 2]


def test_the_command_writes_the_zoos_figures_in_any_process_the_same(tmp_path, capsys):
    """Draws all twice, which takes some seconds."""
    out, other = tmp_path / "new" / "folder", tmp_path / "other"
    assert main([str(out)]) == 0
    shown = capsys.readouterr()
    assert "warning" not in shown.err
    assert sorted(Path(text) for text in shown.out.splitlines()) == sorted(out.iterdir())
    others = {"figure-17", "figure-17-small", "figure-accuracy-parameters"}
    assert {"figure-08", "figure-09", "figure-12", *others} <= {path.stem for path in out.iterdir()}
    current = find_recipe("tuned", "cifar10", "resnet18_s", "sgdm").name
    last = json.loads((ZOO_DIR / f"{current}.json").read_bytes())["curve"][-1][
        "test_accuracy_percent"
    ]
    assert f"to {last:.2f} %" in said((out / "figure-08.svg").read_text("utf-8"))
    subprocess.run(
        [sys.executable, "-m", "smallnet_core.figures", str(other)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},  # sets in another order
        check=True,
        capture_output=True,
        timeout=60,
    )
    for path in out.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_without_matplotlib_a_line_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, list(tmp_path.iterdir())) == ("", [])
    (line,) = shown.err.splitlines()
    assert "pip install 'smallnet[figures]'" in line


def test_unusable_folders_and_no_curve_at_all_are_one_line(tmp_path, capsys):
    file, out = tmp_path / "file", tmp_path / "out"
    file.touch()
    (tmp_path / "empty").mkdir()
    for arguments, status, expected in (
        ([file], 2, f"{file}: expected a folder"),
        ([out, tmp_path / "absent"], 2, f"{tmp_path / 'absent'}: expected a folder"),
        ([out, file], 2, f"{file}: expected a folder"),
        ([out, tmp_path / "empty"], 1, "none of 0 records"),
    ):
        assert main([str(argument) for argument in arguments]) == status
        shown = capsys.readouterr()
        (text,) = shown.err.splitlines()
        assert shown.out == "" and all(part in text for part in expected.split(": "))
