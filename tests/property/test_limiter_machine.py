"""Any order of acquiring, cancelling, releasing, rejecting, closing and passing time keeps the gate's promises.

Rules act at once and let nothing run; `run_callbacks` and `pass_time` do. So cancellations fall before, at and
after every wake-up, also within one iteration of the loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from enapter_async._transport.rate_limit.limiter import Limiter, Slot
from enapter_async.config import RateLimit
from enapter_async.errors import ClientClosedError
from tests.clocks import SocketlessLoop, timers_of

ROUNDING = 1e-4
indices = st.integers(0, 7)


@dataclass(eq=False)
class Caller:
    """Somebody who waits for a slot: a newcomer, or one whose request was rejected."""

    task: asyncio.Task[Slot]
    not_before: float | None
    cancelled: bool = False
    settled: bool = False


class LimiterMachine(RuleBasedStateMachine):
    @initialize(
        max_in_flight=st.integers(1, 6),
        initial_in_flight=st.integers(1, 6),
        requests_per_second=st.sampled_from([None, None, 2.0, 50.0]),
        burst=st.sampled_from([None, 1, 3]),
        adaptive=st.booleans(),
        seed=st.integers(0, 3),
    )
    def make(
        self,
        max_in_flight: int,
        initial_in_flight: int,
        requests_per_second: float | None,
        burst: int | None,
        adaptive: bool,
        seed: int,
    ) -> None:
        self.loop = SocketlessLoop()
        self.max_in_flight = max_in_flight
        self.rate_limit = RateLimit(
            requests_per_second=requests_per_second,
            burst=burst,
            adaptive=adaptive,
            initial_in_flight=initial_in_flight,
        )
        self.limiter = Limiter(self.rate_limit, max_in_flight, clock=self.loop.time, random=Random(seed))
        self.held: list[Slot] = []
        self.used: list[float] = []
        self.newcomers: list[Caller] = []
        self.rejected_callers: list[Caller] = []
        self.pauses: list[tuple[float, float]] = []
        self.closed = False

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.close()
            self.run_callbacks()
            for slot in self.held:
                self.limiter.release(slot)
            assert (self.limiter.in_flight, self.limiter.waiting, timers_of(self.loop)) == (0, 0, 0)
            assert not self.waiting()
        finally:
            for caller in self.waiting():
                caller.task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    # -- what callers do -----------------------------------------------------------------------------------------

    @rule()
    def try_acquire(self) -> None:
        queued = self.limiter.waiting > len(self.limiter._resting)
        slot = self.limiter.try_acquire()
        if slot is not None:
            assert not self.closed
            assert not queued, "somebody was overtaken"
            self.take(slot)

    @rule()
    def acquire(self) -> None:
        self.newcomers.append(Caller(self.loop.create_task(self.limiter.acquire()), None))

    @precondition(lambda self: self.held)
    @rule(which=indices, retry_after=st.sampled_from([None, 0.5, 1.0, 3.0]))
    def be_rejected_and_acquire_again(self, which: int, retry_after: float | None) -> None:
        slot = self.held.pop(which % len(self.held))
        self.limiter.rejected(slot, retry_after)
        self.limiter.release(slot)
        if self.limiter.pause:
            self.pauses.append((self.loop.time(), self.loop.time() + self.limiter.pause))
        task = self.loop.create_task(self.limiter.acquire(again=slot))
        self.rejected_callers.append(Caller(task, self.loop.time() + (retry_after or 0.0)))

    @precondition(lambda self: self.held)
    @rule(which=indices, answered=st.booleans())
    def finish(self, which: int, answered: bool) -> None:
        slot = self.held.pop(which % len(self.held))
        if answered:
            self.limiter.succeeded(slot)
        self.limiter.release(slot)

    @precondition(lambda self: self.waiting())
    @rule(which=indices)
    def cancel(self, which: int) -> None:
        waiting = self.waiting()
        caller = waiting[which % len(waiting)]
        caller.task.cancel()
        caller.cancelled = True

    @precondition(lambda self: self.held and self.waiting())
    @rule(which=indices, wakes_first=st.booleans())
    def finish_and_cancel_at_the_wake_up(self, which: int, wakes_first: bool) -> None:
        if not wakes_first:
            self.cancel_first()
        self.finish(which, answered=False)
        if wakes_first:
            self.cancel_first()
        self.run(0.0)

    @precondition(lambda self: self.waiting())
    @rule(late=st.sampled_from([0.0, 1e-7]))
    def cancel_when_the_pace_lets_go(self, late: float) -> None:
        self.run(0.0)
        when = self.limiter._spacing.ready_at
        if self.loop.time() < when < self.loop.time() + 10.0 and self.waiting():
            self.loop.call_at(when + late, self.cancel_first)
            self.run(when + 0.001 - self.loop.time())

    @rule()
    def run_callbacks(self) -> None:
        self.run(0.0)

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.3, 1.0, 5.0, 70.0]))
    def pass_time(self, seconds: float) -> None:
        self.run(seconds)

    @rule(seconds=st.sampled_from([0.001, 0.3, 2.0]))
    def pass_time_while_the_loop_is_busy(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @precondition(lambda self: len(self.newcomers) > 10)
    @rule()
    def close(self) -> None:
        self.limiter.close()
        self.closed = True

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def no_more_are_in_flight_than_allowed(self) -> None:
        if hasattr(self, "limiter"):
            assert 0 <= self.limiter.in_flight <= self.max_in_flight
            assert self.limiter.window <= self.max_in_flight

    def waiting(self) -> list[Caller]:
        return [caller for caller in (*self.rejected_callers, *self.newcomers) if not caller.task.done()]

    def cancel_first(self) -> None:
        if waiting := self.waiting():
            waiting[0].task.cancel()
            waiting[0].cancelled = True

    def run(self, seconds: float) -> None:
        async def rest() -> None:
            await asyncio.sleep(seconds)
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rest())
        self.settle()
        self.check_at_rest()

    def settle(self) -> None:
        """Take note of every caller who has come to an end since."""
        for caller in (*self.rejected_callers, *self.newcomers):
            if caller.settled or not caller.task.done():
                continue
            caller.settled = True
            if caller.task.cancelled():
                assert caller.cancelled
            elif (error := caller.task.exception()) is not None:
                assert isinstance(error, ClientClosedError)
                assert self.closed
            else:
                slot = caller.task.result()
                if caller.not_before is not None:
                    assert slot.reserved_at >= caller.not_before - ROUNDING, "came before its Retry-After was over"
                self.take(slot)

    def take(self, slot: Slot) -> None:
        assert slot not in self.held
        self.held.append(slot)
        self.used.append(slot.reserved_at)
        if self.rate_limit.adaptive:
            for start, end in self.pauses:
                assert not start < slot.reserved_at < end, "went during a pause"

    def check_at_rest(self) -> None:
        limiter, now = self.limiter, self.loop.time()
        assert limiter.in_flight == len(self.held), "a permit was lost or doubled"
        waiting = self.waiting()
        assert limiter.waiting == len(waiting)
        served = [caller.task.done() and not caller.cancelled for caller in self.newcomers]
        still = [not caller.task.done() for caller in self.newcomers]
        if any(still) and not self.closed:
            assert not any(served[still.index(True) :]), "a newcomer was overtaken by a later one"
        ready = [c for c in waiting if c.not_before is None or c.not_before <= now]
        if ready and limiter.in_flight < limiter.window:
            assert limiter._spacing.ready_at > now, "a free slot, the time has come, and somebody waits"
        resting = len(waiting) - len(ready)
        assert timers_of(self.loop) <= resting + bool(ready)
        self.check_the_fixed_pace()

    def check_the_fixed_pace(self) -> None:
        rate = self.rate_limit.requests_per_second
        if rate is None or self.rate_limit.adaptive:
            return
        burst = self.rate_limit.burst or max(1, round(rate))
        times = sorted(self.used)
        for index in range(len(times) - burst):
            span = times[index + burst] - times[index]
            assert span >= 1 / rate - ROUNDING, "more than the burst went at once"


TestLimiter = LimiterMachine.TestCase
