"""A collector at work: what the store has is what the platform has, whatever happened meanwhile."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import pytest

from enapter_async import (
    AuthenticationError,
    ConfigurationError,
    EnapterClient,
    ErrorDetail,
    PollFailed,
    ServerError,
    UnprocessableError,
)
from enapter_async._protocol.latest_query import names_in
from enapter_async.collector import (
    Collector,
    CollectorEvent,
    DeviceClockWrong,
    Gap,
    GapsFilled,
    GapsNoted,
    ProblemBegan,
    ProblemEnded,
    Selection,
    Skipped,
    SqliteStore,
    Targets,
)
from enapter_async.collector._beginning import read_clock_offset
from enapter_async.collector._silence import CHECKED_AGAIN
from enapter_async.collector.selection import Finder
from enapter_async.rows import Row, parse_time
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import SECOND, read_journal, read_platform, read_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


def newest_of(path: Path, device: str) -> int:
    return max((row[2] for row in read_rows(path) if row[0] == device), default=0)


async def collect_until(collector: Collector, condition: Callable[[], object]) -> None:
    """Run a collector until a condition holds."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collector.run)
        await wait_until(condition)
        collector.stop()


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
                sim.faults.on("getLatestTelemetry", Fault.answer(502, "<html>bad gateway</html>"), nth=None)
                await wait_until(lambda: time.time() > began + 4)
                sim.faults.clear()
                cleared = int(time.time())
                await wait_until(lambda: any(isinstance(event, GapsFilled) and event.rows for event in events))
                await wait_until(
                    lambda: (
                        all(newest_of(database, device) > cleared * SECOND for device in collector.targets.units)
                        and not read_journal(database)
                    )
                )
                collector.stop()
        platform = await read_platform(client, collector.targets.units, began, cleared)
    stored = {row[:3]: row for row in read_rows(database) if began * SECOND <= row[2] < cleared * SECOND}
    assert platform
    assert platform.keys() <= stored.keys()
    # The simulator's history of alerts knows nothing of the alerts that are raised.
    assert {key: stored[key] for key in platform if key[1] != "alerts"} == {
        key: row for key, row in platform.items() if key[1] != "alerts"
    }
    assert len([event for event in events if isinstance(event, ProblemBegan)]) == 1
    assert any(isinstance(event, GapsNoted) for event in events)


async def test_an_outage_that_lasts_is_in_the_journal_before_it_ends(database: Path) -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, on_event=lambda _: None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                before = time.time() * SECOND
                sim.faults.on("getLatestTelemetry", Fault.answer(502, "<html></html>"), nth=None)
                sim.faults.on("queryTimeseries", Fault.answer(502, "<html></html>"), nth=None)
                await wait_until(lambda: len(read_journal(database)) == 3)
                noted = read_journal(database)
                sim.faults.clear()
                await wait_until(lambda: not read_journal(database))
                collector.stop()
    assert {gap[0] for gap in noted} == set(collector.targets.units)
    assert all(parse_time(gap[1]) <= before for gap in noted)
    assert all(parse_time(gap[2]) <= time.time() * SECOND for gap in noted)
    assert collector.statistics.gaps_open == 0


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
            await collect_until(collector, lambda: {"alerts", "power"} <= {row[1] for row in store.rows.values()})
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
            await collect_until(collector, lambda: collector.statistics.rows)
    assert read_rows(database)
    assert [type(event) for event in events[:2]] == [ProblemBegan, ProblemEnded]


def with_bad_points(payload: str, device: str, attribute: str, point: str) -> str:
    """Return an answer in which one point is something else."""
    answer = json.loads(payload)
    answer["telemetry"][device][attribute] = json.loads(point)
    return json.dumps(answer)


@pytest.mark.parametrize(
    "point",
    [
        '{"value": 1.0, "timestamp": 1773480413000}',
        '{"value": 1.0, "timestamp": "yesterday"}',
        '{"value": 1.0, "timestamp": -1e300}',
        "[]",
        '"text"',
        '{"timestamp": {}}',
    ],
)
async def test_a_point_that_cannot_be_read_costs_itself_only(database: Path, point: str) -> None:
    events: list[CollectorEvent] = []
    async with Simulator(devices=4) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, on_event=events.append)
            targets = await collector.discover()
            device, units = next(iter(targets.units.items()))
            attribute = next(iter(units))
            now = int(time.time())
            payload = json.dumps(
                {
                    "telemetry": {
                        one: {name: {"value": 1.5, "timestamp": now} for name in names}
                        for one, names in targets.units.items()
                    }
                }
            )
            body = with_bad_points(payload, device, attribute, point)
            sim.faults.on("getLatestTelemetry", Fault.answer(200, body), nth=None)
            await collect_until(
                collector, lambda: collector.statistics.rows and len(sim.requests_of("getLatestTelemetry")) > 1
            )
    rows = {row[:2] for row in read_rows(database)}
    expected = {(one, name) for one, names in targets.units.items() for name in names} - {(device, attribute)}
    assert rows == expected, (read_rows(database), events)
    assert [(event.device_id, event.attribute) for event in events if isinstance(event, Skipped)] == [
        (device, attribute)
    ]
    assert collector.statistics.skipped == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 421, 500])
async def test_a_page_of_a_proxy_never_ends_collecting(database: Path, status: int) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, on_event=lambda _: None)
            sim.faults.on("getLatestTelemetry", Fault.html(status), nth={1, 2})
            sim.faults.on("listDevices", Fault.html(status), nth={1})
            await collect_until(collector, lambda: collector.statistics.rows)
    assert len(read_rows(database)) > 0


async def test_an_attribute_that_the_api_refuses_costs_itself_only() -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        finder = Collector(client, Memory())
        targets = await finder.discover()
        device, units = next(iter(targets.units.items()))
        bad = next(iter(units))
        watch = client.telemetry.watch(targets.units, interval=0.1, persistent=True, on_event=lambda _: None)
        fetch = watch._fetch

        async def refusing(query: str) -> object:
            asked = names_in(query)
            if bad in asked.get(device, ()):
                error = UnprocessableError("status 422", status=422, errors=(ErrorDetail("bad", "no", {}),))
                raise error
            return await fetch(query)

        watch._fetch = refusing  # type: ignore[assignment]
        values = await client.telemetry.latest(targets.units)
        given = {(one, name) for one, points in values.items() for name, point in points.items() if point.timestamp}
        seen: set[tuple[str, str]] = set()
        with anyio.move_on_after(15):
            async with watch as live:
                async for batch in live.batches():
                    seen.update((point.device, point.attribute) for point in batch)
                    if len(seen) == len(given) - 1:
                        break
    assert seen == given - {(device, bad)}


async def test_a_device_in_several_requests_is_noted_while_one_of_them_fails(database: Path) -> None:
    """After a kill its newest row would not tell what the other request has not brought."""
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, repair=False, on_event=lambda _: None)
            targets = await collector.discover()
            device, units = next(iter(targets.units.items()))
            many = {**units, **{f"{'x' * 200}{number}": None for number in range(60)}}
            collector._targets = Targets({device: many}, 1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                assert collector._watch is not None
                assert collector._watch.divided == {device}
                assert read_journal(database) == []
                failed = PollFailed(due=datetime.now(UTC), error=ServerError("no", status=502), devices=(device,))
                failed_at = time.time()
                for _ in range(3):
                    collector._take_event(failed)
                await wait_until(lambda: read_journal(database))
                collector.stop()
    noted = [gap for gap in read_journal(database) if gap[3] == "some attributes were not answered"]
    assert [gap[0] for gap in noted] == [device]
    assert parse_time(noted[0][2]) > (failed_at + 5) * SECOND, "some seconds ahead"


async def test_the_clock_of_the_server_is_read_although_the_first_device_is_refused() -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        sim.faults.on("getDeviceTelemetry", Fault.answer(422), nth={1})
        assert await read_clock_offset(client, targets) == 0.0
        sim.faults.on("getDeviceTelemetry", Fault.answer(422), nth=None)
        assert await read_clock_offset(client, targets) is None
        sim.faults.clear()
        sim.faults.on("getDeviceTelemetry", Fault.answer(401), nth=None)
        with pytest.raises(AuthenticationError):
            await read_clock_offset(client, targets)


async def test_a_device_is_never_marked_beyond_its_committed_rows(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector.collector._MARK_SECONDS", 0.05)

    class Slow(SqliteStore):
        """A store whose commits take a while, so that a mark could overtake them."""

        marks = 0

        async def commit(
            self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
        ) -> int:
            await anyio.sleep(0.1)
            return await super().commit(rows, note=note, replace=replace)

        async def mark(self, reached: Mapping[str, int]) -> None:
            if collector.statistics.datapoints:  # not the mark of the beginning
                stored = read_rows(database)
                assert all(any(row[0] == one and row[2] >= time for row in stored) for one, time in reached.items())
                self.marks += 1
            await super().mark(reached)

    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with Slow(database) as store:
            collector = Collector(client, store)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: store.marks >= 3)
                collector.stop()


async def test_a_device_whose_clock_was_ahead_hides_no_gap_of_the_start(database: Path) -> None:
    """Neither its own, since its clock may have been set back, nor one of the others, whose newest rows it hides."""
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, repair=False, on_event=lambda _: None)
            ahead, *others = (await collector.discover()).units
            now = int(time.time())
            times = {**dict.fromkeys(others, now - 100), ahead: now + 20 * 3_600}
            await store.mark(dict.fromkeys(others, (now - 600) * SECOND))
            await store.write([(device, "x", second * SECOND, 1.0, None, None) for device, second in times.items()])
            await collector.run(seconds=1.5)
    noted = {device: parse_time(start) for device, start, _, _ in read_journal(database)}
    assert noted == dict.fromkeys(times, (now - 100 - CHECKED_AGAIN) * SECOND)


async def test_a_device_with_a_wrong_clock_is_named_once_and_stored(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        wrong, *_ = sim.world.devices.values()
        wrong.clock = lambda: time.time() + 40 * 86_400
        async with SqliteStore(database) as store:
            collector = Collector(client, store, on_event=events.append)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.polls.ticks >= 3)
                collector.stop()
    (named,) = [event for event in events if isinstance(event, DeviceClockWrong)]
    assert named.device_id == wrong.id
    assert str(named).startswith(f"{wrong.name}: its clock is wrong (")
    assert collector.statistics.wrong_clocks == 1
    assert collector.list_devices_with_wrong_clock() == [wrong.id]
    with closing(sqlite3.connect(database)) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM telemetry WHERE device_id = ?", (wrong.id,))
    assert rows > 0


@pytest.mark.parametrize(
    "date",
    ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 1 Jan 2026 00:00:00 +99999999999999"],
)
async def test_a_server_without_a_valid_clock_is_not_believed(date: str) -> None:
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        sim.faults.on("getDeviceTelemetry", Fault.answer(200, '{"telemetry": {}}', headers={"Date": date}), nth=None)
        assert await read_clock_offset(client, targets) is None


async def test_a_collector_runs_only_once(database: Path) -> None:
    """A second run would end at once, since the first one stopped it, and collect nothing in silence."""
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, on_event=lambda _: None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                with pytest.raises(ConfigurationError, match="only once"):
                    await collector.run(seconds=1)
                collector.stop()
            with pytest.raises(ConfigurationError, match="only once"):
                await collector.run(seconds=1)
            stopped = Collector(client, store, on_event=lambda _: None)
            stopped.stop()
            await stopped.run()
    assert stopped.statistics.rows == 0


async def test_a_device_whose_clock_is_behind_is_looked_up_by_its_own_clock_at_the_next_start(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector.collector._FIRST_MARK_SECONDS", 0.1)
    behind = 7_200
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, repair=False, on_event=lambda _: None)
            targets = await collector.discover()
            took = collector._intake.take
            collector._intake.take = lambda batch: took(  # type: ignore[method-assign]
                [(device, name, when - timedelta(seconds=behind), value) for device, name, when, value in batch]
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                (device,) = targets.units
                with anyio.fail_after(20):
                    while (await store.read_newest([device], round(time.time() * SECOND))).get(
                        device, time.time() * SECOND
                    ) > (time.time() - behind + 1) * SECOND:
                        await anyio.sleep(0.1)
                tasks.cancel_scope.cancel()
            await Collector(client, store, repair=False, on_event=lambda _: None).run(seconds=1.5)
    ((_, start, _, _),) = read_journal(database)
    assert parse_time(start) <= (time.time() - behind) * SECOND
