"""The one door for saved benchmark files: a JSON file in, a checked document of one schema out.

The file is pytest-benchmark's; what is ours stands under ``"smallnet"`` at its top level:

- ``schema``: 2. Files of schema 1 have no ``runs``, and their rows no ``num_images``.
- ``rows``: a dict for each claim that was looked at (``Verdict.as_row``), and for each timing,
  which has ``"claim": null`` and a ``kind``.
- ``runs``: a dict for each trained network that was judged. A row refers to its runs by
  ``fingerprints``, one a seed.

A run has ``name``, ``fingerprint`` and ``recipe`` (of ``Recipe``), ``origin`` ("zoo", "cache",
"trained" or "diverged: ..."), ``accuracy_percent`` on ``num_images`` test images, ``right`` (which
of them: a bit each, the first one highest, in base64), ``confusion`` (classes x classes counts, a
row a true class), ``test_digest`` (sha256 of the test set's content), ``selection`` and
``selected_epoch``, ``curve`` (a dict an epoch), ``train_seconds``, ``peak_memory_mib``,
``computed_in``, ``trained_on`` (an environment), ``trained_at_commit``, ``dataset_digests`` and
``weights_sha256``. What is not known is null. Nothing in a file is trusted before it has come
through here; standard library only.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from smallnet_core.records import Status

__all__ = ["SCHEMA", "RunFile", "RunFileError", "check_document", "check_run", "read_run_file"]

SCHEMA = 2

# A run of everything with 20 networks has 3 MB; what is a hundred times that is no run of ours.
MAX_BYTES = 256 * 2**20
MAX_TEXT = 100_000  # characters; the longest are packed bits, 1,668 of them

Row: TypeAlias = Mapping[str, Any]

# Anything that a terminal or a browser would obey instead of showing: C0 and C1 but for the line
# break and tab, and what turns the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_STATUSES = frozenset(status.value for status in Status)


class RunFileError(ValueError):
    """A file that is no saved run: its path, what is wrong with it, and what would be right."""


class _DocumentError(ValueError):
    """What is wrong with a document, without its path: in a line, whatever it quotes."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split())[:500])


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """A saved run whose document has been checked."""

    path: Path
    document: Mapping[str, Any]

    @property
    def rows(self) -> Sequence[Row]:
        return self.document["smallnet"]["rows"]

    @property
    def runs(self) -> Sequence[Row]:
        return self.document["smallnet"]["runs"]

    @property
    def machine(self) -> Mapping[str, Any]:
        """The environment that the session ran in; empty where the file does not tell."""
        return self.document["machine_info"].get("smallnet", {})

    @property
    def commit(self) -> Mapping[str, Any]:
        return self.document["commit_info"]

    @property
    def datetime(self) -> str:
        return self.document["datetime"]

    @property
    def rounds(self) -> Iterator[tuple[Row, Sequence[float]]]:
        """Each timed row with the seconds of its rounds."""
        for benchmark in self.document["benchmarks"]:
            row = benchmark["extra_info"].get("smallnet")
            if row is not None:
                yield row, benchmark["stats"]["data"]


def read_run_file(path: Path) -> RunFile:
    """The saved run at ``path``; RunFileError, in one line, for anything else."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise _DocumentError(
                "is a folder: name the JSON file that --benchmark-json or --report wrote"
            )
        if not path.is_file():
            raise _DocumentError("no regular file")
        if size > MAX_BYTES:
            raise _DocumentError(f"{size:,} bytes, more than the {MAX_BYTES:,} that a run may have")
        text = path.read_bytes().decode()
        document = json.loads(text, parse_constant=_no_number)
        return RunFile(path=path, document=check_document(document))
    except OSError as error:
        raise RunFileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RunFileError(f"{path}: no UTF-8 text, so no JSON") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RunFileError(f"{path}: broken JSON at {where}: was it cut off?") from error
    except RecursionError:
        raise RunFileError(f"{path}: nested too deeply for a saved run") from None
    except ValueError as error:  # _DocumentError, and integers of thousands of digits
        raise RunFileError(f"{path}: {error}") from error


def check_document(document: Any) -> dict[str, Any]:
    """The document of a saved run, of schema 2 and with control characters taken out.

    ValueError, with the place in the document, for anything else.
    """
    document = _cleaned(document, "the file")
    top = _typed(document, dict, "the file")
    if "smallnet" not in top:
        expected = "a file that --benchmark-json of smallnet's benchmarks or --report wrote"
        raise _DocumentError(f"has nothing of smallnet in it: expected {expected}")
    for name, kind in (("machine_info", dict), ("commit_info", dict), ("benchmarks", list)):
        _typed(top.get(name), kind, name)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d.*", _typed(top.get("datetime"), str, "datetime")):
        raise _DocumentError(
            f"datetime is {top['datetime']!r}, expected one like 2026-11-24T00:10:47"
        )
    _typed(top["machine_info"].get("smallnet", {}), dict, "machine_info.smallnet")

    ours = _typed(top["smallnet"], dict, "smallnet")
    schema = _typed(ours.get("schema"), int, "smallnet.schema")
    if not 1 <= schema <= SCHEMA:
        raise _DocumentError(
            f"schema {schema}: this version reads 1 to {SCHEMA}; a newer one is needed"
        )
    rows = [
        _checked_row(row, f"row {k}")
        for k, row in enumerate(_typed(ours.get("rows"), list, "smallnet.rows"))
    ]
    if not rows:
        raise _DocumentError("an empty run: nothing was looked at in it")
    seen = set()
    for row in rows:
        if row["claim"] is not None:
            key = row["claim"], row["recipe"], row["device"]
            if key in seen:
                raise _DocumentError(f"claim {row['claim']} is in it twice")
            seen.add(key)
    runs = [
        check_run(run, f"run {k}")
        for k, run in enumerate(_typed(ours.get("runs", []), list, "smallnet.runs"))
    ]
    if len({run["fingerprint"] for run in runs}) < len(runs):
        raise _DocumentError("a fingerprint is there twice among its runs")
    for k, benchmark in enumerate(top["benchmarks"]):
        _check_benchmark(benchmark, f"benchmark {k}")
    return {**top, "smallnet": {**ours, "schema": SCHEMA, "rows": rows, "runs": runs}}


def _no_number(text: str) -> None:
    raise _DocumentError(f"{text} is no number of JSON's: was it written by something else?")


def _cleaned(value: Any, where: str) -> Any:
    """Without control characters, in keys too; no text of an absurd length, no infinite number."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise _DocumentError(f"{where}: a text of {len(value):,} characters")
        # Half of a pair of surrogates cannot be written anywhere.
        return _CONTROL.sub("", value).encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_cleaned(key, where): _cleaned(item, str(key)[:40]) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, where) for item in value]
    if isinstance(value, float) and not math.isfinite(value):  # 1e999
        raise _DocumentError(f"{where}: a number that is not finite")
    return value


def _typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if type(value) not in kinds:  # True is no 1
        names = " or ".join("null" if one is type(None) else one.__name__ for one in kinds)
        raise _DocumentError(f"{where} is {_shown(value)}, expected {names}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


_NUMBER = (int, float)
_NUMBER_OR_NONE = (int, float, type(None))
_TEXT_OR_NONE = (str, type(None))

# Of a row: the fields that are read, and what they may be.
_CLAIM_FIELDS: Mapping[str, tuple[type, ...]] = {
    "source": (str,),
    "reason": (str,),
    "paper": _NUMBER,
    "measured": _NUMBER_OR_NONE,
    "deviation": _NUMBER_OR_NONE,
    "difference": _NUMBER_OR_NONE,
    "unit": (str,),
    "metric": (str,),
    "recipe": _TEXT_OR_NONE,
    "device": _TEXT_OR_NONE,
    "details": (dict,),
}
_RUN_FIELDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "fingerprint": (str,),
    "recipe": (dict,),
    "origin": (str,),
    "test_digest": (str,),
    "selection": (str,),
    "selected_epoch": (int, type(None)),
    "train_seconds": _NUMBER_OR_NONE,
    "peak_memory_mib": _NUMBER_OR_NONE,
    "computed_in": (str,),
    "trained_on": (dict,),
    "trained_at_commit": (dict, type(None)),
    "dataset_digests": (dict, type(None)),
    "weights_sha256": _TEXT_OR_NONE,
}
_EPOCH_FIELDS = ("train_loss", "train_accuracy_percent", "test_accuracy_percent", "seconds")


def _checked_row(row: Any, where: str) -> dict[str, Any]:
    _typed(row, dict, where)
    claim = _typed(row.get("claim", 0), (str, type(None)), f"{where}: claim")
    if claim is None:
        _typed(row.get("kind"), str, f"{where}: kind")
        return row
    where = f"{where} ({claim})"
    verdict = _typed(row.get("verdict"), str, f"{where}: verdict")
    if verdict not in _STATUSES:
        raise _DocumentError(
            f"{where}: verdict {_shown(verdict)}, expected one of {sorted(_STATUSES)}"
        )
    for name, kinds in _CLAIM_FIELDS.items():
        _typed(row.get(name), kinds, f"{where}: {name}")
    for name, kind in (("seeds", (int,)), ("values", _NUMBER_OR_NONE), ("fingerprints", (str,))):
        for item in _typed(row.get(name), list, f"{where}: {name}"):
            _typed(item, kind, f"{where}: {name}")
    interval = _typed(row.get("interval"), (list, type(None)), f"{where}: interval")
    if interval is not None:
        for end in interval:
            _typed(end, _NUMBER, f"{where}: interval")
        if len(interval) != 2 or interval[0] > interval[1]:
            raise _DocumentError(f"{where}: interval is {_shown(interval)}, expected its two ends")
    num_images = _typed(row.get("num_images"), (int, type(None)), f"{where}: num_images")
    if num_images is not None and num_images < 1:
        raise _DocumentError(f"{where}: {num_images} images")
    return {**row, "num_images": num_images}


def check_run(run: Any, where: str) -> dict[str, Any]:
    """The run as it is; ValueError, with ``where``, unless bits, matrix and accuracy agree."""
    _typed(run, dict, where)
    for name, kinds in _RUN_FIELDS.items():
        _typed(run.get(name), kinds, f"{where}: {name}")
    where = f"{where} ({run['name']})"
    for name in ("dataset", "network", "kind"):
        _typed(run["recipe"].get(name), str, f"{where}: recipe.{name}")
    optimizer = _typed(run["recipe"].get("optimizer"), dict, f"{where}: recipe.optimizer")
    _typed(optimizer.get("name"), str, f"{where}: recipe.optimizer.name")
    for name in ("train_seconds", "peak_memory_mib"):
        if run[name] is not None and run[name] < 0:
            raise _DocumentError(f"{where}: {name} is {run[name]}")
    for epoch in _typed(run.get("curve"), list, f"{where}: curve"):
        _typed(epoch, dict, f"{where}: curve")
        _typed(epoch.get("epoch"), _NUMBER, f"{where}: curve: epoch")
        for name in _EPOCH_FIELDS:
            _typed(epoch.get(name), _NUMBER_OR_NONE, f"{where}: curve: {name}")

    num_images = _typed(run.get("num_images"), int, f"{where}: num_images")
    accuracy = _typed(run.get("accuracy_percent"), _NUMBER, f"{where}: accuracy_percent")
    if num_images < 1:
        raise _DocumentError(f"{where}: {num_images} images")
    right = round(accuracy * num_images / 100)
    if abs(accuracy - 100 * right / num_images) > 1e-6:
        raise _DocumentError(f"{where}: {accuracy} % is no share of {num_images} images")
    if _count_bits(_typed(run.get("right"), str, f"{where}: right"), num_images, where) != right:
        raise _DocumentError(f"{where}: its bits are not those of {accuracy} %")
    confusion = _typed(run.get("confusion"), list, f"{where}: confusion")
    for counts in confusion:
        for count in _typed(counts, list, f"{where}: confusion"):
            if _typed(count, int, f"{where}: confusion") < 0:
                raise _DocumentError(f"{where}: a negative count in its confusion matrix")
        if len(counts) != len(confusion):
            raise _DocumentError(f"{where}: its confusion matrix is not square")
    if sum(map(sum, confusion)) != num_images or _trace(confusion) != right:
        raise _DocumentError(f"{where}: its confusion matrix is not that of {accuracy} %")
    return run


def _trace(matrix: Sequence[Sequence[int]]) -> int:
    return sum(row[k] for k, row in enumerate(matrix))


def _count_bits(packed: str, num_images: int, where: str) -> int:
    try:
        raw = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _DocumentError(f"{where}: bits that are no base64") from error
    if len(raw) != math.ceil(num_images / 8):
        raise _DocumentError(f"{where}: {len(raw)} bytes of bits for {num_images} images")
    padding = 8 * len(raw) - num_images
    if int.from_bytes(raw) & ((1 << padding) - 1):
        raise _DocumentError(f"{where}: bits beyond its {num_images} images")
    return int.from_bytes(raw).bit_count()


def _check_benchmark(benchmark: Any, where: str) -> None:
    _typed(benchmark, dict, where)
    where = f"{where} ({_typed(benchmark.get('name'), str, f'{where}: name')})"
    ours = _typed(benchmark.get("extra_info"), dict, f"{where}: extra_info").get("smallnet")
    if ours is not None:
        _checked_row(ours, where)
    stats = _typed(benchmark.get("stats"), dict, f"{where}: stats")
    for seconds in _typed(stats.setdefault("data", []), list, f"{where}: stats.data"):
        if _typed(seconds, _NUMBER, f"{where}: stats.data") < 0:
            raise _DocumentError(f"{where}: a round of {seconds} seconds")
