"""One HTTP exchange through aiohttp: bytes out, a complete and bounded answer in, our errors only."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from enapter_async._protocol.gzip import GzipDecoder
from enapter_async._protocol.request import Answer, Headers, Request, Safety
from enapter_async._transport.lifetime import Lifetime
from enapter_async.errors import (
    AttemptTimeoutError,
    ClientClosedError,
    ConnectError,
    ConnectionLostError,
    EnapterError,
    InvalidBodyError,
    NameResolutionError,
    Outcome,
    ResponseTooLargeError,
    TLSError,
    TransportError,
)

TLSSetting: TypeAlias = ssl.SSLContext | bool

_READ_SIZE: Final = 64 * 1024
_NO_REPEAT: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class HttpTransport:
    """Owns the aiohttp sessions, or borrows the caller's.

    Requests that change something travel on a connection of their own: a kept-alive one that died unnoticed
    would make the outcome of a command unknown for no good reason.
    """

    def __init__(
        self,
        base_url: str,
        lifetime: Lifetime,
        *,
        connect_timeout: float,
        tls: TLSSetting = True,
        proxy: str | None = None,
        trust_env: bool = False,
        session: aiohttp.ClientSession | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._base = base_url + "/"
        self._lifetime = lifetime
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._tls = tls
        self._proxy = proxy
        self._trust_env = trust_env
        self._injected = session
        self._resolver = resolver
        self._pooled: aiohttp.ClientSession | None = session
        self._fresh: aiohttp.ClientSession | None = session

    @property
    def connection_limit(self) -> int | None:
        """The most connections that an injected session has, None where there is no limit."""
        connector = self._injected.connector if self._injected is not None else None
        if connector is None:
            return None
        limits = [limit for limit in (connector.limit, connector.limit_per_host) if limit]
        return min(limits, default=None)

    def use_tls(self, tls: TLSSetting) -> None:
        """Set what certificates are accepted; before the first request."""
        self._tls = tls

    def _session(self, safety: Safety) -> aiohttp.ClientSession:
        # Built inside the running loop, when first needed.
        if safety is Safety.READ:
            if self._pooled is None:
                self._pooled = self._build(force_close=False)
            return self._pooled
        if self._fresh is None:
            self._fresh = self._build(force_close=True)
        return self._fresh

    def _build(self, *, force_close: bool) -> aiohttp.ClientSession:
        # No limit of its own: requests are gated before they get here, so that waiting is fair.
        connector = aiohttp.TCPConnector(limit=0, force_close=force_close, resolver=self._resolver)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=self._trust_env
        )

    async def exchange(self, request: Request, headers: Mapping[str, str], *, when: float, limit: int) -> Answer:
        """Send a request once and read the whole answer.

        Args:
            request: What to send.
            headers: All headers, auth included.
            when: Loop time at which to give up.
            limit: Most decoded bytes of the body.

        Raises:
            RequestError: There was no complete answer.
            ClientClosedError: The injected session is closed.
        """
        opening = _Opening()
        phase = "wait"
        timer = self._lifetime.begin(when)
        failure: EnapterError
        response: aiohttp.ClientResponse | None = None
        try:
            async with timer:
                response = await self._request(request, headers, opening)
                phase = "body"
                body = await _read(response, limit)
                answer = Answer(response.status, Headers(response.raw_headers), body)
                response.release()
                response = None
                return answer
        except EnapterError:
            raise
        except TimeoutError:
            failure = AttemptTimeoutError(
                "no complete answer in time", phase=phase if opening.sent else "connect", outcome=opening.outcome
            )
        except Exception as error:  # noqa: BLE001 only EnapterError may come out, whatever aiohttp raises
            failure = self._failure(error, opening, phase)
        finally:
            if response is not None:
                response.close()
            self._lifetime.end(timer)
        raise failure

    async def _request(self, request: Request, headers: Mapping[str, str], opening: _Opening) -> aiohttp.ClientResponse:
        operation = request.operation
        url = self._base + request.path
        if request.query:
            url += "?" + request.query
        # What an injected session might do differently is overridden for this request, and nothing else.
        return await self._session(operation.safety).request(
            operation.method,
            URL(url, encoded=True),
            headers=headers,
            data=request.body,
            timeout=self._timeout,
            ssl=self._tls,
            proxy=self._proxy,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            middlewares=(opening,),
        )

    def _failure(self, error: Exception, opening: _Opening, phase: str) -> EnapterError:
        if self._injected is not None and self._injected.closed:
            return ClientClosedError("the injected aiohttp.ClientSession is closed")
        return described(error, sent=opening.sent, phase=phase)

    async def stream(self, request: Request, headers: Mapping[str, str], *, when: float) -> StreamedAnswer:
        """Send a request once and return as soon as the headers are there; close what is returned."""
        opening = _Opening()
        failure: EnapterError
        timer = self._lifetime.begin(when)
        try:
            async with timer:
                return StreamedAnswer(await self._request(request, headers, opening), self._lifetime)
        except EnapterError:
            raise
        except TimeoutError:
            failure = AttemptTimeoutError(
                "no answer in time", phase="wait" if opening.sent else "connect", outcome=opening.outcome
            )
        except Exception as error:  # noqa: BLE001 only EnapterError may come out, whatever aiohttp raises
            failure = self._failure(error, opening, "wait")
        finally:
            self._lifetime.end(timer)
        raise failure

    async def close(self) -> None:
        """Close what was created here; an injected session stays open."""
        if self._injected is not None:
            return
        for session in (self._pooled, self._fresh):
            if session is not None:
                await session.close()
        self._pooled = self._fresh = None


class _Opening:
    """Middleware of one request: knows whether it was sent, and stops aiohttp from repeating it.

    aiohttp repeats GET, PUT and DELETE once by itself when a connection dies, for which it looks at the type
    of the exception: ours, raised in its place, passes through.
    """

    __slots__ = ("_request",)

    def __init__(self) -> None:
        self._request: aiohttp.ClientRequest | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self._request = request
        failure: TransportError
        try:
            return await handler(request)
        except _NO_REPEAT as error:
            failure = described(error, sent=self.sent, phase="wait")
        raise failure

    @property
    def sent(self) -> bool:
        """Whether anything can have reached the server: aiohttp sets `response` when it has written."""
        return self._request is not None and self._request.response is not None

    @property
    def outcome(self) -> Outcome:
        """What is known of the request if nothing more comes."""
        return "unknown" if self.sent else "not_sent"


class StreamedAnswer:
    """An answer whose body is read piece by piece; complete only when `pieces` ends without an error."""

    def __init__(self, response: aiohttp.ClientResponse, lifetime: Lifetime) -> None:
        self._response = response
        self._lifetime = lifetime
        self.status = response.status
        self.headers = Headers(response.raw_headers)

    @property
    def ends_provably(self) -> bool:
        """Whether a body cut off would be noticed: by its length, its last chunk, or the end of gzip."""
        headers = self._response.headers
        return (
            self._response.content_length is not None
            or "chunked" in headers.get("Transfer-Encoding", "").lower()
            or headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip")
        )

    async def pieces(self, *, idle: float, limit: int | None = None) -> AsyncIterator[bytes]:
        """Yield the decoded body.

        Args:
            idle: Most seconds to wait for each piece.
            limit: Most decoded bytes in all, None for no bound.

        Raises:
            ConnectionLostError: The body ended before it was complete.
            AttemptTimeoutError: No piece came in time.
            DecodeError: It cannot be decompressed, or is too large.
        """
        decoder = _decoder(self._response, limit)
        total = 0
        while True:
            data = await self._read(idle)
            if not data:
                break
            if decoder is None:
                total += len(data)
                if limit is not None and total > limit:
                    raise ResponseTooLargeError(f"the body is larger than {limit:,} bytes")
                yield data
            else:
                for piece in decoder.feed(data):
                    yield piece
        if decoder is not None:
            _finish(decoder)

    async def _read(self, idle: float) -> bytes:
        loop = self._lifetime.enter()
        failure: EnapterError
        timer = self._lifetime.begin(loop.time() + idle)
        try:
            async with timer:
                return await self._response.content.read(_READ_SIZE)
        except TimeoutError:
            failure = (
                ClientClosedError()
                if self._lifetime.closed
                else AttemptTimeoutError(f"nothing came for {idle:g} s", phase="body")
            )
        except Exception as error:  # noqa: BLE001 only EnapterError may come out, whatever aiohttp raises
            failure = described(error, sent=True, phase="body")
        finally:
            self._lifetime.end(timer)
        raise failure

    def close(self) -> None:
        """Give the connection back; one whose body was not read to its end is cut."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _decoder(response: aiohttp.ClientResponse, limit: int | None) -> GzipDecoder | None:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip"):
        return GzipDecoder(limit)
    raise InvalidBodyError(f"the body is compressed in a way that was not asked for: {encoding[:40]!r}")


def _finish(decoder: GzipDecoder) -> None:
    cut = False
    try:
        decoder.finish()
    except InvalidBodyError:
        cut = True
    if cut:
        # A body cut off is as good as a lost connection: what may be repeated then is the same.
        raise ConnectionLostError("the compressed body was cut off", phase="body")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    decoder = _decoder(response, limit)
    length = response.content_length
    if decoder is None and length is not None:
        if length > limit:
            raise ResponseTooLargeError(f"the body has {length:,} bytes; max_response_bytes is {limit:,}")
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
        _finish(decoder)
    return b"".join(pieces)


def described(error: BaseException, *, sent: bool, phase: str) -> TransportError:
    """Return our error for one of aiohttp's, holding nothing of it but text that has no headers in it.

    Call it inside the `except` block and raise the result after leaving it: then neither `__cause__` nor
    `__context__` keeps the original, whose arguments hold the request's headers.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectError("no connection in time", phase="connect")
        case aiohttp.ClientConnectorDNSError():
            return NameResolutionError(f"the name of {error.host} could not be resolved")
        case aiohttp.ClientConnectorCertificateError():
            return TLSError(f"the certificate of {error.host} was not accepted: {error.certificate_error}")
        case aiohttp.ClientConnectorSSLError():
            return TLSError(f"the TLS handshake with {error.host} failed: {_reason(error.os_error)}")
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(f"the proxy could not be reached: {_reason(error.os_error)}")
        case aiohttp.ClientConnectorError():
            return ConnectError(f"no connection to {error.host}:{error.port}: {_reason(error.os_error)}")
        case aiohttp.ClientHttpProxyError():
            return ConnectError(f"the proxy answered with status {error.status}")
        case aiohttp.ClientPayloadError():
            return ConnectionLostError("the body was cut off or malformed", phase="body", outcome="unknown")
        case aiohttp.ClientResponseError():
            return ConnectionLostError("the answer was not HTTP", phase=phase, outcome="unknown")
        case ssl.SSLError() if not sent:
            return TLSError(f"the TLS handshake failed: {_reason(error)}")
        case _:
            pass
    what = "the connection was lost" if sent else "the request could not be sent"
    return ConnectionLostError(
        f"{what}: {_reason(error)}", phase=phase if sent else "connect", outcome="unknown" if sent else "not_sent"
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
