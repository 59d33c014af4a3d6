"""Reads saved benchmark files: every file is validated here and becomes a document of one schema.

``schema`` says what a file holds. Nothing in a file is trusted before it was validated.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

SCHEMA = 2

# A run of everything with 20 networks has 3 MB; a file ten times that size is no run of ours.
MAX_BYTES = 32 * 2**20
MAX_TEXT = 100_000  # characters; the longest are packed bits, 1,668 of them
MAX_INTEGER = 2**63

Row: TypeAlias = Mapping[str, Any]

# What a terminal or a browser would obey instead of showing: C0 and C1 except for line break and
# tab, and characters that change the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class RunFileError(ValueError):
    """A file is not a saved run; the message says which, what is wrong and what was expected."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFile:
    """A saved run whose document has been checked."""

    path: Path
    document: Mapping[str, Any]

    @property
    def rows(self) -> Sequence[Row]:
        """Return all rows, those not measured included."""
        return self.document["smallnet"]["rows"]

    @property
    def runs(self) -> Sequence[Row]:
        """Return what was saved of each network that was judged."""
        return self.document["smallnet"].get("runs", ())  # schema 1 has none

    @property
    def learnt(self) -> Sequence[Row]:
        """Return the values that a reference has from all its runs; empty for a run."""
        return self.document["smallnet"].get("learnt", ())

    @property
    def machine(self) -> Mapping[str, Any]:
        """Return the environment of the session; empty if the file doesn't say."""
        return self.document["machine_info"].get("smallnet", {})

    @property
    def commit(self) -> Mapping[str, Any]:
        """Return pytest-benchmark's facts about the commit."""
        return self.document["commit_info"]

    @property
    def datetime(self) -> str:
        """Return when the run was saved, in ISO format."""
        return self.document["datetime"]

    @property
    def rounds(self) -> Iterator[tuple[Row, Sequence[float]]]:
        """Yield each timed row with the seconds of its rounds."""
        for benchmark in self.document["benchmarks"]:
            row = benchmark["extra_info"].get("smallnet")
            if row is not None:
                yield row, benchmark["stats"].get("data", ())  # none in those of autosave

    @property
    def remarks(self) -> list[str]:
        """Return a line for each thing that the file lacks."""
        timed = [seconds for row, seconds in self.rounds if row.get("kind") == "latency"]
        if not timed or any(timed):
            return []
        return [
            f"{self.path}: has no rounds, so its times are not judged: save them with "
            "--benchmark-json, or with --benchmark-save-data beside --benchmark-autosave"
        ]


def read_run_file(path: Path) -> RunFile:
    """Read the saved run at ``path``, gzipped or not, "-" for standard input.

    Raise RunFileError, in one line, if it is not one.
    """
    name = "standard input" if str(path) == "-" else path
    try:
        document = json.loads(
            _content(path).decode("utf-8-sig"),
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
        return RunFile(path=path, document=check_document(document))
    except OSError as error:
        raise RunFileError(f"{name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RunFileError(f"{name}: not UTF-8 text, so not JSON") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RunFileError(f"{name}: broken JSON at {where}: was it cut off?") from error
    except RecursionError:
        raise RunFileError(f"{name}: nested too deeply for a saved run") from None
    except ValueError as error:
        raise RunFileError(f"{name}: {' '.join(str(error).split())[:500]}") from error


def _content(path: Path) -> bytes:
    if str(path) == "-":
        content = _limited(sys.stdin.buffer)
    elif path.is_dir():
        raise ValueError("is a folder: name the JSON file that --benchmark-json wrote")
    else:
        with path.open("rb") as file:  # works for pipes too
            content = _limited(file)
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as unpacked:
            return _limited(unpacked)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError("broken gzip: was it cut off?") from error


def _limited(file: Any) -> bytes:
    content: bytes = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than the {MAX_BYTES:,} bytes that a run may have")
    return content


def check_document(document: Any) -> dict[str, Any]:
    """Return the document of a saved run in schema 2, without control characters.

    Raise ValueError, with the place in the document, if it is not one.
    """
    document = cleaned(document, "the file")
    if not isinstance(document, dict):
        raise ValueError(f"is a {type(document).__name__}, expected a JSON object")
    if "smallnet" not in document:
        expected = "a file that --benchmark-json of smallnet's benchmarks wrote"
        raise ValueError(f"has nothing from smallnet in it: expected {expected}")
    from smallnet_core.runs.schema import Document

    found = _checked(Document, document)
    found["smallnet"]["schema"] = SCHEMA
    return found


def check_run(run: Any, where: str) -> dict[str, Any]:
    """Return the run; ValueError, with ``where``, if bits, matrix and accuracy disagree."""
    from smallnet_core.runs.schema import Run

    try:
        return _checked(Run, run)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _checked(model: Any, value: Any) -> dict[str, Any]:
    from pydantic import ValidationError  # slow to import, and needed only here

    from smallnet_core.system.checked import explain

    try:
        found: dict[str, Any] = model.model_validate(value).model_dump(
            exclude_unset=True, by_alias=True
        )
    except ValidationError as error:
        raise ValueError(explain(error, value)) from error
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number: was it written by something else?")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:40]!r} appears twice in one object")
    return found


def cleaned(value: Any, where: str) -> Any:
    """Return a JSON value without control characters; ValueError for absurd texts and numbers."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"{where}: a text of {len(value):,} characters")
        # A lone surrogate cannot be encoded.
        return _CONTROL.sub("", value).encode(errors="replace").decode()
    if isinstance(value, dict):
        return {cleaned(key, where): cleaned(item, str(key)[:40]) for key, item in value.items()}
    if isinstance(value, list):
        return [cleaned(item, where) for item in value]
    if isinstance(value, float) and not math.isfinite(value):  # 1e999
        raise ValueError(f"{where}: a number that is not finite")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError(f"{where}: an integer of {value.bit_length()} bits")
    return value
