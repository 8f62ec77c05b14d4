"""Failures of files, and whether they may pass."""

from __future__ import annotations

import errno
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
