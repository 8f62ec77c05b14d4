"""Loops with a clock of their own for the tests of the client, beside the public `VirtualTimeLoop`.

A `SteadyLoop` is one that disturbances of the machine cost no time: for tests whose servers run in the same loop.

A machine that stops us for a quarter of a second makes a timer of a tenth expire although nobody was late. Here time
passes only while the loop waits in vain. What the loop spends on anything else, or is kept from, counts for a
thousandth of a second at most. So short timeouts are safe, and seconds that a test measures by the loop are those
that somebody waited.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any, Final

from enapter_async.integrations.virtual_time import VirtualTimeLoop

MOST: Final = 0.001
"""Seconds that a step of the loop may take, as far as its clock is concerned."""


class SteadyLoop(asyncio.SelectorEventLoop):
    """Waits for timers in earnest; its clock counts nothing else. No other processes: they go by their own clocks."""

    def __init__(self) -> None:
        self._looked_at = self._now = time.monotonic()
        super().__init__(_Selector(self))

    def time(self) -> float:
        self.pass_at_most(MOST)
        return self._now

    def pass_at_most(self, seconds: float) -> None:
        """Let the time since the last look pass, or so much of it."""
        now = time.monotonic()
        self._now += min(now - self._looked_at, seconds)
        self._looked_at = now


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: SteadyLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.pass_at_most(MOST)
        ready = super().select(timeout)
        # What came has come at once: it was written in this loop.
        self._loop.pass_at_most(MOST if ready or timeout is None else max(timeout, MOST))
        return ready


class SocketlessLoop(VirtualTimeLoop):
    """A `VirtualTimeLoop` for code without sockets: its clock jumps at once.

    Attributes:
        jumps: How often it jumped.
    """

    def __init__(self) -> None:
        self.jumps = 0
        super().__init__(start=1000.0, grace=0)

    def advance(self, seconds: float) -> None:
        self.jumps += 1
        super().advance(seconds)


def now() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()


def pending_timers() -> int:
    """Return how many timers of the running loop are still to fire."""
    return timers_of(asyncio.get_running_loop())


def timers_of(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many timers of a loop are still to fire."""
    scheduled: list[asyncio.TimerHandle] = vars(loop)["_scheduled"]
    return sum(not timer.cancelled() for timer in scheduled)
