"""What an injected session sets holds for WebSocket handshakes as it does for calls."""

from __future__ import annotations

import base64
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from enapter_async import EnapterClient, RequestError, RetryPolicy
from enapter_async._transport.http import HttpTransport
from enapter_async._transport.lifetime import Lifetime
from enapter_async._transport.opening import Opening
from tests.faults.forward_proxy import proxying
from tests.faults.raw_server import Exchange, RawServer
from tests.faults.stream_server import TOKEN, StreamServer, client_of, record, send, serving

pytestmark = pytest.mark.anyio

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # aiohttp's: many sessions have one still
    LOGIN = aiohttp.BasicAuth("user", "password")


def session_with(**settings: Any) -> aiohttp.ClientSession:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return aiohttp.ClientSession(**settings)


@pytest.fixture
async def server() -> AsyncIterator[StreamServer]:
    async with serving(send(record(1))) as running:
        running.listing = answer_list
        yield running


async def answer_list(_: web.Request) -> web.StreamResponse:
    return web.json_response({"logs": []})


async def call_and_follow(client: EnapterClient) -> None:
    await client.logs.list("d").collect()
    async with client.logs.follow("d") as stream:
        assert (await anext(stream)).message == "record 1"


async def test_the_proxy_of_a_session_is_used_for_both(server: StreamServer) -> None:
    async with proxying() as proxy, session_with(proxy=proxy.url) as session:
        async with client_of(server, http_session=session) as client:
            await call_and_follow(client)
        assert [TOKEN in head for head in proxy.heads] == [True, True]
        assert ["Upgrade: websocket" in head for head in proxy.heads] == [False, True]
        assert proxy.heads[1].startswith(f"GET {server.url}/v3/devices/d/logs HTTP/1.1")


async def test_nothing_goes_past_a_proxy_that_refuses(server: StreamServer) -> None:
    async with proxying("basic nobody has it") as proxy, session_with(proxy=proxy.url) as session:
        async with client_of(server, http_session=session, retry=RetryPolicy.none()) as client:
            with pytest.raises(RequestError):
                async with client.logs.follow("d"):
                    pass
        assert len(proxy.heads) == 1
        assert server.handshakes == []


async def test_the_password_of_a_proxy_is_used_for_both(server: StreamServer) -> None:
    password = "basic " + base64.b64encode(b"user:password").decode().lower()
    async with proxying(password) as proxy:
        async with session_with(proxy=proxy.url, proxy_auth=LOGIN) as session:
            async with client_of(server, http_session=session) as client:
                await call_and_follow(client)
        assert ["basic" in head.lower() for head in proxy.heads] == [True, True]


async def test_the_login_of_a_session_is_sent_with_both(server: StreamServer) -> None:
    async with session_with(auth=LOGIN) as session, client_of(server, http_session=session) as client:
        await call_and_follow(client)
    assert server.handshakes[0].headers["Authorization"] == LOGIN.encode()
    assert server.handshakes[0].headers["X-Enapter-Auth-Token"] == TOKEN


@pytest.mark.parametrize(("limit", "passes"), [(20_000, True), (8_190, False)])
async def test_the_parser_limits_of_a_session_hold_for_handshakes(limit: int, passes: bool) -> None:
    async def verbose(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        socket.headers["X-Long"] = "x" * 10_000
        await socket.prepare(request)
        await socket.send_json(record(1))
        await socket.receive()
        return socket

    async with serving(verbose) as server, session_with(max_field_size=limit) as session:
        async with client_of(server, http_session=session, retry=RetryPolicy.none()) as client:
            stream = client.logs.follow("d")
            if passes:
                async with stream:
                    assert (await anext(stream)).message == "record 1"
            else:
                with pytest.raises(RequestError):
                    await stream.__aenter__()


async def test_cookies_and_headers_of_a_session_are_sent_with_both(server: StreamServer) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"mine": "1"})
    async with session_with(cookie_jar=jar, headers={"X-Mine": "yes"}) as session:
        async with client_of(server, http_session=session) as client:
            await call_and_follow(client)
        assert not session.closed
    assert server.handshakes[0].headers["X-Mine"] == "yes"
    assert server.handshakes[0].cookies["mine"] == "1"


async def test_the_middlewares_of_a_session_see_both(server: StreamServer) -> None:
    seen: list[str] = []

    async def mark(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.method)
        request.headers["X-Marked"] = "yes"
        return await handler(request)

    async with session_with(middlewares=[mark]) as session, client_of(server, http_session=session) as client:
        await call_and_follow(client)
    assert seen == ["GET", "GET"]
    assert server.handshakes[0].headers["X-Marked"] == "yes"


@pytest.mark.parametrize("status", [200, 503])
async def test_a_middleware_that_repeats_writes_nothing_twice(status: int) -> None:
    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        for _ in range(3):
            response = await handler(request)
        return response

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(b'{"execution_id": "E"}', status)

    async with RawServer(answer).running() as raw, session_with(middlewares=[again]) as session:
        async with client_of(raw.url, http_session=session) as client:
            if status == 200:
                assert await client.commands.start("D", "stop") == "E"
            else:
                with pytest.raises(RequestError):
                    await client.commands.start("D", "stop")
        assert len(raw.requests) == 1


OVERRIDDEN = {"_connector_owner", "_timeout", "_auto_decompress", "_raise_for_status", "_middlewares", "_request"}


async def test_a_handshake_differs_from_its_session_in_what_is_overridden_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever aiohttp lets a session set, today or in a later version."""
    seen: list[dict[str, object]] = []

    async def look(self: aiohttp.ClientSession, *_: object, **__: object) -> None:
        seen.append(dict(vars(self)))
        raise aiohttp.ClientConnectionError

    class Resolved(aiohttp.ClientResponse):
        pass

    async with session_with(
        proxy="http://proxy.example.net",
        proxy_auth=LOGIN,
        auth=LOGIN,
        max_line_size=1,
        max_field_size=2,
        max_headers=3,
        read_bufsize=4,
        version=aiohttp.HttpVersion10,
        skip_auto_headers=["User-Agent"],
        response_class=Resolved,
        raise_for_status=True,
        trust_env=True,
    ) as session:
        before = dict(vars(session))
        transport = HttpTransport("http://127.0.0.1:1", Lifetime(), session=session)
        transport._lifetime.enter()
        monkeypatch.setattr(aiohttp.ClientSession, "_ws_connect", look)
        with pytest.raises(RequestError):
            await transport.upgrade(
                "http://127.0.0.1:1/", {}, Opening(), deadline=1e9, connect_timeout=1, max_message_bytes=1
            )
        assert vars(session) == before
    [during] = seen
    assert {name for name, value in during.items() if value is not before.get(name)} <= OVERRIDDEN
    assert during.keys() >= before.keys()
