"""Fills the gaps of a log stream from the list of log records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from enapter_async._protocol.log_overlap import LogOverlap
from enapter_async.models.logs import LogRecord
from enapter_async.pagination import Page, Pager


class LogCatchUp:
    """A `CatchUp` for log records."""

    def __init__(self, list_since: Callable[[datetime | None], Pager[LogRecord]]) -> None:
        """Create a `CatchUp` for one stream.

        Args:
            list_since: Lists the records of the stream received at a given time or later, oldest first.
        """
        self._list_since = list_since
        self._overlap = LogOverlap()
        self.opened = self._overlap.opened
        self.is_new = self._overlap.is_new
        self.is_missing = self._overlap.is_missing

    def missed(self) -> AsyncIterator[Page[LogRecord]]:
        """List the records that may have been missed."""
        return self._list_since(self._overlap.begin()).pages()
