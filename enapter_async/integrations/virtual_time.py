"""An asyncio event loop with a virtual clock for tests. A task that sleeps for an hour wakes at once, an hour later.

The clock jumps only when the loop is idle. So real sockets work if both ends run in this loop, such as a client
and a `Simulator`. The loop waits for work in threads, but not for data from other processes or the network.
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
"""Real seconds of silence before the clock jumps. A system under load may need some time to deliver bytes."""
_DEADLOCK: Final = 5.0
"""Real seconds of silence without any timer after which the loop reports a deadlock."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stops while something happens, and jumps to the next timer when nothing does."""

    def __init__(self, *, start: float | None = None, grace: float = _GRACE) -> None:
        """Create the loop.

        Args:
            start: First loop time in seconds. None uses approximately the system's monotonic clock.
            grace: Real seconds of silence before the clock jumps. Use 0 if you use no sockets.
        """
        # Whole seconds, so that a sleep of 30 takes exactly 30 and not 29.999.
        self._now = float(math.ceil(time.monotonic())) if start is None else start
        self._jobs = 0
        super().__init__(_JumpingSelector(self, grace))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass. Called by the selector."""
        self._now += seconds

    @property
    def busy(self) -> bool:
        """Whether threads are working for this loop."""
        if self._jobs:
            return True
        try:
            return to_thread.current_default_thread_limiter().borrowed_tokens > 0
        except RuntimeError:  # anyio has no current backend, so no thread of anyio is running
            return False

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function in a thread. Time does not jump until it returns."""
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

    This is a pytest hook: import it in your `conftest.py`.
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
                raise RuntimeError("deadlock: all tasks are waiting and no timer is set")
            self._loop.advance(timeout)
        return ready
