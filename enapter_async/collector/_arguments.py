"""Validation of the arguments that a collector and a repair have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from enapter_async._arguments import read_number, refuse_argument, require_instance
from enapter_async._duration import to_timedelta
from enapter_async.collector.selection import Selection

_DAY: Final = 86_400.0


def require_interval(value: float | timedelta) -> float:
    """Return the time between two polls in seconds.

    Raises:
        InvalidArgumentError: It is not between 0 and a day.
    """
    seconds = to_timedelta(value, "interval").total_seconds()
    if 0 < seconds < _DAY:
        return seconds
    raise refuse_argument("interval", "must be seconds between 0 and a day", value)


def require_seconds(value: float, argument: str, *, zero: bool = False) -> float:
    """Return a positive number of seconds, which may be infinite, or also 0.

    Raises:
        InvalidArgumentError: It is not.
    """
    seconds = read_number(value)
    if seconds is not None and (seconds > 0 or (zero and seconds == 0)):
        return seconds
    least = "a number of seconds, at least 0" if zero else "a positive number of seconds"
    raise refuse_argument(argument, f"must be {least}", value)


def require_selection(value: Selection | None) -> Selection:
    """Return a selection. The default is all numeric telemetry of all devices.

    Raises:
        InvalidArgumentError: It is something else.
    """
    return Selection() if value is None else require_instance(value, Selection, "selection")
