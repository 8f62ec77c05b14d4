"""A Gateway's terminal: our client against the simulator, and the socket as reference.md (11a) has it."""

from __future__ import annotations

import asyncio
import json
import pickle
import ssl
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anyio
import attrs
import numpy as np
import pytest
from simulator_calls import Caller, device_of

from enapter_async import (
    AuthenticationError,
    ClientClosedError,
    DeadlineExceededError,
    EnapterClient,
    InvalidArgumentError,
    InvalidBodyError,
    NotFoundError,
    SchemaError,
    StreamError,
    Terminal,
    TerminalSession,
)
from enapter_async.integrations.virtual_time import VirtualTimeLoop
from enapter_async.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=VirtualTimeLoop)]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(mode="cloud") as sim:
        yield sim


@pytest.fixture
async def session(sim: Simulator, client: EnapterClient) -> TerminalSession:
    return await client.devices.run_terminal(device_of(sim, "gateway").id)


async def until(terminal: Terminal, text: str) -> str:
    shown = ""
    with anyio.fail_after(5):
        while text not in shown:
            shown += await anext(terminal)
    return shown


async def test_what_is_typed_is_run_and_what_it_says_is_read(client: EnapterClient, session: TerminalSession) -> None:
    async with client.devices.open_terminal(session) as terminal:
        await until(terminal, "gateway-1$ ")
        await terminal.set_size(rows=40, columns=120)
        await until(terminal, "[40 x 120]")
        await terminal.send("echo grün\n")
        await until(terminal, "echo grün\r\ngrün\r\n")
        await terminal.send("exit\n")
        with anyio.fail_after(5):
            rest = "".join([text async for text in terminal])
        assert "exit" in rest
        assert [text async for text in terminal] == []  # it stays at its end


async def test_over_tls(sim: Simulator) -> None:
    async with Simulator(mode="cloud", tls=True) as secure:
        assert secure.ca_file is not None
        context = ssl.create_default_context(cafile=secure.ca_file)
        async with EnapterClient(base_url=secure.url, token=secure.token, ssl_context=context) as client:
            session = await client.devices.run_terminal(device_of(secure, "gateway").id)
            assert session.websocket_url.startswith("wss://")
            async with client.devices.open_terminal(session) as terminal:
                await until(terminal, "$ ")


async def test_the_token_of_the_api_stays_at_the_api(
    sim: Simulator, client: EnapterClient, session: TerminalSession
) -> None:
    async with client.with_options(user="anna").devices.open_terminal(session):
        pass
    (handshake,) = sim.requests_of("terminal")
    assert handshake.token is None
    assert handshake.user is None
    assert "authorization" in handshake.headers
    assert session.token not in str(handshake)
    assert sim.token not in str(handshake)


async def test_the_session_is_kept_alive_every_thirty_seconds(
    sim: Simulator, client: EnapterClient, session: TerminalSession
) -> None:
    heard: list[Any] = []
    async with client.devices.open_terminal(session) as terminal:
        await until(terminal, "$ ")
        (socket,) = sim.sockets.open
        socket.received = lambda _, text: heard.append(json.loads(text))
        await asyncio.sleep(95)
    assert heard == [{"channel": session.channel_id, "data": '["keepalive_ping"]'}] * 3


async def test_a_session_that_is_over_is_refused(client: EnapterClient, session: TerminalSession) -> None:
    wrong = attrs.evolve(session, token="another-secret")
    with pytest.raises(AuthenticationError) as caught:
        async with client.devices.open_terminal(wrong):
            pass
    for text in (str(caught.value), repr(caught.value), repr(vars(caught.value)), str(pickle.dumps(caught.value))):
        assert "another-secret" not in text
        assert session.websocket_url not in text
    gone = attrs.evolve(session, websocket_url=session.websocket_url + "x")
    with pytest.raises(NotFoundError):
        async with client.devices.open_terminal(gone):
            pass


async def test_a_refused_session_asks_nobody_for_another_token_of_the_api(sim: Simulator) -> None:
    asked = 0

    async def provide() -> str:
        nonlocal asked
        asked += 1
        return sim.token

    async with EnapterClient(base_url=sim.url, token=provide) as client:
        session = await client.devices.run_terminal(device_of(sim, "gateway").id)
        with pytest.raises(AuthenticationError):
            async with client.devices.open_terminal(attrs.evolve(session, token="wrong")):
                pass
    assert asked == 1


async def test_a_connection_that_is_lost_ends_the_terminal(
    sim: Simulator, client: EnapterClient, session: TerminalSession
) -> None:
    async with client.devices.open_terminal(session) as terminal:
        await until(terminal, "$ ")
        sim.sockets.drop()
        with pytest.raises(StreamError, match=r"devices\.open_terminal"):
            await until(terminal, "never")
        await asyncio.sleep(0.1)
        with pytest.raises(StreamError, match="connection was lost"):
            await terminal.send("x")


async def test_closing_the_client_ends_the_terminal(sim: Simulator, session: TerminalSession) -> None:
    client = EnapterClient(base_url=sim.url, token=sim.token)
    async with client.devices.open_terminal(session) as terminal:
        await until(terminal, "$ ")
        async with asyncio.TaskGroup() as group:
            group.create_task(client.aclose())
            with pytest.raises(ClientClosedError):
                await until(terminal, "never")


async def test_a_message_that_cannot_be_read_is_an_error_and_the_next_one_is_read(
    sim: Simulator, client: EnapterClient, session: TerminalSession
) -> None:
    async with client.devices.open_terminal(session) as terminal:
        await until(terminal, "$ ")
        for broken in ("no JSON", '{"data": "no JSON"}'):
            sim.sockets.emit(broken)
            with pytest.raises(InvalidBodyError, match=r"devices\.open_terminal"):
                await anext(terminal)
        for broken in ("[]", '{"data": 5}', '{"data": "5"}', '{"data": "[]"}', '{"data": "[5]"}'):
            sim.sockets.emit(broken)
            with pytest.raises(SchemaError, match=r"data: expected"):
                await anext(terminal)
        sim.sockets.emit({"data": '["news", {"of": "tomorrow"}]'})
        sim.sockets.emit({"data": '["stdin", "go on"]'})
        assert await anext(terminal) == "go on"


async def test_a_terminal_counts_among_the_streams_and_gives_its_place_back(sim: Simulator) -> None:
    async with EnapterClient(base_url=sim.url, token=sim.token, max_streams=1) as client:
        session = await client.devices.run_terminal(device_of(sim, "gateway").id)
        for _ in range(2):
            async with client.devices.open_terminal(session) as terminal:
                with pytest.raises(DeadlineExceededError):
                    async with client.devices.open_terminal(session, timeout=0.1):
                        pass
        with pytest.raises(StreamError, match="not open"):
            await terminal.send("x")
        with pytest.raises(StreamError, match="not open"):
            await anext(terminal)
        with pytest.raises(StreamError, match="opened only once"):
            async with terminal:
                pass
        with pytest.raises(StreamError, match="not open"):
            await client.devices.open_terminal(session).send("x")


async def test_a_login_of_an_injected_session_stays_at_the_api(sim: Simulator, session: TerminalSession) -> None:
    """The socket has a login of its own, and aiohttp refuses a request with two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp discourages it, and users do it
        http_session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "password"))
    async with http_session, EnapterClient(base_url=sim.url, token=sim.token, http_session=http_session) as client:
        async with client.devices.open_terminal(session) as terminal:
            await until(terminal, "$")


async def test_numbers_of_other_libraries_are_a_size(client: EnapterClient, session: TerminalSession) -> None:
    async with client.devices.open_terminal(session) as terminal:
        await terminal.set_size(rows=np.int64(40), columns=np.uint8(120))  # type: ignore[arg-type]
        with pytest.raises(
            InvalidArgumentError, match=r"^rows: must be a whole number from 1 to 65535, got 0 \(int\)$"
        ):
            await terminal.set_size(rows=0, columns=120)
        with pytest.raises(InvalidArgumentError, match=r"^text: must be a string, got 5 \(int\)$"):
            await terminal.send(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "terminal",
        "ftp://example.net/x",
        "wss:///x",
        "wss://user:secret@example.net/x",
        "wss://example.net:x/",
        "wss://exam ple.net/",
        "wss://example.net/\r\nX: y",
        "wss://[example/",
        "wss://beispiel.grün/",
        "wss://127.1/",
        "wss://a..example/",
    ],
)
async def test_an_address_that_is_invalid_is_refused(client: EnapterClient, session: TerminalSession, url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="session"):
        client.devices.open_terminal(attrs.evolve(session, websocket_url=url))


async def test_a_secret_that_no_header_can_have_or_that_anybody_could_read_is_refused(
    client: EnapterClient, session: TerminalSession
) -> None:
    for token in ("a\r\nb", "gr\u00fcn", "a b"):
        with pytest.raises(InvalidArgumentError, match="session"):
            client.devices.open_terminal(attrs.evolve(session, token=token))
    secure = EnapterClient(token="t")
    with pytest.raises(InvalidArgumentError, match="unencrypted ws address"):
        secure.devices.open_terminal(attrs.evolve(session, websocket_url="ws://example.net/x"))
    with pytest.raises(InvalidArgumentError, match="session"):
        client.devices.open_terminal("wss://example.net")  # type: ignore[arg-type]
    terminal = client.devices.open_terminal(session)
    for rows, columns in ((0, 80), (24, -1), (24, True), (24.5, 80), (24, 70_000)):
        with pytest.raises(InvalidArgumentError):
            await terminal.set_size(rows=rows, columns=columns)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError):
        await terminal.send(b"ls")  # type: ignore[arg-type]


async def test_the_socket_is_as_the_reference_has_it(sim: Simulator) -> None:
    async with aiohttp.ClientSession() as plain:
        call = Caller(sim, plain)
        made = await call("POST", f"/v3/devices/{device_of(sim, 'gateway').id}/run_terminal")
        headers = {"Authorization": f"Bearer {made['token']}", "X-Enapter-Allow-HTTP": "true"}

        async with plain.get(made["websocket_url"].replace("ws", "http", 1), headers=headers) as response:
            assert response.status == 400
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await plain.ws_connect(
                made["websocket_url"], headers={"X-Enapter-Auth-Token": sim.token, "X-Enapter-Allow-HTTP": "true"}
            )
        async with plain.ws_connect(made["websocket_url"], headers=headers) as socket:
            greeting = await socket.receive_json()
            assert greeting["channel"] == made["channel_id"]
            assert json.loads(greeting["data"]) == ["stdin", "gateway-1$ "]
            for ignored in ("no JSON", "[]", '{"channel": "other", "data": "[\\"stdin\\", \\"x\\"]"}'):
                await socket.send_str(ignored)
            for words in (["ping"], ["keepalive_ping"], ["stdin", "hostname\nexit\n"]):
                await socket.send_json({"channel": made["channel_id"], "data": json.dumps(words)})
            said = [json.loads(json.loads(message.data)["data"]) async for message in socket]
            assert said[0] == ["stdin", "hostname\r\nexit\r\n"]
            assert said[1][1].startswith("gateway-1\r\n")
            assert said[-1] == ["exit"]
