"""Any order of calling, answering, losing, cancelling, closing and passing time keeps a client's promises.

The whole pipeline of a client runs, deadlines, retries, limiter and closing included; only aiohttp is replaced, by a
wire on which the rules move requests on: sent, lost, answered up to the headers, answered whole. Rules act at once
and let nothing run; `run_callbacks` and `pass_time` do. So cancellations and the closing fall on every step of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import patch

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from enapter_async import (
    ClientClosedError,
    EnapterClient,
    EnapterError,
    OutcomeUnknownError,
    RateLimit,
    RequestError,
    RetryPolicy,
    Safety,
    Timeouts,
)
from enapter_async._protocol.request import Request
from enapter_async._transport.http import HttpTransport
from tests.clocks import SocketlessLoop, timers_of

ROUNDING = 0.001
GOOD = b'{"site": {"id": "S"}, "execution_id": "E"}'
CALLS: dict[Safety, Callable[[EnapterClient, str], Coroutine[Any, Any, object]]] = {
    Safety.READ: lambda client, tag: client.sites.get(tag),
    Safety.CONVERGE: lambda client, tag: client.sites.update(tag, name="N"),
    Safety.UNSAFE: lambda client, tag: client.commands.start(tag, "stop"),
}
indices = st.integers(0, 7)


@attrs.define(eq=False)
class Exchange:
    """One request on the wire; to the transport it is aiohttp's request, and its answer too."""

    tag: str
    headers_came: asyncio.Future[None]
    body_came: asyncio.Future[bytes]
    sent: bool = False
    ended: bool = False
    status: int = 0
    raw_headers: tuple[tuple[bytes, bytes], ...] = ()
    headers: dict[str, str] = attrs.field(factory=dict)
    content_length: int = len(GOOD)

    @property
    def response(self) -> Exchange | None:
        return self if self.sent else None

    @property
    def may_have_been_done(self) -> bool:
        return self.sent and self.status != 429

    async def read(self) -> bytes:
        body = await self.body_came
        self.ended = True
        return body

    def release(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


@attrs.define(eq=False)
class Caller:
    """One call."""

    tag: str
    safety: Safety
    task: asyncio.Task[object]
    deadline: float
    cancelled: bool = False
    settled: bool = False


class ClientMachine(RuleBasedStateMachine):
    @initialize(
        max_in_flight=st.integers(1, 4), adaptive=st.booleans(), attempts=st.integers(1, 3), opted_in=st.booleans()
    )
    def make(self, max_in_flight: int, adaptive: bool, attempts: int, opted_in: bool) -> None:
        self.loop = SocketlessLoop()
        self.max_in_flight = max_in_flight
        self.opted_in = opted_in
        self.sent_twice = False
        self.wire: list[Exchange] = []
        self.callers: list[Caller] = []
        self.closers: list[asyncio.Task[None]] = []
        self.client = EnapterClient(
            base_url="http://nobody.invalid",
            token="token",
            retry=RetryPolicy(max_attempts=attempts, resend_converging=opted_in),
            rate_limit=RateLimit(adaptive=adaptive),
            timeouts=Timeouts(attempt=5),
            max_in_flight=max_in_flight,
        )
        shared: Any = self.client._session.state
        shared.random.seed(0)
        shared.limiter._pace._random.seed(0)
        self.patch = patch.object(HttpTransport, "_request", self.request)
        self.patch.start()

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.close()
            self.run(0.0)
            assert all(caller.task.done() for caller in self.callers), "a call outlived its client"
            assert all(closer.done() for closer in self.closers)
            assert all(exchange.ended for exchange in self.wire), "a connection was left open"
            assert (self.client.load.in_flight, self.client.load.waiting) == (0, 0)
            assert timers_of(self.loop) == 0
        finally:
            self.patch.stop()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    async def request(self, request: Request, headers: object, opening: Any, connect_timeout: float) -> Exchange:
        """Stand in for aiohttp: put a request on the wire, and return when the headers of its answer are there."""
        tag = request.path.split("/")[2]
        caller = next(one for one in self.callers if one.tag == tag)
        if caller.safety is Safety.UNSAFE or (caller.safety is Safety.CONVERGE and not self.opted_in):
            # Noted, since the client takes any exception here for one of aiohttp's.
            self.sent_twice = self.sent_twice or self.may_have_been_done(tag)
        exchange = Exchange(tag, self.loop.create_future(), self.loop.create_future())
        opening._request = exchange
        self.wire.append(exchange)
        try:
            await exchange.headers_came
        except BaseException:
            exchange.ended = True
            raise
        return exchange

    # -- what callers do -----------------------------------------------------------------------------------------

    @rule(
        classes=st.lists(st.sampled_from(Safety), min_size=1, max_size=3),
        timeout=st.sampled_from([0.3, 3.0, 60.0, 60.0]),
        goes_out=st.booleans(),
    )
    def call(self, classes: list[Safety], timeout: float, goes_out: bool) -> None:
        for safety in classes:
            tag = f"T{len(self.callers)}"
            task = self.loop.create_task(CALLS[safety](self.client.with_options(timeout=timeout), tag))
            self.callers.append(Caller(tag, safety, task, self.loop.time() + timeout))
        if goes_out:
            self.run(0.0)
            self.send()

    @precondition(lambda self: self.running())
    @rule(which=indices)
    def cancel(self, which: int) -> None:
        running = self.running()
        caller = running[which % len(running)]
        caller.task.cancel()
        caller.cancelled = True

    @precondition(lambda self: len(self.callers) > 15)
    @rule()
    def close(self) -> None:
        self.closers.append(self.loop.create_task(self.client.aclose()))

    @precondition(lambda self: self.closers)
    @rule(which=indices)
    def cancel_the_closing(self, which: int) -> None:
        self.closers[which % len(self.closers)].cancel()

    # -- what happens on the wire --------------------------------------------------------------------------------

    @precondition(lambda self: self.before_headers(sent=False))
    @rule()
    def send(self) -> None:
        for exchange in self.before_headers(sent=False):
            exchange.sent = True

    @precondition(lambda self: self.before_headers())
    @rule(which=indices)
    def lose_before_the_headers(self, which: int) -> None:
        waiting = self.before_headers()
        waiting[which % len(waiting)].headers_came.set_exception(OSError("lost"))

    @precondition(lambda self: self.before_headers(sent=True))
    @rule(
        which=indices,
        status=st.sampled_from([200, 404, 429, 429, 503]),
        retry_after=st.sampled_from([None, None, 0, 1, 99]),
        whole=st.booleans(),
    )
    def answer(self, which: int, status: int, retry_after: int | None, whole: bool) -> None:
        waiting = self.before_headers(sent=True)
        exchange = waiting[which % len(waiting)]
        exchange.status = status
        if retry_after is not None:
            exchange.raw_headers = ((b"Retry-After", str(retry_after).encode()),)
        exchange.headers_came.set_result(None)
        if whole:
            exchange.body_came.set_result(GOOD)

    @precondition(lambda self: self.within_bodies())
    @rule(which=indices, whole=st.booleans())
    def end_the_body(self, which: int, whole: bool) -> None:
        waiting = self.within_bodies()
        body = waiting[which % len(waiting)].body_came
        if whole:
            body.set_result(GOOD)
        else:
            body.set_exception(OSError("cut off"))
            body.exception()  # seen, should nobody be there any more to see it

    @rule()
    def run_callbacks(self) -> None:
        self.run(0.0)

    @rule(seconds=st.sampled_from([0.05, 0.4, 0.4, 2.0, 2.0, 7.0, 70.0]), goes_out=st.booleans())
    def pass_time(self, seconds: float, goes_out: bool) -> None:
        self.run(seconds)
        if goes_out:
            self.send()

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def no_more_are_in_flight_than_allowed(self) -> None:
        if hasattr(self, "client"):
            on_the_wire = sum(not exchange.ended for exchange in self.wire)
            assert on_the_wire <= self.client.load.in_flight <= self.max_in_flight

    def run(self, seconds: float) -> None:
        async def rest() -> None:
            await asyncio.sleep(seconds)
            for _ in range(20):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rest())
        assert not self.sent_twice
        for caller in self.callers:
            if caller.task.done():
                self.settle(caller)
            else:
                assert self.loop.time() <= caller.deadline + ROUNDING, "a call outlived its deadline"

    def settle(self, caller: Caller) -> None:
        """Take note of a call that has come to its end."""
        if caller.settled:
            return
        caller.settled = True
        if caller.task.cancelled():
            assert caller.cancelled
            return
        sent = [exchange for exchange in self.wire if exchange.tag == caller.tag and exchange.sent]
        error = caller.task.exception()
        if error is None:
            assert sent[-1].status == 200
            return
        assert isinstance(error, EnapterError)
        if isinstance(error, ClientClosedError):
            assert self.closers
            assert caller.safety is not Safety.UNSAFE or not self.may_have_been_done(caller.tag)
            return
        assert isinstance(error, RequestError)
        if error.outcome == "not_sent":
            assert not sent
        elif error.outcome == "rejected":
            assert not self.may_have_been_done(caller.tag)
        elif caller.safety is Safety.UNSAFE:
            assert self.may_have_been_done(caller.tag)
            assert not isinstance(error, TimeoutError), "an invitation to repeat what may have been done"
            if not any(exchange.status for exchange in sent):
                assert isinstance(error, OutcomeUnknownError)

    def may_have_been_done(self, tag: str) -> bool:
        return any(exchange.may_have_been_done for exchange in self.wire if exchange.tag == tag)

    def running(self) -> list[Caller]:
        return [caller for caller in self.callers if not caller.task.done()]

    def before_headers(self, *, sent: bool | None = None) -> list[Exchange]:
        return [one for one in self.wire if not one.headers_came.done() and sent in (None, one.sent)]

    def within_bodies(self) -> list[Exchange]:
        return [one for one in self.wire if one.status and not one.ended and not one.body_came.done()]


TestClient = ClientMachine.TestCase
