"""Order of the gaps of a journal: a gap that cannot be read must not keep others from being filled."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from math import inf
from typing import Final, TypeAlias

from enapter_async.collector._repair_job import RepairJob, plan_job
from enapter_async.collector._silence import LONGEST_GAP
from enapter_async.collector.gaps import Gap

GapKey: TypeAlias = tuple[str | None, int]
"""Device and start of a gap. They stay the same while it grows, unlike its `id`."""
_LEAST_STEPS: Final = 30
"""Number of steps to wait for before filling a part of a gap that is not over."""
_REFUSED_SECONDS: Final = 600.0
"""Seconds to wait before retrying a gap whose history was rejected."""


class RepairQueue:
    """Selects the gaps to fill next: the oldest first, but those that may fail or take days after all others."""

    def __init__(self, *, step: int, longest: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Create the queue.

        Args:
            step: Microseconds between two rows.
            longest: Maximum length of a job, in microseconds.
            clock: Seconds, monotonic.
        """
        self._step = step
        self._longest = longest
        self._clock = clock
        self._refused: dict[GapKey, float] = {}
        self._failed: set[GapKey] = set()
        self._begins: dict[GapKey, int] = {}
        """Where to continue in a gap whose earlier parts could not be read."""
        self._strides: dict[GapKey, int] = {}

    def next_job(self, gaps: Sequence[Gap], devices: Collection[str], over: int) -> tuple[RepairJob | None, float]:
        """Return the next job, or None and the seconds until there may be one.

        Args:
            gaps: The journal, oldest gap first.
            devices: Devices that are collected.
            over: Time from which there is no history yet, in microseconds since 1970.
        """
        now = self._clock()
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        suspects = {device for (device, _), until in self._refused.items() if until < inf}
        fillable = {None, *devices}
        possible = [gap for gap in gaps if gap.device_id in fillable and get_key(gap) not in self._refused]
        ranked = [(self._rank(gap, suspects), gap) for gap in possible if self._find_end(gap) <= over]
        if not ranked:
            waits = [(self._find_end(gap) - over) / 1e6 for gap in possible]
            return None, max(0.05, min([*waits, *(until - now for until in self._refused.values())], default=inf))
        first = min(rank for rank, _ in ranked)
        if first[0]:
            self._failed.clear()  # all have failed, so the next round begins
        chosen = [gap for rank, gap in ranked if rank == first]
        return self.plan(chosen, [device for device in devices if device not in suspects], over), 0.0

    def _find_end(self, gap: Gap) -> int:
        """Return the end of the first part to fill.

        Otherwise a gap that ends in hours, because a clock was ahead, would be filled step by step until then.
        """
        return min(-(-gap.before // self._step), self._find_begin(gap) // self._step + _LEAST_STEPS) * self._step

    def _find_begin(self, gap: Gap) -> int:
        begin = self._begins.get(get_key(gap), gap.start)
        return begin if begin < gap.before else gap.start

    def plan(self, gaps: Sequence[Gap], devices: Collection[str], over: int) -> RepairJob:
        """Return a job of the first of some gaps and those near it."""
        return plan_job(gaps, devices, over=over, step=self._step, longest=self._longest, find_begin=self._find_begin)

    def refuse(self, device: str | None, start: int, *, forever: bool = False) -> None:
        """Leave a gap alone for a while. Other gaps of its device are tried after those of all other devices.

        Args:
            device: Its device.
            start: Its start, in microseconds since 1970.
            forever: Do not retry it at all.
        """
        self._refused[device, start] = inf if forever else self._clock() + _REFUSED_SECONDS

    def pass_over(self, gap: Gap, before: int, *, is_readable: bool) -> None:
        """Continue after a part of a gap that was rejected. If it was the last part, leave the gap alone for a while.

        Args:
            gap: The gap.
            before: End of the part.
            is_readable: Whether some attributes could be read. Otherwise parts are left out, each time twice as many,
                since the server may reject all of them. The last part is not left out.
        """
        key = get_key(gap)
        left_out = 0 if is_readable else self._strides.get(key, 0)
        if before < gap.before:
            self._begins[key] = max(before, min(before + left_out * self._longest, gap.before - self._longest))
            self._strides[key] = 2 * left_out + 1
            return
        self._forget(key)
        # Readable attributes of all parts are read again then, so a long gap waits longer: the load stays the same.
        parts = -(-(gap.before - gap.start) // self._longest) if is_readable else 1
        self._refused[key] = self._clock() + _REFUSED_SECONDS * parts

    def put_back(self, job: RepairJob) -> None:
        """Move the gaps of a failed job behind all others, and try their later parts first."""
        for gap in job.gaps:
            key = get_key(gap)
            self._failed.add(key)
            if job.start < job.before < gap.before:
                self._begins[key] = job.before
            else:
                self._forget(key)

    def _forget(self, key: GapKey) -> None:
        self._begins.pop(key, None)
        self._strides.pop(key, None)

    def list_unreadable(self, gaps: Sequence[Gap]) -> Iterator[Gap]:
        """Refuse gaps that no request can contain, and yield them."""
        for gap in gaps:
            if gap.start < 0 and get_key(gap) not in self._refused:
                self.refuse(*get_key(gap), forever=True)
                yield gap

    def _rank(self, gap: Gap, suspects: Collection[str | None]) -> tuple[bool, bool, bool]:
        is_suspect = (gap.device_id is not None and gap.device_id in suspects) or get_key(gap) in self._begins
        return get_key(gap) in self._failed, is_suspect, gap.before - gap.start > LONGEST_GAP


def get_key(gap: Gap) -> GapKey:
    return gap.device_id, gap.start
