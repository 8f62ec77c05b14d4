"""A callback that raises is logged, and ends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import anyio
import pytest

from enapter_async import EnapterClient, StorageError
from enapter_async.collector import Collector, CollectorEvent, Gap, SqliteStore, opened_store, repair_gaps
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import SECOND, read_journal, read_rows

pytestmark = pytest.mark.anyio

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""


class Raising:
    """A callback that fails on each event."""

    def __init__(self) -> None:
        self.events: list[CollectorEvent] = []

    def __call__(self, event: CollectorEvent) -> None:
        self.events.append(event)
        raise RuntimeError("the pipe of the callback is closed")


async def test_a_repair_fills_every_gap(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    on_event = Raising()
    async with (
        Simulator(devices=3) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        SqliteStore(database) as store,
    ):
        day = 86_400
        gaps = [Gap(device_id=None, start=at * SECOND, before=(at + 5) * SECOND) for at in (START, START + day)]
        await store.commit([], note=gaps)
        sim.faults.on("queryTimeseries", Fault.answer(422), nth={1})  # the other events are reported, too
        assert await repair_gaps(client, store, on_event=on_event) > 0
    assert read_journal(database) == []
    assert len(on_event.events) >= 2
    assert caplog.text.count("on_event raised") == len(on_event.events)


async def test_a_locked_store_is_waited_for_and_closed(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    on_event = Raising()
    entered = 0

    class Locked(SqliteStore):
        async def __aenter__(self) -> Self:
            nonlocal entered
            entered += 1
            if entered == 1:
                raise StorageError("t.sqlite", "is locked", temporary=True)
            await super().__aenter__()
            return self

    store = Locked(database)
    async with opened_store(store, wait=True, on_event=on_event):
        await store.write([("d", "a", START * SECOND, 1.0, None, None)])
    assert [type(event).__name__ for event in on_event.events] == ["ProblemBegan", "ProblemEnded"]
    assert caplog.text.count("on_event raised") == 2
    with pytest.raises(StorageError, match="is not open"):
        await store.read_gaps()


async def test_a_collector_collects(database: Path) -> None:
    on_event = Raising()
    async with (
        Simulator(devices=2) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        SqliteStore(database) as store,
    ):
        await store.commit([], note=[Gap(device_id=None, start=START * SECOND, before=(START + 5) * SECOND)])
        collector = Collector(client, store, interval=0.2, on_event=on_event)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            with anyio.fail_after(20):
                while read_journal(database) or not on_event.events:
                    await anyio.sleep(0.05)
            collector.stop()
    assert read_rows(database)
