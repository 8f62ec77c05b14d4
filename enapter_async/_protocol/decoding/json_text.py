"""Parsing of JSON with the standard library, or faster with orjson (extra `speed`), with the same results."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

try:
    import orjson as _orjson
except ImportError:  # the extra is not installed
    _orjson = None  # type: ignore[assignment]

# orjson reads an integer of more than 64 bits as a float. Such integers have at least 19 digits. Looking for so many
# digits this way takes a fifth of the parsing time, a regular expression nine times the parsing time.
_DIGITS: Final = bytes(ord("0") if chr(byte).isascii() and chr(byte).isdigit() else ord("x") for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19

_SPACE: Final = " \t\r\n"
_raw_decode: Final = json.JSONDecoder().raw_decode


MAX_VALUES: Final = 256 * 1024
"""Maximum number of values in a text: enough for a page of 50 devices with manifests of 5,000 values each."""


def has_more_values(body: bytes, most: int) -> bool:
    """Whether a JSON text may contain more than `MAX_VALUES` values, counted in its bytes before parsing.

    A value costs a hundred bytes of memory and up to a microsecond, even if it is written in few bytes: 60 MiB of
    `[],` took 10 s and 1.8 GiB. Commas and brackets within strings count too. Short texts are not counted, since each
    value takes at least two bytes.
    """
    return len(body) > 2 * most and body.count(b",") + body.count(b"[") + body.count(b"{") > most


def standard_loads(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is not JSON, or not UTF-8.
        RecursionError: The JSON is nested too deeply.
    """
    if body[:1] == b"{" and body[1:2] != b"\0":  # UTF-8: finding that out costs json.loads a third of a small response
        text = body.decode("utf-8", "surrogatepass")
        try:
            value, end = _raw_decode(text)
        except ValueError:
            pass  # json.loads says why
        else:
            if not text[end:].strip(_SPACE):
                return value
    return json.loads(body)


def fast_loads(body: bytes) -> Any:
    """Parse like `standard_loads`, but faster. Texts that orjson rejects or would change are left to that function."""
    if _orjson is None or _LONG_NUMBER in body.translate(_DIGITS):
        return json.loads(body)
    try:
        return _orjson.loads(body)
    except _orjson.JSONDecodeError:
        return json.loads(body)


loads: Final[Callable[[bytes], Any]] = standard_loads if _orjson is None else fast_loads
