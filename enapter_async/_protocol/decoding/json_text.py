"""Reading JSON: the standard library's way, and faster with orjson (extra `speed`), with the same results."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

try:
    import orjson as _orjson
except ImportError:  # the extra is not installed
    _orjson = None  # type: ignore[assignment]

# orjson reads an integer of more than 64 bits as a float. None has less than 19 digits, and looking for so many
# in a row this way costs a fifth of the parsing; a regular expression costs nine times the parsing.
_DIGITS: Final = bytes(ord("0") if chr(byte).isascii() and chr(byte).isdigit() else ord("x") for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19


MAX_VALUES: Final = 256 * 1024
"""Most values of one text: a page of 50 devices has room for manifests of 5,000 values each."""


def has_more_values(body: bytes, most: int) -> bool:
    """Whether a JSON text can hold more values than that, counted over its bytes and so before any of it is built.

    A value costs a hundred bytes of memory and up to a microsecond, however few bytes write it: 60 MiB of `[],` took
    10 s and 1.8 GiB. Commas and brackets within strings count as well; texts of few bytes are not looked at.
    """
    return len(body) > most and body.count(b",") + body.count(b"[") + body.count(b"{") > most


def standard_loads(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not JSON, or not text.
        RecursionError: It is nested too deeply.
    """
    return json.loads(body)


def fast_loads(body: bytes) -> Any:
    """Return what `standard_loads` returns, sooner; what orjson refuses or would change is left to that one."""
    if _orjson is None or _LONG_NUMBER in body.translate(_DIGITS):
        return json.loads(body)
    try:
        return _orjson.loads(body)
    except _orjson.JSONDecodeError:
        return json.loads(body)


loads: Final[Callable[[bytes], Any]] = standard_loads if _orjson is None else fast_loads
