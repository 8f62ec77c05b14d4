"""Times as integers: microseconds since 1970, as in rows and gaps."""

from __future__ import annotations

import time
from typing import Final

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND


def read_clock() -> int:
    """Return the time of this machine."""
    return round(time.time() * SECOND)
