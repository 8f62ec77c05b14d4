"""Checks that a connection may carry a request: it is open, and contains no unsolicited data.

HTTP/1.1 does not number responses: the next one to arrive counts as the response to the last request. A response that
arrived before the request was written would be mistaken for its response (DESIGN, promise 10).

The check is written for speed and costs 1 µs per call; `benchmarks/bench_calls.py` includes it.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable, Sized
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

_ROUNDS: Final = 20
"""Steps of the event loop within which waiting data is decoded."""
_POLL: Final = "_polled_by_enapter_async"
"""Attribute that marks used connections. A set of weak references would cost as much as the whole check."""


class UnusableConnectionError(aiohttp.ClientError):
    """The connection cannot carry a request. Nothing was written to it.

    Attributes:
        reused: Whether it carried a request before. If so, another connection may work.
    """

    def __init__(self, *, reused: bool) -> None:
        super().__init__()
        self.reused = reused


def check_unused(connection: Connection) -> Awaitable[None] | None:
    """Ensure that a connection is open and empty. Call this right before writing the request.

    This is not a coroutine, since almost no connection has anything to wait for.

    Returns:
        An awaitable that must finish before the request is written, or None.

    Raises:
        UnusableConnectionError: The connection has ended, or the server has already sent something. Awaiting the
            result can raise it too.
    """
    protocol = connection.protocol
    poll: Callable[[int], Sized] | None = getattr(protocol, _POLL, None)
    if protocol is None or _has_received(protocol):
        raise UnusableConnectionError(reused=poll is not None)
    reused = poll is not None
    if poll is None:
        poll = _poll_of(protocol)
        setattr(protocol, _POLL, poll)
    return _settle(protocol, poll, reused=reused) if poll(0) else None


def _poll_of(protocol: ResponseHandler) -> Callable[[int], Sized]:
    """Return a function that checks whether the socket has data or has reached its end."""
    socket = None if protocol.transport is None else protocol.transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):  # On Windows the event loop reads ahead.
        return _nothing
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return poll.poll


def _nothing(timeout: int) -> Sized:
    return ()


async def _settle(protocol: ResponseHandler, poll: Callable[[int], Sized], *, reused: bool) -> None:
    """Let the event loop read from the socket: with TLS there may be only a session ticket, not data."""
    transport = protocol.transport
    if transport is not None and transport.get_extra_info("ssl_object") is not None:
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
            if _has_received(protocol):
                break
            if not poll(0):
                return
    raise UnusableConnectionError(reused=reused)


def _has_received(protocol: ResponseHandler) -> bool:
    """Whether aiohttp has read something already, or the connection has ended."""
    transport = protocol.transport
    if protocol.should_close or transport is None or transport.is_closing():
        return True
    # The beginning of a response head is visible only in the parser, which is new for each request.
    parser = getattr(protocol, "_parser", None)
    try:
        return parser is not None and parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 whatever it complains of, it has been given something
        return True
