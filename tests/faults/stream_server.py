"""A WebSocket server on loopback that follows a script, and a client that is in a hurry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from aiohttp import WSMsgType, web

from enapter_async import EnapterClient, RetryPolicy, StreamPolicy

TOKEN = "secret-token-of-the-test"

Act: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

HASTY = StreamPolicy(initial_delay=0.01, max_delay=0.02)


_BASE = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)  # later than any stream is opened


def record(number: int, message: str | None = None) -> dict[str, Any]:
    """Return the current frame of a log record; its number is its second."""
    moment = _BASE + timedelta(seconds=number)
    return {
        "timestamp": int(moment.timestamp()),
        "received_at": moment.isoformat().replace("+00:00", "Z"),
        "log": {"severity": "info", "message": message or f"record {number}"},
    }


def listed(number: int, message: str | None = None) -> dict[str, Any]:
    """Return the same record as the list has it."""
    frame = record(number, message)
    return {"timestamp": frame["timestamp"], "received_at": frame["received_at"], **frame["log"]}


def listing(*records: dict[str, Any]) -> Act:
    """Answer plain requests with the records since `received_at.gte`, page by page."""

    async def act(request: web.Request) -> web.StreamResponse:
        query = request.query
        since = datetime.fromisoformat(query["received_at.gte"])
        found = [one for one in records if datetime.fromisoformat(one["received_at"]) >= since]
        offset = int(query.get("offset", 0))
        page = found[offset : offset + int(query["limit"])]
        return web.json_response({"logs": page, "total_count": len(found)})

    return act


class StreamServer:
    """Answers the n-th handshake by the n-th act, and the last act again and again.

    Attributes:
        handshakes: Requests to open a WebSocket, in order.
        lists: Queries of plain requests, in order.
        listing: Answers plain requests.
        received: What clients sent over WebSockets: type and data.
    """

    def __init__(self, *acts: Act) -> None:
        self._acts = list(acts)
        self.handshakes: list[web.Request] = []
        self.lists: list[dict[str, str]] = []
        self.listing: Act | None = None
        self.received: list[tuple[WSMsgType, Any]] = []
        self.url = ""
        self.stopping = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            self.lists.append(dict(request.query))
            assert self.listing is not None, "a plain request was not expected"
            return await self.listing(request)
        act = self._acts[min(len(self.handshakes), len(self._acts) - 1)]
        self.handshakes.append(request)
        return await act(request)


SERVER = web.AppKey("server", StreamServer)


@asynccontextmanager
async def serving(*acts: Act, ssl_context: Any = None) -> AsyncIterator[StreamServer]:
    server = StreamServer(*acts)
    app = web.Application()
    app[SERVER] = server
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"{'https' if ssl_context else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        server.stopping.set()
        await runner.cleanup()


@asynccontextmanager
async def client_of(server: StreamServer | str, **options: Any) -> AsyncIterator[EnapterClient]:
    options = {"token": TOKEN, "retry": RetryPolicy(initial_delay=0.01, max_delay=0.02), **options}
    url = server if isinstance(server, str) else server.url
    async with EnapterClient(base_url=url, **options) as client:
        yield client


def readers() -> list[str]:
    """Return the names of tasks that the client has running."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("enapter_async")]


# -- acts -----------------------------------------------------------------------------------------------------


def refuse(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Act:
    """Refuse the handshake."""

    async def act(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body if body is not None else {}, status=status, headers=headers)

    return act


def send(*frames: Any, then: Callable[[web.Request, web.WebSocketResponse], Awaitable[None]] | None = None) -> Act:
    """Open the WebSocket, send frames (str and bytes as they are, all else as JSON), then stay, or do as told."""

    async def act(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        for frame in frames:
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
        await (then or stay)(request, socket)
        return socket

    return act


async def stay(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Answer pings until the client closes."""
    server: StreamServer = request.app[SERVER]
    stopping = asyncio.ensure_future(server.stopping.wait())
    reading = asyncio.ensure_future(_read(server, socket, answering=True))
    await asyncio.wait({stopping, reading}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, reading):
        task.cancel()
    await asyncio.gather(stopping, reading, return_exceptions=True)


async def ignore(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Note what comes and answer nothing: a peer that is as good as dead."""
    await _read(request.app[SERVER], socket, answering=False)


async def drop(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Cut the connection, once the client has what was sent."""
    await asyncio.sleep(0.01)
    assert request.transport is not None
    request.transport.abort()


def close(code: int, reason: str = "") -> Callable[[web.Request, web.WebSocketResponse], Awaitable[None]]:
    """Close the WebSocket in the proper way."""

    async def then(_: web.Request, socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=reason.encode())

    return then


async def _read(server: StreamServer, socket: web.WebSocketResponse, *, answering: bool) -> None:
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return
        server.received.append((message.type, message.data))
        if message.type is WSMsgType.PING and answering:
            await socket.pong(message.data)


async def hang(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await request.app[SERVER].stopping.wait()
    return web.Response()
