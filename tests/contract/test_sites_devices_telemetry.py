"""Sites, devices and latest telemetry: what we send and what the simulator answers is what openapi.yaml says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from enapter_async import ConflictError, DeviceType, EnapterClient, Location, NotFoundError
from enapter_async.resources.devices import _EXPANDS
from tests.contract.specification import Exchanges

pytestmark = pytest.mark.anyio


async def test_sites(client: EnapterClient, exchanges: Exchanges) -> None:
    listed = await client.sites.list().collect()
    assert [site.id async for site in client.sites.list_mine()]
    assert await client.sites.get(listed[0].id) == listed[0]
    own = await client.sites.get_own()
    await client.sites.update_own(name=own.name)
    created = await client.sites.create(
        name="Test stand", timezone="Europe/Lisbon", location=Location(name="Porto", latitude=41.15, longitude=-8.6)
    )
    assert created.location is not None
    assert created.location.latitude == 41.15
    renamed = await client.sites.update(created.id, name="Test stand 2")
    assert (renamed.name, renamed.timezone) == ("Test stand 2", "Europe/Lisbon")
    assert [site.id async for site in client.sites.list(name="Test stand 2")] == [created.id]
    await client.sites.delete(created.id)
    with pytest.raises(NotFoundError):
        await client.sites.get(created.id)
    assert exchanges.operations == {f"sites.{name}" for name in SITE_METHODS}


SITE_METHODS = ("list", "list_mine", "get", "get_own", "create", "update", "update_own", "delete")


async def test_devices_in_both_path_families(client: EnapterClient, exchanges: Exchanges) -> None:
    devices = await client.devices.list(page_size=5).collect()
    first = devices[0]
    leaf = next(device for device in devices if device.type == DeviceType.LUA and device.id != first.id)
    site_id = first.site_id
    assert site_id is not None
    assert first.slug is not None
    assert [device.id for device in devices] == sorted(device.id for device in devices)
    of_site = await client.devices.list(site_id=site_id).collect()
    assert first in of_site
    assert await client.devices.get(first.slug, site_id=site_id) == first
    renamed = await client.devices.update(first.id, name="New name")
    assert (renamed.name, renamed.slug) == ("New name", first.slug)
    assert (await client.devices.update(first.id, slug="new-slug", site_id=site_id)).slug == "new-slug"
    neighbour = next(device for device in of_site if device.id != first.id)
    with pytest.raises(ConflictError):
        await client.devices.update(neighbour.id, slug="new-slug")
    manifest = await client.devices.get_manifest(first.id)
    assert manifest == await client.devices.get_manifest(first.id, site_id=site_id)
    await client.devices.delete(leaf.id)
    with pytest.raises(NotFoundError):
        await client.devices.get(leaf.id)
    assert exchanges.operations == {f"devices.{name}" for name in ("list", "get", "update", "get_manifest", "delete")}


@pytest.mark.parametrize("expand", sorted(_EXPANDS))
async def test_every_expand_value_alone(client: EnapterClient, exchanges: Exchanges, expand: str) -> None:
    plain = await client.devices.list().collect()
    assert all(getattr(device, expand) is None for device in plain)
    devices = await client.devices.list(expand=[expand]).collect()  # type: ignore[list-item]
    assert any(getattr(device, expand) is not None for device in devices)
    assert await client.devices.get(devices[0].id, expand=[expand]) == devices[0]  # type: ignore[list-item]


async def test_everything_expanded(client: EnapterClient, exchanges: Exchanges) -> None:
    async for device in client.devices.list(expand=_EXPANDS):  # type: ignore[arg-type]
        assert device.site is not None
        assert device.site.id == device.site_id
        assert device.manifest is not None


async def test_latest_telemetry(client: EnapterClient, exchanges: Exchanges) -> None:
    devices = await client.devices.list(expand={"manifest"}).collect()
    wanted = {
        device.id: list(device.manifest.telemetry)
        for device in devices
        if device.manifest and device.manifest.telemetry
    }
    latest = await client.telemetry.latest(wanted, relevance_interval=timedelta(minutes=1))
    assert {device: set(points) for device, points in latest.items()} == {
        device: set(attributes) for device, attributes in wanted.items()
    }
    device_id, attributes = next(iter(wanted.items()))
    points = await client.telemetry.latest_for_device(device_id, attributes=attributes, relevance_interval=60)
    assert set(points) == set(attributes)
    missing = await client.telemetry.latest({device_id: ["no_such_attribute"]})
    assert missing[device_id]["no_such_attribute"].warning
    site_id = next(device.site_id for device in devices if device.id == device_id)
    assert await client.telemetry.latest_for_device(device_id, attributes=attributes[:1], site_id=site_id)
    assert exchanges.operations == {"devices.list", "telemetry.latest", "telemetry.latest_for_device"}


async def test_errors_are_what_the_specification_says(client: EnapterClient, exchanges: Exchanges) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.devices.get("00000000-0000-0000-0000-000000000000")
    assert caught.value.errors
    with pytest.raises(NotFoundError):
        await client.sites.get("no such site/../x")
