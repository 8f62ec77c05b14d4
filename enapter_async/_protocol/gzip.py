"""Decoding of gzip bodies piece by piece, with a check that they are complete.

A truncated gzip body must not be mistaken for a short one, and a few kilobytes must not expand to gigabytes (RFC 1952;
DESIGN, Safety). So the end of the stream is checked and the output is counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from enapter_async.errors import InvalidBodyError, ResponseTooLargeError

_GZIP_FRAMING: Final = 16 + zlib.MAX_WBITS
_INPUT: Final = 16 * 1024
"""Size of input slices. zlib copies unused input, so many small members in one large slice take quadratic time."""
_OUTPUT: Final = 64 * 1024


class GzipDecoder:
    """Decodes one gzip stream of any number of members.

    Args:
        limit: Maximum number of decoded bytes; None for a stream that is consumed as it arrives.

    Attributes:
        untouched: Whether no input has arrived.
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
        """Decode more of the stream. Exhaust the iterator before the next call.

        Args:
            data: Bytes as they arrived, split anywhere.

        Yields:
            Decoded bytes in pieces of at most 64 KiB, none empty.

        Raises:
            InvalidBodyError: The body is not gzip, is damaged, or continues after its end.
            ResponseTooLargeError: The output is larger than `limit` bytes. Nothing beyond that is yielded.
        """
        self.untouched = False
        for start in range(0, len(data), _INPUT):
            yield from self._decode(data[start : start + _INPUT])

    def finish(self) -> None:
        """Check that the stream is complete.

        A body without a single byte is not a gzip stream either. If the body is known to be empty (`Content-Length:
        0`), do not call this.

        Raises:
            InvalidBodyError: The stream was truncated.
        """
        if not self._inflate.eof:
            raise InvalidBodyError("the gzip body was cut off")

    def _decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:  # another member or garbage: zlib distinguishes them by the header
                self._inflate = zlib.decompressobj(_GZIP_FRAMING)
            full = False
            # After a full piece, output may remain inside zlib although all input was consumed.
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
            raise ResponseTooLargeError(f"the decoded body is larger than {self._limit:,} bytes")
        return piece
