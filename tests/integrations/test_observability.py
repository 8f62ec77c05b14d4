"""What OpenTelemetry's own SDK gets from a client: spans, metrics, and never the token."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from enapter_async import (
    DeadlineExceededError,
    EnapterClient,
    NotFoundError,
    RateLimitedError,
    RetryPolicy,
    Series,
    TimeseriesQuery,
)
from enapter_async.hooks import SharedLimitLost
from enapter_async.simulator import Simulator

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from enapter_async.integrations.opentelemetry import OpenTelemetryHook

pytestmark = pytest.mark.anyio

TOKEN = "eT0k-nobody-may-see"


class Telemetry:
    """The SDK with exporters into memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.hook = OpenTelemetryHook(tracer_provider=self.tracers, meter_provider=self._meters)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        metrics = [metric for one in data.resource_metrics for scope in one.scope_metrics for metric in scope.metrics]
        return [
            point for metric in metrics if metric.name == f"enapter.client.{name}" for point in metric.data.data_points
        ]

    def value(self, name: str) -> float:
        return sum(point.value for point in self.points(name))

    def everything(self) -> str:
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + ("" if data is None else data.to_json())


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[Simulator, EnapterClient, Telemetry]]:
    telemetry = Telemetry()
    async with (
        Simulator(devices=2, token=TOKEN) as simulator,
        EnapterClient(base_url=simulator.url, token=TOKEN, hooks=[telemetry.hook], **options) as client,
    ):
        yield simulator, client, telemetry


async def test_a_call_is_a_span_below_the_callers() -> None:
    async with running() as (simulator, client, telemetry):
        device = next(iter(simulator.world.devices))
        with telemetry.tracers.get_tracer("test").start_as_current_span("caller"):
            await client.devices.get(device)
    span, caller = telemetry.spans
    assert (span.name, span.kind) == ("devices.get", SpanKind.CLIENT)
    assert span.parent is not None
    assert span.parent.span_id == caller.context.span_id
    assert span.attributes is not None
    assert {**span.attributes, "enapter.wait": 0} == {
        "enapter.operation": "devices.get",
        "http.request.method": "GET",
        "url.path": f"v3/devices/{device}",
        "http.response.status_code": 200,
        "enapter.attempts": 1,
        "enapter.wait": 0,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_spans_of_concurrent_calls_do_not_mix() -> None:
    async with running() as (simulator, client, telemetry):
        await asyncio.gather(*(client.devices.get(device) for device in simulator.world.devices for _ in range(10)))
    assert len(telemetry.spans) == 20
    assert len({span.context.span_id for span in telemetry.spans}) == 20
    assert sorted(str((span.attributes or {})["url.path"]) for span in telemetry.spans) == sorted(
        f"v3/devices/{device}" for device in simulator.world.devices for _ in range(10)
    )
    assert telemetry.value("calls.active") == 0
    assert telemetry.value("attempts") == 20
    assert sum(point.count for point in telemetry.points("call.duration")) == 20
    assert sum(point.count for point in telemetry.points("call.wait")) == 20


async def test_an_error_is_recorded_with_its_status_and_message() -> None:
    async with running() as (_, client, telemetry):
        with pytest.raises(NotFoundError) as raised:
            await client.devices.get("no-such-device")
    (span,) = telemetry.spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "404")
    assert (span.attributes or {})["error.type"] == "404"
    exception = span.events[-1]
    assert exception.name == "exception"
    assert exception.attributes == {
        "exception.type": "enapter_async.errors.NotFoundError",
        "exception.message": str(raised.value),
    }
    (duration,) = telemetry.points("call.duration")
    assert duration.attributes["error.type"] == "404"


async def test_rejections_and_retries_are_counted_and_seen_in_the_span() -> None:
    async with running() as (simulator, client, telemetry):
        simulator.limiter.change(4, 1)
        await asyncio.gather(*(client.sites.list().first() for _ in range(4)))
    assert telemetry.value("rejections") >= 1
    assert telemetry.value("retries") == telemetry.value("rejections")
    repeated = next(span for span in telemetry.spans if (span.attributes or {})["enapter.attempts"] != 1)
    assert [event.name for event in repeated.events[:2]] == ["attempt failed", "retry scheduled"]
    assert (repeated.attributes or {})["http.request.resend_count"] == len(repeated.events) // 2


async def test_a_rejection_that_is_final_is_counted_too() -> None:
    async with running(retry=RetryPolicy.none()) as (simulator, client, telemetry):
        simulator.limiter.change(1, 1)
        await client.sites.list().first()
        with pytest.raises(RateLimitedError):
            await client.sites.list().first()
    assert telemetry.value("rejections") == 1
    assert telemetry.value("retries") == 0


async def test_a_cancelled_call_ends_its_span() -> None:
    async with running() as (simulator, client, telemetry):
        simulator.latency = 5.0
        call = asyncio.create_task(client.sites.list().first())
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(DeadlineExceededError):
            await client.with_options(timeout=0.1).sites.list().first()
    assert [(span.attributes or {})["error.type"] for span in telemetry.spans] == [
        "CancelledError",
        "DeadlineExceededError",
    ]
    assert telemetry.value("calls.active") == 0


async def test_the_load_of_a_client_is_observed_as_long_as_it_exists() -> None:
    async with running() as (_, client, telemetry):
        assert telemetry.points("in_flight") == []
        telemetry.hook.observe(client)
        assert telemetry.value("in_flight") == telemetry.value("waiting") == 0
        assert telemetry.value("retry_budget") == client.load.retry_budget
        assert telemetry.points("pace") == []
    del client
    gc.collect()
    assert telemetry.points("in_flight") == []


def test_a_lost_shared_limit_is_counted() -> None:
    telemetry = Telemetry()
    telemetry.hook(SharedLimitLost(name="plant", reason="away"))
    assert telemetry.value("shared_limit.losses") == 1


async def test_names_have_few_values_and_the_token_is_nowhere() -> None:
    async with running() as (simulator, client, telemetry):
        telemetry.hook.observe(client)
        for device in simulator.world.devices:
            await client.devices.get(device)
        with pytest.raises(NotFoundError):
            await client.devices.get("no-such-device")
        assert TOKEN not in telemetry.everything()
        metrics = [point.attributes for name in ("attempts", "call.duration") for point in telemetry.points(name)]
    assert not any(device in str(metrics) for device in simulator.world.devices)
    assert {span.name for span in telemetry.spans} == {"devices.get"}


class Instrumentation:
    """Makes a span of each HTTP request, as OpenTelemetry's instrumentation of aiohttp does."""

    def __init__(self, tracers: TracerProvider) -> None:
        self._tracer = tracers.get_tracer("aiohttp")
        self.tracing = aiohttp.TraceConfig()
        self.tracing.on_request_start.append(self._started)
        self.tracing.on_request_end.append(self._ended)
        self.tracing.on_request_exception.append(self._ended)

    async def _started(self, session: aiohttp.ClientSession, context: Any, params: Any) -> None:
        context.span = self._tracer.start_span("http")
        context.path = params.url.path

    async def _ended(self, session: aiohttp.ClientSession, context: Any, params: Any) -> None:
        context.span.set_attribute("path", context.path)
        context.span.end()


@asynccontextmanager
async def instrumented() -> AsyncIterator[tuple[Simulator, EnapterClient, Telemetry]]:
    telemetry = Telemetry()
    async with (
        Simulator(devices=4, token=TOKEN) as simulator,
        aiohttp.ClientSession(trace_configs=[Instrumentation(telemetry.tracers).tracing]) as session,
        EnapterClient(base_url=simulator.url, token=TOKEN, http_session=session, hooks=[telemetry.hook]) as client,
    ):
        yield simulator, client, telemetry


async def test_spans_of_requests_are_children_of_their_own_call() -> None:
    async with instrumented() as (simulator, client, telemetry):
        simulator.limiter.change(4, 2)
        await asyncio.gather(*(client.devices.get(device) for device in simulator.world.devices for _ in range(2)))
        assert trace.get_current_span() is trace.INVALID_SPAN
    calls = {span.context.span_id: span for span in telemetry.spans if span.name == "devices.get"}
    requests = [span for span in telemetry.spans if span.name == "http"]
    assert len(calls) == 8
    assert len(requests) == sum(int(str((call.attributes or {})["enapter.attempts"])) for call in calls.values())
    for request in requests:
        assert request.parent is not None
        call = calls[request.parent.span_id]
        assert (request.attributes or {})["path"] == f"/{(call.attributes or {})['url.path']}"


async def test_the_callers_span_is_current_again_whatever_became_of_the_call() -> None:
    async with instrumented() as (simulator, client, telemetry):
        device = next(iter(simulator.world.devices))
        with telemetry.tracers.get_tracer("test").start_as_current_span("caller") as caller:
            manifest = (await client.devices.get(device, expand={"manifest"})).manifest
            assert manifest is not None
            assert trace.get_current_span() is caller
            with pytest.raises(NotFoundError):
                await client.devices.get("no-such-device")
            assert trace.get_current_span() is caller
            end = datetime.now(UTC)
            query = TimeseriesQuery(
                start=end - timedelta(hours=1),
                end=end,
                granularity=timedelta(minutes=1),
                series=[Series(device, list(manifest.numeric_telemetry())[:1], aggregation="avg")],
            )
            async with client.telemetry.stream_timeseries(query) as stream:
                assert trace.get_current_span() is caller
                async for _ in stream:
                    break
            assert trace.get_current_span() is caller
            simulator.latency = 5.0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.devices.get(device)
            assert trace.get_current_span() is caller
    spans = {span.context.span_id: span for span in telemetry.spans}
    parents = [spans[span.parent.span_id].name for span in telemetry.spans if span.parent is not None]
    assert sorted(set(parents)) == ["caller", "devices.get", "telemetry.query_timeseries"]


async def test_the_server_gets_the_trace_of_the_call() -> None:
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.aiohttp_client", reason="is not installed")
    telemetry = Telemetry()
    tracing = instrumentation.create_trace_config(tracer_provider=telemetry.tracers)
    async with (
        Simulator(devices=2, token=TOKEN) as simulator,
        aiohttp.ClientSession(trace_configs=[tracing]) as session,
        EnapterClient(base_url=simulator.url, token=TOKEN, http_session=session, hooks=[telemetry.hook]) as client,
    ):
        await asyncio.gather(*(client.devices.get(device) for device in simulator.world.devices))
        sent = {tuple(request.headers["traceparent"].split("-")[1:3]) for request in simulator.requests}
    calls = {span.context.span_id for span in telemetry.spans if span.name == "devices.get"}
    requests = [span for span in telemetry.spans if span.name != "devices.get"]
    assert {span.parent.span_id for span in requests if span.parent is not None} == calls
    assert sent == {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in requests}
    assert TOKEN not in telemetry.everything()
