"""What was missed comes from history: each row once, only where it is missing, whatever ends the program."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from enapter_async import (
    DecodeError,
    EnapterClient,
    Event,
    History,
    HistoryPart,
    RequestFinished,
    RequestStarted,
    ServerError,
    StorageError,
    TimeseriesBatch,
)
from enapter_async.collector import (
    Collector,
    CollectorEvent,
    Gap,
    RowKey,
    Selection,
    Skipped,
    SqliteStore,
    Targets,
    repair_gaps,
)
from enapter_async.collector import _repairer as repairer_module
from enapter_async.collector._problems import Problems
from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector._repairer import Repairer
from enapter_async.collector.selection import Finder
from enapter_async.rows import Row, parse_time
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import SECOND, read_journal, read_platform, read_rows

pytestmark = pytest.mark.anyio

START = 1_773_480_000
"""2026-03-14T09:20:00Z"""


def gap(first: int, before: int, device: str | None = None) -> Gap:
    return Gap(device_id=device, start=first * SECOND, before=before * SECOND, reason="test")


class Repairing:
    """A repairer and what it reported."""

    def __init__(
        self,
        client: EnapterClient,
        store: SqliteStore,
        targets: Targets,
        *,
        step: int = 1,
        now: int = START + 100_000,
        flush: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
        knows_all: bool = False,
    ) -> None:
        self.events: list[CollectorEvent] = []
        self.repairer = Repairer(
            client,
            store,
            lambda: targets.units,
            step=step,
            now=lambda: now * SECOND,
            problems=Problems(self.events.append),
            report=self.events.append,
            flush=flush,
            knows_all=knows_all,
        )


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairer_module, "_WINDOW", 20)


@pytest.mark.parametrize("attributes", ["numeric", "all"])
@pytest.mark.parametrize("step", [1, 10])
async def test_a_gap_has_what_the_server_knows_of_it_and_units(
    database: Path, step: int, attributes: str, short_windows: None
) -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection(attributes=attributes)).find()
        device, units = next(iter(targets.units.items()))
        kept: Row = (device, next(iter(units)), START * SECOND, -1.0, None, None)
        async with SqliteStore(database) as store:
            await store.commit([kept], note=[gap(START, START + 100 * step)])
            repairing = Repairing(client, store, targets, step=step)
            await repairing.repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 100 * step, step)
    expected[kept[:3]] = kept  # what was there is not replaced
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert repairing.repairer.rows == len(expected) - 1 > 0
    assert read_journal(database) == []


async def test_a_step_with_a_row_of_its_own_is_not_doubled(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        device, units = next(iter(targets.units.items()))
        attribute = next(iter(units))
        rows: list[Row] = [
            (device, attribute, round((START + second) * SECOND), 1.0, None, None) for second in (3.25, 52, 997)
        ]
        async with SqliteStore(database) as store:
            await store.commit(rows, note=[gap(START, START + 1_000)])
            await Repairing(client, store, targets, step=10).repairer.fill_all()
    steps = [row[2] // (10 * SECOND) for row in read_rows(database) if row[:2] == (device, attribute)]
    assert len(steps) == len(set(steps)) == 100


async def test_gaps_of_single_devices_concern_nobody_else(database: Path) -> None:
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        one, other, *_ = targets.units
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30, one), gap(START + 20, START + 60, other)])
            await Repairing(client, store, targets).repairer.fill_all()
        expected = {
            **await read_platform(client, {one: targets.units[one]}, START, START + 30),
            **await read_platform(client, {other: targets.units[other]}, START + 20, START + 60),
        }
    assert {row[:3]: row for row in read_rows(database)} == expected


async def test_what_is_not_over_yet_stays_noted(database: Path) -> None:
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 100)])
            await Repairing(client, store, targets, now=START + 52).repairer.fill_all()
    assert read_journal(database) == [(None, "2026-03-14T09:20:50Z", "2026-03-14T09:21:40Z", "test")]
    assert max(row[2] for row in read_rows(database)) == (START + 49) * SECOND


@pytest.mark.parametrize("over", [3, 29, 31, 59])
async def test_a_gap_that_is_not_over_is_not_filled_step_by_step(database: Path, over: int) -> None:
    """A clock that was ahead leaves a gap that ends in hours: it must not cost a request a second until then."""
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 3_600)])
            repairing = Repairing(client, store, targets, now=START + over + 2)
            await repairing.repairer.fill_all()
            job, wait = await repairing.repairer._next_job()
    assert len(repairing.events) == (over >= 30)
    assert job is None
    assert wait == (30 - over if over < 30 else 30)


async def test_a_device_whose_history_is_refused_costs_itself_only(database: Path) -> None:
    async with Simulator(devices=6) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()

        units = {"no such device,": {"x": None}, **targets.units}
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30)])
            sim.faults.on("queryTimeseries", Fault.answer(422), nth={1})
            repairing = Repairing(client, store, Targets(units, 1))
            await repairing.repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 30)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert read_journal(database) == []


async def test_an_interrupted_filling_is_resumed(database: Path, short_windows: None) -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 1_000)])
            sim.faults.on("queryTimeseries", Fault.hang(100), nth=range(6, 100))
            with anyio.move_on_after(20) as kill:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(Repairing(client, store, targets, step=10).repairer.run)
                    while read_journal(database)[0][1] == "2026-03-14T09:20:00Z":
                        await anyio.sleep(0.01)
                    kill.cancel()
        sim.faults.clear()
        half = len(read_rows(database))
        async with SqliteStore(database) as store:
            await Repairing(client, store, targets, step=10).repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 1_000, 10)
    assert 0 < half < len(expected)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert read_journal(database) == []


class Recording(SqliteStore):
    """Remembers in which order rows were looked up and written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.calls: list[str] = []
        self.asked: list[tuple[Collection[str], int, int]] = []

    async def read_keys(self, devices: Collection[str], start: int, before: int) -> Collection[RowKey]:
        self.calls.append("read_keys")
        self.asked.append((devices, start, before))
        return await super().read_keys(devices, start, before)

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        if rows:
            self.calls.append("commit")
        return await super().commit(rows, note=note, replace=replace)


async def test_rows_of_concurrent_parts_are_all_counted_and_never_read_back(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector._history_reader._ROWS_IN_COMMIT", 1)
    async with Simulator(devices=25) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with Recording(database) as store:
            await store.commit([], note=[gap(START, START + 20)])
            repairing = Repairing(client, store, targets)
            await repairing.repairer.fill_all()
    assert repairing.repairer.rows == len(read_rows(database)) > 0
    # 25 devices were three look-ups before each look-up asked for all of them.
    assert store.calls[0] == "read_keys"
    assert set(store.calls[1:]) == {"commit"}


async def test_a_look_up_asks_for_all_devices_and_few_rows(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(devices=25) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        monkeypatch.setattr(repairer_module, "_ROWS_IN_LOOK_UP", 7 * targets.attributes + 1)
        async with Recording(database) as store:
            await store.commit([], note=[gap(START, START + 20)])
            await Repairing(client, store, targets).repairer.fill_all()
    seconds = [
        (set(devices), start // SECOND - START, before // SECOND - START) for devices, start, before in store.asked
    ]
    everyone = set(targets.units)
    assert seconds == [(everyone, 0, 7), (everyone, 7, 14), (everyone, 14, 20)]


@pytest.mark.parametrize(("is_late", "least", "most"), [(False, 5, 8), (True, 2, 2)])
async def test_requests_at_once_grow_to_eight_unless_live_collection_is_late(
    database: Path, is_late: bool, least: int, most: int
) -> None:
    under_way: set[int] = set()
    highest = 0

    def count(event: Event) -> None:
        nonlocal highest
        if isinstance(event, RequestStarted) and event.operation == "telemetry.query_timeseries":
            under_way.add(event.call)
            highest = max(highest, len(under_way))
        elif isinstance(event, RequestFinished) and event.call in under_way:
            under_way.discard(event.call)
            if is_late:
                repairing.repairer.slow_down()

    async with Simulator(devices=250, latency=0.1) as sim:
        async with EnapterClient(base_url=sim.url, token=sim.token, hooks=[count]) as client:
            targets = await Finder(client, Selection()).find()
            async with SqliteStore(database) as store:
                await store.commit([], note=[gap(START, START + 2)])
                repairing = Repairing(client, store, targets)
                await repairing.repairer.fill_all()
    assert least <= highest <= most
    assert read_journal(database) == []


async def test_many_rows_of_one_commit_are_each_stored_once(database: Path) -> None:
    rows: list[Row] = [("d", "a", (START + second) * SECOND, float(second), None, "W") for second in range(1_234)]
    async with SqliteStore(database) as store:
        assert await store.commit(rows[:700]) == 700
        assert await store.commit(rows) == 534
    assert read_rows(database) == rows


class Dies(SqliteStore):
    """A store whose program is killed at a certain statement: from then on nothing is done any more."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self.left = after

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        self.left -= 1
        if self.left < 0:
            raise StorageError(self.path, "killed")
        return await super().commit(rows, note=note, replace=replace)


@pytest.mark.parametrize("statement", range(6))
async def test_a_kill_between_any_two_commits_loses_nothing(
    database: Path, statement: int, short_windows: None
) -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 50)])
        async with Dies(database, statement) as store:
            with pytest.raises(StorageError, match="killed"):
                await Repairing(client, store, targets).repairer.fill_all()
        missing = sum(parse_time(before) - parse_time(start) for _, start, before, _ in read_journal(database))
        assert missing > 0
        async with SqliteStore(database) as store:
            await Repairing(client, store, targets).repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 50)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert read_journal(database) == []


async def test_files_of_earlier_versions_are_migrated_in_place(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            """
            CREATE TABLE telemetry (device_id TEXT NOT NULL, attribute TEXT NOT NULL, time TEXT NOT NULL, value REAL,
                unit TEXT, PRIMARY KEY (time, device_id, attribute)) WITHOUT ROWID;
            INSERT INTO telemetry VALUES ('d1', 'power', '2026-03-14T09:20:00Z', 1.5, 'W');
            CREATE TABLE telemetry_gaps (start INTEGER NOT NULL, before INTEGER NOT NULL);
            INSERT INTO telemetry_gaps VALUES (1773480000, 1773480060);
            """
        )
    async with SqliteStore(database) as store:
        assert await store.write([("d1", "status", START * SECOND, None, "on", None)]) == 1
        assert await store.read_newest(["d1", "d2"], (START + 1) * SECOND) == {"d1": START * SECOND}
    async with SqliteStore(database) as store:
        (noted,) = await store.read_gaps()
    assert (noted.device_id, noted.start, noted.before) == (None, START * SECOND, (START + 60) * SECOND)
    assert read_rows(database) == [
        ("d1", "power", START * SECOND, 1.5, None, "W"),
        ("d1", "status", START * SECOND, None, "on", None),
    ]


async def test_a_clock_that_is_ahead_does_not_decide_what_is_missing(database: Path) -> None:
    async with SqliteStore(database) as store:
        ahead = (START + 30 * 86_400) * SECOND
        await store.write([("d1", "a", START * SECOND, 1.0, None, None), ("d1", "a", ahead, 2.0, None, None)])
        await store.write([("d2", "a", ahead, 2.0, None, None)])
        await store.mark({"d3": 5 * SECOND})
        newest = await store.read_newest(["d1", "d2", "d3", "d4"], (START + 86_400) * SECOND)
    assert newest == {"d1": START * SECOND, "d3": 5 * SECOND}


async def test_gaps_that_touch_become_one_in_the_journal(database: Path) -> None:
    async with SqliteStore(database) as store:
        await store.commit(
            [], note=[gap(START, START + 10, "d"), gap(START + 50, START + 60, "d"), gap(START, START + 9)]
        )
        first = await store.read_gaps()
        await store.commit([], note=[gap(START + 2, START + 8, "d"), gap(START, START + 10, "other")])
        changed = {(one.device_id, one.start) for one in first} - {
            (one.device_id, one.start) for one in await store.read_gaps() if one in first
        }
        assert changed == {("d", START * SECOND)}, "a repair that holds its old id must not end it"
        await store.commit([], note=[gap(START + 10, START + 30, "d")])
        noted = [
            (one.device_id, one.start // SECOND - START, one.before // SECOND - START)
            for one in await store.read_gaps()
        ]
    assert sorted(noted, key=str) == [("d", 0, 30), ("d", 50, 60), ("other", 0, 10), (None, 0, 9)]


async def test_a_live_row_of_a_fraction_of_a_second_keeps_its_second(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        device, units = next(iter(targets.units.items()))
        live: list[Row] = [
            (device, attribute, START * SECOND + microseconds, 1.0, None, None)
            for attribute in units
            for microseconds in (300_000, 7_999_999, 8_000_000)
        ]
        async with SqliteStore(database) as store:
            await store.commit(live, note=[gap(START, START + 10)])
            await Repairing(client, store, targets).repairer.fill_all()
    rows = read_rows(database)
    assert set(live) <= set(rows)
    seconds = [(row[0], row[1], row[2] // SECOND) for row in rows]
    assert len(seconds) == len(set(seconds)) > len(live)


async def test_live_rows_that_wait_are_stored_before_the_repair_looks_for_them(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        device, units = next(iter(targets.units.items()))
        live: list[Row] = [(device, name, START * SECOND + 3_300_000, 1.0, None, None) for name in units]
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 10)])

            async def flush() -> None:
                await store.write(live)

            await Repairing(client, store, targets, flush=flush).repairer.fill_all()
    rows = read_rows(database)
    assert set(live) <= set(rows)
    seconds = [(row[0], row[1], row[2] // SECOND) for row in rows]
    assert len(seconds) == len(set(seconds)) > len(live)


@pytest.mark.parametrize("wait", [None, "Thu, 01 Jan 1970 00:00:00 GMT"])
async def test_a_history_that_is_always_rate_limited_does_not_stop_live_collection(
    database: Path, wait: str | None
) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        headers = {} if wait is None else {"Retry-After": wait}
        sim.faults.on("queryTimeseries", Fault.answer(429, headers=headers), nth=None)
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30)])
            collector = Collector(client, store, on_event=lambda _: None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                with anyio.fail_after(40):
                    while collector.statistics.polls.ticks - collector.statistics.polls.missed_ticks < 5:
                        await anyio.sleep(0.05)
                collector.stop()
    assert collector.statistics.rows
    assert read_journal(database)


async def test_a_device_whose_history_is_an_error_of_the_server_costs_itself_only(database: Path) -> None:
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        broken, *others = targets.units
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30, device) for device in targets.units])
            repairing = Repairing(client, store, targets)
            repairing.repairer._reader.failures = 1
            read = repairing.repairer._reader._read

            async def failing(job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]) -> Sequence[Row]:
                if any(series.device == broken for series in part.query.series):
                    raise ServerError("status 500", status=500)
                return await read(job, part, found)

            repairing.repairer._reader._read = failing  # type: ignore[method-assign]
            await repairing.repairer.fill_all()
    assert [device for device, _, _, _ in read_journal(database)] == [broken]
    assert {row[0] for row in read_rows(database)} == set(others)


async def test_a_page_with_status_200_for_all_devices_refuses_none(database: Path) -> None:
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30)])
            repairing = Repairing(client, store, targets)
            sim.faults.on("queryTimeseries", Fault.html(200), nth=None)
            with pytest.raises(DecodeError):
                await repairing.repairer.fill_all()
            sim.faults.clear()
            await repairing.repairer.fill_all()
    assert read_journal(database) == []
    assert not any(isinstance(event, Skipped) for event in repairing.events)


@pytest.mark.parametrize("kept", [[2, 0, 1], [1, 0], [2]])
async def test_a_resumed_answer_with_other_columns_fills_the_right_series(database: Path, kept: list[int]) -> None:
    async with Simulator(devices=12) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        device, units = next((one, units) for one, units in targets.units.items() if len(units) >= 3)
        targets = Targets({device: dict(list(units.items())[:3])}, 1)
        expected = await read_platform(client, targets.units, START, START + 20)
        read = History.__anext__
        halves: list[TimeseriesBatch] = []

        async def read_halves(history: History) -> TimeseriesBatch:
            batch = await read(history)
            half = tuple(batch.columns[place].slice(10, 20) for place in kept)
            halves.append(TimeseriesBatch(batch.unix_seconds[10:], half))
            return TimeseriesBatch(batch.unix_seconds[:10], tuple(column.slice(0, 10) for column in batch.columns))

        async def read_resumed(history: History) -> TimeseriesBatch:
            return halves.pop() if halves else await read_halves(history)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(History, "__anext__", read_resumed)
            async with SqliteStore(database) as store:
                await store.commit([], note=[gap(START, START + 20, device)])
                await Repairing(client, store, targets).repairer.fill_all()
    found = {row[:3]: row for row in read_rows(database)}
    assert found == {key: expected[key] for key in found}
    assert len({key[2] for key in found}) == 20


async def test_a_gap_that_another_collector_has_noted_is_filled(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairer_module, "_LOOK_SECONDS", 0.1)
    async with (
        Simulator(devices=1) as sim,
        EnapterClient(base_url=sim.url, token=sim.token) as client,
        SqliteStore(database) as store,
        SqliteStore(database) as other,
    ):
        collector = Collector(client, store, interval=0.2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            with anyio.fail_after(30):
                while not collector.statistics.rows:
                    await anyio.sleep(0.05)
                noon = parse_time("2026-03-14T12:00:00Z")
                await other.commit((), note=[Gap(device_id=None, start=noon, before=noon + 5 * SECOND)])
                while not collector.statistics.rows_filled:
                    await anyio.sleep(0.05)
            collector.stop()
    assert read_journal(database) == []


async def test_a_repair_with_a_clock_that_is_ahead_leaves_what_is_not_over_recorded(database: Path) -> None:
    server_now = int(time.time()) - 3_600
    date = format_datetime(datetime.fromtimestamp(server_now, UTC), usegmt=True)
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        sim.faults.on("getDeviceTelemetry", Fault.answer(200, '{"telemetry": {}}', headers={"Date": date}), nth=None)
        async with SqliteStore(database) as store:
            await store.commit((), note=[gap(server_now - 100, server_now + 100)])
            assert await repair_gaps(client, store)
            (rest,) = await store.read_gaps()
    assert rest.before == (server_now + 100) * SECOND
    assert rest.start < (server_now + 30) * SECOND
