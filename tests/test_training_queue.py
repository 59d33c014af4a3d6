"""Queues of trainings: killed, stopped, shared, failing; and what is chosen for them."""

import contextlib
import io
import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.cli import main
from smallnet_core.lab import listing
from smallnet_core.lab import queue as training_queue
from smallnet_core.lab.cache import ModelCache
from smallnet_core.lab.listing import (
    State,
    label,
    ordered,
    seconds_left,
    state_of,
    to_do,
    work_left,
)
from smallnet_core.lab.needs import recipes_of_claim, select
from smallnet_core.lab.queue import train_all
from smallnet_core.lab.settings import Settings
from smallnet_core.recipes import Recipe, find_recipe
from smallnet_core.recipes.pruned import PRUNED_NAMES, find_pruned
from smallnet_core.training.checkpoints import write_checkpoint
from smallnet_core.training.progress import LiveTable, LogLines
from tests.queueable import RECIPES, run

NUM_KILLS = 10


# Queues are forked, in a few milliseconds each, from a process that has torch loaded.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["__main__", "tests.queueable"])


class Queue:
    """A folder with a cache and a log, and the queues that work in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.cache = folder / "cache"
        self.log = folder / "log"

    def start(self, *names: str, **options: Any) -> ForkServerProcess:
        process = FORKSERVER.Process(target=run, args=(names, self.cache, self.log, options))
        process.start()
        return process

    def run(self, *names: str, **options: Any) -> int | None:
        process = self.start(*names, **options)
        process.join()
        return process.exitcode

    def checkpoints(self) -> list[Path]:
        return list(self.cache.glob("*.checkpoint"))

    def result(self, name: str) -> tuple[bytes, list[Any], dict[str, Any]]:
        path = self.cache / f"{RECIPES[name].name}.json"
        record = json.loads(path.read_text())
        curve = [{**epoch, "seconds": 0} for epoch in record["curve"]]
        return path.with_suffix(".safetensors").read_bytes(), curve, record

    def lines(self, part: str) -> list[str]:
        if not self.log.exists():
            return []
        return [line for line in self.log.read_text().splitlines() if part in line]

    def wait_for(self, part: str) -> None:
        deadline = time.monotonic() + 60
        while not self.lines(part):
            assert time.monotonic() < deadline, f"no line with {part!r}"
            time.sleep(0.02)


@pytest.fixture
def queue(tmp_path):
    yield Queue(tmp_path)
    for process in multiprocessing.active_children():
        process.kill()


def test_killed_ten_times_in_a_row_it_ends_with_the_same_bits(queue, tmp_path):
    """SIGKILL to the queue and its jobs at random moments of a training."""
    assert queue.run("dense", "pruned") == 0
    killed = Queue(tmp_path / "killed")
    rng = random.Random(0)
    for _ in range(NUM_KILLS):
        started = time.time()
        process = killed.start("dense", "pruned")
        while process.is_alive():
            with contextlib.suppress(FileNotFoundError):  # its training has ended
                if any(path.stat().st_mtime > started for path in killed.checkpoints()):
                    break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    assert killed.run("dense", "pruned") == 0
    for name in ("dense", "pruned"):
        assert killed.result(name)[:2] == queue.result(name)[:2]
    assert any(cut["step"] for cut in killed.result("dense")[2]["interruptions"])
    assert not killed.checkpoints()


def test_two_beside_each_other_train_each_recipe_once(queue):
    names = ("pruned", "dense", "other", "third")
    a, b = queue.start(*names), queue.start(*names)
    a.join()
    b.join()
    assert (a.exitcode, b.exitcode) == (0, 0)
    assert len(queue.lines(": trained, ")) == len(names)
    assert len(queue.lines("another process has trained it")) == len(names)


@pytest.mark.parametrize(
    ("number", "options", "status"),
    [(signal.SIGTERM, {}, 130), (signal.SIGINT, {}, 130), (None, {"minutes": 0.01}, 0)],
    ids=["SIGTERM", "SIGINT", "--for"],
)
def test_stopped_it_leaves_checkpoints(queue, number, options, status):
    process = queue.start("endless", "dense", **options)
    if number is not None:
        queue.wait_for("epoch 1 of")
        os.kill(process.pid, number)
    process.join()
    assert process.exitcode == status
    assert queue.lines("of 2 to train: 1 stopped at a checkpoint, 1 not started")
    assert queue.lines("stopped after step")
    assert [path.suffix for path in queue.cache.glob("*") if path.suffix != ".lock"] == [
        ".checkpoint"
    ]


def test_without_its_parent_a_job_stops_at_a_checkpoint(queue):
    """In a spawned process, as they are: it takes the seconds of importing torch."""
    process = queue.start("endless", spawn=True)
    queue.wait_for("epoch 1 of")
    process.kill()
    process.join()
    cache = ModelCache(queue.cache)
    with cache.lock(RECIPES["endless"]):  # held until the job has ended
        assert cache.checkpoint(RECIPES["endless"]).exists()


def test_what_fails_is_named_and_the_rest_goes_on(queue):
    assert queue.run("diverging", "orphan", "dense", num_jobs=2) == 1
    [line] = queue.lines("diverged at step")
    assert line.startswith(f"{RECIPES['diverging']}: failed: diverged")
    assert queue.lines(f"{RECIPES['orphan']}: failed: the network it is pruned from failed")
    assert queue.lines(f"{RECIPES['dense']}: trained, ")
    assert queue.lines("of 3 to train: 1 trained, 2 failed")
    assert len(queue.lines(": epoch 3 of 5, loss ")) == 1, "a line an epoch"


def test_what_is_pruned_waits_for_its_parent(tmp_path, monkeypatch):
    monkeypatch.setattr(training_queue, "load_dataset", lambda name, **options: None)
    monkeypatch.setattr(training_queue, "_POLL_SECONDS", 0.0)
    start = Mock(return_value=Mock(messages=lambda: [("trained", "as told")]))
    recipes = [RECIPES[name] for name in ("pruned", "other", "dense")]
    settings = Settings(cache_dir=tmp_path / "cache")
    assert train_all(recipes, settings, LogLines(io.StringIO()), num_jobs=3, start=start) == 0
    started = [recipe for (recipe, *_), _ in start.call_args_list]
    assert started == [RECIPES[name] for name in ("other", "dense", "pruned")]


def test_the_cheapest_comes_first_and_ancestors_before_it(monkeypatch):
    costs = {RECIPES["pruned"]: 1.0, RECIPES["other"]: 2.0, RECIPES["dense"]: 3.0}
    monkeypatch.setattr(listing, "estimate_seconds", lambda recipe, **options: costs[recipe])
    found = ordered(dict.fromkeys(costs, State(text="nothing")), torch.device("cpu"))
    assert list(found) == [RECIPES[name] for name in ("dense", "pruned", "other")]


def test_what_is_pruned_needs_its_parents_weights():
    recorded, lacking = State(text="recorded", is_done=True), State(text="nothing")
    states = {RECIPES[name]: recorded for name in ("dense", "other")}
    found = to_do({**states, RECIPES["pruned"]: lacking})
    assert list(found) == [RECIPES["dense"], RECIPES["pruned"]]


def test_what_is_left_is_counted_in_pixels(monkeypatch):
    recipe = replace(RECIPES["dense"], epochs=4, resolutions=((0.0, 16), (0.5, 32)))
    assert [work_left(recipe, done) for done in (0.0, 1.5, 3.0)] == [2.5, 2.125, 1.0]
    monkeypatch.setattr(listing, "estimate_seconds", lambda recipe, **options: 10.0)
    state = State(text="checkpoint", epochs_done=3.0)
    assert seconds_left(recipe, state, torch.device("cpu")) == 4.0


def tuned(network: str, optimizer: str, dataset: str = "cifar10", seed: int = 0) -> Recipe:
    return find_recipe("tuned", dataset, network, optimizer, seed)


@pytest.mark.parametrize(
    ("claim_id", "expected"),
    [
        ("table5/vit-adam", [tuned("vit", "adam", "cifar100")]),
        ("table7/l1_unstructured-0.5", [tuned("resnet18", "adabound")]),
        ("section-5.2/vgg16", [tuned("vgg16", name) for name in ("sgdm", "adam", "adabound")]),
        (
            "section-6/no-better-than-smaller-replica",
            [tuned("resnet18_s", "adabound"), tuned("resnet18", "sgdm"), tuned("resnet18", "adam")],
        ),
        (
            "section-6/pruned-resnet18-under_1m",
            [
                find_pruned(f"resnet18-1m-{how}")
                for how in ("channels", "channels-iterative", "weights")
            ],
        ),
        ("section-1/lottery_ticket", [find_pruned("ticket-10"), find_pruned("ticket-dense")]),
        ("digits/vit_s-adam", [find_recipe("quick", "digits", "vit_s", "adam")]),
        ("beyond/speednet-muon", [tuned("speednet", "muon", seed=seed) for seed in range(5)]),
        ("section-1/vit_h_14", []),
    ],
)
def test_the_recipes_that_a_claim_needs(claim_id, expected):
    assert recipes_of_claim({**CLAIMS, **GOALS}[claim_id]) == expected


def test_seeds_and_kinds():
    table = CLAIMS["table2/resnet18_s-adam"]
    assert [recipe.seed for recipe in recipes_of_claim(table, "long", 3)] == [0, 1, 2]
    one_shot = CLAIMS["table6/l1_unstructured-0.1"]
    assert len(recipes_of_claim(one_shot, "tuned", 3)) == 1
    assert recipes_of_claim(CLAIMS["section-1/lottery_ticket"], "paper") == []


def test_a_selection_is_in_the_order_of_its_globs_with_ancestors_first():
    found = select(("pruning/resnet18_s-250k-channels", "table2/*adam"))
    parent = tuned("resnet18_s", "sgdm")
    pruned = find_pruned("resnet18_s-250k-channels")
    assert list(found) == [parent, pruned, tuned("resnet18", "adam"), tuned("resnet18_s", "adam")]
    assert found[parent] == ["pruning/resnet18_s-250k-channels"]
    only = select(network="vit", optimizer="sgdm", dataset="cifar100")
    assert list(only) == [tuned("vit", "sgdm", "cifar100")]


def test_the_state_of_a_checkpoint_is_its_epoch(tmp_path):
    cache = ModelCache(tmp_path, tmp_path / "zoo")
    recipe = tuned("vit_s", "sgdm")
    facts = {"done": 7 * (50_000 // recipe.batch_size) + 3, "time": 0.0}
    write_checkpoint(cache.checkpoint(recipe), {}, {"a": torch.zeros(9)}, facts)
    assert state_of(cache, recipe).text == "checkpoint at epoch 7 of 22"


def test_every_network_has_a_label_of_its_own():
    recipes = dict.fromkeys(select())
    for recipe in map(find_pruned, PRUNED_NAMES):
        recipes |= dict.fromkeys((*recipe.ancestors(), recipe))
    labels = [label(recipe) for recipe in recipes]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 38
    assert label(find_pruned("resnet18-1m-channels")) == "resnet18 sgdm cifar10 pruned 1m 0"
    assert label(find_pruned("resnet18-1m-channels-iterative")).endswith(" rounds 1m 0")


def test_a_list_is_80_columns_wide_and_cheap(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(listing, "estimate_seconds", lambda recipe, **options: 7200.0)
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    cache = tmp_path / "cache"
    assert main(["train", "--list", "--device", "cpu", "--model-cache", str(cache)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {len(line) for line in lines[:-1]} == {80}
    [row] = [line for line in lines if line.startswith("vgg16 adam cifar10 tuned 0 ")]
    assert row.split()[-3:] == ["nothing", "1", "2.00"]
    assert not cache.exists()
    assert os.environ["GOMP_SPINCOUNT"] == "3000"  # the threads of trainings don't spin


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("train --jobs 0", "--jobs 0: expected a whole number of at least 1"),
        ("train --for 0", "--for 0: expected minutes, more than 0"),
        ("train --threads 0", "--threads 0: expected"),
        ("train --seeds none", "--seeds none: expected"),
        ("train tabel3/resnet18-adam", "nearest: table3/resnet18-adam"),
        ("train --network resnet19", "unknown network 'resnet19'; nearest: resnet18"),
        ("train --recipe tund", "unknown recipe 'tund'; nearest: tuned"),
        ("train table1/*", "no trained network"),
        ("train --device gpu", "--device gpu: expected auto, cpu"),
        ("publish --dataset cifar11", "unknown dataset 'cifar11'; nearest: cifar10"),
    ],
)
def test_bad_input_is_a_line(tmp_path, capsys, arguments, part):
    cache = tmp_path / "cache"
    assert main([*arguments.split(), "--model-cache", str(cache)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    [line] = shown.err.splitlines()
    assert part in line and line.startswith(f"smallnet {arguments.split()[0]}: ")
    assert not cache.exists()


def test_a_live_table_is_redrawn_in_place():
    stream = io.StringIO()
    table = LiveTable(stream)
    table.draw(["one", "two"])
    table.draw(["one", "two"])
    table.line("happened")
    table.draw([])
    back = "\x1b[2F\x1b[J"
    assert stream.getvalue() == f"one\ntwo\n{back}happened\none\ntwo\n{back}"
