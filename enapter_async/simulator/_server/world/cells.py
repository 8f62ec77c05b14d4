"""Convert levels to CSV cells. Cells are looked up, because formatting a number takes three times as long."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from .signals import Signal

Writer = Callable[[Sequence[int]], list[str]]
"""Turns levels into cells."""

_LONGEST_TABLE = 1 << 18  # what the widest range of `signals` needs
_LARGEST_FLOAT = 1e308
_SPECIAL = re.compile(r'[",\r\n]')


@functools.lru_cache(maxsize=256)
def writer(profile: Signal, data_type: str, scale: int = 1) -> Writer:
    """Return a function that writes the cells of a signal.

    Args:
        profile: The signal.
        data_type: Type of the column; averages of integers are floats.
        scale: Factor by which the signal's levels were multiplied.
    """
    if profile.words:
        return functools.partial(_look_up, [_word(profile.value(level)) for level in range(len(profile.words))])
    write = _number(data_type, 10**profile.digits * scale)
    lowest, highest = (scale * level for level in profile.range)
    if highest - min(lowest, 0) >= _LONGEST_TABLE or profile.shape == "counter":
        return lambda levels: list(map(write, levels))
    return functools.partial(_look_up, _table(data_type, 10**profile.digits * scale, lowest, highest))


def stated_cell(value: Any, data_type: str) -> str:
    """Write the cell of a value that was set, or none if its type is not that of the column."""
    match data_type, value:
        case "boolean", bool():
            return _word(value)
        case "integer", int() if not isinstance(value, bool):
            return str(value)
        case "float", int() | float() if not isinstance(value, bool):
            return repr(float(value)) if isinstance(value, float) or abs(value) < _LARGEST_FLOAT else ""
        case "string_array", list() if all(isinstance(item, str) for item in _items(value)):
            text = json.dumps(value, ensure_ascii=False)
        case "string", str():
            text = value
        case "string", _ if value is not None:
            text = json.dumps(value, ensure_ascii=False)
        case _:
            return ""
    return quote(text.encode("utf-8", "replace").decode())  # half a surrogate pair is not UTF-8


def _items(value: Any) -> list[Any]:
    return list(value)


def quote(text: str) -> str:
    """Write one CSV cell."""
    if text and not _SPECIAL.search(text):
        return text
    buffer = io.StringIO()
    # The writer quotes line breaks only if they are part of its line ending.
    csv.writer(buffer, lineterminator="\r\n").writerow([text])
    return buffer.getvalue().removesuffix("\r\n")


def _look_up(table: list[str], levels: Sequence[int]) -> list[str]:
    if len(levels) < 2:  # of one, itemgetter makes no tuple
        return [table[level] for level in levels]
    return list(itemgetter(*levels)(table))


@functools.lru_cache(maxsize=64)
def _table(data_type: str, scale: int, lowest: int, highest: int) -> list[str]:
    """List the cells of all levels; the negative ones come last, where negative indices find them."""
    return list(map(_number(data_type, scale), [*range(highest + 1), *range(lowest, 0)]))


def _number(data_type: str, scale: int) -> Callable[[int], str]:
    return str if data_type == "integer" else lambda level: repr(level / scale)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value))
