"""Failures of files, and whether they may pass."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from enapter_async.errors import StorageError

_TEMPORARY: Final = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EAGAIN") if hasattr(errno, name)
)
"""A disk or a quota that is full, too many open files."""


def storage_error(path: Path, what: str, error: OSError) -> StorageError:
    """Return the error of a file operation; a full disk is temporary."""
    return StorageError(path, f"{what}: {error.strerror or error}", temporary=error.errno in _TEMPORARY)


def explain_unopened(path: Path) -> str | None:
    """Return why a file cannot be opened and what to do; None if that is not known."""
    folder = path.parent
    if path.is_dir():
        return "cannot be opened: it is a folder; choose a file in it"
    if not folder.is_dir():
        return f"cannot be opened: there is no folder {folder}; create it first"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "cannot be opened: no permission to read and write it"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"cannot be opened: no permission to write into the folder {folder}"
    return None
