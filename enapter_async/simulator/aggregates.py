"""Time series as CSV cells: what buckets of any length hold, computed from minutes rather than from samples.

Every result equals what one would get from the single samples (`Track.level`) of the bucket; tests hold them
against each other. Buckets begin at multiples of the granularity since 1970.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Iterable, Sequence

from .signals import Signal
from .tracks import Track

_LONGEST_GAP = 7_200
_MOST_TEXTS = 65_536

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
    """Tell whether values of a type can be aggregated in a way."""
    return aggregation == "auto" or aggregation in _ALLOWED[data_type]


class Column:
    """One column of a time series.

    Args:
        track: The telemetry.
        granularity: Length of a bucket in seconds.
        aggregation: auto, avg, min, max, last or bool_or.
        look_around: Seconds for which the last known value fills a gap; 0 fills nothing.
    """

    def __init__(self, track: Track, granularity: int, aggregation: str, look_around: float = 0) -> None:
        self._track = track
        self.granularity = granularity
        profile = track.signal
        self._aggregation = DEFAULTS[profile.data_type] if aggregation == "auto" else aggregation
        averages_integers = self._aggregation == "avg" and profile.data_type == "integer"
        self.data_type = "float" if averages_integers else profile.data_type
        # An average of integers gets two digits; levels are scaled by 100 for it.
        self._scale = 100 if averages_integers else 1
        self._text = _texts(profile, self.data_type, 2 if averages_integers else profile.digits)
        self._fill = int(look_around // granularity)
        self._offset = track.offset * self._scale
        self._sampled = profile.ripple[:: profile.period]

    def cells(self, first: int, count: int) -> list[str]:
        """Give the cells of buckets, counted since 1970; an empty one is null."""
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
            cells = self._from_minutes(first, count)
        elif 60 % granularity == 0:
            cells = self._within_minutes(first, count)
        else:
            cells = [self._cell(samples) for samples in self._buckets(first, count)]
        for begin, stop in self._track.gaps(first * granularity, (first + count) * granularity):
            self._cut(cells, first, begin, stop)
        return cells

    def _from_minutes(self, first: int, count: int) -> list[str]:
        text, sampled = self._text, self._sampled
        width = self.granularity // 60
        minutes = self._track.minutes(first * width, count * width)
        if self._aggregation == "last":
            extra = sampled[-1] + self._offset
            return [text[level + extra] for level in minutes[width - 1 :: width]]
        if self._aggregation == "avg":
            size = width * len(sampled)
            # Twice the mean plus one half, in whole numbers: (2 * total + size) // (2 * size).
            per_minute, rest = 2 * self._scale * len(sampled), 2 * self._scale * width * sum(sampled) + size
            totals: Iterable[int] = minutes if width == 1 else _grouped(sum, minutes, width)
            offset, double = self._offset, 2 * size
            return [text[(per_minute * total + rest) // double + offset] for total in totals]
        best: Callable[[Sequence[int]], int] = min if self._aggregation == "min" else max
        extra = best(sampled) + self._offset
        bests = minutes if width == 1 else _grouped(best, minutes, width)
        return [text[level + extra] for level in bests]

    def _within_minutes(self, first: int, count: int) -> list[str]:
        text, step, scale = self._text, self.granularity, self._scale
        parts = 60 // step
        ripples = [self._reduce(part) for part in _parts(self._track.signal, step)]
        begin, end = first // parts, -(-(first + count) // parts)
        minutes = self._track.minutes(begin, end - begin)
        if scale != 1:
            minutes = [scale * level for level in minutes]
        if None in ripples:
            cells = ["" if r is None else text[level + r] for level in minutes for r in ripples]
        else:
            cells = [text[level + r] for level in minutes for r in ripples]  # type: ignore[operator]
        skip = first - begin * parts
        return cells[skip : skip + count]

    def _buckets(self, first: int, count: int) -> Iterable[list[int]]:
        """Give the levels of the samples of each bucket, without the offset."""
        step, period = self.granularity, self._track.signal.period
        begin, end = first * step // 60, -(-(first + count) * step // 60)
        levels = [level + r for level in self._track.minutes(begin, end - begin) for r in self._sampled]
        origin = begin * 60 // period
        edges = [-(-bucket * step // period) - origin for bucket in range(first, first + count + 1)]
        return [levels[edges[place] : edges[place + 1]] for place in range(count)]

    def _cut(self, cells: list[str], first: int, begin: int, stop: int) -> None:
        """Take the samples of a gap out: whole buckets at once, those at its ends sample by sample."""
        step = self.granularity
        low, high = max(-(-begin // step), first), min(stop // step, first + len(cells))
        if low < high:
            cells[low - first : high - first] = [""] * (high - low)
        for bucket in {begin // step, stop // step}:
            if first <= bucket < first + len(cells) and not low <= bucket < high:
                cells[bucket - first] = self._cell(self._outside_gaps(bucket))

    def _outside_gaps(self, bucket: int) -> list[int]:
        step, period = self.granularity, self._track.signal.period
        (samples,) = self._buckets(bucket, 1)
        earliest = -(-bucket * step // period) * period
        gaps = self._track.gaps(bucket * step, (bucket + 1) * step)
        return [
            level
            for place, level in enumerate(samples)
            if not any(begin <= earliest + place * period < stop for begin, stop in gaps)
        ]

    def _cell(self, samples: Sequence[int]) -> str:
        level = self._reduce(samples)
        return "" if level is None else self._text[level]

    def _reduce(self, samples: Sequence[int]) -> int | None:
        """Aggregate samples and add the offset."""
        if not samples:
            return None
        match self._aggregation:
            case "avg":
                size = len(samples)
                level = (2 * self._scale * sum(samples) + size) // (2 * size)
            case "min":
                level = min(samples)
            case "max" | "bool_or":
                level = max(samples)
            case _:
                level = samples[-1]
        return level + self._offset


def carry_forward(cells: list[str], reach: int) -> None:
    """Fill empty cells with the last one that is not, over at most so many buckets (locf)."""
    last, age = "", 0
    for place, cell in enumerate(cells):
        if cell:
            last, age = cell, 0
        else:
            age += 1
            if age <= reach:
                cells[place] = last


def _grouped(reduce: Callable[[Sequence[int]], int], levels: list[int], width: int) -> Iterable[int]:
    return (reduce(levels[place : place + width]) for place in range(0, len(levels), width))


def _parts(profile: Signal, step: int) -> list[tuple[int, ...]]:
    """Cut a minute's ripple into parts, of each the sampled seconds."""
    return [
        tuple(profile.ripple[s] for s in range(start, start + step) if s % profile.period == 0)
        for start in range(0, 60, step)
    ]


class _Texts(dict[int, str]):
    """Cells by level, made when first needed."""

    def __init__(self, profile: Signal, data_type: str, digits: int) -> None:
        super().__init__()
        self._profile = profile
        self._data_type = data_type
        self._digits = digits

    def __missing__(self, level: int) -> str:
        if len(self) >= _MOST_TEXTS:
            self.clear()
        text = self[level] = self._make(level)
        return text

    def _make(self, level: int) -> str:
        if self._data_type == "float":
            return repr(round(level / 10**self._digits, self._digits))
        value = self._profile.value(level)
        if self._data_type == "boolean":
            return "true" if value else "false"
        return quote(json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value))


@functools.lru_cache(maxsize=128)
def _texts(profile: Signal, data_type: str, digits: int) -> _Texts:
    return _Texts(profile, data_type, digits)


def quote(text: str) -> str:
    """Write one CSV cell."""
    buffer = io.StringIO()
    # The writer quotes line breaks only where they are part of its own line end.
    csv.writer(buffer, lineterminator="\r\n").writerow([text])
    return buffer.getvalue().removesuffix("\r\n")
