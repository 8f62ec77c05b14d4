"""An answer belongs to its request: what a server sends without being asked is never taken for an answer.

HTTP/1.1 does not number its answers. A proxy that answers an idle connection with 408, or writes an answer twice,
answers the next request on that connection before it was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import trustme

from enapter_async import (
    ConnectionLostError,
    EnapterClient,
    RateLimit,
    RequestError,
    RetryPolicy,
    Safety,
    StreamPolicy,
    Timeouts,
)
from tests.clocks import SteadyLoop
from tests.faults.clients import CALLS, GOOD, impatient, read, unsafe
from tests.faults.raw_server import Exchange, RawServer, as_json, hang, reset, response
from tests.secrecy import assert_clean

pytestmark = pytest.mark.anyio

LOOPS: list[Any] = [pytest.param(("asyncio", {"loop_factory": SteadyLoop}), id="asyncio")]
try:
    import uvloop
except ImportError:  # the extra `speed` has none for this platform
    pass
else:
    LOOPS.append(pytest.param(("asyncio", {"loop_factory": uvloop.new_event_loop}), id="uvloop"))


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


THEIRS = as_json({"site": {"id": "X", "name": "of somebody else"}, "execution_id": "of somebody else"})
WHOLE = {
    **{str(status): response(THEIRS, status) for status in (200, 201, 202, 307, 400, 401, 403, 404, 408, 409, 422)},
    **{str(status): response(THEIRS, status, "Retry-After: 0") for status in (429, 500, 502, 503, 504)},
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "408 and the end": response(b"", 408, "Connection: close"),
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + THEIRS,
    "two": response(THEIRS) * 2,
}
STRAY = {
    **WHOLE,
    "half a status line": b"HTTP/1.1 200",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": response(THEIRS)[:-10],
    "one and a half": response(THEIRS) + b"HTTP/1.1 200 OK\r\nCont",
    "garbage": b"\x00\x01garbage",
}
each_class = pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
each_session = pytest.mark.parametrize("injected", [False, True], ids=["own session", "injected session"])
each_stray = pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)

AUTHORITY = trustme.CA()


def server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


class Answering(RawServer):
    """Answers well, and lets a test write something more to every connection."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.open: dict[int, Exchange] = {}

    async def answer(self, exchange: Exchange) -> None:
        self.open[exchange.request.connection] = exchange
        await exchange.answer(GOOD[Safety.UNSAFE if exchange.request.method == "POST" else Safety.READ])

    async def write_to_all(self, stray: bytes) -> None:
        for exchange in self.open.values():
            await exchange.send(stray)


@contextlib.asynccontextmanager
async def client_of(server: RawServer, *, injected: bool, tls: bool = False) -> AsyncIterator[EnapterClient]:
    options: dict[str, Any] = {"rate_limit": RateLimit(adaptive=False), "timeouts": Timeouts(total=10, attempt=5)}
    if tls:
        options["ssl_context"] = ssl.create_default_context()
        AUTHORITY.configure_trust(options["ssl_context"])  # pyright: ignore[reportUnknownMemberType]
    async with contextlib.AsyncExitStack() as stack:
        if injected:
            options["http_session"] = await stack.enter_async_context(aiohttp.ClientSession())
        yield await stack.enter_async_context(impatient(server, **options))


async def processed() -> None:
    """Let the event loop take in what has been written."""
    for _ in range(10):
        await asyncio.sleep(0.001)


async def unprocessed() -> None:
    """Leave in the socket what has been written."""


each_moment = pytest.mark.parametrize("moment", [processed, unprocessed])


@each_stray
@each_moment
@each_session
@each_class
async def test_what_an_idle_connection_holds_is_no_answer(
    safety: Safety, injected: bool, moment: Callable[[], Awaitable[None]], stray: bytes
) -> None:
    async with Answering().running() as server, client_of(server, injected=injected) as client:
        await read(client)
        await server.write_to_all(stray)
        await moment()
        before = server.seen
        value = await CALLS[safety](client)
        assert "somebody else" not in repr(value)
        assert server.seen == before + 1
        # Where the connection is as good as new, the call is made once and at once.
        assert client.load.retry_budget == pytest.approx(100)


@each_stray
@each_moment
@each_session
async def test_many_poisoned_connections_cost_no_attempt(
    injected: bool, moment: Callable[[], Awaitable[None]], stray: bytes
) -> None:
    async with Answering().running() as server, client_of(server, injected=injected) as client:
        await asyncio.gather(*(read(client) for _ in range(10)))
        await server.write_to_all(stray)
        await moment()
        answers = [await client.raw.sites.get("S") for _ in range(12)]
        assert {answer.value.id for answer in answers} == {"S"}
        assert {answer.attempts for answer in answers} == {1}


@pytest.mark.parametrize("stray", [WHOLE["200"], STRAY["half a head"]], ids=["whole", "half"])
@each_moment
@each_session
@each_class
async def test_nor_is_it_with_tls(
    safety: Safety, injected: bool, moment: Callable[[], Awaitable[None]], stray: bytes
) -> None:
    async with (
        Answering().running(tls=server_tls()) as server,
        client_of(server, injected=injected, tls=True) as client,
    ):
        await read(client)
        await server.write_to_all(stray)
        await moment()
        assert "somebody else" not in repr(await CALLS[safety](client))
        assert server.seen == 2


@each_session
async def test_with_tls_a_clean_connection_is_used_again(injected: bool) -> None:
    async with (
        Answering().running(tls=server_tls()) as server,
        client_of(server, injected=injected, tls=True) as client,
    ):
        for _ in range(5):
            await read(client)
        assert (server.seen, server.connections) == (5, 1)


@each_session
async def test_a_clean_connection_is_used_again(injected: bool) -> None:
    async with Answering().running() as server, client_of(server, injected=injected) as client:
        for _ in range(5):
            await read(client)
        assert (server.seen, server.connections) == (5, 1)


@each_stray
@each_session
@each_class
async def test_an_answer_behind_the_answer_is_no_answer(safety: Safety, injected: bool, stray: bytes) -> None:
    """Both come at once, and every time."""

    async def behaviour(exchange: Exchange) -> None:
        good = response(GOOD[Safety.UNSAFE if exchange.request.method == "POST" else Safety.READ])
        await exchange.send(good)
        await exchange.send(stray)

    async with RawServer(behaviour).running() as server, client_of(server, injected=injected) as client:
        for _ in range(3):
            outcome = "final"
            try:
                assert "somebody else" not in repr(await CALLS[safety](client))
            except RequestError as error:  # what follows may spoil the answer before it
                outcome = error.outcome
            assert outcome in ("final", "unknown")


class Hasty:
    """Answers every connection before it has read anything; in the backlog, so that the answer is there first."""

    def __init__(self, stray: bytes) -> None:
        self._stray = stray
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.accepted: list[socket.socket] = []

    def answer_all(self) -> None:
        self._listening.setblocking(False)
        while True:
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            connection.sendall(self._stray)
            self.accepted.append(connection)

    def received(self) -> bytes:
        data = b""
        for connection in self.accepted:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):  # nothing came, as it should be
                data += connection.recv(65536)
        return data

    def close(self) -> None:
        for open_socket in (self._listening, *self.accepted):
            open_socket.close()


@pytest.mark.parametrize("stray", [WHOLE[name] for name in ("200", "429", "503", "100", "204")] + [
    STRAY[name] for name in ("half a status line", "half a head", "half a body", "garbage")
])  # fmt: skip
@pytest.mark.parametrize("late", [False, True], ids=["in the socket", "read by aiohttp"])
@each_session
@each_class
async def test_an_answer_of_a_server_that_was_not_asked_is_a_lost_connection(
    safety: Safety, injected: bool, late: bool, stray: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hasty(stray)
    connect = aiohttp.TCPConnector._create_connection

    async def connect_and_be_answered(self: aiohttp.TCPConnector, *arguments: Any) -> Any:
        protocol = await connect(self, *arguments)
        server.answer_all()
        if late:
            await processed()
        return protocol

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", connect_and_be_answered)
    try:
        async with client_of(server, injected=injected) as client:  # type: ignore[arg-type]
            with pytest.raises(ConnectionLostError) as caught:
                await CALLS[safety](client)
        assert (caught.value.outcome, caught.value.attempts) == ("not_sent", 3)
        assert server.received() == b""
        assert_clean(caught.value)
    finally:
        server.close()


async def test_what_changes_something_leaves_no_connection_behind_in_an_injected_session() -> None:
    async with Answering().running() as server, client_of(server, injected=True) as client:
        await unsafe(client)
        await read(client)
        await read(client)
        assert [request.headers.get("connection") for request in server.requests] == ["close", None, None]
        assert [request.connection for request in server.requests] == [1, 2, 2]


@each_moment
async def test_a_connection_that_has_ended_is_not_used_for_a_command_of_an_injected_session(
    moment: Callable[[], Awaitable[None]],
) -> None:
    async with Answering().running() as server, client_of(server, injected=True) as client:
        await read(client)
        for exchange in server.open.values():
            exchange.end()
        await moment()
        await unsafe(client)
        assert (server.seen, server.connections) == (2, 2)


@each_moment
@each_session
async def test_a_handshake_is_not_answered_by_a_stray_answer(
    injected: bool, moment: Callable[[], Awaitable[None]]
) -> None:
    async with Answering().running() as server, client_of(server, injected=injected) as client:
        await read(client)
        await server.write_to_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n")
        await moment()
        with pytest.raises(Exception, match="200"):
            async with client.logs.follow("D", policy=StreamPolicy(reconnect=False)) as stream:
                await anext(stream)
        assert server.seen >= 2


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp discourages it, and users do it

    class Repeating(aiohttp.ClientSession):
        """Sends again whatever failed."""

        def __init__(self, *, statuses: tuple[int, ...] = (), patience: float | None = None, **options: Any) -> None:
            super().__init__(**options)
            self._statuses = statuses
            self._patience = patience

        async def _request(self, *arguments: Any, **options: Any) -> aiohttp.ClientResponse:
            for attempt in range(3):
                try:
                    async with asyncio.timeout(self._patience):
                        answer = await super()._request(*arguments, **options)
                except Exception:
                    if attempt == 2:
                        raise
                else:
                    if answer.status not in self._statuses or attempt == 2:
                        return answer
                    answer.release()
            raise AssertionError


def refusing(status: int) -> Callable[[Exchange], Awaitable[None]]:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.answer(json.dumps({"errors": [{"code": "x", "message": "y"}]}).encode(), status)

    return behaviour


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(reset, "unknown"), (refusing(503), "unknown"), (refusing(429), "rejected"), (refusing(404), "final"),
     (hang, "unknown")],
    ids=["reset", "503", "429", "404", "silence"],
)  # fmt: skip
@pytest.mark.parametrize("safety", [Safety.CONVERGE, Safety.UNSAFE], ids=lambda safety: safety.value)
async def test_a_session_that_repeats_requests_sends_none_twice(
    safety: Safety, behaviour: Callable[[Exchange], Awaitable[None]], outcome: str
) -> None:
    session = Repeating(statuses=(404, 429, 503), patience=0.05 if behaviour is hang else None)
    async with RawServer(behaviour).running() as server, session:
        client = impatient(server, http_session=session, retry=RetryPolicy.none(), timeouts=Timeouts(attempt=5))
        async with client:
            with pytest.raises(Exception) as caught:  # noqa: PT011 which one, the outcome says
                await CALLS[safety](client)
        assert server.seen == 1
        assert caught.value.outcome == outcome  # type: ignore[attr-defined]


async def gather(send: Callable[[], Awaitable[Any]]) -> Any:
    """Send twice at once, and take both answers."""
    first, _ = await asyncio.gather(send(), send())
    return first


async def hedge(send: Callable[[], Awaitable[Any]]) -> Any:
    """Send again if no answer comes soon, and take the first."""
    tasks = {asyncio.ensure_future(send())}
    done, _ = await asyncio.wait(tasks, timeout=0.02)
    if not done:
        tasks.add(asyncio.ensure_future(send()))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks - done:
        task.cancel()
    await asyncio.wait(tasks)
    return done.pop().result()


async def give_up_the_first(send: Callable[[], Awaitable[Any]]) -> Any:
    """Cancel the first before it was written."""
    first = asyncio.ensure_future(send())
    second = asyncio.ensure_future(send())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    return await second


@pytest.mark.parametrize("twice", [gather, hedge, give_up_the_first])
@pytest.mark.parametrize("within", ["session", "middleware"])
@each_class
async def test_neither_does_a_session_that_sends_requests_twice_at_once(
    safety: Safety, within: str, twice: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        class Hedging(aiohttp.ClientSession):
            async def _request(self, *arguments: Any, **options: Any) -> aiohttp.ClientResponse:
                once = super()._request
                return await twice(lambda: once(*arguments, **options))  # type: ignore[no-any-return]

    async def hedging(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await twice(lambda: handler(request))  # type: ignore[no-any-return]

    async def behaviour(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.answer(GOOD[safety])

    session = Hedging() if within == "session" else aiohttp.ClientSession(middlewares=[hedging])
    async with RawServer(behaviour).running() as server, session:
        async with impatient(server, http_session=session, timeouts=Timeouts(attempt=5)) as client:
            await CALLS[safety](client)
        assert server.seen == 1
