"""Datapoints in a SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from enapter_async.cli.exits import Exit, Failure

Row: TypeAlias = tuple[str, str, str, float | None, str | None]
"""device_id, attribute, time, value, unit."""

COLUMNS: Final = ("device_id", "attribute", "time", "value", "unit")

# Time comes first in the key: new rows are then neighbours, and a commit writes a few pages. With the device
# first each series would have a page of its own, and 1,600 datapoints a second would write 6 MB a second.
# The key being the table itself (WITHOUT ROWID), nothing is stored twice.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS telemetry (
    device_id TEXT NOT NULL,
    attribute TEXT NOT NULL,
    time      TEXT NOT NULL, -- UTC, ISO 8601: 2026-03-14T09:26:53Z
    value     REAL,          -- NULL: the device reported that there is none
    unit      TEXT,
    PRIMARY KEY (time, device_id, attribute)
) WITHOUT ROWID
"""
INSERT: Final = "INSERT OR IGNORE INTO telemetry (device_id, attribute, time, value, unit) VALUES (?, ?, ?, ?, ?)"
BUSY_SECONDS: Final = 30.0


class SqliteStore:
    """The table `telemetry` of a database; a datapoint that is in it already is not written again.

    Whatever ends the program, the database holds all transactions that were committed (write-ahead log).
    Use it from one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        """Open the database, and make it where it is missing.

        Args:
            path: The file.

        Raises:
            Failure: It cannot be opened, or holds another table of that name.
        """
        self.path = path
        self.written = 0
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise Failure(f"{path} cannot be opened: {error}", Exit.STORAGE) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise Failure(f"{path} cannot be used: {error}", Exit.STORAGE) from error
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute(_SCHEMA)
        columns = {name: key for _, name, _, _, _, key in execute("PRAGMA table_info(telemetry)")}
        keys = {name for name, key in columns.items() if key}
        if set(columns) != set(COLUMNS) or keys != {"device_id", "attribute", "time"}:
            raise Failure(f"{self.path} has another table 'telemetry'; choose another file", Exit.STORAGE)

    def write(self, rows: Sequence[Row]) -> int:
        """Write datapoints in one transaction: all of them or none.

        Returns:
            How many were there already.

        Raises:
            Failure: They cannot be written (the disk is full, say); what was committed before stays.
        """
        connection = self._connection
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                before = connection.total_changes
                connection.executemany(INSERT, rows)
                inserted = connection.total_changes - before
        except sqlite3.Error as error:
            raise Failure(f"{self.path} cannot be written: {error}", Exit.STORAGE) from error
        self.written += inserted
        return len(rows) - inserted

    def close(self) -> None:
        """Close the database; the write-ahead log is merged into the file."""
        self._connection.close()
