"""Every operation of `openapi.yaml` is served, and every answer is one that it allows."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import attrs
import pytest
from simulator_calls import Caller
from simulator_contract import operations

from enapter_async.simulator import Behaviour, Simulator
from enapter_async.simulator._server.manifests.archives import write_archive
from enapter_async.simulator._server.options import BehaviourOptions
from enapter_async.simulator._server.resources import OPERATIONS

MANIFEST = {"blueprint_spec": "device/3.0", "display_name": "Mine", "runtime": {"type": "lua"}}
ZIP = write_archive({"manifest.yml": json.dumps(MANIFEST).encode()})
SCRIPT = {"code": base64.b64encode(b"x()").decode(), "runtime_version": "V3"}
CSV = {"Accept": "text/csv"}
WEBSOCKET_ONLY = {"followRuleLogs", "gatewayFollowRuleLogs"}

# operationId: body, query. Ids in braces are filled in; what deletes comes last.
CALLS: dict[str, tuple[Any, str]] = {
    "listSites": (None, "?limit=1&name=a"),
    "createSite": ({"name": "New", "timezone": "UTC", "location": {"name": "x", "latitude": 1}}, ""),
    "getSite": (None, ""),
    "updateSite": ({"name": "Newer"}, ""),
    "getGatewaySite": (None, ""),
    "updateGatewaySite": ({"timezone": "UTC"}, ""),
    "listMySites": (None, ""),
    "listDevices": (None, "?expand=site,manifest,properties,connectivity,communication,raised_alert_names"),
    "listSiteDevices": (None, "?expand=manifest&offset=1"),
    "getDevice": (None, "?expand=site,manifest,properties,connectivity,communication,raised_alert_names"),
    "updateDevice": ({"name": "Newer"}, ""),
    "getSiteDevice": (None, ""),
    "updateSiteDevice": ({"slug": "electrolyser-1"}, ""),
    "getDeviceManifest": (None, ""),
    "generateDeviceConfig": ({"protocol": "MQTTS"}, ""),
    "runTerminal": (None, ""),
    "getConnectivityStatus": (None, ""),
    "getDeviceConfiguration": (None, "?param_names=uri"),
    "updateDeviceConfiguration": ({"set": {"unit_id": 2}}, ""),
    "resetDeviceConfiguration": (None, ""),
    "getDeviceProperties": (None, ""),
    "getSiteDeviceProperties": (None, ""),
    "executeCommand": ({"name": "start"}, "?expand=log"),
    "createExecution": ({"name": "start"}, ""),
    "listExecutions": (None, "?order=CREATED_AT_DESC"),
    "getExecution": (None, "?expand=log"),
    "listSiteExecutions": (None, ""),
    "listDeviceLogs": (None, ""),
    "listSiteDeviceLogs": (None, "?severity=info"),
    "streamDevices": (None, ""),
    "streamSiteDevices": (None, ""),
    "getDeviceTelemetry": (None, ""),
    "getSiteDeviceTelemetry": (None, "?attribute.in=power,nothing"),
    "getLatestTelemetry": (None, "?devices[{device_id}]=power,status,alerts"),
    "queryTimeseries": (
        {"from": 0, "to": 60, "telemetry": [{"device": "{device_id}", "attribute": ["power"]}]},
        "",
    ),
    "provisionUcm": ({"name": "x", "hardware_id": "AB" * 16}, ""),
    "provisionVucm": ({"name": "x", "hardware_id": "V" + "AC" * 16}, ""),
    "provisionStandalone": ({"name": "x"}, ""),
    "provisionLuaDevice": ({"name": "x", "runtime_id": "{ucm_id}", "blueprint_id": "{blueprint_id}"}, ""),
    "validateBlueprint": (ZIP, ""),
    "uploadBlueprint": (ZIP, ""),
    "getBlueprint": (None, ""),
    "downloadBlueprint": (None, "?view=ORIGINAL"),
    "getBlueprintByName": (None, ""),
    "uploadDeviceProfiles": (ZIP, ""),
    "downloadDeviceProfiles": (None, ""),
    "downloadDeviceProfilesLegacy": (None, ""),
    "getRuleEngine": (None, ""),
    "createRuleEngine": ({"suspend": False}, ""),
    "suspendRuleEngine": (None, ""),
    "resumeRuleEngine": (None, ""),
    "listRules": (None, ""),
    "createRule": ({"slug": "x", "script": SCRIPT}, ""),
    "getRule": (None, ""),
    "updateRule": ({"slug": "night-charge"}, ""),
    "updateRuleScript": ({"script": SCRIPT}, ""),
    "enableRule": (None, ""),
    "disableRule": (None, ""),
    "batchEnableRules": ({"rule_ids": ["night-charge"]}, ""),
    "batchDisableRules": ({"rule_ids": ["night-charge"]}, ""),
    "assignBlueprint": ({"blueprint_id": "{blueprint_id}"}, ""),
    "batchDeleteRules": ({"rule_ids": ["peak-shaving"]}, ""),
    "deleteRule": (None, ""),
    "deleteDevice": (None, ""),
    "deleteSiteDevice": (None, ""),
    "deleteSite": (None, ""),
}
CALLS |= {
    f"gateway{name[0].upper()}{name[1:]}": call
    for name, call in CALLS.items()
    if f"gateway{name[0].upper()}{name[1:]}" in operations()
}
# The device that an operation needs, where the usual electrolyser will not do.
DEVICES = {
    "generateDeviceConfig": "weather-station-1",
    "runTerminal": "gateway-1",
    "deleteDevice": "electrolyser-1",
    "deleteSiteDevice": "weather-station-1",
}


def test_every_operation_is_served_under_its_method_and_paths() -> None:
    served = {(operation.id, operation.method, operation.path) for operation in OPERATIONS}
    for name, operation in operations().items():
        assert (name, operation["method"], operation["path"]) in served
        scoped = operation.get("x-site-scoped-path")
        if scoped:
            assert (name, operation["method"], scoped) in served


def test_every_operation_is_served_where_the_specification_says() -> None:
    for operation in OPERATIONS:
        available = operations()[operation.id]["x-availability"]
        assert operation.served_in("any")
        assert operation.served_in("cloud") == ("cloud" in available)
        # Creating a site on a Gateway: sources disagree, and a refusal is to be treated as normal.
        assert operation.served_in("gateway") == ("gateway" in available) or operation.id == "createSite"


def test_every_option_of_the_behaviour_is_a_keyword() -> None:
    fields = {field.name for field in attrs.fields(Behaviour)}
    assert fields - {"mode"} == set(BehaviourOptions.__annotations__)


def test_every_operation_is_called_below() -> None:
    assert set(operations()) - set(CALLS) == WEBSOCKET_ONLY


@pytest.mark.anyio
@pytest.mark.parametrize("scoped", [False, True], ids=["unscoped", "scoped"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"created": True, "no_content": True, "upload_answer": "flat"},
        {"legacy_rule_engine": True, "upload_answer": "blueprint_id", "joined_data_types": True},
    ],
    ids=["plain", "created", "legacy"],
)
@pytest.mark.parametrize("role", ["OWNER", "READONLY"])
@pytest.mark.parametrize("gateway", [False, True], ids=["general", "gateway"])
async def test_every_answer_fits_the_contract(
    session: aiohttp.ClientSession, scoped: bool, options: dict[str, Any], role: str, gateway: bool
) -> None:
    if gateway and scoped:
        return
    async with Simulator(devices=8, role=role, command_seconds=0, **options) as sim:
        call = Caller(sim, session)
        site = next(iter(sim.world.sites))
        empty = sim.world.add_site("Empty").id
        statuses: dict[str, int] = {}
        for name, (body, query) in CALLS.items():
            if name.startswith("gateway") != gateway:
                continue
            operation = operations()[name]
            path = operation.get("x-site-scoped-path", operation["path"]) if scoped else operation["path"]
            ids = {
                "site_id": empty if name == "deleteSite" else site,
                "device_id": _device(sim, DEVICES.get(name, "electrolyser-1")),
                "ucm_id": _device(sim, "virtual-ucm-1"),
                "blueprint_id": next(iter(sim.world.blueprints)),
                "execution_id": next((one.id for one in sim.world.executions), "none"),
                "group_name": "connection",
                "rule_id": "night-charge",
                "namespace": "enapter",
                "name": "battery",
                "tag": "latest",
            }
            if body is not None:
                fields = {"data": body} if isinstance(body, bytes) else {"json": _filled(body, ids)}
            else:
                fields = {}
            headers = CSV if name == "queryTimeseries" else {}
            url = _filled(path, ids) + _filled(query, ids)
            statuses[name], _ = await call.answer(operation["method"], url, headers=headers, **fields)
            assert sim.requests[-1].operation == name
        if role == "OWNER":
            assert {name: status for name, status in statuses.items() if status >= 300} == {}
        else:
            assert {s for n, s in statuses.items() if n.startswith(("delete", "update", "provision"))} <= {403, 404}


def _device(sim: Simulator, slug: str) -> str:
    device = sim.world.devices.find(slug)
    return "gone" if device is None else device.id


def _filled(value: Any, ids: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, one in ids.items():
        text = text.replace("{" + name + "}", one)
    return json.loads(text)
