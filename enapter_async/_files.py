"""Local files: locks, files that appear when they are complete, and certificates."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, cast

from enapter_async.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

TEMPORARY: Final = ".tmp"
"""How the names of files end that are not complete."""


class NewFile:
    """A file that gets its name when it is complete and on the disk.

    As a context manager it is completed if the block ends well, and else given up. A symbolic link stays one: the
    file that it points to is made or replaced.

    Attributes:
        file: To be written to.
    """

    def __init__(self, path: Path, temporary: Path | None = None) -> None:
        """Begin the file.

        Args:
            path: The name that it gets.
            temporary: Its name until then, in the same file system; by default the same with `.tmp`.
        """
        self._path = Path(os.path.realpath(path))
        self._temporary = temporary or self._path.with_name(self._path.name + TEMPORARY)
        self.file: IO[bytes] = self._temporary.open("wb")

    def complete(self) -> None:
        """Give it its name."""
        with self.file:
            sync_file(self.file)
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)

    def give_up(self) -> None:
        """Remove it; does nothing for one that is complete."""
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
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the system can open folders for that."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # a folder may be writable and not readable
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def identify_file(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at a path from another one that takes its place; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def try_to_lock(file: IO[bytes]) -> bool:
    """Take a lock that ends with the process, however it ends; False if another process has it.

    On Windows other programs cannot read what is locked: lock a file that holds nothing else there.
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
    """Return what trusts the certificates of a PEM file and no others.

    Args:
        path: The file.
        failure: How the message begins if that fails.

    Raises:
        ConfigurationError: The file cannot be read or holds no certificate.
    """
    import ssl

    try:
        return ssl.create_default_context(cafile=os.fspath(path))
    except (OSError, ssl.SSLError, TypeError, ValueError) as error:
        message = f"{failure}: {cast('object', error)}"
    raise ConfigurationError(message)
