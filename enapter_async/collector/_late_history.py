"""Gaps to look up again, because devices may hand in stored values some time after they are back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from math import inf
from typing import Final

import attrs

from enapter_async.collector._repair_job import RepairJob
from enapter_async.collector._times import SECOND
from enapter_async.collector.gaps import POLLS_MISSED, Gap, merge_gaps

_HANDED_IN: Final = 60 * SECOND
"""Microseconds within which a device that is back hands in the first stored value, and each further one."""


class LateHistory:
    """Schedules further look-ups: one a minute after the end of each gap, and others while they bring new rows.

    Nothing is scheduled for polls that the collector itself missed, since the devices were online.
    """

    def __init__(self) -> None:
        self._scheduled: list[tuple[int, Gap]] = []
        self._recorded: defaultdict[str | None, list[Gap]] = defaultdict(list)
        """Gaps that were recorded again and not yet looked up, by device."""

    def schedule(self, job: RepairJob, found: Collection[str], now: int) -> set[str]:
        """Schedule the gaps of a job whose history may not be complete yet, and return their devices.

        Args:
            job: A job that was done.
            found: Devices with missing rows in history.
            now: Current time, in microseconds since 1970.
        """
        unsettled: set[str] = set()
        for gap in job.gaps:
            part = attrs.evolve(gap, id=None, start=max(gap.start, job.start), before=min(gap.before, job.before))
            devices = job.spans.keys() if gap.device_id is None else job.spans.keys() & {gap.device_id}
            if part.start >= part.before or gap.reason == POLLS_MISSED:
                continue
            is_repeated = self._take_recorded(part)
            if now < gap.before + _HANDED_IN:
                due = min(gap.before, now) + _HANDED_IN
            elif is_repeated and not devices.isdisjoint(found):
                due = now + _HANDED_IN
            else:
                continue
            self._scheduled.append((due, part))
            unsettled |= devices
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

    def _take_recorded(self, part: Gap) -> bool:
        """Return whether a part of a gap is looked up again. After its last part, forget the gap."""
        recorded = self._recorded.get(part.device_id, [])
        for gap in recorded:
            if gap.start <= part.start and part.before <= gap.before:
                if part.before == gap.before:
                    recorded.remove(gap)
                return True
        return False
