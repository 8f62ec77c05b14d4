"""An export as Parquet (extra `arrow`)."""

# pyarrow has no type annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from enapter_async import TimeseriesBatch
from enapter_async.rows.batches import Units
from enapter_async.rows.parquet import ParquetWriter, make_batch_table, read_tables


class _PartWriter:
    def __init__(self, file: IO[bytes], units: Units) -> None:
        self.rows: int = 0
        self._units = units
        self._writer = ParquetWriter(file)

    def write(self, batch: TimeseriesBatch) -> None:
        self._writer.write(make_batch_table(batch, self._units))
        self.rows = self._writer.rows

    def close(self) -> None:
        self._writer.close()

    def give_up(self) -> None:
        self._writer.give_up()


class ParquetFormat:
    """Parquet, with row groups of a fixed size and zstd compression."""

    def begin_part(self, file: IO[bytes], units: Units) -> _PartWriter:
        """Begin a part."""
        return _PartWriter(file, units)

    def join_parts(self, parts: Iterable[Path], file: IO[bytes], on_joined: Callable[[], None]) -> None:
        """Write one file with the rows of all parts."""
        writer = ParquetWriter(file)
        try:
            for part in parts:
                for table in read_tables(part):
                    writer.write(table)
                on_joined()
            writer.close()
        finally:
            writer.give_up()
