"""The number of gaps in the journal of a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import anyio

from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Units
from enapter_async.collector.store import JournaledStore, StoreMethodError
from enapter_async.errors import StorageError

LOOK_SECONDS: Final = 60.0
"""Longest time between two reads of the journal. Other collectors and the store itself may add gaps to it."""
_SHORTEST_PAUSE: Final = 1.0
_SHARE: Final = 0.05
"""Largest share of the time spent reading, since a journal that nobody repairs may become long."""

_logger = logging.getLogger("enapter_async.collector")


class OpenGaps:
    """Reads the journal of a store, and counts its gaps.

    Attributes:
        count: Number of gaps when the journal was last read.
        unselected: Number of these whose device is not collected.
        seconds: Total length of these gaps.
    """

    def __init__(self, store: JournaledStore, units: Callable[[], Units]) -> None:
        """Set the store.

        Args:
            store: Store with the journal.
            units: Returns the collected units, by device and attribute.
        """
        self.count: int = 0
        self.unselected: int = 0
        self.seconds: float = 0.0
        self._store = store
        self._units = units
        self._grown = anyio.Event()

    async def read(self) -> list[Gap]:
        """Return the gaps, oldest first, and count them.

        Raises:
            StorageError: The store cannot be read.
        """
        gaps = await self._store.read_gaps()
        self.count, self.seconds = len(gaps), sum(gap.seconds for gap in gaps)
        units = self._units()
        self.unselected = sum(gap.device_id is not None and gap.device_id not in units for gap in gaps)
        return gaps

    async def update(self) -> None:
        """Count the gaps, if the store can be read."""
        try:
            await self.read()
        except StoreMethodError:
            raise
        except StorageError as error:
            _logger.debug("could not count the gaps: %s", error)

    def wake(self) -> None:
        """Count the gaps soon, because there are new gaps."""
        self._grown.set()

    async def keep_counting(self) -> None:
        """Count the gaps repeatedly until cancelled. A repair counts them anyway."""
        while True:
            self._grown = anyio.Event()
            began = time.monotonic()
            await self.update()
            await anyio.sleep(max(_SHORTEST_PAUSE, (time.monotonic() - began) / _SHARE))
            with anyio.move_on_after(LOOK_SECONDS):
                await self._grown.wait()
