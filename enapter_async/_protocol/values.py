"""Conversion of times and durations from and to the wire (reference.md, section 5).

Readers raise ValueError, and the converter adds the position. Writers raise `InvalidArgumentError` with the name of the
argument.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from enapter_async._arguments import read_number, refuse_argument, require_aware_time
from enapter_async._duration import parse_duration, to_timedelta
from enapter_async.models.common import Duration

__all__ = [
    "MOMENTS",
    "format_duration",
    "format_time",
    "from_unix_seconds",
    "parse_duration",
    "parse_time",
    "require_timeout",
    "to_timedelta",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]+)?", re.ASCII)
_LONGEST_TIME: Final = 1_000
_MOST_MOMENTS: Final = 4_096
_LEAP_SECOND: Final = re.compile(r"(:[0-5][0-9]):60(?=[.,Z+-])", re.ASCII)


def parse_time(value: object) -> datetime:
    """Parse a time from the server. Return it in UTC.

    Args:
        value: RFC 3339 text with `Z` or an offset and any number of fraction digits (truncated to microseconds), or
            Unix seconds as a number or as text.

    Raises:
        ValueError: The value is neither, or has no offset and is therefore ambiguous.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return _parse_rare_time(value)
        if moment.tzinfo is UTC:
            return moment
        return _parse_rare_time(value) if moment.tzinfo is None else _to_utc(moment)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return from_unix_seconds(value)
    raise ValueError("expected a time")


def _parse_rare_time(text: str) -> datetime:
    if len(text) > _LONGEST_TIME:  # searching megabytes for leap seconds takes many seconds
        raise ValueError("expected a time")
    if _NUMBER.fullmatch(text):
        return from_unix_seconds(float(text) if "." in text else int(text))
    # RFC 3339 allows lower-case letters and leap seconds, datetime does not.
    regular, leaps = _LEAP_SECOND.subn(r"\1:59", text.upper())
    moment = datetime.fromisoformat(regular)
    if moment.tzinfo is None:
        raise ValueError("expected a time with an offset")
    return _to_utc(moment, timedelta(seconds=leaps))


def _to_utc(moment: datetime, later: timedelta = timedelta(0)) -> datetime:
    try:
        return moment.astimezone(UTC) + later
    except OverflowError as error:
        raise ValueError(str(error)) from None


MOMENTS: Final[dict[int, datetime]] = {}
"""The latest results of `from_unix_seconds` for whole seconds. Many points share a second.

Look up values of type `int` only: for Python, 1.0 and True are the same key as 1.
"""


def from_unix_seconds(seconds: float) -> datetime:
    """Convert Unix seconds to a time in UTC.

    Raises:
        ValueError: The number is not finite, or outside the years 1 to 9999.
    """
    # Not fromtimestamp(), which rejects negative times on some platforms.
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise ValueError("expected Unix seconds within the years 1 to 9999") from None
    if type(seconds) is int:
        if len(MOMENTS) >= _MOST_MOMENTS:
            MOMENTS.clear()
        MOMENTS[seconds] = moment
    return moment


def format_time(value: datetime, argument: str) -> str:
    """Format a time for the server: RFC 3339 in UTC with `Z`.

    Args:
        value: An aware datetime.
        argument: Name of the caller's argument, for the error.

    Raises:
        InvalidArgumentError: The value is not a datetime, or is a naive one.
    """
    try:
        moment = require_aware_time(value, argument).astimezone(UTC)
    except OverflowError:
        moment = None
    if moment is None:
        raise refuse_argument(argument, "must be within the years 1 to 9999 in UTC", value)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def format_duration(value: Duration, argument: str) -> str:
    """Format a duration in Go's notation, without trailing zero units: `1h`, `2m30s`, `1h0m5s`, `500ms`.

    Args:
        value: A timedelta or seconds, in whole milliseconds, the finest documented unit of the API.
        argument: Name of the caller's argument, for the error.

    Raises:
        InvalidArgumentError: The value is not a duration, negative, not finite, too long, or finer than a millisecond.
    """
    milliseconds = _milliseconds(value, argument)
    if milliseconds % 1_000:
        return f"{milliseconds}ms"
    minutes, seconds = divmod(milliseconds // 1_000, 60)
    hours, minutes = divmod(minutes, 60)
    if not seconds and (hours or minutes):
        return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _milliseconds(value: Duration, argument: str) -> int:
    milliseconds, rest = divmod(to_timedelta(value, argument), _MILLISECOND)
    if rest:
        raise refuse_argument(argument, "must be a whole number of milliseconds", value)
    return milliseconds


def require_timeout(timeout: object) -> float:
    """Return a per-call timeout in seconds.

    Raises:
        InvalidArgumentError: The timeout is not a positive finite number.
    """
    seconds = read_number(timeout)
    if seconds is not None and 0 < seconds <= sys.float_info.max:
        return float(seconds)
    raise refuse_argument("timeout", "must be a positive number of seconds", timeout)
