"""query_timeseries over the socket, read with nothing but the csv module."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
from typing import Any

import aiohttp
import pytest
from simulator_calls import Caller, device_of

from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

T0 = 1_773_482_400
CSV = {"Accept": "text/csv", "Accept-Encoding": "identity"}


def question(*selectors: dict[str, Any], start: Any = T0, end: Any = T0 + 3600, **more: Any) -> dict[str, Any]:
    return {"from": start, "to": end, "telemetry": list(selectors), **more}


async def ask(call: Caller, body: dict[str, Any], **kwargs: Any) -> Any:
    answer = await call("POST", "/v3/telemetry/query_timeseries", json=body, headers=CSV, **kwargs)
    return answer if isinstance(answer, dict) else list(csv.reader(io.StringIO(answer.decode(), newline="")))


async def test_rows_are_wide_ascending_and_within_the_span(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "electrolyser")
    body = question(
        {"device": device.id, "attribute": ["power", "operator_note", "alerts"]},
        {"device": device.slug, "attribute": "dryer_on", "aggregation": "last"},
        start="2026-03-14T10:00:30.5Z",
        end="2026-03-14T10:30:00+00:00",
        granularity="1m",
    )
    header, *rows = await ask(call, body)
    assert header[0] == "ts"
    labels = [dict(part.split("=") for part in cell.split(" ")) for cell in header[1:]]
    assert [label["telemetry"] for label in labels] == ["power", "operator_note", "alerts", "dryer_on"]
    assert {label["device"] for label in labels} == {device.id}
    assert labels[0]["granularity"] == "1m"
    stamps = [int(row[0]) for row in rows]
    assert stamps == sorted(set(stamps))
    assert all(T0 + 30 < stamp < T0 + 1800 and stamp % 60 == 0 for stamp in stamps)
    assert all(len(row) == 5 for row in rows)


@pytest.mark.parametrize("joined", [True, False])
async def test_data_types_come_a_line_each_or_joined(session: aiohttp.ClientSession, joined: bool) -> None:
    async with Simulator(joined_data_types=joined) as sim:
        device = device_of(sim, "electrolyser")
        names = ["power", "starts_total", "status", "dryer_on", "alerts", "diagnostics"]
        headers = {"X-Enapter-Auth-Token": sim.token} | CSV
        body = question({"device": device.id, "attribute": names})
        async with session.post(f"{sim.url}/v3/telemetry/query_timeseries", json=body, headers=headers) as response:
            assert response.content_type == "text/csv"
            lines = response.headers.getall("X-Enapter-Timeseries-Data-Types")
            assert len(lines) == (1 if joined else 6)
            assert ",".join(lines) == "float,integer,string,boolean,string_array,string"


async def test_gzip_when_asked_for(sim: Simulator, call: Caller, session: aiohttp.ClientSession) -> None:
    device = device_of(sim, "battery")
    body = question({"device": device.id, "attribute": "power"})
    plain = await call("POST", "/v3/telemetry/query_timeseries", json=body, headers=CSV)
    async with aiohttp.ClientSession(auto_decompress=False) as raw:
        packed = await Caller(sim, raw)(
            "POST", "/v3/telemetry/query_timeseries", json=body, headers=CSV | {"Accept-Encoding": "gzip"}
        )
    assert gzip.decompress(packed) == plain


async def test_windows_join_without_gap_or_overlap(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "inverter")

    async def rows(start: float, end: float) -> list[list[str]]:
        body = question({"device": device.id, "attribute": "power"}, start=start, end=end, granularity="10s")
        return (await ask(call, body))[1:]

    assert await rows(T0, T0 + 86_400) == await rows(T0, T0 + 33_333) + await rows(T0 + 33_333, T0 + 86_400)


async def test_gaps_are_null_and_filled_when_asked_for(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "electrolyser")
    names = ["diagnostics", "power"]  # the first is not sampled every second
    plain = await ask(call, question({"device": device.id, "attribute": names}, granularity="1s"))
    filled = await ask(
        call,
        question(
            {"device": device.id, "attribute": names, "gap_filling": {"method": "locf", "look_around": "30s"}},
            granularity="1s",
        ),
    )
    assert any(row[1] == "" for row in plain[1:])
    assert not any(row[1] == "" for row in filled[1:])


async def test_selectors_may_have_their_own_granularity(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    _, *rows = await ask(
        call,
        question(
            {"device": device.id, "attribute": "soc", "granularity": "10m", "aggregation": "max"},
            {"device": device.id, "attribute": "power"},
            granularity="4m",
        ),
    )
    assert [int(row[0]) - T0 for row in rows if row[1]] == [600 * k for k in range(6)]
    assert [int(row[0]) - T0 for row in rows if row[2]] == [240 * k for k in range(15)]


async def test_unknown_attributes_are_left_out_and_nothing_known_is_a_404(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    header, *_ = await ask(call, question({"device": device.id, "attribute": ["power", "nothing"]}))
    assert len(header) == 2
    answer = await ask(call, question({"device": device.id, "attribute": "nothing"}), status=404)
    assert answer["errors"][0]["code"] == "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"
    await ask(call, question({"device": "nothing", "attribute": "power"}), status=404)


async def test_attributes_above_the_role_are_left_out(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "electrolyser")
    body = question({"device": device.id, "attribute": ["board_temperature", "power"]})
    assert len((await ask(call, body))[0]) == 2
    sim.add_token("boss", "VENDOR")
    assert len((await ask(call, body, token="boss"))[0]) == 3


@pytest.mark.parametrize("form", ["header", "empty"])
async def test_a_series_without_rows(session: aiohttp.ClientSession, form: str) -> None:
    async with Simulator(empty_timeseries=form) as sim:
        device = device_of(sim, "battery")
        body = question({"device": device.id, "attribute": "power"}, start=T0 + 1, end=T0 + 2)
        answer = await Caller(sim, session)("POST", "/v3/telemetry/query_timeseries", json=body, headers=CSV)
        assert (answer == b"") == (form == "empty")
        assert answer.count(b"\n") == (form == "header")


async def test_too_many_points_are_refused(session: aiohttp.ClientSession) -> None:
    async with Simulator(max_points=60, max_devices=1) as sim:
        call = Caller(sim, session)
        first, second, *_ = sim.world.devices
        one = {"device": first, "attribute": "alerts"}
        await ask(call, question(one))
        answer = await ask(call, question(one, granularity="30s"), status=422)
        assert answer["errors"][0]["code"] == "too_many_points"
        await ask(call, question(one, {"device": second, "attribute": "alerts"}), status=422)


@pytest.mark.parametrize(
    "change",
    [
        {"from": "2026-03-14"},
        {"from": "2026-03-14T00:00:00"},
        {"from": True},
        {"from": 1e300},
        {"from": None},
        {"to": T0},
        {"to": {}},
        {"granularity": "0s"},
        {"granularity": "1d"},
        {"granularity": "500ms"},
        {"granularity": "-1s"},
        {"granularity": 60},
        {"aggregation": "median"},
        {"telemetry": []},
        {"telemetry": ["x"]},
        {"telemetry": [{"attribute": "power"}]},
        {"telemetry": [{"device": "x", "attribute": []}]},
    ],
)
async def test_bad_queries_are_refused(sim: Simulator, call: Caller, change: dict[str, Any]) -> None:
    device = device_of(sim, "battery")
    body = question({"device": device.id, "attribute": "power"}) | change
    status = 404 if change == {"telemetry": [{"device": "x", "attribute": []}]} else 400
    await ask(call, body, status=status)


async def test_values_without_such_an_aggregate_are_unprocessable(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    body = question({"device": device.id, "attribute": "status", "aggregation": "avg"})
    assert (await ask(call, body, status=422))["errors"][0]["code"] == "unsupported_aggregation"


async def test_accept_must_be_csv(sim: Simulator, call: Caller) -> None:
    answer = await call("POST", "/v3/telemetry/query_timeseries", json={}, status=400)
    assert answer["errors"][0]["details"] == {"header": "Accept"}


async def test_the_end_of_the_simulator_cuts_a_stream(session: aiohttp.ClientSession) -> None:
    sim = Simulator()
    await sim.start()
    device = device_of(sim, "battery")
    body = question({"device": device.id, "attribute": "power"}, end=T0 + 5_000_000, granularity="1s")
    headers = {"X-Enapter-Auth-Token": sim.token} | CSV
    async with session.post(f"{sim.url}/v3/telemetry/query_timeseries", json=body, headers=headers) as response:
        await response.content.readany()
        stop = asyncio.create_task(sim.stop())
        with pytest.raises(aiohttp.ClientError):
            await response.read()
        await stop


async def test_a_stream_can_be_cut_off(sim: Simulator, call: Caller) -> None:
    device = device_of(sim, "battery")
    sim.faults.on("queryTimeseries", Fault.truncate(300))
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(call, question({"device": device.id, "attribute": "power"}))
