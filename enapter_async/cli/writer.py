"""Between the event loop, which must not wait for a disk, and a store, which does."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.to_thread

from enapter_async.cli.exits import Failure
from enapter_async.cli.storage import Storage
from enapter_async.cli.store import Row

_MOST_WAITING: Final = 200_000
"""Rows; about 60 MB."""
_COMMIT_SECONDS: Final = 0.5
"""Least time between two writes: fewer and larger ones cost less, and a crash loses no more than this."""


class Writer:
    """Writes rows in a thread, in batches, in the order in which they came.

    It holds a bounded number of rows. When the store cannot keep up, `put` waits, and with it whoever collects;
    nothing is dropped.

    Attributes:
        duplicates: Rows that the store had already.
        stalls: How often `put` had to wait for the store.
        failure: Why writing ended, if it did.
    """

    def __init__(self, store: Storage, most_waiting: int = _MOST_WAITING) -> None:
        self._store = store
        self._most_waiting = most_waiting
        self._rows: list[Row] = []
        self._closing = False
        self._changed = anyio.Event()
        self.duplicates = 0
        self.stalls = 0
        self.failure: Failure | None = None

    @property
    def written(self) -> int:
        """Rows that were new and are committed."""
        return self._store.written

    @property
    def waiting(self) -> int:
        """Rows that wait to be written."""
        return len(self._rows)

    async def put(self, rows: list[Row]) -> None:
        """Hand over rows; waits while too many wait already.

        Raises:
            Failure: The store cannot be written any more.
        """
        if len(self._rows) >= self._most_waiting and self.failure is None:
            self.stalls += 1
            while len(self._rows) >= self._most_waiting and self.failure is None:
                await self._changed.wait()
        if self.failure is not None:
            raise self.failure
        self._rows += rows
        self._notify()

    async def run(self) -> None:
        """Write until `close` was called and nothing is left; when cancelled, write what is there and end."""
        try:
            while not (self._closing and not self._rows) and self.failure is None:
                if not self._rows:
                    await self._changed.wait()
                    continue
                await self._write()
                with anyio.move_on_after(_COMMIT_SECONDS):
                    while not self._closing and len(self._rows) < self._most_waiting:
                        await self._changed.wait()
        finally:
            if self._rows and self.failure is None:
                await self._write()

    def close(self) -> None:
        """Let `run` end once everything is written."""
        self._closing = True
        self._notify()

    async def _write(self) -> None:
        with anyio.CancelScope(shield=True):
            rows, self._rows = self._rows, []
            try:
                self.duplicates += await anyio.to_thread.run_sync(self._store.write, rows)
            except Failure as failure:
                self.failure = failure
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
