"""`telemetry.query_timeseries` and `stream_timeseries` over real sockets."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from simulator_calls import device_of

from enapter_async import (
    ClientClosedError,
    ConnectionLostError,
    DataType,
    DeadlineExceededError,
    EnapterClient,
    InvalidBodyError,
    NotFoundError,
    RetryPolicy,
    Series,
    TimeseriesQuery,
    TimeseriesRow,
)
from enapter_async.integrations.virtual_time import VirtualTimeLoop
from enapter_async.simulator import Fault, Simulator

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 14, 9, tzinfo=UTC)
NAMES = ["power", "starts_total", "status", "dryer_on", "alerts", "diagnostics"]


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[EnapterClient]:
    async with EnapterClient(base_url=sim.url, token=sim.token, retry=RetryPolicy(initial_delay=0)) as client:
        yield client


def query(sim: Simulator, *, granularity: int = 60, **span: float) -> TimeseriesQuery:
    length = timedelta(**span) if span else timedelta(hours=2)
    asked = [Series(device_of(sim, "electrolyser").id, NAMES)]
    return TimeseriesQuery(start=START, end=START + length, granularity=granularity, series=asked)


async def test_a_table_has_columns_of_every_type(sim: Simulator, client: EnapterClient) -> None:
    table = await client.telemetry.query_timeseries(query(sim))
    device = device_of(sim, "electrolyser")
    assert [column.attribute for column in table.columns] == NAMES
    assert {column.device for column in table.columns} == {device.id}
    types = [column.data_type for column in table.columns]
    assert set(types) == {
        DataType.FLOAT,
        DataType.INTEGER,
        DataType.STRING,
        DataType.BOOLEAN,
        DataType.STRING_ARRAY,
    }
    python = {"float": float, "integer": int, "string": str, "boolean": bool, "string_array": list}
    for column in table.columns:
        assert len(column.values) == len(table) > 100
        present = [value for value in column.values if value is not None]
        assert {type(value) for value in present} == {python[column.data_type.value]}
    assert table.timestamps[0] >= START
    assert table.timestamps[-1] < START + timedelta(hours=2)
    assert all(moment.second == 0 and moment.utcoffset() == timedelta(0) for moment in table.timestamps)


@pytest.mark.parametrize("joined", [True, False])
async def test_data_types_in_one_line_or_several_are_the_same(joined: bool) -> None:
    async with Simulator(joined_data_types=joined) as sim, EnapterClient(base_url=sim.url, token=sim.token) as client:
        table = await client.telemetry.query_timeseries(query(sim))
        assert [str(column.data_type.value) for column in table.columns][2:5] == ["string", "boolean", "string_array"]


async def test_a_stream_gives_the_rows_of_the_table(sim: Simulator, client: EnapterClient) -> None:
    asked = query(sim, granularity=1, hours=5)
    table = await client.telemetry.query_timeseries(asked)
    rows: list[TimeseriesRow] = []
    async with client.telemetry.stream_timeseries(asked) as stream:
        assert [column.attribute for column in stream.columns] == NAMES
        rows += [row async for row in stream]
    assert rows == list(table.rows())
    moments: list[int] = []
    async with client.telemetry.stream_timeseries(asked) as stream:
        batches = [batch async for batch in stream.batches()]
    for batch in batches:
        moments += batch.unix_seconds
    assert moments == list(table.unix_seconds)
    assert len(batches) > 1


async def test_an_answer_without_rows_is_a_table_without_rows() -> None:
    for form in ("header", "empty"):
        async with Simulator(empty_timeseries=form) as sim:  # type: ignore[arg-type]
            async with EnapterClient(base_url=sim.url, token=sim.token) as client:
                asked = TimeseriesQuery(
                    start=START + timedelta(seconds=1),
                    end=START + timedelta(seconds=2),
                    granularity=60,
                    series=[Series(device_of(sim, "electrolyser").id, ["power"])],
                )
                table = await client.telemetry.query_timeseries(asked)
                assert len(table) == 0
                assert [batch async for batch in client.telemetry.history(asked)] == []


async def test_a_query_cut_in_the_middle_is_begun_again(sim: Simulator, client: EnapterClient) -> None:
    asked = query(sim, granularity=1, hours=2)
    whole = await client.telemetry.query_timeseries(asked)
    sim.faults.on("queryTimeseries", Fault.truncate(20_000), nth=1).on("queryTimeseries", Fault.truncate(7), nth=2)
    again = await client.telemetry.query_timeseries(asked)
    assert list(again.rows()) == list(whole.rows())
    assert len(sim.requests_of("queryTimeseries")) == 4


@pytest.mark.loop(factory=VirtualTimeLoop)
async def test_a_query_that_is_cut_for_ever_ends_within_its_deadline(sim: Simulator) -> None:
    sim.faults.on("queryTimeseries", Fault.truncate(5000), nth=None)
    patient = RetryPolicy(max_attempts=1000, initial_delay=0.05, max_delay=0.05)
    async with EnapterClient(base_url=sim.url, token=sim.token, retry=patient) as client:
        began = anyio.current_time()
        with pytest.raises((DeadlineExceededError, ConnectionLostError)):
            await client.telemetry.query_timeseries(query(sim, granularity=1), timeout=0.3)
        assert anyio.current_time() - began <= 0.35
    assert len(sim.requests_of("queryTimeseries")) > 1


async def test_a_stream_that_is_cut_raises_after_its_rows(sim: Simulator, client: EnapterClient) -> None:
    asked = query(sim, granularity=1, hours=5)
    whole = await client.telemetry.query_timeseries(asked)
    sim.faults.on("queryTimeseries", Fault.truncate(40_000))
    rows: list[TimeseriesRow] = []
    with pytest.raises(ConnectionLostError) as caught:  # noqa: PT012
        async with client.telemetry.stream_timeseries(asked) as stream:
            async for row in stream:
                rows.append(row)  # noqa: PERF401
    assert caught.value.operation == "telemetry.query_timeseries"
    assert rows == list(whole.rows())[: len(rows)]
    assert 0 < len(rows) < len(whole)


async def test_a_consumer_that_takes_its_time_blocks_nobody(sim: Simulator) -> None:
    async with EnapterClient(base_url=sim.url, token=sim.token, max_in_flight=1) as client:
        async with client.telemetry.stream_timeseries(query(sim, granularity=1, hours=5)) as stream:
            async for _ in stream.batches():
                assert client.load.in_flight == 0
                with anyio.fail_after(10):
                    await client.devices.get(device_of(sim, "electrolyser").id)
                    assert len(await client.telemetry.query_timeseries(query(sim, minutes=10)))


async def test_leaving_early_gives_the_place_back(sim: Simulator) -> None:
    async with EnapterClient(base_url=sim.url, token=sim.token, max_streams=1) as client:
        for _ in range(3):
            with anyio.fail_after(10):
                async with client.telemetry.stream_timeseries(query(sim, granularity=1, hours=5)) as stream:
                    async for _ in stream:
                        break


async def test_closing_the_client_ends_a_stream(sim: Simulator, client: EnapterClient) -> None:
    with pytest.raises(ClientClosedError):  # noqa: PT012
        async with client.telemetry.stream_timeseries(query(sim, granularity=1, hours=24)) as stream:
            async for _ in stream.batches():
                await client.aclose()


async def test_what_is_no_table_is_refused(sim: Simulator, client: EnapterClient) -> None:
    sim.faults.on("queryTimeseries", Fault.answer(200, "<html>", content_type="text/html"), nth=None)
    with pytest.raises(InvalidBodyError, match="text/html"):
        await client.telemetry.query_timeseries(query(sim))


async def test_a_misspelt_name_is_an_error(sim: Simulator, client: EnapterClient) -> None:
    asked = TimeseriesQuery(
        start=START, end=START + timedelta(hours=1), granularity=60, series=[Series("nobody", ["power"])]
    )
    with pytest.raises(NotFoundError):
        await client.telemetry.query_timeseries(asked)
    with pytest.raises(NotFoundError):
        await client.telemetry.stream_timeseries(asked).__aenter__()


async def test_gaps_are_none_and_never_nan(sim: Simulator, client: EnapterClient) -> None:
    table = await client.telemetry.query_timeseries(query(sim, granularity=60, hours=24 * 20))
    power = table.columns[0].values
    assert None in power
    assert not any(isinstance(value, float) and math.isnan(value) for value in power)
