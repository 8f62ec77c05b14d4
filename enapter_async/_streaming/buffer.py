"""A bounded buffer for the frames that a stream has received and its consumer has not yet read."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from enapter_async._protocol.failure import copy_error
from enapter_async.errors import EnapterError

E = TypeVar("E")


class Buffer(Generic[E]):
    """A bounded queue with one producer. If it is full, the producer waits or the oldest item is dropped.

    Attributes:
        dropped: Number of items dropped so far.
    """

    def __init__(self, size: int, *, drop_oldest: bool, never_dropped: tuple[type, ...] = ()) -> None:
        """Create an empty buffer.

        Args:
            size: Maximum number of items.
            drop_oldest: Drop the oldest item if the buffer is full. Otherwise `offer` returns False.
            never_dropped: Types of items that are dropped only if there are no others.
        """
        self._size = size
        self._drop_oldest = drop_oldest
        self._never_dropped = never_dropped
        self._items: deque[E] = deque()
        self._ending: EnapterError | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._unreported = 0
        self.dropped = 0

    def offer(self, item: E) -> bool:
        """Add an item. Return False if the buffer is full."""
        if len(self._items) >= self._size:
            if not self._drop_oldest:
                self._room.clear()
                return False
            self._drop()
        self._items.append(item)
        self._filled.set()
        return True

    def _drop(self) -> None:
        oldest = next((i for i, item in enumerate(self._items) if not isinstance(item, self._never_dropped)), 0)
        del self._items[oldest]
        self.dropped += 1
        self._unreported += 1

    async def room(self) -> None:
        """Wait until an item is taken, after `offer` returned False."""
        await self._room.wait()

    async def ready(self) -> None:
        """Wait until `take` has an item.

        Raises:
            EnapterError: The buffer was closed with this error, and all items have been taken.
        """
        while not self._items:
            if self._ending is not None:
                raise copy_error(self._ending)
            self._filled.clear()
            await self._filled.wait()

    def take(self) -> E:
        """Return the oldest item. Call it after `ready`."""
        self._room.set()
        return self._items.popleft()

    def take_dropped(self) -> int:
        """Return how many items were dropped since the last call."""
        dropped, self._unreported = self._unreported, 0
        return dropped

    def close(self, ending: EnapterError) -> None:
        """Close the buffer. Remaining items can still be taken, then `ready` raises the first ending."""
        if self._ending is None:
            self._ending = ending
            self._filled.set()
