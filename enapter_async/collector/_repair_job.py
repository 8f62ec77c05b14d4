"""Gaps that are filled together, and the rows that are missing in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import attrs

from enapter_async.collector.gaps import Gap
from enapter_async.collector.store import RowKey
from enapter_async.rows.batches import RowBlock

_NEAR: Final = 60
"""Steps between two gaps that are read as one: a request costs more than a few rows too many."""


@attrs.frozen
class RepairJob:
    """Gaps that are filled together, as far as they reach into a span.

    Attributes:
        start: First moment of the span, in microseconds since 1970.
        before: First moment after it, in the same unit.
        step: Microseconds between two rows.
        gaps: The gaps.
        spans: First moment and first moment after the gap, by device.
    """

    start: int
    before: int
    step: int
    gaps: tuple[Gap, ...]
    spans: dict[str, tuple[int, int]]
    _there: dict[tuple[str, str], bytearray] = attrs.field(factory=dict[tuple[str, str], bytearray], init=False)
    """By attribute, a 1 for each step of which the store had a row when the job began."""

    @property
    def stored_attributes(self) -> Collection[tuple[str, str]]:
        """Device and attribute of the rows that the store had when the job began."""
        return self._there.keys()

    def add_rows(self, keys: Iterable[RowKey]) -> None:
        """Take note of rows that the store has within the span."""
        for device, attribute, time in keys:
            there = self._there.get((device, attribute))
            if there is None:
                there = self._there[device, attribute] = bytearray((self.before - self.start) // self.step)
            there[(time - self.start) // self.step] = 1

    def select_missing(self, block: RowBlock) -> RowBlock:
        """Return the rows that lie in the gap of their device, and of whose step the store had none."""
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
    """Take the oldest gap, and those that lie near it.

    Args:
        gaps: The gaps, oldest first.
        devices: Whom gaps of all devices concern.
        over: First moment that has no history yet, in microseconds since 1970.
        step: Microseconds between two rows.
        longest: Length of a job in microseconds.
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
