"""Rows on their way to a store: once each, all or nothing, and never dropped in silence."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import anyio
import pytest

from enapter_async import StorageError
from enapter_async.collector import CollectorEvent, Gap, ProblemBegan, ProblemEnded, SqliteStore
from enapter_async.collector._problems import Problems
from enapter_async.collector._writer import Writer
from enapter_async.collector.stores import sqlite
from enapter_async.rows import Row
from tests.collector.platform import SECOND, START, make_rows, read_journal, read_rows

pytestmark = pytest.mark.anyio


def ignore(_: CollectorEvent) -> None: ...


class Full(SqliteStore):
    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        raise StorageError("t.sqlite", "the disk is full")


async def test_what_is_there_already_is_counted_and_not_written_again(database: Path) -> None:
    async with SqliteStore(database) as store:
        assert await store.write(make_rows(0, 10)) == 10
        assert await store.write(make_rows(5, 10)) == 5
    assert read_rows(database) == make_rows(0, 15)


async def test_the_first_value_of_a_time_stays(database: Path) -> None:
    async with SqliteStore(database) as store:
        await store.write([("d1", "power", START * SECOND, 1.0, None, "W")])
        await store.write([("d1", "power", START * SECOND, 2.0, None, "W")])
    assert read_rows(database) == [("d1", "power", START * SECOND, 1.0, None, "W")]


async def test_rows_and_gaps_are_written_as_a_whole_or_not_at_all(database: Path) -> None:
    gap = Gap(device_id="d1", start=START * SECOND, before=(START + 5) * SECOND, reason="test")
    async with SqliteStore(database) as store:
        await store.commit(make_rows(0, 3), note=[gap])
        bad: list[Row] = [*make_rows(3, 3), ("d1", "power", START, object(), None, None)]  # type: ignore[list-item]
        (noted,) = await store.read_gaps()
        assert noted.id is not None
        with pytest.raises(StorageError, match="cannot be written"):
            await store.commit(bad, note=[gap], replace={noted.id: []})
        assert await store.read_gaps() == [noted]
    assert read_rows(database) == make_rows(0, 3)


async def test_another_reader_sees_committed_rows_while_we_write(database: Path) -> None:
    async with SqliteStore(database) as store:
        await store.write(make_rows(0, 3))
        assert len(read_rows(database)) == 3
        await store.write(make_rows(3, 3))
        assert len(read_rows(database)) == 6


class Slow(SqliteStore):
    """A store that writes when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_write = anyio.Event()
        self.batches: list[int] = []

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        await self.may_write.wait()
        self.batches.append(len(rows))
        return await super().commit(rows, note=note, replace=replace)


async def test_everything_is_written_in_few_batches(database: Path) -> None:
    async with Slow(database) as store:
        writer = Writer(store, Problems(ignore))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            for number in range(50):
                await writer.put(make_rows(number * 10, 10))
                await anyio.sleep(0)
            assert writer.written == 0
            store.may_write.set()
            writer.close()
        assert len(store.batches) <= 2
    assert len(read_rows(database)) == writer.written == 500


async def test_a_store_that_cannot_keep_up_holds_up_whoever_collects(database: Path) -> None:
    async with Slow(database) as store:
        writer = Writer(store, Problems(ignore), most_waiting=20)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 10))
            await anyio.sleep(0.01)
            await writer.put(make_rows(10, 20))
            with anyio.move_on_after(0.05) as waited:
                await writer.put(make_rows(30, 10))
            assert waited.cancelled_caught
            assert (writer.stalls, writer.waiting) == (1, 30)  # a `put` that is cancelled keeps its rows
            store.may_write.set()
            await writer.put(make_rows(40, 10))
            writer.close()
    assert len(read_rows(database)) == 50


async def test_a_cancelled_writer_writes_what_it_has(database: Path) -> None:
    async with SqliteStore(database) as store:
        writer = Writer(store, Problems(ignore))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 10))
            await anyio.sleep(0.05)
            await writer.put(make_rows(10, 10))
            tasks.cancel_scope.cancel()
    assert len(read_rows(database)) == 20


async def test_a_store_that_fails_is_told_to_whoever_collects(database: Path) -> None:
    async with Full(database) as store:
        writer = Writer(store, Problems(ignore))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 10))
            await anyio.sleep(0.05)
            with pytest.raises(StorageError, match="the disk is full"):
                await writer.put(make_rows(10, 10))


async def test_a_database_that_is_locked_is_waited_for_and_told_once(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.01)
    monkeypatch.setattr("enapter_async.collector._writer.FIRST_PAUSE", 0.02)
    events: list[CollectorEvent] = []
    async with SqliteStore(database) as store:
        writer = Writer(store, Problems(events.append))
        with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            timer = threading.Timer(0.15, other.execute, ["COMMIT"])
            timer.start()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(writer.run)
                await writer.put(make_rows(0, 3), [Gap(device_id=None, start=0, before=SECOND, reason="test")])
                while not writer.written:
                    await anyio.sleep(0.01)
                writer.close()
            timer.join()
    assert read_rows(database) == make_rows(0, 3)
    assert len(read_journal(database)) == 1
    assert [type(event) for event in events] == [ProblemBegan, ProblemEnded]
    assert "locked" in str(events[0])


async def test_a_store_that_stays_away_at_the_end_is_an_error(database: Path) -> None:
    class Away(SqliteStore):
        async def commit(
            self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
        ) -> int:
            raise StorageError("t.sqlite", "is away", temporary=True)

    async with Away(database) as store:
        writer = Writer(store, Problems(ignore), grace=0.05)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 10))
            await anyio.sleep(0.01)
            writer.close()
    assert isinstance(writer.failure, StorageError)


async def test_flush_waits_for_what_was_queued_before_it(database: Path) -> None:
    flushed = anyio.Event()

    async with Slow(database) as store:
        writer = Writer(store, Problems(ignore))

        async def flush() -> None:
            await writer.flush()
            assert read_rows(database) == make_rows(0, 6)
            flushed.set()

        writer.note([])
        await writer.flush()  # nothing is waiting
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 3))
            await anyio.sleep(0.01)
            await writer.put(make_rows(3, 3))
            tasks.start_soon(flush)
            await anyio.sleep(0.01)
            assert not flushed.is_set()
            store.may_write.set()
            with anyio.fail_after(10):
                await flushed.wait()
            writer.close()


async def test_flush_ends_when_writing_has_failed(database: Path) -> None:
    async with Full(database) as store:
        writer = Writer(store, Problems(ignore))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 3))
            with anyio.fail_after(10):
                await writer.flush()
    assert isinstance(writer.failure, StorageError)


async def test_a_gap_is_noted_once_however_often_its_rows_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Notes:
        """A store that notes gaps at once, and takes rows at the third attempt."""

        def __init__(self) -> None:
            self.noted: list[Gap] = []
            self.attempts = 0

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
            return {}

        async def note_gaps(self, gaps: Sequence[Gap]) -> None:
            self.noted += gaps

        async def write(self, rows: Sequence[Row]) -> int:
            self.attempts += 1
            if self.attempts < 3:
                raise StorageError("t.csv", "the disk is full", temporary=True)
            return len(rows)

    monkeypatch.setattr("enapter_async.collector._writer.FIRST_PAUSE", 0.01)
    gap = Gap(device_id="d1", start=0, before=SECOND, reason="test")
    told: list[Gap] = []
    async with Notes() as store:
        writer = Writer(store, Problems(ignore), noted=told.extend)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 3), [gap])
            await writer.flush()
            writer.close()
    assert (writer.written, store.attempts) == (3, 3)
    assert store.noted == told == [gap]
