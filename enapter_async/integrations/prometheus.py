"""A collector watched by Prometheus and by Kubernetes: `/metrics`, `/healthz` and `/readyz` (extra `prometheus`)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from anyio import to_thread

from enapter_async.client import EnapterClient
from enapter_async.collector import Collector
from enapter_async.errors import MissingExtraError, StorageError
from enapter_async.rows import Row

try:
    from prometheus_client import CollectorRegistry, Metric, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector as MetricsSource
except ImportError as _error:
    raise MissingExtraError("prometheus-client", "prometheus") from _error

STALE_AFTER: Final = 300.0
"""Seconds after which a value that did not change its time any more is left out of `/metrics`."""


class LatestValues:
    """The newest number of each attribute, as it came.

    Pass `take` to a collector as `on_rows`.
    """

    def __init__(self, *, stale_after: float = STALE_AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing.

        Args:
            stale_after: Seconds after which a value is left out, counted from its arrival.
            clock: Seconds, monotonic.
        """
        self._stale_after = stale_after
        self._clock = clock
        self._points: dict[tuple[str, str], tuple[float, int, float]] = {}

    def take(self, rows: Sequence[Row]) -> None:
        """Remember rows; older ones than are known are ignored."""
        points, now = self._points, self._clock()
        for device, attribute, moment, value, _, _ in rows:
            key = (device, attribute)
            known = points.get(key)
            if known is not None and known[1] > moment:
                continue
            if value is None:
                points.pop(key, None)
            else:
                points[key] = (value, moment, now)

    def list_current(self, units: Mapping[str, Mapping[str, str | None]]) -> list[tuple[list[str], float]]:
        """Return labels (device_id, attribute, unit) and value of what is collected and not stale.

        Args:
            units: Unit by attribute, by device: what is collected now. What is gone is forgotten.
        """
        oldest = self._clock() - self._stale_after
        current: list[tuple[list[str], float]] = []
        for key, (value, _, arrived) in list(self._points.items()):
            device, attribute = key
            there = units.get(device)
            if there is None or attribute not in there or arrived < oldest:
                self._points.pop(key, None)
            else:
                current.append(([device, attribute, there[attribute] or ""], value))
        return current


class MetricsServer:
    """Serves what a collector does over HTTP.

    | path | answer |
    |---|---|
    | `/metrics` | metrics of the collector and its client, and the latest values of what is collected |
    | `/healthz` | 200 as long as the process works |
    | `/readyz` | 200 if rows were committed within three intervals (at least 15 seconds), else 503 and why |

        latest = LatestValues()
        collector = Collector(client, store, on_rows=latest.take)
        async with MetricsServer(collector, client, latest, port=9464):
            await collector.run()
    """

    def __init__(
        self,
        collector: Collector,
        client: EnapterClient,
        latest: LatestValues,
        *,
        host: str = "127.0.0.1",
        port: int = 9464,
        interval: float = 1.0,
    ) -> None:
        """Get ready; `async with` listens.

        Args:
            collector: What is watched.
            client: Its client.
            latest: Where the collector's `on_rows` goes.
            host: Address to listen at.
            port: Port; 0 for any that is free.
            interval: Seconds between two polls of the collector, for `/readyz`.
        """
        self.host: str = host
        self.port: int = port
        self._collector = collector
        self._ready_within = max(3 * interval, 15.0)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Source(collector, client, latest))
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port, shutdown_timeout=1.0)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise StorageError(f"{self.host}:{self.port}", f"cannot serve metrics: {error.strerror}") from error
        self._runner = runner
        self.port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        # Twenty thousand values take a tenth of a second: not in the loop, whose ticks must not be late.
        text = await to_thread.run_sync(generate_latest, self._registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        committed_at = self._collector.statistics.committed_at
        if committed_at is None:
            return web.Response(status=503, text="nothing has been committed yet\n")
        age = time.time() - committed_at
        if age > self._ready_within:
            return web.Response(status=503, text=f"the last commit was {age:.0f} s ago\n")
        return web.Response(text=f"the last commit was {age:.1f} s ago\n")


class _Source(MetricsSource):
    """Turns statistics into metrics whenever they are asked for."""

    def __init__(self, collector: Collector, client: EnapterClient, latest: LatestValues) -> None:
        self._collector = collector
        self._client = client
        self._latest = latest

    def collect(self) -> Iterable[Metric]:
        done = self._collector.statistics
        polls = done.polls
        load = self._client.load
        counters: tuple[tuple[str, str, float], ...] = (
            ("datapoints", "New datapoints that came.", done.datapoints),
            ("rows_committed", "Rows that were new and are committed.", done.rows),
            ("rows_filled", "Rows that were filled in from history.", done.rows_filled),
            ("rows_duplicate", "Rows that the store had already.", done.duplicates),
            ("gaps_noted", "Gaps that were noted.", done.gaps_noted),
            ("repaired_seconds", "Seconds of gaps that were looked up in history.", done.seconds_repaired),
            ("ticks", "Polls that were due.", polls.ticks),
            ("ticks_missed", "Polls that were missed in whole or in part.", polls.missed_ticks),
            ("requests", "Requests for latest values.", polls.requests),
            ("requests_failed", "Requests for latest values that failed.", polls.failures),
            ("store_stalls", "How often polling had to wait for the store.", done.stalls),
        )
        gauges: tuple[tuple[str, str, float], ...] = (
            ("devices", "Devices that are collected.", done.devices),
            ("attributes", "Attributes that are collected.", done.attributes),
            ("gaps_open", "Gaps in the journal.", done.gaps_open),
            ("gap_open_seconds", "Seconds in the gaps of the journal.", done.gap_seconds_open),
            ("rows_waiting", "Rows that wait to be committed.", done.waiting),
            ("skipped", "Devices, attributes and values that cannot be collected.", done.skipped),
            ("attributes_without_value", "Attributes for which the API has no value.", done.without_value),
            ("last_commit_timestamp_seconds", "Unix time of the last commit.", done.committed_at or math.nan),
            ("client_requests_in_flight", "Requests of the client that are in flight.", load.in_flight),
            ("client_requests_waiting", "Requests of the client that wait for their turn.", load.waiting),
            (
                "client_requests_per_second_limit",
                "Rate that the client keeps to; NaN without one.",
                load.requests_per_second or math.nan,
            ),
        )
        for name, text, value in counters:
            yield CounterMetricFamily(f"enapter_collector_{name}", text, value=value)
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"enapter_collector_{name}", text, value=value)
        telemetry = GaugeMetricFamily(
            "enapter_telemetry", "Latest value of a telemetry attribute.", labels=["device_id", "attribute", "unit"]
        )
        for labels, value in self._latest.list_current(self._collector.targets.units):
            telemetry.add_metric(labels, value)
        yield telemetry
