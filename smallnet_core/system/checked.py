"""Read JSON files into dataclasses with pydantic, which is imported at the first read."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def parse(kind: type[T], text: bytes) -> T:
    """Parse JSON into a dataclass, with exactly the types that it declares; ignore other fields.

    Raises ValueError with one line: the place in the file and what is wrong there.
    """
    import pydantic

    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from error
