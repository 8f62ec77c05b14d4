"""The formats of an export: writing parts, and joining them into one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Final, Protocol

from enapter_async import TimeseriesBatch
from enapter_async._protocol.query import one_of
from enapter_async.rows import CSV, JSON_LINES, LineFormat, make_batch_rows
from enapter_async.rows.batches import Units

FORMATS: Final = ("parquet", "csv", "jsonl")
"""Formats that an export to a file supports."""

_SUFFIXES: Final = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ROWS_AT_ONCE: Final = 2_000
"""Rows to format at once. This is a fifth faster than whole batches, since the memory of the tuples is reused."""


class PartWriter(Protocol):
    """Writes the rows of one part.

    Attributes:
        rows: Rows written so far.
    """

    rows: int

    def write(self, batch: TimeseriesBatch) -> None:
        """Write the rows of a batch."""
        ...

    def close(self) -> None:
        """Write the remaining rows. The file stays open."""
        ...

    def give_up(self) -> None:
        """Discard the rest. Does nothing after `close`."""
        ...


class Format(Protocol):
    """A file format. The same rows always produce the same bytes, independent of parts and batches."""

    def begin_part(self, file: IO[bytes], units: Units) -> PartWriter:
        """Begin a part."""
        ...

    def join_parts(self, parts: Iterable[Path], file: IO[bytes], on_joined: Callable[[], None]) -> None:
        """Write the complete file from its parts.

        Args:
            parts: The parts in order.
            file: File to write to.
            on_joined: Called after each part. Its exceptions stop the work.
        """
        ...


def guess_format(path: Path) -> str | None:
    """Return the format that the name of a file implies, if any."""
    return _SUFFIXES.get(path.suffix.lower())


def get_format(name: str) -> Format:
    """Return the format with a name.

    Raises:
        InvalidArgumentError: The format is unknown.
        MissingExtraError: Parquet needs pyarrow, which is not installed.
    """
    one_of(name, frozenset(FORMATS), "file_format")
    if name == "csv":
        return _TextFormat(CSV)
    if name == "jsonl":
        return _TextFormat(JSON_LINES)
    from enapter_async.exporter._parquet import ParquetFormat

    return ParquetFormat()


class _TextWriter:
    def __init__(self, lines: LineFormat, file: IO[bytes], units: Units) -> None:
        self.rows: int = 0
        self._lines = lines
        self._file = file
        self._units = units

    def write(self, batch: TimeseriesBatch) -> None:
        step = max(1, _ROWS_AT_ONCE // max(1, len(batch.columns)))
        for start in range(0, len(batch), step):
            rows = make_batch_rows(batch.slice(start, start + step), self._units)
            self._file.write(self._lines.encode(rows))
            self.rows += len(rows)

    def close(self) -> None:
        pass

    def give_up(self) -> None:
        pass


class _TextFormat:
    """A format that concatenates the lines of all parts under one header."""

    def __init__(self, lines: LineFormat) -> None:
        self._lines = lines

    def begin_part(self, file: IO[bytes], units: Units) -> PartWriter:
        return _TextWriter(self._lines, file, units)

    def join_parts(self, parts: Iterable[Path], file: IO[bytes], on_joined: Callable[[], None]) -> None:
        file.write(self._lines.header)
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            on_joined()
