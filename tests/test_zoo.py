"""The zoo that ships: every file verifies, and today's recipes and networks have a use for it."""

import json
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch

from smallnet_core.lab.cache import ModelCache, read_entry
from smallnet_core.lab.curves import PROPORTIONS
from smallnet_core.lab.publish import MAX_ZOO_BYTES
from smallnet_core.lab.recorded import Records
from smallnet_core.lab.settings import Settings
from smallnet_core.pruning.channels import apply_plan
from smallnet_core.pruning.curve import curve_path, read_curve
from smallnet_core.recipes import find_recipe
from smallnet_core.recipes.pruned import PRUNED_NAMES, find_pruned
from smallnet_core.system.files import ZOO_DIR
from smallnet_core.training.start import network_of

ZOO_FILES = {  # without traces/ and curves/
    path.name for path in ZOO_DIR.iterdir() if path.is_file() and not path.name.startswith(".")
}
ZOO_RECORDS = [json.loads(path.read_text()) for path in sorted(ZOO_DIR.glob("*.json"))]


def test_the_zoo_holds_whole_entries_and_nothing_else():
    records = {f"{record['name']}.json" for record in ZOO_RECORDS}
    shipped = [record for record in ZOO_RECORDS if record.get("weights") is not False]
    assert records | {f"{record['name']}.safetensors" for record in shipped} == ZOO_FILES
    assert sum(path.stat().st_size for path in ZOO_DIR.rglob("*.*")) < MAX_ZOO_BYTES


# In one test, for the zoo may be empty, and pytest would count that as a skip.
def test_every_zoo_entry_verifies_is_of_todays_recipe_and_fits_its_network():
    for record in ZOO_RECORDS:
        name, stated = record["name"], record["recipe"]
        if stated["kind"] == "pruned":
            asked = (find_pruned(one, stated["dataset"], record["seed"]) for one in PRUNED_NAMES)
            asked = (one for recipe in asked for one in (*recipe.ancestors(), recipe))
            recipe = {one.name: one for one in asked}.get(name)
        else:
            row = stated["dataset"], stated["network"], stated["optimizer"]["name"]
            kinds = ("tuned", "equal") if stated["kind"] == "tuned" else (stated["kind"],)
            asked = (replace(find_recipe(kind, *row), seed=record["seed"]) for kind in kinds)
            recipe = {one.name: one for one in asked}.get(name)
        assert recipe and recipe.name == name, f"{name} is stale: nothing asks for it any more"
        settings = Settings(cache_dir=Path("none"), recipe_kind=stated["kind"])
        records = Records(settings, ModelCache(Path("none")))
        assert records.missing([recipe]) == [], records.cache.complaints
        if record.get("weights") is False:
            continue
        entry = read_entry(ZOO_DIR, recipe)
        assert entry is not None
        weights, _ = entry
        with torch.device("meta"):
            network = network_of(recipe)
        network = apply_plan(network, record.get("pruning_plan", []))
        network.load_state_dict(weights, strict=True, assign=True)
        assert all(t.isfinite().all() for t in weights.values()), name
        on_disk = safetensors.torch.load((ZOO_DIR / f"{name}.safetensors").read_bytes())
        floating = {t.dtype for t in on_disk.values() if t.is_floating_point()}
        assert floating == {torch.float16}
        assert (
            record["test_accuracy_percent"]
            == (record["curve"][record["selected_epoch"] - 1]["test_accuracy_percent"])
        )
        assert len(record["curve"]) == recipe.end_epoch - recipe.first_epoch


def test_every_curve_of_the_zoo_is_whole_and_of_weights_that_it_holds():
    digests = {record["name"]: record["weights_sha256"] for record in ZOO_RECORDS}
    for path in (ZOO_DIR / "curves").glob("*"):
        stated = json.loads(path.read_text())
        name, technique, seed = stated["network"], stated["technique"], stated["seed"]
        assert path == curve_path(ZOO_DIR / "curves", name, technique, seed)
        curve = read_curve(path.parent, name, technique, weights_sha256=digests[name], seed=seed)
        assert curve is not None and curve.proportions == PROPORTIONS and curve.num_images == 10_000
        assert curve.commit is not None and not curve.commit["dirty"]
