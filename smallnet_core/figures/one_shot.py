"""Figure 17 of the paper, accuracy after pruning in one shot; the same of the small networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, TypeAlias

from smallnet_core.claims import NETWORK_NAMES, OPTIMIZER_NAMES, by_source
from smallnet_core.figures import style
from smallnet_core.figures.style import Drawing, Panel, Point, listed
from smallnet_core.pruning.curve import TECHNIQUE_NAMES, TECHNIQUES, Curve
from smallnet_core.recipes import find_recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found: TypeAlias = Mapping[str, Sequence[Curve]]  # by technique

_DATASET = "cifar10"
# Whose curve is drawn; the paper prunes ResNet18 with AdaBound.
_OPTIMIZERS = {"resnet18": "adabound", "resnet18_s": "adabound", "vgg16_s": "sgdm", "vit_s": "adam"}


def one_shot_figures(curves: Sequence[Curve]) -> dict[str, Drawing]:
    """Draw "figure-17", with our curves or without, and "figure-17-small" where there are some.

    Of a network's curves those of one set of weights: of the suite's own recipe and its first seed.
    """
    found = {network: _of_one_network(curves, network) for network in _OPTIMIZERS}
    paper = _paper_points()
    figures = {
        "figure-17": _figure(
            "Figure 17 redrawn: accuracy after pruning, ResNet18 with AdaBound on CIFAR-10",
            {"resnet18": found.pop("resnet18")},
            paper,
            "Hollow marks: the paper's values, Tables 6 and 7; of random pruning it prints none.",
        )
    }
    if any(found.values()):
        figures["figure-17-small"] = _figure(
            "Figure 17 for the small networks: accuracy after pruning, CIFAR-10",
            found,
            {},
            "The paper prunes none of these.",
        )
    return figures


def _of_one_network(curves: Iterable[Curve], network: str) -> Found:
    """The curves of the current recipe's network by technique, else of any; several seeds' draws.

    Files do not say which of several weights are the latest: those with most curves count.
    """
    start = f"{_DATASET}-{network}-{_OPTIMIZERS[network]}-"
    own = find_recipe("tuned", _DATASET, network, _OPTIMIZERS[network]).name
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


def _paper_points() -> dict[str, list[Point]]:
    """The 63 values of Tables 6 and 7."""
    points: dict[str, list[Point]] = {}
    for claim in (*by_source("Table 6"), *by_source("Table 7")):
        at = claim.details["proportion"], claim.details["paper_percent"]
        points.setdefault(claim.details["technique"], []).append(at)
    return {technique: sorted(found) for technique, found in points.items()}


def _figure(
    title: str, networks: Mapping[str, Found], paper: Mapping[str, Sequence[Point]], remark: str
) -> Drawing:
    """A panel for each network that has curves, or that the paper has values of."""
    drawn = {network: found for network, found in networks.items() if found}
    titles = {}
    for network in drawn or networks:
        titles[network] = f"{NETWORK_NAMES[network]} {OPTIMIZER_NAMES[_OPTIMIZERS[network]]}"
    curves = [curve for found in drawn.values() for seeds in found.values() for curve in seeds]
    images = sorted({curve.num_images for curve in curves})
    draws = {len(found.get("random_unstructured", ())) for found in drawn.values()} - {0, 1}
    missing = [NETWORK_NAMES[network] for network in networks if network not in drawn]
    if paper:
        missing = [] if drawn else ["the paper's values stand alone"]
    for network, found in drawn.items():
        of_network = "" if paper else f" of {NETWORK_NAMES[network]}"
        missing += [f"{TECHNIQUE_NAMES[t]}{of_network}" for t in TECHNIQUE_NAMES if t not in found]
    note = (
        "Pruned in one shot, without training on.",
        f"Lines: ours, of {' or '.join(f'{number:,}' for number in images)} test images."
        if drawn
        else "",
        f"Unpruned: {listed([f'{titles[n]} {_unpruned(found)}' for n, found in drawn.items()])}."
        if drawn
        else "",
        f"Random pruning: the mean of {' or '.join(map(str, sorted(draws)))} draws." * bool(draws),
        remark,
        f"Not measured here: {listed(missing)}." if missing else "",
    )
    said = [
        f"{titles[network]}, {_sentence(technique, _mean_points(seeds))}"
        for network, found in drawn.items()
        for technique, seeds in found.items()
    ]
    if paper:
        said += ["The paper:", *(_sentence(name, points) for name, points in paper.items())]
    return Drawing(
        rows=[
            [
                Panel(
                    title=titles[network],
                    unit="% of test images",
                    x_label="proportion of the convolutions' weights that is pruned",
                    plot=partial(_plot, networks[network], paper),
                    height=300 if paper else 180,
                )
            ]
            for network in titles
        ],
        title=title,
        description=f"Test accuracy by proportion of pruned weights. {' '.join(said)}",
        note=" ".join(filter(None, note)),
    )


def _plot(ours: Found, paper: Mapping[str, Sequence[Point]], axes: Axes) -> None:
    for number, (technique, name) in enumerate(TECHNIQUE_NAMES.items()):
        if technique in ours:
            points = _mean_points(ours[technique])
            style.plot(axes, *zip(*points, strict=True), label=name, **style.line(number))
        if technique in paper:
            look = style.hollow(number, linestyle="none", label=f"{name}, the paper's")
            axes.plot(*zip(*paper[technique], strict=True), **look)
    axes.set(xlim=(-0.01, 1.01), ylim=(0, 101))


def _unpruned(found: Found) -> str:
    first = next(iter(found.values()))[0]
    return "not measured" if first.proportions[0] != 0 else f"{first.accuracy_percent[0]:.2f} %"


def _sentence(technique: str, points: Sequence[Point]) -> str:
    """A curve in words, at its first and last point and every fourth between."""
    shown = ", ".join(f"{y:.2f} % at {x:g}" for x, y in dict.fromkeys((*points[::4], points[-1])))
    return f"{TECHNIQUE_NAMES[technique]}: {shown}."
