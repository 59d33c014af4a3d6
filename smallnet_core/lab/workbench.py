"""Datasets, trained models and their results for the benchmarks, each made once per session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from smallnet_core.data.datasets import Dataset, load_dataset
from smallnet_core.data.sources import SPECS, DatasetNotFound
from smallnet_core.lab.cache import CachedModel, ModelCache, current_commit, record_of
from smallnet_core.lab.curves import PROPORTIONS, measure_curve
from smallnet_core.lab.curves import estimate_seconds as estimate_curve_seconds
from smallnet_core.lab.judged import Evaluated, run_record
from smallnet_core.lab.needs import recipes_of_side
from smallnet_core.lab.recorded import Records
from smallnet_core.lab.settings import Settings
from smallnet_core.lab.track import Tracked
from smallnet_core.models.layer_table import count_parameters
from smallnet_core.pruning.curve import Curve, write_curve
from smallnet_core.pruning.masks import count_nonzeros
from smallnet_core.recipes import Recipe
from smallnet_core.records import NotMeasured
from smallnet_core.system.machine import environment, peak_memory_mib, resolve_device
from smallnet_core.training.estimates import estimate_seconds
from smallnet_core.training.evaluation import confusion_matrix, packed_right, predict
from smallnet_core.training.loop import Diverged, Trained, train
from smallnet_core.training.progress import Progress
from smallnet_core.training.start import Source, network_of

# Images (train, test) of each dataset, to estimate a training before the data are loaded.
NUM_IMAGES = {name: (spec.counts["train"], spec.counts["test"]) for name, spec in SPECS.items()}
NUM_IMAGES["digits"] = 1_297, 500

# By how many correct images the zoo's weights may differ from their record: another order of
# summation changes a few predictions of 10,000.
MAX_IMAGES_OFF = 10


class WrongWeights(Exception):  # noqa: N818 - says what they are
    """Weights of the zoo whose accuracy does not match their record; the message names them."""


class Workbench:
    """One session's device, datasets and models."""

    def __init__(
        self,
        settings: Settings,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.progress = progress or Progress()
        if settings.track is not None:
            self.progress = Tracked(self.progress, settings.track)
        self.stop = stop  # whether trainings should end at a checkpoint
        self.device = resolve_device(settings.device)
        self.cache = ModelCache(settings.cache_dir)
        self.facts = environment(self.device)
        self.commit = current_commit()  # now: it may have changed when a training ends
        self.records = Records(settings, self.cache)
        self.evaluated: dict[Recipe, Evaluated] = {}  # judged in this session
        self._datasets: dict[str, Dataset | DatasetNotFound] = {}
        self._models: dict[Recipe, CachedModel] = {}
        self._curves: dict[tuple[Recipe, str, int], Curve] = {}
        self._curve_seconds: dict[Recipe, float] = {}  # estimates for one curve each

    def dataset(self, name: str) -> Dataset:
        """Return the dataset, loaded and verified once.

        Raises NotMeasured where it is not available, and DatasetError where it is not as expected.
        """
        if name not in self._datasets:
            try:
                self._datasets[name] = load_dataset(
                    name, data_dir=self.settings.data_dir, offline=self.settings.offline
                )
            except DatasetNotFound as reason:
                self._datasets[name] = reason
        found = self._datasets[name]
        if isinstance(found, DatasetNotFound):
            raise found.with_traceback(None)  # which would grow with every call
        return found

    def recipes_of(self, side: Mapping[str, Any]) -> list[Recipe]:
        """Find the recipe of each seed of a claim's side; NotMeasured where there is none."""
        return recipes_of_side(side, self.settings.recipe_kind, self.settings.num_seeds)

    def to_train(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """List the recipes that neither cache nor zoo has, each after its missing ancestors.

        Raises NotMeasured without the data, and where one would take longer than the budget.
        """
        missing: dict[Recipe, None] = {}
        for recipe in recipes:
            self.dataset(recipe.dataset)
            if self._load(recipe) is None:
                older = (one for one in recipe.ancestors() if self._load(one) is None)
                missing |= dict.fromkeys((*older, recipe))
        for recipe in missing:
            self._check_budget(recipe)
        return list(missing)

    def train(self, recipes: Sequence[Recipe], *, blocking: bool = True) -> None:
        """Train and store each recipe; if another process is training it, wait for its result.

        Raises Busy instead of waiting without ``blocking``, and Interrupted when ``stop`` is true.
        """
        for recipe in recipes:
            self.dataset(recipe.dataset)
            with self.cache.lock(recipe, waits=self.progress.note, blocking=blocking):
                other = None if self.settings.retrain else self.cache.load(recipe)
                self._models[recipe] = self._trained(recipe) if other is None else other

    def _trained(self, recipe: Recipe) -> CachedModel:
        """Train and store a recipe whose lock is held."""
        dataset = self.dataset(recipe.dataset)
        checkpoint = self.cache.checkpoint(recipe)
        sources = {one: self._source(one) for one in recipe.ancestors()}
        found: list[Trained] = []
        diverged, peak = "", None

        def work() -> None:
            found.append(
                train(
                    recipe,
                    dataset,
                    self.device,
                    progress=self.progress,
                    checkpoint=checkpoint,
                    sources=sources,
                    stop=self.stop,
                )
            )

        try:
            peak = peak_memory_mib(work, self.device)
        except Diverged as failure:
            found.append(failure.trained)
            diverged = f"diverged: {failure}"
        [trained] = found
        record = record_of(trained, self.facts, dataset.digests, self.commit, peak)
        if diverged:  # judged in this session as it is, but never cached
            weights = trained.state_dict
            model = CachedModel(recipe=recipe, state_dict=weights, record=record, origin=diverged)
        else:
            model = self.cache.store(trained, record)
            if "weights_sha256" not in model.record:
                return model  # not written: keep the checkpoint
        checkpoint.unlink(missing_ok=True)
        return model

    def missing(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """List the recipes without a trained network in this session, the cache or the zoo."""
        return [recipe for recipe in recipes if self._load(recipe) is None]

    def model(self, recipe: Recipe) -> CachedModel:
        """Return the trained network's weights and record; ValueError where there is none."""
        model = self._load(recipe)
        if model is None:
            raise ValueError(f"{recipe} is not trained: call train() first")
        return model

    def curve(self, recipe: Recipe, technique: str, seed: int = 0) -> Curve | None:
        """Return a network's pruning curve from session or cache; None where there is none.

        Raises ValueError where the network is not trained.
        """
        key = recipe, technique, seed
        if key not in self._curves and not self.settings.retrain:
            sha256 = self.model(recipe).record.get("weights_sha256")  # absent where it diverged
            found = sha256 and self.cache.curve(self.cache.folder, *key, sha256)
            if found:
                self._curves[key] = found
        return self._curves.get(key)

    def check_curves(self, wanted: Sequence[tuple[Recipe, str, int]]) -> None:
        """Raise NotMeasured where measuring these curves would take longer than the budget.

        Without --retrain, also raise it where all of them are recorded.
        """
        if not self.settings.retrain and all(self.records.curve(*one) for one in wanted):
            raise NotMeasured(
                f"{len(wanted)} curve{'s' if len(wanted) > 1 else ''} already recorded, "
                f"{len(PROPORTIONS)} passes over the test images each: --retrain measures again"
            )
        recipe = wanted[0][0]
        if recipe not in self._curve_seconds:
            self._curve_seconds[recipe] = estimate_curve_seconds(
                self.network(self.model(recipe)), NUM_IMAGES[recipe.dataset][1], self.device
            )
        self.settings.check_budget(
            f"measuring pruning curves of {recipe.network}",
            len(wanted) * self._curve_seconds[recipe],
        )

    def measure_curve(self, recipe: Recipe, technique: str, seed: int = 0) -> Curve:
        """Measure a trained network's accuracy by pruned proportion and store it in the cache."""
        model = self.model(recipe)
        dataset = self.dataset(recipe.dataset)
        of_network = [found for (one, *_), found in self._curves.items() if one == recipe]
        found = measure_curve(
            self.network(model),
            technique,
            dataset.test_images.to(self.device),
            dataset.test_labels.to(self.device),
            mean=recipe.mean,
            std=recipe.std,
            seed=seed,
            network=recipe.name,
            weights_sha256=model.record.get("weights_sha256", ""),
            commit=self.commit,
            dataset_digests=dataset.digests,
            dense_hits=of_network[0].hits[0] if of_network else None,
        )
        self._curves[recipe, technique, seed] = found
        if found.weights_sha256:
            try:
                write_curve(self.cache.folder, found)
            except OSError as error:
                self.cache.complaints.append(f"a curve of {recipe} was not saved ({error})")
        return found

    def evaluate(self, recipes: Sequence[Recipe]) -> list[Evaluated]:
        """Judge each trained recipe on all test images, in float32 whatever it was trained in."""
        for recipe in recipes:
            if recipe not in self.evaluated:
                found = self.judge(self.model(recipe))
                if found.origin == "zoo":
                    self._check_record(found)
                self.evaluated[recipe] = found
        return [self.evaluated[recipe] for recipe in recipes]

    def run_records(self) -> list[dict[str, Any]]:
        """Collect what a saved run keeps of each network judged so far; see ``runs.schema``."""
        return [run_record(found) for found in self.evaluated.values()]

    def network(self, model: CachedModel) -> nn.Module:
        """Build the trained network on the session's device, in evaluation mode."""
        with torch.device("meta"):
            network = network_of(model.recipe, model.source.plan)
        network.load_state_dict(model.state_dict, assign=True)
        return network.eval().to(self.device).to(memory_format=torch.channels_last)

    def _load(self, recipe: Recipe) -> CachedModel | None:
        if recipe not in self._models and not self.settings.retrain:
            model = self.cache.load(recipe)
            if model is not None:
                self._models[recipe] = model
        return self._models.get(recipe)

    def _source(self, recipe: Recipe) -> Source:
        model = self.model(recipe)
        if model.origin.startswith("diverged"):
            raise NotMeasured(f"there is nothing to prune: {model.origin}")
        return model.source

    def _check_budget(self, recipe: Recipe) -> None:
        budget = 60 * self.settings.train_budget_minutes
        num_train, num_test = NUM_IMAGES[recipe.dataset]
        seconds = estimate_seconds(
            recipe, num_train=num_train, num_test=num_test, device=self.device
        )
        what = "training"
        if seconds > budget and self.cache.recorded(recipe) is not None:
            what = "the zoo has its record but not its weights; training"
        self.settings.check_budget(what, seconds)

    def _check_record(self, found: Evaluated) -> None:
        """Raise WrongWeights where the zoo's weights do not match their record."""
        recorded = self.records.find(found.recipe)
        if recorded is None:
            return
        if recorded.test_digest != found.test_digest:
            raise WrongWeights(
                f"{found.recipe.name}: recorded on a test set with digest "
                f"{recorded.test_digest[:12]}, but this one has {found.test_digest[:12]}"
            )
        if abs(found.num_right - recorded.num_right) > MAX_IMAGES_OFF:
            raise WrongWeights(
                f"{found.recipe.name}: the zoo's weights classify {found.num_right:,} of "
                f"{found.num_images:,} test images correctly, but their record says "
                f"{recorded.num_right:,}"
            )

    def judge(self, model: CachedModel) -> Evaluated:
        """Judge a trained model on all test images, in float32."""
        recipe = model.recipe
        dataset = self.dataset(recipe.dataset)
        images = dataset.test_images.to(self.device)
        network = self.network(model)
        logits = predict(
            network, images, mean=recipe.mean, std=recipe.std, flips=recipe.test_time_flips
        ).cpu()
        return Evaluated(
            recipe=recipe,
            record=model.record,
            origin=model.origin,
            device=str(self.device),
            test_digest=dataset.digests["test"],
            num_images=len(dataset.test_labels),
            right=packed_right(logits, dataset.test_labels),
            confusion=confusion_matrix(logits, dataset.test_labels).tolist(),
            num_params=count_parameters(network),
            num_nonzeros=count_nonzeros(network),
        )
