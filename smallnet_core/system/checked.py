"""Read JSON and TOML files with pydantic, which is imported at the first read."""

from __future__ import annotations

import re
import reprlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pydantic

T = TypeVar("T")
Model = TypeVar("Model", bound="pydantic.BaseModel")


def parse(kind: type[T], text: bytes) -> T:
    """Parse JSON into a dataclass, with exactly the types that it declares; ignore other fields.

    Raises ValueError with one line: the place in the file and what is wrong there.
    """
    import pydantic

    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        raise ValueError(explain(error, {})) from error


def parse_toml(model: type[Model], content: bytes, path: Path, *table: str) -> Model:
    """Validate the content of a TOML file, or a table in it, that may be missing.

    Raises ValueError with one line: the path, the table, the place in it and what is wrong there.
    """
    import pydantic

    where = f"{path}: [{'.'.join(table)}]" if table else f"{path}"
    found: Any = {}
    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
        for name in table:
            found = found.get(name, {})
            if not isinstance(found, dict):
                raise ValueError(f"{name} is {reprlib.repr(found)}, expected a table")
        return model.model_validate(found)
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except pydantic.ValidationError as error:
        raise ValueError(f"{where}: {explain(error, found)}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {' '.join(str(error).split())}") from error


def explain(error: pydantic.ValidationError, document: Mapping[str, Any]) -> str:
    """Return the first thing that is wrong, with its place in the document and what is there."""
    from pydantic import BaseModel

    first = error.errors(include_url=False, include_context=False)[0]
    # Without what tells the halves of a union apart.
    place = [part for part in first["loc"] if not re.search(r"[<\[-]", str(part))]
    where = " ".join(".".join(map(str, place)).split())[:200] or "the file"
    node: Any = document
    for part in place:  # the claim of a row says more than its number
        try:
            node = node[part]
        except (LookupError, TypeError):
            break
        if isinstance(node, dict) and isinstance(node.get("claim"), str):
            where += f" ({node['claim']})"
    text = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if first["type"] == "missing":
        return f"{where}: is missing"
    found = first["input"]
    shown = "" if isinstance(found, dict | BaseModel) else f", found {reprlib.repr(found)}"
    return f"{where}: {text}{shown}"
