"""Cancelled callers, closed clients, other loops: whatever ends a call gives its slot and its socket back."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from enapter_async import (
    ClientClosedError,
    ConnectionLostError,
    EnapterClient,
    EnapterError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    Safety,
    ServerError,
    Timeouts,
    WrongEventLoopError,
)
from enapter_async.models.timeseries import Series, TimeseriesQuery
from tests.faults.clients import CALLS, SITE, Crowd, converge, impatient, read, unsafe
from tests.faults.raw_server import Behaviour, Exchange, RawServer, hang, response, sending
from tests.secrecy import TOKEN, Watcher, assert_clean

pytestmark = pytest.mark.anyio

PATIENT = Timeouts(total=30, attempt=30, command=30)


body_that_stops = sending(response(SITE[:10], announce=len(SITE)), then="hang")


async def started(call: Awaitable[object]) -> asyncio.Task[object]:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    return task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def load(client: EnapterClient) -> tuple[int, int]:
    return client.load.in_flight, client.load.waiting


# -- cancelled callers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
@pytest.mark.parametrize("behaviour", [hang, body_that_stops], ids=["waiting for the answer", "reading the body"])
async def test_cancelled_on_the_wire(behaviour: Behaviour, safety: Safety) -> None:
    async with RawServer(behaviour).running() as server, impatient(server, timeouts=PATIENT) as client:
        task = await started(CALLS[safety](client))
        await server.arrived()
        await asyncio.sleep(0.01)
        assert load(client) == (1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert load(client) == (0, 0)
        await server.no_connections()
        assert server.seen == 1


async def test_cancelled_while_connecting() -> None:
    async with RawServer(hang).running() as server:
        # The server listens and never accepts more than its backlog; TLS never answers on a plain port.
        silent = EnapterClient(base_url=server.url.replace("http:", "https:"), token=TOKEN, timeouts=PATIENT)
        async with silent as client:
            task = await started(read(client))
            await until(lambda: server.connections == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert load(client) == (0, 0)
            await server.no_connections()
            assert server.seen == 0


async def test_cancelled_in_the_queue_takes_nothing_and_blocks_nobody() -> None:
    release = asyncio.Event()

    async def behaviour(exchange: Exchange) -> None:
        await release.wait()
        await exchange.answer(SITE)

    async with RawServer(behaviour).running() as server:
        async with impatient(server, timeouts=PATIENT, max_in_flight=1) as client:
            first = await started(read(client))
            waiting = [await started(read(client)) for _ in range(5)]
            await server.arrived()
            assert load(client) == (1, 5)
            for task in waiting[:4]:
                task.cancel()
            await asyncio.gather(*waiting[:4], return_exceptions=True)
            assert load(client) == (1, 1)
            release.set()
            await asyncio.gather(first, waiting[4])
            assert server.seen == 2
            assert load(client) == (0, 0)


async def test_cancelled_in_the_backoff_is_not_sent_again() -> None:
    watcher = Watcher()
    policy = RetryPolicy(initial_delay=1e9, max_delay=20)
    async with (
        RawServer(sending(b"")).running() as server,
        impatient(server, retry=policy, hooks=[watcher], timeouts=Timeouts(total=1e6)) as client,
    ):
        task = await started(read(client))
        await until(lambda: "RetryScheduled" in watcher.names)
        assert load(client) == (0, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.seen == 1
        assert watcher.names[-1] == "RequestFinished"


async def test_cancelled_while_waiting_out_a_429() -> None:
    async with (
        RawServer(sending(response(b"", 429, "Retry-After: 50"), then="keep")).running() as server,
        impatient(server, timeouts=Timeouts(total=100)) as client,
    ):
        task = await started(unsafe(client))
        await until(lambda: client.load.waiting == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert load(client) == (0, 0)
        assert server.seen == 1


async def test_a_thousand_calls_cancelled_at_any_moment_leave_nothing_behind() -> None:
    async def behaviour(exchange: Exchange) -> None:
        await asyncio.sleep(0.001 * (exchange.number % 7))
        await exchange.answer(SITE)

    async with RawServer(behaviour).running() as server, impatient(server, max_in_flight=20) as client:
        tasks = [asyncio.ensure_future((read, unsafe)[number % 2](client)) for number in range(1000)]
        for number, task in enumerate(tasks):
            if number % 10 == 0:
                await asyncio.sleep(0)
            if number % 3:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert load(client) == (0, 0)
        # What a cancelled call held can be had again.
        await asyncio.gather(*(read(client) for _ in range(40)))


# -- closing -------------------------------------------------------------------------------------------------

CLOSED_UNDER: dict[Safety, type[EnapterError]] = {
    Safety.READ: ClientClosedError,
    Safety.CONVERGE: ClientClosedError,
    Safety.UNSAFE: OutcomeUnknownError,
}


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
@pytest.mark.parametrize("behaviour", [hang, body_that_stops], ids=["waiting for the answer", "reading the body"])
async def test_closed_while_on_the_wire(behaviour: Behaviour, safety: Safety) -> None:
    watcher = Watcher()
    async with RawServer(behaviour).running() as server:
        client = impatient(server, timeouts=PATIENT, hooks=[watcher])
        task = await started(CALLS[safety](client))
        await server.arrived()
        await asyncio.sleep(0.01)
        await client.aclose()
        with pytest.raises(CLOSED_UNDER[safety]) as caught:
            await task
        assert_clean(caught.value)
        assert (server.seen, load(client)) == (1, (0, 0))
        assert "RetryScheduled" not in watcher.names
        await server.no_connections()
        if safety is Safety.UNSAFE:
            assert isinstance(caught.value.__cause__, ClientClosedError)


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_closed_while_connecting_or_queueing_has_sent_nothing(safety: Safety) -> None:
    async with RawServer(hang).running() as server:
        client = impatient(server, base_url=server.url.replace("http:", "https:"), timeouts=PATIENT, max_in_flight=1)
        tasks = [await started(CALLS[safety](client)) for _ in range(3)]
        await until(lambda: server.connections == 1)
        await client.aclose()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert type(result) is ClientClosedError
        assert server.seen == 0
        await server.no_connections()


async def test_closed_in_the_backoff() -> None:
    watcher = Watcher()
    policy = RetryPolicy(initial_delay=1e9, max_delay=20)
    async with RawServer(sending(b"")).running() as server:
        client = impatient(server, retry=policy, hooks=[watcher], timeouts=Timeouts(total=1e6))
        task = await started(read(client))
        await until(lambda: "RetryScheduled" in watcher.names)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await task
        assert server.seen == 1


async def test_a_command_refused_with_429_and_closed_was_not_carried_out() -> None:
    async with RawServer(sending(response(b"", 429, "Retry-After: 50"), then="keep")).running() as server:
        client = impatient(server, timeouts=Timeouts(total=100))
        task = await started(unsafe(client))
        await until(lambda: client.load.waiting == 1)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await task
        assert server.seen == 1


async def test_a_closed_client_refuses_everything_and_closes_again() -> None:
    async with RawServer(hang).running() as server:
        client = impatient(server)
        await client.aclose()
        await client.aclose()
        for call in (read, converge, unsafe):
            with pytest.raises(ClientClosedError):
                await call(client)
            with pytest.raises(ClientClosedError):
                await call(client.with_options(timeout=1))
        with pytest.raises(ClientClosedError):
            await client.raw.sites.get("S")
        with pytest.raises(ClientClosedError):
            await client.sites.list().collect()
        with pytest.raises(ClientClosedError):
            async with client:
                pass
        assert server.connections == 0


async def test_two_closers_and_a_hundred_callers_all_come_to_an_end() -> None:
    async with RawServer(hang).running() as server:
        client = impatient(server, timeouts=PATIENT, max_in_flight=10)
        tasks = [asyncio.ensure_future((read, unsafe)[number % 2](client)) for number in range(100)]
        await server.arrived(10)
        async with asyncio.timeout(5):
            await asyncio.gather(client.aclose(), client.aclose())
            results = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [type(result) for result in results]
        assert kinds.count(OutcomeUnknownError) == 5
        assert kinds.count(ClientClosedError) == 95
        await server.no_connections()


async def test_closing_that_is_cancelled_can_be_done_again() -> None:
    async with RawServer(hang).running() as server:
        client = impatient(server, timeouts=PATIENT)
        task = await started(read(client))
        await server.arrived()
        closing = asyncio.ensure_future(client.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await task
        await server.no_connections()


@pytest.mark.parametrize("busy", [False, True])
async def test_leaving_the_block_in_a_cancelled_scope_of_anyio_closes_all_the_same(busy: bool) -> None:
    """Such a scope cancels every await until it is left, those of the closing included."""
    async with RawServer(sending(response(SITE), then="keep")).running() as server:
        with anyio.CancelScope() as scope:
            async with impatient(server) as client:
                await read(client)
                await converge(client)
                task = await started(read(client)) if busy else None
                scope.cancel()
        await server.no_connections()
        gc.collect()
        if task is not None:
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], ClientClosedError)


async def test_an_answer_that_came_before_the_closing_counts() -> None:
    """A server error keeps its name: nobody retries it, and its outcome is what it was."""

    async def behaviour(exchange: Exchange) -> None:
        await exchange.answer(b"", 503)

    policy = RetryPolicy(initial_delay=0)
    async with RawServer(behaviour).running() as server:
        client = impatient(server, retry=policy)
        with pytest.raises(ServerError):
            await unsafe(client)
        await client.aclose()
        assert server.seen == 1


async def test_a_call_that_asks_for_a_token_while_the_client_closes_does_not_hold_it_up() -> None:
    asked = 0

    async def provider() -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.sleep(50)
        return TOKEN

    answered = asyncio.Event()

    async def behaviour(exchange: Exchange) -> None:
        await exchange.answer(b"", 401)
        answered.set()

    async with RawServer(behaviour).running() as server:
        client = impatient(server, token=provider, timeouts=PATIENT)
        task = await started(read(client))
        await answered.wait()
        async with asyncio.timeout(2):
            await client.aclose()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], ClientClosedError)


async def test_leaving_the_block_closes_and_a_copy_does_not() -> None:
    async with RawServer(sending(response(SITE), then="keep")).running() as server:
        async with impatient(server) as client:
            async with client.with_options(timeout=3) as copy:
                await read(copy)
            await read(client)
            assert server.connections == 1, "a copy shares the pool"
        await server.no_connections()
        with pytest.raises(ClientClosedError):
            await read(copy)


async def test_closing_while_a_stream_is_read() -> None:
    table = b"ts,telemetry=power device=D\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
    first = head + f"{len(table):x}\r\n".encode() + table + b"\r\n"

    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(first)
        await exchange.hang()

    query = TimeseriesQuery(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, 2, tzinfo=UTC),
        granularity=timedelta(minutes=1),
        series=[Series("D", ["power"])],
    )
    async with RawServer(behaviour).running() as server:
        client = impatient(server, timeouts=PATIENT)

        async def consume() -> None:
            async with client.telemetry.stream_timeseries(query) as stream:
                async for _ in stream:
                    pass

        task = asyncio.ensure_future(consume())
        await server.arrived()
        await asyncio.sleep(0.02)
        async with asyncio.timeout(2):
            await client.aclose()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(result, EnapterError)
        assert_clean(result)
        await server.no_connections()


# -- event loops ---------------------------------------------------------------------------------------------


def test_another_event_loop_is_refused_and_nothing_is_sent() -> None:
    client: EnapterClient
    seen: list[int] = []

    async def first() -> None:
        nonlocal client
        async with RawServer(sending(response(SITE), then="keep")).running() as server:
            client = impatient(server, http_session=None)
            await read(client)
            # The pool is emptied in its own loop, and the client stays open.
            shared: Any = vars(client)["_session"].state
            await shared.transport.close()
            seen.append(server.seen)

    async def second() -> None:
        for call in (read, unsafe):
            with pytest.raises(WrongEventLoopError, match="one client per loop") as caught:
                await call(client)
            assert_clean(caught.value)
        with pytest.raises(WrongEventLoopError):
            async with client:
                pass
        with pytest.raises(WrongEventLoopError):
            await client.aclose()

    asyncio.run(first())
    asyncio.run(second())
    assert seen == [1]


def test_a_client_made_outside_of_any_loop_works_in_the_first_that_uses_it() -> None:
    server = RawServer(sending(response(SITE), then="keep"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = EnapterClient(token=TOKEN, base_url=f"http://127.0.0.1:{port}", rate_limit=RateLimit(initial_in_flight=1))

    async def use() -> None:
        async with server.running(port=port), client:
            await asyncio.gather(*(read(client) for _ in range(3)))

    asyncio.run(use())
    assert server.seen == 3


# -- what stays open -----------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer(sending(response(SITE), then="keep")).running() as running:
        yield running


async def test_reads_share_connections_and_changes_take_their_own(server: RawServer) -> None:
    async with impatient(server) as client:
        for _ in range(3):
            await read(client)
        assert server.connections == 1
        for _ in range(2):
            await converge(client)
        assert server.connections == 3
        await until(lambda: server.open_connections == 1)
        assert {request.headers.get("connection") for request in server.requests[3:]} == {"close"}


async def test_no_task_and_no_timer_outlives_a_call(server: RawServer) -> None:
    async with impatient(server) as client:
        await read(client)
        before = asyncio.all_tasks()
        await asyncio.gather(*(read(client) for _ in range(20)))
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() - before - set(vars(server)["_tasks"]) == set()
        shared: Any = vars(client)["_session"].state
        assert not vars(shared.lifetime)["_timers"]


async def test_a_failed_call_leaves_no_cycle_that_holds_its_connection() -> None:
    async with RawServer(sending(b"")).running() as server, impatient(server) as client:
        gc.collect()
        with pytest.raises(ConnectionLostError):
            await read(client)
        await server.no_connections()


async def test_never_more_in_flight_than_configured() -> None:
    crowd = Crowd()
    async with RawServer(crowd).running() as server:
        options = {"max_in_flight": 7, "rate_limit": RateLimit(initial_in_flight=100)}
        async with impatient(server, **options) as client:
            await asyncio.gather(*((read, converge)[number % 2](client) for number in range(100)))
    assert crowd.most == 7
