"""Fills gaps of the journal from history, during live collection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel
import attrs

from enapter_async import (
    DecodeError,
    EnapterClient,
    HistoryPart,
    RateLimitedError,
    RequestError,
    RetryPolicy,
    Series,
    TimeseriesBatch,
    TimeseriesQuery,
    plan_history,
)
from enapter_async._pauses import FIRST_PAUSE, next_pause
from enapter_async._protocol.failure import may_pass, refuses_request
from enapter_async.collector._open_gaps import LOOK_SECONDS, OpenGaps
from enapter_async.collector._problems import Problems, ends_polling
from enapter_async.collector._repair_job import RepairJob, StoredSteps
from enapter_async.collector._repair_queue import RepairQueue
from enapter_async.collector._times import SECOND, to_datetime
from enapter_async.collector._writer import write_accepted
from enapter_async.collector.events import CollectorEvent, GapsFilled, Skipped
from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Units
from enapter_async.collector.store import JournaledStore, StoreMethodError
from enapter_async.errors import EnapterError, InvalidArgumentError
from enapter_async.rows import Row
from enapter_async.rows.batches import RowBlock, has_same_series, make_row_block, none_is_empty

_LOOK_SECONDS: Final = LOOK_SECONDS
_WINDOW: Final = 3_600
"""Maximum number of steps to fill before updating the journal."""
_FIRST_REQUESTS: Final = 2
_MOST_REQUESTS: Final = 8
"""Concurrent requests: one more after each part if live collection was on time, half as many if it was late."""
_WAITED: Final = 2.0
"""Seconds of pauses after which a request is not retried any more."""
_MOST_WAITED: Final = 60.0
"""The same after a 429."""
_MOST_PROBES: Final = 3
"""Failures of single devices in a row after which the reason is hardly a device."""
_SHARE: Final = 0.2
"""Share of the client's rate limit, if it has one."""
_ROWS_IN_COMMIT: Final = 50_000
_ROWS_IN_LOOK_UP: Final = 100_000
_STEPS_IN_LOOK_UP: Final = 300
"""The rows of all other devices are read, too, and live rows wait meanwhile."""
_SETTLE: Final = 2 * SECOND
"""Seconds after the end of a step until it is in history."""
_UNKNOWN: Final = "its gaps stay recorded, because it is gone or has no attributes to collect"
Settled: TypeAlias = Callable[[Mapping[str, tuple[int, int]], Collection[tuple[str, str]], StoredSteps], int]
"""Takes the time range of each device that was looked up, the attributes with missing rows, and the rows in the store.
Returns the number of attributes whose expected values are nowhere."""


class Repairer:
    """Reads history into the gaps of a journal, oldest first.

    A gap is removed from the journal in the transaction that commits its last row. A row is added only if its attribute
    has none in the same step.

    Attributes:
        rows: Number of rows filled in.
        seconds: Seconds looked up in history.
        open_gaps: The gaps in the journal.
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
        settled: Settled = lambda _, __, ___: 0,
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
        self.open_gaps: OpenGaps = OpenGaps(store, units)
        self._client = client
        self._impatient = client.with_options(retry=RetryPolicy.none())
        self._failures = 0
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
        self._queue = RepairQueue(step=step * SECOND, longest=_WINDOW * step * SECOND)
        self._reported_devices: set[str] = set()
        self._requests = _FIRST_REQUESTS
        self._times_late = 0
        # Live collection waits for at most one commit of the repair.
        self._commits = anyio.Lock()

    def wake(self) -> None:
        """Read the journal again, because there are new gaps."""
        self._wake.set()

    def slow_down(self) -> None:
        """Send fewer concurrent requests, because live collection is late."""
        self._times_late += 1
        self._requests = max(1, self._requests // 2)

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
                job, wait = await self._next_job()
                if job is not None:
                    await self._fill_tolerating(job)
                    pause, self._failures = FIRST_PAUSE, 0
                    continue
                self._problems.passed("history")
            except StoreMethodError:
                raise
            except EnapterError as error:
                if ends_polling(error):
                    return  # live collection gets the same error and ends with it
                self._problems.failed("history", error)
                self._failures += 1
                if job is not None:
                    self._queue.put_back(job)
                await anyio.sleep(pause)
                pause = next_pause(pause)
                continue
            with anyio.move_on_after(min(wait, _LOOK_SECONDS)):
                await self._wake.wait()

    async def fill_all(self) -> None:
        """Fill the gaps that can be filled now, and return.

        Raises:
            EnapterError: History cannot be read, or the store cannot be written.
        """
        while (job := (await self._next_job())[0]) is not None:
            await self._fill_tolerating(job)

    # -- what to do next -----------------------------------------------------------------------------------

    async def _next_job(self) -> tuple[RepairJob | None, float]:
        """Return the next job, or None and the seconds until there may be one."""
        gaps = await self.open_gaps.read()
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

    async def _fill_tolerating(self, job: RepairJob) -> None:
        """Fill the gaps of a job. If no request can contain one of them, only that gap is affected."""
        try:
            await self._fill(job)
        except (ValueError, OverflowError) as error:  # InvalidArgumentError is a ValueError
            first, *others = job.gaps
            if others:
                for gap in job.gaps:
                    await self._fill_tolerating(self._queue.plan([gap], list(self._units()), self._find_end()))
                return
            self._queue.refuse(first.device_id, first.start, forever=True)
            self._report_gap(first, str(error))

    async def _fill(self, job: RepairJob) -> None:
        rows_before = self.rows
        found: set[tuple[str, str]] = set()
        refused: dict[str, EnapterError] = {}
        last: Sequence[Row] = ()
        if query := self._query(job, refused):
            await self._flush()
            await self._look_up_rows(job)
            last = await self._read_all(job, query, found, refused)
        self._refuse(job, refused)
        await self._commit(last, {gap.id: self._rest(gap, job, refused) for gap in job.gaps if gap.id is not None})
        spans = {device: span for device, span in job.spans.items() if device not in refused}
        empty = self._settled(spans, found, job.stored)
        if job.start >= job.before:
            return  # an empty gap, which is no longer in the journal
        self.seconds += (job.before - job.start) / 1e6
        rows = self.rows - rows_before
        self._report(
            GapsFilled(devices=len(job.spans), start=job.start, before=job.before, rows=rows, without_history=empty)
        )

    async def _read_all(
        self,
        job: RepairJob,
        query: TimeseriesQuery,
        found: set[tuple[str, str]],
        refused: dict[str, EnapterError],
    ) -> Sequence[Row]:
        """Read and commit the history of a job; returns the last rows, which are not committed yet."""
        last: Sequence[Row] = ()
        parts = iter(plan_history(query))
        problem: Exception | None = None
        working = 0

        def start_work() -> None:
            nonlocal working
            while working < self._requests:
                working += 1
                tasks.start_soon(work)

        async def work() -> None:
            nonlocal problem, last, working
            try:
                for part in parts:
                    times_late = self._times_late
                    await self._yield_to_live()
                    # The rows of one part wait for the transaction that ends the job.
                    rows = await self._read_tolerating(job, part, found, refused)
                    last, rows = rows, last
                    await self._commit(rows, {})
                    if times_late == self._times_late:
                        self._requests = min(_MOST_REQUESTS, self._requests + 1)
                    if working > self._requests:
                        break
                    start_work()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                problem = problem or error
                tasks.cancel_scope.cancel()
            working -= 1

        async with anyio.create_task_group() as tasks:
            start_work()
        if problem is not None:
            raise problem
        return last

    def _refuse(self, job: RepairJob, refused: Mapping[str, EnapterError]) -> None:
        """Leave the gaps of rejected devices alone for a while. Each device is reported once until it can be read."""
        for gap in job.gaps:
            for device in refused if gap.device_id is None else refused.keys() & {gap.device_id}:
                self._queue.refuse(device, gap.start if gap.device_id else max(gap.start, job.start))
        for device in refused.keys() - self._reported_devices:
            self._report(Skipped(device_id=device, attribute=None, reason=f"its history: {refused[device]}"))
        self._reported_devices = (self._reported_devices - job.spans.keys()) | refused.keys()

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

    async def _read_tolerating(
        self, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]], refused: dict[str, EnapterError]
    ) -> Sequence[Row]:
        """Read a part. If the server rejects it, read it device by device, so that only one device is affected."""
        devices = {series.device for series in part.query.series}
        try:
            return await self._read_retrying(job, part, found)
        except RequestError as error:
            if len(devices) == 1 and _concerns_a_device(error):
                refused[devices.pop()] = error
                return []
            if len(devices) == 1 or not (_concerns_a_device(error) or (self._failures and may_pass(error))):
                raise
            problem = error
        rows: list[Row] = []
        alone: dict[str, EnapterError] = {}
        answered = False
        for single in plan_history(part.query, devices_per_request=1):
            try:
                rows += await self._read_retrying(job, single, found)
                answered = True
            except RequestError as error:
                if ends_polling(error) or (may_pass(error) and not answered and len(alone) >= _MOST_PROBES):
                    raise
                alone[single.query.series[0].device] = error
        # If no device has an answer, the reason is hardly a device.
        if not answered and (may_pass(problem) or (isinstance(problem, DecodeError) and self._failures < _MOST_PROBES)):
            raise problem
        refused.update(alone)
        return rows

    async def _read_retrying(self, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]) -> Sequence[Row]:
        """Read a part. Retries wait here and not in the client, where they would go before live requests."""
        pause, waited = FIRST_PAUSE, 0.0
        while True:
            try:
                return await self._read(job, part, found)
            except RequestError as error:
                if not may_pass(error) or waited > (_MOST_WAITED if isinstance(error, RateLimitedError) else _WAITED):
                    raise
                self.slow_down()
            await anyio.sleep(pause)
            waited += pause
            pause = next_pause(pause)
            await self._yield_to_live()

    async def _read(self, job: RepairJob, part: HistoryPart, found: set[tuple[str, str]]) -> Sequence[Row]:
        """Read a part. Return its last rows, which are not committed yet."""
        batches: list[TimeseriesBatch] = []
        cells = 0

        def take_missing() -> RowBlock:
            block = job.select_missing(make_row_block(batches, self._units()))
            found.update(block.keys)
            return block

        async with self._impatient.telemetry.history([part], concurrency=1) as history:
            with none_is_empty():
                async for batch in history:
                    if batches and not has_same_series(batch, batches[-1]):
                        # A resumed answer need not have the columns of the interrupted one.
                        await self._commit(take_missing(), {})
                        batches, cells = [], 0
                    batches.append(batch)
                    cells += len(batch) * len(batch.columns)
                    if cells >= _ROWS_IN_COMMIT:
                        await self._commit(take_missing(), {})
                        batches, cells = [], 0
        return take_missing()

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

    async def _commit(self, rows: Sequence[Row], replace: Mapping[int, Sequence[Gap]]) -> None:
        if rows or replace:
            async with self._commits:
                with anyio.CancelScope(shield=True):
                    # Not `self.rows += await ...`, which would lose commits of other tasks during the wait.
                    new, _ = await write_accepted(
                        lambda some: self._store.commit(some, replace=replace), rows, self._skip
                    )
                    self.rows += new

    def _report_skipped(self, device: str, attribute: str | None, reason: str) -> None:
        if (device, attribute) not in self._skipped:
            self._skipped.add((device, attribute))
            self._report(Skipped(device_id=device, attribute=attribute, reason=reason))

    async def _yield_to_live(self) -> None:
        """Let live requests go first, and use only a share of the rate limit."""
        load = self._client.load
        if load.requests_per_second:
            await anyio.sleep(self._requests / (load.requests_per_second * _SHARE))
        for _ in range(20):
            if not self._client.load.waiting:
                return
            await anyio.sleep(0.1)


def _concerns_a_device(error: RequestError) -> bool:
    """Whether requesting fewer devices may help: the API itself rejects the request, or a response is unreadable."""
    return isinstance(error, DecodeError) or refuses_request(error)
