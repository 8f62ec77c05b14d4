"""The client, raw answers, time series and values, as type checkers see them. Checked by `nox -s types`; never run."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, assert_type

from enapter_async import (
    UNSET,
    AccessRole,
    ClientOptions,
    Column,
    ColumnHeader,
    Device,
    EnapterClient,
    Event,
    Headers,
    HistoryPart,
    Load,
    Locf,
    Outcome,
    RateLimit,
    Response,
    RetryPolicy,
    Series,
    Site,
    Timeouts,
    Timeseries,
    TimeseriesBatch,
    TimeseriesQuery,
    TimeseriesRow,
    TimeseriesStream,
    Unset,
)


async def making() -> None:
    async def token() -> str:
        return "secret"

    def hook(event: Event) -> None:
        print(event)

    options: ClientOptions = {"timeouts": Timeouts(total=5), "hooks": [hook]}
    assert_type(EnapterClient(token=token, rate_limit=RateLimit(requests_per_second=5)), EnapterClient)
    assert_type(EnapterClient.from_env(**options), EnapterClient)
    assert_type(EnapterClient.gateway("10.0.0.1", token="t", ssl_context=ssl.create_default_context()), EnapterClient)
    async with EnapterClient(token="t", max_in_flight=5) as client:
        assert_type(client, EnapterClient)
        assert_type(client.with_options(timeout=1, retry=RetryPolicy.none()), EnapterClient)
        assert_type(client.load, Load)
        assert_type(await client.aclose(), None)
    EnapterClient("t")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    EnapterClient(tokn="t")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def raw(client: EnapterClient) -> None:
    response = await client.raw.devices.get("d", expand={"site"}, timeout=1)
    assert_type(response, Response[Device])
    assert_type(response.value, Device)
    assert_type(response.headers, Headers)
    assert_type(response.attempts, int)
    assert_type(await client.raw.sites.get_own(), Response[Site])
    assert_type(await client.raw.rules.delete("r"), Response[None])


async def timeseries(client: EnapterClient, start: datetime, end: datetime) -> None:
    query = TimeseriesQuery(
        start=start,
        end=end,
        granularity=timedelta(minutes=1),
        series=[Series("d", ["power"], aggregation="avg", gap_filling=Locf(look_around=60))],
    )
    assert_type(query.series, tuple[Series, ...])
    table = await client.telemetry.query_timeseries(query)
    assert_type(table, Timeseries)
    assert_type(table.timestamps, list[datetime])
    assert_type(table.columns, tuple[Column, ...])
    assert_type(table.rows(), Iterator[TimeseriesRow])
    async with client.telemetry.stream_timeseries(query) as stream:
        assert_type(stream, TimeseriesStream)
        assert_type(stream.columns, tuple[ColumnHeader, ...])
        async for batch in stream.batches():
            assert_type(batch, TimeseriesBatch)
        async for row in stream:
            assert_type(row, TimeseriesRow)
            assert_type(row.timestamp, datetime)
    async with client.telemetry.history(query, window=timedelta(days=1)) as history:
        async for part in history:
            assert_type(part, TimeseriesBatch)
        rest: list[HistoryPart] = list(history.parts[history.completed :])
        client.telemetry.history(rest)


def values(device: Device, outcome: Outcome) -> None:
    assert_type(device.id, str)
    assert_type(device.authorized_role, AccessRole | None)
    assert_type(AccessRole("NEW").is_known, bool)
    assert_type(AccessRole.OWNER.value, str)
    assert_type(AccessRole("owner") >= "USER", bool)
    assert_type(bool(UNSET), bool)
    unset: Unset = UNSET
    assert_type(unset.__bool__(), Literal[False])
    if outcome != "unknown":
        assert_type(outcome, Literal["not_sent", "rejected", "final"])
    device.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
