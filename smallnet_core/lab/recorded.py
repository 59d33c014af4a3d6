"""What the zoo's records say where nothing can be measured: a workbench that looks things up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallnet_core.lab.cache import ModelCache
from smallnet_core.lab.judged import Evaluated, curve_measurement, measurement, run_record
from smallnet_core.lab.needs import recipes_of_side
from smallnet_core.lab.settings import Settings
from smallnet_core.pruning.curve import Curve, find_curve
from smallnet_core.recipes import Recipe
from smallnet_core.records import Measurement, NotMeasured
from smallnet_core.runs.file import check_run

ORIGIN = "recorded"
_MAX_SEEDS = 10  # that are looked for


class Records:
    """Answers like a ``Workbench`` for every seed that is recorded, and trains and judges nothing.

    ``used`` are the records that went into an answer, until somebody clears it.
    """

    def __init__(self, settings: Settings, cache: ModelCache) -> None:
        self.settings = settings
        self.cache = cache
        self.used: dict[Recipe, Evaluated] = {}
        self._found: dict[Recipe, Evaluated | None] = {}
        self._curves: dict[tuple[Recipe, str, int], Curve | None] = {}

    def dataset(self, name: str) -> None:
        """Raises NotMeasured: no images are recorded."""
        raise NotMeasured(f"no images of {name} are recorded")

    def check_data(self, name: str) -> None:
        """Does nothing: records need no data."""

    def recipes(self, dataset: str, network: str, optimizer: str) -> list[Recipe]:
        """The recipe of each recorded seed; raises NotMeasured where there is none."""
        return self.recipes_of({"dataset": dataset, "network": network, "optimizer": optimizer})

    def recipes_of(self, side: Mapping[str, Any]) -> list[Recipe]:
        """The recipe of each recorded seed of a side of a claim; raises NotMeasured for none."""
        asked = recipes_of_side(side, self.settings.recipe_kind, _MAX_SEEDS)
        found = [recipe for recipe in asked if self._find(recipe) is not None]
        if not found:
            raise NotMeasured(f"{asked[0]} is not recorded")
        return found

    def to_train(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Nothing."""
        return []

    def missing(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Those that are not recorded."""
        return [recipe for recipe in recipes if self._find(recipe) is None]

    def is_evaluated(self, recipe: Recipe) -> bool:
        """Whether it is recorded."""
        return self._find(recipe) is not None

    def evaluate(self, recipes: Sequence[Recipe]) -> list[Evaluated]:
        """What the records say of these recipes; ValueError for one that is not recorded."""
        found = []
        for recipe in recipes:
            one = self._find(recipe)
            if one is None:
                raise ValueError(f"{recipe} is not recorded")
            self.used[recipe] = one
            found.append(one)
        return found

    def measurement(self, results: Sequence[Evaluated], **details: Any) -> Measurement:
        """Accuracies in percent, a value a seed."""
        return measurement(results, **details)

    def curve(self, recipe: Recipe, technique: str, seed: int = 0) -> Curve | None:
        """The recorded accuracies of a network by pruned proportion, if there are any."""
        key = recipe, technique, seed
        if key not in self._curves:
            record = self.cache.recorded(recipe)
            self._curves[key] = None
            if record is not None:
                self._curves[key] = find_curve(
                    (self.cache.zoo / "curves",),
                    recipe.name,
                    technique,
                    weights_sha256=record["weights_sha256"],
                    seed=seed,
                    complaints=self.cache.complaints,
                )
        return self._curves[key]

    def check_curves(self, wanted: Sequence[tuple[Recipe, str, int]]) -> None:
        """Raises NotMeasured where there are any: no curve is measured here."""
        if wanted:
            recipe, technique, _ = wanted[0]
            raise NotMeasured(f"no {technique} curve of {recipe} is recorded")

    def curve_measurement(self, recipe: Recipe, curve: Curve, accuracy: float) -> Measurement:
        """An accuracy on a curve, in percent."""
        [found] = self.evaluate([recipe])
        return curve_measurement(recipe, ORIGIN, found.record, curve, accuracy)

    def _find(self, recipe: Recipe) -> Evaluated | None:
        if recipe not in self._found:
            record = self.cache.recorded(recipe)
            self._found[recipe] = None if record is None else self._checked(recipe, record)
        return self._found[recipe]

    def _checked(self, recipe: Recipe, record: dict[str, Any]) -> Evaluated | None:
        """What the record says of its judging; a complaint, and None, where that is not whole."""
        try:
            judged = record["judged"]
            found = Evaluated(
                recipe=recipe,
                record=record,
                origin=ORIGIN,
                device=judged["environment"]["device"],
                **{
                    name: judged[name]
                    for name in (
                        "test_digest",
                        "num_images",
                        "right",
                        "confusion",
                        "num_params",
                        "num_nonzeros",
                    )
                },
            )
            check_run(run_record(found), "judged")
            if judged["accuracy_percent"] != found.accuracy_percent:
                raise ValueError(f"{judged['accuracy_percent']} % is not what its matrix says")
            if judged["test_digest"] != record["dataset_digests"]["test"]:
                raise ValueError("it was judged on another test set than it was trained for")
        except KeyError as error:
            self.cache.complain(f"record of {recipe.name} ignored: it has no {error}")
            return None
        except (ValueError, TypeError, AttributeError, IndexError, ZeroDivisionError) as error:
            self.cache.complain(f"record of {recipe.name} ignored: {error}")
            return None
        return found
