"""The terminal of a Gateway, over one WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from types import TracebackType
from typing import Final, Self

from enapter_async._arguments import refuse_argument, require_whole_number
from enapter_async._protocol.request import Request
from enapter_async._protocol.terminal import decode_output, encode_message
from enapter_async._protocol.values import require_timeout
from enapter_async._session import Session
from enapter_async._transport.websocket import WebSocket
from enapter_async.config import StreamPolicy
from enapter_async.errors import ClientClosedError, DecodeError, RequestError, StreamError

_SIGN_OF_LIFE: Final = 10.0
_SIGNS_PER_PING: Final = 3  # a "keepalive_ping" every 30 s (reference.md, section 11a)
_FOREVER: Final = 1e9  # seconds; only closing the client ends it
_LARGEST: Final = 65_535
_POLICY: Final = StreamPolicy()


class Terminal(AsyncIterator[str]):
    """A terminal on a Gateway. Open it with `async with`, type with `send`, and read its output with `async for`.

    The output contains escape sequences and an echo of your input. Iteration ends when the terminal ends, for example
    after `exit`. A lost connection is not restored, and iteration raises `StreamError`. Keep reading while you send,
    since unread output makes the Gateway wait.
    """

    def __init__(self, session: Session, request: Request, channel_id: str, *, timeout: float | None = None) -> None:
        """Create a terminal. Called by `client.devices.open_terminal`.

        Args:
            session: Opens the connection.
            request: Request for the WebSocket.
            channel_id: Channel of the messages.
            timeout: Timeout for opening the terminal, in seconds.

        Raises:
            InvalidArgumentError: The timeout is invalid.
        """
        self._session = session
        self._request = request
        self._channel_id = channel_id
        self._timeout = session.timeouts.total if timeout is None else require_timeout(timeout)
        self._websocket: WebSocket | None = None
        self._keeping_alive: asyncio.Task[None] | None = None
        self._entered = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<Terminal {self._channel_id!r}, {'open' if self._websocket is not None else 'not open'}>"

    async def __aenter__(self) -> Self:
        """Open the terminal.

        Raises:
            APIError: The server refused, for example with `AuthenticationError` for a session that has ended.
            TransportError: The server could not be reached.
            DeadlineExceededError: The timeout expired, possibly because `max_streams` streams are already open.
            StreamError: The response was not a valid WebSocket handshake, or the terminal was already opened.
        """
        if self._entered:
            raise StreamError("a terminal can be opened only once: start another session")
        self._entered = True
        self._websocket, _ = await self._session.upgrade(self._request, _POLICY, timeout=self._timeout)
        name = f"enapter_async {self._request.operation.name}"
        self._keeping_alive = asyncio.create_task(self._keep_alive(self._websocket), name=name)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        websocket, self._websocket = self._websocket, None
        if self._keeping_alive is not None:
            self._keeping_alive.cancel()
        if websocket is not None:
            self._session.give_place_back()
            politely = not isinstance(exc, asyncio.CancelledError) and not self._session.closed
            await websocket.close(politely=politely)

    async def send(self, text: str) -> None:
        r"""Type text. Lines end with `\n`.

        Raises:
            InvalidArgumentError: The text is not a string.
            StreamError: The terminal is not open, or the connection is lost.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("text", "must be a string", text)
        await self._send("stdin", text)

    async def set_size(self, *, rows: int, columns: int) -> None:
        """Set the size of the terminal.

        Args:
            rows: Number of lines, at least one.
            columns: Characters per line, at least one.

        Raises:
            InvalidArgumentError: A number is invalid.
            StreamError: The terminal is not open, or the connection is lost.
        """
        size = [
            require_whole_number(number, name, 1, _LARGEST) for name, number in (("rows", rows), ("columns", columns))
        ]
        await self._send("set_size", *size)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """Wait for the next piece of text.

        Raises:
            StreamError: The terminal is not open, or the connection is lost.
            DecodeError: A message is unreadable. Later messages may be fine.
            ClientClosedError: The client was closed.
        """
        while not self._ended:
            websocket = self._opened()
            text = self._shown(websocket, await self._receive(websocket))
            if text:
                return text
            self._ended = text is None
        raise StopAsyncIteration

    async def _receive(self, websocket: WebSocket) -> str | bytes:
        try:
            async with self._session.open_until(asyncio.get_running_loop().time() + _FOREVER):
                return await websocket.receive()
        except TimeoutError:
            failure: Exception = ClientClosedError("the client was closed while the terminal was open")
        except RequestError as error:
            failure = self._lost(error)
        raise failure

    def _shown(self, websocket: WebSocket, message: str | bytes) -> str | None:
        try:
            return decode_output(message)
        except DecodeError as error:
            error.args = tuple(websocket.masked(arg) if isinstance(arg, str) else arg for arg in error.args)
            error.located(self._request.operation.name, self._request.operation.method, self._request.path)
            raise

    async def _send(self, *words: str | int) -> None:
        websocket = self._opened()
        message = encode_message(self._channel_id, *words)
        try:
            await websocket.send(message)
        except RequestError as error:
            failure = self._lost(error)
        else:
            return
        raise failure

    def _opened(self) -> WebSocket:
        if self._websocket is None:
            raise StreamError("the terminal is not open: use `async with`")
        return self._websocket

    def _lost(self, error: RequestError) -> StreamError:
        return StreamError(f"{self._request.operation.name}: {error}")

    async def _keep_alive(self, websocket: WebSocket) -> None:
        message = encode_message(self._channel_id, "keepalive_ping")
        try:
            for number in count(1):
                await self._session.sleep(_SIGN_OF_LIFE)
                # Pings of the server are answered only while something waits for text.
                await websocket.keep_alive()
                if number % _SIGNS_PER_PING == 0:
                    await websocket.send(message)
        except (RequestError, ClientClosedError):
            return  # the next read or send raises the error
