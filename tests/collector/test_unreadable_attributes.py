"""An attribute whose history cannot be read costs itself only: the others of its device are filled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import anyio
import pytest

from enapter_async import (
    DecodeError,
    EnapterClient,
    ErrorDetail,
    HistoryPart,
    RequestError,
    ServerError,
    UnprocessableError,
)
from enapter_async._protocol.failure import may_pass
from enapter_async.collector import Selection, Skipped, SqliteStore
from enapter_async.collector._history_reader import HistoryReader
from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector.selection import Finder
from enapter_async.rows import Row
from enapter_async.simulator import Simulator
from tests.collector.platform import SECOND, read_journal, read_platform, read_rows
from tests.collector.test_repair import START, Repairing, gap

pytestmark = pytest.mark.anyio

REJECTED = UnprocessableError("no", status=422, errors=(ErrorDetail("bad", "no", {}),))
ERRORS = [REJECTED, DecodeError("a label must be key=value"), ServerError("no", status=500)]


def refuse(monkeypatch: pytest.MonkeyPatch, attributes: Collection[str], error: RequestError) -> list[list[str]]:
    """Let each request for some attributes fail. Return the attributes of all requests."""
    asked: list[list[str]] = []
    read = HistoryReader._read_retrying

    async def read_or_refuse(
        reader: HistoryReader, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]
    ) -> Sequence[Row]:
        names = [name for series in part.query.series for name in series.attributes]
        asked.append(names)
        if not set(attributes).isdisjoint(names):
            raise error
        return await read(reader, job, part, found)

    monkeypatch.setattr(HistoryReader, "_read_retrying", read_or_refuse)
    return asked


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("devices", [1, 3])
async def test_an_attribute_costs_itself_only(
    database: Path, monkeypatch: pytest.MonkeyPatch, error: RequestError, devices: int
) -> None:
    async with Simulator(devices=devices) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection(attributes="all")).find()
        units = {device: {**names, "an odd name": None} for device, names in targets.units.items()}
        asked = refuse(monkeypatch, {"an odd name"}, error)
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 20, device) for device in units])
            repairing = Repairing(client, store, type(targets)(units, devices))
            await repairing.repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 20)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert {journal[0] for journal in read_journal(database)} == set(units), "the attribute is still missing"
    assert {one.device_id for one in repairing.events if isinstance(one, Skipped)} == set(units)
    assert all("its history of an odd name: " in str(one) for one in repairing.events if isinstance(one, Skipped))
    most = max(len(names) for names in units.values())
    assert len(asked) <= 2 + devices * (1 + 2 * most.bit_length())


async def test_a_device_that_can_be_read_only_in_parts_is_complete(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        (device,) = targets.units
        read = HistoryReader._read_retrying

        async def read_few(
            reader: HistoryReader, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]
        ) -> Sequence[Row]:
            if len(part.query.series[0].attributes) > 2:
                raise REJECTED
            return await read(reader, job, part, found)

        monkeypatch.setattr(HistoryReader, "_read_retrying", read_few)
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 20, device)])
            repairing = Repairing(client, store, targets)
            await repairing.repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 20)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert read_journal(database) == []
    assert not any(isinstance(event, Skipped) for event in repairing.events)


@pytest.mark.parametrize("error", ERRORS[:2])
async def test_a_device_that_is_refused_as_a_whole_costs_few_requests(
    database: Path, monkeypatch: pytest.MonkeyPatch, error: RequestError
) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        names = {f"odd {number}": None for number in range(64)}
        units = {"gone": names, **targets.units}
        asked = refuse(monkeypatch, names, error)
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 20)])
            await Repairing(client, store, type(targets)(units, 3)).repairer.fill_all()
        expected = await read_platform(client, targets.units, START, START + 20)
    assert {row[:3]: row for row in read_rows(database)} == expected
    assert [journal[0] for journal in read_journal(database)] == ["gone"]
    assert len(asked) <= 2 + 3 + 6


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("of_one_device", [True, False])
@pytest.mark.parametrize("times", [[(0, 10)], [(0, 60)], [(40, 50)], [(90, 100)], [(0, 20), (50, 70)]])
async def test_a_time_that_cannot_be_read_does_not_keep_later_parts_of_its_gap_from_being_filled(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: RequestError,
    of_one_device: bool,
    times: Sequence[tuple[int, int]],
) -> None:
    monkeypatch.setattr("enapter_async.collector._repairer._WINDOW", 10)
    monkeypatch.setattr("enapter_async.collector._repairer.FIRST_PAUSE", 0.0)
    monkeypatch.setattr("enapter_async.collector._repairer.next_pause", lambda pause: pause)
    refused = {START + second for start, before in times for second in range(start, before)}
    read = HistoryReader._read_retrying

    async def read_or_refuse(
        reader: HistoryReader, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]
    ) -> Sequence[Row]:
        if any(start <= part.first - START < before for start, before in times):
            raise error
        return await read(reader, job, part, found)

    monkeypatch.setattr(HistoryReader, "_read_retrying", read_or_refuse)
    async with Simulator(devices=1) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        (device,) = targets.units
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 100, device if of_one_device else None)])
            left = {0}
            with anyio.fail_after(20):
                while left != refused:  # each time as if all waits were over
                    repairer = Repairing(client, store, targets).repairer
                    with anyio.move_on_after(0.2):
                        await (repairer.run() if may_pass(error) else repairer.fill_all())
                    left = {
                        second
                        for one in await store.read_gaps()
                        for second in range(one.start // SECOND, one.before // SECOND)
                    }
        platform = await read_platform(client, targets.units, START, START + 100)
    expected = {key: row for key, row in platform.items() if key[2] // SECOND not in refused}
    assert {row[:3]: row for row in read_rows(database)} == expected
