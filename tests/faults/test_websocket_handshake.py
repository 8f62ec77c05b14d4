"""Opening a stream: what goes out, what comes back when it is refused, and where a redirect may lead."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from enapter_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    StreamError,
    StreamPolicy,
    Timeouts,
    TransportError,
    UnexpectedRedirectError,
    UnprocessableError,
)
from tests.faults.stream_server import HASTY, TOKEN, client_of, hang, readers, record, refuse, send, serving

pytestmark = pytest.mark.anyio


# -- what goes out ------------------------------------------------


@pytest.mark.parametrize(
    ("open_stream", "path"),
    [
        (lambda c: c.logs.follow("dev-1"), "/v3/devices/dev-1/logs"),
        (
            lambda c: c.logs.follow("dev-1", site_id="s", severity="error", retention="ALL"),
            "/v3/sites/s/devices/dev-1/logs?severity=error&retention=ALL",
        ),
        (lambda c: c.telemetry.follow("dev-1"), "/v3/devices/dev-1/telemetry"),
        (lambda c: c.telemetry.follow("dev-1", site_id="s"), "/v3/sites/s/devices/dev-1/telemetry"),
        (lambda c: c.streams.devices(["a", "b"]), "/v3/devices/?id.in=a&id.in=b"),
        (lambda c: c.streams.devices(["a"], site_id="s"), "/v3/sites/s/devices/?id.in=a"),
        (lambda c: c.rules.follow_log("r", "s"), "/v3/sites/s/rule_engine/rules/r/logs"),
        (lambda c: c.rules.follow_log("r"), "/v3/site/rule_engine/rules/r/logs"),
    ],
)
async def test_the_handshake_asks_for_the_documented_path(open_stream: Any, path: str) -> None:
    async with serving(send()) as server, client_of(server) as client, open_stream(client):
        (handshake,) = server.handshakes
    assert handshake.path_qs == path


async def test_the_handshake_carries_token_and_user_and_offers_no_compression() -> None:
    async with serving(send()) as server, client_of(server, user="ada") as client, client.logs.follow("d"):
        headers = server.handshakes[0].headers
    assert headers["X-Enapter-Auth-Token"] == TOKEN
    assert headers["X-Enapter-Auth-User"] == "ada"
    assert headers["X-Enapter-Allow-HTTP"] == "true"
    assert headers["User-Agent"].startswith("enapter-async/")
    assert "Sec-WebSocket-Extensions" not in headers


@pytest.mark.parametrize("ids", [[], "dev-1", [""], [" "], [3]])
async def test_bad_device_ids_are_refused_before_anything_is_sent(ids: Any) -> None:
    async with serving(send()) as server, client_of(server) as client:
        with pytest.raises(InvalidArgumentError, match="device_ids"):
            client.streams.devices(ids)
        assert server.handshakes == []


async def test_an_open_stream_holds_no_in_flight_slot() -> None:
    async with serving(send(record(1))) as server, client_of(server, max_in_flight=1) as client:
        async with client.logs.follow("d") as first, client.logs.follow("d") as second:
            assert client.load.in_flight == 0
            await anext(first)
            await anext(second)


async def test_streams_beyond_max_streams_wait_for_a_place() -> None:
    async with serving(send()) as server, client_of(server, max_streams=1) as client:
        async with client.logs.follow("d"):
            with pytest.raises(DeadlineExceededError) as caught:
                async with client.logs.follow("d", timeout=0.05):
                    pass
            assert caught.value.operation == "logs.follow"
            assert len(server.handshakes) == 1
        async with client.logs.follow("d", timeout=0.5):
            assert len(server.handshakes) == 2


async def test_a_stream_is_opened_once() -> None:
    async with serving(send()) as server, client_of(server) as client:
        stream = client.logs.follow("d")
        with pytest.raises(StreamError, match="async with"):
            await anext(stream)
        async with stream:
            assert stream.connected
        assert not stream.connected
        with pytest.raises(StreamError, match="closed"):
            await anext(stream)
        with pytest.raises(StreamError, match="once"):
            async with stream:
                pass


async def test_an_injected_session_is_used_and_left_alone() -> None:
    async with serving(send(record(1))) as server, aiohttp.ClientSession(headers={"X-Proxy": "yes"}) as session:
        async with client_of(server, http_session=session) as client, client.logs.follow("d") as stream:
            await anext(stream)
        assert not session.closed
        assert server.handshakes[0].headers["X-Proxy"] == "yes"
        assert TOKEN not in str(dict(session.headers))


async def test_a_closed_injected_session_says_so() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with client_of("http://127.0.0.1:1", http_session=session) as client:
        with pytest.raises(ClientClosedError, match="injected"):
            async with client.logs.follow("d"):
                pass


# -- refusals ------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, APIError),
        (422, UnprocessableError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
    ],
)
async def test_a_refusal_is_the_error_of_its_status_with_the_servers_message(
    status: int, error_class: type[APIError]
) -> None:
    body = {"errors": [{"code": "service/NO", "message": "not with me", "details": {"why": 1}}]}
    async with serving(refuse(status, body)) as server, client_of(server, retry=RetryPolicy.none()) as client:
        with pytest.raises(error_class) as caught:
            async with client.logs.follow("d"):
                pass
        assert len(server.handshakes) == 1
        assert client.load.in_flight == 0
    error = caught.value
    assert (error.status, error.code, error.message, error.details) == (status, "service/NO", "not with me", {"why": 1})
    assert "logs.follow (GET v3/devices/d/logs)" in str(error)
    assert TOKEN not in repr(error) + str(error)
    assert error.__context__ is None


async def test_a_refusal_that_is_not_json_keeps_its_text() -> None:
    async with serving(refuse(404, "no such page here")) as server, client_of(server) as client:
        with pytest.raises(NotFoundError) as caught:
            async with client.logs.follow("d"):
                pass
    assert caught.value.body_excerpt == "no such page here"


async def test_a_refusal_whose_body_never_ends_is_a_refusal_still() -> None:
    async def begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=401, headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        return await hang(request)

    tokens = iter(["old", "new"])

    async def provider() -> str:
        return next(tokens)

    options: dict[str, Any] = {"token": provider, "timeouts": Timeouts(attempt=0.05)}
    async with serving(begin, send(record(1))) as server, client_of(server, **options) as client:
        async with client.logs.follow("d") as stream:
            assert (await anext(stream)).message == "record 1"
        assert [h.headers["X-Enapter-Auth-Token"] for h in server.handshakes] == ["old", "new"]


async def test_an_answer_that_opens_no_websocket_is_a_stream_error_with_its_text() -> None:
    async with serving(refuse(200, f"<h1>welcome {TOKEN}</h1>")) as server, client_of(server) as client:
        with pytest.raises(StreamError, match="welcome") as caught:
            async with client.logs.follow("d"):
                pass
        assert len(server.handshakes) == 1
    assert caught.value.status == 200
    assert TOKEN not in str(caught.value)


async def test_a_passing_refusal_is_tried_again_through_the_same_pipeline() -> None:
    acts = (refuse(503), refuse(429, headers={"Retry-After": "0"}), send(record(1)))
    async with serving(*acts) as server, client_of(server) as client, client.logs.follow("d") as stream:
        assert (await anext(stream)).message == "record 1"
        assert len(server.handshakes) == 3


async def test_a_429_is_news_for_the_whole_client() -> None:
    acts = (refuse(429, headers={"Retry-After": "0"}), send())
    async with serving(*acts) as server, client_of(server) as client, client.logs.follow("d"):
        assert client.load.requests_per_second is not None


async def test_a_token_provider_is_asked_again_after_401() -> None:
    tokens = iter(["old", "new"])

    async def provider() -> str:
        return next(tokens)

    acts = (refuse(401), send(record(1)))
    async with serving(*acts) as server, client_of(server, token=provider) as client:
        async with client.logs.follow("d") as stream:
            await anext(stream)
        assert [h.headers["X-Enapter-Auth-Token"] for h in server.handshakes] == ["old", "new"]


async def test_a_token_provider_is_asked_again_only_once() -> None:
    async def provider() -> str:
        return "bad"

    async with serving(refuse(401)) as server, client_of(server, token=provider) as client:
        with pytest.raises(AuthenticationError):
            async with client.logs.follow("d"):
                pass
        assert len(server.handshakes) == 2


# -- no usable answer ------------------------------------------------


async def test_a_server_that_does_not_answer_ends_in_the_deadline() -> None:
    async with serving(hang) as server, client_of(server) as client:
        with pytest.raises(DeadlineExceededError):
            async with client.logs.follow("d", timeout=0.05):
                pass
        assert client.load.in_flight == 0


async def test_nobody_there_is_a_connect_error() -> None:
    async with client_of("http://127.0.0.1:1", retry=RetryPolicy.none()) as client:
        with pytest.raises(ConnectError):
            async with client.logs.follow("d"):
                pass


def _accepted(request: bytes) -> str:
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split(b": ")[1]
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        ("", ConnectionLostError),
        ("garbage\r\n\r\n", TransportError),
        ("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", StreamError),
        (
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n",
            StreamError,
        ),
        (
            "HTTP/1.1 101 OK\r\nUpgrade: other\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n",
            StreamError,
        ),
        ("HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\ncut", NotFoundError),
        ("HTTP/1.1 404 No\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", NotFoundError),
    ],
)
async def test_a_handshake_that_makes_no_sense_is_our_error(answer: str, error_class: type[Exception]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.format(key=_accepted(request)).encode())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client_of(f"http://127.0.0.1:{port}", retry=RetryPolicy.none()) as client:
        with pytest.raises(error_class) as caught:
            async with client.logs.follow("d"):
                pass
    assert TOKEN not in repr(caught.value)
    assert caught.value.__context__ is None


# -- redirects ------------------------------------------------


async def test_a_308_to_the_same_origin_is_followed() -> None:
    acts = (refuse(308, headers={"Location": "/elsewhere?severity=info"}), send(record(1)))
    async with serving(*acts) as server, client_of(server) as client, client.logs.follow("d") as stream:
        await anext(stream)
        assert server.handshakes[1].path_qs == "/elsewhere?severity=info"
        assert server.handshakes[1].headers["X-Enapter-Auth-Token"] == TOKEN


async def test_a_308_from_http_to_https_on_the_same_host_is_followed() -> None:
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    async with serving(send(record(1)), ssl_context=server_side) as secure:
        act = refuse(308, headers={"Location": f"{secure.url}/v3/devices/d/logs"})
        async with serving(act) as plain, client_of(plain, ssl_context=client_side) as client:
            async with client.logs.follow("d") as stream:
                assert (await anext(stream)).message == "record 1"
        assert secure.handshakes[0].headers["X-Enapter-Auth-Token"] == TOKEN


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_leads_to_another_host(status: int) -> None:
    async with serving(send(record(1))) as other:
        location = other.url.replace("127.0.0.1", "localhost") + "/v3/devices/d/logs"
        async with serving(refuse(status, headers={"Location": location})) as server, client_of(server) as client:
            with pytest.raises(UnexpectedRedirectError) as caught:
                async with client.logs.follow("d"):
                    pass
            assert caught.value.status == status
        assert other.handshakes == []


async def test_no_redirect_leads_to_another_port_of_the_same_scheme() -> None:
    async with serving(send(record(1))) as other:
        act = refuse(308, headers={"Location": other.url})
        async with serving(act) as server, client_of(server) as client:
            with pytest.raises(UnexpectedRedirectError):
                async with client.logs.follow("d"):
                    pass
        assert other.handshakes == []


async def test_redirects_that_go_round_end() -> None:
    async with serving(refuse(308, headers={"Location": "/again"})) as server, client_of(server) as client:
        with pytest.raises(UnexpectedRedirectError):
            async with client.logs.follow("d"):
                pass
        assert len(server.handshakes) == 4


async def test_a_redirect_without_a_location_is_an_error() -> None:
    async with serving(refuse(308)) as server, client_of(server) as client:
        with pytest.raises(UnexpectedRedirectError):
            async with client.logs.follow("d"):
                pass


# -- several connections ------------------------------------------------


async def test_many_devices_share_as_few_connections_as_their_ids_fit_into() -> None:
    ids = [f"{number:036}" for number in range(400)]
    async with serving(send()) as server, client_of(server) as client:
        async with client.streams.devices([*ids, *ids], policy=HASTY) as stream:
            assert stream.connected
            asked = [device for handshake in server.handshakes for device in handshake.query.getall("id.in")]
        assert asked == ids
        assert len(server.handshakes) == 3
        assert all(len(handshake.path_qs) < 8000 for handshake in server.handshakes)


async def test_when_one_of_several_connections_is_refused_none_stays() -> None:
    ids = [f"{number:036}" for number in range(400)]
    async with serving(send(), refuse(403)) as server, client_of(server, max_streams=3) as client:
        with pytest.raises(PermissionDeniedError):
            async with client.streams.devices(ids, policy=StreamPolicy()):
                pass
        assert readers() == []
        assert client.load.in_flight == 0
