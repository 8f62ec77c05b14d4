"""Gaps to fill together, and their missing rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Final

import attrs

from enapter_async.collector.gaps import Gap
from enapter_async.collector.store import RowKey
from enapter_async.rows.batches import RowBlock

_NEAR: Final = 60
"""Number of steps up to which two gaps are read as one, since a request costs more than a few extra rows."""


class StoredSteps:
    """The steps within a time range for which the store had rows."""

    def __init__(self, start: int, before: int, step: int) -> None:
        """Prepare for the rows of a time range, in microseconds since 1970."""
        self._start = start
        self._before = before
        self._step = step
        self._steps: defaultdict[str, dict[str, bytearray]] = defaultdict(dict)

    def add(self, keys: Iterable[RowKey]) -> None:
        """Record rows within the time range."""
        for device, attribute, time in keys:
            attributes = self._steps[device]
            steps = attributes.get(attribute)
            if steps is None:
                steps = attributes[attribute] = bytearray((self._before - self._start) // self._step)
            steps[(time - self._start) // self._step] = 1

    def find(self, device: str, attribute: str) -> bytearray | None:
        """Return a 1 for each step with a row of an attribute, or None if it has no row."""
        return self._steps[device].get(attribute) if device in self._steps else None

    def has_rows(self, device: str, attribute: str | None, start: int | None = None, before: int | None = None) -> bool:
        """Whether a device had rows of an attribute, or of any, in the whole time range or a part of it."""
        first = 0 if start is None else max(0, (start - self._start) // self._step)
        last = None if before is None else max(0, (before - self._start) // self._step)
        if attribute is not None:
            steps = self.find(device, attribute)
            return steps is not None and 1 in steps[first:last]
        return any(1 in steps[first:last] for steps in self._steps.get(device, {}).values())


def _make_stored_steps(job: RepairJob) -> StoredSteps:
    return StoredSteps(job.start, job.before, job.step)


@attrs.frozen
class RepairJob:
    """Gaps to fill together, within a time range.

    Attributes:
        start: Start of the time range, in microseconds since 1970.
        before: End of the time range (exclusive), in the same unit.
        step: Microseconds between two rows.
        gaps: The gaps.
        spans: Start and end (exclusive) of the gap, by device.
        stored: Rows that the store had when the job began.
    """

    start: int
    before: int
    step: int
    gaps: tuple[Gap, ...]
    spans: dict[str, tuple[int, int]]
    stored: StoredSteps = attrs.field(init=False, default=attrs.Factory(_make_stored_steps, takes_self=True))

    def select_missing(self, block: RowBlock) -> RowBlock:
        """Return the rows within the gap of their device for which the store has no row in the same step."""
        if not block.times:
            return block
        first, last = block.times[0], block.times[-1]

        def find_filter(device: str, attribute: str) -> Callable[[int], bool] | None:
            start, before = self.spans.get(device, (0, 0))
            stored = self.stored.find(device, attribute)
            if stored is not None:
                return lambda time: start <= time < before and not stored[(time - self.start) // self.step]
            return None if start <= first and last < before else lambda time: start <= time < before

        return block.select(find_filter)


def plan_job(
    gaps: Sequence[Gap],
    devices: Collection[str],
    *,
    over: int,
    step: int,
    longest: int,
    find_begin: Callable[[Gap], int] = attrgetter("start"),
) -> RepairJob:
    """Select the oldest gap and the gaps near it.

    Args:
        gaps: The gaps, oldest first.
        devices: Devices to which gaps of all devices apply.
        over: Time from which there is no history yet, in microseconds since 1970.
        step: Microseconds between two rows.
        longest: Maximum length of a job, in microseconds.
        find_begin: Returns where to begin in a gap, normally at its start.
    """
    begins = sorted(((find_begin(gap), gap) for gap in gaps), key=itemgetter(0))
    start = begins[0][0] // step * step
    most = start + longest
    reached = start
    taken: list[tuple[int, Gap]] = []
    for begin, gap in begins:
        if begin >= most or (taken and begin > reached + _NEAR * step):
            break
        taken.append((begin, gap))
        reached = max(reached, gap.before)
    before = min(-(-min(reached, most) // step) * step, over)
    spans: dict[str, tuple[int, int]] = {}
    for begin, gap in taken:
        first, end = max(begin // step * step, start), min(-(-gap.before // step) * step, before)
        for device in devices if gap.device_id is None else (gap.device_id,):
            known = spans.get(device)
            spans[device] = (first, end) if known is None else (min(first, known[0]), max(end, known[1]))
    spans = {device: span for device, span in spans.items() if span[0] < span[1]}
    return RepairJob(start, before, step, tuple(gap for _, gap in taken), spans)
