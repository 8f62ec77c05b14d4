"""The protocols that a collector's store implements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeAlias, runtime_checkable

from enapter_async.collector.gaps import Gap
from enapter_async.rows import Row

RowKey: TypeAlias = tuple[str, str, int]
"""device_id, attribute and time of a row: what makes it one."""


@runtime_checkable
class Store(Protocol):
    """Where rows go. A store of your own needs these three methods and nothing else.

    The collector calls one method at a time. A method that fails raises `StorageError`; with `temporary=True` the
    collector keeps the rows and tries again, without it collecting ends.
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
        """Write all rows or none of them; rows whose device, attribute and time are there already are left alone.

        Returns:
            How many rows were new.

        Raises:
            StorageError: The rows cannot be written.
        """
        ...


@runtime_checkable
class GapNotingStore(Store, Protocol):
    """A store that can note gaps for people to look up, but not fill them: files."""

    async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
        """Return the newest time of each device, as far as it is known.

        Args:
            devices: IDs of the devices.
            before: Only rows before this time count, in microseconds since 1970.
        """
        ...

    async def note_gaps(self, gaps: Sequence[Gap]) -> None:
        """Note gaps, on the disk when this returns."""
        ...


@runtime_checkable
class JournaledStore(Store, Protocol):
    """A store that can tell what it has, and holds a journal of gaps: databases.

    Its journal is the table `telemetry_gaps`. All methods raise `StorageError`.
    """

    async def read_newest(self, devices: Collection[str], before: int) -> Mapping[str, int]:
        """Return up to when each device has been collected: its newest row, or the newest time given to `mark`.

        Args:
            devices: IDs of the devices. Those of which nothing is known are left out.
            before: Only rows before this time count, in microseconds since 1970.
        """
        ...

    async def mark(self, reached: Mapping[str, int]) -> None:
        """Remember up to when devices have been collected.

        The collector marks a device when it begins to collect it, before there are rows, and now and then later, so
        that `read_newest` need not look through all rows of a large table.
        """
        ...

    async def read_gaps(self) -> list[Gap]:
        """Return the journal, oldest gap first, each with its `id`."""
        ...

    async def read_keys(self, devices: Collection[str], start: int, before: int) -> Collection[RowKey]:
        """Return device, attribute and time of all rows of some devices in a span of time."""
        ...

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        """Change journal and rows in one transaction: all of it is done or nothing.

        Args:
            rows: Rows to write, as `write` does.
            note: Gaps to note; their `id` is ignored. A gap that touches one of the same device in the journal should
                become one with it, since a gap that lasts is noted several times.
            replace: Remaining gaps by `id` of a gap in the journal, none if it is filled. A number that is
                not in the journal is ignored.

        Returns:
            How many rows were new.
        """
        ...
