"""A saved run in, a page for people out: HTML that needs no other file, and Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.report import compare as compare_report
from smallnet_core.report import kinds
from smallnet_core.report.grid import Grid, commit_name, templates
from smallnet_core.report.markdown import is_shown, results_lines
from smallnet_core.report.page_details import entry, machine, network
from smallnet_core.report.page_tables import (
    KIND_COLUMNS,
    SPEED,
    curve_grids,
    goals,
    headline_grid,
    kind_grids,
    listings,
    missed,
    missed_markdown,
    pruning_tables,
    reports,
    sentences,
    tables,
    unmeasured,
)
from smallnet_core.report.results import (
    count_line,
    known_misses_line,
    read_rows,
)
from smallnet_core.report.table import escaped, grouped
from smallnet_core.runs.compare import Comparison
from smallnet_core.runs.file import RunFile

MAX_FIGURES = 1_000_000  # characters of SVG, so that a page has less than 2 MB
MAX_MATRICES = 50  # networks that are shown by class; all of them are in the run itself
MAX_MARKDOWN = 60_000  # bytes; a comment on GitHub has room for 65,536 characters
_KNOWN = {**CLAIMS, **GOALS}


def heading(file: RunFile) -> str:
    """Name a run: its day, commit and machine."""
    dirty = " with changes" if file.commit.get("dirty") else ""
    machine = file.machine.get("device_name") or "unknown machine"
    return f"{file.datetime[:10]}, {commit_name(file)}{dirty}, {machine}"


def html_page(
    file: RunFile,
    *,
    comparison: Comparison | None = None,
    figures: Mapping[str, str] | None = None,
    no_figures: str = "",
) -> str:
    """Write the page of a run.

    ``figures`` are SVG by name; ``no_figures`` says why there are none.
    """
    results, others = read_rows(file.rows, _KNOWN)
    sources = grouped(results, lambda r: r.claim.source)
    drawn, too_large = _fitting(figures or {})
    if too_large:
        no_figures = f"{', '.join(too_large)}: too large for one page"
    failures = {name: svg for name, svg in drawn.items() if "failures" in name}
    curves, _ = kinds.split_curves(others.get(kinds.CURVE, []))
    runs = {run["fingerprint"]: run for run in file.runs}
    changed = compare_report.sections(comparison) if comparison else []
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            title=heading(file),
            count=count_line(results, CLAIMS, GOALS),
            misses_line=known_misses_line(results, KNOWN_MISSES),
            headline=headline_grid(results),
            missed=missed(results),
            unmeasured=unmeasured(results),
            comparison=comparison,
            compared=[] if comparison is None else compare_report.heading_lines(comparison),
            changed=[Grid.of(t, title, folded=len(t.rows) > 20) for title, t in changed],
            tables=tables(results),
            listings=listings(results),
            reports=reports(results),
            sentences=sentences(results),
            goals=goals(results),
            figures={name: svg for name, svg in drawn.items() if name not in failures},
            no_figures=no_figures,
            failures=failures,
            failed=kind_grids({"failures": others.get("failures", [])}),
            speed=kind_grids({k: v for k, v in others.items() if k in SPEED}),
            curves=curve_grids(curves),
            left=[
                f"{kind[:80]}: {len(rows)} rows that this page cannot show"
                for kind, rows in others.items()
                if kind not in (*KIND_COLUMNS, kinds.CURVE)
            ],
            networks=[network(run, k < MAX_MATRICES) for k, run in enumerate(file.runs)],
            entries={source: [entry(r, runs) for r in own] for source, own in sources.items()},
            machine=machine(file),
        )
    )


def summary(file: RunFile, *, comparison: Comparison | None = None) -> str:
    """Write the same in Markdown, short enough for a pull request's comment."""
    results, _ = read_rows(file.rows, _KNOWN)
    counts, misses = count_line(results, CLAIMS, GOALS), known_misses_line(results, KNOWN_MISSES)
    order = [*CLAIMS, *GOALS]
    shown = sorted(filter(is_shown, results), key=lambda r: order.index(r.claim.id))
    parts = [
        [f"# smallnet: {escaped(heading(file))}", "", f"{counts}. {misses}".strip()],
        headline_grid(results).markdown(),
        missed_markdown(results),
        ["## What changed", "", *compare_report.markdown_lines(comparison)] if comparison else [],
        ["## Accuracies", "", *results_lines(shown, GOALS)],
        *([f"## {grid.caption}", "", *grid.markdown()] for grid in pruning_tables(results)),
        ["## Machine", "", *(f"- {escaped(name)}: {escaped(v)}" for name, v in machine(file))],
    ]
    text = ""
    for part in parts:
        own = "\n".join((*part, "", "")) if part else ""
        if len((text + own).encode()) > MAX_MARKDOWN - 100:
            own = f"{part[0][:200]}\n\nToo long to be shown here: see the page.\n\n"
        text += own
    return text.rstrip() + "\n"


def _slim(svg: str, prefix: str) -> str:
    """Keep the ids that something refers to, under a prefix: two figures of a page share none."""
    references = r'((?:href="#|url\(#))([^")]+)'
    labels = r'aria-labelledby="([^"]*)"'
    used = {found[1] for found in re.findall(references, svg)}
    used |= {name for names in re.findall(labels, svg) for name in names.split()}

    def renamed(found: re.Match[str]) -> str:
        return f' id="{prefix}{found[1]}"' if found[1] in used else ""

    def labelled(found: re.Match[str]) -> str:
        return f'aria-labelledby="{" ".join(prefix + name for name in found[1].split())}"'

    svg = re.sub(r' id="([^"]*)"', renamed, svg)
    svg = re.sub(references, rf"\g<1>{prefix}\g<2>", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"|(?<=\n) +|<g/>', "", svg)
    return re.sub(labels, labelled, svg)


def _fitting(figures: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Part figures from the largest ones, for which a page has no room."""
    kept = {name: _slim(svg, f"f{k}-") for k, (name, svg) in enumerate(figures.items())}
    left = []
    while sum(map(len, kept.values())) > MAX_FIGURES:
        left.append(max(kept, key=lambda name: len(kept[name])))
        del kept[left[-1]]
    return kept, left
