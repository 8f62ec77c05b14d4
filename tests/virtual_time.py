"""An asyncio loop whose clock jumps: whoever sleeps is woken at once, at the right time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs timers without waiting for them. No sockets: those do not know our time."""

    def __init__(self) -> None:
        self._virtual_now = 1000.0
        self.jumps = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._virtual_now

    def advance(self, seconds: float) -> None:
        self._virtual_now += seconds
        self.jumps += 1


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits and no timer is set: a deadlock")
        self._loop.advance(timeout)
        return ready


def pending_timers() -> int:
    """Return how many timers of the running loop are still to fire."""
    return timers_of(asyncio.get_running_loop())


def timers_of(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many timers of a loop are still to fire."""
    scheduled: list[asyncio.TimerHandle] = vars(loop)["_scheduled"]
    return sum(not timer.cancelled() for timer in scheduled)
