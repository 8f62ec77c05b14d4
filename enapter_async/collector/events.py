"""Events that a collector reports while it runs. `str()` returns an event as a human-readable line."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import attrs

from enapter_async._visible import make_visible
from enapter_async.collector.gaps import Gap, NotedGaps


@attrs.frozen(kw_only=True)
class ProblemBegan:
    """A temporary failure began, and the collector keeps trying. Reported once until it ends.

    Attributes:
        subject: The failing part: `telemetry`, `devices`, `store`, `history` or `parquet`.
        error: The error.
    """

    subject: str
    error: Exception

    def __str__(self) -> str:
        return make_visible(f"{self.subject}: {self.error}; trying again")


@attrs.frozen(kw_only=True)
class ProblemEnded:
    """The failing part works again.

    Attributes:
        subject: As in `ProblemBegan`.
        count: Number of failures.
        seconds: Duration in seconds.
    """

    subject: str
    count: int
    seconds: float

    def __str__(self) -> str:
        times = "once" if self.count == 1 else f"{self.count:,} times"
        return f"{self.subject}: works again; failed {times} in {self.seconds:.0f} s"


@attrs.frozen(kw_only=True)
class Skipped:
    """A part of a device cannot be collected. Nothing else is affected. Reported once for each part.

    Attributes:
        device_id: The device.
        attribute: The attribute, or None for the whole device.
        reason: The reason.
        name: Name of the device for display; None if it is unknown.
    """

    device_id: str
    attribute: str | None
    reason: str
    name: str | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        who = self.name or self.device_id
        what = who if self.attribute is None else f"{who} {self.attribute}"
        return make_visible(f"{what} skipped: {self.reason}")


@attrs.frozen(kw_only=True)
class DeviceClockWrong:
    """The times of a device cannot be right. Its values are stored, but gaps in them cannot be found.

    Reported once for each device.

    Attributes:
        device_id: The device.
        time: Time of a value: before 2015, or more than a day ahead.
        name: Name of the device for display; None if it is unknown.
    """

    device_id: str
    time: datetime
    name: str | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        who = self.name or self.device_id
        return make_visible(
            f"{who}: its clock is wrong ({self.time:%Y-%m-%dT%H:%M:%SZ}); values are stored, but gaps cannot be found"
        )


@attrs.frozen(kw_only=True)
class DeviceAdded:
    """A device is collected from now on.

    Attributes:
        device_id: Its ID.
        attributes: Number of attributes.
        name: Name of the device for display; None if it is unknown.
    """

    device_id: str
    attributes: int
    name: str | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        return make_visible(
            f"{self.name or self.device_id}: new, {self.attributes} attribute{'s' * (self.attributes != 1)}"
        )


@attrs.frozen(kw_only=True)
class DeviceRemoved:
    """A device is no longer collected: it was deleted, or the token cannot see it.

    Attributes:
        device_id: Its ID.
        name: Name of the device for display; None if it is unknown.
    """

    device_id: str
    name: str | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        return make_visible(f"{self.name or self.device_id}: gone")


@attrs.frozen(kw_only=True)
class AttributesChanged:
    """The attributes or units in the manifest of a device have changed.

    Attributes:
        device_id: The device.
        added: Attributes that are collected from now on.
        removed: Attributes that are no longer collected.
        units: New units, by attribute.
        name: Name of the device for display; None if it is unknown.
    """

    device_id: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    units: dict[str, str | None] = attrs.field(hash=False)
    name: str | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        changes = [
            *(f"new attribute {name}" for name in self.added),
            *(f"attribute {name} is gone" for name in self.removed),
            *(f"unit of {name} is now {unit or 'none'}" for name, unit in self.units.items()),
        ]
        return make_visible(f"{self.name or self.device_id}: {', '.join(changes)}")


@attrs.frozen(kw_only=True)
class GapsNoted:
    """Telemetry is missing. The gaps are in the journal, or in the file next to the output.

    Attributes:
        gaps: The gaps.
        name: Name of the device for display, if it is one and its name is known.
    """

    gaps: tuple[Gap, ...]
    name: str | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        if len(self.gaps) == 1:
            return make_visible(f"gap recorded: {self.gaps[0].describe(self.name)}")
        noted = NotedGaps()
        noted.add(self.gaps)
        return make_visible(f"gaps recorded: {'; '.join(map(str, noted.kinds))}")


@attrs.frozen(kw_only=True)
class GapsFilled:
    """A time range was read from history, and its rows are committed.

    Attributes:
        devices: Number of devices.
        start: Start of the range, in microseconds since 1970.
        before: End of the range (exclusive).
        rows: Number of rows that were missing.
        without_history: Number of attributes that are collected live and had no value in history.
    """

    devices: int
    start: int
    before: int
    rows: int
    without_history: int = 0

    def __str__(self) -> str:
        seconds, devices, rows, empty = (self.before - self.start) / 1e6, self.devices, self.rows, self.without_history
        return (
            f"checked {seconds:,.0f} s of history for {devices:,} device{'s' * (devices != 1)}, "
            f"added {rows:,} row{'s' * (rows != 1)}"
            + (f"; history had nothing for {empty:,} attribute{'s' * (empty != 1)}" if empty else "")
        )


@attrs.frozen(kw_only=True)
class OutputReopened:
    """The output is another file or folder than before. New rows go to the one that is now at its path.

    Attributes:
        target: Path of the output.
        reason: Fate of the former one: `moved or deleted`, `replaced` or `truncated`.
    """

    target: str
    reason: str

    def __str__(self) -> str:
        then = "are appended" if self.reason == "truncated" else "go to a new output at the same path"
        return make_visible(f"{self.target} was {self.reason}; new rows {then}")


CollectorEvent: TypeAlias = (
    ProblemBegan
    | ProblemEnded
    | Skipped
    | DeviceClockWrong
    | DeviceAdded
    | DeviceRemoved
    | AttributesChanged
    | GapsNoted
    | GapsFilled
    | OutputReopened
)
"""Any event that a collector passes to `on_event`."""
DeviceEvent: TypeAlias = Skipped | DeviceClockWrong | DeviceAdded | DeviceRemoved | AttributesChanged
"""An event of one device."""
WarningEvent: TypeAlias = ProblemBegan | Skipped | DeviceClockWrong | OutputReopened
"""An event that needs attention, and is logged as a warning."""
