"""The rate limit: a token bucket for each API token."""

from __future__ import annotations

import math
from collections.abc import Callable


class TokenBucket:
    """A bucket that fills at a steady rate.

    Args:
        rate: Requests per second.
        burst: Number of requests that a full bucket allows.
        clock: Seconds that only grow.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        if not rate > 0 or not math.isfinite(rate):
            raise ValueError("rate must be a positive number of requests per second")
        if not burst >= 1:
            raise ValueError("burst must be at least 1")
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._level = burst
        self._filled_at = clock()

    def take(self) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there will be one."""
        now = self._clock()
        self._level = min(self.burst, self._level + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        return (1 - self._level) / self.rate


class RateLimiter:
    """Buckets by API token, whose common rate can be changed while running.

    Args:
        rate: Requests per second of one token, or None for no limit.
        burst: Size of each bucket, by default the requests of one second, at least 1.
        clock: Seconds that only grow.
    """

    def __init__(self, rate: float | None, burst: float | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self.rate = rate
        self.burst = burst
        if rate is not None:
            self._bucket("")

    def change(self, rate: float | None, burst: float | None = None) -> None:
        """Set another rate from now on, with full buckets."""
        self.rate, self.burst = rate, burst
        self._buckets.clear()

    def wait(self, token: str) -> float:
        """Take a token's turn: 0.0 when it may pass, else the seconds until it might."""
        return 0.0 if self.rate is None else self._bucket(token).take()

    def _bucket(self, token: str) -> TokenBucket:
        bucket = self._buckets.get(token)
        if bucket is None:
            assert self.rate is not None  # noqa: S101 - narrows for the type checkers
            burst = self.burst if self.burst is not None else max(1.0, self.rate)
            bucket = self._buckets[token] = TokenBucket(self.rate, burst, self._clock)
        return bucket


def retry_after(wait: float) -> str:
    """Write `Retry-After`: whole seconds, rounded up, as RFC 9110 has no fractions and 0 would invite a storm."""
    return str(max(1, math.ceil(wait)))
