"""Local files: locks, files that appear when they are complete, and certificates."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, cast

from enapter_async.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

TEMPORARY: Final = ".tmp"
"""Suffix of incomplete files."""


class NewFile:
    """A file that gets its name only when it is complete and on disk.

    As a context manager it is completed if the block succeeds, and removed otherwise. A symbolic link is kept: the
    file that it points to is created or replaced.

    Attributes:
        file: File object to write to.
    """

    def __init__(self, path: Path, temporary: Path | None = None) -> None:
        """Create the temporary file.

        Args:
            path: Final name of the file.
            temporary: Name until then, in the same file system. The default is the final name with `.tmp`.

        Raises:
            OSError: The file cannot be created, or the name is a symbolic link that leads to itself.
        """
        self._path = Path(os.path.realpath(path))
        if self._path.is_symlink():  # what is left of a loop
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        self._temporary = temporary or self._path.with_name(self._path.name + TEMPORARY)
        self.file: IO[bytes] = self._temporary.open("wb")

    def complete(self) -> None:
        """Rename the file to its final name."""
        with self.file:
            sync_file(self.file)
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)

    def give_up(self) -> None:
        """Remove the file, unless it is complete."""
        self.file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        try:
            if exc_type is None:
                self.complete()
        finally:
            self.give_up()


def sync_file(file: IO[bytes]) -> None:
    """Write buffered data to disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Write the names in a folder to disk, if the system can open folders for that."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # a folder may be writable but not readable
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def identify_file(path: Path) -> tuple[int, int] | None:
    """Return the identity of the file at a path, to detect that another file replaced it; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def try_to_lock(file: IO[bytes]) -> bool:
    """Take a lock that ends with the process. Return False if another process has it.

    On Windows other programs cannot read a locked file, so lock a separate one.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def load_ca_file(path: str | os.PathLike[str], failure: str = "ca_file cannot be read") -> ssl.SSLContext:
    """Return TLS settings that trust only the certificates of a PEM file.

    Args:
        path: PEM file.
        failure: Beginning of the error message.

    Raises:
        ConfigurationError: The file cannot be read or contains no certificate.
    """
    import ssl

    try:
        name = os.fspath(path)
        if not name.strip():
            raise ValueError("the path is empty")  # OpenSSL would trust the system's certificate authorities
        return ssl.create_default_context(cafile=name)
    except (OSError, ssl.SSLError, TypeError, ValueError) as error:
        message = f"{failure}: {cast('object', error)}"
    raise ConfigurationError(message)


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
