"""The lifetime of a client: it is bound to one event loop, and closing it ends everything that is running."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
import weakref
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import Final, Self

import anyio

from enapter_async.errors import ClientClosedError, ConfigurationError, WrongEventLoopError

_NEAR: Final = 1.0
"""Seconds before its deadline at which a timer is passed to the event loop.

The loop keeps timers in a heap, even cancelled ones. One timer per call costs 5 µs at 100 callers, and hardly any of
them expires. So timers that are far from their deadline share one, which checks them when the first is near.
"""

_bound: weakref.WeakSet[Lifetime] = weakref.WeakSet()


class Timer:
    """Cancels the task that created it at its deadline, which raises `TimeoutError` from the `with` block.

    It behaves like `asyncio.timeout`, but entering and leaving need no coroutine, so it costs half as much.
    """

    __slots__ = ("_cancelling", "_expired", "_handle", "_task")

    def __init__(self, task: asyncio.Task[object] | None) -> None:
        assert task is not None  # noqa: S101 - for type checkers: only a task can wait
        self._task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self._expired = False
        self._handle: asyncio.Handle | None = None

    @property
    def is_armed(self) -> bool:
        """Whether the timer was passed to the event loop."""
        return self._handle is not None

    def expire_at(self, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        """Pass the timer to the event loop."""
        self._handle = loop.call_at(deadline, self._expire)

    def expire_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Expire in the next step of the event loop, unless it has already expired."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = loop.call_soon(self._expire)

    def _expire(self) -> None:
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._handle is not None:
            self._handle.cancel()
        # A cancellation by anyone else remains in effect.
        if (
            self._expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise TimeoutError from exc


class Lifetime:
    """Keeps the client's event loop, its closed state and all running timers.

    Every wait has a timer that is registered here, and closing makes all timers expire at once. One mechanism thus ends
    requests, sleeps and waits, on our own connections and on those of injected sessions.
    """

    def __init__(self) -> None:
        self.closed: bool = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forked = False
        self._epoch: float | None = None  # for a loop with virtual time
        self._timers: dict[Timer, float] = {}
        self._look: asyncio.TimerHandle | None = None
        self._far = math.inf  # later deadlines are left to the next check
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, and bind to it on first use.

        Raises:
            ClientClosedError: The client was closed.
            WrongEventLoopError: The client is bound to another loop, or to a loop of the parent process.
            ConfigurationError: The caller does not run on asyncio, but for example on trio.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            raise ConfigurationError(
                "EnapterClient runs on asyncio, and no asyncio event loop is running here: it cannot run on trio"
            )
        if loop is not self._loop or self._forked:
            self._bind(loop)
        if self.closed:
            raise ClientClosedError
        return loop

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        self._refuse_fork()
        if self._loop is not None:
            raise WrongEventLoopError(
                "the client is bound to the event loop that it was first used in; create one client per loop"
            )
        self._loop = loop
        if isinstance(loop, asyncio.BaseEventLoop) and type(loop).time is not asyncio.BaseEventLoop.time:
            self._epoch = time.time() - loop.time()
        _bound.add(self)

    def now(self) -> float:
        """Return the loop's time, the one clock for timers, deadlines, rate and retry budget.

        Time does not pass before the client is bound to a loop.
        """
        return 0.0 if self._loop is None else self._loop.time()

    def unix_now(self) -> float:
        """Return Unix seconds. In a loop with virtual time, as in tests, they advance with `now`."""
        return time.time() if self._epoch is None else self._epoch + self.now()

    def forked(self) -> None:
        """Record that this is the copy in a forked process, whose sockets belong to the parent."""
        self._forked = True

    def _refuse_fork(self) -> None:
        if self._forked:
            raise WrongEventLoopError(
                "the client was in use before this process was forked, and its connections belong to the parent: "
                "create a new client in each process"
            )

    def begin(self, deadline: float) -> Timer:
        """Return a timer of this task that expires at a loop time or on closing. Pass it to `end` afterwards."""
        loop = self._loop or asyncio.get_running_loop()
        timer = Timer(asyncio.current_task(loop))
        if deadline < self._far:
            self._arm(timer, deadline, loop)
        self._timers[timer] = deadline
        return timer

    def _arm(self, timer: Timer, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        if self.closed:
            timer.expire_soon(loop)  # anything that begins between two steps of a call must not delay closing
        elif deadline < loop.time() + 2 * _NEAR:
            timer.expire_at(deadline, loop)
        else:
            self._look_at(deadline - _NEAR, loop)

    def end(self, timer: Timer) -> None:
        """Forget a timer."""
        self._timers.pop(timer, None)
        # The next call uses the same look: cancelling it and scheduling another costs 4 µs.
        if self.closed and not self._timers:
            self._idle.set()

    def _look_at(self, time: float, loop: asyncio.AbstractEventLoop) -> None:
        self._look_no_more()
        self._look = loop.call_at(time, self._take_look, loop)
        self._far = time + _NEAR

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
            self._far = math.inf

    def _take_look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass timers that are near to the loop, and schedule the next check for the first of the others."""
        self._look_no_more()
        near = loop.time() + 2 * _NEAR  # checks are at least `_NEAR` apart
        first_far = math.inf
        for timer, deadline in self._timers.items():
            if deadline >= near:
                first_far = min(first_far, deadline)
            elif not timer.is_armed:
                timer.expire_at(deadline, loop)
        if first_far < math.inf:
            self._look_at(first_far - _NEAR, loop)

    @asynccontextmanager
    async def until(self, deadline: float) -> AsyncGenerator[None]:
        """Limit a block by a loop time and by closing. Either ends it with TimeoutError."""
        timer = self.begin(deadline)
        try:
            with timer:
                yield
        finally:
            self.end(timer)

    async def sleep(self, delay: float) -> None:
        """Sleep until the time is over or the client is closed.

        Raises:
            ClientClosedError: The client was closed.
        """
        loop = self.enter()
        closed = False
        try:
            # The sleep is shorter than the timer, so the timer expires only on closing.
            async with self.until(loop.time() + delay + 3600.0):
                await anyio.sleep(delay)
        except TimeoutError:
            closed = True
        if closed:
            raise ClientClosedError

    async def close(self) -> None:
        """Refuse new calls, end the running ones, and wait for them to finish.

        Raises:
            WrongEventLoopError: This is a forked process, where closing would disturb the parent.
        """
        self._refuse_fork()
        self.closed = True
        self._look_no_more()
        if not self._timers:
            return
        self._idle.clear()
        loop = self._loop or asyncio.get_running_loop()
        for timer in self._timers:
            timer.expire_soon(loop)
        await self._idle.wait()


def shielded() -> AbstractContextManager[object]:
    """Return a scope that shields cleanup from a cancelled anyio scope, which would cancel every await in it.

    The first scope makes anyio load its asyncio backend, a sixth of the time to open a client. If nothing has used
    anyio so far, no scope can have been cancelled.
    """
    return anyio.CancelScope(shield=True) if "anyio._backends._asyncio" in sys.modules else nullcontext()


def _note_fork() -> None:
    # Detect forks with a hook: comparing the PID in each call would need a system call.
    for lifetime in tuple(_bound):
        lifetime.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
