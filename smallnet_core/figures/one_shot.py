"""Figure 17 of the paper, accuracy after pruning in one shot; the same of the small networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, Any, TypeAlias

from smallnet_core.claims import NETWORK_NAMES, OPTIMIZER_NAMES, by_source
from smallnet_core.figures import style
from smallnet_core.figures.records import as_number, count
from smallnet_core.figures.style import Drawing, Panel, Point, listed
from smallnet_core.recipes import RECIPE_KINDS, find_recipe
from smallnet_core.records import NotMeasured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TECHNIQUE_NAMES = {
    "l1_unstructured": "L1 unstructured",
    "l1_structured": "L1 structured",
    "global_unstructured": "Global unstructured",
    "random_unstructured": "Random unstructured",
}
_DATASET = "cifar10"
# Whose curve is drawn if there are those of several optimizers.
_OPTIMIZERS = {"resnet18": "adabound", "resnet18_s": "adabound", "vgg16_s": "sgdm", "vit_s": "adam"}


@dataclass(frozen=True, kw_only=True)
class OneShotCurve:
    """Accuracy by proportion of pruned weights, and whose it is."""

    recipe: str  # its name
    kind: str
    dataset: str
    network: str
    optimizer: str
    recipe_seed: int
    technique: str  # of TECHNIQUE_NAMES
    seed: int  # of random pruning
    weights_sha256: str
    proportions: tuple[float, ...]
    accuracy_percent: tuple[float, ...]
    num_images: int


_RECIPE_NAME = re.compile(r"(\w+)-(\w+)-(\w+)-(\w+)-seed(\d{1,9})-[0-9a-f]{12}")


def one_shot_curve(data: Any) -> OneShotCurve:
    """The curve in the JSON of a file; ValueError for anything else."""
    try:
        found = _RECIPE_NAME.fullmatch(data["network"])
        if found is None:
            raise ValueError(f"network is {data['network']!r}, expected a recipe's name")
        dataset, network, optimizer, kind, recipe_seed = found.groups()
        if optimizer not in OPTIMIZER_NAMES:
            raise ValueError(f"unknown optimizer {optimizer!r}")
        technique, num_images = data["technique"], count(data["num_images"])
        if technique not in TECHNIQUE_NAMES:
            raise ValueError(f"unknown technique {technique!r}")
        proportions = tuple(map(as_number, data["proportions"]))
        hits = tuple(map(count, data["hits"]))
        if not 0 < len(hits) == len(proportions):
            raise ValueError(f"{len(hits)} hits at {len(proportions)} proportions")
        if not all(0 <= p <= 1 for p in proportions) or list(proportions) != sorted(
            set(proportions)
        ):
            raise ValueError("proportions that do not rise from 0 to 1")
        if num_images < 1 or max(hits) > num_images:
            raise ValueError(f"{max(hits)} hits of {num_images} images")
        return OneShotCurve(
            recipe=data["network"],
            kind=kind,
            dataset=dataset,
            network=network,
            optimizer=optimizer,
            recipe_seed=int(recipe_seed),
            technique=technique,
            seed=count(data["seed"]),
            weights_sha256=str(data["weights_sha256"]),
            proportions=proportions,
            accuracy_percent=tuple(100 * hit / num_images for hit in hits),
            num_images=num_images,
        )
    except KeyError as error:
        raise ValueError(f"not a curve of pruning: it has no {error}") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"not a curve of pruning: {error}") from error


def one_shot_figures(curves: Iterable[OneShotCurve]) -> dict[str, Drawing]:
    """Draw "figure-17", with our curves or without, and "figure-17-small" where there are some."""
    # What has been pruned before is no dense network.
    curves = [curve for curve in curves if curve.dataset == _DATASET and curve.kind in RECIPE_KINDS]
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


def _of_one_network(curves: Iterable[OneShotCurve], network: str) -> dict[str, list[OneShotCurve]]:
    """The curves of one trained network by technique; of random pruning those of several seeds.

    Of several networks that of the preferred optimizer, the suite's own recipe and its first seed;
    files do not say which is the latest.
    """
    by_weights: dict[tuple[str, str], list[OneShotCurve]] = {}
    for curve in curves:
        if curve.network == network:
            by_weights.setdefault((curve.recipe, curve.weights_sha256), []).append(curve)

    def preference(key: tuple[str, str]) -> tuple[Any, ...]:
        first, techniques = by_weights[key][0], {curve.technique for curve in by_weights[key]}
        preferred = first.optimizer == _OPTIMIZERS[network]
        return preferred, _is_current(first), -first.recipe_seed, len(techniques), *key

    # The paper has ResNet18 with AdaBound only.
    if network == "resnet18":
        by_weights = {k: v for k, v in by_weights.items() if v[0].optimizer == "adabound"}
    chosen = by_weights[max(by_weights, key=preference)] if by_weights else []
    return {
        technique: seeds
        for technique in TECHNIQUE_NAMES
        if (seeds := _alike([curve for curve in chosen if curve.technique == technique]))
    }


def _is_current(curve: OneShotCurve) -> bool:
    """Whether it is of the suite's own recipe."""
    try:
        recipe = find_recipe("tuned", _DATASET, curve.network, curve.optimizer)
    except (NotMeasured, ValueError):
        return False
    return replace(recipe, seed=curve.recipe_seed).name == curve.recipe


def _alike(curves: Iterable[OneShotCurve]) -> list[OneShotCurve]:
    """A curve for each seed, all at the proportions that most have."""
    groups: dict[tuple[float, ...], dict[int, OneShotCurve]] = {}
    for curve in sorted(curves, key=lambda found: (found.accuracy_percent, found.num_images)):
        groups.setdefault(curve.proportions, {}).setdefault(curve.seed, curve)
    most = max(groups, key=lambda key: (len(groups[key]), len(key)), default=())
    return [curve for _, curve in sorted(groups.get(most, {}).items())]


def _mean_points(seeds: Sequence[OneShotCurve]) -> list[Point]:
    columns = zip(*(curve.accuracy_percent for curve in seeds), strict=True)
    return list(zip(seeds[0].proportions, map(mean, columns), strict=True))


def _paper_points() -> dict[str, list[Point]]:
    """The 63 values of Tables 6 and 7."""
    points: dict[str, list[Point]] = {}
    for claim in (*by_source("Table 6"), *by_source("Table 7")):
        at = claim.details["proportion"], claim.details["paper_percent"]
        points.setdefault(claim.details["technique"], []).append(at)
    return {technique: sorted(found) for technique, found in points.items()}


Found: TypeAlias = Mapping[str, Sequence[OneShotCurve]]  # by technique


def _figure(
    title: str, networks: Mapping[str, Found], paper: Mapping[str, Sequence[Point]], remark: str
) -> Drawing:
    """A panel for each network that has curves, or that the paper has values of."""
    drawn = {network: found for network, found in networks.items() if found}
    titles = {}
    for network in drawn or networks:
        optimizer = next((seeds[0].optimizer for seeds in networks[network].values()), "adabound")
        titles[network] = f"{NETWORK_NAMES[network]} {OPTIMIZER_NAMES[optimizer]}"
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
