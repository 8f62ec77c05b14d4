"""A callback that raises is logged, and ends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from enapter_async import EnapterClient, StorageError
from enapter_async.collector import Collector, CollectorEvent, Gap, SqliteStore, opened_store, repair_gaps
from enapter_async.collector._output import Output
from enapter_async.collector._problems import Problems
from enapter_async.rows import Row
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import SECOND, read_journal, read_rows
from tests.waiting import wait_until

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


class Own:
    """A store whose events can never be taken, for two reasons in turn, or are none."""

    def __init__(self, reasons: Sequence[Exception | None]) -> None:
        self.reasons = cycle(reasons)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def write(self, rows: Sequence[Row]) -> int:
        return len(rows)

    def take_events(self) -> Any:
        reason = next(self.reasons)
        if reason is not None:
            raise reason


@pytest.mark.parametrize(
    ("reasons", "kinds"),
    [([KeyError("a"), KeyError("b")], 1), ([KeyError("a"), OSError("b")], 2), ([None], 1)],
)
async def test_what_a_store_raises_at_each_commit_is_logged_once(
    reasons: list[Exception | None], kinds: int, caplog: pytest.LogCaptureFixture
) -> None:
    output = Output(Own(reasons), Problems(lambda _: None), lambda _: None)
    for _ in range(10):
        output.report_events()
    assert caplog.text.count("Own.take_events raised") == kinds
    assert caplog.text.count("Traceback") == kinds


async def test_a_callback_that_raises_on_all_rows_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    times = 0

    def on_rows(rows: object) -> None:
        nonlocal times
        times += 1
        raise RuntimeError(f"mistake {times}")

    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        collector = Collector(client, Own([KeyError("a")]), interval=0.1, on_rows=on_rows)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            await wait_until(lambda: times > 3 and collector.statistics.rows)
            collector.stop()
    assert caplog.text.count("on_rows raised") == 1
    assert caplog.text.count("Own.take_events raised") == 1


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
