"""Finds new values in responses with latest values, decoding and comparing them in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, cast

from enapter_async._protocol.decoding.converter import structurer
from enapter_async._protocol.decoding.envelopes import optional_field
from enapter_async._protocol.request import Answer
from enapter_async._protocol.values import MOMENTS
from enapter_async.errors import SchemaError
from enapter_async.models.common import JSON
from enapter_async.models.telemetry import LatestPoint
from enapter_async.models.watch import DatapointTuple, ValueMissing, ValueUnreadable, WatchEvent

REMEMBERED: Final = 4
"""Timestamps kept for each attribute: responses can arrive out of order, and a device's clock can be set back."""
LEFT_OUT: Final = "not found in the server's response"
_FIELDS: Final = 2
"""Fields of a point with only a value and its time."""


_read_point = structurer(LatestPoint)


def decode_latest(answer: Answer) -> dict[str, JSON]:
    """Decode `{"telemetry": {device: ...}}` down to the devices. Null or an empty object means no values."""
    points = optional_field(answer, "telemetry")
    if points is None:
        return {}
    if type(points) is not dict:
        raise SchemaError(f"expected an object, got {type(points).__name__}", path="telemetry")
    return points


class LatestReader:
    """Extracts the values of responses that were not returned before.

    An unreadable point is reported and does not affect others.

    Attributes:
        repeats: Number of points that had been returned before.
    """

    def __init__(self, report: Callable[[WatchEvent], None]) -> None:
        """Create a reader.

        Args:
            report: Receives missing and unreadable values, each once until the reason changes.
        """
        self.repeats: int = 0
        self._report = report
        # The newest timestamp of each attribute, then its last ones, the last received first.
        self._times: dict[str, dict[str, list[datetime]]] = {}
        self._reported: dict[tuple[str, str | None], str] = {}

    def read(  # noqa: C901, PLR0912 - one pass: calls cost most
        self, answer: Mapping[str, object], *, late: bool
    ) -> list[DatapointTuple]:
        """Return the values of a response that were not returned before.

        Args:
            answer: Points by device and attribute, as JSON or as models.
            late: The response to a later request arrived earlier.
        """
        batch: list[DatapointTuple] = []
        moments = MOMENTS
        repeats = 0
        for device, points in answer.items():
            if type(points) is not dict:
                if points is not None:  # null counts as absent
                    self.report_unreadable(device, None, f"expected an object, got {type(points).__name__}")
                continue
            series = self._times.get(device)
            if series is None:
                series = self._times[device] = {}
            for attribute, point in cast("dict[str, dict[str, JSON]]", points).items():
                timestamp: datetime | None = None
                value: JSON = None
                try:
                    # The most frequent form, without a call: {"value": 1.5, "timestamp": 1773480413}.
                    if type(seconds := point["timestamp"]) is int and len(point) == _FIELDS:
                        value = point["value"]
                        timestamp = moments[seconds]
                except (KeyError, TypeError):
                    pass  # KeyError: also a time that is not known yet
                if timestamp is None:
                    timestamp, value = self._read(device, attribute, point)
                    if timestamp is None:
                        continue
                times = series.get(attribute)
                if times is None:
                    series[attribute] = [timestamp, timestamp]
                else:
                    if timestamp > times[0]:  # the usual case, without looking at the others
                        times[0] = timestamp
                    elif timestamp in times[1:] or (late and len(times) > REMEMBERED and timestamp < min(times[1:])):
                        repeats += 1
                        continue
                    times.insert(1, timestamp)
                    if len(times) > 1 + REMEMBERED:
                        times.pop()
                batch.append((device, attribute, timestamp, value))
        self.repeats += repeats
        return batch

    def report_unreadable(self, device: str, attribute: str | None, reason: str) -> None:
        """Report an unreadable value, once."""
        if self._is_new(device, attribute, reason):
            self._report(ValueUnreadable(device=device, attribute=attribute, reason=reason))

    def report_missing(self, device: str, attribute: str, warning: str) -> None:
        """Report a missing value, once."""
        if self._is_new(device, attribute, warning):
            self._report(ValueMissing(device=device, attribute=attribute, warning=warning))

    def _is_new(self, device: str, attribute: str | None, text: str) -> bool:
        """Return whether this differs from what was last reported about a value, and remember it."""
        known = self._reported.get((device, attribute))
        self._reported[device, attribute] = text
        return known != text

    def _read(self, device: str, attribute: str, point: object) -> tuple[datetime | None, JSON]:
        """Return time and value of an unusual point."""
        if point is None:
            self.report_missing(device, attribute, LEFT_OUT)
            return None, None
        if not isinstance(point, LatestPoint):
            try:
                point = _read_point(cast("JSON", point))
            except SchemaError as error:
                self.report_unreadable(device, attribute, str(error))
                return None, None
        if point.warning is not None:
            self.report_missing(device, attribute, point.warning)
        return point.timestamp, point.value
