"""What changes something is sent once, whatever happens to the answer: every POST, PATCH and DELETE there is.

The server here is raw and counts: a request counts as soon as its headers have come. The table of safety classes is
DESIGN's, written out; what the services declare is compared with it, and then every operation of every class is
put through every ambiguous failure.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from enapter_async import (
    ConnectionLostError,
    EnapterClient,
    OutcomeUnknownError,
    RateLimit,
    RequestError,
    RetryPolicy,
    Safety,
    ServerError,
    Timeouts,
)
from tests.service_calls import CALLS, Call, operations

pytestmark = pytest.mark.anyio

UNSAFE = {
    "sites.create",
    "devices.generate_communication_config",
    "devices.run_terminal",
    "commands.execute",
    "commands.start",
    "configuration.reset_all",
    "provisioning.standalone",
    "provisioning.vucm",
    "provisioning.lua_device",
    "provisioning.ucm",
    "blueprints.upload",
    "blueprints.upload_device_profiles",
    "rules.create",
}
CONVERGE = {
    "sites.update",
    "sites.update_own",
    "sites.delete",
    "devices.update",
    "devices.delete",
    "devices.assign_blueprint",
    "configuration.update",
    "rule_engine.suspend",
    "rule_engine.resume",
    "rules.update",
    "rules.update_script",
    "rules.enable",
    "rules.disable",
    "rules.enable_many",
    "rules.disable_many",
    "rules.delete",
}
POSTS_THAT_READ = {"telemetry.query_timeseries", "blueprints.validate"}

CHANGES = list({call.operation: call for call in CALLS if call.operation in UNSAFE | CONVERGE}.values())

Fault = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads requests, counts them, and lets a fault happen to the answer of each one that changes something."""

    def __init__(self, fault: Fault, good: bytes) -> None:
        self.fault = fault
        self.good = good
        self.changes = 0
        self.reads = 0
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        if lines[0].startswith(b"GET /warm-up"):
            self.reads += 1
            self.write(writer, 200, b"{}")
            return True
        self.changes += 1
        length = next((int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        await reader.readexactly(length)
        await self.fault(self, writer)
        return self.fault is silence

    def write(self, writer: asyncio.StreamWriter, status: int, body: bytes, *, announce: int | None = None) -> None:
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {announce or len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def reset_before_the_answer(server: Server, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def closed_before_the_answer(server: Server, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def closed_within_the_headers(server: Server, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    await writer.drain()


async def garbage(server: Server, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    await writer.drain()


async def body_cut_off(server: Server, writer: asyncio.StreamWriter) -> None:
    server.write(writer, 200, server.good[:1], announce=len(server.good) + 1)
    await writer.drain()


async def silence(server: Server, writer: asyncio.StreamWriter) -> None:
    """Answer nothing; the connection is read on until the client ends it."""


def answered(status: int) -> Fault:
    async def answer(server: Server, writer: asyncio.StreamWriter) -> None:
        server.write(writer, status, b'{"errors": [{"message": "no"}]}')
        await writer.drain()

    return answer


FAULTS: dict[str, Fault] = {
    "reset before the answer": reset_before_the_answer,
    "closed before the answer": closed_before_the_answer,
    "closed within the headers": closed_within_the_headers,
    "garbage": garbage,
    "body cut off": body_cut_off,
    "silence": silence,
    **{str(status): answered(status) for status in (500, 502, 503, 504)},
}


@asynccontextmanager
async def running(fault: Fault, call: Call) -> AsyncIterator[Server]:
    server = Server(fault, call.answer_bytes)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def client_of(
    server: Server, *, resend_converging: bool = False, http_session: aiohttp.ClientSession | None = None
) -> EnapterClient:
    policy = RetryPolicy(max_attempts=3, initial_delay=0, resend_converging=resend_converging)
    patience = 0.1 if server.fault is silence else 10
    timeouts = Timeouts(attempt=patience, command=patience)
    return EnapterClient(
        base_url=server.url,
        token="t",
        retry=policy,
        timeouts=timeouts,
        rate_limit=RateLimit(adaptive=False),
        http_session=http_session,
    )


def test_every_operation_that_is_no_get_has_its_class() -> None:
    declared = {name: operation.safety for name, operation in operations().items() if operation.method != "GET"}
    expected = (
        dict.fromkeys(UNSAFE, Safety.UNSAFE)
        | dict.fromkeys(CONVERGE, Safety.CONVERGE)
        | dict.fromkeys(POSTS_THAT_READ, Safety.READ)
    )
    assert declared == expected


def test_every_get_only_reads() -> None:
    assert {operation.safety for operation in operations().values() if operation.method == "GET"} == {Safety.READ}


def test_every_operation_that_changes_something_is_called_below() -> None:
    assert {call.operation for call in CHANGES} == UNSAFE | CONVERGE


def assert_honest(call: Call, error: RequestError) -> None:
    """The caller is told that nobody knows: an error that nobody takes for an invitation to repeat."""
    assert error.outcome == "unknown"
    assert error.operation == call.operation
    assert error.attempts == 1
    if call.operation in UNSAFE:
        assert isinstance(error, OutcomeUnknownError)
        if isinstance(error, ServerError):
            assert error.status >= 500
        assert not isinstance(error, TimeoutError)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CHANGES, ids=str)
async def test_an_ambiguous_failure_repeats_nothing(call: Call, fault: str) -> None:
    async with running(FAULTS[fault], call) as server, client_of(server) as client:
        with pytest.raises(RequestError) as caught:
            await call.invoke(client)
        assert server.changes == 1
        assert_honest(call, caught.value)


@pytest.mark.parametrize("injected", [False, True], ids=["own session", "injected session"])
@pytest.mark.parametrize("call", CHANGES, ids=str)
async def test_a_kept_alive_connection_that_dies_repeats_nothing(call: Call, injected: bool) -> None:
    async with (
        running(closed_before_the_answer, call) as server,
        aiohttp.ClientSession() as session,
        client_of(server, http_session=session if injected else None) as client,
    ):
        await client.request("GET", "warm-up", safety=Safety.READ)
        with pytest.raises(RequestError) as caught:
            await call.invoke(client)
        assert (server.reads, server.changes) == (1, 1)
        assert server.connections == (1 if injected else 2)
        assert_honest(call, caught.value)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "silence"])
@pytest.mark.parametrize("call", CHANGES, ids=str)
async def test_the_opt_in_is_for_what_converges_only(call: Call, fault: str) -> None:
    async with running(FAULTS[fault], call) as server, client_of(server, resend_converging=True) as client:
        with pytest.raises(RequestError) as caught:
            await call.invoke(client)
        assert server.changes == (3 if call.operation in CONVERGE else 1)
        assert caught.value.outcome == "unknown"


@pytest.mark.parametrize("call", [call for call in CHANGES if call.operation in CONVERGE], ids=str)
async def test_what_converges_comes_through_with_the_opt_in(call: Call) -> None:
    async def first_lost(server: Server, writer: asyncio.StreamWriter) -> None:
        if server.changes == 1:
            reset(writer)
        else:
            server.write(writer, 200, server.good)
            await writer.drain()

    async with running(first_lost, call) as server, client_of(server, resend_converging=True) as client:
        await call.invoke(client)
        assert server.changes == 2


@pytest.mark.parametrize("call", [call for call in CHANGES if call.method == "DELETE"], ids=str)
async def test_a_delete_sent_again_that_finds_nothing_has_succeeded(call: Call) -> None:
    async def done_but_lost(server: Server, writer: asyncio.StreamWriter) -> None:
        if server.changes == 1:
            reset(writer)
        else:
            server.write(writer, 404, b"{}")
            await writer.drain()

    async with running(done_but_lost, call) as server, client_of(server, resend_converging=True) as client:
        await call.invoke(client)
        assert server.changes == 2


@pytest.mark.parametrize("call", [call for call in CALLS if call.operation in POSTS_THAT_READ], ids=str)
async def test_a_post_that_reads_is_sent_again(call: Call) -> None:
    async with running(closed_before_the_answer, call) as server, client_of(server) as client:
        with pytest.raises(ConnectionLostError):
            await call.invoke(client)
        assert server.changes == 3


@pytest.mark.parametrize("call", CHANGES, ids=str)
async def test_what_was_refused_with_429_is_sent_again(call: Call) -> None:
    async def refused_once(server: Server, writer: asyncio.StreamWriter) -> None:
        server.write(writer, 429 if server.changes == 1 else 200, server.good)
        await writer.drain()

    async with running(refused_once, call) as server, client_of(server) as client:
        await call.invoke(client)
        assert server.changes == 2
