"""Read query parameters. An invalid one is refused with a 400 that names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from ..errors import invalid_parameter
from ..times import parse_duration, parse_time

T = TypeVar("T")

MAX_PAGE = 50
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@attrs.frozen
class Query:
    """The query parameters of a request.

    Attributes:
        values: Every value of every parameter, in order.
        clamp_limit: Whether a limit above 50 is lowered to 50 instead of refused; what real servers do is
            unknown (reference.md, Pagination).
    """

    values: Mapping[str, Sequence[str]]
    clamp_limit: bool = False

    def text(self, name: str) -> str | None:
        """Return a parameter's last value. An empty one counts as absent."""
        values = self.values.get(name)
        return (values[-1] or None) if values else None

    def integer(self, name: str, default: int, *, least: int) -> int:
        """Return a whole number."""
        text = self.values.get(name, [""])[-1]
        if name not in self.values:
            return default
        if not _INTEGER.fullmatch(text):
            raise invalid_parameter(name, "expected a whole number")
        number = int(text)
        if number < least:
            raise invalid_parameter(name, f"must be at least {least}")
        return number

    def names(self, name: str) -> list[str]:
        """Return a comma list. A repeated parameter adds to it."""
        return [item for text in self.values.get(name, ()) for item in text.split(",") if item]

    def choices(self, name: str, allowed: Sequence[str]) -> list[str]:
        """Return a comma list of known words."""
        chosen = self.names(name)
        for item in chosen:
            if item not in allowed:
                raise invalid_parameter(name, f"unknown value {item[:80]!r}; known: {', '.join(allowed)}")
        return chosen

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """Return one of some known words."""
        text = self.values.get(name, [default])[-1]
        if text not in allowed:
            raise invalid_parameter(name, f"unknown value {text[:80]!r}; known: {', '.join(allowed)}")
        return text

    def word(self, name: str, allowed: Sequence[str]) -> str | None:
        """Return one of some known words in lower case, or None if the parameter is absent. Any case is accepted."""
        if name not in self.values:
            return None
        text = self.values[name][-1]
        if text.lower() not in allowed:
            raise invalid_parameter(name, f"unknown value {text[:80]!r}; known: {', '.join(allowed)}")
        return text.lower()

    def time(self, name: str) -> float | None:
        """Return an RFC 3339 time as Unix seconds."""
        if name not in self.values:
            return None
        try:
            return parse_time(self.values[name][-1])
        except ValueError as error:
            raise invalid_parameter(name, str(error)) from None

    def duration(self, name: str, default: float) -> float:
        """Return a duration in seconds."""
        if name not in self.values:
            return default
        try:
            return parse_duration(self.values[name][-1])
        except ValueError as error:
            raise invalid_parameter(name, str(error)) from None

    def page(self, key: str, items: Sequence[T], render: Callable[[T], Any]) -> dict[str, Any]:
        """Cut the asked page out of a list: `limit` 1 to 50, default 50, and `offset` from 0.

        Args:
            key: Key of the items in the response.
            items: The whole list.
            render: Returns one item as JSON. Only the items of the page are rendered.
        """
        limit = self.integer("limit", MAX_PAGE, least=1)
        if limit > MAX_PAGE:
            if not self.clamp_limit:
                raise invalid_parameter("limit", f"must be at most {MAX_PAGE}")
            limit = MAX_PAGE
        offset = self.integer("offset", 0, least=0)
        page = items[offset : offset + limit]
        return {key: [render(item) for item in page], "total_count": len(items)}
