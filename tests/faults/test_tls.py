"""Certificates: those of strangers are refused before anything is sent, a Gateway's own is accepted where named."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme

from enapter_async import (
    ConnectionLostError,
    EnapterClient,
    InsecureConnectionWarning,
    OutcomeUnknownError,
    RequestError,
    RetryPolicy,
    Safety,
    TLSError,
)
from tests.faults.clients import CALLS, GOOD, read, unsafe
from tests.faults.raw_server import Exchange, RawServer
from tests.secrecy import TOKEN, Watcher, assert_clean

pytestmark = pytest.mark.anyio

AUTHORITY = trustme.CA()
each_class = pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


def serving_tls(*names: str, expired: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = AUTHORITY.issue_cert(*(names or ("localhost", "127.0.0.1")), not_after=past if expired else None)
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


async def good(exchange: Exchange) -> None:
    await exchange.answer(GOOD[Safety.READ] if exchange.request.method != "POST" else GOOD[Safety.UNSAFE])


def gateway(server: RawServer, **options: Any) -> EnapterClient:
    host = server.url.split("//")[1]
    defaults: dict[str, Any] = {"scheme": "https", "retry": RetryPolicy(max_attempts=2, initial_delay=0)}
    return EnapterClient.gateway(host, token=TOKEN, **(defaults | options))


async def assert_refused(client: EnapterClient, server: RawServer, safety: Safety) -> RequestError:
    watcher = Watcher()
    async with client:
        with pytest.raises(TLSError) as caught:
            await CALLS[safety](client)
    assert (caught.value.outcome, caught.value.phase, server.seen) == ("not_sent", "connect", 0)
    assert_clean(caught.value)
    watcher.assert_clean()
    return caught.value


@each_class
async def test_an_unknown_authority_is_refused(safety: Safety) -> None:
    async with RawServer(good).running(tls=serving_tls()) as server:
        error = await assert_refused(gateway(server), server, safety)
        assert "certificate of 127.0.0.1 was not accepted" in str(error)


@each_class
async def test_a_certificate_for_another_host_is_refused(safety: Safety, ca_file: Path) -> None:
    async with RawServer(good).running(tls=serving_tls("gateway.example.net")) as server:
        error = await assert_refused(gateway(server, ca_file=ca_file), server, safety)
        assert "IP address mismatch" in str(error)


async def test_a_certificate_that_has_expired_is_refused(ca_file: Path) -> None:
    async with RawServer(good).running(tls=serving_tls(expired=True)) as server:
        error = await assert_refused(gateway(server, ca_file=ca_file), server, Safety.READ)
        assert "expired" in str(error)


@each_class
async def test_plain_http_on_a_tls_port_is_refused(safety: Safety) -> None:
    async def answers_at_once(exchange: Exchange) -> None:
        raise AssertionError("nothing that is HTTP comes")

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = RawServer(answers_at_once)
    listening = await asyncio.start_server(plain, "127.0.0.1", 0)
    server.url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        await assert_refused(gateway(server), server, safety)
    finally:
        listening.close()


@each_class
async def test_tls_on_a_plain_http_port_is_no_answer(safety: Safety) -> None:
    async with RawServer(good).running(tls=serving_tls()) as server:
        async with gateway(server, scheme="http") as client:
            with pytest.raises((ConnectionLostError, OutcomeUnknownError)) as caught:
                await CALLS[safety](client)
        assert caught.value.outcome == "unknown"
        assert_clean(caught.value)


@each_class
async def test_the_gateways_own_authority_is_accepted(safety: Safety, ca_file: Path) -> None:
    async with RawServer(good).running(tls=serving_tls()) as server:
        async with gateway(server, ca_file=ca_file) as client:
            await CALLS[safety](client)
        context = ssl.create_default_context(cafile=ca_file)
        async with gateway(server, ssl_context=context) as client:
            await CALLS[safety](client)
        assert server.seen == 2
        assert "x-enapter-allow-http" not in server.requests[0].headers


async def test_the_gateways_own_certificate_is_accepted_under_any_name(ca_file: Path) -> None:
    """As docs/how-to/gateway.md has it, for Gateways that are reached by an address."""
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = False
    async with RawServer(good).running(tls=serving_tls("enapter-gateway.local")) as server:
        async with gateway(server, ssl_context=context) as client:
            await read(client)
        assert server.seen == 1


@each_class
async def test_verify_false_accepts_anything_and_warns_once(safety: Safety) -> None:
    async with RawServer(good).running(tls=serving_tls("elsewhere.example.net")) as server:
        with pytest.warns(InsecureConnectionWarning) as caught:
            client = gateway(server, verify=False)
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with client:
                for _ in range(2):
                    await CALLS[safety](client)
        assert server.seen == 2


async def test_a_copy_has_the_same_authority(ca_file: Path) -> None:
    async with RawServer(good).running(tls=serving_tls()) as server, gateway(server, ca_file=ca_file) as client:
        await read(client.with_options(timeout=5))
        await unsafe(client.with_options(user="somebody"))
        assert server.seen == 2
