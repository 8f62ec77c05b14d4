"""The life of a client: its timers end at closing, also those that are begun after it."""

from __future__ import annotations

import asyncio

import pytest

from enapter_async._transport.lifetime import Lifetime
from enapter_async.errors import ClientClosedError

pytestmark = pytest.mark.anyio

FAR = 1e9


async def waiting(lifetime: Lifetime) -> str:
    try:
        async with lifetime.until(FAR):
            await asyncio.sleep(50)
    except TimeoutError:
        return "ended"
    return "slept"


async def test_closing_ends_all_waits_and_returns_when_they_have_ended() -> None:
    lifetime = Lifetime()
    waits = [asyncio.ensure_future(waiting(lifetime)) for _ in range(3)]
    await asyncio.sleep(0)
    await lifetime.close()
    assert all(wait.done() for wait in waits)
    assert [wait.result() for wait in waits] == ["ended"] * 3


async def test_a_wait_that_is_begun_after_the_closing_ends_at_once() -> None:
    lifetime = Lifetime()
    await lifetime.close()
    async with asyncio.timeout(2):
        assert await waiting(lifetime) == "ended"


async def test_a_wait_that_is_begun_while_others_are_being_ended_does_not_hold_the_closing_up() -> None:
    lifetime = Lifetime()

    async def one_after_the_other() -> list[str]:
        return [await waiting(lifetime), await waiting(lifetime)]

    waits = asyncio.ensure_future(one_after_the_other())
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await lifetime.close()
        assert await waits == ["ended", "ended"]


async def test_a_sleep_ends_with_an_error() -> None:
    lifetime = Lifetime()
    sleeping = asyncio.ensure_future(lifetime.sleep(50))
    await asyncio.sleep(0)
    await lifetime.close()
    with pytest.raises(ClientClosedError) as caught:
        await sleeping
    assert caught.value.__context__ is None
    with pytest.raises(ClientClosedError):
        await lifetime.sleep(0)


async def test_a_timer_that_has_expired_is_left_alone_at_closing() -> None:
    lifetime = Lifetime()
    timer = lifetime.begin(0)
    with pytest.raises(TimeoutError):
        with timer:
            await asyncio.sleep(50)
    closing = asyncio.ensure_future(lifetime.close())
    await asyncio.sleep(0)
    assert not closing.done(), "the timer has not been given back"
    lifetime.end(timer)
    await closing
