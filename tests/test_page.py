"""smallnet report and trend: a page that stands alone and is safe, whole or not there."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallnet_core.claims import CLAIMS
from smallnet_core.cli import main
from smallnet_core.lab import reports
from smallnet_core.report import compare as compare_report
from smallnet_core.report.page import MAX_MARKDOWN, MAX_MATRICES, html_page, summary
from smallnet_core.report.trend import trend_page
from smallnet_core.runs.compare import compare
from smallnet_core.runs.file import RunFile, read_run_file
from smallnet_core.runs.history import history
from smallnet_core.runs.reference import update
from studies.compare_power import document
from tests.saved import changed, one, right

FILES = Path(__file__).parent / "files"
WHOLE = Path(__file__).parents[1] / "reports" / "2026-11-26-cpu" / "bench.json"
VOID = {"meta", "rect", "circle", "polyline", "input", "br", "path", "use"}


class Page(HTMLParser):
    """What a browser would make of a page, as far as these tests ask."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.headings: list[int] = []
        self.loaded: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        if "id" in found:
            self.ids[found["id"]] += 1
        if tag == "a":
            self.links.append(found["href"])
        self.loaded += [found[name] for name in ("src", "srcset", "data") if name in found]
        self.loaded += [found["href"]] if tag in ("link", "image") else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th":
            assert found["scope"] in ("col", "row")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def whole() -> RunFile:
    """A run with CIFAR: 645 rows, 26 networks."""
    return read_run_file(WHOLE)


@pytest.fixture(scope="module")
def html(whole) -> str:
    return html_page(whole, comparison=compare(small(), small()), no_figures="x")


def small(name: str = "run-schema-2.json") -> RunFile:
    return read_run_file(FILES / name)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take seconds, and none of these tests looks at them."""
    monkeypatch.setattr(reports, "draw", lambda file: ({}, "not here"))


def test_a_page_stands_alone_and_every_link_in_it_leads_somewhere(html):
    page = Page(html)
    assert page.loaded == [] and "@import" not in html and "url(" not in html
    assert not [name for name, number in page.ids.items() if number > 1]
    assert {link[1:] for link in page.links} <= page.ids.keys()
    assert all(link.startswith("#") for link in page.links)
    assert page.open == []


def test_a_page_can_be_walked_by_its_landmarks_and_headings(whole, html):
    page = Page(html)
    assert page.tags["main"] == page.tags["h1"] == page.tags["header"] == page.tags["nav"] == 1
    assert all(after - before <= 1 for before, after in pairwise(page.headings))
    assert page.tags["caption"] == page.tags["table"]
    assert page.tags["svg"] == len(whole.runs)


def test_every_claim_of_a_run_has_an_entry_with_its_statement_and_the_papers_contradictions(
    whole, html
):
    page = Page(html)
    for row in whole.rows:
        if row["claim"] in CLAIMS:
            assert page.ids[f"claim-{row['claim']}"] == 1
            for text in (CLAIMS[row["claim"]].statement, CLAIMS[row["claim"]].remark):
                assert text.replace("ADAM", "Adam") in page.text


def test_what_is_recorded_is_told_from_what_was_measured(html):
    assert 'href="#claim-table6/l1_unstructured-0.3">94.89/87.55 r!<' in html
    assert 'href="#claim-table2/resnet18_s-sgdm">exceeded<' in html


TEXT = st.text(st.sampled_from("<>&\"'/=;a` |*_@[]\\{}%#\n"), min_size=1, max_size=30)
HOSTILE = TEXT | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=y>', "{{ 7 * 7 }}", "</table></details>"]
)


@given(name=HOSTILE)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_name_of_a_file_is_markup(name):
    def renamed(file, name):
        own = {"network": name, "name": name}
        rows = [{**row, **({"reason": name} if row["claim"] else own)} for row in file.rows]
        runs = [
            {**run, "name": name, "recipe": {**run["recipe"], "network": name}} for run in file.runs
        ]
        places = {
            "machine_info.smallnet.device_name": name,
            "commit_info.id": name,
            "smallnet.rows": [*rows, {"claim": None, "kind": name, "name": name}],
            "smallnet.runs": runs,
        }
        return changed(file, places)

    old, found = small(), []
    for each in (name, "nothing"):
        file = renamed(old, each)
        comparison = compare(old, file)
        json.loads(compare_report.as_json(comparison))
        pages = html_page(file, comparison=comparison), compare_report.html_page(comparison)
        found.append([Page(page).tags for page in pages])
        for line in summary(file, comparison=comparison).splitlines():
            bare = re.sub("</?(details|summary)>", "", line)
            assert "<" not in bare and "@" not in bare
    assert found[0] == found[1]


def test_markdown_begins_with_the_headline_and_fits_a_comment(whole):
    text = summary(whole, comparison=compare(small(), small()))
    title, _, first, *_ = text.splitlines()
    assert title == "# smallnet: 2026-11-26 00:19, 2c353dd, AMD EPYC"
    assert first.startswith("560 claims of the paper: 393 measured in this run, 74 recorded")
    assert "51 missed, 0 of them new" in first
    assert "| Table 2 | ResNet18_S, AdaBound | 91.72 | 90.95 | -0.77 | % | reproduced |" in text

    missed = {"verdict": "missed", "reason": "why " * 2000, "expected_miss": False}
    long = changed(small(), {"smallnet.rows": [{**row, **missed} for row in small().rows]})
    assert "Too long" in (cut := summary(long))
    assert len(cut.encode()) < MAX_MARKDOWN


def test_thousands_of_rows_end_in_a_page_of_some_size():
    timing = {"claim": None, "kind": "latency", "network": "resnet18_s", "device": "cpu"}
    timings = [timing | {"batch_size": k, "median_seconds": 0.1} for k in range(5000)]
    page = html_page(changed(small(), {"smallnet.rows": [*small().rows, *timings]}))
    assert len(page.encode()) < 1e6 and "more rows are in the run itself" in page


def test_a_page_says_how_many_networks_it_has_no_tables_by_class_of(whole):
    run = small().runs[0]
    runs = [{**run, "fingerprint": f"{k:012x}"} for k in range(MAX_MATRICES + 7)]
    text = Page(html_page(changed(small(), {"smallnet.runs": runs}))).text
    assert "those of the other 7 are in the run itself" in text
    assert "in the run itself" not in Page(html_page(whole)).text


def test_a_report_is_four_files_and_the_index_lists_all_of_a_folder(tmp_path, capsys, undrawn):
    out = tmp_path / "deep" / "out"
    assert main(["report", str(FILES / "run-schema-2.json"), str(out)]) == 0
    assert main(["report", str(FILES / "run-schema-1.json"), str(out)]) == 0
    page, text, run, index = map(Path, capsys.readouterr().out.splitlines()[:4])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[0-9a-z-]+-.*\.html", page.name)
    assert {p.stem for p in (page, text, run)} == {page.stem}
    assert read_run_file(run).document == small().document
    listed = index.read_text()
    assert all(f"({p.name})" in listed for p in out.iterdir() if p.name != "README.md")
    assert listed.count("\n| 2") == 2
    assert len(list(out.iterdir())) == 7


def test_another_run_of_the_same_name_takes_a_name_of_its_own(tmp_path, undrawn):
    file = small()
    first = reports.write_report(file, tmp_path)
    assert reports.write_report(file, tmp_path)[0] == first[0]
    other = changed(file, {"datetime": f"{file.datetime[:10]}T23:59:59"})
    assert reports.write_report(other, tmp_path)[0].stem == f"{first[0].stem}-2"


def broken(tmp_path: Path, what: str) -> list[str]:
    run, out = tmp_path / "run.json", tmp_path / "out"
    document = copy.deepcopy(dict(small().document))
    if what == "no rows":
        document["smallnet"]["rows"] = []
    if what == "a newer schema":
        document["smallnet"]["schema"] = 99
    if what == "out is a file":
        out.write_text("mine")
    if what == "a README of another's":
        out.mkdir()
        (out / "README.md").write_text("# My project\n")
    run.write_text("{" if what == "cut off" else json.dumps(document))
    return ["report", str(run if what != "no file" else tmp_path / "x.json"), str(out)]


@pytest.mark.parametrize(
    "what",
    ["no file", "cut off", "no rows", "a newer schema", "out is a file", "a README of another's"],
)
def test_what_cannot_be_shown_is_a_line_and_nothing_is_written(tmp_path, capsys, undrawn, what):
    command = broken(tmp_path, what)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_behind(tmp_path, monkeypatch, undrawn):
    kept = reports.write_report(small(), tmp_path)[0].read_bytes()
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        reports.write_report(small("run-schema-1.json"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert next(tmp_path.glob("*.html")).read_bytes() == kept


def test_without_matplotlib_a_line_says_how_to_get_the_figures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = reports.write_report(small(), tmp_path)[0].read_text(encoding="utf-8")
    assert "Figures are left out: figures need matplotlib: pip install" in page


def test_figures_are_drawn_into_the_page_without_sharing_an_id(whole, tmp_path):
    pytest.importorskip("matplotlib")
    path = reports.write_report(whole, tmp_path)[0]
    page = Page(html := path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 2e6
    assert not [name for name, number in page.ids.items() if number > 1]
    assert "Figure 8 redrawn" in page.text and "Figure 17 redrawn" in page.text
    assert "The first steps of VGG16_S" in page.text
    assert "Accuracy on CIFAR-10 against the number of parameters" in page.text
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', html))
    references |= {i for ids in re.findall('aria-labelledby="([^"]*)"', html) for i in ids.split()}
    assert references <= page.ids.keys()


# Trends


def runs_of(folder: Path, accuracies: list[float], dates: str = "2026-10-{:02}") -> None:
    folder.mkdir()
    for k, share in enumerate(accuracies):
        document = copy.deepcopy(dict(small().document))
        document["datetime"] = f"{dates.format(k + 1)}T00:00:00"
        document["commit_info"]["id"] = f"{k:07}"
        document["smallnet"]["runs"] = []
        for row in document["smallnet"]["rows"]:
            if row["claim"] and row["unit"] == "%" and row["measured"] is not None:
                row |= {"values": [share], "measured": share, "interval": None, "seeds": [0]}
        (folder / f"{k}.json").write_text(json.dumps(document))


def test_a_trend_marks_steps_and_names_what_is_unstable(tmp_path, capsys):
    steady = [90.0 + 0.1 * (k % 2) for k in range(6)]
    runs_of(tmp_path / "step", [*steady, *(value - 6 for value in steady)])
    runs_of(tmp_path / "wild", [90.0, 92.0, 88.0, 91.5])
    assert main(["trend", str(tmp_path / "step"), str(tmp_path / "out")]) == 0
    page = Page((tmp_path / "out" / "trend.html").read_text(encoding="utf-8"))
    assert re.search(r"2026-10-07 0000006: 84.00 %, worse than 90.10 before", page.text)
    assert page.tags["svg"] == page.tags["figure"] == page.tags["figcaption"] > 0
    assert main(["trend", str(tmp_path / "wild"), str(tmp_path / "out")]) == 0
    assert "unstable: deviation" in (tmp_path / "out" / "trend.html").read_text(encoding="utf-8")


def test_what_is_worse_stands_first():
    old, new = one((92.0, 92.05, 92.1), 0), one((85.0, 85.05, 85.1), 1)
    for before, after, sentence in (
        (old, new, "Worse than the run of 2026-01-01 00:00, "),
        (new, old, "No regression since the run of 2026-01-01 00:00, "),
    ):
        found = compare(before, after)
        text = Page(html_page(after, comparison=found, no_figures="x")).text
        assert text.index(sentence) < text.index("claims of the paper")
        written = summary(after, comparison=found)
        assert f"**{sentence}" in written.partition("\n| ")[0]
    assert (
        "simulated/net0, 92.05 % -> 85.05 %."
        in Page(html_page(new, comparison=compare(old, new), no_figures="x")).text
    )


def test_of_two_rows_that_are_worse_the_headline_names_the_worst():
    old, new = (
        document([[right(p, k, 3.0)] for k, p in enumerate(own)], [], run)
        for run, own in enumerate(((92.0, 92.0), (82.0, 72.0)))
    )
    assert "simulated/net1, 92.00 % -> 72.00 %, and 1 more." in compare_report.headline(
        compare(old, new)
    )


def test_a_trend_shades_what_a_reference_expects(whole, tmp_path):
    files = []
    for k in (1, 2, 3):  # on one machine, with other times
        document = copy.deepcopy(dict(whole.document)) | {"datetime": f"2026-10-0{k}T00:00:00"}
        for benchmark in document["benchmarks"]:
            benchmark["stats"]["data"] = [s * (1 + k / 50) for s in benchmark["stats"]["data"]]
        files.append(RunFile(path=Path(f"{k}.json"), document=document))
    reference = update(files, tmp_path / "reference.json")
    page = trend_page(history(files), reference)
    assert page.count('class="band"') > 10
    bands = re.findall(r'class="band" y="([^"]*)" width="320" height="([^"]*)"', page)
    assert sum(float(height) > 0 for _, height in bands) > 10  # times
    assert 'class="band"' not in trend_page(history(files))
    files = [one((p,), k) for k, p in enumerate((90.0, 91.0, 92.0))]
    page = trend_page(history(files), update(files, tmp_path / "accuracies.json"))
    assert ">88.68<" in page and ">93.32<" in page  # 89 to 93, 91 +- 2 deviations, with room


@pytest.mark.parametrize("number", [0, 1])
def test_a_trend_of_less_than_two_runs_is_a_line(tmp_path, capsys, number):
    runs_of(tmp_path / "runs", [90.0] * number)
    assert main(["trend", str(tmp_path / "runs"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# In a browser

SCROLLS = """<script>addEventListener("load", () => { document.body.dataset.wide =
document.documentElement.scrollWidth > innerWidth; document.body.dataset.inner = innerWidth; });
</script></body>"""


@pytest.mark.parametrize("width", [1280, 500])  # headless Chromium has no narrower window
def test_a_page_never_scrolls_sideways_in_chromium(html, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium: neither chromium nor google-chrome is on the path")
    path = tmp_path / "page.html"
    opened = html.replace("<details>", "<details open>").replace("</body>", SCROLLS)
    path.write_text(opened, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user"]
    done = subprocess.run(
        [browser, *options, f"--window-size={width},900", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 'data-wide="false"' in done.stdout
    assert "<button" in done.stdout and "Show rows with" in done.stdout
