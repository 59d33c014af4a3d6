"""Answer from the zoo's records where nothing can be measured: a workbench that looks things up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from smallnet_core import judging
from smallnet_core.lab.cache import ModelCache
from smallnet_core.lab.judged import JUDGED, Evaluated, run_record
from smallnet_core.lab.needs import recipes_of_side
from smallnet_core.lab.settings import Settings
from smallnet_core.pruning.curve import Curve
from smallnet_core.recipes import Recipe
from smallnet_core.records import Claim, Measurement, NotMeasured, Verdict
from smallnet_core.runs.file import check_run

_MAX_SEEDS = 10  # looked up for each side


class Records:
    """Answers like a ``Workbench``, for every recorded seed, without training or judging anything.

    ``evaluated`` collects the records that were used, until the caller clears it.
    """

    def __init__(self, settings: Settings, cache: ModelCache) -> None:
        self.settings = settings
        self.cache = cache
        self.evaluated: dict[Recipe, Evaluated] = {}
        self._found: dict[Recipe, Evaluated | None] = {}

    def dataset(self, name: str) -> None:
        """Raise NotMeasured: no images are recorded."""
        raise NotMeasured(f"no images of {name} are recorded")

    def recipes_of(self, side: Mapping[str, Any]) -> list[Recipe]:
        """List the recorded recipes of a claim's side; NotMeasured where there are none."""
        asked = recipes_of_side(side, self.settings.recipe_kind, _MAX_SEEDS)
        found = [recipe for recipe in asked if self.find(recipe) is not None]
        if not found:
            raise NotMeasured(f"{asked[0]} is not recorded")
        return found

    def to_train(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Return an empty list: nothing is trained here."""
        return []

    def missing(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """List the recipes that are not recorded."""
        return [recipe for recipe in recipes if self.find(recipe) is None]

    def model(self, recipe: Recipe) -> Evaluated:
        """Return the recorded results of the recipe; ValueError where it is not recorded."""
        found = self.find(recipe)
        if found is None:
            raise ValueError(f"{recipe} is not recorded")
        self.evaluated[recipe] = found
        return found

    def evaluate(self, recipes: Sequence[Recipe]) -> list[Evaluated]:
        """Return the recorded results of each recipe; ValueError where one is not recorded."""
        return [self.model(recipe) for recipe in recipes]

    def curve(self, recipe: Recipe, technique: str, seed: int = 0) -> Curve | None:
        """Return a network's recorded pruning curve, None where there is none."""
        record = self.cache.recorded(recipe)
        if record is None:
            return None
        digest = record["weights_sha256"]
        return self.cache.curve(self.cache.zoo / "curves", recipe, technique, seed, digest)

    def check_curves(self, wanted: Sequence[tuple[Recipe, str, int]]) -> None:
        """Raise NotMeasured for any ``wanted`` curve: none is measured here."""
        if wanted:
            recipe, technique, _ = wanted[0]
            raise NotMeasured(f"no {technique} curve of {recipe} is recorded")

    def find(self, recipe: Recipe) -> Evaluated | None:
        """Return the recorded results of the recipe; None where there are none, or damaged ones."""
        if recipe not in self._found:
            self._found[recipe] = None
            record = self.cache.recorded(recipe)
            try:
                if record is not None:
                    self._found[recipe] = _evaluated(recipe, record)
            except KeyError as error:
                self.cache.complain(f"record of {recipe.name} ignored: it has no {error}")
            except (ValueError, TypeError, AttributeError, IndexError, ZeroDivisionError) as error:
                self.cache.complain(f"record of {recipe.name} ignored: {error}")
        return self._found[recipe]


def _evaluated(recipe: Recipe, record: dict[str, Any]) -> Evaluated:
    """Build the results from a record; a record that is incomplete raises various exceptions."""
    judged = record["judged"]
    found = Evaluated(
        recipe=recipe,
        record=record,
        origin="recorded",
        device=judged["environment"]["device"],
        **{name: judged[name] for name in JUDGED},
    )
    check_run(run_record(found), "judged")
    if judged["accuracy_percent"] != found.accuracy_percent:
        raise ValueError(f"{judged['accuracy_percent']} % does not match its confusion matrix")
    if judged["test_digest"] != record["dataset_digests"]["test"]:
        raise ValueError("it was judged on another test set than the one recorded at training")
    return found


# Stands in for the ``benchmark`` fixture: nothing is timed here.
_NO_CLOCK = SimpleNamespace(pedantic=lambda target, args=(), **_: target(*args))

# What a row has of its claim's record, as the row of the record's own verdict has it.
RECORDED = (
    *("measured", "deviation", "difference", "interval", "seeds", "values", "num_images"),
    *("verdict", "reason", "recipe", "fingerprints", "expected_miss"),
)


def judged_by_test(test: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Judge a claim by the zoo's records, with its own test; None where they are silent.

    The test runs once more, on records instead of trained networks and without a clock.
    """
    bench: Any = arguments["workbench"]
    verdicts: list[Verdict] = []

    def judge(claim: Claim, measurement: Measurement) -> Verdict:
        verdicts.append(judging.judge(claim, measurement))
        return verdicts[-1]

    bench.records.evaluated.clear()
    try:
        test(**{**arguments, "workbench": bench.records, "judge": judge, "benchmark": _NO_CLOCK})
    except NotMeasured:
        return None
    [verdict] = verdicts
    records = [found.record for found in bench.records.evaluated.values()]
    newest = max(records, key=lambda record: record["time"])
    row = verdict.as_row()
    return {
        **{name: row[name] for name in RECORDED},
        "trained_on": ", ".join(sorted({r["environment"]["device_name"] for r in records})),
        "commit": (newest["commit"] or {}).get("id"),
        "time": newest["time"],
        "details": row["details"],
    }
