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
        accept: Requested media type.
        waits_for_device: The server responds when the device has responded. `Timeouts.command` is the timeout of the
            call, and one attempt may use all of it.
    """

    name: str
    method: str
    safety: Safety
    accept: str = JSON_TYPE
    waits_for_device: bool = False


@attrs.frozen
class Elsewhere:
    """An address outside the API with its own secret. The API's token is not sent there.

    Attributes:
        url: Absolute http(s) URL.
        token: Bearer token.
    """

    url: str = attrs.field(repr=False)
    token: str = attrs.field(repr=False)


@attrs.define
class Request:
    """One request of an operation. It is immutable.

    Attributes:
        operation: Operation of the request.
        path: Path below the base URL, percent-encoded, without a leading slash: `v3/devices/abc`.
        query: Percent-encoded query string, or empty.
        body: Encoded body, if any.
        content_type: Media type of the body.
        elsewhere: Address to use instead of path and query, which then only name the request.
    """

    operation: Operation
    path: str
    query: str = ""
    body: bytes | None = None
    content_type: str | None = None
    elsewhere: Elsewhere | None = None


@attrs.define
class Answer:
    """A complete response of the server.

    Attributes:
        status: HTTP status.
        headers: Header names (any case) and values, in order.
        body: Decoded body.
    """

    status: int
    headers: Headers
    body: bytes


class Headers:
    """Read-only response headers. Names are case-insensitive, and repeated headers are kept."""

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
