"""Preparation of a run: the time of the server, and the gaps since the last run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from enapter_async import EnapterClient
from enapter_async.collector._silence import LONGEST_GAP
from enapter_async.collector.gaps import Gap
from enapter_async.collector.selection import Targets
from enapter_async.errors import DecodeError, InvalidArgumentError, NotFoundError, PermissionDeniedError

_CLOCK_TOLERANCE: Final = 5.0
"""Seconds by which the clocks of server and client may differ before the server's is used."""


async def read_clock_offset(client: EnapterClient, targets: Targets) -> float | None:
    """Return the seconds by which the server's clock is ahead: 0 for a small difference, None if it is unknown.

    With a wrong local clock, gaps would be searched at the wrong time.
    """
    device, units = next(iter(targets.units.items()))
    try:
        response = await client.raw.telemetry.latest_for_device(device, attributes=[next(iter(units))])
    except (NotFoundError, PermissionDeniedError, DecodeError, InvalidArgumentError):
        return None  # this device was deleted or is faulty; the others are collected all the same
    date = response.headers.get("Date")
    if date is None:
        return None
    try:
        offset = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
    except (ValueError, TypeError):
        return None
    return offset if abs(offset) > _CLOCK_TOLERANCE else 0.0


def find_start_gaps(devices: Iterable[str], newest: Mapping[str, int], since: int, step: int) -> list[Gap]:
    """Return the gaps between the newest time of each device in the store and now.

    Args:
        devices: Devices that are collected from now on.
        newest: Newest time of each device in the store, if any.
        since: Current time, in microseconds since 1970.
        step: Microseconds between two rows.
    """
    latest = max(newest.values(), default=None)
    # The first poll reveals what was missed after this.
    before = (since // step + 1) * step
    gaps: list[Gap] = []
    for device in devices:
        reached = newest.get(device, latest)
        if reached is None or reached > since:
            continue
        # One step earlier, because a kill may have lost only some of the newest datapoints.
        start = max((reached // step - 1) * step, since - LONGEST_GAP)
        if before - start > 2 * step:
            gaps.append(Gap(device_id=device, start=start, before=before, reason="no collector was running"))
    return gaps
