"""Reports of a saved run: a self-contained HTML page, and Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.claims.names import DATASET_NAMES
from smallnet_core.report import compare as compare_report
from smallnet_core.report import details, results
from smallnet_core.report.claim_tables import (
    CLASS_REPORTS,
    LISTINGS,
    NETWORK_TABLES,
    accuracies,
    claims_table,
    source_table,
)
from smallnet_core.report.kinds import CURVE, kind_tables
from smallnet_core.report.results import NEW, PRUNING_TABLES, Run, run_name
from smallnet_core.report.table import Table, escaped, templates
from smallnet_core.runs.compare import Comparison
from smallnet_core.runs.file import RunFile

MAX_FIGURES = 1_000_000  # characters of SVG, to keep a page below 2 MB
MAX_MATRICES = 50  # networks shown by class; the run itself has all of them
MAX_MARKDOWN = 60_000  # bytes; a comment on GitHub holds 65,536 characters


def html_page(
    file: RunFile,
    *,
    comparison: Comparison | None = None,
    figures: Mapping[str, str] | None = None,
    no_figures: str = "",
) -> str:
    """Return the HTML page of a run.

    ``figures`` are SVG by name; ``no_figures`` says why there are none.
    """
    run = Run(file.rows, KNOWN_MISSES)
    drawn, too_large = _fitting(figures or {})
    if too_large:
        no_figures = f"{', '.join(too_large)}: too large for one page"
    failures = {name: svg for name, svg in drawn.items() if "failures" in name}
    kinds = {kind: kind_tables(kind, rows) for kind, rows in run.others.items()}

    def laid_out(*sources: str) -> list[Table]:
        return [source_table(run.sources[name]) for name in sources if name in run.sources]

    def of_kinds(*names: str) -> list[Table]:
        return [table for name in names if name in kinds for table in kinds[name][0]]

    text = re.compile("Abstract|Section|Figure")
    sentences = [r for r in run.results if text.match(r.claim.source)]
    goals = [r for r in run.results if r.is_goal]
    says = ("where", "it says", "paper", "ours", "unit", "verdict")
    tables = {
        "tables": laid_out("Table 1", *NETWORK_TABLES, *PRUNING_TABLES),
        "listings": laid_out(*LISTINGS),
        "reports": laid_out(*CLASS_REPORTS),
        "sentences": [claims_table(sentences, *says, caption="The paper's text and figures")],
        "goals": [claims_table(goals, *says, caption="Our own goals")],
        "failures": of_kinds("failures"),
        "speed": of_kinds("latency", "training_speed", "pruned network"),
        "pruning": of_kinds(CURVE),
    }
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            file=file,
            run=run,
            comparison=comparison,
            compare=compare_report,
            tables={name: [t for t in own if t.rows] for name, own in tables.items()},
            figures={name: svg for name, svg in drawn.items() if name not in failures},
            no_figures=no_figures,
            failures=failures,
            left=[line for _, lines in kinds.values() for line in lines],
            networks={one["fingerprint"]: one for one in file.runs},
            max_matrices=MAX_MATRICES,
            details=details,
            names=results,
            datasets=DATASET_NAMES,
        )
    )


def summary(file: RunFile, *, comparison: Comparison | None = None) -> str:
    """Return a run's summary in Markdown, short enough for a comment on a pull request."""
    run = Run(file.rows, KNOWN_MISSES)
    changed = []
    if comparison:
        changed = ["## What changed", "", *compare_report.markdown_lines(comparison)]
    parts = [
        [
            f"# smallnet: {escaped(run_name(file))}",
            "",
            f"{run.count_line()}. {run.misses_line()}".strip(),
            *(["", f"**{escaped(compare_report.headline(comparison))}**"] if comparison else []),
        ],
        run.headline().markdown(),
        changed,
        _missed_lines(run),
        ["## Accuracies", "", *accuracies(run.results).markdown()],
        *(
            [f"## {table.caption}", "", *table.markdown()]
            for table in (source_table(run.sources[s]) for s in PRUNING_TABLES if s in run.sources)
        ),
        [
            "## Machine",
            "",
            *(f"- {escaped(k)}: {escaped(v)}" for k, v in details.machine_facts(file).items()),
        ],
    ]
    text = ""
    for part in parts:
        own = "\n".join((*part, "", "")) if part else ""
        if len((text + own).encode()) > MAX_MARKDOWN - 100:
            own = f"{part[0][:200]}\n\nToo long to show here: see the HTML report.\n\n"
        text += own
    return text.rstrip() + "\n"


def _missed_lines(run: Run) -> list[str]:
    lines = []
    for why, own in run.missed():
        if why == NEW:
            lines += [f"- **New**: `{r.claim.id}`: {escaped(r.reason)}" for r in own]
        else:
            names = ", ".join(f"`{r.claim.id}`" for r in own[:3]) + ", ..." * (len(own) > 3)
            lines.append(f"- Known: {escaped(why)}: {len(own)} ({names})")
    return ["## Missed", "", *lines] if lines else []


def _slim(svg: str, prefix: str) -> str:
    """Prefix all ids, so that figures on one page share none, and drop empty markup."""
    svg = re.sub(r'(?<= id=")|(?<=href="#)|(?<=url\(#)', prefix, svg)
    labels = r'(?<=aria-labelledby=")[^"]*'
    svg = re.sub(labels, lambda found: " ".join(prefix + x for x in found[0].split()), svg)
    return re.sub(r' transform="rotate\(-0 [^"]*"|(?<=\n) +|<g/>', "", svg)


def _fitting(figures: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the figures that fit on a page, and the names of the largest, which don't."""
    kept = {name: _slim(svg, f"f{k}-") for k, (name, svg) in enumerate(figures.items())}
    left = []
    while sum(map(len, kept.values())) > MAX_FIGURES:
        left.append(max(kept, key=lambda name: len(kept[name])))
        del kept[left[-1]]
    return kept, left
