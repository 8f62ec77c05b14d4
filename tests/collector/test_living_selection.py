"""Devices, attributes and units that appear, change and disappear while a collector runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from enapter_async import APIError, EnapterClient
from enapter_async.collector import (
    AttributesChanged,
    Collector,
    CollectorEvent,
    DeviceAdded,
    DeviceRemoved,
    Selection,
    SqliteStore,
    Targets,
)
from enapter_async.collector.selection import Finder
from enapter_async.simulator import Fault, Simulator
from tests.collector.platform import read_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def wait_for(events: Sequence[CollectorEvent], kind: type[CollectorEvent]) -> CollectorEvent:
    with anyio.fail_after(20):
        while True:
            for event in events:
                if isinstance(event, kind):
                    return event
            await anyio.sleep(0.02)


async def test_devices_appear_and_disappear(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, rediscover=0.3, on_event=events.append)
            first, *_ = (await collector.discover()).units
            gone = sim.world.devices.find(first)
            assert gone is not None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                await client.devices.delete(first)
                assert await wait_for(events, DeviceRemoved) == DeviceRemoved(device_id=first)
                assert first not in collector.targets.units
                sim.world.devices.add(gone)
                assert isinstance(await wait_for(events, DeviceAdded), DeviceAdded)
                since = sim.world.now()
                await wait_until(lambda: any(row[0] == first and row[2] > since * 1e6 for row in read_rows(database)))
                collector.stop()


async def test_an_answer_that_names_an_unknown_device_leads_to_a_look_at_once(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enapter_async.collector._discovery._UNKNOWN_DEVICE_SECONDS", 0.1)
    events: list[CollectorEvent] = []
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(client, store, rediscover=3_600, on_event=events.append)
            first, *_ = (await collector.discover()).units
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                await client.devices.delete(first)
                assert await wait_for(events, DeviceRemoved) == DeviceRemoved(device_id=first)
                collector.stop()


async def test_a_renamed_device_stays_selected(database: Path) -> None:
    async with Simulator(devices=5) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        devices = [device async for device in client.devices.list(expand={"manifest"})]
        named = next(one for one in devices if one.manifest is not None and one.manifest.numeric_telemetry())
        async with SqliteStore(database) as store:
            collector = Collector(client, store, selection=Selection(devices=[named.name]), rediscover=0.2)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                await client.devices.update(named.id, name="Another name")
                looked_at = len(sim.requests_of("getDevice"))
                await wait_until(lambda: len(sim.requests_of("getDevice")) > looked_at + 2)
                assert list(collector.targets.units) == [named.id]
                collector.stop()
    assert {row[0] for row in read_rows(database)} == {named.id}


async def test_a_name_that_two_devices_have_meanwhile_is_told(database: Path) -> None:
    events: list[CollectorEvent] = []
    async with Simulator(devices=8) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        devices = [device async for device in client.devices.list(expand={"manifest"})]
        named, kept, other, *_ = (one for one in devices if one.manifest and one.manifest.numeric_telemetry())
        selection = Selection(devices=[named.name, kept.id])
        async with SqliteStore(database) as store:
            collector = Collector(client, store, selection=selection, rediscover=0.2, on_event=events.append)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows)
                await client.devices.update(kept.id, name=named.name)
                await client.devices.update(other.id, name=named.name)
                await client.devices.delete(named.id)  # until then, the name means this device
                await wait_until(lambda: any("2 devices are called" in str(event) for event in events))
                collector.stop()


def test_changes_are_told_by_attribute_and_unit() -> None:
    before = Targets({"d1": {"power": "W", "flow": None}, "d2": {"power": "W"}}, 2)
    after = Targets({"d1": {"power": "kW", "level": "%"}, "d3": {"power": "W"}}, 2)
    assert list(after.changes_from(before)) == [
        AttributesChanged(device_id="d1", added=("level",), removed=("flow",), units={"power": "kW"}),
        DeviceAdded(device_id="d3", attributes=1),
        DeviceRemoved(device_id="d2"),
    ]
    assert list(after.changes_from(after)) == []


async def test_an_answer_holds_neighbours_in_the_order_of_ids(database: Path) -> None:
    answers: list[list[str]] = []
    async with Simulator(devices=200) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        async with SqliteStore(database) as store:
            collector = Collector(
                client, store, on_event=lambda _: None, on_rows=lambda rows: answers.append([row[0] for row in rows])
            )
            order = list((await collector.discover()).units)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collector.run)
                await wait_until(lambda: collector.statistics.rows >= 500)
                collector.stop()
    assert order == sorted(order)
    for devices in answers:
        places = [order.index(device) for device in devices]
        assert places == sorted(places)
        assert max(places) - min(places) < 100


@pytest.mark.parametrize(
    "refusal", [Fault.answer(400), Fault.answer(403), Fault.answer(422), Fault.answer(200, "{}"), Fault.html(200)]
)
async def test_a_name_that_the_api_refuses_costs_itself_only(refusal: Fault) -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        device = next(iter((await Finder(client, Selection()).find()).units))
        finder = Finder(client, Selection(devices=["bad name", device]))
        sim.faults.on("getDevice", refusal, nth={1})
        assert list((await finder.find()).units) == [device]
    assert [one.device_id for one in finder.skipped] == ["bad name"]


@pytest.mark.parametrize("refusal", [Fault.answer(400), Fault.answer(200, "{}"), Fault.html(200)])
async def test_a_device_that_cannot_be_read_alone_is_found_in_the_list(refusal: Fault) -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        device = next(iter((await Finder(client, Selection()).find()).units))
        sim.faults.on("getDevice", refusal, nth=None)
        assert list((await Finder(client, Selection(devices=[device])).find()).units) == [device]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
async def test_a_page_of_a_proxy_does_not_mean_that_a_named_device_is_gone(status: int) -> None:
    async with Simulator(devices=3) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        device = next(iter((await Finder(client, Selection()).find()).units))
        sim.faults.on("getDevice", Fault.html(status), nth=None)
        with pytest.raises(APIError):
            await Finder(client, Selection(devices=[device])).find()
