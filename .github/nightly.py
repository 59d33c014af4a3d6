"""What the benchmark workflows decide: what a run was, and whom to tell of it through ``gh``.

    python .github/nightly.py outcome --status 1 --junit junit.xml --changes changes.json
    python .github/nightly.py issue --outcome regression --summary summary.md --url URL
    python .github/nightly.py comment --pull 12 --outcome good --summary summary.md --url URL

Standard library only: it runs where nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

LABEL = "benchmark-regression"
TITLE = "Nightly benchmarks: worse than the reference"
MARKER = "<!-- smallnet benchmarks -->"  # by which our comment is found again
MISSED = re.compile(r"Failed: \S+ missed: ")  # how plugin.judge fails a test
ROOM = 60_000  # bytes of 65,536 characters that an issue or a comment may have
HEADINGS = {
    "good": "No regression.",
    "regression": "Worse than what it was compared with.",
    "uncompared": "Measured, with nothing to compare it with yet.",
    "broken": "The run broke: it says nothing about a regression.",
}


def outcome(status: int | None, junit: Path, changes: Path | None) -> str:
    """Tell what a run of pytest was, one of HEADINGS, from its exit status and what it wrote.

    Status 1 alone proves nothing, for a crash after the last test has it too: a regression is one
    that ``changes`` lists, of ``smallnet compare --json``, None where there was nothing to compare
    with. And every test that failed has to have measured a claim and missed it.
    """
    if status not in (0, 1):
        return "broken"
    try:
        cases = list(ElementTree.parse(junit).iter("testcase"))
        counts = None if changes is None else json.loads(changes.read_bytes())["counts"]
    except (OSError, ElementTree.ParseError, ValueError, KeyError):
        return "broken"
    failures = [found for case in cases for found in case.findall("failure")]
    errors = [found for case in cases for found in case.findall("error")]
    if not cases or errors or not all(MISSED.match(one.get("message", "")) for one in failures):
        return "broken"
    if counts is None:
        return "uncompared"
    if counts.get("regression"):
        return "regression"
    return "broken" if status == 1 and not failures else "good"


def action(outcome: str, *, is_open: bool) -> str | None:
    """Tell what becomes of the issue: only what was measured opens or closes it."""
    if outcome == "regression":
        return "update" if is_open else "open"
    return "close" if outcome == "good" and is_open else None


def gh(*arguments: str, text: str | None = None) -> str:
    """Run ``gh``; CalledProcessError where it fails."""
    done = subprocess.run(
        ["gh", *arguments], input=text, text=True, stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def body(outcome: str, summary: Path, url: str) -> str:
    """The text of an issue or a comment."""
    text = summary.read_text(encoding="utf-8") if summary.is_file() else ""
    cut = text.encode()[:ROOM].decode(errors="ignore")
    return f"{MARKER}\n{HEADINGS[outcome]} [The run, with its report]({url}).\n\n{cut}"


def tell_issue(outcome: str, summary: Path, url: str) -> None:
    """Open, update or close the one issue with our label."""
    found = gh("issue", "list", "--label", LABEL, "--state", "open", "--json", "number")
    numbers = [str(issue["number"]) for issue in json.loads(found)]
    what = action(outcome, is_open=bool(numbers))
    text = body(outcome, summary, url)
    if what == "open":
        gh("label", "create", LABEL, "--force", "--color", "B60205")
        gh("issue", "create", "--title", TITLE, "--label", LABEL, "--body-file", "-", text=text)
    for number in numbers:
        if what == "update":
            gh("issue", "edit", number, "--body-file", "-", text=text)
        elif what == "close":
            gh("issue", "close", number, "--comment", f"{HEADINGS['good']} {url}")


def tell_pull(pull: str, outcome: str, summary: Path, url: str) -> None:
    """Write our comment of a pull request, or write it anew."""
    comments = f"repos/{{owner}}/{{repo}}/issues/{pull}/comments"
    ours = f'.[] | select(.user.type == "Bot" and (.body | startswith("{MARKER}"))) | .id'
    found = gh("api", "--paginate", comments, "--jq", ours).split()
    text = json.dumps({"body": body(outcome, summary, url)})
    if found:
        one = f"repos/{{owner}}/{{repo}}/issues/comments/{found[0]}"
        gh("api", "--method", "PATCH", one, "--input", "-", text=text)
    else:
        gh("api", "--method", "POST", comments, "--input", "-", text=text)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the outcome, or tell the issue or the pull request of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    decide = commands.add_parser("outcome")
    decide.add_argument("--status", type=int)
    decide.add_argument("--junit", type=Path, required=True)
    decide.add_argument("--changes", type=Path)
    issue, comment = commands.add_parser("issue"), commands.add_parser("comment")
    comment.add_argument("--pull", required=True)
    for command in (issue, comment):
        # Empty where the job that decides it never came so far.
        command.add_argument("--outcome", type=lambda text: text or "broken", choices=HEADINGS)
        command.add_argument("--summary", type=Path, required=True)
        command.add_argument("--url", required=True)
    args = parser.parse_args(argv)
    if args.command == "outcome":
        print(outcome(args.status, args.junit, args.changes))  # noqa: T201 - a command
    elif args.command == "issue":
        tell_issue(args.outcome, args.summary, args.url)
    else:
        tell_pull(args.pull, args.outcome, args.summary, args.url)


if __name__ == "__main__":
    main()
