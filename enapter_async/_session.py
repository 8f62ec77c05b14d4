"""The session, which runs requests from the deadline to the decoded value.

The path of a call such as `client.devices.get(id)`:

    resources/devices.py              checks arguments, builds a `Request` with its operation and safety class
    _session.py         send          fixes the deadline (`Call`), runs the first attempt
    _transport/attempt.py             one attempt:
      _transport/token.py               the token, from its provider where needed
      _transport/rate_limit/limiter.py  a slot: the window, the queue, the pace
      _transport/http.py  send          writes the request, reads the response under the byte limit
      _protocol/failure.py              a refusal becomes an `APIError`
      _transport/rate_limit/            success or 429 moves the pace; success refunds the retry budget
    _session.py         _recover      after a failure only: `_protocol/failure.py` decides, `_transport/retry.py`
                                      (tenacity, prescribed) sleeps and runs the next attempt
    _session.py         _finish       decodes: `_protocol/decoding/`, with one truth for all resources
    _transport/call.py                names the call in errors, reports hook events

`stream` (a body read piece by piece) and `upgrade` (a WebSocket) take the same path and end it at the headers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import TypeVar, cast

import attrs

from enapter_async._protocol import failure
from enapter_async._protocol.body import Decode
from enapter_async._protocol.decoding import json_text
from enapter_async._protocol.request import JSON_TYPE, Answer, Headers, Operation, Request, Safety
from enapter_async._protocol.values import require_timeout
from enapter_async._transport.attempt import Attempts
from enapter_async._transport.call import Call
from enapter_async._transport.client_state import ClientState
from enapter_async._transport.reading import StreamedAnswer
from enapter_async._transport.websocket import WebSocket
from enapter_async.config import ClientConfig, RetryPolicy, StreamPolicy, Timeouts
from enapter_async.errors import (
    ClientClosedError,
    DeadlineExceededError,
    EnapterError,
    NotFoundError,
    RequestError,
    ResponseTooLargeError,
    TokenProviderError,
    worst_outcome,
)
from enapter_async.response import Response

T = TypeVar("T")
A = TypeVar("A")


class Session:
    """Runs requests with one set of options. Copies with other options share everything else."""

    def __init__(self, state: ClientState, *, timeouts: Timeouts, retry: RetryPolicy, user: str | None) -> None:
        self._state = state
        self._timeouts = timeouts
        self._retry = retry
        self._user = user
        self._attempts = Attempts(state, timeouts, user)

    @property
    def state(self) -> ClientState:
        """The state that all copies share."""
        return self._state

    @property
    def base_url(self) -> str:
        """Base URL of the API."""
        return self._state.transport.base_url

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._state.lifetime.closed

    @property
    def max_streams(self) -> int:
        """Maximum number of open streams of the client."""
        return self._state.max_streams

    @property
    def random(self) -> Random:
        """The random number generator of the client."""
        return self._state.random

    @property
    def timeouts(self) -> Timeouts:
        """Timeouts of this session."""
        return self._timeouts

    def with_options(
        self, *, timeouts: Timeouts | None = None, retry: RetryPolicy | None = None, user: str | None = None
    ) -> Session:
        """Return a copy with other options that shares connections, rate limit and retry budget."""
        return Session(
            self._state,
            timeouts=self._timeouts if timeouts is None else timeouts,
            retry=self._retry if retry is None else retry,
            user=self._user if user is None else user,
        )

    async def send(self, request: Request, decode: Decode[T], timeout: float | None = None) -> T:
        """Run a request and return its decoded value.

        Args:
            request: Request to send.
            decode: Creates the value from the response.
            timeout: Timeout of the whole call, in seconds. None uses the client's.

        Raises:
            EnapterError: The call failed. The class of the error says why.
        """
        call = self._begin(request, timeout)
        answer = await self._run(call, self._attempts.send)
        return self._finish(call, answer, decode)

    def raw(self) -> RawSession:
        """Return a copy whose `send` returns a `Response` around every value."""
        return RawSession(self._state, timeouts=self._timeouts, retry=self._retry, user=self._user)

    def applied_to(self, config: ClientConfig) -> ClientConfig:
        """Return the settings with the options of this session."""
        return attrs.evolve(config, timeouts=self._timeouts, retry=self._retry, user=self._user)

    async def respond(self, request: Request, decode: Decode[T], timeout: float | None = None) -> Response[T]:
        """Run a request and return its decoded value with the metadata of the call."""
        call = self._begin(request, timeout)
        answer = await self._run(call, self._attempts.send)
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

        The request counts towards `max_in_flight` only until the headers arrive, so the consumer can take its time
        and make other calls. Open streams count towards `max_streams`.

        Args:
            request: Request to send, a READ.
            timeout: Seconds until the headers arrive. None uses the client's timeout.
        """
        call = self._begin(request, timeout)
        await self._take_place(call)
        streamed: StreamedAnswer | None = None
        try:
            streamed = await self._run(call, self._attempts.stream)
            call.finished()
            yield streamed
        except RequestError as error:
            # Not errors of other calls that the consumer makes in the meantime.
            if streamed is not None and error is streamed.failure:
                call.fill(error)
            raise
        finally:
            if streamed is not None:
                streamed.close()
            self.give_place_back()

    async def upgrade(
        self, request: Request, policy: StreamPolicy, *, timeout: float | None = None, again: bool = False
    ) -> tuple[WebSocket, int]:
        """Open a WebSocket. The handshake is a normal call, and counts towards `max_in_flight` only until it ends.

        Args:
            request: Request for the WebSocket.
            policy: Settings of the stream.
            timeout: Seconds until it is open. None uses the client's timeout.
            again: The stream already counts towards `max_streams`. Otherwise it takes a place, which the caller
                returns with `give_place_back` after this method has returned.

        Returns:
            The connection, and the number of attempts.
        """
        call = self._begin(request, timeout)

        async def attempt(_: Call) -> WebSocket:
            return await self._attempts.upgrade(call, policy)

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
        """Return the place of a stream among `max_streams`."""
        self._state.streams.release()

    async def consume(
        self, request: Request, read: Callable[[StreamedAnswer, float], Awaitable[T]], timeout: float | None = None
    ) -> T:
        """Run a request whose body is read as it arrives. An interrupted attempt is repeated from the start.

        Args:
            request: Request to send, a READ.
            read: Reads the body. Called for each attempt with the response and the loop time of the deadline.
            timeout: Timeout of the whole call, in seconds. None uses the client's.
        """
        call = self._begin(request, timeout)

        async def attempt(call: Call) -> T:
            streamed = await self._attempts.stream(call)
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
        """Return the default timeout of a call, in seconds."""
        return self._timeouts.command if operation.waits_for_device else self._timeouts.total

    async def sleep(self, delay: float) -> None:
        """Sleep between the requests of one call.

        Raises:
            ClientClosedError: The client was closed.
        """
        await self._state.lifetime.sleep(delay)

    def open_until(self, deadline: float) -> AbstractAsyncContextManager[None]:
        """Limit a block by a loop time and by the lifetime of the client. Either ends it with TimeoutError."""
        return self._state.lifetime.until(deadline)

    def may_resume(self, fruitless: int) -> bool:
        """Spend retry budget to resume an interrupted response. Return False to give up.

        Args:
            fruitless: Number of responses in a row that were interrupted before anything new arrived.
        """
        return fruitless < self._retry.max_attempts and self._state.budget.try_spend()

    def refuse_token(self, token: str | None) -> bool:
        """Record that the server rejected a token. Return whether the provider will be asked for another one."""
        return self._state.tokens.drop_rejected(token)

    def idle_timeout(self) -> float:
        """Return the maximum silence of a stream, in seconds."""
        return self._timeouts.attempt

    # -- one call ------------------------------------------------------------------------------------------

    def _begin(self, request: Request, timeout: float | None) -> Call:
        state = self._state
        clock = state.lifetime.enter().time
        total = self.time_for(request.operation) if timeout is None else require_timeout(timeout)
        return Call(request, clock, total, state.hooks)

    def _finish(self, call: Call, answer: Answer, decode: Decode[T]) -> T:
        reads = call.request.operation.safety is Safety.READ
        try:
            if len(answer.body) > json_text.MAX_VALUES:
                self._check_cost(call.request.operation, answer)
            value = decode(answer)
            if reads and call.remaining <= 0:  # late results of changes are not dropped
                raise call.late("final")
        except RequestError as error:
            error.outcome = worst_outcome(call.outcome, error.outcome)
            call.fill(error)
            if not reads:
                error.add_note(
                    "the server accepted the request, so it was probably carried out; check before repeating it"
                )
            call.finished(error)
            raise
        call.finished()
        return value

    def _check_cost(self, operation: Operation, answer: Answer) -> None:
        most = max(json_text.MAX_VALUES, self._state.max_response_bytes // 64)
        if operation.accept is JSON_TYPE and json_text.has_more_values(answer.body, most):
            raise ResponseTooLargeError(
                f"the body contains more than {most:,} values; a larger max_response_bytes allows more"
            )

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
            final = call.concluded(error, closed=self.closed)
        except ClientClosedError:
            final = call.ended_by_closing()
        except BaseException as error:
            call.finished(error)
            raise
        call.finished(final)
        raise final

    async def _recover(self, call: Call, failed: RequestError, attempt: Callable[[Call], Awaitable[A]]) -> A:
        # Failures are rare, and importing tenacity takes a large part of the time to open a client.
        from enapter_async._transport.retry import recover

        async def again() -> A:
            return await attempt(call)

        def plan(error: RequestError) -> float | None:
            call.note(error)
            return self._planned(call, error)

        try:
            return await recover(failed, again, plan, self._state.lifetime.sleep)
        except NotFoundError as error:
            if call.outcome == "unknown" and call.request.operation.method == "DELETE":
                # An earlier attempt succeeded: a retried delete that finds nothing is done.
                return cast("A", Answer(error.status, Headers(), b""))
            raise

    def _planned(self, call: Call, error: RequestError) -> float | None:
        """Return the delay before the next attempt, or None to give up."""
        state = self._state
        if self.closed or isinstance(error, (DeadlineExceededError, TokenProviderError)):
            return None
        decision = failure.decide(
            error,
            call.request.operation.safety,
            self._retry,
            counted=call.attempts - call.rejected,
            rejected=call.rejected,
            remaining=call.remaining,
            paced=state.adaptive,
            random=state.random,
        )
        if decision.delay is None:
            return None
        if decision.spends and not state.budget.try_spend():
            error.add_note("not sent again: the client's retry budget is used up")
            return None
        call.retry_scheduled(error, decision.delay, state.budget.available)
        return decision.delay

    async def _take_place(self, call: Call) -> None:
        """Wait for a place among `max_streams`."""
        try:
            await self._attempts.bounded(call, self._state.streams.acquire())
        except BaseException as error:
            if isinstance(error, RequestError):
                call.fill(error)
            call.finished(error)
            raise


class RawSession(Session):
    """A session whose `send` returns a `Response` around every value, for `client.raw`."""

    async def send(self, request: Request, decode: Decode[T], timeout: float | None = None) -> T:
        """Run a request and return a `Response`. The types of the raw services declare it."""
        return cast("T", await self.respond(request, decode, timeout))
