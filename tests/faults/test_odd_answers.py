"""Answers that are odd and not wrong are read; those that are wrong in every try are refused once, in plain words."""

from __future__ import annotations

import gzip

import pytest

from enapter_async import (
    APIError,
    ConnectError,
    ConnectionLostError,
    InvalidBodyError,
    OutcomeUnknownError,
    RequestError,
    Safety,
    UnexpectedRedirectError,
)
from tests.faults.clients import CALLS, GOOD, SITE, impatient, read, unsafe
from tests.faults.raw_server import Exchange, RawServer, chunked, gzipped, response, sending
from tests.secrecy import TOKEN, assert_clean

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 2\r\n\r\n{}"
SECRET = TOKEN.encode()
IN_EVERY_ANSWER = {
    "a header of 9,000 bytes": (HEAD + b"X-A: " + SECRET * 900 + b"\r\n" + END, "more than 8190 bytes"),
    "a status line of 9,000 bytes": (b"HTTP/1.1 200 " + b"s" * 9000 + b"\r\n" + END, "more than 8190 bytes"),
}
BY_CHANCE = {
    "a length twice": (HEAD + b"Content-Length: 2\r\n" + END, "duplicate Content-Length"),
    "two lengths": (HEAD + b"Content-Length: 3\r\n" + END, "duplicate Content-Length"),
    "a length and chunks": (
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding can't be present with Content-Length",
    ),
    "something behind the answer": (response(SITE) + SECRET, "expected HTTP/"),
    "another protocol": (b"\x16\x03\x01" + SECRET + b"\r\n\r\n", "expected HTTP/"),
    "a web page": (b"<html>" + SECRET + b"</html>\r\n\r\n", "expected HTTP/"),
    "no status": (b"HTTP/1.1 " + SECRET + b" OK\r\n" + END, "invalid (status code|response status)"),
    "no header": (HEAD + SECRET + b" b\r\n" + END, "invalid header token"),
    "no length": (HEAD + b"Content-Length: " + SECRET + b"\r\n\r\n", "invalid character in Content-Length"),
}


@pytest.mark.parametrize(("answer", "words"), IN_EVERY_ANSWER.values(), ids=IN_EVERY_ANSWER)
@pytest.mark.parametrize("safety", CALLS, ids=lambda safety: safety.value)
async def test_what_every_answer_would_have_is_not_asked_for_again(safety: Safety, answer: bytes, words: str) -> None:
    async with RawServer(sending(answer)).running() as server, impatient(server) as client:
        with pytest.raises(RequestError) as caught:
            await CALLS[safety](client)
        assert server.seen == 1
    assert_clean(caught.value)
    lost: BaseException | None = caught.value
    if safety is Safety.UNSAFE:
        assert isinstance(lost, OutcomeUnknownError)
        lost = lost.__cause__
    assert isinstance(lost, ConnectionLostError)
    assert lost.permanent
    assert words in str(lost)
    assert caught.value.outcome == "unknown"


@pytest.mark.parametrize(("answer", "words"), BY_CHANCE.values(), ids=BY_CHANCE)
async def test_what_is_wrong_with_an_answer_is_said_without_quoting_it(answer: bytes, words: str) -> None:
    async with RawServer(sending(answer)).running() as server, impatient(server) as client:
        with pytest.raises(ConnectionLostError, match=f"(?i)the response was not valid HTTP: .*{words}") as caught:
            await read(client)
        assert server.seen == 3
        assert not caught.value.permanent
    assert_clean(caught.value)


# -- encodings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-8",
        "UTF-8",
        "utf8",
        "none",
        "identity",
        "Identity",
        "",
        "binary",
        "identity, utf-8",
        "ascii",
        "ISO-8859-1",
        "windows-1251",
        "charset=utf-8",
        '"utf-8"',
        "7bit",
        "null",
        "application/json",
        "text/plain; charset=utf-8",
    ],
)
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
async def test_an_encoding_that_compresses_nothing_is_read(encoding: str, in_chunks: bool) -> None:
    header = f"Content-Encoding: {encoding}"
    answer = chunked(SITE, headers=(header,)) if in_chunks else response(SITE, 200, header)
    async with RawServer(sending(answer, then="keep")).running() as server, impatient(server) as client:
        assert (await client.sites.get("S")).id == "S"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "identity, gzip", "gzip, utf-8"])
async def test_gzip_is_read_whatever_is_written_beside_it(encoding: str) -> None:
    answer = response(gzipped(SITE), 200, f"Content-Encoding: {encoding}")
    async with RawServer(sending(answer, then="keep")).running() as server, impatient(server) as client:
        assert (await client.sites.get("S")).id == "S"


@pytest.mark.parametrize(
    "encoding",
    ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "zlib", "bz2", "zip", "base64", "hex", "lzma", "x", "a\\x80"],
)
async def test_other_compression_is_refused(encoding: str) -> None:
    answer = response(gzip.compress(SITE), 200, f"Content-Encoding: {encoding}")
    async with RawServer(sending(answer, then="keep")).running() as server, impatient(server) as client:
        with pytest.raises(InvalidBodyError, match="not asked for"):
            await client.sites.get("S")
        assert server.seen == 1


async def test_a_compressed_body_of_no_bytes_is_empty_where_its_end_is_proven() -> None:
    async with (
        RawServer(sending(chunked(headers=("Content-Encoding: gzip",)), then="keep")).running() as server,
        impatient(server) as client,
    ):
        await client.sites.delete("S")
        assert await client.request("GET", "v3/x", safety=Safety.READ) is None
        assert server.seen == 2


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Encoding: gzip\r\n\r\n",
        chunked(end=False, headers=("Content-Encoding: gzip",)),
        chunked(gzipped(SITE)[:10], headers=("Content-Encoding: gzip",)),
    ],
    ids=["no end", "no last chunk", "a beginning"],
)
async def test_elsewhere_it_was_cut_off(answer: bytes) -> None:
    async with RawServer(sending(answer)).running() as server, impatient(server) as client:
        with pytest.raises(ConnectionLostError):
            await client.request("GET", "v3/x", safety=Safety.READ)
        assert server.seen == 3


# -- statuses --------------------------------------------------------------------------------------------------


async def test_not_modified_is_no_redirect() -> None:
    async with RawServer(sending(response(b"", 304), then="keep")).running() as server, impatient(server) as client:
        with pytest.raises(APIError, match="304: not modified") as caught:
            await read(client)
    assert not isinstance(caught.value, UnexpectedRedirectError)
    assert "redirect" not in str(caught.value)


def refusing_to_connect(status: int) -> RawServer:
    async def behaviour(exchange: Exchange) -> None:
        assert exchange.request.method == "CONNECT"
        await exchange.answer(GOOD[Safety.READ], status)
        exchange.close()

    return RawServer(behaviour)


@pytest.mark.parametrize(("status", "times"), [(400, 1), (401, 1), (403, 1), (405, 1), (407, 1), (404, 1),
                                               (408, 3), (429, 3), (500, 3), (502, 3), (503, 3), (504, 3)])  # fmt: skip
async def test_a_proxy_that_refuses_for_good_is_asked_once(status: int, times: int) -> None:
    async with refusing_to_connect(status).running() as proxy:
        async with impatient(proxy, base_url="https://api.example", proxy=proxy.url) as client:
            for call in (read, unsafe):
                before = proxy.seen
                with pytest.raises(ConnectError, match=f"the proxy answered with status {status}") as caught:
                    await call(client)
                assert caught.value.outcome == "not_sent"
                assert caught.value.permanent == (times == 1)
                assert proxy.seen - before == times
