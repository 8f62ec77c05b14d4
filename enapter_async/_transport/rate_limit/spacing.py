"""Times at which requests may be sent at a given rate: a leaky bucket measured in time (GCRA).

It has no clock: callers pass the time.
"""

from __future__ import annotations

import math
from typing import Final

ROUNDING: Final = 1e-6
"""Rounding error of sums of intervals, in seconds."""


class Spacing:
    """Spaces requests by an interval. A tolerance sets how many may be sent at once.

    Attributes:
        ready_at: Earliest time of the next reservation; minus infinity if it is allowed at any time.
        rate: Requests per second; None without a limit.
        interval: Seconds per request.
        held_until: Time before which no request may be sent, at any rate.
    """

    __slots__ = ("_due", "_full_at", "_tolerance", "held_until", "interval", "rate", "ready_at")

    def __init__(self) -> None:
        self.rate: float | None = None
        self.interval = 0.0
        self.held_until = -math.inf
        self.ready_at = -math.inf
        self._tolerance = 0.0
        # When the next request would be due at exact intervals. It may be sent `tolerance` earlier.
        self._due = -math.inf
        self._full_at = -math.inf  # when a reservation last found the bucket full

    def reserve(self, now: float) -> bool:
        """Reserve a request. Only valid from `ready_at` on. Return whether it was the last one for now."""
        last = now + self._tolerance - self._due < self.interval
        if now > self._due:
            self._due = self._full_at = now
        self._due += self.interval
        self._set_ready()
        return last

    def give_back(self, reserved_at: float) -> None:
        """Undo an unused reservation. This has no effect if the bucket was full in the meantime."""
        if reserved_at >= self._full_at:
            self._due -= self.interval
            self._set_ready()

    def set_rate(self, rate: float, tolerance: float) -> None:
        """Change the rate. The requests saved up stay the same.

        Args:
            rate: Requests per second.
            tolerance: Seconds' worth of requests that may be sent at once, in addition to one.
        """
        self._due += tolerance - self._tolerance
        self._tolerance = tolerance
        self.rate = rate
        self.interval = 1.0 / rate
        self._set_ready()

    def clear_rate(self) -> None:
        """Remove the limit."""
        self.rate = None
        self.interval = self._tolerance = 0.0
        self._due = -math.inf
        self._set_ready()

    def hold(self, until: float) -> None:
        """Hold all requests until a time. Then continue with one request, not with all saved-up ones."""
        self.held_until = max(self.held_until, until)
        self.take_savings(until)

    def take_savings(self, now: float) -> None:
        """Allow one request at `now`, and later ones at their interval."""
        self._due = max(self._due, now + self._tolerance)
        self._set_ready()

    def _set_ready(self) -> None:
        self.ready_at = max(self.held_until, self._due - self._tolerance - ROUNDING)
