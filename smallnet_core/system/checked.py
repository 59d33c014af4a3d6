"""Read JSON files into dataclasses, by pydantic, which is loaded when the first one is read."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def parse(kind: type[T], text: bytes) -> T:
    """Make a dataclass of JSON, with exactly the types that it declares; fields it lacks are left.

    Raises ValueError, in one line, with the place in the file and what is wrong there.
    """
    import pydantic

    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from error
