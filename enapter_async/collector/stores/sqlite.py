"""Telemetry in SQLite: rows, the journal of gaps, and the time up to which each device was collected."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar, TypeVarTuple

import attrs

from enapter_async._files import explain_unopened, identify_file
from enapter_async.collector._times import DAY, SECOND, read_clock
from enapter_async.collector.events import CollectorEvent
from enapter_async.collector.gaps import Gap, join_gaps
from enapter_async.collector.store import RowKey
from enapter_async.collector.stores._blocking import Worker
from enapter_async.collector.stores._committed import find_replaced_rows
from enapter_async.collector.stores._events import StoreEvents
from enapter_async.collector.stores._failures import storage_error
from enapter_async.collector.stores._sqlite_rows import insert_rows, read_stored_time, read_stored_times
from enapter_async.errors import StorageError
from enapter_async.models.arguments import require_path
from enapter_async.rows import COLUMNS, Row, format_time

_logger = logging.getLogger("enapter_async.collector")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

# Time is first in the key, so that new rows are neighbours and a commit writes only a few pages. With the device first,
# each series would have a separate page, and 1,600 datapoints a second would write 6 MB a second. The key is the table
# itself (WITHOUT ROWID), so nothing is stored twice.
_TELEMETRY: Final = """
CREATE TABLE IF NOT EXISTS telemetry (
    device_id TEXT NOT NULL,
    attribute TEXT NOT NULL,
    time      TEXT NOT NULL, -- UTC, ISO 8601: 2026-03-14T09:26:53Z
    value     REAL,          -- numbers, booleans as 1 and 0; value and text both NULL: the device reported no value
    text      TEXT,          -- everything else
    unit      TEXT,
    PRIMARY KEY (time, device_id, attribute)
) WITHOUT ROWID
"""
_GAPS: Final = """
CREATE TABLE telemetry_gaps (
    id        INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: a repair may hold one
    device_id TEXT,          -- NULL: all devices
    start     TEXT NOT NULL, -- as telemetry.time
    before    TEXT NOT NULL, -- not included
    reason    TEXT NOT NULL
)
"""
_GAPS_INDEX: Final = "CREATE INDEX IF NOT EXISTS telemetry_gaps_start ON telemetry_gaps (device_id, start)"
# The gaps of a device do not overlap. So only those that begin within a new one can touch it, and the one before. Two
# are read, because fractions of a second sort before Z.
_NEAR_GAPS: Final = """
WITH new AS (
    SELECT json_extract(value, '$[0]') AS device_id, json_extract(value, '$[1]') AS start,
        json_extract(value, '$[2]') AS after
    FROM json_each(?)
)
SELECT gap.id, gap.device_id, gap.start, gap.before, gap.reason FROM new CROSS JOIN telemetry_gaps AS gap
    ON gap.device_id IS new.device_id AND gap.start >= new.start AND gap.start < new.after
UNION
SELECT gap.id, gap.device_id, gap.start, gap.before, gap.reason FROM new CROSS JOIN telemetry_gaps AS gap
    ON gap.id IN (
        SELECT id FROM telemetry_gaps
        WHERE device_id IS new.device_id AND start < new.start ORDER BY start DESC LIMIT 2
    )
"""
_DEVICES: Final = """
CREATE TABLE telemetry_devices (
    device_id TEXT NOT NULL PRIMARY KEY,
    reached   TEXT NOT NULL  -- up to when the device was collected, at least
) WITHOUT ROWID
"""
_LAST_ROW: Final = (
    "SELECT device_id, time FROM telemetry WHERE time < ? AND datetime(time) NOT NULL ORDER BY time DESC LIMIT 1"
)
_INSERT_GAP: Final = "INSERT INTO telemetry_gaps (device_id, start, before, reason) VALUES (?,?,?,?)"
_MARK: Final = "INSERT OR REPLACE INTO telemetry_devices VALUES (?,?)"
_LAST: Final = 253_402_300_799_000_000
"""The last second that a text can contain."""
_OLDER: Final = "noted by an earlier version"
_BUSY_SECONDS: Final = 5.0
"""Seconds to wait for a lock of another program before reporting it to the collector."""
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
        """Up to when the file that was open before has each device, until the file after it is known to have it too."""

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
        gaps = self._read(_Database.read_gaps)
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


@attrs.frozen(kw_only=True)
class _Layout:
    """The tables of a file: those of this version, of an earlier one, or none yet.

    Attributes:
        columns: Columns of the table of rows.
        gaps: Columns of the journal.
        devices: Columns of the table of marks.
        has_current_journal: Whether the journal never uses a number again.
        has_index: Whether the gaps of a device can be found without reading the whole journal.
    """

    columns: Collection[str]
    gaps: Collection[str]
    devices: Collection[str]
    has_current_journal: bool
    has_index: bool

    @property
    def is_current(self) -> bool:
        return "text" in self.columns and self.has_current_journal and self.has_index and bool(self.devices)


class _Database:
    """An open database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity: tuple[int, int] | None = None
        self._unreadable_gaps: set[int] = set()
        try:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            reason = explain_unopened(path)
            raise StorageError(path, reason) if reason else _failed(path, "cannot be opened", error) from error
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
            gaps = list(note)
            for number, rest in replace.items():
                if connection.execute("DELETE FROM telemetry_gaps WHERE id = ?", (number,)).rowcount:
                    gaps += rest
            if gaps:
                gaps, replaced = join_gaps(gaps, self._find_near_gaps(gaps))
                connection.executemany("DELETE FROM telemetry_gaps WHERE id = ?", [(number,) for number in replaced])
                connection.executemany(_INSERT_GAP, map(_gap_record, gaps))
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
        for _, last in read_stored_times(execute(_LAST_ROW, (_bound(before),))):
            newest = self._newest_since(_bound(last - _LOOK_BACK), before)
        for device, reached in read_stored_times(execute("SELECT device_id, reached FROM telemetry_devices")):
            if reached < before:
                newest.setdefault(device, reached)
        return newest if devices is None else {device: newest[device] for device in devices if device in newest}

    def note_losses(self, reached: Mapping[str, int]) -> None:
        """Record what this file lacks, if it replaced one with devices up to these times."""
        gaps = find_replaced_rows(reached, self.read_newest(None, read_clock() + DAY)) if reached else ()
        if gaps:
            self.commit((), gaps, {})

    def mark(self, reached: Mapping[str, int]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.executemany(_MARK, [(device, format_time(moment)) for device, moment in reached.items()])

    def read_gaps(self) -> list[Gap]:
        return self._make_gaps(
            self._connection.execute(
                "SELECT id, device_id, start, before, reason FROM telemetry_gaps ORDER BY start, id"
            )
        )

    def _find_near_gaps(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Return the gaps of the journal that new ones may touch, without reading the rest of it."""
        new = [
            (gap.device_id, _bound(gap.start), _bound(min(gap.before // SECOND * SECOND + SECOND, _LAST)))
            for gap in gaps
        ]
        return self._make_gaps(self._connection.execute(_NEAR_GAPS, (json.dumps(new),)))

    def _make_gaps(self, found: Iterable[tuple[int, str | None, str, str, str]]) -> list[Gap]:
        gaps: list[Gap] = []
        for number, device, start, before, reason in found:
            first, last = read_stored_time(start), read_stored_time(before)
            if first is None or last is None:  # an edited journal: the other gaps are still valid
                self._warn_of_unreadable_gap(number, start, before)
                continue
            gaps.append(Gap(id=number, device_id=device, start=first, before=last, reason=reason))
        return gaps

    def _warn_of_unreadable_gap(self, number: int, start: object, before: object) -> None:
        if number not in self._unreadable_gaps:
            self._unreadable_gaps.add(number)
            _logger.warning(
                "%s: gap %d is ignored, because its time cannot be read: %r to %r", self._path, number, start, before
            )

    def read_keys(self, devices: Collection[str], start: int, before: int) -> set[RowKey]:
        wanted = set(devices)
        # Parse each second once instead of each row.
        times: dict[str, int | None] = {}
        keys: set[RowKey] = set()
        for device, attribute, text in self._connection.execute(
            "SELECT device_id, attribute, time FROM telemetry WHERE time >= ? AND time < ?"
            " AND device_id IN (SELECT value FROM json_each(?))",
            (_bound(start), _bound(before), json.dumps(sorted(wanted))),
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
            (since, _bound(before)),
        )
        return dict(read_stored_times(found))

    def _prepare(self) -> None:
        execute = self._connection.execute
        if not self._read_layout().is_current:
            execute("BEGIN IMMEDIATE")
            with self._connection:
                # Read again, because another process may have opened the file in the meantime.
                self._make_tables(self._read_layout())
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        # 16 MB instead of 2: what a commit of 100,000 rows changes.
        execute("PRAGMA cache_size = -16000")
        # 16 MB instead of 4: pages that several commits change are written to the file once.
        execute("PRAGMA wal_autocheckpoint = 4000")

    def _read_layout(self) -> _Layout:
        columns, keys = self._columns("telemetry")
        if columns and (keys != {"device_id", "attribute", "time"} or columns | {"text"} != set(COLUMNS)):
            raise StorageError(self._path, "has another table 'telemetry'; choose another file")
        statements = dict(self._connection.execute("SELECT name, sql FROM sqlite_master"))
        return _Layout(
            columns=columns,
            gaps=self._columns("telemetry_gaps")[0],
            devices=self._columns("telemetry_devices")[0],
            has_current_journal="AUTOINCREMENT" in (statements.get("telemetry_gaps") or ""),
            has_index="telemetry_gaps_start" in statements,
        )

    def _make_tables(self, layout: _Layout) -> None:
        """Create missing tables, in a new file or in one of an earlier version."""
        execute = self._connection.execute
        if not layout.columns:
            execute(_TELEMETRY)
        elif "text" not in layout.columns:
            execute("ALTER TABLE telemetry ADD COLUMN text TEXT")
        if not layout.has_current_journal:
            self._make_journal(layout.gaps)
        execute(_GAPS_INDEX)
        if not layout.devices:
            execute(_DEVICES)
            if layout.columns:  # only once; later the marks are used
                tomorrow = _bound(read_clock() + DAY)
                execute(
                    "INSERT INTO telemetry_devices SELECT device_id, max(time) FROM telemetry WHERE time < ?"
                    " GROUP BY device_id",
                    (tomorrow,),
                )

    def _make_journal(self, old: Collection[str]) -> None:
        execute = self._connection.execute
        gaps: list[Gap] = []
        if old == {"start", "before"}:  # Unix seconds
            found = execute("SELECT start, before FROM telemetry_gaps")
            gaps = [
                Gap(
                    device_id=None,
                    start=start * SECOND,
                    before=before * SECOND,
                    reason=_OLDER,
                )
                for start, before in found
            ]
        elif old == {"id", "device_id", "start", "before", "reason"}:  # ids were used again
            gaps = self.read_gaps()
        elif old:
            raise StorageError(self._path, "has another table 'telemetry_gaps'; choose another file")
        execute("DROP TABLE IF EXISTS telemetry_gaps")
        execute(_GAPS)
        self._connection.executemany(_INSERT_GAP, map(_gap_record, gaps))

    def _columns(self, table: str) -> tuple[set[str], set[str]]:
        found = list(self._connection.execute(f"PRAGMA table_info({table})"))
        return {name for _, name, *_ in found}, {name for _, name, _, _, _, key in found if key}


def _gap_record(gap: Gap) -> tuple[str | None, str, str, str]:
    return gap.device_id, format_time(gap.start), format_time(gap.before), gap.reason


def _bound(moment: int) -> str:
    """Return a time for comparison, without its final Z, because fractions of a second sort before Z."""
    return format_time(moment)[:-1]


def _failed(path: Path, what: str, error: sqlite3.Error) -> StorageError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return StorageError(path, f"{what}: {error}", temporary=code in _TEMPORARY)
