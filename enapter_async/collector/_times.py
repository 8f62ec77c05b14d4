"""Times as integers: microseconds since 1970, as in rows and gaps."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
EARLIEST: Final = 1_420_070_400 * SECOND
"""2015-01-01. A clock with an earlier time is not valid."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_clock() -> int:
    """Return the time of this machine."""
    return round(time.time() * SECOND)


def to_datetime(moment: int) -> datetime:
    """Return a time as a datetime. On Windows, `datetime.fromtimestamp` has no times before 1970.

    Raises:
        OverflowError: The year is not one of 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=moment)
