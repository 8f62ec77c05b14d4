"""The main job of `enapter-async collect`: from the API into a store, until told to stop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

import anyio
import attrs

from enapter_async import (
    APIError,
    AttemptFailed,
    Datapoint,
    EnapterClient,
    Event,
    PollFailed,
    RequestFinished,
    TickMissed,
    Watch,
    WatchEvent,
    WatchStatistics,
)
from enapter_async.cli.exits import Exit, Failure
from enapter_async.cli.store import Row
from enapter_async.cli.writer import Writer

_logger = logging.getLogger("enapter_async.cli.collect")

_GRACE_SECONDS = 3.0
"""How long requests under way may take once collecting is to end."""
_MOST = 10**308


class Traffic:
    """Counts what a client does; one of its hooks.

    Attributes:
        requests: HTTP requests.
        rate_limited: 429 answers.
        errors: Other failed requests.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.rate_limited = 0
        self.errors = 0

    def __call__(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, RequestFinished):
            self.requests += event.attempts
        elif isinstance(event, AttemptFailed):
            _logger.debug("attempt %d failed: %s", event.attempt, event.error)
            if isinstance(event.error, APIError) and event.status == 429:
                self.rate_limited += 1
            else:
                self.errors += 1


@attrs.frozen
class Plan:
    """What is collected.

    Attributes:
        devices: How many devices the token can see.
        units: Unit by numeric attribute, by device.
    """

    devices: int
    units: dict[str, dict[str, str | None]]

    @property
    def attributes(self) -> int:
        """How many attributes."""
        return sum(map(len, self.units.values()))


async def make_plan(client: EnapterClient) -> Plan:
    """List the devices and find their numeric telemetry attributes.

    Raises:
        Failure: There is nothing to collect.
        EnapterError: The devices could not be listed.
    """
    count = 0
    units: dict[str, dict[str, str | None]] = {}
    async for device in client.devices.list(expand={"manifest"}):
        count += 1
        declarations = device.manifest.numeric_telemetry() if device.manifest is not None else {}
        if declarations:
            units[device.id] = {name: one.unit for name, one in declarations.items()}
    if not units:
        seen = f"{count} device{'' if count == 1 else 's'}, none with numeric telemetry" if count else "no device"
        raise Failure(f"nothing to collect: the token can see {seen}", Exit.NOT_FOUND)
    return Plan(count, units)


class Collector:
    """Writes each new datapoint of a plan once.

    Attributes:
        plan: What is collected.
        datapoints: New datapoints that came.
        not_numeric: Values that are no numbers although the manifest says so; they are not written.
        without_value: Attributes for which the server warned instead of giving a value.
        last_problem: The newest thing that went wrong, in words.
        longest_gap: Most seconds between two datapoints of one attribute, with device and attribute.
        seen: Attributes that had a datapoint.
    """

    def __init__(self, client: EnapterClient, plan: Plan, writer: Writer, *, interval: float) -> None:
        self.plan = plan
        self.datapoints = 0
        self.not_numeric = 0
        self.without_value: set[tuple[str, str]] = set()
        self.last_problem = ""
        self.longest_gap: tuple[float, str, str] = (0.0, "", "")
        self._writer = writer
        self._last: dict[tuple[str, str], datetime] = {}
        self._times: dict[datetime, str] = {}
        self._watch: Watch = client.telemetry.watch(plan.units, interval=interval, on_event=self._note)

    @property
    def statistics(self) -> WatchStatistics:
        """What the polling has done."""
        return self._watch.statistics

    @property
    def seen(self) -> int:
        """How many attributes had a datapoint."""
        return len(self._last)

    async def run(
        self, stop: anyio.Event, seconds: float | None, beside: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Collect until told to stop; everything that came is written then.

        Args:
            stop: Set it to end properly.
            seconds: End after this time; None for no such end.
            beside: Runs meanwhile, and is cancelled when collecting ends.

        Raises:
            Failure: The store cannot be written.
            EnapterError: Something that will not pass by itself: the token is refused, say.
        """
        problem: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._writer.run)
            tasks.start_soon(self._end, stop, seconds, collecting := anyio.CancelScope())
            tasks.start_soon(_run_in, meanwhile := anyio.CancelScope(), beside)
            try:
                with collecting:
                    await self._collect()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                problem = error
            meanwhile.cancel()
            stop.set()
            self._writer.close()
        if problem := problem or self._writer.failure:
            raise problem

    async def _collect(self) -> None:
        async with self._watch as live:
            async for batch in live.batches():
                await self._writer.put(self._rows(batch))

    async def _end(self, stop: anyio.Event, seconds: float | None, collecting: anyio.CancelScope) -> None:
        with anyio.move_on_after(seconds):
            await stop.wait()
        self._watch.finish()
        collecting.deadline = anyio.current_time() + _GRACE_SECONDS

    def _rows(self, batch: list[Datapoint]) -> list[Row]:
        rows: list[Row] = []
        self.datapoints += len(batch)
        for point in batch:
            key = (point.device, point.attribute)
            self._measure_gap(key, point.timestamp)
            value = point.value
            if value is not None and type(value) is not float:
                if type(value) is not int or abs(value) > _MOST:
                    self.not_numeric += 1
                    self.last_problem = f"{point.device} {point.attribute}: {value!r:.40} is no number to store"
                    continue
                value = float(value)
            units = self.plan.units.get(point.device, {})
            rows.append((*key, self._text(point.timestamp), value, units.get(point.attribute)))
        return rows

    def _measure_gap(self, key: tuple[str, str], timestamp: datetime) -> None:
        last = self._last.get(key)
        if last is None or timestamp > last:
            self._last[key] = timestamp
            if last is not None and (gap := (timestamp - last).total_seconds()) > self.longest_gap[0]:
                self.longest_gap = (gap, *key)

    def _text(self, timestamp: datetime) -> str:
        # The same few seconds over and over: looked up ten times faster than written.
        text = self._times.get(timestamp)
        if text is None:
            if len(self._times) > 1_000:
                self._times.clear()
            text = self._times[timestamp] = timestamp.replace(tzinfo=None).isoformat() + "Z"
        return text

    def _note(self, event: WatchEvent) -> None:
        if isinstance(event, (TickMissed, PollFailed)):
            self.last_problem = str(event)
            _logger.debug("%s", event)
        else:
            self.without_value.add((event.device, event.attribute))


async def _run_in(scope: anyio.CancelScope, work: Callable[[], Awaitable[None]] | None) -> None:
    with scope:
        if work is not None:
            await work()
