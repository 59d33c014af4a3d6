"""A comparison as Markdown, HTML and JSON: whatever rows are called, it is no markup."""

from __future__ import annotations

import copy
import json
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from smallnet_core.report import compare as compare_report
from smallnet_core.runs.compare import compare
from smallnet_core.runs.file import RunFile, check_document
from smallnet_core.studies.compare_power import document
from tests.saved import one, right

NAMES = st.text(
    alphabet=st.sampled_from("<>&\"'`|*_[]()@#-!\\ \n\u202ea1/"), min_size=1, max_size=24
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *sorted(name for name, _ in attributes)))


def tags(text: str) -> set[tuple[str, ...]]:
    parser = Tags()
    parser.feed(text)
    return parser.found


@settings(deadline=None, max_examples=40)
@given(NAMES, NAMES)
def test_no_name_becomes_markup(claim: str, machine: str) -> None:
    """The same elements and attributes, whatever a row and a machine are called."""
    pages = []
    for name, device in (("plain", "plain"), (claim, machine)):
        files = []
        for k, percent in enumerate((92.0, 90.0)):
            found = copy.deepcopy(dict(document([[right(percent, k, 3.0)]], [], k).document))
            found["smallnet"]["rows"][0]["claim"] = name
            found["machine_info"]["smallnet"]["device_name"] = device
            files.append(RunFile(path=Path(f"{k}.json"), document=check_document(found)))
        comparison = compare(*files)
        pages.append(tags(compare_report.html_page(comparison)))
        for line in compare_report.markdown_lines(comparison):
            if line.startswith("| simulated") or "Regressions" in line:
                continue
            bare = line.replace("<details>", "").replace("</details>", "")
            bare = bare.replace("<summary>", "").replace("</summary>", "")
            assert "<" not in bare and "@" not in bare
        json.loads(compare_report.as_json(comparison))
        compare_report.terminal_lines(comparison, verbose=True)
    assert pages[0] == pages[1]


def test_a_table_of_markdown_keeps_its_columns() -> None:
    files = []
    for k, percent in enumerate((92.0, 82.0)):
        found = copy.deepcopy(dict(document([[right(percent, k, 3.0)]], [], k).document))
        found["smallnet"]["rows"][0]["claim"] = "a|b`c"
        files.append(RunFile(path=Path(f"{k}.json"), document=check_document(found)))
    lines = compare_report.markdown_lines(compare(*files))
    head = lines.index("| row | old | new | effect (95 %) | p | by | note |")
    row = lines[head + 2].replace("\\|", "")
    assert row.count("|") == lines[head].count("|") and "ab\\`c" in row


def test_what_is_undecided_has_its_numbers_and_its_reason_in_every_medium() -> None:
    comparison = compare(one((92.0,), 0), one((90.5,), 1))
    text = " ".join(" ".join(compare_report.terminal_lines(comparison)).split())
    assert "Undecided: 1 simulated/net0: 92.00 -> 90.50 %, -1.50 (-" in text
    assert "fewer than three seeds" in text
    assert "| simulated/net0 | 92.00 % | 90.50 % |" in "\n".join(
        compare_report.markdown_lines(comparison)
    )
