"""The numbers in README are those of a file that a run wrote."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.report.claim_tables import markdown_lines

ROOT = Path(__file__).resolve().parent.parent


def test_table_is_that_of_the_named_run():
    """To renew: put the lines that this prints between README's two markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- table of (\S+) -->\n(.*?)\n<!-- /table -->", text, re.DOTALL)
    assert found, "README names no run between its table markers"
    document = json.loads((ROOT / found[1]).read_text(encoding="utf-8"))
    expected = "\n".join(markdown_lines(document, KNOWN_MISSES))
    assert found[2].strip() == expected, expected


def test_table_is_of_a_run_that_saw_the_newest_records():
    """To renew: save a run of ``make bench`` in reports/, and name it between the markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [path] = re.findall(r"<!-- table of (\S+) -->", text)
    document = json.loads((ROOT / path).read_text(encoding="utf-8"))
    records = (ROOT / "smallnet_core" / "zoo").glob("*.json")
    newest = max(json.loads(record.read_text())["judged"]["time"] for record in records)
    assert datetime.fromisoformat(document["datetime"]) >= datetime.fromisoformat(newest)
