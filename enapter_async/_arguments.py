"""Validation of arguments: numbers, times and texts of any library, and errors that show the given value."""

from __future__ import annotations

import inspect
import numbers
import operator
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from reprlib import Repr
from typing import Final, TypeVar, cast

from enapter_async._visible import make_visible
from enapter_async.errors import InvalidArgumentError

T = TypeVar("T")

LONGEST_NAME: Final = 1_000
"""Bytes of a name that surely fits into a URL."""
_LONGEST: Final = 80
_shown: Final = Repr()
_shown.maxstring = _shown.maxother = _LONGEST


def refuse_argument(argument: str, requirement: str, value: object) -> InvalidArgumentError:
    """Return the error for an invalid argument, with its value and type: `must be a string, got 5 (int)`."""
    return InvalidArgumentError(argument, f"{requirement}, got {describe_value(value)}")


def describe_value(value: object) -> str:
    """Describe any value and its type in one short line."""
    return f"{show_value(value)} ({type(value).__name__})"


def show_value(value: object) -> str:
    """Show any value in one short line."""
    return make_visible(" ".join(_shown.repr(value).split()))[:_LONGEST]


def read_whole_number(value: object) -> int | None:
    """Return an int, or a similar number with `__index__` such as those of numpy, as int. Otherwise return None."""
    if type(value) is int:
        return value
    if isinstance(value, bool):
        return None
    with suppress(Exception):  # foreign code: any exception means that it is not a whole number
        return operator.index(cast("int", value))
    return None


def read_number(value: object) -> float | None:
    """Return a number as int or float. Return None for anything else, including booleans."""
    if type(value) is float:
        return value
    whole = read_whole_number(value)
    if whole is not None or isinstance(value, bool) or not isinstance(value, numbers.Real):
        return whole
    with suppress(Exception):
        return float(value)
    return None


def require_whole_number(value: object, argument: str, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds.

    Raises:
        InvalidArgumentError: The value is not a whole number, or is out of bounds.
    """
    number = read_whole_number(value)
    if number is not None and least <= number and (most is None or number <= most):
        return number
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise refuse_argument(argument, f"must be a whole number {bounds}", value)


def require_instance(value: T, kind: type[object], argument: str) -> T:
    """Return an argument of a class, or with the methods of a runtime-checkable protocol.

    Raises:
        InvalidArgumentError: The value is something else, such as the class itself.
    """
    with suppress(Exception):  # foreign code: any exception means that it has no such methods
        if isinstance(value, kind) and not isinstance(value, type):  # a class has the methods of a protocol, too
            return value
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    raise refuse_argument(argument, f"must be {article} {kind.__name__}", value)


def require_path(value: object, argument: str) -> str:
    """Return a path as text.

    Raises:
        InvalidArgumentError: The value is not a path of text, or is empty.
    """
    if isinstance(value, bytes):  # not shown, because an address of a database can contain a password
        raise InvalidArgumentError(argument, "must be a string or an os.PathLike of one, not bytes")
    path: object = None
    with suppress(Exception):  # foreign code: any exception means that it is not a path
        path = os.fspath(cast("str | os.PathLike[str]", value))
    if not isinstance(path, str):
        raise refuse_argument(argument, "must be a string or an os.PathLike of one", value)
    if not path or "\0" in path:
        raise InvalidArgumentError(argument, "must not contain a null character" if path else "must not be empty")
    return path


def require_callback(value: T, argument: str, count: int = 1) -> T:
    """Return a synchronous callable.

    Args:
        value: The argument.
        argument: Its name.
        count: Number of arguments that the callable must take.

    Raises:
        InvalidArgumentError: The value is not callable, is async, or takes another number of arguments.
    """
    if fault := find_callback_fault(value, count):
        raise refuse_argument(argument, fault, value)
    return value


def find_callback_fault(value: object, count: int = 1) -> str | None:
    """Return the requirement that a synchronous callback of some arguments does not meet, or None."""
    if not callable(value):
        return "must be callable"
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004
        return "must be a synchronous callable, since nothing awaits its result"
    try:
        signature = inspect.signature(value)
    except Exception:  # noqa: BLE001 - builtins without a signature, and foreign code
        return None
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return "must take one argument" if count == 1 else f"must take {count} arguments"
    return None


def require_several(values: Iterable[T], argument: str) -> list[T]:
    """Return an iterable argument as a list.

    Raises:
        InvalidArgumentError: The value is not iterable.
    """
    with suppress(Exception):  # foreign code: any exception means that it is not iterable
        return list(values)
    raise refuse_argument(argument, "must be an iterable of values", values)


def require_mapping(values: Mapping[str, T], argument: str, requirement: str) -> dict[str, T]:
    """Return a mapping argument as a dict.

    Raises:
        InvalidArgumentError: The value is not a mapping, or cannot be read.
    """
    with suppress(Exception):  # foreign code: any exception means that it is not a mapping
        if isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            return dict(values.items())
    raise refuse_argument(argument, requirement, values)


def require_aware_time(value: object, argument: str) -> datetime:
    """Return a datetime that has a time zone.

    Raises:
        InvalidArgumentError: The value is not a datetime, or is naive.
    """
    requirement = "must be an aware datetime"
    if isinstance(value, datetime):
        with suppress(Exception):  # NaT of pandas is a datetime only by its class
            if value.utcoffset() is not None:
                return value
            requirement = "must have a time zone, since a naive datetime is ambiguous"
    raise refuse_argument(argument, requirement, value)


def is_sendable(name: str) -> bool:
    """Return whether a request can contain a name: it is not blank, and UTF-8 can encode it."""
    try:
        return bool(name.strip() and name.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can bring
        return False


def fits_in_list(name: str) -> bool:
    """Return whether a comma-separated list in a URL can contain a name."""
    return is_sendable(name) and "," not in name and len(name.encode()) < LONGEST_NAME
