"""The buffer between a stream's reader and its consumer."""

from __future__ import annotations

import asyncio
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import StreamError, StreamPolicy
from enapter_async._streaming.buffer import Buffer
from enapter_async.errors import ConfigurationError

pytestmark = pytest.mark.anyio


async def taken(buffer: Buffer[int | str]) -> list[int | str]:
    buffer.close(StreamError("end"))
    items: list[int | str] = []
    while True:
        try:
            await buffer.ready()
        except StreamError:
            return items
        items.append(buffer.take())


async def test_a_full_buffer_refuses_until_an_item_is_taken() -> None:
    buffer = Buffer[int | str](2, drop_oldest=False)
    assert [buffer.offer(1), buffer.offer(2), buffer.offer(3)] == [True, True, False]
    waiting = asyncio.create_task(buffer.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await buffer.ready()
    assert buffer.take() == 1
    await waiting
    assert buffer.offer(3)
    assert await taken(buffer) == [2, 3]
    assert buffer.dropped == 0


async def test_the_first_ending_counts_and_comes_after_what_is_there() -> None:
    buffer = Buffer[int | str](2, drop_oldest=False)
    buffer.offer(1)
    buffer.close(StreamError("first"))
    buffer.close(StreamError("second"))
    await buffer.ready()
    assert buffer.take() == 1
    for _ in range(2):
        with pytest.raises(StreamError, match="first"):
            await buffer.ready()


async def test_whoever_goes_on_after_the_end_gets_an_error_of_his_own_each_time() -> None:
    buffer = Buffer[int](2, drop_oldest=False)
    ending = StreamError("end", gap=True, status=401)
    ending.__cause__ = OSError()
    ending.add_note("a note")
    buffer.close(ending)
    got: list[StreamError] = []
    for _ in range(100):
        with pytest.raises(StreamError) as caught:
            await buffer.ready()
        got.append(caught.value)
    assert len({id(error) for error in got}) == 100
    assert len({len(traceback.extract_tb(error.__traceback__)) for error in got}) == 1
    assert ending.__traceback__ is None
    got[0].add_note("of one caller")
    assert vars(got[-1]) == vars(ending)
    assert got[-1].__cause__ is ending.__cause__


async def test_a_cancelled_consumer_loses_nothing() -> None:
    buffer = Buffer[int | str](2, drop_oldest=False)
    waiting = asyncio.create_task(buffer.ready())
    await asyncio.sleep(0)
    buffer.offer(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await taken(buffer) == [1]


@given(st.integers(1, 5), st.lists(st.one_of(st.integers(), st.text(max_size=2)), max_size=30))
def test_dropping_keeps_order_counts_exactly_and_spares_notices(size: int, items: list[int | str]) -> None:
    async def run() -> tuple[list[int | str], int, int]:
        buffer = Buffer[int | str](size, drop_oldest=True, never_dropped=(str,))
        for item in items:
            assert buffer.offer(item)
        kept = await taken(buffer)
        return kept, buffer.dropped, buffer.take_dropped()

    kept, dropped, reported = asyncio.run(run())
    assert len(kept) <= size
    assert dropped == reported == len(items) - len(kept)
    rest = iter(items)
    assert all(item in rest for item in kept), "a subsequence, in order"
    notices = [item for item in items if isinstance(item, str)]
    if len(notices) < size:
        assert [item for item in kept if isinstance(item, str)] == notices
        frames = [item for item in items if isinstance(item, int)]
        assert [item for item in kept if isinstance(item, int)] == frames[len(frames) - (len(kept) - len(notices)) :]


@pytest.mark.parametrize(
    "options",
    [
        {"buffer_size": 0},
        {"overflow": "drop_newest"},
        {"heartbeat": 0},
        {"max_outage": 0},
        {"initial_delay": -1},
        {"max_frame_bytes": 0},
    ],
)
def test_a_policy_that_cannot_work_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        StreamPolicy(**options)  # type: ignore[arg-type]
