"""Live telemetry: every datapoint once, and everything that went wrong reported. Time is virtual."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import UTC, datetime

import anyio
import pytest

from enapter_async import (
    AuthenticationError,
    ClientClosedError,
    ConnectionLostError,
    Datapoint,
    EnapterError,
    InvalidBodyError,
    LatestPoint,
    PollFailed,
    PollLate,
    RateLimitedError,
    ServerError,
    TelemetryNotFoundError,
    TickMissed,
    ValueMissing,
    Watch,
    WatchEvent,
)
from enapter_async.models.common import JSON
from tests.clocks import SocketlessLoop

pytestmark = [pytest.mark.anyio, pytest.mark.loop(factory=SocketlessLoop)]

NOON = 1_773_489_600.0
Answer = dict[str, dict[str, LatestPoint]]
Fetch = Callable[[str], Awaitable[Answer]]


def clock() -> float:
    return NOON + asyncio.get_running_loop().time()


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def point(second: float, value: JSON = 1.0) -> LatestPoint:
    return LatestPoint(value=value, timestamp=at(second))


def plant(latency: float = 0.0) -> Fetch:
    """A server whose devices measure at every full second; the query is the device."""

    async def fetch(device: str) -> Answer:
        await anyio.sleep(latency)
        second = clock() // 1
        return {device: {"power": point(second), "flow": point(second)}}

    return fetch


class Watched:
    """A watch and what it reported."""

    def __init__(
        self,
        fetch: Fetch,
        *devices: str,
        interval: float = 1.0,
        raise_missing: bool = False,
        congested: Callable[[], bool] = lambda: False,
        persistent: bool = False,
    ) -> None:
        self.events: list[WatchEvent] = []
        self.watch = Watch(
            devices or ("d1",),
            fetch,
            interval=interval,
            on_event=self.events.append,
            raise_missing=raise_missing,
            congested=congested,
            persistent=persistent,
            clock=clock,
            chance=random.Random(0),
        )

    async def collect(self, seconds: float) -> list[Datapoint]:
        found: list[Datapoint] = []
        with anyio.move_on_after(seconds):
            async with self.watch as live:
                async for datapoint in live:
                    found.append(datapoint)  # noqa: PERF401 - a comprehension would lose them at the cancellation
        return found

    @property
    def kinds(self) -> Counter[str]:
        return Counter(type(event).__name__ for event in self.events)


def seconds_of(found: list[Datapoint], attribute: str = "power") -> list[float]:
    return [one.timestamp.timestamp() for one in found if one.attribute == attribute]


def is_complete(seconds: list[float]) -> bool:
    return sorted(seconds) == [seconds[0] + number for number in range(len(seconds))]


@pytest.mark.parametrize(("latency", "busy"), [(0.5, 0.0), (0.01, 1.5), (0.2, 1.3)], ids=["server", "loop", "both"])
async def test_a_persistent_watch_reports_responses_that_come_late_for_their_tick(latency: float, busy: float) -> None:
    """Whether the server was slow, or the tick itself was late: in both cases, a second may have been skipped."""
    watched = Watched(plant(latency), persistent=True)
    with anyio.move_on_after(10):
        async with watched.watch as live:
            async for _ in live.batches():
                await anyio.sleep(busy)
    late = [event.seconds for event in watched.events if isinstance(event, PollLate)]
    assert len(late) >= 3
    assert all(0.4 < seconds < 1.5 for seconds in late)


async def test_every_second_gives_each_datapoint_once() -> None:
    watched = Watched(plant(0.05), "d1", "d2")
    found = await watched.collect(60)
    assert len(found) == len(set(found)) == 60 * 4
    assert is_complete(seconds_of([one for one in found if one.device == "d1"]))
    assert watched.events == []
    statistics = watched.watch.statistics
    assert (statistics.ticks, statistics.missed_ticks, statistics.longest_gap) == (60, 0, 1.0)


async def test_what_the_server_repeats_is_dropped_and_counted() -> None:
    watched = Watched(plant(), interval=0.25)
    found = await watched.collect(10)
    assert is_complete(seconds_of(found))
    assert watched.watch.statistics.datapoints == len(found)
    assert watched.watch.statistics.repeats == pytest.approx(60, abs=2)


async def test_a_server_slower_than_the_interval_loses_nothing() -> None:
    watched = Watched(plant(2.4))
    found = await watched.collect(30)
    assert len(seconds_of(found)) == 28
    assert is_complete(seconds_of(found))
    assert watched.events == []


async def test_a_server_that_cannot_be_asked_in_time_is_not_asked_ever_more() -> None:
    watched = Watched(plant(10.0))
    found = await watched.collect(60)
    assert watched.watch.statistics.requests == pytest.approx(18, abs=1)
    assert watched.watch.statistics.missed_ticks == watched.kinds["TickMissed"] == pytest.approx(42, abs=1)
    assert len(seconds_of(found)) == len(set(seconds_of(found))) > 12


async def test_a_server_that_cannot_keep_up_is_not_buried_in_requests() -> None:
    # It works on one request at a time, twice as long as would do; forty of them are a tick.
    worker = asyncio.Lock()
    took: list[float] = []

    async def fetch(device: str) -> Answer:
        began = clock()
        async with worker:
            await anyio.sleep(0.05)
        took.append(clock() - began)
        return await plant()(device)

    devices = [f"d{number}" for number in range(40)]
    watched = Watched(fetch, *devices)
    found = await watched.collect(60)
    assert max(took) < 3.0
    assert len(took) > 1_150  # the server was busy all the time
    shares = Counter(one.device for one in found if one.attribute == "power")
    assert min(shares[device] for device in devices) > 20


async def test_one_part_that_hangs_does_not_hold_up_the_others() -> None:
    async def fetch(device: str) -> Answer:
        if device == "hangs":
            await anyio.sleep_forever()
        return await plant()(device)

    watched = Watched(fetch, "hangs", "d2")
    found = await watched.collect(20)
    assert is_complete(seconds_of(found))
    assert len(seconds_of(found)) == 20
    missed = [event for event in watched.events if isinstance(event, TickMissed)]
    assert len(missed) == 17
    assert {(event.skipped, event.requests, event.count) for event in missed} == {(1, 2, 1)}
    assert str(missed[0]).endswith("1 of 2 requests not sent")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLostError("reset", phase="headers"),
        ServerError("bad gateway", status=502),
        RateLimitedError("slower", status=429),
        InvalidBodyError("not JSON"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_failures_that_may_pass_are_reported_and_survived(error: EnapterError) -> None:
    calls = 0

    async def fetch(device: str) -> Answer:
        nonlocal calls
        calls += 1
        if calls in (3, 4):
            raise error
        return await plant()(device)

    watched = Watched(fetch)
    found = await watched.collect(10)
    assert len(seconds_of(found)) == 8
    assert [event.error for event in watched.events if isinstance(event, PollFailed)] == [error, error]
    assert watched.watch.statistics.failures == 2
    assert watched.watch.statistics.longest_gap == 3.0


@pytest.mark.parametrize(
    "error", [AuthenticationError("no", status=401), ClientClosedError()], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("entered", [True, False])
async def test_failures_that_will_not_pass_end_the_iteration(error: EnapterError, entered: bool) -> None:
    async def fetch(device: str) -> Answer:
        raise error

    watch = Watched(fetch).watch
    async with watch if entered else nullcontext():
        with pytest.raises(type(error)) as caught:
            await anext(watch)
    assert caught.value is error
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


@pytest.mark.parametrize("kind", ["datapoints", "batches", "tuples"])
async def test_every_task_that_shares_a_watch_gets_the_error_that_ends_it(kind: str) -> None:
    async def fetch(device: str) -> Answer:
        await anyio.sleep(0.1)
        raise AuthenticationError("no", status=401)

    ended: list[str] = []

    async def read() -> None:
        items = {"datapoints": aiter, "batches": Watch.batches, "tuples": Watch.tuples}[kind](watch)  # type: ignore[operator]
        with pytest.raises(AuthenticationError):
            async for _ in items:
                pass
        ended.append(kind)

    async with Watched(fetch).watch as watch, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
    assert ended == [kind] * 3


async def test_a_warning_is_told_once() -> None:
    async def fetch(device: str) -> Answer:
        text = "no recent value" if clock() < NOON + 1010 else "not found"
        return {device: {"power": point(clock() // 1), "flow": LatestPoint(warning=text)}}

    watched = Watched(fetch)
    found = await watched.collect(20)
    assert seconds_of(found, "flow") == []
    assert watched.events == [
        ValueMissing(device="d1", attribute="flow", warning="no recent value"),
        ValueMissing(device="d1", attribute="flow", warning="not found"),
    ]


@pytest.mark.parametrize(
    ("warning", "not_found"),
    [
        ("Device is not found.", True),
        ("Telemetry attribute is not found.", True),
        ("no such attribute", True),
        ("Unknown device", True),
        ("attribute does not exist", True),
        ("Telemetry attribute has no recent value.", False),
        ("Telemetry attribute is not readable with this role.", False),
        ("device is offline", False),
    ],
)
async def test_what_does_not_exist_is_told_from_what_has_no_value_now(warning: str, not_found: bool) -> None:
    async def fetch(device: str) -> Answer:
        return {device: {"power": point(clock() // 1), "flow": LatestPoint(warning=warning)}}

    watched = Watched(fetch)
    assert len(await watched.collect(3)) == 3, "the others go on"
    assert [event.not_found for event in watched.events if isinstance(event, ValueMissing)] == [not_found]
    if not_found:
        with pytest.raises(TelemetryNotFoundError, match=f"d1 flow: {warning}") as caught:
            await Watched(fetch, raise_missing=True).collect(3)
        assert (caught.value.device, caught.value.attribute, caught.value.warning) == ("d1", "flow", warning)
    else:
        assert len(await Watched(fetch, raise_missing=True).collect(3)) == 3


async def test_what_came_with_it_is_given_before_a_watch_ends_over_what_is_missing() -> None:
    async def fetch(device: str) -> Answer:
        return {device: {"flow": LatestPoint(warning="not found"), "power": point(clock() // 1)}}

    watch = Watched(fetch, raise_missing=True).watch
    async with watch as live:
        assert (await anext(live)).attribute == "power"
        with pytest.raises(TelemetryNotFoundError):
            await anext(live)
        with pytest.raises(StopAsyncIteration):
            await anext(live)


async def test_what_an_answer_leaves_out_is_reported_as_not_found() -> None:
    async def fetch(_: str) -> Answer:
        return {"d 1": {"power": point(clock() // 1)}}

    watched = Watched(fetch, "devices[d%201]=power,flow&devices[d2]=power&relevance_interval=5s")
    assert len(await watched.collect(3)) == 3
    missing = [event for event in watched.events if isinstance(event, ValueMissing)]
    assert [(event.device, event.attribute, event.not_found) for event in missing] == [
        ("d 1", "flow", True),
        ("d2", "power", True),
    ]


async def test_a_server_that_names_devices_in_its_own_way_leaves_nothing_out() -> None:
    async def fetch(_: str) -> Answer:
        return {"id-of-d1": {"power": point(clock() // 1)}}

    watched = Watched(fetch, "devices[d1]=power")
    assert len(await watched.collect(3)) == 3
    assert watched.events == []


async def test_a_value_that_is_null_at_a_known_time_is_a_datapoint() -> None:
    async def fetch(device: str) -> Answer:
        return {device: {"power": point(NOON, None)}}

    assert await Watched(fetch).collect(3) == [Datapoint("d1", "power", at(NOON), None)]


async def test_answers_that_overtake_each_other_give_each_datapoint_once() -> None:
    # Every third request is answered late, with what the server knew when it was asked.
    calls = 0

    async def fetch(device: str) -> Answer:
        nonlocal calls
        calls += 1
        late = calls % 3 == 0
        second = clock() // 1
        await anyio.sleep(1.7 if late else 0.1)
        return {device: {"power": point(second)}}

    found = await Watched(fetch).collect(60)
    assert len(found) == len(set(found)) >= 58
    assert is_complete(sorted(seconds_of(found))[:-2])  # the last ones were still under way


async def test_a_very_late_answer_never_brings_a_datapoint_twice() -> None:
    calls = 0

    async def fetch(device: str) -> Answer:
        nonlocal calls
        calls += 1
        late = calls == 2
        second = clock() // 1 if calls > 2 else NOON
        await anyio.sleep(20 if late else 0.1)
        return {device: {"power": point(second)}}

    found = await Watched(fetch).collect(40)
    assert len(found) == len(set(found))


async def test_a_device_whose_clock_was_set_back_is_still_heard() -> None:
    async def fetch(device: str) -> Answer:
        second = clock() // 1
        return {device: {"power": point(second if second < NOON + 1005 else second - 3600)}}

    assert len(await Watched(fetch).collect(20)) == 20


async def test_while_requests_wait_for_their_turn_no_more_are_made() -> None:
    async def fetch(device: str) -> Answer:
        await anyio.sleep(2.5)
        return await plant()(device)

    watched = Watched(fetch, congested=lambda: True)
    await watched.collect(30)
    assert watched.watch.statistics.requests == 10
    assert watched.watch.statistics.skipped_requests == watched.kinds["TickMissed"] == 20


async def test_where_not_all_get_their_turn_nobody_starves() -> None:
    # One request at a time, each 0.4 s: two of five devices a second.
    gate = asyncio.Semaphore(1)
    waiting = 0

    async def fetch(device: str) -> Answer:
        nonlocal waiting
        waiting += 1
        try:
            async with asyncio.timeout(1.1), gate:
                await anyio.sleep(0.4)
                return await plant()(device)
        except TimeoutError:
            raise ConnectionLostError("too late", phase="headers") from None
        finally:
            waiting -= 1

    watched = Watched(fetch, "d1", "d2", "d3", "d4", "d5", congested=lambda: waiting > 1)
    found = await watched.collect(60)
    shares = Counter(one.device for one in found if one.attribute == "power")
    assert len(shares) == 5
    assert max(shares.values()) <= 2 * min(shares.values())


async def test_tuples_are_the_same_datapoints_as_batches() -> None:
    found: list[list[Datapoint]] = []
    async with Watched(plant(), "d1", "d2").watch as live:
        batches, tuples = live.batches(), live.tuples()
        for _ in range(4):
            found.append(await anext(batches))
            found.append([Datapoint(*values) for values in await anext(tuples)])
    assert [len(batch) for batch in found] == [2] * 8
    assert len({datapoint for batch in found for datapoint in batch}) == 16


async def test_a_slow_consumer_misses_ticks_visibly_and_gets_all_that_came() -> None:
    watched = Watched(plant())
    found: list[Datapoint] = []
    async with watched.watch as live:
        async for batch in live.batches():
            found += batch
            await anyio.sleep(3.2)
            if len(found) >= 20:
                break
    assert len(found) == len(set(found)) == 20
    assert [event.count for event in watched.events if isinstance(event, TickMissed)] == [2, 2, 2, 2, 3, 2, 2, 2, 2]
    assert watched.watch.statistics.missed_ticks == 19


async def test_without_a_block_a_break_leaves_nothing_running() -> None:
    watched = Watched(plant(0.3), "d1", "d2", "d3")
    before = asyncio.all_tasks()
    async for _ in watched.watch:
        break
    assert asyncio.all_tasks() == before
    assert len([await anext(watched.watch) for _ in range(20)]) == 20


async def test_leaving_the_block_ends_what_is_under_way() -> None:
    ended = 0

    async def fetch(device: str) -> Answer:
        nonlocal ended
        try:
            await anyio.sleep_forever()
        finally:
            ended += 1
        raise AssertionError

    before = asyncio.all_tasks()
    with anyio.move_on_after(1.9):
        async with Watched(fetch, "d1", "d2").watch as live:
            await anext(live)
    assert ended == 4
    assert asyncio.all_tasks() == before


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    async def fails() -> None:
        async with Watched(plant()).watch as live:
            await anext(live)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()


async def test_finish_gives_what_is_under_way_and_then_ends() -> None:
    watched = Watched(plant(2.4))
    found: list[Datapoint] = []
    async with watched.watch as live:
        async for batch in live.batches():
            found += batch
            if len(found) == 10:
                live.finish()
    # Ticks at 0, 1, 2, ...: when the fifth answer comes two more are under way.
    assert len(found) == 14
    assert watched.watch.statistics.requests == 7


async def test_a_callback_that_raises_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    def raises(event: WatchEvent) -> None:
        raise ValueError

    async def fetch(device: str) -> Answer:
        return {device: {"power": point(clock() // 1), "flow": LatestPoint(warning="none")}}

    watch = Watch(["d1"], fetch, interval=1, on_event=raises, clock=clock)
    assert (await anext(watch)).attribute == "power"
    assert "on_event raised on ValueMissing" in caplog.text


async def test_without_a_callback_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fetch(device: str) -> Answer:
        return {device: {"power": point(clock() // 1), "flow": LatestPoint(warning="no recent value")}}

    await anext(Watch(["d1"], fetch, interval=1, clock=clock))
    assert "ValueMissing: d1 flow: no recent value" in caplog.text


@pytest.mark.parametrize("entered", [True, False])
async def test_workers_that_share_a_watch_share_its_datapoints(entered: bool) -> None:
    devices = [f"d{number}" for number in range(8)]
    watched = Watched(plant(0.1), *devices)
    found: list[Datapoint] = []

    async def work() -> None:
        async for datapoint in watched.watch:
            found.append(datapoint)
            await anyio.sleep(0.15)

    with anyio.move_on_after(10):
        async with watched.watch if entered else nullcontext(), anyio.create_task_group() as workers:
            for _ in range(5):
                workers.start_soon(work)
    assert len(found) == len(set(found)) >= 16 * 9
    for device in devices:
        assert is_complete(seconds_of([one for one in found if one.device == device]))
    assert watched.events == []


async def test_leaving_the_block_ends_the_iteration_of_other_tasks_too() -> None:
    watched = Watched(plant(), interval=10)
    found: list[Datapoint] = []

    async def work() -> None:
        found.extend([datapoint async for datapoint in watched.watch])

    async with watched.watch:
        workers = [asyncio.create_task(work()) for _ in range(2)]
        await anyio.sleep(15)
    began = clock()
    await asyncio.gather(*workers)
    assert clock() == began
    assert len(found) == 4
