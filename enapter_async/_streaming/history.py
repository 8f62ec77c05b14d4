"""History of any time range and number of devices, read with concurrent requests that are resumed if interrupted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from enapter_async._arguments import require_whole_number
from enapter_async._protocol.backoff import full_jitter
from enapter_async._protocol.failure import copy_error
from enapter_async._protocol.timeseries.plan import HistoryPart
from enapter_async._session import Session
from enapter_async._streaming.timeseries import stream_timeseries
from enapter_async.errors import AttemptTimeoutError, ClientClosedError, EnapterError, TransportError
from enapter_async.models.timeseries import TimeseriesBatch

DEFAULT_CONCURRENCY: Final = 8

_BUFFERED: Final = 4
"""Number of batches that a part buffers until its turn. After that the server has to wait."""
_AHEAD: Final = 2
"""Number of started parts, as a multiple of the concurrency, so that a slow part does not delay all others."""
_FIRST_DELAY: Final = 0.25
"""Longest delay in seconds before resuming after a response without new rows. It doubles each time."""
_LONGEST_DELAY: Final = 10.0


class _Running:
    """A part that is being read."""

    def __init__(self, part: HistoryPart) -> None:
        self.part = part
        self.batches: deque[TimeseriesBatch] = deque()
        self.ended = False
        self.error: EnapterError | None = None
        self.changed = anyio.Event()

    def notify(self) -> None:
        """Wake all tasks that wait for a change."""
        self.changed.set()
        self.changed = anyio.Event()


class History(AsyncIterator[TimeseriesBatch]):
    """The batches of a history, window by window, in time order for each device.

    Within `async with`, parts are read ahead while you work, each at most a few batches, so memory is limited by
    twice the `concurrency`. Without it, several parts are read at once and kept whole, and nothing runs between two
    steps. You can iterate a history once. If it ends without an error, it is complete.

    Attributes:
        parts (Sequence[HistoryPart]): The parts of the history. They are independent and picklable, and no row is in
            two of them.
        completed (int): Number of parts that were returned completely before the latest batch was requested. If you
            store each batch before the next step, you can resume later with `history(parts[completed:])`.
        rows (int): Number of rows returned so far.
    """

    def __init__(
        self, session: Session, parts: Sequence[HistoryPart], *, concurrency: int, timeout: float | None
    ) -> None:
        concurrency = require_whole_number(concurrency, "concurrency", 1)
        self._session = session
        # Parts that wait for the place of another part would time out if the consumer is slow.
        self._concurrency = min(concurrency, session.max_streams)
        self._timeout = timeout
        self._running: deque[_Running] = deque()
        self._begun = 0
        self._tasks: TaskGroup | None = None
        self._end: EnapterError | None = None
        self._turn = asyncio.Lock()  # tasks can share a history: each batch goes to one of them
        self.parts = parts
        self.completed: int = 0
        self.rows: int = 0

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
        self._end = self._end or ClientClosedError("the block of this history has ended")
        if tasks is not None:
            tasks.cancel_scope.cancel()
            # Without the body's exception, which would be wrapped in a group. It propagates anyway.
            await tasks.__aexit__(None, None, None)

    async def __anext__(self) -> TimeseriesBatch:
        async with self._turn:
            return await self._next()

    async def _next(self) -> TimeseriesBatch:
        while True:
            batch = self._take()
            if self._tasks is not None:
                # Before the batch is returned, so that the next one loads while the consumer works.
                self._begin(self._tasks, _BUFFERED)
            if batch is not None:
                self.rows += len(batch)
                return batch
            if self.completed == len(self.parts):
                raise StopAsyncIteration
            if self._end is not None:
                raise copy_error(self._end)
            if self._tasks is not None:
                await self._running[0].changed.wait()
            else:
                async with anyio.create_task_group() as tasks:  # ends with this await: a `break` leaves nothing
                    self._begin(tasks, None)

    def _take(self) -> TimeseriesBatch | None:
        """Return the next batch in order, if it has arrived."""
        while self._running and self._end is None:
            head = self._running[0]
            if head.batches:
                batch = head.batches.popleft()
                head.notify()
                return batch
            if not head.ended:
                break
            if head.error is not None:
                self._end = head.error
                break
            self._running.popleft()
            self.completed += 1
        return None

    def _begin(self, tasks: TaskGroup, buffered: int | None) -> None:
        most = self._concurrency if buffered is None else _AHEAD * self._concurrency
        under_way = sum(not running.ended for running in self._running)
        while (
            self._end is None
            and under_way < self._concurrency
            and len(self._running) < most
            and self._begun < len(self.parts)
        ):
            under_way += 1
            running = _Running(self.parts[self._begun])
            self._begun += 1
            self._running.append(running)
            tasks.start_soon(self._read, running, buffered)

    async def _read(self, running: _Running, buffered: int | None) -> None:
        try:
            await self._read_resuming(running, buffered)
        except EnapterError as error:
            running.error = error
        except BaseException:
            # Iterating again after a cancelled step must not treat an incomplete part as complete.
            running.error = ClientClosedError("reading this history was interrupted")
            raise
        finally:
            running.ended = True
            running.notify()
            if self._tasks is not None and running.error is None:
                self._begin(self._tasks, _BUFFERED)

    async def _read_resuming(self, running: _Running, buffered: int | None) -> None:
        """Read a part. An interrupted response resumes after the last row received."""
        part = running.part
        fruitless = 0
        clock = asyncio.get_running_loop().time
        while True:
            last: int | None = None
            try:
                async with stream_timeseries(self._session, part.query, self._timeout) as stream:
                    since = clock()
                    async for batch in stream.batches():
                        own = part.own_rows(batch)
                        if not len(own):
                            if clock() - since >= self._session.idle_timeout():
                                raise AttemptTimeoutError("no row of the requested range arrived in time", phase="body")
                            continue
                        last = own.unix_seconds[-1]
                        while buffered is not None and len(running.batches) >= buffered:
                            await running.changed.wait()
                        running.batches.append(own)
                        running.notify()
                        since = clock()
                return
            except TransportError as error:
                fruitless = 0 if last is not None else fruitless + 1
                # Failures before the response began were already retried by the session.
                if error.phase != "body" or not self._session.may_resume(fruitless):
                    raise
            if last is None:
                await self._pause(fruitless)
                continue
            rest = part.after(last)
            if rest is None:
                return
            part = rest

    async def _pause(self, fruitless: int) -> None:
        delay = full_jitter(_FIRST_DELAY, _LONGEST_DELAY, fruitless, self._session.random)
        await self._session.sleep(delay)
