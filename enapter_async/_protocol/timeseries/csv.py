"""The standard reader of time series: a block of whole records to columns of values.

The fast paths only detect that something is wrong. `defect` then reads the block again, cell by cell, to find the
error. So errors name the same row and column whichever reader detected them.
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

_FIRST_MOMENT: Final = -62_135_596_800  # 0001-01-01T00:00:00Z, the first that a datetime can be
_LAST_MOMENT: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_OUTSIDE: Final = bytes(byte if byte in b',\r\n"' else ord("x") for byte in range(256))
_QUOTED: Final = re.compile(rb'"[^"]*(?:""[^"]*)*"')
_UNQUOTED: Final = re.compile(rb'[^",\r\n]*')
_CELL: Final = re.compile(rb"(%b|%b)(,|\r?\n)" % (_QUOTED.pattern, _UNQUOTED.pattern))


class MalformedBlockError(Exception):
    """Something in a block is wrong; never leaves the reader, `defect` says what it is."""


@attrs.frozen
class Position:
    """Position of a block in the response.

    Attributes:
        row: Number of its first data row, counted from 1.
        after: Unix seconds of the row before it; None when there is none.
    """

    row: int = 1
    after: int | None = None


def read_block(block: bytes, headers: Sequence[ColumnHeader], position: Position) -> TimeseriesBatch:
    """Read a block of whole records.

    Args:
        block: Complete records, each with its line end.
        headers: The columns.
        position: Where the block stands.

    Raises:
        MalformedBlockError: Something is wrong; ask `defect`.
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
    """Return a column of this header."""
    return Column(header.device, header.attribute, header.data_type, header.labels, stored)


def ascending(moments: Sequence[object], position: Position) -> list[int]:
    """Return moments that are strictly ascending integers and can be datetimes.

    Raises:
        ValueError: They are not.
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
    """Whether there is a carriage return that ends no line."""
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def check_quotes(block: bytes) -> None:
    """Refuse quotes that do not enclose a whole cell, and carriage returns outside that end no line.

    csv.reader and pyarrow let them pass, each in its own way; a block may then have been cut in a cell.

    Raises:
        MalformedBlockError: There is one.
    """
    parts = block.split(b'"')
    # What is outside quotes, each quoted cell become one quote; a doubled quote leaves nothing in between.
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
    """Cut a block into records of cells, blank lines left out.

    Raises:
        MalformedBlockError, ValueError, csv.Error: It is malformed.
    """
    check_quotes(block)
    # Lines end with "\n" alone: everything else, in quotes, belongs to the cell.
    lines = io.StringIO(block.decode(), newline="\n")
    found = list(csv.reader(lines, strict=True))
    return found if all(found) else list(filter(None, found))


def _split_quoted(block: bytes, width: int) -> Cells:
    """Cut a block with quotes into columns of cells."""
    rows = records(block)
    if not set(map(len, rows)) <= {width}:
        raise MalformedBlockError
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _split(block: bytes, width: int) -> Cells:
    """Cut a block without quotes into columns of cells."""
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
    # All cells in one list, cut by stride: no object for each row, a third faster than csv.reader.
    flat = text.replace("\n", ",").split(",") if lines else []
    return [flat[column::width] for column in range(width)]


def defect(block: bytes, headers: Sequence[ColumnHeader], position: Position) -> TimeseriesFormatError:
    """Return the first defect of a malformed block, with its row and column."""
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
                return TimeseriesFormatError(f"no {what}: {shown!r} ({error})", row=row, column=column)
        row += 1
    return TimeseriesFormatError("malformed", row=position.row)


def _text(raw: bytes) -> str:
    """Return what a cell says."""
    text = raw.decode()
    if not text.startswith('"'):
        return text
    if len(text) - 2 > (limit := csv.field_size_limit()):
        raise ValueError(f"longer than {limit} characters")
    return text[1:-1].replace('""', '"')


def _raw_records(block: bytes) -> Iterator[tuple[list[bytes], str]]:
    """Yield records that are not blank, as cells with their quotes; a flaw ends them."""
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
    """Return why no cell begins at an offset; empty when the block ends in it."""
    cell = (_QUOTED if block.startswith(b'"', offset) else _UNQUOTED).match(block, offset)
    if cell is None:
        return "a quote that is never closed"
    return "" if cell.end() == len(block) else "a quote or a carriage return in the middle of a cell"
