"""What a store has, and what the platform has: the two are compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from enapter_async import EnapterClient, Series, TimeseriesQuery
from enapter_async.rows import Row, make_batch_rows, parse_time

SECOND = 1_000_000
START = 1_773_480_000
"""2026-03-14T09:20:00Z"""
Key = tuple[str, str, int]


def make_rows(first: int, count: int) -> list[Row]:
    """Return rows of one attribute, one a second; the first is so many seconds after `START`."""
    return [("d1", "power", (START + n) * SECOND, float(n), None, "W") for n in range(first, first + count)]


def read_rows(path: Path) -> list[Row]:
    """Read the whole table, in order of device, attribute and time."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT device_id, attribute, time, value, text, unit FROM telemetry ORDER BY device_id, attribute, time"
        )
        return [(device, name, parse_time(time), *rest) for device, name, time, *rest in found]


def read_journal(path: Path) -> list[tuple[str | None, str, str, str]]:
    """Read the journal of gaps."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT device_id, start, before, reason FROM telemetry_gaps ORDER BY start"
        ).fetchall()


async def read_platform(
    client: EnapterClient, units: Mapping[str, Mapping[str, str | None]], first: int, before: int, step: int = 1
) -> dict[Key, Row]:
    """What the server knows of a span of Unix seconds, asked for in the plainest way."""
    found: dict[Key, Row] = {}
    for device, names in units.items():
        table = await client.telemetry.query_timeseries(
            TimeseriesQuery(
                start=datetime.fromtimestamp(first, UTC),
                end=datetime.fromtimestamp(before, UTC),
                granularity=step,
                series=[Series(device, list(names))],
                aggregation="last",
            )
        )
        rows = make_batch_rows(table, units)
        found.update((row[:3], row) for row in rows if first * SECOND <= row[2] < before * SECOND)
    return found
