"""What live telemetry consists of: datapoints, and what can happen on the way to them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, TypeAlias

import attrs

from enapter_async.errors import EnapterError
from enapter_async.models.common import JSON
from enapter_async.models.visible import make_visible

_NOT_FOUND: Final = re.compile(r"not (been )?found|no such|unknown|not exist|doesn't exist", re.IGNORECASE)


@attrs.frozen(weakref_slot=False)
class Datapoint:
    """One value of one telemetry attribute at one time.

    Attributes:
        device: As it was asked for: ID or slug.
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
        """The value if it is a number, else None; booleans are no numbers."""
        return self.value if type(self.value) in (int, float) else None  # type: ignore[return-value]


@attrs.frozen(kw_only=True)
class TickMissed:
    """Ticks of the schedule at which not everything could be asked for; they are not made up for.

    Attributes:
        due: When the first of them was due.
        count: How many in a row. More than one: the event loop or the consumer was busy all that time.
        skipped: Requests that were not sent at each of them, since earlier ones were still under way.
        requests: Requests of one whole tick.
        devices: Whom the requests were for, as they were asked for; empty for all.
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
    """A request failed for a reason that may pass; the next tick asks again.

    Attributes:
        due: When its tick was due.
        error: Why.
        devices: Whom the request was for, as they were asked for; empty for all.
    """

    due: datetime
    error: EnapterError
    devices: tuple[str, ...] = attrs.field(default=(), repr=False)

    def __str__(self) -> str:
        return str(self.error)


@attrs.frozen(kw_only=True)
class ValueMissing:
    """The server warns about an attribute, usually instead of a value; told once as long as the text is the same.

    Attributes:
        device: As it was asked for: ID or slug.
        attribute: Name of the attribute.
        warning: The server's text.
    """

    device: str
    attribute: str
    warning: str

    @property
    def not_found(self) -> bool:
        """Whether the text says that there is no such device or attribute, and not only no value now.

        It is text for people, whose wording is not documented.
        """
        return _NOT_FOUND.search(self.warning) is not None

    def __str__(self) -> str:
        return make_visible(f"{self.device} {self.attribute}: {self.warning}")


@attrs.frozen(kw_only=True)
class PollLate:
    """An answer took so long that a value may have been passed over; reported by a persistent watch only.

    Attributes:
        due: When its tick was due.
        seconds: How long the answer took.
        devices: Whom the request was for, as they were asked for; empty for all.
    """

    due: datetime
    seconds: float
    devices: tuple[str, ...] = attrs.field(default=(), repr=False)

    def __str__(self) -> str:
        return f"tick at {self.due:%H:%M:%S} UTC: answered after {self.seconds:.1f} s"


@attrs.frozen(kw_only=True)
class ValueUnreadable:
    """What the server gave for an attribute cannot be read, or it refuses to give it; nothing else is affected.

    Told once as long as the reason is the same.

    Attributes:
        device: As it was asked for: ID or slug.
        attribute: Name of the attribute; None where it concerns the whole device.
        reason: Why.
    """

    device: str
    attribute: str | None
    reason: str

    def __str__(self) -> str:
        what = self.device if self.attribute is None else f"{self.device} {self.attribute}"
        return make_visible(f"{what}: {self.reason}")


WatchEvent: TypeAlias = TickMissed | PollFailed | PollLate | ValueMissing | ValueUnreadable
"""What `telemetry.watch` reports beside datapoints."""


@attrs.define(kw_only=True)
class WatchStatistics:
    """What a watch has done so far.

    Attributes:
        ticks: Ticks that began.
        missed_ticks: Ticks that were missed in whole or in part.
        requests: Calls begun.
        skipped_requests: Calls not begun, since earlier ones were still under way.
        failures: Calls that failed for a reason that may pass.
        datapoints: New datapoints.
        repeats: Datapoints that the server gave again; dropped.
        longest_gap: Most seconds between two ticks whose answers for the same attributes came; one interval
            where nothing was missed.
    """

    ticks: int = 0
    missed_ticks: int = 0
    requests: int = 0
    skipped_requests: int = 0
    failures: int = 0
    datapoints: int = 0
    repeats: int = 0
    longest_gap: float = 0.0
