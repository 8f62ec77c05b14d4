"""A server inside the process: answers in memory, so that a count holds no kernel, no network and no waiting."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

BASE_URL = "http://127.0.0.1:8080"


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still, so that no timer depends on how fast the machine is."""

    def time(self) -> float:
        return 1000.0


class Connector(aiohttp.BaseConnector):
    """Connects to a server that gives every request the same answer."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(limit=0)
        lines = (f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": str(len(body))}.items())
        self._answer = b"HTTP/1.1 200 OK\r\n" + "".join(lines).encode() + b"\r\n" + body

    async def _create_connection(self, *_: Any) -> ResponseHandler:
        protocol = ResponseHandler(self._loop)
        protocol.connection_made(_Connection(self._loop, protocol, self._answer))
        return protocol


class _Connection(asyncio.Transport):
    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: ResponseHandler, answer: bytes) -> None:
        self._ours, self._theirs = socket.socketpair()  # never written to: who looks whether data waits, finds none
        super().__init__({"socket": self._ours})
        self._loop, self._protocol, self._answer = loop, protocol, answer
        self._received = b""
        self._closing = False

    def write(self, data: Any) -> None:
        self._received += bytes(data)
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            self._loop.call_soon(self._protocol.data_received, self._answer)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._ours.close()
            self._theirs.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close
