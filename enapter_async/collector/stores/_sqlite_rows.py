"""Inserting many rows into SQLite: what they have in common is bound once, and statements are few."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Final

from enapter_async.rows import COLUMNS, Row, format_time, parse_time
from enapter_async.rows.batches import RowBlock

_INSERT: Final = "INSERT OR IGNORE INTO telemetry (device_id, attribute, time, value, text, unit)"
_PLACES: Final = "(?,?,?,?,?,?)"
_ROWS_IN_STATEMENT: Final = 500
"""Rows per statement. Each statement releases the GIL and then waits for the event loop, so one per row is slow."""


def insert_rows(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows into the table `telemetry`, within a transaction; rows that are there already are left alone."""
    places = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    if isinstance(rows, RowBlock) and 4 * len(rows.series) + 1 <= places:
        _insert_columns(connection, rows, places)
        rows = rows.others
    size = min(_ROWS_IN_STATEMENT, places // len(COLUMNS))
    whole = len(rows) // size * size
    statement = f"{_INSERT} VALUES " + ",".join([_PLACES] * size)
    for first in range(0, whole, size):
        connection.execute(statement, list(chain.from_iterable(map(_make_record, rows[first : first + size]))))
    connection.executemany(f"{_INSERT} VALUES {_PLACES}", map(_make_record, rows[whole:]))


def _insert_columns(connection: sqlite3.Connection, block: RowBlock, places: int) -> None:
    width = len(block.series)
    if not width:
        return
    names = list(chain.from_iterable(block.series))
    times = list(map(format_time, block.times))
    values = list(chain.from_iterable(zip(*block.numbers, strict=True)))
    height = max(1, min(_ROWS_IN_STATEMENT // width, (places - 3 * width) // (width + 1)))
    whole = len(times) // height * height
    for first in (*range(0, whole, height), *range(whole, len(times))):
        some = times[first : first + (height if first < whole else 1)]
        cells = values[first * width : (first + len(some)) * width]
        connection.execute(_make_column_statement(width, len(some)), names + some + cells)


@lru_cache(maxsize=64)
def _make_column_statement(width: int, height: int) -> str:
    """Return the statement for the numbers of some series at some times, without those that are NULL.

    Its parameters are device, attribute and unit of each series, the times, and the numbers of each time.
    """
    rows = ",".join(
        f"(?{3 * column + 1},?{3 * column + 2},?{3 * width + row + 1},"
        f"?{3 * width + height + row * width + column + 1},NULL,?{3 * column + 3})"
        for row in range(height)
        for column in range(width)
    )
    return f"{_INSERT} SELECT * FROM (VALUES {rows}) WHERE column4 IS NOT NULL"  # noqa: S608 - places only


def _make_record(row: Row) -> tuple[str, str, str, float | None, str | None, str | None]:
    device, attribute, moment, value, text, unit = row
    return device, attribute, format_time(moment), value, text, unit


def read_stored_time(text: object) -> int | None:
    """Return a time in microseconds since 1970, or None if it cannot be read.

    People and other programs write into the file, too. A time without a zone is in UTC, as those of SQLite are.
    """
    if isinstance(text, str):
        for form in (text, f"{text}Z"):
            with suppress(ValueError):
                return parse_time(form)
    return None


def read_stored_times(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """Yield names with their times, without those whose time cannot be read."""
    return ((name, time) for name, text in found if (time := read_stored_time(text)) is not None)


def make_bound(moment: int) -> str:
    """Return a time for comparison, without its final Z, because fractions of a second sort before Z."""
    return format_time(moment)[:-1]
