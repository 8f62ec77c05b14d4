"""The connection below a request."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING or hasattr(web, "RequestKey"):  # noqa: SIM108 - the type checkers follow this form
    TRUNCATE_AT = web.RequestKey("truncate_at", int)
else:
    TRUNCATE_AT = "truncate_at"  # aiohttp 3.13, our lowest, knows no other keys
"""Number of bytes of the body after which a fault closes the connection."""


def peer_port(request: web.Request) -> int | None:
    """Return the port of the client's end of the connection."""
    peer: Any = None if request.transport is None else request.transport.get_extra_info("peername")
    return None if peer is None else int(peer[1])


def break_connection(request: web.Request, *, reset: bool) -> None:
    """Close the client's connection at once: with RST, or with what was written and FIN."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


def is_broken(request: web.Request) -> bool:
    """Return whether the connection is closed, by the simulator or by the client."""
    return request.transport is None or request.transport.is_closing()
