"""A value together with how it was got."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from enapter_async._protocol.request import Headers

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Response(Generic[T]):
    """What `client.raw` gives: the value and the facts of its call.

    Attributes:
        status: HTTP status of the last attempt.
        headers: Response headers.
        attempts: How many requests were sent or tried.
        elapsed: Seconds from the call to the decoded value.
        value: What the plain call returns.
    """

    status: int
    headers: Headers
    attempts: int
    elapsed: float
    value: T
