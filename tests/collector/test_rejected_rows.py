"""Rows that a store rejects cost themselves only: they are left out, counted and named once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from enapter_async import EnapterClient
from enapter_async.collector import (
    Collector,
    CollectorEvent,
    Gap,
    RowsRefusedError,
    Skipped,
    SqliteStore,
    repair_gaps,
)
from enapter_async.rows import Row
from enapter_async.simulator import Simulator
from tests.collector.platform import SECOND, read_journal, read_rows

pytestmark = pytest.mark.anyio

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""


class Picky(SqliteStore):
    """A store that rejects one attribute, as a database with constraints does."""

    refused: str

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        bad = {position: "too long" for position, row in enumerate(rows) if row[1] == self.refused}
        if bad:
            raise RowsRefusedError(self.path, bad)
        return await super().commit(rows, note=note, replace=replace)


async def choose_attribute(client: EnapterClient) -> str:
    async for device in client.devices.list(expand=["manifest"]):
        if device.manifest is not None and device.manifest.telemetry:
            return next(name for name, one in device.manifest.telemetry.items() if one.unit)
    raise AssertionError


@asynccontextmanager
async def picky_store(database: Path) -> AsyncIterator[tuple[EnapterClient, Picky]]:
    """A client of a simulator with one device, and a store that rejects one of its attributes."""
    async with (
        Simulator(devices=1) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        Picky(database) as store,
    ):
        store.refused = await choose_attribute(client)
        yield client, store


async def test_collecting_and_repair_leave_out_what_the_store_rejects(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with picky_store(database) as (client, store):
        await store.commit((), note=[Gap(device_id=None, start=START * SECOND, before=(START + 5) * SECOND)])
        collector = Collector(client, store, interval=0.2, on_event=events.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            with anyio.fail_after(30):
                while not (collector.statistics.rows_filled and collector.statistics.rows):
                    await anyio.sleep(0.05)
            collector.stop()
    (skipped,) = [event for event in events if isinstance(event, Skipped)]
    assert skipped.attribute == store.refused
    assert skipped.reason == "the store rejected a value: too long"
    assert collector.statistics.skipped == 1
    assert collector.statistics.duplicate_rows == 0
    assert {row[1] for row in read_rows(database)} not in (set(), {store.refused})


async def test_a_repair_alone_names_it_once(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with picky_store(database) as (client, store):
        gaps = [Gap(device_id=None, start=at * SECOND, before=(at + 5) * SECOND) for at in (START, START + 86_400)]
        await store.commit((), note=gaps)
        assert await repair_gaps(client, store, on_event=events.append) > 0
    assert [event.attribute for event in events if isinstance(event, Skipped)] == [store.refused]
    assert read_journal(database) == []
