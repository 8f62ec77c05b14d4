"""Gaps: time ranges with missing telemetry, as recorded in the journal of a store.

`_beginning`, `_intake` and `_silence` find them, `_writer` has the store record them, and `_repairer` fills them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import attrs

from enapter_async.rows import format_time

POLLS_MISSED: Final = "polls were missed"
"""Reason of the gaps that the collector itself caused."""
_FAR_BEHIND: Final = 10
"""Factor by which the gaps of a device reach back further than those of most devices, so that it is told apart."""
_MOST_BEHIND: Final = 3


@attrs.frozen(kw_only=True)
class Gap:
    """A time range in which telemetry is or may be missing.

    Attributes:
        device_id: ID of the device; None for all devices.
        start: Start of the gap, in microseconds since 1970-01-01T00:00:00Z.
        before: End of the gap (exclusive), in the same unit.
        reason: Human-readable reason.
        id: Number of the gap in the journal of its store; None if it is not in a journal.
    """

    device_id: str | None
    start: int
    before: int
    reason: str = ""
    id: int | None = None

    @property
    def seconds(self) -> float:
        """Length of the gap."""
        return (self.before - self.start) / 1e6

    def without(self, start: int, before: int) -> list[Gap]:
        """Return the parts of the gap outside a time range, without `id`."""
        spans = ((self.start, min(start, self.before)), (max(before, self.start), self.before))
        return [attrs.evolve(self, start=one, before=other, id=None) for one, other in spans if one < other]

    def until(self, now: int) -> Gap:
        """Return the gap up to now: a part of it may not have come yet."""
        return attrs.evolve(self, before=now) if self.start < now < self.before else self

    def describe(self, name: str | None = None) -> str:
        """Return the gap as text.

        Args:
            name: Name of its device. The default is the ID.
        """
        who = name or ("all devices" if self.device_id is None else self.device_id)
        return f"{who}: {_show_time(self.start)} to {_show_time(self.before)}" + (
            f" ({self.reason})" if self.reason else ""
        )

    def __str__(self) -> str:
        return self.describe()


@attrs.frozen(kw_only=True)
class GapKind:
    """The gaps with one reason.

    Attributes:
        reason: Human-readable reason.
        count: Number of gaps.
        devices: Number of their devices.
        longest: Length of the longest one, in seconds.
        total: Total length, in seconds.
    """

    reason: str
    count: int = 0
    devices: int = 0
    longest: float = 0.0
    total: float = 0.0

    def __str__(self) -> str:
        gaps = f"{self.count:,} gap{'s' * (self.count != 1)}"
        devices = f"{self.devices:,} device{'s' * (self.devices != 1)}"
        span = f"longest {self.longest:,.0f} s, " if self.count > 1 else ""
        return f"{gaps} of {devices}, {span}{self.total:,.0f} s in total" + (f" ({self.reason})" if self.reason else "")


class NotedGaps:
    """Counts gaps that were noted.

    Attributes:
        count: Number of gaps. A gap that lasts is recorded several times while it grows, but counts once.
        span: Start of the first and end of the last one, in microseconds since 1970.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.span: tuple[int, int] | None = None
        self._kinds: dict[str, GapKind] = {}
        self._devices: defaultdict[str, set[str | None]] = defaultdict(set)
        self._latest: dict[str | None, Gap] = {}
        self._first: dict[str | None, int] = {}
        self._spans: tuple[tuple[str | None, int, int], ...] | None = None

    @property
    def kinds(self) -> tuple[GapKind, ...]:
        """The gaps by reason, with the most frequent reason first."""
        return tuple(sorted(self._kinds.values(), key=lambda kind: -kind.count))

    @property
    def spans(self) -> tuple[tuple[str | None, int, int], ...]:
        """Time ranges that contain all gaps: that of all devices (None), and those of a few devices far behind them."""
        if self._spans is None:
            self._spans = self._find_spans()
        return self._spans

    def _find_spans(self) -> tuple[tuple[str | None, int, int], ...]:
        if self.span is None:
            return ()
        _, before = self.span
        starts = sorted(self._first.values())
        limit = before - _FAR_BEHIND * (before - starts[len(starts) // 2])
        behind = {device: start for device, start in self._first.items() if device is not None and start < limit}
        if len(behind) > _MOST_BEHIND:
            behind = {}
        common = min(start for device, start in self._first.items() if device not in behind)
        return ((None, common, before), *((device, start, before) for device, start in behind.items()))

    def add(self, gaps: Sequence[Gap]) -> None:
        """Count gaps, at least one."""
        self._spans = None
        for gap in gaps:
            latest = self._latest.get(gap.device_id)
            grown = gap
            counted = 0.0
            if latest is not None and gap.start <= latest.before:
                start, before = min(gap.start, latest.start), max(gap.before, latest.before)
                grown = attrs.evolve(latest, start=start, before=before)
                counted = latest.seconds
            else:
                self.count += 1
            kind = self._kinds.get(grown.reason) or GapKind(reason=grown.reason)
            self._devices[grown.reason].add(gap.device_id)
            self._kinds[grown.reason] = GapKind(
                reason=grown.reason,
                count=kind.count + (grown is gap),
                devices=len(self._devices[grown.reason]),
                longest=max(kind.longest, grown.seconds),
                total=kind.total + grown.seconds - counted,
            )
            self._latest[gap.device_id] = grown
            self._first[gap.device_id] = min(gap.start, self._first.get(gap.device_id, gap.start))
        start, before = min(gap.start for gap in gaps), max(gap.before for gap in gaps)
        self.span = (start, before) if self.span is None else (min(start, self.span[0]), max(before, self.span[1]))


def merge_gaps(gaps: Sequence[Gap]) -> list[Gap]:
    """Merge gaps of one device that overlap or touch. The first reason is kept, and `id` is dropped."""
    merged: dict[str | None, list[Gap]] = {}
    for gap in sorted(gaps, key=_start):
        there = merged.setdefault(gap.device_id, [])
        if there and gap.start <= there[-1].before:
            there[-1] = attrs.evolve(there[-1], before=max(there[-1].before, gap.before))
        else:
            there.append(attrs.evolve(gap, id=None))
    return [gap for there in merged.values() for gap in there]


def join_gaps(new: Sequence[Gap], known: Sequence[Gap]) -> tuple[list[Gap], list[int]]:
    """Join new gaps with those of a journal that they overlap or touch.

    Args:
        new: Gaps to note.
        known: The journal.

    Returns:
        The gaps to add to the journal, and the `id` of each that they replace.
    """
    by_device: dict[str | None, list[Gap]] = {}
    for gap in new:
        by_device.setdefault(gap.device_id, []).append(gap)
    # Even a gap that the journal has gets a new id: a repair that holds the old one may have read history too early.
    touched = [gap for gap in known if any(_touch(gap, other) for other in by_device.get(gap.device_id, ()))]
    return merge_gaps([*touched, *new]), [gap.id for gap in touched if gap.id is not None]


def _show_time(microseconds: int) -> str:
    try:
        return format_time(microseconds)
    except OverflowError:  # a store is foreign code
        return f"{microseconds:,} µs"


def _touch(one: Gap, other: Gap) -> bool:
    return one.start <= other.before and other.start <= one.before


def _start(gap: Gap) -> int:
    return gap.start
