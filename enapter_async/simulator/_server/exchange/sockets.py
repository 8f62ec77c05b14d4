"""Open WebSockets: their frames, and control over them for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
from aiohttp import WSCloseCode, WSMsgType, web

from ..errors import Refusal
from ..shapes import json_text
from .call import Call
from .connections import break_connection

Frames = Callable[[float, float], list[dict[str, Any]]]
"""Creates the frames of spontaneous events, from one time on and before another."""
Handler = Callable[[Any], "dict[str, Any] | None"]
"""Makes the frame of an event, or None when the listener does not want it."""


@attrs.define(eq=False)
class Socket:
    """One open WebSocket.

    Attributes:
        operation: operationId.
        path: Path it was opened on.
        sent: Number of frames sent.
    """

    operation: str | None
    path: str
    request: web.Request = attrs.field(repr=False)
    response: web.WebSocketResponse = attrs.field(repr=False)
    received: Callable[[Socket, str], None] | None = attrs.field(default=None, repr=False)
    queue: asyncio.Queue[str | None] = attrs.field(factory=asyncio.Queue["str | None"], repr=False)
    sent: int = 0

    def put(self, frame: dict[str, Any] | str) -> None:
        """Queue a frame. A text is sent unchanged, even if it is not JSON."""
        self.queue.put_nowait(frame if isinstance(frame, str) else json_text(frame))

    def finish(self) -> None:
        """Close the socket after the queued frames."""
        self.queue.put_nowait(None)

    async def pump(self, frames: Frames, clock: Callable[[], float], interval: float) -> None:
        """Send frames until the client, a test or the end of the simulator closes the socket."""
        reader = asyncio.create_task(self._read())
        loop = asyncio.get_running_loop()
        seen, tick = clock(), loop.time()
        try:
            while True:
                tick = max(tick + interval, loop.time())
                while (frame := await self._next(tick)) != "":
                    if frame is None:
                        return
                    await self._send(frame)
                now = clock()
                for due in frames(seen, now):
                    await self._send(json_text(due))
                seen = max(now, seen)
        except ConnectionError:
            return
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _next(self, deadline: float) -> str | None:
        """Return the next queued frame, an empty one after the timeout, or None once the socket is closed."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self.queue.get()
        except TimeoutError:
            return ""

    async def _send(self, text: str) -> None:
        await self.response.send_str(text)
        self.sent += 1

    async def _read(self) -> None:
        """Wait for the client to close, and pass its texts on to the receiver, if there is one."""
        try:
            async for message in self.response:
                if self.received is not None and message.type is WSMsgType.TEXT:
                    self.received(self, message.data)
        finally:
            self.queue.put_nowait(None)


class Sockets:
    """All open WebSockets of a simulator."""

    def __init__(self, ping_interval: float) -> None:
        self._ping_interval = ping_interval
        self.open: list[Socket] = []

    async def follow(
        self,
        call: Call,
        topics: dict[str, Handler],
        frames: Frames,
        interval: float,
        *,
        opened: Callable[[Socket], None] | None = None,
        received: Callable[[Socket, str], None] | None = None,
    ) -> web.WebSocketResponse:
        """Upgrade a request and serve it until it ends.

        Args:
            call: The request.
            topics: Topics to listen to, and how their events become frames.
            frames: Creates the frames of spontaneous events.
            interval: Seconds between two looks at it.
            opened: Called with the socket once it is open.
            received: Called with the socket and each text of the client; by default they are ignored.
        """
        response = web.WebSocketResponse(heartbeat=self._ping_interval)
        if not response.can_prepare(call.request):
            raise Refusal(400, "the WebSocket handshake is not valid", code="invalid_handshake")
        await response.prepare(call.request)
        call.begin_stream()
        socket = Socket(call.operation, call.request.path, call.request, response, received)
        listeners = {topic: _listener(socket, handler) for topic, handler in topics.items()}
        for topic, listener in listeners.items():
            call.world.listen(topic, listener)
        self.open.append(socket)
        if opened is not None:
            opened(socket)
        try:
            await socket.pump(frames, call.world.now, interval)
        finally:
            self.open.remove(socket)
            for topic, listener in listeners.items():
                call.world.unlisten(topic, listener)
            if not response.closed:
                await response.close(code=WSCloseCode.GOING_AWAY)
        return response

    def emit(self, frame: dict[str, Any] | str, path: str = "") -> int:
        """Send a frame through every socket whose path contains a text. Return their number."""
        chosen = [socket for socket in self.open if path in socket.path]
        for socket in chosen:
            socket.put(frame)
        return len(chosen)

    def drop(self, path: str = "", *, reset: bool = True) -> int:
        """Break sockets without a closing handshake. Return their number."""
        chosen = [socket for socket in self.open if path in socket.path]
        for socket in chosen:
            break_connection(socket.request, reset=reset)
        return len(chosen)

    def close(self) -> None:
        """Close every socket cleanly."""
        for socket in self.open:
            socket.finish()


def _listener(socket: Socket, handler: Handler) -> Callable[[Any], None]:
    def listener(event: Any) -> None:
        frame = handler(event)
        if frame is not None:
            socket.put(frame)

    return listener


def wants_socket(request: web.Request) -> bool:
    """Return whether a request asks for an upgrade."""
    return request.headers.get("Upgrade", "").lower() == "websocket"
