"""Compute the CSV cells of time series, for buckets of any length, from minutes rather than from samples.

Every result equals what one would get from the single samples (`Track.level`) of the bucket; tests hold them
against each other. Buckets begin at multiples of the granularity since 1970.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import attrs

from .cells import writer
from .signals import MINUTES, Signal, minute_levels
from .tracks import DAY, Span, Track, merged

_LONGEST_GAP = 7_200

DEFAULTS = {"float": "avg", "integer": "last", "boolean": "bool_or", "string": "last", "string_array": "last"}
"""What `auto` picks by data type."""

_ALLOWED = {
    "float": ("avg", "min", "max", "last"),
    "integer": ("avg", "min", "max", "last"),
    "boolean": ("bool_or", "last"),
    "string": ("last",),
    "string_array": ("last",),
}


def supports(data_type: str, aggregation: str) -> bool:
    """Return whether an aggregation supports a data type."""
    return aggregation == "auto" or aggregation in _ALLOWED[data_type]


@attrs.frozen
class Reduction:
    """How the samples of a bucket become one level, the device's own offset apart.

    Attributes:
        profile: The signal.
        aggregation: avg, min, max, last or bool_or.
        scale: Factor of the levels.
    """

    profile: Signal
    aggregation: str
    scale: int

    def samples(self, levels: Sequence[int]) -> int:
        """Aggregate the levels of samples, of which there must be one."""
        if self.aggregation == "avg":
            return self._mean(sum(levels), len(levels))
        return self._pick(levels)

    def minutes(self, levels: Sequence[int]) -> int:
        """Aggregate whole minutes: a sample is its minute's level and its second's ripple."""
        ripple = self.profile.ripple[:: self.profile.period]
        if self.aggregation == "avg":
            total = len(ripple) * sum(levels) + len(levels) * sum(ripple)
            return self._mean(total, len(ripple) * len(levels))
        return self._pick(levels) + self._pick(ripple)

    def _mean(self, total: int, count: int) -> int:
        return (2 * self.scale * total + count) // (2 * count)  # rounds halves up, in whole numbers

    def _pick(self, levels: Sequence[int]) -> int:
        if self.aggregation == "last":
            return levels[-1]
        return min(levels) if self.aggregation == "min" else max(levels)


class Column:
    """One column of a time series.

    Args:
        track: The telemetry.
        granularity: Length of a bucket in seconds.
        aggregation: auto, avg, min, max, last or bool_or.
        look_around: Seconds for which the last known value fills a gap; 0 fills nothing.
        outages: When the device was offline.
    """

    def __init__(
        self,
        track: Track,
        granularity: int,
        aggregation: str,
        look_around: float = 0,
        outages: tuple[Span, ...] = (),
    ) -> None:
        self._track = track
        self._outages = outages
        self.granularity = granularity
        profile = self._profile = track.signal
        aggregation = DEFAULTS[profile.data_type] if aggregation == "auto" else aggregation
        averages_integers = aggregation == "avg" and profile.data_type == "integer"
        self.data_type = "float" if averages_integers else profile.data_type
        # An average of integers has two digits, so levels are scaled by 100.
        scale = self._scale = 100 if averages_integers else 1
        self._reduction = Reduction(profile, aggregation, scale)
        self._ripple = self._reduction.minutes([0])
        self._write = writer(profile, self.data_type, scale)
        self._fill = int(look_around // granularity)
        self._offset = track.offset * scale

    def cells(self, first: int, count: int) -> list[str]:
        """Return the cells of buckets, counted since 1970; an empty one is null."""
        if not self._fill:
            return self._known(first, count)
        before = min(self._fill, _LONGEST_GAP // self.granularity + 1)
        cells = self._known(first - before, before + count)
        if "" in cells:
            carry_forward(cells, self._fill)
        return cells[before:]

    def _known(self, first: int, count: int) -> list[str]:
        granularity = self.granularity
        if granularity % 60 == 0:
            cells = self._of_minutes(first, count)
        elif 60 % granularity == 0:
            cells = self._within_minutes(first, count)
        else:
            buckets = self._buckets(first, count)
            cells = [self._cell(self._reduction.samples, samples) for samples in buckets]
        self._cut_gaps(cells, first)
        return cells

    def _of_minutes(self, first: int, count: int) -> list[str]:
        """Return the cells of buckets of whole minutes."""
        width = self.granularity // 60
        reduction, scale, extra = self._reduction, self._scale, self._offset
        if width == 1:
            levels = self._track.minutes(first, count)
            if scale != 1:
                levels = [scale * level for level in levels]
            extra += self._ripple
        elif self._profile.shape != "counter" and MINUTES % width == 0:
            # Every day of a variant is the same for all devices.
            levels = self._track.days(first, count, MINUTES // width, functools.partial(_day, reduction, width))
        else:
            minutes = self._track.minutes(first * width, count * width)
            levels = _grouped(reduction.minutes, minutes, width)
        return self._write([level + extra for level in levels])

    def _within_minutes(self, first: int, count: int) -> list[str]:
        """Return the cells of buckets of which a minute has several."""
        profile, scale = self._profile, self._scale
        parts = 60 // self.granularity
        begin, end = first // parts, -(-(first + count) // parts)
        minutes = self._track.minutes(begin, end - begin)
        if scale != 1:
            minutes = [scale * level for level in minutes]
        cells = [""] * (parts * len(minutes))
        for part in range(parts):
            seconds = range(part * self.granularity, (part + 1) * self.granularity)
            ripple = [profile.ripple[second] for second in seconds if second % profile.period == 0]
            if ripple:
                extra = self._reduction.samples(ripple) + self._offset
                cells[part::parts] = self._write([level + extra for level in minutes])
        skip = first - begin * parts
        return cells[skip : skip + count]

    def _buckets(self, first: int, count: int) -> Iterable[list[int]]:
        """Return the levels of the samples of each bucket, without the offset."""
        step, period = self.granularity, self._profile.period
        begin, end = first * step // 60, -(-(first + count) * step // 60)
        ripple = self._profile.ripple[::period]
        levels = [level + r for level in self._track.minutes(begin, end - begin) for r in ripple]
        origin = begin * 60 // period
        edges = [-(-bucket * step // period) - origin for bucket in range(first, first + count + 1)]
        return [levels[edges[place] : edges[place + 1]] for place in range(count)]

    def _cut_gaps(self, cells: list[str], first: int) -> None:
        """Take the samples of gaps out: whole buckets at once, of those at their ends a part."""
        step, last = self.granularity, first + len(cells)
        parted: set[int] = set()  # a long bucket has many gaps, and is made but once
        for begin, stop in self._gaps(first * step, last * step):
            low, high = max(-(-begin // step), first), min(stop // step, last)
            if low < high:
                cells[low - first : high - first] = [""] * (high - low)
            parted |= {bucket for bucket in (begin // step, stop // step) if not low <= bucket < high}
        for bucket in parted:
            if first <= bucket < last:
                cells[bucket - first] = self._outside_gaps(bucket)

    def _outside_gaps(self, bucket: int) -> str:
        """Return the cell of a bucket of which gaps take a part."""
        begin, end = bucket * self.granularity, (bucket + 1) * self.granularity
        gaps = self._gaps(begin, end)
        if self.granularity % 60 == 0 and all(edge % 60 == 0 for gap in gaps for edge in gap):
            unit, reduce = 60, self._reduction.minutes
            levels = self._track.minutes(begin // 60, self.granularity // 60)
        else:
            unit, reduce = self._profile.period, self._reduction.samples
            (levels,) = self._buckets(bucket, 1)
        earliest = -(-begin // unit)
        for gap in reversed(gaps):
            low, high = (max(-(-edge // unit) - earliest, 0) for edge in gap)
            del levels[low:high]
        return self._cell(reduce, levels)

    def _gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the spans within some time of which there are no samples: gaps of history, and outages."""
        gaps = self._track.gaps(start, end)
        if not self._outages:
            return gaps
        # Beyond a day, a bucket has too many seconds to check each of them.
        unit = 60 if self.granularity > DAY else 1
        outages = [
            (unit * math.ceil(max(begin, start) / unit), unit * math.ceil(min(stop, end) / unit))
            for begin, stop in self._outages
            if begin < end and stop > start
        ]
        return merged(gaps + outages)

    def _cell(self, reduce: Callable[[Sequence[int]], int], levels: Sequence[int]) -> str:
        return self._write([reduce(levels) + self._offset])[0] if levels else ""


def carry_forward(cells: list[str], reach: int) -> None:
    """Fill empty cells with the last known value, over at most so many buckets (locf)."""
    last, age = "", 0
    for place, cell in enumerate(cells):
        if cell:
            last, age = cell, 0
        else:
            age += 1
            if age <= reach:
                cells[place] = last


@functools.lru_cache(maxsize=1024)
def _day(reduction: Reduction, width: int, variant: int) -> Sequence[int]:
    """Return a day's levels of buckets of so many minutes."""
    return _grouped(reduction.minutes, minute_levels(reduction.profile, variant), width)


def _grouped(reduce: Callable[[Sequence[int]], int], levels: Sequence[int], width: int) -> list[int]:
    return [reduce(levels[place : place + width]) for place in range(0, len(levels), width)]
