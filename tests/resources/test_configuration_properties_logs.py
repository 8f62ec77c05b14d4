"""What a device is told, what it reports, and what it says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from enapter_async import Device, EnapterClient, NotFoundError, PermissionDeniedError, UnprocessableError
from enapter_async.models.logs import LogSeverity
from enapter_async.simulator import Role, Simulator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("scoped", [False, True])
async def test_configuration_is_set_and_reset(client: EnapterClient, electrolyser: Device, scoped: bool) -> None:
    configuration, device_id = client.configuration, electrolyser.id
    site_id = electrolyser.site_id if scoped else None
    before = await configuration.get(device_id, "connection", site_id=site_id)
    assert set(await configuration.get(device_id, "connection", names=["uri", "unit_id"], site_id=site_id)) <= {
        "uri",
        "unit_id",
    }
    changed = await configuration.update(device_id, "connection", set={"unit_id": 7}, site_id=site_id)
    assert changed == {**before, "unit_id": 7}
    assert await configuration.get(device_id, "connection", site_id=site_id) == changed
    reset = await configuration.update(device_id, "connection", reset=["unit_id"], site_id=site_id)
    assert reset.get("unit_id") == before.get("unit_id")
    await configuration.update(device_id, "connection", set={"unit_id": 9}, site_id=site_id)
    assert (await configuration.reset_all(device_id, "connection", site_id=site_id)).get("unit_id") != 9


async def test_configuration_that_the_manifest_refuses(client: EnapterClient, electrolyser: Device) -> None:
    with pytest.raises(UnprocessableError):
        await client.configuration.update(electrolyser.id, "connection", set={"unit_id": "seven"})
    with pytest.raises(NotFoundError):
        await client.configuration.get(electrolyser.id, "no_such_group")


async def test_properties_are_those_of_the_device(client: EnapterClient, electrolyser: Device) -> None:
    device = await client.devices.get(electrolyser.id, expand={"properties"})
    assert device.properties
    assert await client.properties.get(electrolyser.id) == device.properties
    assert await client.properties.get(electrolyser.id, site_id=electrolyser.site_id) == device.properties


async def test_logs_by_time_severity_order_and_retention(client: EnapterClient, electrolyser: Device) -> None:
    logs, device_id = client.logs, electrolyser.id
    records = await logs.list(device_id, max_items=120).collect()
    assert len(records) == 120
    times = [record.received_at for record in records]
    assert times == sorted(times, key=str)
    since, until = records[10].received_at, records[40].received_at
    assert since is not None
    assert until is not None
    part = await logs.list(device_id, received_at_gte=since, received_at_lt=until).collect()
    assert part == [record for record in records if record.received_at and since <= record.received_at < until]
    backwards = await logs.list(
        device_id, received_at_gte=since, received_at_lt=until, order="RECEIVED_AT_DESC", page_size=7
    ).collect()
    assert backwards == part[::-1]
    warnings = await logs.list(
        device_id, severity="warning", received_at_lt=until, site_id=electrolyser.site_id
    ).collect()
    assert warnings
    assert {record.severity for record in warnings} == {LogSeverity.WARNING}
    kept = await logs.list(device_id, retention="PERSISTENT", received_at_lt=until).collect()
    passing = await logs.list(device_id, retention="EPHEMERAL", received_at_lt=until).collect()
    everything = await logs.list(device_id, retention="ALL", received_at_lt=until).collect()
    assert len(kept) + len(passing) == len(everything)
    assert await logs.list(device_id, received_at_gte=until + timedelta(days=1)).collect() == []


async def test_a_low_role_may_read_and_not_change(simulator: Simulator, electrolyser: Device) -> None:
    simulator.add_token("guest", Role.READONLY)
    async with EnapterClient(base_url=simulator.url, token="guest") as guest:
        assert await guest.properties.get(electrolyser.id)
        assert await guest.logs.list(electrolyser.id).first() is not None
        with pytest.raises(PermissionDeniedError):
            await guest.configuration.update(electrolyser.id, "connection", set={"unit_id": 1})
