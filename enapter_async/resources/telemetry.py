"""Telemetry: the latest values, their history, and new ones as they come, of one device or of thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal

import attrs

from enapter_async._protocol import query
from enapter_async._protocol.decoding.envelopes import Optionally
from enapter_async._protocol.decoding.frames import TELEMETRY_FRAME
from enapter_async._protocol.latest_query import LatestQuery, parts, split_latest
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.timeseries.plan import DEVICES_PER_REQUEST, HistoryPart, HistoryPlan, plan_history
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
from enapter_async.models.arguments import refuse_argument
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
"""Seconds that a latest value may be old where the request does not say (reference.md, Telemetry)."""
_LIVE_ATTEMPT: Final = 10.0
"""Seconds after which a poll is tried anew; what was polled every second is not worth a long wait."""


class Telemetry(Resource):
    """Values of telemetry attributes: the latest, their history, and new ones as they come."""

    async def latest(
        self,
        attributes: Mapping[str, Iterable[str]],
        *,
        relevance_interval: Duration | None = None,
        timeout: float | None = None,
    ) -> dict[str, dict[str, LatestPoint]]:
        """Get the latest value of chosen attributes of any number of devices.

        The request is split where its URL would pass 8,000 bytes; the parts are sent concurrently.

        Args:
            attributes: Attribute names by device (ID or slug).
            relevance_interval: How old a value may be; the server's default is 30 s.
            timeout: Seconds for the whole call: its parts run at the same time.

        Returns:
            Points by device and attribute; every device that was asked for is a key. A device or an attribute that
            does not exist is no error: its point has no value, and `LatestPoint.warning` says why. Re-sent freely.
            Role: READONLY, and per attribute what the manifest says.

        Raises:
            InvalidArgumentError: A device or an attribute name cannot be.
            EnapterError: A part failed; then the whole call has failed.
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
        """Get the latest value of attributes of one device.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            attributes: Attribute names; what comes without them is not documented.
            site_id: Site of the device.
            relevance_interval: How old a value may be; the server's default is 30 s.
            timeout: Seconds for the whole call.

        Returns:
            Points by attribute. Re-sent freely. Role: READONLY, and per attribute what the manifest says.

        Raises:
            InvalidArgumentError: A name cannot be.
            NotFoundError: There is no such device.
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
        """Follow the latest values of chosen attributes of any number of devices, by polling.

        Each (device, attribute, timestamp) comes once. Ticks are one interval apart by the wall clock and do not
        drift. Requests are batched as those of `latest`; one that fails for a reason that may pass is reported,
        and the next tick asks again. What happens between two ticks is not seen: of the values that a device
        measured then, the newest comes.

            async with client.telemetry.watch({device_id: ["power"]}) as live:
                async for datapoint in live:
                    print(datapoint.timestamp, datapoint.value)

        Args:
            attributes: Attribute names by device (ID or slug).
            interval: Seconds or timedelta between two ticks.
            relevance_interval: How old a value may be; the server's default is 30 s, and two intervals where
                these are longer.
            on_event: A quick synchronous callable that gets every `TickMissed`, `PollFailed`, `ValueMissing` and
                `ValueUnreadable`. Without one they are logged as warnings (logger `enapter_async.watch`).
            on_missing: What to do about a device or an attribute that does not exist. `warn`: report it once as
                `ValueMissing`, whose `not_found` is True, and go on with the others; `raise`: end with
                `TelemetryNotFoundError`.
            persistent: Keep polling whatever is answered, unless the API refuses the token. A request that the API
                refuses for another reason is split until it is known which attribute it refuses; that one is reported,
                and asked for again after ten minutes. Late answers are reported as `PollLate`. By default the
                iteration raises errors that will not pass.
            timeout: Seconds for each request.

        Returns:
            A `Watch`, to be used with `async with` and `async for`; nothing is sent before it is iterated.
            Re-sent freely. Role: READONLY, and per attribute what the manifest says.

        Raises:
            InvalidArgumentError: An argument is invalid.
            TelemetryNotFoundError: While iterating: something does not exist, with `on_missing="raise"`.
        """
        raising = query.one_of(on_missing, _ON_MISSING, "on_missing") == "raise"
        seconds = to_timedelta(interval, "interval").total_seconds()
        if seconds <= 0:
            raise refuse_argument("interval", "must be more than 0", interval)
        if timeout is not None:
            require_timeout(timeout)
        query.optional_callable(on_event, "on_event")
        if relevance_interval is None and 2 * seconds > _SERVERS_RELEVANCE:
            relevance_interval = round(2 * seconds, 3)
        relevance = None if relevance_interval is None else format_duration(relevance_interval, "relevance_interval")

        def split(selected: Mapping[str, Iterable[str]]) -> list[LatestQuery]:
            return split_latest(selected, relevance)

        queries = split(attributes)
        if not queries:
            raise InvalidArgumentError("attributes", "names nothing to watch")
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

        For long spans or many devices take `history`; for constant memory `stream_timeseries`.

        Args:
            query: What to ask for.
            timeout: Seconds for the whole call.

        Returns:
            The whole answer; attributes above the caller's role are not among its columns. Re-sent freely, also
            when the connection is lost in the middle. Role: READONLY, and per attribute what the manifest says.

        Raises:
            NotFoundError: No attribute of that name (code `telemetrypersistence/NO_TELEMETRY_ATTRIBUTES_FOUND`):
                usually a misspelt one.
            TimeseriesFormatError: The answer is malformed or incomplete.
        """
        return await timeseries.query_timeseries(self._session, _checked_query(query), timeout)

    def stream_timeseries(
        self, query: TimeseriesQuery, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[TimeseriesStream]:
        """Read the history of attributes while it comes, in constant memory.

        Use it as `async with client.telemetry.stream_timeseries(query) as stream:`. It holds no in-flight slot
        once it is open, and is counted against `max_streams`; leaving the block early cuts the connection.

        Args:
            query: What to ask for.
            timeout: Seconds until the answer begins; later silence is bounded by `Timeouts.attempt`.

        Returns:
            A context manager that gives a `TimeseriesStream`. Re-sent freely until the answer begins; what breaks
            later is raised. Role: READONLY, and per attribute what the manifest says.

        Raises:
            NotFoundError: No attribute of that name: usually a misspelt one.
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
        shape of these frames is not documented; for many devices, or where every datapoint has to have its time, see
        `watch` and `streams.devices`.

        Args:
            device_id: Its ID, or its slug (on the Cloud with `site_id` only).
            site_id: Site of the device.
            policy: How the stream is kept open, and what happens when frames come faster than they are taken.
            timeout: Seconds for opening it.

        Returns:
            A `Stream`; nothing is sent before it is entered. What was missed while the connection was lost is
            reported as `StreamGap`, and not replayed. Role: READONLY, and per attribute what the manifest says.

        Raises:
            InvalidArgumentError: The identifier or the policy cannot be.
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
        """Read the history of any span and any number of devices.

        It is split into requests that the API accepts, which run at the same time under the client's pace. A
        request that is cut off goes on after the last row that came. No timestamp comes twice.

            async with client.telemetry.history(query) as history:
                async for batch in history:
                    print(batch.unix_seconds[0], [column.attribute for column in batch.columns])

        Args:
            query: What to ask for; or parts of an earlier `history(...).parts`, which may have been pickled.
            window: Longest span of one request; by default 10,000 steps.
            concurrency: Most requests at once; no more than `max_streams` are, of which each takes a place.
            devices_per_request: Most devices in one request; the older API took 10.
            timeout: Seconds for each request, until its answer begins.

        Returns:
            A `History` of column-wise batches, window by window, in time order for each device; nothing is sent
            before it is iterated. Re-sent freely. Role: READONLY, and per attribute what the manifest says.

        Raises:
            InvalidArgumentError: An argument cannot be.
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
    """The methods of `Telemetry` that are one request, with the facts of their call."""

    def __init__(self, session: Session) -> None:
        super().__init__(Telemetry(session))

    @raw(Telemetry.latest_for_device)
    def latest_for_device(self) -> None:
        """Like `Telemetry.latest_for_device`."""


def _checked_query(query: TimeseriesQuery) -> TimeseriesQuery:
    if not isinstance(query, TimeseriesQuery):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refuse_argument("query", "must be a TimeseriesQuery", query)
    return query


def _checked_parts(parts: Sequence[HistoryPart]) -> Sequence[HistoryPart]:
    if isinstance(parts, HistoryPlan):
        return parts
    if isinstance(parts, Sequence) and all(isinstance(part, HistoryPart) for part in parts):  # pyright: ignore[reportUnnecessaryIsInstance]
        return parts
    raise refuse_argument("query", "must be a TimeseriesQuery, or parts of a history", parts)
