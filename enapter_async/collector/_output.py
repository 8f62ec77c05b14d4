"""The output of a store, which people and log rotation move away while a collector runs."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from enapter_async.collector._problems import Problems
from enapter_async.collector._reporting import FaultLog
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.store import ReopenableStore, ReportingStore, Store
from enapter_async.errors import StorageError

_logger = logging.getLogger("enapter_async.collector")


class Output:
    """Reopens a store on request, and reports the events of the store.

    A store checks by itself before each write whether its file is still in place. It may be foreign code: an
    exception of `reopen` or `take_events` is logged, since rows can still be written. `take_events` is called after
    each commit, so each kind of exception is logged once.
    """

    def __init__(
        self,
        store: Store,
        problems: Problems,
        report: Callable[[CollectorEvent], None],
        lock: anyio.Lock | None = None,
    ) -> None:
        """Create the output.

        Args:
            store: Store to reopen.
            problems: Reports when the store cannot be reopened.
            report: Receives the events of the store.
            lock: Held by others while a method of the store runs.
        """
        self._store = store
        self._reopenable = store if isinstance(store, ReopenableStore) else None
        self._problems = problems
        self._report = report
        self._lock = lock or anyio.Lock()
        self._faults = FaultLog()
        self._requested = anyio.Event()
        self._reopened = anyio.Event()

    def request_reopening(self) -> anyio.Event:
        """Return an event that is set when `run` has reopened the store, or has failed to."""
        if self._reopenable is None:
            self._reopened.set()
        else:
            self._requested.set()
        return self._reopened

    async def run(self) -> None:
        """Reopen the store on request until cancelled."""
        store = self._reopenable
        if store is None:
            return
        while True:
            await self._requested.wait()
            self._requested = anyio.Event()
            done, self._reopened = self._reopened, anyio.Event()
            try:
                async with self._lock:
                    await store.reopen()
            except StorageError as error:
                self._problems.failed("store", error)
            except Exception:
                _logger.exception("%s.reopen raised", type(store).__name__)
            self.report_events()
            done.set()

    def report_events(self) -> None:
        """Report what the store has noticed since the last call."""
        if not isinstance(self._store, ReportingStore):
            return
        try:
            events = list(self._store.take_events())
        except Exception as error:  # noqa: BLE001 - logged
            self._faults.add(f"{type(self._store).__name__}.take_events", error)
            return
        for event in events:
            self._report(event)
