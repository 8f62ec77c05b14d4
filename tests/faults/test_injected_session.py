"""An `aiohttp.ClientSession` of the caller's: used, never closed, never changed, and overridden where it must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from enapter_async import (
    ClientClosedError,
    ConnectError,
    InvalidBodyError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    RequestError,
    ResponseTooLargeError,
    Timeouts,
    UnexpectedRedirectError,
)
from tests.faults.clients import CALLS, SITE, impatient, read, unsafe
from tests.faults.raw_server import Exchange, RawServer, gzipped, response, sending
from tests.secrecy import TOKEN, assert_clean

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    good = response(SITE, 200, "Set-Cookie: session=theirs; Path=/")
    async with RawServer(sending(good, then="keep")).running() as running:
        yield running


def settings(session: aiohttp.ClientSession) -> dict[str, object]:
    return {
        "headers": dict(session.headers),
        "cookies": [(cookie.key, cookie.value) for cookie in session.cookie_jar],
        "timeout": session.timeout,
        "auth": session.auth,
        "raise_for_status": session.raise_for_status,
        "auto_decompress": session.auto_decompress,
        "trust_env": session.trust_env,
        "traces": tuple(session.trace_configs),
        "skip": session.skip_auto_headers,
    }


async def test_it_is_neither_closed_nor_changed(server: RawServer) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"mine": "1"})
    async with aiohttp.ClientSession(
        headers={"X-Mine": "yes", "Accept": "text/html", "X-Enapter-Auth-Token": "of another program"},
        cookie_jar=jar,
        timeout=aiohttp.ClientTimeout(total=77),
        trace_configs=[aiohttp.TraceConfig()],
    ) as session:
        before = settings(session)
        async with impatient(server, http_session=session) as client:
            await asyncio.gather(*(call(client) for call in (read, unsafe)), return_exceptions=True)
        assert not session.closed
        assert settings(session) == before
        # It still works for its owner, as it did.
        async with session.get(server.url) as answer:
            assert answer.status == 200
    sent = server.requests[0].headers
    assert (sent["x-mine"], sent["accept"], sent["x-enapter-auth-token"]) == ("yes", "application/json", TOKEN)
    assert server.requests[-1].headers["x-enapter-auth-token"] == "of another program"


async def test_our_headers_do_not_stay_in_it(server: RawServer) -> None:
    async with aiohttp.ClientSession() as session:
        async with impatient(server, http_session=session, user="somebody") as client:
            await read(client)
        async with session.get(server.url):
            pass
    theirs = server.requests[-1].headers
    assert not any(name.startswith("x-enapter") for name in theirs)


async def test_its_timeouts_do_not_count() -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.answer(SITE)

    hasty = aiohttp.ClientTimeout(total=0.01, sock_read=0.01)
    async with RawServer(slow).running() as server, aiohttp.ClientSession(timeout=hasty) as session:
        async with impatient(server, http_session=session, timeouts=Timeouts(attempt=5)) as client:
            await read(client)
        assert server.seen == 1


async def test_it_does_not_raise_or_redirect_for_us() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            await exchange.answer(b"", 404)
        else:
            await exchange.answer(b"", 307, "Location: /elsewhere")

    async with RawServer(behaviour).running() as server, aiohttp.ClientSession(raise_for_status=True) as session:
        async with impatient(server, http_session=session) as client:
            with pytest.raises(NotFoundError):
                await read(client)
            with pytest.raises(UnexpectedRedirectError):
                await unsafe(client)
        assert server.seen == 2


@pytest.mark.parametrize("auto_decompress", [True, False])
async def test_it_does_not_decompress_for_us(auto_decompress: bool) -> None:
    async def behaviour(exchange: Exchange) -> None:
        body = {"get": gzipped(SITE), "post": gzipped(b" " * 10_000_000)}[exchange.request.method.lower()]
        await exchange.answer(body, 200, "Content-Encoding: gzip")

    async with (
        RawServer(behaviour).running() as server,
        aiohttp.ClientSession(auto_decompress=auto_decompress) as session,
        impatient(server, http_session=session, max_response_bytes=1000) as client,
    ):
        await read(client)
        with pytest.raises(ResponseTooLargeError):
            await unsafe(client)


async def test_its_base_url_is_not_ours(server: RawServer) -> None:
    async with RawServer(sending(response(b"{}"))).running() as other:
        async with aiohttp.ClientSession(base_url=other.url + "/base/") as session:
            async with impatient(server, http_session=session) as client:
                await read(client)
        assert (server.requests[0].target, other.seen) == ("/v3/sites/S", 0)


async def test_its_traces_see_our_requests(server: RawServer) -> None:
    seen: list[str] = []

    async def begin(_: aiohttp.ClientSession, __: SimpleNamespace, params: Any) -> None:
        seen.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        async with impatient(server, http_session=session) as client:
            await read(client)
    assert seen == ["GET"]


async def test_a_trace_that_raises_does_not_come_out(server: RawServer) -> None:
    async def begin(*_: object) -> None:
        raise KeyError(TOKEN)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        async with impatient(server, http_session=session) as client:
            with pytest.raises(RequestError, match="the request could not be sent") as caught:
                await unsafe(client)
    assert caught.value.outcome == "not_sent"
    assert server.seen == 0
    assert_clean(caught.value)


@pytest.mark.parametrize(("limit", "per_host", "width"), [(3, 0, 3), (0, 2, 2), (5, 4, 4), (0, 0, 8), (50, 0, 8)])
async def test_the_gate_is_no_wider_than_its_connector(limit: int, per_host: int, width: int) -> None:
    most = now = 0

    async def behaviour(exchange: Exchange) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        await exchange.answer(SITE)

    connector = aiohttp.TCPConnector(limit=limit, limit_per_host=per_host)
    async with RawServer(behaviour).running() as server, aiohttp.ClientSession(connector=connector) as session:
        options = {"max_in_flight": 8, "rate_limit": RateLimit(initial_in_flight=100)}
        async with impatient(server, http_session=session, **options) as client:
            tasks = [asyncio.ensure_future(read(client)) for _ in range(40)]
            await server.arrived()
            assert client.load.in_flight <= width
            await asyncio.gather(*tasks)
    assert most == width


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_one_that_was_closed_before_is_said_to_be(server: RawServer, safety: Any) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with impatient(server, http_session=session) as client:
        with pytest.raises(ClientClosedError, match="injected") as caught:
            await CALLS[safety](client)
    assert_clean(caught.value)
    assert server.seen == 0


@pytest.mark.parametrize("begun", [b"", response(SITE[:10], announce=100)], ids=["before the answer", "in the body"])
async def test_one_that_is_closed_under_a_command_leaves_its_outcome_unknown(begun: bytes) -> None:
    async with RawServer(sending(begun, then="hang")).running() as server:
        session = aiohttp.ClientSession()
        # aiohttp does not wake who reads a body when its session is closed: there the attempt's time has to end.
        async with impatient(server, http_session=session) as client:
            task = asyncio.ensure_future(unsafe(client))
            await server.arrived()
            await asyncio.sleep(0.02)
            await session.close()
            with pytest.raises(OutcomeUnknownError) as caught:
                async with asyncio.timeout(2):
                    await task
        assert_clean(caught.value)
        assert server.seen == 1


async def test_a_damaged_body_leaves_its_pool_usable() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(b"no gzip", 200, "Content-Encoding: gzip")
        else:
            await exchange.answer(SITE)

    connector = aiohttp.TCPConnector(limit=1)
    async with RawServer(behaviour).running() as server, aiohttp.ClientSession(connector=connector) as session:
        async with impatient(server, http_session=session) as client:
            with pytest.raises(InvalidBodyError):
                await read(client)
            await read(client)


async def test_a_pool_that_its_owner_has_filled_is_waited_for_within_the_connect_timeout() -> None:
    endless = sending(response(b"", announce=100), then="hang")
    connector = aiohttp.TCPConnector(limit=1)
    async with RawServer(endless).running() as server, aiohttp.ClientSession(connector=connector) as session:
        async with session.get(server.url):
            timeouts = Timeouts(connect=0.02, attempt=5)
            async with impatient(server, http_session=session, timeouts=timeouts) as client:
                with pytest.raises(ConnectError, match="no connection in time") as caught:
                    await unsafe(client)
    assert caught.value.outcome == "not_sent"
    assert_clean(caught.value)
    assert server.seen == 1
