"""Admission of requests: one in-flight window, one queue and one pace for the whole client.

A client and its `with_options` copies share one `Limiter`; another origin has another one. There is no background
task. A call that ends wakes a waiting call, or a single timer does, which exists only while calls wait for the pace.

Order: new requests are served first come, first served. A request that got a 429 already had its turn, so it goes
before them (`acquire(again=slot)`) once its own Retry-After is over. At the end of the queue, the calls that have
waited longest would miss their deadlines. This starves no one: rejected requests were admitted once, so their number is
limited, and they follow the same pace.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Final, Protocol, TypeAlias

from enapter_async._transport.rate_limit.budget import RetryBudget
from enapter_async._transport.rate_limit.pace import Pace
from enapter_async.config import RateLimit
from enapter_async.errors import ClientClosedError

__all__ = ["Gate", "Limiter", "RetryBudget", "Slot"]


class Slot:
    """Permission to send one request. Return it with `Limiter.release`.

    Attributes:
        reserved_at: When it was granted, by the limiter's clock.
        tries: How often the request got a 429 before.
        not_before: After a 429, the earliest time at which the same request may be sent again.
    """

    __slots__ = ("not_before", "reserved_at", "tries")

    def __init__(self, reserved_at: float, tries: int) -> None:
        self.reserved_at: float = reserved_at
        self.tries: int = tries
        self.not_before: float = 0.0


class Gate(Protocol):
    """The limiter interface that sessions use.

    `SharedLimiter`, which shares a rate among processes, is another implementation.
    """

    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def pace(self) -> float | None: ...
    def try_acquire(self) -> Slot | None: ...
    async def acquire(self, *, again: Slot | None = None) -> Slot: ...
    def release(self, slot: Slot) -> None: ...
    def succeeded(self, slot: Slot) -> None: ...
    def rejected(self, slot: Slot, retry_after: float | None) -> None: ...
    def close(self) -> None: ...


_SHORTEST_TIMER: Final = 1e-6
"""Shortest timer in seconds. A remainder caused by rounding must not cause a timer that never fires."""

_Waiter: TypeAlias = "asyncio.Future[Slot | None]"  # None: closed


class Limiter:
    """FIFO gate that limits the requests in flight and, once a pace is known, their rate."""

    __slots__ = (
        "_again",
        "_clock",
        "_closed",
        "_fixed_rejections",
        "_in_flight",
        "_initial_window",
        "_max_window",
        "_meter",
        "_pace",
        "_queue",
        "_resting",
        "_spacing",
        "_timer",
        "_window",
    )

    def __init__(
        self,
        rate_limit: RateLimit,
        max_in_flight: int,
        *,
        clock: Callable[[], float],
        random: Random | None = None,
    ) -> None:
        """Create a limiter without waiters.

        Args:
            rate_limit: See `RateLimit`.
            max_in_flight: Maximum number of requests in flight.
            clock: Monotonic clock, in seconds.
            random: Randomises pauses for which the server set no time. Seed it in tests.
        """
        self._clock = clock
        self._max_window = max_in_flight
        self._initial_window = min(rate_limit.initial_in_flight, max_in_flight)
        self._window = self._initial_window
        self._in_flight = 0
        self._pace = Pace(
            rate_limit.requests_per_second,
            rate_limit.burst,
            adaptive=rate_limit.adaptive,
            random=random or Random(),  # noqa: S311 - spreads load, keeps no secret
        )
        self._spacing = self._pace.spacing
        self._meter = self._pace.meter
        self._fixed_rejections = self._pace.fixed_rejections
        # Waiters with the number of 429 responses that their requests got before.
        self._again: OrderedDict[_Waiter, int] = OrderedDict()
        self._queue: OrderedDict[_Waiter, int] = OrderedDict()
        self._resting: dict[_Waiter, asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # -- for hooks and metrics -----------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Number of slots in use."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Number of callers waiting for a slot."""
        return len(self._again) + len(self._queue) + len(self._resting)

    @property
    def window(self) -> int:
        """Maximum number of slots in use at the moment."""
        return self._window

    @property
    def pace(self) -> float | None:
        """Current rate in requests per second; None if only the window limits requests."""
        return self._spacing.rate

    @property
    def pause(self) -> float:
        """Seconds for which the whole client still pauses after a 429; 0 without a pause."""
        return max(0.0, self._spacing.held_until - self._clock())

    @property
    def rejections(self) -> int:
        """Number of 429 responses so far."""
        return self._pace.rejections

    # -- slots ---------------------------------------------------------------------------------------------

    def try_acquire(self) -> Slot | None:
        """Return a slot if no call waits, the window has room and the pace allows it. Otherwise return None."""
        if self._in_flight >= self._window or self._queue or self._again:
            return None
        now = self._clock()
        if self._spacing.ready_at > now:
            return None
        return self._take(now, 0)

    async def acquire(self, *, again: Slot | None = None) -> Slot:
        """Wait for a slot. The caller sets the timeout.

        A cancelled waiter takes no slot and delays no other waiter.

        Args:
            again: The slot whose request got a 429 and will be sent again. It waits for its own Retry-After, then
                goes before newcomers.

        Raises:
            ClientClosedError: The limiter was closed.
        """
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop.create_future()
        if self._closed:
            raise ClientClosedError
        tries = 0 if again is None else again.tries + 1
        rest = 0.0 if again is None else again.not_before - self._clock()
        if rest > 0.0:
            self._resting[waiter] = loop.call_later(rest, self._rested, waiter, tries)
        else:
            (self._queue if again is None else self._again)[waiter] = tries
            self._dispatch()
        try:
            slot = await waiter
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        if slot is None:
            raise ClientClosedError
        return slot

    def release(self, slot: Slot) -> None:
        """Return a slot after the request has ended in any way."""
        self._in_flight -= 1
        if self._queue or self._again:
            self._dispatch()

    def succeeded(self, slot: Slot) -> None:
        """Record a response other than 429."""
        self._meter.accepted += 1
        if slot.tries or self._fixed_rejections.suspected:
            self._fixed_rejections.accepted(tries=slot.tries)
        if self._window < self._max_window:
            self._window += 1

    def rejected(self, slot: Slot, retry_after: float | None) -> None:
        """Record a 429.

        Args:
            slot: Slot of the rejected request.
            retry_after: Seconds that the server asks the client to wait, None if it sent no Retry-After.
        """
        now = self._clock()
        if retry_after is not None:
            slot.not_before = now + retry_after
        self._pace.rejected(now, slot.reserved_at, retry_after, tries=slot.tries)

    def close(self) -> None:
        """Raise `ClientClosedError` in current and later waiters. Slots in use stay valid."""
        self._closed = True
        self._window = self._max_window = 0
        for waiter in (*self._again, *self._queue, *self._resting):
            if not waiter.done():
                waiter.set_result(None)
        for timer in self._resting.values():
            timer.cancel()
        self._again.clear()
        self._queue.clear()
        self._resting.clear()
        self._stop_timer()

    # -- inside --------------------------------------------------------------------------------------------

    def _take(self, now: float, tries: int) -> Slot:
        if self._spacing.rate is not None and self._pace.forgotten(now):
            self._window = self._initial_window
        self._pace.reserve(now)
        self._in_flight += 1
        return Slot(now, tries)

    def _dispatch(self) -> None:
        """Grant as many slots as possible, in order, and set the timer for the next one."""
        while queue := self._again or self._queue:
            if self._in_flight >= self._window:
                return  # releasing a slot calls this again
            now = self._clock()
            ready_at = self._spacing.ready_at
            if ready_at > now:
                if self._timer is None:  # otherwise it fires early at worst, and is set again
                    delay = max(ready_at - now, _SHORTEST_TIMER)
                    self._timer = next(iter(queue)).get_loop().call_later(delay, self._wake)
                return
            waiter, tries = queue.popitem(last=False)
            if not waiter.done():  # otherwise the waiter was cancelled but has not run yet
                waiter.set_result(self._take(now, tries))
        self._stop_timer()

    def _rested(self, waiter: _Waiter, tries: int) -> None:
        del self._resting[waiter]
        self._again[waiter] = tries
        self._dispatch()

    def _withdraw(self, waiter: _Waiter) -> None:
        """Forget a waiter whose task was cancelled, even if it was granted a slot at the same moment."""
        if waiter.cancelled():
            if timer := self._resting.pop(waiter, None):
                timer.cancel()
            self._again.pop(waiter, None)
            self._queue.pop(waiter, None)
        elif (slot := waiter.result()) is not None:
            self._in_flight -= 1
            self._pace.give_back(slot.reserved_at)
        self._dispatch()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self._dispatch()
