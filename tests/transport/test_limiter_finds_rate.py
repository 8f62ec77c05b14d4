"""The limiter against a model of a rate-limiting server, in virtual time: how long it takes, what it wastes.

The bounds are those of issue 5; `benchmarks/bench_rate_limit.py` measures the same against nginx.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

from enapter_async._transport.rate_limit.limiter import Limiter, Slot
from enapter_async._transport.rate_limit.pace import FixedRejections
from enapter_async.config import RateLimit
from tests.clocks import SocketlessLoop


class LeakyBucket:
    """Rejects what comes faster than the rate, but for a burst; in whole milliseconds, as nginx counts."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate = rate
        self._burst = burst * 1000
        self._excess = 0
        self._last: int | None = None
        self.rejections = 0

    def accepts(self, now: float) -> bool:
        milliseconds = int(now * 1000)
        excess = 0
        if self._last is not None:
            excess = max(self._excess - self.rate * (milliseconds - self._last) + 1000, 0)
        if excess > self._burst:
            self.rejections += 1
            return False
        self._excess, self._last = excess, milliseconds
        return True


@dataclass
class Network:
    """A server and the way to it; the client's own work takes its time, one request after the other."""

    server: LeakyBucket
    round_trip: float
    random: Random
    busy_until: float = 0.0

    async def ask(self) -> bool:
        loop = asyncio.get_running_loop()
        self.busy_until = max(self.busy_until, loop.time()) + 0.0003 * self.random.uniform(0.6, 1.6)
        await asyncio.sleep(self.busy_until - loop.time() + self.round_trip / 2)
        accepted = self.server.accepts(loop.time())
        await asyncio.sleep(self.round_trip / 2 + 0.0002 + self.random.expovariate(3000))
        return accepted


async def client(network: Network, calls: int, callers: int, retry_after: float | None, rate_limit: RateLimit) -> None:
    loop = asyncio.get_running_loop()
    limiter = Limiter(rate_limit, 100, clock=loop.time, random=network.random)
    turns = [None] * calls

    async def call() -> None:
        rejected = None
        while True:
            slot = (limiter.try_acquire() if rejected is None else None) or await limiter.acquire(again=rejected)
            try:
                if await network.ask():
                    limiter.succeeded(slot)
                    return
                limiter.rejected(slot, retry_after)
                rejected = slot
            finally:
                limiter.release(slot)

    async def caller() -> None:
        while turns:
            turns.pop()
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


def measure(
    *,
    rate: int = 200,
    burst: int = 20,
    calls: int = 2000,
    clients: int = 1,
    round_trip: float = 0.0,
    retry_after: float | None = 1.0,
    rate_limit: RateLimit | None = None,
    changes: tuple[tuple[float, int], ...] = (),
) -> tuple[float, float]:
    """Return the seconds that the calls took, and which part of them was wasted on 429."""
    server = LeakyBucket(rate, burst)

    async def run() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for after, changed in changes:
            loop.call_later(after, setattr, server, "rate", changed)
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                network = Network(server, round_trip, Random(number))
                group.create_task(
                    client(network, calls // clients, 100 // clients, retry_after, rate_limit or RateLimit())
                )
        return loop.time() - began

    with asyncio.Runner(loop_factory=SocketlessLoop) as runner:
        seconds = runner.run(run())
    return seconds, server.rejections / calls


@pytest.mark.parametrize("burst", [10, 20, 30])
def test_it_finds_the_rate_without_waste(burst: int) -> None:
    seconds, wasted = measure(burst=burst)
    assert seconds <= 1.08 * 10
    assert wasted <= 0.025


@pytest.mark.parametrize(
    "circumstances",
    [{"round_trip": 0.05}, {"clients": 2}, {"retry_after": None}, {"burst": 5}, {"burst": 100}],
    ids=str,
)
def test_it_finds_the_rate_under_other_circumstances(circumstances: dict[str, float]) -> None:
    seconds, wasted = measure(**circumstances)  # type: ignore[arg-type]
    assert seconds <= 1.25 * 10
    assert wasted <= 0.06


@pytest.mark.parametrize("round_trip", [0.0, 0.05])
def test_it_follows_a_rate_that_changes(round_trip: float) -> None:
    ideal = 6 + (2000 - 3 * 200 - 3 * 50) / 400
    seconds, wasted = measure(round_trip=round_trip, changes=((3.0, 50), (6.0, 400)))
    assert seconds <= 1.25 * ideal
    assert wasted <= 0.06


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("round_trip", [0.02, 0.1])
def test_it_asks_little_while_everything_is_refused_and_is_soon_back(
    retry_after: float | None, round_trip: float
) -> None:
    began, begins, ends = 0.0, 5.0, 25.0
    accepted: list[float] = []
    refused = 0

    async def caller(limiter: Limiter) -> None:
        nonlocal refused
        loop = asyncio.get_running_loop()
        rejected = None
        while (now := loop.time() - began) < ends + 5.0:
            slot = (limiter.try_acquire() if rejected is None else None) or await limiter.acquire(again=rejected)
            await asyncio.sleep(round_trip)
            now = loop.time() - began
            if begins <= now < ends:
                refused += 1
                limiter.rejected(slot, retry_after)
                rejected = slot
            else:
                accepted.append(now)
                limiter.succeeded(slot)
                rejected = None
            limiter.release(slot)

    async def run() -> None:
        nonlocal began
        loop = asyncio.get_running_loop()
        began = loop.time()
        limiter = Limiter(RateLimit(), 100, clock=loop.time, random=Random(1))
        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(caller(limiter))

    with asyncio.Runner(loop_factory=SocketlessLoop) as runner:
        runner.run(run())
    before = sum(begins - 1 <= at < begins for at in accepted)
    afterwards = sum(ends + 3 <= at < ends + 4 for at in accepted)
    assert refused <= 3 * 100
    assert afterwards >= 0.9 * before


def test_it_finds_slow_rates_too() -> None:
    seconds, wasted = measure(rate=5, burst=5, calls=100)
    assert seconds <= 1.1 * 20
    assert wasted <= 0.4  # what was in flight at the beginning is most of it


def test_a_fixed_pace_above_the_servers_is_no_obstacle() -> None:
    seconds, wasted = measure(rate=150, rate_limit=RateLimit(requests_per_second=200))
    assert seconds <= 1.08 * 2000 / 150
    assert wasted <= 0.06


def test_a_fixed_pace_below_the_servers_wastes_nothing() -> None:
    seconds, wasted = measure(rate_limit=RateLimit(requests_per_second=190, burst=10))
    assert seconds == pytest.approx(2000 / 190, rel=0.01)
    assert wasted == 0


@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0])
@pytest.mark.parametrize("calls", [40, 100, 300])
@pytest.mark.parametrize(("times", "seconds"), [(1, 8), (2, 18), (3, 30)])
def test_a_server_that_refuses_every_request_so_often_starves_nobody(
    retry_after: float | None, calls: int, times: int, seconds: float
) -> None:
    """It asks for no rate, and every lower pace would be refused as well."""
    refused: Counter[int] = Counter()

    async def caller(number: int, limiter: Limiter) -> None:
        rejected: Slot | None = None
        while True:
            slot = await limiter.acquire(again=rejected)
            await asyncio.sleep(0.005)
            if refused[number] == times:
                limiter.succeeded(slot)
                limiter.release(slot)
                return
            refused[number] += 1
            limiter.rejected(slot, retry_after)
            limiter.release(slot)
            rejected = slot

    async def run() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter(RateLimit(), 100, clock=loop.time, random=Random(1))
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                group.create_task(caller(number, limiter))
        return loop.time() - began

    with asyncio.Runner(loop_factory=SocketlessLoop) as runner:
        assert runner.run(run()) < seconds


def test_a_second_try_that_is_refused_is_a_matter_of_the_rate_again() -> None:
    detected = FixedRejections()
    for _ in range(8):
        detected.rejected(tries=0, at_lower_pace=True)
        detected.accepted(tries=1)
    assert detected.holds
    detected.rejected(tries=1, at_lower_pace=True)
    assert not detected.holds


def test_a_first_try_that_is_accepted_shows_that_the_rate_counts() -> None:
    detected = FixedRejections()
    for _ in range(100):
        detected.rejected(tries=0, at_lower_pace=True)
        detected.accepted(tries=1)
        detected.accepted(tries=0)
    assert not detected.holds
