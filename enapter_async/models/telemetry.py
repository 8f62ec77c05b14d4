"""The latest value of a telemetry attribute."""

from __future__ import annotations

from datetime import datetime

import attrs

from enapter_async.models.common import JSON, NO_EXTRA


@attrs.frozen(weakref_slot=False)
class LatestPoint:
    """The latest value of one telemetry attribute.

    Attributes:
        value: Number, boolean, text, list of texts (alerts) or None. It may be None at a known time.
        timestamp: When the device measured it; None when there is no value in the relevance interval.
        warning: Why there is no value.
        extra: Fields that this version does not know.
    """

    value: JSON = attrs.field(default=None, hash=False)
    timestamp: datetime | None = None
    warning: str | None = None
    extra: dict[str, JSON] = attrs.field(default=NO_EXTRA, kw_only=True, hash=False)

    @property
    def number(self) -> float | None:
        """The value if it is a number, else None; booleans are no numbers."""
        return self.value if type(self.value) in (int, float) else None  # type: ignore[return-value]
