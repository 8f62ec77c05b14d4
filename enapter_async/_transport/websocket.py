"""One WebSocket connection through aiohttp: handshake, heartbeat and messages. It raises only errors of the SDK."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import ClassVar, Final

import aiohttp
from aiohttp import WSMsgType

from enapter_async._protocol.failure import http_date
from enapter_async._protocol.redact import masked
from enapter_async._protocol.redirect import same_host_target
from enapter_async._protocol.request import Answer, Headers, Request
from enapter_async._transport.http import HttpTransport
from enapter_async._transport.opening import Opening
from enapter_async._transport.reading import read_refusal
from enapter_async.errors import (
    ConnectionLostError,
    DecodeError,
    EnapterError,
    InvalidBodyError,
    RequestError,
    ResponseTooLargeError,
)

_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_ENDINGS: Final = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED})
_NOT_TEXT: Final = 1007
_TOO_LARGE: Final = 1009
_LONGEST_REASON: Final = 200
_FAREWELL: Final = 1.0
"""Seconds for the server to answer a close frame."""


async def connect(
    transport: HttpTransport,
    request: Request,
    headers: Mapping[str, str],
    *,
    deadline: float,
    connect_timeout: float,
    heartbeat: float,
    max_message_bytes: int,
    token: str | None,
) -> WebSocket | Answer:
    """Open a WebSocket in one attempt.

    A redirect is followed here, and only to the same host (`_protocol.redirect`).

    Args:
        transport: Opens the connection.
        request: Request for the WebSocket, a GET.
        headers: All headers, including authentication.
        deadline: Loop time at which to give up.
        connect_timeout: Seconds to establish the connection.
        heartbeat: Seconds of silence before a ping, and again after it.
        max_message_bytes: Maximum size of a message, in bytes.
        token: Token in the headers, to be masked in errors.

    Returns:
        The connection, or the complete response if the server did not switch protocols.

    Raises:
        RequestError: No complete response was received.
        StreamError: The server switched protocols in an invalid way.
        ClientClosedError: The injected session is closed.
    """
    url = transport.url(request)
    followed = 0
    while True:
        handshake = _Handshake()
        try:
            connection = await transport.upgrade(
                url,
                headers,
                handshake,
                deadline=deadline,
                connect_timeout=connect_timeout,
                max_message_bytes=max_message_bytes,
            )
        except _Refused as refused:
            answer = refused.answer
        except RequestError:
            if handshake.refusal is None:
                raise
            answer = handshake.refusal
        else:
            return WebSocket(connection, heartbeat, handshake.answered_at, token=token)
        location = answer.headers.get("Location") if answer.status in _REDIRECTS else None
        target = same_host_target(url, location) if location and followed < _MAX_REDIRECTS else None
        if target is None:
            return answer
        url = target
        followed += 1


class _Refused(EnapterError):  # noqa: N818 - a signal inside this module
    """Carries an error response past aiohttp."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class _Handshake(Opening):
    """Middleware of one handshake, which reads the response of a server that does not switch protocols."""

    __slots__ = ("answered_at", "refusal")

    def __init__(self) -> None:
        super().__init__()
        self.answered_at = datetime.now(UTC)
        self.refusal: Answer | None = None  # without its body, which may never end; the status is enough

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await super().__call__(request, handler)
        headers = Headers(response.raw_headers)
        if response.status == 101:
            self.answered_at = _server_time(headers)
            return response
        self.refusal = Answer(response.status, headers, b"")
        try:
            body = await read_refusal(response)
        finally:
            response.close()
        raise _Refused(Answer(response.status, headers, body))


def _server_time(headers: Headers) -> datetime:
    """Return the server's time to the second, or the local time if it sent none."""
    return http_date(headers.get("Date") or "") or datetime.now(UTC)


class WebSocket:
    """An open connection.

    Attributes:
        opened_at: When it was opened, by the server's clock if it sent its time (to the second).
        opened: Loop time at which it was opened.
        heard: Loop time of the last sign of life.
        messages: Number of messages received.
        token: Token with which it was opened.
        close_code: Code with which the server closed it, if any.
    """

    status: ClassVar = 101

    def __init__(
        self,
        connection: aiohttp.ClientWebSocketResponse,
        heartbeat: float,
        opened_at: datetime,
        *,
        token: str | None = None,
    ) -> None:
        self._connection = connection
        self._heartbeat = heartbeat
        self.token = token
        self._clock = asyncio.get_running_loop().time
        self.opened_at = opened_at
        self.opened = self.heard = self._clock()
        self.messages = 0
        self.close_code: int | None = None

    def masked(self, text: str) -> str:
        """Return a text from the server with the token masked, since the server may echo it."""
        return masked(text, self.token)

    async def receive(self) -> str | bytes:
        """Return the next message, text or binary. This also answers pings and detects a dead peer.

        Raises:
            ConnectionLostError: The connection ended in any other way.
            DecodeError: The connection ended because a message was too large or not UTF-8.
        """
        pinged = False
        failure: RequestError
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    message = await self._connection.receive()
            except TimeoutError:
                if pinged:
                    failure = _lost(f"nothing was received for {2 * self._heartbeat:g} s, not even a pong")
                    break
                pinged = True
                await self._send(self._connection.ping())
                continue
            except Exception as error:  # noqa: BLE001 raise only EnapterError, for any exception of aiohttp
                failure = _lost(f"the connection was lost: {type(error).__name__}")
                break
            self.heard = self._clock()
            pinged = False
            if message.type is WSMsgType.PING:
                await self._send(self._connection.pong(message.data))
                continue
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                self.messages += 1
                data: str | bytes = message.data
                return data
            if message.type is WSMsgType.ERROR:
                failure = self._broken(message.data)
                break
            if message.type in _ENDINGS:
                failure = self._ended(message)
                break
        raise failure

    async def send(self, message: str) -> None:
        """Send a text message.

        Raises:
            ConnectionLostError: It could not be written.
        """
        reason = "the connection was lost"
        try:
            async with asyncio.timeout(self._heartbeat):
                return await self._connection.send_str(message)
        except TimeoutError:
            reason = f"a message could not be written within {self._heartbeat:g} s"
        except Exception as error:  # noqa: BLE001 raise only EnapterError, for any exception of aiohttp
            reason += f": {type(error).__name__}"
        raise _lost(reason)

    async def keep_alive(self) -> None:
        """Send an unsolicited pong (RFC 6455, 5.5.3), to show that the client is alive although it does not read.

        The server's pings are queued behind the unread messages, so they cannot be answered.
        """
        await self._send(self._connection.pong())

    async def _send(self, frame: Awaitable[None]) -> None:
        # The next `receive` reports a lost connection, after the messages that arrived before.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._heartbeat):
                await frame

    async def close(self, *, politely: bool) -> None:
        """Close the connection.

        Args:
            politely: Wait briefly for the server to close its side.
        """
        with contextlib.suppress(Exception):
            # Limit the total time here: aiohttp limits only the wait for each message, and a server may send many.
            async with asyncio.timeout(_FAREWELL if politely else 0):
                await self._connection.close()

    def _ended(self, message: aiohttp.WSMessage) -> ConnectionLostError:
        if message.type is WSMsgType.CLOSE:
            self.close_code = message.data or None  # aiohttp reports 0 for an empty frame
            code = f" with code {self.close_code}" if self.close_code else ""
            reason = f": {self.masked(message.extra)[:_LONGEST_REASON]}" if message.extra else ""
            return _lost(f"the server closed the stream{code}{reason}")
        return _lost("the connection was lost")

    def _broken(self, error: object) -> ConnectionLostError | DecodeError:
        code = error.code if isinstance(error, aiohttp.WebSocketError) else None
        if code == _TOO_LARGE:
            return ResponseTooLargeError("a frame is larger than max_frame_bytes")
        if code == _NOT_TEXT:
            return InvalidBodyError("a text frame is not UTF-8")
        return _lost(f"the server violated the WebSocket protocol: {error!s:.200}")


def _lost(message: str) -> ConnectionLostError:
    return ConnectionLostError(message, phase="body")
