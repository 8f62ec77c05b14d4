"""Outages of streams: they end with a frame and not with a handshake, and what is refused is not asked for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from enapter_async import (
    AuthenticationError,
    ConnectionLostError,
    NotFoundError,
    PermissionDeniedError,
    Stream,
    StreamError,
    StreamGap,
    StreamPolicy,
)
from enapter_async._protocol.closing import Refusal, refusal_of
from tests.faults.stream_server import HASTY, TOKEN, StreamServer, client_of, close, drop, record, send, serving, stay
from tests.secrecy import texts_within

pytestmark = pytest.mark.anyio

BOUNDED = StreamPolicy(initial_delay=0.005, max_delay=0.02, max_outage=0.2)


async def close_without_code(request: web.Request, socket: web.WebSocketResponse) -> None:
    writer = socket._writer
    assert writer is not None
    await writer.send_frame(b"", aiohttp.WSMsgType.CLOSE)


async def ending_of(stream: Stream[Any]) -> StreamError:
    """Follow a stream to its end."""
    async with asyncio.timeout(5):
        with pytest.raises(StreamError) as caught:
            async for _ in stream:
                pass
    return caught.value


# -- an outage ends with a frame -------------------------------


@pytest.mark.parametrize("then", [close(1000), close(1001), close(1011), close_without_code, drop])
async def test_a_server_that_accepts_and_hangs_up_is_an_outage_that_ends(then: Any) -> None:
    async with serving(send(then=then)) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=BOUNDED) as stream:
            error = await ending_of(stream)
    assert error.gap
    assert error.attempts >= 2
    assert 0 <= len(server.handshakes) - error.attempts <= 1  # the last may have been given up when it was sent
    assert "received no frames" in str(error)


async def test_frames_that_make_no_sense_do_not_end_an_outage() -> None:
    async with serving(send("no", '{"error": "no"}', then=close(1000))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=BOUNDED) as stream:
            error = await ending_of(stream)
    assert error.attempts >= 2


async def test_a_frame_ends_an_outage() -> None:
    acts = [send(then=drop), send(then=drop), send(record(1), then=drop)] * 4
    policy = StreamPolicy(initial_delay=0.001, max_delay=0.03, max_outage=0.3)
    async with serving(*acts, send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            async with asyncio.timeout(5):
                assert [(await anext(stream)).message for _ in range(5)] == ["record 1"] * 4 + ["record 2"]


async def test_a_quiet_connection_that_lasted_ends_an_outage() -> None:
    async def quiet(request: web.Request, socket: web.WebSocketResponse) -> None:
        waiting = asyncio.ensure_future(stay(request, socket))
        await asyncio.wait({waiting}, timeout=0.12)
        waiting.cancel()
        await drop(request, socket)

    policy = StreamPolicy(initial_delay=0.001, max_delay=0.01, heartbeat=0.05, max_outage=0.2)
    acts = [send(then=quiet)] * 4
    async with serving(*acts, send(record(1))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            async with asyncio.timeout(5):
                assert (await anext(stream)).message == "record 1"
            assert stream.gaps == 4


# -- refusals by close code -----------------------------------


@asynccontextmanager
async def provided(*acts: Any) -> AsyncIterator[tuple[StreamServer, Any, list[str]]]:
    """A server, and a client whose tokens are numbered."""
    given: list[str] = []

    async def provider() -> str:
        given.append(f"{TOKEN}-{len(given)}")
        return given[-1]

    async with serving(*acts) as server, client_of(server, token=provider) as client:
        yield server, client, given


CODES: Any = [
    (4401, 401, AuthenticationError),
    (3000, 401, AuthenticationError),
    (4403, 403, PermissionDeniedError),
    (3003, 403, PermissionDeniedError),
    (1008, None, ConnectionLostError),
]


@pytest.mark.parametrize(("code", "status", "cause"), CODES)
async def test_a_token_that_is_refused_after_the_handshake_is_renewed_once(
    code: int, status: int | None, cause: type[Exception]
) -> None:
    async with provided(send(then=close(code, f"token {TOKEN}-1 has expired"))) as (server, client, given):
        async with client.logs.follow("d", policy=HASTY) as stream:
            error = await ending_of(stream)
    assert len(given) == len(server.handshakes) == 2
    assert (error.status, error.gap) == (status, True)
    assert type(error.__cause__) is cause
    assert f"code {code}" in str(error)
    for text in texts_within(error):
        assert f"{TOKEN}-1" not in text


@pytest.mark.parametrize("code", [4401, 1008])
async def test_each_frame_earns_another_renewal(code: int) -> None:
    acts = [send(record(number), then=close(code)) for number in range(5)]
    async with provided(*acts, send(record(5))) as (_, client, given):
        async with client.logs.follow("d", policy=HASTY) as stream:
            async with asyncio.timeout(5):
                got = [(await anext(stream)).message for _ in range(6)]
    assert got == [f"record {number}" for number in range(6)]
    assert len(given) == 6


@pytest.mark.parametrize(("code", "status", "cause"), [*CODES, (4404, 404, NotFoundError)])
async def test_a_fixed_token_that_is_refused_at_once_ends_the_stream(
    code: int, status: int | None, cause: type[Exception]
) -> None:
    async with serving(send(then=close(code, "no"))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            error = await ending_of(stream)
    assert len(server.handshakes) == 1
    assert (error.status, type(error.__cause__)) == (status, cause)


async def test_a_refusal_after_frames_is_tried_once_more_also_with_a_fixed_token() -> None:
    acts = (send(record(1), then=close(1008)), send(record(2), then=close(4401)), send(then=close(4401)))
    async with serving(*acts) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            error = await ending_of(stream)
    assert (len(server.handshakes), error.status) == (3, 401)


@pytest.mark.parametrize("code", [4408, 4429, 4500, 4001, 1011, 1012, 1013])
def test_other_codes_are_no_refusal(code: int) -> None:
    assert refusal_of(code) is None


def test_what_a_refusal_is_about() -> None:
    assert refusal_of(None) is None
    assert refusal_of(4404) == Refusal(404)
    assert not Refusal(404).is_about_the_token
    assert Refusal(None).is_about_the_token


# -- what is told -----------------------------------------------


@pytest.mark.parametrize(
    ("frames", "then", "reason"),
    [
        ((), close_without_code, "the server closed the stream"),
        ((), close(1001, "bye"), "the server closed the stream with code 1001: bye"),
        (("x" * 2000,), stay, "a frame is larger than max_frame_bytes"),
    ],
)
async def test_the_reason_of_a_gap_is_the_reason_and_nothing_else(
    frames: tuple[str, ...], then: Callable[..., Awaitable[None]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = StreamPolicy(initial_delay=0.01, max_delay=0.02, max_frame_bytes=1000)
    async with serving(send(record(1), *frames, then=then), send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            events = stream.events()
            async with asyncio.timeout(5):
                got = [await anext(events) for _ in range(3 + len(frames))]
    gap = got[-2]
    assert isinstance(gap, StreamGap)
    assert gap.reason == reason
    assert f"logs.follow: {reason}" in [one.getMessage() for one in caplog.records]
    assert not any("0 attempts" in one.getMessage() for one in caplog.records)
