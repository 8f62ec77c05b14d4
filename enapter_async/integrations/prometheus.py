"""Metrics and health checks of a collector: `/metrics`, `/healthz` and `/readyz` (extra `prometheus`)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import anyio
from aiohttp import web
from anyio import to_thread

from enapter_async._arguments import require_whole_number
from enapter_async._protocol.query import text
from enapter_async.client import EnapterClient, Load
from enapter_async.collector import Collector, CollectorStatistics
from enapter_async.errors import ConfigurationError, MissingExtraError
from enapter_async.rows import Row
from enapter_async.rows.row import clean_text

try:
    from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector as MetricsSource
except ImportError as _error:
    raise MissingExtraError("prometheus-client", "prometheus") from _error

STALE_AFTER: Final = 300.0
"""Seconds without a newer datapoint after which a value is left out of `/metrics`."""

_ANSWER_SECONDS: Final = 10.0
"""Longest time for a response: Prometheus waits as long by default. A client that stops reading is then cut off."""

_INDEX: Final = """\
enapter-async collect

/metrics  metrics of the collector and latest values, for Prometheus
/healthz  200 as long as the process works
/readyz   200 if rows were committed recently, else 503 and the reason
"""

Sample = tuple[list[str], float]
"""Labels (device_id, attribute, unit) and a value."""


class LatestValues:
    """The latest number of each attribute.

    Pass `take` to a collector as `on_rows`. Use the object in the event loop only.
    """

    def __init__(self, *, stale_after: float = STALE_AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without values.

        Args:
            stale_after: Seconds without a newer datapoint after which a value is left out. Choose more than the
                interval of the collector.
            clock: Monotonic clock, in seconds.
        """
        self._stale_after = stale_after
        self._clock = clock
        self._points: dict[tuple[str, str], tuple[float, int, float]] = {}

    def take(self, rows: Sequence[Row]) -> None:
        """Remember rows. A row older than the known one is ignored; a row with text removes the value."""
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

    def list_current(self, units: Mapping[str, Mapping[str, str | None]]) -> list[Sample]:
        """Return the values that are still collected and not stale, and forget all others.

        Args:
            units: The attributes collected now: unit by attribute, by device.
        """
        oldest = self._clock() - self._stale_after
        current: list[Sample] = []
        gone: list[tuple[str, str]] = []
        for key, (value, _, arrived) in self._points.items():
            device, attribute = key
            names = units.get(device)
            if names is None or attribute not in names or arrived < oldest:
                gone.append(key)
            else:
                # A device with a strange name must not break the whole response.
                labels = [clean_text(device), clean_text(attribute), clean_text(names[attribute] or "")]
                current.append((labels, value))
        for key in gone:
            del self._points[key]
        return current


class MetricsServer:
    """Serves metrics and health checks of a collector over HTTP.

    | path | response |
    |---|---|
    | `/` | a list of the paths below |
    | `/metrics` | metrics of the collector, its client and its process, and the latest collected values |
    | `/healthz` | 200 as long as the event loop runs |
    | `/readyz` | 200 if rows were committed within three intervals (at least 15 seconds), else 503 with the reason |

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
        """Prepare the server. It starts listening in `async with`.

        Args:
            collector: The collector to watch.
            client: Its client.
            latest: The object whose `take` is the collector's `on_rows`.
            host: Address to listen on.
            port: Port; 0 for any free one.
            interval: Seconds between two polls of the collector, for `/readyz`.

        Raises:
            InvalidArgumentError: The host or the port is invalid.
        """
        self.host: str = text(host, "host")
        self.port: int = require_whole_number(port, "port", 0, 65_535)
        self._collector = collector
        self._client = client
        self._latest = latest
        self._ready_within = max(3 * interval, 15.0)
        # One separate thread: waiting scrapes must not occupy the threads that write to the store.
        self._renderer = anyio.CapacityLimiter(1)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://{self._address}"

    @property
    def _address(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except (OSError, OverflowError, UnicodeError) as error:
            await runner.cleanup()
            raise ConfigurationError(f"cannot serve metrics at {self._address}: {_reason(error)}") from error
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=_INDEX)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        with anyio.move_on_after(_ANSWER_SECONDS):
            # The values change in the event loop, so they are read there. Rendering twenty thousand values takes a
            # tenth of a second and would delay polls, so a thread does it.
            latest = self._latest.list_current(self._collector.targets.units)
            text = await to_thread.run_sync(
                render_metrics, self._collector.statistics, self._client.load, latest, limiter=self._renderer
            )
            response = web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
            await response.prepare(request)
            await response.write_eof()
            return response
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        committed_at = self._collector.statistics.committed_at
        if committed_at is None:
            return web.Response(status=503, text="nothing has been committed yet\n")
        age = max(0.0, time.time() - committed_at)
        if age > self._ready_within:
            return web.Response(status=503, text=f"the last commit was {age:.0f} s ago\n")
        return web.Response(text=f"the last commit was {age:.1f} s ago\n")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's message repeats the address
    return str(error)


def render_metrics(statistics: CollectorStatistics, load: Load, latest: Sequence[Sample]) -> bytes:
    """Return the text of `/metrics`.

    Args:
        statistics: Counters of the collector.
        load: Current load of its client.
        latest: Labels and values of the collected attributes.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(statistics, load))
    ProcessCollector(registry=registry)
    return generate_latest(registry) + render_telemetry(latest)


class _Metrics(MetricsSource):
    """Metrics at one moment."""

    def __init__(self, statistics: CollectorStatistics, load: Load) -> None:
        self._statistics = statistics
        self._polls = statistics.polls
        self._load = load

    def collect(self) -> Iterable[Metric]:
        done, polls, load = self._statistics, self._polls, self._load
        counters: tuple[tuple[str, str, float], ...] = (
            ("datapoints", "New datapoints received.", done.datapoints),
            ("rows_committed", "New rows committed, not counting rows filled in from history.", done.rows),
            ("rows_filled", "Rows filled in from history.", done.rows_filled),
            ("rows_duplicate", "Datapoints received again or already in the store.", done.duplicates),
            ("gaps_noted", "Gaps recorded.", done.gaps_noted),
            ("repaired_seconds", "Seconds of gaps looked up in history.", done.seconds_repaired),
            ("ticks", "Polls started.", polls.ticks),
            ("ticks_missed", "Polls missed in whole or in part.", polls.missed_ticks),
            ("requests", "Requests for latest values.", polls.requests),
            ("requests_failed", "Requests for latest values that failed.", polls.failures),
            ("store_stalls", "Times that polling had to wait for the store.", done.stalls),
        )
        gauges: tuple[tuple[str, str, float], ...] = (
            ("devices", "Devices collected.", done.devices),
            ("attributes", "Attributes collected.", done.attributes),
            ("gaps_open", "Open gaps in the store's journal.", done.gaps_open),
            ("gap_open_seconds", "Total length of the open gaps in the store's journal.", done.gap_seconds_open),
            ("rows_waiting", "Rows waiting to be committed.", done.waiting),
            ("skipped", "Devices, attributes and values that cannot be collected.", done.skipped),
            ("attributes_without_value", "Attributes for which the API has no value.", done.without_value),
            ("last_commit_timestamp_seconds", "Unix time of the last commit.", done.committed_at or math.nan),
            ("client_requests_in_flight", "Requests in flight.", load.in_flight),
            ("client_requests_waiting", "Requests waiting for the rate limit.", load.waiting),
            (
                "client_requests_per_second_limit",
                "Rate limit of the client; NaN without one.",
                load.requests_per_second or math.nan,
            ),
        )
        for name, meaning, value in counters:
            yield CounterMetricFamily(f"enapter_collector_{name}", meaning, value=value)
        for name, meaning, value in gauges:
            yield GaugeMetricFamily(f"enapter_collector_{name}", meaning, value=value)


def render_telemetry(latest: Iterable[Sample]) -> bytes:
    """Return the text of the family `enapter_telemetry`, with labels in the order of prometheus-client.

    Written here because 20,000 samples take prometheus-client 150 ms and this function a tenth of that:
    `benchmarks/bench_metrics.py`.
    """
    escaped: dict[str, str] = {}

    def escape(text: str) -> str:
        found = escaped[text] = text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        return found

    known = escaped.get
    lines = [_TELEMETRY_HEAD]
    for (device, attribute, unit), value in latest:
        # Labels in alphabetical order, as prometheus-client sorts them.
        lines.append(
            f'enapter_telemetry{{attribute="{known(attribute) or escape(attribute)}",'
            f'device_id="{known(device) or escape(device)}",unit="{known(unit) or escape(unit)}"}} {value!r}\n'
        )
    return "".join(lines).encode()


_TELEMETRY_HEAD: Final = (
    "# HELP enapter_telemetry Latest value of a telemetry attribute.\n# TYPE enapter_telemetry gauge\n"
)
