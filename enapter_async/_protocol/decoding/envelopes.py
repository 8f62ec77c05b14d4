"""Decoding of the JSON envelopes around models, including their quirks."""

from __future__ import annotations

from typing import Generic, TypeVar

from enapter_async._protocol.body import any_json, loads, loads_object
from enapter_async._protocol.decoding.converter import structurer
from enapter_async._protocol.request import Answer
from enapter_async.errors import SchemaError
from enapter_async.models.common import JSON

T = TypeVar("T")


class Enveloped(Generic[T]):
    """Decodes one value under one key: `{"device": {...}}`."""

    __slots__ = ("_key", "_type")

    def __init__(self, key: str, type_: type[T]) -> None:
        self._key = key
        self._type = type_

    def __call__(self, answer: Answer) -> T:
        payload = loads_object(answer)
        try:
            value = payload[self._key]
        except KeyError:
            pass
        else:
            return structurer(self._type, at=self._key)(value)
        raise SchemaError("is missing", path=self._key)


def optional_field(answer: Answer, key: str) -> JSON:
    """Return a field of a response, or None in an empty object.

    Older servers respond without this envelope. Their responses are rejected, since they would look empty.

    Raises:
        DecodeError: The body is not an object, or has only other fields.
    """
    payload = loads_object(answer)
    if payload and key not in payload:
        raise SchemaError("is missing; the response has an older format", path=key)
    return payload.get(key)


class Optionally(Generic[T]):
    """Decodes `{"telemetry": {...}}`. Null or an empty object means an empty value."""

    __slots__ = ("_key", "_type")

    def __init__(self, key: str, type_: type[T]) -> None:
        self._key = key
        self._type = type_

    def __call__(self, answer: Answer) -> T:
        value = optional_field(answer, self._key)
        return self._type() if value is None else structurer(self._type, at=self._key)(value)


class OrNone(Generic[T]):
    """Decodes `{"device": {...}}`, or returns None for the different or empty bodies of some servers."""

    __slots__ = ("_key", "_type")

    def __init__(self, key: str, type_: type[T]) -> None:
        self._key = key
        self._type = type_

    def __call__(self, answer: Answer) -> T | None:
        payload = any_json(answer)
        value = payload.get(self._key) if isinstance(payload, dict) else None
        return None if value is None else structurer(self._type, at=self._key)(value)


class Whole(Generic[T]):
    """Decodes a response without an envelope."""

    __slots__ = ("_type",)

    def __init__(self, type_: type[T]) -> None:
        self._type = type_

    def __call__(self, answer: Answer) -> T:
        return structurer(self._type)(loads(answer.body))


class PageOf(Generic[T]):
    """Decodes `{"devices": [...], "total_count": n}`; the count may be missing (reference.md, Pagination)."""

    __slots__ = ("_items", "_key")

    def __init__(self, key: str, type_: type[T]) -> None:
        self._key = key
        self._items: type[list[T]] = list[type_]  # type: ignore[valid-type]

    def __call__(self, answer: Answer) -> tuple[list[T], int | None]:
        payload = loads_object(answer)
        if self._key not in payload:
            raise SchemaError("is missing", path=self._key)
        items = payload[self._key]
        if items is None:
            items = []  # null, which servers send for a list that never had items
        total = payload.get("total_count")
        if total is not None and (type(total) is not int or total < 0):
            shown = total if type(total) is int else type(total).__name__
            raise SchemaError(f"expected a number of items, got {shown}", path="total_count")
        return structurer(self._items, at=self._key)(items), total
