"""Reports of a run: the paper's tables with measured and recorded values beside them.

Everything here works on rows, the JSON form of verdicts (``Verdict.as_row``), so that the same
tables can be made at the end of a run and from a saved file.
"""

from __future__ import annotations

from smallnet_core.report.table import format_value
from smallnet_core.report.terminal import short_lines, terminal_lines

__all__ = ["format_value", "short_lines", "terminal_lines"]
