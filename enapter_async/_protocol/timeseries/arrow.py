"""The fast reader of time series (extra `arrow`), which parses blocks with pyarrow.

It reads only blocks that both readers interpret in the same way. In doubt a block goes to the standard reader, which
also reports all errors, so both produce the same values and the same errors. Values stay in arrow memory and are
converted to Python objects on access.
"""

# pyarrow has no type annotations.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self, cast

import pyarrow as pa
from pyarrow import compute, csv

from enapter_async._protocol.timeseries.cells import string_array
from enapter_async._protocol.timeseries.csv import (
    Position,
    ascending,
    check_quotes,
    has_lone_carriage_return,
    read_block,
    with_values,
)
from enapter_async.models.timeseries import Column, ColumnHeader, DataType, TimeseriesBatch, TimeseriesValue

_TYPES: Final = {
    DataType.FLOAT: pa.float64(),
    DataType.INTEGER: pa.int64(),
    DataType.BOOLEAN: pa.bool_(),
}
_OPTIONS: Final = {
    "null_values": [""],
    "true_values": ["true", "True", "TRUE", "1"],
    "false_values": ["false", "False", "FALSE", "0"],
    "strings_can_be_null": True,
    "quoted_strings_can_be_null": True,
}
# Characters of numbers that only pyarrow accepts: 0x1f, nan(...). Searching for one byte is far faster than for two,
# and usually sufficient.
_DOUBTFUL: Final = ((b"x", b"0x"), (b"X", b"0X"), (b"(", b"n("), (b"(", b"N("))


class ArrowValues:
    """Values of a column in arrow memory."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: pa.ChunkedArray) -> None:
        self._chunks = chunks

    def __len__(self) -> int:
        return len(self._chunks)

    def to_list(self) -> list[TimeseriesValue]:
        """Return the values as plain Python objects."""
        values: list[TimeseriesValue] = []
        for chunk in self._chunks.chunks:
            values += plain_values(chunk)
        return values

    def to_arrow(self) -> pa.ChunkedArray:
        """Return the values in arrow memory."""
        return self._chunks

    def slice(self, start: int, stop: int) -> Self:
        """Return a slice without copying."""
        return type(self)(self._chunks.slice(start, max(stop - start, 0)))

    def joined(self, parts: Sequence[Self]) -> Self:
        """Concatenate columns without copying."""
        chunks = [chunk for part in parts for chunk in part.to_arrow().chunks]
        return type(self)(pa.chunked_array(chunks, self._chunks.type))


def plain_values(array: pa.Array) -> list[TimeseriesValue]:
    """Return the values of an array. Numbers are five times as fast as with `to_pylist`."""
    if not len(array) or not (pa.types.is_float64(array.type) or pa.types.is_int64(array.type)):
        return cast("list[TimeseriesValue]", array.to_pylist())
    memory = memoryview(array.buffers()[1]).cast("B")[array.offset * 8 : (array.offset + len(array)) * 8]
    values: list[TimeseriesValue] = []
    values += memory.cast("d") if pa.types.is_float64(array.type) else memory.cast("q")
    if array.null_count:
        for index in compute.indices_nonzero(array.is_null()).to_pylist():
            values[index] = None
    return values


def read_block_with_arrow(block: bytes, headers: Sequence[ColumnHeader], position: Position) -> TimeseriesBatch:
    """Read a block of complete records, like `csv.read_block`."""
    if b'"' in block:
        check_quotes(block)
    if any(rare in block and mark in block for rare, mark in _DOUBTFUL) or has_lone_carriage_return(block):
        return read_block(block, headers, position)
    try:
        table = _read_csv(block, headers)
        seconds = table.column(0).combine_chunks()
        unix_seconds = ascending(plain_values(seconds), position)
        columns = [_column(header, chunks) for header, chunks in zip(headers, table.columns[1:], strict=True)]
    except (pa.ArrowException, ValueError):
        return read_block(block, headers, position)
    return TimeseriesBatch(unix_seconds, tuple(columns))


def _read_csv(block: bytes, headers: Sequence[ColumnHeader]) -> pa.Table:
    types = [pa.int64(), *(_TYPES.get(header.data_type, pa.string()) for header in headers)]
    names = [str(index) for index in range(len(types))]
    return csv.read_csv(
        pa.BufferReader(block),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=names, autogenerate_column_names=False
        ),
        parse_options=csv.ParseOptions(newlines_in_values=b'"' in block),
        convert_options=csv.ConvertOptions(
            column_types=dict(zip(names, types, strict=True)), check_utf8=True, **_OPTIONS
        ),
    )


def _column(header: ColumnHeader, chunks: pa.ChunkedArray) -> Column:
    if header.data_type == DataType.STRING_ARRAY:
        chunks = pa.chunked_array([_string_arrays(chunks.combine_chunks())])
    return with_values(header, ArrowValues(chunks))


def _string_arrays(texts: pa.Array) -> pa.Array:
    """Read JSON arrays. Equal texts of a block are read once, because alerts often stay the same for hours."""
    encoded = texts.dictionary_encode()
    known = [string_array(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(known, pa.list_(pa.string())).take(encoded.indices)
