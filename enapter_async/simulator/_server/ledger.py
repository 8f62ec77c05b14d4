"""A record of every request, for assertions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import attrs

_MASK = "***"
_SECRET_HEADERS = {"x-enapter-auth-token", "authorization", "cookie"}


@attrs.define(eq=False)
class RequestRecord:
    """One request as the server saw it.

    Attributes:
        method: HTTP method.
        path: Decoded path.
        raw_path: Path as it was sent, with the query.
        query: Every value of every query parameter.
        headers: Headers by lower-case name; the token is masked.
        token: The token as it came.
        user: Value of X-Enapter-Auth-User.
        body: The body, cut off after 64 KiB.
        connection: Port of the client's end: equal ones came over one connection.
        received_at: Seconds of a clock that only grows.
        operation: Its operationId; None if no operation matched.
        status: Status of the response, or None if there is none yet or the connection closed before all of it was
            sent.
        applied: Whether the handler did its work, even if the client did not see the response.
        fault: Name of the fault that was injected.
        streamed: Whether the response is a stream: a WebSocket, or a time series.
        duration: Seconds until the response was ready.
    """

    method: str
    path: str
    raw_path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    token: str | None = attrs.field(repr=False)
    user: str | None
    body: bytes = attrs.field(repr=False)
    connection: int | None
    received_at: float
    operation: str | None = None
    status: int | None = None
    applied: bool = False
    fault: str | None = None
    streamed: bool = False
    duration: float | None = None

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Ledger:
    """The last requests, and how many were in flight at once.

    Args:
        limit: Maximum number of records. The oldest are forgotten first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.records: list[RequestRecord] = []
        self.total: int = 0
        self.in_flight: int = 0
        self.peak_in_flight: int = 0
        self.streams: int = 0
        self.changed: asyncio.Event = asyncio.Event()

    @property
    def forgotten(self) -> int:
        """Number of requests before the oldest record that is kept."""
        return self.total - len(self.records)

    def clear(self) -> None:
        """Forget the records and keep the counters."""
        self.records.clear()

    def open(self, record: RequestRecord) -> None:
        """Note that a request came in."""
        if len(self.records) >= self._limit:
            del self.records[: self._limit // 2 + 1]
        self.records.append(record)
        self.total += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def begin_stream(self, record: RequestRecord) -> None:
        """Note that a request has become a stream: those are counted apart."""
        record.streamed = True
        self.in_flight -= 1
        self.streams += 1

    def close(self, record: RequestRecord) -> None:
        """Note that a request is over."""
        if record.streamed:
            self.streams -= 1
        else:
            self.in_flight -= 1
        # Callers that are waiting have this event already. The next one waits for another.
        self.changed.set()
        self.changed = asyncio.Event()


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Copy headers under lower-case names, with secrets masked."""
    return {name.lower(): _MASK if name.lower() in _SECRET_HEADERS else value for name, value in headers.items()}
