"""The life of a client: bound to one event loop, closed once, with everything under way ended at closing."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio

from enapter_async.errors import ClientClosedError, ConfigurationError, WrongEventLoopError

_bound: weakref.WeakSet[Lifetime] = weakref.WeakSet()


class Lifetime:
    """Knows the loop, whether the client is closed, and every timer that runs under it.

    Whoever waits does so under a timer registered here; closing makes all of them expire at once. So one
    mechanism ends requests, sleeps and waits alike, on our own connections and on injected ones.
    """

    def __init__(self) -> None:
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forked = False
        self._loop_time: Callable[[], float] | None = None
        self._epoch = 0.0
        self._timers: set[asyncio.Timeout] = set()
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
            self._loop_time = loop.time
            self._epoch = time.time() - loop.time()
        _bound.add(self)

    def now(self) -> float:
        """Return seconds that only grow: of a loop with a time of its own, as tests have, else of the system."""
        return time.monotonic() if self._loop_time is None else self._loop_time()

    def unix_now(self) -> float:
        """Return Unix seconds, which pass as those of `now` do."""
        return time.time() if self._loop_time is None else self._epoch + self._loop_time()

    def forked(self) -> None:
        """Note that this is the copy in a forked process: its sockets are those of the parent."""
        self._forked = True

    def _refuse_fork(self) -> None:
        if self._forked:
            raise WrongEventLoopError(
                "the client was in use before this process was forked, and its connections belong to the parent: "
                "make a new client in each process"
            )

    def begin(self, when: float) -> asyncio.Timeout:
        """Return a timer that expires at loop time `when`, or at closing; pass it to `end` afterwards."""
        # What a call begins after the closing, between two of its steps, must not hold the closing up.
        timer = asyncio.timeout_at(0 if self.closed else when)
        self._timers.add(timer)
        return timer

    def end(self, timer: asyncio.Timeout) -> None:
        """Forget a timer."""
        self._timers.discard(timer)
        if self.closed and not self._timers:
            self._idle.set()

    @asynccontextmanager
    async def until(self, when: float) -> AsyncGenerator[None]:
        """Bound a block by loop time `when` and by closing; both end it with TimeoutError."""
        timer = self.begin(when)
        try:
            async with timer:
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
        if not self._timers:
            return
        self._idle.clear()
        for timer in tuple(self._timers):
            if not timer.expired():
                timer.reschedule(0)
        await self._idle.wait()


def _note_fork() -> None:
    # Looked at when a process is forked, and not in each call: a look at the pid would be a system call.
    for lifetime in tuple(_bound):
        lifetime.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
