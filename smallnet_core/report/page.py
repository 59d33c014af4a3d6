"""A saved run in, a page for people out: HTML that needs no other file, and Markdown. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.claims.names import DATASET_NAMES, GOAL_SOURCES, NETWORK_NAMES, OPTIMIZER_NAMES
from smallnet_core.report import compare as compare_report
from smallnet_core.report import kinds
from smallnet_core.report.grid import Cell, Chart, Grid, commit_name, polyline, scale, templates
from smallnet_core.report.markdown import is_shown, results_lines
from smallnet_core.report.results import (
    NEITHER,
    PRUNING_TABLES,
    RECORDED,
    VERDICTS,
    Result,
    count_line,
    headline,
    known_misses_line,
    read_rows,
)
from smallnet_core.report.table import Row, escaped, format_value, grouped, is_number
from smallnet_core.runs.compare import Comparison
from smallnet_core.runs.file import RunFile

MAX_FIGURES = 1_000_000  # characters of SVG, so that a page has less than 2 MB
MAX_MATRICES = 50  # networks that are shown by class; all of them are in the run itself
MAX_MARKDOWN = 60_000  # bytes; a comment on GitHub has room for 65,536 characters
_KNOWN = {**CLAIMS, **GOALS}
_AVERAGES = {"macro_avg": "macro avg", "weighted_avg": "weighted avg"}
_MARKS = dict(zip((*VERDICTS, "not measured"), "=+*!?-", strict=True))
_LEGEND = (
    "In a cell: the paper's number, ours, and the verdict. = reproduced, + exceeded, * refuted: "
    "the paper says that it fails, and it works; ! missed, ? undecided, - not measured; r: "
    "recorded by an earlier run."
)
_MAX_CLASSES = 20  # of a confusion matrix that is shown whole
_NUM_CONFUSED = 20


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
            headline=_headline(results),
            missed=_missed(results),
            unmeasured=_unmeasured(results),
            comparison=comparison,
            compared=[] if comparison is None else compare_report.heading_lines(comparison),
            changed=[Grid.of(t, title, folded=len(t.rows) > 20) for title, t in changed],
            tables=_tables(results),
            listings=_listings(results),
            reports=_reports(results),
            sentences=_sentences(results),
            goals=_goals(results),
            figures={name: svg for name, svg in drawn.items() if name not in failures},
            no_figures=no_figures,
            failures=failures,
            failed=_kind_grids({"failures": others.get("failures", [])}),
            speed=_kind_grids({k: v for k, v in others.items() if k in _SPEED}),
            curves=_curve_grids(curves),
            left=[
                f"{kind[:80]}: {len(rows)} rows that this page cannot show"
                for kind, rows in others.items()
                if kind not in (*_KIND_COLUMNS, kinds.CURVE)
            ],
            networks=[_network(run, k < MAX_MATRICES) for k, run in enumerate(file.runs)],
            entries={source: [_entry(r, runs) for r in own] for source, own in sources.items()},
            machine=_machine(file),
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
        _headline(results).markdown(),
        _missed_markdown(results),
        ["## What changed", "", *compare_report.markdown_lines(comparison)] if comparison else [],
        ["## Accuracies", "", *results_lines(shown, GOALS)],
        *([f"## {grid.caption}", "", *grid.markdown()] for grid in _tables(results)[5:]),
        ["## Machine", "", *(f"- {escaped(name)}: {escaped(v)}" for name, v in _machine(file))],
    ]
    text = ""
    for part in parts:
        own = "\n".join((*part, "", "")) if part else ""
        if len((text + own).encode()) > MAX_MARKDOWN - 100:
            own = f"{part[0][:200]}\n\nToo long to be shown here: see the page.\n\n"
        text += own
    return text.rstrip() + "\n"


# Verdicts


def _verdict(r: Result) -> Cell:
    return Cell(text=r.judged, link=f"claim-{r.claim.id}", verdict=_colour(r))


def _colour(r: Result) -> str:
    return r.verdict.replace(" ", "-")


def _pair(r: Result, paper: Any, ours: Any, unit: str = "%") -> Cell:
    recorded = "r" * (r.origin == RECORDED)
    text = f"{format_value(paper, unit)} / {format_value(ours, unit)} {_MARKS[r.verdict]}{recorded}"
    return Cell(text=text, link=f"claim-{r.claim.id}", verdict=_colour(r))


def _network_name(name: str | None) -> str:
    return NETWORK_NAMES.get(name or "", {"speednet": "SpeedNet"}.get(name or "", name or "-"))


def _of(results: Iterable[Result], *sources: str) -> list[Result]:
    return [r for r in results if r.claim.source in sources]


def _headline(results: Sequence[Result]) -> Grid:
    """Count verdicts: measured in this run, and after a plus those that are recorded."""
    header = ("claims", "all", "measured", "recorded", "neither", *VERDICTS)
    rows = []
    for name, total, *counts, neither in headline(results, CLAIMS, GOALS):
        half = len(counts) // 2
        (measured, *now), (recorded, *earlier) = counts[:half], counts[half:]
        cells = [
            " + ".join([a if a != "-" else "0", f"{b} r"]) if b != "-" else a
            for a, b in zip(now, earlier, strict=True)
        ]
        rows.append([name, total, measured, recorded, neither, *cells])
    note = "r: recorded by an earlier run, on the machine that the claim's entry names."
    return Grid("Claims by kind and verdict", header, rows, [note])


def _missed(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Group what is missed by its reason, new misses first."""

    def why(r: Result) -> str:
        if r.row.get("expected_miss") is True:
            return f"Known: {KNOWN_MISSES.get(r.claim.id, r.reason)}"
        return "New"

    groups = grouped((r for r in results if r.is_missed), why)
    return sorted(groups.items(), key=lambda group: (group[0] != "New", -len(group[1])))


def _unmeasured(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    groups = grouped((r for r in results if r.not_here), lambda r: str(r.not_here))
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _missed_markdown(results: Sequence[Result]) -> list[str]:
    lines = []
    for why, own in _missed(results):
        if why == "New":
            lines += [f"- **New**: `{r.claim.id}`: {escaped(r.reason)}" for r in own]
        else:
            names = ", ".join(f"`{r.claim.id}`" for r in own[:3]) + ", ..." * (len(own) > 3)
            lines.append(f"- {escaped(why)}: {len(own)} ({names})")
    return ["## Missed", "", *lines] if lines else []


# The paper's tables, and ours


def _rows_of(results: Iterable[Result]) -> list[list[str | Cell]]:
    return [
        [
            _network_name(r.claim.network),
            OPTIMIZER_NAMES.get(r.claim.optimizer or "", r.claim.optimizer or "-"),
            r.text("paper"),
            r.measured,
            r.difference,
            _verdict(r),
        ]
        for r in results
    ]


def _tables(results: Sequence[Result]) -> list[Grid]:
    """Tables 1 to 7, in the paper's order."""
    grids = []
    by_network = grouped(_of(results, "Table 1"), lambda r: r.claim.network)
    rows: list[list[str | Cell]] = []
    for network, own in by_network.items():
        cells = {r.claim.metric: r for r in own}
        row: list[str | Cell] = [_network_name(network)]
        for metric in ("num_params", "accuracy_percent"):
            r = cells.get(metric)
            row += ["-"] * 3 if r is None else [r.text("paper"), r.measured, _verdict(r)]
        rows.append(row)
    header = ("model", "parameters", "ours", "verdict", "% correct", "ours", "verdict")
    grids.append(Grid("Table 1: published models", header, rows))
    for source in ("Table 2", "Table 3", "Table 4", "Table 5"):
        own = _of(results, source)
        data = DATASET_NAMES.get(own[0].claim.dataset or "", "-") if own else "-"
        columns = ("network", "optimizer", "paper, %", "ours, %", "difference", "verdict")
        grids.append(Grid(f"{source}: test accuracy on {data}", columns, _rows_of(own)))
    grids += [_pruning_grid(source, _of(results, source)) for source in PRUNING_TABLES]
    return [grid for grid in grids if grid.rows]


def _pruning_grid(source: str, results: Sequence[Result]) -> Grid:
    techniques = list(dict.fromkeys(r.claim.details["technique"] for r in results))
    cells: dict[float, dict[str, Cell]] = defaultdict(dict)
    for r in results:
        details = r.claim.details
        cell = _pair(r, details["paper_percent"], r.pruned_percent)
        cells[details["proportion"]][details["technique"]] = cell
    rows = [
        [f"{at:g}", *(own.get(name, "-") for name in techniques)]
        for at, own in sorted(cells.items())
    ]
    header = ("proportion", *(kinds.TECHNIQUES[name] for name in techniques))
    return Grid(f"{source}: ResNet18 pruned in one shot, test accuracy, %", header, rows, [_LEGEND])


def _listings(results: Sequence[Result]) -> list[Grid]:
    grids = []
    for source in ("Appendix A", "Appendix B", "Appendix C"):
        rows: list[list[str | Cell]] = []
        own = _of(results, source)
        for r in own:
            details = r.claim.details
            name = str(details.get("quantity", "")).replace("_", " ")
            if "layer_type" in details:
                name = f"{details['layer_type']}-{details['index']}"
            shape = str(list(details["output_shape"])) if "output_shape" in details else "-"
            rows.append([name, shape, r.text("paper"), r.measured, _verdict(r)])
        if own:
            caption = f"{source}: layers of {_network_name(own[0].claim.network)}"
            header = ("layer", "output shape", "parameters", "ours", "verdict")
            grids.append(Grid(caption, header, rows, folded=True))
    return grids


def _reports(results: Sequence[Result]) -> list[Grid]:
    """Appendix D as the paper prints it."""
    grids = []
    metrics = ("precision", "recall", "f1", "support")
    for source in ("Appendix D.1", "Appendix D.2", "Appendix D.3", "Appendix D.4"):
        own = _of(results, source)
        cells: dict[str, dict[str, Cell]] = defaultdict(dict)
        for r in own:
            name = r.name.removesuffix(f"-{r.claim.metric}")
            metric = "f1" if r.claim.metric == "accuracy" else r.claim.metric
            unit = r.claim.unit or "%"  # two decimals, as the paper has them
            name = _AVERAGES.get(name, name)
            cells[name][metric] = _pair(r, r.row["paper"], r.row["measured"], unit)
        rows = [[name, *(cell.get(m, "-") for m in metrics)] for name, cell in cells.items()]
        if own:
            caption = f"{source}: {_network_name(own[0].claim.network)}, classes of CIFAR-10"
            grids.append(Grid(caption, ("class", *metrics), rows, [_LEGEND], folded=True))
    return grids


def _statements(caption: str, results: Iterable[Result]) -> Grid:
    rows: list[list[str | Cell]] = [
        [r.claim.source, r.claim.statement, r.text("paper"), r.measured, r.claim.unit, _verdict(r)]
        for r in results
    ]
    return Grid(caption, ("where", "it says", "value", "ours", "unit", "verdict"), rows)


def _sentences(results: Sequence[Result]) -> Grid:
    found = [r for r in results if re.match("Abstract|Section|Figure", r.claim.source)]
    order = list(CLAIMS)
    found.sort(key=lambda r: order.index(r.claim.id))
    return _statements("What the paper says in its text and its figures", found)


def _goals(results: Sequence[Result]) -> Grid:
    return _statements("Our own goals", _of(results, *GOAL_SOURCES))


# Rows that judge no claim

Column = tuple[str, Callable[[Row], str]]


def _text(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name, "-"))


def _number(name: str, form: str = ",.0f", factor: float = 1) -> Callable[[Row], str]:
    def shown(row: Row) -> str:
        value = row.get(name)
        return format(factor * value, form) if value is not None and is_number(value) else "-"

    return shown


def _label(row: Row) -> str:
    return _network_name(str(row.get("network", "-")))


def _images_per_second(row: Row) -> str:
    size, seconds = row.get("batch_size"), row.get("median_seconds")
    if not size or not seconds or not is_number(size) or not is_number(seconds):
        return "-"
    return f"{size / seconds:,.0f}"


_KIND_COLUMNS: Mapping[str, tuple[str, Sequence[Column]]] = {
    "latency": (
        "Inference: latency and throughput, random weights",
        (
            ("network", _label),
            ("parameters", _number("num_params")),
            ("images at once", _number("batch_size")),
            ("ms", _number("median_seconds", ",.2f", 1e3)),
            ("images/s", _images_per_second),
            ("precision", _text("precision")),
            ("device", _text("device")),
        ),
    ),
    "training_speed": (
        "Training speed, and how many times as fast as the paper's loop and a plain one",
        (
            ("what", _text("name")),
            ("images/s", _number("ours_images_per_second")),
            ("x paper", _number("ratio_to_papers", ".2f")),
            ("x plain", _number("ratio_to_plain", ".2f")),
            ("ratio", _number("ratio", ".2f")),
            ("use of peak, %", _number("utilisation_percent", ".1f")),
            ("augmentation, %", _number("augmentation_percent", ".2f")),
            ("peak MiB", _number("peak_memory_mib")),
            ("J/1,000 images", _number("joules_per_1000_images", ".1f")),
            ("device", _text("device")),
        ),
    ),
    "pruned network": (
        "Pruned networks: size, speed and accuracy",
        (
            ("network", _text("name")),
            ("parameters", _number("num_params")),
            ("not zero", _number("num_nonzeros")),
            ("multiply-adds, M", _number("multiply_adds", ",.1f", 1e-6)),
            ("kB dense", _number("dense_bytes", ",.0f", 1e-3)),
            ("kB sparse", _number("sparse_bytes", ",.0f", 1e-3)),
            ("ms for 1 image", _number("latency_ms", ".2f")),
            ("images/s", _number("images_per_second")),
            ("% right", _number("accuracy_percent", ".2f")),
            ("% unpruned", _number("dense_accuracy_percent", ".2f")),
        ),
    ),
    "failures": (
        "The paper's SGDM (rate 0.1, batches of 8), and one change of it each: 2,000 steps",
        (
            ("network", _label),
            ("change", _text("change")),
            ("ends as", _text("outcome")),
            ("% right", _number("accuracy_percent", ".2f")),
            ("gradient at first", _number("inner_gradient_norm_at_start", ".2g")),
            ("gradient at end", _number("inner_gradient_norm_at_end", ".2g")),
            ("% dead in worst layer", _number("worst_layer_dead_percent", ".1f")),
        ),
    ),
    "reference timing": (
        "Reference timing",
        (("name", _text("name")), ("measured", _number("measured", ".4g")), ("", _text("unit"))),
    ),
}
_SPEED = ("latency", "training_speed", "pruned network", "reference timing")


def _kind_grids(rows: Mapping[str, Sequence[Row]]) -> list[Grid]:
    grids = []
    for kind, own in rows.items():
        title, columns = _KIND_COLUMNS[kind]
        cells = [[show(row) for _, show in columns] for row in own]
        empty = {k for k, column in enumerate(zip(*cells, strict=True)) if set(column) == {"-"}}
        header = [name for k, (name, _) in enumerate(columns) if k not in empty]
        kept = [[cell for k, cell in enumerate(row) if k not in empty] for row in cells]
        if own:
            grids.append(Grid(title, header, kept))
    return grids


def _curve_grids(curves: Sequence[Row]) -> list[Grid]:
    grids = []
    for name, own in grouped(curves, lambda row: f"{_label(row)} {row['optimizer']}").items():
        found = kinds.by_technique(own)
        rows = [
            [f"{at:g}", *(kinds.percent_at(at, of_one) for of_one in found.values())]
            for at in sorted({round(p, 6) for row in own for p in row["proportions"]})
        ]
        header = ("proportion", *(kinds.TECHNIQUES.get(name, name) for name in found))
        notes = kinds.curves_provenance(own)
        caption = f"{name}: test accuracy after pruning in one shot, %"
        grids.append(Grid(caption, header, rows, notes, folded=True))
    return grids


# Networks


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that was judged: how it was trained, its curve and how it errs."""

    id: str
    name: str
    facts: Sequence[tuple[str, str]]
    chart: Chart
    grids: Sequence[Grid]


def _network(run: Row, by_class: bool) -> Network:
    recipe = run["recipe"]
    optimizer = recipe["optimizer"]
    names = [_network_name(recipe["network"]), optimizer["name"]]
    data = DATASET_NAMES.get(recipe["dataset"], recipe["dataset"])
    commit = str((run["trained_at_commit"] or {}).get("id") or "not known")[:12]
    seconds = run["train_seconds"]
    facts = [
        ("accuracy", f"{run['accuracy_percent']:.2f} % of {run['num_images']:,} {data} images"),
        ("seed", str(recipe.get("seed", "-"))),
        (
            "epochs",
            f"{recipe.get('epochs', '-')}, judged after {_EPOCHS[run['selection'] == 'last']}",
        ),
        ("weights", str(run["origin"])),
        ("trained on", f"{run['trained_on'].get('device_name')}, {run['computed_in']}"),
        ("at commit", commit),
        ("training time", "-" if seconds is None else f"{seconds:,.0f} s"),
        ("recipe", _settings(recipe)),
        ("fingerprint", run["fingerprint"]),
    ]
    return Network(
        id=f"network-{run['fingerprint']}",
        name=f"{' '.join(names)}, {recipe['kind']} recipe, {data}: {run['accuracy_percent']:.2f} %",
        facts=facts,
        chart=_curve(run),
        grids=_class_grids(run["confusion"], recipe["dataset"]) if by_class else [],
    )


_EPOCHS = {True: "the last", False: "the best on the test set"}


def _settings(recipe: Mapping[str, Any], prefix: str = "") -> str:
    """Write a recipe's settings, those of its parts with the part's name before them."""
    parts = []
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            parts.append(_settings(value, f"{prefix}{name}."))
        else:
            parts.append(f"{prefix}{name} {value}")
    return ", ".join(parts)


def _curve(run: Row) -> Chart:
    train, test = (
        [epoch[f"{name}_accuracy_percent"] for epoch in run["curve"]] for name in ("train", "test")
    )
    low, high = scale([train, test])
    limits = max(low, 0.0), min(high, 100.0)
    ends = [value for value in test if value is not None]
    said = "no test accuracy on the way"
    if ends:
        said = f"test accuracy from {ends[0]:.2f} to {ends[-1]:.2f} %"
    return Chart(
        title=f"Accuracy by epoch, {len(test)} epochs",
        said=f"{said}; dashed: training accuracy",
        lines=[polyline(test, limits), polyline(train, limits)],
        low=f"{limits[0]:.0f} %",
        high=f"{limits[1]:.0f} %",
        first="epoch 1",
        last=f"{len(test)}",
    )


_CLASSES = {
    c.details["class_index"]: c.details["class_name"]
    for c in CLAIMS.values()
    if "class_index" in c.details
}


def _class_grids(confusion: Sequence[Sequence[int]], dataset: str) -> list[Grid]:
    """Show a report by class, and its confusion matrix: of many classes what is confused most."""
    names = [_CLASSES[k] if dataset == "cifar10" else f"{k}" for k in range(len(confusion))]
    support = [sum(counts) for counts in confusion]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    hits = [confusion[k][k] for k in range(len(confusion))]
    found = [
        (
            h / p if p else 0.0,
            h / s if s else 0.0,
            2 * h / (s + p) if s + p else 0.0,
        )
        for h, s, p in zip(hits, support, predicted, strict=True)
    ]
    rows = [
        [name, *(f"{value:.3f}" for value in values), f"{s:,}"]
        for name, values, s in zip(names, found, support, strict=True)
    ]
    total = sum(support)
    means = [sum(column) / len(found) for column in zip(*found, strict=True)]
    rows.append(["macro avg", *(f"{value:.3f}" for value in means), f"{total:,}"])
    header = ("class", "precision", "recall", "f1", "support")
    grids = [Grid("By class", header, rows, folded=True)]
    if len(confusion) <= _MAX_CLASSES:
        cells: list[list[str | Cell]] = [
            [
                name,
                *(
                    Cell(text=f"{n}", verdict="right" if j == k else "wrong" if 50 * n > s else "")
                    for j, n in enumerate(counts)
                ),
            ]
            for k, (name, counts, s) in enumerate(zip(names, confusion, support, strict=True))
        ]
        note = "A row is a true class, a column what was predicted; marked: 2 % of a row and more."
        grids.append(Grid("Confusion matrix", ("true class", *names), cells, [note], folded=True))
        return grids
    pairs = [
        (n, names[k], names[j])
        for k, counts in enumerate(confusion)
        for j, n in enumerate(counts)
        if j != k and n
    ]
    most = [[a, b, f"{n}"] for n, a, b in sorted(pairs, reverse=True)[:_NUM_CONFUSED]]
    caption = "Confused most often, classes by number"
    grids.append(Grid(caption, ("true class", "predicted", "images"), most, folded=True))
    return grids


# Claims one by one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim with all that is known of it."""

    result: Result
    facts: Sequence[tuple[str, str]]
    networks: Sequence[tuple[str, str]]  # ids and names of those that are on the page


def _entry(r: Result, runs: Mapping[str, Row]) -> Entry:
    row, details, claim = r.row, r.details, r.claim
    paper, ours = claim.details.get("paper_percent"), details.get("minuend_percent")
    facts = [
        ("paper", f"{r.text('paper')} {claim.unit}{_percent(paper)}"),
        ("verdict", f"{r.judged}: {r.reason}"),
    ]
    if r.not_here:
        facts.append(("not measured here", r.not_here))
    if r.origin != NEITHER:
        interval = row.get("interval")
        low_high = ""
        if isinstance(interval, list) and interval[0] < interval[1]:
            low, high = (format_value(end, claim.unit) for end in interval)
            low_high = f" ({low} to {high})"
        facts.append(("ours", f"{r.measured} {claim.unit}{low_high}{_percent(ours)}"))
        if seeds := row.get("seeds"):
            values = [format_value(value, claim.unit) for value in row.get("values") or ()]
            pairs = zip(map(str, seeds), values, strict=False)
            facts.append(("seeds", ", ".join(f"{seed}: {value}" for seed, value in pairs)))
        if row.get("recipe"):
            facts.append(("recipe", f"{row['recipe']}, {details.get('epochs', '?')} epochs"))
        if details.get("trained_on"):
            facts.append(("trained on", ", ".join(sorted(map(str, set(details["trained_on"]))))))
    if r.origin == RECORDED:
        commit = str(row.get("commit") or "no commit")[:12]
        facts.append(("recorded", f"{str(row.get('time'))[:10]} at {commit}"))
    if r.is_missed and claim.id in KNOWN_MISSES:
        facts.append(("known miss", KNOWN_MISSES[claim.id]))
    if claim.remark:
        facts.append(("on the paper", claim.remark))
    found = [(one, runs[one]) for one in dict.fromkeys(row["fingerprints"]) if one in runs]
    return Entry(
        result=r,
        facts=facts,
        networks=[(f"network-{one}", str(run["name"])) for one, run in found],
    )


def _percent(value: Any) -> str:
    """Give the accuracy that a difference is of."""
    return f", at {value:.2f} %" if value is not None and is_number(value) else ""


def _machine(file: RunFile) -> list[tuple[str, str]]:
    machine = file.machine
    seeds = sorted({seed for row in file.rows for seed in row.get("seeds") or ()})
    measured = [row for row in file.rows if row.get("verdict") in VERDICTS]
    facts = {
        "run": file.datetime,
        "commit": f"{file.commit.get('id')}{' with changes' * bool(file.commit.get('dirty'))}",
        "device": f"{machine.get('device')}, {machine.get('device_name')}",
        "system": machine.get("system"),
        "threads": machine.get("num_threads"),
        "memory": f"{machine.get('memory_gib')} GiB",
        "Python": machine.get("python"),
        "versions": ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items()),
        "seeds": ", ".join(map(str, seeds)),
        "claims measured": len(measured),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


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
