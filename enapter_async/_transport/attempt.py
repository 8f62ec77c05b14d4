"""One attempt of a call: token, slot and request, and the effect of the response on rate and retry budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from multidict import CIMultiDict

from enapter_async._protocol import failure
from enapter_async._protocol.request import Answer, Request
from enapter_async._transport.call import Call
from enapter_async._transport.client_state import ClientState
from enapter_async._transport.rate_limit.limiter import Slot
from enapter_async._transport.reading import MAX_REFUSAL, StreamedAnswer
from enapter_async._transport.websocket import WebSocket, connect
from enapter_async.config import StreamPolicy, Timeouts
from enapter_async.errors import APIError, AuthenticationError, DeadlineExceededError, RequestError, StreamError

T = TypeVar("T")
Answered = TypeVar("Answered", Answer, StreamedAnswer | Answer, WebSocket | Answer)


class Attempts:
    """Makes the attempts of all calls with the same options."""

    def __init__(self, state: ClientState, timeouts: Timeouts, user: str | None) -> None:
        self._state = state
        self._timeouts = timeouts
        self._user = user
        # One mapping per token and media types: looking headers up is cheaper than building them for each request.
        self._headers: dict[tuple[str | None, str, str | None], CIMultiDict[str]] = {}

    def send(self, call: Call) -> Awaitable[Answer]:
        """Run one attempt of a call whose response is read as a whole.

        Raises:
            RequestError: It failed, or the server refused it.
        """
        return self._run(call, self._whole)

    async def stream(self, call: Call) -> StreamedAnswer:
        """Run one attempt of a call whose response is read as it arrives. The caller closes the response.

        Raises:
            RequestError: It failed, or the server refused it.
        """
        opened = await self._run(call, self._begun)
        assert not isinstance(opened, Answer)  # noqa: S101 - for type checkers: what is read whole here was refused
        return opened

    async def upgrade(self, call: Call, policy: StreamPolicy) -> WebSocket:
        """Run one attempt of a call that opens a WebSocket. The caller closes the connection.

        Raises:
            RequestError: It failed, or the server refused it.
            StreamError: The server reported success but did not switch protocols.
        """

        def connected(call: Call, headers: Mapping[str, str], deadline: float) -> Awaitable[WebSocket | Answer]:
            return connect(
                self._state.transport,
                call.request,
                headers,
                deadline=deadline,
                connect_timeout=self._timeouts.connect,
                heartbeat=policy.heartbeat,
                max_message_bytes=policy.max_frame_bytes,
                token=call.token,
            )

        opened = await self._run(call, connected)
        if isinstance(opened, WebSocket):
            return opened
        answered = self._refusal(opened, call.token)
        raise StreamError(
            f"{call.request.operation.name}: the server answered {answered} instead of opening a WebSocket"
            + (f"; it said {answered.body_excerpt!r}" if answered.body_excerpt else ""),
            attempts=call.attempts,
            status=answered.status,
        )

    async def _run(self, call: Call, send: Callable[[Call, Mapping[str, str], float], Awaitable[Answered]]) -> Answered:
        """Run one attempt. `send` takes the headers and the deadline, and returns a response with a success status."""
        state = self._state
        elsewhere = call.request.elsewhere
        token = state.tokens.current if elsewhere is None else elsewhere.token
        if token is None and elsewhere is None and state.tokens.needs_fetching:
            token = await self.bounded(call, state.tokens.fetch_token())
        call.token = token
        slot = state.limiter.try_acquire() if call.rejected_slot is None else None
        if slot is None:
            slot = await self._wait_for_slot(call)
        try:
            call.attempts += 1
            headers = self._headers_for(call.request, token)
            sending = send(call, headers, call.attempt_ends(self._timeouts.attempt))
            answered = await (call.within_hooks(sending) if state.hooks else sending)
            call.status = answered.status
            refusal: APIError | None = None
            if isinstance(answered, Answer) and not 200 <= answered.status < 300:
                refusal = self._refusal(answered, token)
            if refusal is not None and refusal.status == 429:
                call.rejected_slot = slot
                state.limiter.rejected(slot, refusal.retry_after)
            else:
                state.limiter.succeeded(slot)
        finally:
            state.limiter.release(slot)
        if refusal is None:
            state.budget.refund()
            return answered
        if not self._may_renew_token(call, refusal):
            raise refusal
        call.token_renewed = True
        call.note(refusal)
        return await self._run(call, send)

    async def _wait_for_slot(self, call: Call) -> Slot:
        before = call.elapsed
        try:
            return await self.bounded(call, self._state.limiter.acquire(again=call.rejected_slot))
        finally:
            call.waited += call.elapsed - before

    def _may_renew_token(self, call: Call, refusal: APIError) -> bool:
        if not isinstance(refusal, AuthenticationError) or call.token_renewed or call.request.elsewhere is not None:
            return False
        return self._state.tokens.drop_rejected(call.token)

    def _whole(self, call: Call, headers: Mapping[str, str], deadline: float) -> Awaitable[Answer]:
        return self._state.transport.send(
            call.request,
            headers,
            deadline=deadline,
            connect_timeout=self._timeouts.connect,
            limit=self._state.max_response_bytes,
        )

    async def _begun(self, call: Call, headers: Mapping[str, str], deadline: float) -> StreamedAnswer | Answer:
        streamed = await self._state.transport.stream(
            call.request, headers, deadline=deadline, connect_timeout=self._timeouts.connect
        )
        return streamed if 200 <= streamed.status < 300 else await self._error_body(streamed, deadline)

    async def _error_body(self, streamed: StreamedAnswer, deadline: float) -> Answer:
        body = b""
        try:
            async for piece in streamed.pieces(idle=self._timeouts.attempt, deadline=deadline, limit=MAX_REFUSAL):
                body += piece
        except RequestError:
            pass  # the status is enough, and the text of an error may be cut
        finally:
            streamed.close()
        return Answer(streamed.status, streamed.headers, body)

    def _refusal(self, answer: Answer, token: str | None) -> APIError:
        return failure.api_error(answer, datetime.now(UTC), token)

    async def bounded(self, call: Call, awaitable: Awaitable[T]) -> T:
        """Await something, until the call's deadline or until the client closes.

        Raises:
            DeadlineExceededError: It took too long.
            ClientClosedError: The client was closed.
        """
        lifetime = self._state.lifetime
        timer = lifetime.begin(call.deadline)
        try:
            with timer:
                return await awaitable
        except TimeoutError:
            pass
        finally:
            lifetime.end(timer)
        if lifetime.closed:
            raise call.ended_by_closing()
        raise DeadlineExceededError("the timeout expired before the request could be sent")

    def _headers_for(self, request: Request, token: str | None) -> CIMultiDict[str]:
        if request.elsewhere is not None:
            return CIMultiDict(self._state.fixed_headers, Authorization=f"Bearer {request.elsewhere.token}")
        key = (token, request.operation.accept, request.content_type)
        headers = self._headers.get(key)
        if headers is None:
            if len(self._headers) > 64:  # headers of renewed tokens must not accumulate
                self._headers.clear()
            headers = CIMultiDict(self._state.fixed_headers)
            headers["Accept"] = request.operation.accept
            if token is not None:
                headers["X-Enapter-Auth-Token"] = token
            if self._user is not None:
                headers["X-Enapter-Auth-User"] = self._user
            if request.content_type is not None:
                headers["Content-Type"] = request.content_type
            self._headers[key] = headers
        return headers
