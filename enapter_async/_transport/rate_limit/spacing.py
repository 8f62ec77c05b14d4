"""When the next request may go at a given rate: a leaky bucket counted in time (GCRA).

It has no clock; callers pass the time.
"""

from __future__ import annotations

import math
from typing import Final

ROUNDING: Final = 1e-6
"""Seconds by which sums of intervals may err."""


class Spacing:
    """Requests an interval apart, with as much allowed at once as a tolerance says.

    Attributes:
        ready_at: Earliest time of the next reservation; minus infinity when nothing holds it back.
        rate: Requests per second; None without a limit.
        interval: Seconds per request.
        held_until: Before then nothing goes, whatever the rate.
    """

    __slots__ = ("_due", "_full_at", "_tolerance", "held_until", "interval", "rate", "ready_at")

    def __init__(self) -> None:
        self.rate: float | None = None
        self.interval = 0.0
        self.held_until = -math.inf
        self.ready_at = -math.inf
        self._tolerance = 0.0
        # When the next request were due if all went exactly an interval apart; it may go `tolerance` earlier.
        self._due = -math.inf
        self._full_at = -math.inf  # when a reservation last found as much saved up as there can be

    def reserve(self, now: float) -> bool:
        """Take a place; `ready_at` must have come. Return whether it was the last one for now."""
        last = now + self._tolerance - self._due < self.interval
        if now > self._due:
            self._due = self._full_at = now
        self._due += self.interval
        self._set_ready()
        return last

    def give_back(self, reserved_at: float) -> None:
        """Undo a reservation that was not used; in vain when nothing more could be saved up since."""
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
        """Go on without a limit."""
        self.rate = None
        self.interval = self._tolerance = 0.0
        self._due = -math.inf
        self._set_ready()

    def hold(self, until: float) -> None:
        """Hold all requests until a time. Then continue with one request, not with all that were saved up."""
        self.held_until = max(self.held_until, until)
        self.take_savings(until)

    def take_savings(self, now: float) -> None:
        """Leave one request for `now`, and those after it at their interval."""
        self._due = max(self._due, now + self._tolerance)
        self._set_ready()

    def _set_ready(self) -> None:
        self.ready_at = max(self.held_until, self._due - self._tolerance - ROUNDING)
