"""An `aiohttp.ClientSession` of the caller's: used, never closed, never changed, and overridden where it must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from enapter_async import (
    ClientClosedError,
    ConnectError,
    ConnectionLostError,
    EnapterError,
    InvalidBodyError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    RequestError,
    ResponseTooLargeError,
    Safety,
    Series,
    Timeouts,
    TimeseriesQuery,
    UnexpectedRedirectError,
)
from tests.faults.clients import CALLS, GOOD, SITE, Crowd, impatient, read, unsafe
from tests.faults.raw_server import Exchange, RawServer, as_json, chunked, gzipped, reset, response, sending
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
    crowd = Crowd()
    connector = aiohttp.TCPConnector(limit=limit, limit_per_host=per_host)
    async with RawServer(crowd).running() as server, aiohttp.ClientSession(connector=connector) as session:
        options = {"max_in_flight": 8, "rate_limit": RateLimit(initial_in_flight=100)}
        async with impatient(server, http_session=session, **options) as client:
            tasks = [asyncio.ensure_future(read(client)) for _ in range(40)]
            await server.arrived()
            assert client.load.in_flight <= width
            await asyncio.gather(*tasks)
    assert crowd.most == width


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


# -- what the code of a session does with a response ------------------------------------------------------------


async def read_first(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    answered = await handler(request)
    await answered.read()
    return answered


async def read_a_part(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    answered = await handler(request)
    await answered.content.read(3)
    return answered


async def raise_for_status(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    answered = await handler(request)
    answered.raise_for_status()
    return answered


class ReadingResponse(aiohttp.ClientResponse):
    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        started = await super().start(connection)
        await self.read()
        return started


READING = {"a middleware": {"middlewares": [read_first]}, "its response class": {"response_class": ReadingResponse}}
ROWS = b"ts,telemetry=power device=D\n1,5\n2,6\n"
QUERY = TimeseriesQuery(
    start=datetime(1970, 1, 1, tzinfo=UTC),
    end=datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
    granularity=1,
    series=[Series("D", ["power"])],
)


def rows(body: bytes = ROWS) -> bytes:
    return response(body, 200, "X-Enapter-Timeseries-Data-Types: float").replace(b"application/json", b"text/csv")


@pytest.mark.parametrize("options", READING.values(), ids=READING)
@pytest.mark.parametrize("safety", [Safety.READ, Safety.UNSAFE], ids=lambda safety: safety.value)
@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)], ids=["plain", "gzip"])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
async def test_a_body_that_its_code_has_read_is_read_again(
    options: dict[str, Any], safety: Safety, headers: tuple[str, ...], in_chunks: bool
) -> None:
    body = gzipped(GOOD[safety]) if headers else GOOD[safety]
    answer = chunked(body[:7], body[7:], headers=headers) if in_chunks else response(body, 200, *headers)
    async with RawServer(sending(answer)).running() as server, aiohttp.ClientSession(**options) as session:
        async with impatient(server, http_session=session) as client:
            assert await CALLS[safety](client)


@pytest.mark.parametrize("options", READING.values(), ids=READING)
async def test_neither_are_rows_missing_that_its_code_has_read(options: dict[str, Any]) -> None:
    async with RawServer(sending(rows())).running() as server, aiohttp.ClientSession(**options) as session:
        async with impatient(server, http_session=session) as client:
            assert (await client.telemetry.query_timeseries(QUERY)).columns[0].values == [5.0, 6.0]
            async with client.telemetry.stream_timeseries(QUERY) as stream:
                assert [list(row.values) async for row in stream] == [[5.0], [6.0]]


@pytest.mark.parametrize("options", READING.values(), ids=READING)
async def test_an_error_that_its_code_has_read_keeps_its_text(options: dict[str, Any]) -> None:
    refusal = response(as_json({"errors": [{"code": "x/GONE", "message": "it left"}]}), 404)
    async with RawServer(sending(refusal)).running() as server, aiohttp.ClientSession(**options) as session:
        async with impatient(server, http_session=session) as client:
            with pytest.raises(NotFoundError, match="it left"):
                await read(client)


@pytest.mark.parametrize("options", READING.values(), ids=READING)
@pytest.mark.parametrize("safety", [Safety.READ, Safety.UNSAFE], ids=lambda safety: safety.value)
async def test_an_error_status_counts_even_if_its_code_cannot_read_the_body(
    options: dict[str, Any], safety: Safety
) -> None:
    cut_off = response(b"{}" * 20, 404)[:-5]
    async with RawServer(sending(cut_off)).running() as server, aiohttp.ClientSession(**options) as session:
        async with impatient(server, http_session=session) as client:
            with pytest.raises(NotFoundError):
                await CALLS[safety](client)
        assert server.seen == 1


async def test_a_body_of_which_its_code_has_read_a_part_is_never_short() -> None:
    async with RawServer(sending(rows())).running() as server:
        async with aiohttp.ClientSession(middlewares=[read_a_part]) as session:
            async with impatient(server, http_session=session) as client:
                with pytest.raises(InvalidBodyError, match="read only part of the body"):
                    await client.telemetry.query_timeseries(QUERY)
                with pytest.raises(InvalidBodyError, match="read only part of the body"):
                    async with client.telemetry.stream_timeseries(QUERY):
                        pass
        assert server.seen == 2


@pytest.mark.parametrize("safety", [Safety.READ, Safety.UNSAFE], ids=lambda safety: safety.value)
async def test_a_middleware_that_raises_for_a_status_changes_no_error(safety: Safety) -> None:
    async with RawServer(sending(response(b"{}", 404))).running() as server:
        async with aiohttp.ClientSession(middlewares=[raise_for_status]) as session:
            async with impatient(server, http_session=session) as client:
                with pytest.raises(NotFoundError):
                    await CALLS[safety](client)
                with pytest.raises(NotFoundError):
                    async with client.telemetry.stream_timeseries(QUERY):
                        pass
        assert server.seen == 2


async def test_nor_does_it_hide_that_a_command_was_refused_for_its_pace() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(b"{}", 429, "Retry-After: 0")
        else:
            await exchange.answer(GOOD[Safety.UNSAFE])

    async with RawServer(behaviour).running() as server:
        async with aiohttp.ClientSession(middlewares=[raise_for_status]) as session:
            async with impatient(server, http_session=session) as client:
                assert await unsafe(client) == "E"
        assert server.seen == 2


async def test_a_part_of_a_series_is_no_series() -> None:
    partial = rows().replace(b" 200 ", b" 206 ", 1)
    async with RawServer(sending(partial)).running() as server:
        async with aiohttp.ClientSession(headers={"Range": "bytes=0-20"}) as session:
            async with impatient(server, http_session=session) as client:
                with pytest.raises(InvalidBodyError, match="206"):
                    await client.telemetry.query_timeseries(QUERY)


async def test_a_stored_response_is_no_response_to_a_command(server: RawServer) -> None:
    stored: list[aiohttp.ClientResponse] = []

    async def store(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if not stored:
            stored.append(await handler(request))
            await stored[0].read()
        return stored[0]

    server.behaviour = sending(response(GOOD[Safety.UNSAFE]))
    async with aiohttp.ClientSession(middlewares=[store]) as session, impatient(server, http_session=session) as client:
        assert await unsafe(client) == "E"
        with pytest.raises(ConnectionLostError, match="without sending the request") as caught:
            await unsafe(client)
    assert (caught.value.outcome, caught.value.attempts, server.seen) == ("not_sent", 1, 1)


with pytest.warns(DeprecationWarning, match="Inheritance"):

    class DroppingSession(aiohttp.ClientSession):
        """A session whose class sends requests without the middlewares that it is given."""

        async def _request(self, *args: Any, **options: Any) -> aiohttp.ClientResponse:
            return await super()._request(*args, **(options | {"middlewares": ()}))


async def test_a_session_that_drops_middlewares_sends_no_command_twice() -> None:
    async with RawServer(reset).running() as server, DroppingSession() as session:
        async with impatient(server, http_session=session) as client:
            with pytest.raises(OutcomeUnknownError):
                await unsafe(client)
            assert server.seen == 1
            with pytest.raises(ConnectionLostError) as caught:
                await read(client)
            assert caught.value.attempts == 3


async def test_no_redirect_of_a_handshake_is_followed_by_a_session_that_drops_middlewares() -> None:
    async with RawServer(sending(response(b"{}"))).running() as elsewhere:
        redirect = response(b"{}", 302, f"Location: {elsewhere.url}/v3/devices/D/telemetry")
        async with RawServer(sending(redirect)).running() as server, DroppingSession() as session:
            async with impatient(server, http_session=session) as client:
                with pytest.raises(EnapterError):
                    async with client.telemetry.follow("D"):
                        pass
        assert (server.seen, elsewhere.seen) == (1, 0)


async def test_a_response_to_a_command_that_may_be_another_ones_is_not_taken(server: RawServer) -> None:
    server.behaviour = sending(response(GOOD[Safety.UNSAFE]))
    async with DroppingSession() as session, impatient(server, http_session=session) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            await unsafe(client)
    assert "middlewares" in str(caught.value.__cause__)
    assert server.seen == 1


async def test_a_closed_session_of_any_class_is_said_to_be_closed(server: RawServer) -> None:
    session = DroppingSession()
    await session.close()
    async with impatient(server, http_session=session) as client:
        with pytest.raises(ClientClosedError):
            await unsafe(client)
    assert server.seen == 0
