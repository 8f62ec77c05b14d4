"""Device logs: what devices write by themselves, a function of time, and what happens to them."""

from __future__ import annotations

import functools
import math
from typing import Any

from ..times import format_time, parse_time
from .entities import Device, LogRecord
from .tracks import key

_KEPT = 86_400
_BEFORE_START = 3_600
_MESSAGES = (
    ("debug", "modbus poll took 12 ms"),
    ("debug", "telemetry sent"),
    ("info", "setpoint reached"),
    ("info", 'operator said: "keep going"\nsecond line'),
    ("info", "self-check passed"),
    ("warning", "grid voltage above limit"),
    ("warning", "fan is slow"),
    ("error", "lost contact with the field bus"),
)


@functools.lru_cache(maxsize=20_000)
def _own_record(device_id: str, seed: int, number: int, interval: float) -> LogRecord:
    chance = key(seed, device_id, "log", number)
    received_at = parse_time(format_time((number + chance % 1000 / 2000) * interval))
    severity, message = _MESSAGES[(chance >> 16) % len(_MESSAGES)]
    return LogRecord(int(received_at), received_at, severity, message, persistent=severity != "debug")


def own_records(device: Device, seed: int, since: float, until: float, interval: float) -> list[LogRecord]:
    """List the records that a device wrote spontaneously in a time range. While it is offline, it writes nothing."""
    numbers = range(int(since // interval) - 1, int(until // interval) + 2)
    records = (_own_record(device.id, seed, number, interval) for number in numbers)
    return [
        record for record in records if since <= record.received_at < until and device.was_online(record.received_at)
    ]


def rule_records(rule_id: str, seed: int, since: float, until: float, interval: float) -> list[dict[str, Any]]:
    """List the frames that a rule logs from one time on and before another."""
    frames: list[dict[str, Any]] = []
    for number in range(math.ceil(since / interval), math.ceil(until / interval)):
        severity, message = _MESSAGES[key(seed, rule_id, number) % len(_MESSAGES)]
        frames.append({"timestamp": int(number * interval), "severity": severity, "message": message})
    return frames


def journal(device: Device, seed: int, started_at: float, now: float, interval: float) -> list[LogRecord]:
    """Return a device's log in order. It begins an hour before the world and is kept for a day."""
    since = max(started_at - _BEFORE_START, now - _KEPT)
    records = own_records(device, seed, since, now, interval)
    records += [record for record in device.logs if since <= record.received_at <= now]
    # The sort is stable, so equal times keep their order, and descending is the exact reverse.
    return sorted(records, key=lambda record: record.received_at)
