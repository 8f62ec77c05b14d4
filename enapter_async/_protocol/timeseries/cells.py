"""Conversion of the cells of a time series from text to values, a column at a time.

The grammar is the same for both readers, and stricter than Python's (`1_000` or Arabic digits are not accepted). An
empty cell is None. Blanks around a number are ignored. `nan`, `inf` and `infinity`, with or without a sign and in any
case, are floats, not None. A number beyond the range of a double is infinite.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, cast

from enapter_async.models.timeseries import DataType, TimeseriesValue

Values: TypeAlias = list[TimeseriesValue]
Converter: TypeAlias = Callable[[Sequence[str]], Values]

_INTEGER: Final = b"0123456789+- \t"
_FLOAT: Final = _INTEGER + b".eEinfatyINFATY"
_PLAIN: Final = b"0123456789.,+-eE\r\n"

_BOOLEANS: Final[dict[str, TimeseriesValue]] = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "": None,
}


def is_plain(block: bytes) -> bool:
    """Whether a block contains only characters of plain numbers. The check takes a nanosecond per byte."""
    return not block.translate(None, _PLAIN)


def _spelled_with(cells: Sequence[str], characters: bytes) -> Sequence[str]:
    if strange := "".join(cells).encode().translate(None, characters):
        raise ValueError(f"characters that are not part of a number: {strange[:20]!r}")
    return cells


def plain_integers(cells: Sequence[str]) -> Values:
    """Convert cells with only plain characters to int."""
    try:
        return list(map(int, cells))
    except ValueError:
        return [int(cell) if cell else None for cell in cells]


def plain_floats(cells: Sequence[str]) -> Values:
    """Convert cells with only plain characters to float."""
    try:
        return list(map(float, cells))
    except ValueError:
        return [float(cell) if cell else None for cell in cells]


def integers(cells: Sequence[str]) -> Values:
    """Convert cells to int."""
    return plain_integers(_spelled_with(cells, _INTEGER))


def floats(cells: Sequence[str]) -> Values:
    """Convert cells to float."""
    return plain_floats(_spelled_with(cells, _FLOAT))


def booleans(cells: Sequence[str]) -> Values:
    """Convert `true`, `false`, `1` and `0`, in any case, to bool."""
    try:
        return list(map(_BOOLEANS.__getitem__, cells))
    except KeyError:
        pass
    try:
        return [_BOOLEANS[cell.lower()] for cell in cells]
    except KeyError as error:
        raise ValueError(f"neither true nor false: {error}") from None


def strings(cells: Sequence[str]) -> Values:
    """Keep cells as text. Equal texts of a block share their memory."""
    unique: dict[str, TimeseriesValue] = {cell: cell or None for cell in dict.fromkeys(cells)}
    return list(map(unique.__getitem__, cells))


def string_array(cell: str) -> list[str] | None:
    """Convert a JSON array of strings, or `null`."""
    if not cell:
        return None
    try:
        array = json.loads(cell)
    except RecursionError:
        raise ValueError("not a JSON array") from None
    if array is None:
        return None
    if not isinstance(array, list):
        raise ValueError("not a JSON array")  # noqa: TRY004 one kind of error for every cell
    texts = cast("list[object]", array)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("not an array of strings")
    strings_only = cast("list[str]", texts)
    "".join(strings_only).encode()  # an escaped lone surrogate is not valid text (UnicodeEncodeError)
    return strings_only


def string_arrays(cells: Sequence[str]) -> Values:
    """Convert cells to lists of strings. Each row gets a separate list."""
    # Alerts often stay the same for hours: read equal texts of a block once.
    known = {cell: string_array(cell) for cell in dict.fromkeys(cells)}
    return [None if (array := known[cell]) is None else array.copy() for cell in cells]


CONVERTERS: Final[Mapping[DataType, Converter]] = {
    DataType.FLOAT: floats,
    DataType.INTEGER: integers,
    DataType.BOOLEAN: booleans,
    DataType.STRING: strings,
    DataType.STRING_ARRAY: string_arrays,
}
"""Converters by type. All other types are text."""

PLAIN_CONVERTERS: Final[Mapping[DataType, Converter]] = {
    **CONVERTERS,
    DataType.FLOAT: plain_floats,
    DataType.INTEGER: plain_integers,
}
"""Converters by type for a block that `is_plain`."""


def converter(data_type: DataType, *, plain: bool = False) -> Converter:
    """Return the converter for the cells of a column."""
    return (PLAIN_CONVERTERS if plain else CONVERTERS).get(data_type, strings)
