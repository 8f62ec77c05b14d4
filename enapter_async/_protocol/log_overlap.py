"""Merges live and listed log records into one sequence without duplicates.

Records have no identifier. Two records are the same if all their fields are equal, and equal records are counted. If
the server's times are so coarse that a record from before a new connection equals one from after it, the two cannot be
distinguished and count as one.
"""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from enapter_async.models.logs import LogRecord

MARGIN: Final = timedelta(seconds=5)
"""Tolerance between the order of arrival and of `received_at`, and between two clocks of the server."""

_MEMORY: Final = 10_000

_Key: TypeAlias = tuple[datetime | None, datetime | None, str | None, str]


class LogOverlap:
    """Remembers the newest records, to determine what to list after a lost connection, and which of it is new."""

    def __init__(self, *, memory: int = _MEMORY) -> None:
        self._memory = memory
        self._recent: deque[tuple[datetime, _Key]] = deque()
        self._newest: datetime | None = None
        self._opened: datetime | None = None
        self._forgotten: datetime | None = None
        self._reconnected: datetime | None = None
        self._listed: Counter[_Key] = Counter()
        self._expected: Counter[_Key] = Counter()

    def opened(self, at: datetime) -> None:
        """Record when a connection was opened, by the server's clock."""
        self._opened = self._opened or at
        self._reconnected = at

    def begin(self) -> datetime | None:
        """Begin to fill a gap. Return the inclusive time from which to list records."""
        # Listed records that already arrived live are not missing: each remembered record cancels one in the list.
        self._listed = Counter(key for _, key in self._recent)
        self._expected.clear()
        newest = self._newest
        if newest is None:
            return self._opened
        since = newest - MARGIN
        if self._opened is not None and self._opened < newest:  # otherwise the clocks differ: use the records' times
            since = max(since, self._opened)
        # Do not list records older than the remembered ones, since duplicates of them could not be detected.
        return since if self._forgotten is None else max(since, self._forgotten)

    def is_missing(self, record: LogRecord) -> bool:
        """Accept a listed record. Return whether it was not returned before."""
        key = _key(record)
        if self._listed[key] > 0:
            self._listed[key] -= 1
            return False
        received_at = record.received_at
        if received_at is None or self._reconnected is None or received_at >= self._reconnected - MARGIN:
            self._expected[key] += 1  # it may also arrive live
        self._remember(record, key)
        return True

    def is_new(self, record: LogRecord) -> bool:
        """Accept a live record. Return whether it was not returned before."""
        key = _key(record)
        if self._expected[key] > 0:
            self._expected[key] -= 1
            return False
        self._remember(record, key)
        return True

    def _remember(self, record: LogRecord, key: _Key) -> None:
        received_at = record.received_at
        if received_at is None:
            return
        if self._newest is None or received_at > self._newest:
            self._newest = received_at
        self._recent.append((received_at, key))
        oldest_needed = self._newest - MARGIN
        while self._recent and (self._recent[0][0] < oldest_needed or len(self._recent) > self._memory):
            forgotten, _ = self._recent.popleft()
            self._forgotten = forgotten if self._forgotten is None else max(self._forgotten, forgotten)


def _key(record: LogRecord) -> _Key:
    return (record.timestamp, record.received_at, record.severity, record.message)
