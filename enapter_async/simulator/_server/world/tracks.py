"""The telemetry of one attribute of one device, as a pure function of seed, device, attribute and time.

Every minute has a level, every second adds the signal's ripple, and devices differ by the day's variant and by an
offset. This is enough to aggregate millions of samples exactly without creating them.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from .signals import MINUTES, Signal, minute_level, minute_levels

Span = tuple[float, float]
"""Beginning and end in Unix seconds."""

DAY = 86_400
_VARIANTS = 32
_MASK = (1 << 64) - 1
_COUNTERS_SINCE = 1_577_836_800 // 60  # the minute of 2020-01-01


def key(*parts: object) -> int:
    """Hash an identity to 64 bits, the same in every run."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _mix(number: int, salt: int) -> int:
    number = (number ^ salt * 0x9E3779B97F4A7C15) & _MASK
    number = (number ^ number >> 31) * 0xBF58476D1CE4E5B9 & _MASK
    return number ^ number >> 29


class Track:
    """One attribute of one device; `track_of` keeps those in use.

    Args:
        signal: The signal of the attribute.
        seed: The world's seed.
        device_id: The device.
        gaps_until: Until when device and attribute fall silent for some minutes now and then; the beginning of a
            minute, in Unix seconds.
    """

    def __init__(self, signal: Signal, seed: int, device_id: str, gaps_until: float = math.inf) -> None:
        self.signal = signal
        self._gaps_until = gaps_until
        self._key = key(seed, device_id, signal.name)
        self._outage_key = key(seed, device_id)
        self.offset: int = self._key % (signal.spread + 1)

    def latest(self, now: float) -> tuple[Any, int]:
        """Return the newest sample at a time: its value, and its timestamp in Unix seconds."""
        second = int(now // 1)
        second -= second % self.signal.period
        return self.signal.value(self.level(second)), second

    def level(self, second: int) -> int:
        """Return the level of the sample of a second."""
        minute, rest = divmod(second, 60)
        if self.signal.shape == "counter":
            level = (minute - _COUNTERS_SINCE) * self.signal.low
        else:
            day, minute = divmod(minute, MINUTES)
            level = minute_level(self.signal, _mix(self._key, day) % _VARIANTS, minute)
        return level + self.signal.ripple[rest] + self.offset

    def minutes(self, first: int, count: int) -> list[int]:
        """Return the levels of minutes since 1970, without ripple and offset."""
        if self.signal.shape == "counter":
            step = self.signal.low
            start = (first - _COUNTERS_SINCE) * step
            return list(range(start, start + count * step, step))
        return self.days(first, count, MINUTES, functools.partial(minute_levels, self.signal))

    def days(self, first: int, count: int, length: int, day: Callable[[int], Sequence[int]]) -> list[int]:
        """Return levels from days of some length each; what `day` gives depends on the day's variant alone."""
        levels: list[int] = []
        while count > 0:
            number, place = divmod(first, length)
            part = day(_mix(self._key, number) % _VARIANTS)[place : place + count]
            levels += part
            first += len(part)
            count -= len(part)
        return levels

    def gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the spans of whole minutes within some time in which nothing was reported, in order."""
        spans: list[tuple[int, int]] = []
        end = int(min(end, self._gaps_until))
        for day in range(start // DAY, (end - 1) // DAY + 1):
            for salt, odds, longest in ((self._outage_key, 5, 30), (self._key, 4, 15)):
                number = _mix(salt, day + 1)
                if number % odds == 0:
                    begin = day * DAY + (number >> 8) % (MINUTES - 60) * 60
                    stop = begin + (2 + (number >> 24) % longest) * 60
                    if begin < end and stop > start:
                        spans.append((begin, stop))
        return merged([(begin, int(min(stop, self._gaps_until))) for begin, stop in spans])


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, and merge those that touch."""
    result: list[tuple[int, int]] = []
    for begin, stop in sorted(spans):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((begin, stop))
    return result


@functools.lru_cache(maxsize=16_384)
def track_of(signal: Signal, seed: int, device_id: str, gaps_until: float) -> Track:
    """Return the track of one attribute of one device."""
    return Track(signal, seed, device_id, gaps_until)
