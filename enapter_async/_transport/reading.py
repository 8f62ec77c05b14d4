"""Reading of bodies: with a byte limit, decompression, and a check that they are complete."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol

from enapter_async._protocol.gzip import GzipDecoder
from enapter_async._protocol.request import Headers
from enapter_async._transport.aiohttp_errors import convert_error
from enapter_async._transport.lifetime import Lifetime
from enapter_async.errors import (
    AttemptTimeoutError,
    ClientClosedError,
    ConnectionLostError,
    EnapterError,
    InvalidBodyError,
    RequestError,
    ResponseTooLargeError,
)

_READ_SIZE: Final = 64 * 1024
_GZIP: Final = ("gzip", "x-gzip")
_UNCOMPRESSED: Final = frozenset({"", "identity", "none", "null", "plain", "text", "binary", "7bit", "8bit"})
"""Values of `Content-Encoding` that do not mean compression. All except `identity` are server mistakes."""
_WITHOUT_BODY: Final = (204, 304)
"""Statuses that never have a body, even if headers claim one (RFC 9110, Content)."""
_PARTIAL: Final = 206
MAX_REFUSAL: Final = 256 * 1024
"""Maximum number of bytes read from the body of an error response."""


def restore_body(response: aiohttp.ClientResponse) -> None:
    """Make a body readable again after a middleware or the response class of an injected session has read it.

    Raises:
        InvalidBodyError: Part of the body was read and is lost.
    """
    body: bytes | None = getattr(response, "_body", None)
    if body is not None:
        loop = asyncio.get_running_loop()
        content = aiohttp.StreamReader(BaseProtocol(loop), len(body) + 1, loop=loop)
        content.feed_data(body)
        content.feed_eof()
        response.content = content
    elif getattr(response.content, "_cursor", 0) and 200 <= response.status < 300:
        raise InvalidBodyError("a middleware of the injected session read only part of the body, which is now missing")


def _decoder(response: aiohttp.ClientResponse, limit: int | None) -> GzipDecoder | None:
    if response.status == _PARTIAL:
        raise InvalidBodyError("the server sent only part of the body (status 206), but the request was for all of it")
    coding = _coding(response)
    if coding == "" or response.content_length == 0 or response.status in _WITHOUT_BODY:
        return None
    if coding in _GZIP:
        return GzipDecoder(limit)
    raise InvalidBodyError(f"the body has a content encoding that was not asked for: {coding[:40]!r}")


def _coding(response: aiohttp.ClientResponse) -> str:
    """Return the compression of a body, or an empty string for none. Servers express the latter in several ways."""
    if hdrs.CONTENT_ENCODING not in response.headers:
        return ""
    values = ",".join(response.headers.getall(hdrs.CONTENT_ENCODING, ())).lower().split(",")
    return ",".join(value for value in map(str.strip, values) if not _is_uncompressed(value))


@lru_cache(maxsize=64)
def _is_uncompressed(value: str) -> bool:
    """Whether a value does not mean compression: a charset or a media type in the wrong header, for example."""
    name = value.rpartition("charset=")[2].strip('"')
    if name in _UNCOMPRESSED or "/" in name:
        return True
    try:
        "".encode(name)  # codecs that are no charsets, such as zlib, are unknown here
    except (LookupError, ValueError):
        return False
    return True


def _is_chunked(response: aiohttp.ClientResponse) -> bool:
    return "chunked" in response.headers.get(hdrs.TRANSFER_ENCODING, "").lower()


def _finish(decoder: GzipDecoder, response: aiohttp.ClientResponse) -> None:
    if decoder.untouched and _is_chunked(response):
        return  # the last chunk proves that the body is empty, and some servers compress an empty body to no bytes
    cut = False
    try:
        decoder.finish()
    except InvalidBodyError:
        cut = True
    if cut:
        # A truncated body is treated like a lost connection: the same requests may be repeated.
        raise ConnectionLostError("the compressed body was cut off", phase="body")


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the complete decoded body of at most `limit` bytes."""
    decoder = _decoder(response, limit)
    length = response.content_length
    if decoder is None and length is not None:
        if length > limit:
            raise ResponseTooLargeError(f"the body has {length:,} bytes; max_response_bytes is {limit:,}")
        content = response.content
        if content.is_eof() and response.connection is None:
            return content.read_nowait()  # it arrived with the headers: five coroutines fewer
        return await response.read()
    pieces: list[bytes] = []
    total = 0
    content = response.content
    while data := await content.readany():
        for piece in (data,) if decoder is None else decoder.feed(data):
            total += len(piece)
            if total > limit:
                raise ResponseTooLargeError(f"the body is larger than max_response_bytes, {limit:,}")
            pieces.append(piece)
    if decoder is not None:
        _finish(decoder, response)
    return b"".join(pieces)


async def read_refusal(response: aiohttp.ClientResponse) -> bytes:
    """Return the decoded body of an error response, as far as it can be read. The status is enough."""
    body = bytearray()
    with contextlib.suppress(RequestError, aiohttp.ClientError):
        decoder = _decoder(response, MAX_REFUSAL)
        while len(body) < MAX_REFUSAL and (data := await response.content.readany()):
            for piece in (data,) if decoder is None else decoder.feed(data):
                body += piece
    return bytes(body[:MAX_REFUSAL])


class StreamedAnswer:
    """A response whose body is read piece by piece. It is complete only if `pieces` ends without an error.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        failure: Error that interrupted reading, so that the session can add the details of the call.
    """

    def __init__(self, response: aiohttp.ClientResponse, lifetime: Lifetime) -> None:
        self._response = response
        self._lifetime = lifetime
        self.status: int = response.status
        self.headers: Headers = Headers(response.raw_headers)
        self.failure: EnapterError | None = None

    @property
    def ends_provably(self) -> bool:
        """Whether truncation would be detected: by the length, the last chunk or the end of gzip."""
        response = self._response
        return response.content_length is not None or _is_chunked(response) or _coding(response) in _GZIP

    async def pieces(
        self, *, idle: float | Callable[[], float], deadline: float | None = None, limit: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the decoded body.

        Args:
            idle: Maximum seconds to wait for each piece, even if bytes arrive that decode to nothing. A callable is
                called before each piece.
            deadline: Loop time at which to give up in any case, if any.
            limit: Maximum number of decoded bytes, if any.

        Raises:
            ConnectionLostError: The body ended before it was complete.
            AttemptTimeoutError: No piece arrived in time.
            DecodeError: The body cannot be decompressed, or is too large.
        """
        total = 0
        try:
            decoder = _decoder(self._response, limit)
            give_up_at = self._next_deadline(idle, deadline)
            while data := await self._read(give_up_at):
                if decoder is None:
                    total += len(data)
                    if limit is not None and total > limit:
                        raise ResponseTooLargeError(f"the body is larger than {limit:,} bytes")
                    yield data
                else:
                    before = decoder.decoded
                    for piece in decoder.feed(data):
                        yield piece
                    if decoder.decoded == before:  # for example an empty gzip member: it must not extend the wait
                        if self._lifetime.now() >= give_up_at:
                            raise AttemptTimeoutError("no more data arrived in time", phase="body")
                        continue
                give_up_at = self._next_deadline(idle, deadline)
            if decoder is not None:
                _finish(decoder, self._response)
        except EnapterError as error:
            self.failure = error
            raise

    def _next_deadline(self, idle: float | Callable[[], float], deadline: float | None) -> float:
        give_up_at = self._lifetime.now() + (idle() if callable(idle) else idle)
        return give_up_at if deadline is None else min(give_up_at, deadline)

    async def _read(self, deadline: float) -> bytes:
        failure: EnapterError
        timer = self._lifetime.begin(deadline)
        try:
            with timer:
                return await self._response.content.read(_READ_SIZE)
        except TimeoutError:
            failure = (
                ClientClosedError()
                if self._lifetime.closed
                else AttemptTimeoutError("no more data arrived in time", phase="body")
            )
        except Exception as error:  # noqa: BLE001 raise only EnapterError, for any exception of aiohttp
            # Closing also ends the connection, which may be detected before the timer.
            closed = self._lifetime.closed
            failure = ClientClosedError() if closed else convert_error(error, sent=True, phase="body")
        finally:
            self._lifetime.end(timer)
        raise failure

    def close(self) -> None:
        """Release the connection. If the body was not read to its end, the connection is closed."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()
