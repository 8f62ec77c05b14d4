"""Discovery of devices and attributes, at the start and while a collector runs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from enapter_async import EnapterClient
from enapter_async.collector._beginning import read_clock_offset
from enapter_async.collector._problems import Problems, ends_polling
from enapter_async.collector._reporting import Reporter
from enapter_async.collector.selection import Finder, Selection, Targets
from enapter_async.errors import EnapterError

_UNKNOWN_DEVICE_SECONDS: Final = 30.0
"""Shortest time between two device lists requested because a response named an unknown device."""


class Discovery:
    """Finds the devices and attributes of a selection, repeatedly, since they change.

    Attributes:
        clock_offset: Seconds by which the server's clock is ahead.
    """

    def __init__(
        self,
        client: EnapterClient,
        selection: Selection,
        problems: Problems,
        report: Reporter,
        skip: Callable[[str, str | None, str], None],
        *,
        rediscover: float,
    ) -> None:
        """Prepare the discovery.

        Args:
            client: To request with.
            selection: What to find.
            problems: Reports when devices cannot be found, and when they can be found again.
            report: Receives the names of the devices.
            skip: Called with device, attribute and reason for each part that cannot be collected.
            rediscover: Seconds between two updates.
        """
        self.clock_offset: float = 0.0
        self._client = client
        self._finder = Finder(client, selection)
        self._problems = problems
        self._report = report
        self._skip = skip
        self._rediscover = rediscover
        self._requested = anyio.Event()
        self._found_at = 0.0

    def request_update(self) -> None:
        """Let `run` find the devices soon, because a response named an unknown one."""
        self._requested.set()

    async def find(self) -> Targets:
        """Find devices and attributes, and read the server's clock.

        Raises:
            SelectionError: There is nothing to collect.
            EnapterError: A request failed.
        """
        self._found_at = time.monotonic()
        targets = await self._finder.find()
        self._report.names.update(targets.names)
        offset = await read_clock_offset(self._client, targets)
        self.clock_offset = self.clock_offset if offset is None else offset
        for one in self._finder.skipped:
            self._skip(one.device_id, one.attribute, one.reason)
        return targets

    async def run(self, change_to: Callable[[Targets], Awaitable[None]]) -> None:
        """Find devices and attributes periodically until cancelled.

        Args:
            change_to: Receives them.
        """
        while True:
            with anyio.move_on_after(self._rediscover):
                await self._requested.wait()
                await anyio.sleep(max(0.0, self._found_at + _UNKNOWN_DEVICE_SECONDS - time.monotonic()))
            self._requested = anyio.Event()
            try:
                found = await self.find()
            except EnapterError as error:
                if ends_polling(error):
                    continue  # polling gets the same error and ends with it
                self._problems.failed("devices", error)
                continue
            self._problems.passed("devices")
            await change_to(found)
