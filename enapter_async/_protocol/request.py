"""Operations, their safety classes, and requests."""

from __future__ import annotations

import enum
from typing import Final

import attrs

JSON_TYPE: Final = "application/json"


class Safety(enum.Enum):
    """Safety class of a request, which decides whether it is retried. See "What is retried" in the documentation.

    READ changes nothing. CONVERGE gives the same end state when repeated, but may undo a change made in
    between. UNSAFE repeats the effect: a command, a creation.
    """

    READ = "read"
    CONVERGE = "converge"
    UNSAFE = "unsafe"


@attrs.frozen
class Operation:
    """One operation of the API.

    Attributes:
        name: Service and method, such as `devices.get`, for errors, hooks and traces.
        method: HTTP method.
        safety: Safety class.
        accept: Media type that is asked for.
        waits_for_device: The answer comes when the device has answered: `Timeouts.command` is its total,
            and one attempt may use all of it.
        anonymous: Works without a token.
    """

    name: str
    method: str
    safety: Safety
    accept: str = JSON_TYPE
    waits_for_device: bool = False
    anonymous: bool = False


@attrs.frozen
class Elsewhere:
    """Another address than the API's, with a secret of its own: the API's token does not go there.

    Attributes:
        url: Absolute http(s) URL.
        token: Bearer token.
    """

    url: str = attrs.field(repr=False)
    token: str = attrs.field(repr=False)


@attrs.define
class Request:
    """One request of an operation; never changed after it was built.

    Attributes:
        operation: Which one.
        path: Below the base URL, percent-encoded, without a leading slash: `v3/devices/abc`.
        query: Percent-encoded query string, or empty.
        body: Encoded body, if any.
        content_type: Media type of the body.
        elsewhere: Where it goes instead of path and query, which only name it then.
    """

    operation: Operation
    path: str
    query: str = ""
    body: bytes | None = None
    content_type: str | None = None
    elsewhere: Elsewhere | None = None


@attrs.define
class Answer:
    """A complete answer of the server.

    Attributes:
        status: HTTP status.
        headers: Header names (any case) and values, in order.
        body: Decoded body.
    """

    status: int
    headers: Headers
    body: bytes


class Headers:
    """Read-only response headers: names in any case, repeated lines kept."""

    __slots__ = ("_raw",)

    def __init__(self, raw: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self._raw = raw

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header."""
        wanted = name.lower().encode("ascii")
        for key, value in self._raw:
            if key.lower() == wanted:
                return value.decode("utf-8", "replace")
        return default

    def get_all(self, name: str) -> list[str]:
        """Return all values of a header, in order."""
        wanted = name.lower().encode("ascii")
        return [value.decode("utf-8", "replace") for key, value in self._raw if key.lower() == wanted]

    def items(self) -> list[tuple[str, str]]:
        """Return all header lines, in order."""
        return [(key.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for key, value in self._raw]

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"
