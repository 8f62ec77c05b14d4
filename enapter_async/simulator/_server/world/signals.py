"""The signal of a telemetry attribute: its data type, range and shape, derived from its declaration.

Any manifest works, including an uploaded one. Nothing here is specific to the catalogue.
Numbers are whole *levels*: a level divided by `10 ** digits` is the value. Whole numbers make every
aggregate exact and cheap.
"""

from __future__ import annotations

import functools
import json
import random
from typing import Any

import attrs

MINUTES = 1440
_FULL = 10_000

# unit: lowest value, highest value, digits after the point
_RANGES: dict[str | None, tuple[float, float, int]] = {
    "W": (0, 20_000, 1),
    "kW": (0, 50, 3),
    "VA": (-5_000, 5_000, 1),
    "V": (215, 245, 2),
    "A": (-40, 40, 2),
    "Hz": (49.8, 50.2, 3),
    "%": (0, 100, 2),
    "°C": (-10, 70, 2),
    "bar": (0, 35, 3),
    "hPa": (960, 1_040, 1),
    "Nl/h": (0, 500, 1),
    "W/m2": (0, 1_000, 1),
    "m/s": (0, 30, 2),
    "kg/s": (0, 0.0009, 7),
    "rpm": (0, 4_000, 0),
    "°": (0, 359, 0),
    "dBm": (-90, -30, 0),
    None: (0, 100, 2),
}
_NOTES = (
    "all quiet",
    "limited, hot",
    'he said "later"',
    "first line\nsecond line",
    "überprüft",
    " padded ",
    "ok",
)
_COUNTER_WORDS = ("total", "energy_", "uptime", "counter")
_DATA_TYPES = {
    "float": "float",
    "integer": "integer",
    "boolean": "boolean",
    "string": "string",
    "array_of_strings": "string_array",
    "alerts": "string_array",
    "json": "string",
    "object": "string",
}
ALERTS = "alerts"
ALERT_DETAILS = "alert_details"
AUTOMATIC: dict[str, dict[str, Any]] = {ALERTS: {"type": "alerts"}, ALERT_DETAILS: {"type": "json"}}
"""Attributes that every device has, declared or not (reference.md, section 13)."""


@attrs.frozen(eq=False)
class Signal:
    """One declared attribute.

    Attributes:
        name: Name of the attribute.
        data_type: Type on the wire: float, integer, string, string_array or boolean.
        low: Lowest level of the daily profile.
        high: Highest level of the daily profile.
        digits: Decimal digits of a level.
        shape: Daily course: wave, sun, steps or counter.
        period: Seconds between two samples, a divisor of 60.
        ripple: Levels added to a minute's level in each of its 60 seconds.
        spread: Levels by which devices differ from each other.
        words: The values of a signal that has no numbers; the level is the index.
        choices: The levels of a numeric signal that has only some.
    """

    name: str
    data_type: str
    low: int
    high: int
    digits: int = 0
    shape: str = "wave"
    period: int = 1
    ripple: tuple[int, ...] = (0,) * 60
    spread: int = 0
    words: tuple[Any, ...] = ()
    choices: tuple[int, ...] = ()

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest level that a sample may have, unless it counts."""
        return self.low + min(self.ripple), self.high + max(self.ripple) + self.spread

    def value(self, level: int) -> Any:
        """Convert a level to its JSON value."""
        if self.words:
            return self.words[level]
        return round(level / 10**self.digits, self.digits) if self.data_type == "float" else level


def signal(name: str, declaration: dict[str, Any], alerts: tuple[str, ...] = ()) -> Signal:
    """Derive the signal of an attribute.

    Args:
        name: The attribute's name. It determines the shape and the period.
        declaration: Its entry in the manifest.
        alerts: Names of the alerts that the manifest declares.
    """
    chance = random.Random(f"signal/{name}")  # noqa: S311 - a plant, not a secret
    kind = str(declaration.get("type"))
    data_type = _DATA_TYPES.get(kind, "string")
    enum: Any = declaration.get("enum") or ()
    choices = tuple(item for item in enum if isinstance(item, int))
    if choices and kind in ("float", "integer"):
        return Signal(name, data_type, low=min(choices), high=max(choices), shape="steps", choices=choices)
    words = _words(kind, enum, alerts)
    if words:
        # Long values that rarely change are reported rarely. Numbers are reported every second.
        period = chance.choice((5, 10)) if kind in ("json", "object", "array_of_strings") else 1
        return Signal(
            name=name, data_type=data_type, low=0, high=len(words) - 1, shape="steps", period=period, words=words
        )
    unit = declaration.get("unit")
    bottom, top, digits = _RANGES.get(unit if isinstance(unit, str) else None, _RANGES[None])
    digits = 0 if data_type == "integer" else digits
    scale = 10**digits
    low, high = round(bottom * scale), round(top * scale)
    if any(word in name for word in _COUNTER_WORDS):
        step = 60 if unit == "s" else chance.randint(1, 9)
        ripple = tuple(step * second // 60 for second in range(60))
        return Signal(name, data_type, step, step, digits, "counter", 1, ripple, spread=100_000)
    shape = "sun" if "solar" in name or "irradiance" in name else "wave"
    amplitude = max(0, (high - low) // (1_000 if shape == "sun" else 40))
    return Signal(
        name=name,
        data_type=data_type,
        low=low,
        high=high - 2 * amplitude,
        digits=digits,
        shape=shape,
        ripple=tuple(chance.randint(0, amplitude) for _ in range(60)),
        spread=amplitude,
    )


def _words(kind: str, enum: Any, alerts: tuple[str, ...]) -> tuple[Any, ...]:
    if kind in ("float", "integer"):
        return ()
    if kind == "alerts":
        sets = [[], [], [], [], [], *([name] for name in alerts)]
        return tuple([*sets, sorted(alerts[:2])] if len(alerts) > 1 else sets)
    if kind == "array_of_strings":
        return ([], ["a"], ["a", "b"], ["a", "b, c", 'd "e"'])
    if kind == "boolean":
        return (False, True)
    if kind in ("json", "object"):
        return tuple(json.dumps({"errors": count, "note": "x, y"}) for count in range(4))
    return tuple(str(item) for item in enum) or _NOTES


@functools.lru_cache(maxsize=256)
def _course(shape: str, variant: int) -> tuple[int, ...]:
    """One day, a number from 0 to 10,000 for each minute."""
    chance = random.Random(f"course/{shape}/{variant}")  # noqa: S311
    if shape == "steps":
        course: list[int] = []
        while len(course) < MINUTES:
            course += [chance.randrange(_FULL)] * chance.randint(3, 90)
        return tuple(course[:MINUTES])
    if shape == "sun":
        dawn, dusk = chance.randint(330, 420), chance.randint(1_080, 1_200)
        course = [0] * MINUTES
        for minute in range(dawn, dusk):
            height = (minute - dawn) / (dusk - dawn)
            clouds = 1 - 0.3 * chance.random() * (variant % 4) / 3
            course[minute] = round(_FULL * 4 * height * (1 - height) * clouds)
        return tuple(course)
    level = chance.randrange(_FULL)
    course = []
    target, reach = level, 0
    for minute in range(MINUTES):
        if minute >= reach:
            target, reach = chance.randrange(_FULL), minute + chance.randint(20, 200)
        level += (target - level) // 12 + chance.randint(-60, 60)
        level = min(max(level, 0), _FULL)
        course.append(level)
    return tuple(course)


@functools.lru_cache(maxsize=512)
def minute_levels(profile: Signal, variant: int) -> tuple[int, ...]:
    """Return the level of each minute of a day before the device's own offset."""
    course = _course(profile.shape, variant)
    if profile.choices:
        return tuple(profile.choices[len(profile.choices) * point // (_FULL + 1)] for point in course)
    low, span = profile.low, profile.high - profile.low + 1
    return tuple(low + span * point // (_FULL + 1) for point in course)


def minute_level(profile: Signal, variant: int, minute: int) -> int:
    """Return one of these levels: for the latest value, which asks for one minute of very many days."""
    point = _course(profile.shape, variant)[minute]
    if profile.choices:
        return profile.choices[len(profile.choices) * point // (_FULL + 1)]
    return profile.low + (profile.high - profile.low + 1) * point // (_FULL + 1)
