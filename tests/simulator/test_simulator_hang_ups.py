"""Connections that the client or the simulator breaks: no defect of the simulator, and no status in its records."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from enapter_async.simulator import Fault, RequestRecord, Simulator
from enapter_async.simulator._server.faults import When

pytestmark = pytest.mark.anyio


async def test_a_client_that_is_gone_before_its_stream_opens_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    async with Simulator(latency=0.2) as simulator:
        device = next(iter(simulator.world.devices))
        _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        handshake = [
            f"GET /v3/devices/{device}/telemetry HTTP/1.1",
            "Host: simulator",
            f"X-Enapter-Auth-Token: {simulator.token}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        writer.write(("\r\n".join(handshake) + "\r\n\r\n").encode())
        while not simulator.ledger.in_flight:
            await asyncio.sleep(0)
        writer.close()
        while simulator.ledger.in_flight:
            await asyncio.sleep(0.01)
    assert [record.getMessage() for record in caplog.records if record.name == "enapter_async.simulator"] == []


BROKEN = {
    "reset": Fault.reset(),
    "close": Fault.close(),
    "hang": Fault.hang(0.01),
    "no byte of the body": Fault.truncate(0),
    "half the body": Fault.truncate(20),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_has_no_status(session: aiohttp.ClientSession, fault: Fault, when: When) -> None:
    async with Simulator() as simulator:
        simulator.faults.on("listDevices", fault, when=when, nth=None)  # aiohttp repeats a GET once
        with pytest.raises(aiohttp.ClientError):
            async with session.get(
                f"{simulator.url}/v3/devices", headers={"X-Enapter-Auth-Token": simulator.token}
            ) as response:
                await response.read()
        assert {(record.status, record.fault) for record in await finished(simulator)} == {(None, fault.name)}


async def test_a_broken_series_has_no_status(session: aiohttp.ClientSession) -> None:
    async with Simulator() as simulator:
        device = next(iter(simulator.world.devices))
        simulator.faults.on("queryTimeseries", Fault.truncate(300))
        body = {"from": 0, "to": 86_400, "telemetry": [{"device": device, "attribute": "alerts"}]}
        headers = {"X-Enapter-Auth-Token": simulator.token, "Accept": "text/csv"}
        url = f"{simulator.url}/v3/telemetry/query_timeseries"
        async with session.post(url, json=body, headers=headers) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        (record,) = await finished(simulator)
        assert record.status is None


@pytest.mark.parametrize("fault", [Fault.delay(0.1), Fault.drip(0.01)], ids=["delay", "drip"])
async def test_an_answer_without_its_client_has_no_status(fault: Fault) -> None:
    async with Simulator() as simulator:
        simulator.faults.on("listDevices", fault)
        _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        token = f"X-Enapter-Auth-Token: {simulator.token}"
        writer.write(f"GET /v3/devices HTTP/1.1\r\nHost: simulator\r\n{token}\r\n\r\n".encode())
        while not simulator.ledger.in_flight:
            await asyncio.sleep(0)
        writer.transport.abort()
        (record,) = await finished(simulator)
        assert record.status is None


@pytest.mark.parametrize("fault", [Fault.delay(0.01), Fault.drip(0), Fault.answer(503)], ids=["delay", "drip", "503"])
async def test_a_whole_answer_has_its_status(session: aiohttp.ClientSession, fault: Fault) -> None:
    async with Simulator() as simulator:
        simulator.faults.on("listDevices", fault)
        headers = {"X-Enapter-Auth-Token": simulator.token}
        async with session.get(f"{simulator.url}/v3/devices?limit=1", headers=headers) as response:
            await response.read()
        (record,) = await finished(simulator)
        assert record.status == response.status


async def finished(simulator: Simulator) -> list[RequestRecord]:
    while simulator.ledger.in_flight or simulator.ledger.streams:
        await asyncio.sleep(0.01)
    return simulator.requests
