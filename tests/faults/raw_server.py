"""A server of raw bytes on loopback: it reads whole requests, counts them, and does with each what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import attrs


@attrs.frozen
class RawRequest:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Exchange:
    """One request, and what can be done to whoever sent it."""

    def __init__(
        self, request: RawRequest, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.request = request
        self.number = number  # of the request, from 1
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, body: bytes = b"{}", status: int = 200, *headers: str) -> None:
        await self.send(response(body, status, *headers))

    async def drip(self, data: bytes, every: float = 0.02) -> None:
        """Send byte by byte, then nothing more."""
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await asyncio.sleep(every)
        await self.hang()

    async def hang(self) -> None:
        """Do nothing until the client hangs up."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read()
        raise ConnectionResetError

    def close(self) -> None:
        self._writer.close()

    def end(self) -> None:
        """Send the end at once; `close` waits for the event loop."""
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as connection:
            connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def close(exchange: Exchange) -> None:
    exchange.close()


async def hang(exchange: Exchange) -> None:
    await exchange.hang()


def response(body: bytes = b"{}", status: int = 200, *headers: str, announce: int | None = None) -> bytes:
    """Return a response; `announce` is a Content-Length that is not true."""
    length = len(body) if announce is None else announce
    lines = [f"HTTP/1.1 {status} Words", "Content-Type: application/json", f"Content-Length: {length}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def chunked(*chunks: bytes, end: bool = True, headers: tuple[str, ...] = ()) -> bytes:
    """Return a response in chunks, without the last one if it is to be cut off."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", "Transfer-Encoding: chunked", *headers]
    body = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body + (b"0\r\n\r\n" if end else b"")


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


class RawServer:
    """Counts connections and requests, and lets `behaviour` happen to each request."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.url = ""
        self.port = 0
        self.requests: list[RawRequest] = []
        self.connections = 0
        self.open_connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrival = asyncio.Event()

    @property
    def seen(self) -> int:
        """Requests whose headers and body have come."""
        return len(self.requests)

    async def arrived(self, count: int = 1) -> None:
        """Wait until so many requests have come."""
        while self.seen < count:
            self._arrival.clear()
            await self._arrival.wait()

    async def no_connections(self) -> None:
        """Wait until the client has hung up everywhere."""
        async with asyncio.timeout(5):
            while self.open_connections:
                await asyncio.sleep(0.002)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        connection = self.connections
        try:
            while not writer.is_closing():
                request = await _read_request(reader, connection)
                self.requests.append(request)
                self._arrival.set()
                await self.behaviour(Exchange(request, self.seen, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.close()

    @asynccontextmanager
    async def running(
        self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> AsyncGenerator[Self]:
        """Listen; `host` is the name that the URL has."""
        listening = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        self.port = listening.sockets[0].getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.port}"
        try:
            yield self
        finally:
            listening.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> RawRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RawRequest(method, target, headers, body, connection)


def serving(behaviour: Behaviour) -> RawServer:
    return RawServer(behaviour)


def sending(data: bytes, *, then: str = "close") -> Behaviour:
    """Return a behaviour that sends bytes and then closes, resets, hangs, or keeps the connection."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(data)
        if then == "hang":
            await exchange.hang()
        elif then == "reset":
            exchange.reset()
        elif then == "close":
            exchange.close()

    return behave
