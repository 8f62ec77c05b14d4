"""Gaps to look up again, because devices may upload stored values some time after they reconnect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final

import attrs

from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector._times import SECOND
from enapter_async.collector.gaps import POLLS_MISSED, Gap, merge_gaps

_HANDED_IN: Final = 60 * SECOND
"""Microseconds within which a reconnected device uploads the first stored value, and each further one."""


class LateHistory:
    """Schedules further look-ups: one a minute after the end of each gap, and more while they find new rows.

    Nothing is scheduled for polls that the collector itself missed, since the devices were online.
    """

    def __init__(self) -> None:
        self._scheduled: list[tuple[int, Gap]] = []
        self._recorded: defaultdict[str | None, list[Gap]] = defaultdict(list)
        """Gaps that were recorded again and not yet looked up, by device."""

    def schedule(
        self, job: RepairJob, answered: AbstractSet[str], found: Mapping[tuple[str, str], int], now: int
    ) -> set[str]:
        """Schedule the gaps of a job whose history may not be complete yet, and return their devices.

        Args:
            job: A job that was done.
            answered: Its devices whose history could be read. The gaps of others are still in the journal.
            found: Time of the first missing row by device and attribute, in microseconds since 1970.
            now: Current time, in microseconds since 1970.
        """
        unsettled: set[str] = set()
        first_found: dict[str, int] = {}
        for (device, _), time in found.items():
            first_found[device] = min(time, first_found.get(device, time))
        for gap in job.gaps:
            part = attrs.evolve(gap, id=None, start=max(gap.start, job.start), before=min(gap.before, job.before))
            devices = answered if gap.device_id is None else answered & {gap.device_id}
            if part.start >= part.before or gap.reason == POLLS_MISSED or not devices:
                continue
            repeated, new = self._take_recorded(part)
            first = min((first_found[device] for device in devices if device in first_found), default=inf)
            # Later rows are those of another gap that was read in the same job.
            pending = [(now + _HANDED_IN, piece) for piece in repeated if first < piece.before]
            if now < gap.before + _HANDED_IN:
                pending += [(min(gap.before, now) + _HANDED_IN, piece) for piece in new]
            if pending:
                self._scheduled += pending
                unsettled.update(devices)
        return unsettled

    def list_due(self, now: int) -> list[Gap]:
        """Return the gaps to record again."""
        return merge_gaps([gap for due, gap in self._scheduled if due <= now])

    def mark_recorded(self, gaps: Collection[Gap], now: int) -> None:
        """Forget the gaps that `list_due` returned for the same time, because the journal has them."""
        self._scheduled = [(due, gap) for due, gap in self._scheduled if due > now]
        for gap in gaps:
            self._recorded[gap.device_id].append(gap)

    def find_wait(self, now: int) -> float:
        """Return the seconds until the next gap is due."""
        return max(0.0, (min((due for due, _ in self._scheduled), default=inf) - now) / SECOND)

    def _take_recorded(self, part: Gap) -> tuple[list[Gap], list[Gap]]:
        """Return the pieces of a part of a gap that were recorded again, and the others. Forget the former."""
        repeated: list[Gap] = []
        new = [part]
        left: list[Gap] = []
        for gap in self._recorded.pop(part.device_id, []):
            start, before = max(gap.start, part.start), min(gap.before, part.before)
            if start < before:
                repeated.append(attrs.evolve(gap, start=start, before=before))
            left += gap.without(part.start, part.before)
            new = [piece for one in new for piece in one.without(gap.start, gap.before)]
        if left:
            self._recorded[part.device_id] = left
        return repeated, new
