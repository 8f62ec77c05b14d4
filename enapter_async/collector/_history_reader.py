"""Reads the history of repair jobs, during live collection."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import anyio
import attrs

from enapter_async import (
    APIError,
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
from enapter_async.collector._problems import ends_polling
from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector.selection import Units
from enapter_async.errors import EnapterError
from enapter_async.rows import Row
from enapter_async.rows.batches import RowBlock, has_same_series, make_row_block, none_is_empty

_FIRST_REQUESTS: Final = 2
_MOST_REQUESTS: Final = 8
"""Concurrent requests: one more after each part if live collection was on time, half as many if it was late."""
_WAITED: Final = 2.0
"""Seconds of pauses after which a request is not retried any more."""
_MOST_WAITED: Final = 60.0
"""The same after a 429."""
_MOST_PROBES: Final = 3
"""Failures of single devices in a row after which a device is unlikely to be the reason."""
_MOST_HALVES: Final = 6
"""Failed requests for some attributes of a device after which an attribute is unlikely to be the reason: two
halves, four quarters."""
_MOST_PASSING_HALVES: Final = 2
"""The same limit for failures that are retried first, which takes seconds."""
_SHARE: Final = 0.2
"""Share of the client's rate limit, if it has one."""
_ROWS_IN_COMMIT: Final = 50_000


@attrs.define
class Reading:
    """The progress of reading the history of a job.

    Attributes:
        found: Time of the first missing row by device and attribute, in microseconds since 1970.
        refused: The reason by device whose history cannot be read.
        failed: The devices that failed alone.
        lost: The reason by failed device, if some or all of its attributes cannot be read even separately.
        unreadable: The unreadable attributes by failed device, if its other attributes could be read.
        problem: The first failure that may be the fault of a device.
        is_answered: Whether any request was answered.
    """

    found: dict[tuple[str, str], int] = attrs.field(factory=dict[tuple[str, str], int])
    refused: dict[str, EnapterError] = attrs.field(factory=dict[str, EnapterError])
    failed: set[str] = attrs.field(factory=set[str])
    lost: dict[str, RequestError] = attrs.field(factory=dict[str, RequestError])
    unreadable: dict[str, list[str]] = attrs.field(factory=dict[str, list[str]])
    problem: RequestError | None = None
    is_answered: bool = False


class HistoryReader:
    """Reads history with several requests at a time, and lets live requests go first.

    Attributes:
        failures: Number of failed jobs since the last one that was filled. After a failure, requests are divided, since
            the reason may be a single device.
    """

    def __init__(
        self, client: EnapterClient, units: Callable[[], Units], commit: Callable[[Sequence[Row]], Awaitable[None]]
    ) -> None:
        """Create the reader.

        Args:
            client: To read with.
            units: Returns the collected units, by device and attribute.
            commit: Writes rows to the store.
        """
        self.failures: int = 0
        self._client = client
        self._impatient = client.with_options(retry=RetryPolicy.none())
        self._units = units
        self._commit = commit
        self._requests = _FIRST_REQUESTS
        self._times_late = 0

    def slow_down(self) -> None:
        """Send fewer concurrent requests, because live collection is late."""
        self._times_late += 1
        self._requests = max(1, self._requests // 2)

    async def read_all(self, job: RepairJob, query: TimeseriesQuery, reading: Reading) -> Sequence[Row]:
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
                    rows = await self._read_tolerating(job, part, reading)
                    last, rows = rows, last
                    await self._commit(rows)
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
        self._refuse_failed(job, reading)
        return last

    async def _read_tolerating(self, job: RepairJob, part: HistoryPart, reading: Reading) -> Sequence[Row]:
        """Read a part. If that fails, read it in smaller parts, so that only one attribute is affected."""
        try:
            return await self._read_noting(job, part, reading)
        except RequestError as error:
            may_be_one_of_several = (
                self.failures and may_pass(error) and (len(job.spans) > 1 or len(_list_names(part)) > 1)
            )
            if not (_concerns_a_device(error) or may_be_one_of_several):
                raise
            reading.problem = reading.problem or error
            if len({series.device for series in part.query.series}) == 1:
                return await self._read_attributes(job, part, reading, error)
        rows: list[Row] = []
        for single in plan_history(part.query, devices_per_request=1):
            try:
                rows += await self._read_noting(job, single, reading)
            except RequestError as error:
                rows += await self._read_attributes(job, single, reading, error)
        return rows

    async def _read_attributes(
        self, job: RepairJob, part: HistoryPart, reading: Reading, error: RequestError
    ) -> Sequence[Row]:
        """Read what is readable of a device whose request failed: half of the attributes at a time, then a quarter."""
        device, names = part.query.series[0].device, _list_names(part)
        # If the server fails for everything, an attribute is unlikely to be the reason. Then only one device is
        # divided, and only after a 500.
        is_bug = isinstance(error, APIError) and error.status == HTTPStatus.INTERNAL_SERVER_ERROR and not reading.failed
        is_hopeless = may_pass(error) and not reading.is_answered and not is_bug
        self._note_failure(device, error, reading)
        rows: list[Row] = []
        unreadable: list[str] = []
        failed, is_answered = 0, False
        most = _MOST_PASSING_HALVES if may_pass(error) else _MOST_HALVES
        pending = deque(() if is_hopeless or isinstance(error, RateLimitedError) else _halve(part))
        while pending and failed < most:
            half = pending.popleft()
            try:
                rows += await self._read_noting(job, half, reading)
            except RequestError as problem:
                if ends_polling(problem) or isinstance(problem, RateLimitedError):
                    raise
                failed += 1
                halves = _halve(half)
                pending += halves
                if not halves:
                    unreadable += _list_names(half)
                    error = problem
            else:
                is_answered = True
                most = 2 * len(names)  # all: the device is not the reason
        if unreadable or not is_answered:
            reading.lost[device] = error
        if is_answered:
            reading.unreadable.setdefault(device, []).extend(unreadable)
        return rows

    async def _read_noting(self, job: RepairJob, part: HistoryPart, reading: Reading) -> Sequence[Row]:
        rows = await self._read_retrying(job, part, reading.found)
        reading.is_answered = True
        return rows

    def _note_failure(self, device: str, error: RequestError, reading: Reading) -> None:
        """Note that a request for a single device failed. Raise the error unless the device may be the reason."""
        if ends_polling(error) or (may_pass(error) and not reading.is_answered and len(reading.failed) >= _MOST_PROBES):
            raise error
        reading.failed.add(device)

    def _refuse_failed(self, job: RepairJob, reading: Reading) -> None:
        """Refuse the devices that failed alone. If no device was answered, raise the error of the request."""
        problem = reading.problem
        if problem is not None and not reading.is_answered:
            is_page = isinstance(problem, DecodeError) and len(job.spans) > 1 and self.failures < _MOST_PROBES
            if may_pass(problem) or is_page:
                raise problem
        reading.refused.update(reading.lost)

    async def _read_retrying(
        self, job: RepairJob, part: HistoryPart, found: dict[tuple[str, str], int]
    ) -> Sequence[Row]:
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

    async def _read(self, job: RepairJob, part: HistoryPart, found: dict[tuple[str, str], int]) -> Sequence[Row]:
        """Read a part. Return its last rows, which are not committed yet."""
        batches: list[TimeseriesBatch] = []
        cells = 0

        def take_missing() -> RowBlock:
            try:
                block = make_row_block(batches, self._units())
            except ValueError as error:
                raise DecodeError(str(error)) from error  # like any other unreadable value, it concerns its device
            missing = job.select_missing(block)
            for key, time in missing.find_first_times().items():
                found[key] = min(time, found.get(key, time))
            return missing

        async with self._impatient.telemetry.history([part], concurrency=1) as history:
            with none_is_empty():
                async for batch in history:
                    if batches and not has_same_series(batch, batches[-1]):
                        # A resumed response may have other columns than the interrupted one.
                        await self._commit(take_missing())
                        batches, cells = [], 0
                    batches.append(batch)
                    cells += len(batch) * len(batch.columns)
                    if cells >= _ROWS_IN_COMMIT:
                        await self._commit(take_missing())
                        batches, cells = [], 0
        return take_missing()

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


def _list_names(part: HistoryPart) -> list[str]:
    return [name for series in part.query.series for name in series.attributes]


def _halve(part: HistoryPart) -> list[HistoryPart]:
    """Return two parts, each with half of the attributes of one device; none if there is only one attribute."""
    names = _list_names(part)
    if len(names) < 2:
        return []
    device, middle = part.query.series[0].device, len(names) // 2
    return [
        attrs.evolve(part, query=attrs.evolve(part.query, series=[Series(device, some)]))
        for some in (names[:middle], names[middle:])
    ]
