"""Ports of the loopback interface for servers in processes of their own."""

from __future__ import annotations

import socket


def find_free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
