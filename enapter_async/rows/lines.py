"""Rows as lines of text: CSV and JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Protocol

from enapter_async.rows.row import COLUMNS, Row, format_time, parse_time

_QUOTED: Final = re.compile(r'[",\r\n]')
_NAMES: Final = 1 << 16
"""How many different names are remembered in the form they are written in."""


class LineFormat(Protocol):
    """Writes rows as text.

    Attributes:
        header: The first line, with its end; empty where there is none.
    """

    header: bytes

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Return the lines of some rows, each with its end."""
        ...


class ReadableLineFormat(LineFormat, Protocol):
    """Writes rows as text, and reads them back."""

    def decode(self, record: str) -> Row | None:
        """Return the row of a record, given with or without its end; None if it is not one of ours."""
        ...


class _Csv:
    """CSV as RFC 4180 has it, with line feeds. No text is an empty cell, an empty text is `""`."""

    header = (",".join(COLUMNS) + "\n").encode()

    def encode(self, rows: Iterable[Row]) -> bytes:
        lines: list[str] = []
        for device_id, attribute, time, value, text, unit in rows:
            number = "" if value is None else repr(value)
            cell = "" if text is None else _quote(text)
            lines.append(
                f"{_quote_name(device_id)},{_quote_name(attribute)},{format_time(time)},{number},{cell},"
                f"{'' if unit is None else _quote_name(unit)}\n"
            )
        return "".join(lines).encode()

    def decode(self, record: str) -> Row | None:
        try:
            (cells,) = csv.reader([record], strict=True)
            device_id, attribute, time, value, text, unit = cells
            number = float(value) if value else None
            moment = parse_time(time)
        except (ValueError, csv.Error):
            return None
        if not text and number is None:
            # The csv module does not tell an empty cell from a quoted one.
            empty: Row = (device_id, attribute, moment, None, "", unit or None)
            if self.encode([empty]).decode().rstrip("\n") == record.rstrip("\r\n"):
                return empty
        return device_id, attribute, moment, number, text or None, unit or None


def _quote(text: str) -> str:
    if not text or _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


_quote_name = lru_cache(_NAMES)(_quote)


class _JsonLines:
    """A JSON object for each row, with the columns as keys."""

    header = b""

    def encode(self, rows: Iterable[Row]) -> bytes:
        lines: list[str] = []
        for device_id, attribute, time, value, text, unit in rows:
            number = "null" if value is None else repr(value)
            string = "null" if text is None else _write_string(text)
            lines.append(
                f'{{"device_id":{_write_name(device_id)},"attribute":{_write_name(attribute)},'
                f'"time":"{format_time(time)}","value":{number},"text":{string},'
                f'"unit":{"null" if unit is None else _write_name(unit)}}}\n'
            )
        return "".join(lines).encode()

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


def _write_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_write_name = lru_cache(_NAMES)(_write_string)

CSV: Final[ReadableLineFormat] = _Csv()
JSON_LINES: Final[ReadableLineFormat] = _JsonLines()
