"""Devices that are offline: `latest`, streams, logs and history agree on what there is of them."""

from __future__ import annotations

import csv
import io
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_calls import Caller, device_of

from enapter_async.simulator import Simulator
from enapter_async.simulator._server.world.aggregates import Column
from enapter_async.simulator._server.world.signals import signal
from enapter_async.simulator._server.world.tracks import Track

T0 = 1_773_482_400


class Clock:
    def __init__(self) -> None:
        self.now = float(T0)

    def __call__(self) -> float:
        return self.now


async def history(call: Caller, device_id: str, start: float, end: float, granularity: str = "1s") -> dict[int, str]:
    body = {
        "from": start,
        "to": end,
        "granularity": granularity,
        "telemetry": [{"device": device_id, "attribute": ["power"]}],
    }
    headers = {"Accept": "text/csv", "Accept-Encoding": "identity"}
    answer = await call("POST", "/v3/telemetry/query_timeseries", json=body, headers=headers)
    rows = list(csv.reader(io.StringIO(answer.decode(), newline="")))[1:]
    return {int(row[0]): row[1] for row in rows if row[1]}


async def latest(call: Caller, device_id: str) -> dict[str, Any]:
    answer = await call("GET", f"/v3/devices/{device_id}/telemetry?attribute.in=power")
    return dict(answer["telemetry"]["power"])


@pytest.mark.anyio
async def test_history_has_nothing_of_a_device_while_it_was_offline(session: aiohttp.ClientSession) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        call, device = Caller(sim, session), device_of(sim, "electrolyser")
        clock.now = T0 + 100.5
        device.connectivity = "OFFLINE"
        clock.now = T0 + 200
        assert set(await latest(call, device.id)) == {"warning"}
        clock.now = T0 + 300.5
        device.connectivity = "ONLINE"
        assert set(await latest(call, device.id)) == {"warning"}  # its newest sample would be of the outage
        clock.now = T0 + 301
        assert (await latest(call, device.id))["timestamp"] == T0 + 301

        found = await history(call, device.id, T0, T0 + 400)
        assert sorted(found) == [T0 + second for second in range(400) if not 100.5 <= second < 300.5]
        minutes = await history(call, device.id, T0, T0 + 420, "1m")
        assert sorted(minutes) == [T0 + 60 * minute for minute in (0, 1, 5, 6)]
        undisturbed = await history(call, device.id, T0, T0 + 420, "30s")
        assert float(minutes[T0]) == pytest.approx((float(undisturbed[T0]) + float(undisturbed[T0 + 30])) / 2, abs=0.1)

        assert len(await history(call, device.id, T0 - 60, T0)) == 60  # what was before stays


@pytest.mark.anyio
async def test_a_device_that_is_built_offline_has_no_history_and_no_log(session: aiohttp.ClientSession) -> None:
    async with Simulator(devices=40) as sim:
        call = Caller(sim, session)
        (device,) = (device for device in sim.world.devices.values() if device.connectivity == "OFFLINE")
        body = {
            "from": T0,
            "to": T0 + 86_400,
            "telemetry": [{"device": device.id, "attribute": list(device.blueprint.signals)}],
        }
        headers = {"Accept": "text/csv", "Accept-Encoding": "identity"}
        answer = await call("POST", "/v3/telemetry/query_timeseries", json=body, headers=headers)
        assert answer.count(b"\n") == 1  # the header
        assert (await call("GET", f"/v3/devices/{device.id}/logs"))["logs"] == []


@pytest.mark.anyio
async def test_devices_that_store_and_forward_hand_their_values_in_when_they_are_back(
    session: aiohttp.ClientSession,
) -> None:
    clock = Clock()
    async with Simulator(clock=clock, store_and_forward=True) as sim:
        call, device = Caller(sim, session), device_of(sim, "electrolyser")
        whole = await history(call, device.id, T0, T0 + 300)
        device.connectivity = "OFFLINE"
        clock.now = T0 + 200
        assert await history(call, device.id, T0, T0 + 300) == {}
        device.connectivity = "ONLINE"
        assert await history(call, device.id, T0, T0 + 300) == whole


@pytest.mark.anyio
async def test_a_device_writes_no_log_while_it_is_offline(session: aiohttp.ClientSession) -> None:
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        call, device = Caller(sim, session), device_of(sim, "battery")
        clock.now = T0 + 600
        device.connectivity = "OFFLINE"
        clock.now = T0 + 1200
        device.connectivity = "ONLINE"
        clock.now = T0 + 1800
        path = f"/v3/devices/{device.id}/logs?limit=50&received_at.gte=2026-03-14T10:00:00Z&order=RECEIVED_AT_DESC"
        times = [log["timestamp"] for log in (await call("GET", path))["logs"]]
        assert any(time >= T0 + 1200 for time in times)
        assert not any(T0 + 600 <= time < T0 + 1199 for time in times)


POWER = signal("power", {"type": "float", "unit": "W"})


@settings(max_examples=150, deadline=None)
@given(
    granularity=st.sampled_from([1, 7, 10, 60, 90, 300]),
    begin=st.floats(T0 - 500, T0 + 3_000),
    length=st.floats(0, 3_000),
    aggregation=st.sampled_from(["avg", "min", "max", "last"]),
)
def test_cells_are_those_of_the_samples_outside_the_outage(
    granularity: int, begin: float, length: float, aggregation: str
) -> None:
    track = Track(POWER, 1, "device")
    column = Column(track, granularity, aggregation, outages=((begin, begin + length),))
    first = T0 // granularity
    gaps = track.gaps(T0 - 600, T0 + 7_200)
    for number, cell in enumerate(column.cells(first, 20)):
        start = (first + number) * granularity
        levels = [
            track.level(second)
            for second in range(start, start + granularity)
            if not begin <= second < begin + length and not any(low <= second < high for low, high in gaps)
        ]
        if not levels:
            assert cell == ""
        elif aggregation == "avg":
            assert float(cell) == pytest.approx(POWER.value(1) * sum(levels) / len(levels), abs=abs(POWER.value(1)))
        else:
            pick = {"min": min, "max": max, "last": lambda values: values[-1]}[aggregation]
            assert float(cell) == POWER.value(pick(levels))
