"""One HTTP exchange through aiohttp. It returns a complete and bounded response, or raises an error of the SDK."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from functools import lru_cache, partial
from io import BytesIO
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from enapter_async._protocol.request import Answer, Headers, Request, Safety
from enapter_async._transport.aiohttp_errors import convert_error
from enapter_async._transport.environment import check_environment_proxy
from enapter_async._transport.lifetime import Lifetime
from enapter_async._transport.opening import Opening
from enapter_async._transport.reading import StreamedAnswer, read_body, read_refusal, restore_body
from enapter_async.errors import (
    AttemptTimeoutError,
    ClientClosedError,
    EnapterError,
    StreamError,
    TransportError,
)

_CONTENT_TYPE: Final = ("Content-Type",)
_LARGE: Final = 512 * 1024


class HttpTransport:
    """Owns the aiohttp sessions, or uses the caller's session.

    Requests that change something use a new connection each: a kept-alive connection that died unnoticed would make
    the outcome of a command unknown without need.
    """

    def __init__(
        self,
        base_url: str,
        lifetime: Lifetime,
        *,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        session: aiohttp.ClientSession | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.base_url = base_url
        asks_environment = trust_env if session is None else session.trust_env
        if asks_environment and proxy is None:
            check_environment_proxy(base_url)
        self._base = base_url + "/"
        self._lifetime = lifetime
        self._tls: ssl.SSLContext | bool = True if ssl_context is None else ssl_context
        self._proxy = proxy
        self._trust_env = trust_env
        self._injected = session
        # Middlewares of an injected session come first. Ours is the last before the wire and prevents a second write.
        self._middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        if session is not None:
            self._middlewares = tuple(vars(session).get("_middlewares", ()))
        self._avoidable = session is not None and _overrides_requests(session)
        self._resolver = resolver
        self._pooled: aiohttp.ClientSession | None = session
        self._fresh: aiohttp.ClientSession | None = session

    @property
    def connection_limit(self) -> int | None:
        """Maximum number of connections of an injected session, None without a limit."""
        connector = self._injected.connector if self._injected is not None else None
        if connector is None:
            return None
        limits = [limit for limit in (connector.limit, connector.limit_per_host) if limit]
        return min(limits, default=None)

    def _session(self, safety: Safety) -> aiohttp.ClientSession:
        # Created on first use, because it needs the running loop.
        if safety is Safety.READ:
            if self._pooled is None:
                self._pooled = self._build(force_close=False)
            return self._pooled
        if self._fresh is None:
            self._fresh = self._build(force_close=True)
        return self._fresh

    def _build(self, *, force_close: bool) -> aiohttp.ClientSession:
        # No connection limit here: requests wait in the limiter instead, which is fair.
        connector = aiohttp.TCPConnector(limit=0, force_close=force_close, resolver=self._resolver)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=self._trust_env
        )

    async def send(
        self, request: Request, headers: Mapping[str, str], *, deadline: float, connect_timeout: float, limit: int
    ) -> Answer:
        """Send a request once and read the whole response. For an error status, the body is optional.

        Args:
            request: Request to send.
            headers: All headers, including authentication.
            deadline: Loop time at which to give up.
            connect_timeout: Seconds to make a connection.
            limit: Maximum number of decoded bytes of the body.

        Raises:
            RequestError: No complete response was received.
            ClientClosedError: The injected session is closed.
        """
        opening = self._opening(request)
        phase = "wait"
        timer = self._lifetime.begin(deadline)
        failure: EnapterError
        response: aiohttp.ClientResponse | None = None
        refusal: Answer | None = None
        try:
            with timer:
                response = await self._request(request, headers, opening, connect_timeout)
                phase = "body"
                if self._injected is not None:
                    opening.check_sent()
                    restore_body(response)
                if not 200 <= response.status < 300:
                    refusal = Answer(response.status, Headers(response.raw_headers), b"")
                    refusal.body = await read_refusal(response)
                    return refusal
                body = await read_body(response, limit)
                answer = Answer(response.status, Headers(response.raw_headers), body)
                response = None  # aiohttp got the connection back at the end of the body
                return answer
        except EnapterError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 raise only EnapterError, for any exception of aiohttp
            failure = self._failure(error, opening, phase)
            if (refused := opening.refused_with(error)) is not None:
                refusal = Answer(refused.status, Headers(refused.raw_headers), b"")
        finally:
            if response is not None:
                response.close()
            self._lifetime.end(timer)
        if refusal is not None:
            return refusal  # a proxy's body may be truncated or oddly compressed; the status is enough
        raise failure

    def url(self, request: Request) -> str:
        """Return the complete URL of a request."""
        if request.elsewhere is not None:
            return request.elsewhere.url
        url = self._base + request.path
        return f"{url}?{request.query}" if request.query else url

    def _opening(self, request: Request) -> Opening:
        # Our own connectors already close connections where this is wanted.
        closing = self._injected is not None and request.operation.safety is not Safety.READ
        return Opening(closing=closing, avoidable=self._avoidable)

    def _request(
        self, request: Request, headers: Mapping[str, str], opening: Opening, connect_timeout: float
    ) -> Awaitable[aiohttp.ClientResponse]:
        operation = request.operation
        if opening.closing:
            headers = CIMultiDict(headers, Connection="close")
        # Override the settings of an injected session for this request only.
        return self._session(operation.safety).request(
            operation.method,
            URL(self.url(request), encoded=True),
            headers=headers,
            data=_payload(request.body),
            timeout=_timeout(connect_timeout),
            ssl=self._tls,
            proxy=self._proxy,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            middlewares=(*self._middlewares, opening),
            # aiohttp adds a media type to an empty POST, which a strict server may reject.
            skip_auto_headers=_CONTENT_TYPE if request.body is None and operation.method == "POST" else None,
        )

    def _failure(self, error: Exception, opening: Opening, phase: str) -> EnapterError:
        closed = self._injected is not None and self._injected.closed
        # aiohttp raises a RuntimeError if the session was closed before the request.
        if closed and (not opening.sent or isinstance(error, RuntimeError)):
            return ClientClosedError("the injected aiohttp.ClientSession is closed")
        if isinstance(error, TimeoutError):
            return _timed_out(error, opening, phase)
        return convert_error(error, sent=opening.sent, phase=phase)

    async def stream(
        self, request: Request, headers: Mapping[str, str], *, deadline: float, connect_timeout: float
    ) -> StreamedAnswer:
        """Send a request once and return when the headers have arrived. The caller closes the response."""
        opening = self._opening(request)
        failure: EnapterError
        response: aiohttp.ClientResponse | None = None
        timer = self._lifetime.begin(deadline)
        try:
            with timer:
                response = await self._request(request, headers, opening, connect_timeout)
                if self._injected is not None:
                    restore_body(response)
                streamed = StreamedAnswer(response, self._lifetime)
                response = None  # the caller closes it
                return streamed
        except EnapterError:
            raise
        except Exception as error:  # noqa: BLE001 raise only EnapterError, for any exception of aiohttp
            failure = self._failure(error, opening, "wait")
            if (refused := opening.refused_with(error)) is not None:
                return StreamedAnswer(refused, self._lifetime)
        finally:
            if response is not None:
                response.close()
            self._lifetime.end(timer)
        raise failure

    async def upgrade(
        self,
        url: str,
        headers: Mapping[str, str],
        opening: Opening,
        *,
        deadline: float,
        connect_timeout: float,
        max_message_bytes: int,
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket. `opening` must raise for any status except 101.

        aiohttp's `ws_connect` follows redirects and sends the token to any host (seen in 3.14), and it hides the body
        of an error response. Only a middleware runs before that, and only a session can have one. So each handshake
        gets a separate session on the connector that never reuses a connection.
        """
        owner = self._session(Safety.UNSAFE)
        if owner.closed:
            raise ClientClosedError("the injected aiohttp.ClientSession is closed")
        session = _handshake_session(owner, (*self._middlewares, opening), connect_timeout)
        if hdrs.AUTHORIZATION in headers:
            vars(session).update(_default_auth=None)  # that login is for the API, and aiohttp refuses two of them
        failure: EnapterError
        timer = self._lifetime.begin(deadline)
        try:
            with timer:
                return await session.ws_connect(
                    URL(url, encoded=True),
                    headers=headers,
                    ssl=self._tls,
                    proxy=self._proxy,
                    autoping=False,
                    compress=0,  # without decompression, the size of a frame is its size on the wire
                    max_msg_size=max_message_bytes,
                )
        except EnapterError:
            raise
        except aiohttp.WSServerHandshakeError as error:
            failure = StreamError(f"the WebSocket handshake is invalid: {error.message}", status=error.status)
        except Exception as error:  # noqa: BLE001 raise only EnapterError, for any exception of aiohttp
            failure = self._failure(error, opening, "wait")
        finally:
            self._lifetime.end(timer)
            session.detach()
        raise failure

    async def close(self) -> None:
        """Close the sessions created here. An injected session stays open."""
        if self._injected is not None:
            return
        for session in (self._pooled, self._fresh):
            if session is not None:
                await session.close()
        self._pooled = self._fresh = None
        if self._resolver is not None:
            await self._resolver.close()


def _overrides_requests(session: aiohttp.ClientSession) -> bool:
    """Whether the class of a session decides how requests are sent, and may ignore our middleware."""
    mine, usual = type(session), aiohttp.ClientSession
    return any(getattr(mine, name) is not getattr(usual, name) for name in ("request", "_request"))


def _handshake_session(
    owner: aiohttp.ClientSession, middlewares: tuple[aiohttp.ClientMiddlewareType, ...], connect_timeout: float
) -> aiohttp.ClientSession:
    """Return a session for one handshake on the connector of another session. Detach it instead of closing it.

    Only a copy keeps all settings of an injected session: its proxy, the proxy's password and the limits of its
    parser have no public names.
    """
    session = copy(owner)
    vars(session).update(
        _connector_owner=False,
        _timeout=_timeout(connect_timeout),
        _auto_decompress=False,
        _raise_for_status=False,  # as in `send`
        _middlewares=middlewares,
        _request=partial(_request_handshake, session._request),  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    )
    return session


async def _request_handshake(
    request: Callable[..., Awaitable[aiohttp.ClientResponse]], *args: object, **options: object
) -> aiohttp.ClientResponse:
    # Without `read_until_eof`, aiohttp ignores the body of a refusal that has no length. Redirects are switched off
    # because a session that drops our middleware would follow them to any host.
    return await request(*args, **(options | {"read_until_eof": True, "allow_redirects": False}))


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    # aiohttp writes bytes at once and warns if they are many. It writes a file piece by piece.
    return BytesIO(body) if body is not None and len(body) > _LARGE else body


@lru_cache(maxsize=64)
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    """Return a timeout for connecting only. Our own timers limit everything else."""
    return aiohttp.ClientTimeout(total=None, connect=connect)


def _timed_out(error: TimeoutError, opening: Opening, phase: str) -> TransportError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return convert_error(error, sent=False, phase="connect")
    return AttemptTimeoutError(
        "no complete response in time", phase=phase if opening.sent else "connect", outcome=opening.outcome
    )
