"""Stores whose disk is full, whose file is taken away, or whose place cannot be used."""

from __future__ import annotations

import errno
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Literal

import anyio
import pytest

from enapter_async import StorageError
from enapter_async.collector import CollectorEvent, Gap, ProblemBegan, ProblemEnded, SqliteStore
from enapter_async.collector import _writer as writer_module
from enapter_async.collector._problems import Problems
from enapter_async.collector._writer import Writer
from enapter_async.collector.stores._events import StoreEvents
from enapter_async.collector.stores._gap_file import append_gaps, gap_file
from enapter_async.collector.stores.lines import LineFile, LineStore
from enapter_async.collector.stores.parquet import ParquetFolder, ParquetStore
from enapter_async.rows import CSV, Row
from tests.collector.platform import SECOND, START, make_rows, read_journal, read_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

DAY = 86_400


class SmallSqlite(SqliteStore):
    """A database that may not grow beyond a number of pages."""

    def limit(self, pages: int) -> None:
        assert self._open is not None
        self._open._connection.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_full_disk_is_waited_for_and_told_once(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(writer_module, "next_pause", lambda pause: pause)
    events: list[CollectorEvent] = []
    gap = Gap(device_id="d1", start=START * SECOND, before=(START + 5) * SECOND, reason="test")
    async with SmallSqlite(database) as store:
        store.limit(1)
        writer = Writer(store, Problems(events.append))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await writer.put(make_rows(0, 5_000), [gap])
            await wait_until(lambda: events)
            await writer.put(make_rows(5_000, 10))
            await anyio.sleep(0.1)
            store.limit(1_000_000)
            writer.close()
    assert [type(event) for event in events] == [ProblemBegan, ProblemEnded]
    assert "full" in str(events[0])
    assert writer.failure is None
    assert read_rows(database) == make_rows(0, 5_010)
    assert len(read_journal(database)) == 1


class Full:
    """A file on a full disk."""

    def __init__(self, file: object) -> None:
        self._file = file

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


async def test_a_text_file_on_a_full_disk_may_be_tried_again(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "t.csv", CSV)
    file.write(make_rows(0, 3))
    real = file._file
    file._file = Full(real)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="No space left on device") as failed:
        file.write(make_rows(3, 3))
    assert failed.value.temporary
    file._file = real
    file.write(make_rows(3, 3))
    file.close()
    assert (tmp_path / "t.csv").read_bytes() == CSV.header + CSV.encode(make_rows(0, 6))


async def test_rows_of_two_days_on_a_full_disk_are_there_once_in_the_end(tmp_path: Path) -> None:
    storage = ParquetFolder(tmp_path / "p")
    storage.write([*make_rows(0, 1), *make_rows(DAY, 1)])
    second = storage._days["2026-03-15"].lines
    real = second._file
    second._file = Full(real)  # type: ignore[assignment]
    both = [*make_rows(1, 3), *make_rows(DAY + 1, 3)]
    with pytest.raises(StorageError) as failed:
        storage.write(both)
    assert failed.value.temporary
    second._file = real
    storage.write(both)
    assert [day.lines.path.read_bytes().count(b"\n") for day in storage._days.values()] == [5, 5]
    storage.close()


async def test_a_conversion_that_finds_the_disk_full_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []
    now = 0.0

    def fill(*_: object) -> None:
        attempts.append(now)
        raise OSError(errno.ENOSPC, "No space left on device")

    events = StoreEvents()
    storage = ParquetFolder(tmp_path / "p", most_bytes=1, clock=lambda: now, events=events)
    with monkeypatch.context() as patch:
        patch.setattr("enapter_async.collector.stores.parquet._convert", fill)
        for second in range(100):
            now = float(second)
            assert storage.write(make_rows(3 * second, 3)) == 3
    assert attempts == [0, 1, 2, 4, 8, 16, 32, 62, 92]  # pauses of 0.5 to 30 s
    (began,) = events.take()
    assert str(began).startswith(f"parquet: {tmp_path / 'p'}")
    assert "No space left on device; trying again" in str(began)
    now = 130.0
    storage.write(make_rows(300, 3))
    (path,) = (tmp_path / "p").glob("2026*.parquet")
    assert storage._days == {}
    assert [str(event) for event in events.take()] == ["parquet: works again; failed 9 times in 130 s"]
    storage.close()
    pq = pytest.importorskip("pyarrow.parquet")
    assert pq.read_table(path).num_rows == 303


async def test_a_folder_that_cannot_be_completed_on_a_full_disk_takes_rows_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with ParquetStore(tmp_path / "p") as store:
        await store.write(make_rows(0, 3))
        with monkeypatch.context() as patch:
            patch.setattr("enapter_async.collector.stores.parquet._convert", fill)
            with pytest.raises(StorageError, match="No space left") as failed:
                await store.reopen()
            assert failed.value.temporary
        await store.write(make_rows(3, 3))
    (path,) = (tmp_path / "p").glob("*.parquet")
    pq = pytest.importorskip("pyarrow.parquet")
    assert pq.read_table(path).num_rows == 6


async def test_a_folder_that_cannot_be_reopened_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "p"
    async with ParquetStore(path) as store:
        await store.write(make_rows(0, 3))
        path.rename(tmp_path / "moved")
        path.write_text("")
        for _ in range(2):
            with pytest.raises(StorageError, match="cannot be opened as a folder"):
                await store.write(make_rows(3, 3))
        path.unlink()
        assert await store.write(make_rows(3, 3)) == 3


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_a_file_that_cannot_be_reopened_stays_open(tmp_path: Path, form: Literal["csv", "jsonl"]) -> None:
    path, moved = tmp_path / "t", tmp_path / "t.1"
    async with LineStore(path, form) as store:
        await store.write(make_rows(0, 3))
        path.rename(moved)
        path.mkdir()
        with pytest.raises(StorageError, match="is a folder; choose a file in it"):
            await store.reopen()
        path.rmdir()
        moved.rename(path)
        await store.write(make_rows(3, 3))
        await store.reopen()
        await store.write(make_rows(6, 1))
    assert path.read_text().count("d1") == 7


async def test_a_database_that_cannot_be_reopened_is_tried_again(database: Path) -> None:
    moved = database.with_name("moved")
    async with SqliteStore(database) as store:
        await store.write(make_rows(0, 3))
        database.rename(moved)
        database.mkdir()
        for _ in range(2):
            with pytest.raises(StorageError, match="is a folder; choose a file in it"):
                await store.write(make_rows(3, 3))
        database.rmdir()
        await store.write(make_rows(3, 3))
    assert read_rows(database) == make_rows(3, 3)


@pytest.mark.parametrize("replaced", [False, True], ids=["renamed", "replaced"])
async def test_a_database_that_is_moved_away_keeps_its_rows(database: Path, replaced: bool) -> None:
    moved = database.with_name("moved")
    async with SqliteStore(database) as store:
        await store.write(make_rows(0, 3))
        database.rename(moved)
        if replaced:
            sqlite3.connect(database).close()
        await store.write(make_rows(3, 3))
    assert read_rows(moved) == make_rows(0, 3)
    assert read_rows(database) == make_rows(3, 3)


@pytest.mark.parametrize("make", [SqliteStore, lambda path: LineStore(path, "csv")])
async def test_a_place_that_cannot_be_used_says_why(
    tmp_path: Path, make: type[SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_at(path: Path) -> str:
        with pytest.raises(StorageError) as failed:
            async with make(path):
                pass
        assert not failed.value.temporary
        return str(failed.value)

    assert f"there is no folder {tmp_path / 'none'}; create it first" in await open_at(tmp_path / "none" / "t")
    (tmp_path / "folder").mkdir()
    assert "is a folder; choose a file in it" in await open_at(tmp_path / "folder")


@pytest.mark.parametrize("text", ["", "yesterday", b"\xff", 5, "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z"])
@pytest.mark.anyio
async def test_a_time_that_somebody_wrote_wrongly_costs_itself_only(database: Path, text: object) -> None:
    row: Row = ("d1", "power", 1_773_480_000_000_000, 1.0, None, None)
    async with SqliteStore(database) as store:
        await store.write([row])
        await store.mark({"d3": row[2]})
    with closing(sqlite3.connect(database)) as connection, connection:
        for time in (text, "2026-03-14T09:19:59 o'clock"):
            connection.execute("INSERT INTO telemetry VALUES ('d2', 'power', ?, 1, NULL, NULL)", (time,))
        connection.execute("INSERT INTO telemetry_devices VALUES ('d4', ?)", (text,))
        connection.execute(
            "INSERT INTO telemetry_gaps (device_id, start, before, reason)"
            " VALUES ('d1', '2026-03-14 09:10:00', '2026-03-14T09:20:00', 'by hand')"
        )
    async with SqliteStore(database) as store:
        assert await store.read_newest(None, 2 * row[2]) == {"d1": row[2], "d3": row[2]}
        assert await store.read_keys(["d1", "d2"], 0, 2 * row[2]) == {row[:3]}
        assert [gap.seconds for gap in await store.read_gaps()] == [600]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit for the size of a file")
def test_a_gap_file_on_a_full_disk_keeps_whole_lines(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "telemetry.csv"
    gap = Gap(device_id="d1", start=START * SECOND, before=(START + 1) * SECOND, reason="test")
    append_gaps(path, [gap])
    target = gap_file(path)
    whole = target.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
    try:
        with pytest.raises(StorageError):
            append_gaps(path, [gap])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert target.read_bytes() == whole
    target.write_bytes(whole + whole[:20])  # as after a kill
    append_gaps(path, [gap])
    assert target.read_bytes() == whole + whole[:20] + b"\n" + whole
