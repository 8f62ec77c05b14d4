"""JSON bodies: encoding of requests and decoding of responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from enapter_async._arguments import describe_value, read_number
from enapter_async._protocol.decoding import json_text
from enapter_async._protocol.request import JSON_TYPE, Answer, Operation, Request
from enapter_async.errors import InvalidArgumentError, InvalidBodyError, SchemaError
from enapter_async.models.common import JSON, UNSET

T = TypeVar("T")

Decode: TypeAlias = Callable[[Answer], T]
"""Converts a complete response to a value. Raises `DecodeError`."""

_EXCERPT: Final = 120
_BEFORE_JSON: Final = b" \t\r\n\xef\xbb\xbf"
"""White space, and the byte order mark that some servers write first."""


def _plain(value: object) -> int | float:
    number = read_number(value)
    if number is None:
        raise TypeError(f"{describe_value(value)} is not JSON")
    return number


_compact = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=True, default=_plain
).encode


def dumps(value: object, argument: str) -> bytes:
    """Return a value as a JSON body.

    Raises:
        InvalidArgumentError: It contains a value that JSON does not support, such as NaN or infinity.
    """
    try:
        return _compact(value).encode("utf-8")
    except Exception as error:  # noqa: BLE001 - methods of foreign mappings and lists may raise anything
        message = f"cannot be encoded as JSON: {error}"
    raise InvalidArgumentError(argument, message)


def json_request(operation: Operation, path: str, body: object, argument: str = "body") -> Request:
    """Return a request with a JSON body.

    Raises:
        InvalidArgumentError: The body cannot be encoded as JSON.
    """
    return Request(operation, path, body=dumps(body, argument), content_type=JSON_TYPE)


def select_given(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that the caller set. UNSET fields are not sent."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def loads(body: bytes) -> JSON:
    """Return the JSON value of a body.

    Raises:
        InvalidBodyError: The body is not JSON.
    """
    try:
        value: JSON = json_text.loads(body)
        return value
    except (ValueError, RecursionError) as error:
        message = type(error).__name__ if isinstance(error, RecursionError) else str(error)
    raise InvalidBodyError(f"the body is not JSON ({message}); {_described(body)}")


def _described(body: bytes) -> str:
    """Describe a body that is not JSON, without revealing possible secrets."""
    if body.lstrip(_BEFORE_JSON)[:1] in (b"{", b"["):
        return "it begins like JSON, and is not shown because it may contain secrets"
    return f"it begins with {body[:_EXCERPT].decode('utf-8', 'replace')!r}"


def loads_object(answer: Answer) -> dict[str, JSON]:
    """Return the JSON object of a response.

    Raises:
        InvalidBodyError: The body is not JSON.
        SchemaError: The body is JSON, but not an object.
    """
    payload = loads(answer.body)
    if type(payload) is not dict:
        raise SchemaError(f"expected an object, got {type(payload).__name__}")
    return payload


def nothing(answer: Answer) -> None:
    """Decode a response whose body has no meaning (reference.md, Known quirks 16)."""


def any_json(answer: Answer) -> JSON:
    """Decode a response to plain JSON, or None for an empty body."""
    return loads(answer.body) if answer.body.strip() else None
