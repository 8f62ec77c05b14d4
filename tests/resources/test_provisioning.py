"""Devices that come into being, by the flows of reference.md section 12."""

from __future__ import annotations

from pathlib import Path

import pytest

from enapter_async import ConflictError, DeviceType, EnapterClient, NotFoundError, OutcomeUnknownError
from enapter_async.models.communication import MqttProtocol
from enapter_async.simulator import Fault, Simulator
from tests.resources.conftest import named

pytestmark = pytest.mark.anyio

MANIFEST = """\
blueprint_spec: device/3.0
display_name: Weather station
runtime: {type: standalone}
telemetry:
  temperature: {type: float, display_name: Temperature, unit: celsius}
"""
HARDWARE_ID = "A1B2C3D4E5F60718293A4B5C6D7E8F90"


async def test_a_standalone_device_from_blueprint_to_mqtt_config(client: EnapterClient, tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text(MANIFEST)
    site = await client.sites.list().first()
    assert site is not None
    made = await client.provisioning.standalone(name="Weather station", site_id=site.id, slug="weather-1")
    blueprint = await client.blueprints.upload(tmp_path)
    assigned = await client.devices.assign_blueprint(made.device_id, blueprint.id)
    assert (assigned.id, assigned.blueprint_id) == (made.device_id, blueprint.id)
    config = await client.devices.generate_communication_config(made.device_id, protocol="MQTTS")
    assert config.mqtt_protocol is MqttProtocol.MQTTS
    assert config.mqtt_credentials is not None
    assert "PRIVATE KEY" in (config.mqtt_credentials.private_key or "")
    device = await client.devices.get("weather-1", site_id=site.id, expand={"manifest"})
    assert (device.type, device.name) == (DeviceType.STANDALONE, "Weather station")
    assert device.manifest is not None
    assert set(device.manifest.telemetry) >= {"temperature"}
    plain = await client.devices.generate_communication_config(
        made.device_id, protocol=MqttProtocol.MQTT, site_id=site.id
    )
    assert plain.mqtt_credentials is not None
    assert plain.mqtt_credentials.password
    with pytest.raises(ConflictError):
        await client.provisioning.standalone(name="Another", site_id=site.id, slug="weather-1")


async def test_a_virtual_ucm_and_a_lua_device_on_it(client: EnapterClient, tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text(
        MANIFEST.replace("{type: standalone}", "{type: lua, options: {file: a.lua}}")
    )
    (tmp_path / "a.lua").write_text("function main() end")
    site = await client.sites.list().first()
    assert site is not None
    ucm = await client.provisioning.vucm(name="Virtual UCM", hardware_id="V" + HARDWARE_ID, site_id=site.id)
    expanded = await client.devices.get(ucm.device_id, expand={"communication"})
    assert expanded.type is DeviceType.VIRTUAL_UCM
    assert expanded.communication is not None
    blueprint = await client.blueprints.upload(tmp_path)
    lua = await client.provisioning.lua_device(
        runtime_id=ucm.device_id, blueprint_id=blueprint.id, name="Meter", slug="meter-1"
    )
    device = await client.devices.get(lua.device_id, expand={"communication"})
    assert device.type is DeviceType.LUA
    assert device.communication is not None
    assert device.communication.upstream_id == ucm.device_id
    with pytest.raises(ConflictError):
        await client.devices.delete(ucm.device_id)
    await client.devices.delete(lua.device_id)
    await client.devices.delete(ucm.device_id)


async def test_a_hardware_ucm_twice_is_one_device_with_another_config(client: EnapterClient) -> None:
    site = await client.sites.list().first()
    assert site is not None
    first = await client.provisioning.ucm(name="UCM", hardware_id=HARDWARE_ID, site_id=site.id, protocol="MQTTS")
    again = await client.provisioning.ucm(name="UCM", hardware_id=HARDWARE_ID, site_id=site.id, protocol="MQTTS")
    assert again.device_id == first.device_id
    assert first.config is not None
    assert again.config is not None
    assert first.config.mqtt_credentials is not None
    assert "PRIVATE KEY" not in repr(first)


async def test_a_lost_answer_does_not_make_two_devices(simulator: Simulator, client: EnapterClient) -> None:
    site = await client.sites.list().first()
    assert site is not None
    before = len(simulator.world.devices)
    simulator.faults.on("provisionStandalone", Fault.reset(), when="after")
    with pytest.raises(OutcomeUnknownError):
        await client.provisioning.standalone(name="Station", site_id=site.id)
    assert len(simulator.world.devices) == before + 1


async def test_a_terminal_is_opened_on_a_gateway(client: EnapterClient) -> None:
    gateway = await named(client, "Gateway 1")
    terminal = await client.devices.run_terminal(gateway.id, site_id=gateway.site_id)
    assert terminal.channel_id
    assert terminal.token not in repr(terminal)
    with pytest.raises(NotFoundError):
        await client.devices.run_terminal("no-such-device")
