"""A rate limit that several processes share. If the shared source is unavailable, each client uses its own limit.

It wraps a `Limiter`. A request takes its local slot first (the in-flight window and the pace that 429
answers set are each client's own business), and asks for its share of the common rate last, right before it is
sent: a permission that lay about would be used too late, together with others.

One request at a time asks for the whole client, the others wait behind it in order. So the source hears a client
once per permission, however many callers there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from enapter_async import hooks as events
from enapter_async._transport.rate_limit.limiter import Limiter, Slot
from enapter_async.config import SharedRateLimit
from enapter_async.hooks import Hook
from enapter_async.models.visible import make_visible

FIRST_PAUSE: Final = 1.0
"""Seconds from losing the source until it is asked again; they double, up to the longest."""
LONGEST_PAUSE: Final = 10.0

_logger = logging.getLogger("enapter_async.rate_limit")


class SourceUnavailableError(Exception):
    """The source cannot be asked; the text says why."""


class Source(Protocol):
    """Where permissions come from."""

    async def ask(self) -> float:
        """Take one permission; return 0, or the seconds after which to ask again.

        Raises:
            SourceUnavailableError: It could not be asked.
        """
        ...

    async def aclose(self) -> None:
        """Close what it has opened."""
        ...


class SharedLimiter:
    """A `Gate` that asks a source for permission, and stays a plain `Limiter` while it gets no answer."""

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
        """Put a source before a limiter.

        Args:
            local: Gives the slots.
            source: Gives the permissions.
            terms: See `SharedRateLimit`.
            hooks: Hear when the source is lost and found again.
            clock: Seconds, monotonic; that of `local`.
            random: Spreads the asking; seed it in tests.
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
        # Who asks the moment that a permission comes free would always win against who is further away. What comes
        # free meanwhile is saved up, so that asking later by half of what can be saved up costs no permission.
        self._spread = (terms.burst - 1) / terms.requests_per_second / 2.0

    # -- for hooks and metrics -----------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests that were given permission and are not back."""
        return self._local.in_flight - self._asking

    @property
    def waiting(self) -> int:
        """Callers who wait for a slot or for permission."""
        return self._local.waiting + self._asking

    @property
    def pace(self) -> float | None:
        """Requests per second now; when shared, those of all clients together."""
        local = self._local.pace
        if not self.shared:
            return local
        rate = self._terms.requests_per_second
        return rate if local is None else min(local, rate)

    @property
    def shared(self) -> bool:
        """Whether the source answers."""
        return self._lost_at is None

    # -- slots ---------------------------------------------------------------------------------------------

    def try_acquire(self) -> Slot | None:
        """Return a slot if there is one, and the source need not be asked; else None."""
        return None if self._must_ask() else self._local.try_acquire()

    async def acquire(self, *, again: Slot | None = None) -> Slot:
        """Wait for a slot and for permission; bound it with a timeout of your own.

        A cancelled waiter keeps no slot and is in nobody's way. A permission that was given to it is not used:
        less is sent than would be allowed, never more.

        Args:
            again: The slot whose request was answered with 429 and is to be sent again.

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
        """Give a slot back, whatever became of the request."""
        self._local.release(slot)

    def succeeded(self, slot: Slot) -> None:
        """Note an answer that was not 429."""
        self._local.succeeded(slot)

    def rejected(self, slot: Slot, retry_after: float | None) -> None:
        """Note a 429: somebody outside uses the quota too, or it is smaller than was said."""
        self._local.rejected(slot, retry_after)

    def close(self) -> None:
        """Send those away who wait for a slot, and refuse later ones."""
        self._local.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _must_ask(self) -> bool:
        return self._lost_at is None or self._clock() >= self._ask_again_at

    async def _permission(self) -> None:
        if self._lost_at is not None:
            self._ask_again_at = self._clock() + self._pause  # one finds out, the others go on
            if await self._ask() <= 0.0:
                return
        async with self._turn:
            while self._lost_at is None:  # it may have been lost by whoever asked before
                wait = await self._ask()
                if wait <= 0.0:
                    return
                await asyncio.sleep(wait + self._random.uniform(0.0, self._spread))

    async def _ask(self) -> float:
        try:
            async with asyncio.timeout(self._terms.timeout):
                wait = await self._source.ask()
        except TimeoutError:
            self._lost(f"no answer within {self._terms.timeout:g} s")
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
                "the shared rate limit %r is lost, going on at a pace of our own: %s", self._terms.name, reason
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
        _logger.info("the shared rate limit %r is back after %.1f s", self._terms.name, away)
        events.report(self._hooks, events.SharedLimitRestored(name=self._terms.name, away=away))
