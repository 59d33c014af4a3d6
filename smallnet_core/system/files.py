"""Write files atomically, and lock files in folders that several users share."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ZOO_DIR = Path(__file__).parents[1] / "zoo"
LOCK_MODE = 0o666  # whatever the umask: other users open the same lock file


@contextlib.contextmanager
def written_beside(path: Path, *parts: bytes) -> Iterator[Path]:
    """Write ``parts`` to a temporary file in the folder of ``path`` and sync it to disk.

    Yield its path; delete it at the end unless it was moved. Raises OSError where it cannot be
    written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private; in a shared folder others may read it, if the umask allows it.
        os.chmod(name, 0o666 & ~_umask())
        yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def replace_file(path: Path, *parts: bytes) -> None:
    """Replace ``path`` by ``parts``, atomically; create its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path, *parts) as new:
        os.replace(new, path)


def json_fields(record: Mapping[str, Any]) -> str:
    """Format a JSON object, one sorted field per line: equal records give equal bytes.

    Raises ValueError for a number that is not finite.
    """
    return f"{{\n{json_lines(dict(sorted(record.items())), ' ')}\n}}\n"


def json_lines(fields: Mapping[str, Any], indent: str) -> str:
    """Format the fields of a JSON object, one per line, in their order; ValueError as above."""
    return ",\n".join(
        f"{indent}{json.dumps(name)}: {json.dumps(value, sort_keys=True, allow_nan=False)}"
        for name, value in fields.items()
    )


def remove_leftovers(path: Path) -> None:
    """Delete temporary files of killed writers of ``path``; no writer may be running."""
    for left in path.parent.glob(f"{_prefix(path)}*"):
        left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}."


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def has_locks(folder: Path) -> bool:
    """Check whether files in ``folder`` can be locked; raises OSError if it is not writable."""
    import fcntl  # absent on Windows, where saved runs can still be read

    with tempfile.TemporaryFile(dir=folder) as file, contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
