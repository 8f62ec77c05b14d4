"""The life of a client: bound to one event loop, closed once, with everything under way ended at closing."""

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
"""Seconds before its time at which a timer is given to the event loop.

The loop keeps timers in a heap, also those that were cancelled. One for each call costs 5 µs at 100 callers, and
hardly any ever expires: so those far from their time share one, which looks at them when the first comes near.
"""

_bound: weakref.WeakSet[Lifetime] = weakref.WeakSet()


class Timer:
    """Cancels what the task that made it does in a `with` block, once its time has come: `TimeoutError` comes out.

    It does what `asyncio.timeout` does. Since entering and leaving need no coroutine, it costs half as much.
    """

    __slots__ = ("_cancelling", "_expired", "_handle", "_task")

    def __init__(self, task: asyncio.Task[object] | None) -> None:
        assert task is not None  # noqa: S101 - for type checkers: whoever waits is a task
        self._task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self._expired = False
        self._handle: asyncio.Handle | None = None

    @property
    def is_armed(self) -> bool:
        """Whether the event loop has it."""
        return self._handle is not None

    def expire_at(self, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        """Give it to the event loop."""
        self._handle = loop.call_at(deadline, self._expire)

    def expire_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let it expire in the next step of the event loop, unless it has."""
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
        # What somebody else has cancelled as well stays cancelled.
        if (
            self._expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise TimeoutError from exc


class Lifetime:
    """Knows the loop, whether the client is closed, and every timer that runs under it.

    Every wait has a timer that is registered here, and closing makes all of them expire at once. So one mechanism
    ends requests, sleeps and waits, on our own connections and on injected ones.
    """

    def __init__(self) -> None:
        self.closed: bool = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forked = False
        self._epoch: float | None = None  # of a loop whose time is not that of the system
        self._timers: dict[Timer, float] = {}
        self._look: asyncio.TimerHandle | None = None
        self._far = math.inf  # deadlines from here on are left to the next look
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, binding to it on first use.

        Raises:
            ClientClosedError: The client was closed.
            WrongEventLoopError: It is bound to another loop, or to that of the process this one was forked from.
            ConfigurationError: Something else than asyncio runs this, such as trio.
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
                "the client is bound to the event loop that it was first used in; make one client per loop"
            )
        self._loop = loop
        if isinstance(loop, asyncio.BaseEventLoop) and type(loop).time is not asyncio.BaseEventLoop.time:
            self._epoch = time.time() - loop.time()
        _bound.add(self)

    def now(self) -> float:
        """Return the loop's time: timers, deadlines, the pace and the budget go by this one clock.

        Before the client is bound to a loop no time passes.
        """
        return 0.0 if self._loop is None else self._loop.time()

    def unix_now(self) -> float:
        """Return Unix seconds; in a loop with a time of its own, as tests have, they pass as those of `now` do."""
        return time.time() if self._epoch is None else self._epoch + self.now()

    def forked(self) -> None:
        """Note that this is the copy in a forked process: its sockets are those of the parent."""
        self._forked = True

    def _refuse_fork(self) -> None:
        if self._forked:
            raise WrongEventLoopError(
                "the client was in use before this process was forked, and its connections belong to the parent: "
                "make a new client in each process"
            )

    def begin(self, deadline: float) -> Timer:
        """Return a timer of this task that expires at a loop time, or at closing; pass it to `end` afterwards."""
        loop = self._loop or asyncio.get_running_loop()
        timer = Timer(asyncio.current_task(loop))
        if deadline < self._far:
            self._arm(timer, deadline, loop)
        self._timers[timer] = deadline
        return timer

    def _arm(self, timer: Timer, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        if self.closed:
            timer.expire_soon(loop)  # what begins between two steps of a call must not hold the closing up
        elif deadline < loop.time() + 2 * _NEAR:
            timer.expire_at(deadline, loop)
        else:
            self._look_at(deadline - _NEAR, loop)

    def end(self, timer: Timer) -> None:
        """Forget a timer."""
        self._timers.pop(timer, None)
        if not self._timers:
            self._look_no_more()
            if self.closed:
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
        """Give the loop the timers that are near; the next look is when the first of the others will be."""
        self._look_no_more()
        near = loop.time() + 2 * _NEAR  # so that looks are at least `_NEAR` apart
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
        """Bound a block by loop time `deadline` and by closing; both end it with TimeoutError."""
        timer = self.begin(deadline)
        try:
            with timer:
                yield
        finally:
            self.end(timer)

    async def sleep(self, delay: float) -> None:
        """Sleep, unless the client is closed meanwhile.

        Raises:
            ClientClosedError: The client was closed.
        """
        loop = self.enter()
        closed = False
        try:
            # The sleep ends before the timer does: only closing makes it expire.
            async with self.until(loop.time() + delay + 3600.0):
                await anyio.sleep(delay)
        except TimeoutError:
            closed = True
        if closed:
            raise ClientClosedError

    async def close(self) -> None:
        """Refuse whatever comes, end what is under way, and wait until it has ended.

        Raises:
            WrongEventLoopError: In a forked process: closing there would disturb the parent.
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
    """Return a scope that keeps a cancelled scope of anyio from cancelling every await, which leaves everything open.

    The first scope makes anyio load what it knows of asyncio, a sixth of the time of opening a client. Where nobody
    has used anyio, no scope can have been cancelled.
    """
    return anyio.CancelScope(shield=True) if "anyio._backends._asyncio" in sys.modules else nullcontext()


def _note_fork() -> None:
    # Looked at when a process is forked, and not in each call: a look at the pid would be a system call.
    for lifetime in tuple(_bound):
        lifetime.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
