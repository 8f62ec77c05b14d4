"""Conversion of durations from callers and from the server."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

from enapter_async._arguments import read_number, refuse_argument

_DURATION: Final = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LONGEST: Final = 100
"""Characters of a duration. Go writes at most 25, and a text of megabytes would take seconds to parse."""
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, what Go writes
    "μs": 1_000,  # U+03BC, which Go also reads
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_duration(text: str) -> timedelta:
    """Parse a duration in the format of Go: `1h0m0s`, `3600s`, `500ms`, `2m30s`, `1.5h`.

    Args:
        text: Numbers with units h, m, s, ms, us or ns. Fractions of a microsecond are truncated.

    Raises:
        ValueError: The text is not a duration, or is negative, which no field of the API allows.
    """
    if text == "0":
        return timedelta(0)
    parts = _DURATION.findall(text) if len(text) <= _LONGEST else []
    if not parts or "".join(parts) != text:
        raise ValueError("expected a duration such as 2m30s")
    nanoseconds = 0
    for part in parts:
        number = part.rstrip("nuµμmsh")
        scale = _NANOSECONDS[part[len(number) :]]
        whole, _, fraction = number.partition(".")
        nanoseconds += int(whole or "0") * scale
        if fraction:
            nanoseconds += int(fraction) * scale // 10 ** len(fraction)
    try:
        return timedelta(microseconds=nanoseconds // 1_000)
    except OverflowError:
        raise ValueError("the duration is too long") from None


def to_timedelta(value: object, argument: str) -> timedelta:
    """Convert a duration argument to a timedelta.

    Raises:
        InvalidArgumentError: The value is not a duration, or is negative, not finite or too long.
    """
    if isinstance(value, timedelta):
        duration = value
    elif (seconds := read_number(value)) is None:
        raise refuse_argument(argument, "must be a timedelta or a number of seconds", value)
    elif isinstance(seconds, float) and not math.isfinite(seconds):
        raise refuse_argument(argument, "must be finite", value)
    else:
        try:
            duration = timedelta(seconds=seconds)
        except OverflowError:
            raise refuse_argument(argument, "must be shorter than 999,999,999 days", value) from None
        if seconds and not duration:
            raise refuse_argument(argument, "must be 0 or at least a microsecond", value)
    if duration < timedelta(0):
        raise refuse_argument(argument, "must not be negative", value)
    return duration


def to_positive_timedelta(value: object, argument: str) -> timedelta:
    """Convert a duration argument that must not be 0 to a timedelta.

    Raises:
        InvalidArgumentError: The value is not a positive duration.
    """
    duration = to_timedelta(value, argument)
    if not duration:
        raise refuse_argument(argument, "must be positive", value)
    return duration


def to_whole_seconds(value: object, argument: str) -> timedelta:
    """Convert a duration argument of one or more whole seconds to a timedelta.

    Raises:
        InvalidArgumentError: The value is not such a duration.
    """
    duration = to_positive_timedelta(value, argument)
    if duration.microseconds:
        raise refuse_argument(argument, "must be a whole number of seconds", value)
    return duration
