"""A collector at work: what the store has is what the platform has, whatever happened meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import pytest

from enapter_async import EnapterClient
from enapter_async.collector import (
    Collector,
    CollectorEvent,
    GapsFilled,
    GapsNoted,
    ProblemBegan,
    ProblemEnded,
    Selection,
    SqliteStore,
)
from enapter_async.rows import Row
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import SECOND, read_journal, read_platform, read_rows

pytestmark = pytest.mark.anyio


async def wait_until(condition: object, seconds: float = 20.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # type: ignore[operator]
            await anyio.sleep(0.02)


async def test_an_outage_is_filled_and_told_once(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with Simulator(devices=8) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(
                client, store, selection=Selection(attributes="all"), interval=1.0, on_event=events.append
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                began = int(time.time()) + 1
                sim.faults.on("getLatestTelemetry", Fault.answer(502, "<html>bad gateway</html>"))
                await wait_until(lambda: time.time() > began + 4)
                sim.faults.clear()
                await wait_until(lambda: any(isinstance(event, GapsFilled) for event in events))
                collector.stop()
        ended = int(time.time())
        platform = await read_platform(client, collector.targets.units, began, ended - 2)
    stored = {row[:3]: row for row in read_rows(database) if began * SECOND <= row[2] < (ended - 2) * SECOND}
    assert platform
    assert platform.keys() <= stored.keys()
    # The simulator's history of alerts knows nothing of the alerts that are raised.
    assert {key: stored[key] for key in platform if key[1] != "alerts"} == {
        key: row for key, row in platform.items() if key[1] != "alerts"
    }
    assert len([event for event in events if isinstance(event, ProblemBegan)]) <= 1
    assert any(isinstance(event, GapsNoted) for event in events)
    assert read_journal(database) == []


class Memory:
    """A store of somebody's own."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int], Row] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def write(self, rows: Sequence[Row]) -> int:
        before = len(self.rows)
        for row in rows:
            self.rows.setdefault(row[:3], row)
        return len(self.rows) - before


async def test_a_store_of_ones_own_gets_all_kinds_of_telemetry() -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with Memory() as store:
            collector = Collector(client, store, selection=Selection(attributes="all"))
            await collector.run(seconds=1.2)
    rows = store.rows.values()
    assert len(rows) == collector.statistics.rows > 0
    assert any(row[3] is not None for row in rows)
    assert any(row[1] == "alerts" and row[4] is not None and row[4].startswith("[") for row in rows)
    assert all(row[3] is None or row[4] is None for row in rows)


async def test_an_api_that_is_not_there_yet_is_waited_for(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        sim.faults.on("listDevices", Fault.answer(404, "<html>no such page</html>"), nth={1})
        async with SqliteStore(database) as store:
            collector = Collector(client, store, on_event=events.append)
            await collector.run(seconds=4)
    assert read_rows(database)
    assert [type(event) for event in events[:2]] == [ProblemBegan, ProblemEnded]
