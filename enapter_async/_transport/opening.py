"""The middleware that writes a request at most once, on a connection that may carry it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection

from enapter_async._transport.aiohttp_errors import convert_error
from enapter_async._transport.connection import UnusableConnectionError, check_unused
from enapter_async.errors import ConnectionLostError, Outcome, TransportError

_NO_REPEAT: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class Opening:
    """Middleware that writes one request at most once, on a connection without unread data, and records whether it did.

    aiohttp itself repeats GET, PUT and DELETE once if a connection dies, depending on the type of the exception. Our
    exception replaces it and is not repeated. The class of an injected session may repeat requests as well, one after
    another or concurrently. Such a repetition gets the outcome of the first attempt and writes nothing.
    """

    __slots__ = ("_avoidable", "_ended", "_failure", "_request", "_response", "_running", "_send", "closing")

    def __init__(self, *, closing: bool = False, avoidable: bool = False) -> None:
        """Prepare for one request.

        Args:
            closing: Whether to close the connection after the request.
            avoidable: Whether the session may send the request without this middleware.
        """
        self.closing: bool = closing
        self._avoidable = avoidable
        self._request: aiohttp.ClientRequest | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._failure: TransportError | None = None
        self._running = False
        self._ended: asyncio.Event | None = None  # created by the first repetition that waits for another run
        self._send: Callable[[Connection], Awaitable[aiohttp.ClientResponse]]

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._request is not None:
            await self._previous_run()
            if self.sent:
                return self._repeated()
        self._request = request
        self._failure = None
        while True:
            self._running = True
            # A middleware runs before a connection is chosen; `send` runs right before the request is written.
            self._send = request.send
            request.send = self._send_unless_used  # type: ignore[assignment, method-assign]
            try:
                response = await handler(request)
            except _NO_REPEAT as error:
                self._failure = convert_error(error, sent=self.sent, phase="wait")
            except UnusableConnectionError as error:
                if error.reused:
                    continue  # other idle connections may be dead too; finally a new one is opened
                self._failure = ConnectionLostError(
                    "the connection ended, or the server sent something, before the request was written",
                    phase="connect",
                    outcome="not_sent",
                )
            else:
                self._response = response
                if hdrs.SET_COOKIE in response.headers:
                    response.cookies = SimpleCookie()  # keep cookies out of the jar of an injected session
                return response
            finally:
                del request.send
                self._running = False
                if self._ended is not None:
                    self._ended.set()
                    self._ended = None
            break
        raise self._failure

    async def _previous_run(self) -> None:
        """Wait until no other run of this request can write it."""
        while self._running:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()

    def _send_unless_used(self, conn: Connection) -> Awaitable[aiohttp.ClientResponse]:
        settling = check_unused(conn)
        if settling is None and not self.closing:
            return self._send(conn)
        return self._send_after(settling, conn)

    async def _send_after(self, settling: Awaitable[None] | None, conn: Connection) -> aiohttp.ClientResponse:
        if settling is not None:
            await settling
        if self.closing and conn.protocol is not None:
            conn.protocol.force_close()
        return await self._send(conn)

    def _repeated(self) -> aiohttp.ClientResponse:
        """Return the response, or raise the error, of the first attempt. The request must not be written again."""
        if self._response is not None:
            return self._response
        raise self._failure or ConnectionLostError("interrupted, and not sent again", phase="wait")

    def check_sent(self) -> None:
        """Ensure that the response to a change does not come from the cache of a session or a middleware.

        Raises:
            ConnectionLostError: This middleware did not write the request.
        """
        if not self.closing or self._request is not None:
            return
        if self._avoidable:
            raise ConnectionLostError("the injected session ignored the client's middlewares", phase="wait")
        raise ConnectionLostError(
            "the injected session returned a response without sending the request",
            phase="connect",
            outcome="not_sent",
            permanent=True,
        )

    def refused_with(self, error: Exception) -> aiohttp.ClientResponse | None:
        """Return the error response that code of the session turned into an exception, or None.

        That is `raise_for_status` of a middleware, or a failure to read the body.
        """
        response = self._response or (None if self._request is None else self._request.response)
        if response is None or (response.status or 0) < 300:  # None until the head has arrived
            return None
        if isinstance(error, aiohttp.ClientResponseError):
            return response if response.status == error.status and not error.history else None
        return response if isinstance(error, aiohttp.ClientPayloadError) else None

    @property
    def sent(self) -> bool:
        """Whether anything may have reached the server: aiohttp sets `response` after writing."""
        return self._avoidable if self._request is None else self._request.response is not None

    @property
    def outcome(self) -> Outcome:
        """The outcome of the request if nothing more arrives."""
        return "unknown" if self.sent else "not_sent"
