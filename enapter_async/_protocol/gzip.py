"""Gzip bodies, decoded piece by piece, with proof of their end.

A gzip body that was cut off must not pass for a short one, and a few kilobytes must not become gigabytes
(RFC 1952; DESIGN, Safety). So the end of the stream is checked, and what comes out is counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from enapter_async.errors import InvalidBodyError, ResponseTooLargeError

_GZIP_FRAMING: Final = 16 + zlib.MAX_WBITS
_INPUT: Final = 16 * 1024
"""Input is taken in slices: zlib copies what it leaves, so small members in one slice cost its square."""
_OUTPUT: Final = 64 * 1024


class GzipDecoder:
    """Decodes one gzip stream of any number of members.

    Args:
        limit: Most decoded bytes, in all; None for no bound (a stream that is consumed as it comes).

    Attributes:
        untouched: Nothing has been fed.
    """

    __slots__ = ("_inflate", "_limit", "_total", "untouched")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._total = 0
        self.untouched = True
        self._inflate = zlib.decompressobj(_GZIP_FRAMING)

    @property
    def decoded(self) -> int:
        """Number of bytes decoded so far."""
        return self._total

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode some more of the stream; the iterator must be used up before the next call.

        Args:
            data: Bytes as they came, cut anywhere.

        Yields:
            Decoded bytes in pieces of at most 64 KiB, none empty.

        Raises:
            InvalidBodyError: This is not gzip, it is damaged, or something follows its end.
            ResponseTooLargeError: More than `limit` bytes came out; nothing beyond it is yielded.
        """
        self.untouched = False
        for start in range(0, len(data), _INPUT):
            yield from self._decode(data[start : start + _INPUT])

    def finish(self) -> None:
        """Prove that the stream is complete.

        A body without a single byte is not a gzip stream either. If the body is known to be empty (`Content-Length:
        0`), do not call this.

        Raises:
            InvalidBodyError: The stream was cut off.
        """
        if not self._inflate.eof:
            raise InvalidBodyError("the gzip body was cut off")

    def _decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:  # another member, or garbage: zlib tells them apart by the header
                self._inflate = zlib.decompressobj(_GZIP_FRAMING)
            full = False
            # A full piece may leave output inside zlib although all input was taken.
            while (data or full) and not self._inflate.eof:
                piece = self._inflate_piece(data)
                full = len(piece) == _OUTPUT
                data = self._inflate.unconsumed_tail
                if piece:
                    yield piece
            data = self._inflate.unused_data

    def _inflate_piece(self, data: bytes) -> bytes:
        damage = ""
        piece = b""
        try:
            piece = self._inflate.decompress(data, _OUTPUT)
        except zlib.error as error:
            damage = str(error)
        if damage:
            raise InvalidBodyError(f"the gzip body is damaged: {damage}")
        self._total += len(piece)
        if self._limit is not None and self._total > self._limit:
            raise ResponseTooLargeError(f"the decoded body is larger than {self._limit} bytes")
        return piece
