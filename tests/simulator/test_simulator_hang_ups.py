"""Clients that hang up while the simulator is at work are no defect of the simulator."""

from __future__ import annotations

import asyncio

import pytest

from enapter_async.simulator import Simulator

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
