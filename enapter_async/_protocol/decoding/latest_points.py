"""Decoding of the latest values of a device, the response with the most objects."""

from __future__ import annotations

from typing import Any, Final

from enapter_async._protocol.decoding.mismatch import Mismatch
from enapter_async._protocol.decoding.model_reader import writable_twin
from enapter_async._protocol.decoding.scalars import Hook, Seen, json_object
from enapter_async._protocol.values import MOMENTS
from enapter_async.models.common import NO_EXTRA
from enapter_async.models.telemetry import LatestPoint

_Twin: Final[Any] = writable_twin(LatestPoint)
_USUAL_FIELDS: Final = 2


def points_reader(read_point: Hook) -> Hook:
    """Return the hook of points by attribute.

    The usual form of a point, `{"value": 1.5, "timestamp": 1773480413}`, is read inline, which takes three fifths of
    the time of a call. Any other form is left to the hook of a single point.

    Args:
        read_point: Hook of a single point.
    """

    def read(value: object, seen: Seen) -> dict[str, LatestPoint]:
        points: dict[str, LatestPoint] = {}
        one: Any
        for name, one in json_object(value, seen).items():
            try:
                seconds = one["timestamp"]
                if type(seconds) is int and len(one) == _USUAL_FIELDS:
                    point = _Twin()
                    point.value = one["value"]
                    point.timestamp = MOMENTS[seconds]
                    point.warning = None
                    point.extra = NO_EXTRA
                    point.__class__ = LatestPoint
                    points[name] = point
                    continue
            except (KeyError, TypeError):  # KeyError: also a time that is not known yet
                if one is None:  # null counts as absent
                    continue
            try:
                points[name] = read_point(one, seen)
            except Mismatch as mismatch:
                raise mismatch.within(name) from None
        return points

    return read
