"""The fault matrix: what the server does, and what a caller of each safety class gets for it.

Each row is one behaviour of a raw server on loopback. READ may be sent again, CONVERGE and UNSAFE may not (unless
the caller opted in: test_never_sent_twice). Every error is ours all through, and shows no token.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable

import attrs
import pytest

from enapter_async import (
    APIError,
    AttemptTimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionLostError,
    DeadlineExceededError,
    InvalidBodyError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimit,
    RateLimitedError,
    RequestError,
    ResponseTooLargeError,
    RetryPolicy,
    Safety,
    SchemaError,
    ServerError,
    ServerOutcomeUnknownError,
    UnexpectedRedirectError,
    UnprocessableError,
)
from tests.faults.clients import CALLS, GOOD, SITE, impatient
from tests.faults.raw_server import (
    Behaviour,
    Exchange,
    RawServer,
    as_json,
    chunked,
    close,
    gzipped,
    hang,
    reset,
    response,
    sending,
)
from tests.secrecy import TOKEN, Watcher, assert_clean

pytestmark = pytest.mark.anyio

UNPACED = RateLimit(adaptive=False)
READ, CONVERGE, UNSAFE = Safety.READ, Safety.CONVERGE, Safety.UNSAFE
LONG = b'{"site": {"id": "S", "name": "' + b"x" * 2000 + b'"}}'


@attrs.frozen
class Expected:
    error: type[RequestError]
    outcome: str
    requests: int


@attrs.frozen
class Row:
    behaviour: Behaviour
    read: Expected
    converge: Expected
    unsafe: Expected

    def expected(self, safety: Safety) -> Expected:
        return {READ: self.read, CONVERGE: self.converge, UNSAFE: self.unsafe}[safety]


def ambiguous(behaviour: Behaviour, error: type[RequestError] = ConnectionLostError) -> Row:
    """Nobody knows what became of the request: only READ is sent again."""
    return Row(
        behaviour,
        Expected(error, "unknown", 3),
        Expected(error, "unknown", 1),
        Expected(OutcomeUnknownError, "unknown", 1),
    )


def final(behaviour: Behaviour, error: type[RequestError]) -> Row:
    """The server has answered: nothing is sent again."""
    expected = Expected(error, "final", 1)
    return Row(behaviour, expected, expected, expected)


def answering(body: bytes, status: int = 200, *headers: str) -> Behaviour:
    return sending(response(body, status, *headers), then="keep")


def with_encoding(body: bytes, encoding: str = "gzip") -> bytes:
    return response(body, 200, f"Content-Encoding: {encoding}")


async def dripped_headers(exchange: Exchange) -> None:
    await exchange.drip(response(SITE))


async def dripped_body(exchange: Exchange) -> None:
    await exchange.send(response(b"", announce=len(LONG)))
    await exchange.drip(LONG)


async def early_hints_for_ever(exchange: Exchange) -> None:
    while True:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.01)


HTML = b"<html><body>502 Bad Gateway</body></html>"
BOMB = gzip.compress(b"\0" * 4_000_000)

LOST: dict[str, Behaviour] = {
    "reset before the answer": reset,
    "closed before the answer": close,
    "closed within the status line": sending(b"HTTP/1.1 2"),
    "closed within the headers": sending(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "reset within the headers": sending(b"HTTP/1.1 200 OK\r\nContent-Ty", then="reset"),
    "closed within the body": sending(response(SITE[:10], announce=len(SITE))),
    "reset within the body": sending(response(SITE[:10], announce=len(SITE)), then="reset"),
    "closed before the body": sending(response(b"", announce=len(SITE))),
    "closed within a chunk": sending(chunked(LONG)[:-40]),
    "closed between two chunks": sending(chunked(SITE[:10], SITE[10:], end=False)),
    "chunk size that is no number": sending(chunked(end=False) + b"zz\r\nabc\r\n"),
    "gzip cut off, the length being right": sending(with_encoding(gzipped(LONG)[:-12])),
    "gzip without its checksum": sending(with_encoding(gzipped(LONG)[:-8])),
    "gzip cut off in chunks": sending(chunked(gzipped(LONG)[:30], headers=("Content-Encoding: gzip",))),
    "no HTTP at all": sending(b"\x16\x03\x01\x00\x00 nonsense\r\n\r\n"),
    "another protocol": sending(b"220 mail.example.net ESMTP\r\n"),
    "a length that is no number": sending(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
    "two lengths": sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "only an interim answer": sending(b"HTTP/1.1 100 Continue\r\n\r\n"),
}

SLOW: dict[str, Behaviour] = {
    "no answer": hang,
    "headers that drip": dripped_headers,
    "a body that drips": dripped_body,
    "a body that stops": sending(response(SITE[:10], announce=len(SITE)), then="hang"),
    "chunks that stop": sending(chunked(SITE[:10], end=False), then="hang"),
    "interim answers without end": early_hints_for_ever,
}

NONSENSE: dict[str, tuple[Behaviour, type[RequestError]]] = {
    "nothing": (answering(b""), InvalidBodyError),
    "HTML": (answering(HTML), InvalidBodyError),
    "half of a JSON text": (answering(SITE[:-3]), InvalidBodyError),
    "two JSON texts": (answering(SITE + SITE), InvalidBodyError),
    "invalid UTF-8": (answering(b'{"site": {"id": "\xff\xfe"}}'), InvalidBodyError),
    "an integer of 5,000 digits": (answering(b'{"site": ' + b"9" * 5000 + b"}"), InvalidBodyError),
    "a nesting of 100,000 lists": (answering(b"[" * 100_000 + b"]" * 100_000), InvalidBodyError),
    "null": (answering(b"null"), SchemaError),
    "a list": (answering(as_json([{"id": "S"}])), SchemaError),
    "a number": (answering(b"5"), SchemaError),
    "another envelope": (answering(as_json({"data": {"id": "S"}})), SchemaError),
    "null in the envelope": (answering(as_json({"site": None, "execution_id": None})), SchemaError),
    "a list in the envelope": (answering(as_json({"site": [], "execution_id": []})), SchemaError),
    "no identifier": (answering(as_json({"site": {"name": "N"}})), SchemaError),
    "a number for a text": (answering(as_json({"site": {"id": 5}, "execution_id": 5})), SchemaError),
    "NaN": (answering(b'{"site": NaN, "execution_id": NaN}'), SchemaError),
    "damaged gzip": (answering(gzipped(LONG)[:-8] + bytes(8), 200, "Content-Encoding: gzip"), InvalidBodyError),
    "plain text called gzip": (answering(SITE, 200, "Content-Encoding: gzip"), InvalidBodyError),
    "gzip and more": (answering(gzipped(SITE) + b"more", 200, "Content-Encoding: gzip"), InvalidBodyError),
    "zlib, not asked for": (answering(zlib.compress(SITE), 200, "Content-Encoding: deflate"), InvalidBodyError),
    "brotli, not asked for": (answering(b"\x0b\x02\x80{}\x03", 200, "Content-Encoding: br"), InvalidBodyError),
    "a gzip bomb": (answering(BOMB, 200, "Content-Encoding: gzip"), ResponseTooLargeError),
    "a gzip bomb in chunks": (
        sending(chunked(BOMB[:2000], BOMB[2000:], headers=("Content-Encoding: gzip",)), then="hang"),
        ResponseTooLargeError,
    ),
    "a body too large by its length": (sending(response(b"", announce=10**12), then="hang"), ResponseTooLargeError),
    "a body too large in chunks": (sending(chunked(*[b" " * 60_000] * 10), then="hang"), ResponseTooLargeError),
    "a body too large without an end": (
        sending(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 600_000, then="hang"),
        ResponseTooLargeError,
    ),
}

STATUSES: dict[int, type[APIError]] = {
    101: APIError,
    300: UnexpectedRedirectError,
    301: UnexpectedRedirectError,
    304: APIError,
    307: UnexpectedRedirectError,
    308: UnexpectedRedirectError,
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    418: APIError,
    422: UnprocessableError,
    451: APIError,
    501: ServerError,
    505: ServerError,
}


def server_error(behaviour: Behaviour) -> Row:
    """A proxy may have passed it on before it said so."""
    return Row(
        behaviour,
        Expected(ServerError, "unknown", 3),
        Expected(ServerError, "unknown", 1),
        Expected(ServerOutcomeUnknownError, "unknown", 1),
    )


LONG_HEADS: dict[str, Behaviour] = {
    "a header line without end": sending(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n"),
    "a status line without end": sending(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n"),
}


def unreadable(behaviour: Behaviour) -> Row:
    """Every answer will have such a head, so no other one is asked for."""
    return Row(
        behaviour,
        Expected(ConnectionLostError, "unknown", 1),
        Expected(ConnectionLostError, "unknown", 1),
        Expected(OutcomeUnknownError, "unknown", 1),
    )


def not_processed(behaviour: Behaviour) -> Row:
    """The server says that it has not done anything: what only reads may go again."""
    return Row(
        behaviour,
        Expected(APIError, "final", 3),
        Expected(APIError, "final", 1),
        Expected(APIError, "final", 1),
    )


def without_a_usable_body(status: int) -> dict[str, Behaviour]:
    return {
        "with a body cut off": sending(response(b"{", status, announce=100)),
        "with a body that stops": sending(response(b"{", status, announce=100), then="hang"),
        "with a body too large": sending(response(b" " * 1000, status, announce=10**9), then="hang"),
        "with a gzip bomb": answering(BOMB, status, "Content-Encoding: gzip"),
        "with brotli": answering(b"\x0b\x02\x80{}\x03", status, "Content-Encoding: br"),
        "with half a gzip": answering(gzipped(LONG)[:20], status, "Content-Encoding: gzip"),
    }


MATRIX: dict[str, Row] = {
    **{name: ambiguous(behaviour) for name, behaviour in LOST.items()},
    **{name: unreadable(behaviour) for name, behaviour in LONG_HEADS.items()},
    **{name: ambiguous(behaviour, AttemptTimeoutError) for name, behaviour in SLOW.items()},
    **{f"200 with {name}": final(behaviour, error) for name, (behaviour, error) in NONSENSE.items()},
    **{f"status {status}": final(answering(b"", status), error) for status, error in STATUSES.items()},
    **{f"status {status} with HTML": server_error(answering(HTML, status)) for status in (500, 502, 503, 504)},
    **{
        f"502 with {name}": server_error(answering(body, 502))
        for name, body in {
            "null": b"null",
            "a list": b"[]",
            "errors that are none": b'{"errors": [5, null, {"code": 5, "message": [], "details": 1}]}',
            "errors in no list": as_json({"errors": "none"}),
            "invalid UTF-8": b"\xff\xfe",
            "a nesting of 100,000 lists": b"[" * 100_000,
        }.items()
    },
    **{f"status {status}": not_processed(answering(b"", status)) for status in (408, 425)},
    "408 and the end of the connection": not_processed(sending(response(b"", 408, "Connection: close"))),
    "404 with HTML": final(answering(HTML, 404), NotFoundError),
    # Where the status says what matters, the body may be what it likes.
    **{f"404 {name}": final(behaviour, NotFoundError) for name, behaviour in without_a_usable_body(404).items()},
    **{f"503 {name}": server_error(behaviour) for name, behaviour in without_a_usable_body(503).items()},
}


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
@pytest.mark.parametrize("name", MATRIX)
async def test_what_the_caller_gets(name: str, safety: Safety) -> None:
    row = MATRIX[name]
    expected = row.expected(safety)
    watcher = Watcher()
    options = {"hooks": [watcher], "max_response_bytes": 500_000}
    async with RawServer(row.behaviour).running() as server, impatient(server, **options) as client:
        with pytest.raises(RequestError) as caught:
            async with asyncio.timeout(3):
                await CALLS[safety](client)
        error = caught.value
        assert type(error) is expected.error
        assert (error.outcome, server.seen, error.attempts) == (expected.outcome, expected.requests, expected.requests)
        assert client.load.in_flight == 0
    await server.no_connections()
    assert_clean(error)
    watcher.assert_clean()
    assert watcher.names[-1] == "RequestFinished"
    assert all(request.headers["x-enapter-auth-token"] == TOKEN for request in server.requests)
    if safety is UNSAFE:
        assert not isinstance(error, TimeoutError)


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_a_refusal_with_429_is_waited_out_by_all(safety: Safety) -> None:
    async def busy_once(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(b"", 429, "Retry-After: 0")
        else:
            await exchange.answer(GOOD[safety])

    async with RawServer(busy_once).running() as server, impatient(server, rate_limit=UNPACED) as client:
        await CALLS[safety](client)
        assert server.seen == 2


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_a_429_whose_body_is_cut_off_is_a_refusal_still(safety: Safety) -> None:
    async def busy_once(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.send(response(b"{", 429, "Retry-After: 0", announce=100))
            exchange.close()
        else:
            await exchange.answer(GOOD[safety])

    async with RawServer(busy_once).running() as server, impatient(server, rate_limit=UNPACED) as client:
        await CALLS[safety](client)
        assert server.seen == 2


@pytest.mark.parametrize("adaptive", [True, False], ids=["paced", "not paced"])
@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_a_server_that_is_always_busy_ends_at_the_deadline(safety: Safety, adaptive: bool) -> None:
    async with (
        RawServer(answering(b"", 429, "Retry-After: 0")).running() as server,
        impatient(server, rate_limit=RateLimit(adaptive=adaptive), retry=RetryPolicy(initial_delay=0.05)) as client,
    ):
        with pytest.raises((DeadlineExceededError, RateLimitedError)) as caught:
            await CALLS[safety](client.with_options(timeout=0.3))
        assert caught.value.outcome == "rejected"
        assert caught.value.elapsed < 0.4
        assert server.seen < 100, "Retry-After: 0 is no invitation to storm"
        assert_clean(caught.value)


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_a_redirect_to_another_host_gets_no_token(safety: Safety) -> None:
    async with RawServer(answering(SITE)).running() as elsewhere:
        redirect = answering(b"", 307, f"Location: {elsewhere.url}/v3/sites/S?token={TOKEN}")
        async with RawServer(redirect).running() as server, impatient(server) as client:
            with pytest.raises(UnexpectedRedirectError, match=f"redirects to {elsewhere.url}") as caught:
                await CALLS[safety](client)
            assert (server.seen, elsewhere.connections) == (1, 0)
            assert_clean(caught.value)


ECHOES: dict[str, Callable[[str], bytes]] = {
    "as text": lambda token: f"you sent {token}".encode(),
    "in JSON": lambda token: as_json({"errors": [{"code": token, "message": token, "details": {token: [token]}}]}),
    "in escaped JSON": lambda token: (
        '{"errors": [{"message": "' + "".join(f"\\u{ord(letter):04x}" for letter in token) + '"}]}'
    ).encode(),
    "in JSON of another shape": lambda token: as_json({"site": token, "execution_id": {"x": token}}),
    "in a list": lambda token: as_json([token]),
    "in the identifier": lambda token: as_json({"site": {"id": [token]}, "execution_id": [token]}),
}


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_server_that_echoes_the_token_does_not_make_us_show_it(echo: str, safety: Safety, status: int) -> None:
    body = ECHOES[echo](TOKEN)
    policy = RetryPolicy.none()
    watcher = Watcher()
    async with (
        RawServer(answering(body, status)).running() as server,
        impatient(server, retry=policy, hooks=[watcher]) as client,
    ):
        with pytest.raises(RequestError) as caught:
            await CALLS[safety](client)
    assert_clean(caught.value)
    watcher.assert_clean()


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + SITE,
        b'{"site": {"id": "other", "id": "S", "name": "Site"}}',
        b'{"site": {"id": "S", "name": "Site", "new": [[[[1e999, -0, 12345678901234567890123]]]]}, "more": null}',
        b" \r\n\t" + SITE + b"\n",
    ],
    ids=["byte order mark", "a key twice", "unknown fields", "white space"],
)
async def test_odd_json_that_is_read(body: bytes) -> None:
    async with RawServer(answering(body)).running() as server, impatient(server) as client:
        site = await client.sites.get("S")
        assert (site.id, site.name, server.seen) == ("S", "Site", 1)


@pytest.mark.parametrize(
    "data",
    [
        chunked(SITE),
        chunked(*[bytes([byte]) for byte in SITE]),
        chunked(gzipped(SITE), headers=("Content-Encoding: gzip",)),
        response(gzipped(SITE[:5]) + gzipped(SITE[5:]), 200, "Content-Encoding: x-gzip"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(SITE),
        b"HTTP/1.0 200 OK\r\n\r\n" + SITE,
        b"HTTP/1.1 200 \r\nContent-Length: " + str(len(SITE)).encode() + b"\r\n\r\n" + SITE,
        response(SITE, 200, *(f"X-{number}: {number}" for number in range(100))),
        response(SITE, 203),
    ],
    ids=[
        "chunks",
        "chunks of a byte",
        "gzip in chunks",
        "gzip in two members",
        "an interim answer first",
        "HTTP/1.0, ended by closing",
        "no reason phrase",
        "100 headers",
        "another 2xx status",
    ],
)
async def test_odd_http_that_is_read(data: bytes) -> None:
    async with RawServer(sending(data)).running() as server, impatient(server) as client:
        assert (await client.sites.get("S")).name == "Site"
        assert server.seen == 1


@pytest.mark.parametrize("header", ["X-None: 0", "Content-Encoding: gzip"])
@pytest.mark.parametrize("status", [200, 204])
async def test_deleting_needs_no_body(status: int, header: str) -> None:
    head = f"HTTP/1.1 {status} Words\r\n{header}\r\n" + ("Content-Length: 0\r\n" if status == 200 else "") + "\r\n"
    async with RawServer(sending(head.encode())).running() as server, impatient(server) as client:
        assert await client.sites.delete("S") is None  # type: ignore[func-returns-value]
        assert server.seen == 1


@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_a_large_body_arrives_whole_and_once(safety: Safety) -> None:
    async def behaviour(exchange: Exchange) -> None:
        if safety is READ and exchange.number == 1:
            exchange.reset()
        else:
            await exchange.answer()

    text = "".join(map(str, range(400_000)))
    async with RawServer(behaviour).running() as server, impatient(server) as client:
        await client.with_options(timeout=5).request("POST", "v3/x", json=text, safety=safety, timeout=5)
        assert [request.body for request in server.requests] == [as_json(text)] * (2 if safety is READ else 1)
        assert server.requests[0].headers["content-type"] == "application/json"


async def test_a_body_where_there_must_be_none_does_not_become_the_next_answer() -> None:
    async def behaviour(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n" + response(as_json({"site": {"id": "evil"}})))
        else:
            await exchange.answer(SITE)

    async with RawServer(behaviour).running() as server, impatient(server) as client:
        assert await client.request("GET", "v3/ping", safety=READ) is None
        assert (await client.sites.get("S")).id == "S"


@pytest.mark.parametrize("safety", [Safety.CONVERGE, Safety.UNSAFE], ids=lambda safety: safety.value)
async def test_an_answer_of_success_that_cannot_be_read_repeats_nothing_and_tells_to_look(safety: Safety) -> None:
    async with RawServer(sending(response(b"<html>"), then="keep")).running() as server, impatient(server) as client:
        with pytest.raises(InvalidBodyError) as caught:
            await CALLS[safety](client)
        assert (server.seen, caught.value.outcome) == (1, "final")
    assert "check before repeating it" in caught.value.__notes__[0]
