"""The retry budget of a client, so that ten thousand calls that fail together do not triple the load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_ROUNDING: Final = 1e-9
"""Tolerance for binary fractions: ten tenths must count as one."""


class RetryBudget:
    """The retry budget that all calls of a client share.

    A retry costs one, a success refunds a tenth, and a first attempt is free. Since a quiet client has few successes,
    the budget also recovers with time, up to a minimum. Within any time there are thus at most `capacity + refund *
    successes + per_second * seconds` retries.
    """

    __slots__ = ("_available", "_capacity", "_clock", "_minimum", "_per_second", "_refund", "_settled_at")

    def __init__(
        self,
        *,
        capacity: float = 100.0,
        refund: float = 0.1,
        minimum: float = 10.0,
        per_second: float = 0.5,
        clock: Callable[[], float],
    ) -> None:
        """Create a full budget.

        Args:
            capacity: Maximum number of retries in the budget.
            refund: Amount that a success refunds.
            minimum: Level up to which the budget recovers with time.
            per_second: Rate of this recovery.
            clock: Monotonic clock, in seconds.
        """
        self._capacity = capacity
        self._refund = refund
        self._minimum = min(minimum, capacity)
        self._per_second = per_second
        self._clock = clock
        self._available = capacity
        self._settled_at = clock()

    @property
    def available(self) -> float:
        """Number of retries allowed now. Reading changes nothing, so other threads may read it."""
        return self._at(self._clock())

    def try_spend(self) -> bool:
        """Spend one retry. Return False if the budget is used up."""
        self._settle()
        if self._available < 1.0 - _ROUNDING:
            return False
        self._available = max(self._available - 1.0, 0.0)
        return True

    def refund(self) -> None:
        """Count a success."""
        if self._available < self._capacity:
            self._settle()
            self._available = min(self._available + self._refund, self._capacity)

    def _settle(self) -> None:
        now = self._clock()
        self._available = self._at(now)
        self._settled_at = now

    def _at(self, now: float) -> float:
        if self._available >= self._minimum:
            return self._available
        gained = (now - self._settled_at) * self._per_second
        return min(self._available + gained, self._minimum)
