"""Fills gaps of the journal from history, during live collection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel
import attrs

from enapter_async import (
    EnapterClient,
    RateLimitedError,
    RequestError,
    Series,
    TimeseriesQuery,
)
from enapter_async._pauses import FIRST_PAUSE, next_pause
from enapter_async._protocol.failure import may_pass
from enapter_async._selection import list_names
from enapter_async.collector._history_reader import HistoryReader, Reading
from enapter_async.collector._late_history import LateHistory
from enapter_async.collector._open_gaps import LOOK_SECONDS, OpenGaps
from enapter_async.collector._problems import Problems, ends_polling
from enapter_async.collector._repair_job import RepairJob, StoredSteps
from enapter_async.collector._repair_queue import GapKey, RepairQueue, get_key
from enapter_async.collector._times import SECOND, to_datetime
from enapter_async.collector._writer import write_accepted
from enapter_async.collector.events import CollectorEvent, GapsFilled, Skipped
from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Units
from enapter_async.collector.store import JournaledStore, StoreMethodError
from enapter_async.errors import EnapterError, InvalidArgumentError
from enapter_async.rows import Row

_LOOK_SECONDS: Final = LOOK_SECONDS
_WINDOW: Final = 3_600
"""Maximum number of steps to fill before updating the journal."""
_MOST_FAILURES: Final = 3
"""Failed jobs in a row after which a repair without live collection ends."""
_ROWS_IN_LOOK_UP: Final = 100_000
_STEPS_IN_LOOK_UP: Final = 300
"""The rows of all other devices are read, too, and live rows wait meanwhile."""
_SETTLE: Final = 2 * SECOND
"""Seconds after the end of a step until it is in history."""
_UNKNOWN: Final = "its gaps stay recorded, because it is gone or has no attributes to collect"
Settled: TypeAlias = Callable[
    [Mapping[str, tuple[int, int]], Collection[tuple[str, str]], StoredSteps, Collection[str]], int
]
"""Takes the time range of each device that was looked up, the attributes with missing rows, the rows in the store, and
the devices that will be looked up again. Returns the number of attributes whose expected values
are neither in history nor in the store."""


class Repairer:
    """Reads history into the gaps of a journal, oldest first.

    A gap is removed from the journal in the transaction that commits its last row. A row is added only if its attribute
    has none in the same step.

    Attributes:
        rows: Number of rows filled in.
        seconds: Seconds looked up in history.
        open_gaps: The gaps in the journal.
        failures: The last error by device whose history could not be read; None for all devices.
    """

    def __init__(
        self,
        client: EnapterClient,
        store: JournaledStore,
        units: Callable[[], Units],
        *,
        step: int,
        now: Callable[[], int],
        problems: Problems,
        report: Callable[[CollectorEvent], None],
        settled: Settled = lambda _, __, ___, ____: 0,
        flush: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
        skip: Callable[[str, str | None, str], None] | None = None,
        knows_all: bool = False,
    ) -> None:
        """Prepare the repair.

        Args:
            client: To read with.
            store: Store with the journal.
            units: Returns the collected units, by device and attribute.
            step: Seconds between two datapoints.
            now: Returns the server's time in microseconds since 1970.
            problems: Reports when history cannot be read, and when it can be read again.
            report: Receives events.
            settled: Called after each time range that was looked up.
            flush: Waits until all live rows received so far are in the store, so that no step gets a second row.
            skip: Called with device, attribute and reason for each row that the store rejects. By default, the first
                one of each attribute is reported.
            knows_all: Whether `units` has every device that the token can see. Devices of other gaps are then reported.
        """
        self.rows: int = 0
        self.seconds: float = 0.0
        self.failures: dict[str | None, RequestError] = {}
        self.open_gaps: OpenGaps = OpenGaps(store, units)
        self._reader = HistoryReader(client, units, self._commit_rows)
        self._store = store
        self._units = units
        self._step = step
        self._now = now
        self._problems = problems
        self._report = report
        self._settled = settled
        self._flush = flush
        self._skip = skip or self._report_skipped
        self._skipped: set[tuple[str, str | None]] = set()
        self._knows_all = knows_all
        self._wake = anyio.Event()
        self._late_history = LateHistory()
        self._queue = RepairQueue(step=step * SECOND, longest=_WINDOW * step * SECOND)
        self._reported_devices: set[str] = set()
        # Live collection waits for at most one commit of the repair.
        self._commits = anyio.Lock()

    def wake(self) -> None:
        """Read the journal again, because there are new gaps."""
        self._wake.set()

    def slow_down(self) -> None:
        """Send fewer concurrent requests, because live collection is late."""
        self._reader.slow_down()

    async def run(self) -> None:
        """Fill gaps until cancelled.

        Raises:
            StoreMethodError: The store is faulty.
        """
        pause = FIRST_PAUSE
        while True:
            self._wake = anyio.Event()
            job: RepairJob | None = None
            try:
                await self._record_again()
                job, wait = await self._next_job()
                if job is not None:
                    await self._fill_tolerating(job)
                    pause, self._reader.failures = FIRST_PAUSE, 0
                    continue
                self._problems.passed("history")
            except StoreMethodError:
                raise
            except EnapterError as error:
                if ends_polling(error):
                    return  # live collection gets the same error and ends with it
                self._problems.failed("history", error)
                self._reader.failures += 1
                if job is not None:
                    self._queue.put_back(job)
                await anyio.sleep(pause)
                pause = next_pause(pause)
                continue
            with anyio.move_on_after(min(wait, _LOOK_SECONDS, self._late_history.find_wait(self._now()))):
                await self._wake.wait()

    async def fill_all(self) -> None:
        """Fill the gaps that can be filled now, and return.

        If history cannot be read for some of them, the others are filled, and `failures` has the reasons.

        Raises:
            EnapterError: History cannot be read at all, or the store cannot be written.
        """
        given_up: dict[GapKey, RequestError] = {}
        filled = failed_in_a_row = 0
        while (job := (await self._next_job(given_up))[0]) is not None:
            try:
                await self._fill_probing(job)
            except RequestError as error:
                failed_in_a_row += 1
                if ends_polling(error) or isinstance(error, RateLimitedError) or failed_in_a_row >= _MOST_FAILURES:
                    raise
                given_up.update((get_key(gap), error) for gap in job.gaps if gap.before <= job.before)
                self._queue.put_back(job)
            else:
                filled += 1
                failed_in_a_row = 0
        for (device, _), problem in given_up.items():
            if not filled:
                raise problem
            self._report_failure(device, problem)

    # -- what to do next -----------------------------------------------------------------------------------

    async def _record_again(self) -> None:
        """Record gaps again whose devices may have uploaded values since history was last read."""
        now = self._now()
        if gaps := self._late_history.list_due(now):
            await self._commit([], {}, gaps)
            self._late_history.mark_recorded(gaps, now)

    async def _next_job(self, without: Collection[GapKey] = ()) -> tuple[RepairJob | None, float]:
        """Return the next job, or None and the seconds until there may be one.

        Args:
            without: Gaps to leave out.
        """
        gaps = [gap for gap in await self.open_gaps.read() if get_key(gap) not in without]
        if self._knows_all:
            unknown = {gap.device_id for gap in gaps if gap.device_id is not None}.difference(self._units())
            for device in sorted(unknown - self._reported_devices):
                self._report(Skipped(device_id=device, attribute=None, reason=_UNKNOWN))
            self._reported_devices |= unknown
        for gap in self._queue.list_unreadable(gaps):
            self._report_gap(gap, "its time is out of range")
        return self._queue.next_job(gaps, list(self._units()), self._find_end())

    def _report_gap(self, gap: Gap, reason: str) -> None:
        who = gap.device_id or "all devices"
        self._report(Skipped(device_id=who, attribute=None, reason=f"gap {gap} cannot be read: {reason}"))

    def _find_end(self) -> int:
        """Return the time from which there is no history yet."""
        width = self._step * SECOND
        return (self._now() - _SETTLE) // width * width

    # -- doing it ------------------------------------------------------------------------------------------

    async def _fill_probing(self, job: RepairJob) -> None:
        """Fill the gaps of a job. If that fails, try once more, device by device."""
        try:
            await self._fill_tolerating(job)
        except RequestError as error:
            if not may_pass(error) or isinstance(error, RateLimitedError):
                raise
            self._reader.failures += 1
            await self._fill_tolerating(self._plan_again(job.gaps))
        self._reader.failures = 0

    def _plan_again(self, gaps: Sequence[Gap]) -> RepairJob:
        return self._queue.plan(gaps, list(self._units()), self._find_end())

    async def _fill_tolerating(self, job: RepairJob) -> None:
        """Fill the gaps of a job. If no request can contain one of them, only that gap is affected."""
        try:
            await self._fill(job)
        except (InvalidArgumentError, OverflowError) as error:
            first, *others = job.gaps
            if others:
                for gap in job.gaps:
                    await self._fill_tolerating(self._plan_again([gap]))
                return
            self._queue.refuse(first.device_id, first.start, forever=True)
            self._report_gap(first, str(error))

    async def _fill(self, job: RepairJob) -> None:
        rows_before = self.rows
        reading = Reading()
        refused = reading.refused
        last: Sequence[Row] = ()
        if query := self._query(job, refused):
            await self._flush()
            await self._look_up_rows(job)
            last = await self._reader.read_all(job, query, reading)
        self._refuse(job, refused, reading.unreadable)
        await self._commit(last, {gap.id: self._rest(gap, job, refused) for gap in job.gaps if gap.id is not None})
        spans = {device: span for device, span in job.spans.items() if device not in refused}
        again = self._late_history.schedule(job, spans.keys(), reading.found, self._now())
        empty = self._settled(spans, reading.found, job.stored, again)
        if job.start >= job.before:
            return  # an empty gap, which is no longer in the journal
        self.seconds += (job.before - job.start) / 1e6
        rows = self.rows - rows_before
        self._report(
            GapsFilled(devices=len(job.spans), start=job.start, before=job.before, rows=rows, without_history=empty)
        )

    def _refuse(
        self, job: RepairJob, refused: Mapping[str, EnapterError], unreadable: Mapping[str, Collection[str]]
    ) -> None:
        """Leave the gaps of rejected devices alone for a while. Each device is reported once until it can be read."""
        for gap in job.gaps:
            for device in refused if gap.device_id is None else refused.keys() & {gap.device_id}:
                if gap.device_id is None:
                    self._queue.refuse(device, max(gap.start, job.start))
                else:
                    self._queue.pass_over(gap, job.before, is_readable=device in unreadable)
        self._reported_devices -= job.spans.keys() - refused.keys()
        for device, error in refused.items():
            self._report_failure(device, error, unreadable.get(device, ()))

    def _report_failure(self, device: str | None, error: EnapterError, attributes: Collection[str] = ()) -> None:
        if isinstance(error, RequestError):
            self.failures[device] = error
        who = device or "all devices"
        of = f" of {list_names(attributes)}" if attributes else ""
        if who not in self._reported_devices:
            self._reported_devices.add(who)
            self._report(Skipped(device_id=who, attribute=None, reason=f"its history{of}: {error}"))

    def _rest(self, gap: Gap, job: RepairJob, refused: Mapping[str, EnapterError]) -> list[Gap]:
        if gap.device_id is not None and gap.device_id in refused:
            return [attrs.evolve(gap, id=None)]
        rest = gap.without(job.start, job.before)
        if gap.device_id is None:
            start, before = max(gap.start, job.start), min(gap.before, job.before)
            if start < before:
                rest += [
                    Gap(device_id=device, start=start, before=before, reason=gap.reason)
                    for device in self._units()
                    if device in refused or device not in job.spans
                ]
        return rest

    def _query(self, job: RepairJob, refused: dict[str, EnapterError]) -> TimeseriesQuery | None:
        units = self._units()
        series: list[Series] = []
        # In the order of a store's key: rows of one request are then neighbours.
        for device in sorted(job.spans):
            if units.get(device):
                try:
                    series.append(Series(device, sorted(units[device])))
                except InvalidArgumentError as error:
                    refused[device] = error
        if not series:
            return None
        return TimeseriesQuery(
            start=to_datetime(job.start),
            end=to_datetime(job.before),
            granularity=self._step,
            series=series,
            aggregation="last",
        )

    async def _look_up_rows(self, job: RepairJob) -> None:
        """Find out which steps have rows before the first one is filled, so that new rows are not read back.

        A query asks for all devices and a short span: a store whose key begins with the time reads all of a span
        anyway.
        """
        units = self._units()
        attributes = sum(len(units.get(device, ())) for device in job.spans)
        length = min(_STEPS_IN_LOOK_UP, max(1, _ROWS_IN_LOOK_UP // max(1, attributes))) * job.step
        for start in range(job.start, job.before, length):
            job.stored.add(await self._store.read_keys(job.spans, start, min(start + length, job.before)))

    async def _commit_rows(self, rows: Sequence[Row]) -> None:
        await self._commit(rows, {})

    async def _commit(
        self, rows: Sequence[Row], replace: Mapping[int, Sequence[Gap]], note: Sequence[Gap] = ()
    ) -> None:
        if rows or replace or note:
            async with self._commits:
                with anyio.CancelScope(shield=True):
                    # Not `self.rows += await ...`, which would lose commits of other tasks during the wait.
                    new, _ = await write_accepted(
                        lambda some: self._store.commit(some, note=note, replace=replace), rows, self._skip
                    )
                    self.rows += new

    def _report_skipped(self, device: str, attribute: str | None, reason: str) -> None:
        if (device, attribute) not in self._skipped:
            self._skipped.add((device, attribute))
            self._report(Skipped(device_id=device, attribute=attribute, reason=reason))
