"""The session: one method that runs a request, from its deadline to its decoded value."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar, cast

import attrs

from enapter_async._protocol import failure
from enapter_async._protocol.body import Decode
from enapter_async._protocol.request import Answer, Headers, Operation, Request
from enapter_async._transport.call import Call
from enapter_async._transport.http import MAX_REFUSAL, HttpTransport
from enapter_async._transport.lifetime import Lifetime
from enapter_async._transport.limiter import Gate, RetryBudget, Slot
from enapter_async._transport.reading import StreamedAnswer
from enapter_async._transport.token import TokenSource
from enapter_async._transport.websocket import WebSocket, connect
from enapter_async.config import ClientConfig, RetryPolicy, StreamPolicy, Timeouts
from enapter_async.errors import (
    APIError,
    ClientClosedError,
    DeadlineExceededError,
    EnapterError,
    InvalidArgumentError,
    NotFoundError,
    RequestError,
    StreamError,
    worst_outcome,
)
from enapter_async.hooks import Hook
from enapter_async.response import Response

T = TypeVar("T")
A = TypeVar("A")
Opened = TypeVar("Opened", StreamedAnswer, WebSocket)


@attrs.define
class Shared:
    """What a client and its `with_options` copies have in common."""

    transport: HttpTransport
    limiter: Gate
    budget: RetryBudget
    lifetime: Lifetime
    tokens: TokenSource
    streams: asyncio.Semaphore
    hooks: tuple[Hook, ...]
    fixed_headers: Mapping[str, str]
    adaptive: bool
    max_response_bytes: int
    jitter: random.Random = attrs.field(factory=random.Random)


class Session:
    """Runs requests with one set of options; copies with other options share everything else."""

    def __init__(self, shared: Shared, *, timeouts: Timeouts, retry: RetryPolicy, user: str | None) -> None:
        self._shared = shared
        self._timeouts = timeouts
        self._retry = retry
        self._user = user
        # One mapping per token and media types: building headers for each request costs more than finding them.
        self._headers: dict[tuple[str | None, str, str | None], dict[str, str]] = {}

    @property
    def shared(self) -> Shared:
        """What all copies have in common."""
        return self._shared

    @property
    def timeouts(self) -> Timeouts:
        """How long things may take in this session."""
        return self._timeouts

    def with_options(
        self, *, timeouts: Timeouts | None = None, retry: RetryPolicy | None = None, user: str | None = None
    ) -> Session:
        """Return a copy with other options on the same pool, limiter and budget."""
        return Session(
            self._shared,
            timeouts=self._timeouts if timeouts is None else timeouts,
            retry=self._retry if retry is None else retry,
            user=self._user if user is None else user,
        )

    async def send(self, request: Request, decode: Decode[T], timeout: float | None = None) -> T:
        """Run a request and return its decoded value.

        Args:
            request: What to send.
            decode: Makes the value of the answer.
            timeout: Seconds for the whole call; None for the client's.

        Raises:
            EnapterError: As the class of error tells.
        """
        call = self._begin(request, timeout)
        answer = await self._run(call, self._exchange)
        return self._finish(call, answer, decode)

    def raw(self) -> RawSession:
        """Return a copy whose `send` gives a `Response` around every value."""
        return RawSession(self._shared, timeouts=self._timeouts, retry=self._retry, user=self._user)

    def applied_to(self, config: ClientConfig) -> ClientConfig:
        """Return the settings with this session's options in them."""
        return attrs.evolve(config, timeouts=self._timeouts, retry=self._retry, user=self._user)

    async def respond(self, request: Request, decode: Decode[T], timeout: float | None = None) -> Response[T]:
        """Run a request and return its decoded value with the facts of the call."""
        call = self._begin(request, timeout)
        answer = await self._run(call, self._exchange)
        value = self._finish(call, answer, decode)
        return Response(
            status=answer.status,
            headers=answer.headers,
            attempts=call.attempts,
            elapsed=call.elapsed,
            value=value,
        )

    @asynccontextmanager
    async def stream(self, request: Request, timeout: float | None = None) -> AsyncGenerator[StreamedAnswer]:
        """Run a request whose body is read piece by piece.

        The in-flight slot is given back after the headers: a consumer may take its time, and may make calls
        meanwhile. Open streams are counted against `max_streams`.

        Args:
            request: What to send; a READ.
            timeout: Seconds until the headers are there; None for the client's.
        """
        call = self._begin(request, timeout)
        await self._take_place(call)
        streamed: StreamedAnswer | None = None
        try:
            streamed = await self._run(call, self._open)
            call.finished()
            yield streamed
        except RequestError as error:
            # Not those of other calls, which a consumer may make meanwhile.
            if error.attempts == 0 and error.operation in ("", request.operation.name):
                call.fill(error)
            raise
        finally:
            if streamed is not None:
                streamed.close()
            self.give_place_back()

    async def connect(
        self, request: Request, policy: StreamPolicy, *, timeout: float | None = None, again: bool = False
    ) -> tuple[WebSocket, int]:
        """Open a WebSocket; the handshake is a call like any other, and holds no slot afterwards.

        Args:
            request: What to ask for.
            policy: The stream's settings.
            timeout: Seconds until it is open; None for the client's.
            again: The stream has its place among `max_streams` already. Otherwise it takes one, which the caller
                gives back with `give_place_back` once this has returned.

        Returns:
            The connection, and how many attempts it took.
        """
        call = self._begin(request, timeout)

        async def attempt(_: Call) -> WebSocket:
            return await self._upgrade(call, policy)

        if not again:
            await self._take_place(call)
        try:
            websocket = await self._run(call, attempt)
        except BaseException:
            if not again:
                self.give_place_back()
            raise
        call.finished()
        return websocket, call.attempts

    def give_place_back(self) -> None:
        """Give up a stream's place among `max_streams`."""
        self._shared.streams.release()

    async def consume(
        self, request: Request, read: Callable[[StreamedAnswer, float], Awaitable[T]], timeout: float | None = None
    ) -> T:
        """Run a request whose body is read while it comes; an attempt that breaks in the middle is begun again.

        Args:
            request: What to send; a READ.
            read: Reads the body; gets the answer and the loop time of the deadline, and is called once for
                each attempt.
            timeout: Seconds for the whole call; None for the client's.
        """
        call = self._begin(request, timeout)

        async def attempt(call: Call) -> T:
            streamed = await self._open(call)
            try:
                return await read(streamed, call.deadline)
            finally:
                streamed.close()

        await self._take_place(call)
        try:
            value = await self._run(call, attempt)
        finally:
            self.give_place_back()
        call.finished()
        return value

    def time_for(self, operation: Operation) -> float:
        """Return the seconds for a whole call where the caller gives none."""
        return self._timeouts.command if operation.waits_for_device else self._timeouts.total

    async def sleep(self, delay: float) -> None:
        """Sleep between the requests of one call.

        Raises:
            ClientClosedError: The client was closed meanwhile.
        """
        await self._shared.lifetime.sleep(delay)

    def may_resume(self, fruitless: int) -> bool:
        """Pay for reading on where an answer was cut off; False where it is time to give up.

        Args:
            fruitless: How many answers in a row were cut off before anything new came.
        """
        return fruitless < self._retry.max_attempts and self._shared.budget.try_spend()

    def idle_timeout(self) -> float:
        """Return the seconds that a stream may be silent."""
        return self._timeouts.attempt

    # -- one call ------------------------------------------------------------------------------------------

    def _begin(self, request: Request, timeout: float | None) -> Call:
        shared = self._shared
        clock = shared.lifetime.enter().time
        if timeout is not None:
            total = checked_timeout(timeout)
        else:
            total = self._timeouts.command if request.operation.waits_for_device else self._timeouts.total
        return Call(request, clock, total, shared.hooks)

    def _finish(self, call: Call, answer: Answer, decode: Decode[T]) -> T:
        try:
            value = decode(answer)
        except RequestError as error:
            error.outcome = worst_outcome(call.outcome, error.outcome)
            call.fill(error)
            call.finished(error)
            raise
        call.finished()
        return value

    async def _run(self, call: Call, attempt: Callable[[Call], Awaitable[A]]) -> A:
        failed: RequestError
        try:
            return await attempt(call)
        except RequestError as error:
            failed = error
        except BaseException as error:
            call.finished(error)
            raise
        final: EnapterError
        try:
            return await self._recover(call, failed, attempt)
        except RequestError as error:
            final = call.concluded(error, closed=self._shared.lifetime.closed)
        except ClientClosedError:
            final = call.ended_by_closing()
        except BaseException as error:
            call.finished(error)
            raise
        call.finished(final)
        raise final

    async def _recover(self, call: Call, failed: RequestError, attempt: Callable[[Call], Awaitable[A]]) -> A:
        # Most programs meet no failure for a long time, and importing tenacity is a good part of opening a client.
        from enapter_async._transport.retry import recover

        async def again() -> A:
            return await attempt(call)

        def plan(error: RequestError) -> float | None:
            call.note(error)
            return self._planned(call, error)

        try:
            return await recover(failed, again, plan, self._shared.lifetime.sleep)
        except NotFoundError as error:
            if call.outcome == "unknown" and call.request.operation.method == "DELETE":
                # The first one was done after all: what a re-sent delete does not find is gone.
                return cast("A", Answer(error.status, Headers(), b""))
            raise

    def _planned(self, call: Call, error: RequestError) -> float | None:
        """Return the delay before the next attempt, or None to give up."""
        shared = self._shared
        if shared.lifetime.closed or isinstance(error, DeadlineExceededError):
            return None
        decision = failure.decide(
            error,
            call.request.operation.safety,
            self._retry,
            counted=call.attempts - call.rejected,
            rejected=call.rejected,
            remaining=call.remaining,
            paced=shared.adaptive,
            jitter=shared.jitter,
        )
        if decision.delay is None or (decision.spends and not shared.budget.try_spend()):
            return None
        call.retry_scheduled(error, decision.delay, shared.budget.available)
        return decision.delay

    # -- one attempt ---------------------------------------------------------------------------------------

    async def _exchange(self, call: Call) -> Answer:
        shared = self._shared
        token = shared.tokens.current
        if shared.tokens.needs_asking:
            token = await self._bounded(call, shared.tokens.ask())
        call.token = token
        slot = (call.rejected_slot is None and shared.limiter.try_acquire()) or await self._wait_for_slot(call)
        try:
            call.attempts += 1
            answer = await shared.transport.exchange(
                call.request,
                self._headers_for(call.request, token),
                when=call.attempt_ends(self._timeouts.attempt),
                connect_timeout=self._timeouts.connect,
                limit=shared.max_response_bytes,
            )
            call.status = answer.status
            refusal = None if 200 <= answer.status < 300 else self._refusal(answer, token)
            self._settle(call, slot, refusal)
        finally:
            shared.limiter.release(slot)
        if refusal is None:
            shared.budget.refund()
            return answer
        if answer.status == 401 and not call.token_renewed and shared.tokens.refused(token):
            call.token_renewed = True
            call.note(refusal)
            return await self._exchange(call)
        raise refusal

    async def _open(self, call: Call) -> StreamedAnswer:
        async def begin(headers: Mapping[str, str], when: float) -> StreamedAnswer | Answer:
            streamed = await self._shared.transport.stream(
                call.request, headers, when=when, connect_timeout=self._timeouts.connect
            )
            return streamed if 200 <= streamed.status < 300 else await self._error_body(streamed, when)

        return await self._begin_stream(call, begin)

    async def _upgrade(self, call: Call, policy: StreamPolicy) -> WebSocket:
        async def begin(headers: Mapping[str, str], when: float) -> WebSocket | Answer:
            return await connect(
                self._shared.transport,
                call.request,
                headers,
                when=when,
                connect_timeout=self._timeouts.connect,
                heartbeat=policy.heartbeat,
                max_message_bytes=policy.max_frame_bytes,
            )

        return await self._begin_stream(call, begin)

    async def _begin_stream(
        self, call: Call, begin: Callable[[Mapping[str, str], float], Awaitable[Opened | Answer]]
    ) -> Opened:
        """Run one attempt of what stays open; `begin` returns the complete answer where it is refused."""
        shared = self._shared
        token = await self._bounded(call, shared.tokens.ask())
        call.token = token
        slot = (call.rejected_slot is None and shared.limiter.try_acquire()) or await self._wait_for_slot(call)
        try:
            call.attempts += 1
            opened = await begin(self._headers_for(call.request, token), call.attempt_ends(self._timeouts.attempt))
            call.status = opened.status
            refusal = self._refusal(opened, token) if isinstance(opened, Answer) else None
            self._settle(call, slot, refusal)
        finally:
            shared.limiter.release(slot)
        if not isinstance(opened, Answer):
            shared.budget.refund()
            return opened
        assert refusal is not None  # noqa: S101 - for the type checkers
        if refusal.status == 401 and not call.token_renewed and shared.tokens.refused(token):
            call.token_renewed = True
            call.note(refusal)
            return await self._begin_stream(call, begin)
        if refusal.status < 300:
            raise StreamError(
                f"{call.request.operation.name}: the server answered {refusal} instead of opening a WebSocket"
                + (f"; it said {refusal.body_excerpt!r}" if refusal.body_excerpt else ""),
                attempts=call.attempts,
                status=refusal.status,
            )
        raise refusal

    async def _error_body(self, streamed: StreamedAnswer, when: float) -> Answer:
        body = b""
        try:
            async for piece in streamed.pieces(idle=self._timeouts.attempt, until=when, limit=MAX_REFUSAL):
                body += piece
        except RequestError:
            pass  # the status says what matters; the text of an error may be cut
        finally:
            streamed.close()
        return Answer(streamed.status, streamed.headers, body)

    def _settle(self, call: Call, slot: Slot, refusal: APIError | None) -> None:
        if refusal is not None and refusal.status == 429:
            call.rejected_slot = slot
            self._shared.limiter.rejected(slot, refusal.retry_after)
        else:
            self._shared.limiter.succeeded(slot)

    def _refusal(self, answer: Answer, token: str | None) -> APIError:
        return failure.api_error(answer, datetime.now(UTC), token)

    async def _wait_for_slot(self, call: Call) -> Slot:
        before = call.elapsed
        try:
            return await self._bounded(call, self._shared.limiter.acquire(again=call.rejected_slot))
        finally:
            call.waited += call.elapsed - before

    async def _take_place(self, call: Call) -> None:
        """Wait for a place among `max_streams`."""
        try:
            await self._bounded(call, self._shared.streams.acquire())
        except BaseException as error:
            if isinstance(error, RequestError):
                call.fill(error)
            call.finished(error)
            raise

    async def _bounded(self, call: Call, awaitable: Awaitable[T]) -> T:
        """Await under the call's deadline and the client's life."""
        lifetime = self._shared.lifetime
        timer = lifetime.begin(call.deadline)
        try:
            async with timer:
                return await awaitable
        except TimeoutError:
            pass
        finally:
            lifetime.end(timer)
        if lifetime.closed:
            raise call.ended_by_closing()
        raise DeadlineExceededError("the time was used up before the request could be sent")

    def _headers_for(self, request: Request, token: str | None) -> dict[str, str]:
        key = (token, request.operation.accept, request.content_type)
        headers = self._headers.get(key)
        if headers is None:
            if len(self._headers) > 64:  # tokens that are renewed must not pile up
                self._headers.clear()
            headers = {**self._shared.fixed_headers, "Accept": request.operation.accept}
            if token is not None:
                headers["X-Enapter-Auth-Token"] = token
            if self._user is not None:
                headers["X-Enapter-Auth-User"] = self._user
            if request.content_type is not None:
                headers["Content-Type"] = request.content_type
            self._headers[key] = headers
        return headers


class RawSession(Session):
    """A session whose `send` gives a `Response` around every value; services on it serve `client.raw`."""

    async def send(self, request: Request, decode: Decode[T], timeout: float | None = None) -> T:
        """Run a request and return a `Response`; the services' raw types say so."""
        return cast("T", await self.respond(request, decode, timeout))


def checked_timeout(timeout: object) -> float:
    """Return a per-call timeout in seconds.

    Raises:
        InvalidArgumentError: It is not a positive finite number.
    """
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and 0 < timeout < float("inf"):
        return float(timeout)
    raise InvalidArgumentError("timeout", "must be a positive number of seconds")
