"""smallnet_core.figures: whatever goes in, a whole drawing comes out, and it says what it lacks."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.claims import CLAIMS, NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.figures import (
    main,
    paper_figures,
    write_figures,
)
from smallnet_core.recipes import find_recipe
from smallnet_core.svg import (
    DARK,
    LIGHT,
    STYLE_KEYS,
    STYLES,
    WIDTH,
    Panel,
    Reference,
    Series,
    spread,
    svg,
)

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "smallnet_core" / "zoo"
SVG = "{http://www.w3.org/2000/svg}"

# Which table's accuracies each figure leads to, and whether it is drawn an optimizer at a time.
TABLE_OF = {8: 2, 9: 2, 10: 3, 11: 3, 13: 4, 14: 4, 15: 5, 16: 5}
BY_OPTIMIZER = {9, 11, 13, 16}
ROWS_OF = {
    2: ("cifar10", ("resnet18", "resnet18_s")),
    3: ("cifar100", ("resnet18", "resnet18_s")),
    4: ("cifar10", ("vit", "vit_s")),
    5: ("cifar100", ("vit", "vit_s")),
}


def panel(**fields: Any) -> Panel:
    given: dict[str, Any] = {"title": "loss", "x_label": "epoch", "y_label": "nats", "series": ()}
    return Panel(**{**given, **fields})


def line(y: Sequence[float | None], **fields: Any) -> Series:
    return Series(**{"label": "a line", "x": list(range(len(y))), "y": y, "style": "1", **fields})


def draw(*panels: Panel, **fields: Any) -> ElementTree.Element:
    return ElementTree.fromstring(svg(panels, **{"title": "t", "description": "d", **fields}))


def record(
    network: str = "resnet18_s",
    optimizer: str = "adam",
    dataset: str = "cifar10",
    kind: str = "tuned",
    seed: int = 0,
    test: Sequence[float | None] = (40.0, 60.0, 80.0),
    **fields: Any,
) -> dict[str, Any]:
    """A record as the model cache writes it, of the suite's own recipe unless ``fields`` differ."""
    time = fields.pop("time", "2026-01-01T00:00:00Z")
    recipe = replace(find_recipe(kind, dataset, network, optimizer), seed=seed).canonical()
    curve = [
        {
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "train_accuracy_percent": 50.0 + epoch,
            "test_accuracy_percent": value,
        }
        for epoch, value in enumerate(test, 1)
    ]
    return {"recipe": {**recipe, **fields}, "curve": curve, "time": time}


def records_of_table(table: int, **fields: Any) -> list[dict[str, Any]]:
    dataset, networks = ROWS_OF[table]
    return [
        record(network, optimizer, dataset, **fields)
        for network in networks
        for optimizer in OPTIMIZER_NAMES
    ]


def texts(root: ElementTree.Element, kind: str) -> list[str]:
    """The visible texts of a class, without what shows under a pointer only."""
    return [
        (found.text or "") + "".join(child.tail or "" for child in found)
        for found in root.iter(f"{SVG}text")
        if found.get("class") == kind
    ]


def described(figure: str) -> str:
    return ElementTree.fromstring(figure).findtext(f"{SVG}desc") or ""


def paths(root: ElementTree.Element, kind: str) -> list[str]:
    return [
        found.attrib["d"]
        for found in root.iter(f"{SVG}path")
        if kind in found.attrib["class"].split()
    ]


def corners(path: str) -> Iterator[tuple[float, float]]:
    """Every point that a path of this module's commands goes through."""
    x = y = 0.0
    for command, rest in re.findall(r"([MLhvaz])([^MLhvaz]*)", path):
        numbers = [float(text) for text in re.split(r"[ ,]+", rest.strip()) if text]
        if command in "ML":
            for x, y in zip(numbers[::2], numbers[1::2], strict=True):
                yield x, y
        elif command == "a":
            x, y = x + numbers[5], y + numbers[6]
            yield x, y
        elif command in "hv":
            (by,) = numbers
            x, y = (x + by, y) if command == "h" else (x, y + by)
            yield x, y


# Drawing

anything = st.one_of(st.floats(), st.integers(-9, 9), st.sampled_from([None, 10**400]))
labels = st.text(max_size=20)


@st.composite
def any_series(draw: st.DrawFn) -> Series:
    pairs = draw(st.lists(st.tuples(anything, anything), max_size=8))
    return Series(
        label=draw(labels),
        x=[x for x, _ in pairs],
        y=[y for _, y in pairs],
        style=draw(st.sampled_from(sorted(STYLES))),
        joined=draw(st.booleans()),
        names=draw(st.lists(labels, min_size=len(pairs), max_size=len(pairs)))
        if draw(st.booleans())
        else (),
    )


@st.composite
def any_panel(draw: st.DrawFn) -> Panel:
    log_y = draw(st.booleans())
    low, high = sorted(draw(st.tuples(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300))))
    references = st.builds(Reference, value=st.floats(allow_nan=False), label=labels)
    points = st.tuples(st.floats(), st.floats())
    return Panel(
        title=draw(labels),
        x_label=draw(labels),
        y_label=draw(labels),
        series=draw(st.lists(any_series(), max_size=4)),
        references=draw(st.lists(references, max_size=8)),
        links=draw(st.lists(st.tuples(points, points), max_size=3)),
        x_range=(low, high) if low < high and draw(st.booleans()) else None,
        y_range=(low, high) if low < high and draw(st.booleans()) else None,
        log_x=draw(st.booleans()),
        log_y=log_y,
    )


# Some seconds in all: a drawing takes ten milliseconds, and making one up as long again.
@settings(deadline=None, max_examples=60)
@given(st.lists(any_panel(), min_size=1, max_size=5), labels, st.integers(1, 4))
def test_any_input_gives_well_formed_xml_inside_its_view_box(
    panels: list[Panel], text: str, columns: int
) -> None:
    figure = svg(panels, title=text, description=text, note=text, columns=columns)
    root = ElementTree.fromstring(figure)
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    assert (left, top, width) == (0, 0, WIDTH)
    for found in root.iter():
        for name in ("d", "x", "y", "width", "height"):
            assert not re.search("nan|inf|e", found.get(name, "0")), found.attrib
        if found.tag == f"{SVG}path":
            for x, y in corners(found.attrib["d"]):
                assert 0 <= x <= width and 0 <= y <= height, found.attrib
        if found.tag == f"{SVG}text":
            assert 0 <= float(found.attrib["x"]) <= width, found.attrib
            assert 0 <= float(found.attrib["y"]) <= height, found.attrib


@settings(deadline=None, max_examples=25)
@given(st.lists(any_panel(), min_size=1, max_size=3), labels)
def test_the_same_input_gives_the_same_bytes(panels: list[Panel], text: str) -> None:
    assert svg(panels, title=text, description="") == svg(panels, title=text, description="")


@settings(deadline=None, max_examples=80)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_a_linear_axis_has_a_few_different_labels_around_every_value(values: list[float]) -> None:
    root = draw(panel(series=[line(values)]))
    ticks = [
        found.text or ""
        for found in root.iter(f"{SVG}text")
        if found.get("class") == "small" and found.get("text-anchor") == "end"
    ]
    assert 2 <= len(set(ticks)) == len(ticks) <= 12
    numbers = [float(tick) for tick in ticks]
    assert numbers == sorted(numbers)
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    digits = {f"{step:.0e}"[0] for step in steps if math.isfinite(step)}
    assert len(digits - {"1", "2", "5"}) == 0 or max(map(abs, numbers)) > 1e300


def test_nothing_in_it_runs_or_comes_from_elsewhere() -> None:
    figure = paper_figures(records_of_table(2))["figure-08"]
    root = ElementTree.fromstring(figure)
    assert {found.tag.removeprefix(SVG) for found in root.iter()} == {
        *("svg", "title", "desc", "style", "rect", "g", "path", "text"),
    }
    names = {name for found in root.iter() for name in found.attrib}
    assert not [name for name in names if name.startswith("on") or "href" in name]
    assert re.findall("https?://[^\"']*", figure) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in figure and "@import" not in figure and "NaN" not in figure


def test_text_is_escaped_and_what_xml_cannot_hold_replaced() -> None:
    hostile = "</text><script>alert('&')</script>\x00\ud800\ufffe\""
    shown = "</text><script>alert('&')</script>\ufffd\ufffd\ufffd\""
    root = draw(
        panel(
            title=hostile,
            x_label=hostile,
            y_label=hostile,
            series=[line([1, 2], label=hostile)],
            references=[Reference(value=1, label=hostile)],
        ),
        title=hostile,
        description=hostile,
    )
    assert root.findtext(f"{SVG}title") == shown
    assert root.findtext(f"{SVG}desc") == shown
    assert texts(root, "title") == [shown]
    assert texts(root, "head") == [shown]
    assert shown in texts(root, "label")
    assert root.find(f".//{SVG}script") is None


def test_screen_readers_get_one_image_with_a_name_and_a_description() -> None:
    root = draw(panel(series=[line([1, 2])]), title="A name", description="Words.", note="A note.")
    assert root.get("role") == "img"
    ids = {found.get("id"): found.text for found in root.iter() if found.get("id")}
    name, description = root.attrib["aria-labelledby"].split()
    assert ids == {name: "A name", description: "Words. A note."}
    other = draw(panel(series=[line([1, 3])]), title="A name", description="Words.", note="A note.")
    assert other.get("aria-labelledby") != root.get("aria-labelledby"), "one HTML page, two figures"


def test_the_style_sheet_has_a_dark_half_and_touches_nothing_outside() -> None:
    sheet = draw(panel()).findtext(f"{SVG}style") or ""
    light, _, dark = sheet.partition("@media screen and (prefers-color-scheme: dark){")
    assert LIGHT["ink"] in light and DARK["ink"] in dark and DARK["ink"] not in light
    for selectors in re.findall(r"([^{}]+)\{", light + dark):
        assert all(selector.startswith(".snf") for selector in selectors.split(",")), selectors


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    shares = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_and_text_stand_out_from_their_paper(theme: dict[str, Any]) -> None:
    assert contrast(theme["ink"], theme["paper"]) >= 7
    assert contrast(theme["muted"], theme["paper"]) >= 4.5
    for colour in theme["lines"]:
        assert contrast(colour, theme["paper"]) >= 3, colour
    assert len(set(theme["lines"])) == len(STYLE_KEYS)


def test_styles_differ_without_their_colour_too() -> None:
    assert len(STYLE_KEYS) == 9
    for group in (STYLE_KEYS, STYLES.keys() - set(STYLE_KEYS)):
        looks = [(STYLES[key].dash, STYLES[key].marker, STYLES[key].hollow) for key in group]
        assert len(set(looks)) == len(looks)
    assert len({STYLES[key].marker for key in STYLE_KEYS}) == 9


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_not_finite_breaks_the_line(missing: float | None) -> None:
    root = draw(panel(series=[line([1, 2, missing, 4, 5])]))
    (path,) = (p for p in paths(root, "line") if "L" in p)
    assert path.count("M") == 2
    assert len(list(corners(path))) == 4


def test_a_lonely_point_is_marked_for_no_line_reaches_it() -> None:
    ys = [1.0, None] * 40
    root = draw(panel(series=[line(ys)]))
    *_, marks = paths(root, "mark")
    assert marks.count("M") == 40


def test_a_line_leaves_the_range_at_its_edge() -> None:
    root = draw(panel(series=[line([0, 100, 0])], y_range=(0, 50)))
    (path,) = (p for p in paths(root, "line") if "L" in p)
    points = list(dict.fromkeys(corners(path)))
    assert path.count("M") == 2
    (x0, bottom), (x1, top), (x2, top_again), (x3, bottom_again) = points
    assert (top, bottom) == (top_again, bottom_again) and top < bottom
    assert x1 - x0 == pytest.approx((x3 - x0) / 4, abs=0.02)
    assert x2 - x0 == pytest.approx((x3 - x0) * 3 / 4, abs=0.02)


def test_a_long_trace_is_thinned_and_keeps_its_peaks() -> None:
    ys = [float(step % 2) for step in range(20_000)]
    ys[12_345] = 10.0
    whole = svg([panel(series=[line(ys)])], title="t", description="d")
    assert len(whole) < 60_000
    drawn = [p for p in paths(ElementTree.fromstring(whole), "line") if "L" in p]
    heights = sorted({y for _, y in corners(drawn[0])})
    assert len(heights) == 3, "0, 1, and the one 10"


def test_a_logarithmic_axis_is_marked_in_powers_of_ten_and_leaves_out_the_rest() -> None:
    values = [1e-3, 1.0, 0.0, -5.0, 1e3]
    root = draw(panel(series=[line(values)], log_y=True))
    labels_shown = texts(root, "small")
    assert {"0.001", "0.1", "10", "1000"} <= set(labels_shown) or {"0.01", "1", "100"} <= set(
        labels_shown
    )
    path, *_ = (p for p in paths(root, "line") if "L" in p)
    (_, low), (_, middle) = dict.fromkeys(corners(path))
    assert path.count("M") == 1, "1000 stands alone behind the gap"
    ys = [y for _, y in corners(paths(root, "mark")[-1])]
    assert low - middle == pytest.approx(middle - min(ys), abs=8)


def test_the_legend_names_every_line_once_and_seeds_are_thin() -> None:
    seeds = [line([1, 2], label="both"), line([2, 3], label="both")]
    root = draw(
        panel(series=[*seeds, line([3, 4], label="one", style="2")]),
        panel(series=[*seeds], references=[Reference(value=1, label="here")]),
        reference_name="paper",
    )
    assert sorted(texts(root, "label")) == ["both", "here", "one", "paper"]
    assert len(paths(root, "thin")) == 4


def test_few_lines_far_apart_are_named_beside_them() -> None:
    apart = [line([k * 10.0] * 5, label=f"line {k}", style=STYLE_KEYS[k]) for k in range(3)]
    assert texts(draw(panel(series=apart)), "label").count("line 1") == 2
    close = [replace(found, y=[1.0] * 5) for found in apart]
    assert texts(draw(panel(series=close)), "label").count("line 1") == 1


def test_points_that_are_not_joined_all_have_their_mark_and_no_line() -> None:
    root = draw(panel(series=[line([1.0, 2.0] * 20, joined=False)]))
    assert [path for path in paths(root, "line") if path] == []
    legend, marks = paths(root, "mark")
    assert (legend.count("M"), marks.count("M")) == (1, 40)


def test_what_lies_outside_a_given_x_range_is_left_out() -> None:
    links = [((1, 1), (3, 3)), ((1, 1), (9, 2))]
    root = draw(panel(series=[line([1, 2, 3, 4, 5])], x_range=(1, 3), links=links))
    (path,) = (p for p in paths(root, "line") if "L" in p)
    assert len(list(corners(path))) == 3
    link = paths(root, "axis")[1]
    assert link.count("M") == 1 and len(list(corners(link))) == 2


def test_names_stand_beside_their_points_as_far_as_there_is_room() -> None:
    names = [f"point {k}" for k in range(5)]
    apart = draw(panel(series=[line([1, 5, 2, 4, 3], joined=False, names=names)]))
    assert set(names) < set(texts(apart, "label"))
    crowd = [f"point {k}" for k in range(99)]
    root = draw(panel(series=[line([1.0] * 99, x=[1.0] * 99, joined=False, names=crowd)]))
    shown = [text for text in texts(root, "label") if text in crowd]
    assert shown == crowd[: len(shown)] and 2 < len(shown) < 40
    boxes = {
        (found.get("x"), found.get("y"))
        for found in root.iter(f"{SVG}text")
        if (found.text or "") in shown
    }
    assert len(boxes) == len(shown)


def test_a_figure_may_be_higher() -> None:
    def height(**fields: Any) -> float:
        return float(draw(panel(series=[line([1, 2])]), **fields).attrib["height"])

    assert height(plot_height=300) - height() == 300 - 190


def test_a_panel_without_data_says_so() -> None:
    assert "no data" in texts(draw(panel(series=[line([None, None])])), "small")


@given(
    st.lists(st.floats(0, 190), max_size=14),
    st.just(13.0),
)
def test_labels_are_spread_in_their_order_and_no_further_than_needed(
    wanted: list[float], distance: float
) -> None:
    places = spread(wanted, distance, 0.0, 190.0)
    ordered = sorted(zip(wanted, places, strict=True))
    for (_, before), (_, after) in itertools.pairwise(sorted(ordered, key=lambda pair: pair[1])):
        assert after - before >= distance - 1e-6
    assert [place for _, place in ordered] == sorted(places)
    assert all(-1e-6 <= place <= 190 + 1e-6 for place in places)
    if all(b - a >= distance for a, b in itertools.pairwise(sorted(wanted))):
        assert places == pytest.approx(wanted)


def test_what_cannot_be_drawn_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="no panels"):
        svg([], title="t", description="d")
    with pytest.raises(ValueError, match="expected 1 to 4"):
        svg([panel()], title="t", description="d", columns=0)
    with pytest.raises(ValueError, match="unknown style 'red'; known: 1, 2"):
        line([1], style="red")
    with pytest.raises(ValueError, match="has 1 x values and 2 y"):
        line([1, 2], x=[1])
    with pytest.raises(ValueError, match="has 2 points and 1 names"):
        line([1, 2], names=["one"])
    with pytest.raises(ValueError, match=r"y range .* expected low < high"):
        panel(y_range=(1, 1))
    with pytest.raises(ValueError, match=r"x range .* expected low < high"):
        panel(x_range=(2, 1))
    with pytest.raises(ValueError, match="logarithmic"):
        panel(y_range=(0, 1), log_y=True)
    with pytest.raises(ValueError, match="unknown style 'x'"):
        panel(references=[Reference(value=1, label="", style="x")])


# The paper's figures


@pytest.mark.parametrize("number", TABLE_OF)
def test_a_figure_shows_its_tables_networks_and_accuracies(number: int) -> None:
    table = TABLE_OF[number]
    figures = paper_figures(records_of_table(table))
    assert figures.keys() == {f"figure-{n:02}" for n, t in TABLE_OF.items() if t == table}
    root = ElementTree.fromstring(figures[f"figure-{number:02}"])
    networks = ROWS_OF[table][1]
    rows = [(network, optimizer) for network in networks for optimizer in OPTIMIZER_NAMES]
    names = {row: f"{NETWORK_NAMES[row[0]]} {OPTIMIZER_NAMES[row[1]]}" for row in rows}
    shown = texts(root, "label")
    for row, name in names.items():
        (printed,) = (text.split()[0] for text in shown if re.fullmatch(rf"[\d.]+ {name}", text))
        assert float(printed) == CLAIMS[f"table{table}/{row[0]}-{row[1]}"].paper_value
        assert name in shown, "in the legend"
    assert len(paths(root, "reference")) == 6 + 1, "and the legend's"
    heads = texts(root, "head")
    if number in BY_OPTIMIZER:
        assert [head for head in heads if head.endswith("test accuracy")] == [
            f"({letter}) {name}: test accuracy"
            for letter, name in zip("abc", ("SGDM", "ADAM", "AdaBound"), strict=True)
        ]
    else:
        assert heads == ["Training loss", "Training accuracy", "Test accuracy"]
    title = texts(root, "title")[0]
    assert title.startswith(f"Figure {number} redrawn: ")
    assert "Not trained here" not in described(figures[f"figure-{number:02}"])


def test_labels_of_close_accuracies_do_not_touch() -> None:
    root = ElementTree.fromstring(paper_figures(records_of_table(2))["figure-08"])
    heights = sorted(
        float(found.attrib["y"])
        for found in root.iter(f"{SVG}text")
        if re.match(r"\d\d\.\d\d ", found.text or "")
    )
    assert len(heights) == 6
    assert all(below - above >= 12 for above, below in itertools.pairwise(heights))


def test_vgg_is_held_against_not_learning() -> None:
    figures = paper_figures([record("vgg16_s", "sgdm")])
    assert figures.keys() == {"figure-12"}
    root = ElementTree.fromstring(figures["figure-12"])
    chance = CLAIMS["section-5.2/vgg16"].paper_value
    assert f"{chance:g} did not learn" in texts(root, "label")
    assert "Not trained here: VGG16." in described(figures["figure-12"])
    whole = paper_figures([record("vgg16_s", "adam"), record("vgg16", "adabound")])["figure-12"]
    assert "Not trained here" not in described(whole)


def test_what_is_not_trained_is_said_and_its_rows_left_out() -> None:
    figures = paper_figures([record("resnet18_s", "adam")])
    assert figures.keys() == {"figure-08", "figure-09"}
    for figure in figures.values():
        root = ElementTree.fromstring(figure)
        lacking = (
            "Not trained here: ResNet18 with SGDM, ADAM and AdaBound; "
            "ResNet18_S with SGDM and AdaBound."
        )
        assert lacking in described(figure)
        assert lacking in " ".join(texts(root, "small"))
    heads = texts(ElementTree.fromstring(figures["figure-09"]), "head")
    assert [head.split(":")[0] for head in heads] == ["(b) ADAM"] * 3


def test_captions_that_name_the_wrong_network_are_remarked_on() -> None:
    figures = {**paper_figures(records_of_table(4)), **paper_figures(records_of_table(5))}
    remarked = {name for name, figure in figures.items() if "caption names" in described(figure)}
    assert remarked == {"figure-13", "figure-16"}


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record("resnet18_s", "adam", "digits", kind="quick")],
        [record(holdout=5000)],
        [record(test=())],
    ],
    ids=["none", "digits", "held out", "no epoch"],
)
def test_without_a_curve_of_the_test_set_there_is_no_figure(records: list[Any]) -> None:
    assert paper_figures(records) == {}


def test_recipes_of_two_kinds_are_not_mixed() -> None:
    tuned, paper = record(optimizer="adam"), record(optimizer="sgdm", kind="paper")
    more = [tuned, record(optimizer="adabound"), paper]
    text = described(paper_figures(more)["figure-08"])
    assert "Ours: tuned recipes, 3 epochs." in text
    assert "left out: ResNet18_S with SGDM." in text
    assert "Not trained here: ResNet18 with SGDM, ADAM and AdaBound. " in text
    assert "Ours: paper recipes" in described(paper_figures([tuned, paper])["figure-08"])
    chosen = described(paper_figures(more, kind="paper")["figure-08"])
    assert "Ours: paper recipes" in chosen and "ResNet18_S ADAM" not in chosen


def test_the_current_recipe_counts_or_else_the_latest() -> None:
    current = record(test=[11.0])
    old = record(test=[22.0], epochs=3, time="2027-01-01T00:00:00Z")
    older = record(test=[33.0], epochs=4, time="2025-01-01T00:00:00Z")
    for records in itertools.permutations([current, old, older]):
        assert "from 11.00 to 11.00 %" in described(paper_figures(records)["figure-08"])
    assert "from 22.00 to 22.00 %" in described(paper_figures([older, old])["figure-08"])


def test_epochs_that_were_not_evaluated_leave_no_gap() -> None:
    test = (None, None, None, None, 60.0, None, 80.0)
    figure = paper_figures([record("resnet18_s", "adam", "cifar10", test=test)])["figure-08"]
    *_, accuracy = (p for p in paths(ElementTree.fromstring(figure), "line") if "L" in p)
    assert accuracy.count("M") == 1 and len(list(corners(accuracy))) == 2


def test_every_seed_is_drawn_once() -> None:
    runs = [record(seed=seed, test=[50.0 + seed, 60.0 + seed]) for seed in (0, 1, 2, 1)]
    figure = paper_figures(runs)["figure-08"]
    assert len(paths(ElementTree.fromstring(figure), "thin")) == 3 * 3
    assert "ResNet18_S ADAM (3 seeds)" in figure
    assert "seed 2: 2 epochs" in described(figure)


def test_smoothed_labels_are_owned_up_to() -> None:
    smoothed = paper_figures([record()])["figure-08"]
    assert "Their loss is of labels smoothed by 0.1." in described(smoothed)
    assert "smoothed" not in described(paper_figures([record(kind="paper")])["figure-08"])


def test_a_run_that_diverged_is_drawn_as_far_as_it_went() -> None:
    figure = paper_figures([record(test=[30.0, 40.0, None, None])])["figure-08"]
    assert "from 30.00 to 40.00 %" in described(figure)
    assert "nan" not in figure.lower()


@pytest.mark.parametrize(
    "broken",
    [
        *([], "text", None, {}, {"recipe": {}, "curve": []}),
        {**record(), "curve": [{"epoch": 1}]},
        {**record(), "curve": 3},
        {**record(), "recipe": {**record()["recipe"], "seed": math.inf}},
        {**record(), "recipe": {**record()["recipe"], "network": ["vgg16"]}},
    ],
)
def test_what_is_no_record_is_a_value_error(broken: Any) -> None:
    with pytest.raises(ValueError, match="not a record of a training"):
        paper_figures([broken])


# Files


def zoo_records() -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(ZOO.glob("*.json"))]


def test_the_zoo_is_drawn_with_its_own_last_accuracies() -> None:
    figures = paper_figures(zoo_records())
    assert {"figure-08", "figure-09", "figure-12"} <= figures.keys()
    text = " ".join(described(figure) for figure in figures.values())
    for found in zoo_records():
        if found["recipe"]["dataset"] != "digits" and found["recipe"]["kind"] == "tuned":
            last = found["curve"][-1]["test_accuracy_percent"]
            assert f"to {last:.2f} %" in text, found["name"]


def test_the_command_writes_the_zoos_figures_and_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    assert main([str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert sorted(Path(text) for text in shown.out.splitlines()) == sorted(out.iterdir())
    assert {path.name for path in out.iterdir()} >= {"figure-08.svg", "figure-12.svg"}
    figures = paper_figures(zoo_records())
    written = {path.stem: path.read_bytes() for path in out.iterdir()}
    assert {name: figure.encode() for name, figure in figures.items()}.items() <= written.items()
    others = written.keys() - figures.keys()
    assert others - {"figure-17-small"} == {"figure-17", "figure-accuracy-parameters"}


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Two interpreters, whose sets are ordered differently: half a second each."""
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "smallnet_core.figures", str(tmp_path / seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=60,
        )
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in "12"
    )
    assert one and one == other


def test_files_that_are_no_records_are_skipped_with_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "good.json").write_text(json.dumps(record()), "utf-8")
    (folder / "held.json").write_text(json.dumps(record(holdout=5000)), "utf-8")
    (folder / "list.json").write_text("[1]", "utf-8")
    (folder / "half.json").write_text('{"recipe":\n', "utf-8")
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (folder / "deep.json").write_text("[" * 100_000, "utf-8")
    (folder / "folder.json").mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    assert main([str(tmp_path / "out"), str(folder)]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3, "two of the good one, and the paper's own figure 17"
    warnings = shown.err.splitlines()
    assert [re.match(r"warning: .*?(\w+)\.json: ", text)[1] for text in warnings] == [  # type: ignore[index]
        *("bytes", "deep", "folder", "half", "held", "list"),
    ]


@pytest.mark.parametrize("which", ["out is a file", "no records folder", "records is a file"])
def test_an_unusable_folder_is_one_line_and_status_2(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    arguments = {
        "out is a file": [file],
        "no records folder": [tmp_path / "out", tmp_path / "absent"],
        "records is a file": [tmp_path / "out", file],
    }[which]
    assert main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (text,) = shown.err.splitlines()
    assert text.startswith(str(arguments[-1])) and text.endswith("expected a folder")


def test_no_curve_at_all_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records").mkdir()
    assert main([str(tmp_path / "out"), str(tmp_path / "records")]) == 1
    assert "none of 0 records" in capsys.readouterr().err


def test_figures_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "figure-08.svg").write_text("old", "utf-8")
    paths_written = write_figures(tmp_path, [record()])
    assert [path.name for path in paths_written] == ["figure-08.svg", "figure-09.svg"]
    assert (tmp_path / "figure-08.svg").read_text("utf-8").startswith("<svg ")
