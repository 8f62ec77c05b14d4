"""The collector, which writes telemetry from the API to a store until it is stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import anyio

from enapter_async import (
    EnapterClient,
    PollFailed,
    PollLate,
    TickMissed,
    ValueUnreadable,
    Watch,
    WatchEvent,
    WatchStatistics,
)
from enapter_async._arguments import require_instance
from enapter_async._protocol.query import flag, optional_callback
from enapter_async.collector._arguments import require_interval, require_seconds, require_selection
from enapter_async.collector._beginning import ends_before_stop, find_start_gaps, read_reached
from enapter_async.collector._discovery import Discovery
from enapter_async.collector._guarded_store import guard_store
from enapter_async.collector._intake import Intake
from enapter_async.collector._open_gaps import OpenGaps
from enapter_async.collector._output import Output
from enapter_async.collector._problems import Problems, is_final
from enapter_async.collector._repairer import Repairer
from enapter_async.collector._reporting import FaultLog, Reporter
from enapter_async.collector._silence import CHECKED_AGAIN, CHECKED_IN_FILES
from enapter_async.collector._times import SECOND, to_datetime
from enapter_async.collector._writer import Writer
from enapter_async.collector.events import CollectorEvent, DeviceClockWrong, GapsNoted, Skipped
from enapter_async.collector.gaps import POLLS_MISSED, Gap, NotedGaps
from enapter_async.collector.selection import EmptyShardError, Selection, Targets, includes_all_devices
from enapter_async.collector.statistics import CollectorStatistics
from enapter_async.collector.store import GapNotingStore, JournaledStore, Store, StoreMethodError
from enapter_async.errors import ConfigurationError, EnapterError, SelectionError, StorageError
from enapter_async.models.watch import DatapointTuple

T = TypeVar("T")

_GRACE_SECONDS: Final = 3.0
"""Seconds for running requests to finish after collecting has been stopped."""
_FIRST_MARK_SECONDS: Final = 10.0
_MARK_SECONDS: Final = 600.0
"""Seconds between two marks in the store of how far devices are collected. The pause doubles from the first one."""
_MOST_SKIPPED: Final = 10_000

_logger = logging.getLogger("enapter_async.collector")


class Collector:
    """Collects the telemetry of devices into a store.

    Each datapoint becomes one row. Gaps are recorded in the store before newer rows are written, and are then filled
    from history; see `docs/how-to/collect.md`.

        async with EnapterClient.from_env() as client, SqliteStore("telemetry.sqlite") as store:
            await Collector(client, store, selection=Selection(attributes="all")).run()
    """

    def __init__(
        self,
        client: EnapterClient,
        store: Store,
        *,
        selection: Selection | None = None,
        interval: float | timedelta = 1.0,
        repair: bool = True,
        wait: bool = True,
        rediscover: float = 300.0,
        on_event: Callable[[CollectorEvent], object] | None = None,
        on_rows: Callable[[Sequence[tuple[str, str, int, float | None, str | None, str | None]]], object] | None = None,
    ) -> None:
        """Create a collector. Nothing is sent or written yet.

        Args:
            client: Client for all requests. It stays open.
            store: Open store for the rows. It stays open.
            selection: Devices and attributes to collect. The default is all numeric telemetry of all devices.
            interval: Seconds or timedelta between two polls.
            repair: Fill gaps from history. Otherwise they are only recorded.
            wait: Wait for an API that is not available yet. Otherwise the first failure is raised.
            rediscover: Seconds between two updates of devices, manifests and units.
            on_event: A quick synchronous callable that receives every event. By default events are logged (logger
                `enapter_async.collector`).
            on_rows: A quick synchronous callable that receives the rows of each response, for example to show them.
                If it raises, each kind of exception is logged once.

        Raises:
            InvalidArgumentError: An argument is invalid.
        """
        self._client = require_instance(client, EnapterClient, "client")
        self._store = guard_store(require_instance(store, Store, "store"))
        self._interval = seconds = require_interval(interval)
        self._step = max(1, -int(-seconds // 1))
        self._wait = flag(wait, "wait")
        rediscover = require_seconds(rediscover, "rediscover")
        self._report = Reporter(optional_callback(on_event, "on_event"))
        self._on_rows = optional_callback(on_rows, "on_rows")
        self._faults = FaultLog()
        selection = require_selection(selection)
        self._targets = Targets({}, 0)
        self._stop = anyio.Event()
        self._problems = Problems(self._report)
        self._discovery = Discovery(client, selection, self._problems, self._report, self._skip, rediscover=rediscover)
        self._output = Output(store, self._problems, self._report_output, self._store.lock)
        self._skipped: set[tuple[str, str | None]] = set()
        self._without_value: set[tuple[str, str]] = set()
        self._noted = NotedGaps()
        self._discovered = False
        self._has_run = False
        self._taking = anyio.Lock(fast_acquire=True)
        """Held from when rows are received until they are queued."""
        self._committed_at: float | None = None
        self._intake = Intake(self._step * SECOND, round(seconds * SECOND), self._now, self._skip, self._report_clock)
        self._writer = Writer(
            self._store, self._problems, self._skip, noted=self._gaps_were_noted, committed=self._committed
        )
        self._watch: Watch | None = None
        self._failure: Exception | None = None
        self._repairer: Repairer | None = None
        self._open_gaps: OpenGaps | None = None
        self._journal = self._store if isinstance(self._store, JournaledStore) else None
        if flag(repair, "repair") and self._journal is not None:
            self._repairer = Repairer(
                client,
                self._journal,
                lambda: self._targets.units,
                step=self._step,
                now=self._now,
                flush=self._writer.flush,
                problems=self._problems,
                report=self._report,
                skip=self._skip,
                settled=self._intake.settle,
                knows_all=includes_all_devices(selection),
            )
            self._open_gaps = self._repairer.open_gaps
        elif self._journal is not None:
            self._open_gaps = OpenGaps(self._journal, lambda: self._targets.units)

    @property
    def statistics(self) -> CollectorStatistics:
        """Statistics since the collector was created."""
        repairer, gaps = self._repairer, self._open_gaps
        polls = self._watch.statistics if self._watch is not None else WatchStatistics()
        return CollectorStatistics(
            devices=len(self._targets.units),
            visible_devices=self._targets.visible,
            attributes=self._targets.attributes,
            devices_seen=self._intake.devices_seen,
            wrong_clocks=len(self._intake.list_wrong_clocks()),
            seen=self._intake.seen,
            datapoints=self._intake.datapoints,
            rows=self._writer.written,
            duplicates=polls.repeats + self._writer.duplicates,
            duplicate_rows=self._writer.duplicates,
            rows_filled=repairer.rows if repairer else 0,
            gaps_noted=self._noted.count,
            gaps_open=gaps.count if gaps else self._noted.count,
            gap_seconds_open=gaps.seconds if gaps else 0.0,
            gaps_unselected=gaps.unselected if gaps else 0,
            gap_kinds=self._noted.kinds,
            gap_span=self._noted.span,
            gap_spans=self._noted.spans,
            seconds_repaired=repairer.seconds if repairer else 0.0,
            can_repair=repairer is not None,
            skipped=len(self._skipped),
            without_value=len(self._without_value),
            without_history=len(self._intake.without_history),
            longest_gap=self._intake.longest_gap,
            waiting=self._writer.waiting,
            stalls=self._writer.stalls,
            committed_at=self._committed_at,
            polls=polls,
        )

    @property
    def targets(self) -> Targets:
        """The devices and attributes that are currently collected."""
        return self._targets

    def list_without_value(self, most: int = 3) -> list[tuple[str, str]]:
        """Return attributes that have not had a value yet, each with its device.

        Args:
            most: Maximum number of attributes.
        """
        return self._intake.list_without_datapoint(most)

    def list_devices_without_value(self, most: int = 10) -> list[str]:
        """Return devices that have not had any value yet.

        Args:
            most: Maximum number of devices.
        """
        return self._intake.list_silent_devices(most)

    def list_devices_with_wrong_clock(self, most: int = 10) -> list[str]:
        """Return devices with times before 2015 or more than a day ahead.

        Args:
            most: Maximum number of devices.
        """
        return self._intake.list_wrong_clocks()[:most]

    def stop(self) -> None:
        """Let `run` end after writing everything received so far. asyncio's signal handlers may call this."""
        self._stop.set()

    def reopen(self) -> anyio.Event:
        """Reopen the store, for example after log rotation. This has no effect on stores that cannot be reopened.

        Returns:
            An event that is set when this has succeeded or failed. It requires that `run` is running.
        """
        return self._output.request_reopening()

    async def discover(self) -> Targets:
        """Find the devices and attributes before the store is opened. Otherwise `run` does it.

        Raises:
            SelectionError: There is nothing to collect.
            EnapterError: The API rejects the token, or is unavailable while `wait` is off.
        """
        self._targets = await self._persist("devices", self._discovery.find)
        self._discovered = True
        return self._targets

    async def run(self, *, seconds: float | None = None) -> None:
        """Collect until `stop` is called or the task is cancelled. Everything received so far is written.

        A collector runs only once.

        Args:
            seconds: Stop after this time, if given.

        Raises:
            InvalidArgumentError: `seconds` is not a number of seconds.
            ConfigurationError: The collector has run before, or is running.
            SelectionError: There is nothing to collect.
            StorageError: The store cannot be written for a permanent reason.
            StoreMethodError: The store raises anything but a `StorageError`.
            EnapterError: The API rejects the token, or is unavailable at first while `wait` is off.
        """
        end = None if seconds is None else anyio.current_time() + require_seconds(seconds, "seconds", zero=True)
        if self._has_run:
            raise ConfigurationError("a collector runs only once: create another one")
        self._has_run = True
        if not await ends_before_stop(self._start, self._stop, end):
            return
        problem: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write)
            tasks.start_soon(self._end, end, collecting := anyio.CancelScope())
            tasks.start_soon(self._run_beside, beside := anyio.CancelScope())
            try:
                with collecting:
                    await self._collect()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                problem = error
            beside.cancel()
            self._stop.set()
            self._writer.note(self._intake.take_doubts())
            self._writer.close()
        if problem := self._writer.failure or problem or self._failure:
            raise problem
        await self._mark()
        if self._open_gaps is not None:
            await self._open_gaps.update()

    # -- the beginning -------------------------------------------------------------------------------------

    async def _start(self) -> None:
        if not self._discovered:
            await self.discover()
        self._intake.select(self._targets.units, self._now())
        # Wait for an unavailable store: the gap ends when it is available.
        await self._persist("store", lambda: self._note_start(self._targets.units, self._now()))

    async def _persist(self, subject: str, work: Callable[[], Awaitable[T]]) -> T:
        """Retry something until it works, if `wait` is on."""

        def ends(error: EnapterError) -> bool:
            if isinstance(error, SelectionError) and not isinstance(error, EmptyShardError):
                return True
            return is_final(error) or not self._wait

        return await self._problems.persist(subject, work, ends)

    async def _note_start(self, devices: Collection[str], since: int) -> None:
        """Record what is missing since these devices were last collected, before newer rows are written."""
        store = self._store
        if isinstance(store, (JournaledStore, GapNotingStore)):
            newest = await read_reached(store, devices, since)
            again = CHECKED_AGAIN if isinstance(store, JournaledStore) else CHECKED_IN_FILES
            gaps = find_start_gaps(devices, newest, since, self._step * SECOND, again)
            self._intake.begin(gaps, newest)
            if isinstance(store, JournaledStore):
                if gaps:
                    await store.commit((), note=gaps)
                await store.mark({device: since for device in devices if device not in newest})
            elif gaps:
                await store.note_gaps(gaps)
            if gaps:
                self._gaps_were_noted(gaps)

    # -- the work ------------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        units = self._targets.units
        self._watch = self._client.telemetry.watch(
            units, interval=self._interval, on_event=self._take_event, persistent=True
        )
        self._intake.divide(self._watch.divided)
        async with self._watch as live:
            if self._stop.is_set():
                return
            async for batch in live.tuples():
                await self._take(batch)

    async def _take(self, batch: Sequence[DatapointTuple]) -> None:
        async with self._taking:
            rows, gaps = self._intake.take(batch)
            if self._on_rows is not None:
                try:
                    self._on_rows(rows)
                except Exception as error:  # noqa: BLE001 - logged
                    self._faults.add("on_rows", error)
            await self._writer.put(rows, gaps)
        self._problems.passed("telemetry", at_once=False)

    async def _end(self, end: float | None, collecting: anyio.CancelScope) -> None:
        with anyio.move_on_after(None if end is None else max(0.0, end - anyio.current_time())):
            await self._stop.wait()
        if self._watch is not None:
            self._watch.finish()
        collecting.deadline = anyio.current_time() + _GRACE_SECONDS

    async def _write(self) -> None:
        await self._writer.run()
        self._stop.set()  # otherwise only a successful poll would notice that writing has failed

    async def _run_beside(self, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._run_guarded, partial(self._discovery.run, self._change_to))
                tasks.start_soon(self._run_guarded, self._keep_marking)
                tasks.start_soon(self._run_guarded, self._output.run)
                if self._repairer is not None:
                    tasks.start_soon(self._run_guarded, self._repairer.run)
                elif self._open_gaps is not None:
                    tasks.start_soon(self._run_guarded, self._open_gaps.keep_counting)

    async def _run_guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run something during polling. If it fails, stop as usual, so that everything received is written."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - raised by `run`
            self._failure = self._failure or error
            self._stop.set()

    async def _change_to(self, found: Targets) -> None:
        changes = list(found.changes_from(self._targets))
        # A device that was gone for a while is known: its next datapoint reveals the gap.
        added = [one for one in found.units if one not in self._targets.units and not self._intake.knows(one)]
        if not changes:
            self._targets = found
            return
        since = self._now()
        if added:
            try:
                await self._note_start(added, since)
            except StoreMethodError:
                raise
            except StorageError as error:
                self._problems.failed("store", error)
                return  # the next update finds them again
        self._targets = found
        self._intake.select(found.units, since)
        if self._watch is not None:
            self._watch.select(found.units)
            self._intake.divide(self._watch.divided)
        for change in changes:
            self._report(change)

    async def _keep_marking(self) -> None:
        pause = _FIRST_MARK_SECONDS
        while True:
            pause = min(pause, _MARK_SECONDS)
            await anyio.sleep(pause)
            await self._mark()
            pause *= 2

    async def _mark(self) -> None:
        if self._journal is None:
            return
        async with self._taking:
            reached = self._intake.reached()
        # After a kill, the next run must not take rows and gaps that were still waiting as stored.
        await self._writer.flush()
        if self._writer.failure is not None:
            return
        try:
            await self._journal.mark(reached)
        except StoreMethodError:
            raise
        except StorageError as error:
            _logger.debug("could not store the progress marks: %s", error)

    # -- events and callbacks ------------------------------------------------------------------------------

    def _now(self) -> int:
        """The server's time, in microseconds since 1970."""
        return round((time.time() + self._discovery.clock_offset) * SECOND)

    def _take_event(self, event: WatchEvent) -> None:
        if self._repairer is not None and isinstance(event, (PollFailed, PollLate, TickMissed)):
            self._repairer.slow_down()
        if isinstance(event, PollLate):
            self._intake.note_late_polls(event.devices or self._targets.units)
        elif isinstance(event, (PollFailed, TickMissed)):
            self._doubt(event)
            if isinstance(event, PollFailed):
                self._problems.failed("telemetry", event.error)
        elif isinstance(event, ValueUnreadable):
            self._intake.note_missing_value(event.device, event.attribute)
            self._skip(event.device, event.attribute, event.reason)
        else:
            self._intake.note_missing_value(event.device, event.attribute)
            self._without_value.add((event.device, event.attribute))
            if event.not_found:
                self._discovery.request_update()

    def _doubt(self, event: PollFailed | TickMissed) -> None:
        devices = event.devices or self._targets.units
        due, interval = (
            round((event.due.timestamp() + self._discovery.clock_offset) * SECOND),
            round(self._interval * SECOND),
        )
        count, reason = (event.count, POLLS_MISSED) if isinstance(event, TickMissed) else (1, "polls failed")
        self._intake.doubt(devices, due - interval, due + count * interval, reason)
        gaps: list[Gap] = []
        if self._watch is not None and (divided := self._watch.divided):
            self._intake.divide(divided)
            gaps += self._intake.list_lagging(divided.intersection(devices))
        if self._journal is not None:
            gaps += self._intake.list_lasting_outages(devices)
        if gaps:
            self._writer.note(gaps)

    def _skip(self, device: str, attribute: str | None, reason: str) -> None:
        key = (device, attribute)
        if key not in self._skipped and len(self._skipped) < _MOST_SKIPPED:
            self._skipped.add(key)
            self._report(Skipped(device_id=device, attribute=attribute, reason=reason))

    def _report_output(self, event: CollectorEvent) -> None:
        self._report(event)
        self._read_journal_soon()  # the store may have recorded what a replaced file lacks

    def _report_clock(self, device: str, time: int) -> None:
        self._report(DeviceClockWrong(device_id=device, time=to_datetime(time // SECOND * SECOND)))

    def _gaps_were_noted(self, gaps: Sequence[Gap]) -> None:
        self._noted.add(gaps)
        self._report(GapsNoted(gaps=tuple(gap.until(self._now() // SECOND * SECOND) for gap in gaps)))
        self._read_journal_soon()

    def _read_journal_soon(self) -> None:
        if self._repairer is not None:
            self._repairer.wake()
        elif self._open_gaps is not None:
            self._open_gaps.wake()

    def _committed(self) -> None:
        self._committed_at = time.time()
        self._output.report_events()
