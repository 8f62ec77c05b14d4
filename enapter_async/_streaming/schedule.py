"""When to poll: ticks on a grid of the wall clock, so that no delay adds up."""

from __future__ import annotations

import math
import random
from typing import Final

_LONGEST_PERIOD: Final = 1.0
"""Telemetry has whole Unix seconds (reference.md, Timestamps): what happens each second happens near its border."""


class Schedule:
    """Ticks one interval apart. Pure: whoever asks brings the time.

    The first tick comes within a second, near the middle of a second (or of the interval, where that is
    shorter): there a poll may be early or late by a third of a second and still sees each second's value exactly
    once. Where exactly is left to chance, so that many programs do not ask at the same instant.
    """

    __slots__ = ("_anchor", "_count", "_interval")

    def __init__(self, interval: float, now: float, chance: random.Random) -> None:
        """Lay the grid.

        Args:
            interval: Seconds between two ticks.
            now: Unix seconds.
            chance: Chooses the place within the second.
        """
        period = min(interval, _LONGEST_PERIOD)
        anchor = (math.floor(now / period) + chance.uniform(0.4, 0.6)) * period
        self._interval = interval
        self._anchor = anchor if anchor >= now else anchor + period
        self._count = 0

    @property
    def due(self) -> float:
        """When the next tick is due, in Unix seconds."""
        return self._anchor + self._count * self._interval

    def take(self, now: float) -> tuple[float, int] | None:
        """Take the tick that is due, if one is.

        Args:
            now: Unix seconds.

        Returns:
            When it was due, and how many before it passed without being taken; None where none is due.
        """
        due = self.due
        if now < due:
            if due - now > 1.5 * self._interval + _LONGEST_PERIOD:
                # The clock was set back: go on from the new time instead of waiting for the old one.
                self._count = math.ceil((now - self._anchor) / self._interval)
            return None
        passed = math.floor((now - due) / self._interval)
        self._count += passed + 1
        return due + passed * self._interval, passed
