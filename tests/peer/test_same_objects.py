"""Both SDKs ask the same simulator; what they give must be the same, object by object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from enapter.http import api

from enapter_async import EnapterClient
from enapter_async.models.timeseries import Series, Timeseries, TimeseriesQuery
from enapter_async.simulator import Simulator
from tests.peer.conftest import assert_same

pytestmark = pytest.mark.anyio


async def test_sites(ours: EnapterClient, theirs: api.Client) -> None:
    async with theirs.sites.list() as sites:
        expected = [site async for site in sites]
    assert expected
    assert_same(await ours.sites.list().collect(), expected)
    assert_same(await ours.sites.get(expected[0].id), await theirs.sites.get(expected[0].id))


async def test_devices_plain_and_expanded(ours: EnapterClient, theirs: api.Client) -> None:
    async with theirs.devices.list() as devices:
        plain = [device async for device in devices]
    assert len(plain) >= 70
    assert_same(await ours.devices.list().collect(), plain)
    async with theirs.devices.list(
        expand_manifest=True,
        expand_properties=True,
        expand_connectivity=True,
        expand_communication=True,
        expand_raised_alert_names=True,
    ) as devices:
        expanded = [device async for device in devices]
    expand = {"manifest", "properties", "connectivity", "communication", "raised_alert_names"}
    assert_same(await ours.devices.list(expand=expand).collect(), expanded)  # type: ignore[arg-type]
    assert_same(await ours.devices.get(plain[0].id), await theirs.devices.get(plain[0].id))


async def test_latest_telemetry(simulator: Simulator, ours: EnapterClient, theirs: api.Client) -> None:
    simulator.world.clock = lambda: 1_773_482_400.0  # both ask at one moment
    devices = await ours.devices.list(expand={"manifest"}, max_items=40).collect()
    wanted = {device.id: list(device.manifest.telemetry) for device in devices if device.manifest}
    wanted = {device: names[:4] for device, names in wanted.items() if names}
    mine, others = await ours.telemetry.latest(wanted), await theirs.telemetry.latest(wanted)
    compared = 0
    for device, points in others.items():
        for attribute, point in points.items():
            if point is not None:
                same = mine[device][attribute]
                assert (same.timestamp, same.value) == (point.timestamp, point.value)
                compared += 1
    assert compared > 20


async def test_history(ours: EnapterClient, theirs: api.Client) -> None:
    devices = await ours.devices.list(expand={"manifest"}).collect()
    device = max(devices, key=lambda device: len(device.manifest.telemetry) if device.manifest else 0)
    assert device.manifest is not None
    names = list(device.manifest.telemetry)
    end = datetime(2026, 3, 14, 12, tzinfo=UTC)
    start = end - timedelta(hours=6)

    async def table_of(attributes: list[str]) -> Timeseries:
        series = [Series(device.id, attributes)]
        query = TimeseriesQuery(start=start, end=end, granularity=60, series=series)
        return await ours.telemetry.query_timeseries(query)

    # A line break inside a value is the end of a row to the vendor's SDK, which then fails.
    everything = await table_of(names)
    broken = {column.attribute for column in everything.columns if any("\n" in str(value) for value in column.values)}
    names = [name for name in names if name not in broken]
    assert len(names) > 8
    table = await table_of(names)
    other = await theirs.telemetry.wide_timeseries(
        start, end, 60, [api.telemetry.Selector(device=device.id, attributes=names)]
    )
    assert table.timestamps == other.timestamps
    assert len(table.timestamps) == 360
    for mine, column in zip(table.columns, other.columns, strict=True):
        assert mine.attribute == column.labels["telemetry"]
        assert mine.data_type.value.upper() == column.data_type.value
        assert mine.values == column.values
