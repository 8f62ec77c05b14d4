"""A rate limit that several processes share. If the shared source is unavailable, each client uses its own limit.

It wraps a `Limiter`. A request first takes a local slot, since every client has its own in-flight window and its own
pace after 429 responses. It asks for permission from the shared source last, right before it is sent: permissions kept
in reserve would be used late, several at once.

One request at a time asks for the whole client, and the others wait behind it in order. So the source gets one request
per permission, however many callers there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from enapter_async import hooks as events
from enapter_async._transport.rate_limit.limiter import Limiter, Slot
from enapter_async._visible import make_visible
from enapter_async.config import SharedRateLimit
from enapter_async.hooks import Hook

FIRST_PAUSE: Final = 1.0
"""Seconds from losing the source until it is asked again. They double up to the longest."""
LONGEST_PAUSE: Final = 10.0

_logger = logging.getLogger("enapter_async.rate_limit")


class SourceUnavailableError(Exception):
    """The source is unavailable. The message says why."""


class Source(Protocol):
    """A source of permissions."""

    async def ask(self) -> float:
        """Take one permission. Return 0, or the seconds after which to ask again.

        Raises:
            SourceUnavailableError: The source did not answer.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of the source."""
        ...


class SharedLimiter:
    """A `Gate` that asks a source for permission, and acts as a plain `Limiter` while the source is unavailable."""

    def __init__(
        self,
        local: Limiter,
        source: Source,
        terms: SharedRateLimit,
        *,
        hooks: tuple[Hook, ...] = (),
        clock: Callable[[], float],
        random: Random | None = None,
    ) -> None:
        """Combine a limiter with a source.

        Args:
            local: Grants the slots.
            source: Grants the permissions.
            terms: See `SharedRateLimit`.
            hooks: Receive an event when the source becomes unavailable or available.
            clock: Monotonic clock in seconds, the same as that of `local`.
            random: Randomises when to ask. Seed it in tests.
        """
        self._local = local
        self._source = source
        self._terms = terms
        self._hooks = hooks
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - spreads load, keeps no secret
        self._turn = asyncio.Lock()
        self._asking = 0
        self._lost_at: float | None = None
        self._ask_again_at = 0.0
        self._pause = FIRST_PAUSE
        # A client that asks at the exact moment would always win against clients with a longer round trip. Unused
        # permissions are saved up, so asking later, by up to half of what can be saved up, loses none.
        self._spread = (terms.burst - 1) / terms.requests_per_second / 2.0

    # -- for hooks and metrics -----------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Number of requests that were permitted and have not ended."""
        return self._local.in_flight - self._asking

    @property
    def waiting(self) -> int:
        """Number of callers waiting for a slot or a permission."""
        return self._local.waiting + self._asking

    @property
    def pace(self) -> float | None:
        """Current rate in requests per second; that of all clients together while it is shared."""
        local = self._local.pace
        if not self.shared:
            return local
        rate = self._terms.requests_per_second
        return rate if local is None else min(local, rate)

    @property
    def shared(self) -> bool:
        """Whether the source is available."""
        return self._lost_at is None

    # -- slots ---------------------------------------------------------------------------------------------

    def try_acquire(self) -> Slot | None:
        """Return a slot if there is one and the source need not be asked. Otherwise return None."""
        return None if self._must_ask() else self._local.try_acquire()

    async def acquire(self, *, again: Slot | None = None) -> Slot:
        """Wait for a slot and a permission. The caller sets the timeout.

        A cancelled waiter keeps no slot and delays no other waiter. A permission granted to it stays unused, so the
        rate never exceeds the limit.

        Args:
            again: The slot whose request got a 429 and will be sent again.

        Raises:
            ClientClosedError: The limiter was closed.
        """
        slot = await self._local.acquire(again=again)
        if self._must_ask():
            self._asking += 1
            try:
                await self._permission()
            except BaseException:
                self._local.release(slot)
                raise
            finally:
                self._asking -= 1
            slot.reserved_at = self._clock()
        return slot

    def release(self, slot: Slot) -> None:
        """Return a slot after the request has ended in any way."""
        self._local.release(slot)

    def succeeded(self, slot: Slot) -> None:
        """Record a response other than 429."""
        self._local.succeeded(slot)

    def rejected(self, slot: Slot, retry_after: float | None) -> None:
        """Record a 429: another program uses the quota too, or the quota is smaller than configured."""
        self._local.rejected(slot, retry_after)

    def close(self) -> None:
        """Raise `ClientClosedError` in current and later waiters."""
        self._local.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _must_ask(self) -> bool:
        return self._lost_at is None or self._clock() >= self._ask_again_at

    async def _permission(self) -> None:
        if self._lost_at is not None:
            self._ask_again_at = self._clock() + self._pause  # only one call probes the source, the others continue
            if await self._ask() <= 0.0:
                return
        async with self._turn:
            while self._lost_at is None:  # the call before may have found it unavailable
                wait = await self._ask()
                if wait <= 0.0:
                    return
                await asyncio.sleep(wait + self._random.uniform(0.0, self._spread))

    async def _ask(self) -> float:
        try:
            async with asyncio.timeout(self._terms.timeout):
                wait = await self._source.ask()
        except TimeoutError:
            self._lost(f"no response within {self._terms.timeout:g} s")
        except SourceUnavailableError as error:
            self._lost(make_visible(str(error)))
        else:
            self._found()
            return wait
        return 0.0

    def _lost(self, reason: str) -> None:
        now = self._clock()
        if self._lost_at is None:
            self._lost_at = now
            self._pause = FIRST_PAUSE
            _logger.warning(
                "the shared rate limit %r is unavailable, using the client's own limit: %s", self._terms.name, reason
            )
            events.report(self._hooks, events.SharedLimitLost(name=self._terms.name, reason=reason))
        else:
            self._pause = min(2.0 * self._pause, LONGEST_PAUSE)
        self._ask_again_at = now + self._pause

    def _found(self) -> None:
        if self._lost_at is None:
            return
        away = self._clock() - self._lost_at
        self._lost_at = None
        _logger.info("the shared rate limit %r is available again after %.1f s", self._terms.name, away)
        events.report(self._hooks, events.SharedLimitRestored(name=self._terms.name, away=away))
