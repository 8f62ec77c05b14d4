"""Live telemetry by polling. Returns every new datapoint once, on a schedule that does not drift."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar, cast

import anyio
from anyio.abc import TaskGroup

from enapter_async._protocol.decoding.model_reader import model_maker
from enapter_async._protocol.failure import copy_error, may_pass, refuses_request, refuses_token
from enapter_async._protocol.latest_query import LatestQuery, names_in
from enapter_async._streaming.call_iterator import CallIterator
from enapter_async._streaming.latest_reader import LEFT_OUT, REMEMBERED, LatestReader
from enapter_async._streaming.schedule import Schedule
from enapter_async.errors import DecodeError, EnapterError, InvalidArgumentError, RequestError, TelemetryNotFoundError
from enapter_async.models.watch import (
    Datapoint,
    DatapointTuple,
    PollFailed,
    PollLate,
    TickMissed,
    ValueMissing,
    WatchEvent,
    WatchStatistics,
)

T = TypeVar("T")

Latest: TypeAlias = Mapping[str, object]
"""Points by device and attribute, as JSON or as models."""
FetchLatest: TypeAlias = Callable[[str], Awaitable[Latest]]
"""Fetches the latest points of one part of the attributes, given its query string."""

_OVERLAP: Final = REMEMBERED - 1
"""Maximum number of concurrent requests of one part."""
_IN_TIME: Final = 0.4
"""Share of an interval, or of a second, within which a response certainly has the value of its tick."""
_REFUSALS: Final = 2
"""Rejections in a row after which a part is split. A single one may come from a restarting server."""
_UNREADABLE: Final = 3
"""Unreadable responses in a row after which a part is split."""
_PROBES: Final = 64
"""Number of additional parts up to which a rejected part is split although all other requests fail too."""
_REFUSED_SECONDS: Final = 600.0
"""Seconds after which rejected attributes are requested again."""

_make_datapoint: Final = model_maker(Datapoint, "device", "attribute", "timestamp", "value")
_logger = logging.getLogger("enapter_async.watch")


class _Part:
    """A part of the attributes that fits into one request."""

    __slots__ = ("answered_at", "answered_tick", "asked", "names", "pending", "query", "refusals", "refused_at")

    def __init__(self, query: LatestQuery | str) -> None:
        self.asked = None if isinstance(query, str) else query
        self.query = query if isinstance(query, str) else query.text
        self.names: Mapping[str, Sequence[str]] = names_in(query) if isinstance(query, str) else query.attributes
        self.refusals = 0
        self.refused_at: float | None = None
        self.pending = 0
        self.answered_tick = 0
        self.answered_at: datetime | None = None


class Watch:
    """New datapoints as they arrive. Created by `telemetry.watch`.

    Use it as `async with client.telemetry.watch(...) as live: async for datapoint in live: ...`. Requests then
    continue while you process datapoints, and end with the block. Plain `async for` works too and leaves nothing
    running after a `break`, but waits for each round of requests as a whole.

    A tick begins only while you wait for the next datapoint, so nothing piles up behind a slow consumer. Ticks that
    it could not keep up with are reported as `TickMissed`.

    Attributes:
        statistics (WatchStatistics): Counters since the watch began.
    """

    def __init__(
        self,
        queries: Sequence[LatestQuery | str],
        fetch: FetchLatest,
        *,
        interval: float,
        on_event: Callable[[WatchEvent], object] | None = None,
        raise_missing: bool = False,
        congested: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
        split: Callable[[Mapping[str, Iterable[str]]], Sequence[LatestQuery]] | None = None,
        persistent: bool = False,
    ) -> None:
        """Create a watch. Nothing is sent yet.

        Args:
            queries: One query for each request of a tick.
            fetch: Sends one query.
            interval: Seconds between two ticks.
            on_event: Receives every event. By default events are logged as warnings.
            raise_missing: Raise an error if a device or an attribute does not exist.
            congested: Whether requests are already waiting for the rate limit, so that more would only queue.
            clock: Returns Unix seconds.
            chance: Chooses the position of the ticks. Seed it in tests.
            split: Creates the queries of a selection.
            persistent: Continue after any error, unless the API rejects the token.
        """
        self.statistics: WatchStatistics = WatchStatistics()
        self._parts = [_Part(query) for query in queries]
        self._queries = queries
        self._split = split
        self._persistent = persistent
        self._answered_at = 0.0
        self._join_at: float | None = None
        self._reader = LatestReader(self._report)
        self._fetch = fetch
        self._interval = interval
        self._on_event = on_event
        self._raise_missing = raise_missing
        self._congested = congested
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, not for secrets
        self._schedule: Schedule | None = None
        self._ready: deque[list[DatapointTuple]] = deque()
        self._failure: EnapterError | None = None
        self._arrived = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._closed = False
        self._finishing = False
        self._under_way = 0
        self._fastest: float | None = None  # seconds taken by the fastest response so far
        self._current: list[DatapointTuple] = []
        self._position = 0
        # Tasks can share a watch: each batch and each datapoint goes to one of them.
        self._waiting = asyncio.Lock()
        self._turning = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._tasks, None
        self._closed = True
        self._arrived.set()
        if tasks is not None:
            tasks.cancel_scope.cancel()
            # Without the body's exception, which would be wrapped in a group. It propagates anyway.
            await tasks.__aexit__(None, None, None)

    def __aiter__(self) -> AsyncIterator[Datapoint]:
        return self

    async def __anext__(self) -> Datapoint:
        has_begun = not self._closed
        while self._position >= len(self._current):
            async with self._turning:
                if self._position >= len(self._current):  # otherwise another task got a batch in the meantime
                    self._current, self._position = await self._take_batch(has_begun=has_begun), 0
        found = self._current[self._position]
        self._position += 1
        return _make_datapoint(*found)

    def batches(self) -> AsyncIterator[list[Datapoint]]:
        """Iterate over lists with the new datapoints of one response each."""
        return CallIterator(self._next_datapoints)

    def tuples(self) -> AsyncIterator[list[DatapointTuple]]:
        """Iterate over lists like `batches`, with tuples of device, attribute, timestamp and value.

        This is the fastest way to read a watch, since a `Datapoint` takes as long to create as a tuple to read.
        """
        return CallIterator(self._next_batch)

    def select(self, attributes: Mapping[str, Iterable[str]]) -> None:
        """Watch other devices or attributes from the next tick on.

        Attributes that stay selected are followed without repeated or missed datapoints.

        Args:
            attributes: Attribute names by device (ID or slug). If empty, polling stops until the next selection.

        Raises:
            InvalidArgumentError: The name of a device or an attribute is invalid. The selection stays unchanged.
        """
        if self._split is None:
            raise InvalidArgumentError("attributes", "cannot be changed for this watch")
        self._use(self._split(attributes))

    @property
    def divided(self) -> frozenset[str]:
        """Devices whose attributes need several requests, some of which may succeed while others fail."""
        count = Counter(device for part in self._parts for device in part.names)
        return frozenset(device for device, number in count.items() if number > 1)

    def finish(self) -> None:
        """Begin no more ticks. The iteration ends once running requests have ended and all datapoints are returned."""
        self._finishing = True
        self._arrived.set()

    async def _next_datapoints(self) -> list[Datapoint]:
        return [_make_datapoint(*found) for found in await self._next_batch()]

    async def _next_batch(self) -> list[DatapointTuple]:
        return await self._take_batch(has_begun=not self._closed)

    async def _take_batch(self, *, has_begun: bool) -> list[DatapointTuple]:
        """Wait for a response with new datapoints and return them.

        Args:
            has_begun: Whether the caller asked before the watch ended. Every task that waits for a shared watch gets
                the error that ends it.

        Raises:
            StopAsyncIteration: The `async with` block has ended, or `finish` was called and everything is returned.
            EnapterError: The failure is permanent: the token is rejected, the request is invalid, the client is
                closed, or a watched device or attribute does not exist and `on_missing="raise"` was given.
        """
        async with self._waiting:
            if self._closed:
                if has_begun and self._failure is not None:
                    raise copy_error(self._failure)
                raise StopAsyncIteration
            if self._tasks is not None:
                await self._advance(self._tasks)
            else:
                async with anyio.create_task_group() as tasks:  # ends with this await: nothing outlives a `break`
                    await self._advance(tasks)
            if self._ready:
                return self._ready.popleft()
            self._closed = True
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration

    async def _advance(self, tasks: TaskGroup) -> None:
        """Begin ticks that are due until something can be returned or raised."""
        if self._schedule is None:
            self._schedule = Schedule(self._interval, self._clock(), self._chance)
        schedule = self._schedule
        while True:
            beginning = not self._has_ended and not self._finishing
            if beginning and (due := schedule.take(self._clock())) is not None:
                self._tick(tasks, *due)
            if self._ready or self._has_ended or (self._finishing and not self._under_way):
                return
            self._arrived = anyio.Event()
            with anyio.move_on_after(max(0.0, schedule.due - self._clock()) if beginning else None):
                await self._arrived.wait()

    @property
    def _has_ended(self) -> bool:
        return self._closed or self._failure is not None

    def _tick(self, tasks: TaskGroup, due: float, passed: int) -> None:
        statistics = self.statistics
        if self._join_at is not None and self._clock() >= self._join_at:
            self._join_parts()
        requests = len(self._parts)
        moment = datetime.fromtimestamp(due, UTC)
        waited = max(0.0, self._clock() - due)
        if passed:
            statistics.missed_ticks += passed
            first = datetime.fromtimestamp(due - passed * self._interval, UTC)
            self._report(TickMissed(due=first, count=passed, skipped=requests, requests=requests))
        statistics.ticks += 1
        number = statistics.ticks
        spare = 0 if self._congested() else self._spare()
        skipped: list[_Part] = []
        # Longest waiting first: if a tick cannot poll all parts, none of them starves.
        for part in sorted(self._parts, key=_answered_tick):
            if part.pending:
                if part.pending >= _OVERLAP or spare <= 0:
                    skipped.append(part)
                    continue
                spare -= 1
            part.pending += 1
            self._under_way += 1
            statistics.requests += 1
            tasks.start_soon(self._poll, part, number, moment, waited)
        if skipped:
            statistics.skipped_requests += len(skipped)
            statistics.missed_ticks += 1
            devices = tuple(device for part in skipped for device in part.names)
            self._report(TickMissed(due=moment, count=1, skipped=len(skipped), requests=requests, devices=devices))

    def _spare(self) -> int:
        """Return how many parts may be requested although an earlier request for them is still running.

        If even the fastest response took as long as the interval, latency is high: then all parts may, so that
        nothing is lost. If some responses were fast, the others either hang, which affects few, or the server is
        overloaded. More requests would then only lengthen its queue.
        """
        far = self._fastest is None or self._fastest > 0.8 * self._interval
        parts = len(self._parts)
        most = parts * (_OVERLAP - 1) if far else max(_OVERLAP - 1, parts // 4)
        return most - sum(part.pending - 1 for part in self._parts if part.pending)

    async def _poll(self, part: _Part, number: int, due: datetime, waited: float) -> None:
        began = anyio.current_time()
        try:
            answer = await self._fetch(part.query)
        except EnapterError as error:
            self._note_failure(part, due, error)
        else:
            took = anyio.current_time() - began
            self._fastest = took if self._fastest is None else min(took, self._fastest)
            late = number < part.answered_tick
            if self._persistent and (late or waited + took > _IN_TIME * min(self._interval, 1.0)):
                self._report(PollLate(due=due, seconds=waited + took, devices=tuple(part.names)))
            if not late:
                self._note_answer(part, number, due)
            repeats = self._reader.repeats
            batch = self._reader.read(answer, late=late)
            self.statistics.repeats += self._reader.repeats - repeats
            self.statistics.datapoints += len(batch)
            self._tell_omissions(part, answer)
            if batch:
                self._ready.append(batch)
        finally:
            part.pending -= 1
            self._under_way -= 1
            self._arrived.set()

    def _note_answer(self, part: _Part, number: int, due: datetime) -> None:
        if part.answered_at is not None:
            gap = (due - part.answered_at).total_seconds()
            self.statistics.longest_gap = max(self.statistics.longest_gap, gap)
        part.answered_tick, part.answered_at = number, due
        part.refusals, part.refused_at = 0, None
        self._answered_at = self._clock()

    def _note_failure(self, part: _Part, due: datetime, error: EnapterError) -> None:
        unreadable = isinstance(error, DecodeError)
        if self._persistent and isinstance(error, RequestError) and not refuses_token(error):
            passes = True
            if unreadable or refuses_request(error):
                self._split_part(part, error, _UNREADABLE if unreadable else _REFUSALS)
        else:
            passes = may_pass(error) or unreadable  # a proxy's page with status 200 is as temporary as a 502
        if passes:
            self.statistics.failures += 1
            self._report(PollFailed(due=due, error=error, devices=tuple(part.names)))
        else:
            self._failure = self._failure or error

    def _split_part(self, part: _Part, error: RequestError, refusals: int) -> None:
        """Split a rejected request, so that only the rejected attribute is lost."""
        part.refusals += 1
        if part.refused_at is None:
            part.refused_at = self._clock()
        if part.asked is None or part.refusals < refusals or part not in self._parts:
            return
        # If all other requests fail too, the attributes are hardly the reason.
        others = self._answered_at > part.refused_at
        place = self._parts.index(part)
        if part.asked.size > 1:
            if not others and len(self._parts) >= len(self._queries) + _PROBES:
                return
            halves = [_Part(query) for query in part.asked.halves()]
            for half in halves:
                half.refused_at, half.refusals = part.refused_at, part.refusals
            self._parts[place : place + 1] = halves
        elif others:
            del self._parts[place]
            ((device, (name,)),) = part.asked.attributes.items()
            self._reader.report_unreadable(device, name, f"refused: {error}")
        else:
            return
        if self._join_at is None:
            self._join_at = self._clock() + _REFUSED_SECONDS

    def _tell_omissions(self, part: _Part, answer: Latest) -> None:
        if not answer.keys() <= part.names.keys():
            return  # the server uses other names for devices, so omissions cannot be detected
        for device, names in part.names.items():
            points: object = answer.get(device) or {}
            if isinstance(points, dict) and len(cast("dict[str, object]", points)) < len(names):
                for name in names:
                    if name not in points:
                        self._reader.report_missing(device, name, LEFT_OUT)

    def _use(self, queries: Sequence[LatestQuery | str]) -> None:
        known = {part.query: part for part in self._parts}
        parts = [_Part(query) for query in queries]
        self._queries = queries
        self._parts = [known.get(part.query, part) for part in parts]
        self._join_at = None
        self._arrived.set()

    def _join_parts(self) -> None:
        """Request everything again, including rejected attributes, in as few requests as at the start."""
        self._use(self._queries)

    def _report(self, event: WatchEvent) -> None:
        self._pass_on(event)
        if self._raise_missing and isinstance(event, ValueMissing) and event.not_found:
            self._failure = self._failure or TelemetryNotFoundError(
                f"watched telemetry does not exist: {event}",
                device=event.device,
                attribute=event.attribute,
                warning=event.warning,
            )

    def _pass_on(self, event: WatchEvent) -> None:
        if self._on_event is None:
            level = logging.DEBUG if isinstance(event, PollLate) else logging.WARNING
            _logger.log(level, "%s: %s", type(event).__name__, event)
            return
        try:
            self._on_event(event)
        except Exception:  # a callback is foreign code: its errors must not end the watch
            _logger.exception("on_event raised on %s", type(event).__name__)


def _answered_tick(part: _Part) -> int:
    return part.answered_tick
