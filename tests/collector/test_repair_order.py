"""A gap that can never be read costs itself only, and is told once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from enapter_async import EnapterClient
from enapter_async.collector import Gap, GapsFilled, Selection, Skipped, SqliteStore, Targets
from enapter_async.collector._repair_queue import RepairQueue
from enapter_async.collector.selection import Finder
from enapter_async.rows import parse_time
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import SECOND, read_journal, read_platform, read_rows
from tests.collector.test_repair import START, Repairing, gap

pytestmark = pytest.mark.anyio

DAY = 86_400
YEAR_1 = parse_time("0001-01-01T00:00:00Z") // SECOND


@pytest.mark.parametrize("odd", [None, "a device"])
async def test_a_time_out_of_range_blocks_no_other_gap(database: Path, odd: str | None) -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        one = next(iter(targets.units))
        device = None if odd is None else one
        async with SqliteStore(database) as store:
            invalid = [gap(YEAR_1, YEAR_1 + 10, device), gap(-100, -50, device), gap(START, START - 10, device)]
            await store.commit([], note=[*invalid, gap(START, START + 30), gap(START + DAY, START + DAY + 5, one)])
            repairing = Repairing(client, store, targets, now=START + 2 * DAY)
            with anyio.fail_after(20):
                await repairing.repairer.fill_all()
                await repairing.repairer.fill_all()
        expected = {
            **await read_platform(client, targets.units, START, START + 30),
            **await read_platform(client, {one: targets.units[one]}, START + DAY, START + DAY + 5),
        }
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert [start for _, start, *_ in read_journal(database)] == ["0001-01-01T00:00:00Z", "1969-12-31T23:58:20Z"]
    told = [event for event in repairing.events if isinstance(event, Skipped)]
    assert len(told) == 2
    assert "1969-12-31T23:58:20Z" in str(told[1])
    assert repairing.repairer.seconds == 35


async def test_a_gap_that_no_request_can_contain_costs_itself_only(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        one, other = targets.units
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 5, one), gap(START + 1, START + 9, other)])
            read_keys = store.read_keys

            async def refuse_one(devices: Sequence[str], start: int, before: int) -> object:
                if one in devices:
                    raise OverflowError("date value out of range")
                return await read_keys(devices, start, before)

            monkeypatch.setattr(store, "read_keys", refuse_one)
            repairing = Repairing(client, store, targets)
            with anyio.fail_after(20):
                await repairing.repairer.fill_all()
        assert {row[0] for row in read_rows(database)} == {other}
    assert [device for device, *_ in read_journal(database)] == [one]
    (told,) = (event for event in repairing.events if isinstance(event, Skipped))
    assert "date value out of range" in str(told)


async def test_an_invalid_name_costs_its_device_only(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        units = {" ": {"x": None}, "named": {"": None}, **targets.units}
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30), gap(START + DAY, START + DAY + 5)])
            repairing = Repairing(client, store, Targets(units, 4), now=START + 2 * DAY)
            with anyio.fail_after(20):
                await repairing.repairer.fill_all()
        expected = {
            **await read_platform(client, targets.units, START, START + 30),
            **await read_platform(client, targets.units, START + DAY, START + DAY + 5),
        }
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert [device for device, *_ in read_journal(database)] == [" ", "named"] * 2
    assert sorted(event.device_id for event in repairing.events if isinstance(event, Skipped)) == [" ", "named"]


async def test_a_gap_that_the_server_rejects_does_not_block_those_of_its_device(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        one, _ = targets.units
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 5, one), gap(START + DAY, START + DAY + 5, one)])
            sim.faults.on("queryTimeseries", Fault.answer(422), nth=range(1, 8))  # also for some of its attributes
            repairing = Repairing(client, store, targets, now=START + 2 * DAY)
            await repairing.repairer.fill_all()
        expected = await read_platform(client, {one: targets.units[one]}, START + DAY, START + DAY + 5)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert [start for _, start, *_ in read_journal(database)] == ["2026-03-14T09:20:00Z"]


async def test_a_gap_that_fails_is_tried_again_after_all_others(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector._history_reader._WAITED", -1.0)  # no retries within a job
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START + day * DAY, START + day * DAY + 5) for day in range(4)])
            sim.faults.on("queryTimeseries", Fault.answer(500), nth={1})
            repairing = Repairing(client, store, targets, now=START + 5 * DAY)
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(repairing.repairer.run)
                    while read_journal(database):
                        await anyio.sleep(0.01)
                    tasks.cancel_scope.cancel()
    filled = [event.start // SECOND for event in repairing.events if isinstance(event, GapsFilled)]
    assert filled == [START + DAY, START + 2 * DAY, START + 3 * DAY, START]


async def test_a_device_that_is_gone_is_told_once_and_blocks_nothing(database: Path) -> None:
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 5, "gone"), gap(START + 1, START + 9)])
            repairing = Repairing(client, store, targets, knows_all=True)
            await repairing.repairer.fill_all()
            await repairing.repairer.fill_all()
    assert [device for device, *_ in read_journal(database)] == ["gone"]
    assert [event.device_id for event in repairing.events if isinstance(event, Skipped)] == ["gone"]


async def test_a_time_that_cannot_be_read_in_the_journal_is_told_once(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteStore(database) as store:
        await store.commit([], note=[gap(START, START + 5)])
        with closing(sqlite3.connect(database)) as other, other:
            other.execute("INSERT INTO telemetry_gaps (start, before, reason) VALUES ('yesterday', 'noon', 'by hand')")
        for _ in range(2):
            assert len(await store.read_gaps()) == 1
        await store.commit([], note=[gap(START + 5, START + 9)])
    assert caplog.text.count("cannot be read: 'yesterday' to 'noon'") == 1
    assert len(read_journal(database)) == 2


def test_a_gap_of_years_waits_for_all_others() -> None:
    queue = RepairQueue(step=SECOND, longest=3_600 * SECOND)
    years = Gap(device_id="d", start=0, before=START * SECOND, id=1)
    short = Gap(device_id="d", start=(START - 50) * SECOND, before=START * SECOND, id=2)
    job, _ = queue.next_job([years, short], ["d"], (START + 9) * SECOND)
    assert job is not None
    assert job.gaps == (short,)
    job, _ = queue.next_job([years], ["d"], (START + 9) * SECOND)
    assert job is not None
    assert job.gaps == (years,)
