"""Tables of telemetry in SQLite, created in a new file and upgraded in one of an earlier version."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Final

import attrs

from enapter_async.collector._times import DAY, SECOND, read_clock
from enapter_async.collector.gaps import Gap
from enapter_async.collector.stores._sqlite_journal import SqliteJournal
from enapter_async.collector.stores._sqlite_rows import make_bound
from enapter_async.errors import StorageError
from enapter_async.rows import COLUMNS

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
_DEVICES: Final = """
CREATE TABLE telemetry_devices (
    device_id TEXT NOT NULL PRIMARY KEY,
    reached   TEXT NOT NULL  -- up to when the device was collected, at least
) WITHOUT ROWID
"""
_OLDER: Final = "noted by an earlier version"


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


def prepare_tables(connection: sqlite3.Connection, path: Path, journal: SqliteJournal) -> None:
    """Create missing tables, and upgrade those of an earlier version.

    Args:
        connection: An open database, without a transaction.
        path: Its file, for messages.
        journal: The journal of this database.

    Raises:
        StorageError: The file has other tables with these names.
    """
    if _read_layout(connection, path).is_current:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Read again, because another process may have opened the file in the meantime.
        _make_tables(connection, path, journal, _read_layout(connection, path))


def _read_layout(connection: sqlite3.Connection, path: Path) -> _Layout:
    columns, keys = _read_columns(connection, "telemetry")
    if columns and (keys != {"device_id", "attribute", "time"} or columns | {"text"} != set(COLUMNS)):
        raise StorageError(path, "has another table 'telemetry'; choose another file")
    statements = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
    return _Layout(
        columns=columns,
        gaps=_read_columns(connection, "telemetry_gaps")[0],
        devices=_read_columns(connection, "telemetry_devices")[0],
        has_current_journal="AUTOINCREMENT" in (statements.get("telemetry_gaps") or ""),
        has_index="telemetry_gaps_start" in statements,
    )


def _make_tables(connection: sqlite3.Connection, path: Path, journal: SqliteJournal, layout: _Layout) -> None:
    """Create missing tables, in a new file or in one of an earlier version."""
    execute = connection.execute
    if not layout.columns:
        execute(_TELEMETRY)
    elif "text" not in layout.columns:
        execute("ALTER TABLE telemetry ADD COLUMN text TEXT")
    if not layout.has_current_journal:
        _make_journal(connection, path, journal, layout.gaps)
    execute(_GAPS_INDEX)
    if not layout.devices:
        execute(_DEVICES)
        if layout.columns:  # only once; later the marks are used
            tomorrow = make_bound(read_clock() + DAY)
            execute(
                "INSERT INTO telemetry_devices SELECT device_id, max(time) FROM telemetry WHERE time < ?"
                " GROUP BY device_id",
                (tomorrow,),
            )


def _make_journal(connection: sqlite3.Connection, path: Path, journal: SqliteJournal, old: Collection[str]) -> None:
    execute = connection.execute
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
        gaps = journal.read()
    elif old:
        raise StorageError(path, "has another table 'telemetry_gaps'; choose another file")
    execute("DROP TABLE IF EXISTS telemetry_gaps")
    execute(_GAPS)
    journal.insert(gaps)


def _read_columns(connection: sqlite3.Connection, table: str) -> tuple[set[str], set[str]]:
    found = list(connection.execute(f"PRAGMA table_info({table})"))
    return {name for _, name, *_ in found}, {name for _, name, _, _, _, key in found if key}
