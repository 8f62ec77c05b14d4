"""Rows as tables of pyarrow and as Parquet files (extra `arrow`)."""

# pyarrow is untyped.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false
from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, cast

from enapter_async.errors import MissingExtraError
from enapter_async.models.timeseries import Column, DataType, TimeseriesBatch
from enapter_async.rows.batches import Units
from enapter_async.rows.row import COLUMNS, Row, clean_text, split_value

try:
    import pyarrow as pa
    from pyarrow import compute, parquet
except ImportError as _error:
    raise MissingExtraError("pyarrow", "arrow") from _error

TIME: Final = pa.timestamp("us", "UTC")
VALUE: Final = pa.float64()
SCHEMA: Final[Any] = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("attribute", pa.string(), nullable=False),
        pa.field("time", TIME, nullable=False),
        pa.field("value", VALUE),
        pa.field("text", pa.string()),
        pa.field("unit", pa.string()),
    ]
)
"""The columns of a file, which pandas, pyarrow, polars and DuckDB can read."""

_COMPRESSION: Final = "zstd"
_ROWS_IN_GROUP: Final = 1 << 16
_NUMBERS: Final = frozenset({DataType.FLOAT, DataType.INTEGER, DataType.BOOLEAN})


def make_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a `pyarrow.Table` with the schema `SCHEMA`."""
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def make_batch_table(batch: TimeseriesBatch, units: Units) -> pa.Table:
    """Return the same as `make_table(make_batch_rows(batch, units))`, without creating tuples of the values.

    Raises:
        ValueError: A value is nested too deeply to be written as JSON.
    """
    height, width = len(batch), len(batch.columns)
    if not height or not width:
        return SCHEMA.empty_table()
    moments = pa.array(batch.unix_seconds, pa.timestamp("s", "UTC")).cast(TIME)
    values, texts = zip(*(_split_column(column, height) for column in batch.columns), strict=True)

    def repeat(items: Iterable[str | None]) -> pa.Array:
        names = pa.array([clean_text(item) if item else None for item in items], pa.string())
        return pa.DictionaryArray.from_arrays(numbers, names).cast(pa.string())

    # First column by column, then sorted by time.
    numbers = pa.array([number for number in range(width) for _ in range(height)], pa.int32())
    table = pa.table(
        [
            repeat(column.device for column in batch.columns),
            repeat(column.attribute for column in batch.columns),
            pa.concat_arrays([moments] * width),
            pa.concat_arrays(values),
            pa.concat_arrays(texts),
            repeat(units.get(column.device, {}).get(column.attribute) for column in batch.columns),
        ],
        schema=SCHEMA,
    ).take(_order_by_time(height, width))
    return table.filter(compute.or_(table["value"].is_valid(), table["text"].is_valid()))


def _split_column(column: Column, height: int) -> tuple[pa.Array, pa.Array]:
    """Return a column as numbers and as texts, like `split_value`."""
    if column.data_type in _NUMBERS:
        try:
            numbers = _to_numbers(column)
        except OverflowError:
            pass  # an integer too large for a float
        else:
            if compute.all(compute.is_finite(numbers), min_count=0).as_py() is not False:
                return numbers, pa.nulls(height, pa.string())
    cells = [split_value(value) for value in cast("list[Any]", column.values)]
    return pa.array([cell[0] for cell in cells], VALUE), pa.array([cell[1] for cell in cells], pa.string())


def _to_numbers(column: Column) -> pa.Array:
    stored = column.stored
    if isinstance(stored, list):
        return pa.array([None if value is None else float(cast("float", value)) for value in stored], VALUE)
    return stored.to_arrow().combine_chunks().cast(VALUE, safe=False)


def _order_by_time(height: int, width: int) -> pa.Array:
    """Return the indices that sort a table in order of columns into order of rows."""
    places = array("q", bytes(8 * height * width))
    for number in range(width):
        places[number::width] = array("q", range(number * height, (number + 1) * height))
    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])


class ParquetWriter:
    """Writes a Parquet file with row groups of one size. The same rows always give the same bytes.

    Attributes:
        rows: Number of rows written so far.
    """

    def __init__(self, file: IO[bytes], rows_in_group: int | None = None) -> None:
        """Begin the file.

        Args:
            file: File to write to. It stays open.
            rows_in_group: Number of rows that are kept in memory and written together. The default is 65,536.
        """
        self.rows: int = 0
        self._most: int = rows_in_group or _ROWS_IN_GROUP
        self._waiting: list[pa.Table] = []
        self._count = 0
        self._writer = parquet.ParquetWriter(file, SCHEMA, compression=_COMPRESSION)

    def write(self, table: pa.Table) -> None:
        """Write a table with the schema `SCHEMA`."""
        if not len(table):
            return
        self._waiting.append(table)
        self._count += len(table)
        self.rows += len(table)
        if self._count >= self._most:
            table = pa.concat_tables(self._waiting)
            whole = len(table) // self._most * self._most
            self._writer.write_table(table.slice(0, whole), row_group_size=self._most)
            rest = table.slice(whole)
            self._waiting, self._count = [rest], len(rest)

    def close(self) -> None:
        """Write the remaining rows and the end of the file."""
        if self._count:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=self._most)
        self._writer.close()

    def give_up(self) -> None:
        """Discard the rest of the file. Does nothing after `close`."""
        # Its destructor would try to write the end of a file that is closed by then.
        self._writer.is_open = False


def read_tables(path: Path) -> Iterator[pa.Table]:
    """Yield the rows of a file as tables, one for each row group."""
    with path.open("rb") as source, parquet.ParquetFile(source) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, use_threads=False)
