"""Growing delays between retries of background work."""

from __future__ import annotations

from typing import Final

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0


def next_pause(pause: float) -> float:
    """Return the delay after the next failure, in seconds."""
    return min(2 * pause, LONGEST_PAUSE)
