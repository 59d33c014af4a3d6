"""The numbers in README are those of a file that a run wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.report import markdown_lines

ROOT = Path(__file__).resolve().parent.parent


def test_table_is_that_of_the_named_run():
    """To renew: put the lines that this prints between README's two markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- table of (\S+) -->\n(.*?)\n<!-- /table -->", text, re.DOTALL)
    assert found, "README names no run between its table markers"
    document = json.loads((ROOT / found[1]).read_text(encoding="utf-8"))
    expected = "\n".join(markdown_lines(document, CLAIMS, GOALS, KNOWN_MISSES))
    assert found[2].strip() == expected, expected
