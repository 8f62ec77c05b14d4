"""WebSocket streams: what flows, what is refused, and what tests can do to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from simulator_calls import Caller, device_of
from simulator_contract import check_value

from enapter_async.integrations.virtual_time import VirtualTimeLoop
from enapter_async.simulator import Device, Role, Simulator

# No time passes while something happens, so nothing flows by itself before a test has done what it wants to.
pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=VirtualTimeLoop)]


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    loop = asyncio.get_running_loop()
    since = 1_773_482_400 - loop.time()
    async with Simulator(
        stream_interval=0.02, log_interval=0.05, command_seconds=0, clock=lambda: since + loop.time()
    ) as sim:
        yield sim


@asynccontextmanager
async def opened(call: Caller, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"X-Enapter-Auth-Token": call.sim.token}
    async with call.session.ws_connect(call.sim.url + path, headers=headers) as socket:
        yield socket


async def frames(
    socket: aiohttp.ClientWebSocketResponse, count: int, schema: str | None = None
) -> list[dict[str, Any]]:
    """Give the next frames, and check them against a schema of the specification."""
    async with asyncio.timeout(2):
        seen = [json.loads((await socket.receive()).data) for _ in range(count)]
    for frame in seen if schema else ():
        check_value({"$ref": f"#/components/schemas/{schema}"}, frame)
    return seen


async def test_logs_are_followed_with_filters(sim: Simulator, call: Caller, device: Device) -> None:
    path = f"/v3/devices/{device.id}/logs?severity=error&retention=PERSISTENT"
    async with opened(call, path) as socket:
        sim.world.log(device, "not this", "info")
        sim.world.log(device, "nor this", "error", persistent=False)
        sim.world.log(device, "this", "error")
        (frame,) = await frames(socket, 1, "DeviceLogFrame")
        assert frame["log"] == {"severity": "error", "message": "this"}
        assert isinstance(frame["timestamp"], int)
        (own,) = await frames(socket, 1)
        assert own["log"]["severity"] == "error"
    listed = await call("GET", f"{path}&order=RECEIVED_AT_DESC")
    assert "this" in [record["message"] for record in listed["logs"]]
    # What flowed by can be listed afterwards, at the same time.
    assert own["received_at"] in [record["received_at"] for record in listed["logs"]]


async def test_older_frames_are_flat(session: aiohttp.ClientSession) -> None:
    async with Simulator(flat_frames=True, stream_interval=0.02) as sim:
        call, device = Caller(sim, session), device_of(sim, "battery")
        async with opened(call, f"/v3/devices/{device.id}/logs") as socket:
            sim.world.log(device, "hello", "warning")
            (frame,) = await frames(socket, 1, "DeviceLogFrame")
            assert (frame["severity"], frame["message"]) == ("warning", "hello")
        async with opened(call, f"/v3/devices/{device.id}/telemetry") as socket:
            assert {"timestamp", "soc"} <= (await frames(socket, 1))[0].keys()


async def test_telemetry_is_followed(sim: Simulator, call: Caller, device: Device) -> None:
    async with opened(call, f"/v3/sites/{device.site_id}/devices/{device.slug}/telemetry") as socket:
        device.telemetry["soc"] = 55
        seen = await frames(socket, 3, "DeviceStreamFrame")
        assert {frame["device_id"] for frame in seen} == {device.id}
        assert seen[-1]["telemetry"]["soc"] == 55


@pytest.mark.parametrize("style", ["repeated", "comma"])
async def test_all_traffic_of_chosen_devices(sim: Simulator, call: Caller, device: Device, style: str) -> None:
    other = device_of(sim, "inverter")
    ids = [device.id, other.id]
    query = "&".join(f"id.in={one}" for one in ids) if style == "repeated" else f"id.in={','.join(ids)}"
    async with opened(call, f"/v3/devices/?{query}") as socket:
        await call("POST", f"/v3/devices/{other.id}/execute_command", json={"name": "enable"})
        seen = await frames(socket, 12, "DeviceStreamFrame")
    assert {frame["device_id"] for frame in seen} == set(ids)
    kinds = [set(frame) - {"device_id", "received_at", "timestamp"} for frame in seen]
    assert {"telemetry"} in kinds
    assert {"properties"} in kinds
    assert {"log"} in kinds
    assert all(len(kind) == 1 for kind in kinds)
    assert "command enable" in [frame["log"]["message"] for frame in seen if "log" in frame]


async def test_a_device_that_is_named_twice_is_followed_once(call: Caller, device: Device) -> None:
    async with opened(call, f"/v3/devices/?id.in={device.id}&id.in={device.slug}") as socket:
        seen = await frames(socket, 2)
    assert ["properties" in frame for frame in seen] == [True, False]


async def test_without_an_upgrade_the_stream_path_is_the_list(call: Caller, device: Device) -> None:
    assert (await call("GET", "/v3/devices/"))["total_count"] == 20
    path = f"/v3/sites/{device.site_id}/devices/"
    assert [one["id"] for one in (await call("GET", f"{path}?id.in={device.id}"))["devices"]] == [device.id]


@pytest.mark.parametrize("kind", ["site", "own"])
async def test_rule_logs_are_followed(sim: Simulator, call: Caller, kind: str) -> None:
    site = next(iter(sim.world.sites))
    base = f"/v3/sites/{site}/rule_engine" if kind == "site" else "/v3/site/rule_engine"
    rule = sim.world.rule_engine(site).find("night-charge")
    async with opened(call, f"{base}/rules/night-charge/logs") as socket:
        sim.world.rule_log(rule, "hello", "debug")
        seen = await frames(socket, 2, "RuleLogFrame")
        assert seen[0]["message"] == "hello"
        assert all(set(frame) == {"timestamp", "severity", "message"} for frame in seen)
    await call("GET", f"{base}/rules/night-charge/logs", status=400)


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/v3/devices/nothing/logs", None, 404),
        ("/v3/devices/?id.in=nothing", None, 404),
        ("/v3/devices/battery-1/logs?severity=loud", None, 400),
        ("/v3/devices/battery-1/telemetry", "wrong", 403),
        ("/v3/devices/battery-1/telemetry", "", 401),
    ],
)
async def test_refused_handshakes_carry_the_normal_error(
    call: Caller, path: str, token: str | None, status: int
) -> None:
    answer = await call("GET", path, token=token, headers=UPGRADE, status=status)
    assert answer["errors"]
    if status == 404:
        await call("GET", "/v3/devices/battery-1/logs", headers={"Upgrade": "websocket"}, status=400)


async def test_plain_http_handshakes_are_redirected(session: aiohttp.ClientSession) -> None:
    async with Simulator(mode="cloud") as sim:
        url = f"{sim.url}/v3/devices/battery-1/logs"
        async with session.get(url, headers=UPGRADE, allow_redirects=False) as response:
            assert response.status == 308
            assert response.headers["Location"] == "https" + url[4:]


async def test_tests_can_emit_and_drop(sim: Simulator, call: Caller, device: Device) -> None:
    async with opened(call, f"/v3/devices/{device.id}/logs?severity=debug") as socket:
        assert sim.sockets.emit({"new": "shape"}, path="/logs") == 1
        sim.sockets.emit("no JSON at all")
        assert (await frames(socket, 1))[0] == {"new": "shape"}
        async with asyncio.timeout(2):
            while (await socket.receive()).data != "no JSON at all":
                pass
        assert sim.sockets.drop() == 1
        async with asyncio.timeout(2):
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_streams_are_counted_apart(sim: Simulator, call: Caller, device: Device) -> None:
    async with opened(call, f"/v3/devices/{device.id}/telemetry") as socket:
        await frames(socket, 1)
        assert (sim.ledger.streams, sim.ledger.in_flight) == (1, 0)
    async with asyncio.timeout(2):
        while sim.ledger.streams:
            await asyncio.sleep(0.01)
    (record,) = sim.requests
    assert (record.status, record.operation, record.streamed) == (101, "getDeviceTelemetry", True)
    assert sim.sockets.open == []


async def test_the_end_of_the_simulator_says_goodbye(session: aiohttp.ClientSession) -> None:
    sim = Simulator()
    await sim.start()
    device = device_of(sim, "battery")
    async with opened(Caller(sim, session), f"/v3/devices/{device.id}/logs") as socket:
        stop = asyncio.create_task(sim.stop())
        async with asyncio.timeout(2):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            await stop
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY


async def test_the_role_decides_what_flows(sim: Simulator, call: Caller) -> None:
    sim.add_token("boss", Role.VENDOR)
    device = device_of(sim, "electrolyser")
    path = f"{sim.url}/v3/devices/{device.id}/telemetry"
    for token, included in ((sim.token, False), ("boss", True)):
        async with call.session.ws_connect(path, headers={"X-Enapter-Auth-Token": token}) as socket:
            (frame,) = await frames(socket, 1)
            assert ("board_temperature" in frame["telemetry"]) is included
