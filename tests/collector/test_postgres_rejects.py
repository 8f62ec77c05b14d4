"""Rows that PostgreSQL rejects cost themselves only."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Sequence

import pytest

from enapter_async import StorageError
from enapter_async.collector import Gap, RowsRefusedError
from enapter_async.collector._writer import write_accepted
from enapter_async.rows import Row
from tests.postgres_server import needs_postgres, query

pytest.importorskip("asyncpg", reason="the extra `postgres` is not installed")
from enapter_async.collector.stores.postgres import PostgresStore

pytestmark = [pytest.mark.anyio, needs_postgres]

NOON = 1_772_000_000_000_000
SECOND = 1_000_000
COLUMNS = "device_id text, attribute text, time timestamptz, value float8, text text, unit text"
KEY = "PRIMARY KEY (device_id, attribute, time)"
LONG = "".join(random.Random(1).choices(string.ascii_letters, k=10_000))


def row(second: int = 0, *, device: str = "d1", attribute: str = "power", time: int = NOON) -> Row:
    return (device, attribute, time + second * SECOND, 1.5, None, "W")


async def write(store: PostgresStore, rows: Sequence[Row]) -> tuple[int, list[tuple[str, str | None]]]:
    """Write as the collector does. Return the number of new rows, and what was left out."""
    skipped: list[tuple[str, str | None]] = []

    def skip(device: str, attribute: str | None, reason: str) -> None:
        assert reason.startswith("the store rejected a value: ")
        skipped.append((device, attribute))

    new, left_out = await write_accepted(store.write, rows, skip)
    assert left_out == len(skipped)
    return new, skipped


async def test_a_name_that_is_too_long_for_the_key_costs_itself_only(postgres_url: str) -> None:
    rows = [row(second, attribute=LONG if second % 400 == 7 else "power") for second in range(1_000)]
    async with PostgresStore(postgres_url) as store:
        assert await write(store, rows) == (997, [("d1", LONG)] * 3)
        assert await write(store, rows) == (0, [("d1", LONG)] * 3)
        assert await write(store, [row(attribute=LONG)]) == (0, [("d1", LONG)])


async def test_nothing_is_written_when_rows_are_rejected(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        gap = Gap(device_id="d1", start=NOON, before=NOON + SECOND, reason="")
        with pytest.raises(RowsRefusedError, match=r": 1 row rejected: index row") as caught:
            await store.commit([row(), row(attribute=LONG)], note=[gap])
        assert list(caught.value.refused) == [1]
        assert not caught.value.temporary
        assert await store.read_gaps() == []
        assert await store.commit([row()], note=[gap]) == 1
        assert len(await store.read_gaps()) == 1


@pytest.mark.parametrize(
    "table",
    [
        f"CREATE TABLE telemetry ({COLUMNS.replace('attribute text', 'attribute varchar(9)')}, {KEY})",
        f"CREATE TABLE telemetry ({COLUMNS}, {KEY}, CHECK (attribute <> 'bad attribute'))",
        f"CREATE TABLE telemetry ({COLUMNS}, {KEY}, UNIQUE (device_id, time))",
    ],
)
async def test_a_constraint_of_the_users_own_costs_what_violates_it(postgres_url: str, table: str) -> None:
    await query(postgres_url, table)
    async with PostgresStore(postgres_url) as store:
        assert await write(store, [row(), row(attribute="bad attribute"), row(1)]) == (2, [("d1", "bad attribute")])


async def test_a_character_that_the_encoding_of_the_database_lacks_costs_its_row(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2] + "_latin1"
    await query(
        postgres_url, f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    async with PostgresStore(postgres_url.rpartition("/")[0] + "/" + name) as store:
        assert await write(store, [row(), ("d1", "price", NOON, None, "3 €", None)]) == (1, [("d1", "price")])


async def test_many_rejected_rows_are_found_in_turns(postgres_url: str) -> None:
    await query(postgres_url, f"CREATE TABLE telemetry ({COLUMNS}, {KEY}, CHECK (device_id <> 'bad'))")
    rows = [row(second, device="bad" if second < 250 else "d1") for second in range(1_000)]
    async with PostgresStore(postgres_url) as store:
        assert await write(store, rows) == (750, [("bad", "power")] * 250)


async def test_a_table_that_takes_no_row_is_unsuitable(postgres_url: str) -> None:
    await query(postgres_url, f"CREATE TABLE telemetry ({COLUMNS}, {KEY}, CHECK (unit <> 'W'))")
    async with PostgresStore(postgres_url) as store:
        with pytest.raises(StorageError, match="violates check constraint") as caught:
            await store.write([row(second) for second in range(100)])
        assert not isinstance(caught.value, RowsRefusedError)
        assert not caught.value.temporary


async def test_a_missing_partition_is_waited_for_if_it_is_that_of_today(postgres_url: str) -> None:
    await query(postgres_url, f"CREATE TABLE telemetry ({COLUMNS}, {KEY}) PARTITION BY RANGE (time)")
    march = "CREATE TABLE march PARTITION OF telemetry FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z')"
    await query(postgres_url, march)
    today = int(time.time() * SECOND)
    rows = [row(), row(time=0), row(1), row(time=today)]
    async with PostgresStore(postgres_url) as store:
        with pytest.raises(StorageError, match='no partition of relation "telemetry" found for row') as caught:
            await write(store, rows)
        assert caught.value.temporary
        start, end = f"to_timestamp({today / 1e6 - 10})", f"to_timestamp({today / 1e6 + 10})"
        (((start, end)),) = await query(postgres_url, f"SELECT {start}::text, {end}::text")
        await query(postgres_url, f"CREATE TABLE today PARTITION OF telemetry FOR VALUES FROM ('{start}') TO ('{end}')")
        assert await write(store, rows) == (3, [("d1", "power")])  # that of 1970, of a device with a wrong clock
