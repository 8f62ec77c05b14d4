"""A forward proxy on loopback for plain http: absolute targets, WebSockets included; it may want a password."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class ForwardProxy:
    """Passes on what asks for an absolute URL.

    Attributes:
        heads: Head of every request that came, in order.
        url: Where it listens.
    """

    def __init__(self, authorization: str | None) -> None:
        self._authorization = authorization
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            head = await reader.read(65_536)
            if not self._admits(head):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            url = urlsplit(head.split(b" ")[1].decode())
            there_reader, there = await asyncio.open_connection(url.hostname, url.port)
            self._writers.append(there)
            there.write(head)  # aiohttp's server takes an absolute target as it is
            await asyncio.gather(self._pump(reader, there), self._pump(there_reader, writer))

    def _admits(self, data: bytes) -> bool:
        text = data.decode("latin-1")
        self.heads.append(text)
        return self._authorization is None or f"\r\nproxy-authorization: {self._authorization}\r\n" in text.lower()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while data := await reader.read(65_536):
                if data.startswith(b"GET "):  # another request on a connection that was kept
                    self._admits(data)
                writer.write(data)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def proxying(authorization: str | None = None) -> AsyncIterator[ForwardProxy]:
    """Run a proxy; `authorization` is what `Proxy-Authorization` must be, in lower case."""
    proxy = ForwardProxy(authorization)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
