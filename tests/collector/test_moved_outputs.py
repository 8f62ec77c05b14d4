"""An output that is moved, deleted, replaced or truncated while collecting: the collector goes on, and says so once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import anyio
import pytest

from enapter_async import EnapterClient
from enapter_async.collector import (
    Collector,
    CollectorEvent,
    OutputReopened,
    ReopenableStore,
    ReportingStore,
    SqliteStore,
    make_store,
)
from enapter_async.collector._output import Output
from enapter_async.collector._problems import Problems
from enapter_async.errors import StorageError
from enapter_async.rows import Row, parse_time
from enapter_async.simulator import Simulator
from tests.collector.platform import START, read_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

CASES = [
    *(
        (name, what)
        for name in ("t.sqlite", "t.csv", "t.jsonl")
        for what in ("moved", "deleted", "replaced", "truncated")
    ),
    *(("t.parquet", what) for what in ("moved", "deleted")),
]
REASONS = {"moved": "moved or deleted", "deleted": "moved or deleted", "replaced": "replaced", "truncated": "truncated"}


def change(path: Path, what: str, name: str) -> None:
    moved = path.with_name(name)
    if what in ("moved", "replaced"):
        path.rename(moved)
    elif what == "deleted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if what in ("replaced", "truncated"):
        path.write_bytes(b"")


def made(second: int) -> list[Row]:
    return made_by("d", second)


def made_by(device: str, second: int) -> list[Row]:
    return [(device, "a", (START + second) * 1_000_000, 1.0, None, None)]


@pytest.mark.parametrize(("name", "what"), CASES)
async def test_a_store_says_it_once(tmp_path: Path, name: str, what: str) -> None:
    path = tmp_path / name
    async with make_store(path) as store:
        await store.write(made(0))
        assert store.take_events() == []
        change(path, what, "first")
        await store.write(made(1))
        await store.write(made(2))
        assert store.take_events() == [OutputReopened(target=str(path), reason=REASONS[what])]
        assert path.exists()
        await store.reopen()  # nothing has changed
        assert store.take_events() == []
        change(path, what, "second")
        await store.reopen()
        assert [str(event) for event in store.take_events()] == [
            str(OutputReopened(target=str(path), reason=REASONS[what]))
        ]


def copy_database(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


@pytest.mark.parametrize("reopened_by", ["write", "reopen"])
async def test_a_database_replaced_by_an_older_copy_records_what_the_copy_lacks(
    tmp_path: Path, reopened_by: str
) -> None:
    path, copy = tmp_path / "t.sqlite", tmp_path / "copy"
    async with SqliteStore(path) as store:
        await store.write([*made(0), *made_by("e", 0)])
        copy_database(path, copy)
        await store.write([*made(60), *made_by("new", 90)])
        copy.replace(path)
        if reopened_by == "reopen":
            await store.reopen()
        await store.write(made(100))
        gaps = await store.read_gaps()
    spans = {gap.device_id: (gap.start // 1_000_000 - START, gap.before // 1_000_000 - START) for gap in gaps}
    assert spans == {"d": (-30, 61), "new": (-30, 91)}
    assert {gap.reason for gap in gaps} == {"the file was replaced"}


async def test_what_an_older_copy_lacks_is_recorded_even_if_the_copy_is_locked_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector.stores.sqlite._BUSY_SECONDS", 0.0)
    path, copy = tmp_path / "t.sqlite", tmp_path / "copy"
    async with SqliteStore(path) as store:
        await store.write(made(0))
        copy_database(path, copy)
        await store.write(made(60))
        with closing(sqlite3.connect(copy, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            copy.replace(path)
            with pytest.raises(StorageError, match="locked"):
                await store.write(made(100))
        await store.write(made(100))
        (gap,) = await store.read_gaps()
    assert gap.before == made(61)[0][2]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
async def test_a_file_replaced_by_an_older_copy_gets_a_list_of_what_the_copy_lacks(tmp_path: Path, name: str) -> None:
    path, copy, gaps = tmp_path / name, tmp_path / "copy", tmp_path / f"{name}.gaps.jsonl"
    async with make_store(path) as store:
        await store.write([*made(0), *made_by("e", 0)])
        shutil.copy(path, copy)
        await store.write([*made(60), *made_by("new", 90)])
        copy.replace(path)
        gaps.mkdir()  # it cannot be written at first
        with pytest.raises(StorageError, match="gaps"):
            await store.write(made(100))
        gaps.rmdir()
        await store.write(made(100))
        await store.write(made(101))
        assert store.take_events() == [OutputReopened(target=str(path), reason="replaced")]
    noted = {gap["device_id"]: gap for gap in map(json.loads, gaps.read_text().splitlines())}
    spans = {device: (parse_time(gap["start"]), parse_time(gap["before"])) for device, gap in noted.items()}
    assert spans == {
        "d": (made(-5)[0][2], made(61)[0][2]),
        "new": (made(-5)[0][2], made(91)[0][2]),
    }
    assert path.read_text().count("09:2") == 4


async def test_a_new_database_at_the_path_has_no_gaps(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    async with SqliteStore(path) as store:
        await store.write(made(0))
        path.rename(tmp_path / "rotated")
        await store.write(made(60))
        assert await store.read_gaps() == []


async def test_a_truncated_database_that_cannot_be_reset_is_a_failure_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _length: int) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = tmp_path / "t.sqlite"
    async with SqliteStore(path) as store:
        await store.write(made(0))
        path.write_bytes(b"")
        monkeypatch.setattr("enapter_async.collector.stores.sqlite.os.truncate", refuse)
        with pytest.raises(StorageError, match="cannot be written: Permission denied"):
            await store.write(made(1))


@pytest.mark.parametrize("name", ["t.sqlite", "t.csv"])
async def test_a_collector_reports_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    events: list[CollectorEvent] = []
    async with (
        Simulator(devices=1) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        make_store(path) as store,
    ):
        collector = Collector(client, store, interval=0.2, on_event=events.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            await wait_until(lambda: collector.statistics.rows)
            path.rename(tmp_path / "moved")
            await wait_until(lambda: any(isinstance(event, OutputReopened) for event in events))
            collector.stop()
    (told,) = (event for event in events if isinstance(event, OutputReopened))
    assert str(told) == f"{path} was moved or deleted; new rows go to a new output at the same path"


async def test_rows_that_an_older_copy_lacks_are_filled(tmp_path: Path) -> None:
    path, copy = tmp_path / "t.sqlite", tmp_path / "copy"
    events: list[CollectorEvent] = []
    async with (
        Simulator(devices=1) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        SqliteStore(path) as store,
    ):
        collector = Collector(client, store, interval=0.2, on_event=events.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            await wait_until(lambda: collector.statistics.rows)
            copy_database(path, copy)
            copied = collector.statistics.rows
            await wait_until(lambda: collector.statistics.rows > copied)
            written = {row[:3] for row in read_rows(path)}
            copy.replace(path)
            await wait_until(lambda: any(isinstance(event, OutputReopened) for event in events))
            await wait_until(lambda: written <= {row[:3] for row in read_rows(path)})
            collector.stop()


class OwnStore:
    """A store with everything that an output can ask for, apart from a journal."""

    def __init__(self) -> None:
        self.events: list[CollectorEvent] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def write(self, rows: Sequence[Row]) -> int:
        return len(rows)

    async def reopen(self) -> None:
        self.events.append(OutputReopened(target="own", reason="replaced"))

    def take_events(self) -> Sequence[CollectorEvent]:
        events, self.events = self.events, []
        return events


async def test_a_store_of_ones_own_is_reopened_and_reports_its_events() -> None:
    store = OwnStore()
    assert isinstance(store, ReopenableStore)
    assert isinstance(store, ReportingStore)
    events: list[CollectorEvent] = []
    output = Output(store, Problems(events.append), events.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.run)
        await output.request_reopening().wait()
        tasks.cancel_scope.cancel()
    assert events == [OutputReopened(target="own", reason="replaced")]


class Faulty(OwnStore):
    async def reopen(self) -> None:
        raise KeyError("of reopen")

    def take_events(self) -> Sequence[CollectorEvent]:
        raise KeyError("of take_events")


async def test_a_mistake_in_the_output_of_an_own_store_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        collector = Collector(client, Faulty(), interval=0.2, on_event=lambda _: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            await wait_until(lambda: collector.statistics.rows)
            with anyio.fail_after(20):
                await collector.reopen().wait()
            rows = collector.statistics.rows
            await wait_until(lambda: collector.statistics.rows > rows)
            collector.stop()
    logged = {record.getMessage() for record in caplog.records if record.levelname == "ERROR"}
    assert logged == {"Faulty.reopen raised", "Faulty.take_events raised"}
