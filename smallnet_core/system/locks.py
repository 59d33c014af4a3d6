"""File locks in folders that several users share, on any file system."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

LOCK_MODE = 0o666  # whatever the umask: the first user's lock file is for the others too


def has_locks(folder: Path) -> bool:
    """Tell whether files in ``folder`` can be locked; raises OSError where none can be made."""
    try:
        import fcntl
    except ImportError:  # Windows, which locks otherwise
        return True
    with tempfile.TemporaryFile(dir=folder) as file, contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
