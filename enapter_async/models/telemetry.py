"""The latest value of a telemetry attribute."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA


@attrs.frozen(weakref_slot=False)
class LatestPoint:
    """The latest value of one telemetry attribute.

    Attributes:
        value: Number, boolean, text, list of texts (alerts) or None. It can be None although `timestamp` is set.
        timestamp: When the device measured it. None if there is no value within the relevance interval.
        warning: Reason why there is no value.
        extra: Fields that this version does not know.
    """

    value: JSON = attrs.field(default=None, hash=False)
    timestamp: datetime | None = None
    warning: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, kw_only=True, hash=False)

    @property
    def number(self) -> float | None:
        """The value if it is a number, otherwise None. Booleans do not count as numbers."""
        return self.value if type(self.value) in (int, float) else None  # type: ignore[return-value]
