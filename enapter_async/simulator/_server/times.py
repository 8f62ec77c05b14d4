"""RFC 3339 times and Go-style durations (reference.md, Timestamps and durations)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_SECONDS = 1e11


def format_time(seconds: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> float:
    """Read RFC 3339 with an explicit offset as Unix seconds.

    Raises:
        ValueError: It is not such a time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("expected an RFC 3339 time with an offset, such as 2026-03-14T10:00:00Z")
    date, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset
    moment = datetime.fromisoformat(f"{date}T{clock}{offset}")
    seconds = (moment - _EPOCH).total_seconds()
    return seconds + (float(f"0.{fraction}") if fraction else 0.0)


def parse_duration(text: str) -> float:
    """Read a Go-style duration (`1h30m`, `500ms`) as seconds.

    Raises:
        ValueError: It is not such a duration.
    """
    if text == "0":
        return 0.0
    position = 0
    seconds = 0.0
    while match := _DURATION_PART.match(text, position):
        seconds += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if position == 0 or position != len(text):
        raise ValueError("expected a duration such as 30s, 2m30s, 1h or 500ms")
    if seconds > _MOST_SECONDS:
        raise ValueError("the duration is too long")
    return seconds


def format_duration(seconds: int) -> str:
    """Write whole seconds in the shortest single unit, as column labels do."""
    if seconds and seconds % 3600 == 0:
        return f"{seconds // 3600}h"
    if seconds and seconds % 60 == 0:
        return f"{seconds // 60}m"
    return f"{seconds}s"
