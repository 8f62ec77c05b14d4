"""Datapoints and events of live telemetry."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, TypeAlias

import attrs

from enapter_async._visible import make_visible
from enapter_async.errors import EnapterError
from enapter_async.models.common import JSON

_NOT_FOUND: Final = re.compile(r"not (been )?found|no such|unknown|not exist|doesn't exist", re.IGNORECASE)


@attrs.frozen(weakref_slot=False)
class Datapoint:
    """One value of one telemetry attribute at one time.

    Attributes:
        device: ID or slug of the device, as requested.
        attribute: Name of the attribute.
        timestamp: When the device measured it.
        value: Number, boolean, text, list of texts (alerts) or None.
    """

    device: str
    attribute: str
    timestamp: datetime
    value: JSON = attrs.field(hash=False)

    @property
    def number(self) -> float | None:
        """The value if it is a number, otherwise None. Booleans do not count as numbers."""
        return self.value if type(self.value) in (int, float) else None  # type: ignore[return-value]


DatapointTuple: TypeAlias = tuple[str, str, datetime, JSON]
"""Device, attribute, timestamp and value of a datapoint."""


@attrs.frozen(kw_only=True)
class TickMissed:
    """Ticks at which some or all requests were not sent. They are not made up for.

    Attributes:
        due: When the first of them was due.
        count: Number of ticks in a row. More than one means that the event loop or the consumer was busy.
        skipped: Requests not sent at each of these ticks, since earlier ones were still running.
        requests: Number of requests in a complete tick.
        devices: Devices of the requests, as requested. Empty means all.
    """

    due: datetime
    count: int
    skipped: int
    requests: int
    devices: tuple[str, ...] = attrs.field(default=(), repr=False)

    def __str__(self) -> str:
        if self.count > 1 or self.skipped == self.requests:
            return f"{self.count} tick{'s' if self.count > 1 else ''} missed, from {self.due:%H:%M:%S} UTC on"
        return f"tick at {self.due:%H:%M:%S} UTC: {self.skipped} of {self.requests} requests not sent"


@attrs.frozen(kw_only=True)
class PollFailed:
    """A request failed temporarily. The next tick polls again.

    Attributes:
        due: When the tick was due.
        error: Error of the request.
        devices: Devices of the request, as requested. Empty means all.
    """

    due: datetime
    error: EnapterError
    devices: tuple[str, ...] = attrs.field(default=(), repr=False)

    def __str__(self) -> str:
        return str(self.error)


@attrs.frozen(kw_only=True)
class ValueMissing:
    """The server sent a warning for an attribute, usually instead of a value. Reported once until the text changes.

    Attributes:
        device: ID or slug of the device, as requested.
        attribute: Name of the attribute.
        warning: Text of the server.
    """

    device: str
    attribute: str
    warning: str

    @property
    def not_found(self) -> bool:
        """Whether the device or the attribute does not exist, according to the text.

        If False, there is only no value at the moment. The wording of the text is not documented.
        """
        return _NOT_FOUND.search(self.warning) is not None

    def __str__(self) -> str:
        return make_visible(f"{self.device} {self.attribute}: {self.warning}")


@attrs.frozen(kw_only=True)
class PollLate:
    """A response came so late that a value may have been missed. Reported only by a persistent watch.

    Attributes:
        due: When the tick was due.
        seconds: Time from then until the response.
        devices: Devices of the request, as requested. Empty means all.
    """

    due: datetime
    seconds: float
    devices: tuple[str, ...] = attrs.field(default=(), repr=False)

    def __str__(self) -> str:
        return f"tick at {self.due:%H:%M:%S} UTC: answered after {self.seconds:.1f} s"


@attrs.frozen(kw_only=True)
class ValueUnreadable:
    """The value of an attribute is unreadable, or the server refuses to return it.

    Other attributes are not affected. Reported once until the reason changes.

    Attributes:
        device: ID or slug of the device, as requested.
        attribute: Name of the attribute. None means the whole device.
        reason: Reason as text.
    """

    device: str
    attribute: str | None
    reason: str

    def __str__(self) -> str:
        what = self.device if self.attribute is None else f"{self.device} {self.attribute}"
        return make_visible(f"{what}: {self.reason}")


WatchEvent: TypeAlias = TickMissed | PollFailed | PollLate | ValueMissing | ValueUnreadable
"""An event that `telemetry.watch` reports in addition to datapoints."""


@attrs.define(kw_only=True)
class WatchStatistics:
    """Counters of a watch since it began.

    Attributes:
        ticks: Ticks started.
        missed_ticks: Ticks missed in whole or in part.
        requests: Calls started.
        skipped_requests: Calls not started, since earlier ones were still running.
        failures: Calls that failed temporarily.
        datapoints: New datapoints.
        repeats: Datapoints that the server returned again, which were dropped.
        longest_gap: Longest time in seconds between two successful polls of the same attributes. One interval if
            nothing was missed.
    """

    ticks: int = 0
    missed_ticks: int = 0
    requests: int = 0
    skipped_requests: int = 0
    failures: int = 0
    datapoints: int = 0
    repeats: int = 0
    longest_gap: float = 0.0
