"""Gaps to fill together, and their missing rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import attrs

from enapter_async.collector.gaps import Gap
from enapter_async.collector.store import RowKey
from enapter_async.rows.batches import RowBlock

_NEAR: Final = 60
"""Number of steps up to which two gaps are read as one, since a request costs more than a few extra rows."""


@attrs.frozen
class RepairJob:
    """Gaps to fill together, within a time range.

    Attributes:
        start: Start of the time range, in microseconds since 1970.
        before: End of the time range (exclusive), in the same unit.
        step: Microseconds between two rows.
        gaps: The gaps.
        spans: Start and end (exclusive) of the gap, by device.
    """

    start: int
    before: int
    step: int
    gaps: tuple[Gap, ...]
    spans: dict[str, tuple[int, int]]
    _there: dict[tuple[str, str], bytearray] = attrs.field(factory=dict[tuple[str, str], bytearray], init=False)
    """By attribute, a 1 for each step with a row in the store when the job began."""

    @property
    def stored_attributes(self) -> Collection[tuple[str, str]]:
        """Device and attribute of the rows that the store had when the job began."""
        return self._there.keys()

    def add_rows(self, keys: Iterable[RowKey]) -> None:
        """Record the rows that the store has within the time range."""
        for device, attribute, time in keys:
            there = self._there.get((device, attribute))
            if there is None:
                there = self._there[device, attribute] = bytearray((self.before - self.start) // self.step)
            there[(time - self.start) // self.step] = 1

    def select_missing(self, block: RowBlock) -> RowBlock:
        """Return the rows within the gap of their device for which the store has no row in the same step."""
        if not block.times:
            return block
        first, last = block.times[0], block.times[-1]

        def find_filter(device: str, attribute: str) -> Callable[[int], bool] | None:
            start, before = self.spans.get(device, (0, 0))
            there = self._there.get((device, attribute))
            if there is not None:
                return lambda time: start <= time < before and not there[(time - self.start) // self.step]
            return None if start <= first and last < before else lambda time: start <= time < before

        return block.select(find_filter)


def plan_job(gaps: Sequence[Gap], devices: Collection[str], *, over: int, step: int, longest: int) -> RepairJob:
    """Select the oldest gap and the gaps near it.

    Args:
        gaps: The gaps, oldest first.
        devices: Devices to which gaps of all devices apply.
        over: Time from which there is no history yet, in microseconds since 1970.
        step: Microseconds between two rows.
        longest: Maximum length of a job, in microseconds.
    """
    start = gaps[0].start // step * step
    most = start + longest
    reached = start
    taken: list[Gap] = []
    for gap in gaps:
        if gap.start >= most or (taken and gap.start > reached + _NEAR * step):
            break
        taken.append(gap)
        reached = max(reached, gap.before)
    before = min(-(-min(reached, most) // step) * step, over)
    spans: dict[str, tuple[int, int]] = {}
    for gap in taken:
        begin, end = max(gap.start // step * step, start), min(-(-gap.before // step) * step, before)
        for device in devices if gap.device_id is None else (gap.device_id,):
            known = spans.get(device)
            spans[device] = (begin, end) if known is None else (min(begin, known[0]), max(end, known[1]))
    spans = {device: span for device, span in spans.items() if span[0] < span[1]}
    return RepairJob(start, before, step, tuple(taken), spans)
