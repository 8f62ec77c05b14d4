"""Values that a device reports instead of the simulated ones: those that were set, and the alerts that are raised."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import attrs

from .entities import Blueprint, Device
from .signals import ALERT_DETAILS, ALERTS, Signal
from .timeline import BEGINNING, END, Stretch
from .tracks import Span, Track


@attrs.frozen(eq=False)
class Stated:
    """A value that was reported in every second of a span.

    Attributes:
        begin: Unix seconds.
        end: Unix seconds, not included.
        value: The value.
    """

    begin: int
    end: int
    value: Any


SIMULATED: Final = object()
"""Marks a value that was not set."""


def stated_value(device: Device, stretch: Stretch, attribute: str) -> Any:
    """Return the value of an attribute in a stretch, or `SIMULATED`."""
    if attribute in stretch.telemetry:
        return stretch.telemetry[attribute]
    if stretch.alerts is not None:
        if attribute == ALERTS:
            return list(stretch.alerts)
        if attribute == ALERT_DETAILS:
            return describe_alerts(device.blueprint, stretch.alerts)
    return SIMULATED


def describe_alerts(blueprint: Blueprint, names: Iterable[str]) -> str:
    """Return the JSON of `alert_details`. An alert that is not declared is an error (reference.md, Manifest)."""
    declared: dict[str, Any] = blueprint.section("alerts")
    details: dict[str, Any] = {}
    for name in names:
        entry: Any = declared.get(name)
        known = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        details[name] = {
            "display_name": known.get("display_name") or name,
            "severity": known.get("severity") or "error",
        }
    return json.dumps(details, ensure_ascii=False)


@attrs.frozen
class Record:
    """The values of one attribute over time, from which history is computed.

    Attributes:
        track: The simulated values.
        outages: When there was no value.
        stated: Which values were reported instead of the simulated ones.
    """

    track: Track
    outages: tuple[Span, ...]
    stated: tuple[Stated, ...]


def build_record(
    device: Device, stretches: Sequence[Stretch], attribute: str, track: Track | None, seed: int
) -> Record | None:
    """Return the record of an attribute, or None if the device never had it.

    Args:
        device: The device.
        stretches: Its timeline.
        attribute: The attribute.
        track: Its simulated values, if it is declared.
        seed: The world's seed.
    """
    outages = tuple((stretch.begin, stretch.end) for stretch in stretches if not stretch.online)
    spans: list[Stated] = []
    for stretch in stretches:
        value = stated_value(device, stretch, attribute)
        begin, end = math.ceil(stretch.begin), math.ceil(stretch.end)
        if value is not SIMULATED and stretch.online and begin < end:
            spans.append(Stated(begin, end, value))
    stated = tuple(spans)
    if track is not None:
        return Record(track, outages, stated)
    if not stated:
        return None
    # Outside of the spans, an attribute that is not declared has no values.
    edges = [BEGINNING, *(edge for span in stated for edge in (span.begin, span.end)), END]
    silent = tuple((edges[place], edges[place + 1]) for place in range(0, len(edges), 2))
    return Record(Track(_undeclared_signal(attribute, stated), seed, device.id, gaps_until=BEGINNING), silent, stated)


def _undeclared_signal(name: str, spans: Iterable[Stated]) -> Signal:
    """Return the signal of an attribute that is in no manifest. Its values determine the type."""
    kinds: set[Any] = {type(span.value) for span in spans if span.value is not None}
    data_type = "string"
    if kinds and kinds <= {int, float}:
        data_type = "integer" if kinds == {int} else "float"
    elif len(kinds) == 1:
        data_type = {bool: "boolean", list: "string_array"}.get(kinds.pop(), "string")
    return Signal(name, data_type, low=0, high=0, words=() if data_type in ("integer", "float") else ("",))
