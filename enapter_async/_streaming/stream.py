"""WebSocket streams: opened by `async with`, kept open, and honest about what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from enapter_async._protocol.values import require_timeout
from enapter_async._session import Session
from enapter_async._streaming.buffer import Buffer
from enapter_async._streaming.stream_reader import Record, StreamReader, Subscription
from enapter_async.config import StreamPolicy
from enapter_async.errors import StreamError
from enapter_async.models.arguments import refuse_argument
from enapter_async.models.stream_events import FramesDropped, MalformedFrame, StreamEvent, StreamGap

T = TypeVar("T")


class Stream(AsyncIterator[T], Generic[T]):
    """Frames of a WebSocket, live: `async with` opens it, `async for` gives frames.

    A connection that is lost is made again, by the stream's `StreamPolicy`. Streams have no replay, so frames are
    missed meanwhile: `async for event in stream.events()` gives every frame and, in its place, every `StreamGap`,
    `MalformedFrame` and `FramesDropped`. Plain iteration gives frames only; what else happened is counted here.

    Iteration ends with an error only: `StreamError` when the stream could not be kept open, `ClientClosedError`
    when the client was closed. Frames that came before are given first.
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
        """Describe a stream; services call this.

        Args:
            session: Opens connections.
            subscriptions: What to follow, one connection each.
            decode: Reads one message; raises `DecodeError`.
            policy: How the stream is kept open.
            timeout: Seconds for opening it, and for each connection that is opened again.

        Raises:
            InvalidArgumentError: The timeout or the policy cannot be.
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
        """Whether everything that the stream follows is connected now."""
        return self._record.connections == len(self._readers)

    @property
    def gaps(self) -> int:
        """How often a connection was lost and made again."""
        return self._record.gaps

    @property
    def last_gap(self) -> StreamGap | None:
        """The newest gap."""
        return self._record.last_gap

    @property
    def malformed(self) -> int:
        """Frames that could not be read."""
        return self._record.malformed

    @property
    def dropped(self) -> int:
        """Frames that were dropped because the consumer was too slow."""
        return self._buffer.dropped

    def __repr__(self) -> str:
        return f"<Stream {self._name}, {'connected' if self.connected else 'not connected'}>"

    async def __aenter__(self) -> Self:
        """Open the stream.

        Raises:
            APIError: The server refused, as the class of error tells.
            TransportError: It could not be reached.
            DeadlineExceededError: Not opened in time; also when `max_streams` are open.
            StreamError: It answered something else than a WebSocket, or the stream was opened before.
        """
        if self._entered:
            raise StreamError("a stream is opened once: ask the service for a new one")
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
        """Return an iterator over frames and over what happened between them, in order."""
        return _Events(self._event)

    async def _event(self) -> T | StreamEvent:
        await self._ready()
        dropped = self._buffer.take_dropped()  # these were older than whatever is there now
        return FramesDropped(count=dropped) if dropped else self._buffer.take()

    async def _ready(self) -> None:
        if not self._entered:
            raise StreamError("the stream is not open: use `async with`")
        await self._buffer.ready()


class _Events(AsyncIterator[T]):
    """Calls a function for each item."""

    def __init__(self, take: Callable[[], Coroutine[object, object, T]]) -> None:
        self._take = take

    async def __anext__(self) -> T:
        return await self._take()
