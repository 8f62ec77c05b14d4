"""Where a client refuses to run: another loop, a forked process, something else than asyncio."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import sys
import time
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from enapter_async import ConfigurationError, EnapterClient, WrongEventLoopError
from enapter_async._transport.lifetime import Lifetime
from enapter_async._transport.rate_limit.limiter import Limiter
from enapter_async.config import RateLimit
from tests.clocks import SocketlessLoop, pending_timers

REFUSED, USED, OTHER = 3, 4, 5


def test_is_bound_to_the_loop_of_its_first_use() -> None:
    lifetime = Lifetime()

    async def enter() -> None:
        lifetime.enter()
        lifetime.enter()

    asyncio.run(enter())
    with pytest.raises(WrongEventLoopError, match="one client per loop"):
        asyncio.run(enter())


def test_a_client_may_be_made_before_any_loop_runs() -> None:
    client = EnapterClient(token="secret")

    async def use() -> None:
        async with client:
            pass

    asyncio.run(use())


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_not_sent_to_other_processes(send: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="in each process"):
        send(EnapterClient(token="secret"))


def test_without_asyncio_it_says_so_and_sends_nothing() -> None:
    """What trio does: it runs our coroutine, and no asyncio loop is there."""
    client = EnapterClient(token="secret")
    with pytest.raises(ConfigurationError, match="asyncio") as caught:
        client.sites.get("s").send(None)
    assert "trio" in str(caught.value)
    assert caught.value.__context__ is None


def test_under_trio_itself() -> None:
    trio = pytest.importorskip("trio")

    async def use() -> None:
        async with EnapterClient(token="secret"):
            raise AssertionError("entered under trio")

    with pytest.raises(ConfigurationError, match="trio"):
        trio.run(use)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("used_before", [True, False], ids=["used before", "not used before"])
@pytest.mark.parametrize("action", ["enter", "close"])
def test_after_fork_only_an_unused_client_works(used_before: bool, action: str) -> None:
    """Even on the parent's own loop, where nothing else would tell: two processes would write to one socket."""
    lifetime = Lifetime()

    async def enter() -> None:
        lifetime.enter()

    async def close() -> None:
        await lifetime.close()

    loop = asyncio.new_event_loop()
    try:
        if used_before:
            loop.run_until_complete(enter())
        child = os.fork()
        if child == 0:
            status = OTHER
            try:
                loop.run_until_complete(enter() if action == "enter" else close())
                status = USED
            except WrongEventLoopError as error:
                status = REFUSED if "forked" in str(error) else OTHER
            finally:
                os._exit(status)  # nothing of pytest may run twice
        _, code = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(code) == (REFUSED if used_before else USED)
        loop.run_until_complete(enter())  # the parent goes on
    finally:
        loop.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
def test_forks_are_noticed_without_keeping_clients_alive() -> None:
    from enapter_async._transport import lifetime as module

    async def enter() -> None:
        Lifetime().enter()

    gc.collect()  # clients of other tests
    before = len(module._bound)
    asyncio.run(enter())
    assert len(module._bound) == before


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=SocketlessLoop) as runner:
        runner.run(work())


def test_every_timer_expires_at_its_own_time() -> None:
    """Near and far ones, begun in any order and at any time, also while others of them expire."""
    chance = Random(1)
    late: list[float] = []

    async def wait(lifetime: Lifetime, begin: float, seconds: float) -> None:
        await asyncio.sleep(begin)
        when = asyncio.get_running_loop().time() + seconds
        with pytest.raises(TimeoutError):
            async with lifetime.until(when):
                await asyncio.sleep(seconds + 100)
        late.append(asyncio.get_running_loop().time() - when)

    async def main() -> None:
        lifetime = Lifetime()
        lifetime.enter()
        times = [(chance.uniform(0, 20), chance.choice((0.001, 0.5, 1, 2, 2.001, 3, 30, 60))) for _ in range(300)]
        await asyncio.gather(*(wait(lifetime, begin, seconds) for begin, seconds in times))
        assert pending_timers() == 0

    in_virtual_time(main)
    assert late == pytest.approx([0.0] * 300, abs=1e-6)


def test_timers_far_from_their_time_are_one_for_the_event_loop_which_later_calls_share() -> None:
    async def main() -> None:
        lifetime = Lifetime()
        now = lifetime.enter().time
        for _ in range(2):
            timers = [lifetime.begin(now() + seconds) for seconds in (30, 31, 29, 3600)]
            assert pending_timers() == 1
            for timer in timers:
                lifetime.end(timer)
            assert pending_timers() == 1
        await asyncio.sleep(30)
        assert pending_timers() == 0

    in_virtual_time(main)


def test_no_timer_is_left_after_closing() -> None:
    async def main() -> None:
        lifetime = Lifetime()
        lifetime.end(lifetime.begin(lifetime.enter().time() + 30))
        await lifetime.close()
        assert pending_timers() == 0

    in_virtual_time(main)


def test_a_task_cancelled_in_the_moment_of_its_deadline_stays_cancelled() -> None:
    async def main() -> None:
        lifetime = Lifetime()
        loop = lifetime.enter()

        async def wait() -> None:
            async with lifetime.until(loop.time() + 0.5):
                await asyncio.sleep(100)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        loop.call_at(loop.time() + 0.5, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    in_virtual_time(main)


@pytest.mark.parametrize(("outer", "inner"), [(0.5, 1.0), (1.0, 0.5), (5.0, 10.0), (10.0, 5.0)])
def test_of_two_nested_timers_the_earlier_one_ends_its_own_block(outer: float, inner: float) -> None:
    async def main() -> None:
        lifetime = Lifetime()
        loop = lifetime.enter()
        began = loop.time()
        ended: list[str] = []
        try:
            async with lifetime.until(began + outer):
                try:
                    async with lifetime.until(began + inner):
                        await asyncio.sleep(100)
                except TimeoutError:
                    ended.append("inner")
                await asyncio.sleep(100)
        except TimeoutError:
            ended.append("outer")
        assert ended == (["inner", "outer"] if inner < outer else ["outer"])
        assert loop.time() - began == pytest.approx(outer)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    in_virtual_time(main)


def test_an_hour_of_waiting_wakes_the_loop_only_now_and_then() -> None:
    async def main() -> None:
        lifetime = Lifetime()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SocketlessLoop)
        lifetime.enter()
        await lifetime.sleep(3600)
        assert loop.jumps < 5

    in_virtual_time(main)


def test_closing_ends_near_and_far_timers_alike() -> None:
    async def main() -> None:
        lifetime = Lifetime()
        loop = lifetime.enter()
        before = loop.time()
        ended: list[float] = []

        async def wait(seconds: float) -> None:
            with pytest.raises(TimeoutError):
                async with lifetime.until(before + seconds):
                    await asyncio.sleep(seconds + 100)
            ended.append(loop.time() - before)

        waiting = [asyncio.create_task(wait(seconds)) for seconds in (1, 5, 50)]
        await asyncio.sleep(0.5)
        await lifetime.close()
        await asyncio.gather(*waiting)
        assert ended == pytest.approx([0.5] * 3)
        assert pending_timers() == 0

    in_virtual_time(main)


def test_time_is_that_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the system, which tests freeze: freezegun leaves the loop its own with `real_asyncio=True`."""
    lifetime = Lifetime()
    assert lifetime.now() == lifetime.now() == 0.0

    async def use(real: Callable[[], float]) -> None:
        loop = asyncio.get_running_loop()
        loop.time = real  # type: ignore[method-assign]
        monkeypatch.setattr(time, "monotonic", lambda: 1.0)
        monkeypatch.setattr(time, "time", lambda: 1.0)
        lifetime.enter()
        before = lifetime.now()
        await asyncio.sleep(0.01)
        assert lifetime.now() - before >= 0.009

    with asyncio.Runner() as runner:
        runner.run(use(time.monotonic))
        monkeypatch.undo()


def test_calls_pass_at_their_pace_while_the_system_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(real: Callable[[], float]) -> None:
        loop = asyncio.get_running_loop()
        loop.time = real  # type: ignore[method-assign]
        monkeypatch.setattr(time, "monotonic", lambda: 1.0)
        lifetime = Lifetime()
        lifetime.enter()
        limiter = Limiter(RateLimit(requests_per_second=200, burst=1), 8, clock=lifetime.now, random=Random(1))
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(limiter.acquire())

    with asyncio.Runner() as runner:
        runner.run(use(time.monotonic))
        monkeypatch.undo()
