"""Figure 17 of the paper, accuracy after one-shot pruning, and the same for small networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, TypeAlias

from smallnet_core.claims import by_source
from smallnet_core.claims.names import NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.figures import style
from smallnet_core.figures.style import Panel, Point, listed
from smallnet_core.pruning.curve import CURVE_OPTIMIZERS, TECHNIQUE_NAMES, TECHNIQUES, Curve
from smallnet_core.recipes import find_recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found: TypeAlias = Mapping[str, Sequence[Curve]]  # by technique

_DATASET = "cifar10"


def one_shot_figures(curves: Sequence[Curve]) -> dict[str, str]:
    """Draw "figure-17", and "figure-17-small" where there are curves for it: SVG by name.

    The first has the paper's values and, if ``curves`` has any of ResNet18, ours; the second has a
    panel for each small network with curves. All curves of a network are of one set of weights.
    """
    found = {network: _of_one_network(curves, network) for network in CURVE_OPTIMIZERS}
    figures = {"figure-17": _figure_17(found.pop("resnet18"))}
    if any(found.values()):
        figures["figure-17-small"] = _small_figure_17(found)
    return figures


def _figure_17(ours: Found) -> str:
    paper: dict[str, list[Point]] = {}
    for claim in (*by_source("Table 6"), *by_source("Table 7")):
        at = claim.details["proportion"], claim.details["paper_percent"]
        paper.setdefault(claim.details["technique"], []).append(at)
    paper = {technique: sorted(points) for technique, points in paper.items()}
    said = ["The paper:", *(_sentence(name, points) for name, points in paper.items())]
    return style.svg(
        [[_panel("resnet18", ours, paper, 300)]],
        title="Figure 17 redrawn: accuracy after pruning, ResNet18 with AdaBound on CIFAR-10",
        description=_described({"resnet18": ours}, *said),
        note=_note(
            {"resnet18": ours} if ours else {},
            "Hollow marks: the paper's values, Tables 6 and 7; it prints none for random pruning.",
            _lacking(ours) if ours else ["the paper's values stand alone"],
        ),
    )


def _small_figure_17(found: Mapping[str, Found]) -> str:
    drawn = {network: ours for network, ours in found.items() if ours}
    lacking = [NETWORK_NAMES[network] for network in found if network not in drawn]
    for network, ours in drawn.items():
        lacking += [f"{name} of {NETWORK_NAMES[network]}" for name in _lacking(ours)]
    return style.svg(
        [[_panel(network, ours, {}, 180)] for network, ours in drawn.items()],
        title="Figure 17 for the small networks: accuracy after pruning, CIFAR-10",
        description=_described(drawn),
        note=_note(drawn, "The paper prunes none of these.", lacking),
    )


def _lacking(ours: Found) -> list[str]:
    return [name for technique, name in TECHNIQUE_NAMES.items() if technique not in ours]


def _of_one_network(curves: Iterable[Curve], network: str) -> Found:
    """Choose a network's curves, by technique: those of one set of weights, in order of seeds.

    The current recipe's weights come first. Files don't say which of several weights are the
    latest, so those with the most curves count.
    """
    start = f"{_DATASET}-{network}-{CURVE_OPTIMIZERS[network]}-"
    own = find_recipe("tuned", _DATASET, network, CURVE_OPTIMIZERS[network]).name
    of_weights: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        if curve.network.startswith(start) and f"{start}pruned-" not in curve.network:
            of_weights.setdefault((curve.network, curve.weights_sha256), []).append(curve)
    if not of_weights:
        return {}
    best = max(of_weights, key=lambda key: (key[0] == own, len(of_weights[key]), key))
    by_technique: dict[str, list[Curve]] = {}
    for technique in TECHNIQUES:
        chosen = [curve for curve in of_weights[best] if curve.technique == technique]
        if chosen:
            grid = max(chosen, key=lambda curve: len(curve.proportions)).proportions
            by_seed = {curve.seed: curve for curve in chosen if curve.proportions == grid}
            by_technique[technique] = [by_seed[seed] for seed in sorted(by_seed)]
    return by_technique


def _mean_points(seeds: Sequence[Curve]) -> list[Point]:
    columns = zip(*(curve.accuracy_percent for curve in seeds), strict=True)
    return list(zip(seeds[0].proportions, map(mean, columns), strict=True))


def _name(network: str) -> str:
    return f"{NETWORK_NAMES[network]} {OPTIMIZER_NAMES[CURVE_OPTIMIZERS[network]]}"


def _panel(network: str, ours: Found, paper: Mapping[str, Sequence[Point]], height: int) -> Panel:
    return Panel(
        title=_name(network),
        unit="% of test images",
        x_label="proportion of the convolutions' weights pruned",
        plot=partial(_plot, ours, paper),
        height=height,
    )


def _plot(ours: Found, paper: Mapping[str, Sequence[Point]], axes: Axes) -> None:
    for number, (technique, name) in enumerate(TECHNIQUE_NAMES.items()):
        if technique in ours:
            points = _mean_points(ours[technique])
            style.plot(axes, *zip(*points, strict=True), label=name, **style.line(number))
        if technique in paper:
            look = style.hollow(number, label=f"{name}, the paper's")
            axes.plot(*zip(*paper[technique], strict=True), **look)
    axes.set(xlim=(-0.01, 1.01), ylim=(0, 101))


def _note(drawn: Mapping[str, Found], remark: str, lacking: Sequence[str]) -> str:
    curves = [curve for ours in drawn.values() for seeds in ours.values() for curve in seeds]
    images = sorted({f"{curve.num_images:,}" for curve in curves})
    draws = {len(ours.get("random_unstructured", ())) for ours in drawn.values()} - {0, 1}
    unpruned = [f"{_name(network)} {_unpruned(ours)}" for network, ours in drawn.items()]
    parts = (
        "Pruned in one shot, without further training.",
        f"Lines: ours, on {' or '.join(images)} test images." if drawn else "",
        f"Unpruned: {listed(unpruned)}." if drawn else "",
        f"Random pruning: the mean of {' or '.join(map(str, sorted(draws)))} draws."
        if draws
        else "",
        remark,
        f"Not measured here: {listed(lacking)}." if lacking else "",
    )
    return " ".join(filter(None, parts))


def _unpruned(ours: Found) -> str:
    first = next(iter(ours.values()))[0]
    return "not measured" if first.proportions[0] != 0 else f"{first.accuracy_percent[0]:.2f} %"


def _described(drawn: Mapping[str, Found], *more: str) -> str:
    said = [
        f"{_name(network)}, {_sentence(technique, _mean_points(seeds))}"
        for network, ours in drawn.items()
        for technique, seeds in ours.items()
    ]
    return " ".join(("Test accuracy by proportion of weights pruned.", *said, *more))


def _sentence(technique: str, points: Sequence[Point]) -> str:
    """Describe a curve by its first and last point and every fourth between."""
    shown = ", ".join(f"{y:.2f} % at {x:g}" for x, y in dict.fromkeys((*points[::4], points[-1])))
    return f"{TECHNIQUE_NAMES[technique]}: {shown}."
