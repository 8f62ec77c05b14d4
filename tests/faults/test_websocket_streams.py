"""Streams that are open: drops, dead peers, slow consumers, garbage, cancellation and closing."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from enapter_async import (
    ClientClosedError,
    DeviceFrame,
    EnapterClient,
    FramesDropped,
    InvalidBodyError,
    MalformedFrame,
    PermissionDeniedError,
    ResponseTooLargeError,
    SchemaError,
    Stream,
    StreamError,
    StreamGap,
    StreamPolicy,
)
from tests.faults.stream_server import (
    HASTY,
    SERVER,
    TOKEN,
    StreamServer,
    client_of,
    close,
    drop,
    hang,
    ignore,
    listed,
    listing,
    readers,
    record,
    refuse,
    send,
    serving,
    stay,
)
from tests.secrecy import texts_within

pytestmark = pytest.mark.anyio


async def take(stream: Stream[Any], count: int) -> list[Any]:
    """Return the next events, records by their message."""
    events = stream.events()
    async with asyncio.timeout(5):
        return [getattr(event, "message", event) for event in [await anext(events) for _ in range(count)]]


def messages(*numbers: int) -> list[str]:
    return [f"record {number}" for number in numbers]


# -- frames ------------------------------------------------


async def test_a_burst_comes_in_order_and_whole() -> None:
    frames = [record(number) for number in range(1000)]
    async with serving(send(*frames)) as server, client_of(server) as client, client.logs.follow("d") as stream:
        assert await take(stream, 1000) == messages(*range(1000))
        assert (stream.gaps, stream.malformed, stream.dropped) == (0, 0, 0)


async def test_frames_of_all_four_streams_are_typed() -> None:
    telemetry = {"device_id": "d", "timestamp": 1, "received_at": "2023-11-14T22:13:20Z", "telemetry": {"power": 4.2}}
    rule = {"timestamp": 1, "severity": "warning", "message": "low"}
    async with serving(send(record(1)), send(telemetry), send(telemetry), send(rule)) as server:
        async with client_of(server) as client:
            async with client.logs.follow("d") as logs:
                assert (await anext(logs)).severity == "info"
            async with client.telemetry.follow("d") as live:
                assert (await anext(live)).telemetry == {"power": 4.2}
            async with client.streams.devices(["d"]) as devices:
                assert await anext(devices) == DeviceFrame(
                    device_id="d",
                    timestamp=datetime.fromtimestamp(1, UTC),
                    received_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
                    telemetry={"power": 4.2},
                )
            async with client.rules.follow_log("r") as rules:
                assert (await anext(rules)).message == "low"


# -- malformed frames ------------------------------------------------


async def test_malformed_frames_are_events_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    bad = ["garbage", "[1, 2]", "null", "{}", json.dumps({"log": 3}), b"\xff\x00", "[" * 100_000]
    good = json.dumps(record(2)).encode()  # binary, and JSON all the same
    async with serving(send(record(1), *bad, good)) as server, client_of(server) as client:
        async with client.logs.follow("d") as stream:
            first, *middle, last = await take(stream, 9)
            assert stream.malformed == len(bad)
            assert stream.gaps == 0
    assert [first, last] == messages(1, 2)
    assert all(isinstance(event, MalformedFrame) for event in middle)
    assert [type(event.error) for event in middle[:5]] == [InvalidBodyError, *[SchemaError] * 4]
    assert middle[0].excerpt == "garbage"
    assert middle[0].error.operation == "logs.follow"
    assert len(middle[-1].excerpt) <= 200
    ours = [r.levelno for r in caplog.records if r.name == "enapter_async.stream"]
    assert ours == [logging.WARNING] * 3, "the 1st, 2nd and 4th are logged"


async def test_plain_iteration_gives_frames_only_and_counts_the_rest() -> None:
    acts = (send(record(1), "garbage", record(2), then=drop), send(record(3)))
    async with serving(*acts) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            got = [(await anext(stream)).message for _ in range(3)]
            assert (stream.malformed, stream.gaps) == (1, 1)
            assert stream.last_gap is not None
    assert got == messages(1, 2, 3)


@pytest.mark.parametrize("frame", ["x" * 2000, b"x" * 2000])
async def test_a_frame_that_is_too_large_costs_the_connection_and_is_reported(frame: str | bytes) -> None:
    policy = StreamPolicy(initial_delay=0.01, max_delay=0.02, max_frame_bytes=1000)
    async with serving(send(record(1), frame), send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            first, malformed, gap, second = await take(stream, 4)
    assert [first, second] == messages(1, 2)
    assert isinstance(malformed.error, ResponseTooLargeError)
    assert isinstance(gap, StreamGap)


async def _write_raw(request: web.Request, data: bytes) -> None:
    assert request.transport is not None
    request.transport.write(data)  # type: ignore[attr-defined]


async def test_text_that_is_not_utf8_costs_the_connection_and_is_reported() -> None:
    async def bad_text(request: web.Request, socket: web.WebSocketResponse) -> None:
        await _write_raw(request, b"\x81\x02\xff\xfe")
        await stay(request, socket)

    async with serving(send(then=bad_text), send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            malformed, gap, second = await take(stream, 3)
    assert isinstance(malformed.error, InvalidBodyError)
    assert isinstance(gap, StreamGap)
    assert second == "record 2"


_COMPRESSED = pytest.param(b"\xc1\x03\x4b\x04\x00", id="compressed")


@pytest.mark.parametrize("data", [_COMPRESSED, pytest.param(b"\x83\x00", id="3"), pytest.param(b"\x80\x01a", id="0")])
async def test_a_breach_of_the_protocol_is_a_gap(data: bytes) -> None:
    async def breach(request: web.Request, socket: web.WebSocketResponse) -> None:
        await _write_raw(request, data)
        await stay(request, socket)

    async with serving(send(then=breach), send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            gap, second = await take(stream, 2)
    assert isinstance(gap, StreamGap)
    assert second == "record 2"


async def test_a_server_that_echoes_the_token_does_not_make_us_show_it(caplog: pytest.LogCaptureFixture) -> None:
    bad = [TOKEN, json.dumps({TOKEN: TOKEN}), f'["{TOKEN}"]', "x" * 190 + TOKEN]
    acts = (send(*bad, then=close(1008, f"bad {TOKEN}")), send(then=close(4001, TOKEN)))
    events: list[Any] = []
    async with serving(*acts) as server, client_of(server, hooks=[events.append]) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            came = await take(stream, 5)
        with pytest.raises(StreamError) as caught:
            async with client.logs.follow("d", policy=StreamPolicy(reconnect=False)) as stream:
                await anext(stream)
    assert [type(one) for one in came] == [MalformedFrame] * 4 + [StreamGap]
    assert "code 1008: bad ***" in came[-1].reason
    for text in texts_within([came, events, caught.value, [logged.getMessage() for logged in caplog.records]]):
        assert TOKEN[:8] not in text


async def test_texts_of_the_server_forge_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    forged = "bye\r\nERROR root: fire\x1b[2J\x9b\u2028\u202e"
    frames = (record(1), f'{{"a": 1}} {forged}', json.dumps({"log": forged}))
    acts = (send(*frames, then=close(1000, forged)), send(then=close(1000, forged)))
    async with serving(*acts) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            _, *malformed, gap = await take(stream, 4)
        with pytest.raises(StreamError) as caught:
            async with client.logs.follow("d", policy=StreamPolicy(reconnect=False)) as stream:
                await anext(stream)
    logged = [one.getMessage() for one in caplog.records if one.name == "enapter_async.stream"]
    assert "ERROR root: fire" in gap.reason
    assert "ERROR root: fire" in str(caught.value)
    for text in (*logged, gap.reason, str(caught.value), *(f"{one.error} {one.excerpt}" for one in malformed)):
        assert text.isprintable(), text


# -- drops ------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (drop, "lost"),
        (close(1000), "code 1000"),
        (close(1001, "going away"), "code 1001: going away"),
        (close(1008, "policy"), "code 1008"),
        (close(4001), "code 4001"),
    ],
)
async def test_a_connection_that_ends_is_made_again_and_the_gap_is_told(ending: Any, reason: str) -> None:
    before = datetime.now(UTC)
    acts = (send(record(1), then=ending), refuse(503), send(record(2)))
    async with serving(*acts) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            first, gap, second = await take(stream, 3)
            assert (stream.connected, stream.gaps, stream.last_gap) == (True, 1, gap)
    assert [first, second] == messages(1, 2)
    assert reason in gap.reason
    assert gap.attempts == 2
    assert before <= gap.since <= gap.until <= datetime.now(UTC)
    assert not gap.filled


async def test_without_reconnection_a_drop_ends_the_stream() -> None:
    async with serving(send(record(1), then=drop)) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=StreamPolicy(reconnect=False)) as stream:
            assert (await anext(stream)).message == "record 1"
            for _ in range(2):
                with pytest.raises(StreamError) as caught:
                    await anext(stream)
    assert (caught.value.gap, caught.value.attempts) == (True, 0)
    assert len(server.handshakes) == 1


async def test_an_outage_that_lasts_too_long_ends_the_stream() -> None:
    policy = StreamPolicy(initial_delay=0.01, max_delay=0.02, max_outage=0.1)
    async with serving(send(record(1), then=drop), refuse(503, "upstream is down")) as server:
        async with client_of(server) as client, client.logs.follow("d", policy=policy) as stream:
            await anext(stream)
            with pytest.raises(StreamError, match=r"upstream is down|503") as caught:
                await anext(stream)
    error = caught.value
    assert error.gap
    assert error.attempts >= 2
    assert TOKEN not in repr(error)


async def test_a_refusal_for_good_ends_the_stream_with_the_servers_message() -> None:
    refusal = refuse(403, {"errors": [{"code": "expired", "message": "your token has expired"}]})
    async with serving(send(then=drop), refusal) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            with pytest.raises(StreamError, match="your token has expired") as caught:
                await anext(stream)
    assert (caught.value.status, caught.value.gap, caught.value.attempts) == (403, True, 1)
    assert isinstance(caught.value.__cause__, PermissionDeniedError)
    assert len(server.handshakes) == 2


async def test_a_token_that_expired_meanwhile_is_renewed_while_reconnecting() -> None:
    tokens = iter(["old", "new"])

    async def provider() -> str:
        return next(tokens)

    acts = (send(record(1), then=drop), refuse(401), send(record(2)))
    async with serving(*acts) as server, client_of(server, token=provider) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            assert [await anext(stream) is not None for _ in range(2)] == [True, True]
    assert [h.headers["X-Enapter-Auth-Token"] for h in server.handshakes] == ["old", "old", "new"]


async def test_a_token_provider_that_fails_for_a_while_does_not_end_the_stream() -> None:
    answers: Any = iter(["old", OSError("down"), OSError("down"), "new"])

    async def provider() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return str(answer)

    acts = (send(record(1), then=drop), refuse(401), send(record(2)))
    async with serving(*acts) as server, client_of(server, token=provider) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            assert await take(stream, 3) == ["record 1", stream.last_gap, "record 2"]


async def test_429_while_reconnecting_is_waited_out() -> None:
    acts = (send(record(1), then=drop), refuse(429, headers={"Retry-After": "0"}), send(record(2)))
    async with serving(*acts) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            first, gap, second = await take(stream, 3)
    assert (first, gap.attempts, second) == ("record 1", 2, "record 2")


async def test_delays_grow_while_connections_do_not_last() -> None:
    async with serving(send(then=drop)) as server, client_of(server) as client:
        policy = StreamPolicy(initial_delay=0.001, max_delay=60, max_outage=0.2)
        async with client.logs.follow("d", policy=policy) as stream:
            with pytest.raises(StreamError):
                await anext(stream)
    assert len(server.handshakes) < 20


async def test_one_of_several_connections_tells_whose_frames_were_missed() -> None:
    ids = [f"{number:036}" for number in range(200)]
    async with serving(send(), send(then=drop), send()) as server, client_of(server) as client:
        async with client.streams.devices(ids, policy=HASTY) as stream:
            (gap,) = await take(stream, 1)
            assert stream.connected
    assert gap.device_ids == tuple(server.handshakes[1].query.getall("id.in"))
    assert server.handshakes[2].query == server.handshakes[1].query
    assert 0 < len(gap.device_ids) < 200


# -- heartbeat ------------------------------------------------


async def test_pings_of_the_server_are_answered() -> None:
    async def ping(request: web.Request, socket: web.WebSocketResponse) -> None:
        await socket.ping(b"are you there")
        answer = await socket.receive(timeout=2)
        await socket.send_json(record(2, f"{answer.type.name} {bytes(answer.data).decode()}"))
        await stay(request, socket)

    async with serving(send(then=ping)) as server, client_of(server) as client, client.logs.follow("d") as stream:
        assert await take(stream, 1) == ["PONG are you there"]


async def test_frames_behind_a_ping_that_can_no_longer_be_answered_are_given() -> None:
    async def go(request: web.Request, _: web.WebSocketResponse) -> None:
        text = json.dumps(record(1)).encode()
        await _write_raw(request, b"\x89\x00" + bytes([0x81, len(text)]) + text)
        assert request.transport is not None
        request.transport.abort()

    async with serving(send(then=go), send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            first, gap, second = await take(stream, 3)
    assert [first, second] == messages(1, 2)
    assert isinstance(gap, StreamGap)


async def test_a_dead_peer_is_noticed() -> None:
    policy = StreamPolicy(heartbeat=0.05, initial_delay=0.01, max_delay=0.02)
    async with serving(send(record(1), then=ignore), send(record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            first, gap, second = await take(stream, 3)
    assert [first, second] == messages(1, 2)
    assert "not even a pong" in gap.reason
    assert (gap.until - gap.since).total_seconds() >= 0.09, "the gap begins with the last sign of life"
    assert server.received[0][0] is WSMsgType.PING


async def test_a_peer_that_is_silent_but_answers_pings_is_alive() -> None:
    async with serving(send(record(1))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=StreamPolicy(heartbeat=0.02)) as stream:
            await anext(stream)
            async with asyncio.timeout(2):
                while len(server.received) < 4:
                    await asyncio.sleep(0.01)
            assert (stream.connected, stream.gaps, len(server.handshakes)) == (True, 0, 1)


async def test_while_nothing_is_read_the_server_is_told_that_we_live() -> None:
    frames = [record(number) for number in range(5)]
    async with serving(send(*frames)) as server, client_of(server) as client:
        policy = StreamPolicy(heartbeat=0.02, buffer_size=1)
        async with client.logs.follow("d", policy=policy) as stream:
            async with asyncio.timeout(2):
                while len(server.received) < 4:
                    await asyncio.sleep(0.01)
            assert {kind for kind, _ in server.received} == {WSMsgType.PONG}
            assert await take(stream, 5) == messages(*range(5))
            assert (stream.gaps, stream.dropped) == (0, 0)


# -- slow consumers ------------------------------------------------


async def test_block_loses_nothing_however_slow_the_consumer() -> None:
    count = 5000
    async with serving(send(*map(record, range(count)))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=StreamPolicy(buffer_size=10)) as stream:
            await asyncio.sleep(0.1)
            assert await take(stream, count) == messages(*range(count))
            assert stream.dropped == 0


async def test_drop_oldest_keeps_the_newest_and_counts_the_others() -> None:
    policy = StreamPolicy(buffer_size=10, overflow="drop_oldest")
    async with serving(send(*map(record, range(100)))) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            async with asyncio.timeout(2):
                while stream.dropped < 90:
                    await asyncio.sleep(0.01)
            assert await take(stream, 11) == [FramesDropped(count=90), *messages(*range(90, 100))]
            assert stream.dropped == 90


async def test_a_gap_is_not_dropped_with_the_frames_around_it() -> None:
    policy = StreamPolicy(buffer_size=10, overflow="drop_oldest", initial_delay=0.01, max_delay=0.02)
    acts = (send(*map(record, range(5)), then=drop), send(*map(record, range(5, 50))))
    async with serving(*acts) as server, client_of(server) as client:
        async with client.logs.follow("d", policy=policy) as stream:
            async with asyncio.timeout(2):
                while stream.dropped < 41:
                    await asyncio.sleep(0.01)
            dropped, gap, *rest = await take(stream, 11)
    assert (dropped, rest) == (FramesDropped(count=41), messages(*range(41, 50)))
    assert isinstance(gap, StreamGap)


# -- filling gaps ------------------------------------------------


async def test_a_gap_is_filled_from_the_list_without_duplicates() -> None:
    live_again = [record(number) for number in (119, 120, 121)]  # the first two stand in the list already
    async with serving(send(*map(record, (1, 2)), then=drop), send(*live_again)) as server:
        server.listing = listing(*map(listed, range(1, 121)))
        async with client_of(server) as client:
            follow = client.logs.follow("d", site_id="s", severity="info", fill_gaps=True, policy=HASTY)
            async with follow as stream:
                *filled, gap, newest = await take(stream, 122)
    assert [*filled, newest] == messages(*range(1, 122)), "in order, each once, on either side of three pages"
    assert isinstance(gap, StreamGap)
    assert gap.filled
    assert {(query["severity"], query["order"]) for query in server.lists} == {("info", "RECEIVED_AT_ASC")}


async def test_what_was_said_before_the_stream_was_opened_is_no_gap() -> None:
    async with serving(send(then=drop), send()) as server:
        server.listing = listing(listed(-7200), listed(1))
        async with client_of(server) as client, client.logs.follow("d", fill_gaps=True, policy=HASTY) as stream:
            first, gap = await take(stream, 2)
    assert (first, gap.filled) == ("record 1", True)


async def test_equal_records_are_counted_not_merged() -> None:
    twin = record(1, "tick")
    async with serving(send(twin, then=drop), send()) as server:
        server.listing = listing(*[listed(1, "tick")] * 3)
        async with client_of(server) as client, client.logs.follow("d", fill_gaps=True, policy=HASTY) as stream:
            assert (await take(stream, 4))[:3] == ["tick"] * 3


async def test_a_list_that_fails_leaves_an_honest_gap() -> None:
    async with serving(send(record(1), then=drop), send(record(9))) as server:
        server.listing = refuse(404, {"errors": [{"message": "no list here"}]})
        async with client_of(server) as client, client.logs.follow("d", fill_gaps=True, policy=HASTY) as stream:
            first, gap, last = await take(stream, 3)
    assert [first, last] == messages(1, 9)
    assert not gap.filled
    assert "no list here" in gap.reason


async def test_a_drop_while_a_gap_is_filled_is_a_gap_of_its_own() -> None:
    async with serving(send(record(1), then=drop), send(then=drop), send(record(8))) as server:

        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.05)  # longer than the second connection lasts
            return await listing(*map(listed, range(1, len(server.lists) + 3)))(request)

        server.listing = slow
        async with client_of(server) as client, client.logs.follow("d", fill_gaps=True, policy=HASTY) as stream:
            events = await take(stream, 7)
    gaps = [event for event in events if isinstance(event, StreamGap)]
    assert [event for event in events if event not in gaps] == messages(1, 2, 3, 4, 8)
    assert [gap.filled for gap in gaps] == [True, True]


# -- the end ------------------------------------------------


def _phases() -> list[Any]:
    long = StreamPolicy(initial_delay=1e6, max_delay=1e6)
    return [
        pytest.param((hang,), HASTY, 1, id="opening"),
        pytest.param((send(),), HASTY, 1, id="waiting for a frame"),
        pytest.param((send(then=drop),), long, 1, id="before connecting again"),
        pytest.param((send(then=drop), hang), HASTY, 2, id="connecting again"),
        pytest.param((send(record(1), then=drop), send()), HASTY, 3, id="filling"),
        pytest.param((send(*map(record, range(100))),), StreamPolicy(buffer_size=1), 1, id="blocked"),
    ]


async def _consume(client: EnapterClient, policy: StreamPolicy) -> None:
    async with client.logs.follow("d", fill_gaps=True, policy=policy) as stream:
        if policy.buffer_size == 1:
            await asyncio.Event().wait()
        async for _ in stream:
            pass


async def _reached(server: StreamServer, requests: int) -> None:
    async with asyncio.timeout(2):
        while len(server.handshakes) + len(server.lists) < requests:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.03)


@pytest.mark.parametrize(("acts", "policy", "requests"), _phases())
async def test_cancellation_leaves_nothing(acts: Any, policy: StreamPolicy, requests: int) -> None:
    async with serving(*acts) as server, client_of(server, max_streams=1) as client:
        server.listing = hang
        consumer = asyncio.create_task(_consume(client, policy))
        await _reached(server, requests)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(0.5):
                await consumer
        assert readers() == []
        assert (client.load.in_flight, client.load.waiting) == (0, 0)
        server._acts = [send(record(7))]
        async with client.logs.follow("d", timeout=0.5) as stream:  # its place is free again
            assert (await anext(stream)).message == "record 7"


@pytest.mark.parametrize(("acts", "policy", "requests"), _phases()[:5])
async def test_closing_the_client_ends_streams(acts: Any, policy: StreamPolicy, requests: int) -> None:
    async with serving(*acts) as server, client_of(server) as client:
        server.listing = hang
        consumer = asyncio.create_task(_consume(client, policy))
        await _reached(server, requests)
        async with asyncio.timeout(0.5):
            await client.aclose()
            with pytest.raises(ClientClosedError):
                await consumer
    assert readers() == []


async def test_cancellation_after_any_number_of_steps_leaves_nothing() -> None:
    acts = (send(record(1), then=drop), send(record(2)))
    async with serving(*acts) as server, client_of(server, max_streams=1) as client:
        server.listing = listing(listed(1), listed(2))
        for steps in range(0, 150, 2):
            server.handshakes.clear()
            consumer = asyncio.create_task(_consume(client, HASTY))
            for _ in range(steps):
                await asyncio.sleep(0)
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consumer
            assert readers() == []
            assert client.load.in_flight == 0
        assert not client._session.state.streams.locked()


async def test_frames_that_came_before_the_client_was_closed_are_given_first() -> None:
    async with serving(send(record(1), record(2))) as server, client_of(server) as client:
        async with client.logs.follow("d") as stream:
            assert (await anext(stream)).message == "record 1"
            await asyncio.sleep(0.01)
            await client.aclose()
            assert (await anext(stream)).message == "record 2"
            with pytest.raises(ClientClosedError):
                await anext(stream)


async def test_streams_may_be_left_in_any_order_and_from_any_task() -> None:
    async with serving(send(record(1))) as server, client_of(server) as client:
        first, second = client.logs.follow("a"), client.logs.follow("b")
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        assert (await anext(second)).message == "record 1"
        await asyncio.create_task(second.__aexit__(None, None, None))
        assert readers() == []


async def test_a_server_that_never_stops_sending_cannot_hold_up_the_exit() -> None:
    async def flood(_: web.Request, socket: web.WebSocketResponse) -> None:
        while True:
            await socket.send_str("x" * 10_000)

    async with serving(send(then=flood)) as server, client_of(server) as client:
        async with asyncio.timeout(2):
            async with client.logs.follow("d") as stream:
                await asyncio.sleep(0.02)
        assert stream.malformed > 0


async def test_leaving_closes_the_websocket_in_the_proper_way() -> None:
    ended: list[Any] = []

    async def note(_: web.Request, socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        ended.append((message.type, socket.close_code))

    async with serving(send(then=note)) as server, client_of(server) as client, client.logs.follow("d"):
        pass
    assert ended == [(WSMsgType.CLOSE, 1000)]


async def test_the_repr_tells_the_state_and_no_secret() -> None:
    async with serving(send()) as server, client_of(server) as client:
        stream = client.logs.follow("d")
        assert repr(stream) == "<Stream logs.follow, not connected>"
        async with stream:
            assert repr(stream) == "<Stream logs.follow, connected>"
        assert TOKEN not in repr(vars(stream))


async def test_cancellation_while_leaving_leaves_nothing() -> None:
    async def never_closes(request: web.Request, _: web.WebSocketResponse) -> None:
        await request.app[SERVER].stopping.wait()

    async def leave(client: EnapterClient) -> None:
        async with client.logs.follow("d"), client.telemetry.follow("d"):
            pass

    async with serving(send(then=never_closes)) as server, client_of(server) as client:
        leaving = asyncio.create_task(leave(client))
        await _reached(server, 2)
        assert not leaving.done(), "it waits a moment for the server to close its side"
        async with asyncio.timeout(0.5):
            for _ in range(3):
                leaving.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await leaving
        assert readers() == []


async def test_a_fault_of_our_own_reaches_the_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(send(record(1))) as server, client_of(server) as client:
        stream = client.logs.follow("d")
        monkeypatch.setattr(stream._readers[0], "_decode", lambda _: 1 / 0)
        async with stream:
            with pytest.raises(StreamError, match="ZeroDivisionError") as caught:
                await anext(stream)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.gap


async def test_hooks_hear_of_every_handshake() -> None:
    events: list[Any] = []
    acts = (send(record(1), then=drop), refuse(503), send(record(2)))
    async with serving(*acts) as server, client_of(server, hooks=[events.append]) as client:
        async with client.logs.follow("d", policy=HASTY) as stream:
            await take(stream, 3)
    assert {event.operation for event in events} == {"logs.follow"}
    assert [(type(event).__name__, getattr(event, "status", None)) for event in events] == [
        ("RequestStarted", None),
        ("RequestFinished", 101),
        ("RequestStarted", None),
        ("AttemptFailed", 503),
        ("RetryScheduled", None),
        ("RequestFinished", 101),
    ]
    assert TOKEN not in repr(events)
