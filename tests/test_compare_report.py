"""A comparison as text, Markdown, HTML and JSON; tests/test_page.py has hostile names in them."""

from __future__ import annotations

import json

from smallnet_core.report import compare as compare_report
from smallnet_core.runs.compare import compare
from tests.saved import one


def test_what_is_undecided_has_its_numbers_and_its_reason_in_every_medium() -> None:
    comparison = compare(one((92.0,), 0), one((90.5,), 1))
    text = " ".join(" ".join(compare_report.terminal_lines(comparison)).split())
    assert "Undecided: 1 simulated/net0: 92.00 -> 90.50 %, -1.50 (-" in text
    assert "fewer than three seeds" in text
    assert "| simulated/net0 | 92.00 % | 90.50 % |" in "\n".join(
        compare_report.markdown_lines(comparison)
    )
    assert "fewer than three seeds" in compare_report.html_page(comparison)
    [row] = json.loads(compare_report.as_json(comparison))["rows"]
    assert (row["change"], row["old"], row["new"]) == ("undecided", 92.0, 90.5)
