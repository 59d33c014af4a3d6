"""smallnet_core.runs.file: what is a saved run comes through, and nothing else does."""

from __future__ import annotations

import base64
import contextlib
import copy
import gzip
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smallnet_core.cli import main
from smallnet_core.runs import file as module
from smallnet_core.runs.file import SCHEMA, RunFileError, check_document, read_run_file
from tests.saved import DROP, put

FILES = Path(__file__).parent / "files"
OLD, CURRENT = FILES / "run-schema-1.json", FILES / "run-schema-2.json"
REPORTS = sorted(FILES.parents[1].glob("reports/*/bench*.json"))
GOOD = json.loads(CURRENT.read_text())


ROWS, RUNS = GOOD["smallnet"]["rows"], GOOD["smallnet"]["runs"]
CLAIM = next(k for k, row in enumerate(ROWS) if row.get("unit") == "%")
JUDGED = next(k for k, row in enumerate(ROWS) if row.get("fingerprints"))
TIMING = next(k for k, row in enumerate(ROWS) if not row["claim"])
SHARE = next(k for k, row in enumerate(ROWS) if row.get("metric") == "recall")
PRUNED = next(k for k, row in enumerate(ROWS) if row.get("kind") == "pruned network")
ROW, RUN = f"smallnet.rows.{CLAIM}", "smallnet.runs.0"
ONE, OTHER, *REST = RUNS[0]["confusion"][0]
# A run whose last byte has bits to spare.
SPARE = next(k for k, run in enumerate(RUNS) if run["num_images"] % 8)
BEYOND = bytearray(base64.b64decode(RUNS[SPARE]["right"]))
BEYOND[-1] |= 1


def off(row: dict[str, Any], points: float) -> dict[str, Any]:
    """The row of one seed with another value than its run has."""
    value = row["measured"] + points
    return {**row, "measured": value, "values": [value]}


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "run.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(RunFileError) as caught:
        read_run_file(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 600
    return line


# What is a saved run


@pytest.mark.parametrize("path", [OLD, CURRENT])
def test_files_of_every_schema_stay_readable(path: Path) -> None:
    file = read_run_file(path)
    assert file.document["smallnet"]["schema"] == SCHEMA
    assert len(file.rows) > 40
    assert {row["claim"] for row in file.rows} > {"table2/resnet18_s-adabound"}
    assert file.machine["num_threads"] == 2
    assert file.commit["id"].startswith("ca6e2303f3ba")
    assert file.datetime.startswith("2026-11-24T")
    timed = [row["kind"] for row, seconds in file.rounds if row["claim"] is None and seconds]
    assert {"latency", "training_speed"} <= set(timed)
    assert len(file.runs) >= 3 * (path == CURRENT)


@pytest.mark.parametrize("path", [OLD, CURRENT, *REPORTS], ids=lambda path: path.parent.name)
def test_reading_twice_is_reading_once(path: Path) -> None:
    document = read_run_file(path).document
    assert check_document(document) == document


# What is none

REFUSED = {
    "no file of ours": ("smallnet", DROP, "has nothing from smallnet"),
    "no machine": ("machine_info", DROP, "machine_info: is missing"),
    "no time": ("datetime", "yesterday", "datetime: "),
    "a newer schema": ("smallnet.schema", SCHEMA + 1, "a newer one is needed"),
    "a schema of true": ("smallnet.schema", True, "found True"),
    "no rows": ("smallnet.rows", DROP, "smallnet.rows: is missing"),
    "an empty run": ("smallnet.rows", [], "an empty run"),
    "a claim that is a number": (f"{ROW}.claim", 7, f"{ROW}.claim: "),
    "a claim without a row": (f"{ROW}.source", DROP, ": is missing"),
    "an unknown verdict": (f"{ROW}.verdict", "splendid", "found 'splendid'"),
    "measured without values": (f"{ROW}.values", [], "there are no values"),
    "another mean": (f"{ROW}.measured", 1.0, "the mean of its values"),
    "a turned interval": (f"{ROW}.interval", [2.0, 1.0], "expected its lower end first"),
    "no images": (f"{ROW}.num_images", 0, "expected greater than 0"),
    "a negative percentage": (f"{ROW}.paper", -5, "-5 %: expected 0 to 100"),
    "more than all images": (f"{ROW}.paper", 500, "500 %: expected 0 to 100"),
    "more than all of a class": (f"smallnet.rows.{SHARE}.paper", 96, "96 recall: expected 0 to 1"),
    "more than all images in a record": (
        f"{ROW}.recorded",
        {**off(ROWS[CLAIM], 100), "trained_on": "a CPU", "commit": None, "time": "2026"},
        "%: expected 0 to 100",
    ),
    "an origin that is a processor": (f"{ROW}.details.origins", ["Xeon"], "origins.0"),
    "a timing of no kind": (f"smallnet.rows.{TIMING}.kind", None, "kind: "),
    "a negative time": (f"smallnet.rows.{TIMING}.measured", -1.0, "or equal to 0, found -1.0"),
    "a run of no dataset": (f"{RUN}.recipe", {}, f"{RUN}.recipe.dataset: is missing"),
    "time that runs backwards": (f"{RUN}.train_seconds", -1.0, "or equal to 0, found -1.0"),
    "bits that are no base64": (f"{RUN}.right", "€", "no base64"),
    "too few bits": (f"{RUN}.right", "AAAA", "bits of more or fewer than"),
    "bits beyond the images": (
        f"smallnet.runs.{SPARE}.right",
        base64.b64encode(BEYOND).decode(),
        "bits of more or fewer than",
    ),
    "a claim twice": ("smallnet.rows", [*ROWS, ROWS[CLAIM]], "is in it twice"),
    "a run twice": ("smallnet.runs", [*RUNS, RUNS[0]], "a fingerprint is there twice"),
    "a row far from its run": (f"smallnet.rows.{JUDGED}", off(ROWS[JUDGED], -30), "where its run"),
    "a row near its run": (f"smallnet.rows.{JUDGED}", off(ROWS[JUDGED], -0.5), "where its run"),
    "a pruned network far from its run": (
        f"smallnet.rows.{PRUNED}",
        {**ROWS[PRUNED], "fingerprint": RUNS[0]["fingerprint"], "accuracy_percent": 1.0},
        "a pruned network has 1.0 % where its run",
    ),
    "another accuracy": (f"{RUN}.accuracy_percent", 50.0, "its bits are not those of 50.0 %"),
    "an accuracy of no image": (f"{RUN}.accuracy_percent", 50.01, "is no share of"),
    "a negative count": (f"{RUN}.confusion.0.0", -1, f"{RUN}.confusion.0.0: "),
    "another confusion": (f"{RUN}.confusion.0.0", 0, "its confusion matrix is not that of"),
    "a confusion of fewer right": (
        f"{RUN}.confusion.0",
        [ONE - 1, OTHER + 1, *REST],
        "its confusion matrix is not that of",
    ),
    "a confusion of more images": (f"{RUN}.confusion.0.1", 10**6, "matrix is not that of"),
    "a matrix that is not square": (f"{RUN}.confusion.0", [1], "is not square"),
    "an integer beyond float": (f"{RUN}.curve.0.epoch", 10**400, "an integer of 1329 bits"),
    "a round before it began": (
        "benchmarks.0.stats.data",
        [-0.1],
        "expected greater than or equal to 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    where, value, expected = REFUSED[name]
    path = write(tmp_path, json.dumps(put(GOOD, {where: value})))
    assert expected in refusal(path)


def test_a_pruned_network_need_not_be_as_accurate_as_what_it_was_pruned_from() -> None:
    pruned = {**off(ROWS[JUDGED], -30), "details": {"technique": "l1_structured"}}
    check_document(put(GOOD, {f"smallnet.rows.{JUDGED}": pruned}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "broken JSON at line 1"),
        (CURRENT.read_bytes()[:-2], "was it cut off?"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[]", "is a list, expected a JSON object"),
        (b"null", "is a NoneType, expected a JSON object"),
        (b'{"a": 1, "a": 2}', "'a' appears twice"),
        (b"{}", "has nothing from smallnet"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "a number that is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested too deeply"),
        (b'{"a": "' + b"x" * 200_000 + b'"}', "a text of 200,000 characters"),
    ],
    ids=lambda value: str(value)[:16] if isinstance(value, bytes) else "",
)
def test_what_is_no_document_is_refused_in_a_line(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(write(tmp_path, content))


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"")
    os.truncate(path, module.MAX_BYTES + 1)  # sparse: takes no room
    assert "larger than the" in refusal(path)
    assert "larger than the" in refusal(write(tmp_path, gzip.compress(bytes(module.MAX_BYTES + 1))))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read (No such file" in refusal(tmp_path / "none.json")
    assert "is a folder: name the JSON file" in refusal(tmp_path)


# What a shell hands over


def test_a_byte_order_mark_and_gzip_are_read(tmp_path: Path) -> None:
    expected = read_run_file(CURRENT).document
    for content in (b"\xef\xbb\xbf" + CURRENT.read_bytes(), gzip.compress(CURRENT.read_bytes())):
        assert read_run_file(write(tmp_path, content)).document == expected


@pytest.mark.parametrize("cut", [5, 500])
def test_gzip_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    assert "broken gzip" in refusal(write(tmp_path, gzip.compress(CURRENT.read_bytes())[:cut]))


def test_pipes_and_standard_input_are_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(CURRENT.read_bytes(),))
    writer.start()
    done = subprocess.run(
        [sys.executable, "-O", "-m", "smallnet_core.cli", "compare", fifo, "-", "--fail-on=change"],
        input=CURRENT.read_bytes(),
        capture_output=True,
        timeout=60,
    )
    writer.join()
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pruning_curve_of_an_older_file_says_what_it_was_measured_on() -> None:
    rows = read_run_file(CURRENT).rows
    curve = next(row for row in rows if row.get("kind") == "pruning curve")
    assert (curve["measured_on"], curve["seeds"]) == ("Intel(R) Xeon(R) Processor", [0])
    assert "origin" not in curve and "seed" not in curve


def nodes(value: Any, where: tuple[Any, ...] = ()) -> Any:
    yield where
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not (where and where[-1] in ("confusion", "data")):  # thousands of numbers
                yield from nodes(item, (*where, key))


NODES = [where for where in nodes(GOOD) if where]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


HOSTILE = "\x1b[2J\x07\x9b31m\u202eevil\u2066<script>alert(1)</script>\r\x00\ud800"


def test_what_a_terminal_would_obey_is_taken_out(tmp_path: Path) -> None:
    document = put(GOOD, {f"{ROW}.reason": HOSTILE})
    document["commit_info"][HOSTILE] = HOSTILE
    file = read_run_file(write(tmp_path, json.dumps(document)))
    clean = "[2J31mevil<script>alert(1)</script>?"
    assert file.rows[CLAIM]["reason"] == clean
    assert file.commit[clean] == clean


# Whatever is done to a file: an exit status, and no traceback

SHOWN = ANYTHING | st.sampled_from(
    [[], {}, 1e308, -1e308, 10**400, 2**62, float("nan"), "<img src=x onerror=alert(1)>|`@x`"]
)


@settings(deadline=None, max_examples=80)
@example([(("smallnet", "rows", TIMING, "recipe"), [])], None, None)
@given(
    st.lists(st.tuples(st.sampled_from(NODES), SHOWN), min_size=1, max_size=3),
    st.none() | st.sampled_from(["rows", "runs"]),
    st.none() | st.integers(0, 100_000),
)
def test_whatever_is_done_to_a_file_compare_ends_with_a_status(
    tmp_path_factory: pytest.TempPathFactory, changes: Any, twice: str | None, cut: int | None
) -> None:
    document = copy.deepcopy(GOOD)
    for where, value in changes:
        node: Any = document
        with contextlib.suppress(LookupError, TypeError):  # an earlier change took it away
            for part in where[:-1]:
                node = node[part]
            node[where[-1]] = value
    with contextlib.suppress(LookupError, TypeError, AttributeError):
        document["smallnet"][twice].append(document["smallnet"][twice][0])
    content = json.dumps(document).encode()[:cut]
    folder = tmp_path_factory.mktemp("changed")
    path = write(folder, content)
    outputs = [f"--{kind}={folder / kind}" for kind in ("markdown", "json", "html")]
    for pair in ([path, CURRENT], [CURRENT, path]):
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            assert main(["compare", *map(str, pair), *outputs]) in (0, 1, 2)
        assert errors.getvalue().count("\n") <= 1
    if (folder / "html").exists():
        assert "<img" not in (folder / "html").read_text()
