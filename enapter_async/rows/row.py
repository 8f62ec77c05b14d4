"""Rows, and the conversion of values and times for them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from enapter_async.models.common import JSON

Row: TypeAlias = tuple[str, str, int, float | None, str | None, str | None]
"""device_id, attribute, time (microseconds since 1970, UTC), value, text, unit.

A number, or a boolean as 1 or 0, is in `value`. Anything else is in `text`. At most one of them is set; both are None
if the device reported that there is no value.
"""

COLUMNS: Final = ("device_id", "attribute", "time", "value", "text", "unit")
"""Names of the fields of a row, in every store and file."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""Names of numbers that JSON does not have, as in the JSON mapping of protobuf."""


def make_row(device_id: str, attribute: str, time: datetime | int, value: JSON, unit: str | None = None) -> Row:
    """Create the row of one value.

    Args:
        device_id: ID of the device.
        attribute: Name of the telemetry attribute.
        time: An aware datetime, or microseconds since 1970-01-01T00:00:00Z.
        value: Value that the device reported.
        unit: Unit of the value, as in the manifest.

    Raises:
        ValueError: The value is nested too deeply to be written as JSON.
    """
    moment = time if isinstance(time, int) else to_microseconds(time)
    number, text = split_value(value)
    return (
        clean_text(device_id),
        clean_text(attribute),
        moment,
        number,
        text,
        clean_text(unit) if unit else None,
    )


def split_value(value: JSON) -> tuple[float | None, str | None]:
    """Return a value as a number or as text, and None for the other.

    Numbers become floats, and booleans 1 or 0. Texts stay unchanged, and lists and objects become compact JSON. NaN
    and the infinities become the texts `NaN`, `Infinity` and `-Infinity`. An integer too large for a float becomes
    its digits.

    Raises:
        ValueError: The value is nested too deeply to be written as JSON.
    """
    if value is None:
        return None, None
    if isinstance(value, float):
        return (float(value), None) if math.isfinite(value) else (None, _NOT_FINITE[repr(float(value))])
    if isinstance(value, int):
        try:
            return float(value), None
        except OverflowError:
            return None, str(int(value))
    if isinstance(value, str):
        return None, clean_text(value)
    return None, clean_text(_to_json(value))


def _to_json(value: JSON) -> str:
    try:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError:
            return json.dumps(_with_names(value), ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the value is nested too deeply to be written as JSON") from None


def _with_names(value: JSON) -> JSON:
    """Return JSON in which NaN and the infinities are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE[repr(value)]
    if isinstance(value, list):
        return [_with_names(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_names(item) for key, item in value.items()}
    return value


def clean_text(text: str) -> str:
    """Return text that every store can encode. Lone surrogates become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def to_microseconds(time: datetime) -> int:
    """Return an aware datetime as microseconds since 1970-01-01T00:00:00Z."""
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=4_096)  # the same times recur, and a lookup is ten times as fast as formatting
def format_time(microseconds: int) -> str:
    """Return a time such as `2026-03-14T09:26:53Z`, with six more digits for a fraction of a second.

    Raises:
        OverflowError: The year is not one of 1 to 9999.
    """
    return (_EPOCH + timedelta(0, 0, microseconds)).replace(tzinfo=None).isoformat() + "Z"


def parse_time(text: str) -> int:
    """Return the microseconds since 1970 of a text written by `format_time`. Other time zones and precisions work too.

    Raises:
        ValueError: The text is not a time, or has no time zone.
    """
    time = datetime.fromisoformat(text)
    if time.utcoffset() is None:
        raise ValueError(f"{text!r} has no time zone")
    return to_microseconds(time)
