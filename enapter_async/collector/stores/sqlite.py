"""Telemetry in SQLite: rows, the journal of gaps, and the time up to which each device was collected."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar, TypeVarTuple

from enapter_async._arguments import require_path
from enapter_async._files import explain_unopened, identify_file
from enapter_async.collector._times import DAY, SECOND, read_clock
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.gaps import Gap
from enapter_async.collector.store import RowKey
from enapter_async.collector.stores._blocking import Worker
from enapter_async.collector.stores._committed import find_replaced_rows
from enapter_async.collector.stores._events import StoreEvents
from enapter_async.collector.stores._failures import storage_error
from enapter_async.collector.stores._sqlite_journal import SqliteJournal
from enapter_async.collector.stores._sqlite_rows import insert_rows, make_bound, read_stored_time, read_stored_times
from enapter_async.collector.stores._sqlite_tables import prepare_tables
from enapter_async.errors import StorageError
from enapter_async.rows import Row, format_time

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_LAST_ROW: Final = (
    "SELECT device_id, time FROM telemetry WHERE time < ? AND datetime(time) NOT NULL ORDER BY time DESC LIMIT 1"
)
_MARK: Final = "INSERT OR REPLACE INTO telemetry_devices VALUES (?,?)"
_BUSY_SECONDS: Final = 5.0
"""Seconds to wait for a lock of another program before reporting it to the collector."""
_LOCKED_PAUSE: Final = 0.02
"""Seconds between two attempts to switch to the write-ahead log."""
_LOOK_BACK: Final = 3_600 * SECOND
"""Microseconds before the newest row in which to search for the newest row of each device."""
_TEMPORARY: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_FULL}
)


class SqliteStore:
    """A SQLite file with the table `telemetry`, whose journal of gaps is the table `telemetry_gaps`.

    Existing rows are not written again. Even after a crash, the file has all committed transactions (write-ahead log).
    A file of an earlier version is upgraded when it is opened. If the open file is removed or replaced, it is reopened
    before the next write.

        async with SqliteStore("telemetry.sqlite") as store:
            await Collector(client, store).run()

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Set the file. `async with` opens it, and creates it if it does not exist.

        Args:
            path: The file.

        Raises:
            InvalidArgumentError: It is not a path.
        """
        self.path: Path = Path(require_path(path, "path"))
        self._worker = Worker()
        self._open: _Database | None = None
        self._read_journal_of: _Database | None = None
        self._entered = False
        self._events = StoreEvents()
        self._reached: Mapping[str, int] = {}
        """Newest time of each device in the previous file, until the current file is known to have it too."""

    async def __aenter__(self) -> Self:
        self._open = await self._worker.run(_Database, self.path)
        self._entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        database, self._open, self._entered = self._open, None, False
        if database is not None:
            await self._worker.run(database.close)

    async def write(self, rows: Sequence[Row]) -> int:
        """Write rows in one transaction. Return the number of new ones."""
        return await self.commit(rows)

    async def commit(
        self, rows: Sequence[Row], *, note: Sequence[Gap] = (), replace: Mapping[int, Sequence[Gap]] | None = None
    ) -> int:
        """Change the journal and rows in one transaction. Return the number of new rows."""
        return await self._worker.run(self._commit, rows, note, replace or {})

    async def read_newest(self, devices: Collection[str] | None, before: int) -> Mapping[str, int]:
        """Return the time up to which each device has been collected."""
        return await self._worker.run(self._read, _Database.read_newest, devices, before)

    async def mark(self, reached: Mapping[str, int]) -> None:
        """Store the times up to which devices have been collected."""
        await self._worker.run(self._read, _Database.mark, reached)

    async def read_gaps(self) -> list[Gap]:
        """Return the journal, oldest gap first."""
        return await self._worker.run(self._read_gaps)

    async def read_keys(self, devices: Collection[str], start: int, before: int) -> Collection[RowKey]:
        """Return device, attribute and time of all rows of some devices in a time range."""
        return await self._worker.run(self._read, _Database.read_keys, devices, start, before)

    async def reopen(self) -> None:
        """Reopen the file, for example after log rotation."""
        await self._worker.run(self._reopen)

    def take_events(self) -> Sequence[CollectorEvent]:
        """Return the events since the last call."""
        return self._events.take()

    # -- in the worker thread ------------------------------------------------------------------------------

    def _database(self) -> _Database:
        if not self._entered:
            raise StorageError(self.path, "is not open: use `async with`")
        database = self._open
        return database if database is not None and database.is_in_place() else self._reopen()

    def _reopen(self) -> _Database:
        # The old one is closed first: closing removes the log next to the path, which must not be that of a new file.
        database, self._open = self._open, None
        if database is not None:
            if not database.is_in_place():
                self._events.add_replaced(self.path, identify_file(self.path), database.identity)
                with suppress(sqlite3.Error):
                    self._reached = database.read_newest(None, read_clock() + DAY)
            database.close()
        opened = _Database(self.path)
        try:
            opened.note_losses(self._reached)
        except sqlite3.Error as error:
            opened.close()
            raise _failed(self.path, "cannot be written", error) from error
        self._open, self._reached = opened, {}
        return opened

    def _read(self, call: Callable[[_Database, *Arguments], T], *arguments: *Arguments) -> T:
        database = self._database()
        try:
            return call(database, *arguments)
        except sqlite3.Error as error:
            raise _failed(self.path, "cannot be used", error) from error

    def _read_gaps(self) -> list[Gap]:
        gaps = self._read(lambda database: database.journal.read())
        self._read_journal_of = self._open
        return gaps

    def _commit(self, rows: Sequence[Row], note: Sequence[Gap], replace: Mapping[int, Sequence[Gap]]) -> int:
        database = self._database()
        if database is not self._read_journal_of:
            replace = {}  # these numbers are of another file, in which they may mean other gaps
        try:
            new = database.commit(rows, note, replace)
            if not database.is_in_place():
                # The file was removed in the meantime, and with it the rows just written.
                database = self._reopen()
                new = database.commit(rows, note, {})
        except sqlite3.Error as error:
            raise _failed(self.path, "cannot be written", error) from error
        return new


class _Database:
    """An open database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity: tuple[int, int] | None = None
        try:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            reason = explain_unopened(path)
            raise StorageError(path, reason) if reason else _failed(path, "cannot be opened", error) from error
        self.journal: SqliteJournal = SqliteJournal(self._connection, path)
        try:
            self._prepare()
            self.identity = identify_file(path)
        except sqlite3.Error as error:
            self._connection.close()
            raise _failed(path, "cannot be used", error) from error
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the database and merge the write-ahead log into the file.

        A file that was truncated stays empty, because the log has only some of its former pages.

        Raises:
            StorageError: It cannot be emptied.
        """
        truncated = identify_file(self._path) == self.identity and self._is_empty()
        if not truncated:
            # Closing does not merge the log into a file that was moved, which would lose rows.
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        if truncated:
            try:
                os.truncate(self._path, 0)
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(self._path, "cannot be written", error) from error

    def is_in_place(self) -> bool:
        """Whether the path still refers to the open file, and the file is not empty."""
        return self.identity is not None and identify_file(self._path) == self.identity and not self._is_empty()

    def _is_empty(self) -> bool:
        try:
            return self._path.stat().st_size == 0
        except OSError:
            return False

    def commit(self, rows: Sequence[Row], note: Sequence[Gap], replace: Mapping[int, Sequence[Gap]]) -> int:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self.journal.change(note, replace)
            before = connection.total_changes
            insert_rows(connection, rows)
            new = connection.total_changes - before
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return new

    def read_newest(self, devices: Collection[str] | None, before: int) -> dict[str, int]:
        """Search the rows of the last hour, then the marks. Scanning the whole table would take minutes."""
        execute = self._connection.execute
        newest: dict[str, int] = {}
        for _, last in read_stored_times(execute(_LAST_ROW, (make_bound(before),))):
            newest = self._newest_since(make_bound(last - _LOOK_BACK), before)
        for device, reached in read_stored_times(execute("SELECT device_id, reached FROM telemetry_devices")):
            if reached < before:
                newest.setdefault(device, reached)
        return newest if devices is None else {device: newest[device] for device in devices if device in newest}

    def note_losses(self, reached: Mapping[str, int]) -> None:
        """Record gaps for the rows that this file lacks, if it replaced a file with these newest times."""
        gaps = find_replaced_rows(reached, self.read_newest(None, read_clock() + DAY)) if reached else ()
        if gaps:
            self.commit((), gaps, {})

    def mark(self, reached: Mapping[str, int]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.executemany(_MARK, [(device, format_time(moment)) for device, moment in reached.items()])

    def read_keys(self, devices: Collection[str], start: int, before: int) -> set[RowKey]:
        wanted = set(devices)
        # Parse each second once instead of each row.
        times: dict[str, int | None] = {}
        keys: set[RowKey] = set()
        for device, attribute, text in self._connection.execute(
            "SELECT device_id, attribute, time FROM telemetry WHERE time >= ? AND time < ?"
            " AND device_id IN (SELECT value FROM json_each(?))",
            (make_bound(start), make_bound(before), json.dumps(sorted(wanted))),
        ):
            if device in wanted:
                if text not in times:
                    times[text] = read_stored_time(text)
                if (moment := times[text]) is not None:
                    keys.add((device, attribute, moment))
        return keys

    def _newest_since(self, since: str, before: int) -> dict[str, int]:
        found = self._connection.execute(
            "SELECT device_id, max(time) FROM telemetry WHERE time >= ? AND time < ? GROUP BY device_id",
            (since, make_bound(before)),
        )
        return dict(read_stored_times(found))

    def _prepare(self) -> None:
        execute = self._connection.execute
        prepare_tables(self._connection, self._path, self.journal)
        self._use_write_ahead_log()
        execute("PRAGMA synchronous = NORMAL")
        # 16 MB instead of 2: what a commit of 100,000 rows changes.
        execute("PRAGMA cache_size = -16000")
        # 16 MB instead of 4: pages that several commits change are written to the file once.
        execute("PRAGMA wal_autocheckpoint = 4000")

    def _use_write_ahead_log(self) -> None:
        """Switch to the write-ahead log. If another program locks the file, SQLite itself does not wait here."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _read_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(_LOCKED_PAUSE)
            else:
                return


def _read_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _failed(path: Path, what: str, error: sqlite3.Error) -> StorageError:
    return StorageError(path, f"{what}: {error}", temporary=_read_code(error) in _TEMPORARY)
