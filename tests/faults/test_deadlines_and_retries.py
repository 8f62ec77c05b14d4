"""No call outlives its deadline, retries are bounded, and a server that asks for patience is heard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enapter_async import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    EnapterClient,
    EnapterError,
    NameResolutionError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    RateLimitedError,
    RequestError,
    RetryPolicy,
    Safety,
    ServerError,
    Timeouts,
)
from enapter_async.models.timeseries import Series, TimeseriesQuery
from tests.faults.clients import CALLS, GOOD, SITE, converge, impatient, read, unsafe
from tests.faults.raw_server import Behaviour, Exchange, RawServer, hang, response, sending
from tests.ports import find_free_port
from tests.secrecy import TOKEN, Watcher, assert_clean

pytestmark = pytest.mark.anyio

PATIENT = Timeouts(total=30, attempt=30, command=30)
each_class = pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)


async def drip_headers(exchange: Exchange) -> None:
    await exchange.drip(response(SITE))


async def drip_body(exchange: Exchange) -> None:
    await exchange.send(response(b"", announce=1000))
    await exchange.drip(b" " * 1000)


async def drip_chunks(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        await exchange.send(b"1\r\n \r\n")
        await asyncio.sleep(0.01)


PHASES: dict[str, Behaviour] = {
    "no answer": hang,
    "headers drip": drip_headers,
    "the body drips": drip_body,
    "chunks drip": drip_chunks,
}


@each_class
@pytest.mark.parametrize("phase", PHASES)
async def test_the_deadline_holds_in_every_phase(phase: str, safety: Safety) -> None:
    async with RawServer(PHASES[phase]).running() as server, impatient(server, timeouts=PATIENT) as client:
        with pytest.raises(RequestError) as caught:
            await CALLS[safety](client.with_options(timeout=0.15))
        error = caught.value
        assert 0.14 < error.elapsed < 0.3
        assert (error.outcome, error.attempts, server.seen) == ("unknown", 1, 1)
        if safety is Safety.UNSAFE:
            assert type(error) is OutcomeUnknownError
            assert not isinstance(error, TimeoutError)
            assert isinstance(error.__cause__, DeadlineExceededError)
            assert abs(datetime.now(UTC) - error.started_at) < timedelta(seconds=2)
        else:
            assert type(error) is DeadlineExceededError
            assert isinstance(error, TimeoutError)
            assert isinstance(error.__cause__, AttemptTimeoutError)
        await server.no_connections()
    assert_clean(error)


@each_class
async def test_waiting_for_a_slot_counts_and_sends_nothing(safety: Safety) -> None:
    async with RawServer(hang).running() as server:
        async with impatient(server, timeouts=PATIENT, max_in_flight=1) as client:
            blocker = asyncio.ensure_future(read(client))
            await server.arrived()
            with pytest.raises(DeadlineExceededError) as caught:
                await CALLS[safety](client.with_options(timeout=0.05))
            assert (caught.value.outcome, caught.value.attempts, server.seen) == ("not_sent", 0, 1)
            assert_clean(caught.value)
            blocker.cancel()


@each_class
async def test_waiting_for_a_connection_counts_and_sends_nothing(safety: Safety) -> None:
    async with RawServer(hang).running() as server:
        tls = server.url.replace("http:", "https:")  # its handshake is never answered
        async with impatient(server, base_url=tls, timeouts=PATIENT) as client:
            with pytest.raises(DeadlineExceededError) as caught:
                await CALLS[safety](client.with_options(timeout=0.05))
            assert (caught.value.outcome, caught.value.attempts) == ("not_sent", 1)
            assert_clean(caught.value)
        await server.no_connections()
        assert server.seen == 0


@each_class
async def test_waiting_for_the_token_counts_and_sends_nothing(safety: Safety) -> None:
    async def provider() -> str:
        await asyncio.sleep(50)
        raise AssertionError

    async with RawServer(hang).running() as server, impatient(server, token=provider) as client:
        with pytest.raises(DeadlineExceededError) as caught:
            await CALLS[safety](client.with_options(timeout=0.05))
        assert (caught.value.outcome, caught.value.attempts, server.connections) == ("not_sent", 0, 0)
        assert_clean(caught.value)


@each_class
async def test_a_connection_that_is_not_made_in_time_is_tried_again(safety: Safety) -> None:
    async with RawServer(hang).running() as server:
        tls = server.url.replace("http:", "https:")
        async with impatient(server, base_url=tls, timeouts=PATIENT) as client:
            hasty = client.with_options(timeouts=Timeouts(connect=0.03))
            with pytest.raises(ConnectError, match="no connection in time") as caught:
                await CALLS[safety](hasty)
            assert (caught.value.outcome, caught.value.attempts, server.connections) == ("not_sent", 3, 3)
            assert_clean(caught.value)
        assert server.seen == 0


@each_class
async def test_a_refused_connection_is_tried_again(safety: Safety) -> None:
    watcher = Watcher()
    policy = RetryPolicy(max_attempts=3, initial_delay=0)
    url = f"http://127.0.0.1:{find_free_port()}"
    async with EnapterClient(base_url=url, token=TOKEN, retry=policy, hooks=[watcher]) as client:
        with pytest.raises(ConnectError) as caught:
            await CALLS[safety](client)
    assert (type(caught.value), caught.value.outcome, caught.value.attempts) == (ConnectError, "not_sent", 3)
    assert caught.value.phase == "connect"
    assert_clean(caught.value)
    assert watcher.names == [
        "RequestStarted",
        *["AttemptFailed", "RetryScheduled"] * 2,
        "AttemptFailed",
        "RequestFinished",
    ]


@each_class
async def test_a_name_that_is_not_found_is_tried_again(safety: Safety, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def getaddrinfo(host: object, *_: object, **__: object) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    policy = RetryPolicy(max_attempts=2, initial_delay=0)
    async with EnapterClient(base_url="http://gateway.invalid", token=TOKEN, retry=policy) as client:
        with pytest.raises(NameResolutionError, match=r"gateway\.invalid") as caught:
            await CALLS[safety](client)
    assert (caught.value.outcome, caught.value.attempts) == ("not_sent", 2)
    assert asked == ["gateway.invalid"] * 2
    assert_clean(caught.value)


@each_class
async def test_an_attempt_may_fail_as_long_as_the_call_has_time(safety: Safety) -> None:
    async def second_time(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.hang()
        await exchange.answer(GOOD[safety])

    timeouts = Timeouts(total=5, attempt=0.05)
    policy = RetryPolicy(initial_delay=0, resend_converging=True)
    async with RawServer(second_time).running() as server, impatient(server, timeouts=timeouts, retry=policy) as client:
        if safety is Safety.UNSAFE:
            with pytest.raises(OutcomeUnknownError):
                await unsafe(client)
        else:
            await CALLS[safety](client)
        assert server.seen == (1 if safety is Safety.UNSAFE else 2)


async def test_a_backoff_that_would_pass_the_deadline_is_not_begun() -> None:
    policy = RetryPolicy(initial_delay=1e9, max_delay=1e9)
    async with RawServer(sending(b"")).running() as server, impatient(server, retry=policy) as client:
        with pytest.raises(ConnectionLostError) as caught:
            await read(client.with_options(timeout=20))
        assert caught.value.elapsed < 1
        assert server.seen == 1


@pytest.mark.parametrize("opted_in", [False, True])
async def test_deleting_what_is_not_there_is_an_error_unless_it_was_sent_before(opted_in: bool) -> None:
    policy = RetryPolicy(initial_delay=0, resend_converging=opted_in)

    async def busy_first(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(b"", 429, "Retry-After: 0")
        else:
            await exchange.answer(b"", 404)

    for behaviour in (sending(response(b"", 404), then="keep"), busy_first):
        async with RawServer(behaviour).running() as server:
            options: dict[str, Any] = {"retry": policy, "rate_limit": RateLimit(adaptive=False)}
            async with impatient(server, **options) as client:
                with pytest.raises(NotFoundError):
                    await client.sites.delete("S")


# -- Retry-After ---------------------------------------------------------------------------------------------


@each_class
@pytest.mark.parametrize("adaptive", [True, False], ids=["paced", "not paced"])
@pytest.mark.parametrize("asked", ["61", "6"], ids=["over the cap", "over the deadline"])
async def test_more_patience_than_there_is_raises_at_once(safety: Safety, adaptive: bool, asked: str) -> None:
    busy = sending(response(b"", 429, f"Retry-After: {asked}"), then="keep")
    async with (
        RawServer(busy).running() as server,
        impatient(server, rate_limit=RateLimit(adaptive=adaptive)) as client,
    ):
        with pytest.raises(RateLimitedError) as caught:
            await CALLS[safety](client)
        assert (caught.value.retry_after, caught.value.outcome, server.seen) == (float(asked), "rejected", 1)
        assert caught.value.elapsed < 1
    assert_clean(caught.value)


async def test_a_server_error_may_ask_for_patience_too() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(b"", 503, "Retry-After: 0.1")
        else:
            await exchange.answer(SITE)

    async with RawServer(behaviour).running() as server, impatient(server) as client:
        answer = await client.raw.sites.get("S")
        assert answer.elapsed >= 0.1
        assert (answer.attempts, server.seen) == (2, 2)


async def test_a_server_error_that_asks_for_too_much_is_final() -> None:
    away = sending(response(b"", 503, "Retry-After: 3600"), then="keep")
    async with RawServer(away).running() as server, impatient(server) as client:
        with pytest.raises(ServerError) as caught:
            await read(client)
        assert (caught.value.retry_after, server.seen) == (3600, 1)


@each_class
async def test_no_retries_means_none(safety: Safety) -> None:
    for behaviour in (sending(response(b"", 429, "Retry-After: 0"), then="keep"), sending(b"")):
        async with RawServer(behaviour).running() as server, impatient(server, retry=RetryPolicy.none()) as client:
            with pytest.raises(RequestError):
                await CALLS[safety](client)
            assert server.seen == 1


async def test_429s_cost_neither_attempts_nor_budget() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number <= 6:
            await exchange.answer(b"", 429, "Retry-After: 0")
        elif exchange.number <= 8:
            exchange.reset()
        else:
            await exchange.answer(SITE)

    watcher = Watcher()
    options: dict[str, Any] = {"hooks": [watcher], "rate_limit": RateLimit(adaptive=False)}
    policy = RetryPolicy(max_attempts=3, initial_delay=0)
    async with RawServer(behaviour).running() as server, impatient(server, retry=policy, **options) as client:
        budget = client.load.retry_budget
        answer = await client.raw.sites.get("S")
        assert (answer.attempts, server.seen) == (9, 9)
        assert client.load.retry_budget == pytest.approx(budget - 2 + 0.1)


# -- what a storm costs --------------------------------------------------------------------------------------


async def test_calls_that_fail_together_share_one_budget() -> None:
    async with RawServer(sending(b"")).running() as server:
        policy = RetryPolicy(max_attempts=4, initial_delay=0)
        options: dict[str, Any] = {"retry": policy, "max_in_flight": 50}
        async with impatient(server, timeouts=PATIENT, **options) as client:
            results = await asyncio.gather(*(read(client) for _ in range(200)), return_exceptions=True)
        assert 200 + 100 <= server.seen <= 200 + 105
    errors = [result for result in results if type(result) is ConnectionLostError]
    assert len(errors) == 200
    # Who gave up for want of a budget is told so, in the traceback too; who had tried often enough is not.
    assert {(error.attempts < 4, *getattr(error, "__notes__", ())) for error in errors} <= {
        (True, "not sent again: the client's retry budget is used up"),
        (False,),
    }
    assert any(error.attempts == 1 for error in errors)
    for error in errors:
        assert_clean(error)


# -- answers that are read as they come ----------------------------------------------------------------------

QUERY = TimeseriesQuery(
    start=datetime(2026, 1, 1, tzinfo=UTC),
    end=datetime(2026, 1, 2, tzinfo=UTC),
    granularity=timedelta(minutes=1),
    series=[Series("D", ["power"])],
)


async def whole(client: EnapterClient) -> object:
    return await client.telemetry.query_timeseries(QUERY)


async def streamed(client: EnapterClient) -> object:
    async with client.telemetry.stream_timeseries(QUERY) as stream:
        return [row async for row in stream]


@pytest.mark.parametrize("call", [whole, streamed])
async def test_the_body_of_a_streamed_error_is_bounded_too(call: Callable[[EnapterClient], Awaitable[object]]) -> None:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(response(b"", 503, announce=1000))
        await exchange.drip(b" " * 1000)

    timeouts = Timeouts(total=30, attempt=0.1)
    policy = RetryPolicy.none()
    async with RawServer(behaviour).running() as server, impatient(server, timeouts=timeouts, retry=policy) as client:
        with pytest.raises(ServerError) as caught:
            async with asyncio.timeout(2):
                await call(client)
        assert caught.value.elapsed < 0.3
        await server.no_connections()
    assert_clean(caught.value)


@pytest.mark.parametrize("phase", PHASES)
async def test_the_deadline_holds_while_a_table_is_read(phase: str) -> None:
    async with RawServer(PHASES[phase]).running() as server, impatient(server, timeouts=PATIENT) as client:
        with pytest.raises(RequestError) as caught:
            async with asyncio.timeout(2):
                await client.telemetry.query_timeseries(QUERY, timeout=0.15)
        assert caught.value.elapsed < 0.35
        await server.no_connections()
    assert_clean(caught.value)


@pytest.mark.parametrize("call", [whole, streamed])
@pytest.mark.parametrize(
    "body",
    [
        f"{TOKEN}\n1,2\n",
        f"ts,{TOKEN}\n1,2\n",
        f"ts,telemetry=power device=D\n{TOKEN},2\n",
        f"ts,telemetry=power device=D\n1,{TOKEN}\n",
        f"ts,telemetry=power device=D\n1,2,{TOKEN}\n",
        f'{{"x": "{TOKEN}"}}',
    ],
)
@pytest.mark.parametrize("kind", ["text/csv", "application/json", "text/html"])
async def test_a_table_that_echoes_the_token_does_not_make_us_show_it(
    call: Callable[[EnapterClient], Awaitable[object]], body: str, kind: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    watcher = Watcher()
    async with RawServer(sending((head + body).encode())).running() as server:
        async with impatient(server, hooks=[watcher]) as client:
            error: BaseException | None = None
            try:
                await call(client)
            except EnapterError as caught:
                error = caught
    watcher.assert_clean()
    if error is not None:  # a text is a value like any other
        assert_clean(error)


# -- connections that were kept alive ------------------------------------------------------------------------


async def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    async with RawServer(sending(response(SITE))).running() as server, impatient(server) as client:
        for number in range(3):
            await read(client)
            await server.no_connections()
            assert (server.seen, server.connections) == (number + 1, number + 1)


async def test_a_connection_that_dies_under_a_read_costs_one_retry_of_ours_and_none_of_aiohttps() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number == 2:
            exchange.reset()
        else:
            await exchange.answer(SITE)

    watcher = Watcher()
    async with RawServer(behaviour).running() as server, impatient(server, hooks=[watcher]) as client:
        await read(client)
        answer = await client.raw.sites.get("S")
        assert (answer.attempts, server.seen, server.connections) == (2, 3, 2)
        assert watcher.names.count("RetryScheduled") == 1
        assert client.load.retry_budget < 100


async def test_connections_that_die_under_every_read_are_seen_as_often_as_attempts() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(SITE)
        else:
            exchange.reset()

    async with RawServer(behaviour).running() as server, impatient(server) as client:
        await read(client)
        with pytest.raises(ConnectionLostError) as caught:
            await read(client)
        assert (caught.value.attempts, server.seen) == (3, 4)


# -- commands that wait for a device -------------------------------------------------------------------------


async def test_executing_waits_for_the_device_past_the_attempt_timeout() -> None:
    async def behaviour(exchange: Exchange) -> None:
        await asyncio.sleep(0.15)
        await exchange.answer(b'{"execution": {"id": "E", "state": "SUCCESS"}}')

    timeouts = Timeouts(total=0.05, attempt=0.05, command=5)
    async with RawServer(behaviour).running() as server, impatient(server, timeouts=timeouts) as client:
        assert (await client.commands.execute("D", "stop")).id == "E"
        assert server.seen == 1


async def test_a_change_that_is_late_is_a_deadline_and_its_outcome_is_said() -> None:
    async with RawServer(hang).running() as server, impatient(server, timeouts=PATIENT) as client:
        with pytest.raises(DeadlineExceededError) as caught:
            await converge(client.with_options(timeout=0.05))
        assert caught.value.outcome == "unknown"
