"""Preparation of a run: the time of the server, and the gaps since the last run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import anyio

from enapter_async import EnapterClient, LatestPoint, Response
from enapter_async._protocol.failure import http_date, refuses_request
from enapter_async.collector._silence import CHECKED_AGAIN, LONGEST_GAP, STEPS_AFTER
from enapter_async.collector._times import DAY, EARLIEST, SECOND, to_datetime
from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Targets
from enapter_async.collector.store import GapNotingStore, JournaledStore
from enapter_async.errors import APIError, DecodeError, InvalidArgumentError

_CLOCK_TOLERANCE: Final = 5.0
"""Seconds by which the clocks of server and client may differ before the server's is used."""
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""A server with a later time has no valid clock."""
_MOST_ASKED: Final = 3
"""Devices that are asked for the server's time, as long as those before them are refused."""


async def ends_before_stop(work: Callable[[], Awaitable[None]], stop: anyio.Event, end: float | None) -> bool:
    """Run something until it ends, an event is set or the time is over. Return whether it ended.

    Args:
        work: What to run. It is cancelled otherwise.
        stop: The event.
        end: Time of the event loop.
    """
    done = False
    problem: Exception | None = None

    async def watch_for_stop() -> None:
        with anyio.move_on_after(None if end is None else max(0.0, end - anyio.current_time())):
            await stop.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_for_stop)
        try:
            await work()
            done = True
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
            problem = error
        tasks.cancel_scope.cancel()
    if problem is not None:
        raise problem
    return done


async def read_clock_offset(client: EnapterClient, targets: Targets) -> float | None:
    """Return the seconds by which the server's clock is ahead: 0 for a small difference, None if it is unknown.

    With a wrong local clock, gaps would be searched at the wrong time.
    """
    response = await _ask_one_device(client, targets)
    if response is None:
        return None
    date = http_date(response.headers.get("Date") or "")
    if date is None or not to_datetime(EARLIEST) <= date < _LATEST:
        return None
    offset = date.timestamp() + 0.5 - time.time()
    return offset if abs(offset) > _CLOCK_TOLERANCE else 0.0


async def _ask_one_device(client: EnapterClient, targets: Targets) -> Response[dict[str, LatestPoint]] | None:
    for device, units in islice(targets.units.items(), _MOST_ASKED):
        try:
            return await client.raw.telemetry.latest_for_device(device, attributes=[next(iter(units))])
        except (APIError, DecodeError, InvalidArgumentError) as error:
            if isinstance(error, APIError) and not refuses_request(error):
                raise
            # This device was deleted or is faulty; the others are collected all the same.
    return None


async def read_reached(
    store: JournaledStore | GapNotingStore, devices: Collection[str], since: int
) -> Mapping[str, int]:
    """Return the time up to which each device was collected, by its own clock, at most a day after now."""
    # Asked twice, since rows of a device with a clock that is ahead can hide the newest rows of the others.
    newest = await store.read_newest(devices, since + SECOND)
    ahead = await store.read_newest(devices, since + DAY)
    return {**newest, **{device: reached for device, reached in ahead.items() if reached > since}}


def find_start_gaps(
    devices: Iterable[str], newest: Mapping[str, int], since: int, step: int, again: int = CHECKED_AGAIN
) -> list[Gap]:
    """Return the gaps between the newest time of each device in the store and now.

    Args:
        devices: Devices that are collected from now on.
        newest: Newest time of each device in the store, if any.
        since: Current time, in microseconds since 1970.
        step: Microseconds between two rows.
        again: Steps before the newest time that are part of the gap.
    """
    # A clock that is ahead may be set back. Then only the other devices show when the last run ended.
    latest = max((reached for reached in newest.values() if reached <= since), default=None)
    # The first poll reveals what was missed after this.
    before = (since // step + 1) * step
    gaps: list[Gap] = []
    for device in devices:
        reached = newest.get(device, latest)
        if reached is not None and reached > since:
            reached = latest
        if reached is None:
            continue
        last = reached // step * step
        start, end = last - again * step, before
        if end - start > LONGEST_GAP and latest is not None:
            # If others were collected longer, its clock is far behind, or it was silent already.
            end = min(before, last + before - latest // step * step + STEPS_AFTER * step)
            start = max(start, end - LONGEST_GAP)
        gaps.append(Gap(device_id=device, start=start, before=end, reason="no collector was running"))
    return gaps
