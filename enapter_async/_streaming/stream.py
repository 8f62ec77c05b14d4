"""WebSocket streams that reconnect, and report missed frames. `stream_reader` opens each connection again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from enapter_async._arguments import refuse_argument
from enapter_async._protocol.values import require_timeout
from enapter_async._session import Session
from enapter_async._streaming.buffer import Buffer
from enapter_async._streaming.call_iterator import CallIterator
from enapter_async._streaming.stream_reader import Record, StreamReader, Subscription
from enapter_async.config import StreamPolicy
from enapter_async.errors import StreamError
from enapter_async.models.stream_events import FramesDropped, MalformedFrame, StreamEvent, StreamGap

T = TypeVar("T")


class Stream(AsyncIterator[T], Generic[T]):
    """Live frames of a WebSocket. Open it with `async with`, and read frames with `async for`.

    A lost connection is restored according to the `StreamPolicy`. The API does not replay frames missed in between.
    `async for event in stream.events()` returns every frame and, in order, every `StreamGap`, `MalformedFrame` and
    `FramesDropped`. Plain iteration returns only frames, and the properties count the events.

    Iteration ends only with an error: `StreamError` if the stream could not be kept open, or `ClientClosedError` if
    the client was closed. Frames received before are returned first.
    """

    def __init__(
        self,
        session: Session,
        subscriptions: Sequence[Subscription[T]],
        decode: Callable[[str | bytes], T],
        *,
        policy: StreamPolicy | None = None,
        timeout: float | None = None,
    ) -> None:
        """Create a stream. Called by services.

        Args:
            session: Opens connections.
            subscriptions: Subscriptions, each with its own connection.
            decode: Decodes one message. Raises `DecodeError`.
            policy: How to keep the stream open.
            timeout: Timeout for opening the stream, and for each reconnection, in seconds.

        Raises:
            InvalidArgumentError: The timeout or the policy is invalid.
        """
        if policy is None:
            policy = StreamPolicy()
        elif not isinstance(policy, StreamPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refuse_argument("policy", "must be a StreamPolicy", policy)
        self._timeout = session.timeouts.total if timeout is None else require_timeout(timeout)
        self._buffer = Buffer[T | StreamGap | MalformedFrame](
            policy.buffer_size,
            drop_oldest=policy.overflow == "drop_oldest",
            never_dropped=(StreamGap, MalformedFrame),
        )
        self._record = Record()
        self._readers = [
            StreamReader(
                session,
                subscription,
                decode,
                policy=policy,
                longest_opening=self._timeout,
                buffer=self._buffer,
                record=self._record,
            )
            for subscription in subscriptions
        ]
        self._name = subscriptions[0].request.operation.name
        self._entered = False

    @property
    def connected(self) -> bool:
        """Whether all connections of the stream are open."""
        return self._record.connections == len(self._readers)

    @property
    def gaps(self) -> int:
        """How often a connection was lost and restored."""
        return self._record.gaps

    @property
    def last_gap(self) -> StreamGap | None:
        """The most recent gap."""
        return self._record.last_gap

    @property
    def malformed(self) -> int:
        """Number of frames that could not be read."""
        return self._record.malformed

    @property
    def dropped(self) -> int:
        """Number of frames dropped because the consumer was too slow."""
        return self._buffer.dropped

    def __repr__(self) -> str:
        return f"<Stream {self._name}, {'connected' if self.connected else 'not connected'}>"

    async def __aenter__(self) -> Self:
        """Open the stream.

        Raises:
            APIError: The server refused. The class of the error says why.
            TransportError: The server could not be reached.
            DeadlineExceededError: The timeout expired, possibly because `max_streams` streams are already open.
            StreamError: The response was not a valid WebSocket handshake, or the stream was already opened.
        """
        if self._entered:
            raise StreamError("a stream can be opened only once: create a new one with the same method")
        self._entered = True
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout
        try:
            for reader in self._readers:
                await reader.start(max(deadline - clock(), 0.001))
        except BaseException as error:
            await self._stop(error)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop(exc)

    async def _stop(self, reason: BaseException | None) -> None:
        politely = not isinstance(reason, asyncio.CancelledError)
        cancelled: asyncio.CancelledError | None = None
        for reader in self._readers:
            try:
                await reader.stop(politely=politely and cancelled is None)
            except asyncio.CancelledError as error:
                cancelled = error
        self._buffer.close(StreamError("the stream was closed"))
        if cancelled is not None:
            raise cancelled

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            await self._ready()
            item = self._buffer.take()
            if not isinstance(item, (StreamGap, MalformedFrame)):
                return item

    def events(self) -> AsyncIterator[T | StreamEvent]:
        """Return an iterator over frames and the events between them, in order."""
        return CallIterator(self._event)

    async def _event(self) -> T | StreamEvent:
        await self._ready()
        dropped = self._buffer.take_dropped()  # these are older than the frames in the buffer
        return FramesDropped(count=dropped) if dropped else self._buffer.take()

    async def _ready(self) -> None:
        if not self._entered:
            raise StreamError("the stream is not open: use `async with`")
        await self._buffer.ready()
