"""The ``smallnet`` command: compares and reports saved runs, trains and publishes networks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from smallnet_core.cli import accept, compare, reference, report, train


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 for what ``--fail-on`` names, 2 for unusable files or options."""
    parser = _parser()
    args = parser.parse_args(argv)
    # A terminal without UTF-8 shows what it can instead of raising an error.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        command: Callable[[argparse.Namespace], int] = args.run
        return command(args)
    except (ValueError, OSError) as error:
        print(f"smallnet {args.command}: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smallnet",
        description="Compare and report saved benchmark runs; train the networks that claims need.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compare.add_commands(commands)
    reference.add_commands(commands)
    accept.add_commands(commands)
    report.add_commands(commands)
    train.add_commands(commands)
    return parser
