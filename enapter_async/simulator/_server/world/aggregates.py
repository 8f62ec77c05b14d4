"""Compute the CSV cells of time series, for buckets of any length, from minutes rather than from samples.

Every result equals what one would get from the single samples (`Track.level`) of the bucket; tests hold them
against each other. Buckets begin at multiples of the granularity since 1970.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import attrs

from .cells import stated_cell, writer
from .signals import MINUTES, Signal, minute_levels
from .stated import Stated
from .tracks import DAY, Span, Track, merged

_LONGEST_GAP = 7_200

DEFAULTS = {"float": "avg", "integer": "last", "boolean": "bool_or", "string": "last", "string_array": "last"}
"""The aggregation that `auto` chooses for each data type."""

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
        """Aggregate the levels of samples, at least one."""
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


@attrs.frozen
class Run:
    """Samples in a row.

    Attributes:
        count: Number of samples.
        least: The lowest value.
        most: The highest value.
        last: The newest value.
        mean: Their mean, if they are numbers.
    """

    count: int
    least: Any
    most: Any
    last: Any
    mean: Any


def merge_runs(runs: Iterable[Run], aggregation: str, steps: int) -> Any:
    """Aggregate runs, in order. Return None if there are no samples.

    Args:
        runs: The runs.
        aggregation: avg, min, max, last or bool_or.
        steps: A mean of different values is rounded to this part of one.
    """
    present = [run for run in runs if run.count]
    if not present:
        return None
    if aggregation == "last":
        return present[-1].last
    least, most = min(run.least for run in present), max(run.most for run in present)
    if aggregation != "avg" or least == most:
        return least if aggregation == "min" else most
    count = sum(run.count for run in present)
    if not all(math.isfinite(run.mean) for run in present):
        return sum(float(run.mean) * run.count for run in present) / count
    mean = sum(Fraction(run.mean) * run.count for run in present) / count
    return math.floor(mean * steps + Fraction(1, 2)) / steps


class Column:
    """One column of a time series.

    Args:
        track: The telemetry.
        granularity: Length of a bucket in seconds.
        aggregation: auto, avg, min, max, last or bool_or.
        look_around: Seconds for which the last known value fills a gap; 0 fills nothing.
        outages: When the device was offline.
        stated: Values that were reported instead of the simulated ones, in order.
    """

    def __init__(
        self,
        track: Track,
        granularity: int,
        aggregation: str,
        look_around: float = 0,
        *,
        outages: tuple[Span, ...] = (),
        stated: tuple[Stated, ...] = (),
    ) -> None:
        self._track = track
        self._outages = outages
        self._stated = stated
        self.granularity = granularity
        profile = self._profile = track.signal
        aggregation = DEFAULTS[profile.data_type] if aggregation == "auto" else aggregation
        averages_integers = aggregation == "avg" and profile.data_type == "integer"
        has_fractions = profile.data_type == "integer" and any(isinstance(span.value, float) for span in stated)
        self.data_type = "float" if averages_integers or has_fractions else profile.data_type
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
        parted = self._put_stated(cells, first) | self._cut_gaps(cells, first)
        for bucket in parted:  # a long bucket has many gaps, and is made but once
            cells[bucket - first] = self._parted(bucket)
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
        """Return the cells of buckets shorter than a minute."""
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

    def _cut_gaps(self, cells: list[str], first: int) -> set[int]:
        """Empty the buckets within gaps. Return the buckets that are partly in gaps."""
        step, last = self.granularity, first + len(cells)
        return _fill(cells, first, step, ((*gap, "") for gap in self._gaps(first * step, last * step)))

    def _put_stated(self, cells: list[str], first: int) -> set[int]:
        """Fill the buckets within spans of a stated value. Return the buckets that are partly in such spans."""
        step, last = self.granularity, first + len(cells)
        spans = self._stated_within(first * step, last * step)
        filled = ((begin, stop, stated_cell(value, self.data_type)) for begin, stop, value in spans)
        return _fill(cells, first, step, filled)

    def _stated_within(self, start: int, end: int) -> list[tuple[int, int, Any]]:
        """Return the spans of stated values that overlap some time: begin, end and value."""
        unit = 60 if self.granularity > DAY else 1
        return [
            (-(-span.begin // unit) * unit, -(-span.end // unit) * unit, span.value)
            for span in self._stated
            if span.begin < end and span.end > start
        ]

    def _parted(self, bucket: int) -> str:
        """Return the cell of a bucket that is partly in gaps or spans of stated values."""
        begin, end = bucket * self.granularity, (bucket + 1) * self.granularity
        stated = self._stated_within(begin, end)
        if not stated:
            return self._outside_gaps(bucket)
        gaps = self._gaps(begin, end)
        runs: list[Run] = []
        place = begin
        for start, stop, value in stated:
            runs += self._simulated_runs(place, start, gaps)
            place = min(stop, end)
            if stated_cell(value, self.data_type):
                seconds = sum(high - low for low, high in outside(max(start, begin), place, gaps))
                runs.append(Run(seconds, value, value, value, value))
        runs += self._simulated_runs(place, end, gaps)
        steps = 10**self._profile.digits * self._scale
        return stated_cell(merge_runs(runs, self._reduction.aggregation, steps), self.data_type)

    def _simulated_runs(self, begin: int, end: int, gaps: list[tuple[int, int]]) -> Iterator[Run]:
        """Summarize the simulated samples of a span: whole minutes at once, and those at its ends."""
        profile, offset = self._profile, self._track.offset
        for low, high in outside(begin, end, gaps):
            edges = sorted({low, min(-(-low // 60) * 60, high), max(high // 60 * 60, low), high})
            for start, stop in itertools.pairwise(edges):
                first, last = start // 60, -(-stop // 60)
                minutes = self._track.minutes(first, last - first)
                # A part of a minute lies in one; of whole minutes, all seconds count.
                seconds = range(start - first * 60, stop - first * 60 if last - first == 1 else 60)
                ripple = [profile.ripple[second] for second in seconds if second % profile.period == 0]
                if not ripple:
                    continue
                mean = Fraction(sum(minutes), len(minutes)) + Fraction(sum(ripple), len(ripple)) + offset
                least, most, newest = (
                    profile.value(pick(minutes) + pick(ripple) + offset) for pick in (min, max, operator.itemgetter(-1))
                )
                yield Run(len(minutes) * len(ripple), least, most, newest, mean / 10**profile.digits)

    def _outside_gaps(self, bucket: int) -> str:
        """Return the cell of a bucket that is partly in gaps."""
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
        """Return the spans without samples within some time: gaps of history, and outages."""
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


def outside(begin: int, end: int, gaps: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a span that no gap covers."""
    for low, high in gaps:
        if begin < min(low, end):
            yield begin, min(low, end)
        begin = max(begin, high)
    if begin < end:
        yield begin, end


def _fill(cells: list[str], first: int, step: int, spans: Iterable[tuple[int, int, str]]) -> set[int]:
    """Set the cells of the buckets within spans. Return the buckets that are partly in a span."""
    last = first + len(cells)
    parted: set[int] = set()
    for begin, stop, cell in spans:
        low, high = max(-(-begin // step), first), min(stop // step, last)
        if low < high:
            cells[low - first : high - first] = [cell] * (high - low)
        parted |= {bucket for bucket in (begin // step, stop // step) if not low <= bucket < high}
    return {bucket for bucket in parted if first <= bucket < last}


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
