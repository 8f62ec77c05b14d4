"""Rows that come by column are stored as if they came one by one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from enapter_async.collector import SqliteStore
from enapter_async.rows import Row
from enapter_async.rows.batches import RowBlock
from tests.collector.platform import SECOND, read_rows

pytestmark = pytest.mark.anyio

START = 1_773_480_000 * SECOND


def block(width: int, height: int) -> RowBlock:
    """Make a block in which every seventh cell has no row."""
    return RowBlock(
        [START + row * SECOND for row in range(height)],
        [(f"d{column // 3}", f"a{column}", "W" if column % 2 else None) for column in range(width)],
        [[None if (row + column) % 7 == 0 else row + column / 8 for row in range(height)] for column in range(width)],
        [("d0", "mode", START, None, "auto", None)],
    )


@pytest.mark.parametrize(("width", "height"), [(0, 3), (1, 1_234), (3, 400), (100, 23), (700, 3), (9_000, 1)])
async def test_a_block_is_stored_as_its_rows_are(database: Path, width: int, height: int) -> None:
    rows = block(width, height)
    kept: Row = ("d0", "a0", START + SECOND, -1.0, None, None)
    async with SqliteStore(database) as store:
        assert await store.write([kept]) == 1
        new = await store.write(rows)
        assert await store.write(rows) == 0
    expected = {row[:3]: row for row in [*rows, kept]}
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert new == len(expected) - 1


async def test_a_build_of_sqlite_with_few_places_stores_them_all_the_same(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FewPlaces(sqlite3.Connection):
        def getlimit(self, category: int, /) -> int:
            assert category == sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
            return 999

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=FewPlaces, **options))
    async with SqliteStore(database) as store:
        for width, height in ((240, 2), (260, 3), (5, 500)):
            rows = block(width, height)
            await store.write(rows)
            assert {row[:3] for row in rows} <= {row[:3] for row in read_rows(database)}
