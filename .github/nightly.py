"""Decide the outcome of a benchmark run, and report it to an issue or pull request with ``gh``.

    python .github/nightly.py outcome --status 1 --junit junit.xml --changes changes.json \\
        --report out/report --summary out/summary.md
    python .github/nightly.py issue --outcome regression --summary summary.md --url URL
    python .github/nightly.py comment --pull 12 --outcome good --summary summary.md --url URL

Standard library only, because it runs where nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LABEL = "benchmark-regression"
TITLE = "Nightly benchmarks: worse than the reference"
MARKER = "<!-- smallnet benchmarks -->"  # identifies our comment
MISSED = re.compile(r"Failed: \S+ missed: ")  # how plugin.judge fails a test
FIRST = re.compile(r"^First seen at .*\)", re.MULTILINE)  # kept when an issue is rewritten
ROOM = 60_000  # bytes; an issue or a comment holds 65,536 characters
MOST = 30  # rows or tests listed; the report has all of them
HEADINGS = {
    "good": "No regression.",
    "regression": "Worse than what it was compared with.",
    "uncompared": "Measured, with nothing to compare it with yet.",
    "broken": "The run broke or lost measurements: it says nothing about a regression.",
}


def outcome(status: int | None, junit: Path, changes: Path | None) -> tuple[str, list[str]]:
    """Return the outcome of a run of pytest, one of HEADINGS, and why, in lines of Markdown.

    ``changes`` is written by ``smallnet compare --json``; None if there was nothing to compare
    with. Exit status 1 is not enough for a regression, because a crash after the last test gives it
    too: ``changes`` has to list a row that is worse and was measured, since a failed training also
    leaves rows without a number, and every failed test has to have missed a claim.
    """
    if status not in (0, 1):
        return "broken", [f"- pytest ended with exit status {status}"]
    try:
        cases = list(ElementTree.parse(junit).iter("testcase"))
        compared = {"rows": []} if changes is None else json.loads(changes.read_bytes())
        worse = [row for row in compared["rows"] if row["change"] == "regression"]
    except (OSError, ElementTree.ParseError, ValueError, KeyError) as error:
        return "broken", [f"- cannot read the results: {type(error).__name__}: {error}"]
    failures = [(case, found) for case in cases for found in case.findall("failure")]
    broken = [pair for pair in failures if not MISSED.match(pair[1].get("message", ""))]
    broken += [(case, found) for case in cases for found in case.findall("error")]
    if broken:
        return "broken", _listed([f"- `{c.get('name')}`: {_line(f)}" for c, f in broken])
    if not cases:
        return "broken", ["- no test ran"]
    if status == 1 and not failures and not worse:
        return "broken", ["- pytest ended with exit status 1, but no test failed"]
    if changes is None:
        return "uncompared", []
    measured = [row for row in worse if row["kind"] != "none" and row["note"] != "gone"]
    if measured:
        return "regression", _table(compared, measured)
    if worse:
        return "broken", _listed([f"- `{row['row']}`: {row['note']}" for row in worse])
    undecided = _undecided(compared)
    return "good", [f"{len(undecided)} rows are undecided."] if undecided else []


def _undecided(compared: dict[str, Any]) -> list[str]:
    return [row["row"] for row in compared["rows"] if row["change"] == "undecided"]


def _listed(lines: Sequence[str]) -> list[str]:
    left = len(lines) - MOST
    return [*lines[:MOST], *([f"- and {left} more"] if left > 0 else [])]


def _line(found: ElementTree.Element) -> str:
    return next(iter(found.get("message", "").splitlines()), "")[:200]


def _table(compared: dict[str, Any], worse: Sequence[dict[str, Any]]) -> list[str]:
    """Return a table of rows that are worse, the largest effect first."""
    old, new = (
        f"{str(compared[side]['commit'])[:12]} ({compared[side]['datetime'][:10]})"
        for side in ("old", "new")
    )
    rows = []
    for row in sorted(worse, key=lambda row: -abs(row["effect"] or 0)):
        cells = row["row"], _value(row, "old"), _value(row, "new"), _effect(row), row["note"]
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return [
        f"Worse since {old}, measured at {new}: {len(rows)} of {len(compared['rows'])} rows.",
        "",
        "| row | before | now | change | note |",
        "| --- | ---: | ---: | ---: | --- |",
        *_listed(rows),
    ]


def _cell(text: str) -> str:
    return text.replace("|", "&#124;")


def _value(row: dict[str, Any], side: str) -> str:
    return "-" if row[side] is None else f"{_number(row, row[side])} {row['unit']}".rstrip()


def _effect(row: dict[str, Any]) -> str:
    """Format the effect: percent for times, points for shares of images, else the row's unit."""
    if row["effect"] is None:
        return "-"
    unit = "%" if row["kind"] == "rounds" else row["unit"].replace("%", "points")
    return f"{'+' * (row['effect'] > 0)}{_number(row, row['effect'])} {unit}".rstrip()


def _number(row: dict[str, Any], value: float) -> str:
    if row["kind"] == "count":
        return f"{value:,.10g}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"


def write_summary(found: str, why: Sequence[str], report: Path, summary: Path) -> None:
    """Write the outcome and why, then the run's report in Markdown, if there is one."""
    pages = [page for page in sorted(report.glob("*.md")) if page.name != "README.md"]
    parts = [f"# {HEADINGS[found]}", *(["\n".join(why)] if why else [])]
    parts += [page.read_text(encoding="utf-8") for page in pages]
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def gh(*arguments: str, text: str | None = None) -> str:
    """Run ``gh`` and return its output; CalledProcessError if it fails."""
    done = subprocess.run(
        ["gh", *arguments], input=text, text=True, stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def body(outcome: str, summary: Path, url: str, first: str = "") -> str:
    """Return the text of an issue or a comment."""
    text = summary.read_text(encoding="utf-8") if summary.is_file() else f"# {HEADINGS[outcome]}\n"
    if len(text.encode()) > ROOM:
        text = text.encode()[:ROOM].decode(errors="ignore").rpartition("\n")[0] + "\n\n(cut)\n"
    return f"{MARKER}\n[The run, with its report]({url})\n{first}\n{text}"


def tell_issue(outcome: str, summary: Path, url: str, changes: Path) -> None:
    """Open, update or close the single issue with our label, unless the run was broken.

    An issue stays open while a row that it lists is undecided.
    """
    listing = ("--label", LABEL, "--state", "open", "--json", "number,body")
    issues = json.loads(gh("issue", "list", *listing))
    if outcome == "regression" and not issues:
        commit = json.loads(changes.read_bytes())["new"]["commit"]
        text = body(outcome, summary, url, f"First seen at {commit} by [this run]({url})\n")
        gh("label", "create", LABEL, "--force", "--color", "B60205")
        gh("issue", "create", "--title", TITLE, "--label", LABEL, "--body-file", "-", text=text)
    for issue in issues:
        number = str(issue["number"])
        if outcome == "regression":
            first = FIRST.search(issue["body"])
            text = body(outcome, summary, url, f"{first[0]}\n" if first else "")
            gh("issue", "edit", number, "--body-file", "-", text=text)
        elif outcome == "good":
            undecided = _undecided(json.loads(changes.read_bytes()))
            # What is worse stands above the run's report.
            listed = issue["body"].partition("\n# smallnet")[0]
            if not any(f"| {_cell(name)} |" in listed for name in undecided):
                gh("issue", "close", number, "--comment", f"{HEADINGS['good']} {url}")


def tell_pull(pull: str, outcome: str, summary: Path, url: str) -> None:
    """Post our comment on a pull request, or update it."""
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
    """Print the outcome and write the summary, or update the issue or the pull request."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    decide = commands.add_parser("outcome")
    decide.add_argument("--status", type=int)
    decide.add_argument("--junit", type=Path, required=True)
    decide.add_argument("--changes", type=Path)
    decide.add_argument("--report", type=Path, required=True, help="the folder of --report")
    decide.add_argument("--summary", type=Path, required=True, help="written, in Markdown")
    issue, comment = commands.add_parser("issue"), commands.add_parser("comment")
    issue.add_argument("--changes", type=Path, required=True, help="read where the run was good")
    comment.add_argument("--pull", required=True)
    for command in (issue, comment):
        # Empty if the job failed before it was decided.
        command.add_argument("--outcome", type=lambda text: text or "broken", choices=HEADINGS)
        command.add_argument("--summary", type=Path, required=True)
        command.add_argument("--url", required=True)
    args = parser.parse_args(argv)
    if args.command == "outcome":
        found, why = outcome(args.status, args.junit, args.changes)
        write_summary(found, why, args.report, args.summary)
        print(found)  # noqa: T201 - a command
    elif args.command == "issue":
        tell_issue(args.outcome, args.summary, args.url, args.changes)
    else:
        tell_pull(args.pull, args.outcome, args.summary, args.url)


if __name__ == "__main__":
    main()
