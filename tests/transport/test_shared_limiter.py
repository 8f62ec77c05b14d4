"""A limiter with a common source of permissions: order, cancellation, losing the source. Time is virtual."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Any

import pytest

from enapter_async import ConfigurationError, EnapterClient, Event, SharedLimitLost, SharedLimitRestored
from enapter_async._transport.rate_limit.limiter import Gate, Limiter, Slot
from enapter_async._transport.rate_limit.shared_limiter import SharedLimiter, SourceUnavailableError
from enapter_async.config import RateLimit, SharedRateLimit
from tests.clocks import SocketlessLoop, now

pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=SocketlessLoop)]


class Bucket:
    """Ten permissions a second for all who share it, so many saved up at most; or trouble."""

    def __init__(self, saved_up: int = 0) -> None:
        self._saved_up = saved_up / 10
        self.granted: list[float] = []
        self.asked = 0
        self.latency = 0.0
        self.trouble: Exception | None = None
        self._free_at = 0.0

    async def ask(self) -> float:
        self.asked += 1
        await asyncio.sleep(self.latency)
        if self.trouble is not None:
            raise self.trouble
        if now() < self._free_at:
            return self._free_at - now()
        self._free_at = max(now() - self._saved_up, self._free_at) + 0.1
        self.granted.append(now())
        return 0.0

    async def aclose(self) -> None: ...


def make(
    bucket: Bucket, events: list[Event] | None = None, *, max_in_flight: int = 100, burst: int = 1
) -> SharedLimiter:
    clock = asyncio.get_running_loop().time
    terms = SharedRateLimit("redis://localhost", name="plant", requests_per_second=10, burst=burst, timeout=0.5)
    hooks = () if events is None else (events.append,)
    local = Limiter(RateLimit(initial_in_flight=max_in_flight), max_in_flight, clock=clock)
    return SharedLimiter(local, bucket, terms, hooks=hooks, clock=clock, random=Random(1))


async def run(limiter: SharedLimiter, times: list[float]) -> None:
    slot = await limiter.acquire()
    times.append(now())
    limiter.succeeded(slot)
    limiter.release(slot)


async def test_it_is_a_gate_that_gives_nothing_unasked() -> None:
    gate: Gate = make(Bucket())
    assert gate.try_acquire() is None
    slot = await gate.acquire()
    assert isinstance(slot, Slot)
    assert gate.in_flight == 1
    gate.release(slot)
    assert gate.in_flight == 0


async def test_callers_are_let_through_in_order_at_the_common_rate() -> None:
    limiter = make(Bucket())
    order: list[int] = []

    async def caller(number: int) -> None:
        limiter.release(await limiter.acquire())
        order.append(number)

    began = now()
    async with asyncio.TaskGroup() as group:
        for number in range(11):
            group.create_task(caller(number))
    assert order == list(range(11))
    assert now() - began == pytest.approx(1.0, abs=0.01)


async def test_two_limiters_on_one_source_stay_under_one_rate_and_both_get_on() -> None:
    bucket = Bucket()
    times: tuple[list[float], list[float]] = ([], [])
    tasks = [asyncio.create_task(run(limiter, own)) for own in times for limiter in [make(bucket)] for _ in range(15)]
    await asyncio.gather(*tasks)
    bucket.granted.sort()
    assert bucket.granted[-1] - bucket.granted[0] >= 2.9 - 1e-6
    assert len(bucket.granted) == 30


async def test_the_source_is_asked_by_one_caller_at_a_time() -> None:
    bucket = Bucket()
    limiter = make(bucket)
    await asyncio.gather(*(run(limiter, []) for _ in range(10)))
    assert bucket.asked <= 2 * 10


async def test_those_who_wait_for_permission_are_waiting_and_not_in_flight() -> None:
    bucket = Bucket()
    limiter = make(bucket)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert (limiter.in_flight, limiter.waiting) == (1, 4)
    assert limiter.pace == 10
    for task in tasks:
        limiter.release(await task)
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_a_cancelled_waiter_holds_no_slot_and_is_in_nobodys_way() -> None:
    limiter = make(Bucket(), max_in_flight=3)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(6)]
    await asyncio.sleep(0.01)
    for task in tasks[1:5]:  # the one that asks, one behind it, and two that wait for a slot
        task.cancel()
    began = now()
    limiter.release(await tasks[0])
    limiter.release(await tasks[5])
    assert now() - began < 0.3
    assert all(task.cancelled() for task in tasks[1:5])
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_a_slot_is_dated_by_its_permission() -> None:
    """A 429 is judged by when its request was sent, not by when it began to wait."""
    limiter = make(Bucket())
    first, second = await asyncio.gather(limiter.acquire(), limiter.acquire())
    assert second.reserved_at - first.reserved_at == pytest.approx(0.1, abs=0.001)


@pytest.mark.parametrize(
    ("trouble", "latency", "reason"),
    [
        (SourceUnavailableError("ConnectionError: refused"), 0.0, "ConnectionError: refused"),
        (None, 60.0, "no response within 0.5 s"),
    ],
    ids=["unreachable", "silent"],
)
async def test_without_the_source_all_go_on_and_say_so_once(
    trouble: Exception | None, latency: float, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket, events = Bucket(), list[Event]()
    bucket.trouble, bucket.latency = trouble, latency
    limiter = make(bucket, events)
    times: list[float] = []
    began = now()
    with caplog.at_level(logging.WARNING, "enapter_async"):
        await asyncio.gather(*(run(limiter, times) for _ in range(50)))
    assert max(times) - began <= 0.5 + 0.001
    assert events == [SharedLimitLost(name="plant", reason=reason)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not limiter.shared
    assert limiter.try_acquire() is not None


async def test_one_caller_at_a_time_finds_out_and_ever_more_rarely() -> None:
    bucket = Bucket()
    bucket.trouble = SourceUnavailableError("away")
    limiter = make(bucket)
    began = now()
    while now() - began < 60:
        await asyncio.gather(*(run(limiter, []) for _ in range(5)))
        await asyncio.sleep(0.1)
    assert bucket.asked <= 10  # at 0, 1, 3, 7, 15, 25, 35, 45, 55 s


async def test_it_comes_back_by_itself() -> None:
    bucket, events = Bucket(), list[Event]()
    limiter = make(bucket, events)
    bucket.trouble = SourceUnavailableError("away")
    await run(limiter, [])
    bucket.trouble = None
    await asyncio.sleep(1.0)
    await asyncio.gather(*(run(limiter, []) for _ in range(3)))
    assert limiter.shared
    assert [type(event) for event in events] == [SharedLimitLost, SharedLimitRestored]
    before = len(bucket.granted)
    await run(limiter, [])
    assert len(bucket.granted) == before + 1


async def test_found_again_in_the_middle_of_the_common_rate_a_caller_waits_its_turn() -> None:
    bucket = Bucket()
    limiter = make(bucket)
    bucket.trouble = SourceUnavailableError("away")
    await run(limiter, [])
    bucket.trouble = None
    await asyncio.sleep(1.0)
    await bucket.ask()  # somebody else has just taken one
    began = now()
    await run(limiter, [])
    assert now() - began >= 0.1 - 1e-6


async def test_with_something_saved_up_asking_late_costs_no_permission() -> None:
    bucket = Bucket(saved_up=4)
    limiter = make(bucket, burst=5)
    began = now()
    await asyncio.gather(*(run(limiter, []) for _ in range(105)))
    assert len(bucket.granted) == 105
    assert now() - began <= 10.5 * 1.1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"url": "http://user:secret@host"}, "url"),
        ({"url": "redis://[broken"}, "url"),
        ({"url": "redis://u:se/cret@localhost/0"}, "url"),
        ({"url": "redis://u:12/secret@localhost/0"}, "url"),
        ({"name": " "}, "name"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": float("nan")}, "requests_per_second"),
        ({"requests_per_second": "200"}, "requests_per_second"),
        ({"burst": 0}, "burst"),
        ({"timeout": float("inf")}, "timeout"),
    ],
)
def test_what_cannot_work_is_refused_by_name_and_never_echoed(arguments: dict[str, Any], named: str) -> None:
    good: dict[str, Any] = {"url": "redis://localhost", "name": "plant", "requests_per_second": 200}
    with pytest.raises(ConfigurationError, match=f"SharedRateLimit.{named}") as raised:
        SharedRateLimit(**{**good, **arguments})
    assert "secret" not in str(raised.value)


def test_the_password_is_not_shown() -> None:
    terms = SharedRateLimit("redis://:secret@localhost", name="plant", requests_per_second=200)
    client = EnapterClient(token="t", shared_rate_limit=terms)
    assert "secret" not in repr(terms) + repr(client)
    assert terms.burst == 10
