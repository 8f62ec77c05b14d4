"""Schedule of polling, aligned to the wall clock so that delays do not add up."""

from __future__ import annotations

import math
import random
from typing import Final

_LONGEST_PERIOD: Final = 1.0
"""Telemetry has whole Unix seconds (reference.md, Timestamps), so values of each second arrive near its start."""


class Schedule:
    """Ticks one interval apart. It has no clock; callers pass the time.

    The first tick is within a second, near the middle of a second (or of a shorter interval). There a poll can be
    early or late by a third of a second and still sees the value of each second exactly once. The exact position is
    random, so that many programs do not poll at the same moment.
    """

    __slots__ = ("_anchor", "_count", "_interval")

    def __init__(self, interval: float, now: float, chance: random.Random) -> None:
        """Create the schedule.

        Args:
            interval: Seconds between two ticks.
            now: Current Unix seconds.
            chance: Chooses the position within the second.
        """
        period = min(interval, _LONGEST_PERIOD)
        anchor = (math.floor(now / period) + chance.uniform(0.4, 0.6)) * period
        self._interval = interval
        self._anchor = anchor if anchor >= now else anchor + period
        self._count = 0

    @property
    def due(self) -> float:
        """Time of the next tick, in Unix seconds."""
        return self._anchor + self._count * self._interval

    def take(self, now: float) -> tuple[float, int] | None:
        """Take the tick that is due, if any.

        Args:
            now: Current Unix seconds.

        Returns:
            When the tick was due, and how many earlier ticks were missed. None if no tick is due.
        """
        due = self.due
        if now < due:
            if due - now > 1.5 * self._interval + _LONGEST_PERIOD:
                # The clock was set back: continue from the new time instead of waiting for the old one.
                self._count = math.ceil((now - self._anchor) / self._interval)
            return None
        passed = math.floor((now - due) / self._interval)
        self._count += passed + 1
        return due + passed * self._interval, passed
