"""Query strings, and validation of the arguments in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, cast
from urllib.parse import quote

from enapter_async._arguments import read_number, refuse_argument, require_callback, require_several
from enapter_async.errors import InvalidArgumentError
from enapter_async.models.common import OpenEnum

C = TypeVar("C")

# A comma separates values (reference.md, Filters and ordering) and times contain colons. Both are legal unencoded.
_SAFE_IN_VALUES: Final = ",:"

MAX_PAGE_SIZE: Final = 50
MAX_BYTES: Final = 7_900
"""Maximum length of a query string that can be split, so that the URL stays below 8,000 bytes."""


def encode(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a percent-encoded query string in the given order."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe=_SAFE_IN_VALUES)}" for name, value in pairs)


def chosen(values: Iterable[str], allowed: frozenset[str], argument: str) -> str:
    """Return allowed values, sorted and joined by commas.

    Raises:
        InvalidArgumentError: The argument is a single string, or a value is not allowed.
    """
    if isinstance(values, tuple) and not values:
        return ""
    if isinstance(values, str):
        raise InvalidArgumentError(argument, f"must be a collection, such as {{{values!r}}}, not a string")
    wanted = require_several(values, argument)
    for value in wanted:
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument(argument, f"every value must be one of {', '.join(sorted(allowed))}", value)
        if value not in allowed:
            raise InvalidArgumentError(argument, f"unknown value {value!r}; known are {', '.join(sorted(allowed))}")
    return ",".join(sorted(set(wanted)))


def listed(values: Iterable[str], argument: str) -> str:
    """Return values in order, joined by commas.

    Raises:
        InvalidArgumentError: The argument is a single string or empty, or a value is empty or contains a comma.
    """
    items = texts(values, argument)
    if any("," in item for item in items):
        raise InvalidArgumentError(argument, "a value must not contain a comma, because commas separate values")
    return ",".join(items)


def texts(values: Iterable[str], argument: str) -> list[str]:
    """Return several string arguments as a list.

    Raises:
        InvalidArgumentError: The argument is a single string or empty, or a value is empty or not a string.
    """
    if isinstance(values, str):
        raise InvalidArgumentError(argument, f"must be a collection, such as [{values!r}], not a string")
    items = require_several(values, argument)
    if not items:
        raise InvalidArgumentError(argument, "must not be empty")
    for item in items:
        if not isinstance(item, str) or not item.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument(argument, "every value must be a non-empty string", item)
        encodable(item, argument)
    return items


def encodable(value: str, argument: str) -> str:
    """Return a string after checking that it can be sent.

    Raises:
        InvalidArgumentError: The string cannot be encoded as UTF-8 (a lone surrogate).
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        pass
    else:
        return value
    raise InvalidArgumentError(argument, "must be text that can be encoded as UTF-8")


def text(value: object, argument: str) -> str:
    """Return a non-empty string argument.

    Raises:
        InvalidArgumentError: The argument is not a string, or is empty.
    """
    if not isinstance(value, str):
        raise refuse_argument(argument, "must be a string", value)
    if not value.strip():
        raise InvalidArgumentError(argument, "must not be empty")
    return encodable(value, argument)


def flag(value: object, argument: str) -> bool:
    """Return an argument that is True or False.

    Raises:
        InvalidArgumentError: The argument is neither.
    """
    if isinstance(value, bool):
        return value
    raise refuse_argument(argument, "must be True or False", value)


def optional_callback(value: C | None, argument: str) -> C | None:
    """Return an argument that is a synchronous callable of one argument, or None.

    Raises:
        InvalidArgumentError: It is neither.
    """
    return None if value is None else require_callback(value, argument)


def one_of(value: object, allowed: frozenset[str], argument: str) -> str:
    """Return a string argument that is one of the allowed values.

    Raises:
        InvalidArgumentError: The value is not allowed.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise refuse_argument(argument, f"must be one of {', '.join(sorted(allowed))}", value)


def member(value: object, type_: type[OpenEnum], argument: str) -> str:
    """Return the wire form of an enum argument: a member, or its text in any case.

    Unknown text is rejected, since it is usually misspelt. Pass a value newer than this version as `type_("NEWER")`.

    Raises:
        InvalidArgumentError: The value is unknown.
    """
    if isinstance(value, type_):
        return value.value
    known = type_(text(value, argument))
    if known.is_known:
        return known.value
    names = ", ".join(one.value for one in type_)
    raise InvalidArgumentError(argument, f"unknown value {value!r}; known are {names}")


def members(values: Iterable[str], type_: type[OpenEnum], argument: str) -> str:
    """Return the wire form of several enum arguments, joined by commas.

    Raises:
        InvalidArgumentError: The argument is a single string or empty, or a value is unknown.
    """
    if isinstance(values, str):
        raise InvalidArgumentError(argument, f"must be a collection, such as {{{str(values)!r}}}, not a string")
    return listed([member(value, type_, argument) for value in require_several(values, argument)], argument)


def pairs(query: object) -> list[tuple[str, str]]:
    """Return a mapping of names to values, or an iterable of (name, value), as pairs of strings.

    Raises:
        InvalidArgumentError: It is neither, or a value is not a string or a number.
    """
    found: list[tuple[str, str]] = []
    given = cast("Mapping[object, object]", query).items() if isinstance(query, Mapping) else query
    for pair in require_several(cast("Iterable[object]", given), "query"):
        items = _as_tuple(pair)
        if len(items) != 2:
            raise refuse_argument("query", "must map names to values, or consist of (name, value) pairs", pair)
        name, value = items
        # `str(value)` would return the name of a string enum member instead of its text.
        written = str.__str__(value) if isinstance(value, str) else read_number(value)
        if written is None:
            raise refuse_argument("query", "must have strings or numbers as values", value)
        found.append((text(name, "query"), encodable(str(written), "query")))
    return found


def _as_tuple(value: object) -> tuple[object, ...]:
    return cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
