"""Whether a connection may carry a request: it has not ended, and holds nothing that nobody has asked for.

HTTP/1.1 has no numbers for its answers: the first that comes counts as the answer to the request that was written
last. So an answer that was there before the request was written would be taken for its answer (DESIGN, promise 10).
"""

from __future__ import annotations

import asyncio
import select
from typing import Final
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

_ROUNDS: Final = 20
"""Steps of the event loop in which it can decode what is there; more does not come at once."""

_used: Final[WeakSet[ResponseHandler]] = WeakSet()


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
    if protocol is not None and (_is_quiet(protocol) or await _becomes_quiet(protocol)):
        _used.add(protocol)
        return
    raise UnusableConnectionError(reused=protocol in _used)


def _is_quiet(protocol: ResponseHandler) -> bool:
    return not _has_received(protocol) and not _is_readable(protocol.transport)


async def _becomes_quiet(protocol: ResponseHandler) -> bool:
    """Let the event loop take in what the socket has: with TLS it may be no data, but a session ticket."""
    transport = protocol.transport
    if transport is None or transport.get_extra_info("ssl_object") is None:
        return False
    for _ in range(_ROUNDS):
        if _has_received(protocol):
            return False
        if not _is_readable(protocol.transport):
            return True
        await asyncio.sleep(0)
    return False


def _has_received(protocol: ResponseHandler) -> bool:
    """Whether aiohttp has read something already, or the connection has ended."""
    if protocol.should_close or not protocol.is_connected():
        return True
    # The beginning of a head shows nowhere else than in the parser, which is a new one for each request.
    parser = getattr(protocol, "_parser", None)
    try:
        return parser is not None and parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 whatever it complains of, it has been given something
        return True


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Whether the socket has something to read, an end included."""
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):  # Windows: there the event loop reads ahead
        return False
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
