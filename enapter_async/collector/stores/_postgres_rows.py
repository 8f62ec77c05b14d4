"""Rows of a PostgreSQL store: conversion, insertion, and the search for those that the server rejects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, Protocol

from enapter_async.collector._times import DAY, read_clock, to_datetime
from enapter_async.collector.gaps import Gap
from enapter_async.collector.stores._postgres_tables import INCOMING, Connection
from enapter_async.rows import COLUMNS, Row
from enapter_async.rows.row import clean_text

_NAMES: Final = 1 << 16
_MOST_REFUSED: Final = 100
"""Rejected rows to find at a time."""
_SAMPLES: Final = 32
_DATA_CLASSES: Final = ("22", "23", "54", "P0")
"""Classes of SQLSTATE that may concern single rows: values, constraints, limits such as that of an index entry, and
errors raised by triggers."""
_CONSTRAINTS: Final = ("23", "P0")
"""Those of them that may reject every row, if the table is unsuitable."""
_CHECK_VIOLATION: Final = "23514"


class RowConnection(Connection, Protocol):
    """The methods of an asyncpg connection that write rows."""

    async def copy_records_to_table(
        self, table_name: str, *, records: Iterable[Sequence[object]], columns: Sequence[str], schema_name: str
    ) -> str: ...


async def insert_rows(connection: RowConnection, table: str, rows: Sequence[Row]) -> int:
    """Insert rows in the current transaction. Return the number of new ones.

    Args:
        connection: Connection with the temporary table, which is empty.
        table: Quoted name of the table.
        rows: The rows.
    """
    await connection.copy_records_to_table(INCOMING, schema_name="pg_temp", columns=COLUMNS, records=_to_records(rows))
    done = await connection.execute(
        f"INSERT INTO {table} (device_id, attribute, time, value, text, unit)"  # noqa: S608
        f" SELECT device_id, attribute, time, value, text, unit FROM pg_temp.{INCOMING}"
        # Rows that violate another key must not vanish silently.
        " ON CONFLICT (device_id, attribute, time) DO NOTHING"
    )
    return int(done.rpartition(" ")[2])


def concerns_rows(error: Exception) -> bool:
    """Whether the server rejects some or all rows, so that the others may be stored."""
    return isinstance(error, OverflowError) or read_state(error).startswith(_DATA_CLASSES)


def lacks_partition(error: Exception) -> bool:
    """Whether a partitioned table has no partition for a row."""
    return read_state(error) == _CHECK_VIOLATION and getattr(error, "constraint_name", None) is None


def read_state(error: Exception) -> str:
    """Return the SQLSTATE of an error, or an empty string."""
    return str(getattr(error, "sqlstate", None) or "")


async def find_refused(connection: RowConnection, table: str, rows: Sequence[Row]) -> dict[int, Exception]:
    """Return which rows the server rejects, by position. Nothing is changed.

    At most 100 rows are found at a time. The search halves the rows, and takes up to some 30 attempts for each.

    Raises:
        Exception: The error of the server if the table rejects all rows, or has no partition for the current time.
    """
    refused: dict[int, Exception] = {}
    try:
        async with connection.transaction():
            await _require_some_accepted(connection, table, rows)
            left = [(0, len(rows))]
            while left and len(refused) < _MOST_REFUSED:
                start, end = left.pop()
                error = await _try_to_insert(connection, table, rows[start:end])
                if error is None:
                    continue
                if end - start > 1:
                    middle = (start + end) // 2
                    left += [(middle, end), (start, middle)]
                    continue
                if lacks_partition(error) and abs(rows[start][2] - read_clock()) < DAY:
                    raise error  # somebody has to create it: the rows can wait
                refused[start] = error
            raise _UndoError
    except _UndoError:
        return refused


async def _require_some_accepted(connection: RowConnection, table: str, rows: Sequence[Row]) -> None:
    """Raise the error of the server if an unsuitable table rejects all of some rows."""
    error: Exception | None = None
    for row in rows[:: max(1, len(rows) // _SAMPLES)]:
        error = await _try_to_insert(connection, table, [row])
        if error is None or not read_state(error).startswith(_CONSTRAINTS):
            return
    if error is not None:
        raise error


async def _try_to_insert(connection: RowConnection, table: str, rows: Sequence[Row]) -> Exception | None:
    """Insert rows, or return why the server rejects them.

    Accepted rows stay until the end of the transaction, since a row may also be rejected because of another one.
    """
    try:
        async with connection.transaction():
            await insert_rows(connection, table, rows)
            await connection.execute(f"DELETE FROM pg_temp.{INCOMING}")  # noqa: S608
    except Exception as error:
        if not concerns_rows(error):
            raise
        return error
    return None


class _UndoError(Exception):
    """Rolls back a transaction."""


def _to_records(rows: Sequence[Row]) -> Iterator[tuple[str, str, datetime, float | None, str | None, str | None]]:
    convert, clean = to_time, clean_name
    for device, attribute, moment, value, text, unit in rows:
        yield (
            clean(device),
            clean(attribute),
            convert(moment),
            value,
            None if text is None else without_nul(text),
            None if unit is None else clean(unit),
        )


def without_nul(text: str) -> str:
    """Return text without NUL, the only character that PostgreSQL cannot store."""
    return clean_text(text).replace("\0", "\ufffd")


clean_name: Final = lru_cache(maxsize=_NAMES)(without_nul)
"""`without_nul` for names, which repeat."""


def to_gap_record(gap: Gap) -> tuple[str | None, datetime, datetime, str]:
    """Return the columns of a gap: device_id, start, before and reason."""
    device = None if gap.device_id is None else clean_name(gap.device_id)
    return device, to_time(gap.start), to_time(gap.before), without_nul(gap.reason)


to_time: Final = lru_cache(maxsize=4_096)(to_datetime)
"""`to_datetime` for times of rows, which repeat."""
