"""Reads the data files of this folder: text and tables to claims.

The rows of tables are expanded to entries as text.toml has them, and ``_claim`` makes a claim of
every entry. Whatever is wrong in a file is a ValueError of one line: file, claim or row, and what.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from smallnet_core.claims.names import (
    CHANCE_PERCENT,
    DATASET_NAMES,
    METRICS,
    NETWORK_NAMES,
    OPTIMIZER_NAMES,
    PLACES,
    TECHNIQUE_NAMES,
    VOCABULARY,
)
from smallnet_core.records import Claim, Rule

Entry: TypeAlias = dict[str, Any]
Entries: TypeAlias = Iterator[tuple[str, Entry]]

_DETAILS = {
    *("average", "best_of", "class_index", "class_name", "hyperparameters", "index", "layer_type"),
    *("max_num_params", "min_seeds", "minuend", "output_shape", "paper_difference"),
    *("paper_percent", "points", "proportion", "quantity", "recipes", "reference", "subtrahend"),
    "technique",
}
_SIDE = {"best_of", "network", "optimizer", "proportion", "recipe", "technique"}
_SIGNS = {"<": Rule.BELOW, ">": Rule.ABOVE, ">=": Rule.AT_LEAST, "=": Rule.EXACT}
_EXPONENTS = {"": 0, "K": 3, "M": 6, " x 10^9": 9}
_NUMBER = re.compile(r"(?:(<|>|>=|=) )?(-?\d+(?:\.(\d+))?)(K|M| x 10\^9)?")


@contextmanager
def _inside(*places: str) -> Iterator[None]:
    """Name the places in whatever error a data file leads to."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Without a function's name, which says nothing to the author of a data file.
        said = re.sub(r"^\w+\(\) ", "", str(error))
        said = f"there is no {said}" if isinstance(error, KeyError) else said
        raise ValueError(": ".join((*places, said))) from error


def read(name: str) -> dict[str, Any]:
    """Read the TOML file ``name`` of this folder."""
    with _inside(name):
        return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


def load_claims(name: str) -> list[Claim]:
    """Make claims of a file of single entries, in its order."""
    return [_claim(name, *entry) for entry in read(name).items()]


def load_tables(name: str, expand: Callable[..., Entries]) -> list[Claim]:
    """Make claims of a file of tables, in its order; ``expand`` makes entries of a row.

    What stands above the first table holds for all of them. ``remarks`` are by the claims' names.
    """
    shared = read(name)
    places = [key for key, value in shared.items() if type(value) is dict and "printed" in value]
    claims: dict[str, Claim] = {}
    tables = {place: shared.pop(place) for place in places}
    for place, table in tables.items():
        options = {**shared, **table}
        remarks = dict(options.pop("remarks", {}))
        head, *rows = _rows(options.pop("printed"))
        for index, cells in enumerate(rows):
            with _inside(name, place, f"row {'  '.join(cells)!r}"):
                entries = list(expand(index, head, cells, **options))
            for label, entry in entries:
                claim_id = f"{place}/{label}"
                if claim_id in claims:
                    raise ValueError(f"{name}: {claim_id}: is given twice")
                entry["remark"] = f"{remarks.pop(label, '')} {entry.get('remark', '')}"
                claims[claim_id] = _claim(name, claim_id, entry)
        if remarks:
            raise ValueError(f"{name}: {place}: remarks on {', '.join(remarks)}, which are no rows")
    return [*claims.values()]


def _claim(file: str, claim_id: str, entry: Entry) -> Claim:
    with _inside(file, claim_id):
        return _make(claim_id, **entry)


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
        raise ValueError(f"unknown source {place!r}: names.SOURCES has those of the paper")
    metrics = rest.keys() & METRICS.keys()
    _check_keys(rest, {*metrics, *_DETAILS, "dataset", "network", "optimizer"})
    if len(metrics) != 1:
        raise ValueError(f"{len(metrics)} metrics where one is needed: {', '.join(METRICS)}")
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
    _check_names({**about, **rest})
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
        raise ValueError(f'{printed!r} is no number like "20.03M", "1.8 x 10^9" or "> 95"')
    sign, digits, decimals, suffix = match.groups(default="")
    exponent = _EXPONENTS[suffix]
    is_float = decimals or exponent or is_difference
    value = float(f"{digits}e{exponent}") if is_float else int(digits)
    return sign, value, float(f"1e{exponent - len(decimals)}")


_FIELDS = {"dataset": DATASET_NAMES, "network": NETWORK_NAMES, "optimizer": OPTIMIZER_NAMES}


def _begins_with(label: str) -> dict[str, str]:
    """Return the dataset, network and optimizer that ``label`` begins with, those that it has."""
    words, found = label.split("-"), {}
    for field, names in _FIELDS.items():
        if words and words[0] in names:
            found[field] = words.pop(0)
    return found


def _side(side: Entry, about: Mapping[str, str]) -> Entry:
    """Complete one side of a comparison: what it doesn't say is the claim's own."""
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
            raise ValueError(f"unknown {field} {entry[field]!r}: one of {', '.join(known)}")


def _prose(text: str) -> str:
    return " ".join(text.split())


def _rows(printed: str) -> list[list[str]]:
    """Split a table into cells, which two spaces part; a blank first cell is the one above."""
    rows: list[list[str]] = []
    for line in filter(str.strip, printed.splitlines()):
        cells = re.split(r" {2,}", line.rstrip())
        rows.append([cells[0] or (rows[-1][0] if rows else ""), *cells[1:]])
    return rows


def _key(names: Mapping[str, str], written: str) -> str:
    """Return the key of what the paper writes so."""
    for key, name in names.items():
        if name == written:
            return key
    raise ValueError(f"{written!r} is none of {', '.join(names.values())}")


def accuracy(
    _index: int,
    _head: list[str],
    cells: list[str],
    *,
    dataset: str,
    says: str,
    fails: str,
    remark: str = "",
) -> Entries:
    """Expand a row of Tables 2 to 5: network, optimizer, accuracy."""
    network, optimizer, value = cells
    chance = CHANCE_PERCENT[dataset]
    collapsed = float(value) == chance
    statement = fails if collapsed else says
    entry = {
        "says": statement.format(network=network, optimizer=optimizer, value=value),
        "accuracy_percent": value,
        # 89.4 comes without its trailing zero; 58 has lost both its decimals.
        "resolution": 0.01 if collapsed or "." in value else 1.0,
        "refuted_above": 2 * chance if collapsed else None,
        "dataset": dataset,
        "remark": remark,
    }
    yield f"{_key(NETWORK_NAMES, network)}-{_key(OPTIMIZER_NAMES, optimizer)}", entry


def pruning(
    _index: int,
    head: list[str],
    cells: list[str],
    *,
    says: str,
    dense_percent: float,
    near_chance_percent: float,
    refuted_above: float,
    notes: Mapping[str, str],
    **about: str,
) -> Entries:
    """Expand a row of Tables 6 and 7: technique, and an accuracy for each proportion."""
    technique = _key(TECHNIQUE_NAMES, cells[0])
    for at, value in zip(head[1:], cells[1:], strict=True):
        proportion, percent = float(at), float(value)
        entry: Entry = {
            "says": says.format(technique=cells[0], proportion=at, value=value),
            "technique": technique,
            "proportion": proportion,
            "paper_percent": percent,
            **about,
        }
        if percent <= near_chance_percent:
            note = "near_chance" if percent >= CHANCE_PERCENT[about["dataset"]] else "below_chance"
            note = "all_pruned" if proportion == 1 else note
            # 95.0 comes without its trailing zero.
            entry |= {"accuracy_percent": value, "resolution": 0.01, "refuted_above": refuted_above}
        else:
            note = "drop" if proportion else "unpruned"
            drop = f"{percent - dense_percent:.2f}"
            entry |= {
                "accuracy_difference_points": drop if proportion else f"= {drop}",
                "minuend": {"technique": technique, "proportion": proportion},
                "subtrahend": {},
            }
        yield f"{technique}-{at}", {**entry, "remark": notes[note]}


def listing(
    _index: int,
    _head: list[str],
    cells: list[str],
    *,
    network: str,
    says: str,
    totals: Mapping[str, tuple[str, str]],
    hyperparameters: Mapping[str, float] | None = None,
) -> Entries:
    """Expand a row of Appendices A to C: layer, output shape and parameters; or a total."""
    entry: Entry = {"network": network}
    written = NETWORK_NAMES[network]
    if len(cells) == 1:
        total, _, value = cells[0].partition(": ")
        label, statement = totals[total]
        entry |= {"says": statement.format(network=written, value=value), "quantity": label}
        if label == "total_params" and hyperparameters:
            entry["hyperparameters"] = hyperparameters
    else:
        layer, shape, value = cells
        layer_type, _, number = layer.rpartition("-")
        label = f"{int(number):02}-{layer_type.lower()}"
        entry |= {
            "says": says.format(
                index=number, network=written, layer_type=layer_type, shape=shape, value=value
            ),
            "index": int(number),
            "layer_type": layer_type,
            "output_shape": tuple(int(size) for size in shape.strip("[]").split(",")),
        }
    is_size = label.endswith("_mb")
    entry |= {"size_mb": value} if is_size else {"num_params": f"= {value.replace(',', '')}"}
    yield label, entry


def report(
    index: int,
    _head: list[str],
    cells: list[str],
    *,
    says: Mapping[str, str],
    same_remark: str,
    same_rows: tuple[str, ...] = (),
    **about: str,
) -> Entries:
    """Expand a row of Appendix D: a class, an average, the accuracy or the test accuracy."""
    model = f"{NETWORK_NAMES[about['network']]} with {OPTIMIZER_NAMES[about['optimizer']]}"
    row, *values = cells
    label = row.lower().replace(" ", "_")

    def entry(kind: str, metric: str, value: str) -> Entry:
        said = says[kind].format(model=model, column=metric, value=value, row=row)
        return {"says": said, metric: value, **about}

    if label == "test_acc":
        [value] = values
        yield label, entry(label, "accuracy_percent", value)
    elif label == "accuracy":
        share, support = values
        yield label, entry(label, "accuracy", share)
        yield f"{label}-support", entry("accuracy_support", "support", support)
    else:
        row, is_average, _ = row.partition(" avg")
        kind = "average" if is_average else "class"
        details: Entry = (
            {"average": row} if is_average else {"class_name": row, "class_index": index}
        )
        *shares, support = values
        remark = {"remark": same_remark} if row in same_rows else {}
        for column, share in zip(("precision", "recall", "f1"), shares, strict=True):
            yield f"{label}-{column}", {**entry(f"of_{kind}", column, share), **details, **remark}
        # As a float, which saved runs have.
        more = {**details, "support": f"{support}.0"}
        yield f"{label}-support", {**entry(f"{kind}_support", "support", support), **more}
