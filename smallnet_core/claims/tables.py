"""Expands a row of each kind of table into entries like those of text.toml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from smallnet_core.claims.names import (
    CHANCE_PERCENT,
    NETWORK_NAMES,
    OPTIMIZER_NAMES,
    TECHNIQUE_NAMES,
)

Entry: TypeAlias = dict[str, Any]
Entries: TypeAlias = Iterator[tuple[str, Entry]]  # with the name that ends the claim's id

_KEYS = {
    name: key
    for names in (NETWORK_NAMES, OPTIMIZER_NAMES, TECHNIQUE_NAMES)
    for key, name in names.items()
}


class Row(NamedTuple):
    """A line of a table; ``position`` counts from 0, below the head."""

    position: int
    head: list[str]
    cells: list[str]


def accuracy(row: Row, *, dataset: str, says: str, fails: str, remark: str = "") -> Entries:
    """Expand a row of Tables 2 to 5: network, optimizer, accuracy."""
    network, optimizer, value = row.cells
    chance = CHANCE_PERCENT[dataset]
    collapsed = float(value) == chance
    statement = fails if collapsed else says
    entry = {
        "says": statement.format(network=network, optimizer=optimizer, value=value),
        "accuracy_percent": value,
        # The paper prints 89.4 without the trailing zero, and 58 without decimals.
        "resolution": 0.01 if collapsed or "." in value else 1.0,
        "refuted_above": 2 * chance if collapsed else None,
        "dataset": dataset,
        "remark": remark,
    }
    yield f"{_KEYS[network]}-{_KEYS[optimizer]}", entry


def pruning(
    row: Row,
    *,
    says: str,
    dense_percent: float,
    near_chance_percent: float,
    refuted_above: float,
    notes: Mapping[str, str],
    **about: str,
) -> Entries:
    """Expand a row of Tables 6 and 7: technique, and an accuracy for each proportion."""
    name, *values = row.cells
    technique = _KEYS[name]
    for at, value in zip(row.head[1:], values, strict=True):
        proportion, percent = float(at), float(value)
        entry: Entry = {
            "says": says.format(technique=name, proportion=at, value=value),
            "technique": technique,
            "proportion": proportion,
            "paper_percent": percent,
            **about,
        }
        if percent <= near_chance_percent:
            note = "near_chance" if percent >= CHANCE_PERCENT[about["dataset"]] else "below_chance"
            note = "all_pruned" if proportion == 1 else note
            # The paper prints 95.0 without the trailing zero.
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
    row: Row,
    *,
    network: str,
    says: str,
    totals: Mapping[str, tuple[str, str]],
    hyperparameters: Mapping[str, float] | None = None,
) -> Entries:
    """Expand a row of Appendices A to C: layer, output shape and parameters; or a total."""
    entry: Entry = {"network": network}
    written = NETWORK_NAMES[network]
    if len(row.cells) == 1:
        total, _, value = row.cells[0].partition(": ")
        label, statement = totals[total]
        entry |= {"says": statement.format(network=written, value=value), "quantity": label}
        if label == "total_params" and hyperparameters:
            entry["hyperparameters"] = hyperparameters
    else:
        layer, shape, value = row.cells
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
    row: Row,
    *,
    says: Mapping[str, str],
    same_remark: str,
    same_rows: tuple[str, ...] = (),
    **about: str,
) -> Entries:
    """Expand a row of Appendix D: a class, an average, the accuracy or the test accuracy."""
    model = f"{NETWORK_NAMES[about['network']]} with {OPTIMIZER_NAMES[about['optimizer']]}"
    written, *values = row.cells
    name, is_average, _ = written.partition(" avg")
    label = written.lower().replace(" ", "_")

    def entry(kind: str, metric: str, value: str) -> Entry:
        said = says[kind].format(model=model, column=metric, value=value, row=name)
        return {"says": said, metric: value, **about}

    if label == "test_acc":
        [value] = values
        yield label, entry(label, "accuracy_percent", value)
    elif label == "accuracy":
        share, support = values
        yield label, entry(label, "accuracy", share)
        yield f"{label}-support", entry("accuracy_support", "support", support)
    else:
        *shares, support = values
        details: Entry = {"class_name": name, "class_index": row.position}
        kind = "class"
        if is_average:
            details, kind = {"average": name}, "average"
        remark = {"remark": same_remark} if name in same_rows else {}
        for column, share in zip(("precision", "recall", "f1"), shares, strict=True):
            yield f"{label}-{column}", {**entry(f"of_{kind}", column, share), **details, **remark}
        # A float, because saved runs have it as one.
        more = {**details, "support": f"{support}.0"}
        yield f"{label}-support", {**entry(f"{kind}_support", "support", support), **more}
