"""An asyncio loop for tests whose clock jumps: whoever sleeps an hour is woken at once, and an hour has passed.

Real sockets work where both ends run in this loop, as a client and a `Simulator` do: the clock jumps only when nothing
happens any more. Work in threads is waited for. What comes from other processes or a network is not.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple, Unpack

from anyio import to_thread

if TYPE_CHECKING:
    import pytest

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_GRACE: Final = 0.005
"""Real seconds of silence before the clock jumps: a system under load may take a while to pass bytes on."""
_DEADLOCK: Final = 5.0
"""Real seconds of silence, with no timer set, after which nothing will ever happen."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while something happens, and jumps to the next timer when nothing does."""

    def __init__(self, *, start: float | None = None, grace: float = _GRACE) -> None:
        """Make the loop.

        Args:
            start: First loop time in seconds; None for about that of the system's monotonic clock.
            grace: Real seconds of silence before the clock jumps; 0 where no socket is used.
        """
        # Whole seconds, so that a sleep of 30 is 30 and not 29.999.
        self._now = float(math.ceil(time.monotonic())) if start is None else start
        self._jobs = 0
        super().__init__(_JumpingSelector(self, grace))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; the selector calls it."""
        self._now += seconds

    @property
    def busy(self) -> bool:
        """Whether threads are at work for this loop."""
        if self._jobs:
            return True
        try:
            return to_thread.current_default_thread_limiter().borrowed_tokens > 0
        except RuntimeError:  # anyio cannot tell what runs: nothing of it does
            return False

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function in a thread; time does not jump meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_ended)
        return future

    def _job_ended(self, _: asyncio.Future[T]) -> None:
        self._jobs -= 1


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Have pytest-asyncio (1.4 or newer) run tests marked with `enapter_virtual_time` in a `VirtualTimeLoop`.

    This is a hook: import it in your `conftest.py`, where pytest finds it.
    """
    if item.get_closest_marker("enapter_virtual_time") is not None:
        return {"virtual_time": VirtualTimeLoop}
    return {"asyncio": asyncio.new_event_loop}


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop, grace: float) -> None:
        super().__init__()
        self._loop = loop
        self._grace = grace

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.busy:
            began = time.monotonic()
            ready = super().select(timeout)
            self._loop.advance(time.monotonic() - began)
            return ready
        ready = super().select(min(_DEADLOCK, 1000 * self._grace) if timeout is None else min(timeout, self._grace))
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits and no timer is set: a deadlock")
            self._loop.advance(timeout)
        return ready
