"""Figures of pruning: Figure 17 of the paper redrawn, and accuracy against size.

Pure: from records of trained models, curves of pruning in one shot and rows of saved benchmarks, as
their JSON has them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from typing import Any, TypeAlias

from smallnet_core.claims import CLAIMS, NETWORK_NAMES, OPTIMIZER_NAMES, by_source
from smallnet_core.pruned_recipes import DENSE, PRUNED_NAMES, find_pruned
from smallnet_core.recipes import RECIPE_KINDS, find_recipe
from smallnet_core.records import NotMeasured
from smallnet_core.svg import Panel, Point, Series, as_number, svg

__all__ = [
    "NUM_PARAMS",
    "PUBLISHED",
    "TECHNIQUE_NAMES",
    "OneShotCurve",
    "PrunedRow",
    "Published",
    "one_shot_curve",
    "pruned_rows",
    "pruning_figures",
]

JsonRecord: TypeAlias = Mapping[str, Any]

DATASET = "cifar10"

TECHNIQUE_NAMES = {
    "l1_unstructured": "L1 unstructured",
    "l1_structured": "L1 structured",
    "global_unstructured": "Global unstructured",
    "random_unstructured": "Random unstructured",
}
_STYLES = dict(zip(TECHNIQUE_NAMES, "1234", strict=True))

# Whose curve is drawn if there are those of several optimizers.
_OPTIMIZERS = {"resnet18_s": "adabound", "vgg16_s": "sgdm", "vit_s": "adam"}

# Trainable parameters for ten classes.
NUM_PARAMS = {
    "resnet18": 11_173_962,
    "vgg16": 15_245_130,
    "resnet18_s": 701_466,
    "vgg16_s": 955_098,
    "vit_s": 840_010,
    "speednet": 991_032,
}
_NAMES = {**NETWORK_NAMES, "speednet": "SpeedNet"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """What others have reached on CIFAR-10, as they print it."""

    name: str
    num_params: int  # as exactly as it is given
    accuracy_percent: float
    source: str  # the repository that prints it
    pruned: bool = False  # and trained on


def _published(
    source: str, *rows: tuple[str, int, float], pruned: bool = False
) -> tuple[Published, ...]:
    return tuple(
        Published(
            name=name, num_params=size, accuracy_percent=percent, source=source, pruned=pruned
        )
        for name, size, percent in rows
    )


# Two accuracies of one network are two recipes' for it.
PUBLISHED = (
    *_published("idstcv/ZenNAS", ("ZenNet-0.5M", 500_000, 96.2), ("ZenNet-1M", 1_000_000, 96.2)),
    *_published(
        "osmr/imgclsmob",
        ("SE-ResNet-56", 862_889, 95.87),
        ("DenseNet-BC-100", 769_162, 95.84),
        ("ResNet-56", 855_770, 95.48),
        ("ResNet-20", 272_474, 94.03),
    ),
    *_published("liuzhuang13/DenseNet", ("DenseNet-BC-100", 769_162, 95.49)),
    *_published(
        "chenyaofo/pytorch-cifar-models",
        ("ResNet-56", 855_770, 94.37),
        ("ResNet-20", 272_474, 92.60),
        ("MobileNetV2 x0.5", 700_000, 92.88),
    ),
    *_published("akamaster/pytorch_resnet_cifar10", ("ResNet-56", 855_770, 93.39)),
    *_published(
        "SHI-Labs/Compact-Transformers",
        ("CCT-4/3x2", 482_000, 91.45),
        ("CCT-2/3x2", 284_000, 89.17),
    ),
    *_published("VainF/Torch-Pruning", ("ResNet-56 by DepGraph", 430_000, 93.83), pruned=True),
    *_published(
        "lmbxmu/HRankPlus",
        ("ResNet-56 by HRankPlus", 660_000, 93.85),
        ("ResNet-56 by HRankPlus", 480_000, 93.57),
        ("ResNet-56 by HRankPlus", 240_000, 92.32),
        ("ResNet-110 by HRankPlus", 720_000, 93.81),
        ("DenseNet-40 by HRankPlus", 620_000, 94.51),
        pruned=True,
    ),
    *_published(
        "zyxxmu/lottery-jackpots",
        ("VGG19, 95 % pruned", 1_000_000, 93.9),
        ("VGG19, 95 % pruned", 1_000_000, 93.5),
        pruned=True,
    ),
)


def pruning_figures(
    records: Iterable[JsonRecord], curves: Iterable[OneShotCurve], rows: Iterable[PrunedRow] = ()
) -> dict[str, str]:
    """ "figure-17", and where there is something to show in them "figure-17-small" and
    "figure-accuracy-parameters". Raises ValueError for what is no record.
    """
    # What has been pruned before is no dense network.
    curves = [curve for curve in curves if curve.dataset == DATASET and curve.kind in RECIPE_KINDS]
    figures = {"figure-17": _paper_figure(curves)}
    if small := _small_figure(curves):
        figures["figure-17-small"] = small
    if sizes := _size_figure(records, rows):
        figures["figure-accuracy-parameters"] = sizes
    return figures


# Pruning in one shot


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


_RECIPE_NAME = re.compile(r"([^-]+)-([^-]+)-([^-]+)-([^-]+)-seed(\d{1,9})-[0-9a-f]{12}")


def one_shot_curve(data: Any) -> OneShotCurve:
    """The curve in the JSON of a file; ValueError for anything else."""
    try:
        found = _RECIPE_NAME.fullmatch(data["network"])
        if found is None:
            raise ValueError(f"network is {data['network']!r}, expected a recipe's name")
        dataset, network, optimizer, kind, recipe_seed = found.groups()
        technique, num_images = data["technique"], _count(data["num_images"])
        if technique not in TECHNIQUE_NAMES:
            raise ValueError(f"unknown technique {technique!r}")
        proportions = tuple(map(as_number, data["proportions"]))
        hits = tuple(map(_count, data["hits"]))
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
            seed=_count(data["seed"]),
            weights_sha256=str(data["weights_sha256"]),
            proportions=proportions,
            accuracy_percent=tuple(100 * hit / num_images for hit in hits),
            num_images=num_images,
        )
    except KeyError as error:
        raise ValueError(f"not a curve of pruning: it has no {error}") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"not a curve of pruning: {error}") from error


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:  # True is no 1
        raise ValueError(f"{value!r} is no number of anything")
    return value


@cache
def _is_current(recipe_name: str, network: str, optimizer: str, seed: int) -> bool:
    """Whether this is the name of the suite's own recipe."""
    try:
        recipe = find_recipe("tuned", DATASET, network, optimizer)
    except (NotMeasured, ValueError):
        return False
    return replace(recipe, seed=seed).name == recipe_name


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
        of_key = by_weights[key]
        one = of_key[0]
        return (
            one.optimizer == _OPTIMIZERS.get(network),
            _is_current(one.recipe, network, one.optimizer, one.recipe_seed),
            -one.recipe_seed,
            len({curve.technique for curve in of_key}),
            *key,
        )

    if not by_weights:
        return {}
    chosen = by_weights[max(by_weights, key=preference)]
    return {
        technique: seeds
        for technique in TECHNIQUE_NAMES
        if (seeds := _alike([curve for curve in chosen if curve.technique == technique]))
    }


def _alike(curves: Iterable[OneShotCurve]) -> list[OneShotCurve]:
    """A curve for each seed, all at the proportions that most have."""
    groups: dict[tuple[float, ...], dict[int, OneShotCurve]] = {}
    for curve in sorted(curves, key=lambda found: (found.accuracy_percent, found.num_images)):
        groups.setdefault(curve.proportions, {}).setdefault(curve.seed, curve)
    if not groups:
        return []
    most = max(groups, key=lambda proportions: (len(groups[proportions]), len(proportions)))
    return [curve for _, curve in sorted(groups[most].items())]


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


def _one_shot_panel(
    title: str,
    ours: Mapping[str, Sequence[OneShotCurve]],
    paper: Mapping[str, Sequence[Point]],
) -> Panel:
    lines = [
        _series(TECHNIQUE_NAMES[technique], _STYLES[technique], _mean_points(seeds))
        for technique, seeds in ours.items()
    ]
    dots = [
        _series(
            f"{TECHNIQUE_NAMES[technique]}, the paper's",
            f"{_STYLES[technique]}-hollow",
            points,
            joined=False,
        )
        for technique, points in paper.items()
    ]
    return Panel(
        title=title,
        x_label="proportion of the convolutions' weights that is pruned",
        y_label="% of test images",
        series=[*lines, *dots],
        x_range=(0, 1),
        y_range=(0, 100),
    )


def _series(
    label: str,
    style: str,
    points: Sequence[Point],
    *,
    joined: bool = True,
    names: Sequence[str] = (),
) -> Series:
    return Series(
        label=label,
        x=[x for x, _ in points],
        y=[y for _, y in points],
        style=style,
        joined=joined,
        names=names,
    )


_ONE_SHOT = "Pruned in one shot, without training on."


def _paper_figure(curves: Iterable[OneShotCurve]) -> str:
    ours = _of_one_network((c for c in curves if c.optimizer == "adabound"), "resnet18")
    paper = _paper_points()
    missing = [TECHNIQUE_NAMES[technique] for technique in TECHNIQUE_NAMES if technique not in ours]
    note = (
        _ONE_SHOT,
        f"Lines: ours, {_images(ours)}, unpruned {_unpruned(ours)}." if ours else "",
        _random_note([ours]),
        "Hollow marks: the paper's values, Tables 6 and 7; of random pruning it prints none.",
        ""
        if not missing
        else f"Not measured here: {_listed(missing)}."
        if ours
        else "Not measured here: the paper's values stand alone.",
    )
    said = [_said("", ours), "The paper:" if paper else ""]
    said += [_sentence(TECHNIQUE_NAMES[technique], points) for technique, points in paper.items()]
    return svg(
        [_one_shot_panel("ResNet18 AdaBound", ours, paper)],
        title="Figure 17 redrawn: accuracy after pruning, ResNet18 with AdaBound on CIFAR-10",
        description="Test accuracy by proportion of pruned weights. "
        + " ".join(filter(None, said)),
        note=" ".join(filter(None, note)),
        plot_height=320,
    )


def _small_figure(curves: Sequence[OneShotCurve]) -> str:
    drawn = {
        network: found for network in _OPTIMIZERS if (found := _of_one_network(curves, network))
    }
    if not drawn:
        return ""
    titles = {network: _title(network, found) for network, found in drawn.items()}
    missing = [
        *(_NAMES[network] for network in _OPTIMIZERS if network not in drawn),
        *(
            f"{TECHNIQUE_NAMES[technique]} of {_NAMES[network]}"
            for network, found in drawn.items()
            for technique in TECHNIQUE_NAMES
            if technique not in found
        ),
    ]
    unpruned = [f"{_NAMES[network]} {_unpruned(found)}" for network, found in drawn.items()]
    note = (
        _ONE_SHOT,
        f"Unpruned: {_listed(unpruned)}.",
        _random_note(drawn.values()),
        "The paper prunes none of these.",
        f"Not measured here: {_listed(missing)}." if missing else "",
    )
    return svg(
        [
            replace(
                _one_shot_panel(titles[network], found, {}), x_label="proportion that is pruned"
            )
            for network, found in drawn.items()
        ],
        title="Figure 17 for the small networks: accuracy after pruning, CIFAR-10",
        description="Test accuracy by proportion of the convolutions' weights that is pruned. "
        + " ".join(_said(f"{titles[network]}, ", found) for network, found in drawn.items()),
        note=" ".join(note),
        plot_height=240,
    )


def _any(found: Mapping[str, Sequence[OneShotCurve]]) -> OneShotCurve:
    return next(iter(found.values()))[0]


def _title(network: str, found: Mapping[str, Sequence[OneShotCurve]]) -> str:
    optimizer = _any(found).optimizer
    return f"{_NAMES[network]} {OPTIMIZER_NAMES.get(optimizer, optimizer)}"


def _images(found: Mapping[str, Sequence[OneShotCurve]]) -> str:
    numbers = {curve.num_images for seeds in found.values() for curve in seeds}
    return f"of {' or '.join(f'{number:,}' for number in sorted(numbers))} test images"


def _unpruned(found: Mapping[str, Sequence[OneShotCurve]]) -> str:
    first = _any(found)
    if first.proportions[0] != 0:
        return "not measured"
    return f"{first.accuracy_percent[0]:.2f} %"


def _random_note(panels: Iterable[Mapping[str, Sequence[OneShotCurve]]]) -> str:
    numbers = {
        len(found["random_unstructured"])
        for found in panels
        if len(found) and "random_unstructured" in found
    }
    several = sorted(numbers - {1})
    if not several:
        return ""
    return f"Random pruning: the mean of {' or '.join(map(str, several))} draws."


def _said(head: str, found: Mapping[str, Sequence[OneShotCurve]]) -> str:
    return " ".join(
        _sentence(f"{head}{TECHNIQUE_NAMES[technique]}", _mean_points(seeds))
        for technique, seeds in found.items()
    )


def _sentence(name: str, points: Sequence[Point]) -> str:
    """A curve in words, at its first and last point and every fourth between."""
    shown = dict.fromkeys((*points[::4], points[-1]))
    return f"{name}: {', '.join(f'{y:.2f} % at {x:g}' for x, y in shown)}."


# Accuracy against size


@dataclass(frozen=True, kw_only=True)
class PrunedRow:
    """What a row of a saved benchmark says of a pruned network."""

    name: str  # of PRUNED_NAMES
    num_params: int  # that are there and, under masks, not zero
    accuracy_percent: float  # nan where it was not measured


def pruned_rows(data: Any) -> list[PrunedRow]:
    """The rows of a saved benchmark that are of pruned networks; ValueError for anything else."""
    try:
        found = [row for row in data["smallnet"]["rows"] if row.get("kind") == "pruned network"]
        return [
            PrunedRow(
                name=row["name"],
                num_params=_count(row["num_nonzeros" if row["how"] == "weights" else "num_params"]),
                accuracy_percent=as_number(row["accuracy_percent"]),
            )
            for row in found
            if row["name"] in PRUNED_NAMES
        ]
    except KeyError as error:
        raise ValueError(f"not a saved benchmark: it has no {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"not a saved benchmark: {error}") from error


@dataclass(frozen=True, kw_only=True)
class _Dot:
    """A trained network of ours: how large it is, and how good."""

    name: str
    num_params: int
    accuracy_percent: float  # the mean
    num_seeds: int = 1
    test_time_flips: bool = False

    @property
    def place(self) -> Point:
        return self.num_params / 1e6, self.accuracy_percent


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """What a record says of one training."""

    settings: str  # the recipe but for its seed
    seed: int
    kind: str
    network: str
    optimizer: str
    accuracy_percent: float
    test_time_flips: bool
    time: str


def _trained(record: JsonRecord) -> _Trained | None:
    """None for one that is not of the test images of CIFAR-10; ValueError for what is no record."""
    try:
        recipe, percent = record["recipe"], record.get("test_accuracy_percent")
        found = _Trained(
            settings=_settings(recipe),
            seed=int(recipe["seed"]),
            kind=str(recipe["kind"]),
            network=str(recipe["network"]),
            optimizer=str(recipe["optimizer"]["name"]),
            accuracy_percent=as_number(percent) if isinstance(percent, int | float) else math.nan,
            test_time_flips=recipe.get("test_time_flips", "none") != "none",
            time=str(record.get("time", "")),
        )
        counts = (
            recipe["dataset"] == DATASET
            and not recipe.get("holdout", 0)
            and recipe.get("selection", "last") == "last"
        )
    except KeyError as error:
        raise ValueError(f"not a record of a training: it has no {error}") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"not a record of a training: {error}") from error
    return found if counts and 0 <= found.accuracy_percent <= 100 else None


def _settings(recipe: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in recipe.items() if k != "seed"}, sort_keys=True)


def _dot(name: str, num_params: int, runs: Iterable[_Trained]) -> _Dot | None:
    """The mean over seeds, of which each counts once: the latest; None without runs."""
    by_seed = {
        run.seed: run for run in sorted(runs, key=lambda run: (run.time, run.accuracy_percent))
    }
    if not by_seed:
        return None
    return _Dot(
        name=name,
        num_params=num_params,
        accuracy_percent=mean(run.accuracy_percent for _, run in sorted(by_seed.items())),
        num_seeds=len(by_seed),
        test_time_flips=any(run.test_time_flips for run in by_seed.values()),
    )


def _dense_dots(runs: Sequence[_Trained]) -> dict[str, _Dot]:
    """By network: the suite's own recipe, or else the latest."""
    dots = {}
    for network, optimizer in {**DENSE, "speednet": "muon"}.items():
        of_row = [
            run
            for run in runs
            if (run.kind, run.network, run.optimizer) == ("tuned", network, optimizer)
        ]
        own = _settings(find_recipe("tuned", DATASET, network, optimizer).canonical())
        if of_row and own not in {run.settings for run in of_row}:
            own = max(of_row, key=lambda run: (run.time, run.settings)).settings
        dot = _dot(
            _NAMES[network], NUM_PARAMS[network], (run for run in of_row if run.settings == own)
        )
        if dot is not None:
            dots[network] = dot
    return dots


def _pruned_dots(runs: Sequence[_Trained], rows: Iterable[PrunedRow]) -> dict[str, _Dot]:
    """By the name of the recipe, which it is exactly."""
    by_name: dict[str, list[PrunedRow]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    dots = {}
    for name in PRUNED_NAMES:
        recipe = find_pruned(name, DATASET)
        settings = _settings(recipe.canonical())
        of_name = sorted(
            by_name.get(name, ()), key=lambda row: (row.num_params, str(row.accuracy_percent))
        )
        size = NUM_PARAMS[recipe.network] if recipe.pruning is None else recipe.pruning.max_params
        if of_name:
            size = of_name[0].num_params
        dot = _dot(_short(name), size, (run for run in runs if run.settings == settings))
        percents = [row.accuracy_percent for row in of_name if 0 <= row.accuracy_percent <= 100]
        if dot is None and percents:
            dot = _Dot(name=_short(name), num_params=size, accuracy_percent=mean(percents))
        if dot is not None:
            dots[name] = dot
    return dots


def _short(name: str) -> str:
    """What a recipe is called beside a mark that says how it was pruned."""
    first, *rest = name.split("-")
    if first in _NAMES:
        return " ".join((_NAMES[first], *rest[2:]))
    if rest == ["dense"]:
        return "ResNet18_S, ticket's"
    return f"{first.replace('_', ' ')} {' '.join(rest)} %"


def _parent(name: str) -> str:
    network = name.split("-")[0]
    return network if network in DENSE else "ticket-dense"


# How a network was made small, and how its marks look.
_KINDS = {
    "dense": ("dense", "1"),
    "channels": ("channels removed", "2"),
    "weights": ("weights masked", "3"),
    "fresh": ("pruned shape, fresh weights", "5"),
}
_PAPER_STYLE, _PUBLISHED_STYLE, _PRUNED_STYLE = "9", "8-hollow", "7-hollow"


def _kind(name: str) -> str:
    pruning = find_pruned(name, DATASET).pruning
    if pruning is None:
        return "dense"
    return "fresh" if pruning.weights == "fresh" else pruning.structure


_CLOSE_X, _CLOSE_Y = (0.1, 1.1), (86.0, 97.0)  # where what is published lies


def _size_figure(records: Iterable[JsonRecord], rows: Iterable[PrunedRow]) -> str:
    runs = [run for record in records if (run := _trained(record)) is not None]
    dense, pruned = _dense_dots(runs), _pruned_dots(runs, rows)
    ours = {**dense, **pruned}
    if not ours:
        return ""
    paper = [
        (_NAMES[network], NUM_PARAMS[network], CLAIMS[f"table2/{network}-adabound"].paper_value)
        for network in ("resnet18_s", "resnet18")
    ]
    links = [
        (ours[_parent(name)].place, dot.place)
        for name, dot in pruned.items()
        if _kind(name) in ("channels", "weights") and _parent(name) in ours
    ]
    kinds = {name: "dense" if name in dense else _kind(name) for name in ours}

    def panel(title: str, *, close: bool, **fields: Any) -> Panel:
        series = [
            _series(
                f"ours, {label}",
                style,
                [dot.place for dot in dots],
                joined=False,
                names=[dot.name for dot in dots],
            )
            for kind, (label, style) in _KINDS.items()
            if (dots := [dot for name, dot in ours.items() if kinds[name] == kind])
        ]
        series.append(
            _series(
                "the paper's",
                _PAPER_STYLE,
                [(size / 1e6, percent) for _, size, percent in paper],
                joined=False,
                names=[f"the paper's {name}" for name, _, _ in paper],
            )
        )
        for label, style, after in (
            ("published", _PUBLISHED_STYLE, False),
            ("published, pruned", _PRUNED_STYLE, True),
        ):
            found = [anchor for anchor in PUBLISHED if anchor.pruned == after]
            series.append(
                _series(
                    label,
                    style,
                    [(anchor.num_params / 1e6, anchor.accuracy_percent) for anchor in found],
                    joined=False,
                    names=[anchor.name for anchor in found] if close else (),
                )
            )
        return Panel(title=title, y_label="% of test images", series=series, links=links, **fields)

    percents = [dot.accuracy_percent for dot in ours.values()]
    sizes = [dot.num_params / 1e6 for dot in ours.values()]
    panels = [
        panel(
            "All",
            close=False,
            x_label="million parameters, logarithmic",
            log_x=True,
            x_range=(min(0.1, *(0.8 * size for size in sizes)), 20),
            y_range=(10 * math.floor((min(*percents, 89) - 1) / 10), 100),
        ),
        panel(
            f"{_CLOSE_X[0]:g} to {_CLOSE_X[1]:g} million, "
            f"from {_CLOSE_Y[0]:g} to {_CLOSE_Y[1]:g} %",
            close=True,
            x_label="million parameters",
            x_range=_CLOSE_X,
            y_range=_CLOSE_Y,
        ),
    ]
    most = max(dot.num_seeds for dot in ours.values())
    flipped = [dot.name for dot in ours.values() if dot.test_time_flips]
    missing = [
        *(_NAMES[network] for network in DENSE if network not in dense),
        *(name for name in PRUNED_NAMES if name not in pruned),
    ]
    note = (
        f"Ours: the last epoch, {'one seed' if most == 1 else f'the mean of up to {most} seeds'} "
        "each; under masks what is not zero counts.",
        f"With test-time flips: {_listed(flipped)}." if flipped else "",
        "Grey lines: from a dense network to what was pruned from it, and trained on.",
        "The paper's: Table 2, the best epoch on the test set.",
        "Published: other networks by other recipes, none run here.",
        f"Not trained here: {_listed(missing)}." if missing else "",
    )
    said = [
        *(
            f"{dot.name} ({_KINDS[kinds[name]][0]}): {dot.accuracy_percent:.2f} %, "
            f"{dot.num_params:,} parameters"
            + (f", {dot.num_seeds} seeds." if dot.num_seeds > 1 else ".")
            for name, dot in ours.items()
        ),
        *(f"The paper's {name}: {percent:.2f} %, {size:,}." for name, size, percent in paper),
        "Published:",
        *(
            f"{anchor.name}{' (pruned)' if anchor.pruned else ''}, {anchor.source}: "
            f"{anchor.accuracy_percent:g} %, {anchor.num_params:,}."
            for anchor in PUBLISHED
        ),
    ]
    return svg(
        panels,
        title="Accuracy on CIFAR-10 against the number of parameters",
        description="Test accuracy by size, twice: all networks, and those of about a million "
        "parameters and less. " + " ".join(said),
        note=" ".join(filter(None, note)),
        columns=1,
        plot_height=340,
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
