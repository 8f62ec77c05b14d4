"""Files that appear when they are complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Final, Self

TEMPORARY: Final = ".tmp"
"""How the names of files end that are not complete."""


class NewFile:
    """A file that gets its name when it is complete and on the disk.

    As a context manager it is completed if the block ends well, and else given up.

    Attributes:
        file: To be written to.
    """

    def __init__(self, path: Path, temporary: Path | None = None) -> None:
        self._path = path
        self._temporary = temporary or path.with_name(path.name + TEMPORARY)
        self.file: IO[bytes] = self._temporary.open("wb")

    def complete(self) -> None:
        """Give it its name."""
        with self.file:
            to_disk(self.file)
        self._temporary.replace(self._path)

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


def to_disk(file: IO[bytes]) -> None:
    """Bring what was written to the disk: a name that outlives a power cut must not stand for nothing."""
    file.flush()
    os.fsync(file.fileno())
