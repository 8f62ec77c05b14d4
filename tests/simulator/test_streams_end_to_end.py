"""Our streams against the simulator, which knows nothing of our code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from enapter_async import (
    AuthenticationError,
    EnapterClient,
    FramesDropped,
    MalformedFrame,
    NotFoundError,
    StreamGap,
    StreamPolicy,
)
from enapter_async.integrations.virtual_time import VirtualTimeLoop
from enapter_async.simulator import Device, Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=VirtualTimeLoop)]

NEVER = 1e9
HASTY = StreamPolicy(initial_delay=0.01, max_delay=0.05)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(stream_interval=0.02, log_interval=NEVER, command_seconds=0) as sim:
        yield sim


async def take(events: AsyncIterator[Any], count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(count)]


async def test_logs(sim: Simulator, client: EnapterClient, device: Device) -> None:
    async with client.logs.follow(device.id, severity="error") as stream:
        sim.world.log(device, "not this", "info")
        sim.world.log(device, "this", "error")
        (record,) = await take(stream, 1)
    assert (record.message, record.severity) == ("this", "error")
    assert record.timestamp is not None
    assert record.received_at is not None


async def test_a_gap_of_a_log_is_filled(sim: Simulator, client: EnapterClient, device: Device) -> None:
    async with client.logs.follow(device.id, fill_gaps=True, policy=HASTY) as stream:
        events = stream.events()
        sim.world.log(device, "one", "info")
        await take(events, 1)
        sim.sockets.drop()
        for message in ("two", "three"):
            sim.world.log(device, message, "info")
        *records, gap = await take(events, 3)
        sim.world.log(device, "four", "info")
        (last,) = await take(events, 1)
    assert [record.message for record in (*records, last)] == ["two", "three", "four"]
    assert isinstance(gap, StreamGap)
    assert gap.filled


async def test_telemetry(client: EnapterClient, device: Device) -> None:
    async with client.telemetry.follow(device.id) as stream:
        first, second = await take(stream, 2)
    assert first.telemetry
    assert first.telemetry.keys() == second.telemetry.keys()


async def test_all_traffic_of_devices(sim: Simulator, client: EnapterClient, device: Device) -> None:
    async with client.streams.devices([device.id]) as stream:
        sim.world.log(device, "hello", "info")
        frames = await take(stream, 5)
    assert {frame.device_id for frame in frames} == {device.id}
    assert [frame.log.message for frame in frames if frame.log] == ["hello"]
    assert any(frame.telemetry for frame in frames)


async def test_what_is_odd_is_told_and_nothing_ends(sim: Simulator, client: EnapterClient, device: Device) -> None:
    async with client.logs.follow(device.id, policy=HASTY) as stream:
        sim.sockets.emit({"new": "shape"})
        sim.sockets.emit("no JSON at all")
        events = stream.events()
        assert [type(event) for event in await take(events, 2)] == [MalformedFrame, MalformedFrame]
        sim.sockets.drop()
        assert [type(event) for event in await take(events, 1)] == [StreamGap]
        assert (stream.malformed, stream.gaps, stream.connected) == (2, 1, True)


async def test_a_slow_consumer(sim: Simulator, client: EnapterClient, device: Device) -> None:
    policy = StreamPolicy(buffer_size=5, overflow="drop_oldest")
    async with client.logs.follow(device.id, policy=policy) as stream:
        for number in range(20):
            sim.world.log(device, f"{number}", "info")
        async with asyncio.timeout(5):
            while stream.dropped < 15:
                await asyncio.sleep(0.005)
        dropped, *rest = await take(stream.events(), 6)
    assert dropped == FramesDropped(count=15)
    assert [record.message for record in rest] == ["15", "16", "17", "18", "19"]


async def test_refusals(sim: Simulator, client: EnapterClient) -> None:
    with pytest.raises(NotFoundError):
        async with client.logs.follow("no-such-device"):
            pass
    async with EnapterClient(base_url=sim.url, token="wrong") as stranger:
        with pytest.raises(AuthenticationError):
            async with stranger.streams.devices(["battery-1"]):
                pass


async def test_streams_end_with_the_simulator_and_begin_with_the_next() -> None:
    async with Simulator(stream_interval=0.02) as first:
        port = int(first.url.rsplit(":", 1)[1])
        async with EnapterClient(base_url=first.url, token=first.token) as client:
            async with client.telemetry.follow("battery-1", policy=HASTY) as stream:
                await take(stream, 1)
                await first.stop()
                async with Simulator(port=port, token=first.token, stream_interval=0.02):
                    await take(stream, 2)
                    assert stream.gaps == 1
