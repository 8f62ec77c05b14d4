"""Telemetry of one device or of thousands: latest values, history and live values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal

import attrs

from enapter_async._arguments import refuse_argument
from enapter_async._protocol import query
from enapter_async._protocol.decoding.envelopes import Optionally
from enapter_async._protocol.decoding.frames import TELEMETRY_FRAME
from enapter_async._protocol.latest_query import LatestQuery, parts, split_latest
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.timeseries.plan import (
    COLUMNS_PER_REQUEST,
    DEVICES_PER_REQUEST,
    HistoryPart,
    HistoryPlan,
    count_columns,
    plan_history,
)
from enapter_async._protocol.values import format_duration, require_timeout, to_timedelta
from enapter_async._session import Session
from enapter_async._streaming import timeseries
from enapter_async._streaming.history import DEFAULT_CONCURRENCY, History
from enapter_async._streaming.latest_reader import decode_latest
from enapter_async._streaming.stream import Stream
from enapter_async._streaming.stream_reader import Subscription
from enapter_async._streaming.timeseries import TimeseriesStream
from enapter_async._streaming.watch import Watch
from enapter_async.config import StreamPolicy
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import JSON, Duration
from enapter_async.models.streams import TelemetryFrame
from enapter_async.models.telemetry import LatestPoint
from enapter_async.models.timeseries import Timeseries, TimeseriesQuery
from enapter_async.models.watch import WatchEvent
from enapter_async.resources._concurrency import gather
from enapter_async.resources._resource import RawResource, Resource, device_path, raw

_LATEST: Final = Operation("telemetry.latest", "GET", Safety.READ)
_LATEST_FOR_DEVICE: Final = Operation("telemetry.latest_for_device", "GET", Safety.READ)
_FOLLOW: Final = Operation("telemetry.follow", "GET", Safety.READ)

_POINTS: Final = Optionally("telemetry", dict[str, LatestPoint])
_POINTS_BY_DEVICE: Final = Optionally("telemetry", dict[str, dict[str, LatestPoint]])

_ON_MISSING: Final = frozenset({"warn", "raise"})
_SERVERS_RELEVANCE: Final = 30.0
"""Maximum age of a latest value in seconds, unless the request sets one (reference.md, Telemetry)."""
_LIVE_ATTEMPT: Final = 10.0
"""Seconds after which a poll is tried again. A value that is polled every second is not worth a long wait."""


class Telemetry(Resource):
    """Read telemetry attributes: latest values, history and live values."""

    async def latest(
        self,
        attributes: Mapping[str, Iterable[str]],
        *,
        relevance_interval: Duration | None = None,
        timeout: float | None = None,
    ) -> dict[str, dict[str, LatestPoint]]:
        """Get the latest values of attributes of any number of devices.

        If the URL would exceed 8,000 bytes, the request is split into parts that are sent concurrently.

        Args:
            attributes: Attribute names by device (ID or slug).
            relevance_interval: Maximum age of a value. The server's default is 30 s.
            timeout: Timeout of the whole call, in seconds. Its parts run at the same time.

        Returns:
            Points by device and attribute. Every requested device is a key. A device or an attribute that does not
            exist does not raise an error: its point has no value, and `LatestPoint.warning` says why.

        Raises:
            InvalidArgumentError: The name of a device or an attribute is invalid.
            EnapterError: A part of the request failed, and with it the whole call.
        """
        if timeout is not None:
            require_timeout(timeout)
        interval = None
        if relevance_interval is not None:
            interval = format_duration(relevance_interval, "relevance_interval")
        queries = parts(attributes, interval)

        async def fetch(encoded: str) -> dict[str, dict[str, LatestPoint]]:
            request = Request(_LATEST, "v3/telemetry/latest", encoded)
            return await self._session.send(request, _POINTS_BY_DEVICE, timeout)

        merged: dict[str, dict[str, LatestPoint]] = {device: {} for device in attributes}
        for points in await gather(fetch, queries):
            for device, values in points.items():
                merged.setdefault(device, {}).update(values)
        return merged

    async def latest_for_device(
        self,
        device_id: str,
        *,
        attributes: Iterable[str] | None = None,
        site_id: str | None = None,
        relevance_interval: Duration | None = None,
        timeout: float | None = None,
    ) -> dict[str, LatestPoint]:
        """Get the latest values of attributes of one device.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            attributes: Attribute names. The API does not document what it returns without them.
            site_id: Site of the device.
            relevance_interval: Maximum age of a value. The server's default is 30 s.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            Points by attribute.

        Raises:
            InvalidArgumentError: A name is invalid.
            NotFoundError: The device does not exist.
        """
        pairs: list[tuple[str, str]] = []
        if attributes is not None:
            pairs.append(("attribute.in", query.listed(attributes, "attributes")))
        if relevance_interval is not None:
            pairs.append(("relevance_interval", format_duration(relevance_interval, "relevance_interval")))
        request = Request(_LATEST_FOR_DEVICE, device_path(device_id, site_id, "telemetry"), query.encode(pairs))
        return await self._session.send(request, _POINTS, timeout)

    def watch(
        self,
        attributes: Mapping[str, Iterable[str]],
        *,
        interval: Duration = 1.0,
        relevance_interval: Duration | None = None,
        on_event: Callable[[WatchEvent], object] | None = None,
        on_missing: Literal["warn", "raise"] = "warn",
        persistent: bool = False,
        timeout: float | None = None,
    ) -> Watch:
        """Follow the latest values of attributes of any number of devices, by polling.

        Each (device, attribute, timestamp) is returned once. Ticks are one interval apart by the wall clock and do
        not drift. Requests are batched as in `latest`. A temporary failure is reported, and the next tick polls
        again. If a device measures several values between two ticks, only the newest is returned.

            async with client.telemetry.watch({device_id: ["power"]}) as live:
                async for datapoint in live:
                    print(datapoint.timestamp, datapoint.value)

        Args:
            attributes: Attribute names by device (ID or slug).
            interval: Time between two ticks: seconds or a timedelta.
            relevance_interval: Maximum age of a value. The default is 30 s, or two intervals if they are longer.
            on_event: A quick synchronous callable that receives every `TickMissed`, `PollFailed`, `ValueMissing` and
                `ValueUnreadable`. Without one, they are logged as warnings (logger `enapter_async.watch`).
            on_missing: Behaviour if a device or an attribute does not exist. `warn` reports it once as
                `ValueMissing` with `not_found=True`, and continues with the others. `raise` raises
                `TelemetryNotFoundError`.
            persistent: Keep polling after any error, unless the API rejects the token. A request that the API rejects
                for another reason is split until the rejected attribute is found. That attribute is reported, and
                requested again after ten minutes. Late responses are reported as `PollLate`. By default, permanent
                errors are raised.
            timeout: Timeout of each request, in seconds.

        Returns:
            A `Watch` for `async with` and `async for`. Requests are sent when you iterate it.

        Raises:
            InvalidArgumentError: An argument is invalid.
            TelemetryNotFoundError: While iterating with `on_missing="raise"`: a device or an attribute does not exist.
        """
        raising = query.one_of(on_missing, _ON_MISSING, "on_missing") == "raise"
        seconds = to_timedelta(interval, "interval").total_seconds()
        if seconds <= 0:
            raise refuse_argument("interval", "must be more than 0", interval)
        if timeout is not None:
            require_timeout(timeout)
        query.optional_callback(on_event, "on_event")
        if relevance_interval is None and 2 * seconds > _SERVERS_RELEVANCE:
            relevance_interval = round(2 * seconds, 3)
        relevance = None if relevance_interval is None else format_duration(relevance_interval, "relevance_interval")

        def split(selected: Mapping[str, Iterable[str]]) -> list[LatestQuery]:
            return split_latest(selected, relevance)

        queries = split(attributes)
        if not queries:
            raise InvalidArgumentError("attributes", "must contain at least one attribute to watch")
        timeouts = self._session.timeouts
        session = self._session.with_options(
            timeouts=attrs.evolve(timeouts, attempt=min(timeouts.attempt, max(_LIVE_ATTEMPT, seconds)))
        )
        state = session.state

        async def fetch(encoded: str) -> dict[str, JSON]:
            return await session.send(Request(_LATEST, "v3/telemetry/latest", encoded), decode_latest, timeout)

        return Watch(
            queries,
            fetch,
            interval=seconds,
            on_event=on_event,
            raise_missing=raising,
            congested=lambda: state.limiter.waiting > 0,
            clock=state.lifetime.unix_now,
            split=split,
            persistent=query.flag(persistent, "persistent"),
        )

    async def query_timeseries(self, query: TimeseriesQuery, *, timeout: float | None = None) -> Timeseries:
        """Get the history of attributes as one table.

        For long time ranges or many devices use `history`. For constant memory use `stream_timeseries`.

        Args:
            query: Devices, attributes and time range to read.
            timeout: Timeout of the whole call, in seconds.

        Returns:
            The whole table. It has no columns for attributes that your role cannot read. If the connection is lost,
            the request is sent again.

        Raises:
            InvalidArgumentError: The query asks for more than 100 attributes. Use `history`.
            NotFoundError: No attribute has this name (code `telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND`). It
                is usually misspelt.
            TimeseriesFormatError: The response is malformed or incomplete.
        """
        return await timeseries.query_timeseries(self._session, _checked_query(query), timeout)

    def stream_timeseries(
        self, query: TimeseriesQuery, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[TimeseriesStream]:
        """Read the history of attributes as it arrives, in constant memory.

        Use it as `async with client.telemetry.stream_timeseries(query) as stream:`. An open stream counts towards
        `max_streams`, not towards `max_in_flight`. Leaving the block early closes the connection.

        Args:
            query: Devices, attributes and time range to read.
            timeout: Seconds until the response begins. After that, `Timeouts.attempt` limits each pause in it.

        Returns:
            A context manager for a `TimeseriesStream`. Failures before the response begins are retried. Later ones
            are raised.

        Raises:
            InvalidArgumentError: The query asks for more than 100 attributes. Use `history`.
            NotFoundError: No attribute has this name. It is usually misspelt.
        """
        return timeseries.stream_timeseries(self._session, _checked_query(query), timeout)

    def follow(
        self,
        device_id: str,
        *,
        site_id: str | None = None,
        policy: StreamPolicy | None = None,
        timeout: float | None = None,
    ) -> Stream[TelemetryFrame]:
        """Follow the telemetry of a device, live, as the device sends it.

        Use it as `async with client.telemetry.follow(device_id) as stream: async for frame in stream: ...`. The
        format of these frames is not documented. For many devices, or if every datapoint needs a timestamp, use
        `watch` or `streams.devices`.

        Args:
            device_id: ID or slug of the device. On the Cloud, a slug works only with `site_id`.
            site_id: Site of the device.
            policy: How to keep the stream open, and what to do when frames arrive faster than you read them.
            timeout: Timeout for opening the stream, in seconds.

        Returns:
            A `Stream`, which connects when you enter it. Lost connections are reported as `StreamGap`; the messages
            missed in between are not replayed.

        Raises:
            InvalidArgumentError: The ID or the policy is invalid.
        """
        request = Request(_FOLLOW, device_path(device_id, site_id, "telemetry"))
        return Stream(self._session, [Subscription(request)], TELEMETRY_FRAME, policy=policy, timeout=timeout)

    def history(
        self,
        query: TimeseriesQuery | Sequence[HistoryPart],
        *,
        window: Duration | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        devices_per_request: int = DEVICES_PER_REQUEST,
        timeout: float | None = None,
    ) -> History:
        """Read the history of any number of devices over any time range.

        The query is split into requests that the API accepts. They run concurrently under the client-wide rate limit.
        An interrupted request resumes after the last row received. No timestamp is returned twice.

            async with client.telemetry.history(query) as history:
                async for batch in history:
                    print(batch.unix_seconds[0], [column.attribute for column in batch.columns])

        Args:
            query: The query, or some of the `parts` of an earlier `history(...)`. Parts can be pickled.
            window: Longest time range of one request. The default is 10,000 steps.
            concurrency: Maximum number of concurrent requests. Each counts towards `max_streams`, which is the upper
                limit.
            devices_per_request: Maximum number of devices in one request. The older API accepted 10. A request also
                has at most 100 attributes.
            timeout: Seconds until the response to each request begins.

        Returns:
            A `History` of column-wise batches, window by window, in time order for each device. Requests are sent
            when you iterate it.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        if timeout is not None:
            require_timeout(timeout)
        parts: Sequence[HistoryPart] = (
            plan_history(query, window=window, devices_per_request=devices_per_request)
            if isinstance(query, TimeseriesQuery)
            else _checked_parts(query)
        )
        return History(self._session, parts, concurrency=concurrency, timeout=timeout)


class RawTelemetry(RawResource):
    """The methods of `Telemetry` that send one request. They return a `Response`."""

    def __init__(self, session: Session) -> None:
        super().__init__(Telemetry(session))

    @raw(Telemetry.latest_for_device)
    def latest_for_device(self) -> None:
        """Like `Telemetry.latest_for_device`."""


def _checked_query(query: TimeseriesQuery) -> TimeseriesQuery:
    if not isinstance(query, TimeseriesQuery):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("query", "must be a TimeseriesQuery", query)
    if (columns := count_columns(query.series)) > COLUMNS_PER_REQUEST:
        raise InvalidArgumentError(
            "query",
            f"must ask for at most {COLUMNS_PER_REQUEST} attributes in one request, got {columns}; use history()",
        )
    return query


def _checked_parts(parts: Sequence[HistoryPart]) -> Sequence[HistoryPart]:
    if isinstance(parts, HistoryPlan):
        return parts
    if isinstance(parts, Sequence) and all(isinstance(part, HistoryPart) for part in parts):  # pyright: ignore[reportUnnecessaryIsInstance]
        return parts
    raise refuse_argument("query", "must be a TimeseriesQuery or parts of a history", parts)
