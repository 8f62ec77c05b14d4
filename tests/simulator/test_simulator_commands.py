"""Commands, configuration, logs and provisioning keep their state."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from simulator_calls import Caller, device_of

from enapter_async.simulator import Device, Role, Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture
def device(sim: Simulator) -> Device:
    return device_of(sim, "electrolyser")


async def execute(call: Caller, device: Device, name: str, arguments: Any = None, **kwargs: Any) -> Any:
    body = {"name": name} | ({} if arguments is None else {"arguments": arguments})
    answer = await call("POST", f"/v3/devices/{device.id}/execute_command?expand=log", json=body, **kwargs)
    return answer.get("execution", answer)


async def test_a_command_runs_through_its_states(session: aiohttp.ClientSession) -> None:
    now = [1_773_482_400.0]
    async with Simulator(clock=lambda: now[0], command_seconds=1) as sim:
        call, device = Caller(sim, session), device_of(sim, "electrolyser")
        path = f"/v3/devices/{device.id}/command_executions"
        path += f"/{(await call('POST', path, json={'name': 'start'}))['execution_id']}?expand=log"
        first = (await call("GET", path))["execution"]
        assert (first["state"], first["log"]) == ("NEW", [])
        assert "response" not in first
        now[0] += 0.5
        second = (await call("GET", path))["execution"]
        assert (second["state"], second["response"]) == ("IN_PROGRESS", second["log"][0])
        now[0] += 0.5
        last = (await call("GET", path))["execution"]
        assert (last["state"], last["response"]) == ("SUCCESS", last["log"][0])
        assert [entry["state"] for entry in last["log"]] == ["SUCCEEDED", "IN_PROGRESS", "STARTED"]


async def test_execute_waits_for_the_end(call: Caller, device: Device) -> None:
    execution = await execute(call, device, "set_rate", {"rate": 80})
    assert execution["state"] == "SUCCESS"
    assert execution["request"] == {
        "name": "set_rate",
        "manifest_name": "set_production_rate",
        "arguments": {"rate": 80, "ramp": 1.5},
    }
    assert execution["response"]["payload"] == {"applied": {"rate": 80, "ramp": 1.5}}


async def test_the_manifest_says_what_fails(call: Caller, device: Device) -> None:
    assert (await execute(call, device, "self_test"))["state"] == "ERROR"
    assert (await execute(call, device, "flush_stack"))["state"] == "TIMEOUT"


async def test_an_offline_device_says_nothing(call: Caller, device: Device) -> None:
    device.connectivity = "OFFLINE"
    execution = await execute(call, device, "start")
    assert (execution["state"], execution["log"]) == ("TIMEOUT", [])


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({}, "rate"),
        ({"rate": None}, "rate"),
        ({"rate": "80"}, "rate"),
        ({"rate": True}, "rate"),
        ({"rate": 80.5}, "rate"),
        ({"rate": 59}, "rate"),
        ({"rate": 101}, "rate"),
        ({"rate": 80, "speed": 1}, "speed"),
        ({"rate": 80, "ramp": -0.1}, "ramp"),
    ],
)
async def test_arguments_must_fit_the_manifest(
    sim: Simulator, call: Caller, device: Device, arguments: dict[str, Any], argument: str
) -> None:
    answer = await execute(call, device, "set_production_rate", arguments, status=422)
    assert answer["errors"][0]["details"] == {"argument": argument}
    assert len(sim.world.executions) == 0


async def test_enums_lists_and_secrets_in_arguments(sim: Simulator, call: Caller, device: Device) -> None:
    await execute(call, device, "set_mode", {"mode": "turbo"}, status=422)
    await execute(call, device, "set_mode", {"mode": "auto", "modules": [1]}, status=422)
    good = {"mode": "auto", "modules": ["a"], "pin": "1234"}
    execution = await execute(call, device, "set_mode", good)
    assert execution["request"]["arguments"]["pin"] == "***"
    assert [one.sent_arguments["pin"] for one in sim.world.executions] == ["1234"]
    assert "1234" not in str([record.message for record in device.logs])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "fly"}, 422),
        ({}, 400),
        ({"name": 1}, 400),
        ({"name": "start", "arguments": []}, 400),
        ({"name": "start", "ephemeral": "yes"}, 400),
    ],
)
async def test_bad_commands_are_refused(
    sim: Simulator, call: Caller, device: Device, body: dict[str, Any], status: int
) -> None:
    for path in ("execute_command", "command_executions"):
        await call("POST", f"/v3/devices/{device.id}/{path}", json=body, status=status)
    assert len(sim.world.executions) == 0


async def test_access_levels_decide_who_may_run_and_see_a_command(sim: Simulator, call: Caller, device: Device) -> None:
    sim.add_token("reader", Role.READONLY)
    sim.add_token("installer", Role.INSTALLER)
    await execute(call, device, "start", token="reader", status=403)
    await execute(call, device, "reset_counters", status=403)
    await execute(call, device, "reset_counters", token="installer")
    listed = await call("GET", f"/v3/devices/{device.id}/command_executions")
    assert listed["total_count"] == 0
    listed = await call("GET", f"/v3/devices/{device.id}/command_executions", token="installer")
    path = f"/v3/devices/{device.id}/command_executions/{listed['executions'][0]['id']}"
    await call("GET", path, status=403)


async def test_lists_of_executions_filter_and_order(sim: Simulator, call: Caller, device: Device) -> None:
    other = sim.world.devices.find("battery-1", device.site_id)
    assert other is not None
    for name in ("start", "stop", "self_test", "start"):
        await call("POST", f"/v3/devices/{device.id}/command_executions", json={"name": name})
    await call("POST", f"/v3/devices/{device.id}/command_executions", json={"name": "stop", "ephemeral": True})
    await call("POST", f"/v3/devices/{other.id}/command_executions", json={"name": "open_contactor", "arguments": None})
    await asyncio.sleep(0.12)
    mine, site = f"/v3/devices/{device.id}/command_executions", f"/v3/sites/{device.site_id}/commands/executions"

    async def names(path: str) -> list[str]:
        return [one["request"]["name"] for one in (await call("GET", path))["executions"]]

    assert await names(mine) == ["start", "stop", "self_test", "start"]
    assert await names(f"{mine}?order=CREATED_AT_DESC") == ["start", "self_test", "stop", "start"]
    assert await names(f"{mine}?expand=ephemeral") == ["start", "stop", "self_test", "start", "stop"]
    assert await names(f"{mine}?state.in=ERROR,TIMEOUT") == ["self_test"]
    assert await names(f"{mine}?name.in=stop,self_test") == ["stop", "self_test"]
    assert await names(f"{mine}?limit=2&offset=1") == ["stop", "self_test"]
    assert await names(site) == ["start", "stop", "self_test", "start", "open_contactor"]
    assert await names(f"{site}?device_id.in={other.id}") == ["open_contactor"]
    times = [one["created_at"] for one in (await call("GET", mine))["executions"]]
    assert await names(f"{mine}?created_at.gte={times[1]}&created_at.lt={times[3]}") == ["stop", "self_test"]
    for bad in ("order=UP", "state.in=DONE", "created_at.gte=2026-03-14", "expand=all", "limit=99"):
        await call("GET", f"{mine}?{bad}", status=400)


async def test_executions_of_one_moment_have_one_order(session: aiohttp.ClientSession) -> None:
    async with Simulator(clock=lambda: 1_773_482_400.0) as sim:
        call, device = Caller(sim, session), device_of(sim, "electrolyser")
        for _ in range(5):
            await call("POST", f"/v3/devices/{device.id}/command_executions", json={"name": "start"})
        path = f"/v3/devices/{device.id}/command_executions?order=CREATED_AT_"
        up, down = [(await call("GET", path + order))["executions"] for order in ("ASC", "DESC")]
        assert up == down[::-1]


async def test_ephemeral_executions_are_forgotten_after_a_day(session: aiohttp.ClientSession) -> None:
    now = [1_773_482_400.0]
    async with Simulator(clock=lambda: now[0], command_seconds=0) as sim:
        call, device = Caller(sim, session), device_of(sim, "electrolyser")
        body = {"name": "start", "ephemeral": True}
        answer = await call("POST", f"/v3/devices/{device.id}/execute_command", json=body)
        path = f"/v3/devices/{device.id}/command_executions/{answer['execution']['id']}"
        await call("GET", path)
        now[0] += 86_400
        await call("GET", path, status=404)


async def test_configuration_is_set_reset_and_hidden(call: Caller, device: Device) -> None:
    path = f"/v3/devices/{device.id}/configuration/connection"
    defaults = {"uri": "port://rs485", "unit_id": 1, "timeout": 1.5}
    assert (await call("GET", path))["configuration"] == defaults
    change = {"set": {"unit_id": 7, "password": "hunter2"}}
    assert (await call("PATCH", path, json=change))["configuration"] == defaults | {"unit_id": 7}
    assert device.configuration["connection"]["password"] == "hunter2"
    assert (await call("GET", f"{path}?param_names=unit_id,uri"))["configuration"] == {
        "uri": "port://rs485",
        "unit_id": 7,
    }
    assert (await call("PATCH", path, json={"reset": ["unit_id"]}))["configuration"] == defaults
    await call("PATCH", path, json=change)
    assert (await call("POST", f"{path}/reset_all"))["configuration"] == defaults
    assert device.configuration["connection"] == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"set": {"unit_id": "x"}}, 422),
        ({"set": {"unit_id": 300}}, 422),
        ({"set": {"nothing": 1}}, 422),
        ({"reset": ["nothing"]}, 422),
        ({"set": {"unit_id": 2}, "reset": ["unit_id"]}, 422),
        ({"set": []}, 400),
        ({"reset": "unit_id"}, 400),
    ],
)
async def test_bad_configuration_is_refused_and_changes_nothing(
    call: Caller, device: Device, body: dict[str, Any], status: int
) -> None:
    await call("PATCH", f"/v3/devices/{device.id}/configuration/connection", json=body, status=status)
    assert device.configuration.get("connection", {}) == {}


async def test_configuration_groups_have_access_levels(sim: Simulator, call: Caller, device: Device) -> None:
    sim.add_token("user", Role.USER)
    await call("GET", f"/v3/devices/{device.id}/configuration/connection", token="user")
    await call("GET", f"/v3/devices/{device.id}/configuration/limits", token="user", status=403)
    await call("GET", f"/v3/devices/{device.id}/configuration/factory", status=403)
    await call("GET", f"/v3/devices/{device.id}/configuration/nothing", status=404)
    await call("GET", f"/v3/devices/{device.id}/configuration/limits?param_names=nothing", status=422)


async def test_properties_above_the_role_are_left_out(sim: Simulator, call: Caller, device: Device) -> None:
    sim.add_token("reader", Role.READONLY)
    mine = (await call("GET", f"/v3/devices/{device.id}/properties"))["properties"]
    theirs = (await call("GET", f"/v3/devices/{device.id}/properties", token="reader"))["properties"]
    assert set(device.properties) - set(mine) == {"production_key"}
    assert set(device.properties) - set(theirs) == {"production_key", "network"}


async def test_logs_filter_order_and_page(session: aiohttp.ClientSession) -> None:
    # Time stands still: otherwise the log grows while it is paged through.
    async with Simulator(clock=lambda: 1_773_482_400.25) as sim:
        await check_logs(sim, Caller(sim, session), device_of(sim, "electrolyser"))


async def check_logs(sim: Simulator, call: Caller, device: Device) -> None:
    sim.world.log(device, "kept", "error")
    sim.world.log(device, "passing", "error", persistent=False)
    path = f"/v3/devices/{device.id}/logs"

    async def logs(query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := (await call("GET", f"{path}?offset={len(found)}{query}"))["logs"]:
            found += page
        return found

    up = await logs()
    assert len(up) > 300
    assert [one["message"] for one in up[-2:]] == ["kept", "passing"]
    assert up == sorted(up, key=lambda one: one["received_at"])
    assert await logs("&order=RECEIVED_AT_DESC") == up[::-1]
    assert {one["severity"] for one in await logs("&severity=error")} == {"error"}
    kept = [one["message"] for one in await logs("&retention=PERSISTENT&severity=error")]
    assert "kept" in kept
    assert "passing" not in kept
    assert "passing" in [one["message"] for one in await logs("&retention=EPHEMERAL")]
    span = f"&received_at.gte={up[10]['received_at']}&received_at.lt={up[20]['received_at']}"
    assert await logs(span) == up[10:20]
    older = f"&received_at_from={up[10]['received_at']}&received_at_to={up[20]['received_at']}&show=ALL"
    assert await logs(older) == up[10:20]
    for bad in ("severity=loud", "retention=SOME", "order=UP", "received_at.gte=yesterday"):
        await call("GET", f"{path}?{bad}", status=400)


async def test_a_standalone_device_from_blueprint_to_config(sim: Simulator, call: Caller) -> None:
    site = next(iter(sim.world.sites))
    made = await call("POST", "/v3/provisioning/standalone", json={"name": "Meter", "site_id": site, "slug": "m"})
    path = f"/v3/devices/{made['device_id']}"
    assert (await call("GET", path))["device"]["blueprint_id"] is None
    blueprint = sim.world.find_blueprint("energy_meter")
    assert blueprint is not None
    answer = await call("POST", f"{path}/assign_blueprint", json={"blueprint_id": blueprint.id})
    assert answer["device"]["blueprint_id"] == blueprint.id
    first = (await call("POST", f"{path}/generate_config", json={"protocol": "MQTTS"}))["config"]
    second = (await call("POST", f"{path}/generate_config", json={"protocol": "MQTTS"}))["config"]
    assert first["mqtt_credentials"]["private_key"] != second["mqtt_credentials"]["private_key"]
    assert first["mqtt_credentials"]["certificate"].startswith("-----BEGIN CERTIFICATE-----\n")
    plain = (await call("POST", f"{path}/generate_config", json={"protocol": "MQTT"}))["config"]
    assert set(plain["mqtt_credentials"]) == {"protocol", "username", "password"}
    await call("POST", f"{path}/generate_config", json={"protocol": "HTTP"}, status=400)
    again = {"name": "Other", "site_id": site, "slug": "m"}
    await call("POST", "/v3/provisioning/standalone", json=again, status=409)
    other_site = list(sim.world.sites)[1]
    await call("POST", "/v3/provisioning/standalone", json=again | {"site_id": other_site})


async def test_a_lua_device_runs_on_a_ucm_that_cannot_be_deleted_before_it(sim: Simulator, call: Caller) -> None:
    hardware = {"name": "UCM", "hardware_id": "V" + "AB" * 16}
    ucm = await call("POST", "/v3/provisioning/vucm", json=hardware)
    assert (await call("POST", "/v3/provisioning/vucm", json=hardware))["device_id"] == ucm["device_id"]
    blueprint = sim.world.find_blueprint("inverter")
    assert blueprint is not None
    lua = {"runtime_id": ucm["device_id"], "blueprint_id": blueprint.id, "name": "Inverter"}
    made = await call("POST", "/v3/provisioning/lua_device", json=lua)
    found = (await call("GET", f"/v3/devices/{made['device_id']}?expand=communication"))["device"]
    assert found["communication"]["upstream_id"] == ucm["device_id"]
    await call("DELETE", f"/v3/devices/{ucm['device_id']}", status=409)
    await call("DELETE", f"/v3/devices/{made['device_id']}")
    await call("DELETE", f"/v3/devices/{ucm['device_id']}")
    await call("GET", f"/v3/devices/{ucm['device_id']}", status=404)
    runtime = device_of(sim, "weather_station").id
    await call("POST", "/v3/provisioning/lua_device", json=lua | {"runtime_id": runtime}, status=422)


async def test_a_hardware_ucm_gets_a_new_config_each_time(sim: Simulator, call: Caller) -> None:
    body = {"name": "UCM", "hardware_id": "AB" * 16, "protocol": "MQTTS"}
    first = await call("POST", "/v3/provisioning/ucm", json=body)
    second = await call("POST", "/v3/provisioning/ucm", json=body)
    assert first["device_id"] == second["device_id"]
    assert first["config"] != second["config"]
    await call("POST", "/v3/provisioning/ucm", json=body | {"hardware_id": "xyz"}, status=400)
    taken = body | {"site_id": list(sim.world.sites)[1]}
    await call("POST", "/v3/provisioning/ucm", json=taken, status=409)


async def test_only_a_gateway_has_a_terminal(sim: Simulator, call: Caller, device: Device) -> None:
    answer = await call("POST", f"/v3/devices/{device_of(sim, 'gateway').id}/run_terminal")
    assert set(answer) == {"channel_id", "token", "websocket_url"}
    await call("POST", f"/v3/devices/{device.id}/run_terminal", status=422)


async def test_provisioning_needs_an_owner(sim: Simulator, call: Caller) -> None:
    sim.add_token("user", Role.USER)
    for kind, body in (
        ("standalone", {"name": "x"}),
        ("vucm", {"name": "x", "hardware_id": "AB" * 16}),
        ("ucm", {"name": "x", "hardware_id": "AB" * 16}),
    ):
        await call("POST", f"/v3/provisioning/{kind}", json=body, token="user", status=403)
    assert len(sim.world.devices) == 20


async def test_sites_are_made_changed_and_deleted(call: Caller) -> None:
    made = (await call("POST", "/v3/sites", json={"name": "New", "timezone": "UTC", "location": None}))["site"]
    assert made["authorized_role"] == "INSTALLER"
    path = f"/v3/sites/{made['id']}"
    place = {"name": "Porto", "latitude": "41.1", "longitude": -8}
    changed = (await call("PATCH", path, json={"name": None, "timezone": "Europe/Lisbon", "location": place}))["site"]
    assert changed == made | {
        "timezone": "Europe/Lisbon",
        "location": {"name": "Porto", "latitude": 41.1, "longitude": -8},
    }
    assert [site["id"] for site in (await call("GET", "/v3/sites?name=new"))["sites"]] == [made["id"]]
    await call("PATCH", path, json={"timezone": "Mars/Olympus"}, status=400)
    await call("PATCH", path, json={"location": {"name": "x", "latitude": 91}}, status=400)
    assert await call("DELETE", path) == {}
    await call("GET", path, status=404)


async def test_a_site_with_devices_stays(sim: Simulator, call: Caller) -> None:
    await call("DELETE", f"/v3/sites/{next(iter(sim.world.sites))}", status=409)


async def test_deletions_and_creations_answer_as_asked(session: aiohttp.ClientSession) -> None:
    async with Simulator(no_content=True, created=True) as sim:
        call = Caller(sim, session)
        made = await call("POST", "/v3/sites", json={"name": "New", "timezone": "UTC"}, status=201)
        assert await call("DELETE", f"/v3/sites/{made['site']['id']}", status=204) == b""


async def test_a_slug_is_unique_on_its_site(sim: Simulator, call: Caller, device: Device) -> None:
    await call("PATCH", f"/v3/devices/{device.id}", json={"slug": "battery-1"}, status=409)
    await call("PATCH", f"/v3/devices/{device.id}", json={"slug": "el", "name": None})
    answer = await call("GET", f"/v3/sites/{device.site_id}/devices/el?expand=site,manifest,connectivity")
    found = answer["device"]
    assert found["id"] == device.id
    assert found["site"]["id"] == device.site_id
    assert found["manifest"]["blueprint_spec"] == "device/3.0"
    assert found["connectivity"] == {"status": "ONLINE"}
    assert "properties" not in found
    await call("GET", f"/v3/devices/{device.id}?expand=everything", status=400)
    other_site = list(sim.world.sites)[1]
    await call("GET", f"/v3/sites/{other_site}/devices/{device.id}", status=404)


async def test_latest_telemetry(sim: Simulator, call: Caller, device: Device) -> None:
    battery = device_of(sim, "battery")
    device.telemetry["power"] = 5.5
    sim.world.raise_alert(device, "water_low")
    query = {
        f"devices[{device.id}]": "power,alerts,nothing,board_temperature",
        f"devices[{battery.slug}]": "soc",
        "devices[nobody]": "x",
    }
    before = int(time.time())
    telemetry = (await call("GET", "/v3/telemetry/latest", params=query))["telemetry"]
    mine = telemetry[device.id]
    assert mine["power"]["value"] == 5.5
    assert "water_low" in mine["alerts"]["value"]
    assert mine["nothing"] == {"warning": "Telemetry attribute is not found."}
    assert set(mine["board_temperature"]) == {"warning"}
    assert before <= telemetry[battery.slug]["soc"]["timestamp"] <= time.time()
    assert telemetry["nobody"]["x"] == {"warning": "Device is not found."}
    battery.connectivity = "OFFLINE"
    answer = await call("GET", f"/v3/devices/{battery.id}/telemetry?attribute.in=soc")
    assert set(answer["telemetry"]["soc"]) == {"warning"}
    for bad in ("", "?relevance_interval=1s", "?devices[x]=y&relevance_interval=1d"):
        await call("GET", f"/v3/telemetry/latest{bad}", status=400)
