"""The journal of gaps in SQLite."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from enapter_async.collector._times import SECOND
from enapter_async.collector.gaps import Gap, join_gaps
from enapter_async.collector.stores._sqlite_rows import make_bound, read_stored_time
from enapter_async.rows import format_time

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
_INSERT_GAP: Final = "INSERT INTO telemetry_gaps (device_id, start, before, reason) VALUES (?,?,?,?)"
_DELETE_GAP: Final = "DELETE FROM telemetry_gaps WHERE id = ?"
_LAST: Final = 253_402_300_799_000_000
"""The last second that can be written as a text, in microseconds since 1970."""

_logger = logging.getLogger("enapter_async.collector")


class SqliteJournal:
    """The table `telemetry_gaps`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Set the connection.

        Args:
            connection: An open database.
            path: Its file, for messages.
        """
        self._connection = connection
        self._path = path
        self._unreadable: set[int] = set()

    def read(self) -> list[Gap]:
        """Return the gaps, oldest first."""
        return self._make_gaps(
            self._connection.execute(
                "SELECT id, device_id, start, before, reason FROM telemetry_gaps ORDER BY start, id"
            )
        )

    def change(self, note: Sequence[Gap], replace: Mapping[int, Sequence[Gap]]) -> None:
        """Add gaps, and replace others with what remains of them, within a transaction.

        Args:
            note: Gaps to add. They are joined with those that they touch.
            replace: Remaining gaps by `id` of a gap.
        """
        gaps = list(note)
        for number, rest in replace.items():
            if self._connection.execute(_DELETE_GAP, (number,)).rowcount:
                gaps += rest
        if gaps:
            gaps, replaced = join_gaps(gaps, self._find_near(gaps))
            self._connection.executemany(_DELETE_GAP, [(number,) for number in replaced])
            self.insert(gaps)

    def insert(self, gaps: Iterable[Gap]) -> None:
        """Insert gaps as they are, within a transaction."""
        self._connection.executemany(_INSERT_GAP, map(_make_record, gaps))

    def _find_near(self, gaps: Sequence[Gap]) -> list[Gap]:
        """Return the gaps of the journal that new ones may touch, without reading the rest of it."""
        new = [
            (gap.device_id, make_bound(gap.start), make_bound(min(gap.before // SECOND * SECOND + SECOND, _LAST)))
            for gap in gaps
        ]
        return self._make_gaps(self._connection.execute(_NEAR_GAPS, (json.dumps(new),)))

    def _make_gaps(self, found: Iterable[tuple[int, str | None, str, str, str]]) -> list[Gap]:
        gaps: list[Gap] = []
        for number, device, start, before, reason in found:
            first, last = read_stored_time(start), read_stored_time(before)
            if first is None or last is None:  # an edited journal: the other gaps are still valid
                self._warn_of_unreadable(number, start, before)
                continue
            gaps.append(Gap(id=number, device_id=device, start=first, before=last, reason=reason))
        return gaps

    def _warn_of_unreadable(self, number: int, start: object, before: object) -> None:
        if number not in self._unreadable:
            self._unreadable.add(number)
            _logger.warning(
                "%s: gap %d is ignored, because its time cannot be read: %r to %r", self._path, number, start, before
            )


def _make_record(gap: Gap) -> tuple[str | None, str, str, str]:
    return gap.device_id, format_time(gap.start), format_time(gap.before), gap.reason
