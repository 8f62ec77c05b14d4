"""A server that has an outage: it answers one device, and on command refuses everything in one way or another.

    python -m benchmarks.outage_server PORT

Lines on standard input: `503`, `429`, `429-1` (with `Retry-After: 1`), `refuse` (nobody listens), and `up`. Each is
answered with the number of requests received since the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.servers import device

_LATENCY = 0.1


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


ANSWERS = {
    "up": _answer("200 OK", json.dumps({"device": device()}).encode()),
    "503": _answer("503 Service Unavailable", b"{}"),
    "429": _answer("429 Too Many Requests", b"{}"),
    "429-1": _answer("429 Too Many Requests", b"{}", "Retry-After: 1"),
}


class Server:
    """All connections, and how they are answered now."""

    def __init__(self, port: int) -> None:
        self.answer = ANSWERS["up"]
        self.connections: set[Connection] = set()
        self.requests = 0
        self._port = port
        self._listening: asyncio.Server | None = None

    async def obey(self, word: str) -> None:
        """Refuse in a way, or be up again."""
        if word == "refuse":
            if self._listening is not None:
                self._listening.close()
            self._listening = None
            for connection in tuple(self.connections):
                connection.transport.abort()
            return
        self.answer = ANSWERS[word]
        if self._listening is None:
            loop = asyncio.get_running_loop()
            self._listening = await loop.create_server(
                lambda: Connection(self), "127.0.0.1", self._port, backlog=4096, reuse_address=True
            )


class Connection(asyncio.Protocol):
    """Answers GETs without a body, one after the other, each after the latency of a network."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            self._received = b""
            self._server.requests += 1
            asyncio.get_running_loop().call_later(_LATENCY, self._reply)

    def _reply(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._server.answer)


async def serve(port: int) -> None:
    """Run until standard input ends."""
    loop = asyncio.get_running_loop()
    server = Server(port)
    await server.obey("up")
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while word := (await lines.readline()).decode().strip():
        received, server.requests = server.requests, 0
        await server.obey(word)
        print(received, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
