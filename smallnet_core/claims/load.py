"""Reads this folder's data files, with single entries or tables, into claims.

``tables`` expands rows of tables into entries like those of text.toml, and every entry becomes a
claim here. An error in a file is a ValueError in one line: file, claim or row, and what is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smallnet_core.claims.names import METRICS, PLACES, VOCABULARY
from smallnet_core.claims.tables import Entries, Entry, Row
from smallnet_core.records import Claim, Rule

_DETAILS = {
    *("average", "best_of", "class_index", "class_name", "hyperparameters", "index", "layer_type"),
    *("max_num_params", "min_seeds", "minuend", "output_shape", "paper_difference"),
    *("paper_percent", "points", "proportion", "quantity", "recipes", "reference", "subtrahend"),
    "technique",
}
_SIDE = {"best_of", "network", "optimizer", "proportion", "recipe", "technique"}
_SIGNS = {"<": Rule.BELOW, ">": Rule.ABOVE, ">=": Rule.LIMIT, "=": Rule.EXACT}
_EXPONENTS = {"": 0, "K": 3, "M": 6, " x 10^9": 9}
_NUMBER = re.compile(r"(?:(<|>|>=|=) )?(-?\d+(?:\.(\d+))?)(K|M| x 10\^9)?")


@contextmanager
def _inside(*places: str) -> Iterator[None]:
    """Add the places to any error that a data file causes."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Drop the function's name, which means nothing to the author of a data file.
        said = re.sub(r"^[\w.]+\(\) ", "", str(error))
        said = f"there is no {said}" if isinstance(error, KeyError) else said
        raise ValueError(": ".join((*places, said))) from error


def read(name: str) -> dict[str, Any]:
    """Read the TOML file ``name`` of this folder."""
    with _inside(name):
        return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


def load_claims(name: str) -> list[Claim]:
    """Read the claims of a file of single entries, in its order."""
    claims = []
    for claim_id, entry in read(name).items():
        with _inside(name, claim_id):
            claims.append(_make(claim_id, **entry))
    return claims


def load_tables(name: str, expand: Callable[..., Entries]) -> list[Claim]:
    """Read the claims of a file of tables, in its order; ``expand`` turns a row into entries.

    Keys above the first table apply to all of them. ``remarks`` are by the claims' names.
    """
    content = read(name)
    places = [key for key, value in content.items() if type(value) is dict and "printed" in value]
    shared = {key: value for key, value in content.items() if key not in places}
    claims = []
    for place in places:
        options = {**shared, **content[place]}
        remarks = dict(options.pop("remarks", {}))
        head, *rows = _rows(options.pop("printed"))
        for index, cells in enumerate(rows):
            with _inside(name, place, f"row {'  '.join(cells)!r}"):
                for label, entry in expand(Row(index, head, cells), **options):
                    entry["remark"] = f"{remarks.pop(label, '')} {entry.get('remark', '')}"
                    claims.append(_make(f"{place}/{label}", **entry))
        if remarks:
            raise ValueError(
                f"{name}: {place}: remarks on {', '.join(remarks)}, which are not rows"
            )
    return claims


def _make(
    claim_id: str,
    *,
    says: str,
    resolution: float | None = None,
    refuted_above: float | None = None,
    remark: str = "",
    not_measured: str = "",
    **rest: Any,
) -> Claim:
    place, _, label = claim_id.partition("/")
    if place not in PLACES:
        raise ValueError(f"unknown source {place!r}: names.SOURCES lists the paper's")
    metrics = rest.keys() & METRICS.keys()
    _check_keys(rest, {*metrics, *_DETAILS, *_FIELDS})
    if len(metrics) != 1:
        raise ValueError(f"{len(metrics)} metrics, expected one of {', '.join(METRICS)}")
    [metric] = metrics
    unit, rule = METRICS[metric]
    sign, value, last_digit = _number(rest.pop(metric), is_difference=unit == "points")
    rule = Rule.FAILS if refuted_above is not None else _SIGNS.get(sign, rule)
    if resolution is None:
        resolution = 0.0 if sign or rule is Rule.EXACT else last_digit
    about = {"dataset": "cifar10"} if metric.startswith("accuracy_") else {}
    if not rest.keys() & {"minuend", "best_of"}:
        about |= _begins_with(label)
    about |= {field: rest.pop(field) for field in _FIELDS if field in rest}
    _check_names(about | rest)
    rest |= {key: _side(rest[key], about) for key in ("minuend", "subtrahend") if key in rest}
    if "best_of" in rest:
        rest |= _side({"best_of": rest["best_of"]}, about)
    return Claim(
        id=claim_id,
        source=PLACES[place],
        statement=_prose(says),
        metric=metric,
        paper_value=value,
        unit=unit,
        rule=rule,
        resolution=resolution,
        refuted_above=refuted_above,
        details={key: tuple(v) if isinstance(v, list) else v for key, v in rest.items()},
        remark=_prose(remark),
        not_measured=_prose(not_measured),
        **about,
    )


def _number(printed: Any, *, is_difference: bool) -> tuple[str, float, float]:
    """Return sign, value and unit of the last digit of "20.03M", "> 95" or "1.8 x 10^9"."""
    match = _NUMBER.fullmatch(printed) if isinstance(printed, str) else None
    if match is None:
        raise ValueError(f'{printed!r} is not a number like "20.03M", "1.8 x 10^9" or "> 95"')
    sign, digits, decimals, suffix = match.groups(default="")
    exponent = _EXPONENTS[suffix]
    is_float = decimals or exponent or is_difference
    value = float(f"{digits}e{exponent}") if is_float else int(digits)
    return sign, value, float(f"1e{exponent - len(decimals)}")


_FIELDS = ("dataset", "network", "optimizer")


def _begins_with(label: str) -> dict[str, str]:
    """Return those of dataset, network and optimizer that ``label`` begins with."""
    words, found = label.split("-"), {}
    for field in _FIELDS:
        if words and words[0] in VOCABULARY[field]:
            found[field] = words.pop(0)
    return found


def _side(side: Entry, about: Mapping[str, str]) -> Entry:
    """Complete one side of a comparison with the claim's own dataset, network and optimizer."""
    _check_keys(side, _SIDE)
    if "best_of" in side:
        networks, optimizers = side["best_of"]["networks"], side["best_of"]["optimizers"]
        sides = [{"network": n, "optimizer": o} for n in networks for o in optimizers]
        return {"best_of": tuple(_side(one, about) for one in sides)}
    _check_names(side)
    return {**about, **side}


def _check_keys(entry: Entry, known: set[str]) -> None:
    if unknown := entry.keys() - known:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))}")


def _check_names(entry: Mapping[str, Any]) -> None:
    for field, known in VOCABULARY.items():
        if entry.get(field, known[0]) not in known:
            raise ValueError(
                f"unknown {field} {entry[field]!r}: expected one of {', '.join(known)}"
            )


def _prose(text: str) -> str:
    return " ".join(text.split())


def _rows(printed: str) -> list[list[str]]:
    """Split lines into cells at two spaces or a tab; a blank first cell repeats the one above."""
    rows: list[list[str]] = []
    for line in filter(str.strip, printed.splitlines()):
        cells = re.split(r" {2,}|\t", line.rstrip())
        rows.append([cells[0] or (rows[-1][0] if rows else ""), *cells[1:]])
    return rows
