"""Files that are whole or not there, and locks in folders that several users share."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LOCK_MODE = 0o666  # whatever the umask: the first user's lock file is for the others too


@contextlib.contextmanager
def written_beside(path: Path, *parts: bytes) -> Iterator[Path]:
    """A temporary file beside ``path``, whole and on the disk; gone at the end unless moved.

    It holds ``parts`` one after another. Raises OSError where it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private; others read a shared folder as the umask lets them.
        os.chmod(name, 0o666 & ~_umask())
        yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def replace_file(path: Path, *parts: bytes) -> None:
    """Write ``parts`` to ``path``, whose folder is made; raises OSError, and the old file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path, *parts) as new:
        os.replace(new, path)


def json_fields(record: Mapping[str, Any]) -> str:
    """A JSON object with a field a line, sorted: the same bytes for the same record.

    ValueError for a number that is not finite.
    """
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(record[name], sort_keys=True, allow_nan=False)}"
        for name in sorted(record)
    )
    return f"{{\n{lines}\n}}\n"


def remove_leftovers(path: Path) -> None:
    """Delete half files of writers of ``path`` that were killed; none may be at work."""
    for left in path.parent.glob(f"{_prefix(path)}*"):
        left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}."


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def has_locks(folder: Path) -> bool:
    """Tell whether files in ``folder`` can be locked; raises OSError where none can be made."""
    import fcntl  # not on Windows, where saved runs can be read all the same

    with tempfile.TemporaryFile(dir=folder) as file, contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
