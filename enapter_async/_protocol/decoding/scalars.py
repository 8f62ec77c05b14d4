"""Strict readers of single JSON values, as hooks of the converter.

A value of another type raises `Mismatch`. It is never converted: None does not become "None".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeAlias, cast

from enapter_async._protocol.decoding import quirks
from enapter_async._protocol.decoding.mismatch import Mismatch, expected
from enapter_async._protocol.values import MOMENTS, from_unix_seconds, parse_duration, parse_time
from enapter_async.models.common import JSON, OpenEnum

Seen: TypeAlias = dict[str, tuple[object, object]]
"""Objects that a call has read so far: JSON and model, by a key."""
Hook: TypeAlias = Callable[[Any, Any], Any]
"""Reads a value. The second argument is `Seen`; each hook already knows its type."""


def text(value: object, _: object) -> str:
    """Read text."""
    if type(value) is str:
        return value
    raise expected("text", value)


def texts(value: object, _: object) -> tuple[str, ...]:
    """Read an array of strings."""
    items = json_array(value)
    for one in items:
        if type(one) is not str:
            break
    else:
        return tuple(cast("list[str]", items))
    index = next(index for index, one in enumerate(items) if type(one) is not str)
    raise expected("text", items[index]).within(index)


def boolean(value: object, _: object) -> bool:
    """Read true or false."""
    if type(value) is bool:
        return value
    raise expected("a boolean", value)


def integer(value: object, _: object) -> int:
    """Read an integer. JSON has only one type of number, so 3.0 is 3."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise expected("an integer", value)


def number(value: object, _: object) -> float:
    """Read a finite number."""
    if type(value) is int or type(value) is float:
        try:
            finite = float(value)
        except OverflowError:
            finite = math.inf
        if math.isfinite(finite):
            return finite
        raise Mismatch("expected a finite number")
    raise expected("a number", value)


def json_object(value: object, _: object) -> dict[str, JSON]:
    """Read an object with any content."""
    if type(value) is dict:
        return cast("dict[str, JSON]", value)
    raise expected("an object", value)


def json_array(value: object) -> list[JSON]:
    """Read an array with any content."""
    if type(value) is list:
        return cast("list[JSON]", value)
    raise expected("an array", value)


def anything(value: object, _: object) -> object:
    """Read any JSON unchanged."""
    return value


def time(value: object, _: object) -> datetime:
    """Read a time as text or as Unix seconds."""
    try:
        # The most common form, without another call. parse_time() reads all others.
        if type(value) is str:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is UTC:
                return moment
        elif type(value) is int:
            return MOMENTS.get(value) or from_unix_seconds(value)
    except ValueError:
        pass
    try:
        return parse_time(value)
    except ValueError:
        raise expected("a time (RFC 3339 with an offset, or Unix seconds)", value) from None


def duration(value: object, _: object) -> timedelta:
    """Read a duration such as `2m30s`."""
    if type(value) is not str:
        raise expected("a duration", value)
    try:
        return parse_duration(value)
    except ValueError as error:
        raise Mismatch(str(error)) from None


def members(type_: type[OpenEnum]) -> dict[str, OpenEnum]:
    """Return the members of an enum by their text."""
    return {member.value: member for member in type_}


@cache
def member_of(type_: type[OpenEnum]) -> Hook:
    """Return the reader of an open enum's text."""
    known = members(type_).get

    def read(value: object, _: object) -> OpenEnum:
        if type(value) is not str:
            raise expected("text", value)
        return known(value) or type_(value)

    return read


def by_shape(read: Callable[[JSON], object]) -> Hook:
    """Return the hook of a function of `quirks`."""

    def hook(value: JSON, _: object) -> object:
        try:
            return read(value)
        except TypeError as error:
            raise expected(str(error), value) from None
        except ValueError as error:
            raise Mismatch(str(error)) from None

    return hook


INLINE: Final[Mapping[Callable[..., object], str]] = {
    anything: "v",
    text: "v if type(v) is str else {read}",
    boolean: "v if type(v) is bool else {read}",
    integer: "v if type(v) is int else {read}",
    json_object: "v if type(v) is dict else {read}",
    quirks.identifier: "(v or None) if type(v) is str else {read}",
    quirks.coordinate: "v if type(v) is float and v - v == 0.0 else {read}",  # neither NaN nor infinite
}
"""Expressions that read the usual form of `v` inline. A call is a third of the cost of a field."""
