"""What the vendor's own clients rely on: their command line, dashboards, MCP server and editor extension."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from simulator_calls import Caller, device_of

from enapter_async.simulator import STOCK, Simulator, World
from enapter_async.simulator._server.manifests.archives import write_archive

pytestmark = pytest.mark.anyio

NO_TELEMETRY = "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"
T0 = 1_773_482_400
MANIFEST = """\
blueprint_spec: device/3.0
display_name: Meter
implements: lib.meter
properties:
  model: {type: string, implements: lib.device.model, aliases: kind}
telemetry:
  flow: {type: float, implements: lib.meter.flow, aliases: rate}
  aliases: {type: string, implements: null}
commands:
  reset:
    display_name: Reset
    implements: lib.meter.reset
    aliases: clear
    arguments:
      depth: {type: integer, implements: lib.meter.depth}
"""


async def history(call: Caller, *devices: str, status: int = 200, attribute: str = "power", **headers: str) -> Any:
    body = {
        "from": T0,
        "to": T0 + 600,
        "telemetry": [{"device": device, "attribute": attribute} for device in devices],
    }
    headers = {"Accept": "text/csv", "Accept-Encoding": "identity"} | headers
    return await call("POST", "/v3/telemetry/query_timeseries", json=body, headers=headers, status=status)


async def test_the_health_check_of_the_dashboards_asks_for_a_random_device(call: Caller) -> None:
    answer = await history(call, str(uuid.uuid4()), status=404)
    assert [error["code"] for error in answer["errors"]] == [NO_TELEMETRY]


async def test_the_health_check_of_the_dashboards_asks_as_an_unknown_user(session: aiohttp.ClientSession) -> None:
    async with Simulator(users={"anna": "OWNER"}) as sim:
        call = Caller(sim, session)
        device = device_of(sim, "battery")
        for asked in (device.id, str(uuid.uuid4())):
            answer = await history(call, asked, status=404, **{"X-Enapter-Auth-User": str(uuid.uuid4())})
            assert [error["code"] for error in answer["errors"]] == [NO_TELEMETRY]
        assert await history(call, device.id, **{"X-Enapter-Auth-User": "anna"})


async def test_an_unknown_device_beside_a_known_one_is_left_out_of_history(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    assert await history(call, "nothing", device.id, str(uuid.uuid4())) == await history(call, device.id)
    await history(call, "nothing", device.id, attribute="nothing", status=404)


def lists_of(node: Any) -> Iterator[Any]:
    """Give everything that is called `implements` or `aliases`, whatever is called so itself."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("implements", "aliases") and not isinstance(value, dict):
                yield value
            else:
                yield from lists_of(value)


@pytest.mark.parametrize("stock", STOCK, ids=lambda stock: stock.name)
async def test_implements_and_aliases_of_every_manifest_are_lists(stock: Any) -> None:
    blueprint = World().find_blueprint(stock.name)
    assert blueprint is not None
    found = list(lists_of(blueprint.manifest))
    assert found
    assert all(isinstance(value, list) and all(isinstance(name, str) for name in value) for value in found)


async def test_implements_of_an_uploaded_manifest_are_lists_wherever_it_is_served(sim: Simulator, call: Caller) -> None:
    data = write_archive({"manifest.yml": MANIFEST.encode()})
    blueprint_id = (await call("POST", "/v3/blueprints/upload", data=data))["blueprint"]["id"]
    device = device_of(sim, "battery")
    await call("POST", f"/v3/devices/{device.id}/assign_blueprint", json={"blueprint_id": blueprint_id})
    manifest = (await call("GET", f"/v3/devices/{device.id}/manifest"))["manifest"]
    expanded = (await call("GET", f"/v3/devices/{device.id}?expand=manifest"))["device"]
    assert expanded["manifest"] == manifest
    assert expanded["implemented_profiles"] == manifest["implements"] == ["lib.meter"]
    assert manifest["telemetry"]["flow"] == {"type": "float", "implements": ["lib.meter.flow"], "aliases": ["rate"]}
    assert manifest["telemetry"]["aliases"] == {"type": "string"}
    assert list(lists_of(manifest)) == [
        ["lib.meter"],
        ["lib.device.model"],
        ["kind"],
        ["lib.meter.flow"],
        ["rate"],
        ["lib.meter.reset"],
        ["clear"],
        ["lib.meter.depth"],
    ]
    assert await call("GET", f"/v3/blueprints/{blueprint_id}/zip?view=ORIGINAL") == data  # as it was uploaded
    await call("POST", f"/v3/devices/{device.id}/command_executions", json={"name": "clear", "arguments": {"depth": 1}})


@pytest.mark.parametrize("severity", ["warning", "WARNING", "Warning"])
async def test_the_severity_of_logs_is_read_in_any_case(
    sim: Simulator, call: Caller, session: aiohttp.ClientSession, severity: str
) -> None:
    device = device_of(sim, "battery")
    path = f"/v3/devices/{device.id}/logs?severity={severity}"
    assert {log["severity"] for log in (await call("GET", path))["logs"]} == {"warning"}
    headers = {"X-Enapter-Auth-Token": sim.token}
    async with session.ws_connect(f"{sim.url}{path}", headers=headers) as socket:
        sim.world.log(device, "this", "info")
        sim.world.log(device, "that", "warning")
        assert (await socket.receive_json())["log"]["message"] == "that"


async def test_my_sites_are_those_where_the_caller_is_owner_or_installer(session: aiohttp.ClientSession) -> None:
    async with Simulator(sites=6, role="READONLY", users={"anna": "READONLY"}) as sim:
        call = Caller(sim, session)
        roles = ("READONLY", "USER", "OWNER", "INSTALLER", "VENDOR", "SYSTEM")
        grant = sim.grants[sim.token]
        for site_id, role in zip(sim.world.sites, roles, strict=True):
            grant.site_roles[site_id] = type(grant.role)[role]
        mine = await call("GET", "/v3/users/me/sites")
        assert {site["authorized_role"] for site in mine["sites"]} == {"OWNER", "INSTALLER"}
        assert mine["total_count"] == 2

        anna = {"X-Enapter-Auth-User": "anna"}
        assert (await call("GET", "/v3/users/me/sites", headers=anna))["sites"] == []
        body = {"name": "Hers", "timezone": "UTC"}
        made = await call("POST", "/v3/sites", json=body, headers=anna)
        assert (await call("GET", "/v3/users/me/sites", headers=anna))["sites"] == [made["site"]]
        assert (await call("GET", "/v3/users/me/sites"))["total_count"] == 2


async def test_a_lone_surrogate_is_answered_in_utf_8(sim: Simulator, session: aiohttp.ClientSession) -> None:
    """Python can decode it otherwise, and other languages cannot."""
    device = device_of(sim, "battery")
    headers = {"X-Enapter-Auth-Token": sim.token}
    path = f"{sim.url}/v3/devices/{device.id}"
    async with session.patch(path, data=rb'{"name": "half \ud800"}', headers=headers) as answer:
        assert json.loads((await answer.read()).decode())["device"]["name"] == "half \ud800"
    async with session.get(path, headers=headers) as answer:
        assert json.loads((await answer.read()).decode())["device"]["name"] == "half \ud800"
    async with session.ws_connect(f"{path}/logs", headers=headers) as socket:
        sim.world.log(device, "half \ud800", "error")
        while "half" not in (frame := await socket.receive_json(timeout=5))["log"]["message"]:
            pass
        assert frame["log"]["message"] == "half \ud800"
