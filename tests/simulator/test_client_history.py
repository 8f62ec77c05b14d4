"""`telemetry.history` over real sockets: its parts together are one answer, whatever they are cut into."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from simulator_calls import device_of

from enapter_async import (
    EnapterClient,
    History,
    HistoryPart,
    InvalidArgumentError,
    Locf,
    NotFoundError,
    RetryPolicy,
    Series,
    TimeseriesBatch,
    TimeseriesQuery,
    UnprocessableError,
)
from enapter_async.integrations.virtual_time import VirtualTimeLoop
from enapter_async.models.timeseries import TimeseriesValue
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 14, 9, tzinfo=UTC)
Points = dict[tuple[str, str], list[tuple[int, TimeseriesValue]]]


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[EnapterClient]:
    # Resumption repeats at once; the parts race, and one of them may meet every fault of a test.
    retry = RetryPolicy(initial_delay=0, max_attempts=10)
    async with EnapterClient(base_url=sim.url, token=sim.token, retry=retry) as client:
        yield client


def series(sim: Simulator, gap_filling: Locf | None = None) -> list[Series]:
    """All data types, of seven devices."""
    electrolyser = device_of(sim, "electrolyser")
    names = ["power", "starts_total", "status", "dryer_on", "alerts", "diagnostics"]
    others = [one for one in sim.world.devices.values() if one.id != electrolyser.id][:6]
    return [
        Series(electrolyser.id, names, gap_filling=gap_filling),
        *(Series(one.id, list(one.blueprint.section("telemetry"))[:2], gap_filling=gap_filling) for one in others),
    ]


def before_a_gap(sim: Simulator) -> datetime:
    """An hour before the first longer gap of the electrolyser."""
    track = sim.world.track(device_of(sim, "electrolyser"), "power")
    assert track is not None
    first = int(START.timestamp())
    gap = next(begin for begin, end in track.gaps(first, first + 60 * 86_400) if end - begin > 900)
    return datetime.fromtimestamp(gap // 3600 * 3600 - 3600, UTC)


def points(batches: Iterable[TimeseriesBatch]) -> Points:
    """Every value by device and attribute, in the order in which they came."""
    found: Points = {}
    for batch in batches:
        for column in batch.columns:
            one = found.setdefault((column.device, column.attribute), [])
            one += [
                (moment, value)
                for moment, value in zip(batch.unix_seconds, column.values, strict=True)
                if value is not None
            ]
    return found


def check_order(batches: list[TimeseriesBatch]) -> None:
    """Each device's moments ascend, and none comes twice."""
    last: dict[str, int] = {}
    for batch in batches:
        for device in {column.device for column in batch.columns}:
            assert batch.unix_seconds[0] > last.get(device, 0)
            last[device] = batch.unix_seconds[-1]


@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("locf", [None, Locf(look_around=600)])
@pytest.mark.parametrize(
    ("offset", "granularity", "window"),
    [
        pytest.param(timedelta(0), 60, 600, id="aligned"),
        pytest.param(timedelta(minutes=7, seconds=13, milliseconds=250), 60, 600, id="between steps"),
        pytest.param(timedelta(seconds=11), 7, 600, id="steps that do not divide the window"),
        pytest.param(timedelta(0), 3600, 5400, id="window shorter than two steps"),
    ],
)
async def test_all_parts_are_one_answer(
    sim: Simulator,
    client: EnapterClient,
    offset: timedelta,
    granularity: int,
    window: int,
    locf: Locf | None,
    block: bool,
) -> None:
    start = before_a_gap(sim) + offset
    query = TimeseriesQuery(
        start=start,
        end=start + timedelta(hours=3, seconds=5),
        granularity=granularity,
        series=series(sim, locf),
    )
    history = client.telemetry.history(query, window=window, devices_per_request=3, concurrency=4)
    if block:
        async with history:
            batches = [batch async for batch in history]
    else:
        batches = [batch async for batch in history]
    whole = await client.telemetry.query_timeseries(query)
    assert points(batches) == points([whole])
    check_order(batches)
    assert history.completed == len(history.parts) > 3
    assert history.rows == sum(map(len, batches))
    asked = sim.requests_of("queryTimeseries")[:-1]
    assert len(asked) == len(history.parts)
    assert all(len(record.json["telemetry"]) <= 3 for record in asked)


async def test_more_columns_than_a_response_can_have_are_read_by_several_requests(
    sim: Simulator, client: EnapterClient
) -> None:
    devices = await client.devices.list(expand={"manifest"}).collect()
    wide = [
        Series(one.id, list(one.manifest.numeric_telemetry()), aggregation=aggregation)
        for one in devices
        if one.manifest
        for aggregation in ("min", "max")
    ]
    query = TimeseriesQuery(start=START, end=START + timedelta(minutes=5), granularity=60, series=wide)
    assert sum(len(one.attributes) for one in wide) > 128  # aiohttp reads no more headers
    found = points([batch async for batch in client.telemetry.history(query, devices_per_request=100)])
    assert found == points([batch async for batch in client.telemetry.history(query, devices_per_request=1)])
    assert {device for device, *_ in found} == {one.device for one in wide}


async def test_a_single_request_of_too_many_columns_is_refused_before_it_is_sent(
    sim: Simulator, client: EnapterClient
) -> None:
    wide = [Series("a", [f"x{number}" for number in range(60)]), Series("b", [f"x{number}" for number in range(41)])]
    query = TimeseriesQuery(start=START, end=START + timedelta(minutes=5), granularity=60, series=wide)
    refused = r"query: must ask for at most 100 attributes in one request, got 101; use history\(\)"
    with pytest.raises(InvalidArgumentError, match=refused):
        await client.telemetry.query_timeseries(query)
    with pytest.raises(InvalidArgumentError, match=refused):
        client.telemetry.stream_timeseries(query)
    assert sim.requests_of("queryTimeseries") == []


async def test_parts_may_be_pickled_and_read_elsewhere(sim: Simulator, client: EnapterClient) -> None:
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=6), granularity=60, series=series(sim))
    history = client.telemetry.history(query, window=3600, devices_per_request=4)
    whole = [batch async for batch in history]
    carried: list[tuple[HistoryPart, ...]] = [
        pickle.loads(pickle.dumps(history.parts[some])) for some in (slice(0, 2), slice(2, 5), slice(5, None))
    ]
    batches: list[TimeseriesBatch] = []
    for some in carried:
        async with EnapterClient(base_url=sim.url, token=sim.token) as other:
            async with other.telemetry.history(some, concurrency=2) as part:
                batches += [batch async for batch in part]
            assert part.completed == len(some)
    assert points(batches) == points(whole)
    check_order(batches)


async def test_tasks_that_share_it_outside_a_block_get_each_batch_once_and_do_not_spin(
    sim: Simulator, client: EnapterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=6), granularity=60, series=series(sim))
    whole = [batch async for batch in client.telemetry.history(query, window=3600)]
    history = client.telemetry.history(query, window=3600, concurrency=1)
    shared: list[TimeseriesBatch] = []
    looks = 0
    begin = History._begin

    def counted(*arguments: Any) -> None:
        nonlocal looks
        looks += 1
        begin(*arguments)

    monkeypatch.setattr(History, "_begin", counted)

    async def read() -> None:
        shared.extend([batch async for batch in history])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
    shared.sort(key=lambda batch: batch.unix_seconds[0])
    assert points(shared) == points(whole)
    assert looks == len(history.parts)
    assert history.completed == len(history.parts)


async def test_it_goes_on_where_it_was_left(sim: Simulator, client: EnapterClient) -> None:
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=6), granularity=60, series=series(sim))
    whole = [batch async for batch in client.telemetry.history(query, window=3600)]
    first: list[TimeseriesBatch] = []
    async with client.telemetry.history(query, window=3600) as history:
        async for batch in history:
            first.append(batch)
            if len(first) == 4:
                break
    assert history.completed == 3
    rest = [batch async for batch in client.telemetry.history(history.parts[history.completed :])]
    assert points(first[:3] + rest) == points(whole)


async def test_cuts_of_many_answers_leave_no_hole(sim: Simulator, client: EnapterClient) -> None:
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=12), granularity=1, series=series(sim)[:2])
    for number, count in enumerate((100, 60_000, 20_000, 90_000, 3, 45_000), 1):
        sim.faults.on("queryTimeseries", Fault.truncate(count), nth=2 * number)
    async with client.telemetry.history(query, window=7200, concurrency=3) as history:
        batches = [batch async for batch in history]
    check_order(batches)
    assert points(batches) == points([await client.telemetry.query_timeseries(query)])
    assert len(sim.requests_of("queryTimeseries")) - 1 > len(history.parts)


async def test_a_server_that_fails_at_random_leaves_no_hole(sim: Simulator, client: EnapterClient) -> None:
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=12), granularity=60, series=series(sim))
    expected = points([await client.telemetry.query_timeseries(query)])
    for number, fault in enumerate((Fault.answer(503), Fault.reset(), Fault.html(502), Fault.close()), 1):
        sim.faults.on("queryTimeseries", fault, nth=3 * number)
    batches = [batch async for batch in client.telemetry.history(query, window=3600)]
    assert points(batches) == expected
    check_order(batches)


@pytest.mark.loop(factory=VirtualTimeLoop)
async def test_latency_is_paid_once_for_all_parts_at_once(sim: Simulator, client: EnapterClient) -> None:
    sim.latency = 0.15
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=8), granularity=60, series=series(sim)[:1])
    async with client.telemetry.history(query, window=3600, concurrency=8) as history:
        assert sum([len(batch) async for batch in history]) > 400
    arrived = [record.received_at for record in sim.requests_of("queryTimeseries")]
    assert len(arrived) == 8
    assert max(arrived) - min(arrived) < 0.15  # all before the first was answered


async def test_a_misspelt_attribute_is_an_error_and_no_empty_history(sim: Simulator, client: EnapterClient) -> None:
    wrong = [Series(device_of(sim, "electrolyser").id, ["powr"])]
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=1), granularity=60, series=wrong)
    with pytest.raises(NotFoundError) as caught:
        await anext(client.telemetry.history(query))
    assert caught.value.code == "telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND"


async def test_a_window_that_is_too_long_for_the_server_is_an_error() -> None:
    async with Simulator(devices=6, max_points=100) as sim:
        async with EnapterClient(base_url=sim.url, token=sim.token) as client:
            query = TimeseriesQuery(start=START, end=START + timedelta(hours=4), granularity=60, series=series(sim))
            with pytest.raises(UnprocessableError):
                await anext(client.telemetry.history(query))
            history = client.telemetry.history(query, window=6000)
            assert sum([len(batch) async for batch in history]) == 240


async def test_nothing_is_sent_before_it_is_iterated(sim: Simulator, client: EnapterClient) -> None:
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=4), granularity=60, series=series(sim))
    async with client.telemetry.history(query) as history:
        assert len(history.parts) == 1
    assert not sim.requests
    with pytest.raises(StopAsyncIteration):
        await anext(client.telemetry.history([]))


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("concurrency", {"concurrency": 0}),
        ("concurrency", {"concurrency": 1.5}),
        ("concurrency", {"concurrency": True}),
        ("window", {"window": 0}),
        ("devices_per_request", {"devices_per_request": 0}),
        ("timeout", {"timeout": -1}),
    ],
)
def test_bad_input_is_refused_at_once(argument: str, arguments: dict[str, object]) -> None:
    client = EnapterClient(token="t", base_url="http://127.0.0.1:1")
    query = TimeseriesQuery(start=START, end=START + timedelta(hours=4), granularity=60, series=[Series("d", ["a"])])
    with pytest.raises(InvalidArgumentError) as caught:
        client.telemetry.history(query, **arguments)  # type: ignore[arg-type]
    assert caught.value.argument == argument
