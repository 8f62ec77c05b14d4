"""History of telemetry: one response as a table, or as a stream of batches in constant memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from enapter_async._protocol.body import json_request
from enapter_async._protocol.failure import copy_error
from enapter_async._protocol.request import Operation, Request, Safety
from enapter_async._protocol.timeseries.header import DATA_TYPES_HEADER
from enapter_async._protocol.timeseries.query import timeseries_body
from enapter_async._protocol.timeseries.reader import TimeseriesReader
from enapter_async._protocol.timeseries.table_builder import TimeseriesCollector
from enapter_async._session import Session
from enapter_async._transport.reading import StreamedAnswer
from enapter_async.errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    EnapterError,
    InvalidBodyError,
    TransportError,
)
from enapter_async.models.timeseries import ColumnHeader, Timeseries, TimeseriesBatch, TimeseriesQuery, TimeseriesRow

QUERY: Final = Operation("telemetry.query_timeseries", "POST", Safety.READ, accept="text/csv")

_PROMPTNESS: Final = 1.0
"""Seconds of reading after which complete rows are returned, even if they do not fill a batch."""
_PATH: Final = "v3/telemetry/query_timeseries"


class TimeseriesStream:
    """A time series that is read as it arrives. Use it within its `async with` block.

    You can iterate it once: by batch with `async for batch in stream.batches()`, which is fastest, or by row with
    `async for row in stream`. Iteration ends without an error only if the whole response was read.

    Attributes:
        columns: Descriptions of the columns.
    """

    def __init__(self, answer: StreamedAnswer, *, idle: float, deadline: float | None = None) -> None:
        self._answer = answer
        self._idle = idle
        self._silence = 0.0  # seconds spent reading since the last row, without the time of the consumer
        self._clock = asyncio.get_running_loop().time
        self._pieces = answer.pieces(idle=lambda: self._idle - self._silence, deadline=deadline)
        self._reader = TimeseriesReader(answer.headers.get_all(DATA_TYPES_HEADER))
        self._ready: list[TimeseriesBatch] = []
        self._ended = False
        self._failure: EnapterError | None = None
        self.columns: tuple[ColumnHeader, ...] = ()

    async def begin(self) -> None:
        """Read the header with the columns."""
        self._check_media_type()
        while self._reader.columns is None and not self._ended:
            await self._read_more()
            self._raise_failure()
        self.columns = self._reader.columns or ()

    async def batches(self) -> AsyncIterator[TimeseriesBatch]:
        """Iterate over the rest of the response in column-wise batches of a few thousand rows.

        Raises:
            TimeseriesFormatError: The response is malformed or incomplete. Earlier rows were already returned.
            TransportError: The connection was lost, or nothing arrived for `Timeouts.attempt`. All complete rows are
                returned first.
        """
        while True:
            while self._ready:
                yield self._ready.pop(0)
            self._raise_failure()
            if self._ended:
                return
            await self._read_more()

    async def __aiter__(self) -> AsyncIterator[TimeseriesRow]:
        async for batch in self.batches():
            for row in batch.rows():
                yield row

    async def _read_more(self) -> None:
        """Read a piece. A failure is kept, so that no later step takes it for the end of the response."""
        try:
            await self._read_piece()
        except EnapterError as error:
            self._failure = error
        except BaseException:
            self._failure = ConnectionLostError("reading the response was interrupted", phase="body")
            raise

    async def _read_piece(self) -> None:
        began = self._clock()
        try:
            piece = await anext(self._pieces, None)
        except TransportError:
            self._take(self._reader.rest())
            raise
        if piece is None:
            self._ended = True
            self._take(self._reader.finish(complete=self._answer.ends_provably))
        else:
            self._take_piece(piece, self._clock() - began)

    def _take_piece(self, piece: bytes, elapsed: float) -> None:
        """Process a piece, and detect a response that sends bytes but no rows: blank lines, or a row without an end."""
        begun = self._reader.columns is not None
        self._take(self._reader.feed(piece))
        self._silence += elapsed
        if not self._ready and b"\n" in piece and self._silence >= min(_PROMPTNESS, self._idle / 10):
            self._take(self._reader.rest())
        if self._ready or begun != (self._reader.columns is not None):
            self._silence = 0.0
        elif self._silence >= self._idle:
            raise AttemptTimeoutError("no row came in time", phase="body")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._answer.failure = failure = copy_error(self._failure)
            raise failure

    def _take(self, batches: Iterator[TimeseriesBatch]) -> None:
        self._ready.extend(batches)

    def _check_media_type(self) -> None:
        """Reject a response of another media type, such as a web page."""
        media_type = (self._answer.headers.get("Content-Type") or "").split(";")[0].strip().lower()
        if media_type not in ("", "text/csv", "text/plain", "application/csv", "application/octet-stream"):
            self._answer.failure = InvalidBodyError(f"expected text/csv, got {media_type[:60]!r}")
            raise self._answer.failure


def query_request(query: TimeseriesQuery) -> Request:
    """Return the request of a query."""
    return json_request(QUERY, _PATH, timeseries_body(query), "query")


async def query_timeseries(session: Session, query: TimeseriesQuery, timeout: float | None) -> Timeseries:
    """Read a whole response into a table. An interrupted attempt is repeated from the start."""
    request = query_request(query)

    async def read(answer: StreamedAnswer, deadline: float) -> Timeseries:
        stream = TimeseriesStream(answer, idle=session.idle_timeout(), deadline=deadline)
        await stream.begin()
        collector = TimeseriesCollector(stream.columns)
        async for batch in stream.batches():
            collector.add(batch)
        return collector.result()

    return await session.consume(request, read, timeout)


@asynccontextmanager
async def stream_timeseries(
    session: Session, query: TimeseriesQuery, timeout: float | None
) -> AsyncGenerator[TimeseriesStream]:
    """Send a query and read the header with the columns."""
    request = query_request(query)
    async with session.stream(request, timeout) as answer:
        stream = TimeseriesStream(answer, idle=session.idle_timeout())
        await stream.begin()
        yield stream
