"""The receiving side of a stream: a task that keeps one WebSocket open and fills the buffer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar

import attrs

from enapter_async._protocol.backoff import full_jitter
from enapter_async._protocol.closing import refusal_of
from enapter_async._protocol.decoding.frames import excerpt
from enapter_async._protocol.failure import copy_error, may_pass
from enapter_async._protocol.request import Request
from enapter_async._session import Session
from enapter_async._streaming.buffer import Buffer
from enapter_async._transport.websocket import WebSocket
from enapter_async._visible import make_visible
from enapter_async.config import StreamPolicy
from enapter_async.errors import (
    APIError,
    ClientClosedError,
    DeadlineExceededError,
    DecodeError,
    EnapterError,
    RequestError,
    StreamError,
    WrongEventLoopError,
    error_class,
)
from enapter_async.models.stream_events import MalformedFrame, StreamGap
from enapter_async.pagination import Page

T = TypeVar("T")

_logger = logging.getLogger("enapter_async.stream")

_FOREVER: Final = 1e9  # seconds; only closing the client ends it


class CatchUp(Protocol[T]):
    """Finds frames that a connection missed."""

    def opened(self, at: datetime, /) -> None:
        """Record when a connection was opened, by the server's clock."""
        ...

    def is_new(self, frame: T, /) -> bool:
        """Accept a live frame. Return whether it was not returned before."""
        ...

    def missed(self) -> AsyncIterator[Page[T]]:
        """List the frames that may have been missed."""
        ...

    def is_missing(self, frame: T, /) -> bool:
        """Accept a listed frame. Return whether it was not returned before."""
        ...


@attrs.frozen
class Subscription(Generic[T]):
    """The subscription of one connection.

    Attributes:
        request: Request for the WebSocket.
        device_ids: Devices to report in a gap, if the stream has several connections.
        catch_up: Fills gaps.
    """

    request: Request
    device_ids: tuple[str, ...] = ()
    catch_up: CatchUp[T] | None = None


@attrs.define
class Record:
    """Counters of a stream, over all its connections."""

    connections: int = 0
    gaps: int = 0
    last_gap: StreamGap | None = None
    malformed: int = 0


@attrs.define
class _Outage:
    """A time without frames. It begins with a lost connection and ends with a frame, not with a handshake.

    Attributes:
        began: Loop time of the beginning.
        attempts: Number of handshakes tried.
        refusals: How often the server closed a connection to refuse it.
    """

    began: float
    attempts: int = 0
    refusals: int = 0


class StreamReader(Generic[T]):
    """Opens one connection, and restores it whenever it is lost."""

    def __init__(
        self,
        session: Session,
        subscription: Subscription[T],
        decode: Callable[[str | bytes], T],
        *,
        policy: StreamPolicy,
        longest_opening: float,
        buffer: Buffer[T | StreamGap | MalformedFrame],
        record: Record,
    ) -> None:
        self._session = session
        self._request = subscription.request
        self._device_ids = subscription.device_ids
        self._catch_up = subscription.catch_up
        self._decode = decode
        self._policy = policy
        self._longest_opening = longest_opening
        self._buffer = buffer
        self._record = record
        self._failures = 0
        self._outage: _Outage | None = None
        # A plain task, since task groups would have to be left in the reverse order of entering.
        self._task: asyncio.Task[None] | None = None
        self._websocket: WebSocket | None = None
        self._politely = True

    async def start(self, timeout: float) -> None:
        """Open the first connection, which counts towards `max_streams`, and begin to read.

        Raises:
            EnapterError: Opening the connection failed.
        """
        websocket, _ = await self._session.upgrade(self._request, self._policy, timeout=timeout)
        self._opened(websocket)
        self._task = asyncio.create_task(self._read(websocket), name=f"enapter_async {self._request.operation.name}")

    async def stop(self, *, politely: bool) -> None:
        """Close the connection and end the task, even if this call is cancelled.

        Args:
            politely: Wait briefly for the server to close its side.
        """
        task = self._task
        if task is None:
            return
        self._politely = politely
        task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
        self._task = None
        self._session.give_place_back()
        await self._close()  # the task may have been cancelled before it ran
        if cancelled is not None:
            raise cancelled

    def _opened(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._record.connections += 1
        if self._catch_up is not None:
            self._catch_up.opened(websocket.opened_at)

    async def _close(self) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            self._record.connections -= 1
            await websocket.close(politely=self._politely and not self._session.closed)

    # -- one connection after the other ------------------------------------------------------------------------

    async def _read(self, websocket: WebSocket) -> None:
        """Read until the stream or the client is closed, or the stream fails."""
        ending: EnapterError
        try:
            async with self._session.open_until(asyncio.get_running_loop().time() + _FOREVER):
                try:
                    while True:
                        websocket = await self._read_and_replace(websocket)
                finally:
                    await self._close()
        except TimeoutError:
            ending = ClientClosedError("the client was closed while the stream was open")
        except EnapterError as error:
            ending = error
        except Exception as error:  # noqa: BLE001 a bug must reach the consumer, which would otherwise wait forever
            ending = StreamError(f"the stream failed: {error!r}", gap=True)
            ending.__cause__ = error
        self._buffer.close(ending)

    async def _read_and_replace(self, websocket: WebSocket) -> WebSocket:
        lost = await self._receive(websocket)
        await self._close()
        fresh, gap = await self._reconnect(websocket, lost)
        self._opened(fresh)
        gap = await self._fill(fresh, gap)
        self._record.gaps += 1
        self._record.last_gap = gap
        await self._put(fresh, gap)
        return fresh

    async def _receive(self, websocket: WebSocket) -> RequestError:
        """Read one connection until it ends. Return the reason."""
        while True:
            try:
                message = await websocket.receive()
            except DecodeError as error:
                await self._report_malformed(websocket, copy_error(error), "")
                return error
            except RequestError as error:
                return error
            try:
                frame = self._decode(message)
            except DecodeError as error:
                await self._report_malformed(websocket, error, make_visible(websocket.masked(excerpt(message))))
                continue
            self._outage = None
            if self._catch_up is None or self._catch_up.is_new(frame):
                await self._put(websocket, frame)

    async def _report_malformed(self, websocket: WebSocket, error: DecodeError, beginning: str) -> None:
        operation = self._request.operation
        error.args = tuple(websocket.masked(arg) if isinstance(arg, str) else arg for arg in error.args)
        error.located(operation.name, operation.method, self._request.path)
        self._record.malformed += 1
        count = self._record.malformed
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th, ...: a server may send only malformed frames
            _logger.warning("%s: malformed frame, %d so far: %s", operation.name, count, error)
        await self._put(websocket, MalformedFrame(error=error, excerpt=beginning))

    async def _put(self, websocket: WebSocket, item: T | StreamGap | MalformedFrame) -> None:
        while not self._buffer.offer(item):
            try:
                async with asyncio.timeout(self._policy.heartbeat):
                    await self._buffer.room()
            except TimeoutError:
                await websocket.keep_alive()

    # -- after a loss ------------------------------------------------------------------------------------------

    async def _reconnect(self, websocket: WebSocket, lost: RequestError) -> tuple[WebSocket, StreamGap]:
        """Reconnect, for as long as the policy allows.

        Raises:
            StreamError: The server refuses permanently, or the outage lasts too long.
        """
        session, policy = self._session, self._policy
        clock = asyncio.get_running_loop().time
        began = clock()
        since = datetime.now(UTC) - timedelta(seconds=began - websocket.heard)
        outage = self._note_loss(websocket, lost, began)
        ends = outage.began + (_FOREVER if policy.max_outage is None else policy.max_outage)
        before = outage.attempts
        last: EnapterError = lost
        while policy.reconnect and (left := ends - clock()) > 0:
            await session.sleep(min(self._delay(), left))
            if (timeout := min(self._longest_opening, ends - clock())) <= 0:
                break
            try:
                fresh, tried = await session.upgrade(self._request, policy, timeout=timeout, again=True)
            except (ClientClosedError, WrongEventLoopError):
                raise
            except EnapterError as error:
                if not isinstance(error, DeadlineExceededError) or not outage.attempts:
                    last = error  # a timeout says less than the error before it
                outage.attempts += error.attempts if isinstance(error, (RequestError, StreamError)) else 1
                if _is_final(error):
                    break
                continue
            outage.attempts += tried
            return fresh, StreamGap(
                since=since,
                until=datetime.now(UTC),
                attempts=outage.attempts - before,
                reason=str(lost),
                device_ids=self._device_ids,
            )
        raise self._given_up(lost, last, outage.attempts) from last

    def _note_loss(self, websocket: WebSocket, lost: RequestError, began: float) -> _Outage:
        """Return the outage that a lost connection begins, or continues if it brought nothing.

        Raises:
            StreamError: The server refuses permanently.
        """
        open_for = began - websocket.opened
        # A connection that was silent for so long has at least answered a ping.
        lasted = open_for >= max(self._policy.max_delay, self._policy.heartbeat)
        if self._outage is None or lasted:
            self._outage = _Outage(began)
        if open_for >= self._policy.max_delay:
            self._failures = 0
        _logger.warning("%s: %s", self._request.operation.name, lost)
        self._check_refused(websocket, lost, self._outage, useful=lasted or websocket.messages > 0)
        return self._outage

    def _check_refused(self, websocket: WebSocket, lost: RequestError, outage: _Outage, *, useful: bool) -> None:
        """Renew the token if the server closed the connection because of it.

        Raises:
            StreamError: This already happened in this outage, or another attempt would not help.
        """
        refusal = refusal_of(websocket.close_code)
        if refusal is None:
            return
        outage.refusals += 1
        if outage.refusals == 1:
            renewed = refusal.is_about_the_token and self._session.refuse_token(websocket.token)
            if renewed or useful:
                return
        status = refusal.status
        operation = self._request.operation
        cause = lost if status is None else error_class(status)(str(lost), status=status)
        message = f"{operation.name}: {lost}"
        cause.located(operation.name, operation.method, self._request.path)
        raise StreamError(message, gap=True, attempts=outage.attempts, status=status) from cause

    def _delay(self) -> float:
        self._failures += 1
        return full_jitter(self._policy.initial_delay, self._policy.max_delay, self._failures, self._session.random)

    def _given_up(self, lost: RequestError, last: EnapterError, attempts: int) -> StreamError:
        message = f"{self._request.operation.name}: {lost}"
        tries = f"{attempts} attempt{'' if attempts == 1 else 's'}"
        if last is not lost:
            message += f"; reconnecting failed after {tries}: {last}"
        elif attempts:
            message += f"; reconnected, but received no frames, in {tries}"
        status = last.status if isinstance(last, (APIError, StreamError)) else None
        return StreamError(message, gap=True, attempts=attempts, status=status)

    async def _fill(self, websocket: WebSocket, gap: StreamGap) -> StreamGap:
        """Return missed frames, if they can be listed. Return the updated gap."""
        if self._catch_up is None:
            return gap
        try:
            async for page in self._catch_up.missed():
                for frame in page.items:
                    if self._catch_up.is_missing(frame):
                        await self._put(websocket, frame)
        except RequestError as error:
            _logger.warning("%s: filling a gap failed: %s", self._request.operation.name, error)
            return attrs.evolve(gap, reason=f"{gap.reason}; not filled: {error}")
        return attrs.evolve(gap, filled=True)


def _is_final(error: EnapterError) -> bool:
    """Whether another attempt would fail in the same way."""
    return isinstance(error, APIError) and not may_pass(error)
