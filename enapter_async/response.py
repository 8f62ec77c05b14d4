"""A value together with the metadata of its call."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from enapter_async._protocol.request import Headers

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Response(Generic[T]):
    """The result of a method of `client.raw`: the value and the metadata of its call.

    Attributes:
        status: HTTP status of the last attempt.
        headers: Response headers.
        attempts: Number of attempts made.
        elapsed: Seconds from the start of the call to the decoded value.
        value: The value that the same method of the client returns.
    """

    status: int
    headers: Headers
    attempts: int
    elapsed: float
    value: T
