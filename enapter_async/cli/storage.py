"""Where `collect` writes: what every storage can do, and which one a path means."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from enapter_async import MissingExtraError
from enapter_async._files import try_to_lock
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.store import Row, SqliteStore

NAMES: Final = ("sqlite", "csv", "jsonl", "parquet")
SUFFIXES: Final = {
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_REMEMBERED: Final = 4


class Storage(Protocol):
    """Keeps datapoints; used from one thread at a time.

    Attributes:
        written: Datapoints that were new and are kept now, whatever ends the program.
    """

    written: int

    def write(self, rows: Sequence[Row]) -> int:
        """Keep datapoints, and return how many were there already.

        Raises:
            Failure: They cannot be written; what was written before stays.
        """
        ...

    def close(self) -> None:
        """Complete what is open."""
        ...


class Recent:
    """The last few times of each series, of what was written before: the first answers bring them once more."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], tuple[str, ...]] = {}

    def add(self, device: str, attribute: str, time: str) -> None:
        """Remember a datapoint."""
        key = (device, attribute)
        self._times[key] = (time, *self._times.get(key, ())[: _REMEMBERED - 1])

    def new(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows that are not remembered."""
        if not self._times:
            return rows
        times = self._times
        return [row for row in rows if row[2] not in times.get((row[0], row[1]), ())]


def open_storage(path: Path, name: str) -> Storage:
    """Open the storage at a path, and make it where it is missing.

    Args:
        path: File, or folder of Parquet files.
        name: One of `NAMES`.

    Raises:
        Failure: It cannot be used, or is something else.
        MissingExtraError: Parquet needs pyarrow, which is not installed.
    """
    if name == "sqlite":
        return SqliteStore(path)
    if name == "parquet":
        try:
            from enapter_async.cli.storage_parquet import ParquetStorage
        except ModuleNotFoundError as error:
            raise MissingExtraError("pyarrow", "arrow") from error
        return ParquetStorage(path)
    from enapter_async.cli.storage_lines import CSV, JSON_LINES, LineStorage

    return LineStorage(path, CSV if name == "csv" else JSON_LINES)


def lock(file: IO[bytes], path: Path) -> None:
    """Take a lock that ends with the process, however it ends; Windows has none for a file that others may read.

    Raises:
        Failure: Another process has it.
    """
    if sys.platform != "win32" and not try_to_lock(file):
        raise Failure(f"another process collects into {path} now", Exit.STORAGE)
