"""Events of a store, kept from its worker thread until the collector takes them."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TypeAlias

from enapter_async.collector.events import CollectorEvent, OutputReopened

FileIdentity: TypeAlias = tuple[int, int]
"""A result of `identify_file`."""


class StoreEvents:
    """The events that the collector has not taken yet."""

    def __init__(self) -> None:
        self._pending: deque[CollectorEvent] = deque()

    def add(self, event: CollectorEvent) -> None:
        """Add an event, from any thread."""
        self._pending.append(event)

    def add_replaced(self, path: Path, there: FileIdentity | None, identity: FileIdentity | None) -> None:
        """Record that an open output is not in place any more.

        Args:
            path: The output.
            there: The file or folder at this path now, if any.
            identity: The open file or folder.
        """
        reason = "moved or deleted" if there is None else "truncated" if there == identity else "replaced"
        self.add(OutputReopened(target=str(path), reason=reason))

    def take(self) -> list[CollectorEvent]:
        """Return the events, oldest first, and forget them."""
        return [self._pending.popleft() for _ in range(len(self._pending))]
