"""Protocols for the store of a collector."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeAlias, runtime_checkable

from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.gaps import Gap
from enapter_async.errors import StorageError
from enapter_async.rows import Row

RowKey: TypeAlias = tuple[str, str, int]
"""The key of a row: device_id, attribute and time."""


class RowsRefusedError(StorageError):
    """Raised by a store that rejects some rows for ever and may accept the others. Nothing was written.

    The collector reports and leaves out these rows, and writes the others.

    Attributes:
        refused: The reason by the position of the row.
    """

    def __init__(self, location: str | os.PathLike[str], refused: Mapping[int, str]) -> None:
        count, first = len(refused), next(iter(refused.values()), "")
        super().__init__(location, f"{count:,} row{'s' * (count != 1)} rejected: {first}")
        self.refused: Mapping[int, str] = refused


class StoreMethodError(StorageError):
    """Raised by a collector if its store raises anything but a `StorageError`, or otherwise violates its protocol.

    The collector stops, and first writes everything it has received, if the store still can. The original exception is
    the cause.

    Attributes:
        store: Class of the store.
        method: Name of the method.
    """

    def __init__(self, store: str, method: str, reason: str) -> None:
        super().__init__("store", f"{store}.{method} {reason}")
        self.store: str = store
        self.method: str = method


@runtime_checkable
class Store(Protocol):
    """A store for rows. Your own store needs only these three methods.

    The collector calls one method at a time. A method that fails raises `StorageError`. With `temporary=True` the
    collector keeps the rows and retries, otherwise it stops. With any other exception, it stops with a
    `StoreMethodError`.
    """

    async def __aenter__(self) -> Self:
        """Open the store, and create it if it does not exist."""
        ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        ...

    async def write(self, rows: Sequence[Row]) -> int:
        """Write all rows or none. Existing rows with the same device, attribute and time are kept.

        Returns:
            The number of new rows.

        Raises:
            StorageError: The rows cannot be written; `RowsRefusedError` if this is the fault of single rows.
        """
        ...


@runtime_checkable
class ReportingStore(Store, Protocol):
    """A store with events of its own, such as a file that was moved. The collector passes them to `on_event`."""

    def take_events(self) -> Sequence[CollectorEvent]:
        """Return the events since the last call."""
        ...


@runtime_checkable
class ReopenableStore(Store, Protocol):
    """A store whose output people and log rotation may move away, such as a file."""

    async def reopen(self) -> None:
        """Open the output that is now at its path, and create it if it does not exist."""
        ...


@runtime_checkable
class GapNotingStore(Store, Protocol):
    """A store that records gaps for people, but cannot fill them, such as files."""

    async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
        """Return the newest known time of each device.

        Args:
            devices: IDs of the devices.
            before: Only rows before this time count, in microseconds since 1970.
        """
        ...

    async def note_gaps(self, gaps: Sequence[Gap]) -> None:
        """Record gaps. They are on disk when this returns."""
        ...


@runtime_checkable
class JournaledStore(Store, Protocol):
    """A store that can be searched and has a journal of gaps, such as databases.

    Its journal is the table `telemetry_gaps`. All methods raise `StorageError`.
    """

    async def read_newest(self, devices: Collection[str] | None, before: int) -> Mapping[str, int]:
        """Return the time up to which each device has been collected: its newest row, or the newest `mark`.

        Args:
            devices: IDs of the devices. Unknown devices are left out of the result. None means all that are known.
            before: Only rows before this time count, in microseconds since 1970.
        """
        ...

    async def mark(self, reached: Mapping[str, int]) -> None:
        """Store the times up to which devices have been collected, instead of earlier marks.

        The collector marks a device when it begins to collect it, before there are rows, and periodically afterwards.
        So `read_newest` need not scan all rows of a large table. A later mark can be older, since the first is by the
        server's clock and others are by the device's own clock, which may be behind.
        """
        ...

    async def read_gaps(self) -> list[Gap]:
        """Return the journal, oldest gap first, each with its `id`."""
        ...

    async def read_keys(self, devices: Collection[str], start: int, before: int) -> Collection[RowKey]:
        """Return device, attribute and time of all rows of some devices in a time range."""
        ...

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        """Change the journal and rows in one transaction.

        Args:
            rows: Rows to write, as `write` does.
            note: Gaps to note; their `id` is ignored. A gap that touches one of the same device in the journal should
                become one with it, since a gap that lasts is noted several times. It gets a new `id` then, so that a
                repair that holds the old one does not end it.
            replace: Remaining gaps by `id` of a gap in the journal, none if it is filled. A number that is
                not in the journal is ignored.

        Returns:
            The number of new rows.
        """
        ...
