"""Datapoints on their way to the disk: once each, all or nothing, and never dropped in silence."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from commands import rows

from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.store import Row, SqliteStore
from enapter_async.cli.writer import Writer

pytestmark = pytest.mark.anyio


def made(first: int, count: int) -> list[Row]:
    return [
        ("d1", "power", f"2026-03-14T09:{n // 60:02}:{n % 60:02}Z", float(n), "W") for n in range(first, first + count)
    ]


def test_what_is_there_already_is_counted_and_not_written_again(database: Path) -> None:
    store = SqliteStore(database)
    assert store.write(made(0, 10)) == 0
    assert store.write(made(5, 10)) == 5
    store.close()
    assert store.written == len(rows(database)) == 15


def test_the_first_value_of_a_time_stays(database: Path) -> None:
    store = SqliteStore(database)
    store.write([("d1", "power", "2026-03-14T09:00:00Z", 1.0, "W")])
    store.write([("d1", "power", "2026-03-14T09:00:00Z", 2.0, "W")])
    store.close()
    assert rows(database) == [("d1", "power", "2026-03-14T09:00:00Z", 1.0, "W")]


def test_a_batch_is_written_as_a_whole_or_not_at_all(database: Path) -> None:
    store = SqliteStore(database)
    store.write(made(0, 3))
    bad: list[Row] = [*made(3, 3), ("d1", "power", None, 1.0, None)]  # type: ignore[list-item]
    bad.append(("d1", "power", [], 1.0, None))  # type: ignore[arg-type]
    with pytest.raises(Failure, match="cannot be written"):
        store.write(bad)
    store.close()
    assert rows(database) == made(0, 3)


def test_another_reader_sees_committed_rows_while_we_write(database: Path) -> None:
    store = SqliteStore(database)
    store.write(made(0, 3))
    assert len(rows(database)) == 3
    store.write(made(3, 3))
    assert len(rows(database)) == 6
    store.close()


class Slow(SqliteStore):
    """A store that writes when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_write = threading.Event()
        self.batches: list[int] = []

    def write(self, rows: Sequence[Row]) -> int:
        assert self.may_write.wait(10)
        self.batches.append(len(rows))
        return super().write(rows)


async def test_everything_is_written_in_few_batches_and_the_loop_never_waits(database: Path) -> None:
    store = Slow(database)
    writer = Writer(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for number in range(50):
            await writer.put(made(number * 10, 10))
            await anyio.sleep(0)
        assert store.written == 0
        store.may_write.set()
        writer.close()
    store.close()
    assert len(rows(database)) == writer.written == 500
    assert len(store.batches) <= 2


async def test_a_store_that_cannot_keep_up_holds_up_whoever_collects(database: Path) -> None:
    store = Slow(database)
    writer = Writer(store, most_waiting=20)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        await writer.put(made(0, 10))
        await anyio.sleep(0.01)
        await writer.put(made(10, 20))
        with anyio.move_on_after(0.05) as waited:
            await writer.put(made(30, 10))
        assert waited.cancelled_caught
        assert (writer.stalls, writer.waiting) == (1, 20)
        store.may_write.set()
        await writer.put(made(30, 10))
        writer.close()
    store.close()
    assert len(rows(database)) == 40


async def test_a_cancelled_writer_writes_what_it_has(database: Path) -> None:
    store = SqliteStore(database)
    writer = Writer(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        await writer.put(made(0, 10))
        await anyio.sleep(0.05)
        await writer.put(made(10, 10))
        tasks.cancel_scope.cancel()
    store.close()
    assert len(rows(database)) == 20


async def test_a_store_that_fails_is_told_to_whoever_collects(database: Path) -> None:
    class Full(SqliteStore):
        def write(self, rows: Sequence[Row]) -> int:
            raise Failure("the disk is full", Exit.STORAGE)

    store = Full(database)
    writer = Writer(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        await writer.put(made(0, 10))
        await anyio.sleep(0.05)
        with pytest.raises(Failure, match="the disk is full"):
            await writer.put(made(10, 10))
    store.close()


def test_a_database_that_is_locked_by_another_program_is_waited_for(database: Path) -> None:
    store = SqliteStore(database)
    other = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.1, other.execute, ["COMMIT"]).start()
    assert store.write(made(0, 3)) == 0
    store.close()
    other.close()
