"""The token: asked for as seldom as possible, renewed once after a 401, and never shown."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from enapter_async import (
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    EnapterClient,
    EnapterError,
    PermissionDeniedError,
    Safety,
    Series,
    StreamError,
    TimeseriesQuery,
    TokenProviderError,
)
from tests.faults.clients import CALLS, GOOD, SITE, Call, impatient, read, unsafe
from tests.faults.raw_server import Exchange, RawServer, as_json, chunked, gzipped, response, sending
from tests.secrecy import TOKEN, Watcher, assert_clean, texts_within

pytestmark = pytest.mark.anyio

each_class = pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)


class Provider:
    """Gives `TOKEN-1`, `TOKEN-2` and so on."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0.01)
        return f"{TOKEN}-{number}"


def accepting(*tokens: str, refusal: tuple[bytes, int] = (b"", 401)) -> Callable[[Exchange], Awaitable[None]]:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.request.headers.get("x-enapter-auth-token") in tokens:
            await exchange.answer(GOOD[Safety.UNSAFE if exchange.request.method == "POST" else Safety.READ])
        else:
            await exchange.answer(*refusal)

    return behaviour


async def open_stream(client: EnapterClient) -> object:
    async with client.logs.follow("D") as stream:
        return await anext(stream)


async def query_rows(client: EnapterClient) -> object:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    query = TimeseriesQuery(start=begin, end=begin + timedelta(hours=1), granularity=60, series=[Series("D", ["a"])])
    return await client.telemetry.query_timeseries(query)


EXPIRED = as_json({"errors": [{"code": "invalid_header", "details": {"header": "X-Enapter-Auth-Token"}}]})
LOUD = as_json({"errors": [{"code": "gateway/INVALID_HEADER", "details": {"header": "x-enapter-auth-token"}}]})
REFUSALS = {"401": (b"", 401), "403 for the token": (EXPIRED, 403), "403 in another case": (LOUD, 403)}
each_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)


def sent(server: RawServer) -> list[str]:
    return [request.headers["x-enapter-auth-token"].removeprefix(TOKEN) for request in server.requests]


async def test_many_callers_ask_once() -> None:
    provider = Provider()
    async with RawServer(accepting(f"{TOKEN}-1")).running() as server, impatient(server, token=provider) as client:
        await asyncio.gather(*(read(client) for _ in range(20)))
        await read(client.with_options(user="somebody"))
    assert (provider.asked, set(sent(server))) == (1, {"-1"})


@each_refusal
@each_class
async def test_it_is_renewed_once_after_a_refusal(safety: Safety, refusal: tuple[bytes, int]) -> None:
    provider = Provider()
    watcher = Watcher()
    options = {"token": provider, "hooks": [watcher]}
    async with (
        RawServer(accepting(f"{TOKEN}-2", refusal=refusal)).running() as server,
        impatient(server, **options) as client,
    ):
        await CALLS[safety](client)
    assert (provider.asked, sent(server)) == (2, ["-1", "-2"])
    assert watcher.names == ["RequestStarted", "AttemptFailed", "RequestFinished"]
    watcher.assert_clean()


@each_refusal
async def test_it_is_renewed_for_a_stream_of_rows(refusal: tuple[bytes, int]) -> None:
    provider = Provider()
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    query = TimeseriesQuery(start=begin, end=begin + timedelta(hours=1), granularity=60, series=[Series("D", ["a"])])
    async with (
        RawServer(accepting(f"{TOKEN}-2", refusal=refusal)).running() as server,
        impatient(server, token=provider) as client,
    ):
        with contextlib.suppress(DecodeError):  # the answer is no series
            async with client.telemetry.stream_timeseries(query) as stream:
                await anext(aiter(stream))
    assert sent(server)[:2] == ["-1", "-2"]


@each_refusal
async def test_it_is_renewed_for_a_websocket(refusal: tuple[bytes, int]) -> None:
    provider = Provider()
    async with (
        RawServer(accepting(f"{TOKEN}-2", refusal=refusal)).running() as server,
        impatient(server, token=provider) as client,
    ):
        with pytest.raises(StreamError, match="status 200"):  # accepted, by a server that knows no WebSockets
            async with client.logs.follow("D") as stream:
                await anext(stream)
    assert sent(server)[:2] == ["-1", "-2"]


UNUSUAL = {
    "ends with the connection": b"HTTP/1.1 403 Words\r\nConnection: close\r\n\r\n" + EXPIRED,
    "HTTP/1.0": b"HTTP/1.0 403 Words\r\n\r\n" + EXPIRED,
    "cut off behind the error": response(EXPIRED, 403, announce=5_000),
    "compressed": response(gzipped(EXPIRED), 403, "Content-Encoding: gzip"),
    "in chunks": chunked(EXPIRED[:9], EXPIRED[9:]).replace(b"200", b"403", 1),
    "too large to be read whole": response(EXPIRED + b" " * 1_000_000, 403),
}


@pytest.mark.parametrize("refusal", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("call", [read, unsafe, open_stream, query_rows], ids=lambda call: call.__name__)
async def test_it_is_renewed_whatever_the_body_of_the_refusal_looks_like(call: Call, refusal: bytes) -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.request.headers["x-enapter-auth-token"] == f"{TOKEN}-2":
            await exchange.answer(b"not what was asked for")
        else:
            await exchange.send(refusal)
            exchange.close()

    async with RawServer(behaviour).running() as server, impatient(server, token=Provider()) as client:
        with contextlib.suppress(DecodeError, StreamError):
            await call(client)
    assert sent(server)[:2] == ["-1", "-2"]


@each_class
async def test_a_403_for_the_role_renews_nothing(safety: Safety) -> None:
    provider = Provider()
    forbidden = (as_json({"errors": [{"code": "forbidden", "message": "OWNER is needed"}]}), 403)
    async with (
        RawServer(accepting(refusal=forbidden)).running() as server,
        impatient(server, token=provider) as client,
    ):
        with pytest.raises(PermissionDeniedError):
            await CALLS[safety](client)
    assert (provider.asked, server.seen) == (1, 1)


async def test_a_token_that_rotates_works_for_ever() -> None:
    provider = Provider()
    valid = 1

    async def behaviour(exchange: Exchange) -> None:
        if exchange.request.headers["x-enapter-auth-token"] == f"{TOKEN}-{valid}":
            await exchange.answer(SITE)
        else:
            await exchange.answer(EXPIRED, 403)

    async with RawServer(behaviour).running() as server, impatient(server, token=provider) as client:
        for _ in range(5):
            await read(client)
            await read(client)
            valid += 1  # what was valid until now has expired
    assert provider.asked == 5


async def test_many_callers_renew_once() -> None:
    provider = Provider()
    async with RawServer(accepting(f"{TOKEN}-2")).running() as server, impatient(server, token=provider) as client:
        await asyncio.gather(*(read(client) for _ in range(20)))
    assert provider.asked == 2
    assert set(sent(server)) == {"-1", "-2"}


async def test_a_401_that_comes_late_does_not_throw_the_new_token_away() -> None:
    provider = Provider()
    renewed = asyncio.Event()

    async def behaviour(exchange: Exchange) -> None:
        if exchange.request.headers["x-enapter-auth-token"] == f"{TOKEN}-1":
            if exchange.number == 2:
                await renewed.wait()
            await exchange.answer(b"", 401)
        else:
            await exchange.answer(SITE)
            renewed.set()

    async with RawServer(behaviour).running() as server, impatient(server, token=provider) as client:
        await asyncio.gather(read(client), read(client))
    assert provider.asked == 2
    assert sent(server) == ["-1", "-1", "-2", "-2"]


@each_class
async def test_a_second_401_is_final_for_the_call_and_the_next_call_asks_again(safety: Safety) -> None:
    provider = Provider()
    async with RawServer(accepting(f"{TOKEN}-3")).running() as server, impatient(server, token=provider) as client:
        with pytest.raises(AuthenticationError) as caught:
            await CALLS[safety](client)
        assert (provider.asked, sent(server)) == (2, ["-1", "-2"])
        assert (caught.value.outcome, caught.value.attempts) == ("final", 2)
        assert_clean(caught.value)
        await CALLS[safety](client)
        assert provider.asked == 3


async def test_a_token_that_is_a_string_is_not_tried_again() -> None:
    async with RawServer(accepting()).running() as server, impatient(server) as client:
        with pytest.raises(AuthenticationError):
            await read(client)
        assert server.seen == 1


async def test_without_a_token_no_header_is_sent() -> None:
    async with (
        RawServer(sending(response(SITE), then="keep")).running() as server,
        impatient(server, token=None, user="somebody") as client,
    ):
        await read(client)
    assert "x-enapter-auth-token" not in server.requests[0].headers
    assert server.requests[0].headers["x-enapter-auth-user"] == "somebody"


async def fails() -> str:
    raise RuntimeError("the vault is closed")


async def waits_for_what_is_cancelled() -> str:
    waited_for: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waited_for.cancel()
    return await waited_for


async def gives_nothing() -> str:
    return ""


async def gives_none() -> str:
    return None  # type: ignore[return-value]


async def gives_two_lines() -> str:
    return f"{TOKEN}\r\nX-Evil: 1"


def is_not_async() -> str:
    return TOKEN


@each_class
@pytest.mark.parametrize(
    ("provider", "error", "words"),
    [
        (fails, TokenProviderError, "the token provider failed: RuntimeError"),
        (waits_for_what_is_cancelled, TokenProviderError, "the token provider failed: CancelledError"),
        (is_not_async, TokenProviderError, "the token provider failed: TypeError"),
        (gives_nothing, ConfigurationError, "^token must"),
        (gives_none, ConfigurationError, "^token must"),
        (gives_two_lines, ConfigurationError, "^token must"),
    ],
)
async def test_a_provider_that_does_not_provide_is_a_clear_error(
    provider: Callable[[], Awaitable[str]], error: type[EnapterError], words: str, safety: Safety
) -> None:
    watcher = Watcher()
    async with RawServer(accepting()).running() as server:
        async with impatient(server, token=provider, hooks=[watcher]) as client:
            with pytest.raises(error, match=words) as caught:
                await CALLS[safety](client)
            assert (client.load.in_flight, server.connections) == (0, 0)
    for text in texts_within(caught.value):
        assert TOKEN not in text
    watcher.assert_clean()
    reported = ["AttemptFailed"] if error is TokenProviderError else []
    assert watcher.names == ["RequestStarted", *reported, "RequestFinished"]


@each_class
async def test_a_provider_that_fails_at_the_renewal_says_what_had_been_sent(safety: Safety) -> None:
    asked = 0

    async def provider() -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise RuntimeError("the vault is closed")
        return f"{TOKEN}-1"

    async with RawServer(accepting()).running() as server, impatient(server, token=provider) as client:
        with pytest.raises(TokenProviderError) as caught:
            await CALLS[safety](client)
    assert (caught.value.attempts, caught.value.outcome, server.seen) == (1, "final", 1)
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_callers_who_wait_for_a_provider_that_fails_do_not_ask_it_one_after_the_other() -> None:
    asked = 0

    async def provider() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        raise RuntimeError("the vault is closed")

    async with RawServer(accepting()).running() as server, impatient(server, token=provider) as client:
        results = await asyncio.gather(*(read(client) for _ in range(50)), return_exceptions=True)
        assert all(type(result) is TokenProviderError for result in results)
        assert len(set(map(id, results))) == 50, "each call's error holds the facts of that call"
        assert asked == 1
        with pytest.raises(TokenProviderError):
            await read(client)
        assert asked == 2, "a later call tries anew"


async def test_who_asks_and_is_cancelled_leaves_the_asking_to_the_next() -> None:
    provider = Provider()
    async with RawServer(accepting(f"{TOKEN}-2")).running() as server, impatient(server, token=provider) as client:
        first = asyncio.ensure_future(read(client))
        second = asyncio.ensure_future(unsafe(client))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert provider.asked == 2
        assert sent(server) == ["-2"]


async def test_the_answers_facts_do_not_show_it() -> None:
    def shown(client: EnapterClient) -> str:
        return f"{client!r} {client.raw!r} {client.load!r} {vars(client)!r}"

    async with RawServer(accepting(TOKEN)).running() as server, impatient(server) as client:
        answer = await client.raw.sites.get("S")
        for text in (*texts_within(answer), shown(client)):
            assert TOKEN not in text


async def test_a_provider_that_raises_one_object_each_time_grows_no_traceback() -> None:
    failure = ConfigurationError("the vault is closed")

    async def provider() -> str:
        raise failure.with_traceback(None)

    async with EnapterClient(base_url="http://127.0.0.1:1", token=provider) as client:
        depths: list[int] = []
        for _ in range(10):
            with pytest.raises(ConfigurationError, match="the vault is closed") as caught:
                await read(client)
            depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
            assert caught.value is not failure
    assert len(set(depths)) == 1
