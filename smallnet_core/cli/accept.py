"""``smallnet accept``: accept a known change, so that it no longer fails."""

from __future__ import annotations

import argparse
from pathlib import Path

from smallnet_core.runs.find import STORAGE, find_run

_HELP = """\
Accept a known change of one row at one commit. Until DATE it is shown as accepted, with the
reason, and fails neither smallnet compare nor pytest --compare, provided that the older run was
made without the commit and the newer one with it. The row still fails if it becomes worse than in
--run, or, by default, than in the first stored run that has the commit.

The entry is added to the file, which may be edited by hand."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``accept`` to the command's parsers."""
    accept = commands.add_parser(
        "accept",
        help="accept a known change of a row",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    accept.add_argument("claim", metavar="CLAIM", help="the row, as smallnet compare names it")
    accept.add_argument("--commit", required=True, metavar="C", help="the commit that changed it")
    accept.add_argument("--reason", required=True, help="why the change is accepted")
    accept.add_argument("--until", metavar="DATE", help="the last day, such as 2027-01-31")
    accept.add_argument("--run", dest="of_run", metavar="RUN", help="a run with the new value")
    accept.add_argument("--storage", default=STORAGE, metavar="DIR", help="as for smallnet compare")
    accept.add_argument(
        "--file",
        type=Path,
        default=Path("reports/accepted.toml"),
        help="where to add the entry. Default: reports/accepted.toml",
    )
    accept.set_defaults(run=_accept)


def _accept(args: argparse.Namespace) -> int:
    from smallnet_core.runs.accepted import add, contains, resolved
    from smallnet_core.runs.readings import readings

    commit = resolved(args.commit)
    entry = {"claim": args.claim, "commit": commit, "reason": " ".join(args.reason.split())}
    if args.until is not None:
        entry["until"] = args.until
    if args.of_run is not None:
        run = find_run(args.of_run, args.storage)[0][-1]
        if contains(run, commit, Path()) is False:
            raise ValueError(f"{run.path}: was made without commit {commit[:12]}")
        values = {reading.label: reading.value for reading in readings(run)}
        if args.claim not in values:
            raise ValueError(f"{run.path}: has no row {args.claim}")
        if values[args.claim] is not None:
            entry["value"] = values[args.claim]
    add(entry, args.file)
    print(f"{args.file}: {args.claim} is accepted from {commit[:12]} on")  # noqa: T201
    return 0
