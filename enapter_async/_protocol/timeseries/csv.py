"""The standard reader of time series, which converts blocks of complete records to columns of values.

The fast paths only detect that something is wrong. `defect` then reads the block again, cell by cell, to find the
error. So errors name the same row and column with both readers.
"""

from __future__ import annotations

import csv
import io
import operator
import re
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import Final, TypeAlias, cast

import attrs

from enapter_async._protocol.timeseries.cells import Values, converter, is_plain
from enapter_async.errors import TimeseriesFormatError
from enapter_async.models.timeseries import Column, ColumnHeader, DataType, StoredValues, TimeseriesBatch

Cells: TypeAlias = Sequence[Sequence[str]]

_FIRST_MOMENT: Final = -62_135_596_800  # 0001-01-01T00:00:00Z, the earliest datetime
_LAST_MOMENT: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_OUTSIDE: Final = bytes(byte if byte in b',\r\n"' else ord("x") for byte in range(256))
_QUOTED: Final = re.compile(rb'"[^"]*(?:""[^"]*)*"')
_UNQUOTED: Final = re.compile(rb'[^",\r\n]*')
_CELL: Final = re.compile(rb"(%b|%b)(,|\r?\n)" % (_QUOTED.pattern, _UNQUOTED.pattern))


class MalformedBlockError(Exception):
    """A block contains an error, which `defect` identifies. Never raised to users."""


@attrs.frozen
class Position:
    """Position of a block in the response.

    Attributes:
        row: Number of its first data row, counted from 1.
        after: Unix seconds of the row before it, if any.
    """

    row: int = 1
    after: int | None = None


def read_block(block: bytes, headers: Sequence[ColumnHeader], position: Position) -> TimeseriesBatch:
    """Read a block of complete records.

    Args:
        block: Complete records, each with its line ending.
        headers: The columns.
        position: Position of the block.

    Raises:
        MalformedBlockError: The block contains an error; call `defect`.
    """
    try:
        cells = (_split_quoted if b'"' in block else _split)(block, len(headers) + 1)
        plain = is_plain(block)
        unix_seconds = ascending(converter(DataType.INTEGER, plain=plain)(cells[0]), position)
        columns = [
            converter(header.data_type, plain=plain)(column) for header, column in zip(headers, cells[1:], strict=True)
        ]
    except (ValueError, csv.Error) as error:
        raise MalformedBlockError from error
    return TimeseriesBatch(unix_seconds, tuple(map(with_values, headers, columns)))


def with_values(header: ColumnHeader, stored: Values | StoredValues) -> Column:
    """Return a column with this header."""
    return Column(header.device, header.attribute, header.data_type, header.labels, stored)


def ascending(moments: Sequence[object], position: Position) -> list[int]:
    """Return timestamps after checking that they are strictly ascending and within the range of datetime.

    Raises:
        ValueError: A timestamp is not.
    """
    if None in moments:
        raise ValueError("the timestamp is empty")
    seconds = cast("list[int]", moments)
    if not seconds:
        return seconds
    if position.after is not None and seconds[0] <= position.after:
        raise ValueError(f"not later than the row before it ({position.after})")
    if not all(map(operator.lt, seconds, islice(seconds, 1, None))):
        raise ValueError("not ascending")
    if seconds[0] < _FIRST_MOMENT or seconds[-1] > _LAST_MOMENT:
        raise ValueError("outside the years 1 to 9999")
    return seconds


def has_lone_carriage_return(block: bytes) -> bool:
    """Whether there is a carriage return that does not end a line."""
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def check_quotes(block: bytes) -> None:
    """Reject quotes that do not enclose a whole cell, and unquoted carriage returns that do not end a line.

    csv.reader and pyarrow accept them in different ways, and the block may then have been split inside a cell.

    Raises:
        MalformedBlockError: The block contains one.
    """
    parts = block.split(b'"')
    # The text outside quotes, with one quote for each quoted cell. A doubled quote leaves nothing in between.
    outside = b'"'.join(parts[::2]).translate(_OUTSIDE)
    if (
        len(parts) % 2 == 0
        or b'x"' in outside
        or b'"x' in outside
        or b'\r"' in outside
        or has_lone_carriage_return(outside)
    ):
        raise MalformedBlockError


def records(block: bytes) -> list[list[str]]:
    """Split a block into records of cells, without blank lines.

    Raises:
        MalformedBlockError, ValueError, csv.Error: The block is malformed.
    """
    check_quotes(block)
    # Only "\n" ends a line: all other line endings are quoted and belong to a cell.
    lines = io.StringIO(block.decode(), newline="\n")
    found = list(csv.reader(lines, strict=True))
    return found if all(found) else list(filter(None, found))


def _split_quoted(block: bytes, width: int) -> Cells:
    """Split a block with quotes into columns of cells."""
    rows = records(block)
    if not set(map(len, rows)) <= {width}:
        raise MalformedBlockError
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _split(block: bytes, width: int) -> Cells:
    """Split a block without quotes into columns of cells."""
    if b"\r" in block:
        if has_lone_carriage_return(block):
            raise MalformedBlockError
        block = block.replace(b"\r\n", b"\n")
    text = block.decode().removesuffix("\n")
    lines = text.split("\n")
    if not all(lines):
        lines = list(filter(None, lines))
        text = "\n".join(lines)
    if not set(map(str.count, lines, repeat(","))) <= {width - 1}:
        raise MalformedBlockError
    # All cells in one list, sliced by stride: without an object per row it is a third faster than csv.reader.
    flat = text.replace("\n", ",").split(",") if lines else []
    return [flat[column::width] for column in range(width)]


def defect(block: bytes, headers: Sequence[ColumnHeader], position: Position) -> TimeseriesFormatError:
    """Return the first error in a malformed block, with its row and column."""
    row, after = position.row, position.after
    for cells, flaw in _raw_records(block):
        if flaw:
            return TimeseriesFormatError(flaw, row=row, column=len(cells))
        if len(cells) != len(headers) + 1:
            return TimeseriesFormatError(f"{len(cells)} cells, but {len(headers) + 1} columns", row=row)
        for column, raw in enumerate(cells):
            data_type = headers[column - 1].data_type if column else DataType.INTEGER
            try:
                (value,) = converter(data_type)([_text(raw)])
                if column == 0:
                    (after,) = ascending([value], Position(row, after))
            except ValueError as error:
                shown = raw[:40].decode("utf-8", "replace")
                what = data_type if column else "timestamp"
                return TimeseriesFormatError(f"not a valid {what}: {shown!r} ({error})", row=row, column=column)
        row += 1
    return TimeseriesFormatError("malformed", row=position.row)


def _text(raw: bytes) -> str:
    """Return the text of a cell."""
    text = raw.decode()
    if not text.startswith('"'):
        return text
    if len(text) - 2 > (limit := csv.field_size_limit()):
        raise ValueError(f"longer than {limit} characters")
    return text[1:-1].replace('""', '"')


def _raw_records(block: bytes) -> Iterator[tuple[list[bytes], str]]:
    """Yield records that are not blank, as cells with their quotes, up to the first syntax error."""
    cells: list[bytes] = []
    offset = 0
    while offset < len(block):
        match = _CELL.match(block, offset)
        if match is None:
            if flaw := _flaw(block, offset):
                yield cells, flaw
            return
        cells.append(match[1])
        offset = match.end()
        if match[2] != b",":
            if cells != [b""]:
                yield cells, ""
            cells = []


def _flaw(block: bytes, offset: int) -> str:
    """Return why no cell begins at an offset, or an empty string if the block ends there."""
    cell = (_QUOTED if block.startswith(b'"', offset) else _UNQUOTED).match(block, offset)
    if cell is None:
        return "a quote that is never closed"
    return "" if cell.end() == len(block) else "a quote or a carriage return in the middle of a cell"
