"""Read JSON bodies. An invalid body is refused with a 400 that names the field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn, cast

from aiohttp import web

from ..errors import Refusal, invalid_field
from ..shapes import as_list, as_mapping


async def read_content(request: web.Request) -> bytes:
    """Return the decompressed body of a request.

    Raises:
        Refusal: It is too large, or not encoded as its headers say.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, "the body is too large", code="too_large") from None
    except web.RequestPayloadError:
        raise Refusal(400, "the body is not encoded as the headers say", code="invalid_body") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class Body:
    """The fields of a JSON object.

    Null counts as absent: that is what the vendor's SDK sends for what it leaves unchanged
    (reference.md, Known quirks 10).
    """

    def __init__(self, fields: dict[str, Any], path: str = "") -> None:
        self._fields = fields
        self._path = path

    @classmethod
    def parse(cls, data: bytes) -> Body:
        """Read a body.

        Raises:
            Refusal: It is not a JSON object (400).
        """
        try:
            value = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is not JSON: {error}"[:300], code="invalid_body") from None
        fields = as_mapping(value)
        if fields is None:
            raise Refusal(400, "the body is not a JSON object", code="invalid_body")
        return cls(fields)

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def value(self, name: str) -> Any:
        """Return a field of any type."""
        return self._fields.get(name)

    def refuse(self, name: str, message: str) -> Refusal:
        """Create the refusal of a field."""
        return invalid_field(self._path + name, message)

    def text(self, name: str) -> str:
        """Return a required text that is not blank."""
        text = self.optional_text(name)
        if text is None:
            raise self.refuse(name, "is required")
        return text

    def optional_text(self, name: str) -> str | None:
        """Return a text. Null and empty texts count as absent, because the CLI sends empty ones."""
        value = self._fields.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.refuse(name, "expected a text")
        if not value.strip():
            raise self.refuse(name, "must not be blank")
        if len(value) > 1_000_000:
            raise self.refuse(name, "is too long")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        """Return one of some known words."""
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if value not in allowed:
            raise self.refuse(name, f"expected one of {', '.join(allowed)}")
        return str(value)

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """Return a boolean."""
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(name, "expected true or false" if value is not None else "is required")
        return value

    def object(self, name: str) -> Body | None:
        """Return an object."""
        value = self._fields.get(name)
        if value is None:
            return None
        fields = as_mapping(value)
        if fields is None:
            raise self.refuse(name, "expected an object")
        return Body(fields, f"{self._path}{name}.")

    def fields(self) -> dict[str, Any]:
        """Return all fields unchanged."""
        return self._fields

    def names(self, name: str) -> list[str]:
        """Return a list of texts, empty if it is absent."""
        value = self._fields.get(name)
        if value is None:
            return []
        items = as_list(value)
        if items is None:
            raise self.refuse(name, "expected a list")
        if not all(isinstance(item, str) for item in items):
            raise self.refuse(name, "expected a list of texts")
        return cast("list[str]", items)

    def objects(self, name: str) -> list[Body]:
        """Return a required list of objects, not empty."""
        items = as_list(self._fields.get(name))
        if not items:
            raise self.refuse(name, "expected a list that is not empty")
        bodies: list[Body] = []
        for number, item in enumerate(items):
            fields = as_mapping(item)
            if fields is None:
                raise self.refuse(f"{name}[{number}]", "expected an object")
            bodies.append(Body(fields, f"{self._path}{name}[{number}]."))
        return bodies
