"""Positions of the ticks of axes, at round values and times."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_SAME: Final = 1e-9
"""Fraction of a value below which an axis cannot show a difference."""
_NOTHING: Final = 1e-200
"""Size below which values and their differences count as zero, since such small floats have lost precision."""
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * number for number in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * number for number in (1, 2, 3, 6, 12)),
    *(_DAY * number for number in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)),
)


def round_seconds(least: float) -> int:
    """Return the shortest round duration of at least this many seconds."""
    return next((step for step in _STEPS if step >= least), math.ceil(least / _DAY) * _DAY)


def value_ticks(low: float, high: float, most: int) -> list[float]:
    """Return equidistant round values, the first not above `low` and the last not below `high`.

    Args:
        low: Lowest value.
        high: Highest value.
        most: Maximum number of distances. Two are always allowed, which values around zero need.
    """
    most = max(most, 2)
    size = max(abs(low), abs(high))
    if high - low <= max(size * _SAME, _NOTHING):
        room = size * 0.01 if size > _NOTHING else 1.0
        low, high = low - room, high + room
    step = _round_up((high - low) / most)
    while math.ceil(high / step) - math.floor(low / step) > most:
        step = _round_up(step * 1.01)
    return [number * step for number in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _round_up(value: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value * (1 - 1e-12))


def value_labels(ticks: list[float]) -> list[str]:
    """Format values with enough digits to distinguish neighbours."""
    step = ticks[1] - ticks[0]
    if max(map(abs, ticks)) >= 1e9 or step < 1e-6:
        return [f"{tick:.6g}" for tick in ticks]
    # 2.5 needs one digit more than 2.
    digits = max(0, -math.floor(math.log10(step)) + (not math.isclose(step, _first_digit(step))))
    return [f"{tick + 0.0:,.{digits}f}" for tick in ticks]


def _first_digit(value: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(value))
    return round(value / power) * power


def time_ticks(start: float, end: float, most: int) -> tuple[list[int], list[str]]:
    """Return round Unix seconds from `start` to `end`, and their labels in UTC."""
    step = round_seconds((end - start) / max(most, 1))
    ticks = [number * step for number in range(math.ceil(start / step), math.floor(end / step) + 1)]
    return ticks, [_time_label(tick, step) for tick in ticks]


def _time_label(tick: int, step: int) -> str:
    moment = datetime.fromtimestamp(tick, UTC)
    if tick % _DAY == 0:
        return moment.strftime("%Y-%m-%d" if step > 100 * _DAY else "%b %d")
    return moment.strftime("%H:%M:%S" if step < _MINUTE else "%H:%M")
