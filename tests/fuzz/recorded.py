"""Real answers of the simulator, for every operation: what the mutations start from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from enapter_async import EnapterClient, EnapterError
from enapter_async._protocol.request import Answer, Request
from enapter_async._transport.http import HttpTransport
from enapter_async.simulator import Simulator
from tests.service_calls import V3

HARDWARE_ID = "0123456789ABCDEF" * 2


async def record() -> dict[str, Answer]:
    """Return the answer of each operation to a call that succeeds, by the operation's name."""
    answers: dict[str, Answer] = {}
    exchange = HttpTransport.send

    async def keep(self: HttpTransport, request: Request, headers: Mapping[str, str], **how: Any) -> Answer:
        answer = await exchange(self, request, headers, **how)
        if 200 <= answer.status < 300:
            answers[request.operation.name] = answer
        return answer

    async with Simulator(command_seconds=0.01) as simulator:
        async with EnapterClient(base_url=simulator.url, token=simulator.token) as client:
            with patch.object(HttpTransport, "send", keep):
                await _call_everything(client)
    return answers


async def _call_everything(client: EnapterClient) -> None:
    sites = await client.sites.list_mine().collect()
    site = sites[0].id
    await client.sites.list().collect()
    await client.sites.get(site)
    await client.sites.get_own()
    await client.sites.update(site, name="Site")
    await client.sites.update_own(name="Site")
    await client.sites.create(name="New", timezone="UTC")
    everything = await client.devices.list(
        expand={"manifest", "properties", "connectivity", "communication", "raised_alert_names", "site"}
    ).collect()
    device = next(device for device in everything if device.name == "Electrolyser 1")
    await client.devices.get(device.id, expand={"manifest", "properties", "connectivity"})
    await client.devices.get_manifest(device.id)
    await client.devices.update(device.id, name="Electrolyser 1")
    await client.devices.assign_blueprint(device.id, device.blueprint_id or "")
    await client.properties.get(device.id)
    await client.configuration.update(device.id, "limits", set={"max_pressure": 30})
    await client.configuration.get(device.id, "limits")
    await client.configuration.reset_all(device.id, "limits")
    execution = await client.commands.start(device.id, "start")
    await client.commands.execute(device.id, "set_production_rate", {"rate": 80}, expand={"log"})
    await client.commands.get_execution(device.id, execution, expand={"log"})
    await client.commands.list_executions(device_id=device.id, expand={"log"}).collect()
    await client.logs.list(device.id, max_items=5).collect()
    await client.telemetry.latest({device.id: ["power", "status", "dryer_on", "active_modules", "diagnostics"]})
    await client.telemetry.latest_for_device(device.id)
    made = await client.provisioning.ucm(name="UCM", hardware_id=HARDWARE_ID, site_id=site)
    await client.provisioning.vucm(name="VUCM", hardware_id=HARDWARE_ID[::-1])
    await client.provisioning.standalone(name="Alone")
    await client.provisioning.lua_device(runtime_id=made.device_id, blueprint_id=device.blueprint_id or "", name="Lua")
    await client.devices.generate_communication_config(made.device_id, protocol="MQTTS")
    with contextlib.suppress(EnapterError):
        await client.devices.run_terminal(made.device_id)
    source = await client.blueprints.download(device.blueprint_id or "")
    await client.blueprints.validate(source)
    await client.blueprints.upload(source)
    await client.blueprints.get(device.blueprint_id or "")
    await client.blueprints.get_by_name("electrolyser")
    profiles = await client.blueprints.download_device_profiles()
    await client.blueprints.upload_device_profiles(profiles)
    await client.rule_engine.get(site)
    await client.rule_engine.suspend(site)
    await client.rule_engine.resume(site)
    rule = await client.rules.create(slug="new", script=V3, site_id=site)
    await client.rules.list(site).collect()
    await client.rules.get(rule.id, site)
    await client.rules.update(rule.id, slug="newer", site_id=site)
    await client.rules.update_script(rule.id, script=V3, site_id=site)
    await client.rules.disable(rule.id, site_id=site)
    await client.rules.enable(rule.id, site_id=site)
    await client.rules.enable_many([rule.id], site_id=site)
    await client.rules.disable_many([rule.id], site_id=site)
    await client.rules.delete(rule.id, site_id=site)
    await client.sites.delete((await client.sites.create(name="Gone", timezone="UTC")).id)
    await client.devices.delete((await client.provisioning.standalone(name="Gone")).device_id)
