"""Exported rows as Parquet (extra `arrow`)."""

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false
from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final, cast

import pyarrow as pa
from pyarrow import compute, parquet

from enapter_async import Column, DataType, TimeseriesBatch
from enapter_async.cli.export_formats import Format, PartWriter, Units

_TIME: Final = pa.timestamp("ms", "UTC")  # Parquet has no whole seconds
_VALUE: Final = pa.float64()
_SCHEMA: Final = pa.schema(
    [
        pa.field("time", _TIME, nullable=False),
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("attribute", pa.string(), nullable=False),
        pa.field("value", _VALUE),
        pa.field("text", pa.string()),
        pa.field("unit", pa.string()),
    ]
)
_ROWS_IN_GROUP: Final = 1 << 16
"""Of a part and of the whole file; a few MB while they wait."""
_COMPRESSION: Final = "zstd"
_NUMBERS: Final = frozenset({DataType.FLOAT, DataType.INTEGER, DataType.BOOLEAN})


class _Rows:
    """Gathers rows to groups of one size, so that the same rows always give the same file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._count = 0
        self._writer = parquet.ParquetWriter(file, _SCHEMA, compression=_COMPRESSION)

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._count += len(table)
        self.rows += len(table)
        if self._count >= _ROWS_IN_GROUP:
            table = pa.concat_tables(self._waiting)
            whole = len(table) // _ROWS_IN_GROUP * _ROWS_IN_GROUP
            self._writer.write_table(table.slice(0, whole), row_group_size=_ROWS_IN_GROUP)
            rest = table.slice(whole)
            self._waiting, self._count = [rest], len(rest)

    def close(self) -> None:
        if self._count:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=_ROWS_IN_GROUP)
        self._writer.close()

    def give_up(self) -> None:
        # Its destructor would write the end of the file, which is closed by then, and complain.
        self._writer.is_open = False


class _ParquetWriter:
    def __init__(self, file: IO[bytes], units: Units) -> None:
        self._units = units
        self._rows = _Rows(file)

    @property
    def rows(self) -> int:
        return self._rows.rows

    def write(self, batch: TimeseriesBatch) -> None:
        if len(batch) and batch.columns:
            self._rows.add(_long(batch, self._units))

    def close(self) -> None:
        self._rows.close()

    def give_up(self) -> None:
        self._rows.give_up()


def _long(batch: TimeseriesBatch, units: Units) -> pa.Table:
    """Return a row for each value that is there."""
    height, width = len(batch), len(batch.columns)
    moments = pa.array(batch.unix_seconds, pa.timestamp("s", "UTC")).cast(_TIME)
    values, texts = zip(*(_values(column, height) for column in batch.columns), strict=True)

    def repeated(items: Iterable[str | None]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(numbers, pa.array(list(items), pa.string())).cast(pa.string())

    # Column after column first, then put in order of time.
    numbers = pa.array([number for number in range(width) for _ in range(height)], pa.int32())
    table = pa.table(
        [
            pa.concat_arrays([moments] * width),
            repeated(column.device for column in batch.columns),
            repeated(column.attribute for column in batch.columns),
            pa.concat_arrays(values),
            pa.concat_arrays(texts),
            repeated(units.get(column.device, {}).get(column.attribute) for column in batch.columns),
        ],
        schema=_SCHEMA,
    ).take(_by_time(height, width))
    there = compute.or_(table["value"].is_valid(), table["text"].is_valid())
    return table.filter(there)


def _values(column: Column, height: int) -> tuple[pa.Array, pa.Array]:
    """Return a column as numbers and as texts, one of them empty."""
    stored = column.stored
    if column.data_type in _NUMBERS:
        if isinstance(stored, list):
            numbers = pa.array([None if value is None else float(cast("float", value)) for value in stored], _VALUE)
        else:
            numbers = stored.to_arrow().combine_chunks().cast(_VALUE, safe=False)
        return numbers, pa.nulls(height, pa.string())
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in column.values
    ]
    return pa.nulls(height, _VALUE), pa.array(texts, pa.string())


def _by_time(height: int, width: int) -> pa.Array:
    """Return the places of a table that stands column after column, row after row."""
    places = array("q", bytes(8 * height * width))
    for number in range(width):
        places[number::width] = array("q", range(number * height, (number + 1) * height))
    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])


class ParquetFormat:
    """Parquet: the rows in groups of a fixed size, compressed with zstd.

    Beside the columns of the other formats there is `text`: a column of Parquet has one type, so numbers and
    booleans (1 and 0) are in `value`, and everything else is in `text`, lists as JSON.
    """

    def part(self, file: IO[bytes], units: Units) -> PartWriter:
        """Begin a part."""
        return _ParquetWriter(file, units)

    def join(self, parts: Iterable[Path], file: IO[bytes], joined: Callable[[], None]) -> None:
        """Write one file with the rows of all parts."""
        rows = _Rows(file)
        try:
            for part in parts:
                for table in _tables(part):
                    rows.add(table)
                joined()
            rows.close()
        finally:
            rows.give_up()


def _tables(path: Path) -> Iterator[pa.Table]:
    with path.open("rb") as source, parquet.ParquetFile(source) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, use_threads=False)


PARQUET: Final[Format] = ParquetFormat()
