"""Rows as lines of text: CSV and JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from enapter_async.rows.row import COLUMNS, Row, format_time, parse_time

K = TypeVar("K", bound="int | str")

_QUOTED: Final = re.compile(r'[",\r\n]')
_MOST_REMEMBERED: Final = 1 << 16


class _Remembered(dict[K, str]):
    """Caches formatted names and times, which are the same in many rows.

    A lookup takes half as long as with `functools.lru_cache`, and each row needs four.
    """

    def __init__(self, write: Callable[[K], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, key: K) -> str:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        written = self[key] = self._write(key)
        return written


class LineFormat(Protocol):
    """Writes rows as text.

    Attributes:
        header: First line with its line end, or empty if the format has no header.
    """

    header: bytes

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Return the lines of rows, each with its line end."""
        ...


class ReadableLineFormat(LineFormat, Protocol):
    """Writes rows as text, and reads them back."""

    def decode(self, record: str) -> Row | None:
        """Return the row of a record, with or without its line end. Return None if the record has another format."""
        ...


class _Csv:
    """CSV as in RFC 4180, with line feeds. A missing text is an empty cell, and an empty text is `""`."""

    header = (",".join(COLUMNS) + "\n").encode()

    def __init__(self) -> None:
        self._names = _Remembered(_quote)
        self._times = _Remembered(format_time)

    def encode(self, rows: Iterable[Row]) -> bytes:
        names, times = self._names, self._times
        return "".join(
            [
                f"{names[device_id]},{names[attribute]},{times[time]},{'' if value is None else repr(value)},"
                f"{'' if text is None else _quote(text)},{'' if unit is None else names[unit]}\n"
                for device_id, attribute, time, value, text, unit in rows
            ]
        ).encode()

    def decode(self, record: str) -> Row | None:
        try:
            (cells,) = csv.reader([record], strict=True)
            device_id, attribute, time, value, text, unit = cells
            number = float(value) if value else None
            moment = parse_time(time)
        except (ValueError, csv.Error):
            return None
        if not text and number is None:
            # The csv module does not distinguish an empty cell from a quoted one.
            empty: Row = (device_id, attribute, moment, None, "", unit or None)
            if self.encode([empty]).decode().rstrip("\n") == record.rstrip("\r\n"):
                return empty
        return device_id, attribute, moment, number, text or None, unit or None


def _quote(text: str) -> str:
    if not text or _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


class _JsonLines:
    """A JSON object for each row, with the columns as keys."""

    header = b""

    def __init__(self) -> None:
        self._names = _Remembered(_write_string)
        self._times = _Remembered(_write_time)

    def encode(self, rows: Iterable[Row]) -> bytes:
        names, times = self._names, self._times
        return "".join(
            [
                f'{{"device_id":{names[device_id]},"attribute":{names[attribute]},"time":{times[time]},'
                f'"value":{"null" if value is None else repr(value)},'
                f'"text":{"null" if text is None else _write_string(text)},'
                f'"unit":{"null" if unit is None else names[unit]}}}\n'
                for device_id, attribute, time, value, text, unit in rows
            ]
        ).encode()

    def decode(self, record: str) -> Row | None:
        try:
            found = json.loads(record)
            device_id, attribute, time, value, text, unit = (found[name] for name in COLUMNS)
            moment = parse_time(time)
            number = None if value is None else float(value)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        texts = (device_id, attribute, text, unit)
        if not all(one is None or isinstance(one, str) for one in texts) or device_id is None or attribute is None:
            return None
        return (device_id, attribute, moment, number, text, unit)


def _write_time(time: int) -> str:
    return f'"{format_time(time)}"'


def _write_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


CSV: Final[ReadableLineFormat] = _Csv()
"""Rows as CSV: RFC 4180 with line feeds, under one header line. A missing text is an empty cell, an empty one `""`."""
JSON_LINES: Final[ReadableLineFormat] = _JsonLines()
"""Rows as JSON lines: an object for each row, with the names in `COLUMNS` as keys."""
