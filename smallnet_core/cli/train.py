"""``smallnet train`` and ``smallnet publish``: train and publish the networks claims need."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from smallnet_core.lab.settings import (
    Settings,
    cache_folder,
    check_device,
    check_tracker,
    data_folder,
    number,
)

if TYPE_CHECKING:
    from smallnet_core.recipes import Recipe
    from smallnet_core.training.progress import LogLines


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``train`` and ``publish`` to the command's parsers."""
    train = commands.add_parser(
        "train",
        help="train the networks that claims still lack",
        description="Trains the networks that claims still lack, each in a process of its own. "
        "Training that was interrupted, by --for, a signal or otherwise, resumes when the command "
        "is run again.",
    )
    train.set_defaults(run=_train)
    _add_selection(train)
    train.add_argument(
        "--list",
        action="store_true",
        help="list what is trained, and how long the rest would take here",
    )
    train.add_argument(
        "--jobs", default="1", metavar="N", help="trainings to run at once. Default: 1"
    )
    train.add_argument(
        "--threads",
        metavar="N",
        help="threads of each training. Default: all cores, divided by the jobs",
    )
    train.add_argument(
        "--for", dest="minutes", metavar="MIN", help="stop at a checkpoint after MIN minutes"
    )
    train.add_argument(
        "--track",
        metavar="TRACKER",
        help="send training curves to wandb, trackio or tensorboard, if the extra is installed",
    )
    publish = commands.add_parser(
        "publish",
        help="put trained networks into the zoo",
        description="Judges cached networks on their test images and puts their records into the "
        "zoo, with the weights of small ones.",
    )
    publish.set_defaults(run=_publish)
    _add_selection(publish)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "claims",
        nargs="*",
        metavar="CLAIM",
        help="ids of claims or goals, or patterns ('table3/*'). Default: all",
    )
    for name in ("network", "optimizer", "dataset"):
        parser.add_argument(f"--{name}", help=f"only trainings of this {name}")
    parser.add_argument(
        "--recipe", default="tuned", help="tuned, long, equal, paper or quick. Default: tuned"
    )
    parser.add_argument("--seeds", default="1", metavar="N", help="runs of each recipe. Default: 1")
    parser.add_argument("--data-dir", metavar="DIR", help="where CIFAR is. Default: SMALLNET_DATA")
    parser.add_argument(
        "--model-cache", metavar="DIR", help="where trained models are. Default: SMALLNET_CACHE"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--offline", action="store_true", help="download nothing")


def _whole(option: str, given: str) -> int:
    parse: Callable[[str], int] = number(option, int, "a whole number of at least 1", 1)
    return parse(given)


def _selected(args: argparse.Namespace) -> tuple[dict[Recipe, list[str]], Settings]:
    """Return the recipes with the claims that need each, and the settings to train them with."""
    from smallnet_core.lab.needs import select

    num_seeds = _whole("--seeds", args.seeds)
    settings = Settings(
        data_dir=data_folder(args.data_dir),
        cache_dir=cache_folder(args.model_cache),
        device=check_device(args.device),
        offline=args.offline,
    )
    wanted = select(
        args.claims,
        network=args.network,
        optimizer=args.optimizer,
        dataset=args.dataset,
        recipe_kind=args.recipe,
        num_seeds=num_seeds,
    )
    return wanted, settings


def _sleep_when_idle() -> None:
    """Let OpenMP's threads sleep after a short wait, in this process and in those it starts.

    By default they spin for long. Alone that is 1 to 8 % faster, but beside another busy process a
    training of several threads then takes ten times as long or more.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def _display() -> LogLines:
    from smallnet_core.training.progress import LiveTable, LogLines

    return (LiveTable if sys.stderr.isatty() else LogLines)(sys.stderr)


def _train(args: argparse.Namespace) -> int:
    num_jobs = _whole("--jobs", args.jobs)
    num_threads = max(1, (os.cpu_count() or 1) // num_jobs)
    if args.threads is not None:
        num_threads = _whole("--threads", args.threads)
    minutes = None
    if args.minutes is not None:
        minutes = number("--for", float, "minutes, more than 0", 1e-9)(args.minutes)
    track = None if args.track is None else check_tracker(args.track)
    wanted, settings = _selected(args)
    settings = replace(settings, track=track)
    _sleep_when_idle()  # read when torch is imported

    import torch

    from smallnet_core.lab.cache import ModelCache
    from smallnet_core.lab.listing import listing, ordered, state_of, to_do
    from smallnet_core.lab.queue import train_all
    from smallnet_core.system.machine import resolve_device

    torch.set_num_threads(num_threads)
    device = resolve_device(settings.device)
    cache = ModelCache(settings.cache_dir)
    states = {recipe: state_of(cache, recipe) for recipe in wanted}
    if not args.list:
        states = to_do(states)
    if not args.claims:
        states = ordered(states, device)
    if args.list:
        print("\n".join((*listing(states, wanted, device), *cache.complaints)))  # noqa: T201
        return 0
    return train_all(
        states,
        settings,
        _display(),
        num_jobs=num_jobs,
        num_threads=num_threads,
        minutes=minutes,
    )


def _publish(args: argparse.Namespace) -> int:
    wanted, settings = _selected(args)

    from smallnet_core.lab.publish import publish

    return publish(wanted, settings, _display())
