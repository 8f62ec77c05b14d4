"""The gzip decoder: everything that went in comes out, or an error does."""

from __future__ import annotations

import gzip
import random

import pytest

from enapter_async._protocol.gzip import GzipDecoder
from enapter_async.errors import InvalidBodyError, ResponseTooLargeError


def decode(*chunks: bytes, limit: int | None = None) -> bytes:
    decoder = GzipDecoder(limit)
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    decoder.finish()
    return b"".join(pieces)


TEXT = b"".join(b"%d,%d.5,running\n" % (1773482400 + i, i * i) for i in range(20_000))


@pytest.mark.parametrize("text", [b"", b"x", TEXT, b"\0" * 10_000_000, random.Random(1).randbytes(300_000)])
def test_what_was_compressed_comes_back(text: bytes) -> None:
    assert decode(gzip.compress(text, mtime=0)) == text


def test_one_byte_at_a_time() -> None:
    assert decode(*(bytes([byte]) for byte in gzip.compress(TEXT[:5000], mtime=0))) == TEXT[:5000]


def test_several_members_are_one_stream() -> None:
    body = gzip.compress(b"first ", mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(b"last", mtime=0)
    assert decode(body) == b"first last"
    assert decode(*(bytes([byte]) for byte in body)) == b"first last"


def test_truncation_at_every_byte_is_an_error() -> None:
    body = gzip.compress(b"ts,telemetry=a device=b\n1,2\n", mtime=0)
    for end in range(len(body)):
        with pytest.raises(InvalidBodyError, match="cut off"):
            decode(body[:end])


@pytest.mark.parametrize(
    "garbage", [b"\0", b"\0" * 8, b"garbage", b"\x1f", b"\x1f\x8b", gzip.compress(b"x", mtime=0)[:-1]]
)
def test_whatever_follows_the_end_is_an_error(garbage: bytes) -> None:
    with pytest.raises(InvalidBodyError):
        decode(gzip.compress(TEXT, mtime=0) + garbage)
    with pytest.raises(InvalidBodyError):
        decode(gzip.compress(TEXT, mtime=0), garbage)


@pytest.mark.parametrize("position", [0, 1, 15, -8, -4])
def test_a_damaged_byte_is_an_error(position: int) -> None:
    body = bytearray(gzip.compress(TEXT[:1000], mtime=0))
    body[position] ^= 0xFF
    with pytest.raises(InvalidBodyError):
        decode(bytes(body))


def test_the_limit_counts_decoded_bytes_and_stops_early() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, mtime=0)
    assert len(bomb) < 60_000
    decoder = GzipDecoder(1_000_000)
    received = 0
    pieces = decoder.feed(bomb)
    for _ in range(1_000_000 // 65_536):
        received += len(next(pieces))
    with pytest.raises(ResponseTooLargeError):
        next(pieces)
    assert received <= 1_000_000
    assert decoder.decoded < 1_100_000


def test_a_body_of_exactly_the_limit_is_allowed() -> None:
    assert decode(gzip.compress(b"x" * 70_000, mtime=0), limit=70_000) == b"x" * 70_000
    with pytest.raises(ResponseTooLargeError):
        decode(gzip.compress(b"x" * 70_001, mtime=0), limit=70_000)


def test_output_left_inside_zlib_is_fetched() -> None:
    # Runs decode to far more than one piece from a few input bytes that are taken at once.
    for length in range(65_536 * 2 - 300, 65_536 * 2 + 300, 7):
        assert len(decode(gzip.compress(b"a" * length, mtime=0))) == length


def test_a_flood_of_empty_members_does_not_cost_its_square() -> None:
    assert decode(gzip.compress(b"", mtime=0) * 20_000) == b""
