"""A queue between the collector, which must not wait, and the store, which may be slow or unavailable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

import anyio

from enapter_async._pauses import FIRST_PAUSE, next_pause
from enapter_async.collector._problems import Problems
from enapter_async.collector.gaps import Gap, merge_gaps
from enapter_async.collector.store import GapNotingStore, JournaledStore, RowsRefusedError, Store
from enapter_async.errors import StorageError
from enapter_async.rows import Row

_MOST_WAITING: Final = 200_000
"""Number of rows, about 60 MB."""
_COMMIT_SECONDS: Final = 0.5
"""Shortest time between two commits. Fewer and larger commits cost less, and a crash loses at most this much."""
_GRACE_SECONDS: Final = 20.0
"""Seconds to wait for an unavailable store at the end."""


class Writer:
    """Writes rows and records gaps in order of arrival. A gap is recorded together with the rows that arrived with it.

    The number of waiting rows is limited. If the store cannot keep up, `put` waits, and so does polling. Nothing is
    dropped, even if `put` is cancelled. An unavailable store is retried without a time limit.

    Attributes:
        written: Number of new rows committed.
        duplicates: Number of rows that the store already had.
        stalls: Number of times that `put` had to wait for the store.
        failure: Error that ended writing, if any.
    """

    def __init__(
        self,
        store: Store,
        problems: Problems,
        skip: Callable[[str, str | None, str], None] = lambda _device, _attribute, _reason: None,
        *,
        noted: Callable[[Sequence[Gap]], None] = lambda _: None,
        committed: Callable[[], None] = lambda: None,
        most_waiting: int = _MOST_WAITING,
        grace: float = _GRACE_SECONDS,
    ) -> None:
        """Create the writer.

        Args:
            store: Store for the rows.
            problems: Reports when the store fails and when it works again.
            skip: Called with device, attribute and reason for each row that the store rejects.
            noted: Called when gaps have been recorded.
            committed: Called after each commit.
            most_waiting: Maximum number of waiting rows.
            grace: Seconds to wait for an unavailable store at the end.
        """
        self.written: int = 0
        self.duplicates: int = 0
        self.stalls: int = 0
        self.failure: Exception | None = None
        self._store = store
        self._journal = store if isinstance(store, JournaledStore) else None
        self._notes = store if isinstance(store, GapNotingStore) else None
        self._problems = problems
        self._noted = noted
        self._committed = committed
        self._skip = skip
        self._most_waiting = most_waiting
        self._grace = grace
        self._rows: list[Row] = []
        self._gaps: list[Gap] = []
        self._queued = 0  # calls of `put` and `note`, and how many of them are committed
        self._done = 0
        self._commit_scope: anyio.CancelScope | None = None
        self._closing = anyio.Event()
        self._changed = anyio.Event()

    @property
    def waiting(self) -> int:
        """Number of rows waiting to be written."""
        return len(self._rows)

    async def put(self, rows: Sequence[Row], gaps: Sequence[Gap] = ()) -> None:
        """Queue rows, and the gaps known by then. This waits while too many rows are waiting.

        Raises:
            StorageError: Writing has failed permanently.
        """
        try:
            if len(self._rows) >= self._most_waiting and self.failure is None:
                self.stalls += 1
                while len(self._rows) >= self._most_waiting and self.failure is None:
                    await self._changed.wait()
        finally:
            # Even if this is cancelled: the rows were received, and are marked as such.
            self._queue(rows, gaps)
        if self.failure is not None:
            raise self.failure

    def note(self, gaps: Sequence[Gap]) -> None:
        """Queue gaps, to be recorded before anything queued later."""
        self._queue((), gaps)

    async def flush(self) -> None:
        """Wait until everything queued so far is committed, or writing has ended."""
        queued = self._queued
        while self._done < queued and self.failure is None:
            await self._changed.wait()

    async def run(self) -> None:
        """Write until `close` is called and the queue is empty. If cancelled, write the queue and end.

        This never raises. `failure` is the reason if writing ended early.
        """
        try:
            while not (self._closing.is_set() and not self._pending) and self.failure is None:
                if not self._pending:
                    await self._changed.wait()
                    continue
                await self._write()
                with anyio.move_on_after(_COMMIT_SECONDS):
                    while not self._closing.is_set() and len(self._rows) < self._most_waiting:
                        await self._changed.wait()
        finally:
            self.close()
            if self._pending and self.failure is None:
                with anyio.CancelScope(shield=True):
                    await self._write()

    def close(self) -> None:
        """Let `run` end when everything is written."""
        if not self._closing.is_set() and self._commit_scope is not None:
            self._commit_scope.deadline = anyio.current_time() + self._grace
        self._closing.set()
        self._notify()

    @property
    def _pending(self) -> bool:
        return bool(self._rows or self._gaps)

    def _queue(self, rows: Sequence[Row], gaps: Sequence[Gap]) -> None:
        if rows or gaps:
            self._rows += rows
            self._gaps += gaps
            self._queued += 1
            self._notify()

    async def _write(self) -> None:
        rows, self._rows = self._rows, []
        gaps, self._gaps = self._gaps, []
        queued = self._queued
        self._notify()
        pause = FIRST_PAUSE
        new = left_out = 0
        give_up: float | None = None
        while True:
            try:
                # Complete a started commit, since its outcome would be unknown otherwise.
                with self._committing() as scope:
                    new, left_out = await self._commit(rows, gaps)
                if scope.cancelled_caught:
                    raise StorageError("store", f"did not accept the last {len(rows):,} rows in {self._grace:g} s")
                break
            except StorageError as error:
                if self._closing.is_set() and give_up is None:
                    give_up = anyio.current_time() + self._grace
                if not error.temporary or (give_up is not None and anyio.current_time() >= give_up):
                    self._end_with(error, rows, gaps)
                    return
                self._problems.failed("store", error)
                self._notify()
                try:
                    await self._pause(pause)
                except BaseException:
                    self._put_back(rows, gaps)  # cancelled: for the last attempt
                    raise
                pause = next_pause(pause)
            except Exception as error:  # noqa: BLE001 - the collector raises it
                self._end_with(error, rows, gaps)
                return
        self.written += new
        self.duplicates += len(rows) - new - left_out
        self._problems.passed("store")
        self._committed()
        self._done = queued
        self._notify()

    def _end_with(self, error: Exception, rows: Sequence[Row], gaps: Sequence[Gap]) -> None:
        """End writing. Unwritten rows still count as waiting."""
        self.failure = error
        self._put_back(rows, gaps)
        self._notify()

    def _put_back(self, rows: Sequence[Row], gaps: Sequence[Gap]) -> None:
        self._rows[:0], self._gaps[:0] = rows, gaps

    async def _pause(self, seconds: float) -> None:
        """Wait before another attempt, only briefly while closing."""
        if self._closing.is_set():
            await anyio.sleep(min(seconds, FIRST_PAUSE))
            return
        with anyio.move_on_after(seconds):
            await self._closing.wait()

    @contextmanager
    def _committing(self) -> Generator[anyio.CancelScope, None, None]:
        """Do not limit the time of a commit, except while closing."""
        with anyio.CancelScope(shield=True) as scope:
            if self._closing.is_set():
                scope.deadline = anyio.current_time() + self._grace
            self._commit_scope = scope
            try:
                yield scope
            finally:
                self._commit_scope = None

    async def _commit(self, rows: Sequence[Row], gaps: list[Gap]) -> tuple[int, int]:
        """Commit rows and gaps. Return the number of new rows, and of those that the store rejects.

        Gaps noted in a file leave the list, so that another attempt does not repeat them.
        """
        merged = merge_gaps(gaps)
        journal = self._journal
        if journal is not None:
            counts = await write_accepted(lambda some: journal.commit(some, note=merged), rows, self._skip)
        else:
            if merged and self._notes is not None:
                await self._notes.note_gaps(merged)
                gaps.clear()
                self._noted(merged)
                merged = []
            counts = await write_accepted(self._store.write, rows, self._skip) if rows else (0, 0)
        if merged:
            self._noted(merged)
        return counts

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def write_accepted(
    write: Callable[[Sequence[Row]], Awaitable[int]], rows: Sequence[Row], skip: Callable[[str, str | None, str], None]
) -> tuple[int, int]:
    """Write rows, and leave out those that the store rejects.

    Args:
        write: Writes all rows or none.
        rows: The rows.
        skip: Called with device, attribute and reason for each row that is left out.

    Returns:
        The number of new rows, and of those left out.
    """
    left_out = 0
    while True:
        try:
            return await write(rows), left_out
        except RowsRefusedError as error:
            accepted: list[Row] = []
            for position, row in enumerate(rows):
                if position in error.refused:
                    skip(row[0], row[1], f"the store rejected a value: {error.refused[position]}")
                else:
                    accepted.append(row)
            if len(accepted) == len(rows):
                raise
            left_out += len(rows) - len(accepted)
            rows = accepted
