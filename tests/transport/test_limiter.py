"""The gate: slots, order, cancellation, closing. Time is virtual; every test runs in no time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from enapter_async._transport.rate_limit.limiter import Gate, Limiter, Slot
from enapter_async.config import RateLimit
from enapter_async.errors import ClientClosedError
from tests.clocks import SocketlessLoop, now, pending_timers

pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=SocketlessLoop)]


def make(max_in_flight: int = 100, **rate_limit: Any) -> Limiter:
    loop = asyncio.get_running_loop()
    return Limiter(RateLimit(**rate_limit), max_in_flight, clock=loop.time, random=Random(1))


def taken(limiter: Limiter) -> Slot:
    slot = limiter.try_acquire()
    assert slot is not None
    return slot


async def waiting(limiter: Limiter, count: int = 1, **arguments: Any) -> list[asyncio.Task[Slot]]:
    """Start callers who wait, one after the other."""
    tasks = [asyncio.create_task(limiter.acquire(**arguments)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def turns() -> None:
    """Let everything run that can, without time passing."""
    for _ in range(5):
        await asyncio.sleep(0)


# -- the window ------------------------------------------------------------------------------------------------


async def test_a_limiter_is_a_gate() -> None:
    gate: Gate = make()
    assert isinstance(gate.try_acquire(), Slot)


async def test_a_new_client_starts_with_the_initial_window() -> None:
    limiter = make(initial_in_flight=3)
    assert [limiter.try_acquire() is not None for _ in range(4)] == [True, True, True, False]
    assert (limiter.in_flight, limiter.window) == (3, 3)


async def test_the_initial_window_is_no_wider_than_the_largest() -> None:
    assert make(max_in_flight=2, initial_in_flight=10).window == 2


async def test_the_window_grows_by_one_with_each_success_up_to_the_largest() -> None:
    limiter = make(max_in_flight=4, initial_in_flight=2)
    widths = []
    for _ in range(4):
        slot = taken(limiter)
        limiter.succeeded(slot)
        limiter.release(slot)
        widths.append(limiter.window)
    assert widths == [3, 4, 4, 4]


async def test_a_failure_without_an_answer_leaves_the_window_as_it_is() -> None:
    limiter = make(initial_in_flight=1)
    limiter.release(taken(limiter))
    assert (limiter.window, limiter.in_flight) == (1, 0)


async def test_a_released_slot_goes_to_the_first_who_waits() -> None:
    limiter = make(max_in_flight=1)
    slot = taken(limiter)
    first, second = await waiting(limiter, 2)
    limiter.release(slot)
    await turns()
    assert first.done()
    assert not second.done()
    limiter.release(first.result())
    await turns()
    assert second.done()


async def test_nobody_overtakes_those_who_wait() -> None:
    limiter = make(max_in_flight=1)
    slot = taken(limiter)
    (waiter,) = await waiting(limiter)
    limiter.release(slot)  # the slot is promised to the waiter, who has not run yet
    assert limiter.try_acquire() is None
    await turns()
    assert waiter.done()


async def test_nobody_overtakes_those_whose_time_has_come_but_whose_timer_is_late() -> None:
    limiter = make(requests_per_second=10, burst=1)
    taken(limiter)
    (waiter,) = await waiting(limiter)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SocketlessLoop)
    loop.advance(0.15)
    assert limiter.try_acquire() is None
    await waiter


async def test_a_window_that_has_grown_serves_more_at_once() -> None:
    limiter = make(initial_in_flight=1)
    slot = taken(limiter)
    tasks = await waiting(limiter, 3)
    limiter.succeeded(slot)
    limiter.release(slot)
    await turns()
    assert [task.done() for task in tasks] == [True, True, False]
    tasks[2].cancel()


async def test_waiting_for_the_window_needs_no_timer() -> None:
    limiter = make(max_in_flight=1)
    slot = taken(limiter)
    (waiter,) = await waiting(limiter)
    assert pending_timers() == 0
    limiter.release(slot)
    await waiter


# -- a fixed pace ----------------------------------------------------------------------------------------------


async def test_a_fixed_pace_lets_a_burst_go_and_then_one_at_a_time() -> None:
    limiter = make(requests_per_second=10, burst=3, initial_in_flight=100)
    began = now()
    times = []
    for _ in range(6):
        await limiter.acquire()
        times.append(round(now() - began, 4))
    assert times == [0, 0, 0, 0.1, 0.2, 0.3]
    assert limiter.pace == 10


async def test_without_a_burst_a_second_s_worth_may_go_at_once() -> None:
    limiter = make(requests_per_second=5, initial_in_flight=100)
    assert sum(limiter.try_acquire() is not None for _ in range(10)) == 5


async def test_waiters_are_released_one_by_one() -> None:
    limiter = make(requests_per_second=10, burst=1)
    taken(limiter)
    began = now()
    times: list[float] = []

    async def caller() -> None:
        await limiter.acquire()
        times.append(round(now() - began, 4))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(caller())
    assert times == [0.1, 0.2, 0.3, 0.4]


async def test_there_is_one_timer_while_somebody_waits_for_the_pace_and_none_afterwards() -> None:
    limiter = make(requests_per_second=10, burst=1)
    taken(limiter)
    tasks = await waiting(limiter, 5)
    assert pending_timers() == 1
    await asyncio.gather(*tasks)
    assert pending_timers() == 0


# -- cancellation ------------------------------------------------------------------------------------------------


async def cancel_before_it_runs(limiter: Limiter, slot: Slot) -> asyncio.Task[Slot]:
    task = asyncio.create_task(limiter.acquire())
    task.cancel()
    limiter.release(slot)
    return task


async def cancel_while_it_waits(limiter: Limiter, slot: Slot) -> asyncio.Task[Slot]:
    (task,) = await waiting(limiter)
    task.cancel()
    await turns()
    limiter.release(slot)
    return task


async def cancel_just_before_the_wake_up(limiter: Limiter, slot: Slot) -> asyncio.Task[Slot]:
    (task,) = await waiting(limiter)
    task.cancel()
    limiter.release(slot)
    return task


async def cancel_just_after_the_wake_up(limiter: Limiter, slot: Slot) -> asyncio.Task[Slot]:
    (task,) = await waiting(limiter)
    limiter.release(slot)
    task.cancel()
    return task


@pytest.mark.parametrize(
    "cancelled",
    [
        cancel_before_it_runs,
        cancel_while_it_waits,
        cancel_just_before_the_wake_up,
        cancel_just_after_the_wake_up,
    ],
)
@pytest.mark.parametrize("followers", [0, 2])
async def test_a_cancelled_waiter_takes_no_slot_and_is_in_nobodys_way(
    cancelled: Callable[[Limiter, Slot], Awaitable[asyncio.Task[Slot]]], followers: int
) -> None:
    limiter = make(max_in_flight=1)
    slot = taken(limiter)
    task = await cancelled(limiter, slot)
    behind = await waiting(limiter, followers)
    await turns()
    assert task.cancelled()
    for follower in behind:
        limiter.release(await follower)
    assert (limiter.in_flight, limiter.waiting, pending_timers()) == (0, 0, 0)
    assert limiter.try_acquire() is not None


async def test_a_waiter_cancelled_at_its_wake_up_gives_its_place_in_the_pace_back() -> None:
    limiter = make(requests_per_second=10, burst=1, max_in_flight=1)
    slot = taken(limiter)
    first, second = await waiting(limiter, 2)
    await asyncio.sleep(0.1)
    began = now()
    limiter.release(slot)
    first.cancel()
    await second
    assert now() == began
    assert first.cancelled()


async def test_a_deadline_ends_the_wait() -> None:
    limiter = make(requests_per_second=10, burst=1)
    taken(limiter)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await limiter.acquire()
    assert (limiter.in_flight, limiter.waiting, pending_timers()) == (1, 0, 0)


async def test_the_timer_of_a_cancelled_waiter_serves_those_behind_it() -> None:
    limiter = make(requests_per_second=10, burst=1)
    taken(limiter)
    began = now()
    first, second = await waiting(limiter, 2)
    first.cancel()
    await second
    assert now() - began == pytest.approx(0.1, abs=1e-4)


async def test_ten_thousand_waiters_cancelled_at_once_leave_nothing() -> None:
    limiter = make(max_in_flight=1)
    taken(limiter)
    tasks = await waiting(limiter, 10_000)
    for task in tasks:
        task.cancel()
    await turns()
    assert all(task.cancelled() for task in tasks)
    assert limiter.waiting == 0


# -- after a 429 -------------------------------------------------------------------------------------------------


def reject(limiter: Limiter, slot: Slot, retry_after: float | None = None) -> None:
    limiter.rejected(slot, retry_after)
    limiter.release(slot)


async def test_a_429_stops_everybody_for_its_retry_after_and_no_herd_follows() -> None:
    limiter = make(initial_in_flight=100)
    reject(limiter, taken(limiter), 2)
    assert limiter.pause == 2
    assert limiter.try_acquire() is None
    began = now()
    times: list[float] = []

    async def caller() -> None:
        await limiter.acquire()
        times.append(round(now() - began, 3))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(caller())
    assert times[0] == 2
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert limiter.pause == 0


async def test_a_rejected_request_waits_out_its_own_retry_after_while_others_go_on() -> None:
    limiter = make(initial_in_flight=100)
    served = [taken(limiter) for _ in range(50)]
    rejected = taken(limiter)
    for slot in served:
        limiter.succeeded(slot)
        limiter.release(slot)
    reject(limiter, rejected, 1)
    began = now()
    again = asyncio.create_task(limiter.acquire(again=rejected))
    await limiter.acquire()
    assert now() - began < 0.1
    await again
    assert now() - began == pytest.approx(1)


async def test_a_rejected_request_goes_before_newcomers() -> None:
    limiter = make(max_in_flight=1)
    rejected = taken(limiter)
    (newcomer,) = await waiting(limiter)
    limiter.rejected(rejected, None)
    (again,) = await waiting(limiter, again=rejected)
    limiter.release(rejected)
    await again
    assert not newcomer.done()
    limiter.release(again.result())
    await newcomer


async def test_rejected_requests_keep_their_order() -> None:
    limiter = make(initial_in_flight=100)
    slots = [taken(limiter) for _ in range(4)]
    for slot in slots:
        reject(limiter, slot, 2)
        await asyncio.sleep(0.001)
    order: list[int] = []

    async def again(number: int) -> None:
        limiter.release(await limiter.acquire(again=slots[number]))
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in (3, 1, 0, 2):
            group.create_task(again(number))
    assert order == [0, 1, 2, 3]


async def test_a_rejected_request_that_is_cancelled_while_it_rests_leaves_no_timer() -> None:
    limiter = make()
    rejected = taken(limiter)
    reject(limiter, rejected, 5)
    (again,) = await waiting(limiter, again=rejected)
    assert (limiter.waiting, pending_timers()) == (1, 1)
    again.cancel()
    await turns()
    assert (limiter.waiting, pending_timers()) == (0, 0)


async def test_without_adaptation_a_429_is_only_counted() -> None:
    limiter = make(adaptive=False)
    reject(limiter, taken(limiter), 30)
    assert limiter.rejections == 1
    assert (limiter.pace, limiter.pause) == (None, 0)
    assert limiter.try_acquire() is not None


async def test_two_limiters_have_nothing_in_common() -> None:
    first, second = make(), make()
    reject(first, taken(first), 30)
    assert first.try_acquire() is None
    assert second.try_acquire() is not None


async def test_a_pace_that_has_long_been_unneeded_is_forgotten_with_the_window() -> None:
    limiter = make(initial_in_flight=2)
    for _ in range(5):
        slot = taken(limiter)
        limiter.succeeded(slot)
        limiter.release(slot)
    reject(limiter, taken(limiter))
    assert limiter.pace is not None
    assert limiter.window == 7
    await asyncio.sleep(61)
    limiter.release(taken(limiter))
    assert limiter.pace is None
    assert limiter.window == 2


# -- closing -----------------------------------------------------------------------------------------------------


async def test_closing_sends_all_waiters_away_and_leaves_nothing() -> None:
    limiter = make(requests_per_second=10, burst=1)
    slot = taken(limiter)
    limiter.rejected(slot, 5)
    tasks = [*await waiting(limiter, 3), *await waiting(limiter, 2, again=slot)]
    limiter.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ClientClosedError] * 5
    assert (limiter.waiting, pending_timers()) == (0, 0)


async def test_a_closed_limiter_refuses_and_takes_slots_back() -> None:
    limiter = make()
    slot = taken(limiter)
    limiter.close()
    limiter.succeeded(slot)
    limiter.release(slot)
    assert limiter.in_flight == 0
    assert limiter.try_acquire() is None
    with pytest.raises(ClientClosedError):
        await limiter.acquire()
    with pytest.raises(ClientClosedError):
        await limiter.acquire(again=slot)


async def test_a_waiter_cancelled_while_the_limiter_closes_is_cancelled() -> None:
    limiter = make(max_in_flight=1)
    taken(limiter)
    (task,) = await waiting(limiter)
    limiter.close()
    task.cancel()
    await turns()
    assert task.cancelled()
    assert limiter.in_flight == 1


async def test_a_slot_granted_just_before_closing_still_counts() -> None:
    limiter = make(max_in_flight=1)
    slot = taken(limiter)
    (task,) = await waiting(limiter)
    limiter.release(slot)
    limiter.close()
    assert (await task).reserved_at == now()
    limiter.release(task.result())
    assert limiter.in_flight == 0
