"""A repair fills what it can, and then raises an error that names what it could not read."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from enapter_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    EnapterClient,
    HistoryPart,
    RateLimitedError,
    RequestError,
    ServerError,
    StorageError,
    TimeseriesBatch,
)
from enapter_async.collector import RepairError, Selection, Skipped, SqliteStore, repair_gaps
from enapter_async.collector import _history_reader as reader_module
from enapter_async.collector._history_reader import HistoryReader
from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector.selection import Finder
from enapter_async.rows import Row
from enapter_async.rows.batches import RowBlock
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import read_journal, read_rows
from tests.collector.test_repair import START, Repairing, gap

pytestmark = pytest.mark.anyio

DAY = 86_400


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_WAITED", -1.0)
    monkeypatch.setattr(reader_module, "_MOST_WAITED", -1.0)


def break_device(
    monkeypatch: pytest.MonkeyPatch, is_broken: Callable[[set[str]], bool], make: Callable[[], Exception]
) -> None:
    """Let history fail for requests with some devices."""
    read = HistoryReader._read

    async def fail(self: Any, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]) -> Sequence[Row]:
        if is_broken({series.device for series in part.query.series}):
            raise make()
        return await read(self, job, part, found)

    monkeypatch.setattr(HistoryReader, "_read", fail)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "make",
    [lambda: ServerError("status 500", status=500), lambda: ConnectionLostError("lost", phase="body")],
)
async def test_a_device_that_always_fails_costs_itself_only(
    database: Path, monkeypatch: pytest.MonkeyPatch, together: bool, make: Callable[[], Exception]
) -> None:
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        broken, *others = (await Finder(client, Selection()).find()).units
        days = [0 if together else number for number in range(5)]
        async with SqliteStore(database) as store:
            gaps = zip(days, [broken, *others], strict=True)
            noted = [gap(START + day * DAY, START + day * DAY + 30, device) for day, device in gaps]
            await store.commit([], note=noted)
            break_device(monkeypatch, lambda devices: broken in devices, make)
            events: list[Any] = []
            with pytest.raises(RepairError) as raised:
                await repair_gaps(client, store, on_event=events.append)
    assert list(raised.value.failures) == [broken]
    assert raised.value.rows == len(read_rows(database))
    assert type(raised.value.__cause__) is type(make())
    assert broken in str(raised.value)
    assert [one.device_id for one in events if isinstance(one, Skipped)] == [broken]
    assert {row[0] for row in read_rows(database)} == set(others)
    assert [device for device, *_ in read_journal(database)] == [broken]


async def test_several_devices_in_requests_of_their_own_cost_themselves_only(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request has a single device, as with very many attributes."""
    plan = reader_module.plan_history
    monkeypatch.setattr(reader_module, "plan_history", lambda query, **_: plan(query, devices_per_request=1))
    async with Simulator(devices=6) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        one, other, *others = (await Finder(client, Selection()).find()).units
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30)])
            break_device(
                monkeypatch, lambda devices: bool({one, other} & devices), lambda: ServerError("status 500", status=500)
            )
            with pytest.raises(RepairError) as raised:
                await repair_gaps(client, store)
    assert sorted(raised.value.failures, key=str) == sorted([one, other])
    assert {row[0] for row in read_rows(database)} == set(others)
    assert sorted(device or "" for device, *_ in read_journal(database)) == sorted([one, other])


async def test_a_time_that_always_fails_costs_itself_only(database: Path) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START + day * DAY, START + day * DAY + 30) for day in range(3)])
            sim.faults.on("queryTimeseries", Fault.answer(500), nth=range(1, 7))
            with pytest.raises(RepairError, match="all devices") as raised:
                await repair_gaps(client, store)
    assert list(raised.value.failures) == [None]
    assert len(read_journal(database)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [(401, AuthenticationError, 1), (429, RateLimitedError, 1), (503, ServerError, 20)],
)
async def test_an_api_that_fails_for_all_ends_a_repair_soon(
    database: Path, fault: int, error: type[Exception], requests: int
) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START + day * DAY, START + day * DAY + 30) for day in range(40)])
            sim.faults.on("queryTimeseries", Fault.answer(fault), nth=None)
            with pytest.raises(error):
                await repair_gaps(client, store)
            assert len(sim.requests_of("queryTimeseries")) <= requests
    assert len(read_journal(database)) == 40


async def test_a_lost_store_ends_a_repair(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START + day * DAY, START + day * DAY + 30) for day in range(4)])
            commits = 0

            async def lose(*_: object, **__: object) -> int:
                nonlocal commits
                commits += 1
                raise StorageError(database, "the disk is gone")

            monkeypatch.setattr(store, "commit", lose)
            with pytest.raises(StorageError, match="the disk is gone"):
                await repair_gaps(client, store)
            assert commits == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), UnicodeError("a bug"), ConfigurationError("no token")])
async def test_only_a_request_that_cannot_be_made_counts_as_an_unreadable_gap(
    database: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with Simulator(devices=2) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        targets = await Finder(client, Selection()).find()
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30)])
            repairing = Repairing(client, store, targets)
            with monkeypatch.context() as patch:
                patch.setattr(repairing.repairer._reader, "_read", _raise(error))
                with pytest.raises(type(error)):
                    await repairing.repairer.fill_all()
            assert repairing.events == []
            await repairing.repairer.fill_all()
    assert read_journal(database) == []


async def test_a_value_that_cannot_be_stored_costs_its_device_only(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_block = reader_module.make_row_block
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        broken, *others = (await Finder(client, Selection()).find()).units

        def refuse(batches: Sequence[TimeseriesBatch], units: Any) -> RowBlock:
            if any(column.device == broken for batch in batches for column in batch.columns):
                raise ValueError("the value is nested too deeply to be written as JSON")
            return make_block(batches, units)

        monkeypatch.setattr(reader_module, "make_row_block", refuse)
        async with SqliteStore(database) as store:
            await store.commit([], note=[gap(START, START + 30)])
            with pytest.raises(RepairError, match="nested too deeply") as raised:
                await repair_gaps(client, store)
    assert list(raised.value.failures) == [broken]
    assert {row[0] for row in read_rows(database)} == set(others)
    assert [device for device, *_ in read_journal(database)] == [broken]


def _raise(error: Exception) -> Callable[..., Any]:
    async def call(*_: object) -> None:
        raise error

    return call


def test_the_error_names_some_devices_and_can_be_logged() -> None:
    failures: dict[str | None, RequestError] = {f"d{n}\n": ServerError("status 500", status=500) for n in range(5)}
    error = RepairError(1_234, failures)
    assert str(error) == (
        "some gaps stay recorded, because their history cannot be read: d0\\n: status 500; d1\\n: status 500;"
        " d2\\n: status 500; and 2 more"
    )
    everything = RepairError(0, {None: ServerError("status 500", status=500)})
    assert str(everything).endswith("cannot be read: all devices: status 500")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.rows, list(copy.failures), str(copy)) == (1_234, list(failures), str(error))
