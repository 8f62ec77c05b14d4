"""Whether a connection may carry a request: it has not ended, and holds nothing that nobody has asked for.

HTTP/1.1 has no numbers for its answers: the first that comes counts as the answer to the request that was written
last. So an answer that was there before the request was written would be taken for its answer (DESIGN, promise 10).

The check is written for speed: it costs 1 µs per call, which `benchmarks/bench_calls.py` measures with everything else.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Sized
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

_ROUNDS: Final = 20
"""Steps of the event loop in which it can decode what is there; more does not come at once."""
_POLL: Final = "_polled_by_enapter_async"
"""Attribute of connections that were used; a set of weak references would cost as much as all of the check."""


class UnusableConnectionError(aiohttp.ClientError):
    """The connection cannot carry a request; nothing was written to it.

    Attributes:
        reused: It has carried a request before, so that another connection may be in order.
    """

    def __init__(self, *, reused: bool) -> None:
        super().__init__()
        self.reused = reused


async def check_unused(connection: Connection) -> None:
    """Make sure that a connection is open and holds nothing; call it right before the request is written.

    Raises:
        UnusableConnectionError: It has ended, or the server has sent something already.
    """
    protocol = connection.protocol
    poll: Callable[[int], Sized] | None = getattr(protocol, _POLL, None)
    if protocol is None or _has_received(protocol):
        raise UnusableConnectionError(reused=poll is not None)
    reused = poll is not None
    if poll is None:
        poll = _poll_of(protocol)
        setattr(protocol, _POLL, poll)
    if poll(0) and not await _settles(protocol, poll):
        raise UnusableConnectionError(reused=reused)


def _poll_of(protocol: ResponseHandler) -> Callable[[int], Sized]:
    """Return a function that tells whether the socket has something to read, an end included."""
    socket = None if protocol.transport is None else protocol.transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):  # Windows: there the event loop reads ahead
        return _nothing
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return poll.poll


def _nothing(timeout: int) -> Sized:
    return ()


async def _settles(protocol: ResponseHandler, poll: Callable[[int], Sized]) -> bool:
    """Let the event loop take in what the socket has: with TLS it may be no data, but a session ticket."""
    transport = protocol.transport
    if transport is None or transport.get_extra_info("ssl_object") is None:
        return False
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
        if _has_received(protocol):
            return False
        if not poll(0):
            return True
    return False


def _has_received(protocol: ResponseHandler) -> bool:
    """Whether aiohttp has read something already, or the connection has ended."""
    transport = protocol.transport
    if protocol.should_close or transport is None or transport.is_closing():
        return True
    # The beginning of a head shows nowhere else than in the parser, which is a new one for each request.
    parser = getattr(protocol, "_parser", None)
    try:
        return parser is not None and parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 whatever it complains of, it has been given something
        return True
