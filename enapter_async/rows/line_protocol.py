"""Rows as InfluxDB line protocol, for Telegraf, Vector and InfluxDB itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from enapter_async.rows.lines import LineFormat
from enapter_async.rows.row import Row

_MEASUREMENT: Final = "telemetry"
_NAMES: Final = 1 << 16
_SPECIAL: Final = re.compile(r"([,= ])")
_IN_TEXT: Final = re.compile(r'(["\\])')


class _LineProtocol:
    r"""`telemetry,device_id=...,attribute=...,unit=... value=1.5 1773480413000000000`: times in nanoseconds.

    The measurement has two fields, `value` (float) and `text` (string), so that no field has two types. A row without
    a value has no line, since a line needs a field.

    A tag cannot contain a line break or end with a backslash. A line break is written as the letters `\n` or `\r`, and
    a backslash at the end becomes a slash.
    """

    header = b""

    def encode(self, rows: Iterable[Row]) -> bytes:
        lines: list[str] = []
        for device_id, attribute, time, value, text, unit in rows:
            if value is not None:
                field = f"value={value!r}"
            elif text is not None:
                field = 'text="' + _IN_TEXT.sub(r"\\\1", text) + '"'
            else:
                continue
            lines.append(f"{_MEASUREMENT}{_tags(device_id, attribute, unit)} {field} {time * 1_000}\n")
        return "".join(lines).encode()


@lru_cache(_NAMES)
def _tags(device_id: str, attribute: str, unit: str | None) -> str:
    # A tag without a value is an error.
    tags = (("device_id", device_id), ("attribute", attribute), ("unit", unit))
    return "".join(f",{name}={_escape(value)}" for name, value in tags if value)


def _escape(name: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", name).replace("\n", "\\n").replace("\r", "\\r")
    # A backslash at the end would escape the next character.
    return escaped[:-1] + "/" if name.endswith("\\") else escaped


LINE_PROTOCOL: Final[LineFormat] = _LineProtocol()
"""Rows as InfluxDB line protocol. Rows with neither a number nor a text are left out, since a line needs a field."""
